import copy
import pickle

import pytest
import torch
from torch import nn

from skfusion.fusion import AdaptiveFusion, AttentionFusion, Fusion, MeanFusion
from skfusion.fusion.base import FusionModule, FusionShape, uniform_weights
from skfusion.network import (
    AttentionPooling,
    Encoder,
    FusionNetwork,
    FusionResult,
    MemberLinear,
    Trunk,
)

B, T, D, K, C = 7, 5, 8, 3, 2


class WordEncoder(Encoder):
    """Tokens from numbers (B, T); NaN marks the padding."""

    def __init__(self, expert=None):
        super().__init__()
        self.linear = nn.Linear(1, D)
        self.expert = expert

    def forward(self, inputs):
        x = inputs["x"]
        mask = ~x.isnan()
        return self.linear(x.nan_to_num().unsqueeze(-1)), mask

    def expert_logits(self, inputs):
        return None if self.expert is None else self.expert.expand(len(inputs["x"]), C)


def build(fusion=None, encoders=None, n_members=K, seed=0):
    torch.manual_seed(seed)
    encoders = encoders or [WordEncoder(), WordEncoder()]
    fusion = fusion or AdaptiveFusion(n_heads=2)
    shape = FusionShape(len(encoders), D, C, n_members, 500, True, 0.0)
    return FusionNetwork(
        encoders,
        fusion.build(shape),
        d_model=D,
        prior=torch.tensor([0.3, 0.7]).log(),
        n_members=n_members,
        n_heads=2,
        dropout=0.0,
    ).double()


@pytest.fixture
def network():
    return build().eval()


@pytest.fixture
def inputs():
    g = torch.Generator().manual_seed(0)
    made = [
        {"x": torch.randn(B, T, generator=g, dtype=torch.float64)} for _ in range(2)
    ]
    made[0]["x"][:, 3:] = torch.nan
    made[0]["x"][0, 3:] = 1.0
    return made


@pytest.fixture
def present():
    present = torch.ones(B, 2, dtype=torch.bool)
    present[1, 0] = present[2, 1] = present[4, 0] = False
    present[6] = False
    return present


def tensors(output):
    one_each = output._replace(attention=None)
    return [*(x for x in one_each if x is not None), *output.attention]


# ---------------------------------------------------------------- attention pooling


@pytest.fixture
def pooling():
    torch.manual_seed(0)
    return AttentionPooling(D, n_heads=2, n_members=K).double()


def test_attention_sums_to_one_and_is_zero_behind_the_mask(pooling):
    h, mask = torch.randn(B, T, D, dtype=torch.float64), torch.rand(B, T) < 0.5
    mask[:, 0] = True
    pooled, a = pooling(h, mask)
    assert pooled.shape == (B, K, D)
    torch.testing.assert_close(a.sum(dim=1), torch.ones(B, dtype=a.dtype))
    assert not a[~mask].any()


def test_tokens_behind_the_mask_change_no_bit(pooling):
    h, mask = torch.randn(B, T, D, dtype=torch.float64), torch.ones(B, T) > 0
    mask[:, 3:] = False
    before = pooling(h, mask)
    h[:, 3:] = 1e6
    after = pooling(h, mask)
    assert all(torch.equal(x, y) for x, y in zip(before, after, strict=True))


def test_padding_with_masked_tokens_changes_nothing(pooling):
    h, mask = torch.randn(B, T, D, dtype=torch.float64), torch.ones(B, T) > 0
    longer = nn.functional.pad(h, (0, 0, 0, 4), value=9.0)
    short, long = (
        pooling(h, mask),
        pooling(longer, nn.functional.pad(mask, (0, 4), value=False)),
    )
    torch.testing.assert_close(short[0], long[0])
    torch.testing.assert_close(short[1], long[1][:, :T])


def test_one_token_gets_all_the_attention_and_the_same_output_as_two_copies(pooling):
    h = torch.randn(B, 1, D, dtype=torch.float64)
    one, a = pooling(h, torch.ones(B, 1) > 0)
    two, _ = pooling(h.expand(B, 2, D), torch.ones(B, 2) > 0)
    assert (a == 1).all()
    torch.testing.assert_close(one, two)


def test_pooling_refuses_heads_that_do_not_divide_the_width():
    with pytest.raises(ValueError, match="d_model=10, n_heads=4"):
        AttentionPooling(10, n_heads=4, n_members=1)


# ---------------------------------------------------------------- members


def test_each_member_has_a_linear_layer_of_its_own():
    layer = MemberLinear(D, C, n_members=K)
    x = torch.randn(B, K, D)
    changed = x.clone()
    changed[:, 1] += 1
    same = (layer(x) == layer(changed)).all(dim=2).all(dim=0)
    assert same.tolist() == [True, False, True]


