"""The table of README.md: six figures that a reader would check first, from the result files of other benchmarks.

    python benchmarks/headline.py

Measures nothing. Rewrites the table; the test suite compares it with the result files.
"""

from __future__ import annotations

import json
import re
from statistics import median
from typing import Any

from common import RESULTS, rewrite

_BYTES = "128"


def results_of(name: str) -> Any:
    """Return the results of a benchmark."""
    return json.loads((RESULTS / f"{name}.json").read_text())["results"]


def proofs() -> tuple[str, ...]:
    """Return the seconds to a proof, and those of the paper's model."""
    row = next(row for row in results_of("exact")["rows"] if row["instance"] == "breast cancer, all, no hidden")
    ours, rival = row["ours"]["seconds"], row["highs"]["seconds"]
    return "seconds to a proof, breast cancer, all 699 rows", f"{ours:.1f}", f"{rival:.0f}, the paper's model in HiGHS"


def searches() -> tuple[str, ...]:
    """Return the training errors that remain in the time of straight-through gradients."""
    ratios = [row["same_time"]["ratio"] for row in results_of("local_search")["equal_time"] if row["median_rival"]]
    what = f"training errors in the same time, median of {len(ratios)} cases"
    return what, f"{100 * median(ratios):.0f} %", "100 %, straight-through gradients"


def accuracy_per_byte() -> tuple[str, ...]:
    """Return the mean test accuracy within a number of bytes."""
    section = (RESULTS / "bytes.md").read_text().split("## Mean over the data sets")[1].split("\n## ")[0]
    table = [
        [cell.strip(" *") for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", section, re.M)
    ]
    column = table[0].index(_BYTES)
    means = {row[0]: float(row[column]) for row in table[2:]}
    best = max((name for name in means if name != "ours"), key=means.__getitem__)
    what = f"test accuracy of {_BYTES} bytes, mean of twenty tables"
    return what, f"{means['ours']:.1f} %", f"{means[best]:.1f} %, {best}"


def devices() -> tuple[str, ...]:
    """Return in how many cells of data sets and devices a method takes the least flash at our accuracy."""
    ours, cells = re.search(
        r"^\| At our accuracy \| (\d+) of (\d+) \|", (RESULTS / "device.md").read_text(), re.M
    ).groups()
    what = f"least flash at our accuracy, of {cells} data sets × devices"
    return what, ours, f"{int(cells) - int(ours)}, trees of emlearn or models of m2cgen"


def radii() -> tuple[str, ...]:
    """Return the milliseconds to an exact smallest perturbation."""
    row = next(row for row in results_of("certify")["rows"] if "MNIST" in row["instance"] and row["norm"] == "inf")
    rival = median(one["seconds"] for one in row["rival"])
    solved = f", {row['rival_solved']} of {len(row['rival'])} solved"
    what = "seconds to the nearest attack, proven, MNIST 4 or 9, 32 hidden"
    return what, f"{row['median_seconds']:.3f}", f"{rival:.1f}, big-M program in HiGHS{solved}"


def workers() -> tuple[str, ...]:
    """Return how many times as fast two processes are, by what they do; the median of instances and of runs."""
    times = {row["work"]: row["speed_up"] for row in results_of("parallel")["rows"] if row["backend"] == "loky"}
    rows = results_of("cluster_subtrees")["measured"]["rows"]
    subtrees = median(row["speed-up of nodes per second, processes"] for row in rows)
    ours = f"{times['starts']:.2f}, {times['certification']:.2f}, {subtrees:.2f} times as fast"
    return "two workers: starts of a search, certification, subtrees of a proof", ours, "2 at most"


ROWS = {
    "exact.py": proofs,
    "local_search.py": searches,
    "bytes": accuracy_per_byte,
    "device": devices,
    "certify.py": radii,
    "parallel.py": workers,
}


def table() -> str:
    """Return the table as Markdown."""
    lines = ["| | bdnn | best rival | from `python benchmarks/…` |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(row())} | `{name}` |" for name, row in ROWS.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    rewrite("README.md", "headline", table())
