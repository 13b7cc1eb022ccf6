"""What a worker of a cluster does: a job at the site of its process, if its software is that of the client."""

from __future__ import annotations

import pickle
import platform
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Self

from bdnn.branch_and_cut.subtree import Site
from bdnn.errors import InputError
from bdnn.version import __version__

if TYPE_CHECKING:
    from bdnn.branch_and_cut.subtree import Job

# problems of which a process keeps trees and sets: of the one that is worked on, and one that another client has
_MAX_SITES = 2

_sites: OrderedDict[str, Site] = OrderedDict()
_lock = Lock()


@dataclass(frozen=True, slots=True)
class Software:
    """What must be the same at both ends, since what travels is pickled.

    Attributes
    ----------
    bdnn, python : str
        Versions; of Python the first two numbers.
    """

    bdnn: str
    python: str

    @classmethod
    def here(cls) -> Self:
        """Return that of this process."""
        return cls(__version__, ".".join(platform.python_version_tuple()[:2]))

    def check(self, theirs: Software, where: str) -> None:
        """Raise `InputError` if that of a worker is another one."""
        if theirs != self:
            raise InputError(
                f"the worker {where} runs {theirs}, and this process {self}: results of other versions are not "
                f"trusted; install the same on both"
            )

    def __str__(self) -> str:
        return f"bdnn {self.bdnn} on Python {self.python}"


def do(software: tuple[str, str], key: str, seed: int, problem: bytes, job: bytes) -> object:
    """Do a job on a worker.

    Parameters
    ----------
    software : tuple of str
        That of the client: first of all it is compared.
    key : str
        Names the problem: what this process keeps of it is found by it.
    seed : int
        Of the variety of the sets that are found here.
    problem, job : bytes
        Pickled, so that nothing is read by another version; with the problem what gives descents on it, or None.

    Returns
    -------
    object
        What the job brings.

    Raises
    ------
    InputError
        If versions differ.
    """
    from distributed import get_worker

    worker = get_worker()
    Software(*software).check(Software.here(), worker.address)
    task: Job = pickle.loads(job)
    return task.do(_site(key, seed, problem), _cancelled())


def _site(key: str, seed: int, problem: bytes) -> Site:
    """Return what this process keeps of a problem."""
    with _lock:
        if key not in _sites:
            reduced, make_descend = pickle.loads(problem)
            _sites[key] = Site(reduced, seed, make_descend)
        _sites.move_to_end(key)
        while len(_sites) > _MAX_SITES:
            _sites.popitem(last=False)
        return _sites[key]


def _cancelled() -> Callable[[], bool]:
    """Return what says whether the client has taken back the task of this thread."""
    from distributed.worker import get_worker, thread_state

    tasks, key = get_worker().state.tasks, thread_state.key

    def cancelled() -> bool:
        task = tasks.get(key)
        return task is None or task.state not in ("executing", "long-running")

    return cancelled
