"""Heads of more than two classes: output maps against all small weights, and optima against brute force."""

import functools
import itertools
import subprocess
import sys

import numpy as np
import pytest
from scipy.optimize import linprog

from bdnn import BDNNClassifier, Budget, Problem, cli
from bdnn.branch_and_cut import output_maps as heads
from bdnn.branch_and_cut import parts
from bdnn.branch_and_cut.output_maps import identity, output_maps
from bdnn.branch_and_cut.parts import Parts
from bdnn.branch_and_cut.program import Points, Program, covers, programs
from bdnn.errors import InputError
from bdnn.exact.separability import multipliers
from bdnn.methods.exact import ExactTraining
from bdnn.methods.run import Run
from bdnn.methods.starts import constant
from bdnn.problem.presolve import presolve
from cases import Case, loss_by_hand

plain = functools.partial(ExactTraining, formulation="activation", incumbents="none")

SMALL = [("argmax", 1, 3), ("argmax", 1, 4), ("argmax", 2, 3), ("threshold", 1, 3), ("threshold", 2, 3)]
COUNTS = {case: count for case, count in zip(SMALL, (3, 6, 12, 6, 42), strict=True)} | {
    ("argmax", 2, 4): 39,
    ("argmax", 2, 5): 95,
    ("argmax", 3, 3): 99,
    ("argmax", 1, 14): 91,
    ("threshold", 1, 13): 91,
}


def patterns(d):
    """Rows of bits; bit l of the number of a row is its column l."""
    return np.arange(1 << d)[:, None] >> np.arange(d) & 1


@functools.cache
def all_maps(head, d, n_classes):
    """Answers of every head with small integer weights, of shape (count, 2**d); those of a threshold head are sets."""
    weights = np.array(list(itertools.product(*[range(-2, 3)] * d, range(-4, 5))))
    scores = weights[:, :d] @ patterns(d).T + weights[:, d:]
    if head == "threshold":
        tables = np.unique(scores >= 0, axis=0)
        choice = np.array(list(itertools.product(range(len(tables)), repeat=n_classes)))
        return np.unique((tables[choice] << np.arange(n_classes)[:, None]).sum(axis=1), axis=0)
    # a constant added to all scores changes nothing, nor do the same weights: one score is 0
    scores, found = np.unique(scores, axis=0), []
    for some in itertools.product(scores, repeat=n_classes - 2):
        stack = np.stack([np.broadcast_to(s, scores.shape) for s in (0 * scores[0], *some)] + [scores])
        found.append(np.unique(np.argmax(stack, axis=0), axis=0))
    return np.unique(np.concatenate(found), axis=0)


def cost(head, answer, label, n_classes):
    if head == "argmax":
        return int(answer != label)
    return sum((answer >> k & 1) != (k == label) for k in range(n_classes))


@pytest.mark.parametrize(("head", "d", "n_classes"), SMALL)
def test_there_is_one_map_for_all_that_others_cover(head, d, n_classes):
    maps = all_maps(head, d, n_classes)
    answers = range(maps.max() + 1)
    costs = np.array([[cost(head, a, label, n_classes) for label in range(n_classes)] for a in answers])
    less = np.all(costs[:, None] <= costs, axis=2)  # of the answers of the row and the column
    bits = patterns(d)
    sources = [bits.T[0] * 0, bits.T[0] * 0 + 1, *bits.T, *(1 - bits.T)]
    covers_it = np.zeros((len(maps), len(maps)), dtype=bool)
    for chosen in itertools.product(sources, repeat=d):
        image = maps[:, sum(values << bit for bit, values in enumerate(chosen))]
        covered = np.ones_like(covers_it)
        for u in range(1 << d):
            covered &= less[image[:, u]][:, maps[:, u]]
        covers_it |= covered
    # maps that cover all that cover them, one of each class of equals
    equal = covers_it & covers_it.T
    greatest = np.all(covers_it.T <= covers_it, axis=1)
    kept = output_maps(head, d, n_classes)
    assert len(kept) == len(np.unique(equal[greatest], axis=0)) == COUNTS[head, d, n_classes]
    places = {tuple(row): k for k, row in enumerate(maps.tolist())}
    own = [places[f.answers] for f in kept]
    assert np.all(greatest[own]) and covers_it[own].any(axis=0).all()


