"""What is fitted on held-out rows: the mix of words, trust, the output's sureness."""

import copy
import math

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch import nn

from skfusion import calibration
from skfusion.batch import Block, ModalityBatch
from skfusion.calibration import LabelledRows, Mix, calibrate
from skfusion.corruption import Corruption, Noise
from skfusion.ensemble import Fold, Said, listen, mean_said
from skfusion.experts import EXPERTS
from skfusion.fusion import AdaptiveFusion, MeanFusion
from skfusion.fusion.base import FusionShape
from skfusion.network import Encoder, FusionNetwork
from skfusion.training import BatchDataset, FusionLoss, Recipe, corrupt_batch, train

D, WIDTH = 8, 6
NAMES = ("left", "right")
PRIOR = torch.tensor([0.3, 0.7]).log()


class Linear(Encoder):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(WIDTH, D)

    def forward(self, inputs):
        h = self.linear(inputs["x"]).unsqueeze(1)
        return h, h.new_ones(h.shape[:2], dtype=torch.bool)


class Summary:
    """A modality whose summary is its array, 0 where absent."""

    def features(self, block):
        return np.where(block.present[:, None], block.arrays["x"], 0)

    def strangeness(self, block):
        return None


def make_rows(n, seed, flip=0.0, *, is_classification=True, absent=True):
    """Two modalities that lie close to a line, so that noise shows, and the truth."""
    rng = np.random.default_rng(seed)
    line = rng.normal(size=(2, n, 1))
    x = (line + rng.normal(0, 0.3, (2, n, WIDTH))).astype(np.float32)
    total = line.sum(axis=(0, 2))
    y = torch.from_numpy(total[:, None].astype(np.float32))
    if is_classification:
        y = torch.from_numpy(((total > 0) ^ (rng.random(n) < flip)).astype(np.int64))
    present = np.ones((2, n), dtype=bool)
    if absent:
        present[0, ::7], present[1, 3::7] = False, False
    blocks = {
        name: Block({"x": x[m]}, present[m].copy()) for m, name in enumerate(NAMES)
    }
    return LabelledRows(
        ModalityBatch(blocks, dict.fromkeys(NAMES, Summary())), y, torch.ones(n)
    )


def make_network(rule, *, is_classification=True):
    torch.manual_seed(0)
    prior = PRIOR if is_classification else torch.zeros(1)
    outputs = len(prior)
    return FusionNetwork(
        [Linear(), Linear()],
        rule.build(FusionShape(2, D, outputs, 2, 1000, is_classification, 0.0)),
        d_model=D,
        prior=prior,
        n_members=2,
        n_heads=2,
        dropout=0.0,
    )


def make_fold(rule=None, *, is_classification=True, experts=None):
    learned = make_rows(300, seed=0, is_classification=is_classification)
    network = make_network(
        rule or AdaptiveFusion(n_heads=2), is_classification=is_classification
    )
    recipe = Recipe(12, 32, 1e-2, 0.0, None, Corruption(), "cpu", [], 0)
    data = BatchDataset(learned.batch, learned.y)
    train(network, NAMES, data, None, recipe, is_classification=is_classification)
    return Fold(network, experts, learned.batch, is_classification=is_classification)


@pytest.fixture(scope="module")
def trained():
    """Folds trained once; tests that change them take copies."""
    return {
        "trust": make_fold(),
        "own rule": make_fold(MeanFusion(n_heads=2)),
        "regression": make_fold(is_classification=False),
    }


@pytest.fixture
def fold(trained):
    return copy.deepcopy(trained["trust"])


@pytest.fixture
def plain_fold(trained):
    """A fold whose rule has the last word itself."""
    return copy.deepcopy(trained["own rule"])


@pytest.fixture
def held_out():
    return make_rows(300, seed=1, flip=0.1)


