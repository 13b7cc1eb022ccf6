"""``bdnn train --max-bytes``: the best network within a number of bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

import bdnn
from bdnn.cli.output import STDOUT, Ending, check_files, save_output, say
from bdnn.cli.reading import TableChoice, inputs_of, read_training_table, table_info
from bdnn.cli.stopping import finishing, repeated, requested
from bdnn.devices.registry import installed
from bdnn.errors import InputError
from bdnn.files import write
from bdnn.model_file.contents import Model
from bdnn.plotting.accuracy import plot_pareto
from bdnn.plotting.files import KINDS, picture
from bdnn.reports import summary as reporting

if TYPE_CHECKING:
    from bdnn.cli.reading import TrainingTable
    from bdnn.compact.outcome import Chosen
    from bdnn.estimators.compact import CompactBDNNClassifier

_OWN = (
    "max_categories", "min_frequency", "missing_indicator", "class_weight", "probability", "time_limit", "n_jobs",
    "random_state",
)  # fmt: skip
"""Settings of the estimator; whatever else shapes a network is what the search decides on."""


class Budgets(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """``128``, or ``32,128,512``."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Return the numbers."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not a number of bytes such as 128, nor several such as 32,128,512", param, ctx)


def train_compact(
    data: Path,
    choice: TableChoice,
    settings: dict[str, Any],
    max_bytes: Sequence[int],
    out: Path | None,
    front: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Search for networks within budgets of bytes, report on them, and save one model file for each."""
    _refuse_others(settings)
    several = len(set(max_bytes)) > 1
    if several and out == STDOUT:
        raise InputError("there is a model file for each number of bytes; give a file as --out, not standard output")
    places = {most: _place(out, most, several) for most in sorted(set(max_bytes))}
    check_files({f"--out ({most} bytes)": place for most, place in places.items()} | {"--front": front}, {"DATA": data})
    clf = bdnn.CompactBDNNClassifier(tuple(max_bytes), **{name: settings[name] for name in _OWN})
    read = read_training_table(data, choice)
    if front is not None and front.suffix.lower().removeprefix(".") not in KINDS:
        raise InputError(f"--front must end in .{', .'.join(KINDS)}, got {front}")
    repeated(0.0)  # what was swallowed while modules were imported and the table was read
    clf.fit(
        read.columns(read.rows),
        read.labels[read.rows],
        sample_weight=read.weight(read.rows),
        on_progress=partial(_heard, quiet),
    )
    with finishing():
        report = _report(clf, read)
        ending, tell = Ending(), partial(say, err=STDOUT in places.values())
        if not as_json:
            ending.attempt(tell, _text(clf, report))
        for most, place in places.items():
            if place is None:
                continue
            model = clf.models_[most]
            info = table_info(model, read, choice)
            if ending.attempt(save_output, "network", place, partial(model.save, table=info)):
                report["front"][str(most)]["model_file"] = str(place)
                if not as_json:
                    ending.attempt(tell, f"{'saved to':<18}{place}")
        if not as_json:
            ending.attempt(tell, f"{'on a device':<18}{_on_a_device(report, data)}")
        if front is not None and ending.attempt(_draw, front, report) and not as_json:
            ending.attempt(tell, f"{'picture':<18}{front}")
        if as_json:
            ending.attempt(tell, json.dumps(report, indent=1))
        ending.close()


def _refuse_others(settings: dict[str, Any]) -> None:
    """Refuse options that were given and that the search decides on itself."""
    context = click.get_current_context()
    given = [
        next(o for o in parameter.opts if o.startswith("--"))
        for parameter in context.command.params
        if parameter.name in settings
        and parameter.name not in _OWN
        and context.get_parameter_source(parameter.name) == ParameterSource.COMMANDLINE
    ]
    if given:
        raise InputError(f"--max-bytes chooses inputs, shape and weights itself: leave it out, or {', '.join(given)}")


def _place(out: Path | None, most: int, several: bool) -> Path | None:
    """Return the file of a budget: model-128.json for model.json, if there are several."""
    if out is None or not several:
        return out
    return out.with_name(f"{out.stem}-{most}{out.suffix}")


def _heard(quiet: bool, line: str) -> None:
    repeated()
    if not quiet:
        say(line, err=True)


def _report(clf: CompactBDNNClassifier, read: TrainingTable) -> dict[str, Any]:
    """Return the figures of all networks."""
    report = reporting.training_report(clf.result_, read.table, read.rows, clf.encoder_)
    report["size_bytes"] = clf.size_bytes_  # columns included, as in the packed file
    if clf.calibration_ is not None:
        report["calibration"] = reporting.calibration_report(clf.calibration_)
    report["front"] = {}
    for chosen in clf.front_:
        model = clf.models_[chosen.max_bytes]
        figures: dict[str, Any] = {
            "max_bytes": chosen.max_bytes, "size_bytes": chosen.size_bytes, "validation_accuracy": chosen.accuracy,
            "training_accuracy": 1 - model.result_.audit.n_wrong / model.result_.n_rows, "plan": chosen.text,
            "reason": chosen.reason, "model_file": None,
        }  # fmt: skip
        if len(read.held_out):
            inputs = inputs_of(model.encoder_, model.encoder_.matched(read.columns(read.held_out)))
            measured = reporting.evaluation(Model(model.network_), inputs, read.labels[read.held_out])
            figures |= {f"held_out_{name}": measured[name] for name in ("rows", "accuracy", "balanced_accuracy")}
        report["front"][str(chosen.max_bytes)] = figures
    report["tried"] = [
        {"plan": t.text, "size_bytes": t.size_bytes, "accuracy": t.accuracy, "seconds": t.seconds} for t in clf.tried_
    ]
    return report


def _text(clf: CompactBDNNClassifier, report: dict[str, Any]) -> str:
    """Return the figures as lines: columns of the largest network, then a table of all of them."""
    columns = [(column["name"], column["kind"], column["inputs"]) for column in report["columns"]]
    lines = [reporting.columns_text(columns)]
    lines.append(f"{'training rows':<18}{report['training_rows']}")
    lines.append(f"{'tried':<18}{len(clf.tried_)} ways to make a network, {report['seconds']:.1f} s{_stopped(clf)}")
    head = ("at most", "bytes", "training", "validation", "held out")
    lines.append("  ".join(f"{name:>10}" for name in head) + "  network")
    lines += [_line(chosen, report["front"][str(chosen.max_bytes)]) for chosen in clf.front_]
    lines.append(f"{'why':<18}{clf.front_[-1].reason}")
    return "\n".join(lines)


def _stopped(clf: CompactBDNNClassifier) -> str:
    """Return which signal ended the search, if one did."""
    return f", stopped by {requested() or 'Ctrl-C'}" if clf.result_.interrupted else ""


def _on_a_device(report: dict[str, Any], data: Path) -> str:
    """Return what the bytes do not count, and how that is measured, if there is a compiler for a device."""
    saved = [figures["model_file"] for figures in report["front"].values() if figures["model_file"]]
    text = "bytes are those of the packed network, and as C code it takes more flash"
    if not (saved and installed()) or STDOUT in (data, Path(saved[-1])):
        return text
    command = f"bdnn size {quote(saved[-1])} --data {quote(str(data))}"
    return f"{text}, measured by: {command} (numbers that are no integers also want --scale)"


def _line(chosen: Chosen, figures: dict[str, Any]) -> str:
    held_out = f"{figures['held_out_accuracy']:.2%}" if "held_out_accuracy" in figures else "–"
    cells = (
        str(chosen.max_bytes), str(chosen.size_bytes), f"{figures['training_accuracy']:.2%}",
        f"{chosen.accuracy:.2%}", held_out,
    )  # fmt: skip
    return "  ".join(f"{cell:>10}" for cell in cells) + f"  {chosen.text}"


def _draw(path: Path, report: dict[str, Any]) -> None:
    """Draw accuracy over bytes."""
    judged = all("held_out_accuracy" in figures for figures in report["front"].values())
    which = "held_out_accuracy" if judged else "validation_accuracy"
    points = {f"at most {most} bytes": (f["size_bytes"], f[which]) for most, f in report["front"].items()}
    contents = picture(
        lambda figure: plot_pareto(points, accuracy=which.replace("_", " "), ax=figure), path.suffix.lower()[1:]
    )
    save_output("picture", path, lambda place: write(place, contents))
