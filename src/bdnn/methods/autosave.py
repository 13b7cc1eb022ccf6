"""Keeping a run in a checkpoint: what was found is written now and then, in every phase, and taken up again."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bdnn.branch_and_cut import checkpoint
from bdnn.branch_and_cut.checkpoint import Arrays, Course
from bdnn.clock import reading
from bdnn.files import check_outputs

if TYPE_CHECKING:
    from bdnn.methods.run import Run

# seconds between checkpoints: of the first ones, of later ones, and at most if writing takes a larger share, so that
# less than a minute is lost
_FIRST_PAUSE, _PAUSE, _MAX_PAUSE = 1.0, 20.0, 50.0
# share of the time that may go into writing
_SHARE = 0.05
# the same while bound or network get better: what is new is to be written before it is reported
_SHARE_OF_NEWS = 0.2


class Work(Protocol):
    """Work on the bound, which can be kept whenever it reports to the run; it is told how long that took."""

    saving_seconds: float

    def state(self) -> Arrays | None:
        """Return what is to be stored of it; None if an interruption left it where it cannot go on."""
        ...

    def restore(self, arrays: Arrays) -> None:
        """Go on from what was stored; errors are those of `bdnn.branch_and_cut.checkpoint.undamaged`."""
        ...


class Autosave:
    """Writes the checkpoint of a run whenever the run reports and some time has passed, and goes on from it.

    Parameters
    ----------
    run : Run
        Its reports are listened to from `begin` on.
    path : Path or None
        The checkpoint; None for none.
    record : bool
        Whether the trees are recorded for a certificate.

    Attributes
    ----------
    searched, searched_again : bool
        As in `bdnn.branch_and_cut.checkpoint.Course`; to be set by those who search.
    trouble : str or None
        Why the last checkpoint could not be written, if so.
    """

    def __init__(self, run: Run, path: Path | None, record: bool) -> None:
        self._run, self._path, self._record = run, path, record
        self.searched = self.searched_again = False
        self.trouble: str | None = None
        self._title = ""
        self._work: Work | None = None
        self._earlier: Arrays | None = None  # of a run whose work was not taken up yet
        self._known = -math.inf, math.inf  # bound and objective that are written
        self._warned = False
        self._next = self._pause = self._news_from = 0.0

    def begin(self) -> None:
        """Take over what a checkpoint that exists holds, but its work, and write from now on.

        Raises
        ------
        InputError
            If the checkpoint belongs to another run or is damaged, or cannot be written where it is wanted.
        """
        if self._path is None:
            return
        check_outputs({"the checkpoint": self._path})
        self._title = checkpoint.title(self._run.problem, record=self._record)
        if self._path.exists():
            self._go_on(checkpoint.read(self._path, self._title))
        self._next, self._pause = reading(), _FIRST_PAUSE
        self._news_from = self._next
        self._run.save_with(self.save_if_due)

    def _go_on(self, arrays: Arrays) -> None:
        run = self._run
        with checkpoint.undamaged(self._path):
            course = checkpoint.course_of(arrays)
            best = checkpoint.network_of(arrays, run.problem)
            chosen = checkpoint.network_of(arrays, run.problem, "chosen ") if "chosen weights 0" in arrays else None
            loss = run.evaluate(best).objective
            if course.bound > loss and not run.equal(course.bound, loss):
                raise ValueError(f"its bound {course.bound:g} is above the loss {loss:g} of its network")
        self.searched, self.searched_again = course.searched, course.searched_again
        run.resume_nodes(course.nodes)
        run.restore_bound(course.bound)  # first, since submitting a network is reported
        for network in (best, chosen):
            if network is not None:
                run.submit(network, "checkpoint")
        self._earlier = arrays

    def keep(self, work: Work) -> None:
        """Let work that was begun go on from what an earlier run has stored, if there is any, and keep it from now on.

        Parameters
        ----------
        work : Work
            Of the kind that every run on the problem does.

        Raises
        ------
        InputError
            If what was stored is damaged.
        """
        earlier = {} if self._earlier is None else self._earlier_work()
        if earlier:
            with checkpoint.undamaged(self._path):
                work.restore(earlier)
        self._work, self._earlier = work, None

    def save_if_due(self) -> None:
        """Write the checkpoint if it is time, sooner if there is news."""
        now, run = reading(), self._run
        if now >= self._next:
            self.save()
        elif run.best is not None and now >= self._news_from:
            bound, objective = self._known
            if run.bound > bound or run.best.objective < objective:
                self.save()

    def save(self) -> None:
        """Write the checkpoint, if there is one to be written.

        If that fails, for a full disk say, the run goes on, since it is worth more than its checkpoint: a warning says
        so once, and the result at the end if it is still so.
        """
        run = self._run
        if self._path is None or run.best is None:
            return
        work = self._earlier_work() if self._work is None else self._work.state()
        if work is None:
            return
        began = reading()
        course = Course(self.searched, self.searched_again, run.nodes, run.bound)
        arrays = {"run": checkpoint.course_to_array(course), **checkpoint.network_to_arrays(run.best.network), **work}
        if run.chosen is not None and run.chosen is not run.best:
            arrays |= checkpoint.network_to_arrays(run.chosen.network, "chosen ")
        try:
            checkpoint.write(self._path, self._title, arrays)
            self.trouble = None
            self._known = run.bound, run.best.objective
        except OSError as error:
            self.trouble = f"the checkpoint {self._path} is not up to date: {error}"
            if not self._warned:
                self._warned = True
                warnings.warn(self.trouble, RuntimeWarning, stacklevel=2)
        now = reading()
        if self._work is not None:
            self._work.saving_seconds = now - began
        self._next = now + max(self._pause, min((now - began) / _SHARE, _MAX_PAUSE))
        self._news_from = now + min((now - began) / _SHARE_OF_NEWS, self._next - now)
        self._pause = min(2.0 * self._pause, _PAUSE)

    def _earlier_work(self) -> Arrays:
        ours = ("title", "run", "weights ", "bias ", "chosen ")
        return {name: values for name, values in (self._earlier or {}).items() if not name.startswith(ours)}
