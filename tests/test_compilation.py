"""Compiled functions work where nothing can be kept on disk, and one line says so."""

from __future__ import annotations

import errno
import warnings

import pytest
from numba.core import caching

from bdnn import compilation
from bdnn.compilation import compiled


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    """As in a new process."""
    monkeypatch.setattr(compilation, "_said", [])


def test_without_a_folder_for_the_cache_functions_are_compiled_in_memory_and_one_warning_says_so(monkeypatch):
    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        one, two = compiled(nogil=True)(lambda x: x + 1), compiled()(lambda x: x * 2)
    assert (one(2), two(4)) == (3, 8)
    assert [warning.category for warning in told] == [RuntimeWarning]
    assert "\n" not in str(told[0].message)
    assert "set NUMBA_CACHE_DIR to a folder" in str(told[0].message)


def test_a_full_disk_stops_no_compilation(monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, "save", full)

    @compiled()
    def three_times(x):
        return 3 * x

    with pytest.warns(RuntimeWarning, match="No space left on device") as told:
        assert (three_times(2), three_times(0.5)) == (6, 1.5)
    assert len(told) == 1
