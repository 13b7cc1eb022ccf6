"""Train the networks of plans, each once, on whichever rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bdnn.arrays import row_blocks
from bdnn.budget import Budget
from bdnn.compact.boosting import Boosted, Cuts
from bdnn.compact.inputs import BitInputs, GridInputs, Inputs, Placed, Source
from bdnn.compact.once import Once
from bdnn.compact.plans import RULES, STUMPS, Plan, fits, rounds
from bdnn.compact.proposals import Rows, Rule, importance, rules, stump_bits, tree_bits
from bdnn.compact.regression import regression, rounded
from bdnn.methods.local_search import LocalSearch
from bdnn.network.network import Layer, Network
from bdnn.network.packing import packed_size
from bdnn.problem.problem import Problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bdnn.network.losses import Head
    from bdnn.network.schema import Schema
    from bdnn.status import ProgressCallback
    from bdnn.types import Array, Floats, Indices, Integers


_LEAST_SECONDS = 0.02
"""Of a search, if there is no time left: some descent of a network that is better than none."""
_SHARE_OF_TREES = 0.15
"""Of the time that is left that trees may grow before what they propose is searched with."""
_LARGEST_INPUT = 2**8 - 1
"""Of the finest grid."""
_SPARE_BYTES = 1.2
"""How many times the largest budget boosted trees may take, by an estimate."""


@dataclass(frozen=True, eq=False, slots=True)
class Trained:
    """A network and what it sees.

    Attributes
    ----------
    inputs : Inputs
        Which bits or grids.
    network : Network
        On these.
    source : Source
        Where they come from.
    shortcut : callable or None
        What answers as the network does, only sooner.
    """

    inputs: Inputs
    network: Network
    source: Source
    shortcut: Callable[[Floats], Indices] | None = None

    def answers(self, X: Floats) -> Indices:
        """Return class indices of rows of the inputs of the encoder."""
        if self.shortcut is not None:
            return self.shortcut(X)
        return np.asarray(self.network.predict_index(self.inputs.values(X)), dtype=np.intp)

    def placed(self) -> Placed:
        """Return the network behind an encoder of its own, without what has no weight."""
        return self.inputs.placed(self.source, self.network.layers, self.network.head, self.network.classes)


class Trainer:
    """Trains networks on some rows.

    Parameters
    ----------
    rows : Rows
        To train on.
    source : Source
        The inputs.
    classes : ndarray of shape (n_classes,)
        Labels.
    seed : int
        Of everything.
    max_bytes : int
        Largest budget: no more thresholds and rules are asked for than plans within it may use.
    budget : Budget
        Of the whole search, started: trees grow for at most a part of it.
    schema : Schema
        Columns and labels, which cost no bytes.
    exact : bool
        Whether the bytes of boosted trees are counted, or only estimated, which takes less time.
    """

    def __init__(
        self,
        rows: Rows,
        source: Source,
        classes: Any,
        seed: int,
        max_bytes: int,
        budget: Budget,
        schema: Schema,
        exact: bool = True,
    ) -> None:
        self._rows, self._source, self._classes, self._seed = rows, source, classes, seed
        self._max_bytes, self._schema, self._exact = max_bytes, schema, exact
        self._n_classes = len(classes)
        self._budget = budget
        self._most_stumps = max((size for size in STUMPS if self._fits(Plan("stumps", size), max_bytes)), default=1)
        self._most_rules = max((size for size in RULES if self._fits(Plan("rules", size), max_bytes)), default=1)
        self._once = Once()

    def _fits(self, plan: Plan, max_bytes: int) -> bool:
        return fits(plan, self._source.n, self._n_classes, max_bytes)

    def _until(self) -> Callable[[], bool]:
        """Return what tells whether trees that grow from now on have grown long enough."""
        left = self._budget.remaining
        return lambda: self._budget.remaining < (1 - _SHARE_OF_TREES) * left < math.inf

    def is_repeated(self, plan: Plan, known: bool = False) -> bool:
        """Tell whether a smaller plan has all thresholds or rules that there are; no if they must be `known`."""
        if not plan.smaller or (known and not self._once.known([self._proposals_of(plan)])):
            return False
        if plan.trees is not None:
            if plan.smaller[-1] < plan.trees.least_bytes(self._n_classes):
                return False
            return self._beginning(plan) == self._beginning(replace(plan, size=plan.smaller[-1]))
        return len(self._rules(plan) if plan.inputs == "rules" else self._stumps()) <= plan.smaller[-1]

    def _proposals_of(self, plan: Plan) -> Any:
        """Return the key of what trees propose for a plan."""
        if plan.trees is not None:
            return "boosted", plan.trees
        proposals = {"grid": "importance", "tree": ("tree", plan.size), "stumps": "stumps"}
        return ("rules", plan.bits) if plan.inputs == "rules" else proposals[plan.inputs]

    def shared_seconds(self, plan: Plan) -> float:
        """Return what the regression or the trees of a plan took, which other plans share with it."""
        if plan.trees is not None:
            return self._once.seconds(self._proposals_of(plan))
        return self._once.seconds(("regression", plan.regression, 0)) if plan.penalty else 0.0

    def known(self, plan: Plan) -> dict[Any, Any]:
        """Return what has been made for a plan: proposals of trees, and the networks that it adds up."""
        keys: list[Any] = [self._proposals_of(plan)]
        if plan.trees is not None:
            keys += [("beginning", replace(plan, size=size)) for size in (plan.size, *plan.smaller[-1:])]
        keys += [(plan.single, number) for number in range(plan.members)]
        if plan.penalty:
            keys += [("regression", plan.regression, number) for number in range(plan.members)]
        return self._once.known(keys)

    def learn(self, made: Mapping[Any, Any]) -> None:
        """Take over what another one has made for the same rows."""
        self._once.learn(made)

    def network(self, plan: Plan, budget: Budget, listener: ProgressCallback | None = None) -> Trained:
        """Return the network of a plan.

        A listener may raise KeyboardInterrupt, which comes through.
        """
        if plan.trees is not None:
            return self._trees(plan)
        network = summed([self._member(plan, number, budget, listener) for number in range(plan.members)])
        layers = network.layers
        inputs: Inputs
        if plan.inputs != "rules":
            inputs = self._inputs(plan)
        else:
            inputs, signs = _layer_of(self._rules(plan)[: network.n_features])
            layers = Layer(signs, -(signs > 0).sum(axis=1)), *layers
        return Trained(inputs, Network(layers, network.head, self._classes), self._source)

    def _trees(self, plan: Plan) -> Trained:
        """Return the network of as many boosted trees as there is room for."""
        path, number = self._boosted(plan), self._beginning(plan)
        if not number:
            return constant_model(most_frequent(self._rows), self._source, self._classes)
        return self._of_trees(path, number)

    def _of_trees(self, path: Boosted, number: int) -> Trained:
        inputs, layers = path.layers(number)
        head: Head = "threshold" if path.outputs == 1 else "argmax"
        network = Network(layers, head, self._classes)
        return Trained(inputs, network, self._source, lambda X: path.answers(path.cuts.bins(X), number))

    def _boosted(self, plan: Plan) -> Boosted:
        """Return the trees of a plan, as many as the largest budget has room for."""
        how = plan.trees
        assert how is not None

        def make() -> Boosted:
            cuts, bins = self._binned(how.cuts)
            until = self._until()
            bits = 8 * _SPARE_BYTES * self._max_bytes
            return Boosted.of(cuts, (bins, self._rows), self._n_classes, how, bits, lambda: not until())

        return self._once(("boosted", how), make)

    def _binned(self, cuts: int) -> tuple[Cuts, Array]:
        def make() -> tuple[Cuts, Array]:
            found = Cuts.of(self._rows.X, self._source, cuts)
            return found, found.bins(self._rows.X)

        return self._once(("cuts", cuts), make)

    def _beginning(self, plan: Plan) -> int:
        """Return how many trees of a plan there is room for."""

        def make() -> int:
            path = self._boosted(plan)
            counted = self._exact or path.stumps  # whose bytes are harder to estimate
            size = (lambda number: self._size(self._of_trees(path, number))) if counted else None
            return path.beginning(plan.size, size)

        return self._once(("beginning", plan), make)

    def _size(self, trained: Trained) -> int:
        placed = trained.placed()
        return packed_size(placed.network, self._schema, placed.encoder)

    def _inputs(self, plan: Plan) -> BitInputs | GridInputs:
        rows, source, seed = self._rows, self._source, self._seed
        if plan.inputs == "grid":
            order = self._once("importance", lambda: importance(rows, seed))
            key: Any = ("grid", plan.size, plan.bits)
            return self._once(key, lambda: GridInputs.of(order[: plan.size], rows.X, source, plan.bits))
        if plan.inputs == "tree":
            key = ("tree", plan.size)
            return BitInputs.of(self._once(key, lambda: tree_bits(rows, source, seed, plan.size) or [(0, 0.0)]))
        return BitInputs.of(self._stumps()[: plan.size])

    def _stumps(self) -> list[tuple[int, float]]:
        """Return thresholds in the order in which boosted stumps take them."""

        def make() -> list[tuple[int, float]]:
            found = stump_bits(self._rows, self._source, self._seed, self._most_stumps, self._until())
            return found or [(0, 0.0)]

        return self._once("stumps", make)

    def _rules(self, plan: Plan) -> list[Rule]:
        """Return all rules that the trees of a plan ask for."""

        def make() -> list[Rule]:
            found = rules(self._rows, self._source, self._seed, plan.bits, self._most_rules, self._until())
            return found or [((0, 0.0, True),)]

        return self._once(("rules", plan.bits), make)

    def _held(self, plan: Plan) -> NDArray[np.uint8]:
        """Return which of all rules of a plan's trees hold for the rows."""

        def make() -> NDArray[np.uint8]:
            bits, signs = _layer_of(self._rules(plan))
            wanted = (signs > 0).sum(axis=1)
            held = np.empty((len(self._rows.y), len(signs)), dtype=np.uint8)
            for rows in row_blocks(len(held), bits.feature.size + len(signs)):
                held[rows] = bits.values(self._rows.X[rows]) @ signs.T.astype(np.float64) >= wanted
            return held

        return self._once(("held", plan.bits), make)

    def _signals(self, plan: Plan) -> Floats:
        """Return what is searched on: bits, integers, or which rules hold."""
        if plan.inputs == "rules":
            return self._held(plan)[:, : plan.size].astype(np.float64)
        return self._inputs(plan).values(self._rows.X)

    def _member(self, plan: Plan, number: int, budget: Budget, listener: ProgressCallback | None) -> Network:
        return self._once((plan.single, number), lambda: self._searched(plan, number, budget, listener))

    def _searched(self, plan: Plan, number: int, budget: Budget, listener: ProgressCallback | None) -> Network:
        X, y, weight = self._signals(plan), self._rows.y, self._rows.weight
        if number:
            drawn = np.random.default_rng([self._seed, number]).integers(len(y), size=len(y))
            weight = weight * np.bincount(drawn, minlength=len(y))
        weighs = weight > 0
        if len(present := np.unique(y[weighs])) < 2:
            return constant(int(present[0]), X.shape[1], self._n_classes)
        if plan.penalty:
            rows = Rows(X[weighs], y[weighs], weight[weighs])
            key = "regression", plan.regression, number  # the same for all bounds
            logits = self._once(key, lambda: regression(rows, plan.penalty))
            return complete(rounded(logits, *rows, plan.bound), self._n_classes)
        problem = Problem(
            X=X[weighs], y=y[weighs], sample_weight=weight[weighs], weights="integer", weight_bound=plan.bound,
            hidden_layer_sizes=(plan.hidden,) if plan.hidden else (), copy=False,
        )  # fmt: skip
        limits = Budget(
            seconds=max(budget.remaining, _LEAST_SECONDS),
            rounds=rounds(plan, self._n_classes),
            seed=(1000 * self._seed + number) % 2**31,
        )
        result = LocalSearch()(problem, limits, None, listener)
        if result.interrupted:
            raise KeyboardInterrupt
        return complete(result.network, self._n_classes)


