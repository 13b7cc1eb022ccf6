"""Bytes, cycles and stack on devices: figures of classifiers written by hand are known beforehand."""

import os
import re
from dataclasses import replace

import numpy as np
import pytest

from bdnn.devices import DEVICES, emulating, measure
from bdnn.devices.code import octets_of_rows
from bdnn.devices.measuring import stratified
from bdnn.devices.models import checked_devices
from bdnn.devices.registry import installed
from bdnn.errors import ExportError, InputError, MissingDependencyError
from device_code import KEPT, ON_STACK, PER_TURN, counting, have, in_header, need_device, without_emulator


@pytest.mark.parametrize("device", DEVICES)
def test_figures_that_are_known(device):
    need_device(device)
    found = measure(counting([10, 50_010, 20], expected=[0, 1, 0]), device)
    assert (found.rows, found.wrong_rows, found.first_wrong, found.why_not_run) == (3, 1, 2, None)
    # more than the 2^16 cycles that a timer of an ATmega counts; rows 2 and 3 take the same way but for the turns
    per, total = PER_TURN[device], round(3 * found.cycles_mean)
    first_and_third = total - found.cycles_most
    assert found.cycles_most > 50_010 * per
    rest = counting([10, 20, 20])
    less = measure(rest, device)
    assert found.cycles_most - less.cycles_most == (50_010 - 20) * per
    assert first_and_third == round(3 * less.cycles_mean) - less.cycles_most
    assert found.ram == KEPT
    assert ON_STACK <= found.stack <= ON_STACK + 48  # with what is saved, aligned
    assert 20 < found.flash < 150 and found.float_functions == ()
    assert found.unit == ("cycles" if device == "atmega328p" else "instructions")


@pytest.mark.parametrize("device", DEVICES)
def test_functions_for_floating_point_are_seen_and_counted(device):
    need_device(device)
    body = "return {} > {};"
    whole = measure(in_header(body.format("x[0] * 3", "8"), "int16_t", [[2], [3]], [0, 1]), device)
    real = measure(in_header(body.format("x[0] * 2.5f", "6.25f"), "float", [[2.5], [2.75]], [0, 1]), device)
    for found in (whole, real):
        assert (found.wrong_rows, found.rows, found.ram) == (0, 2, 0)
    assert whole.float_functions == ()
    if device == "cortex-m4":  # which multiplies and compares by instructions
        assert real.float_functions == () and real.flash < 40
    else:
        assert "__mulsf3" in real.float_functions and real.flash > whole.flash + 200
        assert real.cycles_mean > whole.cycles_mean + 20


