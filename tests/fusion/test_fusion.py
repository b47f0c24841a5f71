"""The contract of every fusion rule, and what is particular to each."""

import inspect
import math
import pickle

import pytest
import torch
from sklearn.base import clone
from torch import nn

from skfusion import FusionClassifier, fusion
from skfusion.fusion import (
    AdaptiveFusion,
    AttentionFusion,
    ConcatFusion,
    Fusion,
    MeanFusion,
)
from skfusion.fusion.base import FusionShape

RULES = [
    rule
    for name in fusion.__all__
    if inspect.isclass(rule := getattr(fusion, name))
    and issubclass(rule, Fusion)
    and rule is not Fusion
]
B, M, K, D, C = 10, 3, 2, 8, 4


def shape_of(**changes):
    sizes = FusionShape(
        n_modalities=M,
        d_model=D,
        n_outputs=C,
        n_members=K,
        n_samples=1000,
        is_classification=True,
        dropout=0.0,
    )
    return sizes._replace(**changes)


def build(spec, seed=0, **changes):
    torch.manual_seed(seed)
    return spec.build(shape_of(**changes)).double()


def draw(present=None, m=M, k=K, c=C, seed=0):
    """z, u and the mask as the network gives them: 0 where absent."""
    g = torch.Generator().manual_seed(seed)
    if present is None:
        present = torch.rand(B, m, generator=g) < 0.6
        present[0], present[1] = True, False
    z = torch.randn(B, m, k, D, generator=g, dtype=torch.float64)
    u = torch.randn(B, m, k, c, generator=g, dtype=torch.float64)
    mask = present[:, :, None, None]
    return z * mask, u * mask, present


@pytest.fixture(params=RULES, ids=lambda rule: rule.__name__)
def rule(request):
    return request.param


def test_the_four_rules_and_maybe_more_were_discovered():
    assert {AdaptiveFusion, AttentionFusion, ConcatFusion, MeanFusion} <= set(RULES)


def test_every_rule_has_a_short_name(rule):
    name = rule.__name__.removesuffix("Fusion").lower()
    FusionClassifier(fusion=name)._validate_params()


@pytest.mark.parametrize("is_classification", [True, False])
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("m", [1, 2, 5])
def test_result_has_the_right_shapes_and_is_finite(rule, is_classification, k, m):
    module = build(
        rule(), n_modalities=m, n_members=k, is_classification=is_classification
    )
    z, u, present = draw(m=m, k=k)
    result = module(z, u, present)
    assert result.logits.shape == (B, k, C)
    assert result.weights.shape == (B, m)
    assert result.joint_share.shape == (B,)
    assert result.confidence is None or result.confidence.shape == (B, m, k)
    assert result.logits.isfinite().all()
    assert ((result.joint_share >= 0) & (result.joint_share <= 1)).all()


def test_weights_sum_to_one_over_what_is_present(rule):
    z, u, present = draw()
    weights = build(rule()).eval()(z, u, present).weights
    assert (weights >= 0).all()
    assert not weights[~present].any()
    expected = present.any(dim=1).to(weights.dtype)
    torch.testing.assert_close(weights.sum(dim=1), expected)


def test_rows_do_not_depend_on_one_another(rule):
    module = build(rule()).eval()
    z, u, present = draw()
    together = module(z, u, present)
    for i in range(B):
        alone = module(z[i : i + 1], u[i : i + 1], present[i : i + 1])
        for x, y in zip(alone, together, strict=True):
            if x is not None:
                torch.testing.assert_close(x[0], y[i], atol=1e-12, rtol=0)


def test_every_parameter_learns_in_training_or_in_calibration(rule):
    module = build(rule())
    z, u, present = draw()
    result = module(z.requires_grad_(), u.requires_grad_(), present)
    loss = result.logits.square().sum()
    if result.confidence is not None:
        loss = loss + result.confidence.square().sum()
    loss.backward()
    later = {id(p) for p in module.calibration_parameters()}
    assert all(p.grad is not None or id(p) in later for p in module.parameters())
    assert any(x.grad is not None and x.grad.any() for x in (z, u))


def test_calibration_parameters_reach_the_output(rule):
    module = build(rule()).eval()
    inputs = draw()
    parameters = module.calibration_parameters()
    if not parameters:
        return
    module(*inputs).logits.square().sum().backward()
    for p in parameters:
        assert p.requires_grad
        assert p.grad.any()


def test_same_seed_builds_the_same_module(rule):
    one, two = build(rule(), seed=5), build(rule(), seed=5)
    assert all(
        torch.equal(a, b)
        for a, b in zip(one.parameters(), two.parameters(), strict=True)
    )


