"""Layers that the network and the encoders share."""

import threading

import pytest
import torch
from torch import nn

from skfusion.network import AdditiveAttention, Dropout, Encoder, set_generator
from skfusion.network.layers import RandomModule

B, T, D, C = 7, 5, 8, 3


@pytest.fixture
def attention():
    torch.manual_seed(0)
    return AdditiveAttention(D, C, n_heads=2).double()


def draw(n_tokens=T):
    g = torch.Generator().manual_seed(0)
    h = torch.randn(B, n_tokens, D, generator=g, dtype=torch.float64)
    mask = torch.rand(B, n_tokens, generator=g) < 0.6
    mask[:, 0] = True
    return h, mask


# ---------------------------------------------------------------- additive attention


def test_attention_sums_to_one_and_is_zero_behind_the_mask(attention):
    h, mask = draw()
    pooled, evidence, a = attention(h, mask)
    assert pooled.shape == (B, D)
    assert evidence.shape == (B, C)
    assert a.shape == (B, T, 2)
    torch.testing.assert_close(a.sum(dim=1), torch.ones(B, 2, dtype=a.dtype))
    assert not a[~mask].any()


@pytest.mark.parametrize("n_tokens", [1, T])
def test_contributions_of_tokens_sum_to_the_evidence_without_its_bias(
    attention, n_tokens
):
    h, mask = draw(n_tokens)
    _, evidence, a = attention(h, mask)
    added = attention.contributions(h, a)
    assert added.shape == (B, n_tokens, C)
    torch.testing.assert_close(added.sum(dim=1), evidence - attention.head.bias)
    assert not added[~mask].any()


def test_contribution_of_a_token_depends_on_itself_and_its_attention_alone(attention):
    h, mask = draw()
    _, _, a = attention(h, mask)
    before = attention.contributions(h, a)
    other = h.clone()
    other[:, 1:] = 9.0
    assert torch.equal(attention.contributions(other, a)[:, 0], before[:, 0])
    changed = a.clone()
    changed[:, 0] *= 0.5
    torch.testing.assert_close(
        attention.contributions(h, changed)[:, 0], 0.5 * before[:, 0]
    )


def test_tokens_behind_the_mask_change_no_bit(attention):
    h, mask = draw()
    before = attention(h, mask)
    h[~mask] = 1e6
    after = attention(h, mask)
    assert all(torch.equal(x, y) for x, y in zip(before, after, strict=True))


def test_padding_with_masked_tokens_changes_nothing(attention):
    h, mask = draw()
    longer = nn.functional.pad(h, (0, 0, 0, 4), value=9.0)
    short = attention(h, mask)
    long = attention(longer, nn.functional.pad(mask, (0, 4), value=False))
    torch.testing.assert_close(short[1], long[1])
    torch.testing.assert_close(short[2], long[2][:, :T])


def test_one_token_says_the_same_as_two_copies_of_it(attention):
    h, _ = draw(1)
    one = attention(h, torch.ones(B, 1) > 0)
    two = attention(h.expand(B, 2, D), torch.ones(B, 2) > 0)
    assert (one[2] == 1).all()
    torch.testing.assert_close(one[1], two[1])


def test_each_head_attends_by_itself(attention):
    h, mask = draw()
    _, _, a = attention(h, mask)
    several = mask.sum(dim=1) > 1
    assert not torch.allclose(a[several, :, 0], a[several, :, 1])


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="d_model=10, n_heads=4"):
        AdditiveAttention(10, C, n_heads=4)


# ---------------------------------------------------------------- random numbers


def test_dropout_keeps_the_mean_and_is_nothing_in_evaluation():
    dropout = Dropout(0.25)
    set_generator(dropout, torch.Generator().manual_seed(0))
    x = torch.ones(400, 50)
    dropped = dropout(x)
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)
    assert torch.equal(dropout.eval()(x), x)


def test_shared_dropout_takes_the_same_entries_from_all_tokens():
    dropped = Dropout(0.5, shared=1)(torch.ones(20, 6, 30))
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    assert 0 < (dropped == 0).float().mean() < 1


def test_generator_alone_decides_what_is_drawn():
    state = torch.random.get_rng_state()
    module = nn.Sequential(Dropout(0.5), nn.Sequential(Dropout(0.5)))
    x, found = torch.ones(20, 30), []
    for seed in (0, 0, 1):
        set_generator(module, torch.Generator().manual_seed(seed))
        found.append(module(x))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert torch.equal(torch.random.get_rng_state(), state)
    set_generator(module, None)
    assert all(p.generator is None for p in module.modules() if hasattr(p, "p"))


def test_random_numbers_have_the_precision_of_what_they_join():
    module = RandomModule()
    for dtype in (torch.float32, torch.float64):
        like = torch.zeros(1, dtype=dtype)
        assert module.rand((3,), like).dtype == dtype
        assert module.randn((3,), like).dtype == dtype
    assert module.randn((3,), torch.zeros(1, dtype=torch.uint8)).dtype == torch.float32


def test_threads_do_not_disturb_one_another():
    def work(seed, out):
        dropout = Dropout(0.5)
        set_generator(dropout, torch.Generator().manual_seed(seed))
        out[seed] = torch.stack([dropout(torch.ones(50)) for _ in range(50)])

    serial, parallel = {}, {}
    for seed in range(4):
        work(seed, serial)
    threads = [threading.Thread(target=work, args=(s, parallel)) for s in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(serial[s], parallel[s]) for s in range(4))


def test_noise_corrupts_floats_of_rows_with_a_standard_deviation_only():
    encoder = Encoder()
    set_generator(encoder, torch.Generator().manual_seed(0))
    inputs = {"x": torch.zeros(3, 2000), "codes": torch.ones(3, 2, dtype=torch.long)}
    noisy = encoder.add_noise(inputs, torch.tensor([0.0, 1.0, 3.0]))
    assert not noisy["x"][0].any()
    assert noisy["x"][1].std().item() == pytest.approx(1, rel=0.1)
    assert noisy["x"][2].std().item() == pytest.approx(3, rel=0.1)
    assert torch.equal(noisy["codes"], inputs["codes"])
    assert not inputs["x"].any()
