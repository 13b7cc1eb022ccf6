"""Layers in MicroPython: sums written out one by one, loops over tables of bytes, or walks down trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bdnn.export.groves import grove_of
from bdnn.export.rulers import ruler_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bdnn.export.groves import Grove
    from bdnn.export.program import IntegerLayer, IntegerProgram, Member, Signal
    from bdnn.export.request import Request

_COUNT = """
def _count(x, cuts):
    low, high = 0, len(cuts)
    while low < high:
        middle = (low + high) // 2
        if cuts[middle] <= x:
            low = middle + 1
        else:
            high = middle
    return low

"""

_RULER = """
def _ruler(x, first, last, offset, step, bits, n):
    if x < first:
        return 0
    return n if x >= last else 1 + (((x - first) << bits) + offset) // step

"""

_SUM = """
def _sum(s, weights, place, bias):
    for v in s:
        if v:
            w = weights[place]
            if w:
                bias += v * (w - 256 if w > 127 else w)
        place += 1
    return bias


def _layer(s, weights, bias):
    n = len(s)
    return [_sum(s, weights, n * j, bias[j]) for j in range(len(bias))]

"""

_LARGEST = """
def _largest(a):
    best = 0
    for j in range(1, len(a)):
        if a[j] > a[best]:
            best = j
    return best

"""

_TREES = """
def _trees(s, trees, i, end, n, zero, total):
    while i < end:
        after = i + 1 + trees[i]
        i += 1
        while trees[i] < n:
            i += 2 + (trees[i + 1] if s[trees[i]] else 0)
        total += trees[i] - zero
        i = after
    return total

"""

_SHARED = """
def _shared(s, trees, n, values, low, bias):
    a, i = list(bias), 0
    while i < len(trees):
        after = i + 1 + trees[i]
        i += 1
        while trees[i] < n:
            i += 2 + (trees[i + 1] if s[trees[i]] else 0)
        for j in range(len(a)):
            a[j] += values[trees[i] - n + j] + low
        i = after
    return a

