"""Model files of honest users: everything comes back exactly, and a failing save leaves the old file."""

import dataclasses
import itertools
import json
import math
import os
import stat
import sys

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import plain
from bdnn import Network, Status, files
from bdnn import model_file as model_io
from bdnn.errors import InputError, ModelFileError
from bdnn.model_file import Model, TableInfo, check_size, load_model, save_model
from bdnn.network.grid import InputGrid
from bdnn.network.network import Layer
from bdnn.problem.audit import Audit
from bdnn.result import BoundStep, Incumbent
from sample_models import integer_model, network, result

pytestmark = pytest.mark.filterwarnings("error")


def bits(array):
    return array.astype(np.float64).view(np.int64).tolist()


def through_a_file(tmp_path, model):
    save_model(tmp_path / "model.json", model)
    return load_model(tmp_path / "model.json")


floats = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=True)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(floats, min_size=11, max_size=11), floats, st.text(max_size=5))
def test_finite_floats_come_back_bit_for_bit(tmp_path_factory, numbers, label, name):
    a = np.array(numbers)
    steps = np.abs(a[9:11]) + 5e-324
    if not np.all(np.isfinite(steps)):
        steps = np.ones(2)
    grid = InputGrid(a[7:9], steps, 5)
    classes = [label, math.nextafter(label, -math.inf if label > 0 else math.inf)]
    net = Network([(a[:4].reshape(2, 2), a[4:6]), ([[a[6], -0.0]], [5e-324])], "threshold", classes, grid, [name, "x1"])
    loaded = through_a_file(tmp_path_factory.getbasetemp(), Model(net)).network
    assert loaded == net
    for (W, b), (V, c) in zip(net.layers, loaded.layers, strict=True):
        assert (bits(W), bits(b)) == (bits(V), bits(c))
    assert bits(loaded.grid.offset) == bits(net.grid.offset)
    assert bits(loaded.grid.step) == bits(net.grid.step)
    assert bits(loaded.classes) == bits(net.classes)


@pytest.mark.parametrize(
    "classes",
    [
        [False, True],
        [0, 1],
        [-(2**63), 2**63 - 1],
        np.array([1, 2**64 - 1], dtype=np.uint64),
        np.array([3, 7], dtype=np.int8),
        [0.1, 1e300],
        np.array([0.5, 0.1], dtype=np.float32),
        ["no", "yes"],
        ["", " "],
        ["π ≥ 3", '"\\\n\u2028'],
        ["\U0001f600", "\x00a"],
        np.array(["long", "er"], dtype=object),
    ],
    ids=repr,
)
def test_labels_of_every_kind_come_back(classes, tmp_path):
    net = network(classes=classes)
    loaded = through_a_file(tmp_path, Model(net)).network
    assert loaded == net
    assert loaded.classes.tolist() == net.classes.tolist()
    assert [type(c) for c in loaded.classes.tolist()] == [type(c) for c in net.classes.tolist()]
    X = [[0.0, 1.0], [1.0, 0.0]]
    assert loaded.predict(X).tolist() == net.predict(X).tolist()


