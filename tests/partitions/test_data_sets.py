"""Parquet data sets: read part by part, fitted to within a limit of memory, evaluated and predicted."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import bdnn
from bdnn import BDNNClassifier
from bdnn.errors import InputError, OutputError, UnknownLabelError
from bdnn.estimators import memory, partitioned, row_sources
from bdnn.partitions.store import Store
from bdnn.tables import read_table
from bdnn.tables.cells import Known
from bdnn.tables.database import connection
from bdnn.tables.labeled_rows import LabeledRows

ROWS = 900


def select(first, count):
    """Columns of all kinds; some things are in the last rows only."""
    return f"""SELECT sin(i * 12.9898)::FLOAT AS a, (i * 7919) % 11 AS b,
        CASE WHEN i % 13 = 0 THEN NULL WHEN i = 444 THEN 'odd' ELSE ['red', 'green', 'blue'][1 + (i * 31) % 3] END AS c,
        i % 5 = 0 AS d, DATE '2026-01-01' + (i % 400)::INT AS e, CASE WHEN i % 17 = 0 THEN NULL ELSE cos(i) END AS f,
        CASE WHEN i < 880 THEN 1 ELSE 2 END AS g, 'row ' || i AS name, 1 + i % 3 AS w,
        CASE WHEN i >= 896 THEN 'rare' WHEN sin(i * 12.9898) + (i * 7919) % 11 / 10.0 > 0.5 THEN 'yes' ELSE 'no' END y
        FROM (SELECT unnest(range({first}, {first + count})) AS i)"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three files, and the same rows in one file beside the folder."""
    place = tmp_path_factory.mktemp("data")
    (place / "rows").mkdir()
    db = connection()
    cuts = ((0, 250), (250, 450), (700, ROWS - 700))
    for number, (first, count) in enumerate(cuts):
        db.execute(f"COPY ({select(first, count)}) TO '{place}/rows/part-{number}.parquet' (FORMAT parquet)")
    db.execute(f"COPY ({select(0, ROWS)}) TO '{place}/one.parquet' (FORMAT parquet)")
    return place


@pytest.fixture
def beyond(monkeypatch):
    """Nothing fits into memory, and samples are small."""
    for module in (row_sources, "bdnn.estimators.classifier"):
        name = module if isinstance(module, str) else module.__name__
        monkeypatch.setattr(f"{name}.fits_in_memory", lambda *_: False)
    monkeypatch.setattr(partitioned, "_MOST_SAMPLE", 300)
    monkeypatch.setattr(partitioned, "_SAMPLE_TIME", 0.05)


def nothing(first, count):
    return np.zeros(count, dtype=bool)


def fitted(folder, **settings):
    given = {"hidden_layer_sizes": (2,), "time_limit": 1.0, "random_state": 0} | settings
    clf = BDNNClassifier(**given)
    return clf.fit(bdnn.open_parquet(folder / "rows", drop=["name"]), "y", sample_weight="w")


def test_all_rows_are_read_in_parts_as_in_one_file(folder, monkeypatch):
    monkeypatch.setattr("bdnn.tables.labeled_rows.PART_ROWS", 100)
    whole = read_table(folder / "one.parquet", "y", weight="w", drop=["name"])
    rows = LabeledRows(bdnn.open_parquet(folder / "rows", drop=["name"]), "y", "w")
    counts = rows.find_classes()
    assert rows.classes.tolist() == ["no", "rare", "yes"] and sum(counts.values()) == rows.n_rows == ROWS
    known = {c.name: Known(c.kind, frozenset(c.levels)) for c in whole.features.columns}
    parts = list(rows.parts(known))
    assert len(parts) == 3 + 5 + 2 and [part.first for part in parts[:4]] == [0, 100, 200, 250]
    assert rows.classes[np.concatenate([part.codes for part in parts])].tolist() == whole.labels.tolist()
    assert np.array_equal(np.concatenate([part.weight for part in parts]), whole.weight)
    for j, column in enumerate(whole.features.columns):
        texts = [t for part in parts for t in part.table.columns[j].texts(np.arange(len(part.table)))]
        assert texts == column.texts(np.arange(ROWS))


