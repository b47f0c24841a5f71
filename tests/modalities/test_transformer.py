import io
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import soundfile
from PIL import Image
from sklearn.base import clone
from sklearn.compose import make_column_selector
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import estimator_html_repr

from skfusion import ModalityTransformer
from skfusion.batch import ModalityBatch
from skfusion.modalities import (
    AudioModality,
    EstimatorModality,
    ImageModality,
    Modality,
    SeriesModality,
    TabularModality,
    TextModality,
    TransformerModality,
    VectorModality,
    registry,
)

N = 40


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "a": rng.normal(size=N),
            "b": rng.normal(size=N),
            "c": rng.normal(size=N),
            "d": rng.choice(["x", "y"], N),
            "note": [f"word{i % 7} and word{i % 3}" for i in range(N)],
        },
        index=[f"r{i}" for i in range(N)],
    )


def columns_of(transformer):
    """What each modality was given, by name."""
    return {name: list(c.names) for name, _, c in transformer.modalities_}


def only(columns, transformer="vector"):
    return ModalityTransformer([("it", transformer, columns)])


# ---------------------------------------------------------------- columns


@pytest.mark.parametrize(
    "columns, expected",
    [
        ("b", ["b"]),
        (["c", "a"], ["c", "a"]),
        (1, ["b"]),
        (-3, ["c"]),
        (np.int64(2), ["c"]),
        ([0, 2], ["a", "c"]),
        (slice(1, 3), ["b", "c"]),
        (slice("a", "c"), ["a", "b", "c"]),
        ([True, False, True, False, False], ["a", "c"]),
        (np.array([False, True, False, False, False]), ["b"]),
        (pd.Index(["b", "a"]), ["b", "a"]),
        (make_column_selector(dtype_include="number"), ["a", "b", "c"]),
        (lambda X: [c for c in X.columns if c < "c"], ["a", "b"]),
    ],
    ids=[
        "name",
        "names",
        "position",
        "negative",
        "numpy-integer",
        "positions",
        "slice-of-positions",
        "slice-of-names",
        "mask",
        "array-mask",
        "index",
        "selector",
        "function",
    ],
)
def test_columns_are_chosen_as_in_column_transformer(frame, columns, expected):
    transformer = only(columns).fit(frame)
    assert columns_of(transformer) == {"it": expected}
    x = transformer.transform(frame).blocks["it"].arrays["x"]
    own = VectorModality().fit(frame[expected]).transform(frame[expected])
    np.testing.assert_array_equal(x, own.arrays["x"])


def test_numpy_arrays_are_read_by_position(frame):
    X = frame[["a", "b", "c"]].to_numpy()
    by_position = only([2, 0]).fit(X).transform(X)
    by_name = only(["c", "a"]).fit(frame).transform(frame)
    np.testing.assert_array_equal(
        by_position.blocks["it"].arrays["x"], by_name.blocks["it"].arrays["x"]
    )


def test_a_column_may_feed_several_modalities(frame):
    batch = ModalityTransformer(
        [("one", "vector", ["a"]), ("two", "tabular", ["a", "d"])]
    ).fit_transform(frame)
    assert batch.names == ("one", "two")


def test_unused_columns_are_neither_read_nor_needed(frame):
    transformer = only(["a"]).fit(frame)
    other = frame[["a"]].assign(new="?")
    np.testing.assert_array_equal(
        transformer.transform(other).blocks["it"].arrays["x"],
        transformer.transform(frame).blocks["it"].arrays["x"],
    )


def test_order_of_columns_does_not_matter(frame):
    transformer = ModalityTransformer(
        [("v", "vector", ["a", "b"]), ("t", "text", "note")]
    ).fit(frame)
    straight = transformer.transform(frame)
    reversed_ = transformer.transform(frame[frame.columns[::-1]])
    for name in straight.names:
        np.testing.assert_array_equal(
            np.asarray(straight.blocks[name]), np.asarray(reversed_.blocks[name])
        )


