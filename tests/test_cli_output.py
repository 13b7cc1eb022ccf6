"""What commands write and print, from processes of their own: what may not be replaced, full disks, encodings."""

import ctypes
import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import bdnn
from bdnn import cli, files
from bdnn.cli import stopping, training
from bdnn.cli.output import Ending
from bdnn.errors import OutputError
from bdnn.methods.run import Run
from bdnn.model_file import load_model
from bdnn.tables import scan
from processes import bdnn_begun, bdnn_done, script_done

CANCER = Path(__file__).parent.parent / "examples" / "data" / "breast_cancer_wisconsin.csv"
XOR = "a,b,target\n0,0,even\n0,1,odd\n1,0,odd\n1,1,even\n"
TRAIN = ("train", "xor.csv", "--target", "target", "--test-fraction", 0, "-q")
posix = pytest.mark.skipif(os.name != "posix", reason="pipes, limits and signals are those of POSIX")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A table and a model of it."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "xor.csv").write_text(XOR)
    words = (*TRAIN, "--method", "exact", "--certificate", "c.json", "--out", "m.json")
    command = [sys.executable, "-m", "bdnn", *map(str, words)]
    done = subprocess.run(command, capture_output=True, timeout=300, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def here(trained, tmp_path, monkeypatch):
    """The same in a folder of its own, where the test is."""
    for name in ("xor.csv", "m.json", "c.json"):
        shutil.copy(trained / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


WRITING = {
    "train --out": (*TRAIN, "--out"),
    "train --certificate": (*TRAIN, "--method", "exact", "--certificate"),
    "train --checkpoint": (*TRAIN, "--method", "exact", "--checkpoint"),
    "predict --out": ("predict", "m.json", "xor.csv", "--out"),
    "certify --out": ("certify", "m.json", "xor.csv", "-q", "--out"),
    "report --out": ("report", "m.json", "xor.csv", "--certificate", "c.json", "--rows", 0, "-q", "--out"),
    "plot --out": ("plot", "weights", "m.json", "xor.csv", "--out"),
}
SUFFIX = {"plot --out": ".png"}


@pytest.fixture
def no_work(monkeypatch):
    """No command may begin to work: what it cannot write is known before."""

    def fail(*args, **kwargs):
        raise AssertionError("work was done before the output was looked at")

    for name in ("bdnn.cli.training.read_training_table", "bdnn.cli.models.load_any", "bdnn.cli.reports.load_model",
                 "bdnn.cli.certification.load_model", "bdnn.cli.pictures.load_model"):  # fmt: skip
        monkeypatch.setattr(name, fail)


@posix
@pytest.mark.parametrize("command", WRITING)
def test_every_output_of_every_command_is_looked_at_before_any_work(run, here, no_work, command):
    words, suffix = WRITING[command], SUFFIX.get(command, "")
    os.mkfifo(f"pipe{suffix}")
    Path(f"read_only{suffix}").write_text("precious")
    Path(f"read_only{suffix}").chmod(0o444)
    Path(f"device{suffix}").symlink_to(os.devnull)
    Path(f"folder{suffix}").mkdir()
    before = {path.name: os.lstat(path) for path in here.iterdir()}
    wrong = {
        f"pipe{suffix}": "a named pipe",
        f"read_only{suffix}": "read-only",
        f"device{suffix}": "a device",
        f"folder{suffix}": "a folder",
        f"results{suffix}/": "a folder",
        f"no/such/x{suffix}": "not a writable folder",
    }
    for path, match in wrong.items():
        code, out, err = run(*words, path)
        assert (code, out) == (2, "") and match in err and err.count("\n") == 1, (path, err)
    assert {path.name: os.lstat(path) for path in here.iterdir()} == before


@pytest.mark.parametrize("command", WRITING)
def test_no_output_of_any_command_replaces_what_it_reads(run, here, no_work, command):
    words, suffix = WRITING[command], SUFFIX.get(command, "")
    read = [word for word in words if word in ("xor.csv", "m.json", "c.json")]
    before = {name: Path(name).read_bytes() for name in read}
    for number, name in enumerate(read):
        links = [f"symbolic{number}{suffix}", f"hard{number}{suffix}"]
        Path(links[0]).symlink_to(name)
        os.link(name, links[1])
        for path in [name] * (not suffix) + links:
            code, out, err = run(*words, path)
            assert (code, out) == (2, "") and "must be different files" in err and err.count("\n") == 1, err
    assert {name: Path(name).read_bytes() for name in read} == before


def test_outputs_of_a_training_are_different_files_and_not_its_start(run, here, no_work):
    exact = (*TRAIN, "--method", "exact")
    for words in (
        (*exact, "--out", "x", "--certificate", "x"),
        (*exact, "--out", "x", "--checkpoint", "./x"),
        (*exact, "--certificate", "x", "--checkpoint", "y/../x"),
        (*TRAIN, "--start", "m.json", "--out", "m.json"),
    ):
        Path("y").mkdir(exist_ok=True)
        code, out, err = run(*words)
        assert (code, out) == (2, "") and "must be different files" in err
    code, _, err = run(*exact, "--out", "-", "--certificate", "-")
    assert code == 2 and "--out and --certificate cannot both be standard output" in err
    for words in ((*exact, "--checkpoint", "-"), ("plot", "weights", "m.json", "--out", "-")):
        code, _, err = run(*words)
        assert code == 2 and "standard output (-) cannot take it" in err


def test_a_link_is_written_through_and_a_file_is_replaced(run, here):
    Path("latest.json").symlink_to("m.json")
    before = os.stat("m.json").st_ino
    assert run(*TRAIN, "--out", "latest.json")[0] == 0
    assert Path("latest.json").is_symlink() and os.stat("m.json").st_ino != before
    Path("p.csv").write_text("old")
    assert run("predict", "m.json", "xor.csv", "--out", "p.csv")[0] == 0
    assert Path("p.csv").read_text().splitlines() == ["prediction", "even", "odd", "odd", "even"]


def test_dash_is_standard_output(here, capsysbinary):
    def run(*words):
        with pytest.raises(SystemExit) as stop:
            cli.main([str(word) for word in words])
        assert stop.value.code == 0
        return capsysbinary.readouterr()

    done = bdnn_done(*TRAIN, "--out", "-")
    assert done.returncode == 0 and b"training loss     0 (audited)" in done.stderr
    Path("piped.json").write_bytes(done.stdout)
    assert load_model("piped.json").network.n_features == 2
    out, _ = run("predict", "piped.json", "xor.csv", "--out", "-")
    assert out.decode().split() == ["prediction", "even", "odd", "odd", "even"]
    out, err = run("certify", "m.json", "xor.csv", "-q", "--out", "-")
    assert out.startswith(b"row,distance,prediction,a,b\n0,") and b"points" in err
    page = run("report", "m.json", "xor.csv", "--rows", 0, "-q", "--out", "-")[0]
    assert page.startswith(b"<!DOCTYPE html>") and page.rstrip().endswith(b"</html>")
    assert sorted(path.name for path in here.iterdir()) == ["c.json", "m.json", "piped.json", "xor.csv"]


# a full disk


FULL = 64
"""Bytes that a file may have, as on a disk that is full: the error is another, what it does the same."""


@posix
def test_a_full_disk_costs_neither_the_report_nor_the_old_file(here):
    Path("old.json").write_text("old")
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(here)}
    # the report is printed, the message names the paths that were given
    words = (*TRAIN, "--method", "exact", "--certificate", "proof.json", "--out", "old.json")
    done = bdnn_done(*words, longest_file=FULL, env=environment)
    assert done.returncode == 1
    assert b"training loss     0 (audited)" in done.stdout and b"saved to" not in done.stdout
    err = done.stderr.decode()
    assert "cannot write old.json: File too large; the network is lost: " in err
    assert "cannot write proof.json: File too large; the certificate is lost: " in err and ".part" not in err
    done = bdnn_done(*TRAIN, "--out", "old.json", "--json", longest_file=FULL, env=environment)
    assert done.returncode == 1 and json.loads(done.stdout)["model_file"] is None
    Path("xor.csv").write_text(XOR + "1,1,even\n" * 20)
    done = bdnn_done("predict", "m.json", "xor.csv", "--out", "old.json", longest_file=FULL, env=environment)
    assert done.returncode == 1 and b"cannot write old.json: File too large" in done.stderr
    assert Path("old.json").read_text() == "old"
    assert sorted(path.name for path in here.iterdir()) == ["c.json", "m.json", "old.json", "xor.csv"]


def test_a_network_that_cannot_be_saved_where_it_should_be_is_saved_elsewhere(run, here, monkeypatch):
    spare = here / "spare"
    spare.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spare))
    monkeypatch.setattr("bdnn.cli.training._check_size", lambda *given: shutil.rmtree(here / "results"))
    for as_json in ((), ("--json",)):
        (here / "results").mkdir()
        code, out, err = run(*TRAIN, *as_json, "--out", "results/new.json")
        assert code == 1 and "training loss" in out.replace("_", " ")
        assert "cannot write results/new.json: results is not a writable folder; the network is in " in err
        (rescued,) = spare.iterdir()
        assert str(rescued) in err
        assert np.array_equal(bdnn.load(rescued).predict([[0, 0], [0, 1]]), ["even", "odd"])
        rescued.unlink()


