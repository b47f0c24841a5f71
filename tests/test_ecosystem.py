"""The estimators among scikit-learn's tools, on a mixed frame."""

import io
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skfusion import FusionClassifier, FusionRegressor, ModalityTransformer
from skfusion.modalities import ImageModality

N = 72
TINY = {"max_epochs": 2, "d_model": 16, "n_folds": 2, "random_state": 0}


@pytest.fixture
def data(make_mixed):
    frame, good = make_mixed(N)
    return frame, np.where(good, "good", "bad")


@pytest.fixture
def single(mixed_modalities):
    return FusionClassifier(mixed_modalities, **TINY)


@pytest.fixture
def pipe(mixed_modalities):
    return Pipeline(
        [("modalities", mixed_modalities), ("fusion", FusionClassifier(**TINY))]
    )


@pytest.fixture(params=["single", "pipe"])
def model(request):
    return request.getfixturevalue(request.param)


GRIDS = {
    "single": {
        "modalities__words__max_tokens": [4, 32],
        "fusion__n_heads": [2, 4],
    },
    "pipe": {
        "modalities__words__max_tokens": [4, 32],
        "fusion__fusion__n_heads": [2, 4],
    },
}


@pytest.mark.parametrize("form", GRIDS)
def test_grid_search_in_two_processes(request, data, form):
    X, y = data
    model = request.getfixturevalue(form)
    search = GridSearchCV(model, GRIDS[form], cv=2, n_jobs=2, error_score="raise")
    search.fit(X, y)
    assert len(search.cv_results_["params"]) == 4
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert set(search.best_params_) == set(GRIDS[form])
    assert search.predict_proba(X).shape == (N, 2)
    # What was searched reached the network.
    best = search.best_estimator_
    words = dict(best.get_params())["modalities__words__max_tokens"]
    assert words == search.best_params_["modalities__words__max_tokens"]
    assert model.get_params()["modalities__words"] == "text"


def test_grid_search_changes_what_is_fitted(data, single):
    X, y = data
    search = GridSearchCV(
        single,
        {"modalities__picture__size": [8, 16], "d_model": [8, 16]},
        cv=2,
        error_score="raise",
    ).fit(X, y)
    best = search.best_estimator_
    size = search.best_params_["modalities__picture__size"]
    assert best.modalities_.named_modalities_.picture.size == size
    assert best.networks_[0].d_model == search.best_params_["d_model"]
    assert len(set(search.cv_results_["mean_test_score"])) > 1


def test_search_over_whole_modalities_and_rules(data, single):
    X, y = data
    search = RandomizedSearchCV(
        single,
        {
            "modalities__picture": ["drop", ImageModality(size=8)],
            "fusion": ["mean", "concat"],
        },
        n_iter=3,
        cv=2,
        random_state=0,
        error_score="raise",
    ).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_cross_validation_gives_what_single_fits_give(data, model):
    X, y = data
    folds = [(np.arange(0, 48), np.arange(48, N)), (np.arange(24, N), np.arange(24))]
    scores = cross_val_score(model, X, y, cv=folds, error_score="raise")
    expected = [
        clone(model).fit(X.iloc[a], y[a]).score(X.iloc[b], y[b]) for a, b in folds
    ]
    np.testing.assert_allclose(scores, expected)


def test_cross_val_predict_fills_every_row(data, model):
    X, y = data
    p = cross_val_predict(model, X, y, cv=2, method="predict_proba")
    assert p.shape == (N, 2)
    np.testing.assert_allclose(p.sum(axis=1), 1)


def test_cross_validate_with_several_metrics_and_groups(data, single):
    X, y = data
    result = cross_validate(
        single,
        X,
        y,
        groups=np.arange(N) % 6,
        cv=GroupKFold(2),
        scoring=["roc_auc", "neg_log_loss"],
        return_train_score=True,
        error_score="raise",
    )
    assert np.isfinite(result["test_roc_auc"]).all()
    assert np.isfinite(result["test_neg_log_loss"]).all()


