"""Names of features, and frames of them, as scikit-learn has them."""

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

import skfusion
from skfusion import FusionClassifier, ModalityTransformer
from skfusion.batch import Block, ModalityBatch
from skfusion.modalities import (
    AudioModality,
    EstimatorModality,
    ImageModality,
    PretrainedText,
    SeriesModality,
    TabularModality,
    TextModality,
    TransformerModality,
    VectorModality,
)
from skfusion.modalities.output import unique_names

N = 60
LIBRARIES = {"pandas": pd.DataFrame, "polars": pl.DataFrame}
FAST = {"max_epochs": 2, "d_model": 8, "random_state": 0}


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": [None, *rng.normal(size=N - 1)],
            "size": rng.normal(size=N),
            "kind": rng.choice(["oak", "ash"], N),
            "sold": pd.date_range("2020-01-30", periods=N, freq="30D"),
            "note": [
                f"good cloth {'torn' if i % 3 else 'warm'} seam" for i in range(N)
            ],
        },
        index=[f"r{i}" for i in range(N)],
    )


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def labels():
    return np.arange(N) % 2


@pytest.fixture
def modalities():
    return ModalityTransformer(
        [
            ("facts", "tabular", ["age", "kind", "sold"]),
            ("review", TextModality(min_df=1), "note"),
            ("tfidf", TfidfVectorizer(), "note"),
        ]
    )


def names_of(modality, X, y=None):
    return modality.fit(X, y).get_feature_names_out().tolist()


def column(modality, X, name):
    """The feature of this name in every row."""
    names = modality.get_feature_names_out().tolist()
    return np.asarray(modality.transform(X))[:, names.index(name)]


# ---------------------------------------------------------------- names of modalities


def test_names_of_a_table_are_columns_parts_of_dates_and_categories(frame):
    table = TabularModality().fit(frame[["age", "kind", "sold"]])
    assert table.get_feature_names_out().tolist() == [
        "age",
        *(f"sold_{part}" for part in ("seconds", "year", "month", "day", "weekday")),
        "missingindicator_age",
        "kind_ash" if (frame["kind"] == "ash").mean() > 0.5 else "kind_oak",
        "kind_oak" if (frame["kind"] == "ash").mean() > 0.5 else "kind_ash",
    ]


def test_features_of_a_table_are_what_their_names_say(frame):
    X = frame[["age", "kind", "sold"]].copy()
    X.loc["r3", "kind"] = None
    table = TabularModality().fit(X)
    for kind in ("ash", "oak"):
        found = column(table, X, f"kind_{kind}")
        np.testing.assert_array_equal(found, X["kind"] == kind)
    missing = column(table, X, "missingindicator_kind")
    np.testing.assert_array_equal(missing, X["kind"].isna())
    missing = column(table, X, "missingindicator_age")
    np.testing.assert_array_equal(missing, X["age"].isna())
    assert pd.Series(column(table, X, "sold_year")).is_monotonic_increasing
    assert len(set(column(table, X, "sold_year"))) == X["sold"].dt.year.nunique()


def test_many_categories_are_named_up_to_the_frequency_of_the_rest():
    X = pd.DataFrame({"town": [f"t{i}" for i in range(40)] * 2})
    names = names_of(TabularModality(), X)
    assert len(names) == 31
    assert all(name.startswith("town_t") for name in names[:30])
    assert names[30] == "town_frequency"


def test_a_table_without_content_has_one_feature():
    X = pd.DataFrame({"a": [None, None]})
    assert names_of(TabularModality(), X) == ["all"]


def test_names_that_would_be_equal_are_numbered():
    X = pd.DataFrame({"a": ["b_c", "d"] * 3, "a_b": ["c", "e"] * 3})
    names = names_of(TabularModality(), X)
    assert names == ["a_b_c", "a_d", "a_b_c_2", "a_b_e"]
    found = unique_names(["x", "x", "x_2", "x", "y"]).tolist()
    assert found == ["x", "x_3", "x_2", "x_4", "y"]


