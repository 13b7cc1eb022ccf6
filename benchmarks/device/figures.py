"""The tables of the device benchmark, from the result file and from nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import exp, log
from pathlib import Path
from statistics import mean
from typing import Any

from candidates import NEURAL, OURS
from runner import read_results
from samples import SETS

from bdnn.devices import DEVICES

SHORT = {"atmega328p": "ATmega328P", "cortex-m0": "Cortex-M0", "cortex-m4": "Cortex-M4", "rv32imac": "RV32IMAC"}
PAIRS = "pairs"
TITLES = {
    "ours": "At our accuracy",
    "rival": "At the best rival's accuracy",
    PAIRS: "At each rival's own accuracy, one by one",
}
LEAST_RAM = 64
"""Bytes that a network without hidden layer is to stay below, variables and stack together."""

_NOTES = """\
What classifiers take on four microcontrollers, measured by `bdnn.devices.measure`: bytes by cross-compilers (`-Os`),
each without those of the same program with a stub in the classifier's place, so that functions of libraries count for
whoever needs them; stack, cycles and instructions by emulators that run up to 500 test rows, whose answers are compared
with those of the same C code on a host. Our networks and emlearn's are also built for speed: ours with `--optimize
speed`, both by `-O2`. Accuracies are those of the C code, on the whole test part.

**Data.** The splits of `benchmarks/bytes`, seed 0 (60/20/20, of large tables 6,000 training and 2,000 validation rows);
of MNIST 50,000 and 10,000 images, and its own test. All are trained on the same integers of 16 bits, and get them on
the device: columns of real numbers are multiplied by a power of ten. Text is one 0/1 column per category, for all.

**Choice.** Of each method, the smallest setting whose validation accuracy is at most half a percentage point below an
anchor: our best validation accuracy, the best one of all rivals, or, pair by pair, that of the rival itself. Where none
is, the most accurate one is taken and marked by a star. The smallest is that of least flash on the ATmega328P among the
lightest candidates (by nodes, weights or length of the code); of its forms, the smallest on each device. The test part
decides nothing.

**Rivals.** emlearn trees and forests (random forests and extra trees), inlined and as tables, in integers of 16 bits,
and of 8 bits where rows are bytes; single trees also without the vote that its code adds, by a function that it does
not mean to be called. emlearn truncates thresholds; they are made integers before, so that its code decides as
scikit-learn does. emlearn networks with one hidden layer, in floats, on the most important columns, in units in which
these spread by about 1: version 0.23 cannot write inlined code as it is (corrected here), and its fixed-point code
computes nothing (`FIXME: implement`). m2cgen trees and logistic regression on ever fewer columns, in doubles or floats,
whichever is smaller. micromlgen trees and random forests of up to 8,000 nodes as C, with thresholds in doubles or
floats; its logistic regression of two classes answers the wrong class, and is left out. emlearn and micromlgen keep no
tables in the flash of an AVR, so that these take RAM there.

**Ours.** `BDNNClassifier` and `BDNNEnsembleClassifier` with integer weights, without hidden neurons or with one hidden
layer, with thresholds or integers as inputs, on few or all columns; exported with `export("c")`, with the ranges of all
rows. The code of `benchmarks/device` has all grids."""

_LOST = """\
Flash in bytes, where a rival that reaches the anchor takes as little, or one that decides as many test rows right; and
what reaches an anchor that we do not reach. Where rivals take fewer cycles is in the tables above."""


@dataclass(frozen=True)
class Entry:
    """A classifier on a device, for an anchor of a data set."""

    data: str
    anchor: str
    device: str
    row: dict[str, Any]

    @property
    def figures(self) -> dict[str, Any] | None:
        """What was measured; None if it does not fit on the device."""
        found = self.row["devices"].get(self.device)
        return found if found is not None and "too_large" not in found else None


def cells(records: list[dict[str, Any]]) -> Iterator[tuple[Entry, list[Entry]]]:
    """Yield, for each data set, anchor and device, our entry and those of the rivals.

    Each pair is a group of its own.
    """
    for record in records:
        for anchor, rows in record["found"].items():
            groups = [rows] if anchor != PAIRS else [rows[k : k + 2] for k in range(0, len(rows), 2)]
            for group, device in product(groups, record["settings"]["devices"]):
                entries = [Entry(record["data"], anchor, device, row) for row in group]
                yield entries[0], entries[1:]


def lost_to(own: Entry, rivals: list[Entry]) -> list[Entry]:
    """Return the rivals that reach the anchor and take no more flash; all that reach it if we do not."""
    reaching = [each for each in rivals if each.row["reached"] and each.figures]
    if not own.row["reached"] or own.figures is None:
        return reaching
    return [each for each in reaching if each.figures["flash"] <= own.figures["flash"]]


def dominating(own: Entry, rivals: list[Entry]) -> list[Entry]:
    """Return the rivals that decide no fewer test rows right with no more flash."""
    return [
        each
        for each in rivals
        if each.figures
        and each.row["test"] >= own.row["test"]
        and (own.figures is None or each.figures["flash"] <= own.figures["flash"])
    ]


def write(path: Path) -> str:
    """Write the tables beside a result file, and return them."""
    machines, found = read_results(path)
    latest: dict[str, dict[str, Any]] = {}
    for record in found.values():
        latest[record["data"]] = record
    order = list(SETS)
    text = tables(sorted(latest.values(), key=lambda record: order.index(record["data"])), machines)
    path.with_suffix(".md").write_text(text)
    print("wrote", path.with_suffix(".md").name)
    return text


def tables(records: list[dict[str, Any]], machines: list[dict[str, Any]]) -> str:
    """Return the whole page."""
    lines = ["# On microcontrollers", "", "From `python benchmarks/device`.", "", _NOTES, ""]
    lines += ["## In short", "", *_summary(records), "", "## Against each rival", "", *_against(records)]
    lines += ["", "## Lost", "", _LOST, "", *_lost(records)]
    for record in records:
        least = ", ".join(f"{TITLES[a].lower()}: {100 * v:.1f} %" for a, v in record["anchors"].items())
        lines += ["", f"## {record['data']}", "", f"Validation accuracy {least}. {record['test_rows']:,} test rows."]
        for anchor, rows in record["found"].items():
            lines += ["", f"### {record['data']}: {TITLES[anchor].lower()}", "", *_table(record, rows)]
    lines += ["", "## Not run", "", *_not_run(records), "", "## Made with", "", *_made_with(records, machines)]
    return "\n".join(lines) + "\n"


def _summary(records: list[dict[str, Any]]) -> list[str]:
    lines = [
        "Cells are data sets × devices, and in pairs also × rivals. *Smallest*: we reach the anchor, and no rival that"
        " reaches it takes as little flash. *Not beaten on the test part*: no rival decides as many test rows right in"
        " as little flash. *Cycles*: fewer than the rival that is a neural network, where both run; as above, and"
        " built for speed.",
        "",
        "| | smallest | not beaten on the test part | fewer cycles than emlearn's MLP | both built for speed |",
        "|---|---|---|---|---|",
    ]
    listed = list(cells(records))
    for anchor, title in TITLES.items():
        mine = [(own, rivals) for own, rivals in listed if own.anchor == anchor]
        smallest = sum(own.row["reached"] and own.figures is not None and not lost_to(own, r) for own, r in mine)
        unbeaten = sum(own.figures is not None and not dominating(own, r) for own, r in mine)
        shown = [f"{count} of {len(mine)}" for count in (smallest, unbeaten)]
        for built in ("devices", "fast"):
            pairs = list(_cycles(mine, built))
            shown.append(f"{sum(ours < theirs for ours, theirs in pairs)} of {len(pairs)}")
        lines.append(f"| {title} | {' | '.join(shown)} |")
    plain = [
        own for own, _ in listed if own.row["setting"].startswith("no hidden, ") and "each" not in own.row["setting"]
    ]
    rams = [each.figures["ram"] + each.figures["stack"] for each in plain if each.figures and "stack" in each.figures]
    floats = sorted({name for own, _ in listed for found in own.row["devices"].values() for name in found["floats"]})
    wrong = sum(found["wrong"] for own, rivals in listed for e in (own, *rivals) for found in _of(e))
    if rams:
        verdict = "below" if max(rams) < LEAST_RAM else "not below"
        lines += ["", f"Single networks without hidden layer take at most {max(rams)} bytes of RAM, variables and"]
        lines[-1] += f" stack together, on any of the devices: {verdict} {LEAST_RAM}."
    lines += ["", f"Functions for floating-point numbers that are linked with ours: {', '.join(floats) or 'none'}."]
    lines += ["", f"Rows that were decided otherwise on an emulated device than by the same code on a host: {wrong}."]
    return lines


def _of(entry: Entry) -> list[dict[str, Any]]:
    found = entry.row["devices"].get(entry.device)
    return [found] if found else []


def _cycles(mine: list[tuple[Entry, list[Entry]]], built: str) -> Iterator[tuple[float, float]]:
    """Yield our cycles and those of the neural rival, where both run; `built` is for size or for speed."""
    for own, rivals in mine:
        for each in rivals:
            both = [entry.row.get(built, {}).get(own.device, {}) for entry in (own, each)]
            if each.row["method"] == NEURAL and all("mean" in figures for figures in both):
                yield both[0]["mean"], both[1]["mean"]


def _against(records: list[dict[str, Any]]) -> list[str]:
    lines = [
        "Cells in which we take less flash, and fewer cycles or instructions, of all where both fit or run; how many"
        " times our flash they take (geometric mean); their test accuracy less ours, in points (mean); data sets on"
        " which they reach the anchor.",
    ]
    listed = list(cells(records))
    for anchor, title in TITLES.items():
        lines += ["", f"{title}:", "", "| rival | less flash | fewer cycles | times our flash | test | reached |"]
        lines.append("|---" * 6 + "|")
        mine = [(own, rivals) for own, rivals in listed if own.anchor == anchor]
        for method in dict.fromkeys(each.row["method"] for _, rivals in mine for each in rivals):
            pairs = [(own, each) for own, rivals in mine for each in rivals if each.row["method"] == method]
            both = [(a.figures, b.figures) for a, b in pairs if a.figures and b.figures]
            ran = [(a["mean"], b["mean"]) for a, b in both if "mean" in a and "mean" in b]
            less, fewer = sum(a["flash"] < b["flash"] for a, b in both), sum(a < b for a, b in ran)
            times = f"{exp(mean(log(b['flash'] / a['flash']) for a, b in both)):.1f}" if both else "–"
            sets = {own.data: (100 * (each.row["test"] - own.row["test"]), each.row["reached"]) for own, each in pairs}
            test = f"{mean(gap for gap, _ in sets.values()):+.1f}"
            reached = f"{sum(done for _, done in sets.values())} of {len(sets)}"
            shown = f"{less} of {len(both)} | {fewer} of {len(ran)} | {times} | {test} | {reached}"
            lines.append(f"| {method} | {shown} |")
    return lines


def _lost(records: list[dict[str, Any]]) -> list[str]:
    """List where a rival is as small at the anchor, or no worse on the test part in as little flash."""
    groups: dict[tuple[str, str, int, int], list[tuple[Entry, list[Entry]]]] = {}
    for own, rivals in cells(records):
        groups.setdefault((own.data, own.anchor, id(own.row), id(rivals[0].row)), []).append((own, rivals))
    lines = []
    for group in groups.values():
        losses: dict[str, list[Entry]] = {}
        for own, rivals in group:
            for each in rivals:
                if each in lost_to(own, rivals) or each in dominating(own, rivals):
                    losses.setdefault(each.row["method"], []).append(each)
        own = group[0][0]
        if not losses and own.row["reached"] and all(each.figures for each, _ in group):
            continue
        parts = [f"ours {_listed([each for each, _ in group])}"]
        parts += [] if own.row["reached"] else ["we do not reach the anchor"]
        parts += [f"{name} {_listed(entries)}" for name, entries in losses.items()]
        lines.append(f"- {own.data}, {TITLES[own.anchor].lower()}: {'; '.join(parts)}")
    return lines or ["Nothing."]


def _listed(entries: list[Entry]) -> str:
    """Return the bytes of one classifier on some devices, and its test accuracy."""
    found = ", ".join(f"{_large(e.row['devices'].get(e.device), e.figures)} on {SHORT[e.device]}" for e in entries)
    return f"{found} (test {100 * entries[0].row['test']:.1f} %)"


def _table(record: dict[str, Any], rows: list[dict[str, Any]]) -> list[str]:
    devices = record["settings"]["devices"]
    heads = ["", "setting", "valid. %", "test %"]
    heads += [f"flash, {SHORT[device]}" for device in devices]
    heads += [f"RAM, {SHORT[device]}" for device in devices[:1]]
    heads += [f"{DEVICES[device].unit}, {SHORT[device]}" for device in devices] + ["floats"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row in rows:
        found = {device: Entry("", "", device, row).figures for device in devices}
        star = "" if row["reached"] else " \\*"
        accuracies = [f"{100 * row['validation']:.1f}{star}", f"{100 * row['test']:.1f}"]
        shown = [f"**{row['method']}**" if row["method"] == OURS else row["method"], row["setting"], *accuracies]
        shown += [_large(row["devices"].get(device), found[device]) for device in devices]
        first = found[devices[0]]
        shown.append(f"{first['ram']} + {first['stack']}" if first and "stack" in first else "–")
        shown += [f"{each['mean']:,.0f}" if each and "mean" in each else "–" for each in found.values()]
        linked = max((len(each["floats"]) for each in row["devices"].values()), default=0)
        lines.append("| " + " | ".join([*shown, str(linked)]) + " |")
    built = {(row["method"], row["setting"]): row for row in rows}
    for row in built.values():
        if "fast" not in row:
            continue
        parts = [
            f"{_large(each, None if 'too_large' in each else each)} bytes and {each['mean']:,.0f} {each['unit']} on "
            f"{SHORT[device]}" for device, each in row["fast"].items() if "mean" in each
        ]  # fmt: skip
        lines += ["", f"{row['method']}, {row['setting']}, built for speed: {', '.join(parts) or 'does not fit'}."]
    return lines


def _large(found: dict[str, Any] | None, fitting: dict[str, Any] | None) -> str:
    """Return flash; in brackets if it does not fit on the device."""
    if found is None:
        return "does not fit"
    return f"{found['flash']:,}" if fitting else f"({found['flash']:,})"


def _not_run(records: list[dict[str, Any]]) -> list[str]:
    seen: dict[str, None] = {}
    for record in records:
        for rows in record["found"].values():
            for row in rows:
                for device, found in row["devices"].items():
                    for why in (found.get("why_not_run"), found.get("remark")):
                        if why:
                            seen[f"- {record['data']}, {row['method']}, {SHORT[device]}: {why}"] = None
    return list(seen) or ["Everything was run."]


def _made_with(records: list[dict[str, Any]], machines: list[dict[str, Any]]) -> list[str]:
    compilers = dict.fromkeys(
        found["compiler"] for record in records for rows in record["found"].values() for row in rows
        for found in row["devices"].values()
    )  # fmt: skip
    lines = [f"- {compiler}" for compiler in compilers]
    for entry in machines[-1:]:
        packages = ", ".join(f"{name} {version}" for name, version in entry["packages"].items())
        lines.append(f"- {entry['processor']}, Python {entry['python']}, {packages}")
    seconds = sum(record["cpu"] for record in records)
    return [*lines, f"- {seconds / 60:.0f} processor minutes of training, compilers and emulators aside"]
