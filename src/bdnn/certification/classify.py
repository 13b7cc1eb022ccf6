"""The class of single inputs: by compiled sums where rounding errors cannot change a sign, exactly elsewhere.

The bound on rounding errors is that of `bdnn.exact.signs`; evaluating one input at a time in numpy takes most of its
time for calls. Inputs on borders are what attacks are made of, so sums that are not sure are formed again in twice the
precision (T. Ogita, S. M. Rump and S. Oishi, Accurate sum and dot product, doi:10.1137/030601818), and without any
rounding where even that leaves the sign open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bdnn._native.certify import Classifier

if TYPE_CHECKING:
    from bdnn.network.network import Network
    from bdnn.types import Floats


class ExactClassifier:
    """The class of single inputs.

    Parameters
    ----------
    network : Network
        With or without a grid.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._classify = Classifier(
            [(np.ascontiguousarray(w, np.float64), np.ascontiguousarray(b, np.float64)) for w, b in network.layers]
        )

    def __call__(self, z: Floats) -> int:
        """Return the index of the class of an input of shape (n,)."""
        if self._network.grid is not None:
            return int(self._network.predict_index(z[None, :])[0])
        return self._classify(np.ascontiguousarray(z, np.float64))