def test_what_cannot_be_measured_is_refused():
    code = counting([10, 20])
    with pytest.raises(InputError, match=r"device must be one of atmega328p, cortex-m0, .*, got 'z80'"):
        measure(code, "z80")
    with pytest.raises(InputError, match="optimize must be one of"):
        measure(code, "atmega328p", "beauty")
    for element, rows, message in (
        ("uint16_t", [[-1]], "no uint16_t"), ("int8_t", [[128]], "no int8_t"), ("int8_t", [[0.5]], "no int8_t"),
        ("bool", [[1]], "one of int8_t, .*, float, double; got 'bool'"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            octets_of_rows(in_header("return 0;", element, rows, [0]), np.array(rows), 8)
    assert octets_of_rows(in_header("", "double", [[1.5]], [0]), np.array([[1.5]]), 4) == b"\0\0\xc0\x3f"
    with pytest.raises(InputError, match="rows must have shape"):
        in_header("", "float", [[1.0]], [0, 1])


def test_a_missing_compiler_is_named_with_its_package(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        MissingDependencyError, match=r"avr-gcc, which is not installed; .* apt install gcc-avr avr-libc"
    ):
        measure(counting([10]), "atmega328p")
    with pytest.raises(MissingDependencyError, match=r"no compiler for a device is installed; .*gcc-arm-none-eabi"):
        checked_devices(None)


@pytest.mark.skipif(os.name != "posix", reason="a script stands for the compiler")
def test_a_missing_library_of_a_compiler_is_named_with_its_package(monkeypatch, tmp_path):
    """Debian has the compiler and its library as packages of their own; without the library, nothing can be linked."""
    monkeypatch.setenv("PATH", str(tmp_path))
    compiler = tmp_path / "avr-gcc"
    compiler.write_text("#!/bin/sh\nexit 1\n")  # it does not find a header
    compiler.chmod(0o755)
    words = "atmega328p needs the C library of avr-gcc, which is not installed; .* apt install gcc-avr avr-libc"
    with pytest.raises(MissingDependencyError, match=words):
        measure(counting([10]), "atmega328p")
    assert "atmega328p" not in installed()
    with pytest.raises(pytest.skip.Exception, match=words):
        need_device("atmega328p")


def test_initial_values_of_variables_count_in_flash_and_ram():
    need_device("atmega328p", emulator=False)
    body = "static volatile int16_t kept[20] = {{{}}}; return kept[x[0]];"
    code = in_header(body.format("1, 2, 3"), "uint8_t", [[2]], [3])
    empty = in_header(body.format(""), "uint8_t", [[2]], [0])
    with_values, without = (measure(each, "atmega328p", run=False) for each in (code, empty))
    assert with_values.ram == without.ram == 40
    # 22 bytes are the loop that copies them, which the library of the compiler has
    assert with_values.flash - without.flash == 40 + 22
    assert with_values.why_not_run == "not asked for"


def test_without_the_emulator_there_are_bytes(monkeypatch):
    need_device("atmega328p", emulator=False)
    without_emulator(monkeypatch, "atmega328p")
    found = measure(counting([10, 20]), "atmega328p")
    assert found.ram == KEPT and found.flash > 20
    assert (found.stack, found.cycles_mean, found.unit, found.rows) == (None, None, None, 0)
    assert found.why_not_run == "the emulator no-such-emulator is not installed; on Debian, run: apt install simavr"


def test_what_does_not_end_or_fit_is_said(monkeypatch):
    need_device("atmega328p")
    monkeypatch.setattr(emulating, "SECONDS", 0.5)
    endless = in_header('__asm__ volatile("1: rjmp 1b"); return 0;', "int8_t", [[1]], [0])
    assert "gave no answers within" in measure(endless, "atmega328p").why_not_run
    wide = in_header("return x[0] > 1.0f;", "float", [[1.0] * 600], [0])
    assert "2400 bytes do not fit into 2048 bytes of RAM" in measure(wide, "atmega328p").why_not_run
    with pytest.raises(ExportError, match="avr-gcc failed"):
        measure(in_header("return nonsense;", "int8_t", [[1]], [0]), "atmega328p")


@pytest.mark.parametrize("fits", [True, False])
def test_a_stack_that_does_not_fit_is_said(fits):
    """The second row fills more of the stack than there is, and so variables, of which one is the answer."""
    need_device("atmega328p")
    body = """static volatile uint8_t kept[1700];
    volatile uint8_t here[{}];
    int16_t k;
    for (k = (int16_t)sizeof here - 1; k >= 0 && x[0] == 2; k--) here[k] = 1u;
    return kept[1699];"""
    code = in_header(body.format(150 if fits else 400), "int8_t", [[1], [2], [1]], [0, 0, 0])
    found = measure(code, "atmega328p")
    if fits:
        assert (found.why_not_run, found.wrong_rows, found.rows) == (None, 0, 3) and 150 <= found.stack < 180
        return
    words = re.fullmatch(r"the stack does not fit: the (\d+) bytes of RAM that are left for it were all used",
                         found.why_not_run)  # fmt: skip
    assert 150 < int(words[1]) < 2_048 - 1_700
    assert (found.stack, found.rows, found.wrong_rows, found.cycles_mean) == (None, 0, 0, None)


def test_as_many_rows_are_run_as_fit_into_flash():
    need_device("atmega328p")
    rows = np.arange(20_000).reshape(-1, 2) % 100
    found = measure(in_header("return x[0] > 49;", "int16_t", rows, rows[:, 0] > 49), "atmega328p")
    assert found.wrong_rows == 0
    assert 32_768 - 2_048 < 5 * found.rows < 32_768
    few = measure(in_header("return x[0] > 49;", "int16_t", rows, rows[:, 0] > 49), "atmega328p", most_rows=30)
    assert (few.rows, few.flash) == (30, found.flash)
    for filled, why in ((32_000, "32... bytes, a row and what runs it do not fit"), (33_000, "33... bytes do not fit")):
        half = f"static const PROGMEM uint8_t {{}}[{filled // 2}] = {{{{1}}}};"  # an array has 32,767 bytes at most
        table = half.format("t") + half.format("u") + "return pgm_read_byte(t + x[0]) | pgm_read_byte(u + x[0]);"
        code = in_header(table, "int16_t", rows, rows[:, 0] == 0)
        code = replace(code, files={"m.h": "#include <avr/pgmspace.h>\n" + code.files["m.h"]})
        full = measure(code, "atmega328p")
        assert filled < full.flash < filled + 70 and re.match(f"{why} into 32768 bytes of flash", full.why_not_run)


def test_each_label_has_its_share_of_the_rows():
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 7], [800, 190, 10]))
    chosen = stratified(labels, 100)
    assert np.bincount(labels[chosen]).tolist() == [80, 19, 0, 0, 0, 0, 0, 1]
    assert np.all(np.diff(chosen) > 0) and np.array_equal(stratified(labels, 1_000), np.arange(1_000))


