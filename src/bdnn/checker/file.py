"""Reading and writing certificates: JSON, plain or compressed, every size and type checked before anything is believed.

The trees are most of a file. Their proofs and nodes are parsed one by one into arrays, so that a file of a few hundred
megabytes does not become gigabytes of lists.

Notes
-----
A certificate is a JSON object of exactly these names; all that is counted is counted from 0:

- ``format`` "bdnn-certificate", ``version`` 1, 2 if there is a ``table``, 3 if classes or rows have weights or columns
  are not inputs themselves, 4 if there are ``ranks``, or 5 if some of these have ``lemmas``;
- ``data``: ``sha256`` (see `bdnn.checker.data.data_hash`), ``n_rows``, ``n_features``, ``n_points``, ``classes``;
- ``architecture``: ``hidden_layer_sizes`` ([] or [d], d at most 6), ``head`` "threshold" (one output) or "argmax"
  (two), ``weights`` "continuous", ``fit_intercept`` true;
- ``network``: ``layers``, each with ``weights`` (one list per neuron) and ``biases``;
- ``loss`` and ``bound``: strings such as "7" or "15/2"; ``scale``: a power of two;
- ``cuts``: each with ``points`` and as many ``multipliers``, strings of hexadecimal digits;
- ``table``, from version 2 on: which rows and columns of a table the data are, see `bdnn.checker.rows`; from version 3
  on null if they are not of a table;
- ``class_weight``, from version 3 on: how much the classes weigh, see `bdnn.checker.class_weight`, or null;
- ``trees``: each with ``implicants``, ``proofs`` and ``nodes``, the root first. A proof is
  {"cuts": [[cut, neuron, multiplier], …], "links": [[point, k, multiplier], …]}. A node is
  [column, child for 0, child for 1], or a leaf, which is the number of a proof. Every proof has a leaf. In version 4 a
  tree has ``ranks`` beside: what was proven of some of the points, each with ``points``, ``bound``, an integer, and
  ``proofs`` and ``nodes`` of its own; and proofs have ``ranks`` beside: [[rank, multiplier], …]. Those of a rank name
  earlier ranks only. In version 5 a rank may have a refutation in the place of ``proofs`` and ``nodes``: ``cuts``,
  [[cut, neuron], …], ``links``, [[point, k], …], ``lemmas``, each a list of literals, and as many ``reasons``, each a
  list of numbers: -1 is the limit on costs, then come those of the cuts, of the links, and of the lemmas.

What the parts mean is explained in `bdnn.checker.check`.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import re
import sys
import zlib
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bdnn.checker.class_weight import ClassWeight, read_class_weight
from bdnn.checker.lemmas import NAMES, Lemmas, read_lemmas
from bdnn.checker.proofs import LARGEST_INDEX, Nodes, Proof, read_node, read_proof
from bdnn.checker.rows import TablePart, read_table_part
from bdnn.checker.values import MAX_BITS, exactly, fail, integer, items, rational, shown
from bdnn.errors import CertificateError, CertificateFileError, InputError
from bdnn.files import FilePath, write

if TYPE_CHECKING:
    from bdnn.checker.data import Label

FORMAT, VERSION = "bdnn-certificate", 5  # the version counts changes that older checkers do not understand

MAX_HIDDEN = 6  # one more than exact training lists the output functions of
_MAX_BYTES = 2**30  # of a file, which is read at once
_MAX_HEX_DIGITS = 2**14  # of a number: 65,536 bits, so that no file makes arithmetic slow
_LARGEST_BOUND = 2**62  # of a rank: costs that ranks add up are below 2**31, and so many points fit into a file
_HEX = re.compile(rf"(0x)?[0-9a-fA-F]{{1,{_MAX_HEX_DIGITS}}}", re.ASCII)
_SPACE = re.compile(r"[ \t\n\r]*", re.ASCII)


class Cut(NamedTuple):
    """Points that no neuron gets all right, and the multiples that show it, as hexadecimal digits."""

    points: list[int]
    multipliers: list[str]


class Tree(NamedTuple):
    """One tree, for one output function."""

    implicants: list[list[int]]
    ranks: list[Rank]
    proofs: list[Proof]
    nodes: NDArray[np.int64]


class Rank(NamedTuple):
    """What no network loses less than on some of the points, in units, and the tree or the lemmas that show it."""

    points: list[int]
    bound: int
    proofs: list[Proof]
    nodes: NDArray[np.int64]
    lemmas: Lemmas | None = None


@dataclass(frozen=True, slots=True)
class Certificate:
    """Contents of a file whose sizes and types are right; whether they prove anything is another question."""

    sha256: str
    n_rows: int
    n_features: int
    n_points: int
    classes: tuple[Label, Label]
    hidden_layer_sizes: tuple[int, ...]
    head: str
    layers: list[tuple[list[list[float]], list[float]]]
    loss: Fraction
    bound: Fraction
    scale: int
    cuts: list[Cut]
    trees: list[Tree]
    table: TablePart | None = None
    class_weight: ClassWeight | None = None


def read_certificate(source: FilePath | Mapping[str, Any] | Certificate) -> Certificate:
    """Read a certificate and check its form.

    Parameters
    ----------
    source : path-like, mapping or Certificate
        A JSON file, compressed if its name ends in ``.gz``, or its contents; a `Certificate` is returned unchanged.

    Returns
    -------
    Certificate
        Its contents.

    Raises
    ------
    CertificateFileError
        If it is not JSON, too large, or of another format or version.
    CertificateError
        If a part is missing, unexpected or of the wrong kind.
    OSError
        If the file cannot be read.
    """
    if isinstance(source, Certificate):
        return source
    if isinstance(source, Mapping):
        return _certificate(dict(source))
    name = os.fspath(source)
    try:
        with gzip.open(name, "rb") if name.endswith(".gz") else open(name, "rb") as file:
            raw = file.read(_MAX_BYTES + 1)
        if len(raw) > _MAX_BYTES:
            raise CertificateFileError(f"file: larger than {_MAX_BYTES // 2**20} MiB")
        text = raw.decode("utf-8")
        del raw
        document = _Reader(text).document()
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise CertificateFileError(f"file: not a sound gzip file ({error})") from None
    except RecursionError:
        raise CertificateFileError("file: nested too deeply") from None
    except CertificateError:
        raise
    except ValueError as error:
        raise CertificateFileError(f"file: not valid JSON ({error})") from None
    return _certificate(document)


def save_certificate(certificate: Mapping[str, Any], path: FilePath | IO[bytes]) -> None:
    """Write a certificate file; an existing one is replaced only when the new one is complete.

    Parameters
    ----------
    certificate : mapping
        The contents of `bdnn.Result.certificate`.
    path : path-like or binary file
        Where to write, usually ``.json``; the file is compressed if the name ends in ``.gz``.

    Raises
    ------
    CertificateError
        If it is not of the form of a certificate. What it proves is not checked, see `bdnn.verify_certificate`.
    InputError
        If the file would be too large to be read again.
    OutputError
        (an OSError) If the file cannot be written.
    """
    content = dict(certificate)
    _certificate(content)
    raw = (json.dumps(content, allow_nan=False, separators=(",", ":")) + "\n").encode("ascii")
    if len(raw) > _MAX_BYTES:
        raise InputError(f"the certificate cannot be saved: its file would be larger than {_MAX_BYTES // 2**20} MiB")
    if isinstance(path, str | os.PathLike) and os.fspath(path).endswith(".gz"):
        raw = gzip.compress(raw, 6, mtime=0)
    write(path, raw)


class _Reader:
    """A reader of JSON that converts proofs and nodes one by one; the rest is left to the standard library."""

    def __init__(self, text: str):
        limit = sys.get_int_max_str_digits()
        # the interpreter's own limit makes long integers an error; without it, reading them takes quadratic time
        bounded = None if 0 < limit <= 10_000 else _short_integer
        self.text, self.at = text, 0
        self.decoder = json.JSONDecoder(
            parse_constant=_no_constant, parse_int=bounded, object_pairs_hook=_different_names
        )

    def document(self) -> dict[str, Any]:
        result = self.object({"trees": self.trees})
        if self.peek():
            raise ValueError(f"something follows the end, at character {self.at}")
        return result

    def trees(self) -> list[Any]:
        return self.array(lambda t: self.object({"ranks": lambda: self.ranks(t), **self.parts(f"tree {t}")}))

    def ranks(self, t: int) -> list[Any]:
        return self.array(lambda q: self.object(self.parts(f"rank {q} of tree {t}")))

    def parts(self, place: str) -> dict[str, Callable[[], Any]]:
        return {"proofs": lambda: self.proofs(place), "nodes": lambda: self.nodes(place)}

    def proofs(self, place: str) -> list[Any]:
        return self.array(lambda k: read_proof(self.value(), k, place))

    def nodes(self, place: str) -> Nodes:
        flat = array("q")
        self.array(lambda k: flat.extend(read_node(self.value(), k, place)))
        return Nodes.of(flat)

    def peek(self) -> str:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.text[self.at : self.at + 1]

    def take(self, accepted: str) -> str:
        found = self.peek()
        if not found or found not in accepted:
            raise ValueError(f"expected one of {' '.join(accepted)} at character {self.at}")
        self.at += 1
        return found

    def value(self) -> Any:
        self.peek()
        result, self.at = self.decoder.raw_decode(self.text, self.at)
        return result

    def object(self, special: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
        self.take("{")
        pairs: list[tuple[str, Any]] = []
        if self.peek() == "}":
            self.at += 1
            return {}
        while True:
            if self.peek() != '"':
                raise ValueError(f"expected a name at character {self.at}")
            name = self.value()
            self.take(":")
            pairs.append((name, special.get(name, self.value)()))
            if self.take(",}") == "}":
                return _different_names(pairs)

    def array(self, item: Callable[[int], Any]) -> list[Any]:
        self.take("[")
        items: list[Any] = []
        if self.peek() == "]":
            self.at += 1
            return items
        while True:
            items.append(item(len(items)))
            if self.take(",]") == "]":
                return items


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _short_integer(digits: str) -> int:
    if len(digits) > 4300:
        raise ValueError("an integer has too many digits")
    return int(digits)


def _different_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("an object names something twice")
    return result


def _certificate(document: dict[str, Any]) -> Certificate:
    kind, version = document.get("format"), document.get("version")
    if kind != FORMAT:
        raise CertificateFileError(f"format: must be {FORMAT!r}, got {shown(kind)}")
    if type(version) is not int or not 1 <= version <= VERSION:
        raise CertificateFileError(f"version: this reader knows versions 1 to {VERSION}, got {shown(version)}")
    names = "format version data architecture network loss bound scale cuts trees"
    exactly("certificate", document, names + ("", " table", " table class_weight")[min(version, 3) - 1])
    stated = document.get("table")
    data = exactly("data", document["data"], "sha256 n_rows n_features n_points classes")
    if not isinstance(data["sha256"], str):
        raise fail("data: sha256", f"must be a string, got {shown(data['sha256'])}")
    sizes, head = _architecture(document["architecture"])
    n_features = integer("data: n_features", data["n_features"], 1, LARGEST_INDEX)
    scale = integer("scale", document["scale"], 1)
    if scale & (scale - 1):
        raise fail("scale", f"must be a power of two, got {shown(scale)}")
    trees, weights = items("trees", document["trees"]), document.get("class_weight")
    n_rows = integer("data: n_rows", data["n_rows"], 1)
    return Certificate(
        sha256=data["sha256"],
        n_rows=n_rows,
        n_features=n_features,
        n_points=integer("data: n_points", data["n_points"], 0),
        classes=_classes(data["classes"]),
        hidden_layer_sizes=sizes,
        head=head,
        layers=_layers(document["network"], (n_features, *sizes, 2 if head == "argmax" else 1)),
        loss=rational("loss", document["loss"]),
        bound=rational("bound", document["bound"]),
        scale=scale,
        cuts=[_cut(cut, c) for c, cut in enumerate(items("cuts", document["cuts"]))],
        trees=[_tree(tree, t, version) for t, tree in enumerate(trees)],
        table=None
        if version == 1 or (version >= 3 and stated is None)
        else read_table_part(stated, n_features, n_rows),
        class_weight=None if version < 3 or weights is None else read_class_weight(weights),
    )


def _classes(value: object) -> tuple[Label, Label]:
    first, second = items("data: classes", value, 2)
    for label in (first, second):
        if not isinstance(label, bool | int | float | str) or (isinstance(label, float) and not math.isfinite(label)):
            raise fail("data: classes", f"must be numbers or strings, got {shown(label)}")
        if isinstance(label, int) and label.bit_length() > MAX_BITS:
            raise fail("data: classes", f"must be shorter than {shown(label)}")
    if first == second:
        raise fail("data: classes", "must be two different labels")
    return first, second


def _architecture(value: object) -> tuple[tuple[int, ...], str]:
    place = "architecture"
    parts = exactly(place, value, "hidden_layer_sizes head weights fit_intercept")
    sizes = items(f"{place}: hidden_layer_sizes", parts["hidden_layer_sizes"])
    if len(sizes) > 1:
        raise fail(f"{place}: hidden_layer_sizes", f"at most one hidden layer can be certified, got {len(sizes)}")
    for name, accepted in (("head", ("threshold", "argmax")), ("weights", ("continuous",))):
        if parts[name] not in accepted:
            names = " or ".join(map(repr, accepted))
            raise fail(f"{place}: {name}", f"only {names} can be certified, got {shown(parts[name])}")
    if parts["fit_intercept"] is not True:
        raise fail(
            f"{place}: fit_intercept",
            f"only networks with biases (true) can be certified, got {shown(parts['fit_intercept'])}",
        )
    widths = tuple(integer(f"{place}: hidden_layer_sizes", size, 1, MAX_HIDDEN + 1) for size in sizes)
    return widths, parts["head"]


def _layers(value: object, widths: tuple[int, ...]) -> list[tuple[list[list[float]], list[float]]]:
    layers = items("network: layers", exactly("network", value, "layers")["layers"], len(widths) - 1)
    result = []
    for k, layer in enumerate(layers):
        place = f"network: layer {k}"
        parts = exactly(place, layer, "weights biases")
        rows = items(f"{place}: weights", parts["weights"], widths[k + 1])
        weights = [_numbers(f"{place}: weights of neuron {j}", row, widths[k]) for j, row in enumerate(rows)]
        result.append((weights, _numbers(f"{place}: biases", parts["biases"], widths[k + 1])))
    return result


def _numbers(place: str, value: object, length: int) -> list[float]:
    numbers = items(place, value, length)
    for number in numbers:
        if type(number) is float and math.isfinite(number):
            continue
        if type(number) is not int or abs(number) > 2**53:
            raise fail(place, f"must be finite doubles, got {shown(number)}")
    return numbers


def _cut(value: object, c: int) -> Cut:
    place = f"cut {c}"
    parts = exactly(place, value, "points multipliers")
    points = items(f"{place}: points", parts["points"])
    for point in points:
        integer(f"{place}: points", point, 0, LARGEST_INDEX)
    multipliers = items(f"{place}: multipliers", parts["multipliers"], len(points))
    for digits in multipliers:
        if not isinstance(digits, str) or not _HEX.fullmatch(digits):
            raise fail(
                f"{place}: multipliers",
                f"must be strings of at most {_MAX_HEX_DIGITS} hexadecimal digits, got {shown(digits)}",
            )
    return Cut(points, multipliers)


def _tree(value: object, t: int, version: int) -> Tree:
    place = f"tree {t}"
    with_ranks = version >= 4
    parts = exactly(place, value, "implicants proofs nodes" + (" ranks" if with_ranks else ""))
    implicants = items(f"{place}: implicants", parts["implicants"])
    for implicant in implicants:
        for neuron in items(f"{place}: implicants", implicant):
            integer(f"{place}: implicants", neuron, 0, MAX_HIDDEN)
    ranks = items(f"{place}: ranks", parts["ranks"]) if with_ranks else []
    return Tree(
        implicants,
        [_rank(rank, f"rank {q} of {place}", version) for q, rank in enumerate(ranks)],
        *_proofs_and_nodes(parts, place),
    )


def _rank(value: object, place: str, version: int) -> Rank:
    lemmas = read_lemmas(value, place) if version >= 5 and isinstance(value, dict) and "lemmas" in value else None
    parts = exactly(place, value, "points bound proofs nodes" if lemmas is None else NAMES)
    points = items(f"{place}: points", parts["points"])
    for point in points:
        integer(f"{place}: points", point, 0, LARGEST_INDEX)
    bound = integer(f"{place}: bound", parts["bound"], 1, _LARGEST_BOUND)
    if lemmas is not None:
        return Rank(points, bound, [], np.zeros((0, 3), dtype=np.int64), lemmas)
    return Rank(points, bound, *_proofs_and_nodes(parts, place))


def _proofs_and_nodes(parts: dict[str, Any], place: str) -> tuple[list[Proof], NDArray[np.int64]]:
    proofs, nodes = parts["proofs"], parts["nodes"]
    if not isinstance(nodes, Nodes):
        # these contents did not come from a file
        proofs = [read_proof(proof, k, place) for k, proof in enumerate(items(f"{place}: proofs", proofs))]
        flat = chain.from_iterable(read_node(node, k, place) for k, node in enumerate(items(f"{place}: nodes", nodes)))
        nodes = Nodes.of(array("q", flat))
    return proofs, nodes.table