@dataclass(frozen=True, eq=False, slots=True)
class Retraining:
    """Trains networks of plans on other rows of the same inputs; it travels.

    Attributes
    ----------
    source, classes, seed, max_bytes, schema
        As in `Trainer`.
    """

    source: Source
    classes: Any
    seed: int
    max_bytes: int
    schema: Schema

    def __call__(self, plan: Plan | None, rows: Rows, budget: Budget, listener: ProgressCallback | None) -> Trained:
        """Return the network of a plan, or for None the one of the most frequent class."""
        if plan is None:
            return constant_model(most_frequent(rows), self.source, self.classes)
        trainer = Trainer(rows, self.source, self.classes, self.seed, self.max_bytes, budget, self.schema)
        return trainer.network(plan, budget, listener)


def _layer_of(found: Sequence[Rule]) -> tuple[BitInputs, Integers]:
    bits = BitInputs.of([(j, t) for rule in found for j, t, _ in rule])
    place = {pair: k for k, pair in enumerate(zip(bits.feature.tolist(), bits.threshold.tolist(), strict=True))}
    signs = np.zeros((len(found), len(place)), dtype=np.int64)
    for row, rule in zip(signs, found, strict=True):
        for j, t, holds in rule:
            row[place[j, t]] = 1 if holds else -1
    return bits, signs


