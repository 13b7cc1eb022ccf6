"""Model files of others: whatever is in them, loading gives a sound model or ModelFileError, within bounds."""

import copy
import json
import subprocess
import sys

import numpy as np
import pytest

import bdnn
from bdnn import model_file as model_io
from bdnn.errors import ModelFileError
from bdnn.model_file import load_model, save_model
from sample_models import continuous_model, integer_model

pytestmark = pytest.mark.filterwarnings("error")

HONEST = [integer_model(), continuous_model()]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "hostile.json"

    def write(content):
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        return path

    return write


def sound_or_refused(path):
    """Load; the only accepted outcomes are ModelFileError (False) and a model that works and can be saved (True)."""
    try:
        model = load_model(path)
    except ModelFileError as error:
        assert len(str(error)) < 500 + len(str(path))
        return False
    if model in HONEST:
        return True
    net = model.network
    X = np.zeros((2, net.n_features))
    assert set(net.predict(X).tolist()) <= set(net.classes.tolist())
    assert np.all(np.isfinite(net.decision_function(X))) or not net.is_integer
    if model.result is not None:
        assert isinstance(model.result.gap, float)
        model.result.to_dict()
    again = path.with_name("again.json")
    save_model(again, model)
    assert load_model(again) == model
    try:
        assert bdnn.load(path).network_ == net
    except ModelFileError:
        pass
    return True


def refused(path, reason=""):
    with pytest.raises(ModelFileError, match=reason):
        load_model(path)


def text_of(model, tmp_path):
    save_model(tmp_path / "honest.json", model)
    return (tmp_path / "honest.json").read_text()


def places(node, path=()):
    """Every place in a JSON tree."""
    yield path
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in entries:
        yield from places(value, (*path, key))


def replaced(tree, path, value):
    if not path:
        return value
    tree = copy.deepcopy(tree)
    node = tree
    for key in path[:-1]:
        node = node[key]
    if value is DELETED:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return tree


DELETED = object()
# a number that JSON spells and floats do not hold; json.dumps would write Infinity
INFINITE = "\x00infinite\x00"
ODD = [
    DELETED, None, True, False, 0, 1, -1, 2, 17, 2**31, 2**53, 2**53 + 1, -(2**63), 2**63, 2**64, 10**4000,
    0.0, -0.0, 0.5, -1.5, 1.0, 1e308, -1e308, 5e-324, INFINITE, "", "a", "1", "integer", "bool", "float", "int", "str",
    "nan", "\ud800", "a\x00", "x" * 1000, [], [[]], [[], []], [0], [0, 1], [0.5, "a"], [None], [True, False], [[1, 2]],
    [[1.5], [2.5]], [[[1]]], [{}], {}, {"a": 1}, {"weights": [[1]], "bias": [0]}, {"kind": "int", "values": [1, 2]},
]  # fmt: skip

SHARE = 3
"""Each place gets every third of them, in turn: with all of them it would take half a minute."""


@pytest.mark.parametrize("model", [integer_model(), continuous_model()], ids=["integer", "continuous"])
def test_every_place_of_a_file_with_odd_values(model, tmp_path, file):
    tree = json.loads(text_of(model, tmp_path))
    accepted = tried = 0
    for number, path in enumerate(places(tree)):
        for value in ODD[number % SHARE :: SHARE]:
            if value is DELETED and not path:
                continue
            text = json.dumps(replaced(tree, path, value)).replace(json.dumps(INFINITE), "1e400")
            tried += 1
            try:
                accepted += sound_or_refused(file(text))
            except Exception as error:
                place = "/".join(map(str, path))
                raise AssertionError(f"{place} = {value!r:.80}: {type(error).__name__}: {error!s:.200}") from error
    assert 0 < accepted < tried


def test_huge_numbers_everywhere(tmp_path, file):
    text = text_of(integer_model(), tmp_path)
    for path in places(json.loads(text)):
        tree = replaced(json.loads(text), path, INFINITE)
        for number in ("1" + "0" * 5000, "-1" + "0" * 5000, "1e99999", "-1e99999"):
            spelled = json.dumps(tree).replace(json.dumps(INFINITE), number)
            assert not sound_or_refused(file(spelled)) or path[:1] == ("bdnn",) or path[-1] in ("gap", "mismatch")


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity"])
def test_tokens_that_are_no_numbers(token, tmp_path, file):
    text = text_of(integer_model(), tmp_path)
    for old in ("-300", "0.25", '"a"'):
        assert old in text
        refused(file(text.replace(old, token, 1)), f"it holds {token}, which is not a number")


def test_truncated_at_every_offset(tmp_path, file):
    raw = text_of(integer_model(), tmp_path).rstrip().encode()
    for end in [*range(0, len(raw) - 1, 7), len(raw) - 1]:
        refused(file(raw[:end]), "not valid JSON")


def test_one_changed_byte(tmp_path, file):
    raw, rng = bytearray(text_of(integer_model(), tmp_path).encode()), np.random.default_rng(0)
    outcomes = set()
    for _ in range(400):
        damaged = raw.copy()
        damaged[rng.integers(len(raw))] = rng.integers(256)
        outcomes.add(sound_or_refused(file(bytes(damaged))))
    assert outcomes == {True, False}


@pytest.mark.parametrize("version", [0, 3, -1, 1.0, "1", True, None, [1], {"1": 1}, 10**100])
def test_unknown_versions(version, tmp_path, file):
    tree = json.loads(text_of(continuous_model(), tmp_path))
    refused(file(json.dumps(tree | {"version": version})), "its version is .*; this bdnn reads versions 1 to 2")


