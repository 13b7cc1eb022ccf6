"""Measure the house: files, lines, import chains, cycles, lazy imports, long functions, constants without a reason.

    python benchmarks/architecture.py [FOLDER of the package bdnn] [--json | --list WHAT]

The figures are those that `tests/test_architecture.py` limits; this prints them for any checkout.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from house import House  # noqa: E402  # lies with the tests


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "src" / "bdnn")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--list", choices=["lazy", "constants", "any", "long"], help="print what is counted")
    arguments = parser.parse_args()
    house = House(arguments.folder)
    if arguments.list == "lazy":
        print(*(f"{name}:{line} {other}" for name, line, other in house.lazy_imports()), sep="\n")
    elif arguments.list == "constants":
        print(*(f"{name}.{constant}" for name, constant, reason in house.constants() if not reason), sep="\n")
    elif arguments.list == "any":
        print(*(f"{name}.{function}({argument})" for name, function, argument in house.any_parameters()), sep="\n")
    elif arguments.list == "long":
        print(
            *(f"{lines:4d} {name}.{function}" for name, function, lines, _ in house.functions() if lines > 60), sep="\n"
        )
    elif arguments.json:
        print(json.dumps(house.figures(), indent=1))
    else:
        for name, value in house.figures().items():
            shown = " > ".join(value) if name == "chain" and isinstance(value, list) else value
            print(f"{name:<32}{shown}")


if __name__ == "__main__":
    main()
