"""Ensembles in C: one function for each network, or one loop over tables for networks of the same shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bdnn.export.c_costs import best_layouts, is_rule
from bdnn.export.c_layers import MemberCode
from bdnn.export.c_text import counter_type, function_text
from bdnn.export.program import IntegerLayer, Member, Signal, smallest_type

if TYPE_CHECKING:
    from bdnn.export.c_costs import AnyLayout
    from bdnn.export.c_text import Expressions
    from bdnn.export.program import IntegerProgram
    from bdnn.export.request import Optimize, Request

Bounds = Sequence[Sequence[tuple[int, int]]]
"""Ranges of the pre-activations of a network, by layer and neuron."""

# Bytes on a machine of 8 bits, counted in avr-gcc's output: the call of a network of its own and what it adds to the
# sums, and the same in a loop over networks.
_CALL, _LOOP = 40, 90


@dataclass(frozen=True, eq=False)
class Block:
    """Networks that one function computes.

    Attributes
    ----------
    member : Member
        The network, or the layers of several ones of the same shape, one below the other, on the signals of all.
    codes : tuple of tuple of int
        `Member.codes` of each network.
    types : list of str
        Of the pre-activations of each layer.
    numbers : tuple of int
        Which networks these are.
    """

    member: Member
    codes: tuple[tuple[int, ...], ...]
    types: list[str]
    numbers: tuple[int, ...]


def layer_types(bounds: Bounds) -> list[str]:
    """Return the smallest type of the pre-activations of each layer that the proven bounds allow."""
    return [smallest_type(min(low for low, _ in layer), max(high for _, high in layer)) for layer in bounds]


def blocks_of(program: IntegerProgram, optimize: Optimize, stacks: bool | None = None) -> list[Block]:
    """Return the networks of an ensemble, those of the same shape in one block where that is estimated to cost less.

    Parameters
    ----------
    program : IntegerProgram
        An ensemble.
    optimize : {"size", "speed"}
        What is to be little.
    stacks : bool or None
        Whether networks are in one block wherever they can be, or never are; None for what costs less.

    Returns
    -------
    list of Block
    """
    alike: dict[object, list[int]] = {}
    for number, member in enumerate(program.members):
        same_places = tuple(code >= 0 for code in member.codes)
        empty = number if not all(layer.weights.size for layer in member.layers) else None
        shape = tuple(len(layer.bias) for layer in member.layers)
        alike.setdefault((shape, same_places, empty), []).append(number)
    found: list[Block] = []
    for numbers in alike.values():
        alone = [_block(program, [number]) for number in numbers]
        together = _block(program, numbers) if len(numbers) > 1 else None
        if together is None or stacks is False or (price := _price(together, optimize)) is None:
            found += alone
        elif stacks or price < sum(_price(block, optimize) or 0.0 for block in alone):
            found.append(together)
        else:
            found += alone
    return sorted(found, key=lambda block: block.numbers)


def _block(program: IntegerProgram, numbers: Sequence[int]) -> Block:
    members = [program.members[number] for number in numbers]
    bounds = [[pair for number in numbers for pair in program.bounds[number][k]] for k in range(len(members[0].layers))]
    member = members[0] if len(members) == 1 else _stacked(members)
    return Block(member, tuple(each.codes for each in members), layer_types(bounds), tuple(numbers))


def _stacked(members: Sequence[Member]) -> Member:
    """Return the layers of networks one below the other, the first ones on the signals of all."""
    signals = sorted({signal for member in members for signal in member.signals}, key=_order)
    place = {signal: i for i, signal in enumerate(signals)}
    first = []
    for member in members:
        weights = np.zeros((len(member.layers[0].bias), len(signals)), dtype=np.int64)
        for signal, column in zip(member.signals, member.layers[0].weights.T, strict=True):
            weights[:, place[signal]] += column
        first.append(IntegerLayer(weights, member.layers[0].bias))
    layers = [first, *([member.layers[k] for member in members] for k in range(1, len(members[0].layers)))]
    stacked = tuple(
        IntegerLayer(np.vstack([each.weights for each in layer]), tuple(b for each in layer for b in each.bias))
        for layer in layers
    )
    return Member(tuple(signals), stacked, members[0].codes)


def _order(signal: Signal) -> tuple[object, ...]:
    """Return what puts signals in order: first bits that change once, by kind, which loops can compute."""
    looped = is_rule(signal) and signal.is_bit
    missing = () if signal.missing is None else (signal.missing,)
    return (not looped, signal.kind == "equal", signal.input, signal.cuts, signal.values, missing)


def _price(block: Block, optimize: Optimize) -> float | None:
    """Return about how many bytes or cycles a block takes; None if there cannot be a loop."""
    count, member = len(block.numbers), block.member
    choice = best_layouts(member, block.types, optimize, count)
    if choice is None:
        return None
    total = choice.price
    if optimize == "speed":
        return total
    return total + (_CALL if count == 1 else _LOOP + count * len(member.codes))


def ensemble_functions(
    request: Request, expressions: Expressions, answer: str, layout: AnyLayout | None, stacks: bool | None
) -> list[str]:
    """Return the functions of an ensemble, the last of which is ``predict``, whose answer has a type."""
    program, name = request.program, request.name
    ends = program.sum_bounds
    total = f"{smallest_type(min(low for low, _ in ends), max(high for _, high in ends))}_t"
    majority, n = program.voting == "majority", len(program.classes)
    vote = counter_type(len(program.members))
    arguments = f"{total} *sums" + (f", {vote} *votes" if majority else "")
    functions, calls = [], []
    for block in blocks_of(program, request.optimize, stacks):
        code = MemberCode(block.member, block.types, expressions, request.optimize, layout, len(block.numbers))
        _shares(code, block.codes, total, vote, majority)
        function = f"{name}_member{'s' * (code.count > 1)}{block.numbers[0]}"
        which = f"Member {block.numbers[0] + 1}" if code.count == 1 else f"{code.count} members of the same shape, out"
        head = f"/* {which} of {len(program.members)}. */\nstatic void {function}(const {name}_value *x, {arguments})"
        functions.append(function_text(head, code.body()))
        calls.append(f"{function}(x, sums{', votes' if majority else ''});")
    better = "sums[c] > sums[winner]"
    if majority:
        better = f"votes[c] > votes[winner] || (votes[c] == votes[winner] && {better})"
    counter = counter_type(n)
    lines = [
        f"{total} sums[{n}];",
        *([f"{vote} votes[{n}];"] if majority else []),
        f"{counter} c, winner = 0u;",
        "",
        f"for (c = 0u; c < {n}u; c++) {{",
        "    sums[c] = 0;",
        *(["    votes[c] = 0u;"] if majority else []),
        "}",
        *calls,
        f"for (c = 1u; c < {n}u; c++) {{",
        f"    if ({better}) {{",
        "        winner = c;",
        "    }",
        "}",
        f"return ({answer})winner;",
    ]
    head = f"{answer} {name}_predict(const {name}_value x[{name.upper()}_INPUTS])"
    return [*functions, function_text(f"/* The class of a row of inputs. */\n{head}", lines)]


def _shares(code: MemberCode, codes: Sequence[Sequence[int]], total: str, vote: str, majority: bool) -> None:
    """Write networks that add their shares to the sums, and their votes."""
    several, varied = len(codes[0]) > 2, len(set(map(tuple, codes))) > 1
    tables = code.expressions.tables
    if varied:
        kind_of = counter_type(max(map(max, codes)))[:-2]
        table = tables.add("codes", [max(c, 0) for each in codes for c in each], kind_of)
        code.declare(f"const {kind_of}_t *o = {table};")

    def where(place: int | str) -> str:
        if varied:
            return tables.read("o", f"{place}u" if isinstance(place, int) else place, kind_of)
        if isinstance(place, int):
            return str(codes[0][place])
        if list(codes[0]) == list(range(len(codes[0]))):
            return place
        return tables.read(tables.add("codes", codes[0], "uint16"), place, "uint16")

    if several:
        _several(code, where, total, vote, majority)
    else:
        _single(code, codes[0], where, total, vote, majority)
    if varied:
        code.say(f"o += {len(codes[0])};")


def _several(code: MemberCode, where: Callable[[int | str], str], total: str, vote: str, majority: bool) -> None:
    """Write networks of three or more outputs."""
    if majority:
        code.declare(f"{code.types[-1]}_t best = 0;")
        code.declare("uint16_t winner = 0u;")

    def sink(a: str, j: int | str) -> list[str]:
        at = where(j)
        lines = [f"sums[{at}] = ({total})(sums[{at}] + ({total}){a});"]
        if majority:
            if j == 0:
                return [*lines, f"best = {a};", f"winner = {at}u;"]
            first, index = (f"{j} == 0u || ", f"(uint16_t){at}") if isinstance(j, str) else ("", f"{at}u")
            lines += [f"if ({first}{a} > best) {{", f"    best = {a};", f"    winner = {index};", "}"]
        return lines

    code.write(sink)
    if majority:
        code.say(f"votes[winner] = ({vote})(votes[winner] + 1u);")


def _single(
    code: MemberCode,
    codes: Sequence[int],
    where: Callable[[int | str], str],
    total: str,
    vote: str,
    majority: bool,
) -> None:
    """Write networks of one output."""
    a = f"a{len(code.types) - 1}"
    code.write(lambda a, j: [])
    code.declare(f"{total} v;")
    code.say(f"v = ({total})(({total}){a} + ({total}){a} + 1);")
    for place, sign in ((1, "+"), (0, "-")):
        if codes[place] >= 0:
            code.say(f"sums[{where(place)}] = ({total})(sums[{where(place)}] {sign} v);")
    if majority:
        for place, test in ((1, ">= 0"), (0, "< 0")):
            if codes[place] >= 0:
                c = where(place)
                code.say(f"if ({a} {test}) {{", f"    votes[{c}] = ({vote})(votes[{c}] + 1u);", "}")
