"""Score cards: they decide as `predict` does, say what is known, and are refused where a network is no card."""

import csv
import itertools
import re
from fractions import Fraction
from html.parser import HTMLParser

import numpy as np
import pytest

from bdnn import BDNNClassifier, Network, score_card
from bdnn.encoding.raw import RawColumn, RawTable
from bdnn.errors import InputError
from bdnn.model_file.contents import Model
from bdnn.network.grid import InputGrid
from bdnn.reports.card_text import FORMATS, rendered
from bdnn.reports.risks import risks_of_scores
from carded import integer_network, mixed_table

RNG = np.random.default_rng(3)


def grids():
    return [None, InputGrid(np.array([0.3, 0, -1, 2.0]), np.array([0.1, 1, 0.007, 3.0]), 8)]


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("grid", grids(), ids=["raw", "grid"])
@pytest.mark.parametrize("seed", range(4))
def test_decides_as_predict_does(seed, grid, outputs):
    rng = np.random.default_rng(seed)
    network = integer_network(grid, outputs)
    X = np.concatenate([rng.integers(-4, 5, size=(60, 4)), rng.normal(size=(60, 4)), rng.normal(size=(20, 4)) * 1e9])
    card = score_card(network)
    assert card.decide(X).tolist() == network.predict(X).tolist()


def test_decides_sums_of_fractions_exactly():
    """In floating point these sums are rounded across the threshold."""
    network = Network([([[1, 1, 1]], [-3])], head="threshold", classes=[0, 1])
    X = np.array([[2.9999999999999996, 2.0**-53, 0.0], [1.0, 1.0, 1.0], [3.0, 5e-324, -1e-300]])
    exact = [int(sum(map(Fraction, row)) >= 3) for row in X.tolist()]
    assert score_card(network).decide(X).tolist() == network.predict(X).tolist() == exact


@pytest.mark.parametrize("grid", grids(), ids=["raw", "grid"])
def test_points_can_be_added_by_hand(grid):
    """From the printed numbers alone."""
    network = integer_network(grid)
    card = score_card(network)
    X = RNG.integers(-3, 9, size=(200, 4)).astype(float)
    names, printed = list(network.feature_names), {}
    for line in rendered(card, "text").splitlines():
        if found := re.match(r"  (\S+) +([+-]\d+) +for each (unit|step of (\S+) above (\S+), rounded)", line):
            printed[found[1]] = int(found[2]), found[4], found[5]
    (least,) = re.findall(r"A score of (-?\d+) or more means yes", rendered(card, "text"))
    for row, decided in zip(X, network.predict(X), strict=True):
        score = 0
        for name, (points, step, offset) in printed.items():
            value = row[names.index(name)]
            amount = value if step is None else min(max(round((value - float(offset)) / float(step)), 0), 255)
            score += points * int(amount)
        assert decided == ("yes" if score >= int(least) else "no")


@pytest.mark.parametrize("thresholds", [None, 4])
def test_encoded_columns_are_named_by_what_gives_points(thresholds):
    raw, y = mixed_table()
    clf = BDNNClassifier((), weights="integer", weight_bound=3, max_features=2, thresholds=thresholds, random_state=0,
                         missing_indicator="always", time_limit=1)  # fmt: skip
    clf.fit(raw, y)
    X = clf.encoder_.transform(raw)
    card = score_card(clf, X, y)
    assert card.decide(X).tolist() == clf.predict(raw).tolist()
    given = {each.name: each.unit for each in card.scales[0].points}
    assert all(unit == "yes" for name, unit in given.items() if "=" in name or name.endswith("missing"))
    if thresholds is None:
        assert given["age"] != "yes"


def test_bits_on_a_grid_have_points_for_yes():
    """A grid of 8 bits makes 255 of 1; on the card a level counts once."""
    m = 60
    value, color = np.random.default_rng(0).normal(size=m), np.arange(m) % 3
    raw = RawTable((
        RawColumn("value", "numeric", value), RawColumn("color", "categorical", color, ("red", "green", "blue")),
    ))  # fmt: skip
    y = (value + (color == 1) > 0.4).astype(int)
    clf = BDNNClassifier((), weights="integer", weight_bound=2, random_state=0, method="local_search", time_limit=0.5)
    clf.fit(raw, y)
    assert clf.network_.grid is not None
    card = score_card(clf)
    X = clf.encoder_.transform(raw)
    assert card.decide(X).tolist() == clf.predict(raw).tolist()
    for each in card.scales[0].points:
        if each.unit == "yes":
            weight = int(clf.network_.layers[0].weights[0, clf.encoder_.input_names.index(each.name)])
            assert each.points == 255 * weight


