"""Binarized networks as bytes: the packed format of the package, behind its bits and grids."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from bitstream import Writer
from coding import Packed
from pool import everything
from sources import Split

import bdnn
from bdnn.compact.inputs import BitInputs, GridInputs, Source
from bdnn.encoding.encoder import Encoder
from bdnn.estimators.classifier import from_model
from bdnn.model_file.contents import Model

Front = BitInputs | GridInputs
"""The integers that a network sees."""


class Known(NamedTuple):
    """What is known of a table without any model."""

    encoder_in_use: Encoder
    classes: np.ndarray


@lru_cache(maxsize=2)
def known(split: Split) -> tuple[Source, bdnn.Schema]:
    """Return the inputs of a table, and their formats."""
    X, _ = everything(split)
    encoder = Encoder.identity(None, X.shape[1], np.zeros(X.shape[1]))
    return Source.of(encoder, X), bdnn.Schema.of(Known(encoder, np.arange(split.classes)), X)


@dataclass(frozen=True, eq=False)
class Binarized(Packed):
    """A network of the package as bytes."""

    classifier: bdnn.BDNNClassifier
    schema: bdnn.Schema

    @classmethod
    def of(cls, split: Split, front: Front, network: bdnn.Network) -> Binarized:
        """Return a network behind a front, without inputs and hidden neurons that no weight uses."""
        source, schema = known(split)
        placed = front.placed(source, network.layers, network.head, np.arange(split.classes))
        classifier = from_model(Model(placed.network, encoder=placed.encoder))
        return cls(split.columns, split.classes, classifier, schema)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return class indices."""
        return self.classifier.predict(X)

    def encode(self) -> bytes:
        """Return the bytes."""
        return self.classifier.to_bytes(self.schema)

    def decoded(self, data: bytes) -> Binarized:
        """Return the model of these bytes."""
        return Binarized(self.columns, self.classes, bdnn.from_bytes(data, self.schema), self.schema)

    def write(self, out: Writer) -> None:
        """Write the bytes."""
        for byte in self.encode():
            out.unsigned(byte, 8)

    @classmethod
    def decode(cls, data, columns, classes):
        """Refuse: a schema is needed, see `decoded`."""
        raise NotImplementedError
