"""Independent work on two processes against one: starts, members of an ensemble, certification, compact candidates.

    python benchmarks/parallel.py [--repeat 3] [--scale 1.0] [--backends loky,dask] [--work starts,members,...]

Everything is done by one process, then by two of each backend, in pairs one after the other; the speed-up is the median
of the ratios of wall-clock seconds, so the machine must have two processors that nobody else uses. Processes are
started and have done a task before the clock runs; what a first call costs more is a column of its own. Both give the
same answer, which is checked. Dask (pip install distributed) is left out where it is not installed. Rewrites
benchmarks/results/parallel.json and parallel.md; ten minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec

import joblib
import numpy as np
from common import RESULTS, write_results

from bdnn import BDNNClassifier, BDNNEnsembleClassifier, Budget, CompactBDNNClassifier, Problem, certify
from bdnn.methods import METHODS

_GOALS = {"starts": 1.8, "certification": 1.8}
_SEEDS = 7


def points(rows, features, noise=0.6, seed=0):
    """Return points and two noisy labels."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 50, (rows, features)).astype(float)
    hidden = X @ rng.normal(size=(features, 4)) > 0
    return X, (hidden.sum(axis=1) + noise * rng.normal(size=rows) > 2).astype(int)


def starts(scale):
    """Sixteen starts of a local search for as many rounds each."""
    X, y = points(int(4000 * scale), 20)
    problem = Problem(X=X, y=y, hidden_layer_sizes=(8,))

    def run(jobs):
        method = METHODS["local_search"](n_starts=16, polish="none")
        result = method(problem, Budget(rounds=80, seed=_SEEDS, threads=jobs))
        return result.objective, [layer.weights.tolist() for layer in result.network.layers]

    return run


def members(scale):
    """Twelve networks of integers that vote."""
    X, y = points(int(150 * scale), 12)
    member = BDNNClassifier((6,), "local_search", weights="integer")

    def run(jobs):
        clf = BDNNEnsembleClassifier(member, n_estimators=12, n_jobs=jobs, time_limit=None, random_state=_SEEDS)
        return clf.fit(X, y).decision_function(X).tolist()

    return run


def certification(scale):
    """Smallest perturbations of points that a network of ten hidden neurons sees."""
    X, y = points(15000, 10)
    clf = BDNNClassifier((10,), "local_search", time_limit=3.0, random_state=_SEEDS).fit(X, y)
    asked = X[: int(15000 * scale)]

    def run(jobs):
        found = certify(clf.network_, asked, n_jobs=jobs)
        assert found.undecided.mean() < 1e-3  # distances that are known to less than six digits
        return found.radius.tolist()

    return run


def compact(scale):
    """Networks of at most 24 bytes."""
    X, y = points(int(400 * scale), 8)

    def run(jobs):
        clf = CompactBDNNClassifier(24, time_limit=None, n_jobs=jobs, random_state=_SEEDS).fit(X, y)
        return [(each.text, each.size_bytes, each.accuracy) for each in clf.tried_]

    return run


WORK = {"starts": starts, "members": members, "certification": certification, "compact": compact}


def told(found, clock=time.perf_counter):
    """Return what a call returns, and its seconds."""
    began = clock()
    return found(), clock() - began


@contextmanager
def processes(backend):
    """Two processes of a backend, in which joblib does what is independent."""
    with ExitStack() as stack:
        if backend == "dask":
            from distributed import Client, LocalCluster

            cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
            stack.enter_context(Client(stack.enter_context(cluster)))
            stack.enter_context(joblib.parallel_config("dask"))
        else:
            stack.enter_context(joblib.parallel_config(backend, n_jobs=2))
        yield


def measure(name, backends, repeat, scale):
    """Return figures of one kind of work."""
    run = WORK[name](scale)
    run(1)  # what is imported and prepared once
    seconds, first, same = {}, {}, True
    for backend in backends:
        seconds[backend] = []
        with processes(backend):
            _, first[backend] = told(lambda: run(2))
            for _ in range(repeat):
                with joblib.parallel_config("sequential"):
                    answer, one = told(lambda: run(1))
                again, two = told(lambda: run(2))
                same &= again == answer
                seconds[backend].append((one, two))
    assert same, f"{name}: two processes gave another answer"
    return [
        {
            "work": name,
            "backend": backend,
            "seconds_1": round(float(np.median([one for one, _ in seconds[backend]])), 3),
            "seconds_2": round(float(np.median([two for _, two in seconds[backend]])), 3),
            "first_call_2": round(first[backend], 3),
            "speed_up": round(float(np.median([one / two for one, two in seconds[backend]])), 3),
            "speed_ups": [round(one / two, 3) for one, two in seconds[backend]],
            "goal": _GOALS.get(name),
            "same_answer": same,
        }
        for backend in backends
    ]


def table(rows):
    """Return the figures as a page."""
    lines = [
        "| work | backend | one process, s | two, s | speed-up | goal | first call of two, s |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        goal = "" if row["goal"] is None else f"{row['goal']:.1f}"
        lines.append(
            f"| {row['work']} | {row['backend']} | {row['seconds_1']:.2f} | {row['seconds_2']:.2f} | "
            f"{row['speed_up']:.2f} | {goal} | {row['first_call_2']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main():
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="part of the rows, for a trial")
    parser.add_argument("--backends", default="loky,dask" if find_spec("distributed") else "loky")
    parser.add_argument("--work", default=",".join(WORK))
    args = parser.parse_args()
    path, works = RESULTS / "parallel.json", args.work.split(",")
    known = json.loads(path.read_text())["results"]["rows"] if path.exists() else []
    rows = [row for row in known if row["work"] not in works]
    for name in works:
        rows += measure(name, args.backends.split(","), args.repeat, args.scale)
        print(table(rows[-len(args.backends.split(",")) :]), end="", flush=True)
    rows.sort(key=lambda row: (list(WORK).index(row["work"]), row["backend"] != "loky"))
    if args.scale == 1.0:
        write_results("parallel", {"load": [round(each, 2) for each in os.getloadavg()], "rows": rows})
        (RESULTS / "parallel.md").write_text(table(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
