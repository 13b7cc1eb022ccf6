"""The scripts of examples/ run, and what they print and write holds."""

import itertools
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

from bdnn import load, verify_certificate
from processes import script_done

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(file.stem for file in EXAMPLES.glob("*.py"))
PROVEN = ("exact_certificate", "quick_start")
"""Scripts of which an optimum is asked; the others search no longer than they must."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Run a script once, in a folder of its own, and return that folder and the lines it prints."""
    done = {}

    def runner(name):
        if name not in done:
            folder = tmp_path_factory.mktemp(name)
            process = script_done(EXAMPLES / f"{name}.py", math.inf if name in PROVEN else 1.5, cwd=folder, text=True)
            assert process.returncode == 0, process.stderr
            done[name] = folder, process.stdout
        return done[name]

    return runner


@pytest.fixture(scope="module")
def cancer():
    table = pd.read_csv(EXAMPLES / "data" / "breast_cancer_wisconsin.csv", na_values="?")
    return table.fillna(table.median())


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_short_and_say_what_they_do(name):
    lines = (EXAMPLES / f"{name}.py").read_text().splitlines()
    assert lines[0].startswith('"""') and any(line.lstrip().startswith("# ") for line in lines)
    assert len(lines) < 60 or name == "walkthrough"


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_run(name, run):
    _, text = run(name)
    assert text.strip()


def test_quick_start_prints_a_proof_of_its_loss(run):
    folder, text = run("quick_start")
    loss, rows, bound = map(int, re.search(r"optimal, (\d+) of (\d+) rows wrong, bound (\d+)", text).groups())
    table = pd.read_csv(EXAMPLES / "data" / "breast_cancer_wisconsin.csv", na_values="?").dropna()
    table = table.sample(rows, random_state=0)
    labels = np.where(table["target"] == 1, "malignant", "benign")
    assert loss == bound == np.sum(load(folder / "quick_start.json").predict(table.drop(columns="target")) != labels)


def test_exact_certificate_holds(run, cancer):
    folder, text = run("exact_certificate")
    verified = verify_certificate(folder / "proof.json.gz", cancer.drop(columns="target"), cancer["target"])
    assert verified.optimal
    assert f"optimal: {verified.loss} errors, bound {verified.bound}" in text
    assert verified.statement in text and "refused: " in text


def test_digits_are_told_apart_by_few_bytes(run):
    _, text = run("digits_local_search")
    X, y = load_digits(return_X_y=True)
    stored, size = map(int, re.search(r"(\d+) integers in (\d+) bytes", text).groups())
    assert stored == 50 * 65 + 10 * 51 and size < X[0].size * 10 * 4  # ten linear classifiers in single precision
    accuracy = float(re.search(r"test ([0-9.]+)", text).group(1))
    assert accuracy > 5 * np.bincount(y).max() / len(y)


def test_robust_training_is_certified_where_nominal_training_is_not(run):
    _, text = run("robust_training")
    lines = {line.split()[0]: [float(word) for word in line.split()[1:]] for line in text.splitlines()[1:3]}
    assert all(a >= b for row in lines.values() for a, b in itertools.pairwise(row))
    assert lines["robust"][2] > lines["nominal"][2]  # at the radius it was trained for


def test_methods_claim_what_they_can_prove(run):
    _, text = run("compare_methods")
    rows = {line.split()[0]: line.split()[1:4] for line in text.splitlines()[1:]}
    assert set(rows) == {"exact", "local_search", "alternating", "data_splitting"}
    statuses, losses, bounds = zip(*rows.values(), strict=True)
    assert max(map(float, bounds)) <= min(map(float, losses))  # they are about the same networks
    for status, loss, bound in zip(statuses, losses, bounds, strict=True):
        assert (status == "optimal") == (float(loss) == float(bound))


def test_walkthrough_saves_what_it_describes(run):
    folder, text = run("walkthrough")
    network = load(folder / "cells.json").network_
    assert network.is_integer and f"{network.size_bytes} bytes as packed integers" in text
    assert int(re.search(r"(\d+) with integers up to", text).group(1)) < 80
