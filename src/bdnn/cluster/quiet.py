"""Keeps what Dask logs about a cluster of our own from the terminal: what matters of it is said by us.

Workers of such a cluster preload this module, so that `dask_setup` is called in each of them, also after a restart.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

_SILENT = logging.CRITICAL + 1


def dask_setup(worker: object) -> None:
    """Silence the process of a worker, which is ours alone."""
    logging.getLogger("distributed").setLevel(_SILENT)


class ThreadFilter(logging.Filter):
    """Drops what one thread logs: that of the loop of a cluster, which others do not share.

    Attributes
    ----------
    thread : int or None
        Its number; None before it is known.
    """

    def __init__(self) -> None:
        super().__init__()
        self.thread: int | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is handled."""
        return record.thread != self.thread or self.thread is None


@contextmanager
def filtered() -> Iterator[ThreadFilter]:
    """Give a filter that Dask's handlers of the terminal have inside the block; handlers of files stay as they are."""
    own = ThreadFilter()
    handlers = [each for each in logging.getLogger("distributed").handlers if type(each) is logging.StreamHandler]
    for handler in handlers:
        handler.addFilter(own)
    try:
        yield own
    finally:
        for handler in handlers:
            handler.removeFilter(own)
