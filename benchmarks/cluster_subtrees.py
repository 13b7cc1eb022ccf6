"""The tree search of exact training on several processes, and a simulation of many.

    python benchmarks/cluster_subtrees.py [--data DIR] [--seconds 60] [--only measure|simulate]

Measured: time to a proof, and nodes per second, of one thread, two threads, and one and two processes of a local
cluster, one after the other, on instances that take a thread a minute or more; who is not done by the limit is compared
by nodes per second alone. Rank rows are left out: they are found by trees of fewer points, whose nodes take less time,
so that numbers of nodes could not be compared. While two threads work, every task is timed and weighed: seconds of
work, seconds of the coordinator, bytes there and back. A local cluster is timed with tasks that do nothing.

Simulated: a coordinator that handles one thing at a time, a network to it of a gigabit per second, and 2 to 512 workers
that each have a task and one in the queue, with tasks drawn from those measured. What is told is the share of time
that workers work in the last two thirds of ten minutes, with tasks of a second and with the rule that is in use: a task
lasts longer, up to ten seconds, the more workers there are for what the coordinator spends on one.

Rewrites benchmarks/results/cluster_subtrees.json; the figures are in docs/cluster.md.
"""

from __future__ import annotations

import argparse
import heapq
import json
import pickle
import time
from contextlib import contextmanager
from statistics import median
from unittest.mock import patch

import numpy as np
from common import RESULTS, add_data_option, drawn, load, rewrite, write_results

from bdnn import Budget, Problem, Status
from bdnn.branch_and_cut import engine, team
from bdnn.branch_and_cut.team import Team
from bdnn.methods.exact import ExactTraining

ROWS = (170, 200)
WORKERS = (2, 8, 32, 64, 128, 256, 512)
BANDWIDTH = 125e6  # bytes per second: a gigabit
SIMULATED = 600.0  # seconds


def problem_of(folder, rows):
    X, y = drawn(*load(folder, "pima_diabetes.csv"), rows)
    return Problem(X=X, y=y, hidden_layer_sizes=())


def run(problem, seconds, threads, cluster):
    began = time.perf_counter()
    training, budget = (
        ExactTraining(formulation="activation", cluster=cluster),
        Budget(seconds=seconds, threads=threads),
    )
    with patch.object(engine, "_MANY", np.inf):
        result = training(problem, budget)
    solve = result.timings["solve"]
    return {
        "seconds": round(time.perf_counter() - began, 2),
        "solve": round(solve, 2),
        "proven": result.status == Status.OPTIMAL,
        "loss": result.objective,
        "bound": result.bound,
        "nodes": result.nodes,
        "nodes per second": round(result.nodes / solve, 1),
    }


@contextmanager
def weighed(tasks):
    """Note of every task what it costs: seconds of work and of the coordinator, bytes there and back, nodes."""
    hand_out, accept = Team._hand_out, Team._accept
    sent = {}

    def timed_out(self, *args):
        handed = self._crew.hand_out

        def noted(site, number, job):
            nonlocal spent
            began = time.perf_counter()
            size = len(pickle.dumps(job))
            spent = time.perf_counter() - began
            sent[number] = size, began - start + spent
            handed(site, number, job)

        spent, start = 0.0, time.perf_counter()
        with patch.object(self._crew, "hand_out", noted):
            hand_out(self, *args)

    def timed(self, job, out, pruned):
        there, spent = sent.pop(job)
        packed = pickle.dumps(pruned)
        began = time.perf_counter()
        pickle.loads(packed)
        accepted = accept(self, job, out, pruned)
        tasks.append(
            {
                "seconds": round(pruned.seconds, 4),
                "coordinator": round(spent + time.perf_counter() - began, 6),
                "bytes there": there,
                "bytes back": len(packed),
                "solved": pruned.solved,
                "left": len(pruned.nodes),
            }
        )
        return accepted

    with patch.object(Team, "_hand_out", timed_out), patch.object(Team, "_accept", timed):
        yield


def nothing(number):
    return number


def seconds_of_dask(client, count=2000):
    """Return the seconds that a task which does nothing costs the client and the scheduler, both on this machine."""
    client.gather(client.map(nothing, range(100), pure=False))
    began = time.perf_counter()
    for future in [client.submit(nothing, k, pure=False) for k in range(count)]:
        future.result()
    return (time.perf_counter() - began) / count


def measure(folder, seconds):
    from distributed import Client, LocalCluster

    rows, tasks = [], []
    for size in ROWS:
        problem = problem_of(folder, size)
        row = {"instance": f"pima m={size}, no hidden"}
        for name, threads, processes in (
            ("1 thread", 1, 0),
            ("2 threads", 2, 0),
            ("1 process", 1, 1),
            ("2 processes", 1, 2),
        ):
            if processes:
                options = {"n_workers": processes, "threads_per_worker": 1, "dashboard_address": ":0"}
                with LocalCluster(**options) as cluster, Client(cluster) as client:
                    client.run(lambda: __import__("bdnn.cluster.worker"))
                    row[name] = run(problem, seconds, threads, client)
            elif threads == 2:
                with weighed(tasks):
                    row[name] = run(problem, seconds, threads, None)
            else:
                row[name] = run(problem, seconds, threads, None)
            print(f"{row['instance']:24} {name:12} {row[name]}", flush=True)
        for pair, one, two in (("threads", "1 thread", "2 threads"), ("processes", "1 process", "2 processes")):
            rate = row[two]["nodes per second"] / row[one]["nodes per second"]
            row[f"speed-up of nodes per second, {pair}"] = round(rate, 2)
            if row[one]["proven"] and row[two]["proven"]:
                row[f"speed-up of the proof, {pair}"] = round(row[one]["solve"] / row[two]["solve"], 2)
        rows.append(row)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client:
        dask = seconds_of_dask(client)
    return {"rows": rows, "tasks": tasks, "seconds of Dask for a task": dask}


