"""Compiled kernels check no index, so they are run once more without compilation, where NumPy does."""

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import warnings

import numpy as np

from bdnn.search import kernels
from search.states import MOST, audited, hostile_state

warnings.simplefilter("ignore")  # the generator of the kernels overflows on purpose
rng = np.random.default_rng(0)
for number in range(40):
    state = hostile_state(rng, integer=bool(number % 2))
    for neuron in range(len(state.b)):
        most = MOST if rng.random() < 0.7 else int(rng.integers(1, 30))
        assert kernels.turn(state, neuron, 5, 0.7, most) <= 0
    assert np.array_equal(state.loss, audited(state))
print("done")
"""


def test_no_index_is_out_of_range():
    tests = Path(__file__).parents[1]
    settings = {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join([str(tests), *filter(None, sys.path)])}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=os.environ | settings, capture_output=True, text=True)
    assert done.stdout == "done\n", done.stderr