def test_linear_layer_of_members_takes_further_axes():
    layer = MemberLinear(D, C, n_members=K)
    x = torch.randn(B, 2, K, D)
    torch.testing.assert_close(layer(x)[:, 1], layer(x[:, 1]))


def test_members_differ_and_a_single_one_is_not_scaled():
    torch.manual_seed(0)
    z = torch.randn(B, 1, D).expand(B, K, D)
    several = Trunk(D, n_members=K, dropout=0.0)(z)
    assert not torch.allclose(several[:, 0], several[:, 1])
    assert (Trunk(D, n_members=1, dropout=0.0).scale == 1).all()


# ---------------------------------------------------------------- encoder


def test_noise_disturbs_floats_of_rows_with_a_standard_deviation_only():
    torch.manual_seed(0)
    inputs = {"x": torch.zeros(3, 2000), "codes": torch.ones(3, 2, dtype=torch.long)}
    noisy = Encoder().add_noise(inputs, torch.tensor([0.0, 1.0, 3.0]))
    assert not noisy["x"][0].any()
    assert noisy["x"][1].std().item() == pytest.approx(1, rel=0.1)
    assert noisy["x"][2].std().item() == pytest.approx(3, rel=0.1)
    assert torch.equal(noisy["codes"], inputs["codes"])
    assert not inputs["x"].any()


# ---------------------------------------------------------------- network


def test_shapes(network, inputs, present):
    out = network(inputs, present)
    assert out.logits.shape == (B, K, C)
    assert out.unimodal.shape == (B, 2, K, C)
    assert out.weights.shape == (B, 2)
    assert out.parts.shape == (B, 2, C)
    assert out.joint.shape == (B, K, C)
    assert out.pooled.shape == (B, 2, D)
    assert torch.equal(out.present, present)
    assert [a.shape for a in out.attention] == [(B, T), (B, T)]


@pytest.mark.parametrize("garbage", [torch.nan, torch.inf, -1e30])
def test_content_behind_an_absence_mask_changes_no_bit(
    network, inputs, present, garbage
):
    before = network(inputs, present)
    for m in range(2):
        inputs[m]["x"][~present[:, m]] = garbage
    after = network(inputs, present)
    for x, y in zip(tensors(before), tensors(after), strict=True):
        assert torch.equal(x, y)


def test_absent_modality_has_no_weight_no_word_and_no_attention(
    network, inputs, present
):
    out = network(inputs, present)
    assert not out.weights[~present].any()
    assert not out.unimodal[~present].any()
    assert not out.parts[~present].any()
    assert not out.pooled[~present].any()
    for m in range(2):
        assert not out.attention[m][~present[:, m]].any()
    some = present.any(dim=1)
    torch.testing.assert_close(
        out.weights[some].sum(dim=1), torch.ones(int(some.sum()), dtype=torch.float64)
    )


def test_row_with_nothing_present_gets_the_prior(network, inputs, present):
    out = network(inputs, present)
    assert torch.equal(out.logits[6], network.prior.expand(K, C))


def test_modality_absent_from_the_whole_batch_is_not_encoded(network, inputs, present):
    present[:, 0] = False
    inputs[0] = {"x": torch.empty(B, 0)}  # would fail, were it read
    out = network(inputs, present)
    assert out.logits.isfinite().all()
    assert not out.weights[:, 0].any()


def test_a_row_does_not_depend_on_the_others(network, inputs, present):
    together = network(inputs, present)
    for i in range(B):
        alone = network([{"x": x["x"][i : i + 1]} for x in inputs], present[i : i + 1])
        torch.testing.assert_close(
            alone.logits[0], together.logits[i], atol=1e-12, rtol=0
        )
        torch.testing.assert_close(
            alone.weights[0], together.weights[i], atol=1e-12, rtol=0
        )


def test_inputs_and_mask_are_not_changed(network, inputs, present):
    before = copy.deepcopy((inputs, present))
    network(inputs, present, noise=torch.ones(B, 2))
    for x, y in zip(before[0], inputs, strict=True):
        torch.testing.assert_close(x["x"], y["x"], equal_nan=True)
    assert torch.equal(before[1], present)


def test_noise_reaches_only_the_rows_and_modalities_it_is_meant_for(
    network, inputs, present
):
    noise = torch.zeros(B, 2)
    noise[3, 1] = 2.0
    noise[1, 0] = 2.0  # absent there
    before, after = network(inputs, present), network(inputs, present, noise)
    changed = (before.unimodal != after.unimodal).flatten(2).any(dim=2)
    assert changed.nonzero().tolist() == [[3, 1]]


