"""A fit that fails changes nothing; what Ctrl-C leaves can be used."""

import copy
import pickle

import numpy as np
import pytest
from skorch.callbacks import Callback

from skfusion import FusionClassifier, FusionRegressor


class At(Callback):
    """Raises at a training step, counted over all folds of a fit."""

    def __init__(self, step, error=KeyboardInterrupt):
        self.step, self.error, self.seen = step, error, 0

    def on_batch_begin(self, net, training=False, **kwargs):
        if training:
            self.seen += 1
            if self.seen == self.step:
                raise self.error


class FailingTransformer:
    """A scikit-learn transformer whose fit fails."""

    def __new__(cls):
        from sklearn.preprocessing import FunctionTransformer

        def fail(x):
            raise ValueError("out of order")

        return FunctionTransformer(fail)


@pytest.fixture(params=[FusionClassifier, FusionRegressor], ids=lambda k: k.__name__)
def kind(request):
    return request.param


@pytest.fixture
def data(kind, views):
    frame, labels = views
    if kind is FusionClassifier:
        return frame, labels
    return frame, frame["a"].fillna(0).to_numpy()


@pytest.fixture
def make(kind, view_triples, whole):
    def make(**parameters):
        return kind(**{"modalities": view_triples} | whole | parameters)

    return make


def output(model, X):
    return getattr(model, "predict_proba", model.predict)(X)


FAILURES = {
    "target": ({}, lambda y: np.full(len(y), np.nan), ValueError),
    "length": ({}, lambda y: y[:-1], ValueError),
    "transformer": (
        {"modalities": [("f", FailingTransformer(), ["a"])]},
        lambda y: y,
        ValueError,
    ),
    "callback": ({"callbacks": [At(2, RuntimeError)]}, lambda y: y, RuntimeError),
    "callback, second fold": (
        {"callbacks": [At(5, RuntimeError)]},
        lambda y: y,
        RuntimeError,
    ),
    "Ctrl-C, first step": ({"callbacks": [At(1)]}, lambda y: y, KeyboardInterrupt),
    "Ctrl-C, first epoch": (
        {"callbacks": [At(2)], "batch_size": 16},
        lambda y: y,
        KeyboardInterrupt,
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_refit_that_fails_leaves_the_estimator_as_it_was(make, data, failure):
    parameters, target, error = FAILURES[failure]
    X, y = data
    model = make().fit(X, y)
    expected = output(model, X)
    model.set_params(**parameters)
    before, content = dict(vars(model)), pickle.dumps(model._model)
    with pytest.raises(error):
        model.fit(X, target(y))
    after = vars(model)
    assert list(after) == list(before)
    assert all(after[name] is before[name] for name in before)
    assert pickle.dumps(model._model) == content
    assert np.array_equal(output(model, X), expected)


@pytest.mark.parametrize("failure", FAILURES)
def test_first_fit_that_fails_leaves_the_estimator_unfitted(make, data, failure):
    parameters, target, error = FAILURES[failure]
    X, y = data
    model = make(**parameters)
    before = dict(vars(model))
    with pytest.raises(error):
        model.fit(X, target(y))
    assert vars(model) == before


@pytest.mark.parametrize("warm_start", [False, True])
def test_warm_start_that_fails_leaves_the_networks_as_they_were(make, data, warm_start):
    X, y = data
    model = make(warm_start=warm_start).fit(X, y)
    expected = output(model, X)
    model.set_params(callbacks=[At(2, RuntimeError)])
    with pytest.raises(RuntimeError):
        model.fit(X, y)
    assert np.array_equal(output(model, X), expected)


# 120 rows in batches of 16 make 4 steps an epoch and, of 3 epochs, 12 a fold.
STEPS = {"batch_size": 16, "max_epochs": 3}


def test_interrupt_in_the_second_fold_leaves_a_calibrated_model_of_the_first(
    make, data
):
    X, y = data
    model = make(callbacks=[At(18)], **STEPS).fit(X, y)
    assert len(model.networks_) == 1
    assert model.n_iter_ == 3
    assert model.base_model_weights_ is not None
    assert np.isfinite(output(model, X)).all()
    # The network of the first fold is the one that an undisturbed fit has.
    whole = make(**STEPS).fit(X, y)
    assert len(whole.networks_) == 2
    for one, two in zip(
        model.networks_[0].parameters(), whole.networks_[0].parameters(), strict=True
    ):
        assert one.equal(two)


def test_interrupt_after_an_epoch_leaves_a_usable_model(make, data):
    X, y = data
    model = make(callbacks=[At(6)], **STEPS).fit(X, y)
    assert len(model.networks_) == model.n_iter_ == len(model.history_) == 1
    assert np.isfinite(output(model, X)).all()
    np.testing.assert_allclose(model.modality_weights(X).sum(axis=1), 1)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(output(again, X), output(model, X))


def test_interrupt_in_a_fit_without_folds_leaves_a_usable_model(make, data):
    X, y = data
    model = make(fusion="mean", callbacks=[At(6)], **STEPS).fit(X.head(60), y[:60])
    assert len(model.networks_) == 1
    assert np.isfinite(output(model, X)).all()


def test_interrupted_model_learns_afresh(make, data):
    X, y = data
    model = make(callbacks=[At(6)], **STEPS).fit(X, y)
    model.set_params(callbacks=None).fit(X, y)
    assert np.array_equal(output(model, X), output(make(**STEPS).fit(X, y), X))


def test_callbacks_of_the_caller_are_copied(make, data):
    callback = At(1000)
    before = copy.deepcopy(vars(callback))
    make(callbacks=[callback]).fit(*data)
    assert vars(callback) == before