@pytest.mark.parametrize(
    "classes",
    [
        np.array([1j, 2]),
        np.array(["2020", "2021"], dtype="datetime64[Y]"),
        [b"a", b"b"],
        np.array([1, 2.5], dtype=object),
    ],
    ids=repr,
)
def test_labels_of_other_kinds_are_refused_and_nothing_is_written(classes, tmp_path):
    with pytest.raises(InputError, match=r"labels of type .* cannot be saved; use integers, floats, booleans or str"):
        save_model(tmp_path / "model.json", Model(network(classes=classes)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("head", ["threshold", "argmax"])
@pytest.mark.parametrize("with_grid", [False, True])
@pytest.mark.parametrize("integer", [False, True])
def test_networks_of_every_kind_come_back(integer, with_grid, head, tmp_path):
    rng = np.random.default_rng(0)
    grid = InputGrid(rng.normal(size=3), np.exp(rng.normal(size=3)), 16) if with_grid else None
    net = plain.random_network(rng, 3, (4, 2), ("a", "b", "c"), head, integer, grid)
    if integer:
        W, b = net.layers[0]
        net = dataclasses.replace(net, layers=((W, b + 2**53 - 3), *net.layers[1:]))
    loaded = through_a_file(tmp_path, Model(net)).network
    assert loaded == net
    assert loaded.is_integer == integer
    assert loaded.size_bytes == net.size_bytes
    X = rng.normal(size=(50, 3))
    assert loaded.predict(X).tolist() == net.predict(X).tolist()


def test_a_network_without_inputs_comes_back(tmp_path):
    net = Network([(np.zeros((2, 0)), [1.0, -1.0])], head="argmax", classes=[0, 1])
    loaded = through_a_file(tmp_path, Model(net)).network
    assert loaded == net
    assert loaded.n_features == 0


def test_settings_result_and_table_come_back(tmp_path):
    net = network(feature_names=["größe", "b"])
    options = {"hidden_layer_sizes": [2], "weights": "continuous", "margin": None, "verbose": 0, "warm_start": False}
    table = TableInfo("target", "median", (0.1, -0.0), ("id", "größe"), 0.1 + 0.2, 2**31 - 2)
    model = Model(net, options, result(net), table)
    loaded = through_a_file(tmp_path, model)
    assert loaded == model
    assert loaded.result.network is loaded.network
    assert type(loaded.result.status) is Status
    assert isinstance(loaded.result.history[0], Incumbent)
    assert isinstance(loaded.result.bounds[0], BoundStep)
    assert loaded.result.to_dict() == model.result.to_dict()
    assert math.copysign(1.0, loaded.table.fill[1]) == -1.0


@pytest.mark.parametrize(
    "model",
    [
        Model(network()),
        Model(network(), {}),
        Model(network(), None, result(network(), audit=Audit(0.0, 0, 0), history=(), timings={}, objective=0)),
        Model(network(), None, None, TableInfo("t", "error", None)),
    ],
)
def test_missing_parts_stay_missing(model, tmp_path):
    assert through_a_file(tmp_path, model) == model


def test_files_are_plain_json_of_a_known_version(tmp_path):
    path = tmp_path / "model.json"
    save_model(path, Model(network()))
    data = json.loads(path.read_text("ascii"))
    assert (data["format"], data["version"]) == ("bdnn-model", 1)
    assert data["network"]["layers"] == [{"weights": [[1.0, -0.5]], "bias": [0.25]}]
    assert data["network"]["classes"] == {"kind": "str", "values": ["no", "yes"]}


def test_unknown_keys_are_ignored(tmp_path):
    path = tmp_path / "model.json"
    save_model(path, Model(network()))
    data = json.loads(path.read_text())
    data["future"] = {"x": [1, 2]}
    data["network"]["comment"] = "made by hand"
    path.write_text(json.dumps(data))
    assert load_model(path) == Model(network())


def test_files_from_before_the_course_of_bounds_and_the_split_were_stored_load(tmp_path):
    path, model = tmp_path / "model.json", integer_model()
    save_model(path, model)
    data = json.loads(path.read_text())
    del data["result"]["bounds"], data["table"]["drop"], data["table"]["test_fraction"], data["table"]["seed"]
    path.write_text(json.dumps(data))
    loaded = load_model(path)
    assert loaded.result == dataclasses.replace(model.result, bounds=())
    assert loaded.table == TableInfo("target", "median", (1.0, 2.0), (), None, None)


def test_no_pickle_is_used():
    with open(model_io.reading.__file__, encoding="utf-8") as file:
        source = file.read()
    assert "import pickle" not in source
    assert "allow_pickle" not in source
    assert "eval(" not in source


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX")
def test_permissions_follow_the_umask(tmp_path):
    for mask in (0o022, 0o077):
        path = tmp_path / f"{mask}.json"
        before = os.umask(mask)
        try:
            save_model(path, Model(network()))
        finally:
            os.umask(before)
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


@pytest.fixture
def old(tmp_path):
    """A model file that must survive."""
    path = tmp_path / "model.json"
    save_model(path, Model(network()))
    return path


def survives(path):
    assert load_model(path) == Model(network())
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


NEW = network(layers=[([[9.0, 9.0]], [9.0])])


@pytest.mark.parametrize("step", ["replace", "chmod", "fsync"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=["OSError", "Ctrl-C"])
def test_a_save_that_fails_leaves_the_old_file(old, monkeypatch, step, error):
    def fail(*args, **kwargs):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(files.os, step, fail)
        with pytest.raises(type(error)) as caught:
            save_model(old, Model(NEW))
    if isinstance(error, OSError):
        assert str(caught.value) == f"cannot write {old}: disk full"
    survives(old)


@pytest.mark.parametrize(
    "model",
    [
        Model(NEW, {"odd": object()}),
        Model(NEW, {"odd": math.nan}),
        Model(NEW, None, result(NEW, bound=-math.inf)),
        Model(NEW, None, None, TableInfo("t", "median", (math.nan, 0.0))),
    ],
)
def test_what_cannot_be_stored_is_refused_before_the_old_file_is_touched(old, model):
    with pytest.raises(InputError, match="the model cannot be saved"):
        save_model(old, model)
    survives(old)


def test_a_model_that_could_not_be_read_again_is_refused(old, monkeypatch):
    monkeypatch.setattr(model_io.contents, "MAX_BYTES", 100)
    with pytest.raises(InputError, match="its file would be larger than"):
        save_model(old, Model(NEW))
    monkeypatch.undo()
    survives(old)


def test_places_that_cannot_be_written_or_read_are_os_errors(tmp_path):
    with pytest.raises(OSError):
        save_model(tmp_path / "missing" / "model.json", Model(network()))
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        save_model(tmp_path / "folder", Model(network()))
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]
    for path in ("folder", "absent.json"):
        with pytest.raises(OSError):
            load_model(tmp_path / path)


def test_long_names_and_text_paths_work(tmp_path):
    path = tmp_path / ("m" * 250 + ".json")
    save_model(str(path), Model(network()))
    assert load_model(str(path)) == Model(network())


def test_errors_name_the_file(tmp_path):
    path = tmp_path / "broken.json"
    path.write_text("{}")
    with pytest.raises(ModelFileError, match=r"broken\.json: not a usable model file: it does not say"):
        load_model(path)
    with pytest.raises(ValueError):
        load_model(path)


def test_loading_does_not_change_the_recursion_limit(old):
    before = sys.getrecursionlimit()
    load_model(old)
    assert sys.getrecursionlimit() == before


@pytest.mark.parametrize("bound", [None, 1, 7])
def test_whatever_passes_the_check_before_training_can_be_saved_and_read_again(tmp_path, monkeypatch, bound):
    path, names = tmp_path / "model.json", [f"feature é{j}" for j in range(40)]
    longest = -2.2250738585072014e-308  # 24 characters, which is the most that a double has

    def trained(size):
        weight = longest if bound is None else -bound
        bias = longest if bound is None else -(2**53)
        widths = (40, size, 3)
        layers = [Layer(np.full((n, m), weight), np.full(n, bias)) for m, n in itertools.pairwise(widths)]
        net = Network(tuple(layers), head="argmax", classes=[0, 1, 2], feature_names=names)
        return Model(net, None, None, TableInfo("target", "median", (longest,) * 40))

    monkeypatch.setattr(model_io.writing, "_OTHER_BYTES", 1000)
    monkeypatch.setattr(model_io.contents, "MAX_BYTES", 100_000)
    passing = []
    for size in range(10, 1000, 10):
        try:
            check_size((40, size, 3), names, bound)
        except InputError as error:
            assert "the network could not be saved: with " in str(error)
            break
        passing.append(size)
    # the check is no guess: a tenth more does not fit
    save_model(path, trained(passing[-1]))
    assert load_model(path) == trained(passing[-1])
    with pytest.raises(InputError, match="its file would be larger"):
        save_model(path, trained(int(1.1 * passing[-1]) + 10))


def test_a_model_of_too_many_lists_is_refused_when_it_is_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(model_io.contents, "MAX_BRACKETS", 5)
    with pytest.raises(InputError, match="more than 5 lists and objects"):
        save_model(tmp_path / "model.json", Model(network()))
    with pytest.raises(InputError, match="the network could not be saved"):
        check_size((1, 600_000, 1), ["x"])
