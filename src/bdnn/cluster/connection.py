"""The way to a cluster: a client, whatever names it, and whether its workers fit."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bdnn.cluster import quiet
from bdnn.cluster.worker import Software
from bdnn.errors import InputError

if TYPE_CHECKING:
    from distributed import Client

_LOCAL = re.compile(r"local:([1-9][0-9]{0,3})")
_ADDRESS = re.compile(r"[a-z]+://\S+|[^\s:/]+:[0-9]+")
_ACCEPTED = (
    'a distributed.Client, an address such as "tcp://10.0.0.1:8786", or "local:N" for N processes of this machine'
)
# seconds to wait for a scheduler to answer, which starts in one or two; and before a training begins
_CONNECT, _PROBE = 20.0, 5.0


def check_cluster(cluster: object) -> None:
    """Raise `InputError` unless something names a cluster, without connecting to it."""
    if cluster is None:
        return
    if isinstance(cluster, str):
        if not (_LOCAL if cluster.startswith("local:") else _ADDRESS).fullmatch(cluster):
            raise InputError(f"the cluster must be {_ACCEPTED}, got {cluster!r}")
        _distributed()
    elif "distributed" not in sys.modules or not isinstance(cluster, _distributed()):
        raise InputError(f"the cluster must be {_ACCEPTED}, got {type(cluster).__name__}")


def check_answer(cluster: object, seconds: float) -> None:
    """Raise `InputError` if no scheduler answers at the address of a cluster, within so many seconds."""
    if not isinstance(cluster, str) or cluster.startswith("local:"):
        return
    with _client(cluster, min(_PROBE, seconds)):
        pass


@contextmanager
def connected(cluster: object) -> Iterator[Client]:
    """Give a client of a cluster; what was started for it ends with the block.

    Parameters
    ----------
    cluster : distributed.Client or str
        A client, which stays open, the address of a scheduler, or "local:N".

    Raises
    ------
    InputError
        If it names no cluster, none answers, or `distributed` is not installed.
    """
    check_cluster(cluster)
    if not isinstance(cluster, str):
        yield cluster
        return
    from distributed import Client, LocalCluster

    if found := _LOCAL.fullmatch(cluster):
        n_workers = int(found[1])
        # processes, since one interpreter works on one node at a time; no dashboard where its port is taken
        options = {"threads_per_worker": 1, "dashboard_address": ":0", "preload": [quiet.__name__]}
        with quiet.filtered() as heard, LocalCluster(n_workers=n_workers, **options) as local:
            heard.thread = local.sync(_this_thread)
            with Client(local) as client:
                yield client
        return
    with _client(cluster, _CONNECT) as client:
        yield client


async def _this_thread() -> int:
    return threading.get_ident()


@contextmanager
def _client(address: str, seconds: float) -> Iterator[Client]:
    """Give a client of the scheduler at an address, which has so many seconds to answer."""
    from distributed import Client

    try:
        client = Client(address, timeout=seconds, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"no scheduler of Dask answers at {address!r} ({error}); the cluster must be {_ACCEPTED}"
        ) from None
    with client:
        yield client


def check_workers(client: Client) -> None:
    """Raise `InputError` if a worker runs other software than this process, or none that it could work with."""
    mine = Software.here()
    # what a worker without the package answers is an error of its import
    answers: dict[str, object] = client.run(Software.here, on_error="return")
    for address, theirs in answers.items():
        if isinstance(theirs, ModuleNotFoundError):
            raise InputError(f"bdnn is not installed where the worker {address} runs: install {mine} there")
        if isinstance(theirs, Software):
            mine.check(theirs, address)


def _distributed() -> type[Client]:
    try:
        from distributed import Client
    except ImportError:
        raise InputError("a cluster needs the package distributed: pip install 'bdnn[cluster]'") from None
    kind: type[Client] = Client
    return kind