@pytest.mark.parametrize(("head", "d", "n_classes"), COUNTS)
def test_weights_realise_the_map(head, d, n_classes):
    maps = output_maps(head, d, n_classes)
    assert len(maps) == COUNTS[head, d, n_classes]
    assert len({f.answers for f in maps}) == len(maps)
    extended = np.hstack([patterns(d), np.ones((1 << d, 1), dtype=int)])
    for f in maps:
        assert f.weights.dtype == np.int64 and f.weights.shape == (n_classes, d + 1)
        scores = extended @ f.weights.T
        if head == "argmax":
            assert np.argmax(scores, axis=1).tolist() == list(f.answers)
            assert np.all(np.sort(scores, axis=1)[:, -2] < scores.max(axis=1))
        else:
            assert ((scores >= 0) << np.arange(n_classes)).sum(axis=1).tolist() == list(f.answers)


@pytest.mark.parametrize(("d", "most"), [(1, 2), (2, 4), (3, 3)])
def test_labels_without_weights_have_a_proof(d, most):
    # all labels of up to so many kinds, up to their names, the order of the bits, and complements
    symmetries = heads._substitutions(d, symmetric=True)
    labelings = {heads._numbered(labels) for labels in itertools.product(range(most), repeat=1 << d)}
    refused = 0
    for labels in {min(map(heads._numbered, np.array(labels)[symmetries].tolist())) for labels in labelings}:
        if heads._scores(labels) is not None:
            continue
        rows = []
        for label, bits in zip(labels, patterns(d).tolist(), strict=True):
            for other in set(labels) - {label}:
                row = np.zeros((max(labels) + 1, d + 1))
                row[label], row[other] = [*bits, 1], [-b for b in (*bits, 1)]
                rows.append(row.ravel())
        V, cost = np.array(rows), np.random.default_rng(0).random(len(rows))
        A, b = np.vstack([V.T, np.ones(len(V))]), [0.0] * V.shape[1] + [1.0]
        support = np.flatnonzero(linprog(cost, A_eq=A, b_eq=b, method="highs-ds").x > 1e-9)
        chosen, factors = multipliers(V[support])
        assert min(factors) > 0 and not np.any(np.array(factors) @ V[support][chosen])
        refused += 1
    assert refused == {1: 0, 2: 1, 3: 32}[d]


@pytest.mark.parametrize(
    ("head", "d", "n_classes"),
    [("argmax", 1, 15), ("argmax", 2, 6), ("argmax", 3, 4), ("argmax", 5, 3), ("threshold", 1, 14),
     ("threshold", 2, 4), ("threshold", 3, 3), ("threshold", 5, 50)],
)  # fmt: skip
def test_too_many_maps(head, d, n_classes):
    assert output_maps(head, d, n_classes) is None
    y = np.arange(n_classes)
    problem = Problem(X=y[:, None], y=y, hidden_layer_sizes=(d,), head=head)
    assert covers(presolve(problem)) == "too many output functions (more than 100)"
    with pytest.raises(InputError, match=r"does not cover too many output functions \(more than 100\): it needs"):
        plain()(problem)


