"""Subtrees on a cluster of Dask, and all that may happen to it; processes are killed by their ids at known events."""

import functools
import importlib.util
import json
import os
import pickle
import signal
import subprocess
import sys

import numpy as np
import pytest

import bdnn
from bdnn import BDNNClassifier, Budget, Problem, Status
from bdnn.branch_and_cut import subtree
from bdnn.cluster import subtrees, worker
from bdnn.cluster.connection import check_cluster, connected
from bdnn.cluster.worker import Software
from bdnn.errors import InputError
from bdnn.methods.exact import ExactTraining
from branch_and_cut.resuming import noisy, problem_of, undisturbed

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="distributed is not installed (pip install 'bdnn[cluster]')"
)

exact = functools.partial(ExactTraining, formulation="activation")


@pytest.fixture(scope="module")
def local():
    """Two processes that work, and a client."""
    from distributed import Client, LocalCluster

    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0", "memory_limit": "700MiB"}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        yield cluster, client


@pytest.fixture
def client(local):
    """A client with two workers."""
    cluster, client = local
    cluster.scale(2)
    client.wait_for_workers(2)
    return client


@functools.cache
def long():
    """A problem of some seconds, and its optimum."""
    X, y = noisy(110, 1, 6)
    problem = Problem(X=X, y=y, hidden_layer_sizes=())
    return problem, ExactTraining(formulation="activation")(problem, Budget(seconds=60)).objective


