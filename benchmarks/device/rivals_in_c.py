"""What emlearn, m2cgen and micromlgen make of the models of `training.py`."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from unittest.mock import patch

import emlearn
import m2cgen
import micromlgen
import numpy as np
from candidates import HEADER, NEURAL, Candidate
from emlearn import net
from samples import Sample
from training import Trained, forests, logistics, of_integers, perceptrons, trees

sys.setrecursionlimit(100_000)  # m2cgen and micromlgen walk down trees by recursion, some frames for each node
_EMLEARN = Path(emlearn.__file__).parent
_HEADERS = {
    "eml_trees.h": ("eml_trees.h", "eml_common.h", "eml_log.h"),
    "eml_net.h": ("eml_net.h", "eml_net_common.h", "eml_common.h", "eml_log.h"),
}
_SINGLE = ("-fsingle-precision-constant",)
"""Literals without a suffix are floats: no arithmetic in doubles."""
MOST_NODES = 8_000
"""Of forests that micromlgen writes: their code is one function, which compilers take minutes for if it is longer."""
_EMLEARN_FUNCTION = "int32_t model_predict(const {element} *features, int32_t features_length)"
MOST_COLUMNS = 127
"""That emlearn's tables of trees can name."""


def rivals(sample: Sample) -> Iterator[Candidate]:
    """Yield all candidates."""
    for kind, made in (("tree", trees(sample)), ("forest", forests(sample))):
        for trained in made:
            yield from _emlearn_trees(sample, kind, trained)
            yield from _micromlgen(sample, kind, trained)
    for trained in trees(sample):
        yield from _m2cgen(sample, "tree", trained)
    for trained in logistics(sample):
        yield from _m2cgen(sample, "logistic regression", trained)
    for trained in perceptrons(sample):
        yield from _emlearn_network(sample, trained)


def _quoted(text: str) -> str:
    """Make includes of emlearn's headers find them beside the source."""
    return re.sub(r"#include <(eml_\w+\.h)>", r'#include "\1"', text)


def _headers(name: str) -> dict[str, str]:
    return {each: _quoted((_EMLEARN / each).read_text()) for each in _HEADERS[name]}


def _emlearn_trees(sample: Sample, kind: str, trained: Trained) -> Iterator[Candidate]:
    """Yield inlined code and tables, each for integers of 16 bits, and inlined code for bytes where rows are bytes.

    Leaves vote for classes. The code of a single tree also holds a function that gives the class without a vote; it is
    not meant to be called, but smaller. Thresholds are truncated and x < t is asked, so they are made integers before.
    """
    n = sample.X["train"].shape[1]

    def write(form: str, element: str) -> dict[str, str]:
        method = "loadable" if form == "loadable" else "inline"
        made = emlearn.convert(of_integers(trained.model), method=method, dtype=element)
        code = _quoted(made.save(name="model", include_proba=False))
        headers = _headers("eml_trees.h") if form == "loadable" else {}
        return headers | _included(code, _EMLEARN_FUNCTION.format(element=element))

    forms = ["inline"] if kind == "forest" else ["inline", "tree alone"]
    listed = [(form, element) for form in forms for element in ("int16_t", "uint8_t")[: 1 + sample.is_bytes]]
    listed += [("loadable", "int16_t")] if n <= MOST_COLUMNS else []
    for form, element in listed:
        yield Candidate(
            method=f"emlearn {kind}", form=f"{form}, {element}", setting=trained.setting, weight=trained.weight,
            write=partial(write, form, element), element=element, rows=_same, expected=_by_votes(trained),
            predict=f"{'model_tree_0' if form == 'tree alone' else 'model_predict'}(x, {n})", sample=sample,
        )  # fmt: skip


