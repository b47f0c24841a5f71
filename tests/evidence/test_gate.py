"""How far each source is trusted."""

import numpy as np
import pytest

from skfusion.evidence.gate import fit_gate, gate_features
from skfusion.evidence.ood import N_SCORES
from skfusion.evidence.optimise import minimise
from skfusion.training.links import Identity, Sigmoid, Softmax

N, C = 400, 3
LOG_PRIOR = np.log(np.full(C, 1 / C))


def made(seed=0, n=N, n_corrupted=N):
    """Two modalities that know the class, some rows of the first corrupted.

    Returns what `fit_gate` takes; its out-of-distribution score tells the corruption.
    """
    rng = np.random.default_rng(seed)
    y = rng.integers(0, C, n)
    y = np.concatenate([y, y[:n_corrupted]])
    evidence = np.stack([2.5 * np.eye(C)[y]] * 2, axis=1)
    evidence += rng.normal(size=evidence.shape)
    ood = 0.3 * rng.normal(size=(len(y), 2, N_SCORES))
    hit = np.arange(len(y)) >= n
    evidence[hit, 0] = rng.normal(0, 3, size=(hit.sum(), C))
    ood[hit, 0] += 3
    evidence -= evidence.mean(axis=2, keepdims=True)
    present = np.ones((len(y), 2), dtype=bool)
    return evidence, ood, present, y, hit


def features_of(evidence, ood, present, classes=True):
    prior = LOG_PRIOR if classes else np.zeros(evidence.shape[-1])
    return gate_features(
        evidence, ood, present, prior, link=Softmax() if classes else Identity()
    )


def fit(evidence, ood, present, y, hit, weight=None):
    return fit_gate(
        evidence=evidence,
        linear=np.zeros_like(evidence[:, : ood.shape[1]]),
        features=features_of(evidence, ood, present),
        present=present,
        y=y,
        weight=np.ones(len(y)) if weight is None else weight,
        log_prior=LOG_PRIOR,
        n_clean=int((~hit).sum()),
        link=Softmax(),
    )


def test_the_matrix_learns_which_labels_come_together():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, (N, 1)).repeat(2, axis=1).astype(float)
    evidence = np.zeros((N, 1, 2))  # it tells the first label, and not the second
    evidence[:, 0, 0] = np.where(y[:, 0] > 0, 2, -2) + rng.normal(size=N)
    present, ood = np.ones((N, 1), dtype=bool), np.zeros((N, 1, N_SCORES))
    prior, link = np.zeros(2), Sigmoid()
    found = fit_gate(
        evidence=evidence,
        linear=np.zeros((N, 1, 2)),
        features=gate_features(evidence, ood, present, prior, link=link),
        present=present,
        y=y,
        weight=np.ones(N),
        log_prior=prior,
        n_clean=N,
        link=link,
    )
    said = found.scaled(evidence[:, 0])
    assert np.mean((said[:, 1] > 0) == (y[:, 1] > 0)) > 0.9


@pytest.fixture(scope="module")
def gate():
    return fit(*made())


def test_trust_falls_where_the_content_is_out_of_distribution(gate):
    evidence, ood, present, _, hit = made(seed=1)
    trust = gate.trust(features_of(evidence, ood, present), present)
    assert trust.shape == (2 * N, 2)
    assert trust[hit, 0].mean() < 0.5 * trust[~hit, 0].mean()
    assert trust[hit, 1].mean() > 0.8 * trust[~hit, 1].mean()


def test_trust_falls_as_the_score_rises(gate):
    evidence, ood, present, _, _ = made(seed=1, n_corrupted=0)
    found = []
    for more in (0.0, 1.0, 2.0, 4.0):
        moved = ood.copy()
        moved[:, 0] += more
        found.append(gate.trust(features_of(evidence, moved, present), present)[:, 0])
    assert (np.diff(found, axis=0) <= 1e-12).all()
    assert (found[-1] < found[0]).all()


def test_absent_source_is_not_trusted(gate):
    evidence, ood, present, _, _ = made(seed=1)
    present = present.copy()
    present[::3, 0] = False
    trust = gate.trust(features_of(evidence, ood, present), present)
    assert (trust[::3, 0] == 0).all()
    assert (trust[present] > 0).all()


def test_modality_that_knows_nothing_is_trusted_less():
    evidence, ood, present, y, hit = made(n_corrupted=0)
    rng = np.random.default_rng(5)
    noise = rng.normal(0, 2, size=evidence[:, 1].shape)
    evidence[:, 1] = noise - noise.mean(axis=1, keepdims=True)
    gate = fit(evidence, ood, present, y, hit)
    trust = gate.trust(features_of(evidence, ood, present), present).mean(axis=0)
    assert trust[1] < 0.3 * trust[0]


