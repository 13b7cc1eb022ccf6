"""The straight-through rival: PyTorch trains networks of the same inputs, shapes and integers as ours."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from packed_networks import Binarized
from plans import Fronts, Plan, hidden_plans, plain_plans
from pool import Candidate, everything, halves
from sources import Split
from torch.nn import functional

from bdnn import Network

STEPS = {True: 500, False: 300}
"""For large data sets, of 1,000 training rows or more, and small ones."""
RATE = 0.02


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


def _rounded(values: torch.Tensor) -> torch.Tensor:
    """Round, with the gradient of the identity."""
    return values + (values.round() - values).detach()


class Quantized(torch.nn.Module):
    """Weights ``round(P clip(w, -1, 1))`` and rounded biases; `scale` brings sums to about 1."""

    def __init__(self, inputs: int, outputs: int, bound: int, scale: float) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.rand(outputs, inputs) * 2 - 1)
        self.bias = torch.nn.Parameter(torch.zeros(outputs))
        self.bound, self.scale = bound, scale

    def integers(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weights and biases."""
        return _rounded(self.bound * self.weight.clamp(-1, 1)), _rounded(self.bias * self.scale)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """Return sums."""
        return functional.linear(signal, *self.integers()) / self.scale


def _train(X, y, classes: int, plan: Plan, seed: int, steps: int, judge=None) -> tuple[Network, int]:
    """Return the network after so many steps, or the best by `judge`, and its steps."""
    torch.manual_seed(seed)
    inputs, targets = torch.tensor(X, dtype=torch.float32), torch.tensor(y)
    mean, spread = X.mean(axis=0), float(np.sqrt(X.var(axis=0).sum())) or 1.0
    outputs = 1 if classes == 2 else classes
    last_inputs = plan.hidden or X.shape[1]
    layers = [Quantized(X.shape[1], plan.hidden, plan.bound, plan.bound * spread)] if plan.hidden else []
    layers.append(
        Quantized(last_inputs, outputs, plan.bound, plan.bound * (0.5 * plan.hidden**0.5 if plan.hidden else spread))
    )
    with torch.no_grad():  # begin with sums around 0
        middle = torch.tensor(mean, dtype=torch.float32)
        for layer in layers:
            layer.bias.copy_(-(layer.bound * layer.weight) @ middle / layer.scale)
            middle = torch.full((len(layer.bias),), 0.5)
    sharpness = torch.nn.Parameter(torch.tensor(1.0))
    values = [sharpness, *(value for layer in layers for value in layer.parameters())]
    adam = torch.optim.Adam(values, lr=RATE)
    batch = min(len(y), 256 if len(y) >= 1000 else 64)

    def network() -> Network:
        made = [tuple(np.rint(a.detach().numpy()).astype(int) for a in layer.integers()) for layer in layers]
        return Network(made, head="threshold" if classes == 2 else "argmax", classes=np.arange(classes))

    best, kept, at, taken = -1.0, None, 0, 0
    order = torch.empty(0, dtype=torch.long)
    while taken < steps:
        if len(order) < batch:
            order = torch.randperm(len(targets))
        rows, order = order[:batch], order[batch:]
        for group in adam.param_groups:
            group["lr"] = RATE * (1 - taken / STEPS[len(y) >= 1000]) + 1e-4
        signal = inputs[rows]
        for layer in layers[:-1]:
            signal = Step.apply(layer(signal))
        out = layers[-1](signal) * sharpness.exp()
        if classes == 2:
            loss = functional.binary_cross_entropy_with_logits(out[:, 0], targets[rows].float())
        else:
            loss = functional.cross_entropy(out, targets[rows])
        adam.zero_grad()
        loss.backward()
        adam.step()
        taken += 1
        if judge is not None and taken % 60 == 0:
            current = network()
            merit = judge(current)
            if merit >= best:
                best, kept, at = merit, current, taken
    return (kept, at) if judge is not None else (network(), taken)


def straight_through(split: Split, seed: int) -> dict[str, list[Candidate]]:
    """Judge networks without hidden neurons on all fronts, and wider ones on the best of these.

    They are judged on the validation part alone, at their best step, also for small tables.
    """
    torch.set_num_threads(1)
    given = Fronts(split, seed)
    found = {plan: [_candidate(plan, given, split, seed)] for plan in plain_plans(given)}
    wider = [_candidate(plan, given, split, seed) for plan in hidden_plans(split, given, found)]
    return {"straight-through": [*(each[0] for each in found.values()), *wider]}


def _candidate(plan: Plan, given: Fronts, split: Split, seed: int) -> Candidate:
    [(rows, (X, labels))] = halves(split)

    front = given.of(rows)[plan.front]
    held_out = front.values(X)

    def judge(network: Network) -> float:
        return float(np.mean(network.predict(held_out) == labels))

    most = STEPS[len(rows[1]) >= 1000]
    inputs = front.values(rows[0])
    network, steps = _train(inputs, rows[1], split.classes, plan, seed, most, judge)

    @cache
    def final() -> Binarized:
        X, y = everything(split)
        front = given.whole(plan.front)
        longer = min(most, round(steps * len(y) / len(rows[1])))
        return Binarized.of(split, front, _train(front.values(X), y, split.classes, plan, seed, longer)[0])

    return Candidate(Binarized.of(split, front, network).size, judge(network), final, plan.note)
