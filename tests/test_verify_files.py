"""Files of certificates: how they are read and saved, and what they cannot be about."""

import gzip
import json
import math

import numpy as np
import pytest

import bdnn
from bdnn.checker import check as verify
from bdnn.checker import file as verify_file
from bdnn.errors import CertificateError, CertificateFileError, InputError
from certificates import Data, made
from certified import CASES, NOTHING, changed, check, documents, refused


@pytest.fixture(scope="module")
def certificates():
    return documents()


def test_deep_trees_and_deep_files(tmp_path):
    p = 3000
    X, y = [[float(i)] for i in range(p)], [0] * (p // 2) + [1] * (p // 2)
    data = Data(X, y, [1] * p, [0, 1])
    document = made([[0.0], [1.0]], [0, 1])
    document["data"] |= {"sha256": data.sha256, "n_rows": p, "n_points": p}
    document["network"]["layers"] = [{"weights": [[1.0]], "biases": [-p / 2]}]
    document["cuts"] = []
    document["trees"][0]["proofs"] = [NOTHING]
    document["trees"][0]["nodes"] = [n for i in range(p) for n in ([i, 2 * i + 1, 2 * i + 2], 0)] + [0]
    assert check(document, X, y).n_leaves == p + 1
    for text in ("[" * 10**5, '{"trees":[{"nodes":[' + "[" * 10**5, '{"a":' * 10**5):
        path = tmp_path / "deep.json"
        path.write_text(text)
        with pytest.raises(CertificateFileError, match="file: "):
            verify.verify_certificate(path, X, y)


def test_files(tmp_path, certificates, monkeypatch):
    X, y, weight, _ = CASES["plane, two hidden"]
    document = certificates["plane, two hidden"]
    text = json.dumps(document, indent=1)
    plain, packed = tmp_path / "c.json", tmp_path / "c.json.gz"
    plain.write_text(text)
    packed.write_bytes(gzip.compress(text.encode()))
    expected = check(document, X, y, weight)
    for path in (plain, str(packed)):
        assert check(path, X, y, weight).statement == expected.statement
    # names in any order
    plain.write_text(json.dumps(dict(reversed(document.items()))))
    assert check(plain, X, y, weight).optimal
    for damaged in (
        text[:-3], text + "x", "", "[]", "NaN", text.replace('"loss"', '"bound"'), text.replace("1.0", "Infinity", 1),
        text.replace("1.0", "-NaN", 1), '{"format": "bdnn-model"}', text.replace('"version": 1', '"version": 6'),
        text.replace('"scale": 1048576', '"scale": ' + "1" * 5000), text.replace('"nodes": [', '"nodes": [,', 1),
        text.replace('"trees": [', '"trees": {', 1), '{"trees": []} {}',
    ):  # fmt: skip
        assert damaged != text
        plain.write_text(damaged)
        with pytest.raises(CertificateFileError):
            check(plain, X, y, weight)
    plain.write_text(text.replace("1.0", "1e999", 1))
    refused(plain, X, y, weight, match="must be finite doubles")
    plain.write_bytes(b"\xff\xfe")
    refused(plain, X, y, weight, match="file: not valid JSON")
    packed.write_bytes(packed.read_bytes()[:-9])
    refused(packed, X, y, weight, match="not a sound gzip file")
    packed.write_bytes(text.encode())
    refused(packed, X, y, weight, match="not a sound gzip file")
    monkeypatch.setattr(verify_file, "_MAX_BYTES", 100)
    for path in (packed, plain):
        path.write_bytes(gzip.compress(b" " * 10**4) if path is packed else b" " * 101)
        refused(path, X, y, weight, match="file: larger than")
    with pytest.raises(OSError):
        check(tmp_path / "none.json", X, y, weight)


def test_saving(tmp_path, certificates, monkeypatch):
    X, y, weight, _ = CASES["plane, two hidden"]
    document = certificates["plane, two hidden"]
    plain, packed = tmp_path / "c.json", tmp_path / "c.json.gz"
    for path in (plain, str(packed)):
        bdnn.save_certificate(document, path)
        assert check(path, X, y, weight).optimal
    assert json.loads(plain.read_text()) == json.loads(gzip.decompress(packed.read_bytes())) == document
    first = packed.read_bytes()
    bdnn.save_certificate(document, packed)
    assert (
        packed.read_bytes() == first and plain.stat().st_mode & 0o777 == (tmp_path / "c.json.gz").stat().st_mode & 0o777
    )
    # what is wrong in form is not written, and what was there stays
    layer = ("network", "layers", 0)
    for path, value in (
        (("more",), 1), (("scale",), 3), ((*layer, "biases", 0), math.nan), ((*layer, "weights", 0, 0), np.float32(1)),
        (("trees", 0, "nodes"), [{}]), (("trees", 0, "proofs", 0), []), (("data", "classes"), [0, math.inf]),
    ):  # fmt: skip
        wrong = document | {"more": 1} if path == ("more",) else changed(document, path, value)
        with pytest.raises(CertificateError):
            bdnn.save_certificate(wrong, packed)
    monkeypatch.setattr(verify_file, "_MAX_BYTES", 100)
    with pytest.raises(InputError, match="larger than"):
        bdnn.save_certificate(document, packed)
    with pytest.raises(OSError):
        monkeypatch.undo()
        bdnn.save_certificate(document, tmp_path / "none" / "c.json")
    monkeypatch.setattr(verify_file.os, "replace", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        bdnn.save_certificate(document | {"bound": "0"}, packed)
    assert packed.read_bytes() == first and sorted(tmp_path.iterdir()) == [plain, packed]


def test_architectures_that_cannot_be_certified(certificates):
    X, y, weight, _ = CASES["two hidden"]
    for name, value, match in (
        ("fit_intercept", False, "only networks with biases"),
        ("hidden_layer_sizes", [2, 2], "at most one hidden layer"),
        ("hidden_layer_sizes", [7], "at least 1 and below 7"),
        ("head", "softmax", "only 'threshold' or 'argmax' can be certified"),
        ("weights", "integer", "only 'continuous' can be certified"),
    ):
        document = changed(certificates["two hidden"], ("architecture", name), value)
        refused(document, X, y, weight, match=f"architecture: {name}.*{match}")
    # a head goes with its number of outputs
    for name, head in (("two hidden", "argmax"), ("argmax, two hidden", "threshold")):
        document = changed(certificates[name], ("architecture", "head"), head)
        refused(document, *CASES[name][:3], match="network: layer 1: weights")
