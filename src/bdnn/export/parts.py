"""The networks of a model with integer weights, whether it is one or an ensemble."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from bdnn.errors import InputError, RoundingError
from bdnn.export.program import IntegerLayer
from bdnn.export.pruning import one_output, pruned
from bdnn.network.grid import InputGrid
from bdnn.network.layer import Layer

if TYPE_CHECKING:
    from bdnn.export.program import Voting
    from bdnn.model_file.contents import EnsembleMember, EnsembleModel, Model
    from bdnn.network.network import Network
    from bdnn.types import Array, Bools, Floats, Indices


@dataclass(frozen=True, eq=False, slots=True)
class Part:
    """A network with integer weights, the inputs of the encoder that it takes, and the classes of its outputs."""

    network: Network
    features: Indices
    codes: tuple[int, ...]

    @property
    def layers(self) -> list[IntegerLayer]:
        """The layers as they are."""
        return [IntegerLayer(w, tuple(b.tolist())) for w, b in self.network.layers]

    def least_layers(self) -> list[IntegerLayer]:
        """Return layers without neurons that do not matter, and without a second output."""
        return pruned(one_output(self.layers))


@dataclass(frozen=True, eq=False, slots=True)
class Parts:
    """All networks of a model, how they vote (None for a single one), and the labels."""

    parts: tuple[Part, ...]
    voting: Voting | None
    classes: Array

    @classmethod
    def of(cls, model: Model | EnsembleModel, inputs: Floats | None, input_bits: int) -> Parts:
        """Return the networks of a model.

        Parameters
        ----------
        model : Model or EnsembleModel
            What predicts.
        inputs : ndarray of shape (m, n_inputs) or None
            Inputs from the encoder; continuous weights are made integers that decide them alike.
        input_bits : int
            Bits of the grids of networks that are made integers.

        Raises
        ------
        InputError
            If continuous weights cannot be made integers.
        """
        voting: Voting | None = None
        members: tuple[EnsembleMember, ...] | None = getattr(model, "members", None)  # which only ensembles have
        if members is None:
            network = cast("Model", model).network
            pairs = [(network, np.arange(network.n_features), list(range(len(network.classes))))]
        else:
            pairs = [(m.network, m.features, m.network.classes.tolist()) for m in members]
            voting = cast("Voting", model.settings.get("voting", "sum") if model.settings else "sum")
        parts = tuple(
            Part(_integers(network, inputs if inputs is None else inputs[:, features], input_bits), features, tuple(c))
            for network, features, c in pairs
        )
        return cls(parts, voting, model.classes)


def _integers(network: Network, inputs: Floats | None, input_bits: int) -> Network:
    if network.is_integer:
        return network
    if inputs is None or not len(inputs):
        raise InputError(
            "the network has continuous weights, and a device computes with integers: give the table that it was "
            "trained on (--data), so that they are made integers that decide its rows alike; or train with integer "
            "weights"
        )
    used = np.any(network.layers[0].weights != 0, axis=0)
    try:
        if used.all() or not used.any():
            return network.to_integer(inputs, input_bits=input_bits)
        return _with_all(network, used, _of_some(network, used).to_integer(inputs[:, used], input_bits=input_bits))
    except RoundingError as error:
        raise InputError(f"no integers were found that decide as the network does: {error}") from None


def _of_some(network: Network, used: Bools) -> Network:
    """Return the network of the inputs that have weights, so that no others get any."""
    W, b = network.layers[0]
    grid, names = network.grid, network.feature_names
    return replace(
        network,
        layers=(Layer(W[:, used], b), *network.layers[1:]),
        grid=None if grid is None else InputGrid(grid.offset[used], grid.step[used], grid.bits),
        feature_names=None if names is None else tuple(name for name, kept in zip(names, used, strict=True) if kept),
    )


def _with_all(network: Network, used: Bools, small: Network) -> Network:
    """Return integers for the inputs that have weights as a network of all inputs."""
    W, b = small.layers[0]
    weights = np.zeros((len(b), len(used)), dtype=W.dtype)
    weights[:, used] = W
    grid = small.grid
    if grid is not None:
        offset, step = np.zeros(len(used)), np.ones(len(used))
        offset[used], step[used] = grid.offset, grid.step
        grid = InputGrid(offset, step, grid.bits)
    return replace(
        network, layers=(Layer(weights, b), *small.layers[1:]), grid=grid, feature_names=network.feature_names
    )
