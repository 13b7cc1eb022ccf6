"""What cells of columns mean: dates with time zones, types of Parquet files, large numbers, and slips among numbers."""

import time

import numpy as np
import pandas as pd
import pytest

from bdnn.encoding.kinds import as_kind
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
