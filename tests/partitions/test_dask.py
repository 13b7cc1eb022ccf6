"""Data frames of dask: partitions that are computed here, and partitions that stay with the workers of a cluster."""

import numpy as np
import pytest

from bdnn import BDNNClassifier
from bdnn.errors import InputError
from bdnn.estimators import partitioned, row_sources

pd = pytest.importorskip("pandas")
dask = pytest.importorskip("dask")
dd = pytest.importorskip("dask.dataframe")
distributed = pytest.importorskip("distributed")

INPUTS = ["a", "b", "c"]


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1200, 2))
    labels = np.where((X @ [1, 2] > 0) ^ (rng.random(1200) < 0.05), "yes", "no").astype("U4")
    labels[1198:] = "rare"
    level = rng.choice(["u", "v", "w"], 1200).astype("U3")
    level[700] = "odd"
    return pd.DataFrame(
        {"a": X[:, 0], "b": X[:, 1], "c": level, "w": rng.integers(1, 3, 1200).astype(float), "y": labels}
    )


@pytest.fixture
def beyond(monkeypatch):
    monkeypatch.setattr(row_sources, "fits_in_memory", lambda *_: False)
    monkeypatch.setattr(partitioned, "_MOST_SAMPLE", 300)
    monkeypatch.setattr(partitioned, "_SAMPLE_TIME", 0.05)


@pytest.fixture(params=["here", "workers"])
def place(request):
    if request.param == "here":
        with dask.config.set(scheduler="synchronous"):
            yield request.param
        return
    cluster = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": None}
    with distributed.LocalCluster(**cluster) as workers, distributed.Client(workers):
        yield request.param


def test_a_fit_is_audited_on_all_partitions(frame, beyond, place):
    data = dd.from_pandas(frame, npartitions=4)
    clf = BDNNClassifier((2,), time_limit=4.0, random_state=0, max_categories=2).fit(data, "y", sample_weight="w")
    wrong = (clf.predict(frame[INPUTS]) != frame["y"]).to_numpy()
    assert clf.result_.objective == frame["w"][wrong].sum() <= clf.partitioned_.sample_loss
    assert clf.result_.audit.n_wrong == wrong.sum() and clf.result_.n_rows == 1200
    assert clf.classes_.tolist() == ["no", "rare", "yes"] and clf.partitioned_.file_bytes == 0
    assert (clf.partitioned_.n_blocks > 0) == (place == "here")  # else they are with the workers
    assert clf.predict(data).tolist() == clf.predict(frame[INPUTS]).tolist()
    assert clf.score(data, "y") == 1 - wrong.mean()
    (code,) = [code for code in clf.encoder_.columns if code.name == "c"]
    assert "odd" in (*code.levels, *code.rare)


def test_rows_that_fit_are_trained_on_as_usual(frame):
    clf = BDNNClassifier((), time_limit=0.3, random_state=0).fit(dd.from_pandas(frame, npartitions=2), "y")
    assert not hasattr(clf, "partitioned_") and clf.result_.n_rows == 1200


def test_frames_that_cannot_be_used(frame, beyond):
    data = dd.from_pandas(frame, npartitions=2)
    with pytest.raises(InputError, match="the data frame has no column 'absent'"):
        BDNNClassifier((), time_limit=0.3).fit(data, "absent")
    frame.loc[5, "y"] = None
    with pytest.raises(InputError, match="no label in some rows"):
        BDNNClassifier((), time_limit=0.3).fit(dd.from_pandas(frame, npartitions=2), "y")
    frame.loc[5, "y"], frame.loc[5, "w"] = "yes", -1.0
    with pytest.raises(InputError, match="weights must be numbers and not negative"):
        BDNNClassifier((), time_limit=0.3).fit(dd.from_pandas(frame, npartitions=2), "y", sample_weight="w")
