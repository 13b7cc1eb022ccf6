"""What robustness costs: clean and certified accuracy of robustly trained networks, and training for the worst case.

    python benchmarks/robust_training.py [--data DIR] [--parts scale repair] [--seeds 3] [--points 500]

Part "scale": local search on the three-valued loss, on 15,000 rows of credit card (10 hidden neurons, radii in standard
deviations of the training rows) and on all training pictures of MNIST 4 against 9 (32 hidden neurons, pixels from 0 to
1), norm inf. Test points get their smallest perturbations, within the range of the pixels, on one thread; the attacked
accuracy is that of `bdnn.attack`. Points whose balls meet bound the robust training accuracy of every classifier. Part
"repair": attack and repair against the three-valued model on rows of breast cancer, by solvers. Rewrites
benchmarks/results/robust_training.json and the picture docs/images/trade_off.png.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
from certify import pictures
from common import RESULTS, add_data_option, drawn, load, write_results

from bdnn import BDNNClassifier, attack, certify
from bdnn.problem.collisions import irreducible_robust_loss

_CURVE = 41


def credit_card(folder, points):
    """Return training and test data, and the units of radii."""
    X, y = load(folder, "default_credit_card.csv.gz")
    X, y = drawn(X, y, 15_000 + points)
    train, test = slice(0, 15_000), slice(15_000, None)
    return X[train], y[train], X[test], y[test], X[train].std(axis=0), {}


def fours_and_nines(folder, points):
    """Return the same for pictures."""
    X, y = pictures(folder, "train")
    test, labels = drawn(*pictures(folder, "test"), points)
    return X.astype(np.float32), y, test, labels, np.ones(X.shape[1]), {"lower": 0.0, "upper": 1.0}


SCALE = (
    # name, data, hidden, seconds of training, radii
    ("credit card, 10 hidden", credit_card, 10, 30.0, (0.0, 0.05, 0.1, 0.2, 0.4)),
    ("MNIST 4 or 9, 32 hidden", fours_and_nines, 32, 60.0, (0.0, 0.02, 0.05, 0.1)),
)


def at_scale(options):
    """Return a row for each data set, radius and seed."""
    rows = []
    for name, data, hidden, seconds, radii in SCALE:
        if options.only not in name:
            continue
        X, y, test, labels, units, bounds = data(options.data, options.points)
        for radius in radii:
            codes = np.unique(y, return_inverse=True)[1]
            sought = radius and X.shape[1] < 100
            lost = irreducible_robust_loss(X, np.eye(2)[codes], radius * units, "inf") if sought else 0.0
            for seed in range(options.seeds):
                clf = BDNNClassifier(
                    (hidden,),
                    method="local_search",
                    robust_radius=radius * units if radius else 0.0,
                    time_limit=seconds * options.effort,
                    random_state=seed,
                ).fit(X, y)
                network, settings = clf.network_, {"scale": units, **bounds}
                found = certify(network, test, labels, point_time_limit=options.seconds, **settings)
                quick = attack(network, test, labels, **settings)
                grid = np.linspace(0.0, 2.0 * max(radii), _CURVE)
                curve = found.curve(grid)
                at, free = found.curve([radius]), quick.distance > radius
                rows.append(
                    {
                        "instance": name,
                        "radius": radius,
                        "seed": seed,
                        "training_rows": len(X),
                        "clean_training": round(clf.score(X, y), 4),
                        "robust_training": round(1.0 - clf.result_.objective / len(X), 4),
                        "any_classifier": round(1.0 - lost / len(X), 4),
                        "points": len(test),
                        "clean": round(found.clean_accuracy, 4),
                        "certified": round(float(at.certified[0]), 4),
                        "attacked": round(float(free.mean()), 4),
                        "undecided": int(found.undecided.sum()),
                        "median_radius": float(f"{np.median(found.radius[found.clean]):.4g}"),
                        "median_seconds": float(f"{np.median(found.seconds):.3g}"),
                        "most_seconds": float(f"{found.seconds.max():.3g}"),
                        "curve_radii": grid.round(6).tolist(),
                        "curve_certified": curve.certified.round(4).tolist(),
                        "curve_attacked": curve.attacked.round(4).tolist(),
                    }
                )
                print({k: v for k, v in rows[-1].items() if not k.startswith("curve")}, flush=True)
    return rows


def repaired(options):
    """Return a row for each number of rows, method, radius and model."""
    X, y = load(options.data, "breast_cancer_wisconsin_bdnn.csv")
    rows = []
    cases = [(m, 3, "exact", radius) for m in (20, 40) for radius in (1.0, 1.5, 2.0, 2.5)]
    cases += [(200, 3, "data_splitting", radius) for radius in (0.5, 1.0, 1.5)]
    for m, hidden, method, radius in cases:
        points, labels = drawn(X, y, m)
        for model in ("interval", "worst_case"):
            began = time.monotonic()
            clf = BDNNClassifier(
                (hidden,),
                method=method,
                robust_radius=radius,
                robust_model=model,
                time_limit=60.0 * options.effort,
                random_state=0,
            ).fit(points, labels)
            seconds, result = time.monotonic() - began, clf.result_
            found = certify(clf.network_, points, labels, radius=radius)
            rows.append(
                {
                    "rows": m,
                    "hidden": hidden,
                    "method": method,
                    "radius": radius,
                    "model": model,
                    "loss": result.objective,
                    "bound": result.bound,
                    "irreducible": result.irreducible,
                    "not_robust": int((~found.robust).sum()),
                    "seconds": round(seconds, 1),
                    "message": result.message,
                }
            )
            print(rows[-1], flush=True)
    return rows


def table_of_scale(rows) -> str:
    """Return means over the seeds as Markdown."""
    lines = [
        "| data, radius of training | robust training accuracy | of any classifier, at most | test: clean | "
        "certified | attacked | median radius | undecided |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for key in dict.fromkeys((row["instance"], row["radius"]) for row in rows):
        some = [row for row in rows if (row["instance"], row["radius"]) == key]

        def mean(name, some=some):
            return f"{100 * np.mean([row[name] for row in some]):.1f}"

        limit = mean("any_classifier") if some[0]["any_classifier"] < 1 else "–"
        undecided = sum(row["undecided"] for row in some)
        lines.append(
            f"| {key[0]}, {key[1]:g} | {mean('robust_training')} | {limit} | {mean('clean')} | {mean('certified')} | "
            f"{mean('attacked')} | {np.median([row['median_radius'] for row in some]):.3g} | "
            f"{undecided} of {sum(row['points'] for row in some)} |"
        )
    return "\n".join(lines)


def table_of_repair(rows) -> str:
    """Return losses and bounds as Markdown."""
    lines = ["| rows, hidden, method | model | " + " | ".join(f"radius {r:g}" for r in (0.5, 1, 1.5, 2, 2.5)) + " |"]
    lines.append("|---|---|" + "---|" * 5)
    for key in dict.fromkeys((row["rows"], row["hidden"], row["method"], row["model"]) for row in rows):
        cells = []
        for radius in (0.5, 1.0, 1.5, 2.0, 2.5):
            some = [r for r in rows if (r["rows"], r["hidden"], r["method"], r["model"], r["radius"]) == (*key, radius)]
            if not some:
                cells.append("")
                continue
            loss, bound = some[0]["loss"], some[0]["bound"]
            cells.append(f"{loss:g}" if loss == bound else f"{bound:g}..{loss:g}")
        m, hidden, method, model = key
        lines.append(f"| {m}, {hidden}, {method.replace('_', ' ')} | {model.replace('_', ' ')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(rows, path) -> None:
    """Draw certified accuracy over radii, a line for each radius of training, a picture for each data set."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(row["instance"] for row in rows))
    figure, axes = plt.subplots(1, len(names), figsize=(11, 4.2), layout="constrained")
    colors = ["#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7"]
    styles = ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1))]
    for ax, name in zip(np.atleast_1d(axes), names, strict=True):
        radii = list(dict.fromkeys(row["radius"] for row in rows if row["instance"] == name))
        for radius, color, style in zip(radii, colors, styles, strict=False):
            some = [row for row in rows if row["instance"] == name and row["radius"] == radius]
            grid = np.array(some[0]["curve_radii"])
            certified = np.mean([row["curve_certified"] for row in some], axis=0)
            ax.plot(grid, certified, color=color, ls=style, lw=2, label=f"trained for radius {radius:g}")
            at = np.mean([row["certified"] for row in some])
            ax.plot([radius], [at], marker="o", color=color, ms=6)
        y = [row for row in rows if row["instance"] == name]
        ax.set_title(name)
        unit = "standard deviations" if "credit" in name else "range of a pixel"
        ax.set_xlabel(f"radius of the perturbation, norm inf ({unit})")
        ax.set_ylabel(f"certified accuracy on {y[0]['points']} test points")
        ax.set_ylim(0, 1)
        ax.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1.0, decimals=0))
        ax.grid(alpha=0.3)
        ax.legend(loc="lower left")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_option(parser)
    parser.add_argument("--parts", nargs="+", default=["scale", "repair"], choices=["scale", "repair", "tables"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--points", type=int, default=500, help="test points")
    parser.add_argument("--seconds", type=float, default=20.0, help="time limit of certification, for a point")
    parser.add_argument("--only", default="", help="part of the name of the data at scale; others keep their results")
    parser.add_argument("--effort", type=float, default=1.0, help="factor of the seconds of training")
    options = parser.parse_args()
    path = RESULTS / "robust_training.json"
    results = json.loads(path.read_text())["results"] if path.exists() else {}
    for part, run in (("scale", at_scale), ("repair", repaired)):
        if part in options.parts:
            rows = run(options)
            others = [row for row in results.get(part, []) if options.only not in row.get("instance", options.only)]
            results[part] = others + rows
            write_results("robust_training", results)
    if "scale" in results:
        draw(results["scale"], path.parents[2] / "docs" / "images" / "trade_off.png")


if __name__ == "__main__":
    main()
