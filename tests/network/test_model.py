import copy
import pickle

import pytest
import torch
from torch import nn

from skfusion.fusion import AdaptiveFusion, AttentionFusion, Fusion, MeanFusion
from skfusion.fusion.base import FusionModule, FusionShape, uniform_weights
from skfusion.network import Encoder, FusionNetwork, FusionResult

B, T, D, C = 7, 5, 8, 2


class WordEncoder(Encoder):
    """Tokens from numbers (B, T); NaN marks the padding."""

    def __init__(self, known=None):
        super().__init__()
        self.linear = nn.Linear(1, D)
        self.known = known

    def forward(self, inputs):
        x = inputs["x"]
        mask = ~x.isnan()
        return self.linear(x.nan_to_num().unsqueeze(-1)), mask

    def known_logits(self, inputs):
        return None if self.known is None else self.known.expand(len(inputs["x"]), C)


def build(fusion=None, encoders=None, seed=0):
    torch.manual_seed(seed)
    encoders = encoders or [WordEncoder(), WordEncoder()]
    fusion = fusion or AdaptiveFusion(n_heads=2)
    shape = FusionShape(len(encoders), D, C, 500)
    return FusionNetwork(
        encoders,
        fusion.build(shape),
        d_model=D,
        prior=torch.tensor([0.3, 0.7]).log(),
        n_heads=2,
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
    found = [x for name, x in output._asdict().items() if name != "tokens"]
    found += [x for tokens in output.tokens for x in tokens]
    return [x for x in found if x is not None]


# ---------------------------------------------------------------- network


def test_shapes(network, inputs, present):
    out = network(inputs, present)
    assert out.logits.shape == (B, C)
    assert out.evidence.shape == (B, 2, C)
    assert out.weights.shape == (B, 2)
    assert out.contributions.shape == (B, 2, C)
    assert out.joint.shape == (B, C)
    assert out.z.shape == (B, 2, D)
    assert torch.equal(out.present, present)
    for tokens in out.tokens:
        assert tokens.h.shape == (B, T, D)
        assert tokens.mask.shape == (B, T)
        assert tokens.attention.shape == (B, T, 2)


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


def test_absent_modality_has_no_weight_no_evidence_and_no_attention(
    network, inputs, present
):
    out = network(inputs, present)
    assert not out.weights[~present].any()
    assert not out.evidence[~present].any()
    assert not out.contributions[~present].any()
    assert not out.z[~present].any()
    for m, tokens in enumerate(out.tokens):
        assert not any(x[~present[:, m]].any() for x in tokens)
    some = present.any(dim=1)
    torch.testing.assert_close(
        out.weights[some].sum(dim=1), torch.ones(int(some.sum()), dtype=torch.float64)
    )


def test_row_with_nothing_present_gets_the_prior(network, inputs, present):
    out = network(inputs, present)
    assert torch.equal(out.logits[6], network.prior)


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
    changed = (before.evidence != after.evidence).flatten(2).any(dim=2)
    assert changed.nonzero().tolist() == [[3, 1]]


def test_contributions_and_prior_are_the_logits_where_nothing_is_joint(inputs, present):
    network = build(AdaptiveFusion(n_heads=2, joint=False)).eval()
    out = network(inputs, present)
    assert out.joint is None
    torch.testing.assert_close(network.prior + out.contributions.sum(dim=1), out.logits)


def test_tokens_add_up_to_what_their_modality_says(network, inputs, present):
    out = network(inputs, present)
    for m, tokens in enumerate(out.tokens):
        added = network.token_contributions(m, tokens)
        there = present[:, m]
        rest = out.evidence[there, m] - added[there].sum(dim=1)
        bias = network.attentions[m].head.bias
        torch.testing.assert_close(rest, bias.expand_as(rest))
        assert not added[~there].any()


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_rows_are_the_same_whether_picked_or_masked(network, inputs, share):
    # Where few rows are absent they are encoded too, and masked.
    present = torch.ones(B, 2, dtype=torch.bool)
    present[int(share * B) :, 0] = False
    together = network(inputs, present)
    for i in range(B):
        alone = network([{"x": x["x"][i : i + 1]} for x in inputs], present[i : i + 1])
        torch.testing.assert_close(alone.logits[0], together.logits[i])


class Reader(Fusion):
    """A rule that looks at the tokens, and keeps what it was shown."""

    n_heads = 2

    def build(self, shape):
        return _Reader()


class _Reader(FusionModule):
    reads_tokens = True

    def forward(self, z, evidence, present, tokens=()):
        self.shown = tokens
        weights = uniform_weights(present, z.dtype)
        return FusionResult(evidence.mean(dim=1), weights, evidence)


def test_rule_that_reads_tokens_is_shown_them_masked_where_absent(inputs, present):
    network = build(Reader()).eval()
    network(inputs, present)
    assert len(network.fusion.shown) == 2
    for m, (h, mask, _) in enumerate(network.fusion.shown):
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
    h, mask, _ = network.fusion.shown[m]
    assert h.shape[0] == B
    assert not mask.any()
    assert not h.any()


def test_what_an_encoder_knows_is_added_to_its_evidence_beyond_the_prior(
    inputs, present
):
    plain = build().eval()
    known = torch.tensor([1.0, -2.0], dtype=torch.float64)
    informed = build(encoders=[WordEncoder(), WordEncoder(known)]).eval()
    informed.load_state_dict(plain.state_dict())
    difference = informed(inputs, present).evidence - plain(inputs, present).evidence
    there = present[:, 1]
    added = (known - plain.prior).expand(int(there.sum()), C)
    torch.testing.assert_close(difference[there, 1], added)
    assert not difference[:, 0].any()
    assert not difference[~there].any()


def _encoder_gradients(network, inputs, present, part):
    network.zero_grad()
    getattr(network(inputs, present), part).square().sum().backward()
    return [encoder.linear.weight.grad for encoder in network.encoders]


def test_heads_teach_the_encoders_only_where_the_rule_says_so(inputs, present):
    taught = _encoder_gradients(build(MeanFusion()), inputs, present, "evidence")
    assert all(g is not None and g.any() for g in taught)
    following = build(AttentionFusion())
    assert _encoder_gradients(following, inputs, present, "evidence") == [None, None]
    assert all(
        g.any() for g in _encoder_gradients(following, inputs, present, "logits")
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
