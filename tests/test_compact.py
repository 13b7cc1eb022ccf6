"""The best network within a number of bytes: always within, equal for equal seeds, right on raw tables."""

import json
import warnings
from itertools import pairwise

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.metrics import log_loss
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads
from threadpoolctl import threadpool_limits

import bdnn
from bdnn import Budget, CompactBDNNClassifier, Network
from bdnn.compact import choice, plans
from bdnn.compact.inputs import BitInputs, GridInputs, Source
from bdnn.compact.plans import Plan, boosted, hidden, plain, ruled, smooth, summed
from bdnn.compact.proposals import Rows
from bdnn.compact.training import Trainer, complete, constant
from bdnn.compact.training import summed as sum_of
from bdnn.encoding.encoder import Encoder
from bdnn.errors import InputError, ModelFileError
from bdnn.estimators.compact import _Encoding
from bdnn.estimators.frames import raw_table
from bdnn.libraries import limited_threads
from bdnn.network.network import Layer
from bdnn.network.packing import packed, packed_size
from bdnn.network.schema import Schema


def table(seed, m=80, classes=2):
    """Rows of all kinds of columns, some values missing, and labels."""
    rng = np.random.default_rng(seed)
    color = rng.choice(["red", "green", "blue", "gray"], m)
    size, age = rng.normal(size=m).round(2), rng.integers(18, 70, m)
    labels = (size + (color == "red") + 0.03 * age > 1.5).astype(int) + (classes > 2) * (age > 50)
    rows = [
        [c, None if rng.random() < 0.1 else float(s), int(a), bool(rng.integers(2))]
        for c, s, a in zip(color, size, age, strict=True)
    ]
    return rows, np.array(["no", "yes", "maybe"])[labels]


def trainer(seed=0, classes=2):
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(size=(120, 2)), rng.integers(0, 9, 120), rng.integers(0, 2, 120)])
    y = (X[:, 0] + 0.2 * X[:, 2] > 1).astype(int) + (classes > 2) * (X[:, 1] > 0.8)
    encoder = Encoder.identity(["a", "b", "c", "d"], 4, [0.0] * 4)
    rows = Rows(X, y.astype(np.intp), np.ones(len(y)))
    budget = Budget(seconds=60).start()
    schema = Schema.of(_Encoding(encoder, np.arange(classes)), X)
    return Trainer(rows, Source.of(encoder, X), np.arange(classes), seed, 1500, budget, schema), rows


@pytest.mark.parametrize("classes", [2, 3])
def test_networks_behind_their_own_encoder_decide_alike(classes):
    made, rows = trainer(1, classes)
    found = [*plain(4)[::4], Plan("grid", 4, 4), hidden(Plan("stumps", 12))[0], ruled()[0], *smooth([Plan("tree", 6)])]
    found += summed(Plan("grid", 4, 4), many_rows=True) + boosted((40, 1000), classes)
    for plan in found:
        with limited_threads(1):  # those of OpenMP would wait for each other on a busy machine
            trained = made.network(plan, Budget(seconds=60).start())
        placed = trained.placed()
        columns = raw_table([list(row) for row in rows.X])
        answers = placed.network.predict_index(placed.encoder.renamed(columns.names, False).transform(columns))
        np.testing.assert_array_equal(answers, trained.answers(rows.X))
        if plan.trees is None:
            largest = max(np.abs(layer.weights).max() for layer in placed.network.layers[-1:])
            assert largest <= plan.bound * plan.members
        else:
            assert packed_size(placed.network, made._schema, placed.encoder) <= plan.size


@pytest.mark.parametrize("seed", range(4))
def test_the_budget_holds_whatever_the_table_is(seed):
    rows, labels = table(seed, m=40 + 30 * seed, classes=2 + seed % 2)
    budgets = (1, 3, 9, 40)
    clf = CompactBDNNClassifier(budgets, time_limit=0.4, random_state=seed)
    with pytest.warns(Warning):
        clf.fit(rows, labels)
    for most, chosen in zip(budgets, clf.front_, strict=True):
        model = clf.models_[most]
        assert chosen.size_bytes <= most
        assert len(packed(chosen.placed.network, clf.schema_, chosen.placed.encoder)) == chosen.size_bytes
        assert model.result_.audit.n_wrong == np.sum(model.predict(rows) != labels)
    assert clf.front_[0].size_bytes == 1  # nothing but a class
    assert all(a.accuracy <= b.accuracy for a, b in pairwise(clf.front_))
    np.testing.assert_array_equal(clf.predict(rows), clf.models_[40].predict(rows))


