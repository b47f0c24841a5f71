"""Whom the gate trusts by which signs, and what the words of witnesses add up to."""

import pickle

import pytest
import torch

from skfusion.fusion.trust import EXPECTED, Trust, signs_of

B, M, C = 12, 3, 4
W = M + 1  # the modalities and the joint part
KINDS = pytest.mark.parametrize("is_classification", [True, False])


def draw(seed=0, n_outputs=C):
    """Words, disagreement, novelty and presence; rows 0 and 1 are whole and empty."""
    g = torch.Generator().manual_seed(seed)
    u = torch.randn(B, W, n_outputs, generator=g, dtype=torch.float64)
    disagreement = torch.rand(B, W, generator=g, dtype=torch.float64)
    novelty = torch.rand(B, W, 3, generator=g, dtype=torch.float64)
    present = torch.rand(B, W, generator=g) < 0.6
    present[0], present[1] = True, False
    present[2:, M] = present[2:, :M].any(dim=1)
    return u, disagreement, novelty, present


def read(u, disagreement, novelty, present, *, is_classification=True):
    return signs_of(
        u,
        disagreement,
        novelty,
        present,
        n_modalities=M,
        is_classification=is_classification,
    )


def make(is_classification=True, *, seed=0, n_outputs=C):
    torch.manual_seed(seed)
    expected = torch.tensor(EXPECTED[is_classification])
    log_prior = torch.linspace(-1, 0.5, n_outputs, dtype=torch.float64)
    return Trust(M, W, expected, log_prior).double()