@pytest.mark.parametrize("content", [{}, {"format": "pickle", "version": 1}, [], "text", 3, None, True])
def test_other_json(content, file):
    refused(file(json.dumps(content)), "does not say that its format is 'bdnn-model'")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        b"\xff\xfe{\x00}\x00",
        b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins\x94.",
        b'{"format": "bdnn-model", "version": 1, "network": "\xff"}',
        b"\xef\xbb\xbf{}",
        bytes(range(256)) * 50,
        np.random.default_rng(0).bytes(100_000),
        b"{'format': 'bdnn-model'}",
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    ],
)
def test_junk(content, file):
    refused(file(content), "not a usable model file: it is not valid JSON")


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
def test_deep_nesting(opening, tmp_path, file):
    head = '{"format": "bdnn-model", "version": 1, "network": '
    refused(file(opening * 100_000), "nested too deeply|not valid JSON")
    refused(file(head + opening * 100_000), "nested too deeply|not valid JSON")
    refused(file(opening * 600_000), "more than 500000 lists and objects")


@pytest.mark.parametrize("key", ["version", "network", "settings", "result", "table", "other"])
def test_nesting_up_to_the_depth_that_python_can_take(key, tmp_path, file):
    tree = json.loads(text_of(integer_model(), tmp_path))
    limit = sys.getrecursionlimit()
    for depth in (*range(10, limit - 150, 120), *range(limit - 60, limit + 5)):
        for left, right in (("[", "]"), ('{"a":', "}")):
            nested = left * depth + "1" + right * depth
            sound_or_refused(file(json.dumps(tree | {key: INFINITE}).replace(json.dumps(INFINITE), nested)))


def test_duplicate_keys_count_once_and_the_last_one_wins(tmp_path, file):
    text = text_of(continuous_model(), tmp_path).strip()
    assert load_model(file(text[:-1] + ', "network": ' + json.dumps(json.loads(text)["network"]) + "}")).network
    refused(file(text[:-1] + ', "network": 3}'), "'network' must be of type dict")
    refused(file(text[:-1] + ', "version": 3}'), "its version is 3")


def test_labels_cannot_be_used_to_claim_memory(tmp_path, file):
    # NumPy stores each of n strings in the room of the longest
    tree = json.loads(text_of(continuous_model(), tmp_path))
    labels = [str(k) for k in range(20_000)] + ["x" * 1_000_000]
    tree["network"]["classes"] = {"kind": "str", "values": labels}
    tree["network"]["layers"] = [{"weights": [[0.0]] * len(labels), "bias": [0.0] * len(labels)}]
    refused(file(json.dumps(tree)), "the class labels are too long")


def test_long_keys_do_not_flood_the_message(tmp_path, file):
    tree = json.loads(text_of(integer_model(), tmp_path))
    for part in ("settings", "result"):
        changed = copy.deepcopy(tree)
        place = changed["settings"] if part == "settings" else changed["result"]["timings"]
        place["x" * 1_000_000] = {}
        assert not sound_or_refused(file(json.dumps(changed)))


def test_sizes_that_do_not_fit(tmp_path, file):
    tree = json.loads(text_of(continuous_model(), tmp_path))
    layer = tree["network"]["layers"][0]
    for change, reason in (
        ({"weights": [[1.0, 2.0], [1.0], [1.0]]}, "the rows of the weights of layer 1 differ in length"),
        ({"weights": [[1.0, 2.0]] * 2}, "layer 1 needs weights of shape"),
        ({"bias": [1.0] * 100_000}, "layer 1 needs weights of shape"),
        ({"weights": [], "bias": []}, "layer 1 needs weights of shape"),
        ({"weights": [[]] * 100_000}, "layer 1 needs weights of shape"),
        ({"weights": [[1.0] * 100_000] * 2}, "layer 1 needs weights of shape"),
    ):
        network = tree["network"] | {"layers": [layer | change]}
        refused(file(json.dumps(tree | {"network": network})), reason)
    refused(file(json.dumps(tree | {"network": [0] * 100_000})), "'network' must be of type dict, got a list$")
    network = tree["network"] | {"layers": [layer] * 10_000}
    refused(file(json.dumps(tree | {"network": network})), "layer 2 takes 2 inputs but layer 1 has 3 neurons")


def test_the_largest_size_is_read_and_one_byte_more_is_not(tmp_path, file, monkeypatch):
    text = text_of(continuous_model(), tmp_path)
    monkeypatch.setattr(model_io.contents, "MAX_BYTES", len(text))
    assert sound_or_refused(file(text))
    refused(file(text + " "), "it is larger than")


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
from bdnn.errors import ModelFileError
from bdnn.model_file import load_model

def peak():  # of this program alone; ru_maxrss starts from that of the parent
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

before = peak()
try:
    load_model(sys.argv[1])
except ModelFileError:
    print((peak() - before) // 1024)
"""


def filled(head, unit, size):
    return head + unit * ((size - len(head)) // len(unit))


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize(
    ("content", "most_mebibytes"),
    [
        (lambda: np.random.default_rng(0).bytes(2**20) * 100, 95),
        (lambda: b"[" * (100 * 2**20), 95),
        (lambda: b"1" * (60 * 2**20), 300),
        (lambda: filled(b"[1", b",1", 40 * 2**20) + b"]", 500),
        (lambda: filled(b'{"format":"', b"x", 60 * 2**20), 300),
        (lambda: filled(b"[1.5", b",1.5", 24 * 2**20) + b"]", 500),
    ],
    ids=["100 MiB of noise", "100 MiB of brackets", "one long number", "ones", "one long string", "floats"],
)
def test_time_and_memory_are_bounded(content, most_mebibytes, tmp_path):
    path = tmp_path / "junk.json"
    path.write_bytes(content())
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < most_mebibytes
    path.unlink()