def fit(folds, held_out, corruption=None, *, learns_trust=True, is_classification=True):
    folds = folds if isinstance(folds, list) else [folds]
    held_out = held_out if isinstance(held_out, list) else [held_out]
    torch.manual_seed(0)
    return calibrate(
        folds,
        held_out,
        make_rows(300, seed=0, is_classification=is_classification),
        corruption,
        is_classification=is_classification,
        learns_trust=learns_trust,
        log_prior=(PRIOR if is_classification else torch.zeros(1)).double(),
    )


def logits_of(calibration, said):
    if calibration.trust is None:
        return said.logits / calibration.temperature
    return calibration.weigh(said, calibration.words(said)).parts.sum(dim=1).numpy()


def loss_of(logits, held_out):
    rows = np.arange(len(held_out.y))
    return -log_softmax(logits, axis=-1)[rows, held_out.y].mean()


def weights_of(calibration, fold, batch):
    """Weights of the modalities beside one another, as estimators report them."""
    said = listen(fold, batch, exact=True)
    weights = calibration.weigh(said, calibration.words(said)).weights.numpy()[:, :2]
    total = weights.sum(axis=1, keepdims=True)
    return weights / np.where(total > 0, total, 1)


def sharpen(fold, factor, names=NAMES):
    """Make what modalities say `factor` times as sure."""
    with torch.no_grad():
        for m, name in enumerate(NAMES):
            if name in names:
                fold.network.heads[m].weight.mul_(factor)
                fold.network.heads[m].bias.mul_(factor)


# ---------------------------------------------------------------- the output


@pytest.mark.parametrize("learns_trust", [True, False])
def test_rows_never_seen_are_predicted_better_than_by_an_overconfident_network(
    fold, plain_fold, held_out, learns_trust
):
    fold = fold if learns_trust else plain_fold
    sharpen(fold, 10.0)
    calibration = fit(fold, held_out, Corruption(), learns_trust=learns_trust)
    new = make_rows(500, seed=2, flip=0.1)
    said = listen(fold, new.batch, exact=True)
    before = loss_of(said.logits, new)
    assert loss_of(logits_of(calibration, said), new) < before - 0.1


def test_calibration_leaves_a_good_network_nearly_as_it_was(fold, held_out):
    calibration = fit(fold, held_out, Corruption())
    new = make_rows(500, seed=2, flip=0.1)
    said = listen(fold, new.batch, exact=True)
    assert loss_of(logits_of(calibration, said), new) < loss_of(said.logits, new) + 0.02


@pytest.mark.parametrize("learns_trust", [True, False])
def test_few_rows_move_little(fold, plain_fold, learns_trust):
    fold = fold if learns_trust else plain_fold
    sharpen(fold, 10.0)
    few, many = (
        fit(fold, make_rows(n, seed=1, flip=0.5), learns_trust=learns_trust)
        for n in (4, 400)
    )
    said = listen(fold, make_rows(300, seed=2).batch, exact=True)
    size = [np.abs(np.diff(logits_of(c, said))).mean() for c in (few, many)]
    assert size[1] < size[0] / 2


def test_temperature_is_finite_where_every_row_is_right(plain_fold):
    calibration = fit(plain_fold, make_rows(100, seed=1), learns_trust=False)
    assert 0 < calibration.temperature < math.inf
    assert calibration.mix.share.isfinite().all()


def test_regression_has_no_temperature(trained):
    fold = trained["regression"]
    rows = make_rows(100, seed=1, is_classification=False)
    calibration = fit(fold, rows, learns_trust=False, is_classification=False)
    assert calibration.temperature == 1.0


def test_regression_is_calibrated_too(trained):
    fold = copy.deepcopy(trained["regression"])
    sharpen(fold, 3.0)
    rows, new = (make_rows(300, seed, is_classification=False) for seed in (1, 2))
    calibration = fit(fold, rows, Corruption(), is_classification=False)
    said = listen(fold, new.batch, exact=True)
    after, before = (
        np.square(x - new.y.numpy()).mean()
        for x in (logits_of(calibration, said), said.logits)
    )
    assert after < before / 2


# ---------------------------------------------------------------- trust


