"""The command line and pictures: ``bdnn plot``."""

import sys

import numpy as np
import pytest

from bdnn import Network
from bdnn.model_file import Model, TableInfo, save_model
from bdnn.plotting.files import picture
from sample_models import result

STARTS = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
LAYERS = [([[0.0, 1.0, 0.5], [1.0, 0.0, 0.0]], [-4.0, -3.0]), ([[1.0, -1.0]], [-0.5])]


@pytest.fixture
def table(tmp_path):
    rows = np.random.default_rng(0).integers(0, 6, size=(30, 3))
    path = tmp_path / "t.csv"
    lines = [f"{a},{b},{c},{'yes' if b > a else 'no'}" for a, b, c in rows.tolist()]
    path.write_text("\n".join(["a,b,c,label", *lines, "?,1,1,no"]) + "\n")
    return path


@pytest.fixture
def model(tmp_path):
    net = Network(LAYERS, head="threshold", classes=["no", "yes"], feature_names=["a", "b", "c"])
    path = tmp_path / "model.json"
    save_model(path, Model(net, None, result(net), TableInfo("label", "median", (2.0, 2.0, 2.0))))
    return path


KINDS = ["history", "regions", "network", "weights", "certified"]


@pytest.mark.parametrize(
    ("kind", "suffix"), [*((kind, "svg") for kind in KINDS), ("network", "png"), ("regions", "PDF")]
)
def test_every_kind_of_picture_and_every_format(run, model, table, tmp_path, kind, suffix):
    out = tmp_path / f"p.{suffix}"
    words = ("plot", kind, model, table, "--out", out, "--rows", 5, "--quiet")
    assert run(*words) == (0, f"wrote the picture to {out}\n", "")
    assert out.read_bytes().startswith(STARTS[suffix.lower()]) and out.stat().st_size > 3000
    first = out.read_bytes()
    run(*words)
    assert out.read_bytes() == first


@pytest.mark.parametrize("kind", ["history", "network", "weights"])
def test_pictures_of_the_model_alone_need_no_table(run, model, tmp_path, kind):
    assert run("plot", kind, model, "--out", tmp_path / "p.svg")[0] == 0


def test_the_certified_rows_are_drawn_from_the_seed(run, model, table, tmp_path):
    pictures = []
    for seed in (0, 0, 1):
        words = ("--rows", 11, "--seed", seed, "--quiet", "--norm", "1")
        run("plot", "certified", model, table, "--out", tmp_path / "p.svg", *words)
        pictures.append((tmp_path / "p.svg").read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]


def test_axes_of_the_regions_can_be_named(run, model, table, tmp_path):
    words = ("plot", "regions", model, table, "--out", tmp_path / "p.svg")
    assert run(*words)[0] == 0
    weightiest = (tmp_path / "p.svg").read_bytes()
    assert run(*words, "--feature", "a", "--feature", "b")[0] == 0
    named = (tmp_path / "p.svg").read_bytes()
    assert run(*words, "--feature", "c", "--feature", "b")[0] == 0
    assert named != (tmp_path / "p.svg").read_bytes()
    assert weightiest != (tmp_path / "p.svg").read_bytes()


BAD = {
    "format": (("history", "MODEL", "--out", "p.gif"), "--out must end in .png, .svg, .pdf, got"),
    "no format": (("history", "MODEL", "--out", "picture"), "--out must end in"),
    "kind": (("pie", "MODEL", "--out", "p.png"), "'pie' is not one of"),
    "no table": (("regions", "MODEL", "--out", "p.png"), "'regions' needs a CSV table"),
    "no table either": (("certified", "MODEL", "--out", "p.png"), "'certified' needs a CSV table"),
    "feature": (("regions", "MODEL", "DATA", "--feature", "a", "--feature", "z", "--out", "p.png"), "no feature 'z'"),
    "one feature": (("regions", "MODEL", "DATA", "--feature", "a", "--out", "p.png"), "give --feature twice"),
    "target": (("regions", "MODEL", "DATA", "--target", "z", "--out", "p.png"), "no column 'z'"),
    "norm": (("certified", "MODEL", "DATA", "--norm", "3", "--out", "p.png"), "norm"),
    "rows": (("certified", "MODEL", "DATA", "--rows", "0", "--out", "p.png"), "--rows"),
    "no out": (("history", "MODEL"), "--out"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_code_2(run, model, table, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    words, message = BAD[case]
    places = {"MODEL": model, "DATA": table}
    code, out, err = run("plot", *(places.get(word, word) for word in words))
    assert (code, out) == (2, "") and message in err and len(err.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "t.csv"]


def test_a_model_without_result_has_no_history(run, tmp_path):
    net = Network([([[1.0]], [0.0])], head="threshold", classes=[0, 1])
    save_model(tmp_path / "m.json", Model(net))
    code, _, err = run("plot", "history", tmp_path / "m.json", "--out", tmp_path / "p.png")
    assert code == 2 and "does not hold the result of a training" in err
    (tmp_path / "t.csv").write_text("x0,y\n1,1\n")
    code, _, err = run("plot", "regions", tmp_path / "m.json", tmp_path / "t.csv", "--target", "y",
                       "--out", tmp_path / "p.png")  # fmt: skip
    assert code == 2 and "two features" in err


def test_without_matplotlib_exit_code_2(run, model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = run("plot", "network", model, "--out", tmp_path / "p.png")
    assert code == 2 and "pip install 'bdnn[plot]'" in err


def test_pictures_leave_pyplot_alone(model):
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    with pytest.raises(ValueError, match="got 'gif'"):
        picture(lambda figure: None, "gif")
    assert picture(lambda figure: figure.subplots().plot([0, 1]), "png").startswith(STARTS["png"])
    assert pyplot.get_fignums() == before