"""

_FEW = 12  # weights of a layer that are written out even for size: the loop costs more


class Layers:
    """The functions of a module.

    Parameters
    ----------
    request : Request
        What is asked for: "size" keeps 8-bit weights in tables of bytes, "speed" writes all sums out.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.helpers: set[str] = set()
        self.tables: dict[str, str] = {}

    def text(self) -> str:
        """Return the code."""
        program = self.request.program
        functions = [self._single(program.members[0])] if program.voting is None else self._ensemble(program)
        tables = "\n".join(f"{name} = {value}" for value, name in self.tables.items())
        return "\n\n\n".join(block.strip() for block in (tables, *sorted(self.helpers), *functions) if block)

    def _table(self, value: str) -> str:
        return self.tables.setdefault(value, f"_T{len(self.tables)}")

    def signal(self, signal: Signal) -> str:
        """Return the expression of a signal of the list x."""
        source, x = self.request.program.inputs[signal.input], f"x[{signal.input}]"
        if signal.kind == "value":
            text = x
        elif signal.kind == "equal":
            test = f"{x} == {signal.cuts[0]}" if len(signal.cuts) == 1 else f"{x} in {signal.cuts!r}"
            text = f"{signal.values[1]} if {test} else {signal.values[0]}"
        elif len(signal.cuts) == 1:
            text = f"{signal.values[1]} if {x} >= {signal.cuts[0]} else {signal.values[0]}"
        elif not signal.cuts:
            text = str(signal.values[0])
        else:
            text = self._steps(x, signal)
        if signal.missing is not None and source.missing is not None:
            text = f"{signal.missing} if {x} == {source.missing} else {text}"
        return text

    def _steps(self, x: str, signal: Signal) -> str:
        first = signal.values[0]
        ruler = ruler_of(signal.cuts)
        if ruler is None:
            self.helpers.add(_COUNT)
            count = f"_count({x}, {self._table(repr(signal.cuts))})"
        else:
            self.helpers.add(_RULER)
            count = f"_ruler({x}, {', '.join(map(str, ruler))}, {len(signal.cuts)})"
        if signal.values == tuple(range(first, first + len(signal.values))):
            return count if not first else f"{count} {'+' if first > 0 else '-'} {abs(first)}"
        return f"{self._table(repr(signal.values))}[{count}]"

    def body(self, member: Member) -> list[str]:
        """Return lines that leave the pre-activations of the outputs in ``a``."""
        grove = grove_of(member)
        if grove is not None and grove.n_inner > _FEW and grove.code_type(jumps=True) is not None:
            return self._trees(grove)
        n_signals = len(member.signals)
        lines = [f"s = [{', '.join(map(self.signal, member.signals))}]" if n_signals else "s = []"]
        for k, layer in enumerate(member.layers):
            last = k == len(member.layers) - 1
            if self._is_written_out(layer):
                sums = [written_sum(row, b) for row, b in zip(layer.weights.tolist(), layer.bias, strict=True)]
                items = sums if last else [f"1 if {text} >= 0 else 0" for text in sums]
                lines.append(f"{'a' if last else 's'} = [{', '.join(items)}]")
            else:
                self.helpers.add(_SUM)
                weights = self._table(repr(layer.weights.astype("int8").tobytes()))
                sums_of = f"_layer(s, {weights}, {self._table(repr(tuple(layer.bias)))})"
                lines.append(f"a = {sums_of}" if last else f"s = [1 if v >= 0 else 0 for v in {sums_of}]")
        return lines

    def _trees(self, grove: Grove) -> list[str]:
        """Return the lines of a network of trees, which are a table of nodes with distances."""
        entries, sizes = grove.entries(jumps=True)
        trees, n, bias = self._table(_packed(entries)), len(grove.order), grove.member.layers[1].bias
        lines = [f"s = [{', '.join(self.signal(grove.member.signals[i]) for i in grove.order)}]"]
        if grove.is_shared:
            self.helpers.add(_SHARED)
            values = grove.shared_values()
            low = min(values)
            table = self._table(_packed([value - low for value in values]))
            return [*lines, f"a = _shared(s, {trees}, {n}, {table}, {low}, {self._table(repr(tuple(bias)))})"]
        self.helpers.add(_TREES)
        end, sums = 0, []
        for b, size in zip(bias, sizes, strict=True):
            sums.append(f"_trees(s, {trees}, {end}, {end + size}, {n}, {grove.zero}, {b})")
            end += size
        return [*lines, f"a = [{', '.join(sums)}]"]

    def _is_written_out(self, layer: IntegerLayer) -> bool:
        weights = layer.weights
        wide = bool(weights.size) and (int(weights.min()) < -128 or int(weights.max()) > 127)
        return self.request.optimize == "speed" or wide or int((weights != 0).sum()) <= _FEW

    def _single(self, member: Member) -> str:
        lines = [*self.body(member), f"return {self._winner(member)}"]
        return _function("predict(x)", "Return the index of the class of a row of inputs.", lines)

    def _winner(self, member: Member) -> str:
        codes = member.codes
        if len(member.layers[-1].bias) == 1:
            return f"{codes[1]} if a[0] >= 0 else {codes[0]}"
        self.helpers.add(_LARGEST)
        if codes == tuple(range(len(codes))):
            return "_largest(a)"
        return f"{codes!r}[_largest(a)]"

    def _ensemble(self, program: IntegerProgram) -> list[str]:
        majority = program.voting == "majority"
        functions, n = [], len(program.classes)
        for number, member in enumerate(program.members):
            lines = self.body(member)
            if len(member.layers[-1].bias) == 1:
                lines.append("v = a[0] + a[0] + 1")
                shares = ["-v", "v"]
            else:
                shares = [f"a[{place}]" for place in range(len(member.codes))]
            for code, share in zip(member.codes, shares, strict=True):
                if code >= 0:
                    lines.append(f"sums[{code}] += {share}")
            if majority:
                lines.append(f"c = {self._winner(member)}")
                lines += ["if c >= 0:", "    votes[c] += 1"] if min(member.codes) < 0 else ["votes[c] += 1"]
            functions.append(_function(f"_member{number}(x, sums, votes)", "", lines))
        calls = [f"_member{number}(x, sums, votes)" for number in range(len(program.members))]
        better = "sums[c] > sums[best]"
        if majority:
            better = f"votes[c] > votes[best] or (votes[c] == votes[best] and {better})"
        lines = [
            f"sums = [0] * {n}", f"votes = [0] * {n}", *calls, "best = 0", f"for c in range(1, {n}):",
            f"    if {better}:", "        best = c", "return best",
        ]  # fmt: skip
        functions.append(_function("predict(x)", "Return the index of the class of a row of inputs.", lines))
        return functions


def _packed(numbers: Sequence[int]) -> str:
    """Return integers from 0 on as a table: bytes where they fit."""
    return repr(bytes(numbers)) if max(numbers) < 2**8 else repr(tuple(numbers))


def written_sum(row: Sequence[int], bias: int) -> str:
    """Return a sum of signals ``s`` and a bias as an expression.

    Examples
    --------
    >>> written_sum([1, 0, -1, 3], -2)
    's[0] - s[2] + 3 * s[3] - 2'
    """
    text = ""
    for place, w in enumerate(row):
        if w:
            term = f"s[{place}]" if abs(w) == 1 else f"{abs(w)} * s[{place}]"
            text += f" {'-' if w < 0 else '+'} {term}"
    if bias or not text:
        text += f" {'-' if bias < 0 else '+'} {abs(bias)}"
    return text.removeprefix(" + ").removeprefix(" ").replace("- ", "-", 1) if text.startswith(" -") else text[3:]


def _function(head: str, doc: str, lines: Sequence[str]) -> str:
    documented = [f'    """{doc}"""'] if doc else []
    return "\n".join([f"def {head}:", *documented, *(f"    {line}" for line in lines)])
