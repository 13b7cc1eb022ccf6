"""What is made once, whoever asks for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from bdnn.clock import reading

Made = TypeVar("Made")


class Once:
    """Makes each thing once, also if several threads ask for it at the same time; it travels without what was made."""

    def __init__(self) -> None:
        self._made: dict[Any, tuple[Any, float]] = {}
        self._locks: dict[Any, threading.Lock] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Once], tuple[()]]:
        return type(self), ()

    def known(self, keys: Iterable[Any]) -> dict[Any, Any]:
        """Return what was made for some keys, and what it took."""
        return {key: self._made[key] for key in keys if key in self._made}

    def learn(self, made: Mapping[Any, Any]) -> None:
        """Take over what was made elsewhere, unless it is there."""
        for key, value in made.items():
            self._made.setdefault(key, value)

    def seconds(self, key: Any) -> float:
        """Return what it took to make a thing, 0 if it was not made."""
        return self._made[key][1] if key in self._made else 0.0

    def __call__(self, key: Any, make: Callable[[], Made]) -> Made:
        """Return what was made for a key, or make it."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._made:
                began = reading()
                made = make()
                self._made[key] = made, reading() - began
            found: Made = self._made[key][0]
            return found