def reaches(head, want, answer):
    return answer == want if head == "argmax" else (answer >> want // 2 & 1) == want % 2


@pytest.mark.parametrize(("head", "d"), [("argmax", 1), ("argmax", 2), ("threshold", 1), ("threshold", 2)])
def test_links_say_when_goals_are_reached(head, d):
    # labels that differ at equal rows ask several outputs of a threshold head for something else
    X, y = [[0], [1], [2], [3], [3]], [0, 1, 2, 0, 0 if head == "argmax" else 1]
    points = Points.of(presolve(Problem(X=X, y=y, sample_weight=[1, 1, 1, 1, 2], hidden_layer_sizes=(d,), head=head)))
    for f in output_maps(head, d, 3):
        program = Program.of(points, f)
        v, g = len(program.cost), len(points.weight)
        assert program.columns.shape == (8, d) and program.cost.tolist() == points.weight.tolist() + [0] * (v - g)
        assert program.always in (-1, v - 1)
        for i in range(4):
            goals = np.flatnonzero(points.soft_point == i).tolist()
            columns = program.columns[points.requirement_point == i]  # first on, then off
            links = [row for row in program.linking_rows if row[0] in goals]
            mine = sorted({*goals, *columns.ravel().tolist()} - {program.always})
            missed = {u: [not reaches(head, points.target[k], f.answers[u]) for k in goals] for u in range(1 << d)}
            seen = {u: [] for u in missed}
            for bits in itertools.product([0, 1], repeat=len(mine)):
                value = np.ones(v, dtype=int)
                value[mine] = bits
                holds = all(value[c[1:]].sum() <= len(c) - 2 + value[c[0]] for _, _, c in links)
                if not holds or np.any(value[columns].sum(axis=0) < 1):
                    continue
                for u in missed:
                    # may be off where it need not be on
                    if all(value[columns[u >> bit & 1, bit]] for bit in range(d)):
                        assert all(e >= m for e, m in zip(value[goals], missed[u], strict=True))
                        seen[u].append(value[goals].tolist())
            assert all(list(map(int, missed[u])) in seen[u] for u in missed)


def test_without_hidden_layer_every_output_is_a_neuron():
    X, y = [[0], [1], [2], [2]], [0, 1, 2, 0]
    (program,) = programs(presolve(Problem(X=X, y=y, hidden_layer_sizes=(), head="threshold")))
    points = program.points
    # of the last point, half of the weight wants the first output, and half the last
    assert points.target.tolist() == [1, 2, 4, 0, 3, 4, 2] and points.soft_point.tolist() == [0] * 3 + [1] * 3 + [2]
    assert program.columns.tolist() == [[0, 7, 7], [7, 1, 2], [7, 4, 7], [3, 7, 5], [7, 7, 7], [7, 6, 7]]
    assert program.linking_rows == [] and program.always == 7 and points.base == 2
    assert identity("argmax", 3).n_bits == 1


def random_case(seed, head=None, hidden=None, most=8, n_classes=None):
    rng = np.random.default_rng(seed)
    features = 1 + seed % 4 // 2
    head = head or ("argmax", "threshold")[seed % 2]
    hidden = (seed // 2) % 3 if hidden is None else hidden
    if n_classes is None:
        n_classes = 4 if seed % 5 == 0 and (hidden < 2 or head == "argmax") else 3
    if head == "argmax" and hidden == 0:
        most, features = 6, 1  # the oracle asks about every labeling, and in a plane few of them cost anything
    count = int(rng.integers(n_classes, most + 1))
    X = rng.integers(0, 4 if seed % 3 else 7, (count, features)) / 2.0
    X[:n_classes, 0] = rng.permutation(n_classes) / 2.0  # each class occurs
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, count - n_classes)])
    if head == "argmax":  # equal rows have equal labels
        _, first, place = np.unique(X, axis=0, return_index=True, return_inverse=True)
        y = y[first][place.ravel()]
    weight = (None, rng.integers(1, 5, count), rng.choice([0.25, 0.5, 3.0], count))[seed // 3 % 3]
    return Case(X=X, y=y, sample_weight=weight, hidden=(hidden,) if hidden else (), head=head)


def solved(case, **settings):
    return plain(**settings)(case.problem(), Budget(seconds=60))


@pytest.mark.parametrize("seed", range(36))
def test_the_optimum(seed):
    case = random_case(seed)
    result = solved(case)
    assert result.status == "optimal"
    assert result.objective == result.bound == case.optimum()
    assert loss_by_hand(result.network, case) == result.objective


@pytest.mark.parametrize(("seed", "optimum"), list(enumerate([0, 3, 6, 3, 3, 2])))
def test_three_neurons_under_an_argmax(seed, optimum):
    rng = np.random.default_rng(seed)
    X, y = np.arange(9.0)[:, None], rng.integers(0, 3, 9)
    y[:3] = [0, 1, 2]
    case = Case(X=X, y=y, sample_weight=rng.integers(1, 4, 9), hidden=(3,), head="argmax")
    result = solved(case)
    # by brute force, which takes half a minute
    assert result.objective == result.bound == optimum


@pytest.mark.parametrize("hidden", [(), (1,), (2,)], ids=str)
@pytest.mark.parametrize("y", [[0, 1, 2], [0, 1, 2, 2], [0, 1, 1, 2, 2, 3, 3], [0, 0, 1, 2, 2, 2, 2, 2]], ids=str)
def test_points_that_are_all_equal(hidden, y):
    case = Case(X=np.zeros((len(y), 1)), y=y, hidden=hidden, head="threshold")
    if len(hidden) and hidden[0] == 2 and max(y) == 3:
        assert "too many" in covers(presolve(case.problem()))
        return
    result = solved(case)
    assert result.objective == result.bound == case.optimum()


@pytest.mark.parametrize("seed", range(4))
def test_real_weights(seed):
    case = random_case(seed + 100, ("argmax", "threshold")[seed % 2], 1 + seed // 2, n_classes=3)
    weight = np.random.default_rng(seed).uniform(0.1, 3.0, len(case.X))
    case = Case(X=case.X, y=case.y, sample_weight=weight, hidden=case.hidden, head=case.head)
    result = solved(case)
    assert result.objective == pytest.approx(case.optimum(), rel=1e-9)
    assert result.bound <= result.objective * (1 + 1e-12)
    assert result.bound == pytest.approx(result.objective, rel=1e-6)


@pytest.mark.parametrize("head", ["argmax", "threshold"])
@pytest.mark.parametrize("hidden", [1, 2])
def test_the_papers_program_agrees(head, hidden):
    case = random_case(200 + hidden, head, hidden, most=6, n_classes=3)
    paper = ExactTraining(formulation="big_m")(case.problem(), Budget(seconds=60))
    assert paper.status == "optimal"
    assert solved(case).objective == paper.objective


def noisy(seed, rows=24):
    """Three classes in a plane, with labels that overlap."""
    rng = np.random.default_rng(seed)
    X = rng.permutation(100)[:rows]
    X = np.column_stack([X // 10, X % 10]).astype(float)
    return X, np.clip((X.sum(axis=1) + rng.normal(0, 3, rows)) // 6, 0, 2).astype(int)


@pytest.mark.parametrize("head", ["argmax", "threshold"])
@pytest.mark.parametrize("hidden", [(), (1,), (2,)], ids=str)
def test_limits_and_parts_leave_bounds(head, hidden, tmp_path, monkeypatch):
    X, y = noisy(len(hidden), 30 if len(hidden) < 2 else 18)
    problem = Problem(X=X, y=y, hidden_layer_sizes=hidden, head=head)
    optimum = plain()(problem, Budget(seconds=60))
    assert optimum.status == "optimal" and optimum.bound == optimum.objective > 0
    path = tmp_path / "state.npz"
    for nodes in (1, 4, 9):
        result = plain(checkpoint=path)(problem, Budget(nodes=nodes))
        assert result.bound <= optimum.objective <= result.objective
    whole = plain(checkpoint=path)(problem, Budget(seconds=60))
    assert (whole.status, whole.objective) == ("optimal", optimum.objective)
    monkeypatch.setattr(parts, "_MIN_POINTS", 12)
    monkeypatch.setattr(parts, "_POINTS_PER_WEIGHT", 1)
    run = Run(problem, Budget(seconds=0.5).start(), None)
    run.submit(constant(run.reduced), "constant")
    assert "parts" in Parts(run).work()
    assert run.reduced.irreducible <= run.bound <= optimum.objective


def test_more_than_two_classes_have_no_certificate():
    X, y = noisy(0, 12)
    for hidden in ((), (1,)):
        with pytest.raises(InputError, match="no certificate can be written for 3 classes"):
            BDNNClassifier(method="exact", hidden_layer_sizes=hidden, certificate=True).fit(X, y)


def test_the_command_says_that_there_is_no_certificate(tmp_path, capsys):
    X, y = noisy(0, 12)
    table, proof = tmp_path / "t.csv", tmp_path / "proof.json"
    np.savetxt(table, np.column_stack([X, y]), delimiter=",", header="a,b,label", comments="")
    words = ["train", str(table), "--target", "label", "--method", "exact", "--hidden", "1", "-q"]
    with pytest.raises(SystemExit) as stop:
        cli.main([*words, "--certificate", str(proof)])
    out, err = capsys.readouterr()
    assert stop.value.code == 2 and out == "" and not proof.exists()
    assert "no certificate can be written for 3 classes" in err and err.count("\n") == 1


def test_equal_rows_with_different_labels():
    X, y = [[0.0], [0.0], [1.0], [2.0]], [0, 1, 1, 2]
    for hidden in ((), (1,)):
        reduced = presolve(Problem(X=X, y=y, hidden_layer_sizes=hidden, head="argmax"))
        assert covers(reduced) == "equal rows with different labels of more than two classes"
        assert covers(presolve(Problem(X=X, y=y, hidden_layer_sizes=hidden, head="threshold"))) == ""


# proofs that a map is realized, or that it is not

LYING = """
import sys
import numpy as np
from bdnn import Budget, Problem
from bdnn.branch_and_cut import output_maps as heads
from bdnn.errors import BDNNError
from bdnn.linear_programs import LinearProgram
from bdnn.methods.exact import ExactTraining
from bdnn.status import Status

assert not __debug__, "to be run under -O"

class Lying(LinearProgram):
    def __init__(self, cost, lower, upper, rows, **settings):
        super().__init__(cost, lower, upper, rows, **settings)
        self.for_weights = not np.array_equal(rows[1], rows[2])

    def solve(self):
        status = super().solve()
        if kind == "infeasible" or (kind == "only weights" and self.for_weights):
            return Status.INFEASIBLE
        if kind == "numerical" and self.for_weights:
            return Status.FEASIBLE
        return status

    @property
    def x(self):
        return 0 * super().x if kind == "numerical" and self.for_weights else super().x

heads.LinearProgram = Lying
X = np.array([[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]])
for words in sys.argv[1:]:
    kind, head = words.split(", ")
    heads.output_maps.cache_clear()
    try:
        result = ExactTraining(incumbents="none")(
            Problem(X=X, y=[0, 1, 2, 0, 1, 2], hidden_layer_sizes=(2,), head=head), Budget(seconds=60)
        )
    except BDNNError as error:
        print(f"{words}: refused: {error}")
    else:
        print(f"{words}: bound {result.bound:g}")
"""


def test_no_map_is_left_out_on_the_word_of_a_linear_program():
    """Under -O, where assertions are gone."""
    cases = ["infeasible, argmax", "only weights, threshold", "numerical, threshold", "honest, argmax"]
    words = [sys.executable, "-O", "-c", LYING, *cases]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    *lies, honest = done.stdout.splitlines()
    assert honest.startswith("honest, argmax: bound ") and len(lies) == 3
    for case, line in zip(cases, lies, strict=False):
        assert line.startswith(
            f"{case}: refused: it could be proven neither that scores of 2 bits give the patterns the labels"
        )


@pytest.mark.parametrize(("d", "most"), [(1, 3), (2, 2), (3, 3)])
def test_proofs_of_both_kinds_are_right(d, most):
    rng = np.random.default_rng(d)
    weights, multipliers_ = 0, 0
    for _ in range(60):
        labels = heads._numbered(rng.integers(0, most, 1 << d).tolist())
        if max(labels) == 0:
            continue
        rows, scores = heads._ahead(labels), heads._scores(labels)
        if scores is not None:
            weights += 1
            values = np.hstack([patterns(d), np.ones((1 << d, 1), dtype=int)]) @ scores.T
            assert np.argmax(values, axis=1).tolist() == list(labels)
            assert all(sum(value == max(line) for value in line) == 1 for line in values.tolist())
            assert heads._multipliers(rows) is None
        else:
            multipliers_ += 1
            found = heads._multipliers(rows)
            assert min(found.values()) >= 1
            assert not np.any(sum(mu * rows[i] for i, mu in found.items()))
            assert heads._solution(rows) is None
    assert weights > 0 and (multipliers_ > 0) == (d > 1)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[1, 0], [0, 1], [-1, -2]], [1, 2, 1]),
        ([[1, 0], [0, 1], [-1, 2]], None),  # a negative one
        ([[1, 0], [0, 1]], None),  # independent
        ([[1, 0], [-1, 0], [2, 0]], None),  # not unique
        ([[2, 4], [-3, -6]], [3, 2]),
        ([], None),
    ],
)
def test_multipliers_of_a_few_rows(rows, expected):
    assert heads._vanishing(rows) == expected