def test_noised_modality_is_trusted_less(fold, held_out):
    calibration = fit(fold, held_out, Corruption(p_corrupt=0.3))
    new = make_rows(400, seed=2, absent=False).batch
    before = weights_of(calibration, fold, new)
    for m, name in enumerate(NAMES):
        torch.manual_seed(0)
        plan = Noise(3.0, modality=name).plan(torch.from_numpy(new.present), NAMES)
        noisy = corrupt_batch(new, fold.network.encoders, plan)
        after = weights_of(calibration, fold, noisy)
        assert np.mean(after[:, m] < before[:, m]) > 0.7


def test_modality_that_says_nothing_true_is_trusted_less(fold, held_out):
    # Its content is shuffled in the rows that teach trust.
    block = held_out.batch.blocks["right"]
    order = np.random.default_rng(0).permutation(len(block))
    block.arrays["x"] = block.arrays["x"][order]
    calibration = fit(fold, held_out)
    new = make_rows(300, seed=2, absent=False)
    weights = weights_of(calibration, fold, new.batch).mean(axis=0)
    assert weights[0] > 1.5 * weights[1]


def test_absent_modalities_have_no_weight_and_the_others_all(fold, held_out):
    calibration = fit(fold, held_out, Corruption())
    new = make_rows(100, seed=2).batch
    weights = weights_of(calibration, fold, new)
    assert not weights[~new.present].any()
    np.testing.assert_allclose(weights.sum(axis=1), new.present.any(axis=1))


def test_disturbed_rows_teach(fold, held_out):
    new = make_rows(50, seed=2).batch
    clean, disturbed = (fit(fold, held_out, c) for c in (None, Corruption()))
    one, two = (weights_of(c, fold, new) for c in (clean, disturbed))
    assert not np.allclose(one, two)


# ---------------------------------------------------------------- mixing words


def test_mixed_words_are_a_weighted_sum():
    g = torch.Generator().manual_seed(0)
    words = torch.randn(5, 3, 2, 4, generator=g, dtype=torch.float64)
    mix = torch.rand(3, 2, generator=g, dtype=torch.float64)
    expected = (words * mix[None, :, :, None]).sum(dim=2)
    torch.testing.assert_close(Mix(mix)(words), expected)


def test_slots_that_speak_count_for_those_that_do_not():
    words = torch.ones(3, 1, 3, 2, dtype=torch.float64)
    words[1, 0, 2] = torch.nan
    words[2] = torch.nan
    mix = torch.tensor([[0.2, 0.5, 0.4]], dtype=torch.float64)
    mixed = Mix(mix)(words)[:, 0, 0]
    torch.testing.assert_close(mixed, torch.tensor([1.1, 1.1, 0.0]).double())


def test_confusion_moves_one_class_to_another_and_silence_stays_silent():
    g = torch.Generator().manual_seed(0)
    words = torch.randn(4, 1, 1, 3, generator=g, dtype=torch.float64)
    words[3] = torch.nan
    share = torch.ones(1, 1, dtype=torch.float64)
    confusion = torch.zeros(1, 3, 3, dtype=torch.float64)
    confusion[0, 0, 1] = 0.5  # who says class 0 may mean class 1
    plain = Mix(share)(words)
    moved = Mix(share, confusion, torch.full((1, 3), 0.1))(words) - plain - 0.1
    expected = 0.5 * plain.log_softmax(dim=-1)[:3, 0, 0]
    torch.testing.assert_close(moved[:3, 0, 1], expected)
    torch.testing.assert_close(moved[:3, 0, [0, 2]], torch.zeros(3, 2).double())
    assert not Mix(share, confusion, torch.ones(1, 3))(words)[3].any()


