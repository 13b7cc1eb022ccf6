"""Data splitting on half of the 30,000 credit-card rows: 25 ternary hidden neurons, batches of 64 and of 1,000.

    python benchmarks/data_splitting.py [--data DIR] [--seconds 60]

Each run has a process of its own, so that its peak memory is its own. Rewrites benchmarks/results/data_splitting.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np
from common import add_data_option, load, write_results

from bdnn import BDNNClassifier


def run(folder, batch_size: int, seconds: float) -> dict:
    X, y = load(folder, "default_credit_card.csv.gz")
    order = np.random.default_rng(0).permutation(len(X))
    train, test = order[:15000], order[15000:]
    clf = BDNNClassifier(
        hidden_layer_sizes=(25,),
        method="data_splitting",
        weights="integer",
        batch_size=batch_size,
        incumbents="none",
        validation_fraction=0.0,
        time_limit=seconds,
        random_state=0,
    )
    began = time.perf_counter()
    clf.fit(X[train], y[train])
    took = time.perf_counter() - began
    result = clf.result_
    iterations = [step for step in result.history if step.clusters]
    return {
        "batch_size": batch_size,
        "seconds": round(took, 1),
        "peak_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "solver": result.solver,
        "iterations": len(iterations),
        "clusters": iterations[-1].clusters,
        "binaries": iterations[-1].binaries,
        "training_loss": result.objective,
        "training_accuracy": round(1 - result.objective / len(train), 4),
        "test_accuracy": round(clf.score(X[test], y[test]), 4),
        "message": result.message,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_option(parser)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--batch-size", type=int, default=None, help="run one size and print it as JSON")
    options = parser.parse_args()
    if options.batch_size is not None:
        print(json.dumps(run(options.data, options.batch_size, options.seconds)))
        return
    rows = []
    for size in (64, 1000):
        words = [sys.executable, __file__, "--data", str(options.data), "--seconds", str(options.seconds)]
        done = subprocess.run([*words, "--batch-size", str(size)], check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
    write_results("data_splitting", rows)


if __name__ == "__main__":
    main()
