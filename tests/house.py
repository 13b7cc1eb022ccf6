"""The house in figures: modules, their imports and lengths, constants with and without a reason for their values."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_CONSTANT = re.compile(r"^_?[A-Z][A-Z0-9_]*$")


class House:
    """The modules of a package and what they import.

    Parameters
    ----------
    folder : Path
        Of the package ``bdnn``.

    Attributes
    ----------
    trees : dict of str to ast.Module
        Modules by dotted name without the package's; a package stands for its ``__init__``.
    sources : dict of str to str
        Their texts.
    """

    def __init__(self, folder: Path) -> None:
        self.sources: dict[str, str] = {}
        for file in sorted(folder.rglob("*.py")):
            parts = file.relative_to(folder).with_suffix("").parts
            name = ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)
            self.sources[name] = file.read_text(encoding="utf-8")
        self.trees = {name: ast.parse(source) for name, source in self.sources.items()}

    def imports(self, name: str, at_import: bool = True) -> set[str]:
        """Return the package's own modules that a module imports, when it is imported itself or at any time."""
        tree = self.trees[name]
        found = set()
        for node in module_level(tree) if at_import else ast.walk(tree):
            found |= set(self._named(node))
        return found - {name}

    def _named(self, node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (self._ours(alias.name) for alias in node.names if alias.name.split(".")[0] == "bdnn")
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "bdnn":
            for alias in node.names:
                inner = f"{node.module}.{alias.name}".removeprefix("bdnn.")
                yield inner if inner in self.trees else self._ours(node.module)

    @staticmethod
    def _ours(name: str) -> str:
        return "__init__" if name == "bdnn" else name.removeprefix("bdnn.")

    def lazy_imports(self) -> list[tuple[str, int, str]]:
        """Return imports of the package's own modules inside functions: module, line, what."""
        found = []
        for name, tree in self.trees.items():
            top = {id(node) for node in module_level(tree)} | {id(node) for node in type_checking(tree)}
            for node in ast.walk(tree):
                if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in top:
                    found += [(name, node.lineno, other) for other in self._named(node)]
        return found

    def cycles(self) -> list[list[str]]:
        """Return the sets of modules that import one another, at any time (strongly connected; Tarjan 1972)."""
        graph = {name: self.imports(name, at_import=False) & set(self.trees) for name in self.trees}
        index: dict[str, int] = {}
        low: dict[str, int] = {}
        stack: list[str] = []
        found: list[list[str]] = []

        def visit(name: str) -> None:
            index[name] = low[name] = len(index)
            stack.append(name)
            for other in graph[name]:
                if other not in index:
                    visit(other)
                    low[name] = min(low[name], low[other])
                elif other in stack:
                    low[name] = min(low[name], index[other])
            if low[name] == index[name]:
                at = stack.index(name)
                part, stack[at:] = stack[at:], []
                if len(part) > 1:
                    found.append(sorted(part))

        for name in graph:
            if name not in index:
                visit(name)
        return found

    def longest_chain(self) -> list[str]:
        """Return the longest chain of modules, each of which imports the next when it is imported."""
        graph = {name: self.imports(name) & set(self.trees) for name in self.trees}
        open_: set[str] = set()

        @cache
        def chain(name: str) -> tuple[str, ...]:
            open_.add(name)
            longest = max((chain(other) for other in sorted(graph[name]) if other not in open_), key=len, default=())
            open_.discard(name)
            return (name, *longest)

        return list(max((chain(name) for name in graph), key=len))

    def below(self, name: str) -> set[str]:
        """Return all modules that a module imports, directly or not."""
        seen: set[str] = set()
        todo = [name]
        while todo:
            for other in self.imports(todo.pop(), at_import=False) & set(self.trees):
                if other not in seen:
                    seen.add(other)
                    todo.append(other)
        return seen

    def functions(self) -> Iterator[tuple[str, str, int, ast.FunctionDef]]:
        """Give every function: module, name, lines without its docstring, node."""
        for name, tree in self.trees.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef):
                    lines = (node.end_lineno or node.lineno) - node.lineno + 1
                    first = node.body[0]
                    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
                    yield name, node.name, lines, node

    def constants(self) -> Iterator[tuple[str, str, bool]]:
        """Give every constant with a number in it: module, name, whether a comment or docstring gives a reason."""
        for name, tree in self.trees.items():
            lines = self.sources[name].splitlines()
            for position, node in enumerate(tree.body):
                targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
                value = getattr(node, "value", None)
                if not isinstance(node, ast.Assign | ast.AnnAssign) or value is None:
                    continue
                each = [e for t in targets for e in (t.elts if isinstance(t, ast.Tuple) else [t])]
                names = [e.id for e in each if isinstance(e, ast.Name) and _CONSTANT.match(e.id)]
                numeric = any(isinstance(n, ast.Constant) and type(n.value) in (int, float) for n in ast.walk(value))
                if not names or not numeric:
                    continue
                above = lines[node.lineno - 2].lstrip() if node.lineno > 1 else ""
                own = lines[node.lineno - 1 : node.end_lineno]
                after = tree.body[position + 1] if position + 1 < len(tree.body) else None
                told = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                reason = above.startswith("#") or any("#" in line for line in own) or told
                yield from ((name, each_name, reason) for each_name in names)

    def any_parameters(self) -> list[tuple[str, str, str]]:
        """Return parameters that are annotated as `Any`: module, function, parameter."""
        found = []
        for name, function, _, node in self.functions():
            every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            found += [
                (name, function, argument.arg)
                for argument in every
                if isinstance(argument.annotation, ast.Name) and argument.annotation.id == "Any"
            ]
        return found

    def figures(self) -> dict[str, object]:
        """Return all figures."""
        lengths = sorted(source.count("\n") for source in self.sources.values())
        chain, constants = self.longest_chain(), list(self.constants())
        return {
            "files": len(lengths),
            "lines": sum(lengths),
            "files over 350 lines": sum(n > 350 for n in lengths),
            "files over 500 lines": sum(n > 500 for n in lengths),
            "longest import chain": len(chain),
            "chain": chain,
            "cycles": self.cycles(),
            "own imports inside functions": len(self.lazy_imports()),
            "functions over 60 lines": sum(n > 60 for _, _, n, _ in self.functions()),
            "constants": len(constants),
            "constants with a reason": sum(reason for _, _, reason in constants),
            "parameters of type Any": len(self.any_parameters()),
        }


def module_level(node: ast.AST) -> Iterator[ast.AST]:
    """Give the nodes that run when a module is imported: not the bodies of functions, nor TYPE_CHECKING blocks."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from module_level(child)


def type_checking(tree: ast.AST) -> Iterator[ast.AST]:
    """Give the nodes of TYPE_CHECKING blocks."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from ast.walk(node)
