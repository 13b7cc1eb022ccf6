"""Local search: against straight-through gradients, against the paper's methods, and against targets.

    python benchmarks/local_search.py [--parts equal_time quality paper first_call] [--data DIR] [--seeds 3] [--long]

equal_time: the network of `straight_through` is trained, and its least training error noted with the seconds of
training until then (its evaluation and scaling not counted). Then BDNNClassifier gets that time, and 10 times that
time; all of its `fit` counts, the audit too. With `polish="none"`, since the limits are down to tenths of a second.
quality: the training loss within a time limit, all settings as they are by default.
paper: the loss that the paper's methods reach in 30 s (300 s with --long), without our search inside them, and when
local search, in 30 s, reaches it; no times where they got no further than the constant classifier.
first_call: the first and the second `fit` of a fresh process, which reaches a loss of 0 at once.

Errors are audited losses. A time is kept if `fit` takes no more than the limit and 10 %, or 2 s. All runs on one core
(--core). Parts that are run replace those in benchmarks/results/local_search.json. `--only TEXT` runs the cases whose
names have that text and writes nothing.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import subprocess
import sys
import time
from statistics import median

import numpy as np
from common import RESULTS, add_data_option, drawn, load, write_results
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from bdnn import BDNNClassifier, Budget, Problem
from bdnn.methods import METHODS
from bdnn.tables import read_table

BETTER = 0.97
"""Our errors at 10 times the time, at most, as a share of the rival's."""

FIRST_CALL = """
import time
import numpy as np
from bdnn import BDNNClassifier
X = np.linspace(-1.0, 1.0, 200, dtype={dtype!r})[:, None]
for _ in range(2):
    began, cpu = time.perf_counter(), time.process_time()
    BDNNClassifier((), method="local_search", random_state=0).fit(X, X[:, 0] > 0)
    print(time.perf_counter() - began, time.process_time() - cpu)
"""


class Data:
    """The data sets by name, each read once: inputs and class numbers."""

    def __init__(self, folder):
        self._folder, self._read = folder, {}

    def __call__(self, name):
        """Return a data set."""
        if name not in self._read:
            X, y = self._load(name)
            self._read[name] = X, np.unique(y, return_inverse=True)[1]
        return self._read[name]

    def _load(self, name):
        if name == "digits":
            return load_digits(return_X_y=True)
        if name == "mnist":
            with np.load(self._folder / "mnist_train.npz") as file:
                return file["X"].astype(np.float32), file["y"]
        if name == "adult":
            return one_hot(self._folder / "adult_train.csv.gz")
        if name == "heart":  # complete rows only
            table = read_table(self._folder / "heart_cleveland.csv", "target")
            complete = ~np.isnan(table.X).any(axis=1)
            return table.X[complete], table.labels[complete]
        files = {
            "credit card": "default_credit_card.csv.gz",
            "breast cancer": "breast_cancer_wisconsin_bdnn.csv",
            "pima": "pima_diabetes.csv",
        }
        return load(self._folder, files.get(name, f"{name}.csv"))


def one_hot(path):
    """Read a table with text: a column for each of its values."""
    with gzip.open(path, "rt", newline="") as file:
        names, *rows = csv.reader(file)
    columns = dict(zip(names, map(np.array, zip(*rows, strict=True)), strict=True))
    y, parts = columns.pop("target"), []
    for column in columns.values():
        try:
            parts.append(column.astype(float)[:, None])
        except ValueError:
            parts.append((column[:, None] == np.unique(column[column != ""])).astype(float))
    return np.hstack(parts), y


RACES = [
    ("credit card", (3,)),
    ("credit card", (10,)),
    ("adult", (10,)),
    ("spambase", (5,)),
    ("spambase", (16, 8)),
    ("breast cancer", (2,)),
    ("breast cancer", (3,)),
    ("breast cancer", (5,)),
    ("breast cancer", (10,)),
    ("banknote", (3,)),
    ("digits", (32,)),
    ("digits", (16, 8)),
    ("mnist", (64,)),
]