def test_polars_frame_gives_what_pandas_gives(frame):
    triples = [
        ("v", "vector", ["a", "b"]),
        ("t", "text", "note"),
        ("f", "tabular", ["c", "d"]),
    ]
    frame = frame.reset_index(drop=True)
    frame.loc[3, ["a", "b"]] = np.nan
    frame.loc[4, "note"] = None
    frame.loc[5, "d"] = None
    other = pl.DataFrame(
        {c: [None if pd.isna(v) else v for v in frame[c]] for c in frame.columns}
    )
    ours = ModalityTransformer(triples).fit_transform(frame)
    theirs = ModalityTransformer(triples).fit_transform(other)
    np.testing.assert_array_equal(ours.present, theirs.present)
    for name in ours.names:
        np.testing.assert_allclose(
            np.asarray(ours.blocks[name]), np.asarray(theirs.blocks[name]), rtol=1e-6
        )


class Shapes(FunctionTransformer):
    """Records what it is given."""

    def fit(self, X, y=None):
        self.seen_ = type(X), X.shape
        return super().fit(X, y)


def test_a_name_gives_a_series_and_a_list_gives_a_frame(frame):
    def seen(columns, transformer):
        fitted = only(columns, transformer).fit(frame).named_modalities_.it
        return fitted.transformer_[0].seen_

    frame["note"] = SENTENCES + SENTENCES[:10]
    text = make_pipeline(Shapes(), TfidfVectorizer())
    assert seen("note", text) == (pd.Series, (30,))  # distinct rows
    table = make_pipeline(Shapes(), StandardScaler())
    assert seen(["a"], table) == (pd.DataFrame, (N, 1))
    with pytest.raises(ValueError, match="Expected a 2-dimensional container"):
        seen("a", table)  # as in ColumnTransformer


def test_transformer_must_give_a_row_for_each(frame):
    frame["note"] = [f"note {i}" for i in range(N)]
    columns_as_rows = make_pipeline(FunctionTransformer(), TfidfVectorizer())
    with pytest.raises(ValueError, match=r"'it': Pipeline gave 1 rows for 40; .*"):
        only(["note"], columns_as_rows).fit(frame)
    fitted = only("note", FunctionTransformer(lambda s: np.ones((N, 1)))).fit(frame)
    with pytest.raises(ValueError, match="FunctionTransformer gave 40 rows for 3"):
        fitted.transform(frame[:3])


NAMES = {
    "tuples": pd.MultiIndex.from_tuples([("a", "x"), ("a", "y"), ("b", "x")]),
    "dates": pd.date_range("2024", periods=3),
    "integers": pd.Index([7, 5, 1]),
    "periods": pd.period_range("2024", periods=3, freq="M"),
}


@pytest.mark.parametrize("names", NAMES.values(), ids=list(NAMES))
def test_columns_may_have_names_of_any_kind(frame, names):
    X = frame[["a", "b", "note"]].set_axis(names, axis=1)
    a, b, note = X.columns
    given = ModalityTransformer([("v", "vector", [a, b]), ("t", "text", note)])
    automatic = ModalityTransformer()
    for transformer in (given, automatic):
        batch = transformer.fit_transform(X)
        again = transformer.transform(X[X.columns[::-1]])
        assert len(batch.names) == 2 or transformer is automatic
        for name in batch.names:
            np.testing.assert_array_equal(
                np.asarray(batch.blocks[name]), np.asarray(again.blocks[name])
            )
        with pytest.raises(ValueError, match="X lacks the column"):
            transformer.transform(X.drop(columns=[b]))
    assert columns_of(given) == {"v": [a, b], "t": [note]}


def test_arrays_and_frames_are_matched_by_position_with_a_warning(frame):
    X = frame[["a", "b", "c"]]
    by_name, by_position = only(["c", "a"]).fit(X), only([2, 0]).fit(X.to_numpy())
    expected = np.asarray(by_name.transform(X).blocks["it"])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        array = by_name.transform(X.to_numpy())
    with pytest.warns(UserWarning, match="fitted without feature names"):
        named = by_position.transform(X)
    for batch in (array, named):
        np.testing.assert_array_equal(np.asarray(batch.blocks["it"]), expected)


