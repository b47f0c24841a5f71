import pytest
import torch

from skfusion.corruption import Corruption

B, M = 4000, 3


def plan_of(present=None, seed=0, **parameters):
    torch.manual_seed(seed)
    present = torch.ones(B, M, dtype=torch.bool) if present is None else present
    return Corruption(**parameters).plan(present)


def test_no_row_loses_its_last_modality():
    torch.manual_seed(1)
    present = torch.rand(B, M) < 0.6
    plan = plan_of(present, p_drop=0.9)
    before, after = present.any(dim=1), (present & ~plan.drop).any(dim=1)
    assert plan.drop.any()
    assert (~before).any()
    assert torch.equal(before, after)


def test_a_lone_modality_is_never_hidden():
    present = torch.zeros(B, M, dtype=torch.bool)
    present[:, 1] = True
    assert not plan_of(present, p_drop=0.99).drop.any()


def test_only_what_is_present_is_disturbed():
    torch.manual_seed(1)
    present = torch.rand(B, M) < 0.5
    plan = plan_of(present, p_corrupt=1.0, p_drop=0.5)
    assert not (plan.drop & ~present).any()
    assert not (plan.swap & ~present).any()
    assert not ((plan.noise > 0) & ~present).any()


def test_half_of_the_disturbed_get_noise_and_half_another_row():
    plan = plan_of(p_corrupt=0.4, p_drop=0.0)
    noisy = plan.noise > 0
    assert not (noisy & plan.swap).any()
    assert noisy.float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert plan.swap.float().mean().item() == pytest.approx(0.2, abs=0.02)


def test_modalities_are_hidden_as_often_as_asked():
    plan = plan_of(p_corrupt=0.0, p_drop=0.1)
    # All three at once, 1 in 1000 rows, is called off.
    assert plan.drop.float().mean().item() == pytest.approx(0.1, abs=0.01)


def test_noise_is_spread_evenly_up_to_its_limit():
    noise = plan_of(p_corrupt=1.0, max_sd=2.0).noise
    noise = noise[noise > 0]
    assert noise.max() <= 2.0
    assert noise.mean().item() == pytest.approx(1.0, abs=0.03)


def test_nothing_happens_at_probability_zero():
    plan = plan_of(p_corrupt=0.0, p_drop=0.0)
    assert not plan.drop.any()
    assert not plan.swap.any()
    assert not plan.noise.any()


def test_plan_follows_the_seed_and_leaves_presence_alone():
    present = torch.ones(B, M, dtype=torch.bool)
    first, again = plan_of(present, seed=3), plan_of(present, seed=3)
    other = plan_of(present, seed=4)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.noise, other.noise)
    assert present.all()


@pytest.mark.parametrize(
    "parameters", [{"p_corrupt": 1.5}, {"p_drop": 1.0}, {"max_sd": -1}], ids=str
)
def test_impossible_parameters_are_refused(parameters):
    name = next(iter(parameters))
    with pytest.raises(ValueError, match=f"The '{name}' parameter of Corruption"):
        Corruption(**parameters)._validate_params()
