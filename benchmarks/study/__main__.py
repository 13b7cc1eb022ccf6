"""The study of the paper, and rivals, over seeded splits; what is finished is never run again.

    python benchmarks/study [--data DIR] [--quick] [--cells PATTERN] [--workers N]
    python benchmarks/study --tables

Appends to benchmarks/results/study.jsonl (study_quick.jsonl with --quick) and rewrites the tables in the .md file
beside it; --tables only rewrites them, for both studies. The ReLU
network needs the extra `bench`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import runner
import tables
from common import RESULTS, add_data_option
from registry import cells

TITLES = {
    "study": "The study",
    "study_quick": "The quick study: few seeds, parts of the data, seconds instead of minutes",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--quick", action="store_true", help="small parts of the data, two seeds, a few minutes in all")
    parser.add_argument("--cells", default="", help="regular expression: run only cells 'data set/method/seed' with it")
    parser.add_argument("--workers", type=int, default=1, help="processes; timings suffer if there are fewer cores")
    parser.add_argument("--tables", action="store_true", help="run nothing, only rewrite the tables")
    options = parser.parse_args()
    name = "study_quick" if options.quick else "study"
    try:
        if not options.tables:
            path = RESULTS / f"{name}.jsonl"
            runner.run(cells(options.quick), path, options.data, options.workers, options.cells)
    finally:
        for each in TITLES if options.tables else (name,):
            if (results := RESULTS / f"{each}.jsonl").exists():
                print("wrote", tables.write(results, cells(each == "study_quick"), TITLES[each]).name)


if __name__ == "__main__":
    main()
