"""A score card as text, Markdown or a page of HTML that loads nothing."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bdnn.reports.card_points import ScoreCard

FORMATS = ("text", "markdown", "html")

_PUNCTUATION = "\\`*_{}[]#|~"

_OTHERS = "What a column counts in all, instead of its lines above, where its cell is one of these."

_STYLE = """body { margin: 0 auto; max-width: 44rem; padding: 1.5rem 1rem; font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 1.5rem 0 .5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #d9dee4; text-align: left; overflow-wrap: anywhere; }
.rule { font-weight: 600; } @media print { body { padding: 0; } }"""


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a card: a heading, a sentence, or a table.

    Attributes
    ----------
    title, text : str
        Empty if there is none.
    header : tuple of str
        Of the table.
    rows : sequence of tuple of str
        Of the table, none if there is none.
    """

    title: str = ""
    text: str = ""
    header: tuple[str, ...] = ()
    rows: Sequence[tuple[str, ...]] = ()


def blocks(card: ScoreCard) -> list[Block]:
    """Return the parts of a card, in order."""
    parts = []
    for number, scale in enumerate(card.scales):
        of = "" if card.threshold is not None else f" for {scale.label}"
        rows = [(each.name, f"{each.points:+d}", each.given) for each in scale.points]
        if scale.start:
            rows.insert(0, ("start", f"{scale.start:+d}", "always"))
        parts.append(Block(f"Points{of}", "" if rows else "There are none.", ("input", "points", "given"), rows))
        if card.cells and card.cells[number]:
            cells = [(each.column, each.cells, each.points) for each in card.cells[number]]
            parts.append(Block(f"Other cells{of}", _OTHERS, ("column", "cell", "points"), cells))
    parts.append(Block("Decision", card.rule))
    if card.threshold is not None:
        second = card.classes[1]
        risks = [(r.scores, str(r.rows), str(r.events), f"{r.risk:.1%}") for r in card.risks]
        if risks:
            parts.append(
                Block("Risk", f"Risk of {second}, {card.risk_rule}.", ("score", "rows", second, "risk"), risks)
            )
    else:
        wide = any(share for _, _, share in card.shares)
        shares = [row if wide else row[:2] for row in card.shares]
        head = ("class", "logit", "of the example")[: 3 if wide else 2]
        parts.append(Block("Risk", f"Risks: {card.risk_rule}.", head, shares))
    if card.example is not None:
        lines, left = [*card.example.lines, ("score", "", card.example.score)], card.example.left_out
        text = f"This row is decided {card.example.label}."
        if left:
            text += f" {left} line{'s' if left > 1 else ''} of 0 points {'are' if left > 1 else 'is'} left out."
        parts.append(Block("Example", text, ("input", "value", "points"), lines))
    if card.facts:
        parts.append(Block("What is known", "", ("", ""), card.facts))
    return parts


def rendered(card: ScoreCard, kind: str, title: str = "Score card") -> str:
    """Return a card in one of the `FORMATS`, ending with a newline."""
    if kind == "html":
        return _html(card, title)
    lines = [f"# {_escaped(title)}" if kind == "markdown" else title, ""]
    for part in blocks(card):
        lines += _markdown(part) if kind == "markdown" else _text(part)
    return "\n".join(lines).rstrip() + "\n"


def _text(part: Block) -> list[str]:
    lines = [part.title]
    if part.text:
        lines.append(f"  {_plain(part.text)}")
    rows = [tuple(map(_plain, row)) for row in (*([part.header] if any(part.header) and part.rows else []), *part.rows)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(part.header))] if rows else []
    lines += [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return [*lines, ""]


def _markdown(part: Block) -> list[str]:
    lines = [f"## {_escaped(part.title)}", ""]
    if part.text:
        lines += [_escaped(part.text), ""]
    if part.rows:
        cells = [[_escaped(cell) for cell in row] for row in (part.header, ["---"] * len(part.header), *part.rows)]
        cells[1] = ["---"] * len(part.header)
        lines += [f"| {' | '.join(row)} |" for row in cells] + [""]
    return lines


def _html(card: ScoreCard, title: str) -> str:
    parts = []
    for part in blocks(card):
        parts.append(f"<h2>{html.escape(part.title)}</h2>")
        if part.text:
            parts.append(f"<p{' class=rule' if part.title == 'Decision' else ''}>{html.escape(part.text)}</p>")
        if part.rows:
            head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in part.header)
            body = "".join(
                "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>\n" for row in part.rows
            )
            parts.append(f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table>")
    inside = "\n".join(parts)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{html.escape(title)}</title>
<style>
{_STYLE}
</style>
</head>
<body>
<h1>{html.escape(title)}</h1>
{inside}
</body>
</html>
"""


def _plain(text: str) -> str:
    """Return text on one line."""
    return " ".join(text.split())


def _escaped(text: str) -> str:
    """Return text on one line without anything that Markdown would take for markup."""
    safe = html.escape(_plain(text), quote=False)
    return "".join(f"\\{letter}" if letter in _PUNCTUATION else letter for letter in safe)
