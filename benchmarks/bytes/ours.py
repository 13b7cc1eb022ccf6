"""Networks of integers from the search engine, as packed candidates.

Without hidden neurons, and with few, a network is a sum of members trained on resampled rows: the sum of such
networks is one of them again, with larger weights, and does not follow single rows as its members do. Wider networks
are trained once, and held-out rows choose among local optima.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from coding import Binarized
from plans import BOUNDS, HIDDEN, Plan, estimated_bytes, fronts
from pool import BUDGETS, Candidate, judged
from sources import Split

from bdnn import Budget, Network, Problem
from bdnn.methods.local_search import LocalSearch
from bdnn.search.ready import ready

MEMBERS = (1, 5)
ROUNDS = {0: 25, 1: 60}
SECONDS = 2.0
"""Of one search at most; the rounds end it before unless there are many rows."""


def ours(split: Split, seed: int) -> dict[str, list[Candidate]]:
    """Train networks without hidden neurons on all fronts, and wider ones on the best of these."""
    ready("float64", False, Budget().start())
    pool: list[Candidate] = []
    merits: dict[str, float] = {}
    given = fronts(split, seed)
    for name, front in given.items():
        for bound in BOUNDS:
            found = _sums(Plan(front, name, 0, bound), split, seed)
            pool += found
            merits[name] = max([merits.get(name, 0.0), *(each.validation for each in found)])
    for plan in hidden_plans(split, given, merits):
        pool += _sums(plan, split, seed) if plan.hidden <= 4 else []
        pool.append(_single(plan, split, seed))
    return {"ours": pool}


def hidden_plans(split: Split, given: dict[str, object], merits: dict[str, float]) -> list[Plan]:
    """Return shapes with hidden neurons that fit the budgets, on the fronts that did best without any."""
    order = sorted(given, key=lambda name: (-merits[name], len(given[name].chosen)))
    found = []
    for hidden, bound in HIDDEN:
        fitting = [n for n in order if estimated_bytes(given[n], split, hidden, bound) <= max(BUDGETS)]
        found += [Plan(given[name], name, hidden, bound) for name in fitting[:2]]
    return found


def _search(X, y, classes, plan: Plan, seed: int, resample: bool, held_out=None) -> Network:
    weight = None
    if resample:
        rows = np.random.default_rng(seed).integers(len(y), size=len(y))
        weight = np.bincount(rows, minlength=len(y)).astype(float)
    problem = Problem(
        X=X,
        y=y,
        sample_weight=weight,
        validation=held_out,
        hidden_layer_sizes=plan.shape,
        weights="integer",
        weight_bound=plan.bound,
    )
    rounds = ROUNDS[1] if plan.hidden else ROUNDS[0]
    budget = Budget(seconds=SECONDS, nodes=rounds, seed=seed).start()
    network = LocalSearch()(problem, budget).network
    return Network(network.layers, head=network.head, classes=np.arange(classes))


def summed(networks: list[Network]) -> Network:
    """Return the network whose outputs are the sums of those of the others; of at most one hidden layer."""
    first = networks[0]
    layers = []
    if len(first.layers) == 2:
        stacked = [np.concatenate([n.layers[0][part] for n in networks]) for part in (0, 1)]
        layers.append(tuple(stacked))
        weights = np.concatenate([n.layers[1].weights for n in networks], axis=1)
    else:
        weights = np.sum([n.layers[0].weights for n in networks], axis=0)
    layers.append((weights, np.sum([n.layers[-1].bias for n in networks], axis=0)))
    return Network(layers, head=first.head, classes=first.classes)


def _packed(plan: Plan, split: Split, network: Network) -> Binarized:
    return Binarized(split.columns, split.classes, plan.front, network).without_idle_inputs()


def _sums(plan: Plan, split: Split, seed: int) -> list[Candidate]:
    """Return sums of one and of several members."""

    def members(rows, number: int) -> list[Network]:
        X, y = plan.front.integers(rows[0], split.columns), rows[1]
        return [_search(X, y, split.classes, plan, 1000 * seed + k, resample=k > 0) for k in range(number)]

    trained = members((split.X["train"], split.y["train"]), max(MEMBERS))

    @lru_cache(maxsize=1)
    def again() -> list[Network]:
        return members(split.both, max(MEMBERS))

    found = []
    for number in MEMBERS:
        model = _packed(plan, split, summed(trained[:number]))
        note = f"{plan.note}, {number} members" if number > 1 else plan.note
        found.append(judged(model, split, note, lambda n=number: _packed(plan, split, summed(again()[:n]))))
    return found


def _single(plan: Plan, split: Split, seed: int) -> Candidate:
    """Return the local optimum that is best on the validation part."""
    X = {part: plan.front.integers(split.X[part], split.columns) for part in ("train", "validation")}
    held_out = (X["validation"], split.y["validation"])
    network = _search(X["train"], split.y["train"], split.classes, plan, seed, False, held_out)
    return judged(_packed(plan, split, network), split, f"{plan.note}, best optimum")