def test_weight_of_two_is_the_row_twice():
    evidence, ood, present, y, hit = made(n=60, n_corrupted=0)
    tiled = [np.tile(a, (2, *[1] * (a.ndim - 1))) for a in (evidence, ood, present)]
    one = fit(*tiled, np.tile(y, 2), np.tile(hit, 2))
    two = fit(evidence, ood, present, y, hit, weight=np.full(len(y), 2.0))
    np.testing.assert_allclose(one.bias, two.bias, atol=1e-3)
    np.testing.assert_allclose(one.coef, two.coef, atol=1e-3)


# ---------------------------------------------------------------- gate features


def test_features_of_a_row_do_not_depend_on_the_others():
    evidence, ood, present, _, _ = made()
    together = features_of(evidence, ood, present)
    assert np.isfinite(together).all()
    for i in (0, 5):
        rows = slice(i, i + 1)
        alone = features_of(evidence[rows], ood[rows], present[rows])
        np.testing.assert_allclose(alone[0], together[i])


def test_what_an_absent_modality_would_say_is_not_heard_by_the_others():
    evidence, ood, present, _, _ = made()
    present[:, 1] = False
    before = features_of(evidence, ood, present)[:, 0]
    evidence[:, 1] = 99.0
    np.testing.assert_array_equal(features_of(evidence, ood, present)[:, 0], before)


def test_confidence_rises_and_entropy_falls_with_the_size_of_the_evidence():
    evidence, ood, present, _, _ = made()
    weak, strong = (features_of(k * evidence, ood, present) for k in (0.5, 2.0))
    assert (strong[..., 0] >= weak[..., 0]).all()
    assert (strong[..., 1] <= weak[..., 1] + 1e-9).all()


def test_agreement_is_higher_where_modalities_say_the_same():
    evidence, ood, present, _, _ = made()
    same = np.repeat(evidence[:, 1:], 2, axis=1)
    against = same.copy()
    against[:, 0] *= -1
    found = [features_of(e, ood, present)[:, 0, 2].mean() for e in (same, against)]
    assert found[0] > found[1]


@pytest.mark.parametrize("n_targets", [1, 2])
def test_features_of_a_regression_are_size_and_distance(n_targets):
    rng = np.random.default_rng(0)
    evidence = rng.normal(size=(20, 2, n_targets))
    ood, present = np.zeros((20, 2, N_SCORES)), np.ones((20, 2), dtype=bool)
    features = features_of(evidence, ood, present, classes=False)
    size = np.abs(evidence).mean(axis=-1)
    np.testing.assert_allclose(features[..., 0], size)
    np.testing.assert_allclose(features[:, 0, 1], features[:, 1, 1])


# ---------------------------------------------------------------- L-BFGS


def test_minimum_of_a_function_of_several_arrays_is_found():
    target = [np.array([[1.0, -2.0]]), np.array([3.0])]

    def objective(a, b):
        import torch

        return (a - torch.from_numpy(target[0])).square().sum() + (b - 3).square().sum()

    found = minimise(objective, np.zeros((1, 2)), np.zeros(1))
    for x, expected in zip(found, target, strict=True):
        np.testing.assert_allclose(x, expected, atol=1e-4)
    found = minimise(objective, np.zeros((1, 2)), np.zeros(1), positive=True)
    np.testing.assert_allclose(found[0], [[1.0, 0.0]], atol=1e-4)


def test_class_matrix_learns_which_classes_are_taken_for_one_another():
    # Who says class 0 means class 0 or, half as strongly, class 1.
    evidence, ood, present, y, hit = made(n_corrupted=0)
    evidence[..., 1] += 0.6 * evidence[..., 0]
    evidence -= evidence.mean(axis=2, keepdims=True)
    found = fit(evidence, ood, present, y, hit)
    assert found.class_matrix[1, 0] < -0.05
    added = np.random.default_rng(0).normal(size=(5, 4, C))
    parts, whole = found.scaled(added), found.scaled(added.sum(axis=1))
    np.testing.assert_allclose(parts.sum(axis=1), whole, atol=1e-12)


@pytest.mark.parametrize("n", [40, 44, 45, 400])
def test_class_matrix_needs_rows(n):
    found = fit(*made(n=n, n_corrupted=0))
    assert (found.class_matrix is not None) == (n >= 5 * C**2)
    if n < 45:
        added = np.ones((2, C))
        assert found.scaled(added) is added
