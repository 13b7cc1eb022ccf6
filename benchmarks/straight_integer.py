"""The rival with integer weights: PyTorch trains them through rounding and thresholds, on one thread."""

from __future__ import annotations

import math
import time
from itertools import pairwise

import numpy as np
import torch
from straight_through import Step
from torch.nn import functional

from bdnn import Network

RATE = 0.01
BATCH = 128


def _rounded(values: torch.Tensor) -> torch.Tensor:
    """Round, with the gradient of the identity."""
    return values + (values.round() - values).detach()


def train(
    X: np.ndarray,
    codes: np.ndarray,
    hidden: tuple[int, ...],
    seed: int,
    *,
    bound: int = 1,
    steps: int | None = None,
    cpu_seconds: float = math.inf,
) -> Network:
    """Train a network of integers in {-bound..bound} with an argmax head by Adam, cross-entropy.

    It ends after so many steps or seconds of processor time; the rate falls to zero until then. Raw inputs are
    integers, centered and divided by one number in training, so that the network takes them as they are.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    began = time.process_time()
    center, spread = X.mean(axis=0, dtype=np.float64), float(X.std(axis=0, dtype=np.float64).mean())
    inputs = torch.tensor((X - center) / spread, dtype=torch.float32)
    targets = torch.tensor(codes)
    sizes = [X.shape[1], *hidden, int(codes.max()) + 1]
    weights = [torch.nn.Parameter(torch.rand(d, n) * 2 - 1) for n, d in pairwise(sizes)]
    biases = [torch.nn.Parameter(torch.zeros(d)) for d in sizes[1:]]
    # sums of weights of variance 2/3 on independent signals are about 1, those of the outputs about 2
    scales = [bound * math.sqrt(n * 2 / 3) * (1.0 if k == 0 else 0.5) for k, n in enumerate(sizes[:-1])]
    scales[-1] /= 2
    adam = torch.optim.Adam([*weights, *biases], lr=RATE)
    taken = 0
    while True:
        order = torch.randperm(len(inputs))
        for rows in order.split(BATCH):
            done = max((time.process_time() - began) / cpu_seconds, 0.0 if steps is None else taken / steps)
            if done >= 1:
                return _network(weights, biases, scales, bound, center, spread, int(codes.max()) + 1)
            adam.param_groups[0]["lr"] = RATE * (1 - done)
            signal = inputs[rows]
            for k, (W, b) in enumerate(zip(weights, biases, strict=True)):
                signal = functional.linear(signal, _rounded(bound * W.clamp(-1, 1))) / scales[k] + b
                if k < len(hidden):
                    signal = Step.apply(signal)
            adam.zero_grad()
            functional.cross_entropy(signal, targets[rows]).backward()
            adam.step()
            with torch.no_grad():
                for W in weights:
                    W.clamp_(-1, 1)
            taken += 1


def _network(weights, biases, scales, bound, center, spread, classes) -> Network:
    layers = []
    for k, (W, b, scale) in enumerate(zip(weights, biases, scales, strict=True)):
        Q = np.rint(bound * W.detach().numpy().astype(np.float64))
        bias = b.detach().numpy().astype(np.float64) * scale
        if k == 0:
            bias = bias * spread - Q @ center
        # a sum of integers is >= a threshold if it is >= the next integer; outputs compete
        bias = np.rint(bias) if k == len(weights) - 1 else np.floor(bias)
        layers.append((Q.astype(np.int64), bias.astype(np.int64)))
    return Network(layers, head="argmax", classes=range(classes))
