"""What the network and the base models count in the evidence of a source."""

import numpy as np
import pytest

from skfusion.evidence.mixing import Mix, fit_mix
from skfusion.training.links import Identity, Softmax

N, C = 400, 3
RNG = np.random.default_rng(0)
Y = RNG.integers(0, C, N)
LOG_PRIOR = np.log(np.full(C, 1 / C))
TRUTH = np.eye(C)[Y] * 3 - 1


def fit(evidence, *, y=Y, n=N, classes=True, weight=None):
    weight = np.ones(n) if weight is None else weight
    return fit_mix(
        evidence[:n],
        y[:n],
        weight,
        LOG_PRIOR[:C],
        link=Softmax() if classes else Identity(),
    )


def sources(*models):
    """(N, 1, K, C) of models, each told by (N, C)."""
    return np.stack(models, axis=1)[:, None]


def noise(seed=1):
    return np.random.default_rng(seed).normal(size=(N, C)) * 2


def test_model_that_is_right_counts_and_noise_does_not():
    mix = fit(sources(TRUTH + noise(2) / 2, noise()))
    assert mix.share[0, 0] > 0.5
    assert mix.share[0, 1] < 0.05
    assert (mix.share >= 0).all()


def test_few_rows_leave_shares_nearly_even():
    evidence = sources(TRUTH, noise())
    few, many = (np.ptp(fit(evidence, n=n).share) for n in (8, N))
    assert few < many


def test_model_that_never_speaks_has_no_share():
    evidence = sources(TRUTH, np.full((N, C), np.nan), TRUTH / 2)
    mix = fit(evidence)
    assert mix.share[0, 1] == 0
    assert np.isfinite(mix(evidence)).all()


def test_where_a_model_is_silent_the_others_count_for_it():
    mix = Mix(np.array([[0.5, 0.5]]))
    evidence = sources(np.ones((N, C)), np.ones((N, C)))
    evidence[:10, 0, 1] = np.nan
    np.testing.assert_allclose(mix(evidence), 1)
    evidence[:5] = np.nan
    assert not mix(evidence)[:5].any()


def test_sources_are_mixed_each_by_its_own_loss():
    evidence = np.stack([TRUTH, noise()], axis=1)
    both = np.stack([evidence, evidence[:, ::-1]], axis=1)  # (N, 2, 2, C)
    share = fit(both).share
    np.testing.assert_allclose(share[0], share[1, ::-1], atol=1e-3)


def test_weight_of_two_is_the_row_twice():
    evidence = sources(TRUTH + noise(3), noise())
    weight = 1.0 + (np.arange(N) % 2)
    rows = np.repeat(np.arange(N), weight.astype(int))
    one = fit(evidence, weight=weight)
    two = fit(evidence[rows], y=Y[rows], n=len(rows))
    np.testing.assert_allclose(one.share, two.share, atol=1e-4)


@pytest.mark.parametrize("n_targets", [1, 2])
def test_regression_is_mixed_by_the_squared_error(n_targets):
    y = RNG.normal(size=(N, n_targets))
    wrong = RNG.normal(size=(N, n_targets))
    evidence = np.stack([y, wrong], axis=1)[:, None]
    mix = fit_mix(evidence, y, np.ones(N), np.zeros(n_targets), link=Identity())
    assert mix.share[0, 0] > 0.8
    assert mix.share[0, 1] < 0.1