def test_building_leaves_the_spec_without_modules(rule):
    spec = rule()
    module = build(spec)
    assert not any(isinstance(v, nn.Module | torch.Tensor) for v in vars(spec).values())
    assert build(spec) is not module
    assert clone(spec).get_params() == spec.get_params()


def test_module_survives_pickling(rule):
    module = build(rule()).eval()
    again = pickle.loads(pickle.dumps(module))
    before, after = module(*draw()), again(*draw())
    assert torch.equal(before.logits, after.logits)


def test_wrong_number_of_heads_is_refused(rule):
    with pytest.raises(ValueError, match=f"'n_heads' parameter of {rule.__name__}"):
        rule(n_heads=0)._validate_params()


# ---------------------------------------------------------------- adaptive


def test_adaptive_gate_is_not_moved_by_the_fused_loss():
    module = build(AdaptiveFusion())
    module(*draw()).logits.square().sum().backward()
    assert all(p.grad is None for p in module.gates.parameters())


def test_adaptive_gate_does_not_teach_what_it_judges():
    module = build(AdaptiveFusion())
    z, u, present = draw()
    z.requires_grad_()
    u.requires_grad_()
    module(z, u, present).confidence.sum().backward()
    assert z.grad is None
    assert u.grad is None


def test_adaptive_weight_follows_the_confidence():
    module = build(AdaptiveFusion(shrinkage=0), n_members=1).eval()
    z, u, present = draw(torch.ones(B, M, dtype=torch.bool), k=1)
    with torch.no_grad():
        for gate in module.gates:
            nn.init.zeros_(gate[-1].weight)
            nn.init.zeros_(gate[-1].bias)
        module.gates[1][-1].bias.fill_(math.log(0.9 / 0.1))
    weights = module(z, u, present).weights
    # log c, so weights stand as 0.5 to 0.9 to 0.5.
    expected = torch.tensor([0.5, 0.9, 0.5], dtype=torch.float64) / 1.9
    torch.testing.assert_close(weights, expected.expand(B, M))


def test_adaptive_weights_of_few_rows_are_drawn_to_even_ones():
    z, u, present = draw(torch.ones(B, M, dtype=torch.bool))

    def distance(n):
        weights = build(AdaptiveFusion(), n_samples=n).eval()(z, u, present).weights
        return (weights - 1 / M).abs().max().item()

    assert distance(10) < distance(200) < distance(100_000)
    assert distance(200) == pytest.approx(distance(10**9) / 2, rel=1e-6)


def test_adaptive_without_joint_part_attributes_everything():
    module = build(AdaptiveFusion(joint=False), n_members=1).eval()
    z, u, present = draw(k=1)
    result = module(z, u, present)
    said = (result.weights[:, :, None, None] * u).sum(dim=1)
    # Agreeing evidence adds up by n^beta, and beta starts at one half.
    n = present.sum(dim=1).clamp_min(1).sqrt().to(u.dtype)
    torch.testing.assert_close(result.logits, said * n[:, None, None])
    assert not result.joint_share.any()


def test_adaptive_reports_the_share_of_its_joint_part():
    module = build(AdaptiveFusion()).eval()
    z, u, present = draw()
    some = present.any(dim=1)
    small = module(z, u, present).joint_share[some]
    with torch.no_grad():
        module.alpha.fill_(100.0)
    large = module(z, u, present).joint_share[some]
    assert (large > small).all()
    assert (small > 0).all()
    assert large.min() > 0.5


def test_adaptive_has_no_joint_part_for_one_modality():
    assert not build(AdaptiveFusion(), n_modalities=1)(*draw(m=1)).joint_share.any()


# ---------------------------------------------------------------- the others


def test_mean_averages_what_the_present_modalities_say():
    z, u, present = draw()
    result = build(MeanFusion())(z, u, present)
    i = int((present.sum(dim=1) == 2).nonzero()[0])
    torch.testing.assert_close(result.logits[i], u[i, present[i]].mean(dim=0))


def test_attention_ignores_what_the_modalities_say_alone():
    module = build(AttentionFusion()).eval()
    z, u, present = draw()
    assert torch.equal(module(z, u, present).logits, module(z, u + 1, present).logits)
    assert not module.trains_heads


def test_concat_counts_as_joint_and_reports_even_weights():
    z, u, present = draw()
    result = build(ConcatFusion()).eval()(z, u, present)
    assert (result.joint_share == 1).all()
    torch.testing.assert_close(
        result.weights[0], torch.full((M,), 1 / M, dtype=torch.float64)
    )


def test_concat_tells_absent_from_zero():
    module = build(ConcatFusion()).eval()
    z, u, present = draw(torch.ones(B, M, dtype=torch.bool))
    z[:, 1] = 0
    absent = present.clone()
    absent[:, 1] = False
    assert not torch.equal(module(z, u, present).logits, module(z, u, absent).logits)