# ---------------------------------------------------------------- triples


def test_every_short_name_stands_for_a_modality_with_its_defaults(frame):
    known = registry.by_short_name()
    assert set(known) == {"tabular", "text", "image", "audio", "series", "vector"}
    assert all(isinstance(known[name](), Modality) for name in known)
    fitted = only(["a", "b"], "vector").fit(frame).named_modalities_.it
    assert fitted.get_params() == VectorModality().get_params()


def test_modalities_keep_the_order_in_which_they_are_given(frame):
    triples = [("z", "vector", ["a"]), ("m", "text", "note"), ("b", "tabular", ["d"])]
    transformer = ModalityTransformer(triples).fit(frame)
    assert transformer.modality_names_ == ("z", "m", "b")
    assert transformer.transform(frame).names == ("z", "m", "b")


@pytest.mark.parametrize("name", ["keys", "items", "values", "type", "float", "a.b"])
def test_awkward_names_are_welcome(frame, name):
    assert ModalityTransformer([(name, "vector", ["a"])]).fit_transform(
        frame
    ).names == (name,)


def test_dropped_modality_is_left_out(frame):
    transformer = ModalityTransformer(
        [("v", "vector", ["a"]), ("t", "drop", "note")]
    ).fit(frame)
    assert transformer.modality_names_ == ("v",)


def test_any_scikit_learn_transformer_is_a_vector(frame):
    transformer = ModalityTransformer(
        [
            ("pca", make_pipeline(StandardScaler(), PCA(2)), ["a", "b", "c"]),
            ("tfidf", TfidfVectorizer(), "note"),
        ]
    )
    batch = transformer.fit_transform(frame)
    assert isinstance(transformer.named_modalities_.pca, TransformerModality)
    assert batch.blocks["pca"].arrays["x"].shape == (N, 2)
    words = batch.blocks["tfidf"].arrays["x"]
    assert words.format == "csr"
    assert words.shape[1] == 8


def test_groups_reach_the_modalities_that_take_them():
    frame = pd.DataFrame({"name": ["Ann"] * 4 + ["Bob"] * 4, "age": [30.0, 31.0] * 4})
    triples = [("facts", "tabular", ["name"]), ("age", StandardScaler(), ["age"])]
    for fit in ("fit", "fit_transform"):
        transformer = ModalityTransformer(triples)
        getattr(transformer, fit)(frame, groups=frame["name"])
        facts = transformer.named_modalities_["facts"]
        assert len(facts.categories_["name"]) == 0
    with pytest.raises(ValueError, match=r"groups must be of shape \(8,\)"):
        transformer.fit(frame, groups=[1, 2])


def test_objects_in_the_triples_are_not_fitted_themselves(frame):
    given = VectorModality(), StandardScaler()
    ModalityTransformer([("v", given[0], ["a"]), ("s", given[1], ["b"])]).fit_transform(
        frame
    )
    assert not hasattr(given[0], "width_")
    assert not hasattr(given[1], "scale_")


def test_experts_are_cross_fitted_on_training_rows_only(frame):
    y = np.arange(N) % 2
    transformer = only(["a", "b"], EstimatorModality(LogisticRegression()))
    fitted = transformer.fit_transform(frame, y).blocks["it"].arrays["logits"]
    later = transformer.transform(frame).blocks["it"].arrays["logits"]
    assert not np.allclose(fitted, later)
    expert = LogisticRegression().fit(frame[["a", "b"]], y)
    assert (
        np.corrcoef(later[:, 1], expert.decision_function(frame[["a", "b"]]))[0, 1]
        > 0.99
    )


# ---------------------------------------------------------------- parameters


@pytest.fixture
def nested():
    return ModalityTransformer(
        [("text", TextModality(), "note"), ("facts", "tabular", ["a", "d"])]
    )


def test_parameters_of_a_modality_are_nested(nested):
    assert nested.get_params()["text__max_tokens"] == TextModality().max_tokens
    nested.set_params(text__max_tokens=7)
    assert nested.modalities[0][1].max_tokens == 7


