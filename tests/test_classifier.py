import copy

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import recall_score
from sklearn.utils.class_weight import compute_sample_weight

from skfusion import FusionClassifier
from skfusion.evidence import base_models
from skfusion.evidence.outputs import NetworkModel
from skfusion.training.links import Softmax


@pytest.fixture
def make(view_triples, tiny):
    def make(**parameters):
        return FusionClassifier(**{"modalities": view_triples} | tiny | parameters)

    return make


@pytest.fixture
def learned(make):
    """Enough training for the scores to say something."""

    def learned(**parameters):
        return make(**{"max_epochs": 30, "lr": 0.01} | parameters)

    return learned


@pytest.fixture
def three(views):
    """A label of three classes."""
    X, _ = views
    total = X.fillna(0.0)["a"] + X.fillna(0.0)["d"]
    return X, np.digitize(total, [-0.5, 0.5])


LABELS = {
    "strings": np.array(["low", "mid", "top"]),
    "objects": np.array(["low", "mid", "top"], dtype=object),
    "integers": np.array([7, -2, 40]),
    "floats": np.array([1.0, 2.0, 5.0]),
}


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_labels_come_back_as_they_were(make, three, labels):
    X, index = three
    y = labels[index]
    model = make().fit(X, y)
    assert list(model.classes_) == sorted(labels.tolist())
    predicted = model.predict(X)
    assert predicted.dtype == model.classes_.dtype == labels.dtype
    assert set(predicted) <= set(labels)


def test_boolean_labels(make, views):
    X, y = views
    model = make().fit(X, y == "yes")
    assert model.classes_.tolist() == [False, True]
    assert model.predict(X).dtype == bool


@pytest.mark.parametrize(
    "form",
    [list, pd.Series, lambda y: pd.Series(y, dtype="category"), np.asarray],
    ids=["list", "series", "categorical", "array"],
)
def test_target_may_come_in_any_form(make, views, form):
    X, y = views
    expected = make().fit(X, y).predict_proba(X)
    assert np.array_equal(make().fit(X, form(y)).predict_proba(X), expected)


def test_target_in_a_column_is_read_with_a_warning(make, views):
    X, y = views
    with pytest.warns(DataConversionWarning):
        model = make().fit(X, y[:, None])
    assert model.predict(X).shape == y.shape


def test_renaming_classes_changes_only_their_names(make, three):
    X, y = three
    names = np.array(["a", "b", "c"])
    one, two = make().fit(X, y), make().fit(X, names[y])
    assert np.array_equal(one.predict_proba(X), two.predict_proba(X))
    assert np.array_equal(names[one.predict(X)], two.predict(X))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_probabilities_sum_to_one_and_name_the_prediction(make, three, n_classes):
    X, y = three
    y = np.minimum(y, n_classes - 1)
    model = make().fit(X, y)
    p = model.predict_proba(X)
    assert p.shape == (len(X), n_classes)
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert np.array_equal(model.predict(X), model.classes_[p.argmax(axis=1)])


def test_learns_what_can_be_learned(learned, make_views):
    X, y = make_views(400)
    X_test, y_test = make_views(400, seed=1)
    model = learned(random_state=1).fit(X, y)
    assert model.score(X_test, y_test) > 0.82
    assert model.score(X_test, y_test) == np.mean(model.predict(X_test) == y_test)


def test_learns_three_classes(learned, three):
    X, y = three
    model = learned().fit(X, y)
    assert model.score(X, y) > 0.75


def test_each_modality_speaks_alone(learned, make_views):
    X, y = make_views(400)
    model = learned().fit(X, y)
    alone = model.modality_proba(X)
    assert list(alone) == ["left", "right"]
    for name, column in (("left", "a"), ("right", "d")):
        np.testing.assert_allclose(alone[name].sum(axis=1), 1)
        here = X[column].notna().to_numpy()
        # What a view says alone follows its own half of the truth.
        assert np.corrcoef(alone[name][here, 1], X[column][here])[0, 1] > 0.7
        shares = [np.mean(y == c) for c in model.classes_]
        np.testing.assert_allclose(alone[name][~here], [shares] * (~here).sum())


def test_lone_modality_decides_what_is_said(learned, make_views):
    X, y = make_views(400)
    model = learned(fusion="mean").fit(X, y)
    lone = X["a"].isna().to_numpy()
    alone = model.modality_proba(X)["right"]
    np.testing.assert_allclose(alone[lone], model.predict_proba(X)[lone], atol=1e-6)


