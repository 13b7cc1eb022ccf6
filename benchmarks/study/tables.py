"""Markdown tables from a result file, and from nothing else but the registry's order of cells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from registry import DATA_SETS, ROBUST_DATA_SETS, SEEDS, Cell
from runner import read_results

Record = dict[str, Any]

_COLUMNS = ("test %", "training %", "loss", "bound", "optimal", "seconds", "bytes")
_NOTES = """\
Splits 50/25/25 into training, validation and test, stratified, one for each seed. Mean ± standard deviation over the
seeds; *n* is their number. *hidden*: neurons of the hidden layer. *loss*: training errors for two classes and for
argmax heads. *bound*: no network of the class has a smaller loss; *optimal*: runs in which it was met. Data splitting
and the wide local search choose their networks by validation accuracy, the ReLU network its epoch; the others do not
use that part. Exact training, alternation and data splitting are those of the paper, without a start from the local
search. Ternary networks take raw inputs where all are integers, else a grid of 8 bits; all others take inputs scaled to
[0, 1].
*bytes*: integers packed, a grid 16 bytes a feature, our continuous networks 8 bytes a number, float models 4, trees 10
a node; scaling of inputs is not counted. One thread each; the machine
did other work at times, so that seconds, and losses at a time limit, are no better than those of an idle one."""


def write(results: Path, cells: list[Cell], title: str) -> Path:
    """Write the tables beside the result file and return their path. Results of other settings are left out."""
    machines, records = read_results(results)
    wanted = [records[cell.key] for cell in cells if cell.key in records]
    total = len(cells)
    done = [record for record in wanted if record["state"] == "done"]
    lines = [f"# {title}", "", f"{len(done)} of {total} cells are finished.", "", _NOTES, ""]
    lines += [f"Machine: {_machine(entry)}." for entry in machines]
    for data in DATA_SETS:
        chosen = [record for record in done if record["data"] == data.name]
        plain = [record for record in chosen if "attacks" not in record]
        if plain:
            lines += ["", f"## {data.name}", "", *_plain(plain)]
            lines += _sizes(plain)
    lines += _polish(done)
    robust = [record for record in done if "attacks" in record]
    if robust:
        lines += ["", "## Robust training", "", *_robust(robust)]
    missing = sorted({(r["state"], r["method"], r["data"], r["reason"]) for r in wanted if r["state"] != "done"})
    if missing:
        lines += ["", "## Without result", ""]
        lines += [f"- {state}: {method} on {data}: {reason}" for state, method, data, reason in missing]
    path = results.with_suffix(".md")
    path.write_text("\n".join(lines) + "\n")
    return path


_OVERVIEW = {
    "paper, exact, 60 s": "exact, continuous",
    "paper, alternating, 60 s": "alternating, continuous",
    "paper, data splitting, 60 s": "data splitting, ternary",
    "local search, 10 s": "local search, narrow, continuous",
    "local search, wide": "local search, continuous",
    "wide and ternary": "local search, ternary",
    "ReLU, wide": "ReLU network",
    "logistic regression": "logistic regression",
}


def overview(results: Path, cells: list[Cell]) -> str:
    """Return a table of test accuracies of some methods, for the README."""
    _, records = read_results(results)
    done = [r for cell in cells if (r := records.get(cell.key, {"state": ""}))["state"] == "done"]
    lines = [f"| data set | hidden | {' | '.join(_OVERVIEW)} |", "|---" * (len(_OVERVIEW) + 2) + "|"]
    for data in DATA_SETS:
        shown = []
        for method in _OVERVIEW.values():
            group = [r for r in done if r["data"] == data.name and r["method"] == method]
            few = f" ({len(group)})" if group and len(group) < SEEDS else ""
            shown.append(f"{100 * mean(r['test'] for r in group):.1f}{few}" if group else "–")
        lines.append(f"| {data.name} | {data.narrow}, {data.wide} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _polish(records: list[Record]) -> list[str]:
    """Test accuracy of the search without and with margin polish, beside the ReLU network of the same width."""
    pairs = (("local search, narrow, continuous", "ReLU network, narrow"), ("local search, continuous", "ReLU network"))
    rows = []
    for data in DATA_SETS:
        for ours, rival in pairs:
            here = [record for record in records if record["data"] == data.name]
            searched = {record["seed"]: record for record in here if record["method"] == ours}
            networks = {record["seed"]: record for record in here if record["method"] == rival}
            seeds = sorted(searched.keys() & networks.keys())
            if not seeds:
                continue
            own = [searched[seed] for seed in seeds]
            shown = [
                _spread(own, lambda r: 100 * r["unpolished"]) if "unpolished" in own[0] else "–",
                _spread(own, lambda r: 100 * r["test"]),
                _spread([networks[seed] for seed in seeds], lambda r: 100 * r["test"]),
            ]
            hidden = own[0]["settings"]["hidden"][0]
            rows.append(f"| {data.name} | {hidden} | {len(seeds)} | {' | '.join(shown)} |")
    if not rows:
        return []
    head = "| data set | hidden | n | search | search, polished | ReLU network |"
    text = (
        "Test accuracy in % over the same splits, both with as many hidden neurons. The wide search judges polished"
        " networks on the validation part, so there is no figure without polish."
    )
    return ["", "## What the margin polish adds", "", text, "", head, "|---" * 6 + "|", *rows]


def _machine(entry: Record) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in entry["packages"].items())
    return f"{entry['processor']}, {entry['cores']} cores, Python {entry['python']}, {packages}"


def _by_method(records: list[Record]) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record["method"], []).append(record)
    return groups


def _plain(records: list[Record]) -> list[str]:
    lines = [f"| method | hidden | n | {' | '.join(_COLUMNS)} |", "|---" * (len(_COLUMNS) + 3) + "|"]
    for method, group in _by_method(records).items():
        hidden = "–" if "hidden" not in group[0]["settings"] else (group[0]["settings"]["hidden"] or [0])[0]
        bounded = [r["bound"] for r in group if r.get("bound") is not None]
        optimal = sum(r.get("status") == "optimal" for r in group)
        shown = [
            _spread(group, lambda r: 100 * r["test"]),
            _spread(group, lambda r: 100 * r["train"]),
            _spread(group, lambda r: r["loss"]),
            f"{mean(bounded):.1f}" if bounded else "–",
            f"{optimal}/{len(group)}" if "status" in group[0] else "–",
            _spread(group, lambda r: r["seconds"], 2),
            f"{mean(r['bytes'] for r in group):.0f}",
        ]
        lines.append(f"| {method} | {hidden} | {len(group)} | {' | '.join(shown)} |")
    return lines


def _sizes(records: list[Record]) -> list[str]:
    most = max(record["rows"] for record in records)
    fewer = sorted({(r["method"], r["rows"]) for r in records if r["rows"] < most})
    text = ", ".join(f"{method} ({rows})" for method, rows in fewer)
    rest = f", but for {text}; *training %* is over all {most}" if fewer else ""
    limits = sorted(
        {(r["settings"]["method"], r["settings"]["seconds"]) for r in records if "seconds" in r["settings"]}
    )
    limited = ", ".join(f"{name.replace('_', ' ')} {seconds:g} s" for name, seconds in limits)
    return ["", f"Training rows: {most}{rest}. Time limits: {limited or 'none'}."]


def _spread(group: list[Record], value: Callable[[Record], float], digits: int = 1) -> str:
    values = [value(record) for record in group]
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"


def _robust(records: list[Record]) -> list[str]:
    draws = records[0]["settings"]["draws"]
    attacks = [attack for record in records for attack in record["attacks"] if attack["radius"] > 0]
    undecided = sum(round(attack["undecided"] * attack["points"]) for attack in attacks)
    decisions = sum(attack["points"] for attack in attacks)
    lines = [
        "Exact method, continuous weights, ∞-norm, radii on inputs scaled to [0, 1]; perturbed inputs may leave that"
        f" range. *noise r*: test accuracy in % under random noise of ±r in every feature, mean of {draws} draws."
        " *worst case r*: share of the test points, in %, predicted right on the whole closed ball of radius r."
        " It was decided point by point, by enumeration of the activation patterns of the hidden neurons that are not"
        " constant on the ball: a point is right if every pattern of a wrong class is excluded by a combination of"
        " its inequalities, found by a linear program and checked in rational arithmetic; it is broken if an input"
        " of the ball was found that the network predicts wrong; else it is undecided and not counted as right."
        f" Undecided: {undecided} of {decisions:,} decisions, over all test points, networks and radii above 0."
        " *intervals r*: share proven right by three-valued propagation alone, a lower bound on the worst case."
        " *loss*: training points not certified at the training radius."
    ]
    for data in ROBUST_DATA_SETS:
        chosen = [record for record in records if record["data"] == data]
        if not chosen:
            continue
        shown_kinds = {"noise": "noise", "worst case": "worst", "intervals": "certified"}
        radii = [(k, attack["radius"]) for k, attack in enumerate(chosen[0]["attacks"]) if attack["radius"] > 0]
        names = ["loss", "bound", "seconds", "test %", *(f"{kind} {r:g}" for kind in shown_kinds for _, r in radii)]
        lines += ["", f"### {data}", "", f"| training radius, model | n | {' | '.join(names)} |"]
        lines.append("|---" * (len(names) + 2) + "|")
        for method, group in _by_method(chosen).items():
            shown = [_spread(group, lambda r: r["loss"]), f"{mean(r['bound'] or 0 for r in group):.1f}"]
            shown += [_spread(group, lambda r: r["seconds"]), _spread(group, lambda r: 100 * r["test"])]
            for kind in shown_kinds.values():
                for k, _ in radii:
                    shown.append(_spread(group, lambda r, kind=kind, k=k: 100 * r["attacks"][k][kind]))
            lines.append(f"| {method.removeprefix('robust, radius ')} | {len(group)} | {' | '.join(shown)} |")
        lines += _sizes(chosen)
    return lines