def test_modality_can_be_replaced_by_name(nested, frame):
    nested.set_params(facts="drop", text=TfidfVectorizer())
    assert nested.fit(frame).modality_names_ == ("text",)


def test_setting_a_parameter_of_a_short_name_makes_the_modality(nested, frame):
    nested.set_params(facts__max_tokens=3)
    assert nested.fit(frame).named_modalities_.facts.max_tokens == 3


def test_clone_has_the_same_parameters_and_no_state(nested, frame):
    again = clone(nested.fit(frame))
    assert not hasattr(again, "modalities_")
    assert str(again.get_params()) == str(nested.get_params())


def test_setting_a_parameter_of_a_clone_leaves_the_original(nested):
    before = nested.modalities[0][1].max_tokens
    clone(nested).set_params(text__max_tokens=before + 1, facts__max_tokens=3)
    assert nested.modalities[0][1].max_tokens == before
    assert nested.modalities[1][1] == "tabular"


def test_unknown_nested_parameter_is_refused(nested):
    with pytest.raises(ValueError, match="Invalid parameter 'nonsense'"):
        nested.set_params(text__nonsense=1)


def test_pickle_keeps_the_fitted_modalities(nested, frame):
    again = pickle.loads(pickle.dumps(nested.fit(frame)))
    one, two = nested.transform(frame), again.transform(frame)
    for name in one.names:
        np.testing.assert_array_equal(
            np.asarray(one.blocks[name]), np.asarray(two.blocks[name])
        )


def test_fit_records_the_columns(nested, frame):
    nested.fit(frame)
    assert nested.n_features_in_ == 5
    assert list(nested.feature_names_in_) == list(frame.columns)


def test_transform_gives_a_batch_that_carries_the_fitted_modalities(nested, frame):
    batch = nested.fit_transform(frame)
    assert isinstance(batch, ModalityBatch)
    assert batch.modalities["text"] is nested.named_modalities_.text
    assert len(batch) == N


def test_diagram_shows_parallel_branches_by_name(nested, frame):
    for transformer in (nested, clone(nested).fit(frame)):
        html = estimator_html_repr(transformer)
        assert "sk-parallel" in html
        assert all(name in html for name in ("text", "facts", "TextModality"))
    automatic = ModalityTransformer()
    assert "ModalityTransformer" in estimator_html_repr(automatic)
    automatic.fit(frame[["a"]].assign(words=[f"a few words {i}" for i in range(N)]))
    assert "words" in estimator_html_repr(automatic)


# ---------------------------------------------------------------- errors


def fit_error(frame, triples, error=ValueError):
    with pytest.raises(error) as caught:
        ModalityTransformer(triples).fit(frame)
    return str(caught.value)


def test_missing_column_is_named_with_the_nearest_there_is(frame):
    message = fit_error(frame, [("t", "text", "notes")])
    assert "'t'" in message
    assert "'notes'" in message
    assert "Did you mean 'note'?" in message


@pytest.mark.parametrize(
    "columns", [99, ["a", "nope"], slice("a", "nope"), slice("nope", "b")], ids=str
)
def test_columns_that_are_not_there_are_refused(frame, columns):
    message = fit_error(frame, [("t", "vector", columns)])
    assert "'t'" in message
    assert "99" in message or "nope" in message


def test_repeated_column_is_refused(frame):
    message = fit_error(frame, [("t", "vector", ["a", "b", "a"])])
    assert "'t'" in message
    assert "['a'] twice" in message


def test_mask_of_the_wrong_length_is_refused(frame):
    message = fit_error(frame, [("t", "vector", [True, False])])
    assert "2 values" in message
    assert "5 columns" in message


def test_selector_that_finds_nothing_is_refused(frame):
    selector = make_column_selector(pattern="^zzz")
    message = fit_error(frame, [("t", "vector", selector)])
    assert "'t' has no columns" in message


@pytest.mark.parametrize("name", ["a__b", "", 3, "modalities"], ids=repr)
def test_bad_name_is_refused(frame, name):
    assert repr(name) in fit_error(frame, [(name, "vector", ["a"])])


