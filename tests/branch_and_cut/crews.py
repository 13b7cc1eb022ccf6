"""Crews that lose, repeat and delay what they are given, from seeds."""

import pickle

import numpy as np

from bdnn.branch_and_cut.crew import Returned
from bdnn.branch_and_cut.subtree import Site


class Unreliable:
    """Does jobs where the coordinator waits, each at one of two sites, all of it by way of bytes; or does not.

    Of the jobs that come back some were taken for lost before, some come twice, and they come in any order.
    """

    here, shortest = False, 0.01

    def __init__(self, reduced, seed, size, make_descend=None, trouble=0.2):
        self._rng = np.random.default_rng([seed, 1])
        self._reduced, self._make_descend, self.size, self._trouble = reduced, make_descend, size, trouble
        self._sites = {name: Site(reduced, seed + k, make_descend) for k, name in enumerate("ab")}
        self._jobs, self._late, self.seen = [], [], dict.fromkeys(("done", "lost", "late", "twice", "new site"), 0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    @property
    def n_out(self):
        return len(self._jobs)

    def wanted(self):
        return list(self._rng.choice(list("ab"), self.size + 1 - len(self._jobs)))

    def hand_out(self, site, number, job):
        self._jobs.append((site, number, pickle.dumps(job)))

    def returned(self, seconds):
        found, rng = [], self._rng
        rng.shuffle(self._jobs)
        some, self._jobs = self._jobs[:2], self._jobs[2:]
        for site, number, job in some:
            if rng.random() < self._trouble / 2:  # a site is gone with all it knew, and another one has its name
                self._sites[site] = Site(self._reduced, int(rng.integers(1 << 30)), self._make_descend)
                self.seen["new site"] += 1
            fate = rng.random() / self._trouble if self._trouble else 1.0
            if fate < 0.3:
                found.append(Returned(number, None))
                self.seen["lost"] += 1
                continue
            outcome = pickle.loads(pickle.dumps(pickle.loads(job).do(self._sites[site], lambda: rng.random() < 1e-3)))
            if fate < 0.6:
                found.append(Returned(number, None))
                self._late.append(Returned(number, outcome))
                continue
            self.seen["done"] += 1
            found += [Returned(number, outcome)] * (1 + (fate < 1.0))
            self.seen["twice"] += fate < 1.0
        while self._late and rng.random() < 0.5:
            found.append(self._late.pop(0))
            self.seen["late"] += 1
        return found

    def recall(self):
        pass


class Scripted:
    """A crew that keeps what it is given until a test gives it back."""

    here, size, shortest = False, 1, 0.05

    def __init__(self):
        self.jobs, self.back, self.n_out = {}, [], 0

    def wanted(self):
        return ["a"]

    def hand_out(self, site, number, job):
        self.jobs[number] = job

    def returned(self, seconds):
        back, self.back = self.back, []
        return back

    def recall(self):
        pass
