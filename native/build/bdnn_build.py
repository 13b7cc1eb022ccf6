"""Build backend: scikit-build-core, and a compiler from PyPI where the machine has none.

Where no C++ compiler is found, the package ``ziglang`` (Clang with its own headers and libraries, one wheel) is added
to what the build requires, and CMake is told to use it as compiler, archiver and linker. ``BDNN_BUILD_COMPILER=zig``
does so even if there is another one, ``BDNN_BUILD_COMPILER=system`` never.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scikit_build_core import build as _core
from scikit_build_core.build import (
    build_sdist,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

_ZIG = "ziglang>=0.13"
_Settings = dict[str, Any] | None


def _needs_zig() -> bool:
    """Whether no C++ compiler is to be found, or the one from PyPI was asked for."""
    wanted = os.environ.get("BDNN_BUILD_COMPILER", "")
    if wanted not in ("", "zig", "system"):
        raise SystemExit(f"BDNN_BUILD_COMPILER must be zig or system, got {wanted!r}")
    if wanted:
        return wanted == "zig"
    if os.environ.get("CXX") or "CMAKE_TOOLCHAIN_FILE" in os.environ:
        return False
    names = ("c++", "g++", "clang++", "cl", "icpx")
    return not any(map(shutil.which, names)) and not _has_visual_studio()


def _has_visual_studio() -> bool:
    """Whether Windows knows of an installation with the compiler, which is not in the PATH."""
    if sys.platform != "win32":
        return False
    folder = os.environ.get("ProgramFiles(x86)", r"C:\Program Files (x86)")
    finder = Path(folder, "Microsoft Visual Studio", "Installer", "vswhere.exe")
    if not finder.exists():
        return False
    component = "Microsoft.VisualStudio.Component.VC.Tools.x86.x64"
    said = subprocess.run([finder, "-products", "*", "-requires", component, "-property", "installationPath"],
                          capture_output=True, text=True, check=False)  # fmt: skip
    return bool(said.stdout.strip())


def get_requires_for_build_wheel(config_settings: _Settings = None) -> list[str]:
    """Return what a wheel needs to be built."""
    return [*_core.get_requires_for_build_wheel(config_settings), *([_ZIG] if _needs_zig() else [])]


def get_requires_for_build_editable(config_settings: _Settings = None) -> list[str]:
    """Return what an editable installation needs to be built."""
    return [*_core.get_requires_for_build_editable(config_settings), *([_ZIG] if _needs_zig() else [])]


def build_wheel(directory: str, config_settings: _Settings = None, metadata_directory: str | None = None) -> str:
    """Build a wheel; return its name."""
    with _compiler():
        name: str = _core.build_wheel(directory, config_settings, metadata_directory)
    return name


def build_editable(directory: str, config_settings: _Settings = None, metadata_directory: str | None = None) -> str:
    """Build an editable wheel; return its name."""
    with _compiler():
        name: str = _core.build_editable(directory, config_settings, metadata_directory)
    return name


@contextmanager
def _compiler() -> Iterator[None]:
    """Let CMake find the compiler from PyPI inside the block, if it is needed."""
    if not _needs_zig():
        yield
        return
    print("bdnn: no C++ compiler was found, so that of the package ziglang is used; its first run takes minutes")
    with tempfile.TemporaryDirectory(prefix="bdnn-build-") as folder:
        toolchain = Path(folder, "zig.cmake")
        toolchain.write_text(_toolchain(), encoding="utf-8")
        os.environ["CMAKE_TOOLCHAIN_FILE"] = str(toolchain)
        try:
            yield
        finally:
            del os.environ["CMAKE_TOOLCHAIN_FILE"]


def _toolchain() -> str:
    """Return a toolchain file in which one program, started with different words, is all tools."""
    zig = f'\\"{Path(sys.executable).as_posix()}\\" -m ziglang'
    # the baseline processor, not the one at hand; no checks of undefined behavior, which Zig would add
    return f"""
set(CMAKE_CXX_COMPILER "{Path(sys.executable).as_posix()}")
set(CMAKE_CXX_COMPILER_ARG1 "-m ziglang c++")
set(CMAKE_CXX_FLAGS_INIT "-mcpu=baseline -fno-sanitize=undefined")
set(CMAKE_CXX_ARCHIVE_CREATE "{zig} ar qc <TARGET> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_APPEND "{zig} ar q <TARGET> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_FINISH "{zig} ranlib <TARGET>")
"""