def test_a_sample_keeps_columns_that_differ_in_other_rows_only(folder):
    rows = LabeledRows(bdnn.open_parquet(folder / "rows"), "y", "w")
    rows.find_classes()
    table = rows.sample(
        lambda first, count: np.arange(first, first + count) < 300, lambda _, count: np.zeros(count, bool)
    )
    # "g" is constant in the sample, and "name" differs in all of its rows
    assert table.names == ("a", "b", "c", "d", "e", "f", "g") and len(table.labels) == 300


def test_every_class_is_in_the_sample_and_rows_held_out_are_not(folder):
    rows = LabeledRows(bdnn.open_parquet(folder / "rows"), "y")
    counts = rows.find_classes()
    rare = [code for code, count in counts.items() if count < 10]
    table = rows.sample(nothing, nothing, rare)
    assert table.labels.tolist() == ["rare"] * 4
    assert len(rows.sample(nothing, lambda first, count: np.arange(first, first + count) > 897, rare).labels) == 2


def test_a_fit_beyond_memory_is_audited_on_all_rows(folder, beyond):
    clf = fitted(folder)
    whole = read_table(folder / "one.parquet", "y", weight="w", drop=["name"])
    wrong = clf.predict(whole.features) != whole.labels
    found, result = clf.partitioned_, clf.result_
    assert result.n_rows == ROWS and result.audit.n_wrong == wrong.sum()
    assert result.objective == found.loss == whole.weight[wrong].sum() <= found.sample_loss
    assert len(found.sample.labels) < 400 and found.n_training == ROWS and found.n_unlabeled == 0
    assert clf.classes_.tolist() == ["no", "rare", "yes"] and list(clf.feature_names_in_) == list("abcdefg")
    assert found.missing == {"c": 70, "f": 53}
    data = bdnn.open_parquet(folder / "rows")
    assert clf.predict(data).tolist() == clf.predict(whole.features).tolist()
    assert clf.score(data, "y") == 1 - wrong.mean()
    assert clf.score(data, "y", "w") == pytest.approx(1 - result.objective / whole.weight.sum())


def test_weights_of_classes_and_probabilities_of_none(folder, beyond, tmp_path):
    clf = fitted(folder, class_weight={"rare": 20.0})
    whole = read_table(folder / "one.parquet", "y", weight="w", drop=["name"])
    factor = np.where(whole.labels == "rare", 20.0, 1.0)
    wrong = clf.predict(whole.features) != whole.labels
    assert clf.result_.objective == (whole.weight * factor)[wrong].sum()
    clf.save(tmp_path / "model.json")
    assert bdnn.load(tmp_path / "model.json").network_ == clf.network_


def test_a_level_of_no_row_of_the_sample_is_a_rare_one(folder, beyond, monkeypatch):
    clf = fitted(folder, max_categories=2)
    (code,) = [code for code in clf.encoder_.columns if code.name == "c"]
    seen = next(c for c in clf.partitioned_.sample.features.columns if c.name == "c").levels
    assert "odd" not in seen and "odd" in code.rare and not clf.partitioned_.unseen


def test_rows_that_fit_are_trained_on_as_usual(folder):
    clf = fitted(folder, time_limit=0.3)
    assert not hasattr(clf, "partitioned_") and clf.result_.n_rows == ROWS


def test_a_warm_start_is_never_worse_on_all_rows(folder, beyond):
    clf = fitted(folder, warm_start=True)
    before = clf.result_.objective
    clf.fit(bdnn.open_parquet(folder / "rows", drop=["name"]), "y", sample_weight="w")
    assert clf.result_.objective <= before


def test_ctrl_c_while_the_sample_trains(folder, beyond):
    def stop(progress):
        raise KeyboardInterrupt

    clf = BDNNClassifier((2,), time_limit=5.0, random_state=0)
    clf.fit(bdnn.open_parquet(folder / "rows", drop=["name"]), "y", on_progress=stop)
    assert clf.result_.interrupted and clf.result_.message.startswith("stopped by Ctrl-C")
    assert clf.result_.n_rows == 250 and "audited on the first 250 of 900 rows" in clf.result_.message  # one part


