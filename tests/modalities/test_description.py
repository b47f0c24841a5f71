"""What `describe` says of columns, and that it says what `fit` then does."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from skfusion import ModalityTransformer, describe
from skfusion.modalities import Modality, TextModality, registry

N = 60


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "id": np.arange(N) + 7,
            "review": [
                f"the cloth {i} is {'soft' if i % 2 else 'torn'}" for i in range(N)
            ],
            "price": [f"${x:,.2f}" for x in rng.uniform(10, 5000, N)],
            "day": [f"{i % 28 + 1:02d}/12/{1950 + i}" for i in range(N)],
            "zip": [f"{10000 + i}" for i in range(N)],
            "state": rng.choice(["new", "used"], N),
            "sku": [f"SKU-{i}" for i in range(N)],
            "photo": [f"img/{i}.jpg" for i in range(N)],
            "sound": [(np.zeros(20), 8000)] * N,
            "vector": list(rng.normal(size=(N, 3))),
            "series": [np.arange(3.0 + i % 3) for i in range(N)],
            "const": ["x"] * N,
            "nothing": [None] * N,
            "rare": [*"ab", *[None] * (N - 2)],
            "size": np.where(np.arange(N) % 4, 1.5, np.nan),
        }
    )


KINDS = {
    "id": "number",
    "review": "text",
    "price": "number",
    "day": "date",
    "zip": "category",
    "state": "category",
    "sku": "category",
    "photo": "image",
    "sound": "audio",
    "vector": "vector",
    "series": "series",
    "const": "category",
    "nothing": "empty",
    "rare": "category",
    "size": "number",
}


def test_each_kind_is_named_and_has_a_reason(frame):
    found = describe(frame)
    assert found.kind.to_dict() == KINDS
    assert (found.reason != "").all()
    assert list(found.index) == list(frame.columns)
    assert found.loc["size", "present"] == pytest.approx(0.75)
    assert found.loc["state", "n_distinct"] == 2
    assert pd.isna(found.loc["vector", "n_distinct"])
    assert found.loc["vector", "example"] == "array of shape (3,), float64"
    assert found.loc["nothing", "example"] == ""


@pytest.mark.parametrize(
    ("column", "part"),
    [
        ("review", "words on average that rarely repeat"),
        ("price", "numbers written as text with '$'"),
        ("day", "(day, month, year)"),
        ("zip", "may be codes"),
        ("state", "strings that repeat: 2 distinct"),
        ("sku", "1.0 words"),
        ("photo", "names of image files"),
        ("sound", "(samples, rate)"),
        ("vector", "3 numbers each"),
        ("series", "arrays of numbers"),
        ("nothing", "every cell is missing"),
        ("id", "of type int64"),
    ],
)
def test_reasons_are_those_of_the_detection(frame, column, part):
    assert part in describe(frame).loc[column, "reason"]


@pytest.mark.parametrize(
    ("column", "part"),
    [
        ("id", "number the rows"),
        ("sku", "no other row has"),
        ("zip", "pandas.to_numeric"),
        ("const", "constant"),
        ("nothing", "nothing"),
        ("rare", "only 2 of 60"),
        ("review", ""),
        ("size", "constant"),
    ],
)
def test_warnings(frame, column, part):
    warning = describe(frame).loc[column, "warning"]
    assert part in warning
    assert bool(warning) == bool(part)


def test_dates_of_two_orders_are_told_of():
    found = describe(pd.DataFrame({"day": [f"0{i % 9 + 1}/02/2021" for i in range(N)]}))
    assert "month first" in found.loc["day", "warning"]


def test_what_it_says_is_what_fit_does(frame):
    """One source of truth: the same modalities, and the same kinds in the table."""
    frame = frame.drop(columns=["photo", "sound"])
    found = describe(frame)
    with pytest.warns(UserWarning, match="sku"):
        fitted = ModalityTransformer().fit(frame)
    for name, modality, columns in fitted.modalities_:
        assert found.index[found.modality == name].tolist() == columns.names
        if name == "tabular":
            kinds = dict(zip(columns.names, modality.kinds_, strict=True))
            assert found.loc[columns.names, "kind"].to_dict() == kinds
        else:
            assert found.loc[columns.names, "kind"].tolist() == [modality.short_name]


@pytest.mark.parametrize("values", [[1.0, np.inf] * 9, [["a"], ["b"]] * 9], ids=str)
def test_what_fit_refuses_is_a_warning(values):
    frame = pd.DataFrame({"odd": pd.Series(values)})
    with pytest.raises((ValueError, TypeError)):
        ModalityTransformer().fit(frame)
    assert "fit would refuse it" in describe(frame).loc["odd", "warning"]


def test_given_modalities_beside_the_automatic_choice(frame):
    found = describe(
        frame,
        modalities=[
            ("words", "text", ["review", "sku"]),
            ("tfidf", TfidfVectorizer(), "review"),
            ("facts", "tabular", ["price"]),
        ],
    )
    assert found.loc["review", "modality"].tolist() == ["words", "tfidf"]
    assert found.loc["review", "kind"].tolist() == ["text", "TfidfVectorizer"]
    assert "automatic choice is tabular" in found.loc["sku", "reason"]
    assert "automatic" not in found.loc["price", "reason"]
    assert found.loc["state", "modality"] == ""
    assert "no modality reads it" in found.loc["state", "reason"]
    assert "not used" in repr(found)


def test_given_transformer_is_left_unfitted(frame):
    modalities = ModalityTransformer([("words", TextModality(), "review")])
    describe(frame, modalities=modalities)
    assert not hasattr(modalities, "modalities_")


def test_wrong_column_is_the_error_of_fit(frame):
    with pytest.raises(ValueError, match="Did you mean 'review'"):
        describe(frame, modalities=[("words", "text", "revie")])


def test_polars_and_dict_say_the_same(frame):
    pl = pytest.importorskip("polars")
    frame = frame[["id", "review", "price", "day", "zip", "state", "size", "nothing"]]
    told = ["modality", "kind", "present", "n_distinct", "warning"]
    expected = describe(frame)[told]
    for same in (pl.from_pandas(frame), frame.to_dict("list")):
        pd.testing.assert_frame_equal(describe(same)[told], expected)


def test_arrays_are_described_as_fit_reads_them():
    numbers = describe(np.ones((N, 2)))
    assert numbers.kind.tolist() == ["number"] * 2
    assert numbers.modality.tolist() == ["tabular"] * 2
    rows = describe([[f"a soft cloth {i}", i] for i in range(N)])
    assert rows.kind.tolist() == ["text", "number"]
    with pytest.raises(ValueError, match="2D array"):
        describe(np.ones(3))


def test_odd_cells_do_not_stop_it():
    frame = pd.DataFrame(
        {
            "mixed": pd.Series([1, "a", None, dt.date(2020, 1, 1)] * 5, dtype=object),
            "complex": np.ones(20) * 1j,
            "bytes": [b"x" * 100] * 20,
        }
    )
    found = describe(frame)
    assert len(found) == 3
    assert "Complex" in found.loc["complex", "warning"]
    assert found.loc["bytes", "example"] == "100 bytes"


def test_shown_in_lines_that_fit(frame):
    wide = pd.DataFrame({f"c{i}": ["x" * 500, "y"] for i in range(80)})
    text = repr(describe(wide))
    assert max(map(len, text.splitlines())) <= 88
    assert text.endswith("... and 20 more")
    assert type(describe(frame)[["kind"]]) is pd.DataFrame
    assert "rarely repeat" in describe(frame)._repr_html_()


def test_own_modality_says_why(monkeypatch):
    class Answer(Modality):
        short_name, detection_rank = "answer", -1
        transform = build_encoder = features = None

        @classmethod
        def detect(cls, column):
            return bool(column.isin(["yes", "no"]).all())

    monkeypatch.setattr(registry, "_classes", [*registry._classes, Answer])
    Answer.__abstractmethods__ = frozenset()
    found = describe(pd.DataFrame({"a": ["yes", "no"] * 9}))
    assert found.loc["a", ["kind", "reason"]].tolist() == [
        "answer",
        "Answer detects it",
    ]


def test_a_column_is_asked_about_once(monkeypatch):
    """Detection is what takes time where columns are long."""
    calls = []
    detect = TextModality.detect.__func__
    monkeypatch.setattr(
        TextModality,
        "detect",
        classmethod(lambda cls, column: calls.append(column) or detect(cls, column)),
    )
    describe(pd.DataFrame({"a": [f"a soft cloth {i}" for i in range(N)]}))
    assert len(calls) == 1


@pytest.mark.parametrize("kind", [int, float])
def test_numbers_of_the_rows_of_a_split_are_told_of(kind):
    rng = np.random.default_rng(0)
    rows = np.sort(rng.permutation(200)[:150]) + 1000
    frame = pd.DataFrame({"row": rows, "salary": rng.integers(20_000, 90_000, 150)})
    warning = describe(frame.astype(kind))["warning"]
    assert "number the rows" in warning["row"]
    assert not warning["salary"]
    assert not describe(frame.head(30))["warning"]["row"]


def test_texts_that_repeat_are_not_said_to_be_rare():
    places = [
        f"{a} of {b}" for a in ("House", "Field", "Lake") for b in "ABCDEFGHIJKLM"
    ]
    frame = pd.DataFrame({"place": places * 4})
    found = describe(frame).loc["place"]
    assert found["kind"] == "text"
    assert "repeat, 39 distinct in 156 cells" in found["reason"]


@pytest.mark.parametrize("form", ["tt{:07d}", "z{:06d}", "pm{:08d}", "tz-{:04d}"])
def test_identifiers_are_not_taken_for_dates(form):
    warning = describe(pd.DataFrame({"id": [form.format(i) for i in range(60)]}))
    assert "identifiers" in warning.loc["id", "warning"]


@pytest.mark.parametrize(
    "form",
    [
        "12:{:02d} 3 Mar-Apr 20",
        "{:02d}:30 am, 4:15 pm",
        "2020-01-01T10:{:02d}Z / 11:00Z",
    ],
)
def test_dates_that_cannot_be_read_are_still_called_so(form):
    cells = [form.format(i) for i in range(60)]
    warning = describe(pd.DataFrame({"when": cells})).loc["when", "warning"]
    assert "dates or times" in warning
