"""Text that holds numbers or dates."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from skfusion.modalities.tabular import TabularModality
from skfusion.modalities.tabular.parsing import DateText, NumberText

NAN = np.nan


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["$1,234.50", "$99", "-$3.5", "$(7)", "($7)"], [1234.5, 99, -3.5, NAN, -7]),
        (["29 %", "3.5%", "100"], [29, 3.5, 100]),
        (["1.234,50 €", "99,9 €", "3 €"], [1234.5, 99.9, 3]),
        (["1 234,5", "1\u202f234\u00a0567,25", "0,5"], [1234.5, 1234567.25, 0.5]),
        (["₹1,23,456", "₹12,34,567.5", "₹500"], [123456, 1234567.5, 500]),
        (["CHF 1'200", "CHF 3.20"], [1200, 3.2]),
        (["￥1,000", "￥\uff12\uff15\uff10"], [1000, 250]),
        (["\u0661\u0662\u066b\u0665", "\u0663\u066b\u0660"], [12.5, 3]),
        (["30.5 m²", "1 m²"], [30.5, 1]),
        (["12 kg", "3.5 kg", "1e3kg"], [12, 3.5, 1000]),
        (["1e-5", "2E+3", "\u22127.5"], [1e-5, 2000, -7.5]),
        (["1,000+", "50,000+", "5+"], [1000, 50000, 5]),
        (["36 months", "60 months"], [36, 60]),
        (["10:30", "0:05:07.5"], [37800, 307.5]),
        ([1.5, "2.5", "?", 3], [1.5, 2.5, NAN, 3]),
        (["1.5", "?", "n/a", " NaN ", "-", "2"], [1.5, NAN, NAN, NAN, NAN, 2]),
        ([str(i) for i in range(40)], range(40)),
        (["12,5", "1,250", "3"], [12.5, 1.25, 3]),
    ],
    ids=lambda v: str(v[0]),
)
def test_numbers_are_read_from_text(cells, numbers):
    form = NumberText.learn([cell for cell in cells if cell != "$(7)"])
    np.testing.assert_array_equal(form.read(cells), numbers)
    assert DateText.learn(cells) is None


@pytest.mark.parametrize(
    "cells",
    [
        ["1", "2", "3"] * 9,  # codes, as likely as not
        [f"{i:05d}" for i in range(0, 90000, 300)],
        [f"41111111111111{i:02d}" for i in range(50)],
        ["$5", "€7"] * 9,
        ["19M", "8.7M", "201k"] * 9,
        ["10-20", "20-30"] * 9,
        ["5A", "6B"] * 9,
        ["ABC12", "ABC13"] * 9,
        ["1.2.3", "1.10.2"] * 9,
        ["192.168.1.1", "10.0.0.1"] * 9,
        ["555-123-4567", "+33 6 12 34 56 78"] * 9,
        ["low", "1.5", "2.5", "3.5", "high", "4.5"] * 9,
        ["true", "false"] * 9,
        ["inf", "1" * 400] * 9,
        ["?", "n/a"] * 9,
        ["may", "june"] * 9,
        ["12 Main St", "5 May Rd"] * 9,
        ["2019/20", "2020/21"] * 9,
        [],
    ],
    ids=lambda v: str(v[:1]),
)
def test_other_text_is_neither_number_nor_date(cells):
    assert NumberText.learn(cells) is None
    assert DateText.learn(cells) is None


DAY = pd.Timestamp("2021-01-25")


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2021-01-25", DAY),
        ("2021/1/25", DAY),
        ("25.01.2021", DAY),
        ("01/25/2021", DAY),
        ("25/01/2021", DAY),
        ("25-01-21", DAY),
        ("2021-01", DAY.replace(day=1)),
        ("Jan 2021", DAY.replace(day=1)),
        ("25 Jan 2021", DAY),
        ("January 25th, 2021", DAY),
        ("Mon, 25-Jan-2021", DAY),
        ("25JAN2021", DAY),
        ("2021年1月25日", DAY),
        ("2021-01-25 13:04", DAY + pd.Timedelta("13:04:00")),
        ("2021-01-25T13:04:05.678901234", DAY + pd.Timedelta("13:04:05.678901")),
        ("1/25/2021 1:04 PM", DAY + pd.Timedelta("13:04:00")),
        ("1/25/2021 12:04 a.m.", DAY + pd.Timedelta("00:04:00")),
        ("25 August 2021 13:04", DAY.replace(month=8) + pd.Timedelta("13:04:00")),
        ("2021-01-25T13:04:05Z", DAY.tz_localize("UTC") + pd.Timedelta("13:04:05")),
        ("2021-01-25 13:04+02:00", DAY.tz_localize("UTC") + pd.Timedelta("11:04:00")),
        ("Mon, 25 Jan 2021 13:04:05 GMT", pd.Timestamp("2021-01-25 13:04:05Z")),
    ],
)
def test_dates_are_read_from_text(text, date):
    cells = [text] * 9 + ["?"]
    form = DateText.learn(cells)
    assert form.read(cells).tolist() == [date] * 9 + [pd.NaT]
    assert not form.ambiguous
    assert NumberText.learn(cells) is None


def test_dates_that_begin_with_day_or_month_are_ambiguous():
    assert DateText.learn(["01/02/2021", "03/04/2021"]).ambiguous
    assert not DateText.learn(["01/02/2021", "13/04/2021"]).ambiguous
    assert not DateText.learn(["01/01/2021", "02/02/2021"]).ambiguous
    X = pd.DataFrame({"day": ["01/02/2021", "03/04/2021"]})
    with pytest.warns(UserWarning, match="'day' .* is read with the month first"):
        block = TabularModality().fit_transform(X)
    assert block.arrays["numbers"][0, 0] < block.arrays["numbers"][1, 0]


def test_date_text_of_several_offsets_is_in_utc():
    one = DateText.learn(["2021-01-25 13:04+02:00"] * 3)
    assert one.zone.utcoffset(None) == dt.timedelta(hours=2)
    several = DateText.learn(["2021-01-25 13:04+02:00", "2021-01-25 13:04+03:00"])
    assert several.zone is dt.UTC


# ---------------------------------------------------------------- in a table


@pytest.mark.parametrize(
    ("cells", "what", "new"),
    [
        ([*(f"${i}.50" for i in range(39)), "free"], "number", "later"),
        ([*map(str, np.arange(39) / 8), "?"], "number", "a lot"),
        ([*pd.date_range("2020", periods=39).strftime("%d/%m/%Y"), "soon"], "date", 3),
    ],
    ids=["price", "question mark", "date"],
)
def test_cells_that_do_not_agree_are_missing_and_told_of(cells, what, new):
    X = pd.DataFrame({"it": cells, "n": 1.0}, index=[f"r{i}" for i in range(40)])
    modality = TabularModality()
    told = rf"1 cell\(s\) of column 'it' are no {what} .* {cells[-1]!r} in row 'r39'"
    with pytest.warns(UserWarning, match=told.replace("?", r"\?")) as caught:
        block = modality.fit_transform(X)
    assert len(caught) == 1
    assert modality.kinds_ == [what, "number"]
    assert block.arrays["missing"][:, 0].tolist() == [0] * 39 + [1]
    fine = X.assign(it=[*cells[:-1], "?"])
    np.testing.assert_array_equal(np.asarray(modality.transform(fine)), block)
    with pytest.warns(UserWarning, match=f"no {what} .*'{new}' in row 'r39'"):
        other = modality.transform(X.assign(it=[*cells[:-1], new]).astype({"it": str}))
    np.testing.assert_array_equal(np.asarray(other), block)


def test_number_text_equals_the_numbers():
    x = np.random.default_rng(0).uniform(10, 5000, 40).round(2)
    modality = TabularModality().fit(pd.DataFrame({"p": [f"${v:,.2f}" for v in x]}))
    ours = modality.transform(pd.DataFrame({"p": [f"{v:,.2f}" for v in x]}))
    numbers = pd.DataFrame({"p": x})
    theirs = TabularModality().fit_transform(numbers)
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
    np.testing.assert_array_equal(np.asarray(modality.transform(numbers)), ours)


def test_declared_categories_stay_categories():
    X = pd.DataFrame({"p": pd.Categorical(["1.5", "2.5"] * 9)})
    assert TabularModality().fit(X).kinds_ == ["category"]


@pytest.mark.parametrize(
    ("cell", "form"),
    [
        ("https://example.org/{}.jpg", "URLs"),
        ("p{}@example.org", "e-mail"),
        ("3f2504e0-4f89-11d3-9a0c-0305e82c{:04d}", "identifiers"),
        ("data:image/png;base64,iVBORw0KGgo{}", "base64"),
        ("iVBORw0KGgoAAAANSUhEUgAAAAgAAAAIAQMAAAD+wSzI{:04d}==", "base64"),
        ("[0.5, {}]", "lists"),
        ("scans/{}.dcm", "names of files"),
        ("my scans/new one {}.dcm", "names of files"),
        ("{:02d}:30 PM", "times"),
        ("SKU-{}-A", "identifiers"),
        ("{:05d}", "identifiers"),
        ("第{}号", "short texts"),
    ],
)
def test_strings_that_say_nothing_are_told_of_by_what_they_look_like(cell, form):
    X = pd.DataFrame({"it": [cell.format(i) for i in range(1, 13)], "n": 1.0})
    with pytest.warns(UserWarning, match=f"12 of 12 .* 'it' .*like .*{form}") as caught:
        modality = TabularModality().fit(X)
    assert len(caught) == 1
    assert modality.kinds_[0] == "category"
    TabularModality().fit(pd.concat([X, X]))  # categories that repeat


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([f"{92000 + 7 * (i % 83)}" for i in range(300)], "category"),  # ZIP codes
        ([f"{10000 + 13 * i}" for i in range(300)], "category"),  # one a row
        ([f"{i % 60}" for i in range(300)], "category"),  # they repeat
        ([f"{37 * i}" for i in range(300)], "number"),
        ([f"{1000 + 0.5 * i}" for i in range(300)], "number"),
        ([f"${1000 + i}" for i in range(300)], "number"),
        ([f"{i - 150}" for i in range(300)], "number"),
    ],
)
@pytest.mark.filterwarnings("ignore:TabularModality")
def test_whole_numbers_that_may_be_codes_are_categories(cells, kind):
    modality = TabularModality().fit(pd.DataFrame({"code": cells}))
    assert modality.kinds_ == [kind]
