"""Exact training on random small problems against brute force, the paper's model and the checker of certificates.

    python benchmarks/soundness.py [--problems 2000] [--runs 20000] [--halfspaces 2000] [--pairs 1000] [--ranks 2000]
        [--clauses 4000]

Each problem has 1 to 3 features, up to 14 points, no hidden layer or 1 to 3 hidden neurons, two classes, and sample
weights, ties, duplicates or conflicting labels. Its least loss is found by enumerating every set of points that a
threshold neuron can fire on, in integers. Branch and cut over activations must find it and prove it by a certificate
that `bdnn.verify_certificate` accepts; the program of the paper must find it, too, unless its margin forbids it. In the
further runs, on other problems, by one thread or two, and stopped after a random number of nodes, no bound may be above
the least loss, and no loss below it. On problems without hidden layer and with up to four features the enumeration of
halfspaces must prove the least loss, also with columns that add nothing and numbers whose digits fill a double, and
that of pairs on problems with two hidden neurons and up to two features. In a last part rank rows are sought from the
first moment on, by one thread or two: the same is asked of what is proven with them, and of each of them, in searches
that are stopped anywhere; and the problems with two hidden neurons or three are proven by clauses alone, in runs that
are interrupted anywhere, and to the end. Rewrites benchmarks/results/soundness.json; fails at the first contradiction.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import time
from collections import Counter
from contextlib import contextmanager

import numpy as np
from common import RESULTS, write_results

from bdnn import Budget, Problem, verify_certificate
from bdnn.branch_and_cut import engine
from bdnn.branch_and_cut.cuts import Cuts
from bdnn.branch_and_cut.program import programs
from bdnn.branch_and_cut.rank_rows import RankRows
from bdnn.branch_and_cut.rank_work import RankWork
from bdnn.methods.exact import ExactTraining
from bdnn.problem.presolve import presolve
from bdnn.result import NOTHING_TO_CERTIFY
from bdnn.search.halfspace import separators

FEATURES, POINTS, WIDTHS = (1, 2, 3), 14, (0, 1, 2, 3)
FEWEST_FOR_CLAUSES = 2  # hidden neurons


def normal(corners):
    """Return an integer normal of the hyperplane through n points of n dimensions; 0 if they are dependent."""
    base = corners[0]
    edges = [[a - b for a, b in zip(corner, base, strict=True)] for corner in corners[1:]]
    n = len(base)
    return [(-1) ** k * determinant([row[:k] + row[k + 1 :] for row in edges]) for k in range(n)]


def determinant(rows):
    """Return the determinant of a small square matrix of Python integers."""
    if not rows:
        return 1
    minors = ([row[:k] + row[k + 1 :] for row in rows[1:]] for k in range(len(rows)))
    return sum((-1) ** k * rows[0][k] * determinant(minor) for k, minor in enumerate(minors))


@functools.lru_cache(maxsize=100_000)
def dichotomies(points):
    """Return the sets of distinct integer points that a threshold neuron can fire on, as tuples of bool.

    A separating hyperplane can be moved until it goes through as many points as there are dimensions; those on it are
    then divided by a hyperplane of it.
    """
    everything = {(False,) * len(points), (True,) * len(points)}
    if len(points) == 1:
        return everything
    n = len(points[0])
    planes = [(c, normal(c)) for c in itertools.combinations(points, n)]
    planes = [(corners, direction) for corners, direction in planes if any(direction)]
    if not planes:  # all on one hyperplane: some projection along an axis keeps them apart as they are
        for k in range(n):
            dropped = tuple(point[:k] + point[k + 1 :] for point in points)
            if rank(dropped) == rank(points):
                return dichotomies(dropped)
    found = everything
    for corners, direction in planes:
        side = [sum(a * (x - y) for a, x, y in zip(direction, point, corners[0], strict=True)) for point in points]
        axis = next(k for k, a in enumerate(direction) if a)
        on = [k for k, s in enumerate(side) if s == 0]
        inside = (
            dichotomies(tuple(points[k][:axis] + points[k][axis + 1 :] for k in on)) if n > 1 else {(False,), (True,)}
        )
        for sign in (1, -1):
            fired = [sign * s > 0 for s in side]
            for part in inside:
                for k, fires in zip(on, part, strict=True):
                    fired[k] = fires
                found.add(tuple(fired))
    return found


def rank(points):
    """Return the dimension of the affine hull of small integer points."""
    return int(np.linalg.matrix_rank(np.array(points, dtype=float) - np.array(points[0], dtype=float)))


@functools.cache
def output_functions(d):
    """Return truth tables of d bits of a threshold neuron, one of those equal up to order or inversion of bits."""
    corners = list(itertools.product((0, 1), repeat=d))
    weights = itertools.product(range(-2, 3), repeat=d)
    tables = {
        tuple(2 * sum(a * b for a, b in zip(w, u, strict=True)) >= t for u in corners)
        for w in weights
        for t in range(-13, 14)
    }
    assert len(tables) == {1: 4, 2: 14, 3: 104}[d]
    kept, seen = [], set()
    for table in sorted(tables):
        if table in seen:
            continue
        kept.append(np.array(table, dtype=np.float64).reshape((2,) * d))
        for order in itertools.permutations(range(d)):
            turned = kept[-1].transpose(order)
            for axes in itertools.product((1, -1), repeat=d):
                seen.add(tuple(turned[tuple(slice(None, None, a) for a in axes)].ravel() > 0.5))
    return kept


def least_loss(X, y, weight, width):
    """Return the smallest loss of all networks, by enumeration."""
    points, place = np.unique(X, axis=0, return_inverse=True)
    on, off = (np.bincount(place.ravel(), weight * (y == label), len(points)) for label in (1, 0))
    gain = on - off
    fired = np.array(sorted(dichotomies(tuple(map(tuple, points.astype(int).tolist())))), dtype=np.float64)
    if width == 0:
        return on.sum() - (fired @ gain).max()
    best = 0.0
    for table in output_functions(width):
        # all neurons but the last are enumerated, the best last one then is a product of matrices
        visits = gain[None, None, :]
        for _ in range(width - 1):
            visits = np.stack(
                [
                    (visits[:, :, None] * (fired if bit else 1 - fired)).reshape(len(visits), -1, len(gain))
                    for bit in (0, 1)
                ],
                axis=1,
            ).reshape(2 * len(visits), -1, len(gain))
        values = table.reshape(-1, 2)
        for part in range(0, visits.shape[1], 20_000):
            block = visits[:, part : part + 20_000]
            rests, differs = (
                np.einsum("c,cvp->vp", column, block) for column in (values[:, 0], values[:, 1] - values[:, 0])
            )
            best = max(best, (rests.sum(axis=1) + (differs @ fired.T).max(axis=1)).max())
    return on.sum() - best


def random_problem(rng, fewest=4, cheap=False):
    """Return points, labels, sample weights and width; cheap: no case whose enumeration takes seconds."""
    width, n = int(rng.choice(WIDTHS)), int(rng.choice(FEATURES))
    n = min(n, 2) if cheap and width == 3 else n
    m = int(rng.integers(fewest, POINTS + 1))
    largest = int(rng.choice([2, 3, 5, 9, 1000]))  # coarse grids have duplicates, conflicts and points in line
    X, y = rng.integers(0, largest, (m, n)).astype(float), rng.permutation(np.r_[0, 1, rng.integers(0, 2, m - 2)])
    weight = [np.ones(m), rng.integers(1, 9, m) / 1.0, rng.integers(1, 9, m) / 4.0][rng.integers(3)]
    return X, y, weight, width


def random_halfspaces(rng, most=4, points=(15, 15, 13, 10)):
    """Return points, labels and sample weights, and the same points as the enumeration is to see them."""
    n = int(rng.integers(1, most + 1))
    m = int(rng.integers(n + 2, points[n - 1]))
    X = rng.integers(0, int(rng.choice([2, 3, 5, 9, 1000])), (m, n)).astype(float)
    y = rng.permutation(np.r_[0, 1, rng.integers(0, 2, m - 2)])
    weight = [np.ones(m), rng.integers(1, 9, m) / 1.0, rng.integers(1, 9, m) / 4.0][rng.integers(3)]
    seen = [X, X * float(3 * (2**28 + 1)) - 7.0, np.ldexp(X, rng.integers(-200, 200, n))][rng.integers(3)]
    if rng.random() < 0.3:  # a column that is an affine function of another one
        seen = np.column_stack([2.0 * seen[:, 0], seen])
    return X, y, weight, seen


def checked(result, best, name):
    """Raise if a bound or a loss contradicts the least loss."""
    if result.bound > best + 1e-9 or result.objective < best - 1e-9:
        raise SystemExit(f"{name}: bound {result.bound}, loss {result.objective}, but the least loss is {best}")
    return result


@contextmanager
def rank_rows_at_once():
    """Let exact training look for rank rows from the first moment on, however small the gap."""
    names = {
        "_ALONE": -1.0,
        "_WIDE": 0.0,
        "_MANY": 1e-9,
        "_SOMETHING": 0,
        "_RANK_SLICE": 0.05,
        "_GLANCE": 0.01,
        "_NODES_PER_WORKER": 1,
    }
    before = {name: getattr(engine, name) for name in names}
    try:
        for name, value in names.items():
            setattr(engine, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(engine, name, value)


@contextmanager
def clauses_alone():
    """Let exact training prove by clauses alone, and report after every step: trees only note what that closes."""
    run, report = engine.Tree.run, engine._REPORT

    def noted(self, proceed):
        if self.bound > self.cutoff:
            run(self, proceed)

    engine.Tree.run, engine._REPORT = noted, -1.0
    try:
        yield
    finally:
        engine.Tree.run, engine._REPORT = run, report


def accepted(result, X, y, weight, best, name):
    """Return whether there is a certificate; raise if it proves another loss, or is missing where networks differ."""
    if result.status != "optimal":
        raise SystemExit(f"{name}: {result.status}, {result.message}")
    if NOTHING_TO_CERTIFY in result.shortfalls:  # every row contradicts equal ones of the same weight
        constant = [float(weight[y != label].sum()) for label in (0, 1)]
        if result.certificate is not None or max(constant) > best + 1e-9:
            raise SystemExit(f"{name}: a constant network loses {max(constant)}, the least loss is {best}")
        return False
    if result.certificate is None:
        raise SystemExit(f"{name}: {result.message}, and no certificate")
    verified = verify_certificate(result.certificate, X, y, sample_weight=weight)
    if abs(float(verified.bound) - best) > 1e-9:
        raise SystemExit(f"{name}: the certificate proves {verified.bound}, the least loss is {best}")
    return True


def check_rank_rows(seed, counts):
    """Raise if rank rows of a stopped search, or what is proven with rank rows, contradict the least losses."""
    rng = np.random.default_rng([4, seed])
    X, y, weight, width = random_problem(rng, fewest=8, cheap=True)
    problem = Problem(X=X, y=y, sample_weight=weight, hidden_layer_sizes=(width,) if width else ())
    best = least_loss(X, y, weight, width)
    training = ExactTraining(formulation="activation", incumbents="none", certificate=True)
    result = training(problem, Budget(seconds=60, threads=1 + seed % 2))
    checked(result, best, f"ranks {seed}")
    if not accepted(result, X, y, weight, best, f"ranks {seed}"):
        counts["nothing to certify"] += 1
        return
    written = sum(len(tree.get("ranks", ())) for tree in result.certificate["trees"])
    counts[f"certificate accepted, {'with' if written else 'without'} rank rows"] += 1
    if width:
        return
    program = programs(presolve(problem))[0]
    points, limit, asked = program.points, int(rng.integers(1, 200)), itertools.count()
    ranks = RankRows(program, Cuts(points, rng))
    RankWork(ranks, [seed], separators).work(lambda: next(asked) < limit)
    for row in ranks.rows:
        values = points.reduced.raw_points[points.point[row.points]]
        least = least_loss(values, points.target[row.points], points.weight[row.points] * points.unit, 0)
        if row.bound * points.unit > least + 1e-9:
            raise SystemExit(f"ranks {seed}: {row.bound * points.unit} on {row.points.tolist()}, the least is {least}")
        counts["rank row of a stopped search, not above brute force"] += 1


def check_clause(seed, counts):
    """Raise if the bound of an interrupted search by clauses, or what is proven in the end, contradicts brute force."""
    rng = np.random.default_rng([6, seed])
    X, y, weight, width = random_problem(rng, fewest=8, cheap=True)
    if width < FEWEST_FOR_CLAUSES:
        return
    problem = Problem(X=X, y=y, sample_weight=weight, hidden_layer_sizes=(width,))
    best, last, reports = least_loss(X, y, weight, width), int(rng.integers(0, 12)), itertools.count()

    def stop(progress):
        if next(reports) == last:
            raise KeyboardInterrupt

    training = ExactTraining(formulation="activation", incumbents="none", certificate=True)
    stopped = checked(training(problem, Budget(seconds=60, seed=seed), None, stop), best, f"clauses {seed}, stopped")
    counts[f"stopped, bound {'above 0' if stopped.bound else '0'}" if stopped.interrupted else "not stopped"] += 1
    result = checked(training(problem, Budget(seconds=60, seed=seed)), best, f"clauses {seed}")
    certified = accepted(result, X, y, weight, best, f"clauses {seed}")
    counts[f"optimal, as by brute force, {'certificate accepted' if certified else 'nothing to certify'}"] += 1


def check_clauses(count, counts):
    """Raise if anything that is proven by clauses alone contradicts brute force."""
    with clauses_alone():
        for seed in range(count):
            check_clause(seed, counts)


def check_problems(count, counts):
    """Raise if exact training of problems contradicts brute force, a certificate or the paper's model."""
    for seed in range(count):
        X, y, weight, width = random_problem(np.random.default_rng([1, seed]))
        problem = Problem(X=X, y=y, sample_weight=weight, hidden_layer_sizes=(width,) if width else ())
        best = least_loss(X, y, weight, width)
        ours = ExactTraining(formulation="activation", certificate=True)(problem, Budget(seconds=120, seed=seed))
        checked(ours, best, f"problem {seed}, activation")
        certified = accepted(ours, X, y, weight, best, f"problem {seed}")
        counts[f"optimal, as by brute force, {'certificate accepted' if certified else 'nothing to certify'}"] += 1
        paper = ExactTraining(formulation="big_m")(problem, Budget(seconds=60))
        if paper.objective < best - 1e-9:
            raise SystemExit(f"problem {seed}: the paper's model found {paper.objective}, the least loss is {best}")
        agrees = abs(paper.objective - best) <= 1e-9
        counts[f"paper's model {'agrees' if agrees else 'stays above'}, {paper.status}"] += 1
        counts[f"width {width}"] += 1


