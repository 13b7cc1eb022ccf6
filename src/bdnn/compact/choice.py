"""Choose the most accurate network within budgets of bytes, by rows that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import log, sqrt
from typing import TYPE_CHECKING

import numpy as np

from bdnn.compact import plans as plans_module
from bdnn.compact.judging import Folds, Part, Task, judged_by_fold
from bdnn.compact.outcome import Chosen, Tried
from bdnn.compact.plans import Plan, fits, ruled, summed
from bdnn.compact.training import Retraining, Trained, Trainer, constant_model, most_frequent
from bdnn.parallel import Workers

if TYPE_CHECKING:
    from bdnn.budget import Budget
    from bdnn.compact.inputs import Source
    from bdnn.compact.proposals import Rows
    from bdnn.network.schema import Schema
    from bdnn.types import Indices

_MANY_ROWS = 1000
"""With more rows than that, held-out rows say nearly as much as folds, and sums of networks gain less."""
_SHARE_OF_NEIGHBORS = 0.5
"""Of the accuracy by which is chosen; 0.3 and 0.7 did about as well."""
_MUCH_WORSE, _TRIES = 0.03, 3
"""How far the network of all rows may fall behind its plan before the next plan is tried, and how many are."""
_CONFIDENCE = log(20)
"""Of bounds by the length of a network: they hold in 19 of 20 cases."""
_LONGER = 1.5
"""How much longer than on a fold, per row, the last training may take on a busy machine."""


@dataclass(frozen=True, eq=False, slots=True)
class _Judged:
    plan: Plan | None
    size: int
    accuracy: float
    seconds: float
    make: Callable[[Budget], Trained]
    fallback: Callable[[], Trained]

    @property
    def text(self) -> str:
        return self.plan.text if self.plan else "the same class for all rows"


class Search:
    """The search for compact networks.

    Parameters
    ----------
    rows : Rows
        All rows to train on.
    folds : sequence of pairs of ndarray of int
        Rows to train on and rows to judge by.
    source : Source
        The inputs.
    schema : Schema
        Columns and labels, which cost no bytes.
    max_bytes : sequence of int
        Budgets, ascending.
    budget : Budget
        Started; its threads work side by side.
    listener : callable or None
        Told a line of news at a time.
    """

    def __init__(
        self,
        rows: Rows,
        folds: Sequence[tuple[Indices, Indices]],
        source: Source,
        schema: Schema,
        max_bytes: Sequence[int],
        budget: Budget,
        listener: Callable[[str], None] | None = None,
    ) -> None:
        self._rows, self._source, self._schema, self._budget = rows, source, schema, budget
        self._classes = classes = schema.labels
        self._max_bytes, self._listener = tuple(max_bytes), listener
        given = source, classes, budget.seed, max(max_bytes), budget, schema
        self._folds = Folds(
            [Trainer(rows.take(some), *given, exact=not k) for k, (some, _) in enumerate(folds)],
            [rows.take(rest) for _, rest in folds],
            schema,
        )
        self._all = Trainer(rows, *given)
        self._of_fold = len(rows.y) / max(len(folds[0][0]), 1)
        self._judged: dict[Plan, _Judged] = {}
        self._near: dict[Plan, list[Plan]] = {}
        self._unfinished = self._interrupted = False
        self._best: tuple[float, Chosen] | None = None
        self._base = self._constant()

    @property
    def unfinished(self) -> bool:
        """Whether the time was too short for all plans."""
        return self._unfinished

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C came."""
        return self._interrupted

    @property
    def tried(self) -> tuple[Tried, ...]:
        """What was tried, in order."""
        return tuple(
            Tried(text=each.text, size_bytes=each.size, accuracy=each.accuracy, seconds=each.seconds)
            for each in [self._base, *self._judged.values()]
        )

    def run(self) -> list[Chosen]:
        """Return the network for each budget.

        After Ctrl-C they are networks of the first fold; it is passed on if none is known yet.
        """
        try:
            with Workers(self._budget.threads, self._folds) as workers:
                for plans in self._stages():
                    self._judge(plans, workers)
        except KeyboardInterrupt:
            if not self._judged:
                raise
            self._interrupted = True
        return [self._chosen(most) for most in self._max_bytes]

    def _stages(self) -> Iterator[list[Plan]]:
        """Yield plans that come next, by what is known of those before; none if there is one class only."""
        if len(np.unique(self._rows.y)) < 2:
            return
        plain = self._sensible(plans_module.plain(self._source.n))
        yield plain
        yield self._sensible(plans_module.boosted(self._max_bytes, len(self._classes)))
        hidden = self._sensible(plan for of in self._best_inputs(plain) for plan in plans_module.hidden(of))
        yield hidden
        rules = self._sensible(ruled())
        yield rules
        yield self._sensible(plans_module.smooth([*plain, *rules]))
        many = len(self._rows.y) > _MANY_ROWS
        for group in (plain, hidden, rules):
            yield [more for plan in self._promising(group) for more in summed(plan, many)]

    def _sensible(self, plans: Iterable[Plan]) -> list[Plan]:
        n, C, most = self._source.n, len(self._classes), self._max_bytes[-1]
        return [plan for plan in dict.fromkeys(plans) if fits(plan, n, C, most)]

    def _known(self, group: Sequence[Plan]) -> list[_Judged]:
        return sorted((self._judged[p] for p in group if p in self._judged), key=self._rank)

    def _rank(self, judged: _Judged) -> tuple[float, int]:
        """Return what is least for the best: accuracy, half of it that of plans that are nearly the same, and bytes.

        The best of a hundred figures from a few hundred rows is best by chance for the most part; plans that are good
        have good neighbors. Over ten tables this gained 0.7 points of accuracy on other rows.
        """
        near = self._near.get(judged.plan, ()) if judged.plan else ()
        accuracy = judged.accuracy
        if near:
            accuracy += _SHARE_OF_NEIGHBORS * (sum(self._judged[p].accuracy for p in near) / len(near) - accuracy)
        return -accuracy, judged.size

    def _best_inputs(self, group: Sequence[Plan], number: int = 2) -> list[Plan]:
        """Return plans of the inputs that did best."""
        found: dict[tuple[str, int, int], Plan] = {}
        for each in self._known(group):
            if each.plan is not None:
                found.setdefault((each.plan.inputs, each.plan.size, each.plan.bits), each.plan)
        return list(found.values())[:number]

    def _promising(self, group: Sequence[Plan]) -> list[Plan]:
        """Return the plans of a group that are best within each budget."""
        best = (next((j.plan for j in self._known(group) if j.size <= most), None) for most in self._max_bytes)
        return [plan for plan in dict.fromkeys(best) if plan is not None]

    def _judge(self, plans: Sequence[Plan], workers: Workers[Folds]) -> None:
        """Train plans on all folds, side by side, and count what is right on the rows held out."""
        new = [plan for plan in dict.fromkeys(plans) if plan not in self._judged]
        trainers = self._folds.trainers

        def tasks() -> Iterator[Task]:
            for plan in new:
                for k, trainer in enumerate(trainers):
                    if workers.stop.requested:
                        return
                    first = trainers[0].known(plan) if k and plan.smaller else {}
                    yield Task(plan, k, self._budget, trainer.known(plan), first, self._reserve())

        waiting: dict[int, Part | None] = {}
        following = 0
        for number, (part, late) in workers.do(judged_by_fold, tasks()):
            waiting[number] = part
            self._unfinished |= late
            if part is not None:
                trainers[number % len(trainers)].learn(part.known)
            while all(following * len(trainers) + k in waiting for k in range(len(trainers))):
                parts = [waiting.pop(following * len(trainers) + k) for k in range(len(trainers))]
                self._take(new[following], [each for each in parts if each is not None])
                following += 1
        if workers.stop.requested:
            raise KeyboardInterrupt

    def _take(self, plan: Plan, parts: list[Part]) -> None:
        """Take what all folds say of a plan, if they do."""
        if len(parts) < len(self._folds.trainers):
            return
        total = sum(float(test.weight.sum()) for test in self._folds.tests)
        self._near[plan] = [other for other in self._judged if plan.is_near(other)]
        for other in self._near[plan]:
            self._near[other].append(plan)
        self._judged[plan] = judged = _Judged(
            plan, parts[0].size, sum(part.right for part in parts) / total, sum(part.seconds for part in parts),
            partial(self._all.network, plan),
            partial(self._of_first_fold, plan),
        )  # fmt: skip
        self._say(judged)

    def _of_first_fold(self, plan: Plan) -> Trained:
        return self._folds.trainers[0].network(plan, self._budget)

    def _reserve(self) -> float:
        """Return the seconds that the last trainings may take."""
        plans = {id(best): best for most in self._max_bytes if (best := self._ranked(most)[0]).plan is not None}
        return sum(self._last_seconds(each) for each in plans.values())

    def _last_seconds(self, judged: _Judged) -> float:
        return judged.seconds / len(self._folds.trainers) * self._of_fold * _LONGER

    @property
    def retraining(self) -> Retraining:
        """What trains networks of plans on other rows of the same inputs."""
        return Retraining(self._source, self._classes, self._budget.seed, self._max_bytes[-1], self._schema)

    def _constant(self) -> _Judged:
        label = most_frequent(self._rows)
        model = constant_model(label, self._source, self._classes)
        share = float(np.average(self._rows.y == label, weights=self._rows.weight))
        return _Judged(None, self._folds.size(model.placed()), share, 0.0, lambda _: model, lambda: model)

    def _ranked(self, most: int) -> list[_Judged]:
        """Return what fits into a budget, the best first, of equal ones the smallest; the constant one is last."""
        fitting = [each for each in list(self._judged.values()) if each.size <= most]
        base = self._base
        better = [each for each in fitting if each.accuracy > base.accuracy]
        return [*sorted(better, key=self._rank), base]

    def _chosen(self, most: int) -> Chosen:
        """Return the network for a budget: of the best plan whose network of all rows fits, and is as good as it was.

        A network of a smaller budget that is better stays.
        """
        ranked = self._ranked(most)
        tries = 0
        for judged in ranked:
            score, reason = -self._rank(judged)[0], self._reason(judged, ranked, most)
            fitting = []
            for trained in self._networks(judged, score):
                placed = trained.placed()
                if (size := self._folds.size(placed)) <= most:
                    found = Chosen(
                        max_bytes=most, size_bytes=size, placed=placed, accuracy=judged.accuracy, score=score,
                        plan=judged.plan, text=judged.text, reason=reason,
                    )  # fmt: skip
                    fitting.append((self._merit(trained, size, score), found))
            if not fitting:
                continue
            tries += 1
            best = max(fitting, key=lambda each: each[0])
            if self._best is None or best[0] > self._best[0]:
                self._best = best
            if best[0] >= score - _MUCH_WORSE or tries == _TRIES:
                break
        assert self._best is not None
        return replace(self._best[1], max_bytes=most)

    def _networks(self, judged: _Judged, score: float) -> Iterator[Trained]:
        """Yield the network of all rows if there is time for it, and that of the first fold if it is needed."""
        if not self._interrupted and self._budget.remaining > self._last_seconds(judged) / _LONGER:
            trained = judged.make(self._budget)
            yield trained
            if self._right(trained) >= score - _MUCH_WORSE:
                return
        self._unfinished |= judged.plan is not None
        yield judged.fallback()

    def _right(self, trained: Trained) -> float:
        """Return the accuracy on all rows."""
        return float(np.average(trained.answers(self._rows.X) == self._rows.y, weights=self._rows.weight))

    def _merit(self, trained: Trained, size: int, score: float) -> float:
        """Return how accurate a network of all rows is on others, as far as can be said.

        Hardly more than on the rows of its training; and not much less, as there are few networks of so few bytes
        (Occam's bound: A. Blumer et al., Information Processing Letters 24 (1987), doi:10.1016/0020-0190(87)90114-1).
        """
        right = self._right(trained)
        bound = sqrt((8 * size * log(2) + _CONFIDENCE) / (2 * len(self._rows.y)))
        return max(min(score, right), right - bound)

    def _reason(self, judged: _Judged, ranked: Sequence[_Judged], most: int) -> str:
        def figures(each: _Judged) -> str:
            smooth = -self._rank(each)[0]
            with_near = "" if smooth == each.accuracy else f", {smooth:.2%} with ways that are nearly the same"
            return f"{each.accuracy:.2%} on held-out rows{with_near}"

        others = [each for each in ranked if each is not judged and each.plan is not None]
        text = f"best of {len(ranked)} ways within {most} bytes: {figures(judged)}"
        return f"{text}; next, {others[0].size} bytes: {figures(others[0])} ({others[0].text})" if others else text

    def _say(self, judged: _Judged) -> None:
        if self._listener is not None:
            self._listener(f"{judged.size:6d} bytes  {judged.accuracy:7.2%}  {judged.text}")
