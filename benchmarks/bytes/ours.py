"""Networks of integers from the search engine, as packed candidates.

First one network of each plan is judged. For the plans that do best, networks of the same shape are trained on
resampled rows (bootstrap) too, and their sum is judged: the sum of networks without hidden neurons, or with one hidden
layer, is a network of that kind again; it follows single rows less than its members do, and takes more bytes.
"""

from __future__ import annotations

import numpy as np
from packed_networks import Binarized
from plans import Fronts, Plan, hidden_plans, plain_plans, promising
from pool import FEW, Candidate, Path, Rows, everything, judged
from sources import Split

from bdnn import Budget, Network, Problem
from bdnn.methods.local_search import LocalSearch
from bdnn.search.ready import ready

MEMBERS = {(False, False): (3, 9), (False, True): (4,), (True, False): (4, 12), (True, True): (3, 6)}
"""How many networks are summed, by whether there are hidden neurons, and whether there are many rows."""
ROUNDS = {(False, False): 20, (False, True): 3, (True, False): 1, (True, True): 1}
"""Descents and kicks of one search, by whether there are more than two classes, and hidden neurons."""
SECONDS = 60.0
"""Of one search at most; the rounds end it before, unless the machine is busy."""


def ours(split: Split, seed: int) -> dict[str, list[Candidate]]:
    """Judge networks without hidden neurons on all fronts, wider ones on the best of these, and sums of the best."""
    ready("float64", False, Budget().start())
    trainer = Trainer(split, seed)
    found = {plan: trainer.single(plan) for plan in plain_plans(trainer.fronts)}
    sums = [candidate for plan in promising(found) for candidate in trainer.sums(plan)]
    wider = {plan: trainer.single(plan) for plan in hidden_plans(split, trainer.fronts, found)}
    sums += [candidate for plan in promising(wider) for candidate in trainer.sums(plan)] if wider else []
    return {"ours": [*(c for each in (*found.values(), *wider.values()) for c in each), *sums]}


class Trainer:
    """Trains the networks of plans, each once."""

    def __init__(self, split: Split, seed: int) -> None:
        self._split, self._seed = split, seed
        self.fronts = Fronts(split, seed)
        self._known: dict[tuple[Plan, int, int], tuple[Rows, Network]] = {}

    def single(self, plan: Plan) -> list[Candidate]:
        """Return the network that is trained on the rows as they are."""
        return judged(self._split, lambda rows: Path([self._sum(plan, rows, 1)]), lambda k: plan.note)

    def sums(self, plan: Plan) -> list[Candidate]:
        """Return sums of that network and of some trained on resampled rows."""
        sizes = MEMBERS[plan.hidden > 0, len(everything(self._split)[1]) > FEW]
        return judged(
            self._split,
            lambda rows: Path([self._sum(plan, rows, number) for number in sizes]),
            lambda k: f"{plan.note}, {sizes[k]} members",
        )

    def _sum(self, plan: Plan, rows: Rows, number: int) -> Binarized:
        network = summed([self._member(plan, rows, k) for k in range(number)])
        front = self.fronts.of(rows)[plan.front]
        return Binarized(self._split.columns, self._split.classes, front, network).without_idle_inputs()

    def _member(self, plan: Plan, rows: Rows, number: int) -> Network:
        key = plan, id(rows), number
        if key not in self._known:
            X, y = self.fronts.of(rows)[plan.front].integers(rows[0], self._split.columns), rows[1]
            weight = np.ones(len(y))
            if number > 0:
                drawn = np.random.default_rng([self._seed, number]).integers(len(y), size=len(y))
                weight = np.bincount(drawn, minlength=len(y)).astype(float)
            self._known[key] = rows, search(X, y, weight, self._split.classes, plan, 1000 * self._seed + number)
        return self._known[key][1]


def search(X, y, weight, classes: int, plan: Plan, seed: int) -> Network:
    """Return the network that a short search finds."""
    problem = Problem(
        X=X,
        y=y,
        sample_weight=weight,
        hidden_layer_sizes=plan.shape,
        weights="integer",
        weight_bound=plan.bound,
    )
    budget = Budget(seconds=SECONDS, nodes=ROUNDS[classes > 2, plan.hidden > 0], seed=seed).start()
    network = LocalSearch()(problem, budget).network
    # the rows may lack a class that others have
    return complete(network, classes)


def complete(network: Network, classes: int) -> Network:
    """Return the network with an output for each class; one without training rows never wins."""
    layers, codes = list(network.layers), network.classes.astype(int)
    if classes > 2 and len(codes) < classes:
        W, b = layers[-1]
        least = int(b.min() - np.abs(W).sum() * (15 if len(layers) == 1 else 1) - 1)
        weights, bias = np.zeros((classes, W.shape[1]), dtype=int), np.full(classes, least)
        weights[codes], bias[codes] = W, b
        layers[-1] = weights, bias
    return Network(layers, head=network.head, classes=np.arange(classes))


def summed(networks: list[Network]) -> Network:
    """Return the network whose outputs are the sums of those of the others; of at most one hidden layer."""
    first = networks[0]
    layers = []
    if len(first.layers) == 2:
        layers.append(tuple(np.concatenate([n.layers[0][part] for n in networks]) for part in (0, 1)))
        weights = np.concatenate([n.layers[1].weights for n in networks], axis=1)
    else:
        weights = np.sum([n.layers[0].weights for n in networks], axis=0)
    layers.append((weights, np.sum([n.layers[-1].bias for n in networks], axis=0)))
    return Network(layers, head=first.head, classes=first.classes)