def most_frequent(rows: Rows) -> int:
    """Return the class of the largest weight."""
    return int(np.bincount(rows.y, rows.weight).argmax())


def constant(label: int, n_inputs: int, n_classes: int) -> Network:
    """Return the network without weights that gives all rows the same class."""
    outputs = 1 if n_classes == 2 else n_classes
    bias = np.array([label - 1]) if n_classes == 2 else (np.arange(n_classes) == label).astype(np.int64)
    head: Head = "threshold" if n_classes == 2 else "argmax"
    layer = Layer(np.zeros((outputs, n_inputs), dtype=np.int64), bias)
    return Network((layer,), head, np.arange(n_classes))


def complete(network: Network, n_classes: int) -> Network:
    """Return the network with an output for each class; one without training rows never wins."""
    layers, codes = list(network.layers), np.asarray(network.classes).astype(int)
    if len(codes) == n_classes:
        return Network(network.layers, network.head, np.arange(n_classes))
    weights, bias = layers[-1]
    if len(weights) == 1:  # a threshold that tells two of several classes apart; of equal outputs the first wins
        weights, bias = np.vstack([0 * weights, weights]), np.array([-1, int(bias[0])])
    largest = _LARGEST_INPUT if len(layers) == 1 else 1
    least = int(bias.min()) - largest * int(np.abs(weights).sum()) - 1
    all_weights = np.zeros((n_classes, weights.shape[1]), dtype=np.int64)
    all_bias = np.full(n_classes, least, dtype=np.int64)
    all_weights[codes], all_bias[codes] = weights, bias
    return Network((*layers[:-1], Layer(all_weights, all_bias)), "argmax", np.arange(n_classes))