@pytest.fixture
def unbalanced(make_views):
    X, y = make_views(600)
    rng = np.random.default_rng(0)
    kept = (y == "no") | (rng.random(600) < 0.12)
    noise = rng.normal(0, 1.5, (600, 6))
    return (X + noise)[kept], y[kept]


def test_balanced_class_weight_finds_more_of_the_rare_class(learned, unbalanced):
    X, y = unbalanced

    def recall(class_weight):
        model = learned(class_weight=class_weight, max_epochs=15).fit(X, y)
        return recall_score(y, model.predict(X), pos_label="yes")

    assert recall("balanced") > recall(None) + 0.2
    assert recall({"yes": 20.0, "no": 1.0}) > recall(None) + 0.2


def test_balanced_class_weight_is_a_sample_weight(make, whole, unbalanced):
    X, y = unbalanced
    weight = compute_sample_weight("balanced", y)
    one = make(**whole, class_weight="balanced").fit(X, y)
    two = make(**whole).fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(one.predict_proba(X), two.predict_proba(X), atol=1e-5)


def test_class_weight_and_sample_weight_multiply(make, unbalanced):
    X, y = unbalanced
    rng = np.random.default_rng(0)
    weight = rng.random(len(y)) + 0.1
    both = make(class_weight={"yes": 3.0, "no": 1.0}).fit(X, y, sample_weight=weight)
    one = make().fit(X, y, sample_weight=weight * np.where(y == "yes", 3.0, 1.0))
    np.testing.assert_allclose(both.predict_proba(X), one.predict_proba(X), atol=1e-5)


def log_loss_of(model, X, y):
    p = model.predict_proba(X)
    return -np.log(p[np.arange(len(y)), np.searchsorted(model.classes_, y)]).mean()


def test_held_out_rows_choose_against_what_was_overfit(learned, make_views):
    def noisy(n, seed):
        X, y = make_views(n, seed)
        rng = np.random.default_rng(seed)
        return X, np.where(rng.random(n) < 0.3, rng.permutation(y), y)

    overfit = {"max_epochs": 60, "dropout": 0.0}
    model = learned(**overfit | {"base_models": "auto"}).fit(*noisy(300, 0))
    raw = copy.copy(model)
    raw._model = NetworkModel(model.networks_, link=Softmax(), adds_evidence=True)
    X, y = noisy(400, 100)
    assert log_loss_of(model, X, y) < log_loss_of(raw, X, y) - 0.01


def test_base_models_help_where_rows_are_few(make, make_views):
    X, y = make_views(120)
    X_test, y_test = make_views(500, seed=1)
    alone = make().fit(X, y)
    helped = make(base_models="auto").fit(X, y)
    assert log_loss_of(helped, X_test, y_test) < log_loss_of(alone, X_test, y_test)
    assert helped.score(X_test, y_test) > 0.8


@pytest.mark.parametrize("n_folds", [1, 3])
def test_class_of_a_single_row_does_not_stop_the_fit(make, views, n_folds):
    X, y = views
    y = y.astype(object)
    y[0] = "once"
    model = make(n_folds=n_folds, base_models="auto").fit(X, y)
    assert list(model.classes_) == ["no", "once", "yes"]
    assert model.predict_proba(X).shape == (len(X), 3)


@pytest.mark.parametrize("n_folds", [1, 2])
def test_one_row_of_two_classes_does_not_stop_the_fit(make, views, n_folds):
    X, _ = views
    y = np.where(np.arange(len(X)) == 7, "once", "no")
    model = make(n_folds=n_folds, base_models="auto").fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()


@pytest.mark.parametrize("n_folds", [1, 2])
def test_many_classes_in_few_rows(make, views, n_folds, monkeypatch):
    monkeypatch.setattr(base_models, "TREE_COST", 0.0)  # a tree a class and round
    X, _ = views
    y = np.arange(len(X)) // 3
    model = make(n_folds=n_folds, base_models="auto").fit(X, y)
    assert model.predict_proba(X).shape == (len(X), 40)


def test_warm_start_refuses_other_classes(make, views):
    X, y = views
    model = make(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="class"):
        model.fit(X, np.where(y == "yes", "ja", "nein"))


@pytest.mark.parametrize("weight", [0.0, -1.0])
def test_class_weight_that_is_not_positive_is_refused(make, views, weight):
    model = make(class_weight={"yes": weight, "no": 1.0})
    with pytest.raises(ValueError, match=r"'class_weight' parameter .* leave its rows"):
        model.fit(*views)


def test_continuous_target_is_refused(make, views):
    X, _ = views
    with pytest.raises(ValueError, match="continuous"):
        make().fit(X, np.linspace(0, 1, len(X)))
