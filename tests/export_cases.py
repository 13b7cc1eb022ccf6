"""Random models for exports, with rows that hit thresholds, and many of their C sources compiled as one."""

from __future__ import annotations

import itertools
import re
import subprocess
import threading
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np

from bdnn import BDNNClassifier, BDNNEnsembleClassifier, Network
from bdnn.encoding.codes import ColumnCode
from bdnn.encoding.encoder import Encoder
from bdnn.encoding.raw import RawColumn, RawTable
from bdnn.errors import InputError
from bdnn.export.building import integer_program
from bdnn.export.c import C, value_type
from bdnn.export.golden import golden_rows
from bdnn.export.inputs import Interface, device_rows
from bdnn.export.request import Request
from bdnn.model_file.contents import EnsembleMember, EnsembleModel, Model
from bdnn.network.grid import InputGrid


@dataclass(frozen=True, eq=False)
class Case:
    """A model, what is declared of its columns, rows of a table, and the answers of the model itself."""

    model: Model | EnsembleModel
    interface: Interface
    table: RawTable
    answers: np.ndarray
    known: bool
    """Whether the ranges are taken from the rows."""

    @property
    def program(self):
        return integer_program(self.model, self.interface, self.table if self.known else None)


def random_case(seed: int) -> Case:
    """Return a random case: widths, depths, heads, weights, grids, thresholds, categories, gaps, ensembles."""
    rng = np.random.default_rng(seed)
    scale = int(rng.choice([1, 1, 10, 100]))
    gridded = bool(rng.random() < 0.45)
    codes = [_code(rng, number, scale, gridded) for number in range(rng.integers(1, 7))]
    encoder = Encoder(tuple(codes))
    table = RawTable(tuple(_column(rng, code, scale if code.thresholds or gridded else 1, 60) for code in codes))
    if rng.random() < 0.3:
        model, answers = _ensemble(rng, encoder, gridded, table)
    else:
        classes = int(rng.integers(2, 6))
        network = _network(rng, encoder.n_inputs, classes, gridded, encoder.network_names, table, encoder)
        model, answers = Model(network, encoder=encoder), network.predict_index(encoder.transform(table))
    scales = {code.name: scale for code in codes if code.kind == "numeric" and (code.thresholds or gridded)}
    ranges = {}
    for code, column in zip(codes, table.columns, strict=True):
        if code.kind == "numeric" and rng.random() < 0.5:
            there = column.values[~column.missing]
            low, high = (there.min(), there.max()) if len(there) else (0.0, 1.0)
            ranges[code.name] = (Fraction(str(low)), Fraction(str(high)))
    missing = tuple(code.name for code in codes if code.fill is not None)
    # without a table, a column has 16 bits
    far = any(np.nanmax(np.abs(c.values), initial=0) * scale > 32_000 for c in table.columns if c.kind == "numeric")
    known = far or bool(rng.random() < 0.5)
    return Case(model, Interface(scale=scales, ranges=ranges, missing=missing), table, answers, known)


def _code(rng, number, scale, gridded):
    name = f"{rng.choice(['age', 'size (cm)', '2nd', 'für', 'int', 'x,y', 'a/*b'])} {number}"
    kind = str(rng.choice(["numeric", "numeric", "numeric", "boolean", "categorical"]))
    gaps = rng.random() < 0.4
    bit = bool(gaps and rng.random() < 0.6)
    if kind == "boolean":
        return ColumnCode(name, "boolean", float(rng.integers(2)) if gaps else None, missing_bit=bit)
    if kind == "categorical":
        levels = tuple(f"level {n}" for n in range(rng.integers(2, 7)))
        rare = tuple(f"rare {n}" for n in range(rng.integers(0, 3)))
        fill = str(rng.choice([*levels, *rare])) if gaps else None
        return ColumnCode(name, "categorical", fill, levels, rare, missing_bit=bit)
    thresholds = ()
    if rng.random() < 0.5:
        at = rng.integers(-40, 40, size=rng.integers(1, 9)) / scale + rng.choice([0.0, 0.5, 0.37], size=1) / scale
        thresholds = tuple(sorted(set(at.tolist())))
    fill = float(rng.integers(-30, 30)) / (scale if thresholds or gridded else 1) if gaps else None
    return ColumnCode(name, "numeric", fill, thresholds=thresholds, missing_bit=bit)


def _column(rng, code, scale, m):
    gap = rng.random(m) < (0.15 if code.fill is not None else 0.0)
    if code.kind == "boolean":
        return RawColumn(code.name, "boolean", np.where(gap, np.nan, rng.integers(0, 2, m)))
    if code.kind == "categorical":
        levels = (*code.levels, *code.rare, "never seen")
        return RawColumn(
            code.name, "categorical", np.where(gap, -1, rng.integers(0, len(levels), m)).astype(np.int32), levels
        )
    reach = int(rng.choice([10, 50, 300, 30_000, 2_000_000_000]))
    low = 0 if rng.random() < 0.3 else -reach
    integers = np.where(
        rng.random(m) < 0.7, rng.integers(max(low, -60), min(reach, 60), m), rng.integers(low, reach, m)
    )
    hits = np.rint(np.array(code.thresholds or [0.0]) * scale).astype(np.int64)
    integers = np.where(rng.random(m) < 0.2, np.clip(rng.choice(hits, m) - rng.integers(0, 2, m), low, reach), integers)
    return RawColumn(code.name, "numeric", np.where(gap, np.nan, integers / np.float64(scale)))