def summed(networks: Sequence[Network]) -> Network:
    """Return the network whose outputs are the sums of those of the others; of at most one hidden layer.

    Constants, which rows of one class give, are left out where others have a hidden layer.
    """
    depth = max(len(network.layers) for network in networks)
    networks = [network for network in networks if len(network.layers) == depth]
    first = networks[0]
    if len(networks) == 1:
        return first
    bias = np.sum([n.layers[-1].bias for n in networks], axis=0)
    if len(first.layers) == 1:
        only = Layer(np.sum([n.layers[0].weights for n in networks], axis=0), bias)
        return Network((only,), first.head, first.classes)
    lower = [n.layers[0] for n in networks]
    hidden = Layer(np.concatenate([layer.weights for layer in lower]), np.concatenate([layer.bias for layer in lower]))
    outputs = Layer(np.concatenate([n.layers[1].weights for n in networks], axis=1), bias)
    return Network((hidden, outputs), first.head, first.classes)


def constant_model(label: int, source: Source, classes: Any) -> Trained:
    """Return the network that gives all rows the same class."""
    network = constant(label, 1, len(classes))
    usable = int(np.flatnonzero(~source.dated)[0]) if not source.dated.all() else 0
    return Trained(BitInputs.of([(usable, 1.0)]), Network(network.layers, network.head, classes), source)
