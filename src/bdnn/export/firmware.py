"""Targets ``arduino``, ``platformio``, ``esp-idf`` and ``zephyr``: the C of target ``c`` as packages of these tools."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from bdnn.export import host
from bdnn.export.c import C
from bdnn.export.c_header import value_type

if TYPE_CHECKING:
    from bdnn.export.request import Files, Request
    from bdnn.types import Indices, Integers

_SENTENCE = "A binarized neural network in integers, made by bdnn."


class Package:
    """C sources in the folder that a tool installs.

    Attributes
    ----------
    name, summary : str
        See `bdnn.export.request.Target`.
    headers : str
        Folder of the headers; sources are in ``src``.
    """

    name = ""
    summary = ""
    headers = "include"

    def manifests(self, request: Request) -> dict[str, str]:
        """Return what makes the folder a package, and examples."""
        raise NotImplementedError

    def files(self, request: Request) -> dict[str, str]:
        """Return sources, headers, manifests and examples."""
        files = {
            f"{'src' if path.endswith('.c') else self.headers}/{path}": text
            for path, text in C().files(request).items()
        }
        return {**self.manifests(request), **files}

    def check_tools(self) -> None:
        """Raise MissingDependencyError if there is no C compiler."""
        host.compiler()

    def decide(self, request: Request, files: Files, rows: Integers) -> Indices:
        """Compile the sources for this machine, and run rows through them."""
        flat = {PurePosixPath(path).name: text for path, text in files.items() if path.endswith((".c", ".h"))}
        return host.answers_of_c(
            flat, [f"{request.name}.c"], host.driver(request, value_type(request.program)), rows
        )  # fmt: skip


class Arduino(Package):
    """A library for the Arduino IDE and arduino-cli."""

    name = "arduino"
    summary = "library for Arduino: target c with library.properties and an example"
    headers = "src"

    def manifests(self, request: Request) -> dict[str, str]:
        """Return library.properties, keywords and a sketch that runs the self-test."""
        name = request.name
        properties = {
            "name": name,
            "version": request.version,
            "author": "bdnn",
            "maintainer": "bdnn",
            "sentence": _SENTENCE,
            "paragraph": "No floating point, no heap. The example runs a self-test.",
            "category": "Data Processing",
            "url": "https://arxiv.org/abs/2110.11382",
            "architectures": "*",
            "includes": f"{name}.h",
        }
        sketch = f"""// Runs the self-test of {name} and prints how many answers are wrong: 0 if all is well.
#include <{name}.h>
#include <{name}_selftest.h>

void setup() {{
  Serial.begin(9600);
  Serial.print("{name}: wrong answers: ");
  Serial.println({name}_selftest());
}}

