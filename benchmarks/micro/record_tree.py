"""Record what branch and cut asks of its linear program, for `tree.py` to ask again.

    python benchmarks/micro/record_tree.py TABLE.csv [--nodes 40]

Solves the program of a table without a hidden layer, from its constant network, and writes `recorded_tree.npz`: rows as
they are found, which of them enter the linear program, bounds at every solve, and trial solves before a branch. The
benchmark of re-solves replays the file, so that both trees of a comparison solve the same programs.
"""

import argparse
from pathlib import Path

import numpy as np

from bdnn import Budget, Problem
from bdnn.branch_and_cut import engine, tree
from bdnn.branch_and_cut.cut_pool import Rows
from bdnn.methods.run import Run
from bdnn.methods.starts import constant
from bdnn.tables import read_table

ENTER, DROP, SOLVE, TRY = range(4)


class Recording:
    """Events in turn: a kind and numbers that depend on it."""

    def __init__(self):
        self.kinds, self.numbers, self.boxes, self.rows, self.cost = [], [], [], {}, None

    def note(self, kind, *numbers):
        """Add an event."""
        self.kinds.append((kind, len(self.numbers), len(self.numbers) + len(numbers)))
        self.numbers += numbers

    def write(self, path):
        """Write all of them, and the rows that they name."""
        labels = sorted(self.rows)
        named = {label: k for k, label in enumerate(labels)}
        numbers = list(self.numbers)
        for kind, begin, end in self.kinds:
            if kind == ENTER:
                numbers[begin:end] = [named[label] for label in numbers[begin:end]]
        columns = [self.rows[label][0] for label in labels]
        np.savez_compressed(
            path,
            cost=self.cost,
            kinds=np.array(self.kinds, dtype=np.int32),
            numbers=np.array(numbers, dtype=np.float32),
            boxes=np.packbits(np.array(self.boxes, dtype=bool), axis=-1),
            columns=np.concatenate(columns).astype(np.int16),
            values=np.concatenate([self.rows[label][1] for label in labels]).astype(np.int8),
            rhs=np.array([self.rows[label][2] for label in labels], dtype=np.int16),
            sizes=np.array([len(c) for c in columns], dtype=np.int16),
        )


def recorded(recording):
    """Let the methods of `Rows` and `Tree` note what they are asked."""
    enter, drop, solve, attempt = Rows.enter, Rows.drop, Rows.solve, tree.Tree._try

    def noting_enter(self, labels):
        count = enter(self, labels)
        for label in labels[:count].tolist():
            columns, values, rhs = self.row(label)
            recording.rows[label] = columns.copy(), values.copy(), rhs
        recording.note(ENTER, *labels[:count].tolist())
        return count

    def noting_drop(self, *arguments):
        recording.note(DROP)
        return drop(self, *arguments)

    def noting_solve(self, lower, upper, cutoff):
        recording.cost = self.cost
        recording.note(SOLVE, len(recording.boxes), cutoff)
        recording.boxes.append((lower > 0.5, upper > 0.5))
        return solve(self, lower, upper, cutoff)

    def noting_attempt(self, column, objective):
        recording.note(TRY, column, self.cutoff)
        return attempt(self, column, objective)

    Rows.enter, Rows.drop, Rows.solve, tree.Tree._try = noting_enter, noting_drop, noting_solve, noting_attempt


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table")
    parser.add_argument("--nodes", type=int, default=40)
    options = parser.parse_args()
    table = read_table(Path(options.table), "target")
    complete = ~np.isnan(table.X).any(axis=1)
    problem = Problem(X=table.X[complete], y=table.labels[complete], hidden_layer_sizes=())
    run = Run(problem, Budget(seconds=600).start(), None)
    run.submit(constant(run.reduced), "constant")
    proof = engine.Proof(run, record=False)
    recording = Recording()
    recorded(recording)
    engine.work(run, proof, options.nodes)
    recording.write(Path(__file__).parent / "kernel_cases" / "recorded_tree.npz")
    print(f"{len(recording.boxes)} solves, {len(recording.rows)} rows, {len(recording.kinds)} events")


if __name__ == "__main__":
    main()