def test_prepared_batch_can_be_cross_validated(data, mixed_modalities):
    X, y = data
    batch = mixed_modalities.fit_transform(X, y)
    scores = cross_val_score(
        FusionClassifier(**TINY), batch, y, cv=2, error_score="raise"
    )
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("sparse_threshold", [0, 0.3])
def test_transformer_of_modalities_is_a_step_among_others(
    data, mixed_modalities, sparse_threshold
):
    X, y = data
    columns = ["note", "price", "weight", "colour", "photo"]
    both = ColumnTransformer(
        [("all", mixed_modalities, columns), ("price", "passthrough", ["weight"])],
        sparse_threshold=sparse_threshold,
    )
    expected = np.asarray(mixed_modalities.fit_transform(X, y))
    found = both.fit_transform(X, y)
    np.testing.assert_array_equal(found[:, :-1], expected)
    union = FeatureUnion([("all", mixed_modalities), ("again", mixed_modalities)])
    assert union.fit_transform(X, y).shape == (N, 2 * expected.shape[1])
    matrix = FunctionTransformer(np.asarray)
    model = make_pipeline(mixed_modalities, matrix, LogisticRegression()).fit(X, y)
    assert model.score(X, y) > 0.9


def test_calibration(data, single):
    X, y = data
    calibrated = CalibratedClassifierCV(single, cv=2, method="sigmoid").fit(X, y)
    p = calibrated.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert not np.allclose(p, single.fit(X, y).predict_proba(X))


def test_stacking_with_another_model(data, single):
    X, y = data
    facts = ModalityTransformer([("facts", "tabular", ["price", "weight"])])
    table = Pipeline([("modalities", facts), ("fusion", FusionClassifier(**TINY))])
    stack = StackingClassifier(
        [("fused", single), ("table", table)], LogisticRegression(), cv=2
    ).fit(X, y)
    assert stack.transform(X).shape == (N, 2)
    assert stack.predict(X).shape == (N,)


def test_voting(data, single, pipe):
    X, y = data
    vote = VotingClassifier([("one", single), ("two", pipe)], voting="soft").fit(X, y)
    np.testing.assert_allclose(
        vote.predict_proba(X),
        (clone(single).fit(X, y).predict_proba(X) + pipe.fit(X, y).predict_proba(X))
        / 2,
    )


def test_permutation_importance_finds_the_informative_columns(data, mixed_modalities):
    X, y = data
    model = FusionClassifier(mixed_modalities, **TINY | {"max_epochs": 20}).fit(X, y)
    importance = permutation_importance(
        model, X, y, n_repeats=3, random_state=0, scoring="neg_log_loss"
    )
    mean = pd.Series(importance.importances_mean, index=X.columns)
    assert mean[["note", "photo"]].max() > mean[["weight", "colour"]].max()
    assert mean[["note", "photo"]].max() > 0.05


def test_learning_curve(data, single):
    X, y = data
    sizes, _, scores = learning_curve(
        single, X, y, cv=2, train_sizes=[0.5, 1.0], error_score="raise"
    )
    assert len(sizes) == 2
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("fitted", [False, True])
def test_clone_and_pickle_and_joblib(data, model, fitted):
    X, y = data
    expected = clone(model).fit(X, y).predict_proba(X)
    if fitted:
        model.fit(X, y)
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    for again in (pickle.loads(pickle.dumps(model)), joblib.load(file)):
        if not fitted:
            again.fit(X, y)
        assert np.array_equal(again.predict_proba(X), expected)
    assert np.array_equal(clone(model).fit(X, y).predict_proba(X), expected)


def test_regressor_in_cross_validation(data, mixed_modalities):
    X, y = data
    scores = cross_val_score(
        FusionRegressor(mixed_modalities, **TINY),
        X,
        (y == "good") * 2.5,
        cv=2,
        scoring="neg_mean_absolute_error",
        error_score="raise",
    )
    assert np.isfinite(scores).all()


def test_regressor_searches_its_parameters(data, mixed_modalities):
    X, y = data
    search = GridSearchCV(
        FusionRegressor(mixed_modalities, **TINY),
        {"fusion__n_heads": [1, 2]},
        cv=2,
        error_score="raise",
    ).fit(X, (y == "good") * 1.0)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
