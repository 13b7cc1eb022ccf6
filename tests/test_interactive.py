"""Interactive pages: their script decides as `predict` does, names from data stay text, and nothing is loaded.

The script is run by Node here, and in a browser by test_interactive_browser.py.
"""

import base64
import hashlib
import itertools
import json
import re
import shutil
import subprocess
from fractions import Fraction
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import bdnn
from bdnn import BDNNClassifier, BDNNEnsembleClassifier, Network
from bdnn.certification.columns import certify_table
from bdnn.encoding.codes import ColumnCode, date_parts
from bdnn.encoding.encoder import Encoder
from bdnn.encoding.raw import RawColumn, RawTable
from bdnn.errors import InputError
from bdnn.model_file.contents import EnsembleMember, Model
from bdnn.network.grid import InputGrid
from bdnn.reports.interactive.payload import cells_of_rows, model_plain, ruler
from export_cases import random_case

SCRIPTS = Path(str(files("bdnn.reports.interactive")))
NODE = shutil.which("node") or shutil.which("nodejs")
needs_node = pytest.mark.skipif(NODE is None, reason="Node is not installed (package nodejs of Debian)")


def in_node(code, given):
    """Run JavaScript with the scripts that need no page; it is given `given` and returns a value."""
    scripts = "".join((SCRIPTS / name).read_text(encoding="utf-8") for name in ("decide.js", "radius.js"))
    program = f"{scripts}\nconst given = JSON.parse(require('fs').readFileSync(0, 'utf8'));\n{code}"
    done = subprocess.run(
        [NODE, "-e", f"(() => {{ {program} }})()"], input=json.dumps(given), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def decided(cases):
    """Return what the script decides of (model, table), and whether it is sure."""
    given = []
    for model, table in cases:
        rows = model.encoder_in_use.matched(table)
        plain = model_plain(model, model.encoder_in_use, rows)
        given.append({"model": plain, "rows": cells_of_rows(rows, np.arange(len(rows)))})
    found = in_node(
        "const answers = given.map(({ model, rows }) => rows.map((row) => { const d = decide(model, row);"
        " return [d.code, d.sure]; })); console.log(JSON.stringify(answers));",
        given,
    )
    return [np.array(each, dtype=int).reshape(-1, 2).T for each in found]


@needs_node
@pytest.mark.filterwarnings("ignore:levels that were not seen")
def test_random_models_of_integers_are_decided_alike():
    cases = [random_case(seed, alike=seed % 7 == 0, dates=seed % 3 == 0) for seed in range(60)]
    for case, (codes, sure) in zip(cases, decided([(case.model, case.table) for case in cases]), strict=True):
        assert np.array_equal(codes, case.answers)
        assert sure.all()


def numbers(X):
    return RawTable(tuple(RawColumn(f"x{j}", "numeric", column) for j, column in enumerate(np.asarray(X, float).T)))


def tied(rng, head, classes, widths):
    """Return a network of continuous weights, and points at which pre-activations of its first layer nearly vanish."""
    outputs = 1 if classes == 2 and head == "threshold" else classes
    sizes = [3, *widths, outputs]

    def tenths(*shape):
        return rng.integers(-9, 10, shape) / 10

    layers = [(tenths(above, below), tenths(above)) for below, above in itertools.pairwise(sizes)]
    X = tenths(200, 3)
    W, b = layers[0]
    for i in range(100):  # the last number makes a sum 0, but for roundings
        k = int(rng.integers(len(b)))
        if W[k, 2]:
            X[i, 2] = -(W[k, 0] * X[i, 0] + W[k, 1] * X[i, 1] + b[k]) / W[k, 2]
    X[100:150, 0] *= 1e-200
    X[150:160] *= 1e300
    return Network(layers, head, list(range(classes)), None, ("x0", "x1", "x2")), X


@needs_node
def test_networks_of_continuous_weights_are_decided_exactly():
    rng, cases = np.random.default_rng(1), []
    for head in ("threshold", "argmax"):
        for classes in (2, 3, 4):
            cases += [tied(rng, head, classes, widths) for widths in ((), (4,), (3, 5))]
    grid = InputGrid(np.array([-0.7, 0.1, 0.0]), np.array([0.1, 0.3, 1e-300]), 4)
    net, X = tied(rng, "argmax", 3, (4,))
    cases.append((Network(net.layers, "argmax", [0, 1, 2], grid, net.feature_names), X))
    rational = 0
    for (net, X), (codes, sure) in zip(cases, decided([(Model(net), numbers(X)) for net, X in cases]), strict=True):
        assert np.array_equal(codes, net.predict_index(X)) and sure.all()
        rational += net.losses(X, codes)[1]
    assert rational > 300  # the points are such that doubles alone would not do


@needs_node
@pytest.mark.parametrize("voting", ["sum", "majority"])
def test_ensembles_of_continuous_weights_say_where_rounding_decides(voting):
    rng = np.random.default_rng(2)
    members = []
    for pair in ([0, 1], [0, 2], [1, 2], [0, 1, 2]):
        net, X = tied(rng, "argmax", len(pair), (3,))
        members.append(EnsembleMember(Network(net.layers, net.head, pair), np.arange(3)))
    ensemble = BDNNEnsembleClassifier(BDNNClassifier(), voting=voting)
    ensemble.classes_, ensemble.members_ = np.arange(3), tuple(members)
    ensemble.encoder_, ensemble.calibration_, ensemble.n_features_in_ = Encoder.identity(None, 3, None), None, 3
    ((codes, sure),) = decided([(ensemble._contents(), numbers(X))])
    assert np.array_equal(codes[sure == 1], ensemble.predict(X)[sure == 1])
    assert 0.5 < sure.mean()
    # twice the same network with opposite signs: only rounding could break the tie of all classes
    (W, b), top = members[3].network.layers[0], members[3].network.layers[1]
    opposite = Network([(W, b), (-top.weights, -top.bias)], "argmax", [0, 1, 2])
    ensemble.members_ = (members[3], EnsembleMember(opposite, np.arange(3)))
    ensemble.voting = "sum"
    ((_, sure),) = decided([(ensemble._contents(), numbers(X))])
    assert not sure.all()


@needs_node
def test_thresholds_and_gaps_are_those_of_the_encoder():
    at = (0.1 + 0.2, 0.3, 5e-324, 1e308)
    code = ColumnCode("a", "numeric", 0.3, thresholds=tuple(sorted(at)), missing_bit=True)
    level = ColumnCode("b", "categorical", "y", ("x", "y"), ("r", "s"), missing_bit=True)
    encoder = Encoder((code, level, ColumnCode("c", "boolean", 1.0)))
    values = np.array([*at, 0.0, -0.0, np.nextafter(0.3, 0), np.nan, 2.5, 0.3])
    text = np.array([0, 1, 2, 3, 4, -1, 0, 1, 2, 3], dtype=np.int32)
    flags = np.array([0, 1, np.nan, 0, 1, 0, 1, np.nan, 0, 1], dtype=float)
    table = RawTable(
        (
            RawColumn("a", "numeric", values),
            RawColumn("b", "categorical", text, ("x", "y", "r", "s", "new")),
            RawColumn("c", "boolean", flags),
        )
    )
    inputs = encoder.transform(table)
    weights = 2.0 ** np.arange(inputs.shape[1])
    # each row is right at the threshold of a network of its own, which fires exactly if no bit is lost
    models = [
        Model(Network([([weights], [-float(row @ weights)])], "threshold", [0, 1]), encoder=encoder) for row in inputs
    ]
    for model, (codes, _) in zip(models, decided([(model, table) for model in models]), strict=True):
        assert np.array_equal(codes, model.network.predict_index(inputs))


@needs_node
def test_parts_of_dates():
    rng = np.random.default_rng(0)
    seconds = np.concatenate([rng.integers(-(10**11), 10**11, 300), [0, -1, 951_782_400, 951_868_799]])
    dates = seconds.astype("datetime64[s]").astype("datetime64[us]")
    texts = [str(np.datetime_as_string(each, unit="s")) for each in dates]
    found = in_node("console.log(JSON.stringify(given.map(datePartsOf)));", texts)
    assert np.array_equal(found, date_parts(dates))


@needs_node
@pytest.mark.parametrize("norm", ["inf", "1", "2"])
def test_radii_of_weighted_sums_are_those_of_certify_or_a_little_less(norm):
    rng = np.random.default_rng(3)
    for classes, head in ((2, "threshold"), (2, "argmax"), (4, "argmax")):
        outputs = 1 if head == "threshold" else classes
        net = Network([(rng.normal(size=(outputs, 3)), rng.normal(size=outputs))], head, list(range(classes)))
        X, scale = rng.normal(size=(8, 3)) * 3, np.array([1.0, 0.5, 20.0])
        found = bdnn.certify(net, X, norm=norm, scale=scale)
        table = numbers(X)
        plain = model_plain(Model(net), Model(net).encoder_in_use, table)
        plain["live"] = {"norm": norm, "scale": scale.tolist()}
        given = {"model": plain, "rows": X.tolist(), "attacks": found.attack.tolist()}
        code = (
            "const { model, rows, attacks } = given;"
            "const radii = [linearRadius, boxRadius].map((radius) => rows.map((row) => radius(model, row)));"
            "console.log(JSON.stringify([...radii, rows.map((row, i) => distance(model, attacks[i], row))]));"
        )
        radii, boxes, distances = map(np.array, in_node(code, given))
        assert np.all(radii <= found.distance) and np.allclose(radii, found.distance, rtol=1e-6)
        assert norm != "inf" or (np.all(boxes <= found.distance) and np.allclose(boxes, found.distance, rtol=1e-6))
        # distances are rounded up
        exact = np.abs((found.attack - X) / scale)
        order = {"inf": np.inf, "1": 1, "2": 2}[norm]
        assert np.all(distances >= np.linalg.norm(exact, order, axis=1) * (1 - 1e-15))
        assert np.allclose(distances, found.distance, rtol=1e-6)


@needs_node
@pytest.mark.filterwarnings("ignore:levels that were not seen")
def test_radii_behind_thresholds_grids_and_neurons_are_proven_and_without_neurons_those_of_certify():
    given, founds = [], []
    for seed in (10, 15, 19, 57, 58, 60, 65, 73, 85, 7, 12, 33, 51, 59, 61, 83):  # the last seven have hidden layers
        case = random_case(seed)
        encoder = case.model.encoder_in_use
        table = encoder.matched(case.table)
        few = table.take(np.arange(5))
        founds.append((certify_table(case.model.network, encoder, few), case.model.network))
        plain = model_plain(case.model, encoder, table) | {
            "live": {"norm": "inf", "scale": [1.0] * len(encoder.columns)}
        }
        given.append({"model": plain, "rows": cells_of_rows(few, np.arange(5))})
    code = (
        "console.log(JSON.stringify(given.map(({ model, rows }) => rows.map((row) => String(boxRadius(model, row))))));"
    )
    positive = 0
    for texts, (found, network) in zip(in_node(code, given), founds, strict=True):
        radii = np.array([float(text.replace("Infinity", "inf")) for text in texts])
        assert np.all(radii <= found.distance) and not found.undecided.any()
        assert len(network.layers) > 1 or np.all(radii >= found.radius * (1 - 1e-9))
        positive += int(np.sum(np.isfinite(radii) & (radii > 0) & (len(network.layers) > 1)))
    assert positive >= 10


def test_sliders_step_through_the_values_of_a_column():
    rng = np.random.default_rng(0)
    columns = (rng.integers(-50, 99, 80), rng.integers(0, 999, 80) / 100, rng.normal(size=80) * 1e-9, [1e18, 3e18])
    for values in columns:
        found = ruler(np.asarray(values, dtype=float))
        unit = Fraction(10) ** found["exponent"]
        on_scale = found["exponent"] in (0, -2)
        for end, value, out in (("low", min(values), -1), ("high", max(values), 1)):
            assert not on_scale or float(f"{found[end]}e{found['exponent']}") == value
            assert on_scale or 0 <= out * (found[end] * unit - Fraction(float(value))) < unit
        steps = found["high"] - found["low"]
        assert 0 < steps <= 2001 or on_scale
    assert ruler(np.array([0.5, 1.25])) == {"low": 50, "high": 125, "exponent": -2}
    assert ruler(np.array([0.3, 0.7, 89.4])) == {"low": 3, "high": 894, "exponent": -1}
    assert ruler(np.array([])) == {"low": 0, "high": 1, "exponent": 0}
    assert ruler(np.array([7.0])) == {"low": 7, "high": 7, "exponent": 0}


# ---- the page

NAMES = [
    "</script><script>alert(1)</script>", 'x" autofocus onfocus="alert(1)', "{{ 7 * 7 }}", "<!--", "\u2028&lt;b&gt;",
]  # fmt: skip
LABELS = ["<img src=http://evil.example/x>", "]]></svg>", "'quoted'"]


def hostile():
    rng = np.random.default_rng(0)
    layers = [(rng.normal(size=(4, 5)), np.zeros(4)), (rng.normal(size=(3, 4)), np.zeros(3))]
    net = Network(layers, "argmax", LABELS, feature_names=NAMES)
    X = rng.normal(size=(30, 5)).round(2)
    return net, X, rng.choice(LABELS, 30)


def element(page, tag, start=""):
    """Return the contents of the only element of a tag whose attributes are these."""
    found = re.findall(rf"<{tag}{re.escape(start)}>(.*?)</{tag}>", page, flags=re.DOTALL)
    assert len(found) == 1
    return found[0]


def test_names_from_data_stay_text_and_only_our_script_may_run():
    net, X, y = hostile()
    page = bdnn.interactive_report(net, X, y, title="<h6>", devices=(), time_limit=5.0)
    data = json.loads(element(page, "script", ' id="data" type="application/json"'))
    assert [column["name"] for column in data["columns"]] == NAMES and data["classes"] == LABELS
    assert page.count("<script") == 2 and "<img" not in page and "<h6>" not in page and "<!--" not in page
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy and "http" not in policy
    for kind, text in (("script", element(page, "script")), ("style", element(page, "style"))):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
    tags = re.findall(r"<[a-z][^>]*>", page)
    assert not [tag for tag in tags if re.search(r"\s(?:src|href|srcset|action|poster|style|on\w+)=", tag)]
    assert "url(" not in page and "@import" not in page
    assert "innerHTML" not in page and "eval(" not in page


def test_figures_are_those_of_predict_and_certify():
    net, X, y = hostile()
    page = bdnn.interactive_report(net, X, y, training_rows=range(10), points=12, random_state=3, devices=())
    data = json.loads(element(page, "script", ' id="data" type="application/json"'))
    rows = np.array(data["numbers"])
    assert len(rows) == 12 and rows.min() >= 10 and np.all(np.diff(rows) > 0)
    assert np.array_equal(data["rows"], X[rows]) and data["labels"] == y[rows].tolist()
    assert data["codes"] == net.predict_index(X[rows]).tolist()
    found = bdnn.certify(net, X[rows])
    assert [each["radius"] for each in data["certified"]] == found.radius.tolist()
    assert [each["attack"] for each in data["certified"]] == found.attack.tolist()
    attacked = [each["code"] for each in data["certified"]]
    assert attacked == net.predict_index(found.attack).tolist()
    assert all(a != b for a, b in zip(attacked, data["codes"], strict=True))
    accuracy = np.mean(net.predict(X[10:]) == y[10:])
    assert f"{accuracy:.2%} of 20 held-out rows" in page


def test_the_score_card_and_the_threshold_of_its_score():
    net = Network([([[2, -1]], [-3])], "threshold", ["no", "yes"], feature_names=["fever", "cough"])
    page = bdnn.interactive_report(net, [[1, 0], [3, 2]], ["no", "yes"], devices=())
    data = json.loads(element(page, "script", ' id="data" type="application/json"'))
    assert data["card"] and data["threshold"] == 3
    assert "A score of 3 or more means yes, a lower one no." in page


def test_colors_have_contrast():
    """Those of WCAG 2.2, level AA: 4.5 for text, 3 for what is drawn."""

    def luminance(color):
        digits = color[1:] if len(color) == 7 else "".join(2 * c for c in color[1:])
        parts = [int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    css = (SCRIPTS / "page.css").read_text(encoding="utf-8")
    schemes = [dict(re.findall(r"--(\w+): (#\w+);", part)) for part in re.findall(r":root \{(.*?)\}", css, re.DOTALL)]
    assert len(schemes) == 2
    for scheme in schemes:
        for least, names in ((4.5, ("ink", "soft", "accent", "warn")), (3.0, ("plus", "minus", "on", "ring"))):
            for name in names:
                for ground in ("paper", "page"):
                    a, b = sorted((luminance(scheme[name]), luminance(scheme[ground])))
                    assert (b + 0.05) / (a + 0.05) >= least, (name, ground)


def test_what_is_refused():
    net, X, y = hostile()
    for changes, message in (
        ({"model": 3}, "model must be"),
        ({"X": X[:, :2]}, r"X must be numbers of shape \(m, 5\)"),
        ({"X": X[:0], "y": None}, "no rows"),
        ({"y": y[:5]}, "one label per row"),
        ({"y": ["what"] * 30}, "what"),
        ({"points": 0}, "points"),
        ({"points": True}, "points"),
        ({"training_rows": [30]}, "training_rows"),
        ({"row_numbers": [1]}, "row_numbers"),
        ({"attacker": {"radius": 1.0}}, "attacker takes norm, .*; got 'radius'"),
        ({"attacker": {"frozen": ["z"]}}, "frozen"),
    ):
        with pytest.raises(InputError, match=message):
            bdnn.interactive_report(**({"model": net, "X": X, "y": y, "devices": ()} | changes))


# ---- the command

OLDER = Path(__file__).parent / "older_files"


def test_the_command_writes_pages_of_networks_and_ensembles(run, tmp_path):
    rng = np.random.default_rng(0)
    lines = ["a,b,label", *(f"{a},{b},{'yes' if a > b else 'no'}" for a, b in rng.integers(0, 9, (40, 2)).tolist())]
    table, model, out = tmp_path / "t.csv", tmp_path / "m.json", tmp_path / "page.html"
    table.write_text("\n".join(lines) + "\n")
    assert (
        run("train", table, "--target", "label", "--hidden", "none", "--time-limit", "1", "--out", model, "-q")[0] == 0
    )
    words = ("report", model, table, "--interactive", "--out", out, "-q")
    assert run(*words, "--rows", 5) == (0, f"wrote the interactive page to {out}\n", "")
    data = json.loads(element(out.read_text(encoding="utf-8"), "script", ' id="data" type="application/json"'))
    assert len(data["rows"]) == 5 and data["certified"] is not None and data["labels"][0] in ("yes", "no")
    for wrong in (("--radius", "1"), ("--certificate", model), ("--rows", "0")):
        code, text, err = run(*words, *wrong)
        assert (code, text) == (2, "") and "interactive page has no place" in err and err.count("\n") == 1
    ensemble = BDNNEnsembleClassifier(
        BDNNClassifier((), weights="integer"), n_estimators=2, time_limit=0.2, random_state=0
    )
    X = np.array([[float(cell) for cell in line.split(",")[:2]] for line in lines[1:]])
    ensemble.fit(X, [line.split(",")[2] for line in lines[1:]]).save(tmp_path / "e.json")
    table.write_text("\n".join(line.rsplit(",", 1)[0] for line in lines) + "\n")
    assert run("report", tmp_path / "e.json", table, "--interactive", "--out", out, "-q")[0] == 0
    page = out.read_text(encoding="utf-8")
    data = json.loads(element(page, "script", ' id="data" type="application/json"'))
    assert len(data["members"]) == 2 and data["certified"] is None and "ensemble" in page


def test_columns_that_a_model_leaves_out_are_read_without_levels(run, tmp_path):
    """Within a few bytes not every column of text is of use."""
    unread = RawColumn("shift", "categorical", np.array([-1, -1], dtype=np.int32))
    numbers = RawColumn("a", "numeric", np.array([1.5, np.nan]))
    assert cells_of_rows(RawTable((numbers, unread)), np.arange(2)) == [[1.5, None], [None, None]]
    rng = np.random.default_rng(0)
    rows = [
        f"{x:.2f},{word},{'yes' if x > 0 else 'no'}" for x, word in zip(rng.normal(size=60), "ab" * 30, strict=True)
    ]
    data, model, page = (tmp_path / name for name in ("t.csv", "m.json", "page.html"))
    data.write_text("\n".join(["x,shift,y", *rows]) + "\n")
    code, out, _ = run("train", data, "--target", "y", "--max-bytes", 16, "--time-limit", 3, "--quiet", "--out", model)
    assert code == 0 and "left out" in run("inspect", model)[1] + out
    code, _, err = run("report", model, data, "--interactive", "--out", page)
    assert code == 0 and page.exists(), err