def test_equal_seeds_give_equal_networks_with_any_number_of_jobs():
    X, y = load_iris(return_X_y=True)
    found = [CompactBDNNClassifier(12, time_limit=None, random_state=3, n_jobs=jobs).fit(X, y) for jobs in (1, 2)]
    assert found[0].network_ == found[1].network_ or all(
        np.array_equal(a, b)
        for one, other in zip(found[0].network_.layers, found[1].network_.layers, strict=True)
        for a, b in zip(one, other, strict=True)
    )
    assert [t.text for t in found[0].tried_] == [t.text for t in found[1].tried_]
    assert found[0].score(X, y) > 0.9 and found[0].size_bytes_ <= 12
    assert "within 12 bytes" in found[0].front_[0].reason


def test_weights_of_rows_and_classes_count():
    X, y = load_breast_cancer(return_X_y=True)
    X, y = X[:300], y[:300]
    weight = np.where(y == 1, 0.0, 1.0)
    weight[:5] = 1.0
    rare = CompactBDNNClassifier(30, time_limit=0.8, random_state=0, class_weight={1: 50})
    with pytest.warns(Warning):
        rare.fit(X, y)
    plain_errors = np.mean(rare.predict(X)[y == 1] != 1)
    assert plain_errors <= np.mean(rare.predict(X)[y == 0] != 0)
    np.testing.assert_array_equal(rare.class_weight_, [1, 50])


def test_files_load_as_ordinary_classifiers(tmp_path):
    rows, labels = table(0)
    clf = CompactBDNNClassifier((8, 40), time_limit=0.4, random_state=0)
    with pytest.warns(Warning):
        clf.fit(rows, labels)
    clf.save(tmp_path / "small.json")
    again = bdnn.load(tmp_path / "small.json")
    np.testing.assert_array_equal(again.predict(rows), clf.predict(rows))
    assert again.result_.method == "compact"
    assert len(again.to_bytes()) == len(clf.to_bytes()) == clf.size_bytes_ <= 40
    for changed in ({"schema": 3}, {"schema": {"columns": []}}):
        broken = json.loads((tmp_path / "small.json").read_text()) | changed
        (tmp_path / "broken.json").write_text(json.dumps(broken))
        with pytest.raises(ModelFileError):
            bdnn.load(tmp_path / "broken.json")
    again.set_params(time_limit=0.2).fit(rows, labels)
    assert bdnn.from_bytes(again.to_bytes(), again.schema()).predict(rows).tolist() == again.predict(rows).tolist()


def test_a_network_that_is_good_stays_for_larger_budgets():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 9, (400, 30))
    y = (X[:, 3] >= 5).astype(int)
    clf = CompactBDNNClassifier((6, 2000), time_limit=2, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clf.fit(X, y)
    right = [clf.models_[most].score(X, y) for most in (6, 2000)]
    assert right[0] == 1.0 == right[1]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_job_is_one_thread(jobs, monkeypatch):
    counts = set()
    original = Trainer.network

    def counted(self, *given):
        counts.add(_openmp_effective_n_threads())
        return original(self, *given)

    def impatient(line):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "network", counted)
    with threadpool_limits(2):
        clf = CompactBDNNClassifier(9, random_state=0, n_jobs=jobs)
        clf.fit(*load_iris(return_X_y=True), on_progress=impatient)
    assert counts == {1}


@pytest.fixture
def few_plans(monkeypatch):
    """Two plans, which need no limit of time."""
    monkeypatch.setattr(plans, "plain", lambda n: [Plan("stumps", 6), Plan("grid", min(n, 4), 4)])
    for name in ("hidden", "smooth", "boosted"):
        monkeypatch.setattr(plans, name, lambda *given: [])
    for name in ("ruled", "summed"):
        monkeypatch.setattr(choice, name, lambda *given: [])


