"""Pictures: what is drawn is what the objects hold, labelled, for any names."""

import dataclasses
import subprocess
import sys
from itertools import pairwise

import matplotlib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris

import sample_models
from bdnn import BDNNClassifier, Certification, Network, plotting
from bdnn.errors import InputError, MissingDependencyError
from bdnn.plotting.style import COLORS, shown
from bdnn.result import BoundStep, Incumbent

matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb

HOSTILE = ["_hidden", "$\\frac{", "a$b$", "<script>", "line\nbreak", "x" * 300, "", "100 %", "\\alpha", "ü—✓"]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def iris():
    data = load_iris(as_frame=True)
    return data.data, data.target_names[data.target]


@pytest.fixture
def flowers(iris):
    """Petals longer than 2.5 cm are not setosa, wide ones (more so on short sepals) virginica."""
    layers = [
        ([[0.0, 0.0, 1.0, 0.0], [0.1, 0.0, 0.0, 1.0]], [-2.5, -2.25]),
        ([[-2.0, -2.0], [1.0, -2.0], [0.0, 2.0]], [1.0, 0.0, -0.5]),
    ]
    return Network(layers, "argmax", sorted(set(iris[1])), feature_names=iris[0].columns)


def drawn_without_warnings(ax, recwarn, tmp_path):
    for kind in ("png", "svg"):
        ax.figure.savefig(tmp_path / f"picture.{kind}")
    assert not [str(w.message) for w in recwarn if "missing from font" not in str(w.message)]


def legend_texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def history_of(**changes):
    values = {
        "history": (Incumbent(1.0, 8.0, "constant"), Incumbent(2.0, 9.0, "worse"), Incumbent(3.0, 4.0, "solver")),
        "bounds": (BoundStep(0.5, 0.0), BoundStep(2.5, 2.0), BoundStep(4.0, 3.0)),
        "objective": 4.0, "bound": 3.0, "timings": {"total": 5.0},
    }  # fmt: skip
    net = sample_models.network()
    result = sample_models.result(net, **(values | changes))
    return dataclasses.replace(result, audit=dataclasses.replace(result.audit, loss=4.0))


def test_history_draws_networks_bounds_and_gaps():
    ax = plotting.plot_history(history_of())
    best, bound = ax.get_lines()
    assert best.get_xydata().tolist() == [[1, 8], [3, 4], [5, 4]]
    assert bound.get_xydata().tolist() == [[0.5, 0], [2.5, 2], [4, 3], [5, 3]]
    (right,) = [other for other in ax.figure.axes if other is not ax]
    (gap,) = right.get_lines()
    assert gap.get_xydata().tolist() == [[1, 1], [2.5, 0.75], [3, 0.5], [4, 0.25], [5, 0.25]]
    assert legend_texts(ax) == ["best network", "bound", "gap (right axis)"]
    assert ax.get_xlabel() == "time (s)" and "sample weight" in ax.get_ylabel() and "gap" in right.get_ylabel()
    assert len({line.get_linestyle() for line in (best, bound, gap)}) == 3
    assert "bound 3" in ax.get_title()


def test_history_without_the_course_of_the_bound_draws_the_last():
    ax = plotting.plot_history(history_of(bounds=()))
    assert ax.get_lines()[1].get_xydata().tolist() == [[1, 3], [5, 3]]
    assert "final bound" in legend_texts(ax)


def test_history_of_a_training_ends_with_its_result(iris, recwarn, tmp_path):
    result = BDNNClassifier((), method="exact", time_limit=20).fit(*iris).result_
    ax = plotting.plot_history(result)
    best, bound = ax.get_lines()
    assert best.get_ydata()[-1] == result.objective
    assert bound.get_ydata()[-1] == result.bound
    drawn_without_warnings(ax, recwarn, tmp_path)


def test_wide_ranges_are_logarithmic():
    wide = history_of(history=(Incumbent(0.01, 800.0, "constant"), Incumbent(3.0, 4.0, "solver")))
    ax = plotting.plot_history(wide)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "symlog")
    ax = plotting.plot_history(history_of(history=(Incumbent(4.0, 4.0, "solver"),)))
    assert (ax.get_xscale(), ax.get_yscale()) == ("linear", "linear")


@pytest.mark.parametrize("history", [(), (Incumbent(1.0, np.inf, "outside the class"),)])
def test_a_result_without_history_is_refused(history):
    with pytest.raises(InputError, match="no history"):
        plotting.plot_history(history_of(history=history))


