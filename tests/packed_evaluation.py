"""What the packed format's reader found, evaluated in rational numbers, one row at a time."""

import datetime
from fractions import Fraction


def answer(read, schema, row):
    """Return the index of the class of a row: values by column, None where missing, dates as datetimes."""
    if not read.inputs and hasattr(read, "constant"):
        return read.constant
    values = [_value(read, schema, each, row[each[0]]) for each in read.inputs]
    where = {each: value for each, value in zip(read.inputs, values, strict=True)}
    outs = [(codes, _outputs([where[each] for each in inputs], grid, layers), head, layers)
            for codes, inputs, grid, head, layers in read.members]  # fmt: skip
    if read.voting is None:
        return _winner(outs[0][1])
    classes = range(len(schema["classes"]))
    sums, votes = dict.fromkeys(classes, 0), dict.fromkeys(classes, 0)
    for codes, out, _, _ in outs:
        votes[codes[_winner(out)]] = votes.get(codes[_winner(out)], 0) + 1
        scores = out
        if len(codes) == 2:
            lead = 2 * out[0] + 1 if len(out) == 1 else 2 * (out[1] - out[0]) - 1
            scores = [-lead, lead]
        for code, score in zip(codes, scores, strict=True):
            sums[code] = sums.get(code, 0) + score
    return max(classes, key=lambda c: (votes[c] if read.voting == "majority" else 0, sums[c], -c))


def _winner(out):
    return int(out[0] >= 0) if len(out) == 1 else out.index(max(out))


def _outputs(signal, grid, layers):
    if grid is not None:
        bits, first, step = grid
        signal = [
            min(max(round((float(v) - a) / s), 0), 2**bits - 1) for v, a, s in zip(signal, first, step, strict=True)
        ]
    signal = [Fraction(v) for v in signal]
    for number, (W, b) in enumerate(layers):
        sums = [sum(Fraction(w) * v for w, v in zip(row, signal, strict=True)) + Fraction(c)
                for row, c in zip(W, b, strict=True)]  # fmt: skip
        signal = [int(value >= 0) for value in sums] if number < len(layers) - 1 else sums
    return signal


def _value(read, schema, each, value):
    j, part, cut = each
    column, fill = {"kind": "numeric", **schema["columns"][j]}, read.fills.get(j)
    if part == "missing":
        return int(value is None)
    if cut:
        return int(read.cuts[j].index(part) < fill) if value is None else int(value >= part)
    if column["kind"] == "categorical":
        levels, rare = column.get("levels", []), column.get("rare", [])
        group = levels.index(value) if value in levels else len(levels) if value in rare else -1
        return int((fill - 1 if value is None else group) == part)
    if column["kind"] == "date":
        when = datetime.datetime(1970, 1, 1) + datetime.timedelta(hours=fill) if value is None else value
        return (when.year, when.month, when.day, when.weekday(), when.hour)[part]
    return fill if value is None else value
