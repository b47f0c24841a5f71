"""Learning batch by batch: it learns, keeps no row, and is all or nothing."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, r2_score
from skorch.callbacks import Callback

from skfusion import FusionClassifier, FusionRegressor
from skfusion.evidence.outputs import EvidenceModel, NetworkModel

CLASSES = ["no", "yes"]


@pytest.fixture
def make(view_triples, whole):
    def make(kind=FusionClassifier, **parameters):
        return kind(**{"modalities": view_triples} | whole | parameters)

    return make


def batches(X, y, n):
    return [(X.iloc[i : i + n], y[i : i + n]) for i in range(0, len(y), n)]


def test_more_batches_are_better_than_the_first(make, make_views):
    X, y = make_views(250)
    test, truth = make_views(300, seed=1)
    losses = []
    model = make(max_epochs=5)
    for part in batches(X, y, 50):
        assert model.partial_fit(*part, classes=CLASSES) is model
        losses.append(log_loss(truth, model.predict_proba(test)))
    whole = log_loss(truth, make(max_epochs=5).fit(X, y).predict_proba(test))
    assert losses[-1] < (losses[0] + whole) / 2


def test_regression_goes_on_in_the_units_of_the_target(make, make_views):
    X, _ = make_views(400)
    y = 100 + 10 * X.fillna(0).to_numpy() @ np.array([1, 0, 0, 1, 0, 0])
    model = make(FusionRegressor, max_epochs=5)
    found = []
    for part in batches(X.iloc[:320], y[:320], 80):
        found.append(r2_score(y[320:], model.partial_fit(*part).predict(X.iloc[320:])))
    assert found[-1] > found[0]
    assert found[-1] > 0.8
    assert model.card()


def test_labels_are_learned_batch_by_batch(make, make_views):
    X, y = make_views(240)
    Y = np.column_stack([y == "yes", X["a"].fillna(0) > 0, np.zeros(240)]).astype(int)
    Y[-1, 2] = 1  # constant in the first batch
    model = make()
    for part in batches(X, Y, 80):
        model.partial_fit(*part)
    assert model.predict_proba(X).shape == (240, 3)
    assert 0 < model.class_prior_[2] < 0.1


def test_first_batch_is_a_fit(make, views):
    X, y = views
    one, two = make().fit(X, y), make().partial_fit(X, y, CLASSES)
    assert np.array_equal(one.predict_proba(X), two.predict_proba(X))
    two.partial_fit(X, y)  # a fit can go on, and a fit after it starts afresh
    assert not np.array_equal(one.predict_proba(X), two.predict_proba(X))
    assert np.array_equal(two.fit(X, y).predict_proba(X), one.predict_proba(X))


def test_batches_are_counted_in_history_card_and_shares(make, views):
    X, y = views
    model = make(random_state=0).partial_fit(X[:60], y[:60], CLASSES)
    model.partial_fit(X[60:], y[60:])
    assert model.n_iter_ == len(model.history_) == 6
    assert model.history_.index.is_unique
    assert "Rows: 120" in model.card()
    counts = pd.Series(y).value_counts(normalize=True)
    np.testing.assert_allclose(model.class_prior_, counts[CLASSES])


def test_weights_of_batches_are_of_one_unit(make, views):
    X, y = views
    w = np.ones(60)
    model = make().partial_fit(X[:60], y[:60], CLASSES, sample_weight=3 * w)
    model.partial_fit(X[60:], y[60:], sample_weight=w)
    share = np.array([np.mean(part == "yes") for part in (y[:60], y[60:])])
    assert model.class_prior_[1] == pytest.approx(share @ [0.75, 0.25])


def test_class_of_a_later_batch_is_learned(make, views):
    X, y = views
    third = np.where(X["b"].fillna(0) > 1, "maybe", y)
    early = third[:60] != "maybe"
    model = make(max_epochs=10)
    model.partial_fit(X[:60][early], third[:60][early], ["maybe", *CLASSES])
    before = model.predict_proba(X)[third == "maybe", 0].mean()
    for _ in range(3):
        model.partial_fit(X, third)
    assert model.predict_proba(X)[third == "maybe", 0].mean() > before + 0.1


def test_unseen_words_and_categories_are_read(make_mixed, whole):
    X, y = make_mixed(120)
    later = X[60:].assign(note="unheardof words", colour="violet")
    triples = [("words", "text", "note"), ("facts", "tabular", ["price", "colour"])]
    model = FusionClassifier(triples, **whole).partial_fit(
        X[:60], y[:60], [False, True]
    )
    model.partial_fit(later, y[60:])
    assert np.isfinite(model.predict_proba(later)).all()


def test_no_row_is_kept(make_mixed, whole):
    X, y = make_mixed(120)
    X["note"] = [f"secret{i} note" for i in range(120)]
    triples = [("words", "text", "note"), ("facts", "tabular", ["price", "colour"])]
    model = FusionClassifier(triples, **whole)
    for part in batches(X, y, 60):
        model.partial_fit(*part, classes=[False, True])
    assert b"secret99" not in pickle.dumps(model)


@pytest.mark.parametrize("n", [1, 2, 15, 39])
def test_small_batches_are_learned_from(make, views, n):
    X, y = views
    model = make().partial_fit(X[:60], y[:60], CLASSES)
    gate = model._model.gate
    model.partial_fit(X[60 : 60 + n], y[60 : 60 + n])
    assert model._model.gate is gate  # too few rows to say whom to trust
    assert np.isfinite(model.predict_proba(X)).all()
    model.partial_fit(X[60:], y[60:])
    assert model._model.gate is not gate


def test_trust_comes_with_the_first_batch_that_is_large_enough(make, views):
    X, y = views
    model = make().partial_fit(X[:20], y[:20], CLASSES)
    assert isinstance(model._model, NetworkModel)
    model.partial_fit(X, y)
    assert isinstance(model._model, EvidenceModel)
    assert model.base_model_weights_ is not None


@pytest.mark.parametrize("parameters", [{"fusion": "mean"}, {"base_models": None}])
def test_other_rules_and_no_base_models(make, views, parameters):
    X, y = views
    model = make(**parameters).partial_fit(X[:60], y[:60], CLASSES)
    before = model.predict_proba(X)
    assert not np.array_equal(model.partial_fit(X, y).predict_proba(X), before)


class Failing(Callback):
    """Raises in the second training of a call."""

    seen = 0

    def __deepcopy__(self, memo):
        return self

    def __init__(self, error):
        self.error = error

    def on_train_begin(self, net, **kwargs):
        self.seen += 1
        if self.seen == 2:
            raise self.error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_batch_that_fails_changes_nothing(make, views, error):
    X, y = views
    model = make().partial_fit(X[:60], y[:60], CLASSES)
    model.set_params(callbacks=[Failing(error)])
    before, content = dict(vars(model)), pickle.dumps(model._model)
    with pytest.raises(error):
        model.partial_fit(X[60:], y[60:])
    after = vars(model)
    assert list(after) == list(before)
    assert all(after[name] is before[name] for name in before)
    assert pickle.dumps(model._model) == content


WRONG = {
    "no classes": ({}, {}, "classes must be passed on the first call"),
    "class": ({}, {"classes": ["no", "perhaps"]}, r"y holds 'yes'.*Name all classes"),
    "balanced": (
        {"class_weight": "balanced"},
        {"classes": CLASSES},
        "balanced' is not known before",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_first_calls_are_refused(make, views, wrong):
    parameters, given, message = WRONG[wrong]
    model = make(**parameters)
    before = dict(vars(model))
    with pytest.raises(ValueError, match=message):
        model.partial_fit(*views, **given)
    assert vars(model) == before


def test_wrong_later_calls_are_refused(make, views):
    X, y = views
    model = make().partial_fit(X, y, CLASSES)
    with pytest.raises(ValueError, match=r"classes must be those of the first call"):
        model.partial_fit(X, y, ["no", "yes", "maybe"])
    with pytest.raises(ValueError, match=r"'perhaps'.* none of the classes"):
        model.partial_fit(X, np.where(y == "no", "perhaps", y))
    with pytest.raises(ValueError, match=r"partial_fit goes on .*d_model=16"):
        model.set_params(d_model=8).partial_fit(X, y)
