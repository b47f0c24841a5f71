"""What the outputs stand for: classes, labels, numbers."""

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from skfusion.training.links import STRATUM_ROWS, Identity, Sigmoid, Softmax

RNG = np.random.default_rng(0)
N, C = 12, 3
LOGITS = RNG.normal(size=(N, C))
TARGETS = {
    Softmax: RNG.integers(0, C, N),
    Sigmoid: RNG.integers(0, 2, (N, C)).astype(float),
    Identity: RNG.normal(size=(N, C)),
}


@pytest.fixture(params=TARGETS, ids=lambda kind: kind.__name__)
def link(request):
    return request.param()


def test_logits_and_expected_values_belong_together(link):
    mean = link.mean(link.centre(LOGITS))
    np.testing.assert_allclose(link.centre(link.logits(mean)), link.centre(LOGITS))


def test_centring_changes_no_expected_value(link):
    np.testing.assert_allclose(link.mean(link.centre(LOGITS)), link.mean(LOGITS))


def test_loss_keeps_the_axes_between(link):
    logits, y = torch.randn(N, 5, 2, C), torch.from_numpy(TARGETS[type(link)])
    each = link.loss(logits, y)
    assert each.shape == (N, 5, 2)
    torch.testing.assert_close(
        each[:, 2, 1], link.loss(logits[:, 2, 1], y), check_dtype=False
    )


def test_loss_of_arrays_is_that_of_tensors(link):
    y = TARGETS[type(link)]
    found = link.loss(torch.from_numpy(LOGITS), torch.from_numpy(y))
    np.testing.assert_array_equal(link.row_loss(LOGITS, y), found)


def test_loss_of_labels_is_the_mean_log_loss_of_each():
    y, link = TARGETS[Sigmoid], Sigmoid()
    each = [log_loss(y[:, c], link.mean(LOGITS)[:, c]) for c in range(C)]
    assert link.row_loss(LOGITS, y).mean() == pytest.approx(np.mean(each))


def test_scores_are_those_of_the_rows_repeated(link):
    y, weight = TARGETS[type(link)], np.ones(N)
    weight[0] = 2
    twice = [0, *range(N)]
    weighted = link.scores(LOGITS, y, weight / weight.sum())
    repeated = link.scores(LOGITS[twice], y[twice], np.full(N + 1, 1 / (N + 1)))
    assert weighted == pytest.approx(repeated)


def test_the_gate_sees_a_label_as_it_sees_two_classes():
    p, others = RNG.random((N, 4, 1)), RNG.random((N, 4, 1))
    both = [np.concatenate([1 - q, q], axis=-1) for q in (p, others)]
    np.testing.assert_allclose(
        Sigmoid().gate_columns(p, others), Softmax().gate_columns(*both)
    )


def test_frequent_combinations_of_labels_are_strata_and_the_others_one_more():
    combinations = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    y = np.repeat(combinations, [3 * STRATUM_ROWS, 2 * STRATUM_ROWS, 9, 8], axis=0)
    found = Sigmoid().strata(y)
    assert len(set(found)) == 3
    assert len(set(found[-17:])) == 1
    few = Sigmoid().strata(y[:-12])  # too few rows of others for a stratum
    assert len(set(few)) == 2
    assert few[-1] == few[0]


def test_of_no_rows_there_is_no_loss(link):
    assert link.row_loss(LOGITS[:0], TARGETS[type(link)][:0]).shape == (0,)
