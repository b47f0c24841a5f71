"""Weights are factors; the order of rows and copies of them do not count.

To the bit, and for every kind of column: the fit merges rows of the same content and
works on them in an order of its own.
"""

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skfusion import FusionClassifier, FusionRegressor, ModalityTransformer
from skfusion.modalities import AudioModality, EstimatorModality, ImageModality

N = 90
TRIPLES = {
    "table": [("facts", "tabular", ["price", "weight"]), ("v", "vector", ["price"])],
    "text": [("note", "text", "note"), ("price", "vector", ["price"])],
    "categories": [("kind", "tabular", ["colour", "price"]), ("note", "text", "note")],
    "media": [
        ("photo", ImageModality(size=8), "photo"),
        ("sound", AudioModality(n_mels=8), "sound"),
        ("curve", "series", "curve"),
    ],
    "estimators": [
        ("tfidf", TfidfVectorizer(), "note"),
        ("own", EstimatorModality(LogisticRegression()), ["weight"]),
    ],
}


@pytest.fixture(scope="module")
def rows():
    """(frame, labels, numbers) of rows that all differ."""
    from tests.conftest import mixed_frame

    frame, good = mixed_frame(N)
    rng = np.random.default_rng(2)
    for gap, (column, make) in enumerate(
        {
            "sound": lambda g: (rng.normal(size=400 + 200 * g), 1000),
            "curve": lambda g: rng.normal(size=12) + g,
        }.items()
    ):
        cells = [make(int(g)) if i % 9 != gap else None for i, g in enumerate(good)]
        frame[column] = pd.Series(cells, index=frame.index, dtype=object)
    y = good ^ (np.random.default_rng(1).random(N) < 0.1)
    return frame, y, good * 2.0 + frame["weight"].to_numpy()


CASES = [
    *((FusionClassifier, triples) for triples in TRIPLES),
    (FusionRegressor, "table"),
]
SMALL = {"max_epochs": 2, "d_model": 16, "n_folds": 2, "random_state": 0}


@pytest.fixture(scope="module", params=CASES, ids=lambda c: f"{c[0].__name__}-{c[1]}")
def fit(request, rows):
    """A function: the output, on the rows, of a model fitted on some of them."""
    kind, triples = request.param
    frame, labels, numbers = rows
    y = labels if kind is FusionClassifier else numbers

    def fit(index=None, *, pipeline=False, parameters=SMALL, X=frame, **options):
        target = y
        if index is not None:
            X, target = X.iloc[index], y[index]
        if pipeline:
            modalities = ModalityTransformer(TRIPLES[triples])
            model = make_pipeline(modalities, kind(**parameters))
        else:
            model = kind(TRIPLES[triples], **parameters)
        model.fit(X, target, **options)
        return getattr(model, "predict_proba", model.predict)(frame)

    return fit


@pytest.fixture(scope="module")
def plain(fit):
    """The output of a model fitted on all rows as they are."""
    return fit()


def test_all_weights_times_seven_change_nothing(fit, plain):
    weight = np.random.default_rng(0).integers(1, 9, N) / 4
    assert np.array_equal(fit(sample_weight=weight), fit(sample_weight=7.0 * weight))
    assert np.array_equal(plain, fit(sample_weight=np.full(N, 7.0)))


def test_weight_of_two_is_the_row_twice(fit, plain):
    weight = 1 + (np.arange(N) % 3 == 0)
    twice = np.repeat(np.arange(N), weight)
    expected = fit(sample_weight=weight)
    assert np.array_equal(expected, fit(twice))
    assert np.array_equal(expected, fit(twice, pipeline=True))
    assert not np.array_equal(expected, plain)


def test_order_of_the_rows_does_not_matter(fit, plain):
    order = np.random.default_rng(0).permutation(N)
    assert np.array_equal(plain, fit(order))
    assert np.array_equal(plain, fit(order, pipeline=True))