void loop() {{
}}
"""
        return {
            "library.properties": "".join(f"{key}={value}\n" for key, value in properties.items()),
            "keywords.txt": f"{name}_predict\tKEYWORD2\n{name}_selftest\tKEYWORD2\n{name}_value\tKEYWORD1\n",
            "examples/selftest/selftest.ino": sketch,
        }


class PlatformIO(Package):
    """A library for PlatformIO, of any framework."""

    name = "platformio"
    summary = "library for PlatformIO: target c with library.json and an example"

    def manifests(self, request: Request) -> dict[str, str]:
        """Return library.json and a program that runs the self-test."""
        name = request.name
        manifest = {
            "name": name,
            "version": request.version,
            "description": _SENTENCE,
            "keywords": "machine learning, neural network",
            "frameworks": "*",
            "platforms": "*",
            "headers": f"{name}.h",
            "examples": [{"name": "selftest", "base": "examples/selftest", "files": ["platformio.ini", "src/main.c"]}],
        }
        return {
            "library.json": json.dumps(manifest, indent=2) + "\n",
            "examples/selftest/platformio.ini": "; The self-test on this machine: pio run -t exec\n[env:native]\n"
            "platform = native\nlib_deps =\n    symlink://../..\n",
            "examples/selftest/src/main.c": _program(
                name, "#include <stdio.h>", "int main(void)", "printf", "    return 0;\n"
            ),
        }


class EspIdf(Package):
    """A component for ESP-IDF."""

    name = "esp-idf"
    summary = "component for ESP-IDF: target c with idf_component.yml, CMakeLists.txt and an example"

    def manifests(self, request: Request) -> dict[str, str]:
        """Return the manifest, the build file and a project that runs the self-test."""
        name, example = request.name, "examples/selftest"
        return {
            "idf_component.yml": f'version: "{request.version}"\ndescription: "{_SENTENCE}"\n',
            "CMakeLists.txt": f'idf_component_register(SRCS "src/{name}.c" "src/{name}_selftest.c"\n'
            '                       INCLUDE_DIRS "include")\n',
            f"{example}/CMakeLists.txt": "cmake_minimum_required(VERSION 3.16)\n"
            f"include($ENV{{IDF_PATH}}/tools/cmake/project.cmake)\nproject({name}_selftest)\n",
            f"{example}/main/CMakeLists.txt": f'idf_component_register(SRCS "main.c" REQUIRES {name})\n',
            f"{example}/main/idf_component.yml": f"dependencies:\n  {name}:\n    version: \"*\"\n"
            "    override_path: \"../../../\"\n",
            f"{example}/main/main.c": _program(name, "#include <stdio.h>", "void app_main(void)", "printf", ""),
        }  # fmt: skip


class Zephyr(Package):
    """A module for Zephyr."""

    name = "zephyr"
    summary = "module for Zephyr: target c with module.yml, CMakeLists.txt, Kconfig and a sample"

    def manifests(self, request: Request) -> dict[str, str]:
        """Return the module file, the build files and a sample that runs the self-test."""
        name, upper = request.name, request.name.upper()
        head = "#include <zephyr/kernel.h>\n#include <zephyr/sys/printk.h>"
        return {
            "zephyr/module.yml": f"name: {name}\nbuild:\n  cmake: .\n  kconfig: Kconfig\n",
            "CMakeLists.txt": f"if(CONFIG_{upper})\n  zephyr_include_directories(include)\n  zephyr_library()\n"
            f"  zephyr_library_sources(src/{name}.c)\n"
            f"  zephyr_library_sources_ifdef(CONFIG_{upper}_SELFTEST src/{name}_selftest.c)\nendif()\n",
            "Kconfig": f"# Version {request.version}\nconfig {upper}\n\tbool \"{name}: a binarized neural network\"\n\n"
            f"config {upper}_SELFTEST\n\tbool \"Self-test of {name}\"\n\tdepends on {upper}\n",
            "samples/selftest/CMakeLists.txt": "cmake_minimum_required(VERSION 3.20.0)\n"
            "list(APPEND ZEPHYR_EXTRA_MODULES ${CMAKE_CURRENT_SOURCE_DIR}/../..)\n"
            f"find_package(Zephyr REQUIRED HINTS $ENV{{ZEPHYR_BASE}})\nproject({name}_selftest)\n"
            "target_sources(app PRIVATE src/main.c)\n",
            "samples/selftest/prj.conf": f"CONFIG_{upper}=y\nCONFIG_{upper}_SELFTEST=y\n",
            "samples/selftest/sample.yaml": f"sample:\n  name: {name} self-test\ntests:\n  sample.{name}.selftest:\n"
            f"    harness: console\n    harness_config:\n      type: one_line\n      regex:\n"
            f"        - \"{name}: wrong answers: 0\"\n",
            "samples/selftest/src/main.c": _program(name, head, "int main(void)", "printk", "    return 0;\n"),
        }  # fmt: skip


def _program(name: str, head: str, main: str, say: str, end: str) -> str:
    """Return a program in C that runs the self-test."""
    return (
        f"/* Runs the self-test of {name} and prints how many answers are wrong: 0 if all is well. */\n{head}\n\n"
        f'#include "{name}_selftest.h"\n\n{main}\n{{\n'
        f'    {say}("{name}: wrong answers: %u\\n", (unsigned){name}_selftest());\n{end}}}\n'
    )