@pytest.mark.parametrize("ngram_range", [(1, 1), (1, 2), (1, 3)])
def test_words_and_ngrams_are_found_where_their_names_stand(ngram_range):
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(list("abcdefg"), 40)) for _ in range(12)]
    modality = TextModality(min_df=1, ngram_range=ngram_range).fit(texts)
    names = modality.get_feature_names_out()
    features = modality.features(modality.transform(texts)).toarray()
    assert {len(name.split()) for name in names} == set(range(1, ngram_range[1] + 1))
    for name, values in zip(names, features.T, strict=True):
        there = [f" {name} " in f" {text} " for text in texts]
        np.testing.assert_array_equal(values > 0, there, name)


def test_words_of_several_columns_are_told_apart():
    X = pd.DataFrame({"title": ["good", "bad", "good"], "text": ["bad day"] * 3})
    modality = TextModality(min_df=1).fit(X)
    np.testing.assert_array_equal(column(modality, X, "title_good") > 0, [1, 0, 1])
    np.testing.assert_array_equal(column(modality, X, "title_bad") > 0, [0, 1, 0])
    np.testing.assert_array_equal(column(modality, X, "text_bad day") > 0, [1, 1, 1])
    names = modality.get_feature_names_out()
    hashed = [name for name in names if "char_ngrams" in name]
    assert {name.split("_")[0] for name in hashed} == {"title", "text"}


class Length:
    def encode(self, texts, **options):
        return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)


def test_embeddings_come_last():
    texts = ["good", "bad", "a longer text"]
    modality = TextModality(min_df=1, encoder=PretrainedText(Length()))
    assert names_of(modality, texts)[-2:] == ["meaning0", "meaning1"]
    X = pd.DataFrame({"a": texts, "b": texts})
    assert names_of(modality, X)[-3:] == ["a_meaning1", "b_meaning0", "b_meaning1"]


def test_names_of_vectors_are_columns_and_places():
    X = pd.DataFrame({"e": [np.arange(2.0), None, np.ones(2)], "x": [1.0, 2.0, 3.0]})
    assert names_of(VectorModality(), X) == ["e_0", "e_1", "x"]
    assert names_of(VectorModality(), X[["x"]].to_numpy()) == ["x0"]
    assert names_of(VectorModality(), sparse.eye_array(3).tocsr()) == ["x0", "x1", "x2"]


