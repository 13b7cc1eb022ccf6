"""Certificates that are made by enumeration, and what the checker says about them."""

import copy
import functools

import numpy as np
import pytest

import bdnn
from bdnn.errors import CertificateError
from certificates import made

ALTERNATING = ([[float(v)] for v in range(-3, 4)], [1, 0, 1, 0, 1, 0, 1], [1.0, 2.0, 1.0, 0.5, 1.5, 2.0, 1.0])
TIED = (
    [[0.1], [0.1], [-0.0], [0.0], [0.3], [0.7], [0.3], [-0.5], [9.0]],
    ["a", "b", "b", "b", "a", "b", "b", "a", "a"],
    [0.1, 0.1, 0.2, 0.7, 1.0, 0.4, 0.25, 0.3, 0.0],
)
PLANE = (
    [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.5, 0.5], [0.25, 0.75], [0.5, 2.0]],
    [0, 1, 1, 0, 0, 1, 0],
    None,
)
CASES = {
    "neuron": (*ALTERNATING, 0),
    "one hidden": (*ALTERNATING, 1),
    "two hidden": (*ALTERNATING, 2),
    "three hidden": (*(part[1:6] for part in ALTERNATING), 3),
    "ties and decimals": (*TIED, 0),
    "two hidden, ties and decimals": (*TIED, 2),
    "plane": (*PLANE, 0),
    "plane, two hidden": (*PLANE, 2),
    "argmax": (*TIED, 0),
    "argmax, two hidden": (*PLANE, 2),
}


@functools.cache
def documents():
    """The certificate of each case; made once for all modules of tests."""
    heads = {name: "argmax" if name.startswith("argmax") else "threshold" for name in CASES}
    return {name: made(*case, head=heads[name]) for name, case in CASES.items()}


def check(document, X, y, weight=None):
    return bdnn.verify_certificate(document, np.array(X), np.array(y), weight)


def refused(document, X, y, weight=None, match=None):
    with pytest.raises(CertificateError, match=match) as caught:
        check(document, X, y, weight)
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, bdnn.BDNNError)
    return str(caught.value)


def changed(document, path, value):
    if not path:
        return value
    result = copy.copy(document)
    result[path[0]] = changed(document[path[0]], path[1:], value)
    return result


NOTHING = {"cuts": [], "links": []}