def test_regions_show_predictions_at_the_medians(flowers, iris):
    X, y = iris[0].to_numpy(), iris[1]
    network = flowers
    ax = plotting.plot_decision_regions(network, X, y, ("petal width (cm)", 2), resolution=40)
    image = ax.get_images()[0]
    left, right, bottom, top = image.get_extent()
    points = np.tile(np.median(X, axis=0), (40, 40, 1))
    points[:, :, 3] = (left + (np.arange(40) + 0.5) / 40 * (right - left))[None, :]
    points[:, :, 2] = (bottom + (np.arange(40) + 0.5) / 40 * (top - bottom))[:, None]
    expected = network.predict_index(points.reshape(-1, 4)).reshape(40, 40)
    assert_array_equal(image.get_array(), expected)
    assert left < X[:, 3].min() and right > X[:, 3].max() and bottom < X[:, 2].min() and top > X[:, 2].max()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("petal width (cm)", "petal length (cm)")
    wrong = network.predict(X) != y
    assert 0 < wrong.sum() < 20
    assert legend_texts(ax) == ["setosa", "versicolor", "virginica", "predicted wrong"]
    assert "150 rows" in ax.get_title() and "medians" in ax.get_title()
    places = np.vstack([scatter.get_offsets() for scatter in ax.collections if len(scatter.get_offsets()) > 1])
    assert {tuple(p) for p in X[:, [3, 2]]} <= {tuple(p) for p in np.asarray(places)}
    rings = [s for s in ax.collections if len(s.get_edgecolor()) and to_rgb(s.get_edgecolor()[0]) == (0, 0, 0)]
    ringed = {tuple(p) for s in rings if s.get_zorder() == 3 for p in np.asarray(s.get_offsets())}
    assert ringed == {tuple(p) for p in X[wrong][:, [3, 2]]}


def test_the_other_features_can_be_given(flowers, iris):
    X, network = iris[0].to_numpy(), flowers
    full = [0.5, 9.0, 1.0, 2.0]
    one = plotting.plot_decision_regions(network, X, iris[1], values=full, features=(2, 3), resolution=20)
    by_name = {"sepal length (cm)": 0.5, 1: 9.0}
    two = plotting.plot_decision_regions(network, X, iris[1], values=by_name, features=(2, 3), resolution=20)
    medians = plotting.plot_decision_regions(network, X, iris[1], features=(2, 3), resolution=20)
    images = [ax.get_images()[0].get_array() for ax in (one, two, medians)]
    assert_array_equal(images[0], images[1])
    assert (images[0] != images[2]).any()
    assert "medians" not in one.get_title()


def test_equal_points_are_one_larger_one():
    net = Network([([[1.0, 0.0]], [0.0])], head="threshold", classes=["no", "yes"])
    X, y = [[1, 1]] * 8 + [[1, 1]] * 2 + [[-1, 0]], ["yes"] * 8 + ["no"] * 2 + ["no"]
    ax = plotting.plot_decision_regions(net, X, y, resolution=10)
    sizes = {
        (tuple(place), c.get_zorder()): size
        for c in ax.collections
        if isinstance(c, PathCollection) and c.get_zorder() < 3
        for place, size in zip(np.asarray(c.get_offsets()).tolist(), c.get_sizes(), strict=True)
    }
    assert sizes[(1.0, 1.0), 2.4] > sizes[(1.0, 1.0), 2.6] > sizes[(-1.0, 0.0), 2.4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": (0, 0)}, "must be different"),
        ({"features": (0, 4)}, "numbered from 0 to 3"),
        ({"features": (0, -1)}, "numbered from 0 to 3"),
        ({"features": (0, "petal")}, "no feature 'petal'"),
        ({"features": (0, True)}, "name or an index"),
        ({"features": (0, 1, 2)}, "two names or indices"),
        ({"features": "ab"}, "two names or indices"),
        ({"features": 3}, "two names or indices"),
        ({"values": [1.0]}, "one per feature"),
        ({"values": {"petal": 1.0}}, "no feature 'petal'"),
        ({"values": {0: np.nan}}, "finite"),
        ({"resolution": 1}, "resolution"),
        ({"X": np.zeros((0, 4)), "y": []}, "no rows"),
        ({"y": ["rose"] * 150}, "rose"),
    ],
)
def test_what_regions_refuse(flowers, iris, changes, message):
    arguments = {"X": iris[0].to_numpy(), "y": iris[1]} | changes
    with pytest.raises(InputError, match=message):
        plotting.plot_decision_regions(flowers, **arguments)