def test_a_network_whose_file_could_be_too_large_is_refused_before_the_training(run, here, monkeypatch):
    words = (*TRAIN, "--method", "local_search", "--time-limit", 0.5)
    code, out, err = run(*words, "--hidden", 1_000_000, "--out", "x.json")
    assert (code, out) == (2, "") and "the network could not be saved: with 4000001 weights and biases" in err
    # without a file there is nothing to refuse
    monkeypatch.setattr("bdnn.model_file.contents.MAX_BYTES", 2**20)
    assert run(*words, "--hidden", 8, "--out", "x.json")[0] == 2
    assert run(*words, "--hidden", 8)[0] == 0


@pytest.mark.parametrize("values", [("0.5", "1.5"), ("false", "true")])
def test_the_largest_shape_that_may_be_chosen_counts(run, here, monkeypatch, values):
    rows = [f"{values[k % 2]},{values[k // 2 % 2]},{k % 2}\n" for k in range(8)]
    (here / "table.csv").write_text("a,b,target\n" + "".join(rows))
    monkeypatch.setattr("bdnn.model_file.writing._OTHER_BYTES", 1000)
    monkeypatch.setattr("bdnn.model_file.contents.MAX_BYTES", 20_000)
    words = ("train", "table.csv", "--method", "local_search", "--time-limit", 0.2, "-q", "--out", "x.json")
    code, _, err = run(*words)
    numbers = values[0] == "0.5"  # with 16 thresholds each, 32 neurons, and one output
    assert (code == 2) == numbers == ("with 1089 weights and biases" in err), err
    assert run(*words, "--hidden", "none")[0] == 0