def test_name_that_stands_twice_is_refused(frame):
    message = fit_error(frame, [("v", "vector", ["a"]), ("v", "vector", ["b"])])
    assert "['v'] stand twice" in message


@pytest.mark.parametrize(
    "triples", [[], [("v", "vector")], "text", [("v", "vector", ["a"], 1)]], ids=repr
)
def test_anything_but_triples_is_refused(frame, triples):
    assert "(name, transformer, columns)" in fit_error(frame, triples)


def test_unknown_short_name_is_refused_with_those_there_are(frame):
    message = fit_error(frame, [("v", "vectro", ["a"])])
    assert "'vectro'" in message
    assert "vector" in message


def test_estimator_that_predicts_is_sent_to_estimator_modality(frame):
    message = fit_error(frame, [("v", LogisticRegression(), ["a"])], TypeError)
    assert "EstimatorModality" in message


@pytest.mark.parametrize("transformer", [3, None, TextModality], ids=repr)
def test_anything_but_a_transformer_is_refused(frame, transformer):
    assert "'v'" in fit_error(frame, [("v", transformer, ["a"])], TypeError)


def test_dropping_everything_is_refused(frame):
    assert "at least one" in fit_error(frame, [("v", "drop", ["a"])])


def test_errors_of_a_modality_name_it(frame):
    frame = frame.astype({"note": object})
    frame.loc["r7", "note"] = 7
    message = fit_error(frame, [("review", "text", "note")], (TypeError, ValueError))
    assert message.startswith("Modality 'review'")
    assert "'r7'" in message
    assert "'note'" in message


def test_column_missing_later_is_told_with_what_came_instead(frame):
    transformer = only(["a", "b"]).fit(frame)
    with pytest.raises(ValueError) as caught:
        transformer.transform(frame.rename(columns={"b": "bb"}))
    assert "['b']" in str(caught.value)
    assert "['bb']" in str(caught.value)
    assert "None" in str(caught.value)


def test_duplicate_column_names_are_refused_in_fit_and_transform(frame):
    doubled = frame.rename(columns={"b": "a"})
    assert "['a'] stand more than once" in fit_error(doubled, [("v", "vector", ["c"])])
    transformer = only(["c"]).fit(frame)
    with pytest.raises(ValueError, match="more than once"):
        transformer.transform(doubled)


def test_array_of_another_width_is_refused(frame):
    X = frame[["a", "b", "c"]].to_numpy()
    with pytest.raises(ValueError, match="3 features"):
        only([0]).fit(X).transform(X[:, :2])


@pytest.mark.parametrize("X", [np.ones(4), np.ones((2, 2, 2))], ids=["1-D", "3-D"])
def test_arrays_that_are_not_two_dimensional_are_refused(X):
    with pytest.raises(ValueError, match="Expected 2D array"):
        only([0]).fit(X)


def test_empty_frame_is_refused(frame):
    assert "at least one row" in fit_error(frame.iloc[:0], [("v", "vector", ["a"])])
    assert "at least one row" in fit_error(frame[[]], None)


def test_transform_before_fit_is_refused(frame):
    with pytest.raises(NotFittedError):
        only(["a"]).transform(frame)


# ---------------------------------------------------------------- automatic choice


def cells(*values):
    out = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        out[i] = value
    return pd.Series(out)


RNG = np.random.default_rng(0)
SENTENCES = [f"this is sentence number {i}" for i in range(30)]


