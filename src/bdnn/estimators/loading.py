"""Fitted estimators from model files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from bdnn.errors import InputError, ModelFileError
from bdnn.estimators.class_weights import by_label
from bdnn.estimators.classifier import BDNNClassifier
from bdnn.estimators.ensemble import HIDDEN, SCHEMES, VOTINGS, BDNNEnsembleClassifier
from bdnn.model_file.contents import EnsembleModel
from bdnn.model_file.reading import load_any
from bdnn.problem.problem import choice

if TYPE_CHECKING:
    from bdnn.model_file.contents import Model


_MAPPINGS = ("class_weight", "decision_threshold", "monotonic")
"""Settings that may be objects."""


def load(path: str | os.PathLike[str]) -> BDNNClassifier | BDNNEnsembleClassifier:
    """Read a model file as a fitted classifier.

    Parameters
    ----------
    path : path-like
        A file written by `BDNNClassifier.save`, `BDNNEnsembleClassifier.save` or ``bdnn train``.

    Returns
    -------
    BDNNClassifier or BDNNEnsembleClassifier
        Fitted; the `result_` of a BDNNClassifier is there if the file has it.

    Raises
    ------
    ModelFileError
        If the file is damaged, hostile, of another kind or of an unknown version.
    OSError
        If it cannot be read.
    """
    model = load_any(path)
    if not isinstance(model, EnsembleModel):
        return from_model(model, path)
    try:
        return _from_ensemble(model)
    except InputError as error:
        raise ModelFileError(f"{os.fspath(path)}: not a usable model file: {error}") from None


def _from_ensemble(model: EnsembleModel) -> BDNNEnsembleClassifier:
    allowed = set(BDNNEnsembleClassifier().get_params(deep=False)) - {"estimator"}
    unknown = sorted((set(model.settings) - allowed) | (set(model.estimator) - set(BDNNClassifier().get_params())))
    if unknown:
        raise InputError(f"unknown setting {unknown[0][:40]!r}")
    settings = dict(model.settings)
    if isinstance(settings.get("class_weight"), dict):
        settings["class_weight"] = by_label(settings["class_weight"], model.classes)
    ensemble = BDNNEnsembleClassifier(BDNNClassifier(**model.estimator), **settings)
    choice("scheme", ensemble.scheme, SCHEMES)
    choice("voting", ensemble.voting, VOTINGS)
    choice("hidden", ensemble.hidden, HIDDEN)
    known, C = set(range(-1, len(model.classes))), len(model.classes)
    if C < 2 or len(set(model.classes.tolist())) != C:
        raise InputError(f"classes must be at least two different labels, got {model.classes.tolist()!r}"[:200])
    for number, member in enumerate(model.members, start=1):
        codes = member.network.classes
        if codes.dtype.kind != "i" or not set(codes.tolist()) <= known:
            raise InputError(f"the classes of member {number} must be integers from -1 to {C - 1}")
    if not model.members:
        raise InputError("an ensemble needs at least one member")
    encoder = model.encoder_in_use
    ensemble.calibration_ = model.calibration
    ensemble.classes_, ensemble.encoder_, ensemble.members_ = model.classes, encoder, model.members
    ensemble.n_features_in_ = len(encoder.columns)
    if encoder.named:
        ensemble.feature_names_in_ = np.array(encoder.names, dtype=object)
    return ensemble


def from_model(model: Model, path: str | os.PathLike[str] = "model") -> BDNNClassifier:
    """Return the contents of a model file as a fitted classifier; `path` is named in errors."""
    settings = dict(model.settings or {})
    simple = (str, int, float, type(None))
    listed = ("hidden_layer_sizes", "robust_radius", "categorical_features", *_MAPPINGS)
    unknown = set(settings) - set(BDNNClassifier().get_params())
    odd = [k for k, v in settings.items() if not isinstance(v, simple) and k not in listed]
    if unknown or odd:
        name = sorted(unknown or odd)[0]
        raise ModelFileError(f"{os.fspath(path)}: not a usable model file: unknown or malformed setting {name[:40]!r}")
    settings["hidden_layer_sizes"] = model.network.widths[:-1]
    if isinstance(settings.get("class_weight"), dict):
        settings["class_weight"] = by_label(settings["class_weight"], model.network.classes)
    clf = BDNNClassifier(**settings)
    network, encoder = model.network, model.encoder_in_use
    clf.network_, clf.classes_, clf.encoder_ = network, network.classes, encoder
    clf.n_features_in_ = len(encoder.columns)
    clf.calibration_ = model.calibration
    if model.result is not None:
        clf.result_ = model.result
        clf.class_weight_ = np.array(model.result.class_weight or np.ones(len(network.classes)))
    if encoder.named:
        clf.feature_names_in_ = np.array(encoder.names, dtype=object)
    return clf
