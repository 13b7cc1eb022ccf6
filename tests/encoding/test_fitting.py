"""Encoders made from training rows: which levels, thresholds and missing bits there are."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bdnn.encoding.fitting import EncoderOptions, fit_encoder, thresholds_of
from bdnn.encoding.kinds import from_values
from bdnn.encoding.raw import RawColumn, RawTable
from bdnn.errors import InputError


def code_of(values, kind="categorical", codes=None, **options):
    column = from_values("c", values) if kind == "categorical" else RawColumn("c", kind, np.asarray(values))
    codes = np.arange(len(values)) % 2 if codes is None else codes
    more = RawColumn("other", "numeric", np.arange(float(len(values))))
    return fit_encoder(RawTable((column, more)), np.asarray(codes), EncoderOptions(**options)).columns[0]


TEXT = ["x"] * 5 + ["y"] * 3 + ["b"] * 2 + ["a"] * 2 + ["z"]


@pytest.mark.parametrize(
    ("options", "levels", "rare"),
    [
        ({}, "abxyz", ""),
        ({"max_categories": 5}, "abxyz", ""),
        ({"max_categories": 4}, "axy", "bz"),  # of a and b the first in the order of text
        ({"max_categories": 1}, "", "abxyz"),
        ({"min_frequency": 2}, "abxy", "z"),
        ({"min_frequency": 0.2}, "xy", "abz"),
        ({"min_frequency": 3, "max_categories": 2}, "x", "abyz"),
        ({"min_frequency": 3, "max_categories": 3}, "xy", "abz"),
        ({"max_categories": None}, "abxyz", ""),
    ],
)
def test_levels_kept(options, levels, rare):
    code = code_of(TEXT, **options)
    assert (code.levels, code.rare, code.fill) == (tuple(levels), tuple(rare), "x")


def test_replacements_are_lower_medians_and_the_most_frequent_level():
    assert code_of([4.0, 1.0, 3.0, 2.0, np.nan], "numeric").fill == 2.0
    assert code_of([1.0, 0.0, 1.0, 0.0], "boolean").fill == 0.0
    assert code_of(["b", "a", None, "b", "a"]).fill == "a"
    days = np.array(["2020-01-03", "NaT", "2020-01-01"], "datetime64[us]")
    assert code_of(days, "date").fill == "2020-01-01"


def test_hours_are_inputs_if_times_differ():
    days = np.array(["2020-01-03", "2020-01-01"], "datetime64[us]")
    assert "hour" not in code_of(days, "date").parts
    assert "hour" in code_of(days + np.timedelta64(1, "h"), "date").parts


def test_columns_that_say_nothing_give_no_inputs():
    with pytest.warns(UserWarning, match="column 'c' holds text that is different in every row, and gives no inputs"):
        code = code_of([f"name {i}" for i in range(21)])
    assert not code.used and code.fill == "name 0"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert code_of([f"name {i}" for i in range(20)]).used  # each has a bit
        assert not code_of(["one", "one"]).used
    with pytest.warns(UserWarning, match="column 'c' holds no value known in the training rows, and gives no inputs"):
        assert not code_of([np.nan, np.nan], "numeric").used
    table = RawTable((RawColumn("c", "numeric", np.array([np.nan, np.nan])),))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(InputError, match="no column gives inputs"):
            fit_encoder(table, np.array([0, 1]))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=40), st.integers(1, 8))
def test_thresholds_separate_values(values, most):
    cuts = thresholds_of(np.array(values), most)
    different = sorted(set(values))
    assert len(cuts) == min(most, len(different) - 1) or (len(cuts) <= most < len(different) - 1 and cuts)
    assert list(cuts) == sorted(set(cuts)) and np.all(np.isfinite(cuts))
    for cut in cuts:
        below, above = [v for v in different if v < cut], [v for v in different if v >= cut]
        assert below and above and below[-1] < cut <= above[0]
    if len(different) <= most + 1:
        assert len({sum(v >= cut for cut in cuts) for v in different}) == len(different)


def test_thresholds_lie_at_quantiles():
    values = np.concatenate([np.zeros(60), np.arange(1.0, 41.0)])
    assert thresholds_of(values, 1) == (0.5,)  # the gap nearest to the half
    assert thresholds_of(np.arange(100.0), 4) == (19.5, 39.5, 59.5, 79.5)
    assert thresholds_of(np.array([-0.95, -0.91]), 1) == (-0.93,)  # not -0.9299999999999999
    one = np.array([1.0, np.nextafter(1.0, 2.0)])
    assert thresholds_of(one, 3) == (one[1],)  # the middle is the lower one


def gappy(seed, tells, m=1000, kind="numeric"):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2, m)
    gone = rng.random(m) < (0.1 + 0.3 * codes if tells else 0.25)
    values = rng.normal(size=m) if kind == "numeric" else rng.integers(0, 2, m) * 1.0
    return np.where(gone, np.nan, values), codes


@pytest.mark.parametrize("kind", ["numeric", "boolean"])
def test_missing_bits_are_given_where_they_pay(kind):
    counts = {True: 0, False: 0}
    for tells in counts:
        for seed in range(200):
            values, codes = gappy(seed, tells, kind=kind)
            counts[tells] += code_of(values, kind, codes).missing_bit
    assert counts[True] == 200 and counts[False] <= 26  # of many more, 6 to 10 % are given by chance


def test_missing_bits_on_request_and_never_without_gaps():
    values, codes = gappy(0, True)
    assert not code_of(values, "numeric", codes, missing_indicator="never").missing_bit
    assert not code_of(np.nan_to_num(values), "numeric", codes, missing_indicator="always").missing_bit
    values, codes = gappy(0, False)
    assert code_of(values, "numeric", codes, missing_indicator="always").missing_bit
    text = ["yes" if known else None for known in ~np.isnan(gappy(0, True)[0])]
    code = code_of(text, codes=gappy(0, True)[1])
    assert code.missing_bit and code.input_names == ("c missing",)  # the level itself has no bit


def test_of_equal_gaps_one_gets_a_bit():
    values, codes = gappy(1, True)
    columns = tuple(RawColumn(name, "numeric", values) for name in "ab")
    assert [code.missing_bit for code in fit_encoder(RawTable(columns), codes).columns] == [True, False]


def test_fits_repeat():
    values, codes = gappy(3, True)
    table = RawTable((RawColumn("a", "numeric", values), from_values("b", TEXT * 76 + ["x"] * 12)))
    assert fit_encoder(table, codes, seed=4) == fit_encoder(table, codes, seed=4)


@pytest.mark.parametrize(
    "options",
    [
        {"max_categories": 0}, {"max_categories": 2.0}, {"max_categories": True}, {"min_frequency": 0},
        {"min_frequency": 1.5}, {"min_frequency": True}, {"min_frequency": "few"}, {"thresholds": 0},
        {"thresholds": 1.0}, {"missing_indicator": "yes"}, {"missing_indicator": None},
    ],
)  # fmt: skip
def test_bad_options_are_refused(options):
    with pytest.raises(InputError, match=f"{next(iter(options))} must be"):
        EncoderOptions(**options)