# data, rows drawn (None: all), hidden neurons, seconds, most errors
QUALITY = [
    ("credit card", None, (3,), 10, 5280),
    ("credit card", None, (10,), 20, 5190),
    ("breast cancer", None, (1,), 5, 13),
    ("breast cancer", None, (2,), 5, 10),
    ("breast cancer", None, (3,), 5, 6),
    ("breast cancer", None, (5,), 5, 2),
    ("breast cancer", None, (10,), 5, 0),
    ("heart", None, (), 5, 29),
    ("credit card", 200, (), 5, 16),
    ("pima", 100, (), 5, 15),
    ("ionosphere", None, (), 5, 6),
    ("sonar", 100, (1,), 5, 0),
    ("heart", 60, (2,), 5, 0),
]

# data, rows drawn, hidden neurons
PAPER = [("breast cancer", None, (2,)), ("credit card", 2000, (2,)), ("credit card", 2000, (3,))]
# each program of data splitting gets an equal share of the time: more splits than the default starve it
PAPERS_METHODS = {"alternating": {"n_starts": 1000}, "data_splitting": {}}


def title(name, hidden, rows=None):
    layers = "-".join(map(str, hidden)) + " hidden" if hidden else "no hidden"
    return f"{name}{f' m={rows}' if rows else ''}, {layers}"


