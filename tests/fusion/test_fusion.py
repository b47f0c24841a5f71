"""The contract of every fusion rule, and what is particular to each."""

import inspect
import pickle

import pytest
import torch
from sklearn.base import clone
from torch import nn

from skfusion import FusionClassifier, fusion
from skfusion.fusion import (
    AdaptiveFusion,
    AttentionFusion,
    BottleneckFusion,
    ConcatFusion,
    Fusion,
    MeanFusion,
)
from skfusion.fusion.base import FusionShape
from skfusion.network import Tokens

RULES = [
    rule
    for name in fusion.__all__
    if inspect.isclass(rule := getattr(fusion, name))
    and issubclass(rule, Fusion)
    and rule is not Fusion
]
B, M, D, C = 10, 3, 8, 4


def shape_of(**changes):
    sizes = FusionShape(n_modalities=M, d_model=D, n_outputs=C, n_samples=1000)
    return sizes._replace(**changes)


def build(spec, seed=0, **changes):
    torch.manual_seed(seed)
    return spec.build(shape_of(**changes)).double()


def draw(present=None, m=M, c=C, seed=0):
    """z, evidence, the mask and tokens as the network gives them: 0 where absent."""
    g = torch.Generator().manual_seed(seed)
    if present is None:
        present = torch.rand(B, m, generator=g) < 0.6
        present[0], present[1] = True, False
    z = torch.randn(B, m, D, generator=g, dtype=torch.float64)
    e = torch.randn(B, m, c, generator=g, dtype=torch.float64)
    mask = present[:, :, None]
    tokens = [
        Tokens(
            torch.randn(B, 4, D, generator=g, dtype=torch.float64) * mask[:, i, None],
            present[:, i, None].expand(B, 4),
            0.25 * present[:, i, None, None].expand(B, 4, 2),
        )
        for i in range(m)
    ]
    return z * mask, e * mask, present, tokens


#: Rules that attribute nothing to a single modality.
JOINT = {ConcatFusion}
#: How to switch off the joint part of those that have one beside the modalities.
ALONE = {AdaptiveFusion: {"joint": False}, BottleneckFusion: {"joint": False}}


@pytest.fixture(params=RULES, ids=lambda rule: rule.__name__)
def rule(request):
    return request.param


def test_the_rules_and_maybe_more_were_discovered():
    assert {AdaptiveFusion, AttentionFusion, ConcatFusion, MeanFusion} <= set(RULES)


def test_every_rule_has_a_short_name(rule):
    name = rule.__name__.removesuffix("Fusion").lower()
    FusionClassifier(fusion=name)._validate_params()


@pytest.mark.parametrize("m", [1, 2, 5])
def test_result_has_the_right_shapes_and_is_finite(rule, m):
    result = build(rule(), n_modalities=m)(*draw(m=m))
    assert result.logits.shape == (B, C)
    assert result.weights.shape == (B, m)
    assert result.contributions.shape == (B, m, C)
    assert result.joint is None or result.joint.shape == (B, C)
    assert all(x.isfinite().all() for x in result if x is not None)


def test_weights_sum_to_one_over_what_is_present(rule):
    z, e, present, tokens = draw()
    weights = build(rule()).eval()(z, e, present, tokens).weights
    assert (weights >= 0).all()
    assert not weights[~present].any()
    expected = present.any(dim=1).to(weights.dtype)
    torch.testing.assert_close(weights.sum(dim=1), expected)


def test_what_is_absent_contributes_nothing(rule):
    z, e, present, tokens = draw()
    contributions = build(rule()).eval()(z, e, present, tokens).contributions
    assert not contributions[~present].any()


@pytest.mark.parametrize(
    "spec",
    [rule(**ALONE.get(rule, {})) for rule in RULES if rule not in JOINT],
    ids=repr,
)
def test_contributions_are_the_logits_where_nothing_is_joint(spec):
    result = build(spec).eval()(*draw())
    assert result.joint is None
    torch.testing.assert_close(result.contributions.sum(dim=1), result.logits)


def test_rows_do_not_depend_on_one_another(rule):
    module = build(rule()).eval()
    z, e, present, tokens = draw()
    together = module(z, e, present, tokens)
    for i in range(B):
        one = slice(i, i + 1)
        own = [Tokens(*(x[one] for x in t)) for t in tokens]
        alone = module(z[one], e[one], present[one], own)
        for x, y in zip(alone, together, strict=True):
            if x is not None:
                torch.testing.assert_close(x[0], y[i], atol=1e-12, rtol=0)


def test_order_of_the_modalities_is_the_order_of_the_weights(rule):
    # What is symmetric stays so; what is not (a perceptron) still reports in order.
    z, e, present, tokens = draw()
    weights = build(rule()).eval()(z, e, present, tokens).weights
    turned = (
        build(rule())
        .eval()(z.flip(1), e.flip(1), present.flip(1), tokens[::-1])
        .weights
    )
    torch.testing.assert_close(turned.flip(1), weights)