def _network(rng, n, classes, gridded, names, table, encoder, one_output=None):
    head = "threshold" if rng.random() < 0.5 else "argmax"
    n_outputs = 1 if classes == 2 and head == "threshold" else classes
    depth = int(rng.choice([1, 1, 2, 3, 4]))
    widths = [n, *rng.integers(1, 13, depth - 1).tolist(), n_outputs]
    if rng.random() < 0.1 and depth > 1:
        widths[1] = int(rng.integers(30, 45))
    bound = int(rng.choice([1, 1, 1, 2, 3, 7, 8, 100, 1000, 40_000, 2**31, 2**40]))
    if any(abs(v) > 1e6 for c in table.columns if c.kind == "numeric" for v in c.values if v == v) and not gridded:
        bound = min(bound, 1000)
    layers = []
    for below, above in itertools.pairwise(widths):
        W = rng.integers(-bound, bound + 1, (above, below)) * (rng.random((above, below)) < rng.choice([0.4, 0.9]))
        layers.append((W, rng.integers(-bound - 2, bound + 3, above)))
    grid = None
    if gridded:
        bits = int(rng.choice([1, 2, 4, 6, 8, 16], p=[0.1, 0.2, 0.2, 0.2, 0.25, 0.05]))
        step = rng.choice([0.01, 0.02, 0.1, 0.25, 0.3, 1.0, 2.0, 100.0 / 255], size=n)
        grid = InputGrid(rng.choice([-20.0, -0.05, 0.0, 0.5, 1.0], size=n), step, bits)
    # a tie, or nearly: the bias is the negative of a sum that occurs
    network = Network(layers, head, list(range(classes)), grid, names)
    if names is not None and rng.random() < 0.6:
        X = encoder.transform(table)
        signal = X if grid is None else grid.quantize(X)
        W, _ = layers[0]
        sums = signal[rng.integers(len(X), size=len(W))]
        tied = -(W * sums).sum(axis=1) + rng.integers(-1, 2, len(W))
        if np.abs(tied).max() < 2**52:
            layers[0] = (W, tied.astype(np.int64))
            network = Network(layers, head, list(range(classes)), grid, names)
    return network


def _ensemble(rng, encoder, gridded, table):
    n, C = encoder.n_inputs, int(rng.integers(2, 5))
    scheme = str(rng.choice(["one_vs_one", "one_vs_rest", "multiclass"]))
    voting = str(rng.choice(["sum", "majority"]))
    pairs = {
        "one_vs_one": [(a, b) for a in range(C) for b in range(a + 1, C)],
        "one_vs_rest": [(-1, c) for c in range(C)],
        "multiclass": [tuple(range(C))] * int(rng.integers(2, 5)),
    }[scheme]
    members = []
    for codes in pairs:
        features = np.sort(rng.permutation(n)[: rng.integers(1, n + 1)])
        network = _network(rng, len(features), len(codes), gridded, None, table, encoder)
        members.append(EnsembleMember(Network(network.layers, network.head, list(codes), network.grid), features))
    ensemble = BDNNEnsembleClassifier(BDNNClassifier(), scheme=scheme, voting=voting)
    ensemble.classes_, ensemble.encoder_, ensemble.members_ = np.arange(C), encoder, tuple(members)
    ensemble.n_features_in_, ensemble.calibration_ = len(encoder.columns), None
    ensemble.feature_names_in_ = np.array(encoder.names, dtype=object)
    return ensemble._contents(), ensemble.predict(table)


@cache
def requests(first: int, count: int, optimize: str = "size"):
    """Return cases, requests of their exports and device integers; what 64 bits cannot express is left out."""
    found = []
    for seed in range(first, first + count):
        case = random_case(seed)
        try:
            program = case.program
        except InputError as error:
            assert "64 bits" in str(error) or "2^53" in str(error), error
            continue
        rows = device_rows(program.inputs, case.table)
        golden = golden_rows(program, rows, 16)
        request = Request(program=program, name=f"n{seed}", optimize=optimize, rows=golden, answers=program.run(golden))
        found.append((case, request, rows))
    return found