def warm_up():
    """Load what is loaded at first use."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    for hidden in ((), (2,), (2, 2)):
        for classes in (2, 3):
            clf = BDNNClassifier(hidden, method="local_search", time_limit=0.5, random_state=0)
            clf.fit(X, rng.integers(classes, size=len(X)))


def fitted(X, y, hidden, seconds, seed, **settings):
    """Train in that time; return the result and wall and processor seconds of the whole fit."""
    settings = {"method": "local_search"} | settings
    clf = BDNNClassifier(hidden, time_limit=seconds, random_state=seed, **settings)
    began, cpu = time.perf_counter(), time.process_time()
    clf.fit(X, y)
    return clf.result_, time.perf_counter() - began, time.process_time() - cpu


def in_time(wall, limit):
    return wall <= max(1.1 * limit, limit + 2)


def reached(history, loss):
    """Seconds until a history has a loss so low, None if never."""
    return next((step.seconds for step in history if step.objective <= loss), None)


def rounded(values, digits=3):
    return [None if value is None else round(value, digits) for value in values]


def middle(values):
    """Median, None counting as infinite."""
    found = median(np.inf if value is None else value for value in values)
    return None if found == np.inf else found


def equal_time(data, options):
    from straight_through import epochs_of, train

    train(*drawn(*data("breast cancer"), 20), (2,), 0)
    rows = []
    for name, hidden in RACES:
        if options.only not in title(name, hidden):
            continue
        X, y = data(name)
        rival, same, ten, when = [], [], [], []
        for seed in range(options.seeds):
            ste = train(X, y, hidden, seed)
            rival.append(ste)
            for runs, limit in ((same, ste.seconds), (ten, 10 * ste.seconds)):
                result, wall, cpu = fitted(X, y, hidden, limit, seed, polish="none")
                runs.append((result.objective, limit, wall, cpu))
            when.append(reached(result.history, ste.errors))
        errors = median(ste.errors for ste in rival)
        row = {
            "case": title(name, hidden),
            "rows": len(X),
            "features": X.shape[1],
            "straight_through": {
                "epochs": epochs_of(len(X)),
                "errors": [ste.errors for ste in rival],
                "seconds_to_best": rounded(ste.seconds for ste in rival),
                "cpu_seconds_to_best": rounded(ste.cpu for ste in rival),
                "seconds_of_all_epochs": rounded(ste.total for ste in rival),
            },
            "median_rival": errors,
        }
        for key, runs in (("same_time", same), ("ten_times", ten)):
            ours = median(run[0] for run in runs)
            row[key] = {
                "errors": [run[0] for run in runs],
                "fit_seconds": rounded(run[2] for run in runs),
                "fit_cpu_seconds": rounded(run[3] for run in runs),
                "median": ours,
                "ratio": round(ours / errors, 3) if errors else None,
                "in_time": all(in_time(run[2], run[1]) for run in runs),
            }
        row["rivals_error_reached_seconds"] = rounded(when)
        row["same_time"]["met"] = row["same_time"]["median"] <= errors and row["same_time"]["in_time"]
        ours = row["ten_times"]["median"]
        row["ten_times"]["met"] = (ours == 0 or ours <= BETTER * errors) and row["ten_times"]["in_time"]
        rows.append(row)
        print(
            f"{row['case']:26} rival {errors:6g} in {median(s.seconds for s in rival):6.2f} s"
            + "".join(
                f" | {key.replace('_', ' ')} {row[key]['median']:6g} ({shown(row[key]['ratio'])}) in "
                f"{median(row[key]['fit_seconds']):6.2f} s {verdict(row[key]['met'])}"
                for key in ("same_time", "ten_times")
            )
            + f" | reached after {shown(middle(when))} s",
            flush=True,
        )
    return rows


def quality(data, options):
    rows = []
    for name, m, hidden, limit, target in QUALITY:
        case = title(name, hidden, m)
        if options.only not in case:
            continue
        X, y = data(name) if m is None else drawn(*data(name), m)
        runs = []
        for seed in range(options.seeds):
            result, wall, _ = fitted(X, y, hidden, limit, seed)
            runs.append((result.objective, wall, reached(result.history, target)))
        row = {
            "case": case,
            "limit": limit,
            "target": target,
            "errors": [run[0] for run in runs],
            "median": median(run[0] for run in runs),
            "fit_seconds": rounded(run[1] for run in runs),
            "target_reached_seconds": rounded(run[2] for run in runs),
            "in_time": all(in_time(run[1], limit) for run in runs),
        }
        row["met"] = row["median"] <= target and row["in_time"]
        row["met_by_all_seeds"] = max(row["errors"]) <= target and row["in_time"]
        rows.append(row)
        print(
            f"{case:28} {row['errors']} target {target} {verdict(row['met'])} in {row['fit_seconds']} s "
            f"(limit {limit}), reached after {row['target_reached_seconds']} s",
            flush=True,
        )
    return rows


def paper(data, options):
    limit = 300.0 if options.long else 30.0
    rows = []
    for name, m, hidden in PAPER:
        X, y = data(name) if m is None else drawn(*data(name), m)
        for method, settings in PAPERS_METHODS.items():
            case = f"{title(name, hidden, m)}, {method}"
            if options.only not in case:
                continue
            runs = []
            for seed in range(options.seeds):
                problem = Problem(X=X, y=y, hidden_layer_sizes=hidden)
                rival = METHODS[method](incumbents="none", **settings)(problem, Budget(seconds=limit, seed=seed))
                result, _, _ = fitted(X, y, hidden, 30.0, seed, polish="none")
                theirs, ours = reached(rival.history, rival.objective), reached(result.history, rival.objective)
                if rival.objective == rival.history[0].objective:  # no better than a constant: nothing to reach
                    theirs = ours = None
                runs.append((rival.objective, theirs, rival.timings["total"], ours, result.objective))
            row = {
                "case": case,
                "limit": limit,
                "losses": [run[0] for run in runs],
                "reached_seconds": rounded(run[1] for run in runs),
                "total_seconds": rounded(run[2] for run in runs),
                "search_reached_seconds": rounded(run[3] for run in runs),
                "search_losses": [run[4] for run in runs],
                "ratio": middle([None if run[3] is None else round(run[1] / run[3], 1) for run in runs]),
            }
            lower = all(run[4] < run[0] for run in runs)
            row["met"] = row["ratio"] > 1 if row["ratio"] is not None else lower and None in row["reached_seconds"]
            rows.append(row)
            print(
                f"{case:44} loss {row['losses']} after {row['reached_seconds']} s; local search after "
                f"{row['search_reached_seconds']} s: {shown(row['ratio'])} times {verdict(row['met'])}; "
                f"in the end {row['search_losses']}",
                flush=True,
            )
    return rows


def first_call(data, options):
    rows = []
    for dtype in ("float64", "float32"):
        runs = {"first fit": [], "second fit": []}
        for _ in range(options.seeds):
            code = FIRST_CALL.format(dtype=dtype)
            done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True)
            for times, line in zip(runs.values(), done.stdout.splitlines(), strict=True):
                times.append([float(word) for word in line.split()])
        for kind, times in runs.items():
            row = {"case": f"{dtype}, {kind}"}
            row["seconds"], row["cpu_seconds"] = (round(median(part), 2) for part in zip(*times, strict=True))
            rows.append(row)
            print(row, flush=True)
    return rows


def shown(value):
    return "–" if value is None else f"{value:.3g}"


def verdict(met):
    return "ok" if met else "NOT MET"


def table(results) -> str:
    """Return the results as Markdown."""
    blocks = []
    if races := results.get("equal_time"):
        lines = [
            "| training errors (medians) | straight-through | s | search, same time | ratio | 10 × the time | ratio "
            "| its error reached after |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for row in races:
            same, ten = row["same_time"], row["ten_times"]
            when = middle(row["rivals_error_reached_seconds"])
            lines.append(
                f"| {row['case']} | {row['median_rival']:g} | {median(row['straight_through']['seconds_to_best']):.2f} "
                f"| {same['median']:g} | {shown(same['ratio'])} | {ten['median']:g} | {shown(ten['ratio'])} "
                f"| {'–' if when is None else f'{when:.2f} s'} |"
            )
        blocks.append("\n".join(lines))
    if rows := results.get("quality"):
        lines = ["| training errors | limit | by seed | target |", "|---|---|---|---|"]
        for row in rows:
            errors = ", ".join(f"{value:g}" for value in row["errors"])
            lines.append(f"| {row['case']} | {row['limit']} s | {errors} | {row['target']} |")
        blocks.append("\n".join(lines))
    if rows := results.get("paper"):
        lines = [
            f"| the paper's methods, {rows[0]['limit']:g} s (medians) | loss | after | local search reaches it after |",
            "|---|---|---|---|",
        ]
        for row in rows:
            times = (middle(row[key]) for key in ("reached_seconds", "search_reached_seconds"))
            cells = " | ".join("–" if when is None else f"{when:.2f} s" for when in times)
            lines.append(f"| {row['case'].replace('_', ' ')} | {median(row['losses']):g} | {cells} |")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


PARTS = {"equal_time": equal_time, "quality": quality, "paper": paper, "first_call": first_call}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--long", action="store_true", help="300 s for each of the paper's methods")
    parser.add_argument("--core", type=int, default=None, help="core to run on, by default the last one")
    parser.add_argument("--only", default="", metavar="TEXT", help="run some cases and write nothing")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {max(cores) if options.core is None else options.core})
    path = RESULTS / "local_search.json"
    results = json.loads(path.read_text())["results"] if path.exists() else {}
    data = Data(options.data)
    with threadpool_limits(limits=1):
        warm_up()
        for part in options.parts:
            print(f"-- {part}", flush=True)
            rows = PARTS[part](data, options)
            if not options.only:
                results[part] = rows
                write_results("local_search", {name: results[name] for name in PARTS if name in results})
    if options.only:
        return
    for part in options.parts:
        for row in results[part]:
            for key, value in {"": row, **{k: v for k, v in row.items() if isinstance(v, dict)}}.items():
                if value.get("met") is False:
                    print(f"NOT MET: {part}, {row['case']} {key.replace('_', ' ')}")


if __name__ == "__main__":
    main()