def test_many_rows_teach_which_classes_are_taken_for_which():
    """Who says class 1 as often where it is 2 learns so, but not from few rows."""

    def word(n):
        y = torch.arange(n) % 3
        said = nn.functional.one_hot(y.clamp(max=1), 3).double().mul(4)
        said += 0.1 * torch.randn(n, 3, generator=torch.Generator().manual_seed(0))
        rows = calibration._Rows(
            said[:, None, None],
            *torch.zeros(2, n, 1).double(),
            torch.ones(n, 1, dtype=torch.bool),
            said,
            y,
            torch.ones(n).double(),
        )
        loss = FusionLoss([], is_classification=True)
        mix = calibration._fit_mix(loss, rows)
        return mix.confusion, loss.elementwise(mix(rows.words), y).mean()

    none, before = word(9 * calibration.CONFUSION_ROWS - 3)
    taken, after = word(9 * calibration.CONFUSION_ROWS)
    assert none is None
    assert taken.shape == (1, 3, 3)
    assert after < 0.75 * before


def test_regression_learns_what_each_slot_counts():
    g = torch.Generator().manual_seed(0)
    y = torch.randn(200, 1, generator=g, dtype=torch.float64)
    wrong = torch.randn(200, 1, generator=g, dtype=torch.float64)
    rows = calibration._Rows(
        torch.stack([y, wrong], dim=1)[:, None],
        *torch.zeros(2, 200, 1).double(),
        torch.ones(200, 1, dtype=torch.bool),
        y,
        y,
        torch.ones(200).double(),
    )
    share = calibration._fit_mix(FusionLoss([], is_classification=False), rows).share
    assert share[0, 0] > 0.9
    assert share[0, 1] < 0.1


class Experts:
    """Linear experts of two strengths and a forest, of a known worth.

    The first strength is right, the second wrong, and the forest knows nothing.
    Boosting is silent.
    """

    def __init__(self, truth):
        self.truth, self.strength = truth, [1, 1, 1]

    def logits(self, batch, features=None, *, all_strengths=False):
        x = sum(block.arrays["x"].mean(axis=1) for block in batch.blocks.values())
        good = 3 * np.column_stack([-x, x])
        rng = np.random.default_rng(0)
        forest = 3 * rng.normal(size=good.shape)
        strengths = [good, -good]
        out = np.full((len(batch), 3, (2 if all_strengths else 1) + 2, 2), np.nan)
        for w in range(3):
            linear = strengths if all_strengths else [strengths[self.strength[w]]]
            for s, said in enumerate([*linear, forest]):
                out[:, w, s] = said
        there = np.column_stack([batch.present, batch.present.all(axis=1)])
        out[~there] = np.nan
        return out

    def cross_fitted(self, batch, y, weight):
        return self.logits(batch)[:, : batch.present.shape[1]]


def test_held_out_rows_choose_the_strength_for_every_fold(fold, held_out):
    fold.experts = Experts(held_out)
    other = copy.deepcopy(fold)
    fit([fold, other], [held_out, make_rows(100, seed=3)], Corruption())
    assert fold.experts.strength == other.experts.strength == [0, 0, 0]


def test_who_knows_counts_most(fold, held_out):
    fold.experts = Experts(held_out)
    with torch.no_grad():  # a network that knows nothing, either
        for encoder in fold.network.encoders:
            encoder.linear.weight.copy_(torch.randn(D, WIDTH))
    mix = fit(fold, held_out).mix.share
    assert mix.shape == (3, 1 + len(EXPERTS))
    linear = mix[:, 1]
    assert (linear > 2 * mix[:, 2]).all()
    assert (linear[:2] > mix[:2, 0]).all()
    assert not mix[:, 3].any()  # never spoke
    assert (mix >= 0).all()


def test_experts_that_know_help(fold, held_out):
    new = make_rows(300, seed=2, flip=0.1)
    sharpen(fold, 10.0)

    def loss():
        calibration = fit(fold, held_out)
        return loss_of(logits_of(calibration, listen(fold, new.batch, exact=True)), new)

    without = loss()
    fold.experts = Experts(held_out)
    assert loss() < without


def test_overconfident_modality_is_toned_down(plain_fold, held_out):
    plain = fit(plain_fold, held_out, learns_trust=False).mix.share
    sharpen(plain_fold, 4.0, names=["right"])
    sharp = fit(plain_fold, held_out, learns_trust=False).mix.share
    assert plain.shape == sharp.shape == (2, 1)
    assert sharp[1, 0] < plain[1, 0] / 2
    assert sharp[0, 0].item() == pytest.approx(plain[0, 0].item(), rel=1e-3)


