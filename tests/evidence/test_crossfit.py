"""What base models say of rows that they did not learn from."""

import numpy as np
import pandas as pd
import pytest
from sklearn.tree import DecisionTreeClassifier

from skfusion.batch import ModalityBatch
from skfusion.evidence.base_models import LINEAR, TREES, Task
from skfusion.evidence.crossfit import CrossFitter, Rows, no_base_models
from skfusion.modalities import TabularModality, TextModality, VectorModality
from skfusion.training.links import Identity, Softmax

N = 150
RNG = np.random.default_rng(0)
NUMBERS = RNG.normal(size=(N, 3))
Y = (NUMBERS[:, 0] > 0).astype(int)
TEXTS = [
    f"{'good' if g else 'bad'} cloth {w}"
    for g, w in zip(Y, RNG.integers(9, size=N), strict=True)
]
TASK = Task(Softmax(), 2, np.log(np.bincount(Y) / N), 0)
THIRD = np.arange(N) % 3
SPLITS = [(np.flatnonzero(f != THIRD), np.flatnonzero(f == THIRD)) for f in range(3)]


def rows_of(numbers=NUMBERS, absent=None):
    modalities = {
        "numbers": VectorModality().fit(NUMBERS),
        "text": TextModality().fit(TEXTS),
    }
    numbers = numbers.copy()
    if absent is not None:
        numbers[absent] = np.nan
    blocks = {
        "numbers": modalities["numbers"].transform(numbers),
        "text": modalities["text"].transform(TEXTS),
    }
    return Rows.of(ModalityBatch(blocks, modalities))


def fit(y=Y, clean=None, corrupted=(), splits=SPLITS, **options):
    options = {"has_joint": True} | options
    clean = rows_of() if clean is None else clean
    everything = [clean, *corrupted]
    return CrossFitter(TASK, everything, y, np.ones(N), splits, **options).fit()


def test_evidence_has_an_axis_for_each_source_and_model():
    models, held, additive = fit(corrupted=[rows_of()])
    assert models.names == (LINEAR, TREES)
    assert held[0].shape == (N, 3, 2, 2)
    assert len(held) == 2
    assert [a.shape for a in additive] == [(N, 2, 2)] * 2
    np.testing.assert_allclose(held[1], held[0])
    # Sparse features are no food for trees.
    assert np.isnan(held[0][:, 1, 1]).all()
    assert not np.isnan(held[0][:, 0]).any()


def test_evidence_of_a_row_comes_from_models_that_did_not_see_its_label():
    _, before, _ = fit()
    y = Y.copy()
    held = SPLITS[0][1]
    y[held] = 1 - y[held]
    # Which strength is best may change with the labels: one candidate is compared.
    _, after, _ = fit(y)
    trees = 1
    np.testing.assert_allclose(before[0][held, 0, trees], after[0][held, 0, trees])
    others = SPLITS[1][1]
    assert not np.allclose(before[0][others, 0, trees], after[0][others, 0, trees])


def test_models_learn_what_there_is():
    models, held, _ = fit()
    for evidence in (held[0][:, 0, 0], held[0][:, 1, 0], held[0][:, 0, 1]):
        assert np.mean(evidence.argmax(axis=1) == Y) > 0.85
    said, _ = models.evidence(rows_of(), 3)
    assert np.mean(said[:, 0, 0].argmax(axis=1) == Y) > 0.85


def test_absent_modalities_say_nothing_and_teach_nothing():
    absent = np.arange(N) % 4 == 0
    clean = rows_of(absent=absent)
    models, held, additive = fit(clean=clean)
    assert np.isnan(held[0][absent, 0]).all()
    assert not np.isnan(held[0][~absent, 0]).any()
    assert not additive[0][absent, 0].any()
    said, added = models.evidence(clean, 3)
    assert np.isnan(said[absent, 0]).all()
    assert not added[absent, 0].any()
    # Trees of all modalities speak only where all are there.
    assert np.isnan(said[absent, 2, 1]).all()
    assert not np.isnan(said[~absent, 2, 1]).any()


def test_linear_models_of_the_folds_are_averaged_into_one():
    models, _, _ = fit()
    assert sum(model is not None for model in models.linear) == 2
    assert models.linear[0].coef.shape[1] == 2


@pytest.mark.parametrize("n_splits", [1, 3])
def test_users_models_join_each_source(n_splits):
    tree = DecisionTreeClassifier(max_depth=2, random_state=0)
    models, held, _ = fit(own=[("mine", tree)], splits=SPLITS[:n_splits])
    assert models.names == (LINEAR, TREES, "mine")
    at = np.concatenate([held for _, held in SPLITS[:n_splits]])
    assert not np.isnan(held[0][at, :, 2]).any()
    said, _ = models.evidence(rows_of(), 3)
    assert not np.isnan(said[:, :, 2]).any()
    assert not hasattr(tree, "tree_")


def test_without_a_joint_source_no_model_reads_all_modalities():
    models, held, _ = fit(has_joint=False)
    assert held[0].shape[1] == len(models.tables) == 2


def test_no_base_models_have_the_same_form():
    rows = rows_of()
    models, held, additive = no_base_models(TASK, [rows, rows], True)
    assert models.names == ()
    assert held[0].shape == (N, 3, 0, 2)
    assert len(held) == 2
    assert not np.any(additive)
    said, _ = models.evidence(rows, 3)
    assert said.shape == (N, 3, 0, 2)


def test_evidence_of_a_row_does_not_depend_on_the_others():
    models, _, _ = fit()
    rows = rows_of()
    together, added = models.evidence(rows, 3)
    for i in (0, 7):
        alone, own = models.evidence(Rows.of(rows.batch[[i]]), 3)
        np.testing.assert_allclose(alone[0], together[i], rtol=0, atol=1e-12)
        np.testing.assert_allclose(own[0], added[i], rtol=0, atol=1e-12)


def test_trees_learn_on_tables_whose_categories_make_many_features():
    n = 400
    rng = np.random.default_rng(0)
    size = rng.normal(size=n)
    letters = rng.choice(list("abcdefghijklmnopqrst"), size=(n, 9))
    frame = pd.DataFrame(letters, columns=list("ABCDEFGHI")).assign(size=size)
    y = 1.0 * (np.abs(size) > 0.7)[:, None]  # no line says it
    table = TabularModality()
    rows = Rows.of(
        ModalityBatch({"facts": table.fit_transform(frame)}, {"facts": table})
    )
    assert rows.features[0].shape[1] > 150
    splits = [(np.arange(0, n, 2), np.arange(1, n, 2))]
    task = Task(Identity(), 1, np.zeros(1), 0)
    fitter = CrossFitter(task, [rows], y, np.ones(n), splits, has_joint=False)
    _, held, _ = fitter.fit()
    said = held[0][splits[0][1], 0, 1]
    assert np.corrcoef(said[:, 0], y[splits[0][1], 0])[0, 1] > 0.8
