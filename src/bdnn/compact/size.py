"""How many bytes a network takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bdnn.encoding.encoder import Encoder
    from bdnn.network.network import Network


def packed_size(encoder: Encoder, network: Network) -> int:
    """Return the bytes of the packed format."""
    import numpy as np

    used = np.any(network.layers[0].weights != 0, axis=0)
    bits = used.sum() * 14
    for W, b in network.layers:
        P = max(int(np.abs(W).max(initial=0)), 1)
        nz = int((W != 0).sum())
        bits += min(W[:, used].size if W.shape[1] == len(used) else W.size, nz * 8) * np.log2(2 * P + 1) + len(b) * 8
    return int(bits / 8) + 1 if used.any() else 1
