"""Reports: figures equal their sources, the page loads nothing, and names from data stay text."""

import base64
import dataclasses
import json
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

import bdnn
import sample_models
from bdnn import BDNNClassifier, Network
from bdnn.certification.result import Certification
from bdnn.errors import CertificateError, InputError, MissingDependencyError
from bdnn.model_file import Model
from bdnn.reports.contents import Source, parts_of


class Page(HTMLParser):
    """What a page shows: texts by section, facts, tables, and every attribute."""

    def __init__(self, html):
        super().__init__()
        self.facts, self.tables, self.attributes, self.tags, self.texts = {}, [], [], [], []
        self._name, self._target, self._row = None, None, None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag in ("dt", "dd", "th", "td", "h1", "h3", "pre", "p"):
            self._target, self._text = tag, ""
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self._row = []
            self.tables[-1].append(self._row)

    def handle_data(self, data):
        self.texts.append(data)
        if self._target:
            self._text += data

    def handle_endtag(self, tag):
        if tag != self._target:
            return
        if tag == "dt":
            self._name = self._text
        if tag == "dd":
            self.facts.setdefault(self._name, []).append(self._text)
        if tag in ("th", "td"):
            self._row.append(self._text)
        self._target = None

    def table(self, *head):
        return next(table[1:] for table in self.tables if table[0][: len(head)] == list(head))


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3)).round(2)
    return X, np.where(X[:, 0] + 0.5 * X[:, 1] + rng.normal(size=60) * 0.4 > 0, "yes", "no")


@pytest.fixture(scope="module")
def trained(data):
    X, y = data
    return BDNNClassifier((), method="exact", time_limit=20, random_state=3).fit(X[:40], y[:40])


@pytest.fixture(scope="module")
def page(trained, data):
    return bdnn.report(trained, *data, training_rows=range(40), radii=[0.1, 0.4], time_limit=120)


def test_figures_are_those_of_the_result(trained, page):
    result, facts = trained.result_, Page(page).facts
    assert facts["training loss"] == [f"{result.audit.loss:g} audited, 40 rows"]
    assert facts["bound"] == [f"{result.bound:g} no network of the class is below", f"{result.bound:g}"]
    assert facts["bound of"] == [result.bound_of]
    assert facts["wrong rows"] == [f"{result.audit.n_wrong} of 40"]
    assert facts["gap"][1] == f"{result.gap:.2%}"
    assert facts["status"][0].startswith(str(result.status))
    assert facts["size"][1] == f"{trained.network_.size_bytes} bytes"
    assert facts["weights and biases"] == [str(trained.network_.n_parameters)]
    assert facts["seed"] == ["3"]
    assert facts["rows"] == ["60: 40 training rows, 20 held-out rows"]
    assert facts["certificate"][0].startswith("none")


def test_scores_are_those_of_scikit_learn(trained, data, page):
    X, y = data
    tables = Page(page).tables
    confusions = [table for table in tables if table[0] == ["true", "no", "yes"]]
    by_class = [table for table in tables if table[0][:2] == ["class", "precision"]]
    for rows, confusion, scores in zip((slice(0, 40), slice(40, 60)), confusions, by_class, strict=True):
        predicted = trained.predict(X[rows])
        expected = confusion_matrix(y[rows], predicted).tolist()
        assert [row[1:] for row in confusion[1:]] == [[str(v) for v in row] for row in expected]
        columns = precision_recall_fscore_support(y[rows], predicted, zero_division=0)
        for c, row in enumerate(scores[1:]):
            assert row == ["no yes".split()[c], *(f"{column[c]:.2%}" for column in columns[:3]), str(columns[3][c])]
    accuracy = np.mean(trained.predict(X[40:]) == y[40:])
    assert Page(page).facts["accuracy"] == [f"{accuracy:.2%} of 20 held-out rows"]


def test_robustness_is_that_of_certify(trained, data, page):
    X, y = data
    curve = bdnn.certify(trained.network_, X[40:], y[40:]).curve([0.1, 0.4])
    table = Page(page).table("radius", "certified")
    assert [row[0] for row in table] == ["0.1", "0.4"]
    assert [row[1] for row in table] == [f"{v:.2%}" for v in curve.certified]
    assert [row[2] for row in table] == [f"{v:.2%}" for v in curve.attacked]
    assert "all 20 held-out rows" in page
    tile = f"≥ {curve.certified[0]:.2%} of 20 rows at radius 0.1; 0 undecided"
    assert Page(page).facts["certified accuracy"] == [tile]