def one_source(listed, layout=None, selftests=True):
    """Return the C of many networks as one translation unit, and a main program that runs rows through all of them."""
    parts, cases = ["#include <stdio.h>", "#include <stdint.h>"], []
    for _, request, _ in listed:
        files, name = C(layout).files(request), request.name
        wanted = [f"{name}.h", f"{name}.c", *([f"{name}_selftest.h", f"{name}_selftest.c"] if selftests else [])]
        text = "".join(files[path] for path in wanted)
        test = f"(int32_t){name}_selftest()" if selftests else "0"
        upper = name.upper()
        parts += [f"#define {upper}_FLASH", *(f"#define {upper}_READ{bits}(p) (*(p))" for bits in (8, 16, 32))]
        # includes are at the top; both files have the macros of flash, and as one file they may be defined only once
        text = re.sub(r"#include .*\n", "", re.sub(r"#if defined\(__AVR__\)\n.*?#endif\n", "", text, flags=re.DOTALL))
        parts.append(text)
        n = max(len(request.program.inputs), 1)
        parts.append(
            f"static int run_{name}(const int32_t *row) {{ {name}_value x[{n}]; int i; for (i = 0; i < {n}; i++) "
            f"x[i] = ({value_type(request.program)}_t)row[i]; return (int){name}_predict(x); }}"
        )
        cases.append(f"case {name[1:]}: answer = row[1] < 0 ? {test} : run_{name}(row + 2); break;")
    parts.append(
        "int main(void) { int32_t row[64], answer = -1; while (fread(row, sizeof row[0], 64, stdin) == 64) {\n"
        "switch (row[0]) {\n" + "\n".join(cases) + "\ndefault: return 2; }\n"
        "if (fwrite(&answer, sizeof answer, 1, stdout) != 1) return 1; } return 0; }"
    )
    return "\n".join(parts) + "\n"


def answers_in_c(listed, folder: Path, words, layout=None, selftests=True):
    """Compile networks as one program, run all rows, and return the answers and the wrong rows of each self-test."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "all.c").write_text(one_source(listed, layout, selftests), encoding="utf-8")
    done = subprocess.run(
        [*words, "-o", "all", "all.c"], cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0 and not done.stderr, done.stderr[:3000]
    given = []
    for _, request, rows in listed:
        block = np.zeros((len(rows) + 1, 64), dtype=np.int32)
        block[:, 0], block[-1, 1] = int(request.name[1:]), -1
        block[:-1, 2 : 2 + rows.shape[1]] = rows
        given.append(block)
    out = subprocess.run(
        [str(folder / "all")], input=np.vstack(given).tobytes(), capture_output=True, timeout=600, check=False
    )
    assert out.returncode == 0 and not out.stderr, out.stderr[:3000]
    answers, place, found = np.frombuffer(out.stdout, dtype=np.int32), 0, []
    for _, _, rows in listed:
        found.append((answers[place : place + len(rows)], int(answers[place + len(rows)])))
        place += len(rows) + 1
    return found


_UART = """#include <avr/io.h>
static void put(uint8_t c) { while (!(UCSR0A & (1 << UDRE0))) {} UDR0 = c; }
static void number(uint16_t v)
{
    uint8_t digits[6], n = 0;
    do { digits[n++] = (uint8_t)(48 + v % 10); v /= 10; } while (v);
    while (n) put(digits[--n]);
    put(32);
}
"""
"""Prints numbers to the serial line."""


def avr_program(listed, folder: Path, words, link: bool):
    """Compile sources and return the symbols that each lacks, or link and run all self-tests on an emulated AVR."""
    sources = []
    for _, request, _ in listed:
        for path, text in C().files(request).items():
            (folder / path).write_text(text, encoding="utf-8")
        sources += [f"{request.name}.c", f"{request.name}_selftest.c"]
    if not link:
        own = {f"{request.name}_predict" for _, request, _ in listed}
        _quietly([*words, "-c", *sources], folder)
        nm = words[0].replace("gcc", "nm")
        return {
            source: [
                line.split()[-1]
                for line in _quietly([nm, "-u", source.replace(".c", ".o")], folder).splitlines()
                if line.split()[-1] not in own
            ]
            for source in sources
        }
    main = "".join(f'#include "{request.name}_selftest.h"\n' for _, request, _ in listed) + _UART
    calls = "".join(f"    number({request.name}_selftest());\n" for _, request, _ in listed)
    main += f"int main(void)\n{{\n    UCSR0B = 1 << TXEN0;\n{calls}    put(10);\n    for (;;) {{}}\n}}\n"
    (folder / "main.c").write_text(main, encoding="utf-8")
    _quietly([*words, "-o", "all.elf", "main.c", *sources], folder)
    # both emulators are wrong about some instructions that are skipped, qemu only after -Os: bdnn.devices.emulating
    board = ["qemu-system-avr", "-machine", "mega2560", "-nographic", "-monitor", "none", "-serial", "stdio"]
    with subprocess.Popen(
        [*board, "-bios", "all.elf"], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as emulator:
        assert emulator.stdout is not None
        clock = threading.Timer(60.0, emulator.kill)  # a program that hangs
        clock.start()
        line = emulator.stdout.readline()
        clock.cancel()
        emulator.kill()  # it would go on forever
    return [int(number) for number in line.split()]


def _quietly(words, folder):
    """Run a tool that must not complain, and return what it prints."""
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr[:3000]
    return done.stdout