def test_probabilities_cost_no_bytes(few_plans, tmp_path):
    X, y = load_iris(return_X_y=True)
    kept = np.arange(150) % 3 > 0
    settings = {"time_limit": None, "random_state": 0}
    plain = CompactBDNNClassifier((4, 30), **settings).fit(X[kept], y[kept])
    clf = CompactBDNNClassifier((4, 30), **settings, probability=True).fit(X[kept], y[kept])
    assert clf.to_bytes() == plain.to_bytes() and clf.size_bytes_ == plain.size_bytes_
    shares = clf.predict_proba(X[~kept])
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert log_loss(y[~kept], shares) < 0.5 < log_loss(y[~kept], np.full((50, 3), 1 / 3))
    assert clf.calibration_.log_loss < 0.5 and clf.calibration_.rule == "cross_fit"
    assert all(each.predict_proba(X).shape == (150, 3) for each in clf.models_.values())
    clf.save(tmp_path / "m.json")
    np.testing.assert_array_equal(bdnn.load(tmp_path / "m.json").predict_proba(X[~kept]), shares)
    with pytest.raises(AttributeError, match=r"set CompactBDNNClassifier\(probability=True\)"):
        plain.predict_proba(X)
    held_out = clone(clf).set_params(probability="held_out").fit(X[kept], y[kept])
    assert held_out.result_.n_rows == 75 and log_loss(y[~kept], held_out.predict_proba(X[~kept])) < 0.6


def test_probabilities_of_a_constant_are_the_shares(few_plans):
    X, y = load_breast_cancer(return_X_y=True)
    clf = CompactBDNNClassifier(1, time_limit=None, random_state=0, probability=True).fit(X[:200], y[:200])
    np.testing.assert_allclose(clf.predict_proba(X[:3])[:, 1], np.mean(y[:200]), atol=0.01)


def test_ctrl_c_leaves_out_probabilities():
    def impatient(line):
        raise KeyboardInterrupt

    clf = CompactBDNNClassifier(9, random_state=0, probability=True)
    with pytest.warns(Warning, match="probabilities could be calibrated"):
        clf.fit(*load_iris(return_X_y=True), on_progress=impatient)
    assert clf.calibration_ is None and not hasattr(clf, "predict_proba")


def test_rows_and_classes_without_weight(few_plans):
    X, y = load_iris(return_X_y=True)
    weight = (y > 0) * 1.0
    two = CompactBDNNClassifier(20, time_limit=None, random_state=0).fit(X, y, weight)
    assert set(two.predict(X[y > 0])) == {1, 2} and np.mean(two.predict(X[y > 0]) == y[y > 0]) > 0.85
    alone = CompactBDNNClassifier(20, time_limit=None, random_state=0).fit(X, y, (y == 2) * 1.0)
    assert set(alone.predict(X)) == {2} and alone.size_bytes_ == 1
    with pytest.raises(InputError, match="zero in every row"):
        CompactBDNNClassifier(class_weight={0: 0}).fit(X, y, (y == 0) * 1.0)


def test_the_unit_of_weights_means_nothing(few_plans):
    X, y = load_iris(return_X_y=True)
    weight = 1.0 + np.arange(150) % 7
    one, other = (
        CompactBDNNClassifier(30, time_limit=None, random_state=0).fit(X, y, weight * unit) for unit in (1, 2.0**-40)
    )
    assert one.to_bytes() == other.to_bytes() and one.size_bytes_ > 3


def test_inputs_of_any_unit_have_grids():
    X = np.random.default_rng(0).normal(size=(50, 1))
    source = Source.of(Encoder.identity(["a"], 1, [0.0]), X)
    one, small = (GridInputs.of(np.array([0]), X * unit, source, 4).values(X * unit) for unit in (1, 2.0**-60))
    np.testing.assert_array_equal(one, small)
    assert len(np.unique(one)) > 8


def test_rules_that_smaller_plans_have_are_not_tried_again():
    made, _ = trainer(1)
    few = len(made._rules(Plan("rules", 40, 4)))
    for plan in [*ruled(), *smooth(ruled())]:
        assert made.is_repeated(plan) == any(size >= few for size in plan.smaller if plan.bits == 4) or plan.bits != 4
    assert Plan("rules", 1000, 4, bound=7, penalty=3.0).smaller == [40, 120, 350]
    assert Plan("rules", 350, 4, bound=3).smaller == [120] and Plan("grid", 5, 4).smaller == []


def test_the_time_limit_holds_for_wide_tables():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 200))
    clf = CompactBDNNClassifier(64, time_limit=1e-3, random_state=0)
    with pytest.warns(Warning):
        clf.fit(X, X[:, :5].sum(axis=1) > 0)
    assert len(clf.tried_) <= 2  # one search at most, and the class that is most frequent