@pytest.mark.parametrize("hidden", [(2,), "auto"])
def test_progress_has_one_clock_and_says_of_which_rows_it_is(folder, beyond, hidden, monkeypatch):
    monkeypatch.setattr(partitioned, "_SAMPLE_TIME", 0.5)  # enough to choose
    told = []
    clf = BDNNClassifier(hidden, time_limit=3.0, random_state=0)
    clf.fit(bdnn.open_parquet(folder / "rows", drop=["name"]), "y", on_progress=told.append)
    seconds = [progress.seconds for progress in told]
    assert seconds == sorted(seconds)
    phases = [progress.phase for progress in told]
    n_sample = len(clf.partitioned_.sample.rows)
    of_sample = [phase.startswith(f"sample of {n_sample} rows, ") for phase in phases]
    first = of_sample.index(False)
    assert 0 < first and all(of_sample[:first]) and set(phases[first:]) == {"search on all rows"}
    assert (f"sample of {n_sample} rows, choosing" in phases) == (hidden == "auto")
    assert all((progress.trial is None) == ("choosing" not in progress.phase) for progress in told)


def test_a_full_disk_leaves_the_network_of_the_sample(folder, beyond, monkeypatch):
    append = Store.append

    def full(self, *columns):
        if len(self):
            raise OutputError("cannot write encoded rows to /scratch (No space left on device)")
        append(self, *columns)

    monkeypatch.setattr(Store, "append", full)
    with pytest.warns(ConvergenceWarning, match="No space left on device"):
        clf = fitted(folder)
    assert "cannot write encoded rows" in clf.result_.message and clf.result_.n_rows == 250
    assert clf.score(bdnn.open_parquet(folder / "rows"), "y") > 0.5


REFUSED = [
    ({"method": "exact"}, "method='exact' is not supported"),
    ({"weights": "integer"}, "weights='integer' is not supported"),
    ({"robust_radius": 0.1}, "a robust radius is not supported"),
    ({"probability": True}, "probability=True is not supported"),
]


@pytest.mark.parametrize(("settings", "message"), REFUSED)
def test_settings_that_are_not_supported(folder, beyond, settings, message):
    with pytest.raises(InputError, match=message):
        fitted(folder, **settings)


def test_data_sets_that_are_none(folder, tmp_path):
    with pytest.raises(InputError, match="the folder holds no file that ends in"):
        bdnn.open_parquet(tmp_path)
    with pytest.raises(InputError, match="no file matches it"):
        bdnn.open_parquet(tmp_path / "x*.parquet")
    (tmp_path / "a.parquet").write_text("no")
    with pytest.raises(InputError, match="cannot be read as a Parquet file"):
        bdnn.open_parquet(tmp_path)
    with pytest.raises(InputError, match="has no column 'absent'; its columns are"):
        bdnn.open_parquet(folder / "rows", drop=["absent"])
    data = bdnn.open_parquet(folder / "rows")
    with pytest.raises(InputError, match="has no column 'absent'"):
        LabeledRows(data, "absent")
    with pytest.raises(InputError, match="y must be the name of a column of the data set, got list"):
        BDNNClassifier().fit(data, [1, 2])