def test_every_parameter_learns(rule):
    module = build(rule())
    z, e, present, tokens = draw()
    result = module(z.requires_grad_(), e.requires_grad_(), present, tokens)
    loss = result.logits.square().sum()
    if result.joint is not None:
        loss = loss + result.joint.square().sum()
    loss.backward()
    assert all(p.grad is not None for p in module.parameters())
    assert any(x.grad is not None and x.grad.any() for x in (z, e))


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


def test_only_the_adaptive_rule_learns_trust():
    assert AdaptiveFusion().learns_trust
    for spec in (AttentionFusion(), ConcatFusion(), MeanFusion()):
        assert not spec.learns_trust


def test_adaptive_trusts_all_alike_until_trust_is_learned():
    module = build(AdaptiveFusion(joint=False)).eval()
    _, e, present, _ = inputs = draw()
    n = present.sum(dim=1).clamp_min(1).sqrt().to(e.dtype)
    result = module(*inputs)
    torch.testing.assert_close(result.logits, e.sum(dim=1) / n[:, None])
    size = e.abs().mean(dim=2)
    expected = size / size.sum(dim=1, keepdim=True).clamp_min(1e-9)
    torch.testing.assert_close(result.weights, expected)


def test_adaptive_modality_without_evidence_weighs_nothing():
    z, e, present, tokens = draw(torch.ones(B, M, dtype=torch.bool))
    e[:, 1] = 0
    result = build(AdaptiveFusion()).eval()(z, e, present, tokens)
    assert not result.weights[:, 1].any()
    assert not result.contributions[:, 1].any()


def test_adaptive_joint_part_is_a_source_like_the_modalities():
    module = build(AdaptiveFusion()).eval()
    _, e, present, _ = inputs = draw()
    result = module(*inputs)
    n = (present.sum(dim=1) + 1).sqrt().to(e.dtype)
    expected = (e.sum(dim=1) + result.joint) / n[:, None]
    torch.testing.assert_close(result.logits, expected)


def test_adaptive_joint_part_sees_what_is_absent():
    module = build(AdaptiveFusion()).eval()
    z, e, present, tokens = draw(torch.ones(B, M, dtype=torch.bool))
    z[:, 1] = 0
    absent = present.clone()
    absent[:, 1] = False
    one, two = (module(z, e, p, tokens).joint for p in (present, absent))
    assert not torch.equal(one, two)


def test_adaptive_has_no_joint_part_where_there_is_nothing_to_join():
    for spec in (AdaptiveFusion(), AdaptiveFusion(joint=True)):
        assert build(spec, n_modalities=1)(*draw(m=1)).joint is None
    assert build(AdaptiveFusion(), n_samples=50)(*draw()).joint is None
    assert build(AdaptiveFusion(), n_samples=5000)(*draw()).joint is not None


def test_adaptive_joint_part_can_be_asked_for():
    few = build(AdaptiveFusion(joint=True), n_samples=50)(*draw())
    assert few.joint is not None
    many = build(AdaptiveFusion(joint=False), n_samples=5000)(*draw())
    assert many.joint is None


# ---------------------------------------------------------------- the others


def test_bottleneck_knows_where_tokens_stand_and_who_sent_latents():
    module = build(BottleneckFusion()).eval()
    z, e, present, tokens = draw(present=torch.ones(B, M, dtype=torch.bool))
    before = module(z, e, present, tokens).joint
    turned = [Tokens(t.h.flip(1), t.mask, t.attention) for t in tokens]
    assert not torch.allclose(module(z, e, present, turned).joint, before, atol=1e-4)
    assert not torch.allclose(module(-z, e, present, tokens).joint, before, atol=1e-4)


def test_mean_averages_what_the_present_modalities_say():
    _, e, present, _ = inputs = draw()
    result = build(MeanFusion())(*inputs)
    i = int((present.sum(dim=1) == 2).nonzero()[0])
    torch.testing.assert_close(result.logits[i], e[i, present[i]].mean(dim=0))


def test_attention_ignores_what_the_modalities_say_alone():
    module = build(AttentionFusion()).eval()
    z, e, present, _ = draw()
    assert torch.equal(module(z, e, present).logits, module(z, e + 1, present).logits)
    assert not module.trains_heads


def test_concat_counts_as_joint_and_reports_even_weights():
    result = build(ConcatFusion()).eval()(*draw())
    assert not result.contributions.any()
    torch.testing.assert_close(
        result.weights[0], torch.full((M,), 1 / M, dtype=torch.float64)
    )


def test_concat_tells_absent_from_zero():
    module = build(ConcatFusion()).eval()
    z, e, present, _ = draw(torch.ones(B, M, dtype=torch.bool))
    z[:, 1] = 0
    absent = present.clone()
    absent[:, 1] = False
    assert not torch.equal(module(z, e, present).logits, module(z, e, absent).logits)
