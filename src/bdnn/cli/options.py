"""Options that commands share, and the kinds of values they take."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from bdnn.calibration import RULES
from bdnn.cli.output import STDOUT
from bdnn.errors import InputError
from bdnn.result import MEASURES

Command = Callable[..., None]

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
CLUSTER_HELP = "Where subtrees are worked on: a Dask scheduler's address, or local:N for N processes of this machine."
JOBS_HELP = "-1 for all usable processors, -2 for all but one"
SEED = click.IntRange(0, 2**31 - 1)  # as `bdnn.Budget` takes it


class OutputFile(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A file to write.

    Parameters
    ----------
    dash : bool
        Whether ``-`` is accepted, for standard output.
    """

    name = "file"

    def __init__(self, dash: bool = False) -> None:
        self.dash = dash

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path; what is already there is looked at by the command, which knows its inputs."""
        if isinstance(value, Path):
            return value
        if value == str(STDOUT):
            if not self.dash:
                self.fail("standard output (-) cannot take it; give a file", param, ctx)
            return STDOUT
        # a path forgets a trailing slash
        if os.path.basename(value) in ("", os.curdir, os.pardir):
            self.fail(f"{value!r} is a folder; give the name of a file in it", param, ctx)
        path = Path(value)
        return path.absolute() if path == STDOUT else path


OUT = OutputFile()
TEXT_OUT = OutputFile(dash=True)


class HiddenSizes(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """``16,8`` for two hidden layers, ``none`` for no hidden layer.

    Parameters
    ----------
    auto : bool
        Whether ``auto`` is accepted, for layers that are chosen.
    """

    name = "sizes"

    def __init__(self, auto: bool = False) -> None:
        self.auto = auto

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...] | str:
        """Return the sizes, or the word "auto"."""
        if isinstance(value, tuple):
            return value
        word = value.strip().lower()
        if word == "none":
            return ()
        if self.auto and word == "auto":
            return "auto"
        try:
            return tuple(int(size) for size in value.split(","))
        except ValueError:
            words = "nor 'none' or 'auto'" if self.auto else "nor 'none'"
            self.fail(f"{value!r} is not a list of layer sizes such as 2 or 16,8, {words}", param, ctx)


class Factor(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A number, or ``lexicographic``."""

    name = "factor"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """Return the number, or the word."""
        if value == "lexicographic":
            return "lexicographic"
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor 'lexicographic'", param, ctx)


