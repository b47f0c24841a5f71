"""The loss of the output, of each modality alone, and of the joint part."""

import pytest
import torch
from torch import nn

from skfusion.network import NetworkOutput
from skfusion.training.links import Identity, Softmax
from skfusion.training.loss import FusionLoss

D, C = 8, 4
Y = torch.tensor([0, 3, 1, 2, 2, 0])
PRIOR = torch.tensor([0.4, 0.3, 0.2, 0.1]).log()


def output_of(logits, evidence=None, present=None, joint=None):
    B, n_outputs = logits.shape
    if evidence is None:
        evidence = torch.zeros(B, 1, n_outputs)
    M = evidence.shape[1]
    if present is None:
        present = torch.ones(B, M, dtype=torch.bool)
    even, parts = torch.full((B, M), 1 / max(1, M)), torch.zeros(B, M, n_outputs)
    return NetworkOutput(
        logits, evidence, present, even, parts, joint, torch.zeros(B, M, D), tokens=()
    )


def target_of(y, weight=None, **more):
    return {"y": y, "weight": torch.ones(len(y)) if weight is None else weight} | more


@pytest.fixture
def loss():
    return FusionLoss(["one", "two"], PRIOR, link=Softmax())


@pytest.fixture
def logits():
    torch.manual_seed(0)
    return torch.randn(6, C)


cross_entropy = nn.functional.cross_entropy


def test_loss_adds_what_each_modality_says_alone_with_weight_one(loss, logits):
    evidence = torch.randn(6, 2, C)
    total = loss(output_of(logits, evidence), target_of(Y))
    assert set(loss.parts) == {"fused", "one", "two"}
    torch.testing.assert_close(total, sum(loss.parts.values()))
    torch.testing.assert_close(loss.parts["fused"], cross_entropy(logits, Y))
    torch.testing.assert_close(
        loss.parts["two"], cross_entropy(PRIOR + evidence[:, 1], Y)
    )


def test_modality_without_evidence_is_judged_by_the_class_shares(loss, logits):
    loss(output_of(logits, torch.zeros(6, 2, C)), target_of(Y))
    torch.testing.assert_close(loss.parts["one"], -PRIOR[Y].mean())


def test_joint_part_is_taught_by_a_loss_of_its_own(loss, logits):
    evidence, joint = torch.randn(6, 2, C), torch.randn(6, C)
    target = target_of(Y, torch.arange(6.0))
    without = loss(output_of(logits, evidence), target)
    with_it = loss(output_of(logits, evidence, joint=joint), target)
    rows = torch.arange(6).repeat_interleave(torch.arange(6))
    torch.testing.assert_close(
        with_it - without, cross_entropy(PRIOR + joint[rows], Y[rows])
    )


def test_early_stopping_watches_the_fused_output_alone(loss, logits):
    evidence, joint = torch.randn(6, 2, C), torch.randn(6, C)
    value = loss.eval()(output_of(logits, evidence, joint=joint), target_of(Y))
    torch.testing.assert_close(value, cross_entropy(logits, Y))


def test_modality_that_is_seldom_there_weighs_as_much_as_its_rows_do(loss, logits):
    evidence = torch.zeros(6, 2, C)
    evidence[:, 1] = torch.randn(6, C)
    present = torch.ones(6, 2, dtype=torch.bool)
    present[1:, 1] = False
    e = evidence.clone().requires_grad_()
    loss(output_of(logits, e, present), target_of(Y)).backward()
    alone = evidence[:1, 1].clone().requires_grad_()
    cross_entropy(PRIOR + alone, Y[:1]).backward()
    torch.testing.assert_close(e.grad[0, 1], alone.grad[0] / 6)


def test_absent_and_swapped_modalities_are_not_judged(loss, logits):
    evidence = torch.randn(6, 2, C)
    present = torch.ones(6, 2, dtype=torch.bool)
    present[:2, 0] = False
    label_valid = torch.ones(6, 2, dtype=torch.bool)
    label_valid[2, 0] = False
    target = target_of(Y, label_valid=label_valid)
    before = loss(output_of(logits, evidence, present), target)
    torch.testing.assert_close(
        loss.parts["one"], cross_entropy(PRIOR + evidence[3:, 0], Y[3:])
    )
    evidence[:3, 0] = torch.randn(3, C) * 100
    assert torch.equal(before, loss(output_of(logits, evidence, present), target))


def test_a_weight_of_two_is_the_row_twice(loss, logits):
    evidence, joint = torch.randn(6, 2, C), torch.randn(6, C)
    weight = torch.tensor([1.0, 2.0, 1.0, 0.0, 1.0, 1.0])
    rows = torch.tensor([0, 1, 1, 2, 4, 5])
    weighted = loss(output_of(logits, evidence, joint=joint), target_of(Y, weight))
    copied = loss(
        output_of(logits[rows], evidence[rows], joint=joint[rows]), target_of(Y[rows])
    )
    torch.testing.assert_close(weighted, copied)


def test_rows_of_no_weight_at_all_are_no_trouble(loss, logits):
    value = loss(output_of(logits, torch.randn(6, 2, C)), target_of(Y, torch.zeros(6)))
    assert value.item() == 0


def test_regression_loss_is_the_squared_error():
    loss = FusionLoss(["one"], torch.zeros(1), link=Identity())
    y = torch.tensor([[0.0], [1.0], [2.0]])
    said = torch.zeros(3, 1)
    loss(output_of(said, said.unsqueeze(1)), target_of(y))
    assert loss.parts["fused"].item() == pytest.approx(5 / 3)


def test_regression_of_several_targets_is_their_mean():
    loss = FusionLoss([], torch.zeros(2), link=Identity()).eval()
    said = torch.tensor([[1.0, 3.0]])
    value = loss(output_of(said, torch.zeros(1, 0, 2)), target_of(torch.ones(1, 2)))
    assert value.item() == pytest.approx((0 + 4) / 2)
