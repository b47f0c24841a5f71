"""What befalls modalities, as a plan, and as it is carried out on rows."""

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from torch import nn

from skfusion.batch import Block, ModalityBatch
from skfusion.corruption import (
    Corruption,
    CorruptionPlan,
    Drop,
    Noise,
    Swap,
    corrupt_batch,
)
from skfusion.network import Encoder

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


# ---------------------------------------------------------------- one modality a row


ONE = [Noise(2.0), Swap(), Drop()]
NAMES = ("a", "b", "c")


def hit_by(spec, present, seed=0):
    """Which modalities a spec befalls, (B, M), whatever it does to them."""
    torch.manual_seed(seed)
    plan = spec.plan(present, NAMES)
    parts = {"Noise": plan.noise > 0, "Swap": plan.swap, "Drop": plan.drop}
    hit = parts.pop(type(spec).__name__)
    assert not any(other.any() for other in parts.values())
    return hit


@pytest.fixture
def present():
    torch.manual_seed(1)
    present = torch.rand(B, M) < 0.6
    present[0] = False
    return present


@pytest.fixture(params=ONE, ids=lambda spec: type(spec).__name__)
def spec(request):
    return clone(request.param)


def test_one_present_modality_of_each_row_is_hit(spec, present):
    hit = hit_by(spec, present)
    assert torch.equal(hit.sum(dim=1) == 1, present.any(dim=1))
    assert not (hit & ~present).any()


def test_every_present_modality_is_hit_as_often(spec):
    hit = hit_by(spec, torch.ones(B, M, dtype=torch.bool))
    np.testing.assert_allclose(hit.float().mean(dim=0), 1 / M, atol=0.03)


def test_named_modality_is_hit_wherever_it_is_present(spec, present):
    spec.set_params(modality="b")
    hit = hit_by(spec, present)
    assert torch.equal(hit[:, 1], present[:, 1])
    assert not hit[:, [0, 2]].any()


def test_name_of_no_modality_is_refused(spec, present):
    spec.set_params(modality="d")
    with pytest.raises(ValueError, match=r"'modality' .*\('a', 'b', 'c'\).*'d'"):
        spec.plan(present, NAMES)


def test_choice_follows_the_seed(spec, present):
    assert torch.equal(hit_by(spec, present), hit_by(spec, present))
    assert not torch.equal(hit_by(spec, present), hit_by(spec, present, seed=2))


def test_noise_has_the_standard_deviation_that_was_asked_for(present):
    noise = Noise(2.0).plan(present).noise
    assert set(noise.unique().tolist()) == {0.0, 2.0}
    assert not Noise(0.0).plan(present).noise.any()


def test_drop_hides_the_last_modality_too(present):
    lone = torch.zeros_like(present)
    lone[:, 2] = True
    assert Drop().plan(lone).drop[:, 2].all()


@pytest.mark.parametrize(
    "wrong", [Noise(-1.0), Noise(modality=3), Swap(modality=0), Drop(modality=1.5)]
)
def test_impossible_parameters_of_one_are_refused(wrong):
    with pytest.raises(ValueError, match=f"parameter of {type(wrong).__name__}"):
        wrong._validate_params()


# ---------------------------------------------------------------- carried out

N = 40


SHIFT = torch.tensor([100.4, -100.4, 0.6, 0.0])


