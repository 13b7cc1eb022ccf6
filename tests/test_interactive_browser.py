"""Interactive pages in a browser: Chromium, driven by Playwright. It takes seconds to start, so that pages share one."""

import shutil

import numpy as np
import pytest

import bdnn
from bdnn import BDNNClassifier, BDNNEnsembleClassifier, Network
from bdnn.encoding.raw import RawTable
from bdnn.errors import InputError
from bdnn.model_file.contents import EnsembleModel, Model
from bdnn.reports.interactive.payload import cells_of_rows
from bdnn.reports.interactive.subject import subject_of
from export_cases import random_case
from test_interactive import LABELS, NAMES, hostile, numbers, tied

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (extra test)")
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


def test_two_hundred_rows_of_many_models_are_decided_as_predict_does(opened, mixed):
    clf, X, y = mixed
    pages = [(clf, X, y)]
    for seed in (3, 8, 21, 30, 42):  # grids, thresholds, several classes, ensembles
        case = random_case(seed, dates=seed % 2 == 0)
        pages.append((case.model, case.table, None))
    deep, X = tied(np.random.default_rng(5), "argmax", 4, (6, 5, 4))
    pages.append((Model(deep), numbers(X), None))
    for model, X, y in pages:
        if isinstance(model, EnsembleModel):
            model = bdnn.estimators.ensemble.ensemble_of(model)
        try:
            page = opened(bdnn.interactive_report(model, X, y, points=200, devices=(), time_limit=1.0))
        except InputError as error:  # numbers behind thresholds beside others
            raise AssertionError(str(error)) from error
        subject = subject_of(model, X, None)
        assert decided(page, subject.table, np.arange(len(subject.table))[:200]) == subject.predict(subject.table)[:200].tolist()
        assert page.inner_text("#check").startswith("Checked in this browser"), page.inner_text("#failure")
        assert page.is_hidden("#failure")
