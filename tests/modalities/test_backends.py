"""A table means the same as NumPy, Arrow, pandas' nullable types or polars hold it."""

import datetime as dt
import decimal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from skfusion import FusionClassifier, ModalityTransformer

N = 40
RNG = np.random.default_rng(0)
ZONE = ZoneInfo("Europe/Berlin")
START = dt.datetime(2024, 1, 30, 5)


def column(make, *, missing=(3, 17)):
    return [None if i in missing else make(i) for i in range(N)]


TEXTS = column(lambda i: f"{'lovely' if i % 2 else 'awful'} cloth of number {i}")
#: Cells and Arrow type of each kind of column; row 3 is missing everywhere.
KINDS = {
    "int": (column(lambda i: i % 7), pa.int64()),
    "int8": (column(lambda i: i % 7), pa.int8()),
    "complete": (list(range(N)), pa.int64()),
    "float": (column(lambda i: i / 7), pa.float64()),
    "float32": (column(lambda i: i / 8), pa.float32()),
    "bool": (column(lambda i: i % 3 == 0), pa.bool_()),
    "decimal": (column(lambda i: decimal.Decimal(i) / 8), pa.decimal128(10, 3)),
    "category": (
        column(lambda i: "abc"[i % 3]),
        pa.dictionary(pa.int32(), pa.string()),
    ),
    "string": (column(lambda i: "abc"[i % 3]), pa.string()),
    "large_string": (column(lambda i: "abc"[i % 3]), pa.large_string()),
    "price": (column(lambda i: f"${1000 + 7.5 * i:,.2f}"), pa.large_string()),
    "date as text": (column(lambda i: f"{i % 28 + 1}.{i % 12 + 1}.2024"), pa.string()),
    "text": (TEXTS, pa.string()),
    "large text": (TEXTS, pa.large_string()),
    "text as category": (TEXTS, pa.dictionary(pa.int32(), pa.string())),
    "date32": (column(lambda i: (START + dt.timedelta(i)).date()), pa.date32()),
    "timestamp": (
        column(lambda i: START + dt.timedelta(hours=7 * i)),
        pa.timestamp("us"),
    ),
    "timestamp with zone": (
        column(lambda i: (START + dt.timedelta(hours=99 * i)).replace(tzinfo=ZONE)),
        pa.timestamp("us", tz="Europe/Berlin"),
    ),
    "duration": (column(lambda i: dt.timedelta(hours=i)), pa.duration("us")),
    "time": (column(lambda i: dt.time(i % 24, i)), pa.time64("us")),
    "vector": (column(lambda i: [i / 2, 1.0, -i]), pa.list_(pa.float64())),
    "fixed vector": (column(lambda i: [i / 2, 1.0, -i]), pa.list_(pa.float64(), 3)),
    "vector with gaps": (
        column(lambda i: [i / 2, None if i % 5 == 0 else 1.0]),
        pa.list_(pa.float64()),
    ),
    "series with gaps": (
        column(lambda i: [i / 2, None if i % 5 == 0 else 1.0, *[2.0] * (i % 3)]),
        pa.list_(pa.float64()),
    ),
    "large vector": (column(lambda i: [i / 2, -i]), pa.large_list(pa.float32())),
    "series": (column(lambda i: [1.0] * (3 + i % 4)), pa.list_(pa.float64())),
    "channels": (
        column(lambda i: [[1.0 * i] * 9, [2.0] * 9]),
        pa.list_(pa.list_(pa.float64())),
    ),
    "null": ([None] * N, pa.null()),
}
#: What polars calls a type that it would not find by itself.
POLARS = {
    "category": pl.Categorical,
    "text as category": pl.Enum(sorted(filter(None, TEXTS))),
    "int8": pl.Int8,
    "float32": pl.Float32,
    "fixed vector": pl.Array(pl.Float64, 3),
    "timestamp with zone": pl.Datetime("us", "Europe/Berlin"),
    "vector": pl.List(pl.Float64),
    "decimal": pl.Decimal(10, 3),
}


def frames(names):
    """The columns in frames of NumPy, Arrow and nullable arrays, and one of polars."""
    arrays = {name: pa.array(KINDS[name][0], type=KINDS[name][1]) for name in names}
    numpy = pd.DataFrame({name: array.to_pandas() for name, array in arrays.items()})
    arrow = pd.DataFrame(
        {n: pd.Series(a, dtype=pd.ArrowDtype(a.type)) for n, a in arrays.items()}
    )
    polars = pl.DataFrame(
        [pl.Series(n, KINDS[n][0], dtype=POLARS.get(n), strict=False) for n in names]
    )
    return numpy, arrow, numpy.convert_dtypes(), polars


def described(frame, fitted=None):
    """What the automatic choice makes of a frame, and the arrays it gives."""
    fitted = ModalityTransformer().fit(frame) if fitted is None else fitted
    blocks = fitted.transform(frame).blocks
    kinds = {name: type(m).__name__ for name, m, _ in fitted.modalities_}
    kinds["table"] = getattr(fitted.modalities_[-1][1], "kinds_", None)
    arrays = {
        (name, key): np.asarray(array)
        for name, block in blocks.items()
        for key, array in {**block.arrays, "present": block.present}.items()
    }
    return fitted, kinds, arrays


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_column_is_the_same_in_all(name):
    numpy, *other_frames = frames([name])
    fitted, kinds, arrays = described(numpy)
    for frame in other_frames:
        _, other_kinds, others = described(frame)
        _, _, crossed = described(frame, fitted)
        assert other_kinds == kinds
        for key, array in arrays.items():
            np.testing.assert_array_equal(others[key], array)
            np.testing.assert_array_equal(crossed[key], array)


@pytest.mark.parametrize(
    ("name", "modality", "kind"),
    [
        ("decimal", "TabularModality", "number"),
        ("bool", "TabularModality", "number"),
        ("time", "TabularModality", "number"),
        ("price", "TabularModality", "number"),
        ("large_string", "TabularModality", "category"),
        ("category", "TabularModality", "category"),
        ("date32", "TabularModality", "date"),
        ("date as text", "TabularModality", "date"),
        ("timestamp with zone", "TabularModality", "date"),
        ("null", "TabularModality", "empty"),
        ("large text", "TextModality", None),
        ("text as category", "TextModality", None),
        ("vector", "VectorModality", None),
        ("fixed vector", "VectorModality", None),
        ("series", "SeriesModality", None),
        ("channels", "SeriesModality", None),
    ],
)
def test_kinds_are_what_they_hold(name, modality, kind):
    _, kinds, _ = described(frames([name])[1])
    assert kinds[name if kind is None else "tabular"] == modality
    assert kinds["table"] == (None if kind is None else [kind])


def test_the_same_frame_gives_the_same_model(whole):
    y = np.arange(N) % 2
    names = [
        "complete",
        "float",
        "bool",
        "decimal",
        "category",
        "price",
        "text",
        "date32",
    ]
    names += ["timestamp with zone", "vector"]
    numpy, *others = frames(names)
    model = FusionClassifier(**whole).fit(numpy, y)
    expected = model.predict_proba(numpy)
    for frame in others:
        np.testing.assert_array_equal(model.predict_proba(frame), expected)
        own = FusionClassifier(**whole).fit(frame, y)
        assert own.modality_names_ == model.modality_names_
        np.testing.assert_array_equal(own.predict_proba(frame), expected)
