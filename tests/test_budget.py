"""Limits: what is accepted, what is refused, and the clock."""

import dataclasses
import math
import re

import numpy as np
import pytest

from bdnn import Budget
from bdnn.errors import InputError


@pytest.mark.parametrize(
    ("setting", "rule"),
    [
        *(
            ({"seconds": bad}, "positive number of seconds")
            for bad in (0, 0.0, -1, math.nan, -math.inf, True, "5", None)
        ),
        *(({"nodes": bad}, "positive integer or None") for bad in (0, -3, 1.5, 2.0, True, "9", math.inf)),
        *(({"rounds": bad}, "limit on rounds must be a positive integer or None") for bad in (0, -1, 1.5, True, "3")),
        *(({"threads": bad}, "number of threads must be a positive integer") for bad in (0, -1, 1.0, True, None, "2")),
        *(({"seed": bad}, "seed must be an integer from 0") for bad in (-1, 2**31, 1.0, True, None, "0", math.nan)),
    ],
)
def test_bad_limits_are_refused_by_name_and_value(setting, rule):
    (value,) = setting.values()
    with pytest.raises(InputError, match=f"{rule}.*, got {re.escape(repr(value))}$"):
        Budget(**setting)
    with pytest.raises(ValueError):
        Budget(**setting)


def test_defaults_are_no_limits():
    limits = Budget()
    assert (limits.seconds, limits.nodes, limits.threads, limits.seed) == (math.inf, None, 1, 0)
    assert limits.start().remaining == math.inf
    assert not limits.start().exhausted


@pytest.mark.parametrize("seconds", [1, 0.5, np.float32(0.5), np.int64(3), math.inf])
def test_numpy_numbers_become_plain_ones(seconds):
    limits = Budget(seconds=seconds, nodes=np.int32(7), threads=np.int64(2), seed=np.uint32(5))
    assert [type(v) for v in (limits.seconds, limits.nodes, limits.threads, limits.seed)] == [float, int, int, int]
    assert limits == Budget(seconds=float(seconds), nodes=7, threads=2, seed=5)


def test_a_limit_beyond_floats_is_no_limit():
    assert Budget(seconds=10**400).start().remaining == math.inf


def test_largest_values():
    assert Budget(seed=2**31 - 1, nodes=10**12).seed == 2**31 - 1


def test_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Budget().seconds = 1.0


def test_clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("bdnn.clock._source", lambda: now[0])
    plain = Budget(seconds=10.0)
    now[0] = 500.0
    assert (plain.elapsed, plain.remaining, plain.exhausted) == (0.0, 10.0, False)
    running = plain.start()
    assert plain.started is None
    assert running.started == 500.0
    now[0] = 504.0
    assert (running.elapsed, running.remaining, running.exhausted) == (4.0, 6.0, False)
    assert running.start() is running
    now[0] = 510.0
    assert (running.remaining, running.exhausted) == (0.0, True)
    now[0] = 999.0
    assert running.remaining == 0.0


def test_start_keeps_the_limits():
    limits = Budget(seconds=9.0, nodes=3, threads=2, seed=4)
    assert dataclasses.replace(limits.start(), started=None) == limits