def test_an_emulator_that_is_wrong_is_not_believed():
    """Simavr 1.6 skips two words where a skipped sbiw looks like a jump to it; QEMU is right."""
    need_device("atmega328p")
    if not have("qemu-system-avr"):
        pytest.skip("qemu-system-avr is not installed (Debian: qemu-system-misc)")
    body = """uint16_t a = 100u, b = x[0];
    __asm__ volatile("sbrc %1, 0\\n sbiw %0, {}\\n adiw %0, 1" : "+w"(a) : "r"(b));
    return (int)a;"""
    found = measure(in_header(body.format(13), "uint16_t", [[1], [2]], [88, 101]), "atmega328p")
    assert found.wrong_rows == 0 and found.rows == 2
    assert "takes some adiw and sbiw for jumps" in found.remark
    assert found.cycles_mean is None or "wrong rows: 0 by simavr, 0 by qemu-system-avr" in found.remark
    other = measure(in_header(body.format(11), "uint16_t", [[1], [2]], [90, 101]), "atmega328p")
    assert (other.wrong_rows, other.remark) == (0, None) and other.cycles_mean > 0


def test_an_emulator_that_would_go_astray_is_not_asked():
    """QEMU 7.2 goes astray where a ret is skipped, so that wrong rows are those of simavr alone."""
    need_device("atmega328p")
    body = """int a;
    __asm__ volatile("rcall 1f\\n rjmp 2f\\n"
                     "1: ldi %A0, 7\\n ldi %B0, 0\\n sbrs %1, 0\\n ret\\n ldi %A0, 9\\n ret\\n 2:"
                     : "=&d"(a) : "r"(x[0]));
    return a;"""
    code = in_header(body, "uint8_t", [[2], [3], [4]], [7, 9, 8])
    found = measure(code, "atmega328p")
    assert (found.wrong_rows, found.first_wrong) == (1, 2) and found.cycles_mean > 0
    assert found.remark == (
        "qemu-system-avr 7.2 goes astray where a ret is skipped, as it is here; wrong rows: 1 by simavr"
    )
