"""Tables and plots from a result file and the order of the cells, and from nothing else."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev
from typing import Any

from pool import BUDGETS, FEW
from registry import Cell
from runner import read_results
from sources import MOST_ROWS

OURS = "ours"
TIE = 0.005
"""Means that differ by no more are a tie: half a percentage point."""

_MOST_CELLS = 0.5
"""Methods with a smaller share of the cells of others are compared in tables of their own."""

Scores = dict[tuple[str, str, int], dict[int, float]]
"""Test accuracy by seed, of a data set, a method and a budget."""

_NOTES = f"""\
Test accuracy in %, mean over the seeds, of models of at most so many bytes. Each seed splits a table 60/20/20
into training, validation and test, stratified; of large tables {MOST_ROWS["train"]:,} training and
{MOST_ROWS["validation"]:,} validation rows are used, the same for all, and the whole test part. Of all models
of a method within a budget the one that does best on rows it was not trained on is taken, of equal ones the
smallest. Up to {FEW:,} training and validation rows these are the rows of four folds of both parts together, of
larger tables the validation part; for MLP and straight-through, which take long, always the validation part.
What is tested is trained with the same settings on training and validation rows together. The most frequent
class is a candidate of every method.

Every figure is that of a model that was written to bytes and decoded from them (`benchmarks/bytes/packed_*.py`).
Text columns are one 0/1 column per category for all methods (categories of less than 0.5 % of the rows
together); missing numbers are the lower median of the training rows. What is not counted, for all alike: the
program, the number of classes and the formats of the columns (which are integers, from where to where). Trees:
one bit a node, feature, threshold (as many bits as an integer column has, none for a 0/1 column, else float16,
for single trees also float32), leaf's class; no pointers, as nodes are in preorder; forests vote; boosted
leaves have 8 bits and one scale. Float models: float32, standardization folded in, only the features that are
used. Int8: weights of 8 bits, an exponent per feature, a scale per layer, biases of float16, or float32 in the
first layer, whichever does better. Binarized networks: input features with thresholds, or grids of 2 to 8 bits
with exponent and offset, integer weights packed, biases.

