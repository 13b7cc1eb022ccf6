"""Random models for the exports that are run in this process."""

import warnings
from functools import cache

import numpy as np

from bdnn.errors import InputError
from bdnn.export.golden import golden_rows, on_thresholds, random_rows
from bdnn.export.inputs import device_rows
from bdnn.export.request import Request
from export_cases import random_case


@cache
def cases(first, count, optimize="size", spare=20, dates=False):
    """Return cases, requests, and rows: those of the table, of random integers, and on thresholds."""
    found, seed = [], first
    while len(found) < count:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # levels that were not seen are wanted here
            case = random_case(seed, dates=dates)
        seed += 1
        try:
            program = case.program
        except InputError:  # 64 bits are too few
            spare -= 1
            assert spare, "too many models cannot be expressed"
            continue
        table = device_rows(program.inputs, case.table)
        rng = np.random.default_rng(seed)
        rows = np.vstack([table, random_rows(program, 20, rng), on_thresholds(program, table[:20], rng)])
        golden = golden_rows(program, table, 16)
        request = Request(program=program, name=f"n{seed}", optimize=optimize, rows=golden, answers=program.run(golden))
        found.append((case, request, rows))
    return found