def test_several_csv_files_are_answered_with_what_to_do(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        Path(f"it's {number}.csv").write_text("a,y\n" + "".join(f"{number + k},{k % 2}\n" for k in range(20)))
    for given in ("*.csv", "."):
        code, out, err = run("train", given, "--quiet")
        assert (code, out) == (2, "") and "a data set of several files must be of Parquet files" in err
        assert "give a single CSV file, such as " in err and "it" in err
        said = shlex.split(err.split("make a Parquet file of all of them: ")[1])
        assert subprocess.run([sys.executable, *said[1:]], check=True).returncode == 0 and said[0] == "python"
        assert bdnn.open_parquet("all.parquet").n_rows == 40
        Path("all.parquet").unlink()
    assert "'*.csv' matches 2 files, and it's 0.csv is not a Parquet file" in run("train", "*.csv")[2]


def test_files_with_other_columns(tmp_path):
    db = connection()
    db.execute(f"COPY (SELECT 1 AS a, 2 AS y) TO '{tmp_path}/a.parquet' (FORMAT parquet)")
    db.execute(f"COPY (SELECT 'x' AS a, 2 AS y) TO '{tmp_path}/b.parquet' (FORMAT parquet)")
    with pytest.raises(InputError, match=r"b\.parquet does not have the columns of .*: column 'a' differs in kind"):
        bdnn.open_parquet(tmp_path)


CELLS = [
    ("SELECT CASE WHEN i = 5 THEN 'inf'::DOUBLE ELSE i END AS a, i % 2 AS y", "holds 'inf' in row 5"),
    ("SELECT i AS a, CASE WHEN i = 7 THEN NULL ELSE i % 2 END AS y", "no label in 1 of 20 rows"),
    ("SELECT i AS a, 1 AS y", "only one class"),
]


@pytest.mark.parametrize(("query", "message"), CELLS)
def test_cells_that_cannot_be_used(tmp_path, beyond, query, message):
    query = f"{query} FROM (SELECT unnest(range(20)) AS i)"
    connection().execute(f"COPY ({query}) TO '{tmp_path}/a.parquet' (FORMAT parquet)")
    with pytest.raises(InputError, match=message):
        BDNNClassifier((), time_limit=0.2).fit(bdnn.open_parquet(tmp_path), "y")


def test_weights_that_are_none(tmp_path):
    query = "SELECT i AS a, i % 2 AS y, i - 3 AS w FROM (SELECT unnest(range(20)) AS i)"
    connection().execute(f"COPY ({query}) TO '{tmp_path}/a.parquet' (FORMAT parquet)")
    rows = LabeledRows(bdnn.open_parquet(tmp_path), "y", "w")
    rows.find_classes()
    with pytest.raises(InputError, match=r"column 'w' of .* holds -3\.0 in row 0"):
        list(rows.parts({"a": Known("numeric")}))
    query = "SELECT i / (10 - i) AS a, i % 2 AS y, i AS w FROM (SELECT unnest(range(20)::DOUBLE[]) AS i)"
    connection().execute(f"COPY ({query}) TO '{tmp_path}/a.parquet' (FORMAT parquet)")
    rows = LabeledRows(bdnn.open_parquet(tmp_path), "y")
    rows.find_classes()
    with pytest.raises(InputError, match=r"column 'a' of .* holds an infinite number in row 10"):
        list(rows.parts({"a": Known("numeric")}))


def test_labels_that_a_model_does_not_know(folder):
    rows = LabeledRows(bdnn.open_parquet(folder / "rows"), "y")
    with pytest.raises(UnknownLabelError, match="are not classes of the model"):
        rows.find_classes(np.array(["no", "yes"]))


SIZES = [("4GB", 4 * 10**9), ("1.5 GiB", 1610612736), ("500mb", 5 * 10**8), (12345, 12345), ("7", 7)]


@pytest.mark.parametrize(("limit", "size"), SIZES)
def test_sizes(limit, size):
    assert memory.bytes_of(limit) == size


@pytest.mark.parametrize("limit", ["much", "4 XB", 0, -5, True, 2.5, ""])
def test_sizes_that_are_none(limit):
    with pytest.raises(InputError, match="memory_limit must be a number of bytes"):
        memory.bytes_of(limit)


def test_a_limit_below_the_program():
    with pytest.raises(InputError, match="leaves no room for rows: the program itself takes"):
        memory.room("10MB")


# the command line


def test_the_command_line_beyond_memory(run, folder, beyond, tmp_path):
    model, rows = tmp_path / "model.json", folder / "rows"
    words = ("--target", "y", "--weight", "w", "--id", "name", "--hidden", "2", "--time-limit", 4, "--quiet")
    code, out, err = run("train", f"{rows}/*.parquet", *words, "--out", model, "--json")
    assert code == 0, err
    report = json.loads(out)
    assert "900 rows in 3 files do not fit into memory: a sample is trained on, and improved on all of them" in err
    assert report["rows"] == ROWS and report["training_rows"] + report["held_out_rows"] == ROWS
    assert 150 < report["held_out_rows"] < 300 and report["beyond_memory"]["passes"] > 0
    assert report["training_loss"] <= report["beyond_memory"]["sample_loss"]
    # evaluated and predicted in parts as in one file
    parts, one = (run("evaluate", model, data, "--json") for data in (rows, folder / "one.parquet"))
    assert parts[0] == one[0] == 0
    figures, expected = json.loads(parts[1]), json.loads(one[1])
    assert figures.pop("roc_auc") == pytest.approx(expected.pop("roc_auc"))
    assert figures == expected
    options = ("--scores", "--keep", "c,e")
    parts, one = (run("predict", model, data, *options) for data in (rows, folder / "one.parquet"))
    assert parts[0] == 0 and parts == one and parts[1].startswith("name,c,e,prediction,score_no")
    assert run("train", rows, *words)[1].count("all rows") == 1


def test_the_command_line_says_that_rows_fit(run, folder):
    code, out, err = run("train", folder / "rows", "--target", "y", "--hidden", "none", "--time-limit", 0.3, "--quiet")
    assert code == 0 and "900 rows in 3 files fit into memory" in err and "all rows" not in out
    code, _, err = run("train", folder / "rows", "--drop", "absent")
    assert code == 2 and "no column 'absent'" in err


def said_of_the_target(run, data):
    words = ("--weight", "w", "--id", "name", "--hidden", "none", "--time-limit", 0.3, "--memory-limit", "8GB")
    code, _, err = run("train", data, *words, "--quiet")
    assert code == 0, err
    return [line for line in err.splitlines() if "the target is column 'y'" in line]


def test_the_target_that_was_guessed_is_said_once(run, folder):
    for data in (folder / "rows", folder / "one.parquet"):
        assert len(said_of_the_target(run, data)) == 1


def test_the_target_that_was_guessed_is_said_once_beyond_memory(run, folder, beyond):
    assert len(said_of_the_target(run, folder / "rows")) == 1


TALLEST = """
import sys
from bdnn import BDNNClassifier, cli, open_parquet
from bdnn.estimators import memory
from bdnn.tables.labeled_rows import LabeledRows

parquet, table, ending = sys.argv[1:]
rows = LabeledRows(open_parquet(parquet), "y")
size = memory.LabelSize(*rows.label_size())
needed = memory.training_bytes(BDNNClassifier(), rows.n_rows, rows.kinds(), 0.25, size)
limit = int(memory._program() + max(memory._LATER + needed + 3e7, memory._LEAST + 3e7))
try:
    cli.main(["train", table, "--target", "y", "--time-limit", ending, "--memory-limit", str(limit), "--quiet"])
finally:
    peak = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
    print("peak", int(peak[0]) * 1024, limit)
"""
ON_LINUX = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="Linux tells the largest resident set of a process"
)
FITTING = {  # rows, columns of numbers and of text, ending of the file
    "thresholds in the place of few columns": (60_000, 6, 0, "parquet"),
    "many rows": (200_000, 2, 0, "csv"),
    "many columns": (4_000, 250, 0, "csv"),
    "text": (40_000, 2, 5, "parquet"),
}


