"""Independent work: the same answers wherever tasks are done, arrays that travel once, limits, Ctrl-C, errors."""

import os
import pickle
import signal
import subprocess
import sys
import threading

import joblib
import numpy as np
import pytest
from joblib.externals.loky.backend.reduction import dumps

import parallel_tasks as tasks
from backends_of_joblib import BACKENDS, cluster, configured, is_away
from bdnn import clock, errors, stopping
from bdnn.budget import Budget
from bdnn.checks import thread_count
from bdnn.errors import InputError, NotCoveredError, UnorderedColumnError
from bdnn.parallel import Workers, packed, seeds, unpacked
from bdnn.status import Progress
from bdnn.stopping import Stop, Teller

assert cluster  # a fixture

AWAY = ("loky", "dask")
X = np.random.default_rng(0).normal(size=(6, 30_000))


def done(work, given, shared=None, threads=2):
    """Outcomes by number."""
    with Workers(threads, shared) as workers:
        found = dict(workers.do(work, given))
    return [found[number] for number in range(len(found))]


@pytest.mark.parametrize("backend", BACKENDS)
def test_tasks_are_done_where_joblib_says(backend, cluster):
    with configured(backend, cluster), Workers(2, {"X": X}) as workers:
        assert workers.count == (1 if backend == "sequential" else 2)
        assert workers.here == (backend not in AWAY)
        for _ in range(2):  # the same workers again
            found = dict(workers.do(tasks.sums, range(6)))
            assert [found[k][0] for k in range(6)] == X.sum(axis=1).tolist()
            assert all(is_away(pid) == (backend in AWAY) for _, pid in found.values())


@pytest.mark.parametrize("backend", BACKENDS)
def test_libraries_use_one_thread_in_a_task_and_its_tasks_one_worker(backend, cluster):
    with configured(backend, cluster):
        assert set(done(tasks.threads_of_libraries, range(3))) == {1}
        if backend not in ("none", "sequential"):
            assert set(done(tasks.nested, range(2))) == {1}


@pytest.mark.parametrize("backend", BACKENDS)
def test_errors_come_back_whole(backend, cluster):
    with configured(backend, cluster), pytest.raises(NotCoveredError, match="not that") as raised:
        done(tasks.fails, range(4))
    assert raised.value.reason == "reason"


@pytest.mark.parametrize("backend", ["none", "loky", "dask"])
def test_a_request_to_stop_reaches_tasks(backend, cluster):
    with configured(backend, cluster), Workers(2, None) as workers:
        found = []
        for each in workers.do(tasks.waits, range(3)):
            found.append(each)
            workers.stop.request()
        assert sorted(found) == [(0, "done"), (1, "stopped"), (2, "stopped")]


@pytest.mark.parametrize("backend", ["none", "loky", "dask"])
def test_ctrl_c_is_a_request_and_comes_through_if_it_is_repeated(backend, cluster, monkeypatch):
    monkeypatch.setattr(stopping, "_SAME_REQUEST", 0.0)  # seconds within which signals are one request
    before = signal.getsignal(signal.SIGINT)
    with configured(backend, cluster), Workers(2, None) as workers:
        found = []
        for each in workers.do(tasks.waits, range(3)):
            found.append(each)
            if len(found) == 1:
                signal.raise_signal(signal.SIGINT)
        assert workers.stop.requested and sorted(found)[1:] == [(1, "stopped"), (2, "stopped")]
        with pytest.raises(KeyboardInterrupt):
            for _ in workers.do(tasks.waits, range(2)):
                signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_what_was_found_before_a_request_ended_the_processes_stays():
    with configured("loky"), Workers(2, None) as workers:
        found = []
        for each in workers.do(tasks.dies, range(3)):
            found.append(each)
            workers.stop.request()
        assert found == [(0, "done")]


def test_an_error_of_the_caller_ends_the_tasks():
    before = threading.active_count()
    with Workers(2, None) as workers, pytest.raises(ZeroDivisionError):
        for _ in workers.do(tasks.waits, range(3)):
            raise ZeroDivisionError
    assert workers.stop.requested
    assert threading.active_count() <= before + 4  # those of the pool, which end soon


def test_one_worker_is_this_thread_and_meets_ctrl_c_itself():
    with Workers(1, None) as workers:
        found = workers.do(tasks.waits, [0])
        assert next(found) == (0, "done")
        with pytest.raises(KeyboardInterrupt):
            found.throw(KeyboardInterrupt)
        assert not workers.stop.requested


# seeds


def test_seeds_do_not_depend_on_their_number():
    many = seeds(5, 16)
    assert many[0] == 5 and len(set(many)) == 16 and all(0 <= seed < 2**31 for seed in many)
    assert [seeds(5, count) for count in (0, 1, 2, 7)] == [many[:count] for count in (0, 1, 2, 7)]
    assert not set(many[1:]) & set(seeds(6, 16))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_same_seeds_give_the_same_on_any_number_of_workers(backend, cluster):
    expected = [tasks.spawned(None, seed, None) for seed in seeds(3, 5)]
    with configured(backend, cluster):
        for threads in (1, 2, 16) if backend == "none" else (2,):
            assert done(tasks.spawned, seeds(3, 5), threads=threads) == expected


# what travels