def test_parts_add_up_to_the_logits_where_there_is_no_joint_part(inputs, present):
    network = build(AdaptiveFusion(n_heads=2, joint=False)).eval()
    out = network(inputs, present)
    some = present.any(dim=1)
    assert out.joint is None
    torch.testing.assert_close(out.parts.sum(dim=1)[some], out.logits.mean(dim=1)[some])


def test_what_attention_gathers_is_told_before_it_is_normalised(inputs, present):
    # Far-away content, which a layer norm would hide, shows here: novelty reads it.
    network = build().eval()
    before = network(inputs, present).pooled.norm(dim=-1)
    inputs[1]["x"][3] *= 1000
    after = network(inputs, present).pooled.norm(dim=-1)
    assert after[3, 1] > 10 * before[3, 1]


class Reader(Fusion):
    """A rule that looks at the tokens, and keeps what it was shown."""

    n_heads = 2

    def build(self, shape):
        return _Reader()


class _Reader(FusionModule):
    reads_tokens = True

    def forward(self, z, u, present, tokens=()):
        self.shown = tokens
        weights = uniform_weights(present, z.dtype)
        return FusionResult(u.mean(dim=1), weights, u.mean(dim=2))


def test_rule_that_reads_tokens_is_shown_them_masked_where_absent(inputs, present):
    network = build(Reader()).eval()
    network(inputs, present)
    assert len(network.fusion.shown) == 2
    for m, (h, mask) in enumerate(network.fusion.shown):
        assert h.shape == (B, T, D)
        expected = ~inputs[m]["x"].isnan() & present[:, m, None]
        assert torch.equal(mask, expected)
        assert not h[~present[:, m]].any()
        there = expected.any(dim=1)
        own = network.encoders[m]({"x": inputs[m]["x"][there]})[0]
        torch.testing.assert_close(h[there], own)


@pytest.mark.parametrize("m", [0, 1])
def test_tokens_of_a_wholly_absent_modality_are_all_masked(inputs, present, m):
    network = build(Reader()).eval()
    present[:, m] = False
    network(inputs, present)
    h, mask = network.fusion.shown[m]
    assert h.shape[0] == B
    assert not mask.any()
    assert not h.any()


def test_rule_that_reads_no_tokens_is_shown_none(network, inputs, present):
    assert network.encode(inputs, present).tokens == ()


def test_what_an_expert_says_is_added_to_every_member(inputs, present):
    plain = build().eval()
    expert = torch.tensor([1.0, -2.0], dtype=torch.float64)
    encoders = [WordEncoder(), WordEncoder(expert)]
    informed = build(encoders=encoders).eval()
    informed.load_state_dict(plain.state_dict())
    difference = informed(inputs, present).unimodal - plain(inputs, present).unimodal
    there = present[:, 1]
    torch.testing.assert_close(
        difference[there, 1], expert.expand(int(there.sum()), K, C)
    )
    assert not difference[:, 0].any()
    assert not difference[~there].any()


def _encoder_gradients(network, inputs, present, part):
    network.zero_grad()
    getattr(network(inputs, present), part).square().sum().backward()
    return [encoder.linear.weight.grad for encoder in network.encoders]


def test_heads_teach_the_encoders_only_where_the_rule_says_so(inputs, present):
    taught = _encoder_gradients(build(MeanFusion()), inputs, present, "unimodal")
    assert all(g is not None and g.any() for g in taught)
    listening = build(AttentionFusion())
    assert _encoder_gradients(listening, inputs, present, "unimodal") == [None, None]
    assert all(
        g.any() for g in _encoder_gradients(listening, inputs, present, "logits")
    )


def test_absent_rows_send_no_gradient(inputs, present):
    network = build(MeanFusion())
    only = torch.zeros_like(present)
    only[0, 0] = only[3, 1] = True
    x = inputs[0]["x"].requires_grad_()
    network(inputs, only).logits.sum().backward()
    assert x.grad[0].any()
    assert not x.grad[1:].any()


def test_same_seed_builds_the_same_network():
    one, two, other = build(seed=1), build(seed=1), build(seed=2)
    pairs = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(
        one.encoders[0].linear.weight, other.encoders[0].linear.weight
    )


def test_pickled_network_gives_the_same_output(network, inputs, present):
    again = pickle.loads(pickle.dumps(network))
    before, after = network(inputs, present), again(inputs, present)
    assert all(
        torch.equal(x, y) for x, y in zip(tensors(before), tensors(after), strict=True)
    )
