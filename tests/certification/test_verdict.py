"""What evidence on a point amounts to."""

import math

import numpy as np
import pytest

from bdnn.certification.verdict import Evidence


def test_the_nearest_attack_is_kept():
    evidence = Evidence()
    for distance in (3.0, 1.0, 2.0):
        evidence.offer(np.array([distance]), distance)
    assert evidence.distance == 1.0 and evidence.attack.tolist() == [1.0]


@pytest.mark.parametrize(
    ("attacked", "finished", "doubtful", "radius", "decided"),
    [
        (False, True, False, 0.5, True),
        (False, True, True, 0.0, False),
        (False, False, False, 0.0, False),
        (True, False, True, 0.0, True),
    ],
)
def test_a_radius_in_question(attacked, finished, doubtful, radius, decided):
    evidence = Evidence(doubtful=doubtful)
    if attacked:
        evidence.offer(np.zeros(1), 0.25)
    verdict = evidence.within(0.5, finished, 7, 0.1)
    assert (verdict.radius, verdict.decided, verdict.nodes) == (radius, decided, 7)
    assert verdict.robust == (decided and not attacked)


def test_a_smallest_perturbation_is_decided_once_proof_and_attack_meet():
    evidence = Evidence()
    assert evidence.smallest(math.inf, True, 0, 0.0).decided  # no attack at all
    evidence.offer(np.ones(1), 1.0)
    assert evidence.smallest(1.0 - 1e-8, True, 0, 0.0).decided
    assert not evidence.smallest(0.9, True, 0, 0.0).decided
    assert not evidence.smallest(1.0, False, 0, 0.0).decided
    assert evidence.smallest(2.0, True, 0, 0.0).radius == 1.0
    evidence.doubt(0.5)  # a cell that could not be excluded
    verdict = evidence.smallest(1.0, True, 0, 0.0)
    assert verdict.radius == 0.5 and not verdict.decided
