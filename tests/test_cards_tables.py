"""Score cards of tables: cells that are missing, rare or unknown, risks of held-out rows, and several classes."""

import re

import numpy as np
import pytest

from bdnn import BDNNClassifier, Network, score_card
from bdnn.encoding.raw import RawColumn, RawTable
from bdnn.errors import InputError
from bdnn.model_file.contents import Model
from bdnn.model_file.reading import load_model
from bdnn.reports.card_text import FORMATS, rendered
from carded import integer_network, mixed_table

RNG = np.random.default_rng(3)


def fitted(**settings):
    raw, y = mixed_table()
    clf = BDNNClassifier((), weights="integer", weight_bound=3, random_state=0, method="exact", time_limit=2)
    return clf.set_params(**settings).fit(raw, y), raw, y


def as_frame(raw):
    pandas = pytest.importorskip("pandas")
    age, color = raw.columns
    levels = np.array([*color.levels, None], dtype=object)
    return pandas.DataFrame({"age": age.values, "color": levels[color.values]})


@pytest.mark.parametrize(("thresholds", "weights"), [(None, "integer"), (1, "integer"), (4, "continuous")])
def test_tables_are_taken_as_predict_takes_them(thresholds, weights, tmp_path):
    """With one threshold a column, and two levels, there are as many inputs as columns."""
    raw, y = mixed_table()
    two = RawColumn("color", "categorical", raw.columns[1].values % 2, ("red", "green"))
    raw = RawTable((raw.columns[0], two))
    frame = as_frame(raw)
    clf = BDNNClassifier((), weights=weights, weight_bound=3, thresholds=thresholds, random_state=0, time_limit=0.4)
    clf.fit(frame, y).save(tmp_path / "m.json")
    from bdnn import load

    for model in (clf, load(tmp_path / "m.json")):
        card = score_card(model, frame, y)
        assert card.decide(frame).tolist() == card.decide(raw).tolist() == clf.predict(frame).tolist()
        assert card.scores(frame) == card.scores(raw)
    card = score_card(load_model(tmp_path / "m.json"), raw, y)
    assert card.decide(raw).tolist() == clf.predict(frame).tolist()
    with pytest.raises(InputError, match=r"from a RawTable: read the file with bdnn\.load"):
        score_card(load_model(tmp_path / "m.json"), frame, y)


def test_lists_with_gaps_are_taken_as_predict_takes_them():
    rows = [[1.0, np.nan], [2.0, 1.0], [3.0, 0.0], [4.0, 1.0], [5.0, 2.0], [6.0, np.nan]] * 3
    clf = BDNNClassifier((), weights="integer", weight_bound=2, missing_indicator="auto", time_limit=0.4)
    clf.fit(rows, [0, 0, 0, 1, 1, 1] * 3)
    assert score_card(clf, rows, [0, 0, 0, 1, 1, 1] * 3).decide(rows).tolist() == clf.predict(rows).tolist()


def by_hand(card, encoder, table, row):
    """Add up the points of a row from the points and the other cells, without an encoder's arithmetic."""
    (scale,) = card.scales
    total = scale.start
    for code, column in zip(encoder.columns, table.columns, strict=True):
        value = None if column.missing[row] else column.values[row]
        others = {each.cells: int(each.points) for each in card.cells[0] if each.column == code.name}
        lines = {each.name: each for each in scale.points if each.name.split(">=")[0].split("=")[0] == code.name}
        if value is None:
            total += next((n for cells, n in others.items() if cells.startswith("missing")), 0)
        elif code.kind == "categorical":
            level = column.levels[value]
            told = [n for cells, n in others.items() if not cells.startswith("missing") and repr(level) in cells]
            known = lines.get(f"{code.name}={level}")
            total += known.points if known else told[0] if told else 0
        else:
            for name, each in lines.items():
                total += each.points * int(value >= float(name.split(">=")[1]) if ">=" in name else value)
    return total


@pytest.mark.parametrize("bit", ["always", "never"])
@pytest.mark.parametrize("thresholds", [None, 4])
def test_cells_that_are_no_number_or_level_of_the_card(thresholds, bit):
    m, rng = 120, np.random.default_rng(4)
    color = np.where(np.arange(m) % 7 == 0, -1, rng.choice(5, size=m, p=[0.4, 0.3, 0.2, 0.05, 0.05]))
    age = np.where(np.arange(m) % 9 == 0, np.nan, rng.integers(20, 80, size=m))
    smokes = np.where(np.arange(m) % 5 == 0, np.nan, rng.integers(2, size=m))
    raw = RawTable((
        RawColumn("age", "numeric", age), RawColumn("smokes", "boolean", smokes),
        RawColumn("color", "categorical", color.astype(np.int32), ("red", "green", "blue", "x1", "x2")),
    ))  # fmt: skip
    y = np.nan_to_num(age, nan=60) + 20 * np.isin(color, [1, 3, 4]) + 10 * np.nan_to_num(smokes) > 60
    clf = BDNNClassifier((), weights="integer", weight_bound=4, thresholds=thresholds, missing_indicator=bit,
                         min_frequency=0.1, random_state=1, method="local_search", time_limit=0.3)  # fmt: skip
    clf.fit(raw, y)
    card = score_card(clf, raw, y)
    assert clf.encoder_.columns[2].rare == ("x1", "x2")
    levels = ("red", "green", "blue", "x1", "x2", "never seen")
    codes = np.where(np.arange(m) % 11 == 0, 5, color).astype(np.int32)
    table = RawTable((*raw.columns[:2], RawColumn("color", "categorical", codes, levels)))
    assert [by_hand(card, clf.encoder_, table, row) for row in range(m)] == [s for (s,) in card.scores(table)]
    for kind in FORMATS:
        text = rendered(card, kind)
        assert "missing, which counts as" in text and "any other level" in text
        assert "a rare level" in text