def test_predictions_are_named_by_estimator_and_class(frame):
    X, y = frame[["size"]], np.array(["yes", "no"] * (N // 2))
    ridge, logistic = (
        EstimatorModality(Ridge()),
        EstimatorModality(LogisticRegression()),
    )
    assert names_of(logistic, X, y) == [
        "logisticregression_no",
        "logisticregression_yes",
    ]
    assert names_of(ridge, X, np.arange(N)) == ["ridge0"]
    assert names_of(ridge, X, np.ones((N, 2))) == ["ridge0", "ridge1"]
    Y = np.stack([np.zeros(N), y == "no", y == "yes"], axis=1).astype(int)
    assert names_of(logistic, X, Y) == ["logisticregression1", "logisticregression2"]


class NoNames(TransformerMixin, BaseEstimator):
    """Gives an array of two columns, or a frame with `frame=True`."""

    def __init__(self, frame=False):
        self.frame = frame

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        x = np.asarray(X, dtype=float)[:, :1] * [1, 2]
        return pd.DataFrame(x, columns=["one", "two"]) if self.frame else x


@pytest.mark.parametrize(
    "transformer, names",
    [
        (StandardScaler(), ["age", "size"]),
        (make_pipeline(StandardScaler(), PCA(2)), ["pca0", "pca1"]),
        (NoNames(), ["nonames0", "nonames1"]),
        (NoNames(frame=True), ["one", "two"]),
        (make_pipeline(StandardScaler(), NoNames()), ["pipeline0", "pipeline1"]),
        (FunctionTransformer(lambda X: X.assign(n=1.0)), ["age", "size", "n"]),
        (OneHotEncoder(), None),
    ],
    ids=["names", "pipeline", "array", "frame", "nameless-step", "function", "sparse"],
)
def test_a_wrapped_transformer_names_what_it_gives(frame, transformer, names):
    X = frame[["age", "size"]].fillna(0).round()
    expected = names or transformer.fit(X).get_feature_names_out().tolist()
    modality = TransformerModality(transformer)
    assert names_of(modality, X) == expected
    assert modality.transform(X).shape == (N, len(expected))


def test_words_of_a_wrapped_vectorizer_are_its_own(frame):
    assert names_of(TransformerModality(TfidfVectorizer()), frame[["note"]]) == [
        "cloth",
        "good",
        "seam",
        "torn",
        "warm",
    ]
    hashed = TransformerModality(HashingVectorizer(n_features=2))
    assert names_of(hashed, frame["note"]) == [
        "hashingvectorizer0",
        "hashingvectorizer1",
    ]


def cells(values):
    out = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        out[i] = value
    return out


def test_pictures_have_channels_and_a_thumbnail(rng):
    pictures = cells(list(rng.integers(0, 99, (4, 8, 8, 3)).astype(np.uint8)))
    X = pd.DataFrame({"p": pictures, "q": pictures})
    modality = ImageModality(size=8).fit(X)
    red = [picture[..., 0].mean() / 255 for picture in pictures]
    np.testing.assert_allclose(column(modality, X, "q_mean_red"), red, atol=1e-5)
    corner = [picture[2:4, 6:, 2].mean() / 255 for picture in pictures]
    found = column(modality, X, "p_thumbnail_blue_1_3")
    np.testing.assert_allclose(found, corner, atol=1e-5)


def test_sounds_have_statistics_of_bands(rng):
    X = cells([(rng.normal(size=800 * (i + 1)), 8000) for i in range(3)])
    modality = AudioModality(n_mels=8).fit(X)
    names = modality.get_feature_names_out()
    assert names[[0, 8, 16, 24, -3]].tolist() == [
        "mel0_mean",
        "mel0_sd",
        "mel0_change",
        "mel0_q10",
        "mel7_quarter4",
    ]
    assert np.all(np.diff(column(modality, X, "log_duration")) > 0)


def test_series_have_statistics_of_channels(rng):
    one = cells([rng.normal(size=12) + i for i in range(4)])
    modality = SeriesModality().fit(one)
    assert np.argsort(column(modality, one, "mean")).tolist() == [0, 1, 2, 3]
    assert np.argsort(column(modality, one, "q50")).tolist() == [0, 1, 2, 3]
    X = pd.DataFrame({"a": one, "b": cells([np.stack([x, -x]) for x in one])})
    modality.fit(X)
    assert np.argsort(column(modality, X, "b_channel1_mean")).tolist() == [3, 2, 1, 0]
    correlation = column(modality, X, "correlation_1_2")
    np.testing.assert_allclose(correlation, 0, atol=1e-9)  # always -1: standardised


# ---------------------------------------------------------------- input features


def test_names_before_the_fit_are_refused(modalities):
    for unfitted in (modalities, TabularModality(), TextModality()):
        with pytest.raises(NotFittedError):
            unfitted.get_feature_names_out()


def test_input_features_are_those_of_the_fit(modalities, frame):
    modalities.fit(frame)
    names = modalities.get_feature_names_out(frame.columns)
    np.testing.assert_array_equal(names, modalities.get_feature_names_out())
    with pytest.raises(ValueError, match="not equal to feature_names_in_"):
        modalities.get_feature_names_out(["a", "b", "c", "d", "e"])


def test_columns_of_arrays_are_named_by_their_place_or_as_asked(frame):
    X = frame[["age", "size"]].fillna(0).to_numpy()
    both = [("v", "vector", [1]), ("t", "tabular", [-1, 0])]
    modalities = ModalityTransformer(both).fit(X)
    assert modalities.get_feature_names_out().tolist() == ["v__x1", "t__x1", "t__x0"]
    names = modalities.get_feature_names_out(["age", "size"])
    assert names.tolist() == ["v__size", "t__size", "t__age"]
    with pytest.raises(ValueError, match="should have length equal"):
        modalities.get_feature_names_out(["age"])


def test_names_of_columns_that_are_no_strings_are_shown_as_they_are(frame):
    X = frame[["age", "size"]].set_axis([pd.Timestamp("2024"), 7], axis=1)
    assert ModalityTransformer([("v", "vector", [7]), ("t", "tabular", [0])]).fit(
        X
    ).get_feature_names_out().tolist() == [
        "v__7",
        "t__2024-01-01 00:00:00",
        "t__missingindicator_2024-01-01 00:00:00",
    ]


# ---------------------------------------------------------------- modalities together


def test_names_are_those_of_the_matrix_behind_the_modality(modalities, frame, labels):
    batch = modalities.fit_transform(frame, labels)
    names = modalities.get_feature_names_out()
    assert names.dtype == object
    assert len(set(names)) == len(names) == np.asarray(batch).shape[1]
    assert {name.split("__")[0] for name in names} == {"facts", "review", "tfidf"}
    assert {"facts__kind_oak", "review__good cloth", "tfidf__warm"} <= set(names)


def test_names_stay_unique_whatever_the_modalities_are_called():
    X = pd.DataFrame({"_x": [1.0, 2.0], "x": [3.0, 4.0]})
    triples = [("a", "vector", ["_x"]), ("a_", "vector", ["x"])]
    names = ModalityTransformer(triples).fit(X).get_feature_names_out()
    assert names.tolist() == ["a___x", "a___x_2"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_frame_holds_the_features_and_the_index(modalities, frame, labels, library):
    batch = clone(modalities).fit_transform(frame, labels)
    modalities.set_output(transform=library)
    for found in (
        modalities.fit_transform(frame, labels),
        clone(modalities).fit(frame, labels).transform(frame),
    ):
        assert type(found) is LIBRARIES[library]
        assert list(found.columns) == list(modalities.get_feature_names_out())
        np.testing.assert_array_equal(found.to_numpy(), np.asarray(batch))
        if library == "pandas":
            assert found.index.equals(frame.index)
    modalities.set_output(transform=None)
    assert type(modalities.transform(frame)) is LIBRARIES[library]
    modalities.set_output(transform="default")
    assert isinstance(modalities.transform(frame), ModalityBatch)


def test_an_unknown_output_is_refused(modalities, frame):
    modalities.fit(frame).set_output(transform="excel")
    with pytest.raises(ValueError, match="output config must be in"):
        modalities.transform(frame)


def test_output_is_kept_by_a_file(modalities, frame, tmp_path):
    modalities.set_output(transform="pandas").fit(frame)
    skfusion.save(modalities, tmp_path / "model.skfusion")
    again = skfusion.load(tmp_path / "model.skfusion")
    pd.testing.assert_frame_equal(again.transform(frame), modalities.transform(frame))


@pytest.mark.parametrize("library", LIBRARIES)
def test_column_transformer_and_union_name_what_modalities_give(
    modalities, frame, labels, library
):
    columns = ["age", "kind", "sold", "note"]
    both = ColumnTransformer(
        [
            ("all", modalities, columns),
            ("text", TextModality(min_df=1), "note"),
            ("facts", TabularModality(), ["kind"]),
            ("scaled", StandardScaler(), ["size"]),
        ],
        sparse_threshold=0,
    )
    union = FeatureUnion([("all", modalities), ("facts", TabularModality())])
    for joined, X in ((both, frame), (union, frame[columns])):
        matrix = joined.fit_transform(X, labels)
        names = joined.get_feature_names_out()
        assert matrix.shape == (N, len(names))
        assert {"all__facts__kind_oak", "facts__kind_oak"} <= set(names)
        with config_context(transform_output=library):
            under_global = clone(joined).fit_transform(X, labels)
        joined.set_output(transform=library)
        asked = [joined.fit_transform(X, labels), joined.transform(X)]
        for found in (under_global, *asked):
            assert type(found) is LIBRARIES[library]
            assert list(found.columns) == list(names)
            np.testing.assert_array_equal(found.to_numpy(), matrix)


def test_other_estimators_learn_from_the_frame_by_name(modalities, frame, labels):
    modalities.set_output(transform="pandas")
    pipe = make_pipeline(modalities, LogisticRegression()).fit(frame, labels)
    names = pipe[:-1].get_feature_names_out()
    np.testing.assert_array_equal(pipe[-1].feature_names_in_, names)


# ---------------------------------------------------------------- before an estimator


@pytest.fixture
def pipe(modalities):
    steps = [("modalities", modalities), ("fusion", FusionClassifier(**FAST))]
    return Pipeline(steps)


def test_a_slice_of_a_pipeline_names_the_features(pipe, frame, labels):
    pipe.fit(frame, labels)
    names = pipe[:-1].get_feature_names_out()
    assert len(names) == np.asarray(pipe[:-1].transform(frame)).shape[1]


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_frame_in_the_place_of_a_batch_is_one_clear_error(
    pipe, frame, labels, library
):
    expected = clone(pipe).fit(frame, labels).predict_proba(frame)
    pipe.set_output(transform=library)
    with pytest.raises(TypeError, match=r"needs .* set_output\(.*default"):
        pipe.fit(frame, labels)
    pipe.set_output(transform="default").fit(frame, labels)
    np.testing.assert_array_equal(pipe.predict_proba(frame), expected)
    pipe[:-1].set_output(transform=library)
    with pytest.raises(TypeError, match=r"was fitted on .* set_output"):
        pipe.predict(frame)


def test_a_batch_cannot_be_replaced_by_the_rows_it_came_from(modalities, frame, labels):
    model = FusionClassifier(**FAST).fit(modalities.fit_transform(frame), labels)
    for X in (frame, frame[["size"]].to_numpy()):
        with pytest.raises(TypeError, match="was fitted on the ModalityBatch"):
            model.predict(X)


def test_features_may_be_learned_as_a_table(modalities, frame, labels):
    X = modalities.set_output(transform="pandas").fit_transform(frame)
    copied = FusionClassifier(**FAST).fit(X[["facts__age", "facts__sold_day"]], labels)
    assert copied.modality_names_ == ("tabular",)
    model = FusionClassifier([("all", "vector", slice(None))], **FAST).fit(X, labels)
    assert model.predict(X).shape == (N,)


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_is_set_globally_does_not_change_a_fit(modalities, frame, labels, library):
    triples = [
        *modalities.modalities,
        ("onehot", OneHotEncoder(), ["kind"]),
        ("scaled", StandardScaler(), ["size"]),
        ("linear", EstimatorModality(LogisticRegression()), ["size"]),
        ("margin", EstimatorModality(LogisticRegression(), method="predict"), ["size"]),
    ]
    direct = FusionClassifier(triples, **FAST)
    pipe = make_pipeline(ModalityTransformer(triples), FusionClassifier(**FAST))
    for model in (direct, pipe):
        expected = clone(model).fit(frame, labels).predict_proba(frame)
        with config_context(transform_output=library):
            model.fit(frame, labels)
            np.testing.assert_array_equal(model.predict_proba(frame), expected)
        np.testing.assert_array_equal(model.predict_proba(frame), expected)


def test_output_asked_of_parts_does_not_reach_a_fit(frame, labels):
    triples = [("facts", TabularModality().set_output(transform="pandas"), ["kind"])]
    given = ModalityTransformer(triples).set_output(transform="pandas")
    model = FusionClassifier(given, **FAST).fit(frame, labels)
    expected = FusionClassifier([("facts", "tabular", ["kind"])], **FAST)
    expected.fit(frame, labels)
    np.testing.assert_array_equal(
        model.predict_proba(frame), expected.predict_proba(frame)
    )


def test_inner_pipelines_keep_the_frames_that_are_set_globally(frame):
    named = FunctionTransformer(lambda X: X[["age"]])
    inner = make_pipeline(StandardScaler(), named)
    triples = [("inner", inner, ["age", "size"])]
    X = frame.fillna(0)
    with config_context(transform_output="pandas"):
        batch = ModalityTransformer(triples).fit_transform(X)
    assert np.asarray(batch).shape == (N, 1)


def test_a_block_that_was_pickled_is_still_a_matrix(frame, tmp_path):
    block = TabularModality().fit_transform(frame[["size", "kind"]])
    joblib.dump(block, tmp_path / "block")
    again = joblib.load(tmp_path / "block")
    assert isinstance(again, Block)
    np.testing.assert_array_equal(np.asarray(again), np.asarray(block))