def killed(pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


class Once:
    """A listener that does something at a report when tasks are out, once enough nodes are solved."""

    def __init__(self, what, nodes=5, workers=0):
        self._what, self._nodes, self._workers, self.done, self.told = what, nodes, workers, False, []

    def __call__(self, progress):
        self.told.append(progress)
        at_work = progress.team is not None and progress.team.tasks and progress.team.workers >= self._workers
        if at_work and progress.nodes >= self._nodes and not self.done:
            self.done = True
            self._what()


def check_optimal(result, best, listener):
    assert listener.done
    assert (result.status, result.objective, result.bound) == (Status.OPTIMAL, best, best)
    assert all(progress.bound <= best for progress in listener.told)


# without trouble


def test_a_certificate_from_a_cluster_is_complete(client):
    problem = problem_of("certificate of several trees")
    result = exact(cluster=client, certificate=True)(problem, Budget(seconds=100))
    verified = bdnn.verify_certificate(result.certificate, problem.X, problem.y)
    assert (
        verified.optimal and verified.loss == result.objective == undisturbed("certificate of several trees").objective
    )


def test_the_estimator_finds_the_optimum_there_and_clones_and_saves_without_the_client(client, tmp_path):
    from sklearn.base import clone

    problem = problem_of("three classes behind two neurons")
    clf = BDNNClassifier((2,), method="exact", formulation="activation", cluster=client, time_limit=100)
    clf = clone(clf)
    assert clf.cluster is client
    clf.fit(problem.X, problem.y).save(tmp_path / "model.json")
    assert clf.result_.objective == undisturbed("three classes behind two neurons").objective == clf.result_.bound
    assert bdnn.load(tmp_path / "model.json").cluster is None


# workers


def test_a_worker_that_is_killed_costs_only_its_tasks(client):
    problem, best = long()
    pids = client.run(os.getpid)
    listener = Once(lambda: killed(list(pids.values())[:1]))
    check_optimal(exact(cluster=client)(problem, Budget(seconds=200), None, listener), best, listener)


def test_killed_with_all_its_tasks_given_up_nothing_is_lost(client, local):
    problem, best = long()
    scheduler = local[0].scheduler
    pids, scheduler.allowed_failures = client.run(os.getpid), 0  # tasks of a killed worker are errors
    listener = Once(lambda: killed(list(pids.values())[1:]))
    check_optimal(exact(cluster=client)(problem, Budget(seconds=200), None, listener), best, listener)
    scheduler.allowed_failures = 3


def test_a_worker_joins_and_two_of_three_are_killed(client, local):
    X, y = noisy(200, 0, 6)
    events = []

    def third():
        events.append("joined")
        pids = [pid for pid in client.run(os.getpid).values()]
        assert len(pids) == 3
        killed(pids[:2])

    def stop():
        raise KeyboardInterrupt

    joining = Once(lambda: local[0].scale(3), 1)
    meeting, last = Once(third, 10, workers=3), Once(stop, 10)

    def listener(progress):
        joining(progress)
        meeting(progress)
        if meeting.done and not last.told:
            last._nodes = progress.nodes + 30  # that many more, by whoever is left
        if meeting.done:
            last(progress)

    result = exact(cluster=client)(Problem(X=X, y=y, hidden_layer_sizes=()), Budget(seconds=300), None, listener)
    assert joining.done and meeting.done and last.done and result.interrupted
    assert 0 < result.bound <= result.objective
    bounds = [progress.bound for progress in joining.told]
    assert bounds == sorted(bounds)


def test_a_task_that_exceeds_the_memory_is_done_elsewhere(client):
    def greedy():
        work = subtree._Bench.work

        def hungry(self, job, stopped):
            filled = np.ones(120_000_000)  # 960 MB: the nanny kills the process
            while not stopped():
                pass
            return work(self, job, stopped), filled

        subtree._Bench.work = hungry

    def short():
        def raising(self, job, stopped):
            subtree._Bench.work = work
            raise MemoryError

        work, subtree._Bench.work = subtree._Bench.work, raising

    first, second = list(client.scheduler_info()["workers"])[:2]  # one of another test may be about to go
    client.run(greedy, workers=[first])
    client.run(short, workers=[second])
    problem, best = long()
    listener = Once(lambda: None)
    check_optimal(exact(cluster=client)(problem, Budget(seconds=200), None, listener), best, listener)


def test_after_a_restart_of_the_scheduler_the_work_goes_on(client):
    problem, best = long()
    listener = Once(lambda: client.restart())
    check_optimal(exact(cluster=client)(problem, Budget(seconds=200), None, listener), best, listener)


def test_without_workers_the_work_is_done_here(client, monkeypatch):
    monkeypatch.setattr(subtrees.Workers, "_look", lambda self: None)
    problem, best = problem_of("several trees"), undisturbed("several trees").objective
    result = exact(cluster=client)(problem, Budget(seconds=200))
    assert (result.status, result.objective) == (Status.OPTIMAL, best)


def test_versions_that_differ_are_refused_with_both(client, monkeypatch):
    def pretend(version):
        from bdnn.cluster import worker

        worker.__version__ = version

    there, late = client.scheduler_info()["workers"]
    ours = worker.__version__
    client.run(pretend, "0.0.1", workers=[late])
    try:
        for joined_late in (False, True):
            if joined_late:
                monkeypatch.setattr(subtrees, "check_workers", lambda client: None)
            with pytest.raises(InputError) as refused:
                exact(cluster=client)(long()[0], Budget(seconds=100))
            assert f"bdnn {ours} on" in str(refused.value) and "bdnn 0.0.1 on" in str(refused.value)
            assert late in str(refused.value) and there not in str(refused.value)
    finally:
        client.run(pretend, ours, workers=[late])


# the client


def test_an_interruption_takes_the_tasks_back(client):
    def stop():
        raise KeyboardInterrupt

    listener = Once(stop)
    result = exact(cluster=client)(long()[0], Budget(seconds=200), None, listener)
    assert listener.done and result.interrupted and result.bound <= long()[1] <= result.objective

    def left(dask_scheduler):
        tasks = dask_scheduler.tasks.items()
        # those that ended may be kept by who asked for them
        return [(key, task.state) for key, task in tasks if "subtree" in key and task.state not in ("memory", "erred")]

    # what was taken back is told to the scheduler before, and by it to the workers: asked as often as it may take
    assert any(not client.run_on_scheduler(left) for _ in range(20_000)), client.run_on_scheduler(left)


SIGNALING = """
import os, sys
from bdnn import cli
from bdnn.methods.run import Run

report, number, sent = Run.report, int(sys.argv[1]), False

def signaling(run):
    global sent
    report(run)
    if run.current_phase == "solve" and run._team is not None and run._team.tasks and run.nodes >= 5 and not sent:
        sent = True
        os.kill(os.getpid(), number)

Run.report = signaling
if __name__ == "__main__":
    cli.main(sys.argv[2:])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_coordinator_that_is_ended_leaves_its_best_and_a_checkpoint_to_go_on_from(number, tmp_path):
    problem, best = long()
    data, state, script = tmp_path / "data.csv", tmp_path / "state", tmp_path / "signaling.py"
    names = [f"x{k}" for k in range(6)]
    table = np.column_stack([problem.X, problem.y])
    np.savetxt(data, table, fmt="%g", delimiter=",", header=",".join([*names, "y"]), comments="")
    script.write_text(SIGNALING, encoding="utf-8")
    words = ["train", str(data), "--target", "y", "--hidden", "none", "--method", "exact"]
    words += ["--test-fraction", "0", "--time-limit", "100", "--checkpoint", str(state), "--json"]
    command = [sys.executable, str(script), str(int(number)), *words, "--cluster", "local:2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if number == signal.SIGKILL:
        assert done.returncode == -signal.SIGKILL, done.stderr
    else:
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert report["status"] == "feasible" and "SIGTERM" in report["message"]
        assert report["bound"] <= best <= report["training_loss"]
    with np.load(state) as file:
        kept = json.loads(str(file["run"]))
    assert kept["nodes"] > 0 and kept["bound"] <= best
    result = exact(checkpoint=state)(problem, Budget(seconds=100, threads=2))
    assert (result.status, result.objective, result.bound) == (Status.OPTIMAL, best, best)
    assert result.nodes > kept["nodes"]


DYING = """
import logging, os, signal, sys
from bdnn.cluster.connection import connected

if __name__ == "__main__":
    with connected("local:1") as client:
        (first,) = client.run(os.getpid).values()
        os.kill(first, signal.SIGKILL)
        pids = [first]
        while pids in ([], [first]):
            try:
                pids = list(client.run(os.getpid).values())
            except OSError:  # it is gone, and nobody has noticed
                pass
        client.run(logging.getLogger("distributed.worker").error, "of a worker that came later")
        logging.getLogger("distributed.nanny").warning("of somebody else")
    logging.getLogger("distributed.core").warning("after it")
"""


def test_what_dask_logs_of_our_own_cluster_does_not_reach_the_terminal(tmp_path):
    script = tmp_path / "dying.py"
    script.write_text(DYING, encoding="utf-8")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300, check=False)
    said = [line.split(" - ", 1)[1] for line in done.stderr.splitlines()]
    assert done.returncode == 0, done.stderr
    assert said == ["distributed.nanny - WARNING - of somebody else", "distributed.core - WARNING - after it"]


# what is accepted


@pytest.mark.parametrize("cluster", ["local", "local:0", "local:x", "nonsense", "", 3, ["tcp://a:1"]])
def test_what_names_no_cluster_is_refused(cluster):
    with pytest.raises(InputError, match="the cluster must be a distributed"):
        exact(cluster=cluster)(problem_of("one tree"), Budget(seconds=10))


def test_no_scheduler_no_other_method_and_no_other_formulation(monkeypatch):
    monkeypatch.setattr("bdnn.cluster.connection._CONNECT", 0.2)
    with pytest.raises(InputError, match="no scheduler of Dask answers at"):
        with connected("tcp://127.0.0.1:1"):
            pass
    with pytest.raises(InputError, match="no scheduler of Dask answers at"):
        exact(cluster="tcp://127.0.0.1:1")(problem_of("one tree"), Budget(seconds=10))
    X, y = noisy(30, 0, 2)
    with pytest.raises(InputError, match="cluster='local:2' needs method='exact', got 'local_search'"):
        BDNNClassifier((1,), method="local_search", cluster="local:2").fit(X, y)
    with pytest.raises(InputError, match='a cluster works on formulation "activation" only'):
        BDNNClassifier((1,), method="exact", formulation="big_m", cluster="local:2").fit(X, y)


def test_the_software_of_both_ends_is_compared_before_anything_is_read():
    class Harmful:
        def __reduce__(self):
            return print, ("read",)

    here = Software.here()
    here.check(Software.here(), "tcp://a:1")
    with pytest.raises(InputError, match=r"the worker tcp://a:1 runs bdnn 9 on Python 3\.1, and this process bdnn"):
        here.check(Software("9", "3.1"), "tcp://a:1")
    assert pickle.loads(pickle.dumps(here)) == here
    check_cluster(None)