def check_runs(count, counts):
    """Raise if the bound of a stopped run is above the least loss."""
    for seed in range(count):
        rng = np.random.default_rng([2, seed])
        X, y, weight, width = random_problem(rng, fewest=11, cheap=True)
        problem = Problem(X=X, y=y, sample_weight=weight, hidden_layer_sizes=(width,) if width else ())
        budget = Budget(nodes=int(rng.integers(1, 12)), seconds=60, seed=seed, threads=1 + seed % 2)
        result = ExactTraining(formulation="activation", incumbents="none")(problem, budget)
        checked(result, least_loss(X, y, weight, width), f"run {seed}")
        counts[str(result.message)] += 1


def check_enumerations(count, counts, width):
    """Raise if an enumeration does not prove the least loss."""
    for seed in range(count):
        rng = np.random.default_rng([5 if width else 3, seed])
        X, y, weight, seen = random_halfspaces(rng, 2, (13, 12)) if width else random_halfspaces(rng)
        problem = Problem(X=seen, y=y, sample_weight=weight, hidden_layer_sizes=(width,) if width else ())
        result = ExactTraining(formulation="enumeration")(problem, Budget(seconds=120))
        checked(result, least_loss(X, y, weight, width), f"width {width}, {seed}")
        if result.status != "optimal":
            raise SystemExit(f"width {width}, {seed}: {result.status}, {result.message}")
        counts["optimal, as by brute force"] += 1