def made(place, rows, numbers, texts):
    """A Parquet file of random rows whose labels depend on the first columns in stripes, so that thresholds help."""
    columns = [f"random() AS a{j}" for j in range(numbers)]
    columns += [f"'level ' || floor(random() * random() * 30)::INT AS t{j}" for j in range(texts)]
    stripes = " + ".join(f"floor(a{j} * {8 - 2 * j})" for j in range(min(numbers, 2)))
    label = f"CASE WHEN ({stripes}) % 2 = 0 THEN 'yes' ELSE 'no' END AS y"
    query = f"SELECT *, {label} FROM (SELECT {', '.join(columns)} FROM range({rows}))"
    connection().execute(f"COPY ({query}) TO '{place}' (FORMAT parquet)")


@ON_LINUX
@pytest.mark.parametrize("case", FITTING)
def test_what_is_said_to_fit_stays_within_the_limit(tmp_path, case):
    """Largest resident set of a process with the least limit, nearly, with which a table is said to fit."""
    *shape, ending = FITTING[case]
    parquet = tmp_path / "rows.parquet"
    made(parquet, *shape)
    table = tmp_path / f"rows.{ending}"
    if ending == "csv":
        connection().execute(f"COPY (FROM '{parquet}') TO '{table}' (FORMAT csv, HEADER)")
    words = [sys.executable, "-c", TALLEST, str(parquet), str(table), "2"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0 and "do not fit" not in done.stderr, done.stderr
    peak, limit = map(int, done.stdout.split("peak ")[1].split())
    assert f"training rows     {shape[0] * 3 // 4}" in done.stdout and peak < limit


def test_a_csv_file_that_takes_more_than_the_limit_is_refused_with_what_to_do(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bdnn.estimators.memory.room", lambda limit: 1e6)
    Path("t.csv").write_text("a,b,y\n" + "".join(f"{k},{k * k},{k % 2}\n" for k in range(9000)))
    for rows in (9000, 3000):  # by its cells, and by all that training takes
        Path("t.csv").write_text("a,b,y\n" + "".join(f"{k},{k * k},{k % 2}\n" for k in range(rows)))
        code, out, err = run("train", "t.csv", "--memory-limit", "1GB", "--quiet")
        assert (code, out) == (2, "") and f"t.csv: {rows} rows take about" in err and "leaves 1 MB" in err
        said = shlex.split(err.split("need not fit into memory: ")[1])
        subprocess.run([sys.executable, *said[1:]], check=True)
        assert bdnn.open_parquet("t.parquet").n_rows == rows
    assert run("train", "t.csv", "--quiet", "--time-limit", 0.5)[0] == 0  # without a limit


def test_rows_that_fit_are_estimated_as_they_train():
    auto, given = BDNNClassifier(), BDNNClassifier((2,))
    numbers = ["numeric"] * 6
    assert memory.training_bytes(auto, 200_000, numbers) > 3 * memory.training_bytes(given, 200_000, numbers)
    for clf in (auto, given, BDNNClassifier((2,), thresholds=8)):
        for kinds in (numbers, ["numeric"] * 300, ["categorical"] * 4, ["numeric", "date", "boolean", "categorical"]):
            for room in (5e7, 4e8, 1e9):
                rows = memory.rows_within(room, clf, kinds, 2**20)
                assert memory.training_bytes(clf, rows, kinds) <= room or rows == 1
                more = memory.training_bytes(clf, rows + 1, kinds)
                assert rows == 2**20 or more > room


BEYOND = {  # rows of each of two files, columns of numbers and of text
    "few columns": (200_000, 12, 0),
    "many columns": (40_000, 220, 0),
    "text": (30_000, 1, 40),
}


@ON_LINUX
@pytest.mark.parametrize("case", BEYOND)
def test_memory_stays_within_the_limit(tmp_path, case):
    """Largest resident set of a process: it would be larger if all rows or columns were worked on at once."""
    for number in range(2):
        made(tmp_path / f"{number}.parquet", *BEYOND[case])
    program = (
        "import sys, bdnn\n"
        "clf = bdnn.BDNNClassifier((2,), time_limit=1.0, memory_limit='480MB', random_state=0)\n"
        "clf.fit(bdnn.open_parquet(sys.argv[1]), 'y')\n"
        # not the figure of `resource`, which is at least that of the process that this one was forked from
        "peak = [line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')]\n"
        "print(clf.partitioned_.n_training, int(peak[0]) * 1024)"
    )
    words = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    rows, peak = map(int, done.stdout.split())
    assert rows == 2 * BEYOND[case][0] and peak < 480e6
