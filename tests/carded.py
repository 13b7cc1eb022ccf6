"""Networks and tables that score cards are made of in tests."""

import numpy as np

from bdnn import Network
from bdnn.encoding.raw import RawColumn, RawTable

RNG = np.random.default_rng(3)


def integer_network(grid=None, outputs=1, n=4):
    weights = RNG.integers(-5, 6, size=(outputs, n))
    weights[:, 1] = 0
    classes = ["no", "yes"] if outputs == 1 else [f"c{k}" for k in range(outputs)]
    head = "threshold" if outputs == 1 else "argmax"
    names = ["age", "unused", "x>=2.5", "a|b*"][:n]
    return Network([(weights, RNG.integers(-9, 10, size=outputs))], head=head, classes=classes, grid=grid,
                   feature_names=names)  # fmt: skip


def mixed_table(m=80):
    rng = np.random.default_rng(2)
    age, color = rng.integers(20, 80, size=m).astype(float), rng.integers(3, size=m)
    columns = (
        RawColumn("age", "numeric", np.where(np.arange(m) % 9 == 0, np.nan, age)),
        RawColumn("color", "categorical", color, ("red", "green", "blue")),
    )
    return RawTable(columns), np.where(age + 15 * (color == 1) > 55, "old", "young")
