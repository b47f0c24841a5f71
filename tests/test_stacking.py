"""The stack of what experts say: a linear model, as a sum of terms."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from skfusion.stacking import STRENGTH, Stack

N, M, S = 200, 2, 3


def make_words(n_classes, seed=0):
    """Log-probabilities (n, M, S, C) of speakers who know part of the class."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, N)
    logits = rng.normal(size=(N, M, S, n_classes))
    logits[np.arange(N), :, :, y] += 1.5
    return torch.from_numpy(log_softmax(logits, axis=-1)), torch.from_numpy(y)


def fit(words, y, weight=None):
    weight = torch.ones(len(y), dtype=torch.float64) if weight is None else weight
    return Stack.fit(words, y, weight)


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_terms_add_up_to_logistic_regression(n_classes):
    words, y = make_words(n_classes)
    stack = fit(words, y)
    flat = words.reshape(N, -1).numpy()
    model = LogisticRegression(C=STRENGTH, max_iter=500)
    expected = model.fit(flat - flat.mean(axis=0), y.numpy())
    terms = stack(words)
    assert terms.shape == (N, M, n_classes)
    probability = terms.sum(dim=1).softmax(dim=-1)
    wanted = expected.predict_proba(flat - flat.mean(axis=0))
    np.testing.assert_allclose(probability, wanted, atol=1e-3)


def test_who_repeats_another_counts_half():
    words, y = make_words(3)
    doubled = torch.cat([words[:, :1], words[:, :1]], dim=1)
    alone = fit(words[:, :1], y)(words[:, :1])
    terms = fit(doubled, y)(doubled)
    np.testing.assert_allclose(terms[:, 0], terms[:, 1], atol=1e-3)
    assert 0.45 < terms[:, 0].std() / alone.std() < 0.65


def test_the_silent_count_as_usual():
    words, y = make_words(3)
    stack = fit(words, y)
    silent = words.clone()
    silent[:, 0] = torch.nan
    terms = stack(silent)
    assert (terms[:, 0] == stack.intercept / M).all()
    assert (terms[:, 1] == stack(words)[:, 1]).all()


def test_slots_that_never_speak_count_nothing():
    words, y = make_words(3)
    words[:, :, 1] = torch.nan
    stack = fit(words, y)
    assert (stack.coef[:, 1] == 0).all()
    assert stack(words).isfinite().all()


def test_words_need_no_normalising():
    words, y = make_words(3)
    stack = fit(words, y)
    np.testing.assert_allclose(stack(words + 5.0), stack(words), atol=1e-12)


def test_a_class_without_rows_stays_unlikely():
    words, y = make_words(4)
    y[y == 2] = 1
    probability = fit(words, y)(words).sum(dim=1).softmax(dim=-1)
    assert (probability[:, 2] < 0.02).all()


def test_rows_of_one_class_teach_nothing():
    words, y = make_words(3)
    assert not fit(words, torch.zeros_like(y))(words).any()


def test_weight_of_zero_is_no_row():
    words, y = make_words(3)
    weight = (torch.arange(N) < 100).double()
    turned = y.clone()
    turned[100:] = 0
    one, two = fit(words, y, weight), fit(words, turned, weight)
    np.testing.assert_allclose(one.coef, two.coef, atol=1e-6)


def test_words_of_the_joint_part_are_not_read():
    words, y = make_words(3)
    stack = fit(words, y)
    with_joint = torch.cat([words, torch.full_like(words[:, :1], 9.0)], dim=1)
    assert (stack(with_joint) == stack(words)).all()
