"""All of MNIST in 8 kB and 32 kB of ternary weights: local search beside straight-through gradients of the same size.

Both have one thread, the same processor time and as many hidden neurons as fit for both, on the 60,000 images and on as
many warped copies besides (warped.py, at two thirds of its strength), which are drawn before the clock runs. Ours
chooses among the networks of its search by a tenth of the images, which it does not train on. Each size is one line of
results/mnist.jsonl; a run that was stopped goes on from there. Rewrites the table beside it (.md).
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import straight_integer
from common import RESULTS, add_data_option, images, machine
from few_shot import lines_of
from threadpoolctl import threadpool_limits
from warped import warped

from bdnn import Budget, Network, Problem
from bdnn.methods import METHODS

HIDDEN = {"8 kB": 50, "32 kB": 200}
MOST_BYTES = {"8 kB": 8 * 1024, "32 kB": 32 * 1024}
SEED = 0
STRENGTH = 2 / 3
HELD_OUT = 6000
"""Images by which ours chooses."""
NOTE = (
    "MNIST, ternary weights, one thread, the same processor time for both methods. Local search chooses among its "
    "networks by 6,000 of the images, which it does not train on. Warped rows: the 60,000 images and one copy of each "
    "that is turned by up to 8 degrees, stretched and sheared by up to 7% and moved by up to a pixel."
)


def entry(network: Network, size: str, seconds: float, data: tuple[np.ndarray, ...]) -> dict[str, float]:
    X, y, X_test, y_test = data
    assert network.is_integer and network.size_bytes <= MOST_BYTES[size]
    return {
        "bytes": network.size_bytes,
        "minutes": round(seconds / 60, 2),
        "errors": int(np.sum(network.predict(X) != y)),
        "accuracy": round(100 * float(np.mean(network.predict(X_test) == y_test)), 2),
    }


def measured(size: str, limit: float, data: tuple[np.ndarray, ...]) -> dict[str, dict[str, float]]:
    X, y, *_ = data
    hidden, found = (HIDDEN[size],), {}
    order = np.random.default_rng(SEED).permutation(len(X))
    held_out, rest = order[:HELD_OUT], order[HELD_OUT:]
    for words, copies in (("", 1), (", warped rows", 2)):
        rows, own = (warped(*some, copies * len(some[0]), SEED, STRENGTH) for some in ((X, y), (X[rest], y[rest])))
        began = time.process_time()
        problem = Problem(
            X=own[0], y=own[1], hidden_layer_sizes=hidden, weights="integer", validation=(X[held_out], y[held_out])
        )
        network = METHODS["local_search"]()(problem, Budget(seconds=limit, seed=SEED)).network
        seconds = time.process_time() - began
        found[f"local search{words}"] = entry(network, size, seconds, data)
        began = time.process_time()
        network = straight_integer.train(*rows, hidden, SEED, cpu_seconds=seconds)
        found[f"straight-through{words}"] = entry(network, size, time.process_time() - began, data)
    return found


def tables(lines: list[dict]) -> str:
    """Return the table."""
    rows = [
        "| within | hidden | | bytes | processor minutes | training errors of the 60,000 images | test accuracy, % |"
    ]
    rows.append("|---" * 7 + "|")
    for line in lines:
        for name, found in line["found"].items():
            values = (found[key] for key in ("bytes", "minutes", "errors", "accuracy"))
            rows.append(f"| {line['size']} | {HIDDEN[line['size']]} | {name} | {' | '.join(map(str, values))} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_data_option(parser)
    parser.add_argument("--quick", action="store_true", help="half a minute for 8 kB")
    parser.add_argument("--tables", action="store_true", help="only rewrite the table")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds of training")
    options = parser.parse_args()
    stem, limit = ("mnist_quick", 30.0) if options.quick else ("mnist", options.limit)
    path = RESULTS / f"{stem}.jsonl"
    for size in () if options.tables else ["8 kB"] if options.quick else HIDDEN:
        if any(line["size"] == size for line in lines_of(path)):
            continue
        data = images(options.data, "mnist")
        with threadpool_limits(1):
            found = measured(size, limit, data)
        with path.open("a") as file:
            file.write(json.dumps({"size": size, "limit": limit, "found": found, "machine": machine()}) + "\n")
        print(size, found, flush=True)
    text = tables(lines_of(path))
    command = f"python benchmarks/mnist.py{' --quick' if options.quick else ''}"
    (RESULTS / f"{stem}.md").write_text(f"{NOTE} From `{command}`.\n\n{text}")
    print(text)


if __name__ == "__main__":
    main()
