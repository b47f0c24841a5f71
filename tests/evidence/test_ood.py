"""Out-of-distribution scores, and that no training row is kept for them."""

import pickle

import numpy as np
import pytest
from scipy import sparse

from skfusion.batch import Block, ModalityBatch
from skfusion.evidence.ood import N_SCORES, Density, fit_densities, ood_scores
from skfusion.modalities import VectorModality

RNG = np.random.default_rng(0)
X = (RNG.normal(size=(300, 4)) @ RNG.normal(size=(4, 20))).astype(np.float32)
X += RNG.normal(0, 0.1, X.shape).astype(np.float32)
WORDS = sparse.random(300, 200, 0.05, format="csr", random_state=0, dtype=np.float32)


def far(x, sd=4.0):
    return x + sd * RNG.normal(size=x.shape).astype(np.float32)


def test_rows_far_from_the_training_rows_score_higher():
    density = Density.fit(X[:200], 0)
    usual, unusual = density.scores(X[200:]), density.scores(far(X[200:]))
    assert usual.shape == (100, 2)
    # Noise leaves the plane in which the rows lie.
    assert (unusual[:, 1] > usual[:, 1].max()).mean() > 0.99


def test_rows_far_out_within_the_components_score_higher():
    density = Density.fit(X[:200], 0)
    usual, unusual = density.scores(X[200:]), density.scores(8 * X[200:])
    assert (unusual[:, 0] > usual[:, 0]).all()


def test_sparse_rows_of_other_words_score_higher():
    common = WORDS.multiply(np.arange(200) < 50).tocsr()
    rare = WORDS.multiply(np.arange(200) >= 50).tocsr()
    density = Density.fit(common[:200], 0)
    score = [density.scores(x[200:])[:, 1].mean() for x in (common, rare)]
    assert score[1] > score[0]


@pytest.mark.parametrize("x", [X, WORDS], ids=["dense", "csr"])
def test_score_of_a_row_does_not_depend_on_the_others(x):
    density = Density.fit(x, 0)
    together = density.scores(x)
    alone = np.concatenate([density.scores(x[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(alone, together[:5], atol=1e-5)


@pytest.mark.parametrize("x", [X, WORDS], ids=["dense", "csr"])
def test_density_keeps_no_row_and_does_not_grow_with_them(x):
    sizes = [len(pickle.dumps(Density.fit(x[:n], 0))) for n in (200, 300)]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.02)
    content = pickle.dumps(Density.fit(x, 0))
    rows = x.toarray() if sparse.issparse(x) else x
    for row in rows:
        assert row.tobytes() not in content
        assert row.astype(np.float64).tobytes() not in content


def test_constant_columns_and_few_features_are_no_trouble():
    x = np.zeros((30, 3), np.float32)
    x[:, 0] = RNG.normal(size=30)
    assert np.isfinite(Density.fit(x, 0).scores(far(x))).all()
    assert np.isfinite(Density.fit(x[:, :1], 0).scores(x[:, :1])).all()
    one = sparse.csr_matrix(x[:, :1])
    assert np.isfinite(Density.fit(one, 0).scores(one)).all()


def test_scores_of_absent_rows_are_nothing_and_few_rows_have_no_density():
    present = np.arange(300) % 3 > 0
    modality = VectorModality().fit(X)
    block = modality.transform(X)
    block = Block(block.arrays, present)
    batch = ModalityBatch({"v": block}, {"v": modality})
    features = [modality.features(block)]
    densities = fit_densities(features, batch.present, 0)
    scores = ood_scores(densities, batch, features)
    assert scores.shape == (300, 1, N_SCORES)
    assert not scores[~present].any()
    assert scores[present].any(axis=(1, 2)).all()
    rare = np.zeros((300, 1), bool)
    rare[:3] = True
    assert fit_densities(features, rare, 0) == [None]
