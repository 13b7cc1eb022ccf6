"""Networks of integers from the search engine, as packed candidates.

First one network of each plan is judged. For the plans that do best, networks of the same shape are trained on
resampled rows (bootstrap) too, and their sum is judged: the sum of networks without hidden neurons, or with one hidden
layer, is a network of that kind again; it follows single rows less than its members do, and takes more bytes.

For large budgets there are networks whose hidden neurons are rules: conjunctions of thresholds, the leaves of boosted
trees. Trees only propose them; which weight each has for each class, and whether it has one, is left to the search.
"""

from __future__ import annotations

import numpy as np
from packed_networks import Binarized, Condition, Front, Ruled, Rules
from plans import LEAVES, Fronts, Plan, RulePlan, hidden_plans, plain_plans, promising, rule_plans, rules
from pool import FEW, Candidate, Path, Rows, everything, judged
from sources import Split

from bdnn import Budget, Network, Problem
from bdnn.methods.local_search import LocalSearch

MEMBERS = {(False, False): (3, 9), (False, True): (4,), (True, False): (4, 12), (True, True): (3, 6)}
"""How many networks are summed, by whether there are hidden neurons, and whether there are many rows."""
RULE_MEMBERS = {False: (5,), True: ()}
"""The same for networks on rules, which share these, by whether there are many rows: then one is enough."""
ROUNDS = {(False, False): 20, (False, True): 3, (True, False): 1, (True, True): 1}
"""Descents and kicks of one search, by whether there are more than two classes, and hidden neurons."""
SECONDS = 60.0
"""Of one search at most; the rounds end it before, unless the machine is busy."""


def ours(split: Split, seed: int) -> dict[str, list[Candidate]]:
    """Judge networks without hidden neurons on all fronts, wider ones on the best of these, rules, and sums."""
    trainer = Trainer(split, seed)
    plain = {plan: trainer.single(plan) for plan in plain_plans(trainer.fronts)}
    wider = {plan: trainer.single(plan) for plan in hidden_plans(split, trainer.fronts, plain)}
    ruled = {plan: trainer.single(plan) for plan in trainer.rule_plans()}
    pool = []
    for found in (plain, wider, ruled):
        pool += [candidate for each in found.values() for candidate in each]
        pool += [candidate for plan in promising(found) for candidate in trainer.sums(plan)]
    return {"ours": pool}


class Trainer:
    """Trains the networks of plans, each once."""

    def __init__(self, split: Split, seed: int) -> None:
        self._split, self._seed = split, seed
        self.fronts = Fronts(split, seed)
        self._known: dict[tuple[Plan | RulePlan, int, int], tuple[Rows, Network]] = {}
        self._rules: dict[tuple[int, int], tuple[Rows, list[tuple[Condition, ...]]]] = {}
        self._inputs: dict[tuple[RulePlan, int], tuple[Rows, Rules]] = {}

    def rule_plans(self) -> list[RulePlan]:
        """Return the plans of rules."""
        return rule_plans({leaves: len(self._all_rules(everything(self._split), leaves)) for leaves in LEAVES})

    def single(self, plan: Plan | RulePlan) -> list[Candidate]:
        """Return the network that is trained on the rows as they are."""
        return judged(self._split, lambda rows: Path([self._sum(plan, rows, 1)]), lambda k: plan.note)

    def sums(self, plan: Plan | RulePlan) -> list[Candidate]:
        """Return sums of that network and of some trained on resampled rows."""
        large = len(everything(self._split)[1]) > FEW
        sizes = RULE_MEMBERS[large] if isinstance(plan, RulePlan) else MEMBERS[plan.hidden > 0, large]
        return judged(
            self._split,
            lambda rows: Path([self._sum(plan, rows, number) for number in sizes]),
            lambda k: f"{plan.note}, {sizes[k]} members",
        )

    def _sum(self, plan: Plan | RulePlan, rows: Rows, number: int) -> Binarized:
        network = summed([self._member(plan, rows, k) for k in range(number)])
        kind = Ruled if isinstance(plan, RulePlan) else Binarized
        return kind(self._split.columns, self._split.classes, self._front(plan, rows), network).without_idle_inputs()

    def _front(self, plan: Plan | RulePlan, rows: Rows) -> Front | Rules:
        if isinstance(plan, Plan):
            return self.fronts.of(rows)[plan.front]
        key = plan, id(rows)
        if key not in self._inputs:
            some = self._all_rules(rows, plan.leaves)[: plan.most]
            self._inputs[key] = rows, Rules.of(some, self._split.columns)
        return self._inputs[key][1]

    def _all_rules(self, rows: Rows, leaves: int) -> list[tuple[Condition, ...]]:
        key = leaves, id(rows)
        if key not in self._rules:
            self._rules[key] = rows, rules(rows, self._split.columns, self._split.classes, leaves, self._seed)
        return self._rules[key][1]

    def _member(self, plan: Plan | RulePlan, rows: Rows, number: int) -> Network:
        key = plan, id(rows), number
        if key not in self._known:
            X, y = self._front(plan, rows).integers(rows[0], self._split.columns), rows[1]
            weight = np.ones(len(y))
            if number > 0:
                drawn = np.random.default_rng([self._seed, number]).integers(len(y), size=len(y))
                weight = np.bincount(drawn, minlength=len(y)).astype(float)
            self._known[key] = rows, search(X, y, weight, self._split.classes, plan, 1000 * self._seed + number)
        return self._known[key][1]


def search(X, y, weight, classes: int, plan: Plan | RulePlan, seed: int) -> Network:
    """Return the network that a short search finds."""
    problem = Problem(
        X=X,
        y=y,
        sample_weight=weight,
        hidden_layer_sizes=plan.shape,
        weights="integer",
        weight_bound=plan.bound,
    )
    budget = Budget(seconds=SECONDS, rounds=ROUNDS[classes > 2, plan.hidden > 0], seed=seed).start()
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