def test_continuous_weights_become_integers_or_a_message():
    X = RNG.integers(0, 6, size=(50, 3)).astype(float)
    network = Network([([[0.5, 0.0, 0.25]], [-2.1])], head="threshold", classes=["a", "b"])
    with pytest.raises(InputError, match=r"--weights integer --weight-bound 5.*--data"):
        score_card(network)
    card = score_card(network, X, network.predict(X))
    assert card.network.is_integer
    assert card.decide(X).tolist() == network.predict(X).tolist()
    assert "x1" not in {each.name for each in card.scales[0].points}
    told = "made integers that decide the 50 rows given as the continuous ones do; other rows may be decided otherwise"
    assert ("weights", told) in card.facts


def test_integers_say_how_many_held_out_rows_they_decide_otherwise():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    network = Network([([[0.537, -0.211, 0.0931]], [-0.113])], head="threshold", classes=["a", "b"])
    card = score_card(network, X, network.predict(X), training_rows=np.arange(12))
    other = int(np.sum(card.decide(X[12:]) != network.predict(X[12:])))
    assert other
    facts = dict(card.facts)
    assert facts["held-out rows"] == f"{other} of 288 are decided otherwise than by the continuous weights"
    assert facts["training accuracy"] == "100.00% of 12 rows"
    assert facts["weights"].startswith("made integers that decide the 12 training rows")


def test_hidden_layers_are_refused():
    network = Network([([[1]], [0]), ([[1]], [0])], head="threshold", classes=[0, 1])
    with pytest.raises(InputError, match="hidden layers of 1 neurons; train one with --hidden none"):
        score_card(network)


def test_risks_count_rows_and_grow():
    scores = np.repeat([0.0, 1.0, 2.0, 3.0], [6, 5, 6, 5])
    codes = np.repeat([1, 0, 1, 0, 1, 0, 1, 0], [3, 3, 1, 4, 5, 1, 4, 1])
    risks, rule = risks_of_scores(scores, codes, 2)
    assert [(r.low, r.high, r.rows, r.events) for r in risks] == [
        (0, 0, 6, 3),
        (1, 1, 5, 1),
        (2, 2, 6, 5),
        (3, 3, 5, 4),
    ]
    base = 13 / 22
    mixed = [(3 + 2 * base) / 8, (1 + 2 * base) / 7, (5 + 2 * base) / 8, (4 + 2 * base) / 7]
    low, high = ((a * 8 + b * 7) / 15 for a, b in (mixed[:2], mixed[2:]))
    assert [r.risk for r in risks] == pytest.approx([low, low, high, high])
    assert "2 rows of the base rate 59.1%" in rule


@pytest.mark.parametrize("seed", range(5))
def test_ranges_of_few_rows_are_joined_on_their_side(seed):
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.geometric(0.3, size=90).astype(float), [7.5, -20, 8, 8.5]])
    for threshold in (-30, -3, 3, 8, 40):
        risks, _ = risks_of_scores(scores, (scores > 3).astype(int), threshold)
        assert sum(r.rows for r in risks) == len(scores)
        for below in (True, False):
            side = [r.rows for r in risks if (r.high < threshold) == below]
            assert all(rows >= 5 for rows in side) or len(side) == 1
        assert all(r.high < threshold or r.low >= threshold for r in risks)


def test_ranges_of_scores_do_not_cross_the_threshold():
    scores = np.arange(200.0)
    risks, _ = risks_of_scores(scores, (scores >= 77).astype(int), 77)
    assert len(risks) <= 11
    assert sum(r.rows for r in risks) == 200
    assert all(r.high < 77 or r.low >= 77 for r in risks)
    assert all(a.risk <= b.risk for a, b in itertools.pairwise(risks))


class Halves:
    """A calibration by a logistic function."""

    def probabilities(self, values):
        p = 1 / (1 + np.exp(-values[:, 0]))
        return np.column_stack([1 - p, p])


def test_risks_follow_the_calibration():
    risks, rule = risks_of_scores(np.array([4.0, 5.0, 5.0]), np.array([0, 1, 0]), 5, Halves())
    assert [r.risk for r in risks] == pytest.approx([1 / (1 + np.e), 0.5])
    assert "calibration" in rule


def test_example_adds_up():
    network = integer_network()
    X = RNG.integers(0, 9, size=(5, 4)).astype(float)
    card = score_card(network, X, network.predict(X))
    assert card.example is not None
    assert sum(int(points) for _, _, points in card.example.lines) == int(card.example.score)
    assert card.example.label == network.predict(X[:1]).tolist()[0]
    assert ("accuracy", "100.00% of 5 rows") in card.facts


class Closed(HTMLParser):
    """Collects tags and text."""

    def __init__(self):
        super().__init__()
        self.tags, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert not {name for name, _ in attrs} & {"src", "href", "onclick"}

    def handle_data(self, data):
        self.text += data