@pytest.mark.parametrize("wrong", [0, -3, 2.5, True, "128", (), (8, 0), None])
def test_wrong_budgets_are_refused(wrong):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(InputError, match="max_bytes must be an integer from 1"):
        CompactBDNNClassifier(wrong).fit(X, y)


def test_one_class_is_refused():
    with pytest.raises(InputError, match="at least two classes"):
        CompactBDNNClassifier().fit([[0.0], [1.0]], ["a", "a"])


def test_dates_are_no_labels():
    with pytest.raises(InputError, match=r"labels of type datetime64\[D\].*give integers, floats, booleans or strings"):
        CompactBDNNClassifier().fit([[0.0], [1.0]], np.array(["2020-01-01", "2021-01-01"], dtype="datetime64[D]"))


def test_a_network_of_one_byte_gives_no_column_weight(run, tmp_path):
    out = tmp_path / "m.json"
    words = ("train", "examples/data/breast_cancer_wisconsin.csv", "--max-bytes", 1, "--time-limit", 0.5, "--out", out)
    code, printed, _ = run(*words, "--json", "--quiet")
    assert code == 0
    listed = [json.loads(printed)["columns"], json.loads(run("inspect", out, "--json")[1])["columns"]]
    clf = bdnn.load(out)
    bdnn.from_bytes(clf.to_bytes(), clf.schema_).save(out)
    listed.append(json.loads(run("inspect", out, "--json")[1])["columns"])
    for columns in listed:
        assert all(c["inputs"] == "left out" or c["inputs"].endswith(", without weight") for c in columns)


def test_ctrl_c_keeps_what_was_found():
    X, y = load_iris(return_X_y=True)

    def impatient(line):
        raise KeyboardInterrupt

    clf = CompactBDNNClassifier(64, random_state=0).fit(X, y, on_progress=impatient)
    assert clf.result_.interrupted and clf.score(X, y) > 0.8


def test_an_output_without_rows_never_wins():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (50, 3)).astype(float)
    two = Network((Layer(np.array([[1, -1, 2]]), np.array([-1])),), "threshold", [0, 2])
    whole = complete(two, 3)
    np.testing.assert_array_equal(whole.predict_index(X), 2 * two.predict_index(X))
    for label in range(3):
        assert set(constant(label, 3, 3).predict_index(X)) == {label}
    for label in range(2):
        assert set(constant(label, 3, 2).predict_index(X)) == {label}


def test_constants_are_no_part_of_sums_of_hidden_layers():
    hidden = Network((Layer(np.ones((2, 3), int), [-1, -2]), Layer(np.array([[1, 2]]), [-2])), "threshold", [0, 1])
    for networks in ([hidden, constant(1, 3, 2)], [constant(0, 3, 2), hidden]):
        assert sum_of(networks) == hidden


def test_sums_add_outputs():
    rng = np.random.default_rng(1)
    X = rng.integers(0, 2, (40, 4)).astype(float)

    def member():
        hidden = Layer(rng.integers(-1, 2, (3, 4)), rng.integers(-1, 2, 3))
        return Network((hidden, Layer(rng.integers(-3, 4, (3, 3)), rng.integers(-3, 4, 3))), "argmax", [0, 1, 2])

    members = [member() for _ in range(4)]
    total = sum(member.decision_function(X) for member in members)
    np.testing.assert_array_equal(sum_of(members).decision_function(X), total)


def test_inputs_are_bits_and_grids():
    X = np.array([[0.5, 3.0], [1.5, 7.0], [2.5, 5.0]])
    bits = BitInputs.of([(1, 5.0), (0, 1.0), (1, 5.0)])
    np.testing.assert_array_equal(bits.values(X), [[0, 0], [1, 1], [1, 1]])
    source = Source.of(Encoder.identity(["a", "b"], 2, [0.0, 0.0]), X)
    assert source.bits.tolist() == [0, 3]
    grid = GridInputs.of(np.array([0, 1]), X, source, 3)
    np.testing.assert_array_equal(grid.values(X)[:, 1], [0, 4, 2])  # as they are, from the least
    assert source.threshold(1, 4.2) == 5.0 and source.threshold(1, 7.0) == 7.0