def test_undecided_rows_are_counted_apart(trained, data, monkeypatch):
    m = 20
    found = Certification(
        robust=np.ones(m, dtype=bool), undecided=np.arange(m) < 5, radius=np.where(np.arange(m) < 5, 0.0, 1.0),
        attained=np.zeros(m, dtype=bool), attack=np.full((m, 3), np.nan), distance=np.full(m, np.inf),
        clean=np.ones(m, dtype=bool), seconds=np.zeros(m), nodes=np.zeros(m, dtype=np.int64), asked=None, norm="inf",
    )  # fmt: skip
    monkeypatch.setattr("bdnn.reports.page.certify", lambda *args, **settings: found)
    shown = bdnn.report(trained, *data, training_rows=range(40), radii=[0.5, 2.0])
    assert Page(shown).table("radius") == [["0.5", "75.00%", "100.00%", "5"], ["2", "0.00%", "100.00%", "20"]]
    assert "5 of 20 rows are undecided" in shown


def test_points_are_drawn_with_the_seed_and_none_is_possible(trained, data):
    shown = bdnn.report(trained, *data, points=7, random_state=5, attacker={"norm": "1"})
    assert "7 drawn at random (seed 5) from 60 all rows" in shown and "norm 1" in shown
    shown = bdnn.report(trained, *data, points=0)
    assert "Not certified" in shown and "certified accuracy" not in Page(shown).facts


def test_what_an_attacker_may_do(trained, data):
    X, y = data
    low, high = np.floor(X.min()), np.ceil(X.max())
    settings = {"frozen": [0], "lower": low, "upper": high, "scale": 2.0}
    shown = bdnn.report(trained, X, y, points=20, radii=[0.3], attacker=settings)
    name = (trained.network_.feature_names or ("x0",))[0]
    text = f"stay at {low:.0f} or above; stay at {high:.0f} or below; {name} cannot change"
    assert text in shown and "and the given units of the features" in shown
    rows = np.sort(np.random.default_rng(0).choice(len(X), 20, replace=False))
    found = bdnn.certify(trained.network_, X[rows], y[rows], **settings).curve([0.3])
    assert Page(shown).table("radius")[0][1:3] == [f"{found.certified[0]:.2%}", f"{found.attacked[0]:.2%}"]
    assert "under attack" not in bdnn.report(trained, X, y, points=3)


def external(html):
    """Attributes that could make a browser load something, and addresses in the style sheet."""
    page = Page(html)
    loading = {"src", "href", "srcset", "data", "action", "poster", "background", "formaction", "xlink:href"}
    found = [value for _, name, value in page.attributes if name in loading and not value.startswith("data:image/svg")]
    return found + re.findall(r"url\(|@import|@font-face", html)


def test_the_page_loads_nothing_and_runs_nothing(page):
    assert external(page) == []
    assert {"script", "link", "iframe", "object", "embed", "base", "form"}.isdisjoint(Page(page).tags)
    assert "default-src 'none'" in page
    assert not [name for _, name, _ in Page(page).attributes if name.startswith("on")]
    pictures = [value for tag, name, value in Page(page).attributes if (tag, name) == ("img", "src")]
    assert len(pictures) == 5
    for picture in pictures:
        svg = base64.b64decode(picture.split(",", 1)[1]).decode()
        # pictures refer to their own parts only; other addresses are names of XML
        assert all(ref.startswith(("#", "data:image/png")) for ref in re.findall(r'xlink:href="([^"]*)', svg))
        assert "<script" not in svg and "font-face" not in svg and "url(http" not in svg
    assert external('<img src="http://x/y"><a href="b">') == ["http://x/y", "b"]


NAMES = ["<script>alert(1)</script>", 'x" onload="alert(1)', "{{ 7 * 7 }}", "$\\frac{", "_u", "&lt;b&gt;", "{% raw %}"]
LABELS = ["<img src=http://evil.example/x>", "</td></table>", "'quoted'"]


def test_names_from_data_stay_text(tmp_path):
    rng = np.random.default_rng(0)
    layers = [(rng.normal(size=(4, 7)), np.zeros(4)), (rng.normal(size=(3, 4)), np.zeros(3))]
    net = Network(layers, "argmax", LABELS, feature_names=NAMES)
    X, y = rng.normal(size=(30, 7)), rng.choice(LABELS, 30)
    source = Source("<b>.csv", "<i>t</i>", ("<u>d</u>",), {NAMES[0]: (2, 0.5)})
    result = sample_models.result(net, message="<em>stopped</em>", bound_of="<em>all</em>")
    html = bdnn.report(Model(net, None, result), X, y, title="<h6>", source=source, commands=["bdnn '<s>'"], points=5)
    shown = Page(html)
    assert external(html) == []
    assert {"script", "b", "i", "u", "em", "h6", "s"}.isdisjoint(shown.tags)
    assert not [name for _, name, _ in shown.attributes if name.startswith("on")]
    assert [row[0] for row in shown.table("class", "precision")] == LABELS
    assert shown.table("column", "missing") == [[NAMES[0], "2", "0.5"]]
    assert shown.facts["columns left out"] == ["<u>d</u>"] and shown.facts["bound of"] == ["<em>all</em>"]
    assert any("bdnn '<s>'" in text for text in shown.texts)


