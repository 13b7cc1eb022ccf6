"""Exact robustness certificates: smallest perturbations by `bdnn.certify`, and the usual mixed-integer program.

    python benchmarks/certify.py [--data DIR] [--points 200] [--train 45] [--rival 3] [--rival-seconds 60]

Networks are trained by local search: 10 hidden neurons on breast cancer, 32 on MNIST 4 against 9 (784 inputs). Their
points, for MNIST those of the test set, get their smallest perturbations in the norms inf, 1 and 2, within the range of
the grades or pixels, on one thread, in time of the thread. The rival minimizes the radius in norm inf by HiGHS: a
variable for each feature and the radius, a binary for each hidden neuron, big-M constants from the range of the inputs,
no bounds from a smaller ball and no start. Rewrites benchmarks/results/certify.json.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from common import add_data_option, load, write_results
from scipy.optimize import Bounds, LinearConstraint, milp

from bdnn import BDNNClassifier, attack, certify

_PIXELS = 255.0


def pictures(folder, part):
    """Return fours and nines, pixels from 0 to 1."""
    data = np.load(folder / f"mnist_{part}.npz", allow_pickle=False)
    kept = np.isin(data["y"], (4, 9))
    return data["X"][kept] / _PIXELS, data["y"][kept]


def trained(X, y, hidden, seconds):
    """Return the network that local search finds."""
    clf = BDNNClassifier(hidden_layer_sizes=(hidden,), method="local_search", time_limit=seconds, random_state=0)
    return clf.fit(X.astype(np.float32), y).network_


def measure(network, X, y, norm, seconds, **bounds):
    """Certify, and attack; return figures and what was found."""
    began = time.thread_time()
    found = certify(network, X, y, norm=norm, point_time_limit=seconds, **bounds)
    spent = time.thread_time() - began
    began = time.thread_time()
    quick = attack(network, X, y, norm=norm, **bounds)
    right = found.clean & ~found.undecided
    return {
        "norm": norm,
        "points": len(X),
        "undecided": int(found.undecided.sum()),
        "median_radius": float(f"{np.median(found.radius[right]):.4g}"),
        "median_seconds": float(f"{np.median(found.seconds):.3g}"),
        "most_seconds": float(f"{found.seconds.max():.3g}"),
        "points_per_second": float(f"{len(X) / spent:.3g}"),
        "quick_attack_seconds": float(f"{(time.thread_time() - began) / len(X):.3g}"),
        "quick_attack_ratio": float(f"{np.median(quick.distance[right] / found.distance[right]):.4g}"),
    }, found


def processor_time(network, X, norm, **bounds):
    """Return the processor time of certifying one point, median of three."""
    spent = []
    for _ in range(3):
        began = time.thread_time()
        certify(network, X, norm=norm, **bounds)
        spent.append(time.thread_time() - began)
    return float(np.median(spent))


def by_program(network, x, low, high, seconds):
    """Return processor time, radius and bound of the mixed-integer program, for one hidden layer and two classes."""
    (W, b), (V, c) = ((w.astype(float), a.astype(float)) for w, a in network.layers)
    n, h = len(x), len(b)
    most, least = np.maximum(W * low, W * high).sum(axis=1) + b, np.minimum(W * low, W * high).sum(axis=1) + b
    eye, column, small = np.eye(n), np.ones((n, 1)), 1e-6
    side = -1.0 if network.predict_index(x[None, :])[0] == 1 else 1.0
    rows = [
        LinearConstraint(np.hstack([W, np.diag(least), np.zeros((h, 1))]), lb=least - b),  # z = 1 only if it fires
        LinearConstraint(np.hstack([W, -np.diag(most + small), np.zeros((h, 1))]), ub=-b - small),
        LinearConstraint(np.hstack([eye, np.zeros((n, h)), -column]), ub=x),
        LinearConstraint(np.hstack([eye, np.zeros((n, h)), column]), lb=x),
        LinearConstraint(np.concatenate([np.zeros(n), side * V[0], [0.0]])[None, :], lb=-side * c[0]),
    ]
    began = time.process_time()
    solved = milp(
        np.append(np.zeros(n + h), 1.0),
        constraints=rows,
        integrality=np.concatenate([np.zeros(n), np.ones(h), [0]]),
        bounds=Bounds(np.r_[np.full(n, low), np.zeros(h), 0.0], np.r_[np.full(n, high), np.ones(h), high - low]),
        options={"time_limit": seconds},
    )
    bound = getattr(solved, "mip_dual_bound", None)
    return {
        "seconds": round(time.process_time() - began, 4),
        "radius": None if solved.x is None else float(f"{solved.fun:.4g}"),
        "bound": None if bound is None else float(f"{bound:.4g}"),
        "solved": bool(solved.status == 0),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_option(parser)
    parser.add_argument("--points", type=int, default=200, help="pictures in norm inf; a tenth in the other norms")
    parser.add_argument("--train", type=float, default=45.0, help="seconds of training for the pictures")
    parser.add_argument("--rival", type=int, default=3, help="points for the mixed-integer program")
    parser.add_argument("--rival-seconds", type=float, default=60.0, help="its time limit for a point")
    parser.add_argument("--seconds", type=float, default=60.0, help="our time limit for a point")
    options = parser.parse_args()
    rows = []
    cancer, grades = load(options.data, "breast_cancer_wisconsin_bdnn.csv")
    X, y = pictures(options.data, "train")
    test, labels = pictures(options.data, "test")
    sets = (
        ("breast cancer, 10 hidden", trained(cancer, grades, 10, 5.0), cancer, grades, (1.0, 10.0)),
        ("MNIST 4 or 9, 32 hidden", trained(X, y, 32, options.train), test, labels, (0.0, 1.0)),
    )
    for name, network, points, classes, (low, high) in sets:
        certify(network, points[:1], lower=low, upper=high)
        for norm in ("inf", "1", "2"):
            count = len(points) if low == 1.0 else options.points if norm == "inf" else options.points // 10
            bounds = {"lower": low, "upper": high}
            row, found = measure(network, points[:count], classes[:count], norm, options.seconds, **bounds)
            row = {"instance": name, **row}
            if norm == "inf":
                right = np.flatnonzero(found.clean)[: options.rival]
                rival = [by_program(network, points[i], low, high, options.rival_seconds) for i in right.tolist()]
                ours = np.array([processor_time(network, points[i : i + 1], norm, **bounds) for i in right.tolist()])
                row["rival"] = [
                    {**program, "ours_seconds": float(f"{own:.3g}"), "ours_radius": float(f"{radius:.4g}")}
                    for program, own, radius in zip(rival, ours, found.radius[right], strict=True)
                ]
                ratio = np.median([p["seconds"] / own for p, own in zip(rival, ours, strict=True)])
                row["ratio"] = float(f"{ratio:.3g}")
                row["rival_solved"] = sum(p["solved"] for p in rival)
            rows.append(row)
            print({key: value for key, value in row.items() if key != "rival"}, flush=True)
    results = {"time_limit": options.seconds, "rival_time_limit": options.rival_seconds, "rows": rows}
    write_results("certify", results)


def text(results) -> str:
    """Return results as Markdown."""
    lines = [
        "| exact smallest perturbations | norm | points | undecided | median s | longest s | median radius | ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        ratio = (
            f"{'' if row['rival_solved'] == len(row['rival']) else '> '}{row['ratio']:.0f}" if "ratio" in row else ""
        )
        lines.append(
            f"| {row['instance']} | {row['norm']} | {row['points']} | {row['undecided']} | {row['median_seconds']:g} | "
            f"{row['most_seconds']:g} | {row['median_radius']:g} | {ratio} |"
        )
    limit = results["rival_time_limit"]
    lines += [
        "",
        f"Ratio: processor time of the big-M program in HiGHS, at most {limit:g} s a point, over ours (median).",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