def test_text_is_escaped():
    name = "<script>alert(1)</script>|*a*"
    network = Network([([[2]], [-1])], head="threshold", classes=["<b>", "x|y\nz"], feature_names=[name])
    X, y = np.array([[0.0], [1.0], [1.0]]), ["<b>", "x|y\nz", "x|y\nz"]
    card = score_card(network, X, y)
    page = Closed()
    page.feed(rendered(card, "html", "<i>title"))
    assert "script" not in page.tags and "b" not in page.tags and "i" not in page.tags
    assert name in page.text
    for line in rendered(card, "markdown").splitlines():
        assert "<" not in re.sub(r"\\<", "", line)
        assert not line.startswith("|") or len(re.findall(r"(?<!\\)\|", line)) in (4, 5, 3)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_says_the_same(kind):
    network = integer_network()
    X = RNG.integers(0, 5, size=(40, 4)).astype(float)
    text = rendered(score_card(network, X, network.predict(X)), kind)
    assert text.endswith("\n")
    assert "or more means yes" in text
    for weight in network.layers[0].weights[0]:
        assert not weight or f"{weight:+d}" in text


def write_table(path, X, y):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(f"f{j}" for j in range(X.shape[1])), "ill"])
        writer.writerows([*row, label] for row, label in zip(X.tolist(), y.tolist(), strict=True))


def test_command(tmp_path, run):
    X = RNG.integers(0, 8, size=(60, 4))
    y = np.where(X[:, 0] + 2 * X[:, 1] > 9, "yes", "no")
    data, model = tmp_path / "t.csv", tmp_path / "m.json"
    write_table(data, X, y)
    limits = ["--max-features", "2", "--monotonic", "f0=+1,f1=+1"]
    kind = ["--target", "ill", "--hidden", "none", "--weights", "integer", "--weight-bound", "3", "--method", "exact"]
    code, output, _ = run("train", data, *kind, *limits, "-q", "--out", model)
    assert code == 0
    assert "at most 2 of 4 columns, weights of f0, f1 >= 0" in output
    code, output, _ = run("card", model, "--data", data)
    assert code == 0
    assert "for each unit" in output and "held-out accuracy" in output and "proven optimal" in output
    assert re.search(r"\d+ of 45 rows wrong", output)
    page = tmp_path / "card.html"
    assert run("card", model, "--out", page) == (0, f"wrote the score card to {page}\n", "")
    assert page.read_text().startswith("<!DOCTYPE html>")
    picture = tmp_path / "card.svg"
    assert run("plot", "card", model, "--out", picture)[0] == 0
    assert picture.stat().st_size
    code, _, errors = run("train", data, "--target", "ill", "--monotonic", "f0=3")
    assert code == 2
    assert "write, for instance, age=+1,chol=-1" in errors
    code, _, errors = run("train", data, "--target", "ill", "--monotonic", "f0=+1,f0=+1")
    assert code == 2
    assert "'f0=+1,f0=+1' names 'f0' twice" in errors
    code, _, errors = run("train", data, "--target", "ill", "--class-weight", "yes=5,yes=3")
    assert code == 2
    assert "'yes=5,yes=3' names 'yes' twice" in errors
    data.write_text("day,ill\n" + "".join(f"2024-01-{1 + k:02},{'yes' if k % 3 else 'no'}\n" for k in range(20)))
    code, _, errors = run("train", data, "--target", "ill", "--monotonic", "day=+1", "-q")
    assert code == 2
    assert "such as --monotonic 'day " in errors and "=+1', or turn it" in errors


def test_pictures_and_page_of_a_card():
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    from bdnn import plotting, report

    network = integer_network()
    X = RNG.integers(0, 6, size=(40, 4)).astype(float)
    y = np.where(RNG.random(40) < 0.2, "no", network.predict(X))
    y[:2] = ["no", "yes"]
    card = score_card(network, X, y)
    axes = plotting.plot_card(card, ax=Figure())
    weights = [int(w) for w in network.layers[0].weights[0] if w]
    assert [bar.get_width() for bar in axes.patches] == weights
    risks = plotting.plot_card(card, kind="risk", ax=Figure())
    assert risks.lines[0].get_ydata().tolist() == [each.risk for each in card.risks]
    with pytest.raises(InputError, match="no risks"):
        plotting.plot_card(score_card(network), kind="risk", ax=Figure())
    with pytest.raises(InputError, match="kind must be"):
        plotting.plot_card(card, kind="pie", ax=Figure())
    page = report(network, X, y, points=0)
    assert '<section id="card">' in page and card.rule in page
    hidden = Network([([[1] * 4], [0]), ([[1]], [0])], head="threshold", classes=["no", "yes"])
    assert '<section id="card">' not in report(hidden, X, y, points=0)


def test_settings_are_saved(tmp_path):
    X = RNG.integers(0, 5, size=(30, 3)).astype(float)
    y = X[:, 0] > 2
    clf = BDNNClassifier((), max_features=1, monotonic={"a": 1}, random_state=0, time_limit=1)
    clf.fit(X, y, feature_names=["a", "b", "c"])
    clf.save(tmp_path / "m.json")
    from bdnn import load

    again = load(tmp_path / "m.json")
    assert again.get_params()["monotonic"] == {"a": 1}
    assert again.get_params()["max_features"] == 1


def test_model_without_result_has_no_facts():
    assert score_card(Model(integer_network())).facts == ()
