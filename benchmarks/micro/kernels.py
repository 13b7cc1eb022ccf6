"""Time each compiled kernel against another commit of the package, in the same run, on one thread.

    git worktree add --detach ../before COMMIT      # and build it, if it has something to build
    python benchmarks/micro/kernels.py --before ../before/src

Cases are in ``kernel_cases``: what is timed goes through Python functions that both commits have. Every case is run in
fresh processes, in turn with the one commit and the other; a figure is the median over these of the least processor
time of a repeat. The ratio is that of the other commit over this one: above 1 means that this one is faster.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "kernels.json"


def main() -> None:
    """Run the cases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="folder that holds the package 'bdnn' of the other commit")
    parser.add_argument("--after", type=Path, default=ROOT / "src", help="the same of this one")
    parser.add_argument("--only", default="", help="cases whose names hold this")
    parser.add_argument("--repeats", type=int, default=5, help="processes per case and commit")
    parser.add_argument("--out", type=Path, default=RESULTS, help="file for the figures; '' for none")
    parser.add_argument("--one", nargs=2, metavar=("FILE", "CASE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(seconds_of(Path(arguments.one[0]), arguments.one[1])))
        return
    if arguments.before is None:
        parser.error("--before is needed")
    trees = {"before": arguments.before.resolve(), "after": arguments.after.resolve()}
    for tree in trees.values():
        if not (tree / "bdnn" / "__init__.py").exists():
            parser.error(f"{tree} holds no package 'bdnn'")
    sys.path.insert(0, str(trees["after"]))
    rows = []
    print(f"{'case':<52}{'before':>11}{'after':>11}{'ratio':>8}")
    for file in sorted((HERE.parent / "kernel_cases").glob("*.py")):
        for case in cases_of(file):
            name = f"{file.stem}: {case}"
            if arguments.only not in name:
                continue
            times: dict[str, list[float]] = {which: [] for which in trees}
            for _ in range(arguments.repeats):
                for which, tree in trees.items():
                    times[which].append(measured(file, case, tree))
            before, after = (statistics.median(times[which]) for which in ("before", "after"))
            rows.append({"case": name, "before": before, "after": after, "ratio": before / after})
            print(f"{name:<52}{before * 1e3:>9.2f}ms{after * 1e3:>9.2f}ms{before / after:>8.2f}", flush=True)
    mean = math.exp(statistics.fmean(math.log(row["ratio"]) for row in rows)) if rows else math.nan
    print(f"geometric mean {mean:.2f}, least {min((row['ratio'] for row in rows), default=math.nan):.2f}")
    if str(arguments.out) not in ("", ".") and not arguments.only:
        arguments.out.write_text(json.dumps({"mean": mean, "rows": rows}, indent=1) + "\n", encoding="utf-8")


def cases_of(file: Path) -> dict[str, object]:
    """Return the cases of a file, by name."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    cases: dict[str, object] = module.CASES
    return cases


def measured(file: Path, case: str, tree: Path) -> float:
    """Return the seconds of a case in a process of its own."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    command = [sys.executable, str(HERE), "--one", str(file), case]
    run = subprocess.run(command, env=os.environ | threads | {"PYTHONPATH": str(tree)}, capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(f"{case} failed in {tree}:\n{run.stderr}")
    seconds: float = json.loads(run.stdout.splitlines()[-1])
    return seconds


def seconds_of(file: Path, case: str) -> float:
    """Return the least processor time of some repeats, after one that warms up."""
    thunk = cases_of(file)[case]()  # type: ignore[operator]
    thunk()
    least, spent = math.inf, 0.0
    while spent < 1.0:
        began = time.process_time()
        thunk()
        least = min(least, time.process_time() - began)
        spent += max(time.process_time() - began, 1e-3)
    return least


if __name__ == "__main__":
    main()
