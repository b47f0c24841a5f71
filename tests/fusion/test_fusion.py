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
    """z, u, the mask and tokens as the network gives them: 0 where absent."""
    g = torch.Generator().manual_seed(seed)
    if present is None:
        present = torch.rand(B, m, generator=g) < 0.6
        present[0], present[1] = True, False
    z = torch.randn(B, m, k, D, generator=g, dtype=torch.float64)
    u = torch.randn(B, m, k, c, generator=g, dtype=torch.float64)
    mask = present[:, :, None, None]
    tokens = [
        Tokens(
            torch.randn(B, 4, D, generator=g, dtype=torch.float64) * mask[:, i],
            present[:, i, None].expand(B, 4),
        )
        for i in range(m)
    ]
    return z * mask, u * mask, present, tokens


#: Rules that attribute nothing to a single modality.
JOINT = {ConcatFusion}
#: How to switch off the joint part of those that have one beside the modalities.
ALONE = {AdaptiveFusion: {"joint": False}, BottleneckFusion: {"joint": False}}


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
    result = module(*draw(m=m, k=k))
    assert result.logits.shape == (B, k, C)
    assert result.weights.shape == (B, m)
    assert result.parts.shape == (B, m, C)
    assert result.joint is None or result.joint.shape == (B, k, C)
    assert all(x.isfinite().all() for x in result if x is not None)


def test_weights_sum_to_one_over_what_is_present(rule):
    z, u, present, tokens = draw()
    weights = build(rule()).eval()(z, u, present, tokens).weights
    assert (weights >= 0).all()
    assert not weights[~present].any()
    expected = present.any(dim=1).to(weights.dtype)
    torch.testing.assert_close(weights.sum(dim=1), expected)


def test_parts_of_what_is_absent_are_nothing(rule):
    z, u, present, tokens = draw()
    parts = build(rule()).eval()(z, u, present, tokens).parts
    assert not parts[~present].any()


def test_parts_add_up_to_the_logits_where_nothing_is_joint(rule):
    if rule in JOINT:
        return
    inputs = draw()
    result = build(rule(**ALONE.get(rule, {}))).eval()(*inputs)
    assert result.joint is None
    torch.testing.assert_close(result.parts.sum(dim=1), result.logits.mean(dim=1))


def test_rows_do_not_depend_on_one_another(rule):
    module = build(rule()).eval()
    z, u, present, tokens = draw()
    together = module(z, u, present, tokens)
    for i in range(B):
        one = slice(i, i + 1)
        own = [Tokens(h[one], mask[one]) for h, mask in tokens]
        alone = module(z[one], u[one], present[one], own)
        for x, y in zip(alone, together, strict=True):
            if x is not None:
                torch.testing.assert_close(x[0], y[i], atol=1e-12, rtol=0)


def test_order_of_the_modalities_is_the_order_of_the_weights(rule):
    # What is symmetric stays so; what is not (a perceptron) still reports in order.
    z, u, present, tokens = draw()
    weights = build(rule()).eval()(z, u, present, tokens).weights
    turned = (
        build(rule())
        .eval()(z.flip(1), u.flip(1), present.flip(1), tokens[::-1])
        .weights
    )
    torch.testing.assert_close(turned.flip(1), weights)


def test_every_parameter_learns(rule):
    module = build(rule())
    z, u, present, tokens = draw()
    result = module(z.requires_grad_(), u.requires_grad_(), present, tokens)
    loss = result.logits.square().sum()
    if result.joint is not None:
        loss = loss + result.joint.square().sum()
    loss.backward()
    assert all(p.grad is not None for p in module.parameters())
    assert any(x.grad is not None and x.grad.any() for x in (z, u))


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


def test_adaptive_weighs_all_alike_until_trust_is_learned():
    _, _, present, _ = inputs = draw()
    weights = build(AdaptiveFusion()).eval()(*inputs).weights
    expected = present / present.sum(dim=1, keepdim=True).clamp_min(1)
    torch.testing.assert_close(weights, expected.to(weights.dtype))


def test_adaptive_evidence_adds_up():
    # Agreeing evidence adds up by n^beta, and beta starts at one half.
    module = build(AdaptiveFusion(joint=False)).eval()
    _, u, present, _ = inputs = draw()
    n = present.sum(dim=1).clamp_min(1).sqrt().to(u.dtype)
    expected = u.sum(dim=1) / n[:, None, None]
    torch.testing.assert_close(module(*inputs).logits, expected)


def test_adaptive_joint_part_is_a_witness_like_the_modalities():
    module = build(AdaptiveFusion()).eval()
    _, u, present, _ = inputs = draw()
    result = module(*inputs)
    n = (present.sum(dim=1) + 1).sqrt().to(u.dtype)
    expected = (u.sum(dim=1) + result.joint) / n[:, None, None]
    torch.testing.assert_close(result.logits, expected)


def test_adaptive_joint_part_sees_what_is_absent():
    module = build(AdaptiveFusion()).eval()
    z, u, present, tokens = draw(torch.ones(B, M, dtype=torch.bool))
    z[:, 1] = 0
    absent = present.clone()
    absent[:, 1] = False
    one, two = (module(z, u, p, tokens).joint for p in (present, absent))
    assert not torch.equal(one, two)


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"n_samples": 499}, False),
        ({"n_samples": 500}, True),
        ({"n_modalities": 1}, False),
    ],
    ids=str,
)
def test_adaptive_has_a_joint_part_where_there_is_something_to_join(changes, expected):
    m = changes.get("n_modalities", M)
    result = build(AdaptiveFusion(), **changes)(*draw(m=m))
    assert (result.joint is not None) == expected


def test_adaptive_joint_part_can_be_asked_for():
    few = build(AdaptiveFusion(joint=True), n_samples=50)(*draw())
    assert few.joint is not None
    many = build(AdaptiveFusion(joint=False), n_samples=5000)(*draw())
    assert many.joint is None


# ---------------------------------------------------------------- the others


def test_bottleneck_knows_where_tokens_stand_and_who_sent_latents():
    module = build(BottleneckFusion()).eval()
    z, u, present, tokens = draw(present=torch.ones(B, M, dtype=torch.bool))
    before = module(z, u, present, tokens).joint
    turned = [Tokens(h.flip(1), mask) for h, mask in tokens]
    assert not torch.allclose(module(z, u, present, turned).joint, before, atol=1e-4)
    assert not torch.allclose(module(-z, u, present, tokens).joint, before, atol=1e-4)


def test_mean_averages_what_the_present_modalities_say():
    _, u, present, _ = inputs = draw()
    result = build(MeanFusion())(*inputs)
    i = int((present.sum(dim=1) == 2).nonzero()[0])
    torch.testing.assert_close(result.logits[i], u[i, present[i]].mean(dim=0))


def test_attention_ignores_what_the_modalities_say_alone():
    module = build(AttentionFusion()).eval()
    z, u, present, _ = draw()
    assert torch.equal(module(z, u, present).logits, module(z, u + 1, present).logits)
    assert not module.trains_heads


def test_concat_counts_as_joint_and_reports_even_weights():
    result = build(ConcatFusion()).eval()(*draw())
    assert not result.parts.any()
    torch.testing.assert_close(
        result.weights[0], torch.full((M,), 1 / M, dtype=torch.float64)
    )


def test_concat_tells_absent_from_zero():
    module = build(ConcatFusion()).eval()
    z, u, present, _ = draw(torch.ones(B, M, dtype=torch.bool))
    z[:, 1] = 0
    absent = present.clone()
    absent[:, 1] = False
    assert not torch.equal(module(z, u, present).logits, module(z, u, absent).logits)
