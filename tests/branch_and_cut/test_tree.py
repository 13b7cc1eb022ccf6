"""Trees by themselves: what they prove, also if they are stopped, misled or unsure."""

import functools

import numpy as np
import pytest

from bdnn import Problem
from bdnn.branch_and_cut import tree as module
from bdnn.branch_and_cut.cuts import Cuts
from bdnn.branch_and_cut.program import programs
from bdnn.branch_and_cut.tree import Tree
from bdnn.problem.audit import audit
from bdnn.problem.presolve import presolve
from cases import Case

SEEDS = range(6)


@functools.cache
def case(seed):
    rng = np.random.default_rng(seed)
    X, y = rng.integers(0, 5, (9, 2)).astype(float), np.r_[0, 1, rng.integers(0, 2, 7)]
    made = Case(X=X, y=y, sample_weight=rng.integers(1, 4, 9), hidden=(2,) if seed % 2 else ())
    return made, made.optimum()


class Grove:
    """The trees of a problem, and what they offer."""

    def __init__(self, seed, best=None, step=1, record=False):
        made, self.optimum = case(seed)
        self.problem: Problem = made.problem()
        self.programs = programs(presolve(self.problem))
        self.points, self.offered = self.programs[0].points, []
        self.cuts = Cuts(self.points, np.random.default_rng(0))
        best = float(self.points.weight.sum()) + 1 if best is None else self.points.units(best)
        self.trees = [Tree(p, self.cuts, best, self.offer, step=step, record=record) for p in self.programs]

    def offer(self, network):
        self.offered.append(audit(network, self.problem).loss)
        return self.points.units(self.offered[-1])

    def run(self, proceed=lambda: True):
        for tree in self.trees:
            tree.run(proceed)

    @property
    def bound(self):
        return self.points.loss(min(tree.bound for tree in self.trees))

    @property
    def closed(self):
        return all(tree.closed for tree in self.trees)


@pytest.mark.parametrize("seed", SEEDS)
def test_trees_that_close_prove_the_optimum(seed):
    grove = Grove(seed)
    assert all(tree.open and not tree.closed and tree.bound == 0 for tree in grove.trees)
    grove.run()
    assert grove.closed and not any(tree.open for tree in grove.trees)
    assert min(grove.offered) == grove.optimum == grove.bound
    assert all(tree.best == grove.points.units(min(grove.offered)) or tree.best >= tree.bound for tree in grove.trees)
    assert all(tree.nodes > 0 for tree in grove.trees)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tree_that_knows_the_optimum_offers_nothing_better(seed):
    optimum = case(seed)[1]
    grove = Grove(seed, best=optimum)
    grove.run()
    assert grove.closed and grove.bound == optimum
    assert all(loss >= optimum for loss in grove.offered)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tree_that_skips_small_gains_bounds_no_more_than_it_has_shown(seed):
    for above, step in ((1, 2), (2, 2), (2, 3), (0, 4)):
        grove = Grove(seed, best=case(seed)[1] + above, step=step)
        grove.run()
        assert grove.closed
        assert grove.bound <= grove.optimum
        assert all(tree.bound > tree.best - step for tree in grove.trees)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tree_stops_when_told_and_goes_on(seed):
    whole, rng = Grove(seed), np.random.default_rng(seed)
    whole.run()
    grove, last = Grove(seed), 0.0
    for _ in range(2000):
        left = iter([True] * int(rng.integers(1, 4)))
        grove.run(lambda left=left: next(left, False))
        assert last <= grove.bound <= grove.optimum
        last = grove.bound
        if grove.closed:
            break
    assert grove.closed
    assert min(grove.offered) == grove.optimum == grove.bound


@pytest.mark.parametrize("seed", SEEDS)
def test_an_exception_anywhere_leaves_the_bound_valid(seed):
    for moment in (1, 2, 3, 5, 9, 17, 33):
        grove, calls = Grove(seed), iter(range(1000))

        def proceed(calls=calls, moment=moment):
            if next(calls) == moment:
                raise KeyboardInterrupt
            return True

        try:
            grove.run(proceed)
            assert grove.closed
        except KeyboardInterrupt:
            assert not grove.trees[-1].closed or not grove.closed or grove.bound == grove.optimum
        assert grove.bound <= grove.optimum
        grove = Grove(seed)

        def fail(network):
            raise KeyboardInterrupt

        for tree in grove.trees:
            tree._submit = fail
        with pytest.raises(KeyboardInterrupt):
            grove.run()
        assert grove.bound <= grove.optimum
        assert not grove.closed


@pytest.mark.parametrize("seed", SEEDS)
def test_sets_that_turn_out_separable_do_no_harm(seed):
    grove, rng = Grove(seed), np.random.default_rng(seed)
    wrong = 0
    for _ in range(30):
        members = np.sort(rng.permutation(len(grove.points))[: rng.integers(1, 4)])
        number = grove.cuts.add(members)
        wrong += number >= 0 and grove.cuts.multipliers(number) is None
    assert wrong > 5
    grove.run()
    assert grove.closed
    assert min(grove.offered) == grove.optimum == grove.bound


@pytest.mark.parametrize("share", [0.5, 1.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_sets_that_cannot_be_proven_leave_a_lower_bound(seed, share, monkeypatch):
    grove = Grove(seed)
    lucky, true = np.random.default_rng(seed).random(100_000) >= share, grove.cuts.proven

    def proven(numbers):
        return {number: holds and bool(lucky[number]) for number, holds in true(numbers).items()}

    monkeypatch.setattr(grove.cuts, "proven", proven)
    grove.run()
    assert not any(tree.open for tree in grove.trees)
    assert grove.bound <= grove.optimum
    if share == 1.0:
        assert not grove.closed
        assert grove.bound == grove.points.base


@pytest.mark.parametrize("seed", SEEDS)
def test_networks_that_rounding_errors_spoil_leave_a_lower_bound(seed, monkeypatch):
    grove = Grove(seed)
    monkeypatch.setattr(grove.cuts, "weights", lambda given: (None, None))
    grove.run()
    assert grove.offered == []
    assert not any(tree.open for tree in grove.trees)
    assert any(tree.doubtful is not None for tree in grove.trees)
    assert not grove.closed
    assert grove.bound <= grove.optimum
    # an audit that finds more errors than the program
    grove = Grove(seed)
    for tree in grove.trees:
        tree._submit = lambda network: float(grove.points.weight.sum())
    grove.run()
    assert grove.bound <= grove.optimum


@pytest.mark.parametrize("seed", SEEDS)
def test_few_cuts_and_much_branching(seed, monkeypatch):
    # at most one round of cuts per node
    for name in ("_ROOT_ROUNDS", "_ROUNDS"):
        monkeypatch.setattr(module, name, 1)
    monkeypatch.setattr(module, "_STRONG", 1)
    grove = Grove(seed)
    grove.run()
    assert grove.closed
    assert min(grove.offered) == grove.optimum == grove.bound


def test_recorded_trees_prove_the_same():
    for seed in SEEDS:
        grove = Grove(seed, record=True)
        grove.run()
        assert grove.closed
        assert min(grove.offered) == grove.optimum == grove.bound
        for tree in grove.trees:
            record = tree.finish_record()
            assert len(record.nodes) % 2 == 1  # a binary tree
            assert all(node is not None for node in record.nodes)