@pytest.mark.parametrize(
    "column, kind",
    [
        (pd.Series(SENTENCES), TextModality),
        (pd.Series([*SENTENCES[:20], None, None]), TextModality),
        (pd.Series(SENTENCES, dtype=object), TextModality),
        (pd.Series(["red", "green"] * 15), TabularModality),
        (pd.Series(["dark red", "light green"] * 40), TabularModality),
        (pd.Series(SENTENCES, dtype="category"), TextModality),
        (pd.Series(SENTENCES * 2, dtype="category"), TabularModality),
        (pd.Series(range(30)), TabularModality),
        (pd.Series([True, False] * 15), TabularModality),
        (pd.date_range("2020", periods=30).to_series(), TabularModality),
        (pd.Series([None] * 30, dtype=object), TabularModality),
        (cells(*["a.png", "b.JPG", None] * 10), ImageModality),
        (cells(*RNG.integers(0, 255, (30, 4, 4, 3), np.uint8)), ImageModality),
        (cells(*RNG.integers(0, 255, (30, 4, 4), np.uint8)), ImageModality),
        (cells(*["a.wav", "b.mp3"] * 15), AudioModality),
        (cells(*[(np.zeros(9), 8000)] * 30), AudioModality),
        (cells(*RNG.normal(size=(30, 5))), VectorModality),
        (cells(*[[1.0, 2.0]] * 30), VectorModality),
        (cells(*[np.ones(5 + i % 3) for i in range(30)]), SeriesModality),
        (cells(*[np.ones((2, 9)) for i in range(30)]), SeriesModality),
    ],
    ids=lambda v: v.__name__ if isinstance(v, type) else "",
)
def test_kind_is_found_from_the_cells(column, kind):
    from skfusion.modalities.triples import find_modalities

    frame = pd.DataFrame({"it": column.to_numpy(), "n": 1.0})
    if isinstance(column.dtype, pd.CategoricalDtype):
        frame["it"] = column
    found = {
        c: modality
        for _, modality, columns in find_modalities(frame)
        for c in ([columns] if isinstance(columns, str) else columns)
    }
    assert isinstance(found["it"], kind)
    assert isinstance(found["n"], TabularModality)


@pytest.mark.parametrize(
    "column, kinds",
    [
        (cells(*RNG.integers(0, 255, (30, 4, 4), np.uint8)), ["image", "series"]),
        (cells(*RNG.normal(size=(30, 5))), ["vector", "series"]),
        (cells(*[f"my own photo {i}.png" for i in range(40)]), ["image"]),
        (cells(*[f"a short talk {i}.wav" for i in range(40)]), ["audio"]),
        (cells(*[f"{i} minutes" for i in range(40)]), ["tabular"]),
    ],
)
def test_of_modalities_that_want_a_column_the_first_by_rank_gets_it(column, kinds):
    known = registry.by_short_name()
    assert {name for name in known if known[name].detect(column)} == set(kinds)
    assert registry.detect(column).modality is known[kinds[0]]


def test_bytes_of_pictures_and_sounds_are_told_apart():
    def encoded(form):
        file = io.BytesIO()
        Image.new("RGB", (8, 8)).save(file, form)
        return file.getvalue()

    for form in ("PNG", "JPEG", "WEBP", "BMP"):  # WEBP begins as WAV does
        assert registry.detect(cells(*[encoded(form)] * 4)).modality is ImageModality
    file = io.BytesIO()
    soundfile.write(file, np.zeros(800), 8000, format="WAV")
    assert registry.detect(cells(*[file.getvalue()] * 4)).modality is AudioModality


def test_what_no_modality_detects_becomes_one_table(frame):
    frame["note"] = SENTENCES + SENTENCES[:10]
    transformer = ModalityTransformer().fit(frame)
    assert columns_of(transformer) == {
        "note": ["note"],
        "tabular": ["a", "b", "c", "d"],
    }


def test_names_found_are_free_and_can_be_nested(frame):
    texts = SENTENCES + SENTENCES[:10]
    frame = frame[["a"]].assign(tabular=texts, my__note=texts, modalities=texts)
    names = ModalityTransformer().fit(frame).modality_names_
    assert len(set(names)) == 4
    assert not any("__" in name or name == "modalities" for name in names)


def test_arrays_are_one_table(frame):
    X = frame[["a", "b", "c"]].to_numpy()
    assert ModalityTransformer().fit(X).modality_names_ == ("tabular",)


def test_caller_keeps_the_frame_as_it_was(frame):
    before = frame.copy(deep=True)
    ModalityTransformer().fit_transform(frame)
    pd.testing.assert_frame_equal(frame, before)