def test_weight_of_zero_leaves_the_row_out(fit):
    kept = np.arange(N) % 4 > 0
    weight = np.random.default_rng(0).integers(1, 9, N) / 4 * kept
    assert np.array_equal(
        fit(sample_weight=weight), fit(kept.nonzero()[0], sample_weight=weight[kept])
    )


def test_table_repeated_five_times_is_the_table_once(fit):
    # Every default counts distinct rows; five times as many would have other ones.
    automatic = {"d_model": 8, "random_state": 0}
    once, repeated = np.arange(60), np.tile(np.arange(60), 5)
    assert np.array_equal(
        fit(once, parameters=automatic), fit(repeated, parameters=automatic)
    )


def test_columns_that_no_modality_reads_do_not_matter(fit, plain, rows):
    frame = rows[0]
    other = frame[frame.columns[::-1]].assign(unused=np.arange(N))
    assert np.array_equal(plain, fit(X=other))


def test_fractional_weights_pull_the_model(fit, plain):
    assert not np.allclose(plain, fit(sample_weight=np.linspace(0.01, 1, N)))


# ---------------------------------------------------------------- folds


@pytest.fixture
def seen_splits(monkeypatch):
    """Splits of the fits in a test, and the batches that they belong to."""
    seen = []
    real = FusionClassifier._splits

    def spy(self, batch, *arguments, **options):
        splits = real(self, batch, *arguments, **options)
        seen.append((batch, splits))
        return splits

    monkeypatch.setattr(FusionClassifier, "_splits", spy)
    return seen


def table(n=120, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 2)), columns=["a", "b"])
    return X, (X["a"] + rng.normal(size=n) > 0).to_numpy()


@pytest.mark.parametrize("n_folds", [1, 3])
def test_identical_rows_are_never_on_both_sides_of_a_fold(tiny, seen_splits, n_folds):
    X, y = table()
    X.iloc[60:] = X.iloc[:60].to_numpy()  # same content, often another label
    model = FusionClassifier(
        [("t", "vector", ["a", "b"])], **tiny | {"n_folds": n_folds}
    )
    model.fit(X, y)
    ((batch, splits),) = seen_splits
    content = batch.blocks["t"].arrays["x"][:, 0]
    assert len(content) > 60
    assert len(splits) == n_folds
    for learn, held in splits:
        assert not set(content[learn]) & set(content[held])


@pytest.mark.parametrize("n_folds", [1, 3])
def test_groups_are_never_on_both_sides_of_a_fold(tiny, seen_splits, n_folds):
    X, y = table()
    groups = np.array([f"patient {i % 17}" for i in range(len(X))])
    model = FusionClassifier(
        [("t", "vector", ["a", "b"])], **tiny | {"n_folds": n_folds}
    )
    model.fit(X, y, groups=groups)
    ((batch, splits),) = seen_splits
    scaled = model.modalities_.transform(X).blocks["t"].arrays["x"][:, 0]
    group_of = dict(zip(scaled, groups, strict=True))
    found = np.array([group_of[x] for x in batch.blocks["t"].arrays["x"][:, 0]])
    for learn, held in splits:
        assert len(held) > 0
        assert not set(found[learn]) & set(found[held])


def test_a_single_group_leaves_nothing_to_hold_out(tiny):
    X, y = table()
    model = FusionClassifier(**tiny).fit(X, y, groups=np.zeros(len(X)))
    assert len(model.networks_) == 1
    assert np.isfinite(model.predict_proba(X)).all()


def test_groups_of_another_length_are_refused(tiny):
    X, y = table()
    with pytest.raises(ValueError, match=r"groups must be of shape \(120,\)"):
        FusionClassifier(**tiny).fit(X, y, groups=np.zeros(7))


def test_repeated_rows_do_not_make_the_model_sure(whole):
    # Copies on both sides of a fold would say that what was overfit is right.
    X, y = table()
    y = np.random.default_rng(0).random(len(X)) < 0.5
    rows = np.tile(np.arange(len(X)), 4)
    p = FusionClassifier(**whole).fit(X.iloc[rows], y[rows]).predict_proba(X)
    assert p.max(axis=1).mean() < 0.7