def simulate(tasks, dask, workers, longest, rng):
    """Return the share of time that workers work; `longest` is the longest task that the coordinator asks for.

    A task of twice the length of a measured one solves twice the nodes, and what comes back is as much larger.
    """
    typical = median(task["seconds"] for task in tasks if task["seconds"] > 0)
    handling = median(task["coordinator"] for task in tasks) + dask
    seconds = min(longest, max(team._USUAL, team._WORK_PER_HANDLING * workers * handling))
    factor = max(1.0, seconds / typical)
    free_at = 0.0  # the coordinator and its network
    events = [(0.0, k, "wants") for k in range(workers)] * 2
    heapq.heapify(events)
    until = [0.0] * workers  # when a worker is done with all that it has
    worked, warm = 0.0, SIMULATED / 3
    while events:
        now, worker, _ = heapq.heappop(events)
        if now >= SIMULATED:
            break
        task = tasks[rng.integers(len(tasks))]
        busy = task["coordinator"] * factor**0.5 + dask  # larger outcomes take longer, but not all of it grows
        wire = (task["bytes there"] + task["bytes back"] * factor) / BANDWIDTH
        free_at = max(free_at, now) + max(busy, wire)
        begins = max(free_at, until[worker])
        until[worker] = ends = begins + task["seconds"] * factor
        worked += max(0.0, min(ends, SIMULATED) - max(begins, warm))
        heapq.heappush(events, (ends, worker, "wants"))
    return worked / (workers * (SIMULATED - warm)), seconds


def simulated(measured):
    tasks, dask = measured["tasks"], measured["seconds of Dask for a task"]
    rows = []
    for workers in WORKERS:
        plain, _ = simulate(tasks, dask, workers, team._USUAL, np.random.default_rng(0))
        share, seconds = simulate(tasks, dask, workers, team._LONG, np.random.default_rng(0))
        rows.append(
            {
                "workers": workers,
                "busy, tasks of a second": round(plain, 3),
                "busy": round(share, 3),
                "seconds of a task": round(seconds, 2),
            }
        )
        print(rows[-1], flush=True)
    return rows


def text(results):
    lines = ["| instance | 1 thread | 2 threads | 1 process | 2 processes | threads | processes |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for row in results["measured"]["rows"]:
        each = [row[name] for name in ("1 thread", "2 threads", "1 process", "2 processes")]
        cells = [
            f"{one['solve']:.0f} s, {one['nodes per second']:.0f}/s"
            if one["proven"]
            else f"{one['bound']:g}–{one['loss']:g}, {one['nodes per second']:.0f}/s"
            for one in each
        ]
        rates = []
        for pair in ("threads", "processes"):
            rate, proof = (row.get(f"speed-up of {what}, {pair}") for what in ("nodes per second", "the proof"))
            rates.append(f"{rate:.2f}" if proof is None else f"{rate:.2f} (proof {proof:.2f})")
        lines.append("| " + " | ".join([row["instance"], *cells, *rates]) + " |")
    lines += [
        "",
        "| workers | busy, tasks of a second | busy, tasks as they are | seconds of a task |",
        "|---|---|---|---|",
    ]
    for row in results["simulated"]:
        plain, share = row["busy, tasks of a second"], row["busy"]
        lines.append(f"| {row['workers']} | {plain:.0%} | {share:.0%} | {row['seconds of a task']:.1f} |")
    tasks, dask = results["measured"]["tasks"], results["measured"]["seconds of Dask for a task"]
    own, there, back = (median(task[name] for task in tasks) for name in ("coordinator", "bytes there", "bytes back"))
    handling = own + dask
    lines += [
        "",
        f"A task costs the coordinator {1e3 * handling:.1f} ms, of which Dask takes {1e3 * dask:.1f} ms; half of the "
        f"messages have less than {there / 1e3:.1f} kB there and {back / 1e3:.1f} kB back. With tasks of a second that "
        f"would be all that {team._USUAL / handling:.0f} workers leave it, with the longest ones all that "
        f"{team._LONG / handling:.0f} leave it: that is why tasks last longer the more workers there are.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_option(parser)
    parser.add_argument("--seconds", type=float, default=60.0, help="time limit of each run")
    parser.add_argument("--only", choices=["measure", "simulate"], help="one of both, the other as it was")
    options = parser.parse_args()
    path = RESULTS / "cluster_subtrees.json"
    results = json.loads(path.read_text())["results"] if path.exists() else {}
    if options.only != "simulate":
        results["measured"] = measure(options.data, options.seconds)
    if options.only != "measure":
        results["simulated"] = simulated(results["measured"])
    write_results("cluster_subtrees", results)
    if "simulated" in results:
        rewrite("docs/cluster.md", "cluster", text(results))


if __name__ == "__main__":
    main()