LAYERS = [([[2.0, 0.0, -1.0], [0.5, 0.25, -1.0]], [1.0, 0.0]), ([[1.0, -2.0]], [-1.0])]
SMALL = Network(LAYERS, head="threshold", classes=["no", "yes"], feature_names=["a", "b", "c"])


def test_network_draws_every_weight_with_sign_and_size():
    ax = plotting.plot_network(SMALL)
    positive, negative = ax.collections[:2]
    assert (len(positive.get_segments()), len(negative.get_segments())) == (4, 3)
    assert {to_rgb(c[:3]) for c in positive.get_colors()}.isdisjoint({to_rgb(c[:3]) for c in negative.get_colors()})
    assert positive.get_linestyles() != negative.get_linestyles()
    # each weight beside the largest of its neuron, layer by layer
    assert_allclose(positive.get_linewidths(), 0.3 + 3.2 * np.array([1, 0.5, 0.25, 0.5]))
    assert_allclose(negative.get_linewidths(), 0.3 + 3.2 * np.array([0.5, 1, 1]))
    texts = [text.get_text() for text in ax.texts]
    assert {"a", "b", "c", "fires: yes\nelse: no", "3 inputs", "bias +0.5", "bias 0", "bias −0.5"} <= set(texts)
    nodes = [len(c.get_offsets()) for c in ax.collections[2:]]
    assert nodes == [3, 2, 1]


def test_factors_change_which_weights_are_large():
    ax = plotting.plot_network(SMALL, ["p", "q", "r"], scale=[0.0, 4.0, 1.0])
    assert len(ax.collections[0].get_segments()) == 2 and len(ax.collections[1].get_segments()) == 3
    assert {"p", "q", "r"} <= {text.get_text() for text in ax.texts}


def test_wide_networks_show_the_largest_weights_and_say_so():
    rng = np.random.default_rng(0)
    W = rng.normal(size=(30, 100)) * np.where(np.arange(100) == 77, 50, 1)
    net = Network([(W, np.zeros(30)), (rng.normal(size=(12, 30)), np.zeros(12))], "argmax", list(range(12)))
    ax = plotting.plot_network(net, max_nodes=10)
    texts = [text.get_text() for text in ax.texts]
    assert "and 90 more" in texts and "and 20 more" in texts and "and 2 more" in texts and "x77" in texts
    assert [len(c.get_offsets()) for c in ax.collections[2:]] == [10, 10, 10]
    ax = plotting.plot_weights(net, max_features=5)
    assert ax.get_yticklabels()[0].get_text() == "x77" and ax.get_title() == "5 largest of 100 features"
    assert ax.get_images()[0].get_array().shape == (5, 30)


def test_weights_by_name_are_the_weights():
    ax = plotting.plot_weights(SMALL, relative=False)
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["a", "c", "b"] or names == ["c", "a", "b"]
    order = ["abc".index(name) for name in names]
    assert_array_equal(ax.get_images()[0].get_array(), np.array(LAYERS[0][0]).T[order])
    assert {text.get_text() for text in ax.texts} == {"+2", "0", "−1", "+0.5", "+0.25"}
    ax = plotting.plot_weights(SMALL, scale=[1.0, 2.0, 4.0])
    assert_allclose(ax.get_images()[0].get_array(), [[-1, -1], [0.5, 0.125], [0, 0.125]])
    assert "scale" in ax.figure.axes[-1].get_ylabel()


@pytest.mark.parametrize("draw", [plotting.plot_network, plotting.plot_weights])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"feature_names": ["a"]}, "one name per column"),
        ({"scale": [1.0]}, "3 finite numbers"),
        ({"scale": [1.0, -1.0, 1.0]}, "3 finite numbers"),
        ({"scale": [1.0, np.inf, 1.0]}, "3 finite numbers"),
    ],
)
def test_names_and_factors_must_fit(draw, arguments, message):
    with pytest.raises(InputError, match=message):
        draw(SMALL, **arguments)


def test_networks_without_weights_are_drawn(recwarn, tmp_path):
    net = Network([([[0.0, 0.0]], [-1.0])], head="threshold", classes=[0, 1])
    for draw in (plotting.plot_network, plotting.plot_weights):
        drawn_without_warnings(draw(net), recwarn, tmp_path)