def check_ranks(count, counts):
    """Raise if anything that is proven with rank rows contradicts brute force."""
    with rank_rows_at_once():
        for seed in range(count):
            check_rank_rows(seed, counts)


PARTS = {
    "problems": (2_000, check_problems),
    "runs": (20_000, check_runs),
    "halfspaces": (2_000, functools.partial(check_enumerations, width=0)),
    "pairs": (1_000, functools.partial(check_enumerations, width=2)),
    "ranks": (2_000, check_ranks),
    "clauses": (4_000, check_clauses),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for part, (count, _) in PARTS.items():
        parser.add_argument(f"--{part}", type=int, default=count, help="0 leaves what is known of them as it is")
    options = vars(parser.parse_args())
    path = RESULTS / "soundness.json"
    known = json.loads(path.read_text())["results"] if path.exists() else {}
    for part, (_, check) in PARTS.items():
        if not options[part]:
            continue
        began, counts = time.monotonic(), Counter()
        check(options[part], counts)
        known[part] = {"count": options[part], "seconds": round(time.monotonic() - began, 1), **sorted_counts(counts)}
        print(part, known[part], flush=True)
        write_results("soundness", {part: known[part] for part in PARTS if part in known})


def sorted_counts(counts):
    """Return counts by name."""
    return dict(sorted(counts.items()))


if __name__ == "__main__":
    main()
