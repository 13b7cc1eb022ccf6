"""The straight-through rival: PyTorch trains networks of the same inputs, shapes and integers as ours."""

from __future__ import annotations

import numpy as np
import torch
from coding import Binarized
from ours import hidden_plans
from plans import BOUNDS, Plan, fronts
from pool import Candidate, judged
from sources import Split
from torch.nn import functional

from bdnn import Network

STEPS = 500
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


class Quantised(torch.nn.Module):
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
    layers = [Quantised(X.shape[1], plan.hidden, plan.bound, plan.bound * spread)] if plan.hidden else []
    layers.append(
        Quantised(last_inputs, outputs, plan.bound, plan.bound * (0.5 * plan.hidden**0.5 if plan.hidden else spread))
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
            group["lr"] = RATE * (1 - taken / STEPS) + 1e-4
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
        if judge is not None and taken % 40 == 0:
            current = network()
            merit = judge(current)
            if merit >= best:
                best, kept, at = merit, current, taken
    return (kept, at) if judge is not None else (network(), taken)


def straight_through(split: Split, seed: int) -> dict[str, list[Candidate]]:
    """Train on all fronts without hidden neurons, and wider networks on the best of these."""
    torch.set_num_threads(1)
    pool: list[Candidate] = []
    merits: dict[str, float] = {}
    given = fronts(split, seed)
    for name, front in given.items():
        for bound in BOUNDS:
            candidate = _candidate(Plan(front, name, 0, bound), split, seed)
            pool.append(candidate)
            merits[name] = max(merits.get(name, 0.0), candidate.validation)
    pool += [_candidate(plan, split, seed) for plan in hidden_plans(split, given, merits)]
    return {"straight-through": pool}


def _candidate(plan: Plan, split: Split, seed: int) -> Candidate:
    def packed(network: Network) -> Binarized:
        return Binarized(split.columns, split.classes, plan.front, network).without_idle_inputs()

    def inputs(X: np.ndarray) -> np.ndarray:
        return plan.front.integers(X, split.columns)

    held_out, labels = inputs(split.X["validation"]), split.y["validation"]

    def judge(network: Network) -> float:
        return float(np.mean(network.predict(held_out) == labels))

    rows = inputs(split.X["train"]), split.y["train"]
    network, steps = _train(*rows, split.classes, plan, seed, STEPS, judge)

    def again() -> Binarized:
        X, y = split.both
        longer = min(STEPS, round(steps * len(y) / len(rows[1])))
        return packed(_train(inputs(X), y, split.classes, plan, seed, longer)[0])

    return judged(packed(network), split, plan.note, again)
