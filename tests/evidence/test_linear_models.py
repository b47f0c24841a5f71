"""Linear base models: what they say, split, joined and averaged."""

import numpy as np
import pytest
from scipy import sparse
from scipy.special import log_softmax
from sklearn.metrics import roc_auc_score

from skfusion.evidence.base_models import Task
from skfusion.evidence.linear_models import LinearModel, fit_linear
from skfusion.training.links import Softmax
from tests.evidence.made import (
    CLASSES,
    LABELS,
    NUMBERS,
    OF_LABELS,
    TARGET,
    F,
    N,
    W,
    X,
    Y,
)


def draw(n_models, seed=0):
    rng = np.random.default_rng(seed)
    return [
        LinearModel(
            rng.normal(size=(F, 3)).astype(np.float32),
            rng.normal(size=F).astype(np.float32),
            rng.normal(size=3),
        )
        for _ in range(n_models)
    ]


def test_linear_evidence_is_what_its_parts_say():
    (model,) = draw(1)
    expected = (X.astype(float) - model.center) @ model.coef.astype(float)
    np.testing.assert_allclose(
        model.evidence(X), expected + model.bias + model.at_center, atol=1e-10
    )


def test_mean_of_linear_models_says_the_mean_of_what_they_say():
    models = draw(5)
    expected = np.mean([m.evidence(X) for m in models], axis=0)
    np.testing.assert_allclose(
        LinearModel.mean(models).evidence(X), expected, atol=1e-5
    )


def test_split_linear_models_sum_to_the_whole():
    (model,) = draw(1)
    parts = model.split([1, 3, 2])
    said = [
        part.evidence(x) for part, x in zip(parts, np.split(X, [1, 4], 1), strict=True)
    ]
    np.testing.assert_allclose(sum(said), model.evidence(X), atol=1e-9)
    assert np.allclose(parts[1].evidence(parts[1].center[None]), 0, atol=1e-6)


def test_joined_linear_models_are_what_was_split():
    (model,) = draw(1)
    again = LinearModel.joined(model.split([1, 3, 2]))
    np.testing.assert_array_equal(again.coef, model.coef)
    np.testing.assert_array_equal(again.center, model.center)
    np.testing.assert_allclose(again.bias, model.bias, atol=1e-9)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix], ids=["dense", "csr"])
def test_evidence_of_a_row_does_not_depend_on_the_others(form):
    x = form(X)
    for model in fit_linear(CLASSES, x, Y, W):
        together = model.evidence(x)
        alone = np.concatenate([model.evidence(x[i : i + 1]) for i in range(5)])
        np.testing.assert_allclose(alone, together[:5], rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix], ids=["dense", "csr"])
def test_linear_evidence_of_classes_is_centred_and_finds_them(form):
    x = form(X - 3 * (form is sparse.csr_matrix))
    models = fit_linear(CLASSES, x, Y, W)
    assert len(models) > 1
    for model in models:
        evidence = model.evidence(x)
        np.testing.assert_allclose(evidence.sum(axis=1), 0, atol=1e-4)
    assert np.mean((evidence + CLASSES.log_prior).argmax(axis=1) == Y) > 0.75


def test_linear_evidence_of_numbers_is_their_prediction():
    model = fit_linear(NUMBERS, X, TARGET, W)[-1]
    np.testing.assert_allclose(model.evidence(X), TARGET, atol=0.05)


def test_stronger_fits_come_later():
    loss = [
        np.mean((m.evidence(X) - TARGET) ** 2)
        for m in fit_linear(NUMBERS, X, TARGET, W)
    ]
    assert (np.diff(loss) < 0).all()


def test_two_classes_are_told_apart_by_one_plane():
    task = Task(Softmax(), 2, np.log([0.5, 0.5]), 0)
    y = (X[:, 0] > 3).astype(int)
    evidence = fit_linear(task, X, y, W)[-1].evidence(X)
    np.testing.assert_allclose(evidence[:, 0], -evidence[:, 1], atol=1e-5)
    assert np.mean(evidence.argmax(axis=1) == y) > 0.95


def test_class_that_the_rows_lack_gets_no_evidence_for_or_against():
    some = Y != 1
    for model in fit_linear(CLASSES, X[some], Y[some], W[some]):
        evidence = model.evidence(X)
        np.testing.assert_allclose(evidence[:, 1], 0, atol=1e-5)


@pytest.mark.parametrize("task, y", [(CLASSES, Y), (NUMBERS, TARGET)], ids=["c", "r"])
def test_weight_of_two_is_the_row_twice(task, y):
    weight = 1.0 + (np.arange(N) < 50)
    rows = np.repeat(np.arange(N), weight.astype(int))
    one = fit_linear(task, X, y, weight)
    two = fit_linear(task, X[rows], y[rows], np.ones(len(rows)))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a.evidence(X), b.evidence(X), atol=0.03)


def test_column_that_never_varies_and_few_rows_are_no_trouble():
    x = X.copy()
    x[:, 2] = 5.0
    for model in fit_linear(CLASSES, x, Y, W):
        assert np.isfinite(model.evidence(x)).all()
        assert not model.coef[2].any()
    assert fit_linear(CLASSES, X[:5], Y[:5], W[:5]) == []
    same = np.zeros(N, int)
    assert fit_linear(CLASSES, X, same, W) == []


@pytest.mark.parametrize("is_sparse", [False, True])
def test_linear_models_of_labels_learn_each_and_say_nothing_of_a_constant_one(
    is_sparse,
):
    x = sparse.csr_matrix(X) if is_sparse else X
    for model in fit_linear(OF_LABELS, x, LABELS, np.ones(N)):
        said = model.evidence(x)
        for c in range(2):
            assert roc_auc_score(LABELS[:, c], said[:, c]) > 0.9
        assert not said[:, 2].any()


def test_a_linear_model_of_a_label_is_the_logistic_regression_of_it():
    x = X - X.mean(axis=0)
    (model,) = fit_linear(OF_LABELS, x, LABELS, np.ones(N), only=slice(0, 1))
    alone = Task(Softmax(), 2, log_softmax([0, OF_LABELS.log_prior[0]]), 0)
    index = LABELS[:, 0].astype(int)
    (two,) = fit_linear(alone, x, index, np.ones(N), only=slice(0, 1))
    said = two.evidence(x)
    log_odds = said[:, 1] - said[:, 0]
    np.testing.assert_allclose(model.evidence(x)[:, 0], log_odds, atol=1e-2)
