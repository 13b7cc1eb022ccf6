"""On a microcontroller: our networks beside emlearn, m2cgen and micromlgen, in bytes, cycles and accuracy.

    python benchmarks/device [--data DIR] [--only TEXT] [--targets DEVICE ...]
    python benchmarks/device --tables

Appends to benchmarks/results/device.jsonl, a line for each data set; what is finished is never run again. Rewrites the
tables beside it (.md); --tables does only this. Needs the extra `bench` and the compilers and emulators of
`bdnn size`.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(1, str(Path(__file__).parents[1]))
sys.path.insert(1, str(Path(__file__).parents[1] / "study"))
sys.path.insert(1, str(Path(__file__).parents[1] / "bytes"))

import figures
from common import RESULTS, add_data_option

DEVICES = ("atmega328p", "cortex-m0", "cortex-m4", "rv32imac")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--only", default="", help="run only data sets with this text in their names")
    parser.add_argument("--targets", nargs="+", choices=DEVICES, default=DEVICES, help="devices")
    parser.add_argument("--tables", action="store_true", help="run nothing, only rewrite the tables")
    options = parser.parse_args()
    path = RESULTS / "device.jsonl"
    try:
        if not options.tables:
            from running import run  # needs the rivals' packages, unlike the tables

            run(path, options.data, options.only, tuple(options.targets))
    finally:
        if path.exists():
            figures.write(path)


if __name__ == "__main__":
    main()
