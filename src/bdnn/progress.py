"""Showing progress: plain lines, or one live line on a terminal."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bdnn.status import Progress, ProgressCallback


class ProgressLines:
    """A listener that prints a plain line to stderr when the incumbent or the bound improves, and every few seconds.

    Of what is tried there is a line when it is judged.

    Parameters
    ----------
    every : float, default=5.0
        Seconds between lines when nothing changes.
    text : callable or None
        What to say of a state instead, every so many seconds only.
    """

    def __init__(self, every: float = 5.0, text: Callable[[Progress], str] | None = None) -> None:
        self._every, self._last, self._text = every, -math.inf, text
        self._shown: object = None

    def __call__(self, progress: Progress) -> None:
        """Print the state if there is news."""
        news = self._news(progress)
        if news != self._shown or progress.seconds - self._last >= self._every:
            self._shown, self._last = news, progress.seconds
            said = (self._text or _state)(progress)
            done = f"rounds {progress.rounds}" if progress.rounds and not progress.nodes else f"nodes {progress.nodes}"
            line = _timed(progress, said) + (f"  {done}" if progress.trial is None else "")
            with suppress(OSError):  # a full disk under a log, or a closed terminal, must not end a run
                print(line, file=sys.stderr, flush=True)

    def _news(self, progress: Progress) -> object:
        """Return what is worth a line if it differs from what the last one was about."""
        if self._text is not None or (progress.trial is not None and not _is_judged(progress)):
            return self._shown
        return progress.trial or (progress.objective, progress.bound)


def _is_judged(progress: Progress) -> bool:
    return progress.trial is not None and progress.trial.accuracy is not None


def _timed(progress: Progress, said: str) -> str:
    return f"{progress.seconds:7.1f} s  {said}"


def _state(progress: Progress) -> str:
    if progress.trial is not None:
        return f"{progress.phase}, {progress.trial}"
    if math.isinf(progress.objective):
        return progress.phase
    team = "" if progress.team is None else f"  ({progress.team})"
    bounded = f"incumbent {progress.objective:g}  bound {progress.bound:g}  gap {progress.gap:.1%}{team}"
    return f"{progress.phase}: {bounded}"


def attacks_text(progress: Progress) -> str:
    """Return what to say of the state of a certification, whose bound is the number of points with an attack."""
    return f"{progress.phase}, {progress.bound:g} attacked"


@contextmanager
def shown_progress(
    seconds: float | None, quiet: bool = False, text: Callable[[Progress], str] | None = None
) -> Iterator[ProgressCallback | None]:
    """Give a listener that shows progress on stderr: a live line on a terminal, plain lines elsewhere.

    Parameters
    ----------
    seconds : float or None
        The time limit, which the bar fills up to.
    quiet : bool, default=False
        Show nothing.
    text : callable or None
        What to say of a state, if not incumbent, bound and gap.

    Yields
    ------
    callable or None
        To be passed as `on_progress`.
    """
    if quiet:
        yield None
        return
    if not sys.stderr.isatty():
        yield ProgressLines(text=text)
        return
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    spinner = "dots" if (sys.stderr.encoding or "").lower().startswith("utf") else "line"
    columns = (SpinnerColumn(spinner), TextColumn("{task.description}"), BarColumn(bar_width=20), TimeElapsedColumn())
    bar = Bar(*columns, console=Console(stderr=True))
    limit = seconds if seconds is not None and math.isfinite(seconds) else None
    task = bar.add_task("presolve", total=limit)

    def listener(progress: Progress) -> None:
        said = (text or _state)(progress)
        with suppress(OSError):
            if text is None and _is_judged(progress):
                bar.console.print(_timed(progress, said), markup=False, highlight=False)
            bar.update(task, description=said, completed=progress.seconds)

    with suppress(OSError):  # of a terminal that is closed
        bar.start()
    try:
        yield listener
    finally:
        with suppress(OSError):
            bar.stop()
