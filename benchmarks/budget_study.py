"""Random calls of `CompactBDNNClassifier`: never over budget, all decisions in the bytes, equal bytes for equal seeds.

    python benchmarks/budget_study.py [--calls 500] [--first-seed 0]

Every call has a table of its own: 6 to 60 rows of numbers, integers, truth values, text and constant columns, values
missing, two to seven classes (some of one row), weights of rows and classes (some zero), one to three budgets from 1 to
10,000 bytes. Of each network the bytes are counted and decoded, and what is decoded predicts the rows of the training
and as many others, some of them with levels that are new. Then all is done again with the same seed, and the bytes have
to be the same.

Ways to make networks come in an order of each call's own, so that few of them are of every kind; nine calls of ten take
no more than 32 thresholds of boosted stumps, 120 rules and small forests, as more would take most of the time; the
clock of the limits moves on by a second for every way that was tried, so that both fits end at the same place, however
busy the machine is: limits are from half a second, which is one way, to two and a half. Writes
``benchmarks/results/budget_study.json``; the exit code is 1 if a call fails.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from common import write_results

import bdnn
from bdnn import clock
from bdnn.compact import plans, proposals, training
from bdnn.compact.choice import Search
from bdnn.compact.plans import Plan

MOST_ROWS, MOST_BYTES, MOST_CLASSES = 60, 10_000, 7


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def move(self, line: str) -> None:
        """Go on by a second, whatever the news is."""
        self.now += 1.0


def column(rng: np.random.Generator, m: int) -> np.ndarray:
    """Return a column of some kind, twice as long as the training part."""
    kind = rng.choice(["real", "integer", "wide", "decimal", "boolean", "text", "constant"])
    values: Any
    if kind == "real":
        values = rng.normal(scale=10.0 ** rng.integers(-6, 7), size=2 * m)
    elif kind == "integer":
        values = rng.integers(-5, int(rng.integers(-3, 300)), 2 * m).astype(float)
    elif kind == "wide":
        values = rng.integers(-(10**9), 10**9, 2 * m).astype(float)
    elif kind == "decimal":
        values = rng.normal(size=2 * m).round(2)
    elif kind == "boolean":
        values = rng.random(2 * m) < rng.random()
    elif kind == "text":
        values = rng.choice([f"level {k}" for k in range(rng.integers(1, 30))], 2 * m)
    else:
        values = np.full(2 * m, 7.0)
    if rng.random() < 0.4:
        values = np.array(values, dtype=object)
        values[rng.random(2 * m) < rng.random() * 0.5] = None
    return values


def call(seed: int) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray, np.ndarray | None, dict[str, Any]]:
    """Return rows to train on and others, labels, weights, and settings."""
    rng = np.random.default_rng(seed)
    C = int(rng.integers(2, MOST_CLASSES + 1))
    m = int(rng.integers(C + 4, MOST_ROWS + 1))
    table = pd.DataFrame({f"c{j}": column(rng, m) for j in range(rng.integers(1, 9))})
    table["any"] = rng.normal(size=2 * m)  # at least one column is not constant
    hidden = table["any"] + rng.normal(scale=0.1, size=2 * m)
    codes = np.searchsorted(np.sort(rng.normal(size=C - 1)), hidden[:m])
    codes[:C] = np.arange(C)
    names = np.array([f"class {c}" for c in range(C)]) if rng.random() < 0.5 else np.arange(C) - 1
    weight = None
    if rng.random() < 0.4:
        weight = rng.random(m) * (rng.random(m) < 0.7)
        weight[0] = 1.0
    budgets = np.exp(rng.uniform(0, np.log(MOST_BYTES), rng.integers(1, 4))).astype(int)
    settings = {
        "max_bytes": [*map(int, budgets)],
        "class_weight": rng.choice([None, None, "balanced"]),
        "missing_indicator": str(rng.choice(["auto", "always", "never"])),
        "max_categories": int(rng.integers(2, 25)),
        "time_limit": float(rng.choice([0.5, 1.5, 2.5])),
        "n_jobs": 1,
        "random_state": seed,
    }
    return table[:m], table[m:].reset_index(drop=True), names[codes], weight, settings


def stages(search: Search) -> Iterator[list[Plan]]:
    """Yield all plans, also those that would come after others, in an order of its own."""
    plain, rules = plans.plain(search._source.n), plans.ruled()
    hidden = [more for plan in plain for more in plans.hidden(plan)]
    found = [*plain, *hidden, *rules, *plans.smooth([*plain, *rules])]
    found += [more for plan in [*plain, *hidden, *rules] for more in plans.summed(plan, many_rows=False)]
    kinds: dict[tuple[Any, ...], list[Plan]] = {}
    for plan in search._sensible(plan for plan in found if plan.size <= training.RULES[-1]):
        kinds.setdefault((plan.inputs, plan.hidden > 0, plan.members > 1, plan.penalty > 0), []).append(plan)
    rng = np.random.default_rng(search._budget.seed)
    some = [listed[rng.integers(len(listed))] for listed in kinds.values()]
    yield [some[k] for k in rng.permutation(len(some))]


def fitted(seed: int) -> bdnn.CompactBDNNClassifier:
    """Return the classifier of a call."""
    rows, _, labels, weight, settings = call(seed)
    moving = Clock()
    few = seed % 10 > 0
    proposals._TREES_OF_FOREST = 3 if few else 50
    training.STUMPS = plans.STUMPS[:4] if few else plans.STUMPS
    training.RULES = plans.RULES[:2] if few else plans.RULES
    with warnings.catch_warnings(), clock.replaced(moving):
        warnings.simplefilter("ignore")
        return bdnn.CompactBDNNClassifier(**settings).fit(rows, labels, weight, on_progress=moving.move)


def studied(seed: int) -> dict[str, Any]:
    """Return what a call did, or what went wrong."""
    rows, others, labels, _, _ = call(seed)
    record: dict[str, Any] = {"seed": seed, "rows": len(rows), "classes": len(np.unique(labels)), "networks": []}
    try:
        one, again = fitted(seed), fitted(seed)
        for (most, model), (_, same) in zip(one.models_.items(), again.models_.items(), strict=True):
            data = model.to_bytes(one.schema_)
            decoded = bdnn.from_bytes(data, one.schema_)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # levels that were not seen
                wrong = {
                    "over budget": len(data) > most,
                    "another size": len(data) != next(c.size_bytes for c in one.front_ if c.max_bytes == most),
                    "decides otherwise": bool(np.any(decoded.predict(rows) != model.predict(rows))),
                    "audit": model.result_.audit.n_wrong != int(np.sum(model.predict(rows) != labels)),
                    "other bytes": data != same.to_bytes(again.schema_),
                }
                keeps = others[_fits(one, others)]
                if len(keeps):
                    wrong["decides other rows otherwise"] = bool(np.any(decoded.predict(keeps) != model.predict(keeps)))
            kind = next("none" if c.plan is None else c.plan.inputs for c in one.front_ if c.max_bytes == most)
            record["networks"].append({"max_bytes": most, "bytes": len(data), "kind": kind, "others": len(keeps)})
            if any(wrong.values()):
                record.setdefault("wrong", []).append([most, *(name for name, found in wrong.items() if found)])
    except Exception:  # one call that fails must not end the study
        record["error"] = traceback.format_exc().strip()
    return record


def _fits(model: bdnn.CompactBDNNClassifier, rows: pd.DataFrame) -> np.ndarray:
    """Return which rows keep to the schema: integers of known ranges, no value missing where none was."""
    keeps = np.ones(len(rows), dtype=bool)
    for form in model.schema_.columns:
        values = rows[form.name]
        missing = values.isna().to_numpy()
        keeps &= ~missing | form.missing
        if form.kind == "numeric" and form.low is not None:
            scaled = pd.to_numeric(values).to_numpy(dtype=float) * form.scale
            inside = (scaled >= form.low) & (scaled <= form.low + 2**form.bits - 1) & (np.rint(scaled) == scaled)
            keeps &= missing | inside
    return keeps


def main() -> int:
    """Run the calls, and write what they did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--first-seed", type=int, default=0)
    options = parser.parse_args()
    Search._stages = stages
    began = time.process_time()
    records = []
    for seed in range(options.first_seed, options.first_seed + options.calls):
        records.append(studied(seed))
        if "error" in records[-1] or "wrong" in records[-1]:
            print(records[-1].get("error") or records[-1]["wrong"], "seed", seed, flush=True)
    networks = [network for record in records for network in record["networks"]]
    faults = Counter(name for record in records for _, *names in record.get("wrong", ()) for name in names)
    results = {
        "calls": len(records),
        "networks": len(networks),
        "rows of the training": [min(r["rows"] for r in records), max(r["rows"] for r in records)],
        "bytes": [min(n["bytes"] for n in networks), max(n["bytes"] for n in networks)],
        "networks that are no constant": sum(n["bytes"] > 1 for n in networks),
        "inputs": dict(Counter(n["kind"] for n in networks)),
        "networks that decided other rows, too": sum(n["others"] > 0 for n in networks),
        "errors": [r["seed"] for r in records if "error" in r],
        "faults": dict(faults),
        "seeds with faults": [r["seed"] for r in records if "wrong" in r],
        "processor seconds": round(time.process_time() - began),
    }
    print(results)
    if options.calls >= 100:  # less is a trial
        write_results("budget_study", results)
    return int(bool(faults or results["errors"]))


if __name__ == "__main__":
    sys.exit(main())