@posix
def test_standard_output_that_takes_nothing_is_an_error_and_the_network_is_saved(here):
    with open("/dev/full", "wb") as full:
        for words, name in (((*TRAIN, "--out", "x.json"), "x.json"), (("predict", "m.json", "xor.csv"), None)):
            process = bdnn_done(*words, stdout=full.fileno())
            assert process.returncode == 1
            assert process.stderr.decode().startswith("bdnn: error: cannot write to standard output: No space left")
            assert process.stderr.count(b"\n") == 1
            assert name is None or load_model(name).network.n_features == 2
        # a network that was to go there is saved elsewhere
        process = bdnn_done(*TRAIN, "--out", "-", stdout=full.fileno())
        assert process.returncode == 1
        place = re.search(r"the network is in (\S+) instead", process.stderr.decode())
        assert place is not None and load_model(place[1]).network.n_features == 2
        Path(place[1]).unlink()
        # a log on a full disk does not end a training
        process = bdnn_done(*TRAIN[:-1], "--out", "y.json", stderr=full.fileno())
        assert process.returncode == 0 and load_model("y.json").network.n_features == 2


# encodings


@pytest.fixture(scope="module")
def cats(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cats")
    (folder / "t.csv").write_text(XOR.replace("even", "é/猫").replace("odd", "non"), encoding="utf-8")
    return folder


COMMANDS = """
import sys
from bdnn.cli import main
for words in (
    "train t.csv --target target --test-fraction 0 --out m.json", "evaluate m.json t.csv", "inspect m.json",
    "predict m.json t.csv", "certify m.json t.csv --out -", "predict m.json t.csv --out p.csv", "evaluate m.json 猫.csv"
):
    print("=", flush=True)
    try:
        main(words.split())
    except SystemExit as stop:
        print(stop.code, file=sys.stderr, flush=True)
"""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_class_names_that_the_terminal_cannot_show(cats, encoding):
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    script = cats / "commands.py"
    script.write_text(COMMANDS, encoding="utf-8")
    if encoding == "ascii":  # a process that begins with it
        done = subprocess.run([sys.executable, str(script)], capture_output=True, cwd=cats, env=environment)
    else:
        done = script_done(script, cwd=cats, env=environment)
    out, err = done.stdout.decode(encoding), done.stderr.decode(encoding)
    assert [line for line in err.splitlines() if line.isdigit()] == ["0"] * 6 + ["2"], err
    shown = "é/猫".encode(encoding, "backslashreplace").decode(encoding)
    train, evaluate, inspect, predict, certify, to_file, missing = out.split("=\n")[1:]
    assert "0 (audited)" in train and to_file == missing == ""
    assert shown in evaluate and shown in inspect and shown in certify
    assert predict.split() == ["prediction", shown, "non", "non", shown]
    assert (cats / "p.csv").read_text(encoding="utf-8").split() == ["prediction", "é/猫", "non", "non", "é/猫"]
    assert "猫.csv".encode(encoding, "backslashreplace").decode(encoding) in err


@posix
def test_live_progress_on_a_terminal_of_few_characters(cats):
    import pty

    ours, theirs = pty.openpty()
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "TERM": "xterm"}
    words = ["train", "t.csv", "--target", "target", "--test-fraction", "0"]
    process = bdnn_begun(*words, stderr=theirs, cwd=cats, env=environment)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # the other end is closed
        pass
    out, _ = process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == 0 and b"0 (audited)" in out
    assert b"incumbent 0" in shown and shown.isascii() and b"\\u" not in shown