def test_a_few_extremes_leave_the_picture_to_the_others(recwarn, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(20.0, 2.0, (60, 2))
    net = Network([([[1.0, 1.0]], [-40.0])], head="threshold", classes=["low", "high"])
    ax = plotting.plot_decision_regions(net, X, net.predict(X), resolution=20)
    assert "outside" not in ax.get_title() and ax.get_xlim()[0] <= X[:, 0].min() <= X[:, 0].max() <= ax.get_xlim()[1]
    X[3, 0] = 65535.0
    ax = plotting.plot_decision_regions(net, X, net.predict(X), resolution=20)
    assert "1 far outside" in ax.get_title()
    rest = np.delete(X[:, 0], 3)
    assert ax.get_xlim()[0] <= rest.min() and rest.max() <= ax.get_xlim()[1] < 40
    drawn_without_warnings(ax, recwarn, tmp_path)


def certification(**changes):
    values = {
        "robust": np.array([True, True, False, True]), "undecided": np.array([False, False, False, True]),
        "radius": np.array([1.0, 3.0, 0.0, 0.5]), "attained": np.array([False, False, True, False]),
        "attack": np.zeros((4, 1)), "distance": np.array([1.0, np.inf, 0.0, 2.0]),
        "clean": np.array([True, True, False, True]), "seconds": np.zeros(4), "nodes": np.zeros(4, dtype=np.int64),
        "asked": None, "norm": "inf",
    }  # fmt: skip
    return Certification(**(values | changes))


def test_certified_draws_the_curve():
    found = certification()
    ax = plotting.plot_certified(found)
    certified, attacked, clean = ax.get_lines()
    assert_allclose(certified.get_xdata(), [0, 0.5, 1, 2, 3, 3.15])
    curve = found.curve(certified.get_xdata())
    assert_array_equal(certified.get_ydata(), curve.certified)
    assert_array_equal(attacked.get_ydata(), curve.attacked)
    # a radius proves itself and what is below; an attack holds at its distance and above
    assert (certified.get_drawstyle(), attacked.get_drawstyle()) == ("steps-pre", "steps-post")
    assert set(clean.get_ydata()) == {0.75}
    assert legend_texts(ax)[-1] == "neither proven nor attacked"
    assert "4 points, 1 of them undecided" in ax.get_title() and "radius" in ax.get_xlabel()
    assert ax.get_ylabel() == "accuracy"


def test_what_is_attained_is_drawn_up_to_its_distance():
    found = certification(attained=np.array([True, False, True, False]))
    certified = plotting.plot_certified(found).get_lines()[0]
    # steps go back from each radius: the one just below an attained radius still counts
    values = dict(certified.get_xydata().tolist())
    assert values[np.nextafter(1.0, 0.0)] == 0.5 and values[1.0] == 0.25


def test_certified_at_given_radii_and_with_a_radius_in_question():
    found = certification(asked=2.0, norm="2")
    ax = plotting.plot_certified(found)
    assert ax.get_lines()[0].get_xdata()[-1] == 2 and "radius in question, 2" in legend_texts(ax)
    assert "at radius 2" in ax.get_title()
    ax = plotting.plot_certified(found, [0, 1, 2.5])
    assert ax.get_lines()[0].get_xydata().tolist() == [[0, 0.75], [1, 0.5], [2.5, 0.25]]
    for radii in ([1, 1], [2, 1], [-1, 1], [np.nan]):
        with pytest.raises(InputError):
            plotting.plot_certified(found, radii)


@pytest.mark.parametrize("distance", [np.inf, 0.0])
def test_certified_of_extreme_points(distance, recwarn, tmp_path):
    radius = np.full(4, np.inf if distance else 0.0)
    found = certification(radius=radius, distance=np.full(4, distance))
    drawn_without_warnings(plotting.plot_certified(found), recwarn, tmp_path)


def test_pareto_marks_what_no_other_beats():
    points = {"a": (100, 0.9, 0.01), "b": (200, 0.85), "c": (1000, 0.95, None), "d": (100, 0.8), "e": (5000, 0.95)}
    ax = plotting.plot_pareto(points, accuracy="test accuracy")
    front = ax.get_lines()[0]
    assert front.get_xydata().tolist() == [[100, 0.9], [1000, 0.95]]
    drawn = [container.lines[0].get_xydata().tolist() for container in ax.containers]
    assert drawn == [[list(map(float, values[:2]))] for values in points.values()]
    edges = [container.lines[0].get_markeredgecolor() for container in ax.containers]
    assert [edge == "black" for edge in edges] == [True, False, True, False, False]
    assert len({container.lines[0].get_marker() for container in ax.containers}) == 5
    assert ax.get_xscale() == "log" and "bytes" in ax.get_xlabel() and ax.get_ylabel() == "test accuracy"
    assert legend_texts(ax) == [*points, "Pareto front (outlined)"]
    bars = ax.containers[0].lines[2][0].get_segments()[0]
    assert_allclose(bars, [[100, 0.89], [100, 0.91]])


@pytest.mark.parametrize("largest", [60, 512, 8192, 10**6, 10**9])
def test_labels_of_sizes_do_not_run_into_each_other(largest):
    ax = plotting.plot_pareto({"small": (32, 0.8), "large": (largest, 0.9)})
    ax.figure.canvas.draw()
    low, high = ax.get_xlim()
    labels = [label for label in ax.get_xticklabels() if low <= label.get_position()[0] <= high]
    boxes = [label.get_window_extent() for label in labels]
    assert boxes
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


@pytest.mark.parametrize(
    "points", [{}, {"a": (0, 0.5)}, {"a": (1, 1.5)}, {"a": (1, 0.5, -1)}, {"a": (1,)}, {"a": "xy"}, {"a": (1, 2, 3, 4)},
               {"a": 5}, {"a": (np.nan, 0.5)}]
)  # fmt: skip
def test_what_pareto_refuses(points):
    with pytest.raises(InputError):
        plotting.plot_pareto(points)


def test_names_from_data_are_drawn_as_they_are(recwarn, tmp_path):
    rng = np.random.default_rng(0)
    classes = HOSTILE[:5]
    layers = [(rng.normal(size=(3, 10)), np.zeros(3)), (rng.normal(size=(5, 3)), np.zeros(5))]
    net = Network(layers, "argmax", classes, feature_names=HOSTILE)
    X, y = rng.normal(size=(40, 10)), rng.choice(classes, 40)
    ax = plotting.plot_decision_regions(net, X, y, ("$\\frac{", "_hidden"))
    assert legend_texts(ax)[0] == "_hidden" and legend_texts(ax)[4] == "line break"
    drawn_without_warnings(ax, recwarn, tmp_path)
    for draw in (plotting.plot_network, plotting.plot_weights):
        drawn_without_warnings(draw(net), recwarn, tmp_path)
    drawn_without_warnings(plotting.plot_pareto({name: (10, 0.5) for name in HOSTILE}), recwarn, tmp_path)


def test_labels_are_one_short_line_and_no_formula():
    assert shown("a$b$") == r"a\$b\$" and shown("x" * 300) == "x" * 27 + "…" and shown("a\n\tb\x00") == "a  b"


def test_given_axes_are_used_and_returned(flowers, iris):
    net, X, y = flowers, iris[0].to_numpy(), iris[1]
    for draw in (
        lambda ax: plotting.plot_history(history_of(), ax=ax),
        lambda ax: plotting.plot_decision_regions(net, X, y, ax=ax, resolution=5),
        lambda ax: plotting.plot_network(net, ax=ax),
        lambda ax: plotting.plot_weights(net, ax=ax),
        lambda ax: plotting.plot_certified(certification(), ax=ax),
        lambda ax: plotting.plot_pareto({"a": (1, 0.5)}, ax=ax),
    ):
        ax = matplotlib.figure.Figure().subplots()
        assert draw(ax) is ax
    assert pyplot.get_fignums() == []


def test_colours_are_told_apart_in_grey():
    """No two neighbors of the palette that a two-class picture uses have the same luminance."""
    light = [float(np.dot(to_rgb(colour), (0.2126, 0.7152, 0.0722))) for colour in COLORS[:2]]
    assert abs(light[0] - light[1]) > 0.2


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for call in (lambda: plotting.plot_network(SMALL), lambda: plotting.plot_history(history_of())):
        with pytest.raises(MissingDependencyError, match=r"pip install 'bdnn\[plot\]'"):
            call()


def test_importing_plotting_does_not_import_matplotlib():
    code = "import sys, bdnn; assert 'bdnn.plotting' not in sys.modules; bdnn.plotting.plot_network; " \
           "assert 'matplotlib' not in sys.modules"  # fmt: skip
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
