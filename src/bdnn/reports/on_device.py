"""The section of a report on devices: bytes and cycles, or why there are none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bdnn.devices.models import checked_devices, measured_model, no_compiler
from bdnn.devices.registry import DEVICES, installed
from bdnn.devices.wording import HEAD, cells, remarks
from bdnn.encoding import kinds
from bdnn.encoding.raw import RawTable
from bdnn.errors import BDNNError
from bdnn.export.inputs import Interface, decimal_scales
from bdnn.model_file.contents import EnsembleModel

if TYPE_CHECKING:
    from bdnn.model_file.contents import Model
    from bdnn.types import Floats, Indices

_ROWS = 2_000  # of the table that say which integers occur: enough for their ranges, and quickly decided
_ROWS_RUN = 100  # on emulated devices, so that all of them take seconds


@dataclass(frozen=True, slots=True)
class OnDevice:
    """A table with a row for each device, none if nothing was measured, and lines below it."""

    header: tuple[str, ...] = HEAD
    rows: tuple[tuple[str, ...], ...] = ()
    lines: tuple[str, ...] = ()


def on_device(
    model: Model | EnsembleModel,
    X: Floats,
    columns: RawTable | None,
    devices: Sequence[str] | None,
    predict: Callable[[RawTable], Indices] | None = None,
) -> OnDevice:
    """Measure a model on devices, or say why it is not.

    Parameters
    ----------
    model : Model or EnsembleModel
        What is measured.
    X : ndarray of shape (m, n_inputs)
        Inputs of its network.
    columns : RawTable or None
        The columns that they were made of.
    devices : sequence of str or None
        Names of devices; None for those whose compiler is installed.
    predict : callable or None
        Returns the indices of the classes of the rows of a table; None for those of a single network.

    Raises
    ------
    InputError
        If a device is unknown.
    MissingDependencyError
        If the compiler of a device that is named is not installed.
    """
    if devices is not None and not devices:
        return OnDevice(lines=("Not measured: no devices were asked for.",))
    chosen = installed() if devices is None else checked_devices(devices)
    if not chosen:
        return OnDevice(lines=(f"Not measured: {no_compiler()}.",))
    networks = [each.network for each in model.members] if isinstance(model, EnsembleModel) else [model.network]
    if not all(network.is_integer for network in networks):
        words = "the weights are continuous; bdnn size MODEL --data TABLE makes them integers and measures those"
        return OnDevice(lines=(f"Not measured: {words}.",))
    encoder, table = model.encoder_in_use, _table(model, X, columns)

    def by_network(given: RawTable) -> Indices:
        return networks[0].predict_index(encoder.transform(given))

    # the others enter the network as they are, and have to be integers
    scaled = {
        code.name
        for code in encoder.columns
        if code.thresholds or any(network.grid is not None for network in networks)
    }
    scales = decimal_scales(column for column in (table.columns if table else ()) if column.name in scaled)
    try:
        interface = Interface(scale=scales)
        found = measured_model(
            model, predict or by_network, chosen, data=table, interface=interface, most_rows=_ROWS_RUN
        )
    except BDNNError as error:
        return OnDevice(lines=(f"Not measured: {error}.",))
    lines = [f"{name}: {scale} integers are one unit" for name, scale in scales.items()]
    missing = () if devices is not None else [each for name, each in DEVICES.items() if name not in chosen]
    lines += [f"Not measured: {device.without_compiler}" for device in missing]
    return OnDevice(rows=tuple(map(cells, found.values())), lines=(*remarks(found.values()), *lines))


def _table(model: Model | EnsembleModel, X: Floats, columns: RawTable | None) -> RawTable | None:
    """Return some rows of the table, which are the inputs if each column is one; None if the columns are not known."""
    encoder = model.encoder_in_use
    rows = np.unique(np.linspace(0, len(X) - 1, num=min(len(X), _ROWS), dtype=np.intp))
    if columns is not None:
        return encoder.matched(columns).take(rows)
    if len(encoder.names) != X.shape[1]:
        return None
    table = RawTable(tuple(kinds.numeric(name, X[rows, j]) for j, name in enumerate(encoder.names)))
    if any(code.kind != "numeric" for code in encoder.columns) or not np.array_equal(encoder.transform(table), X[rows]):
        return None
    return table
