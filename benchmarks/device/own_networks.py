"""Our candidates: classifiers of bdnn by their public interface, as `export("c")` writes them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
from candidates import OURS, Candidate
from samples import Sample
from training import MANY

from bdnn import BDNNClassifier, BDNNEnsembleClassifier

NAME = "model"
SMALL = 2_000
"""Up to so many training rows, searches are given less time."""
SECONDS = {"small": 1.0, "large": 2.0, "images": 200.0}
"""Of a search, twice as many with hidden neurons: more time hardly lowers these losses."""
COLUMNS = (2, 3, 4, 6, 8, 12, 16, 24)
FEW = ((1, 1), (1, 3), (2, 1), (2, 3), (4, 3), (16, 3), (64, 3))
"""Thresholds and largest weights of networks on few columns."""
PAIR_SECONDS = 8.0
"""For all members of an ensemble."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How a network is trained: hidden neurons, thresholds per column, largest weight, columns at most, scheme."""

    hidden: tuple[int, ...] = ()
    thresholds: int | None = None
    bound: int = 1
    columns: int | None = None
    scheme: str | None = None
    members: int = 1
    seconds: float

    @property
    def text(self) -> str:
        """In words."""
        parts = [f"{self.hidden[0]} hidden" if self.hidden else "no hidden"]
        parts += [f"{self.scheme.replace('_', '-')}, {self.members} each"] if self.scheme else []
        parts += [f"{self.thresholds} thresholds"] if self.thresholds else []
        parts += [f"weights to {self.bound}"]
        parts += [f"{self.columns} columns"] if self.columns else []
        return ", ".join(parts)

    def fitted(self, sample: Sample) -> BDNNClassifier | BDNNEnsembleClassifier:
        """Train."""
        clf = BDNNClassifier(
            self.hidden, method="local_search", weights="integer", weight_bound=self.bound, thresholds=self.thresholds,
            max_features=self.columns, time_limit=self.seconds, random_state=0,
        )  # fmt: skip
        if self.scheme:
            clf = BDNNEnsembleClassifier(
                clf, self.scheme, n_estimators=self.members, time_limit=self.seconds, random_state=0
            )
        return clf.fit(sample.X["train"].astype(float), sample.y["train"])


def settings(sample: Sample) -> Iterator[Setting]:
    """Yield the grid for a data set."""
    rows, n = sample.X["train"].shape
    if rows > MANY:
        yield from _of_images()
        return
    plain = SECONDS["small" if rows <= SMALL else "large"]
    hidden = 2 * plain
    if sample.classes > 2:
        for thresholds, bound in product((None, 1, 2), (1, 3, 7)):
            yield Setting(thresholds=thresholds, bound=bound, seconds=plain)
        for width, bound in product((16, 24, 32, 48, 64, 96), (1, 3, 7)):
            yield Setting(hidden=(width,), bound=bound, seconds=hidden)
        for scheme, bound in product(("one_vs_rest", "one_vs_one"), (1, 7)):
            yield Setting(scheme=scheme, bound=bound, seconds=PAIR_SECONDS)
        yield Setting(scheme="multiclass", members=3, seconds=PAIR_SECONDS)
        return
    for thresholds, bound in product((None, 1, 2, 4, 8, 16, 32, 64), (1, 3, 7)):
        yield Setting(thresholds=thresholds, bound=bound, seconds=plain)
    for columns, (thresholds, bound) in product((k for k in COLUMNS if k < n), FEW):
        yield Setting(columns=columns, thresholds=thresholds, bound=bound, seconds=plain)
    for width, columns in product((2, 4), (None, 8)):
        if columns is None or columns < n:
            yield Setting(hidden=(width,), thresholds=4, bound=1, columns=columns, seconds=hidden)


def _of_images() -> Iterator[Setting]:
    """Yield networks of at most 8 kB."""
    for width in (24, 40):
        yield Setting(hidden=(width,), seconds=SECONDS["images"])


def own(sample: Sample) -> Iterator[Candidate]:
    """Yield our candidates."""
    for setting in settings(sample):
        clf = setting.fitted(sample)
        yield replace(_candidate(clf, sample, setting, "size"), fast=_candidate(clf, sample, setting, "speed"))


def _candidate(
    clf: BDNNClassifier | BDNNEnsembleClassifier, sample: Sample, setting: Setting, optimize: Literal["size", "speed"]
) -> Candidate:
    files, columns, element = _exported(clf, sample, optimize)
    return Candidate(
        method=OURS, form=optimize, setting=setting.text, weight=len(files[f"{NAME}.c"]), write=files.copy,
        header=f"{NAME}.h", sources=(f"{NAME}.c",), predict=f"{NAME}_predict(x)",
        element=element, rows=partial(_columns, columns), expected=partial(_predicted, clf), sample=sample,
    )  # fmt: skip


def _columns(columns: list[int], X: np.ndarray) -> np.ndarray:
    return X[:, columns]


def _predicted(clf: BDNNClassifier | BDNNEnsembleClassifier, X: np.ndarray) -> np.ndarray:
    return clf.predict(X.astype(float))


def _exported(
    clf: BDNNClassifier | BDNNEnsembleClassifier, sample: Sample, optimize: Literal["size", "speed"]
) -> tuple[dict[str, str], list[int], str]:
    """Return headers and sources, the columns that a row has, and the type of its elements.

    All rows say which integers occur, as `--data TABLE` does.
    """
    with tempfile.TemporaryDirectory() as folder:
        clf.export("c", folder, name=NAME, data=sample.whole.astype(float), optimize=optimize)
        files = {f"{NAME}.{end}": Path(folder, f"{NAME}.{end}").read_text() for end in ("h", "c")}
        inputs = json.loads(Path(folder, "bdnn-export.json").read_text())["inputs"]
    columns = [int(each["column"].removeprefix("x")) for each in inputs]
    element = files[f"{NAME}.h"].split("typedef ")[1].split(" ")[0]
    return files, columns, element