*ours*: the public `CompactBDNNClassifier`, given training and validation rows and the budgets, with its defaults but
for a time limit of 240 seconds that hardly any table reaches; it judges by folds of its own within these rows
(`docs/compact.md`). Its networks are in the packed format of the package (`docs/packed_format.md`).
*straight-through*: thresholds of boosted stumps and trees, grids, shapes and integers as in ours, but no rules, trained
in PyTorch, without sums, and packed in the same format.
*boosting on a diet* (arXiv:2510.26557): trees whose gains pay for every first use of a feature or threshold, by the
bits that it takes; all trees share one dictionary of conditions and one codebook of 4 to 32 leaf values, and nodes
hold indices as wide as these need. Values are integers without a scale; thresholds lie where float16 has the most
trailing zeros, which are not stored; the shape is stored once if all trees are alike. *optimal trees*: ConTree and
STreeD, at most four levels, 6 seconds a search, in folds a quarter; what is found until then. *FIGS*: trees
that grow together, of imodels, packed as those on a diet. *SLIM*: score cards of small integers for thresholds that
boosting chooses first, by coordinate descent on the share of errors plus a price for each weight, from rounded logistic
regression, as no exact search ends within seconds; packed as ours.
Processor seconds of all fits of a method on one data set and seed are at the end. What ours tries was developed on
other splits of some of these tables (seeds from 100), and changed after looks at test results: finer grids and more
members after seed 0, as were the 8-bit rivals, which rounded badly at first; rules after seeds 0 and 1; and in the
package, outputs from logistic regressions, the choice with neighbors and rules of deeper trees, on splits of seeds from
100 alone, but two folds for tables of more than 1,000 rows, and larger rules, after a look at all five seeds;
and boosted trees and folds with equal rows apart on splits of seeds 100 to 104 alone."""


def write(results: Path, cells: list[Cell]) -> str:
    """Write the tables beside the result file, and plots of the full run; return the table of means."""
    machines, records = read_results(results)
    done = [r for cell in cells if (r := records.get(cell.key, {})).get("state") == "done"]
    names = list(dict.fromkeys(cell.data for cell in cells))
    scores: Scores = {}
    for record in done:
        for method, found in record["results"].items():
            for budget, result in found.items():
                scores.setdefault((record["data"], method, int(budget)), {})[record["seed"]] = result["test"]
    methods = list(dict.fromkeys(method for _, method, _ in scores))
    methods.sort(key=lambda method: method != OURS)
    every, everywhere = methods, _restricted(scores, names, methods)
    counts = {method: sum(len(found) for (_, m, _), found in scores.items() if m == method) for method in methods}
    methods = [method for method in methods if counts[method] >= _MOST_CELLS * max(counts.values())]
    scores = _restricted(scores, names, methods)
    lines = ["# Accuracy per byte", "", f"{len(done)} of {len(cells)} cells are finished.", "", _NOTES, ""]
    lines += [
        f"Machine: {entry['processor']}, {entry['cores']} cores, Python {entry['python']}, one thread."
        for entry in machines[-1:]
    ]
    means = _means(scores, names, methods)
    if OURS in methods:
        lines += ["", "## Ours against each rival", "", *_summary(scores, done, names, methods)]
        lines += ["", "## Mean over the data sets", "", *means]
        if len(every) > len(methods):
            lines += ["", "## With methods that were run on few seeds", "", *_means(everywhere, names, every)]
            lines += ["", *_summary(everywhere, done, names, every)]
    for name in names:
        lines += ["", f"## {name}", "", *_table(scores, name, methods)]
    lines += ["", "## Processor seconds", "", *_seconds(done)]
    failed = sorted({(r["data"], r["method"], r["reason"]) for r in records.values() if r["state"] != "done"})
    if failed:
        lines += ["", "## Without result", "", *(f"- {method} on {data}: {why}" for data, method, why in failed)]
    path = results.with_suffix(".md")
    path.write_text("\n".join(lines) + "\n")
    print("wrote", path.name)
    if results.stem == "bytes":
        plot(scores, [name for name in names if any(key[0] == name for key in scores)], methods, results.parent)
    return "\n".join(means[2:])


def _restricted(scores: Scores, names: list[str], methods: list[str]) -> Scores:
    """Return the scores of some methods; of an unfinished run, those of the seeds that all have, if there are any."""
    found: Scores = {}
    for name in names:
        common = _common(scores, name, BUDGETS[0], methods)
        for (data, method, budget), of in scores.items():
            if data == name and method in methods:
                found[data, method, budget] = {seed: of[seed] for seed in common or of}
    return found


def _common(scores: Scores, name: str, budget: int, methods: list[str]) -> list[int]:
    """Return the seeds for which all of these methods have a result."""
    found = [set(scores.get((name, method, budget), {})) for method in methods]
    return sorted(set.intersection(*found)) if found else []


def _gap(scores: Scores, name: str, budget: int, rival: str) -> float | None:
    """Return ours minus theirs, mean over the seeds that both have."""
    seeds = _common(scores, name, budget, [OURS, rival])
    if not seeds:
        return None
    return mean(scores[name, OURS, budget][s] - scores[name, rival, budget][s] for s in seeds)


def _verdicts(gaps: list[float | None]) -> str:
    known = [gap for gap in gaps if gap is not None]
    if not known:
        return "–"
    wins, losses = sum(gap > TIE for gap in known), sum(gap < -TIE for gap in known)
    return f"{wins} / {len(known) - wins - losses} / {losses} ({100 * mean(known):+.1f})"


def _summary(scores: Scores, done: list[dict[str, Any]], names: list[str], methods: list[str]) -> list[str]:
    """Count wins, ties and losses over the data sets."""
    rivals = [method for method in methods if method != OURS]
    lines = [
        "Data sets won / tied / lost, and the mean difference in percentage points. A tie is a difference of means of"
        f" at most {100 * TIE:g} points. *Best in hindsight* is the rival with the best mean test accuracy on that data"
        " set and budget, which nobody can know beforehand; *best by validation* is the rival that validation picks"
        " among all of theirs, seed by seed.",
        "",
        f"| ours against | {' | '.join(f'{budget:,} bytes' for budget in BUDGETS)} | all |",
        "|---" * (len(BUDGETS) + 2) + "|",
    ]
    rows = {rival: [[_gap(scores, n, budget, rival) for n in names] for budget in BUDGETS] for rival in rivals}
    hindsight, picked = [], _picked(done, rivals)
    for budget in range(len(BUDGETS)):
        worst = [[rows[rival][budget][k] for rival in rivals] for k in range(len(names))]
        hindsight.append([min((g for g in gaps if g is not None), default=None) for gaps in worst])
    validated = scores | {(n, "picked", b): values for (n, b), values in picked.items()}
    rows["**best by validation**"] = [[_gap(validated, n, b, "picked") for n in names] for b in BUDGETS]
    rows["**best in hindsight**"] = hindsight
    for rival, gaps in rows.items():
        everything = [gap for row in gaps for gap in row]
        lines.append(f"| {rival} | {' | '.join(map(_verdicts, gaps))} | {_verdicts(everything)} |")
    return lines


def _means(scores: Scores, names: list[str], methods: list[str]) -> list[str]:
    """Average over data sets, each with the seeds that all methods have."""
    common = {name: _common(scores, name, BUDGETS[0], methods) for name in names}
    complete = [name for name in names if common[name]]
    if not complete:
        return ["No data set has results of all methods yet."]
    lines = [
        f"Over {len(complete)} data sets and, of each, the seeds that all methods have.",
        "",
        f"| method | {' | '.join(f'{budget:,}' for budget in BUDGETS)} |",
        "|---" * (len(BUDGETS) + 1) + "|",
    ]
    rows = {
        method: [mean(mean(scores[n, method, b][s] for s in common[n]) for n in complete) for b in BUDGETS]
        for method in methods
    }
    for method, values in rows.items():
        highest = [max(each) for each in zip(*rows.values(), strict=True)]
        shown = [f"{100 * v:.1f}" for v in values]
        marked = [f"**{t}**" if v >= top - 5e-4 else t for t, v, top in zip(shown, values, highest, strict=True)]
        lines.append(f"| {method} | {' | '.join(marked)} |")
    return lines


def _picked(done: list[dict[str, Any]], rivals: list[str]) -> dict[tuple[str, int], dict[int, float]]:
    """Return the test accuracy of the rival with the best validation accuracy, of equal ones the smallest."""
    best: dict[tuple[str, int, int], tuple[float, int, float]] = {}
    for record in done:
        for method, found in record["results"].items():
            for budget, result in found.items() if method in rivals else ():
                key = (record["data"], int(budget), record["seed"])
                entry = (result["validation"], -result["bytes"], result["test"])
                best[key] = max(best.get(key, entry), entry, key=lambda each: each[:2])
    picked: dict[tuple[str, int], dict[int, float]] = {}
    for (name, budget, seed), (_, _, test) in best.items():
        picked.setdefault((name, budget), {})[seed] = test
    return picked


def _table(scores: Scores, name: str, methods: list[str]) -> list[str]:
    lines = [
        f"| method | seeds | {' | '.join(f'{budget:,}' for budget in BUDGETS)} |",
        "|---" * (len(BUDGETS) + 2) + "|",
    ]
    means = {m: {b: mean(v.values()) for b in BUDGETS if (v := scores.get((name, m, b)))} for m in methods}
    highest = {b: max((each.get(b, 0.0) for each in means.values()), default=0.0) for b in BUDGETS}
    for method in methods:
        if not means[method]:
            continue
        shown = []
        for budget in BUDGETS:
            values = list(scores[name, method, budget].values())
            text = f"{100 * means[method][budget]:.1f}"
            if means[method][budget] >= highest[budget] - 5e-4:
                text = f"**{text}**"
            shown.append(text + (f" ± {100 * stdev(values):.1f}" if len(values) > 1 else ""))
        lines.append(f"| {method} | {len(scores[name, method, BUDGETS[0]])} | {' | '.join(shown)} |")
    return lines


def _seconds(done: list[dict[str, Any]]) -> list[str]:
    lines = ["| method | mean | longest |", "|---|---|---|"]
    for method in dict.fromkeys(record["method"] for record in done):
        seconds = [record["cpu_with_refits"] for record in done if record["method"] == method]
        lines.append(f"| {method} | {mean(seconds):.1f} | {max(seconds):.1f} |")
    return lines


STYLES = (
    # the colors of M. Okabe and K. Ito, told apart by markers and lines too
    ("#009E73", "s", "-"),
    ("#009E73", "^", "--"),
    ("#D55E00", "v", "-"),
    ("#0072B2", "D", "-"),
    ("#0072B2", "x", "--"),
    ("#CC79A7", "P", "-"),
    ("#CC79A7", "+", "--"),
    ("#E69F00", "*", "-"),
    ("#56B4E9", "<", "-"),
    ("#56B4E9", "1", "--"),
    ("#999999", ">", "-"),
    ("#999999", "2", "--"),
)
"""Color, marker and line of each rival, in their order."""


def plot(scores: Scores, names: list[str], methods: list[str], folder: Path) -> None:
    """Draw mean test accuracy against the budget, a panel for each data set, as bytes.png."""
    try:
        import matplotlib
    except ImportError:
        print("no plots: matplotlib is not installed")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = 5
    rows = -(-len(names) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(3.2 * columns, 2.5 * rows), squeeze=False, sharex=True)
    rivals = [method for method in methods if method != OURS]
    styles = {OURS: ("#000000", "o", "-")} | dict(zip(rivals, STYLES, strict=False))
    for axis, name in zip(axes.flat, names, strict=False):
        for method in methods:
            points = [(b, 100 * mean(v.values())) for b in BUDGETS if (v := scores.get((name, method, b)))]
            if points:
                front, (color, marker, line) = method == OURS, styles[method]
                axis.plot(
                    *zip(*points, strict=True), color=color, marker=marker, linestyle=line, label=method,
                    markersize=4.5 if front else 3.5, linewidth=2.0 if front else 1.0, zorder=3 if front else 2,
                )  # fmt: skip
        axis.set_xscale("log", base=2)
        axis.set_xticks(BUDGETS, [f"{budget:,}" for budget in BUDGETS])
        axis.tick_params(labelsize=7)
        axis.set_title(name, fontsize=9)
        axis.grid(alpha=0.3)
    for axis in list(axes.flat)[len(names) :]:
        axis.axis("off")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=5, fontsize=8, frameon=False)
    figure.supxlabel("bytes at most", fontsize=9, y=0.055)
    figure.supylabel("test accuracy in %", fontsize=9)
    figure.tight_layout(rect=(0.01, 0.06, 1, 1))
    figure.savefig(folder / "bytes.png", dpi=70)
    pyplot.close(figure)
    print("wrote bytes.png")