# ---------------------------------------------------------------- the contract


def test_two_calibrations_are_equal_to_the_bit(fold, held_out):
    new = make_rows(50, seed=2).batch
    one, two = (fit(copy.deepcopy(fold), held_out, Corruption()) for _ in range(2))
    assert torch.equal(one.mix.share, two.mix.share)
    assert np.array_equal(*(weights_of(c, fold, new) for c in (one, two)))


def test_network_is_left_as_it_was(fold, held_out):
    state = copy.deepcopy(fold.network.state_dict())
    learnable = {n: p.requires_grad for n, p in fold.network.named_parameters()}
    fit(fold, held_out, Corruption())
    for key, value in fold.network.state_dict().items():
        assert value.dtype == state[key].dtype
        assert torch.equal(value, state[key])
    assert {n: p.requires_grad for n, p in fold.network.named_parameters()} == learnable
    assert all(p.grad is None for p in fold.network.parameters())
    assert not fold.network.training


def test_held_out_rows_are_left_as_they_were(fold, held_out):
    before = copy.deepcopy(held_out)
    fit(fold, held_out, Corruption(p_corrupt=0.9))
    for name, block in held_out.batch.blocks.items():
        other = before.batch.blocks[name]
        assert np.array_equal(block.arrays["x"], other.arrays["x"])
        assert np.array_equal(block.present, other.present)
    assert torch.equal(held_out.weight, before.weight)


def hidden(rows, where):
    for block in rows.batch.blocks.values():
        block.present[where] = False


def same(one, two, fold):
    said = listen(fold, make_rows(50, seed=2).batch, exact=True)
    return np.array_equal(logits_of(one, said), logits_of(two, said))


@pytest.mark.parametrize("learns_trust", [True, False])
def test_rows_without_any_modality_teach_nothing(fold, plain_fold, learns_trust):
    fold = fold if learns_trust else plain_fold
    rows, other = make_rows(60, seed=1), make_rows(60, seed=1)
    for r in (rows, other):
        hidden(r, slice(None, None, 3))
    rows.y[::3], other.y[::3] = 0, 1
    one, two = (fit(fold, r, learns_trust=learns_trust) for r in (rows, other))
    assert same(one, two, fold)


@pytest.mark.parametrize("learns_trust", [True, False])
def test_nothing_is_learned_where_every_row_is_empty(fold, plain_fold, learns_trust):
    fold = fold if learns_trust else plain_fold
    rows = make_rows(20, seed=1)
    hidden(rows, slice(None))
    calibration = fit(fold, rows, Corruption(), learns_trust=learns_trust)
    said = listen(fold, make_rows(50, seed=2).batch, exact=True)
    assert np.isfinite(logits_of(calibration, said)).all()
    assert calibration.mix.share.isfinite().all()


@pytest.mark.parametrize("learns_trust", [True, False])
def test_weight_of_zero_is_no_row(fold, plain_fold, learns_trust):
    fold = fold if learns_trust else plain_fold
    rows = make_rows(200, seed=1, flip=0.3)
    half = LabelledRows(rows.batch, rows.y, (torch.arange(200) < 100).float())
    turned = LabelledRows(rows.batch, rows.y.clone(), half.weight)
    turned.y[100:] = 1 - turned.y[100:]
    one, two, whole = (
        fit(fold, r, learns_trust=learns_trust) for r in (half, turned, rows)
    )
    assert same(one, two, fold)
    assert not same(one, whole, fold)


def test_every_fold_speaks_of_the_rows_held_out_from_it(fold, held_out):
    other = copy.deepcopy(fold)
    sharpen(other, 20.0)
    both = [held_out, make_rows(300, seed=3, flip=0.1)]
    one, two = fit([fold, other], both), fit([other, fold], both)
    said = mean_said([listen(f, both[0].batch) for f in (fold, other)])
    assert isinstance(said, Said)
    assert not np.allclose(logits_of(one, said), logits_of(two, said))
