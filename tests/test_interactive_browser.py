"""Interactive pages in a browser: Chromium, driven by Playwright. It starts in seconds, so that tests share one."""

import itertools
import shutil

import numpy as np
import pytest

import bdnn
from bdnn import BDNNClassifier, Network
from bdnn.encoding.raw import RawColumn, RawTable
from bdnn.estimators.ensemble import ensemble_of
from bdnn.model_file.contents import EnsembleMember, EnsembleModel
from bdnn.network.grid import InputGrid
from bdnn.reports.interactive.payload import cells_of_rows
from bdnn.reports.interactive.subject import subject_of
from test_interactive import LABELS, NAMES, hostile, tied

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (extra browser)")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDE, NARROW = {"width": 1200, "height": 900}, {"width": 400, "height": 800}


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        try:
            # as root, as in a container, there is no sandbox; the pages are our own files
            chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no browser (package chromium of Debian): {str(error).splitlines()[0]}")
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Open a page from the file system; afterward, nothing has been complained about, and nothing was asked for."""
    contexts, said, asked = [], [], []

    def open_page(html, viewport=WIDE, scheme="light"):
        path = tmp_path / f"{len(contexts)}.html"
        path.write_bytes(html.encode("utf-8"))
        contexts.append(browser.new_context(viewport=viewport, color_scheme=scheme))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        return page

    open_page.said = said
    yield open_page
    for context in contexts:
        context.close()
    assert said == [] and len(asked) == len(contexts)


def decided(page, table, rows):
    """Return the classes that the page gives rows of a table."""
    given = cells_of_rows(table, rows)
    return page.evaluate("rows => rows.map((cells) => decide(model, cells).code)", given)


@pytest.fixture(scope="module")
def mixed():
    """A classifier of numbers with gaps, levels with rare ones, truth values and dates, and its rows."""
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    days = pandas.Timestamp("2020-01-01") + pandas.to_timedelta(rng.integers(0, 1500, 220), unit="D")
    X = pandas.DataFrame(
        {
            "age": np.where(rng.random(220) < 0.1, np.nan, rng.integers(180, 900, 220) / 10),
            "color": rng.choice(["red", "green", "blue", "mauve"], 220, p=[0.4, 0.3, 0.28, 0.02]),
            "on": rng.random(220) < 0.5,
            "seen": days,
        }
    )
    y = np.where((X["age"].fillna(30) > 50) ^ (X["color"] == "red"), "old", "young")
    clf = BDNNClassifier((3,), method="local_search", min_frequency=0.03, time_limit=1, random_state=0)
    return clf.fit(X, y), X, y


def ensemble(rng):
    """A vote of networks of integers on 200 rows, which has ties."""
    X = rng.integers(0, 4, (200, 5)).astype(float)
    members = []
    for pair in ([0, 1], [0, 2], [1, 2], [0, 1, 2]):
        sizes = [(3, 5), (len(pair), 3)]
        layers = [(rng.integers(-1, 2, size), rng.integers(-1, 2, size[0])) for size in sizes]
        members.append(EnsembleMember(Network(layers, "argmax", pair), np.arange(5)))
    return ensemble_of(EnsembleModel(np.array(["a", "b", "c"]), 5, None, tuple(members), {"voting": "majority"}, {})), X


def on_a_grid(rng):
    """A network of integers behind a grid, and 200 rows, half of them in the middle between two of its points."""
    grid = InputGrid(np.array([0.0, -1.0, 0.3]), np.array([0.5, 0.1, 1.0]), 3)
    net = Network([(rng.integers(-3, 4, (4, 3)), rng.integers(-9, 9, 4))], "argmax", list("abcd"), grid)
    X = rng.normal(size=(200, 3)) * 3
    X[:100] = grid.offset + grid.step * (rng.integers(0, 8, (100, 3)) + 0.5)
    return net, X


def test_two_hundred_rows_of_many_models_are_decided_as_predict_does(opened, mixed):
    clf, X, y = mixed
    rng = np.random.default_rng(10)
    deep, there = tied(np.random.default_rng(9), "argmax", 4, (6, 5, 4))
    bits = BDNNClassifier((), method="local_search", thresholds=6, weights="integer", time_limit=1, random_state=0)
    bits.fit(X, y)
    for model, rows in ((clf, X), (bits, X), (deep, there), on_a_grid(rng), ensemble(np.random.default_rng(10))):
        page = opened(bdnn.interactive_report(model, rows, points=200, devices=(), time_limit=0.2))
        subject = subject_of(model, rows, None)
        expected = subject.predict(subject.table)[:200].tolist()
        assert len(set(expected)) > 1, model
        assert decided(page, subject.table, np.arange(200)) == expected
        assert page.inner_text("#check").startswith("Checked in this browser: the decisions on 200 rows")
        assert page.is_hidden("#failure")


def test_a_page_that_decides_otherwise_than_bdnn_says_so(opened):
    net, X, y = hostile()
    html = bdnn.interactive_report(net, X, y, points=1, devices=(), time_limit=0.2)
    page = opened(html)
    (code,) = page.evaluate("model.codes")
    page = opened(html.replace(f'"codes":[{code}],"labels"', f'"codes":[{(code + 1) % 3}],"labels"'))
    assert "decides otherwise than bdnn: row" in page.inner_text("#failure") and page.is_hidden("#check")


def cells_shown(page):
    return page.evaluate("state.cells")


def test_sliders_and_choices_are_moved_by_keys_and_decisions_follow(opened, mixed):
    clf, X, y = mixed
    page = opened(bdnn.interactive_report(clf, X, y, points=30, devices=(), time_limit=0.2))
    subject = subject_of(clf, X, None)

    def expected():
        columns = []
        for code, cell in zip(subject.encoder.columns, cells_shown(page), strict=True):
            kind = {"date": "datetime64[us]"}.get(code.kind, float)
            if code.kind == "categorical":
                columns.append(RawColumn(code.name, code.kind, np.array([-1 if cell is None else 0]), (cell or "",)))
            else:
                gap = np.datetime64("NaT") if code.kind == "date" else np.nan
                columns.append(RawColumn(code.name, code.kind, np.array([gap if cell is None else cell], dtype=kind)))
        return clf.classes_[subject.predict(RawTable(tuple(columns)))[0]]

    answers = set()
    age = page.get_by_label("age", exact=True)
    age.focus()
    page.keyboard.press("Home")
    for key in ("PageUp",) * 11 + ("ArrowLeft", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
        answers.add(page.inner_text("#answer"))
        assert page.inner_text("#answer") == f"Decision: {expected()}"
        assert age.get_attribute("aria-valuetext") == page.get_by_label("age, exact value").input_value()
    assert answers == {"Decision: old", "Decision: young"}
    assert cells_shown(page)[0] == round(X["age"].max() - 0.1, 1)  # the double that a table would hold
    page.get_by_label("age, exact value").fill("50.123456789")
    assert cells_shown(page)[0] == 50.123456789
    page.get_by_label("age, exact value").fill("")
    assert cells_shown(page)[0] == 50.123456789
    assert page.get_by_label("age, exact value").get_attribute("aria-invalid") == "true"
    page.get_by_label("age is missing").focus()
    page.keyboard.press("Space")
    assert cells_shown(page)[0] is None and age.is_disabled()
    assert page.inner_text("#answer") == f"Decision: {expected()}"
    page.keyboard.press("Space")
    assert cells_shown(page)[0] == 50.123456789
    color = page.get_by_label("color", exact=True)
    for level in ("blue", "green", "red", "mauve", "(any other)"):
        color.select_option(label=level)
        assert page.inner_text("#answer") == f"Decision: {expected()}"
    page.get_by_text("Back to it").click()
    assert cells_shown(page) == page.evaluate("model.rows[0]")
    rows = page.get_by_label("Start from")
    rows.focus()
    page.keyboard.press("End")
    assert cells_shown(page) == page.evaluate("model.rows[29]")


def test_radii_attacks_and_proofs_of_moved_inputs(opened):
    net = Network([([[1.0, 1.0]], [-1.0])], "threshold", ["no", "yes"], feature_names=["a", "b"])
    page = opened(bdnn.interactive_report(net, [[1.0, 1.0], [0.0, 0.5]], ["yes", "no"], devices=()))
    assert page.inner_text("#certified").startswith("Certified radius 0.49999")
    assert "by less than 0.49999" in page.inner_text("#live-text")
    page.get_by_label("a, exact value").fill("0.75")
    assert "within its radius: the decision is proven to be the same" in page.inner_text("#where")
    assert "by less than 0.37499" in page.inner_text("#live-text")
    page.get_by_label("a, exact value").fill("-2")
    assert page.inner_text("#answer") == "Decision: no" and "have moved" in page.inner_text("#where")
    page.get_by_text("Move the inputs to this attack").click()
    assert page.inner_text("#answer") == "Decision: no"
    assert page.inner_text("#where") == "The inputs are those of the nearest attack on row 0."


def test_neurons_and_outputs_are_those_of_the_network(opened):
    rng = np.random.default_rng(4)
    layers = [(rng.normal(size=(5, 3)), rng.normal(size=5)), (rng.normal(size=(4, 5)), rng.normal(size=4)),
              (rng.normal(size=(3, 4)), rng.normal(size=3))]  # fmt: skip
    net = Network(layers, "argmax", ["a", "b", "c"])
    X = rng.normal(size=(6, 3)).round(3)
    page = opened(bdnn.interactive_report(net, X, devices=(), time_limit=0.2))
    fired = net.activations(X)
    for k in range(6):
        page.get_by_label("Start from").select_option(index=k)
        assert page.inner_text("#answer") == f"Decision: {net.predict(X[k : k + 1])[0]}"
        table = page.locator("#neurons tbody tr").all_text_contents()
        said = [text.endswith("fires") for text in table[:9]]
        assert said == [*(fired[0][k] == 1), *(fired[1][k] == 1)]
        on = page.locator("svg circle.on").count()
        assert on == fired[0][k].sum() + fired[1][k].sum() + 1  # and the output that wins
        label = page.locator("svg[role=img]").get_attribute("aria-label")
        assert page.inner_text("#fired") in label
    sums = page.locator("#outputs tbody td").all_text_contents()
    assert np.allclose(list(map(float, sums)), net.decision_function(X[5:])[0], rtol=1e-5)


def test_every_control_has_a_name_and_the_decision_is_announced(opened, mixed):
    clf, X, y = mixed
    page = opened(bdnn.interactive_report(clf, X, y, points=5, devices=(), time_limit=0.2))
    nameless = """() => [...document.querySelectorAll("input, select, button, summary")].filter((each) =>
        !(each.getAttribute("aria-label") || [...(each.labels ?? [])].some((label) => label.textContent.trim())
          || each.textContent.trim())).map((each) => each.outerHTML)"""
    assert page.evaluate(nameless) == []
    assert page.locator("#answer").get_attribute("role") == "status"
    assert page.locator("#answer").get_attribute("aria-live") == "polite"
    headings = page.locator("h1, h2, h3").evaluate_all("all => all.map((each) => Number(each.tagName[1]))")
    assert headings[0] == 1 and all(b - a <= 1 for a, b in itertools.pairwise(headings))
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
    assert len(ids) == len(set(ids))
    seen = set()
    for _ in range(40):  # with Tab alone one gets to every kind of control
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.tagName + (document.activeElement.type ?? '')"))
    assert {"INPUTrange", "INPUTnumber", "INPUTcheckbox", "SELECTselect-one", "SUMMARY"} <= seen


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_two_widths_and_two_schemes(opened, mixed, scheme):
    clf, X, y = mixed
    html = bdnn.interactive_report(clf, X, y, points=5, devices=(), time_limit=0.2)
    for viewport in (WIDE, NARROW):
        page = opened(html, viewport, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        light = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(244, 246, 248)"
        assert light == (scheme == "light")
        beside = page.locator("#network").bounding_box()["x"] > page.locator("#inputs").bounding_box()["x"]
        assert beside == (viewport is WIDE)


def test_hostile_names_are_text(opened):
    net, X, y = hostile()
    page = opened(bdnn.interactive_report(net, X, y, devices=(), time_limit=0.2))
    assert page.locator(".name").all_text_contents() == NAMES
    assert page.inner_text("#answer").removeprefix("Decision: ") in LABELS
    assert page.locator("img, iframe, object, script:not([id])").count() == 1  # our own script
    # and if some code did get in, the policy of the page would not let it run
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.hit = 1'}))"
    )
    assert page.evaluate("window.hit") is None
    assert len(opened.said) == 1 and "Content Security Policy" in opened.said.pop()