def test_example_shows_cells_and_leaves_out_what_does_not_count():
    clf, raw, y = fitted(thresholds=4)
    card = score_card(clf, raw.take(np.array([1, 2, 3])), y[1:4])
    assert card.example is not None
    shown = {name: value for name, value, _ in card.example.lines}
    age = f"{raw.columns[0].values[1]:.10g}"
    assert all(value == age for name, value in shown.items() if name.startswith("age>="))
    assert all(int(points) for _, _, points in card.example.lines)
    start = 1 if card.scales[0].start else 0
    assert len(card.example.lines) + card.example.left_out == len(card.scales[0].points) + start
    gap = score_card(clf, raw.take(np.array([0, 1])), y[:2])
    assert {value for name, value, _ in gap.example.lines if name.startswith("age>=")} <= {
        f"missing, counts as {clf.encoder_.columns[0].fill:g}"
    }


def test_risks_say_which_rows_they_are_counted_on():
    network = integer_network()
    X = RNG.integers(0, 6, size=(80, 4)).astype(float)
    y = network.predict(X)
    assert "80 rows given: optimistic near the threshold if" in score_card(network, X, y).risk_rule
    known = score_card(network, X, y, training_rows=np.arange(50))
    assert known.risk_rule.startswith("counted on the 30 held-out rows")
    assert sum(each.rows for each in known.risks) == 30
    few = score_card(network, X, y, training_rows=np.arange(75))
    assert "the 75 rows the card was trained on: optimistic near the threshold" in few.risk_rule
    assert "--probability" in few.risk_rule


def calibrated(classes, weights="integer"):
    rng = np.random.default_rng(1)
    X = rng.integers(0, 6, size=(90, 3)).astype(float)
    y = np.clip((X[:, 0] + rng.integers(0, 3, size=90)) // (9 // classes), 0, classes - 1).astype(int)
    clf = BDNNClassifier((), weights=weights, weight_bound=3, random_state=0, probability="held_out", time_limit=0.5,
                         method="local_search")  # fmt: skip
    return clf.fit(X, y), X, y


def test_risks_of_a_classifier_are_calibrated():
    clf, X, y = calibrated(2)
    card = score_card(clf, X, y)
    assert "by the calibration of the model" in card.risk_rule
    shares = clf.predict_proba(X)[:, 1]
    scores = np.array([s for (s,) in card.scores(X)])
    single = [r for r in card.risks if r.low == r.high]
    assert single
    for risk in single:
        assert shares[scores == risk.low] == pytest.approx(risk.risk)
    clf, X, y = calibrated(2, "continuous")
    assert "one of its continuous weights, and not used" in score_card(clf, X, y).risk_rule


def test_several_classes_show_probabilities_or_why_not():
    clf, X, y = calibrated(3)
    card = score_card(clf, X, y)
    assert [share for _, _, share in card.shares] == [f"{p:.1%}" for p in clf.predict_proba(X[:1])[0]]
    # by hand, from the printed logits
    scores = np.clip(np.array(card.scores(X)[0], dtype=float), clf.calibration_.low, clf.calibration_.high)
    logits = []
    for _, logit, _ in card.shares:
        start, *rest = re.split(r" (?=[+-])", logit)
        parts = [part.split(" × score of ") for part in rest]
        logits.append(float(start) + sum(float(w) * scores[int(name)] for w, name in parts))
    powers = np.exp(np.array(logits) - max(logits))
    assert powers / powers.sum() == pytest.approx(clf.predict_proba(X[:1])[0], abs=2e-2)
    assert "of the example" in rendered(card, "markdown")
    network = integer_network(outputs=3)
    assert "none by score with more than two classes; --probability" in rendered(score_card(network), "text")


def test_endings_of_cards(tmp_path, run):
    from bdnn.model_file.writing import save_model

    save_model(tmp_path / "m.json", Model(integer_network()))
    code, _, errors = run("card", tmp_path / "m.json", "--out", tmp_path / "c.pdf")
    assert code == 2
    assert "must end in .html, .htm, .md, .txt" in errors
    assert not (tmp_path / "c.pdf").exists()
    assert run("card", tmp_path / "m.json", "--out", tmp_path / "c.pdf", "--format", "text")[0] == 0
    assert run("card", tmp_path / "m.json", "--out", tmp_path / "c.txt")[0] == 0


def test_pictures_of_several_classes_have_their_starts_and_titles():
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    from bdnn import plotting

    network = integer_network(outputs=9)
    card = score_card(network)
    axes = plotting.plot_card(card, ax=Figure())
    starts = [f"{scale.label} {scale.start:+d}" for scale in card.scales if scale.start]
    assert axes.get_xlabel().replace("\n", " ") == f"points; every row starts with {', '.join(starts)}"
    assert axes.get_title().replace("\n", " ") == card.rule
    assert max(map(len, axes.get_title().splitlines())) <= 64
    with pytest.raises(InputError, match=r"got Network; pass bdnn\.score_card\(clf, X, y\)"):
        plotting.plot_card(network)


def test_markdown_has_no_entities_or_tags_of_names():
    network = Network([([[2]], [-1])], head="threshold", classes=["a", "b"], feature_names=["x &lt; <b>"])
    assert "x &amp;lt; &lt;b&gt;" in rendered(score_card(network), "markdown")


def test_page_of_continuous_weights_says_how_to_get_the_card():
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    from bdnn import report

    network = Network([([[0.5, 0.25]], [-1.1])], head="threshold", classes=["a", "b"])
    X = np.array([[1.0, 2.0], [3.0, 4.0], [0.0, 1.0]])
    assert "bdnn card MODEL --data TABLE" in report(network, X, network.predict(X), points=0)
