"""Base models that go on with a further batch."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.tree import DecisionTreeClassifier

from skfusion.batch import ModalityBatch
from skfusion.evidence.base_models import Task
from skfusion.evidence.crossfit import CrossFitter, Rows
from skfusion.evidence.incremental import Bag, IncrementalFitter, update_linear
from skfusion.evidence.linear_models import fit_linear
from skfusion.modalities import VectorModality
from skfusion.training.links import Softmax

N = 200
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3)).astype(np.float32)
Y = (X[:, 0] + 0.3 * RNG.normal(size=N) > 0).astype(int)
TASK = Task(Softmax(), 2, np.log([0.5, 0.5]), 0)
ROWS = np.arange(N)
HALF = N // 2


def loss_of(model, at):
    logits = model.evidence(X[at]) + TASK.log_prior
    return TASK.link.row_loss(logits, Y[at]).mean()


def rows_of(at):
    modality = VectorModality().fit(X)
    block = modality.transform(X[at])
    return Rows.of(ModalityBatch({"numbers": block}, {"numbers": modality}))


def fitter_of(at, kind=CrossFitter, *before, task=TASK, own=()):
    n = len(at)
    splits = [(np.arange(n // 2), np.arange(n // 2, n))]
    rows = [rows_of(at)], Y[at], np.ones(n), splits
    return kind(*before, task, *rows, own=own, has_joint=False)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix], ids=["dense", "csr"])
def test_linear_model_learns_the_further_rows(form):
    few, more = ROWS[:12], ROWS[12:]
    before = fit_linear(TASK, form(X[few]), Y[few], np.ones(12))[0]
    after = update_linear(TASK, before, form(X[more]), Y[more], np.ones(N - 12), 0.9)
    assert loss_of(after, more) < 0.8 * loss_of(before, more)


def test_a_small_batch_changes_a_linear_model_less_than_a_large_one():
    before = fit_linear(TASK, X[:HALF], 1 - Y[:HALF], np.ones(HALF))[0]
    moved = [
        np.abs(
            update_linear(TASK, before, X[HALF:], Y[HALF:], np.ones(HALF), share).coef
            - before.coef
        ).max()
        for share in (0.01, 0.5)
    ]
    assert 3 * moved[0] < moved[1]


def test_models_of_the_batches_are_averaged_by_their_rows():
    a, b = (
        DecisionTreeClassifier(max_depth=2, random_state=0).fit(X[at], Y[at])
        for at in (ROWS[:HALF], ROWS[HALF:])
    )
    bag = Bag([a], [1.0]).joined(b, 0.25)
    expected = 0.75 * a.predict_proba(X) + 0.25 * b.predict_proba(X)
    np.testing.assert_allclose(bag.predict_proba(X), expected)


def test_fitter_goes_on_and_leaves_the_former_models_as_they_were():
    own = [("mine", DecisionTreeClassifier(max_depth=2, random_state=0))]
    former, *_ = fitter_of(ROWS[:HALF], own=own).fit()
    coef = former.linear[0].coef.copy()
    fitter = fitter_of(ROWS[HALF:], IncrementalFitter, former, 0.5)
    models, held, _ = fitter.fit()
    assert models.names == former.names == ("linear", "trees", "mine")
    assert not np.isnan(held[0][HALF // 2 :, 0]).any()
    assert [len(t.model.models) for t in models.tables[0].values()] == [2, 2]
    assert not any(isinstance(t.model, Bag) for t in former.tables[0].values())
    np.testing.assert_array_equal(former.linear[0].coef, coef)
    assert not np.array_equal(models.linear[0].coef, coef)


def test_evidence_goes_on_beyond_other_class_shares():
    former, *_ = fitter_of(ROWS[:HALF]).fit()
    other = TASK._replace(log_prior=np.log([0.9, 0.1]))
    # One row is no batch to learn from: what is left is the shift.
    task, at = other, ROWS[HALF : HALF + 1]
    models, *_ = fitter_of(at, IncrementalFitter, former, 0.01, task=task).fit()
    before = former.linear[0].evidence(X) + TASK.log_prior
    after = models.linear[0].evidence(X) + other.log_prior
    np.testing.assert_allclose(np.ptp(after - before, axis=1), 0, atol=1e-6)
