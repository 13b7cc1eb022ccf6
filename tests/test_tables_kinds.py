"""What cells of columns mean: dates with time zones, types of Parquet files, large numbers, and slips among numbers."""

import time

import duckdb
import numpy as np
import pandas as pd
import pytest

from bdnn.encoding.kinds import as_kind
from bdnn.errors import InputError
from bdnn.estimators.frames import raw_table
from bdnn.tables import read_table


def test_dates_with_a_time_zone_are_utc_in_every_container_on_every_machine(tmp_path, monkeypatch):
    polars, pyarrow = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    when = pd.date_range("2024-05-01", periods=30, freq="5h", tz="Asia/Tokyo")
    expected = when.tz_convert("UTC").tz_localize(None).to_numpy("datetime64[us]")
    frame = pd.DataFrame({"when": when, "y": np.arange(30) % 2})
    frame.to_parquet(tmp_path / "t.parquet")
    frame.assign(at=[t.isoformat() for t in when], y=frame["y"]).to_csv(tmp_path / "t.csv", index=False)
    texts = [t.isoformat() for t in when]
    arrow = pyarrow.Table.from_pandas(frame[["when"]])
    for zone in ("UTC", "America/New_York", "Asia/Tokyo"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        for name, columns in (("t.parquet", 1), ("t.csv", 2)):
            read = read_table(tmp_path / name, "y", carry=["y"])
            assert len(read.features.columns) == columns
            for column in read.features.columns:
                np.testing.assert_array_equal(column.values, expected)
        (kept,) = read_table(tmp_path / "t.parquet", None, ["y"], carry=["when"]).carried.values()
        assert kept[:2] == ["2024-04-30 15:00:00+00", "2024-04-30 20:00:00+00"]
        objects = [[t.to_pydatetime()] for t in when]
        for X in (frame[["when"]], polars.from_pandas(frame[["when"]]), arrow, objects):
            (column,) = raw_table(X).columns
            np.testing.assert_array_equal(column.values, expected)
        (text,) = raw_table([[t] for t in texts]).columns
        np.testing.assert_array_equal(as_kind(text, "date").values, expected)
    monkeypatch.undo()
    time.tzset()


def parquet(path, **columns):
    """Write a Parquet file of 30 rows, whose columns are queries of the number of the row, i."""
    asked = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
    duckdb.connect().execute(f"COPY (SELECT {asked} FROM range(30) r(i)) TO '{path}' (FORMAT parquet)")
    return path


def test_types_of_parquet_columns(tmp_path):
    path = parquet(
        tmp_path / "t.parquet",
        at="TIME '10:15:00' + INTERVAL (i % 3) HOUR",
        uuid="CAST('00000000-0000-0000-0000-00000000000' || (i % 3) AS UUID)",
        price="CAST(i * 1.25 AS DECIMAL(9, 2))",
        word="CAST('q' || (i % 3) AS ENUM ('q0', 'q1', 'q2'))",
        y="i % 2",
    )
    at, uuid, price, word = read_table(path, "y").features.columns
    assert at.levels == ("10:15:00", "11:15:00", "12:15:00") and at.values[:3].tolist() == [0, 1, 2]
    assert (uuid.kind, len(uuid.levels), uuid.levels[2][-2:]) == ("categorical", 3, "02")
    assert (price.kind, price.values[:2].tolist(), word.levels) == ("numeric", [0, 1.25], ("q0", "q1", "q2"))


@pytest.mark.parametrize(
    ("sql", "holds"),
    [("[i, i]", "lists"), ("{'a': i}", "structures"), ("MAP {'k': i}", "maps"), ("encode('x')", "bytes"),
     ("INTERVAL (i) DAY", "durations")],
)  # fmt: skip
def test_types_that_no_input_can_hold_are_refused_by_name(tmp_path, sql, holds):
    path = parquet(tmp_path / "t.parquet", odd=sql, x="i % 5", y="i % 2")
    with pytest.raises(InputError, match=f"'odd' of .* holds {holds}, .* leave it out with --drop odd$"):
        read_table(path, "y")
    with pytest.raises(InputError, match=f"holds {holds}"):
        read_table(path, "odd")
    read = read_table(path, "y", drop=["odd"], carry=["odd"])
    assert read.names == ("x",) and len(read.carried["odd"]) == 30