class Frequency(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """``5`` for rows, ``0.01`` for a part of them."""

    name = "frequency"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | float:
        """Return the number."""
        try:
            return int(value)
        except ValueError:
            pass
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number of rows nor a part of them", param, ctx)


class Signs(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """``age=+1,chol=-1``."""

    name = "signs"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, int] | None:
        """Return the sign of each column."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        signs: dict[str, int] = {}
        for part in value.split(","):
            name, _, sign = part.rpartition("=")
            if not name or sign not in ("1", "+1", "-1", "0"):
                self.fail(f"{part!r} is not a column and its sign; write, for instance, age=+1,chol=-1", param, ctx)
            if name in signs:
                self.fail(f"{value!r} names {name!r} twice; give each column one sign", param, ctx)
            signs[name] = int(sign)
        return signs


class Radius(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """``0.1`` for all features, ``1,0,2.5`` for one radius each."""

    name = "radius"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | list[float]:
        """Return the number or numbers."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        try:
            numbers = [float(part) for part in value.split(",")]
        except ValueError:
            self.fail(f"{value!r} is not a number, nor numbers separated by commas", param, ctx)
        return numbers if len(numbers) > 1 else numbers[0]


class ClassWeights(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """``balanced``, or ``no=1,yes=5``."""

    name = "weights"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | dict[str, float]:
        """Return the word, or the weights by the text of labels."""
        if not isinstance(value, str) or value == "balanced":
            return value  # type: ignore[no-any-return]
        weights: dict[str, float] = {}
        for part in value.split(","):
            label, _, number = part.rpartition("=")
            try:
                weight = float(number)
            except ValueError:
                label = ""
            if not label:
                self.fail(f"{value!r} is neither 'balanced' nor weights of labels such as no=1,yes=5", param, ctx)
            if label in weights:
                self.fail(f"{value!r} names {label!r} twice; give each label one weight", param, ctx)
            weights[label] = weight
        return weights


class DecisionThreshold(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """``recall=0.9``, or ``precision=0.8,positive=yes``."""

    name = "value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """Return the setting; the label is text."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        wanted, _, label = value.partition(",positive=")
        measure, _, number = wanted.partition("=")
        expected = "recall=0.9 or precision=0.8,positive=yes"
        try:
            least = float(number)
        except ValueError:
            self.fail(f"{value!r} is not such as {expected}", param, ctx)
        if measure not in MEASURES:
            self.fail(
                f"{value!r} is not about one of {', '.join(MEASURES)}; write, for instance, {expected}", param, ctx
            )
        return {measure: least} | ({"positive": label} if label else {})


class ProbabilityRule(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """``cross-fit`` or ``held-out``."""

    name = "rule"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | bool:
        """Return the rule as the estimators take it."""
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        rule = value.replace("-", "_")
        if rule not in RULES:
            self.fail(f"{value!r} is neither {' nor '.join(rule.replace('_', '-') for rule in RULES)}", param, ctx)
        return rule


def with_options(command: Command, options: Sequence[Callable[[Command], Command]]) -> Command:
    """Give a command some options, in this order."""
    for option in reversed(options):
        command = option(command)
    return command


CLASS_WEIGHT = click.option(
    "--class-weight", type=ClassWeights(), default=None,
    help="Weights of the classes in the loss: balanced, or such as no=1,yes=5; labels left out weigh 1.",
)  # fmt: skip


def estimator_options(command: Command) -> Command:
    """Give a command one option per parameter of the estimator."""
    options = (
        click.option("--hidden", "hidden_layer_sizes", type=HiddenSizes(auto=True), default="auto",
                     show_default=True,
                     help="Neurons of each hidden layer, such as 2 or 16,8; 'none' for no hidden layer; 'auto': none "
                     "to 32, and thresholds or not, chosen by held-out accuracy; 2 where a proof is near."),
        click.option("--method", default="auto", show_default=True,
                     help="auto, exact, local_search, alternating or data_splitting."),
        click.option("--weights", default="continuous", show_default=True, help="continuous or integer."),
        click.option("--weight-bound", type=int, default=1, show_default=True,
                     help="Integer weights lie in {-B..B}; 1 is ternary."),
        click.option("--intercept/--no-intercept", "fit_intercept", default=True, show_default=True,
                     help="Whether neurons have biases."),
        click.option("--head", default="auto", show_default=True, help="auto, threshold or argmax."),
        click.option("--formulation", default="auto", show_default=True,
                     help="Exact: auto, activation, big_m (the paper) or enumeration."),
        click.option("--solver", default="auto", show_default=True, help="auto, highs, scip, cpsat or gurobi."),
        click.option("--regularizer", default=None, help="l1, l0 or l2: keep the weights small."),
        click.option("--regularization", type=Factor(), default="0", show_default=True,
                     help="Factor of the regularizer, or 'lexicographic': loss first, regularizer second."),
        click.option("--max-splits", type=int, default=20, show_default=True, help="Data splitting: number of splits."),
        click.option("--splitter", default="kmeans", show_default=True, help="Data splitting: kmeans or svm."),
        click.option("--batch-size", type=int, default=None,
                     help="Data splitting: random points per program.  [default: all]"),
        click.option("--initial-clusters", default="one", show_default=True,
                     help="Data splitting: one cluster, or one per class."),
        click.option("--blocks", default="layers", show_default=True, help="Alternating: layers or neurons."),
        click.option("--starts", "n_starts", type=int, default=1, show_default=True,
                     help="Alternating and local search: starts."),
        click.option("--checkpoint", type=OUT, default=None,
                     help="Exact, activation: file to write the state of the run to, and to go on from if it exists."),
        click.option("--cluster", default=None, help=f"Exact, activation. {CLUSTER_HELP}"),
        click.option("--incumbents", default="search", show_default=True,
                     help="Programs start from a short local search, or none."),
        click.option("--polish", default="margin", show_default=True,
                     help="Local search: margin (largest margins at the end) or none."),
        click.option("--robust-radius", type=Radius(), default="0", show_default=True,
                     help="Points must stay right within this radius: a number, or one per feature, such as 1,0,2.5."),
        click.option("--robust-norm", default="inf", show_default=True, help="inf, 1 or 2."),
        click.option("--robust-model", default="interval", show_default=True,
                     help="interval, worst_case or pattern (the paper)."),
        click.option("--validation-fraction", type=float, default=0.0, show_default=True,
                     help="Fraction of the training rows held out to choose the network by its accuracy there."),
        click.option("--margin", type=float, default=None, help="Least distance of pre-activations from 0, on inputs "
                     "and weights scaled to 1.  [default: the smallest that is safe]"),
        click.option("--input-bits", type=int, default=8, show_default=True,
                     help="Bits per input for integer weights, unless all inputs are integers."),
        click.option("--max-categories", type=int, default=20, show_default=True,
                     help="Most bits of a categorical column; the less frequent levels share one of them."),
        click.option("--min-frequency", type=Frequency(), default=None,
                     help="Least rows, or part of the rows, of a level with a bit of its own.  [default: 1]"),
        click.option("--missing-indicator", default="auto", show_default=True,
                     help="Bits that say where a value is missing: auto (where it pays), always or never."),
        click.option("--thresholds", type=int, default=None,
                     help="Most bits x >= t in place of a numeric column.  [default: its value as it is, or as "
                     "--hidden auto chooses]"),
        CLASS_WEIGHT,
        click.option("--probability", type=ProbabilityRule(), is_flag=False, flag_value=RULES[0], default=False,
                     help="Calibrate probabilities of the classes: cross-fit, which is also meant by the option alone, "
                     "by more networks in half of the time, or held-out, by rows that train nothing."),
        click.option("--decision-threshold", type=DecisionThreshold(), default=None,
                     help="Move the output by rows that are held out: recall, precision or specificity of the second "
                     "class, such as recall=0.9, or of another: precision=0.8,positive=yes."),
        click.option("--max-features", type=int, default=None,
                     help="Columns that the network may use, at most.  [default: all]"),
        click.option("--monotonic", type=Signs(), default=None,
                     help="Columns with a sign, such as age=+1,chol=-1: the second class in order may only become more "
                     "(+1) or less (-1) likely as the column grows; two classes."),
        click.option("--time-limit", type=float, default=60.0, show_default=True, help="Seconds for the whole fit."),
        click.option("--memory-limit", default=None, metavar="SIZE",
                     help="Memory of the process, such as 4GB; where the rows of Parquet files do not fit, a sample is "
                     "trained on, and improved on all rows; other tables are refused.  [default: half of the memory of "
                     "the machine, for data sets]"),
        click.option("--jobs", "n_jobs", type=int, default=1, show_default=True,
                     help=f"Threads of the solver, or starts and shapes that are trained at once; {JOBS_HELP}."),
        click.option("--seed", "random_state", type=SEED, default=0, show_default=True,
                     help="Seed of the split and of the training."),
    )  # fmt: skip
    return with_options(command, options)


def attacker_options(command: Command) -> Command:
    """Give a command the options that say what a perturbation may do; `attacker` makes settings of them."""
    options = (
        click.option("--norm", default="inf", show_default=True, help="Norm of the perturbations: inf, 1 or 2."),
        click.option("--lower", type=Radius(), default=None,
                     help="Least value of perturbed columns: a number, or one per column in the model's order."),
        click.option("--upper", type=Radius(), default=None, help="Largest value, likewise."),
        click.option("--frozen", multiple=True, help="Column that an attacker cannot change; may be repeated."),
        click.option("--integer", is_flag=True, help="All features are integers and stay so."),
        click.option("--integer-column", "integers", multiple=True,
                     help="Column of integers that stay so; may be repeated."),
        click.option("--scale", type=click.Choice(["one", "range"]), default="one", show_default=True,
                     help="Unit of each feature's perturbation: 1, or its range in the table."),
    )  # fmt: skip
    return with_options(command, options)


def attacker(
    X: NDArray[Any], *, frozen: tuple[str, ...], integer: bool, integers: tuple[str, ...], scale: str, **others: Any
) -> dict[str, Any]:
    """Return settings of `bdnn.certify` from the values of `attacker_options`.

    Raises
    ------
    InputError
        If both options on integers are given.
    """
    if integer and integers:
        raise InputError("--integer says that all columns hold integers; leave it or --integer-column out")
    settings: dict[str, Any] = {"frozen": list(frozen) or None, "integer": list(integers) or integer, **others}
    if scale == "range":
        values = X.astype(np.float64)
        width = np.fmax.reduce(values) - np.fmin.reduce(values)  # of the known values
        settings["scale"] = np.where(width > 0, width, 1.0)
    return settings