def test_a_network_alone_and_a_file_are_reported(trained, data, tmp_path):
    html = bdnn.report(trained.network_, *data, points=0)
    assert "does not hold the result of its training" in html and "training loss" not in Page(html).facts
    trained.save(tmp_path / "m.json")
    assert "training loss" in Page(bdnn.report(tmp_path / "m.json", *data, points=0)).facts
    one = Network([([[1.0]], [0.0])], head="threshold", classes=[0, 1])
    assert "not known" in bdnn.report(one, [[1.0], [-1.0]], [1, 0], tmp_path / "r.html", points=2)
    assert (tmp_path / "r.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


@pytest.fixture(scope="module")
def proven(trained, data, tmp_path_factory):
    """The same training with a certificate, in a file."""
    X, y = data
    clf = BDNNClassifier((), method="exact", certificate=True, incumbents="none", time_limit=20, random_state=3)
    content = clf.fit(X[:40], y[:40]).result_.certificate
    path = tmp_path_factory.mktemp("proof") / "proof.json"
    bdnn.save_certificate(content, path)
    return path


def test_a_certificate_is_verified_and_compared_with_the_network(trained, data, proven):
    html = bdnn.report(trained, *data, training_rows=range(40), certificate=proven, points=0)
    facts, wrong = Page(html).facts, trained.result_.audit.n_wrong
    assert wrong == trained.result_.bound > 0
    assert facts["file"] == ["proof.json"] and facts["certificate"] == ["verified optimal"]
    assert facts["loss of this network"] == [f"{wrong} on the same rows; it is therefore optimal"]
    assert bdnn.verify_certificate(proven, data[0][:40], data[1][:40]).statement in " ".join(Page(html).texts)
    W, b = trained.network_.layers[0]
    worse = dataclasses.replace(trained.network_, layers=((-W, -b),))
    loss = int((worse.predict(data[0][:40]) != data[1][:40]).sum())
    facts = Page(bdnn.report(worse, *data, training_rows=range(40), certificate=proven, points=0)).facts
    assert facts["loss of this network"] == [f"{loss} on the same rows; it is at most {loss - wrong} above"]
    assert facts["certificate"] == ["verified"]


def test_a_certificate_that_does_not_hold_gives_no_page(trained, data, proven, tmp_path):
    out = tmp_path / "r.html"
    with pytest.raises(CertificateError, match="data: "):
        bdnn.report(trained, *data, out, certificate=proven)
    content = json.loads(proven.read_text()) | {"loss": "0", "bound": "0"}
    (tmp_path / "lie.json").write_text(json.dumps(content))
    with pytest.raises(CertificateError, match="loss: "):
        bdnn.report(trained, *data, out, training_rows=range(40), certificate=tmp_path / "lie.json")
    rng = np.random.default_rng(0)
    wide = Network([(rng.normal(size=(2, 3)), [0.0, 0.0]), ([[1.0, 1.0]], [-1.0])], "threshold", ["no", "yes"])
    with pytest.raises(InputError, match=r"hidden layers \[\] and a threshold head, the model has \[2\]"):
        bdnn.report(wide, *data, out, training_rows=range(40), certificate=proven)
    assert not out.exists()


def test_what_is_refused(trained, data):
    X, y = data
    for changes, message in (
        ({"X": X[:, :2]}, "shape"),
        ({"y": y[:5]}, "one label per row"),
        ({"y": np.where(y == "no", "maybe", y)}, "maybe"),
        ({"X": X[:0], "y": y[:0]}, "no rows"),
        ({"points": -1}, "points"),
        ({"points": True}, "points"),
        ({"radii": [-1.0]}, "radii"),
        ({"radii": [np.nan]}, "radii"),
        ({"attacker": {"norm": "3"}}, "norm"),
        ({"attacker": {"radius": 1.0}}, "attacker takes norm, .*; got 'radius'"),
        ({"attacker": {"frozen": ["z"]}}, "frozen"),
        ({"training_rows": [0, 0]}, "training_rows"),
        ({"training_rows": [60]}, "training_rows"),
        ({"training_rows": [0.5]}, "training_rows"),
        ({"training_rows": []}, "training_rows"),
        ({"model": 3}, "model must be"),
    ):
        arguments = {"model": trained, "X": X, "y": y} | changes
        with pytest.raises(InputError, match=message):
            bdnn.report(**arguments)


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_without_its_packages_the_error_names_the_extra(trained, data, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'bdnn\[plot\]'"):
        bdnn.report(trained, *data)


def test_validation_rows_are_named(trained, data):
    X, y = data
    model = Model(trained.network_, {"validation_fraction": 0.25}, trained.result_)
    assert [part.name for part in parts_of(model, X, y, np.arange(40))] == [
        "training and validation rows",
        "held-out rows",
    ]
