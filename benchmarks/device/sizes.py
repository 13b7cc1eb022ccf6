"""The choice among candidates by validation accuracy and flash, and what is measured of the chosen ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from candidates import NEURAL, OURS, Candidate

from bdnn.devices import DEVICES, Code, Measured, measure
from bdnn.errors import ExportError

if TYPE_CHECKING:
    from bdnn.export.request import Optimize

TOLERANCE = 0.005
"""Of validation accuracy: half a percentage point."""
COMPILED = 6
LIGHTEST = 2
"""Candidates of a method that are compiled to find the smallest: as many of each form, the lightest ones, but two."""
MOST_ROWS = 500
"""Test rows that are run on an emulated device."""
STACK = 200
"""Bytes of RAM that are left for it: the most that one of these classifiers was seen to take on an AVR is 195."""
_TOO_LARGE = "it does not fit into flash or RAM"
FOR_SPEED = (OURS, NEURAL)
"""Methods of which the chosen candidates are also built for speed: by their fast form, and by `-O2`."""
ANCHORS = ("ours", "rival")
"""Whose best validation accuracy is to be reached."""


def anchors(candidates: Iterable[Candidate]) -> dict[str, float]:
    """Return our best validation accuracy, and that of the best rival."""
    best = dict.fromkeys(ANCHORS, 0.0)
    for each in candidates:
        key = ANCHORS[each.method != OURS]
        best[key] = max(best[key], each.validation)
    return best


class Sizes:
    """Measures candidates on devices, each once."""

    def __init__(self, devices: Sequence[str]) -> None:
        self.devices = devices
        self._order: dict[tuple[Candidate, str], tuple[bool, int] | None] = {}
        self._figures: dict[tuple[Candidate, str, Optimize], dict[str, Any]] = {}

    def order(self, candidate: Candidate, device: str) -> tuple[bool, int] | None:
        """Return whether it is too large for the device, and bytes of flash; None if it cannot even be linked."""
        key = candidate, device
        if key not in self._order:
            try:
                found = measure(_code(candidate), device, run=False)
                self._order[key] = too_large(candidate, found), found.flash
            except ExportError:
                self._order[key] = None
        return self._order[key]

    def figures(self, candidate: Candidate, device: str, optimize: Optimize = "size") -> dict[str, Any]:
        """Return the figures of a run."""
        key = candidate, device, optimize
        if key not in self._figures:
            order = self.order(candidate, device)
            self._figures[key] = _measured(candidate, device, order is not None and not order[0], optimize)
        return self._figures[key]

    def smallest(self, candidates: Sequence[Candidate], least: float) -> dict[str, Any]:
        """Return what was measured of the smallest candidate of a method whose validation accuracy is enough.

        The setting is that of the least flash on the first device that it fits on; the form is the smallest on each
        device. If no candidate is good enough, the most accurate ones are chosen from.
        """
        reached = [each for each in candidates if each.validation >= least - TOLERANCE - 1e-12]
        best = max(each.validation for each in candidates)
        pool = reached or [each for each in candidates if each.validation == best]
        setting = self._setting(pool)
        forms = [each for each in pool if each.setting == setting]
        found = {"method": forms[0].method, "setting": setting, "reached": bool(reached), "devices": {}}
        for device in self.devices:
            linked = [each for each in forms if self.order(each, device) is not None]
            if linked:
                chosen = min(linked, key=lambda each: self.order(each, device))
                found["devices"][device] = self.figures(chosen, device)
            if linked and forms[0].method in FOR_SPEED:
                fast = [each.fast or each for each in linked]
                figures = [self.figures(each, device, "speed") for each in fast if self.order(each, device) is not None]
                found.setdefault("fast", {})[device] = min(figures, key=lambda each: each.get("mean", math.inf))
        shown = next((each for each in forms if each.form in _forms(found)), forms[0])
        accuracies = {"validation": shown.validation, "test": shown.test}
        return found | {part: round(value, 5) for part, value in accuracies.items()}

    def _setting(self, pool: Sequence[Candidate]) -> str:
        forms = dict.fromkeys(each.form for each in pool)
        light = []
        for form in forms:
            same = sorted(
                (each for each in pool if each.form == form), key=lambda each: (each.weight, -each.validation)
            )
            light += same[: COMPILED // len(forms)]
        for device in self.devices:
            linked = [each for each in light if self.order(each, device) is not None]
            if linked:
                return min(linked, key=lambda each: (self.order(each, device), -each.validation)).setting
        return min(light, key=lambda each: each.weight).setting


def _forms(found: dict[str, Any]) -> list[str]:
    return [each["form"] for each in found["devices"].values()][:1]


def _code(candidate: Candidate) -> Code:
    rows = candidate.device_rows("test")
    return Code(
        files=candidate.files, sources=candidate.sources, header=candidate.header, predict=candidate.predict,
        element=candidate.element, rows=rows, expected=candidate.answers["test"], flags=candidate.flags,
    )  # fmt: skip


def too_large(candidate: Candidate, found: Measured) -> bool:
    """Return whether a device has too little flash, or too little RAM for the variables, a row and the stack."""
    device, row = DEVICES[found.device], candidate.device_rows("test")[:1].nbytes
    return found.flash > device.flash or found.ram + row + STACK > device.ram


def _measured(candidate: Candidate, device: str, run: bool, optimize: Optimize) -> dict[str, Any]:
    """Return figures for the result file, of a run if it is not too large."""
    found = measure(_code(candidate), device, optimize, run=run, most_rows=MOST_ROWS)
    if found.wrong_rows and found.remark is None:
        raise AssertionError(f"{candidate.method}, {candidate.setting}: {found.wrong_rows} rows differ on {device}")
    columns = candidate.device_rows("test").shape[1]
    figures = {
        "form": candidate.form, "flash": found.flash, "ram": found.ram, "stack": found.stack, "columns": columns,
        "mean": None if found.cycles_mean is None else round(float(found.cycles_mean), 1), "most": found.cycles_most,
        "unit": found.unit, "rows": found.rows, "wrong": found.wrong_rows, "floats": list(found.float_functions),
        "compiler": found.compiler, "why_not_run": found.why_not_run if run else _TOO_LARGE, "remark": found.remark,
        "too_large": None if run else True,
    }  # fmt: skip
    return {key: value for key, value in figures.items() if value is not None}


def of_data_set(candidates: Sequence[Candidate], devices: Sequence[str]) -> dict[str, Any]:
    """Return all figures of a data set: for each anchor, the smallest candidate of every method.

    As "pairs", our smallest candidate and a rival's, one after the other, at the best validation accuracy of the rival.
    """
    sizes = Sizes(devices)
    by_method: dict[str, list[Candidate]] = {}
    for each in candidates:
        by_method.setdefault(each.method, []).append(each)
    wanted = anchors(candidates)
    methods = sorted(by_method, key=lambda method: method != OURS)
    found = {name: [sizes.smallest(by_method[method], least) for method in methods] for name, least in wanted.items()}
    found["pairs"] = []
    for method in methods[1:]:
        best = max(each.validation for each in by_method[method])
        found["pairs"] += [sizes.smallest(by_method[each], best) for each in (OURS, method)]
    return {
        "anchors": {name: round(least, 5) for name, least in wanted.items()},
        "candidates": {method: len({each.setting for each in by_method[method]}) for method in methods},
        "found": found,
        "test_rows": int(np.size(candidates[0].sample.y["test"])),
    }