def _by_votes(trained: Trained) -> Callable[[np.ndarray], np.ndarray]:
    """Return what decides as trees that vote with classes, of equal numbers of votes for the first one."""

    def decide(X: np.ndarray) -> np.ndarray:
        parts = getattr(trained.model, "estimators_", None)
        if parts is None:
            return trained.model.predict(X)
        classes = len(trained.model.classes_)
        votes = np.stack([tree.predict(X.astype(np.float32)).astype(int) for tree in parts])
        return np.array([np.bincount(row, minlength=classes).argmax() for row in votes.T])

    return decide


def _same(X: np.ndarray) -> np.ndarray:
    return X


def _emlearn_network(sample: Sample, trained: Trained) -> Iterator[Candidate]:
    """Yield inlined and table-driven code; both compute in floats.

    In emlearn 0.23, the inlined form fails to be written, as names of activations are taken for integers; here they are
    their numbers. Its form in fixed point is written, but computes nothing ("FIXME: implement").
    """
    model, n = trained.model, len(trained.columns)
    layers = [model.activation, model.out_activation_], model.coefs_, model.intercepts_

    def write(form: str) -> dict[str, str]:
        if form == "loadable":
            code = net.c_generate_net_loadable(*layers, "model")
        else:
            with patch.object(net, "c_activation_function", net.ACTIVATION_FUNCTIONS.index):
                code = net.c_generate_net_inline(*layers, "model")
        return _headers("eml_net.h") | _included(_quoted(code), _EMLEARN_FUNCTION.format(element="float"))

    for form in ("inline", "loadable"):
        yield Candidate(
            method=NEURAL, form=f"{form}, float", setting=trained.setting, weight=trained.weight,
            write=partial(write, form), predict=f"model_predict(x, {n})", element="float", rows=trained.inputs,
            sample=sample,
        )  # fmt: skip


def _m2cgen(sample: Sample, kind: str, trained: Trained) -> Iterator[Candidate]:
    """Yield its code as it is, in doubles, and with floats in their place."""
    classes = sample.classes
    one_score = kind == "logistic regression" and classes == 2

    def write(element: str) -> dict[str, str]:
        code = m2cgen.export_to_c(trained.model).replace("double", element)
        if one_score:
            return _included(code, f"{element} score({element} *input)")
        decide = (
            f"static int decide({element} *x)\n{{\n    {element} scores[{classes}];\n    int best = 0;\n"
            f"    score(x, scores);\n    for (int k = 1; k < {classes}; k++) if (scores[k] > scores[best]) best = k;\n"
            "    return best;\n}\n"
        )
        return _included(f"{code}\n{decide}", f"void score({element} *input, {element} *output)")

    for element in ("double", "float"):
        yield Candidate(
            method=f"m2cgen {kind}", form=element, setting=trained.setting, weight=trained.weight,
            write=partial(write, element), predict="score(x) > 0" if one_score else "decide(x)", element=element,
            rows=trained.inputs, flags=_SINGLE if element == "float" else (),
            expected=trained.model.predict if kind == "tree" else None, sample=sample,
        )  # fmt: skip


def _micromlgen(sample: Sample, kind: str, trained: Trained) -> Iterator[Candidate]:
    """Yield the body of its C++ method as a C function, with thresholds in doubles as they are, and in floats."""
    is_forest = kind == "forest"
    if is_forest and (type(trained.model).__name__ != "RandomForestClassifier" or trained.weight > MOST_NODES):
        return

    def write() -> dict[str, str]:
        text = micromlgen.port(trained.model)
        body = text[text.index("int predict(float *x) {") : text.index("protected:")]
        return _included(body, "int predict(float *x)")

    for form, flags in (("double", ()), ("float", _SINGLE)):
        yield Candidate(
            method=f"micromlgen {kind}", form=form, setting=trained.setting, weight=trained.weight, write=write,
            predict="predict(x)", element="float", rows=_same, flags=flags, expected=_by_votes(trained), sample=sample,
        )  # fmt: skip


def _included(code: str, function: str) -> dict[str, str]:
    """Return a header of code, whose function is static, so that the compiler may put it where it is called."""
    return {HEADER: f"#include <stdint.h>\nstatic {function};\n\n{code}\n"}
