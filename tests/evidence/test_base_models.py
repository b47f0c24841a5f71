"""Base models on the features of a modality."""

import numpy as np
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.tree import DecisionTreeClassifier

from skfusion.evidence.base_models import (
    Reduced,
    Task,
    columns_for_trees,
    fit_table_model,
    join,
    trees,
)
from skfusion.training.links import Sigmoid, Softmax
from tests.evidence.made import (
    CLASSES,
    LABELS,
    NUMBERS,
    OF_LABELS,
    F,
    N,
    W,
    X,
    Y,
)


def test_whoever_knows_only_the_class_shares_says_nothing():
    noise = np.zeros((N, 1))
    model = LogisticRegression(C=1e-6)
    fitted = fit_table_model(CLASSES, model, noise, Y, W)
    np.testing.assert_allclose(fitted.evidence(noise), 0, atol=1e-3)


def test_no_answer_of_a_table_model_is_ever_certain():
    fitted = fit_table_model(CLASSES, DecisionTreeClassifier(), X, Y, W)
    evidence = fitted.evidence(X)
    assert np.isfinite(evidence).all()
    assert (evidence.argmax(axis=1) == Y).mean() > 0.99
    np.testing.assert_allclose(evidence.sum(axis=1), 0, atol=1e-9)


def test_class_that_a_table_model_never_saw_is_allowed_for():
    some = Y != 1
    tree = DecisionTreeClassifier(max_depth=2)
    fitted = fit_table_model(CLASSES, tree, X[some], Y[some], W[some])
    assert fitted.evidence(X).shape == (N, 3)
    assert not hasattr(tree, "tree_")


def test_table_model_of_one_class_is_none():
    one = np.zeros(N, int)
    assert fit_table_model(CLASSES, DecisionTreeClassifier(), X, one, W) is None


def test_estimator_without_sample_weight_serves_where_weights_are_alike():
    from sklearn.neighbors import KNeighborsClassifier

    fitted = fit_table_model(CLASSES, KNeighborsClassifier(), X, Y, W)
    assert fitted.evidence(X).shape == (N, 3)


def test_trees_are_left_out_where_they_cost_too_much_or_cannot_be():
    assert trees(CLASSES, N, F) is not None
    assert trees(CLASSES, 10, F) is None
    assert trees(Task(Softmax(), 150, np.zeros(150), 0), N, 100) is None
    assert trees(NUMBERS, N, F) is None  # two targets


# ---------------------------------------------------------------- features


def test_trees_read_narrow_columns_reduced_ones_and_what_linear_models_say():
    wide = sparse.random(N, 500, 0.1, format="csr", random_state=0)
    rng = np.random.default_rng(1)
    said = rng.normal(size=(N, 3))
    reduced = [Reduced.fit(x, 0) for x in (X, wide)]
    table = columns_for_trees(CLASSES, [X, wide], reduced, [said, 2 * said])
    n_components = len(reduced[1].components)
    assert table.shape == (N, F + n_components + 3 + 3)
    np.testing.assert_allclose(table[:, :F], X)
    two = rng.normal(size=(N, 2))  # of two classes one column says it all
    for link, width in ((Softmax(), 1), (Sigmoid(), 2)):
        task = Task(link, 2, np.zeros(2), 0)
        table = columns_for_trees(task, [X], reduced[:1], [two])
        assert table.shape == (N, F + width)


def test_joined_features_are_sparse_where_any_is():
    wide = sparse.random(N, 50, 0.1, format="csr", random_state=0)
    joined = join([X, wide])
    assert sparse.issparse(joined)
    assert joined.shape == (N, F + 50)
    assert join([X, X]).shape == (N, 2 * F)
    assert join([X]) is X


def test_users_models_read_sparse_features_as_few_dense_columns():
    wide = sparse.random(N, 500, 0.1, format="csr", random_state=0, dtype=np.float32)
    reduced = Reduced.fit(wide, 0)(wide)
    assert reduced.shape[0] == N
    assert reduced.shape[1] < 100
    assert Reduced.fit(X, 0)(X) is X


def test_a_table_model_of_labels_is_one_model_a_label():
    tree = HistGradientBoostingClassifier(max_iter=5)
    found = fit_table_model(OF_LABELS, tree, X, LABELS, np.ones(N))
    assert [m is None for m in found.model] == [False, False, True]
    said = found.evidence(X)
    assert said.shape == (N, 3)
    assert roc_auc_score(LABELS[:, 0], said[:, 0]) > 0.9
    np.testing.assert_allclose(said[:, 2], 0, atol=1e-12)
    assert fit_table_model(OF_LABELS, tree, X, np.zeros((N, 3)), np.ones(N)) is None