def unsettle(trust, seed=0):
    """Parameters anywhere, as a fit may leave them."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for p in trust.parameters():
            p.copy_(0.5 * torch.randn_like(p))
    return trust


# ---------------------------------------------------------------- signs


@KINDS
def test_a_sign_for_each_expectation_and_all_finite(is_classification):
    signs = read(*draw(), is_classification=is_classification)
    assert signs.shape == (B, W, len(EXPECTED[is_classification]))
    assert signs.isfinite().all()


@KINDS
def test_signs_stay_finite_for_whoever_is_certain(is_classification):
    u, *rest = draw()
    signs = read(u * 1e4, *rest, is_classification=is_classification)
    assert signs.isfinite().all()


@KINDS
def test_signs_of_a_row_do_not_depend_on_the_others(is_classification):
    given = draw()
    together = read(*given, is_classification=is_classification)
    for i in range(B):
        own = (x[i : i + 1] for x in given)
        alone = read(*own, is_classification=is_classification)
        torch.testing.assert_close(alone[0], together[i], rtol=0, atol=1e-12)


def test_sureness_and_margin_rise_and_entropy_falls_with_the_sharpness():
    u, *rest = draw()
    soft, sharp = read(u, *rest), read(3 * u, *rest)
    assert (sharp[..., 0] > soft[..., 0]).all()
    assert (sharp[..., 1] > soft[..., 1]).all()
    assert (sharp[..., 2] < soft[..., 2]).all()


@KINDS
def test_agreement_is_with_the_other_modalities_that_are_there(is_classification):
    u, disagreement, novelty, present = draw()
    present[:] = True
    place = 3 if is_classification else 1  # agreement, or distance

    def sign(u, present=present):
        signs = read(
            u, disagreement, novelty, present, is_classification=is_classification
        )
        return signs[..., place]

    of_one = u.clone()
    of_one[:] = u[:, :1]
    better = sign(of_one) > sign(u) if is_classification else sign(of_one) < sign(u)
    assert better[:, :M].all()
    # What the joint part or an absent modality says moves nobody.
    other = u.clone()
    other[:, M] += torch.arange(C)
    assert torch.equal(sign(other)[:, :M], sign(u)[:, :M])
    present = present.clone()
    present[:, 1] = False
    other = u.clone()
    other[:, 1] += torch.arange(C)
    rest = [0, 2, M]
    assert torch.equal(sign(other, present)[:, rest], sign(u, present)[:, rest])


@KINDS
def test_alone_there_is_nobody_to_agree_with(is_classification):
    u, disagreement, novelty, present = draw()
    present[:] = False
    present[:, 1] = True
    signs = read(u, disagreement, novelty, present, is_classification=is_classification)
    agreement = signs[:, 1, 3 if is_classification else 1]
    assert (agreement == (1 / C if is_classification else 0.0)).all()


@KINDS
def test_disagreement_and_novelty_are_passed_on(is_classification):
    _, disagreement, novelty, _ = given = draw()
    signs = read(*given, is_classification=is_classification)
    assert torch.equal(signs[..., -4], disagreement)
    assert torch.equal(signs[..., -3:], novelty)


# ---------------------------------------------------------------- weights


@pytest.fixture(params=["at the start", "anywhere"])
def trust(request):
    return make() if request.param == "at the start" else unsettle(make())


def test_weights_sum_to_one_over_whoever_is_there(trust):
    u, *rest = draw()
    present = rest[-1]
    weights = trust(u, read(u, *rest), present).weights
    assert (weights >= 0).all()
    assert not weights[~present].any()
    torch.testing.assert_close(weights.sum(dim=1), present.any(dim=1).to(weights.dtype))


def test_absent_witness_adds_nothing_whatever_it_says(trust):
    u, disagreement, novelty, present = draw()
    before = trust(u, read(u, disagreement, novelty, present), present)
    for x in (u, disagreement, novelty):
        x[~present] = 1e3
    after = trust(u, read(u, disagreement, novelty, present), present)
    assert torch.equal(before.weights, after.weights)
    assert torch.equal(before.parts, after.parts)
    assert not before.parts[~present].any()


def test_weight_follows_the_confidence(trust):
    u, *_ = draw()
    present = torch.ones(B, W, dtype=torch.bool)
    confidence = torch.zeros(B, W, dtype=torch.float64)
    seen = []
    for c in (-2.0, 0.0, 2.0):
        confidence[:, 1] = c
        seen.append(trust.weigh(u, confidence, present).weights[:, 1])
    assert (seen[0] < seen[1]).all()
    assert (seen[1] < seen[2]).all()


def test_modalities_trusted_alike_weigh_alike(trust):
    # Nobody has a prior weight of its own, so that weights speak of trust alone.
    u, *_ = draw()
    present = torch.ones(B, W, dtype=torch.bool)
    weights = trust.weigh(u, torch.full_like(u[..., 0], 0.3), present).weights
    torch.testing.assert_close(weights[:, :M], weights[:, :1].expand(B, M))


@KINDS
def test_unusual_content_is_trusted_less_before_rows_say_otherwise(is_classification):
    u, disagreement, novelty, present = draw()
    present[:] = True
    trust = make(is_classification)

    def weights():
        signs = read(
            u, disagreement, novelty, present, is_classification=is_classification
        )
        return trust(u, signs, present).weights[:, 1]

    before = weights()
    novelty[:, 1] += 1
    assert (weights() < before).all()


def test_signs_beyond_what_was_seen_say_no_more_than_its_edge(trust):
    u, *rest = draw()
    signs = read(u, *rest)
    far, further = signs.clone(), signs.clone()
    far[:, 0], further[:, 0] = 1e3, 1e9
    assert torch.equal(trust.confidence(far), trust.confidence(further))


# ---------------------------------------------------------------- the output


def test_output_is_the_weighted_sum_of_the_words_at_the_start():
    u, *rest = draw()
    result = make()(u, read(u, *rest), rest[-1])
    torch.testing.assert_close(result.parts, result.weights[..., None] * u)


def test_row_without_a_witness_gets_nothing(trust):
    u, *rest = draw()
    result = trust(u, read(u, *rest), rest[-1])
    assert not result.parts[1].any()
    assert not result.weights[1].any()


def test_class_shares_are_added_as_far_as_rows_teach():
    trust = make()
    with torch.no_grad():
        trust.kappa.fill_(1.0)
    u, *rest = draw()
    present = rest[-1]
    logits = trust(torch.zeros_like(u), read(u, *rest), present).parts.sum(dim=1)
    some = present.any(dim=1)
    # Logits are free up to a constant; the shares are kept centred.
    p = logits[some].softmax(dim=-1)
    expected = torch.linspace(-1, 0.5, C, dtype=torch.float64).softmax(dim=0)
    torch.testing.assert_close(p, expected.expand_as(p))


def test_sharpness_scales_a_witness_and_leaves_its_weight():
    trust = make()
    u, *rest = draw()
    before = trust(u, read(u, *rest), rest[-1])
    with torch.no_grad():
        trust.sharpness[1] += torch.tensor(2.0).log()
    after = trust(u, read(u, *rest), rest[-1])
    assert torch.equal(before.weights, after.weights)
    torch.testing.assert_close(after.parts[:, 1], 2 * before.parts[:, 1])
    torch.testing.assert_close(after.parts[:, [0, 2]], before.parts[:, [0, 2]])


def test_every_parameter_is_fitted_by_the_gate_or_by_the_output():
    trust = unsettle(make())
    u, *rest = draw()
    result = trust(u, read(u, *rest), rest[-1], u[:, :M])
    every = [*trust.gate_parameters(), *trust.output_parameters()]
    assert sorted(map(id, every)) == sorted(map(id, trust.parameters()))
    result.parts.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in trust.parameters())


def test_terms_of_a_stack_are_weighed_by_trust(trust):
    u, *rest = draw()
    signs, present = read(u, *rest), rest[-1]
    terms = torch.randn(B, M, C, dtype=u.dtype)
    without, with_terms = trust(u, signs, present), trust(u, signs, present, terms)
    assert torch.equal(without.weights, with_terms.weights)
    added = with_terms.parts - without.parts
    assert not added[:, M:].any()
    w = without.weights[:, :M]
    share = w / w.sum(dim=1, keepdim=True).clamp_min(1e-9)
    times = share * present[:, :M].sum(dim=1, keepdim=True)
    wanted = trust.stacked.exp() * times[..., None] * terms
    torch.testing.assert_close(added[:, :M], wanted)
    assert not added[:, :M][~present[:, :M]].any()


def test_rows_do_not_depend_on_one_another(trust):
    u, *rest = draw()
    signs, present = read(u, *rest), rest[-1]
    together = trust(u, signs, present)
    for i in range(B):
        one = slice(i, i + 1)
        for x, y in zip(trust(u[one], signs[one], present[one]), together, strict=True):
            torch.testing.assert_close(x[0], y[i], rtol=0, atol=1e-12)


def test_trust_survives_pickling(trust):
    u, *rest = draw()
    signs = read(u, *rest)
    again = pickle.loads(pickle.dumps(trust))
    for x, y in zip(trust(u, signs, rest[-1]), again(u, signs, rest[-1]), strict=True):
        assert torch.equal(x, y)