# signals


def noise(path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(1000, 5)).round(3), rng.integers(0, 2, 1000)
    lines = [",".join(map(str, (*x, label))) for x, label in zip(X, y, strict=True)]
    path.write_text("\n".join(["a,b,c,d,e,target", *lines]) + "\n")


def begun(*words, cwd):
    """A process that has printed a first line of progress; a second one waits to be read."""
    process = bdnn_begun(*words, cwd=cwd, text=True)
    assert process.stderr.readline()
    return process


@posix
@pytest.mark.parametrize(
    ("name", "method"),
    [("SIGTERM", "exact"), ("SIGTERM", "local_search"), ("SIGTERM", "big_m"), ("SIGHUP", "exact"), ("SIGINT", "exact")],
)
def test_a_signal_ends_a_training_with_its_best_network(tmp_path, name, method):
    noise(tmp_path / "t.csv")
    words = ["train", "t.csv", "--target", "target", "--time-limit", 300, "--out", "m.json", "--json"]
    words += ["--method", "exact", "--formulation", "big_m"] if method == "big_m" else ["--method", method]
    process = begun(*words, cwd=tmp_path)
    number = getattr(signal, name)
    process.send_signal(number)
    process.send_signal(number)  # as `timeout` does
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    report, result = json.loads(out), load_model(tmp_path / "m.json").result
    asked = "Ctrl-C" if name == "SIGINT" else name
    assert report["status"] == "feasible" and report["message"] == f"stopped by {asked}"
    assert result.interrupted and result.objective == report["training_loss"]


@posix
def test_a_signal_before_there_is_a_network_says_so(tmp_path):
    # the table is a pipe that nobody fills: the command waits in the midst of reading
    os.mkfifo(tmp_path / "t.csv")
    process = bdnn_begun("train", "t.csv", "--target", "y", "--out", "m.json", text=True, cwd=tmp_path)
    with open(tmp_path / "t.csv", "w"):  # until it reads
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    # click moves to a new line, below the ^C
    assert (process.returncode, err.lstrip()) == (1, "bdnn: error: stopped by SIGTERM before there was a result\n")
    assert not (tmp_path / "m.json").exists()


@posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_while_duckdb_reads_a_table_says_so(run, here, monkeypatch, name):
    """DuckDB asks for signals in its query, and makes another error of what their handlers raise."""
    sent = []

    class Interrupted:
        def __init__(self, database):
            self.database = database

        def execute(self, *given):
            if sent:  # a second signal, some time later, ends the process
                return self.database.execute(*given)
            sent.append(name)
            # no bytecode runs after it, so that it is DuckDB that hears of the signal
            send = partial(ctypes.CDLL(None)["raise"], int(getattr(signal, name)))
            send.__signature__ = inspect.Signature()
            self.database.create_function("send", send, [], "INTEGER", side_effects=True)
            return self.database.execute("SELECT send()")

    real = scan.connection
    monkeypatch.setattr(scan, "connection", lambda threads=1: Interrupted(real(threads)))
    code, out, err = run(*TRAIN, "--out", "x.json")
    asked = "Ctrl-C" if name == "SIGINT" else name
    assert (code, out, err.lstrip()) == (1, "", f"bdnn: error: stopped by {asked} before there was a result\n")


@posix
def test_a_signal_while_the_network_is_saved_is_not_in_the_way(run, here, monkeypatch):
    real, sent = os.fsync, []

    def fsync(descriptor):
        sent.append(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        real(descriptor)

    monkeypatch.setattr(files.os, "fsync", fsync)
    before = signal.getsignal(signal.SIGTERM)
    code, out, err = run(*TRAIN, "--out", "x.json")
    assert sent and (code, err) == (0, "") and "saved to          x.json" in out
    assert load_model("x.json").network.n_features == 2
    assert signal.getsignal(signal.SIGTERM) == before


@posix
@pytest.mark.parametrize("place", ["before", "within"])
def test_a_signal_that_foreign_code_swallows_is_not_lost(tmp_path, monkeypatch, run, place):
    noise(tmp_path / "t.csv")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stopping, "_PATIENCE", 0.0)
    swallowed = []

    def swallow(real):
        def work(*given, **settings):
            if not swallowed:
                try:
                    signal.raise_signal(signal.SIGTERM)
                except KeyboardInterrupt:
                    swallowed.append(True)
            return real(*given, **settings)

        return work

    # as calls back from C do, while the table is read or a network is submitted
    where, name = (training, "read_training_table") if place == "before" else (Run, "raise_bound")
    monkeypatch.setattr(where, name, swallow(getattr(where, name)))
    code, out, err = run("train", "t.csv", "--target", "target", "--method", "exact", "--hidden", "none",
                         "--time-limit", 300, "--out", "m.json", "-q")  # fmt: skip
    assert swallowed
    if place == "before":
        assert code == 1 and "stopped by SIGTERM before there was a result" in err
    else:
        assert code == 0 and "stopped by SIGTERM" in out and load_model("m.json").result.interrupted


@posix
def test_a_second_signal_ends_the_program_at_once(tmp_path):
    # the test owns the clock: what comes within a second of the first one is the same request
    code = """
import os, signal, sys
from bdnn import clock
from bdnn.cli.stopping import finishing, heeded
now = [100.0]
with clock.replaced(lambda: now[0]), heeded(), finishing():
    for later in (0.0, 0.5, 0.4):
        now[0] += later
        signal.raise_signal(signal.SIGTERM)
    print("still here", flush=True)
    now[0] += 0.2
    signal.raise_signal(signal.SIGTERM)
    print("and still", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "still here\n")


@posix
def test_certification_keeps_what_it_knows(tmp_path, trained):
    table = tmp_path / "many.csv"
    rng = np.random.default_rng(0)
    table.write_text("a,b,target\n" + "".join(f"{a},{b},odd\n" for a, b in rng.normal(size=(20_000, 2)).tolist()))
    process = begun("certify", trained / "m.json", table, "--out", "attacks.csv", cwd=tmp_path)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and "Traceback" not in err
    assert "undecided" in out and (tmp_path / "attacks.csv").read_text().startswith("row,distance,prediction,a,b\n")


@posix
def test_signals_that_are_ignored_stay_so():
    code = """
import signal
from bdnn.cli.stopping import heeded
signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
with heeded():
    signal.raise_signal(signal.SIGHUP)
    print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "True\n"


def test_what_fails_twice_for_one_reason_is_said_once():
    def full():
        raise OutputError("cannot write to standard output: No space left on device")

    ending = Ending()
    assert [ending.attempt(full), ending.attempt(full)] == [False, False]
    with pytest.raises(OutputError, match=r"^cannot write to standard output: No space left on device$"):
        ending.close()
