"""Weights as tables of C, packed into bytes or as bit masks, and the statements that read packed ones."""

from __future__ import annotations

import numpy as np


def packed_bytes(weights: np.ndarray[tuple[int, ...], np.dtype[np.int64]], width: int) -> list[int]:
    """Return weights packed, sign in the highest bit of each, low bits first, every row from a new byte on."""
    codes = np.abs(weights) | np.where(weights < 0, 1 << (width - 1), 0)
    each = 8 // width
    padded = np.pad(codes, ((0, 0), (0, -weights.shape[1] % each)))
    shifts = np.arange(each) * width
    return [int(v) for v in (padded.reshape(len(weights), -1, each) << shifts).sum(axis=2).ravel()]


def decoded(width: int, a: str, kind: str, term: str) -> list[str]:
    """Return the statements that add a term times the weight in the lowest bits of c, without a multiplication."""
    sign = 1 << (width - 1)
    if width == 2:
        return [
            "if ((c & 1u) != 0u) {",
            f"    {a} = ({kind})((c & {sign}u) != 0u ? {a} - {term} : {a} + {term});",
            "}",
        ]
    lines = [
        f"const {kind} t = ({kind})((c & {sign}u) != 0u ? -{term} : {term});",
        f"{kind} v = 0;",
    ]
    for plane in range(width - 2, -1, -1):  # from the highest bit on, so that no number exceeds that of the weight
        lines += [f"v = ({kind})(v + v);"] * (plane < width - 2)
        lines += [f"if ((c & {1 << plane}u) != 0u) {{", f"    v = ({kind})(v + t);", "}"]
    return [*lines, f"{a} = ({kind})({a} + v);"]


def mask_words(weights: np.ndarray[tuple[int, ...], np.dtype[np.int64]], planes: int, bits: int) -> list[int]:
    """Return masks of each neuron: by bit of the weights from the highest on, by word, those that add and subtract."""
    words: list[int] = []
    for row in weights.tolist():
        for plane in range(planes - 1, -1, -1):
            for start in range(0, len(row), bits):
                part = row[start : start + bits]
                for sign in (1, -1):
                    words.append(sum(1 << i for i, w in enumerate(part) if w * sign > 0 and abs(w) >> plane & 1))
    return words
