"""The rival of the local search: gradients through the thresholds, in PyTorch on one thread."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch.nn import functional

RATE = 0.01


class Step(torch.autograd.Function):
    """[a >= 0], with the gradient of the identity where ``|a| <= 1`` (Y. Bengio et al., arXiv:1308.3432)."""

    @staticmethod
    def forward(context, a):
        """Return the activations."""
        context.save_for_backward(a)
        return (a >= 0).float()

    @staticmethod
    def backward(context, gradient):
        """Return the gradient."""
        (a,) = context.saved_tensors
        return gradient * (a.abs() <= 1).float()


@dataclass(frozen=True)
class Trained:
    """The least training error after an epoch, the seconds of training until then, and those of all epochs.

    `cpu` is processor time of training until the least error; evaluation and scaling are in none of the times.
    """

    errors: int
    seconds: float
    cpu: float
    total: float


def epochs_of(rows: int) -> int:
    """Return how many epochs a data set of that size gets."""
    return 40 if rows >= 30_000 else 150 if rows >= 1000 else 300


def train(X: np.ndarray, codes: np.ndarray, hidden: tuple[int, ...], seed: int) -> Trained:
    """Train by Adam on standardized inputs: logistic loss of one output for two classes, else cross-entropy."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    spread = X.std(axis=0, dtype=np.float64)
    Z = (X - X.mean(axis=0, dtype=np.float64)) / np.where(spread > 0, spread, 1.0)
    inputs, targets = torch.tensor(Z, dtype=torch.float32), torch.tensor(codes)
    classes = int(codes.max()) + 1
    sizes = [X.shape[1], *hidden, 1 if classes == 2 else classes]
    layers = [torch.nn.Linear(before, after) for before, after in pairwise(sizes)]
    adam = torch.optim.Adam([value for layer in layers for value in layer.parameters()], lr=RATE)
    batch = 256 if len(codes) >= 1000 else 64

    def outputs(signal):
        for layer in layers[:-1]:
            signal = Step.apply(layer(signal))
        return layers[-1](signal)

    best, seconds, cpu, total, total_cpu = len(codes), 0.0, 0.0, 0.0, 0.0
    for _ in range(epochs_of(len(codes))):
        began, cpu_began = time.perf_counter(), time.process_time()
        for rows in torch.randperm(len(inputs)).split(batch):
            adam.zero_grad()
            out = outputs(inputs[rows])
            if classes == 2:
                loss = functional.binary_cross_entropy_with_logits(out[:, 0], targets[rows].float())
            else:
                loss = functional.cross_entropy(out, targets[rows])
            loss.backward()
            adam.step()
        total += time.perf_counter() - began
        total_cpu += time.process_time() - cpu_began
        with torch.no_grad():
            out = outputs(inputs)
            decided = (out[:, 0] >= 0).long() if classes == 2 else out.argmax(dim=1)
            errors = int((decided != targets).sum())
        if errors < best:
            best, seconds, cpu = errors, total, total_cpu
        if best == 0:
            break
    return Trained(best, seconds, cpu, total)
