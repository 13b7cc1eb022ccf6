"""Accuracy per byte: test accuracy of models of at most 32 to 8,192 bytes, ours and rivals, on twenty tables.

    python benchmarks/bytes [--data DIR] [--quick] [--cells PATTERN]
    python benchmarks/bytes --tables

Appends to benchmarks/results/bytes.jsonl (bytes_quick.jsonl with --quick); what is finished is never run again.
Rewrites the tables beside it (.md), and of the full run the plot (needs matplotlib);
--tables only rewrites these. The rivals straight-through, optimal trees and figs
need the extra `bench`.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"
sys.path.insert(1, str(Path(__file__).parents[1] / "study"))
sys.path.insert(1, str(Path(__file__).parents[1]))

import report
from cells import cells, run
from common import RESULTS, add_data_option


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--quick", action="store_true", help="three small tables and one seed, a few minutes in all")
    parser.add_argument("--cells", default="", help="regular expression: run only cells 'data set/method/seed' with it")
    parser.add_argument("--tables", action="store_true", help="run nothing, only rewrite tables and plots")
    options = parser.parse_args()
    path = RESULTS / ("bytes_quick.jsonl" if options.quick else "bytes.jsonl")
    try:
        if not options.tables:
            run(cells(options.quick), path, options.data, options.cells)
    finally:
        if path.exists():
            report.write(path, cells(options.quick))


if __name__ == "__main__":
    main()
