"""A fit that fails changes nothing; what Ctrl-C leaves can be used."""

import os
import pickle
import sys
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from skfusion import FusionClassifier


class At(Callback):
    """Raises at a training step, counted over all folds of a fit."""

    def __init__(self, step, error=KeyboardInterrupt):
        self.step, self.error, self.seen = step, error, 0

    def __deepcopy__(self, memo):
        return self  # or each fold would count for itself

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


@pytest.fixture
def make(kind, view_triples, whole):
    def make(**parameters):
        return kind(**{"modalities": view_triples} | whole | parameters)

    return make


def output(model, X):
    return getattr(model, "predict_proba", model.predict)(X)


def same(y):
    return y


#: Parameters (made anew, since callbacks count), what is done to y, and the error.
FAILURES = {
    "target": (dict, lambda y: np.full(len(y), np.nan), ValueError),
    "length": (dict, lambda y: y[:-1], ValueError),
    "transformer": (
        lambda: {"modalities": [("f", FailingTransformer(), ["a"])]},
        same,
        ValueError,
    ),
    "callback": (lambda: {"callbacks": [At(2, RuntimeError)]}, same, RuntimeError),
    "callback, second fold": (
        lambda: {"callbacks": [At(5, RuntimeError)]},
        same,
        RuntimeError,
    ),
    "Ctrl-C, first step": (lambda: {"callbacks": [At(1)]}, same, KeyboardInterrupt),
    "Ctrl-C, first epoch": (
        lambda: {"callbacks": [At(2)], "batch_size": 16},
        same,
        KeyboardInterrupt,
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_refit_that_fails_leaves_the_estimator_as_it_was(make, data, failure):
    parameters, target, error = FAILURES[failure]
    X, y = data
    model = make().fit(X, y)
    expected = output(model, X)
    model.set_params(**parameters())
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
    model = make(**parameters())
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


# ---------------------------------------------------------------- anywhere


#: Moments of a fit at which Ctrl-C is tried.
MOMENTS = int(os.environ.get("SKFUSION_TEST_INTERRUPTS", "7"))


@contextmanager
def ctrl_c_at(call):
    """Ctrl-C when the package enters a function for the `call`-th time.

    Yields a list whose length is the number of calls so far.
    """
    seen = []

    def profile(frame, event, argument):
        if event == "call" and "/skfusion/" in frame.f_code.co_filename:
            seen.append(frame.f_code.co_name)
            if len(seen) == call:
                raise KeyboardInterrupt

    sys.setprofile(profile)
    try:
        yield seen
    finally:
        sys.setprofile(None)


def assert_usable(model, X, y):
    result = output(model, X)
    assert np.isfinite(result).all()
    if result.ndim == 2:
        np.testing.assert_allclose(result.sum(axis=1), 1, rtol=1e-6)
    assert np.isfinite(model.modality_weights(X)).all()
    assert model.base_model_weights_ is not None
    model.set_params(warm_start=True, max_epochs=1).fit(X, y)
    assert len(model.networks_) == 2
    assert np.isfinite(output(model, X)).all()


def n_calls(model, X, y):
    with ctrl_c_at(None) as seen:
        model.fit(X, y)
    return len(seen)


def test_ctrl_c_anywhere_leaves_what_was_or_a_usable_model(make, make_mixed, kind):
    X, y = make_mixed(60)
    y = y if kind is FusionClassifier else y * 1.0
    triples = [("words", "text", "note"), ("facts", "tabular", ["price", "colour"])]
    model = make(modalities=triples).fit(X, y)
    expected, content = output(model, X), pickle.dumps(model._model)
    state, n_threads = torch.random.get_rng_state(), torch.get_num_threads()
    total = n_calls(make(modalities=triples), X, y)
    assert total > 1000
    usable = 0
    for call in np.linspace(1, total, MOMENTS).astype(int).tolist():
        try:
            with ctrl_c_at(call):
                model.fit(X, y)
        except KeyboardInterrupt:
            assert pickle.dumps(model._model) == content
        else:
            usable += 1
            assert_usable(model, X, y)
            model = make(modalities=triples).fit(X, y)
            content = pickle.dumps(model._model)
        assert np.array_equal(output(model, X), expected)
        assert torch.equal(torch.random.get_rng_state(), state)
        assert torch.get_num_threads() == n_threads
    assert usable > 0


class InEpoch(Callback):
    """Ctrl-C at the end of an epoch, after all other callbacks, in the first fold."""

    def __init__(self, epoch, seen=None):
        self.epoch, self.seen = epoch, [] if seen is None else seen

    def __deepcopy__(self, memo):
        return InEpoch(self.epoch, self.seen)

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.epoch and not self.seen:
            self.seen.append(net)
            raise KeyboardInterrupt


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_ctrl_c_at_the_end_of_any_epoch_ends_the_fit(make, data, epoch):
    X, y = data
    model = make(callbacks=[InEpoch(epoch)], **STEPS).fit(X, y)
    assert len(model.networks_) == 1
    assert model.n_iter_ == epoch
    assert np.isfinite(output(model, X)).all()


@pytest.mark.parametrize("n_folds", [2, 3])
def test_warm_start_after_ctrl_c_makes_the_folds_that_are_missing(make, data, n_folds):
    X, y = data
    parameters = STEPS | {"n_folds": n_folds}
    model = make(warm_start=True, callbacks=[At(18)], **parameters).fit(X, y)
    first = len(model.networks_)
    assert 0 < first < n_folds
    model.set_params(callbacks=None).fit(X, y)
    assert len(model.networks_) == n_folds
    assert np.isfinite(output(model, X)).all()


@pytest.mark.parametrize("lr", [1e10, 1e30])
def test_training_that_diverges_says_so_and_changes_nothing(make, data, lr):
    X, y = data
    model = make().fit(X, y)
    expected = output(model, X)
    model.set_params(lr=lr, max_epochs=30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of overflows on the way there
        with pytest.raises(ValueError, match=r"Training diverged: .* smaller lr"):
            model.fit(X, y)
    assert np.array_equal(output(model, X), expected)