@pytest.mark.parametrize("backend", AWAY)
def test_a_task_does_not_grow_with_the_rows(backend, cluster):
    """What is sent for a task: the name of a file, or a reference to what Dask has scattered."""
    sizes = []
    for rows in (10_000, 80_000):
        shared = {"X": np.zeros((20, rows)), "y": np.arange(20 * rows)}
        with configured(backend, cluster), Workers(2, shared) as workers:
            assert {total for _, (total, _) in workers.do(tasks.sums, range(2))} == {0.0}
            [job] = workers._jobs(tasks.sums, enumerate([7]), {})
            sizes.append(len(dumps(job)))
    assert max(sizes) < 5000 and abs(sizes[0] - sizes[1]) < 100


def test_what_is_packed_comes_back_as_views():
    shared = {"X": X, "small": np.arange(3), "strided": X[:, ::2], "none": np.empty((0, 4)), "text": ["a", "b"]}
    parts = packed(shared)
    assert sum(part.nbytes >= X.nbytes for part in parts) == 1  # beside the strided one, which is copied
    again = unpacked(parts)
    assert again["text"] == ["a", "b"] and again["none"].shape == (0, 4)
    assert all(np.array_equal(again[name], shared[name]) for name in ("X", "small", "strided"))
    assert np.shares_memory(again["X"], X)
    # at an odd address, as after a network, NumPy would add in another order
    odd = [np.concatenate([np.zeros(1, np.uint8), part])[1:] for part in parts]
    assert unpacked(tuple(odd))["X"].flags.aligned


def test_a_listener_stays_and_a_request_travels(tmp_path):
    stop = Stop()
    told = []
    tell = Teller(stop, told.append)
    progress = Progress(0.0, 1.0, 0.0, 0, "search")
    with stop.reaches_processes(None):
        there = pickle.loads(pickle.dumps(tell))
        there(progress)
        assert told == []
        tell(progress)
        assert told == [progress]
        stop.request()
        with clock.replaced(lambda: 1e9):  # after the last look
            for each in (tell, there):
                with pytest.raises(KeyboardInterrupt):
                    each(progress)


# limits


def test_a_budget_has_as_much_time_left_where_it_arrives(monkeypatch):
    budget = Budget(seconds=9.0, nodes=3, seed=4)
    assert pickle.loads(pickle.dumps(budget)) == budget
    now = [100.0]
    with clock.replaced(lambda: now[0]):  # a clock that nobody else has
        started = budget.start()
        now[0] = 104.0
        sent = pickle.dumps(started)
        now[0] = 1000.0
        there = pickle.loads(sent)
        assert (there.elapsed, there.remaining, there.nodes, there.seed) == (4.0, 5.0, 3, 4)
    # processes of one machine have one clock, so that the time until a task begins counts as well
    here = pickle.loads(pickle.dumps(budget.start()))
    assert here.started is not None and here.elapsed >= 0
    sent = pickle.dumps(here)
    monkeypatch.setattr(clock, "_machine", lambda: "another")
    assert pickle.loads(sent).started != here.started


@pytest.mark.parametrize("backend", BACKENDS)
def test_limits_hold_in_tasks(backend, cluster):
    with configured(backend, cluster):
        budget = Budget(seconds=50.0).start()
        before = budget.elapsed
        found = done(tasks.left, [budget] * 3)
        assert all(before <= elapsed <= budget.elapsed and remaining <= 50 for remaining, elapsed in found)


# errors and numbers of jobs


def test_every_error_can_be_pickled():
    special = {NotCoveredError: ("m", "r"), UnorderedColumnError: ("before ", ("x", 1), " after")}
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.BDNNError)]
    assert len(kinds) > 10
    for kind in kinds:
        error = kind(*special.get(kind, ("m",)))
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is kind and str(again) == str(error) and vars(again) == vars(error)


def test_no_number_of_jobs_is_what_joblib_is_configured_for(cluster):
    assert thread_count(None) == 1
    for backend in ("threading", "loky"):
        with joblib.parallel_config(backend, n_jobs=3):
            assert thread_count(None) == 3 and thread_count(1) == 1
        with joblib.parallel_config(backend):
            assert thread_count(None) == 1
    with joblib.parallel_config(n_jobs=-1):
        assert thread_count(None) == thread_count(-1)
    if cluster is not None:
        with joblib.parallel_config("dask", client=cluster):
            assert thread_count(None) == 1  # a solver on this machine has none of the cluster's
    with pytest.raises(InputError):
        thread_count(0)


def test_nothing_of_dask_is_imported():
    code = """
import sys
import bdnn
from bdnn import BDNNClassifier
clf = BDNNClassifier((), "local_search", n_jobs=2).fit([[0.0], [1.0]], [0, 1])
clf.certify([[0.0], [1.0]])
print([name for name in sys.modules if name.split(".")[0] in ("dask", "distributed")])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert ran.stdout.strip() == "[]"


def test_what_a_dead_process_leaves_is_done_here(tmp_path):
    shared = str(tmp_path / "marker"), os.getpid()
    with joblib.parallel_config("loky", n_jobs=2), Workers(2, shared) as workers:
        with pytest.warns(RuntimeWarning, match="has died"):
            found = dict(workers.do(tasks.fragile, range(9)))
    assert os.path.exists(shared[0])
    assert found == {k: k * k for k in range(9)}