def test_command(run, tmp_path, monkeypatch):
    out, front = tmp_path / "m.json", tmp_path / "front.svg"
    words = ["train", "examples/data/breast_cancer_wisconsin.csv", "--max-bytes", "6,20", "--time-limit", "2"]
    code, printed, _ = run(*words, "--out", out, "--front", front, "--json", "--quiet")
    report = json.loads(printed)
    assert code == 0 and all(figures["size_bytes"] <= int(most) for most, figures in report["front"].items())
    assert report["front"]["20"]["held_out_accuracy"] > 0.9
    assert (tmp_path / "m-6.json").exists() and (tmp_path / "m-20.json").exists() and front.read_text()[:5] == "<?xml"
    code, printed, said = run(*words[:3], "20", "--time-limit", "1", "--out", out)
    assert code == 0 and "20" in printed and "bytes" in said and out.exists()
    for devices in ((), ("atmega328p",)):
        monkeypatch.setattr("bdnn.cli.compact.installed", lambda devices=devices: devices)
        printed = run(*words[:3], "1", "--time-limit", "0.5", "--out", out)[1]
        (line,) = [line for line in printed.splitlines() if line.startswith("on a device       ")]
        assert "bytes are those of the packed network, and as C code it takes more flash" in line
        assert (f"measured by: bdnn size {out} --data {words[1]} " in line) == bool(devices)
    code, _, said = run(*words, "--hidden", "3")
    assert code == 2 and "--hidden" in said
    assert run(*words, "--out", "-")[0] == 2
    assert run("train", words[1], "--front", front)[0] == 2
    assert run(*words[:3], "many")[0] == 2


def test_boosted_trees_are_the_same_with_any_number_of_jobs(few_plans, monkeypatch):
    monkeypatch.setattr(plans, "boosted", boosted)
    monkeypatch.setattr(plans, "_OF_TWO", plans._OF_TWO[1::3])
    X, y = load_breast_cancer(return_X_y=True)
    kept = np.arange(len(y)) % 2 == 0
    found = [
        CompactBDNNClassifier((60, 300), time_limit=None, random_state=0, n_jobs=jobs, probability=jobs == 2)
        for jobs in (1, 2)
    ]
    for clf in found:
        clf.fit(X[kept], y[kept])
    one, other = found
    assert one.to_bytes() == other.to_bytes() and one.tried_[-1].accuracy == other.tried_[-1].accuracy
    assert "boosted trees" in one.front_[-1].text and one.size_bytes_ <= 300
    again = bdnn.from_bytes(one.to_bytes(), one.schema_)
    np.testing.assert_array_equal(again.predict(X), one.predict(X))
    assert one.score(X[~kept], y[~kept]) > 0.93
    assert log_loss(y[~kept], other.predict_proba(X[~kept])) < 0.3


def test_larger_plans_that_hold_the_same_trees_are_not_tried_again():
    made, _ = trainer(1)
    sizes = [plan.size for plan in boosted((1500,), 2) if plan.trees == plans._OF_TWO[-1]]
    tried = [size for size in sizes if not made.is_repeated(Plan("boosted", size, trees=plans._OF_TWO[-1]))]
    numbers = [made._beginning(Plan("boosted", size, trees=plans._OF_TWO[-1])) for size in sizes]
    assert tried == sizes[: len(tried)] and len(set(numbers)) == len(tried) < len(sizes)


def test_integers_too_large_for_sums_are_no_end_of_the_search():
    rng = np.random.default_rng(5)
    X = rng.integers(1 << 53, 1 << 54, (60, 3)).astype(float)
    y = (X[:, 0] > X[:, 1]).astype(int)
    clf = CompactBDNNClassifier((1, 7, 64), time_limit=5, random_state=0).fit(X, y)
    assert [len(each.to_bytes()) <= most for most, each in clf.models_.items()] == [True] * 3
    for model in clf.models_.values():
        assert model.result_.objective == pytest.approx(np.sum(model.predict(X) != y))


def test_values_beyond_single_precision_are_refused_by_column():
    X, y = np.arange(20.0).reshape(10, 2), np.arange(10) % 2
    X[3, 1] = 1e39
    with pytest.raises(InputError, match=r"X holds values above 3.4e\+38 in column 1; rescale that column"):
        CompactBDNNClassifier(64, time_limit=2).fit(X, y)


def test_schema_and_bytes_belong_together():
    X, y = load_iris(return_X_y=True)
    clf = CompactBDNNClassifier(64, time_limit=2, random_state=0).fit(X, y)
    again = bdnn.from_bytes(clf.to_bytes(), clf.schema())
    assert np.array_equal(again.predict(X), clf.predict(X))