class Plain(Encoder):
    """Noise as the base class has it, and on sparse arrays and pixels too."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 1)

    def add_noise(self, inputs, sd):
        noisy = super().add_noise(inputs, sd)
        if "words" in inputs:
            words = inputs["words"].to_dense()
            noisy["words"] = (words + sd[:, None]).to_sparse()
        if "pixels" in inputs:
            noisy["pixels"] = inputs["pixels"] + SHIFT * sd[:, None]
        return noisy


@pytest.fixture
def batch():
    """Three modalities: numbers, words (sparse) and pixels. Each is absent somewhere.

    `id` tells from which row the content came.
    """
    rng = np.random.default_rng(0)
    ids = np.arange(N, dtype=np.int32)[:, None]
    words = sparse.random(N, 6, 0.4, format="csr", dtype=np.float32, random_state=0)
    arrays = {
        "numbers": {"x": rng.normal(size=(N, 3)).astype(np.float32)},
        "words": {"words": words},
        "photo": {"pixels": rng.integers(0, 256, (N, 4), dtype=np.uint8)},
    }
    there = rng.random((N, 3)) < 0.8
    blocks = {
        name: Block(a | {"id": ids}, there[:, m])
        for m, (name, a) in enumerate(arrays.items())
    }
    return ModalityBatch(blocks, dict.fromkeys(blocks))


ENCODERS = [Plain(), Plain(), Plain()]


def plan_for(noise=(), swap=(), drop=()):
    """A plan from lists of (row, modality), and of (row, modality, sd)."""
    plan = CorruptionPlan(
        torch.zeros(N, 3),
        torch.zeros(N, 3, dtype=torch.bool),
        torch.zeros(N, 3, dtype=torch.bool),
    )
    for i, m, sd in noise:
        plan.noise[i, m] = sd
    for part, places in ((plan.swap, swap), (plan.drop, drop)):
        for place in places:
            part[place] = True
    return plan


def carry_out(batch, plan, seed=0):
    torch.manual_seed(seed)
    return corrupt_batch(batch, ENCODERS, plan)


def dense(array):
    return array.toarray() if sparse.issparse(array) else np.asarray(array)


def changed(before, after, name):
    """Rows of a modality in which any array is another."""
    rows = np.zeros(N, dtype=bool)
    for key, array in before.blocks[name].arrays.items():
        other = after.blocks[name].arrays[key]
        assert other.dtype == array.dtype
        assert sparse.issparse(other) == sparse.issparse(array)
        rows |= (dense(array) != dense(other)).any(axis=1)
    return np.flatnonzero(rows).tolist()


def test_nothing_planned_changes_nothing(batch):
    after = carry_out(batch, plan_for())
    for name in batch.names:
        assert changed(batch, after, name) == []
    np.testing.assert_array_equal(after.present, batch.present)


@pytest.mark.parametrize("m, name", [(0, "numbers"), (1, "words"), (2, "photo")])
def test_noise_reaches_the_rows_and_the_modality_it_is_meant_for(batch, m, name):
    here, absent = (np.flatnonzero(batch.present[:, m] == p) for p in (True, False))
    rows = sorted([*here[[1, 5, 9]], absent[0]])
    after = carry_out(batch, plan_for(noise=[(i, m, 2.0) for i in rows]))
    assert changed(batch, after, name) == sorted(here[[1, 5, 9]])
    for other in set(batch.names) - {name}:
        assert changed(batch, after, other) == []
    np.testing.assert_array_equal(after.present, batch.present)


def test_noise_on_sparse_rows_keeps_the_others_in_place(batch):
    i = int(np.flatnonzero(batch.present[:, 1])[3])
    words = carry_out(batch, plan_for(noise=[(i, 1, 0.5)])).blocks["words"]
    expected = batch.blocks["words"].arrays["words"].toarray()
    expected[i] += 0.5
    assert words.arrays["words"].format == "csr"
    np.testing.assert_allclose(words.arrays["words"].toarray(), expected, rtol=1e-6)


def test_noise_on_codes_is_rounded_and_stays_within_their_type(batch):
    rows = np.flatnonzero(batch.present[:, 2])
    after = carry_out(batch, plan_for(noise=[(i, 2, 1.0) for i in rows]))
    old, new = (b.blocks["photo"].arrays["pixels"][rows] for b in (batch, after))
    assert new.dtype == np.uint8
    shifted = old + np.array([100, -100, 1, 0])
    assert shifted.min() < 0 < 255 < shifted.max()
    np.testing.assert_array_equal(new, shifted.clip(0, 255))


def test_swapped_content_and_presence_come_from_another_row(batch):
    rows = range(0, N, 2)
    after = carry_out(batch, plan_for(swap=[(i, 1) for i in rows]))
    source = after.blocks["words"].arrays["id"][:, 0]
    own = np.arange(N)
    assert (source[rows] != own[rows]).all()
    np.testing.assert_array_equal(source[1::2], own[1::2])
    np.testing.assert_array_equal(
        after.blocks["words"].arrays["words"].toarray(),
        batch.blocks["words"].arrays["words"][source].toarray(),
    )
    np.testing.assert_array_equal(after.present[:, 1], batch.present[source, 1])
    assert changed(batch, after, "numbers") == changed(batch, after, "photo") == []


def test_dropped_modality_is_absent_and_no_other(batch):
    after = carry_out(batch, plan_for(drop=[(3, 0), (5, 2)]))
    expected = batch.present.copy()
    expected[3, 0] = expected[5, 2] = False
    np.testing.assert_array_equal(after.present, expected)


@pytest.mark.parametrize(
    "spec",
    [*ONE, Corruption(p_corrupt=0.9, p_drop=0.5)],
    ids=lambda s: type(s).__name__,
)
def test_absent_stays_absent(batch, spec):
    torch.manual_seed(0)
    plan = spec.plan(torch.from_numpy(batch.present), batch.names)
    after = corrupt_batch(batch, ENCODERS, plan)
    assert not (after.present & ~batch.present).any()


def test_rows_that_are_given_stay_as_they_were(batch):
    copies = {
        name: {key: dense(a).copy() for key, a in block.arrays.items()}
        for name, block in batch.blocks.items()
    }
    present = batch.present.copy()
    spec = Corruption(p_corrupt=1.0, p_drop=0.5)
    carry_out(batch, spec.plan(torch.from_numpy(present)))
    for name, arrays in copies.items():
        for key, array in arrays.items():
            assert np.array_equal(dense(batch.blocks[name].arrays[key]), array)
    np.testing.assert_array_equal(batch.present, present)


def test_disturbance_follows_the_seed(batch):
    plan = plan_for(
        noise=[(i, 0, 1.0) for i in range(N)], swap=[(i, 2) for i in range(N)]
    )
    one, two, other = (carry_out(batch, plan, seed) for seed in (0, 0, 1))
    for name in ("numbers", "photo"):
        assert changed(one, two, name) == []
        assert len(changed(one, other, name)) > N / 2


def test_a_lone_row_has_no_other_to_swap_with(batch):
    plan = CorruptionPlan(*(part[:1] for part in plan_for(swap=[(0, 0)])))
    alone = batch[:1]
    after = corrupt_batch(alone, ENCODERS, plan)
    assert after.blocks["numbers"].arrays["id"].tolist() == [[0]]


def test_cells_follow_what_was_swapped():
    cells = np.array(["one", "two"], dtype=object)
    block = Block({"x": np.ones((2, 1), np.float32)}, np.ones(2, dtype=bool), cells)
    nothing = torch.zeros(2, 1, dtype=torch.bool)
    plan = CorruptionPlan(torch.zeros(2, 1), torch.tensor([[True], [False]]), nothing)
    after = corrupt_batch(ModalityBatch({"m": block}, {"m": None}), [Plain()], plan)
    assert after.blocks["m"].cells.tolist() == ["two", "two"]
