"""The end of a process in which other threads are still computing."""

import subprocess
import sys

CODE = """
import threading
import numpy as np
from bdnn._native import certify

rng = np.random.default_rng(0)
W, alpha, far = rng.normal(size=(300, 2000)), -np.ones(300), np.full(2000, 10.0)
begun = threading.Event()

def work():
    begun.set()
    while True:
        certify.nearest(2, W, alpha, -far, far, np.inf)

for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
begun.wait()
print("over")
"""


def test_daemon_threads_in_the_core_do_not_abort_the_process():
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stdout, done.stderr) == (0, "over\n", "")
