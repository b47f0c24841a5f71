"""What the networks of the folds and their experts say of rows."""

import copy
import pickle

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import nn

from skfusion import ensemble as module
from skfusion.batch import Block, ModalityBatch
from skfusion.ensemble import Fold, _Neighbours, forward, listen, mean_said
from skfusion.fusion import AdaptiveFusion, MeanFusion
from skfusion.fusion.base import FusionShape
from skfusion.network import Encoder, FusionNetwork

M, K, C, D, S = 2, 3, 2, 8, 2
WIDTH = 5


class Steps(Encoder):
    """A token a number; how many a row has differs, the first is always there."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, D)

    def forward(self, inputs):
        mask = ~inputs["x"].isnan()
        longest = int(mask.sum(dim=1).max())  # T depends on the batch
        h = self.linear(inputs["x"].nan_to_num().unsqueeze(-1))
        return h[:, :longest], mask[:, :longest]


class Summary:
    """A modality whose summary is its array, 0 where absent."""

    def features(self, block):
        return np.where(block.present[:, None], np.nan_to_num(block.arrays["x"]), 0)

    def strangeness(self, block):
        return None


def make_batch(n=60, seed=0, *, absent=True):
    rng = np.random.default_rng(seed)
    blocks = {}
    for m, name in enumerate(("left", "right")):
        x = rng.normal(size=(n, WIDTH)).astype(np.float32)
        x[:, 1:][np.arange(1, WIDTH) >= rng.integers(1, WIDTH + 1, (n, 1))] = np.nan
        present = np.ones(n, dtype=bool)
        if absent:
            present[m :: 5 + m] = False
        blocks[name] = Block({"x": x}, present)
    if absent:
        for block in blocks.values():
            block.present[-1] = False
    return ModalityBatch(blocks, dict.fromkeys(blocks, Summary()))


def make_network(seed=0, *, joint=True, n_members=K, rule=None):
    torch.manual_seed(seed)
    shape = FusionShape(M, D, C, n_members, 1000, True, 0.3)
    rule = rule or AdaptiveFusion(n_heads=2, joint=joint)
    return FusionNetwork(
        [Steps(), Steps()],
        rule.build(shape),
        d_model=D,
        prior=torch.tensor([0.3, 0.7]).log(),
        n_members=n_members,
        n_heads=2,
        dropout=0.3,
    )


class Experts:
    """Two slots for each modality and for all, that say 1 and 2 of class 1."""

    def __init__(self, says=1.0, silent=False):
        self.says, self.silent = says, silent

    def logits(self, batch, features=None, *, all_strengths=False):
        n = len(batch)
        out = np.zeros((n, M + 1, S, C))
        out[..., 1] = self.says * np.arange(1, S + 1)
        there = np.column_stack([batch.present, batch.present.all(axis=1)])
        out[~there] = np.nan
        return np.full_like(out, np.nan) if self.silent else out


def make_fold(experts=None, **options):
    return Fold(make_network(**options), experts, make_batch(), is_classification=True)


@pytest.fixture
def batch():
    return make_batch(40, seed=1)


# ---------------------------------------------------------------- listening


@pytest.mark.parametrize(
    "experts, joint, n_witnesses, n_slots",
    [
        (None, False, M, 1),
        (None, True, M + 1, 1),
        (Experts(), False, M + 1, 1 + S),
        (Experts(), True, M + 1, 1 + S),
    ],
    ids=["neither", "joint part", "experts", "both"],
)
def test_witnesses_and_slots(batch, experts, joint, n_witnesses, n_slots):
    said = listen(make_fold(experts, joint=joint), batch, exact=True)
    n, W = len(batch), n_witnesses
    assert said.words.shape == (n, W, n_slots, C)
    for x in (said.disagreement, said.present):
        assert x.shape == (n, W)
    assert said.novelty.shape == (n, W, 3)
    assert said.logits.shape == (n, C)
    assert said.weights.shape == (n, M)
    assert said.parts.shape == (n, M, C)
    assert [len(a) for a in said.attention] == [n] * M
    assert np.array_equal(said.present[:, :M], batch.present)
    for x in (said.disagreement, said.novelty, said.logits, said.weights, said.parts):
        assert np.isfinite(x).all()
    # Where a witness is present, someone speaks for it.
    assert np.isfinite(said.words).all(axis=-1).any(axis=-1)[said.present].all()


def test_network_speaks_first_by_the_mean_of_its_members(batch):
    fold = make_fold(Experts())
    said = listen(fold, batch, exact=True)
    (output,) = forward(fold.network, batch, exact=True)
    np.testing.assert_allclose(said.words[:, :M, 0], output.unimodal.mean(dim=2))
    np.testing.assert_allclose(said.words[:, M, 0], output.joint.mean(dim=1))
    here = said.present[:, 0]
    assert (said.words[here, 0, 1:, 1] == [1, 2]).all()
    assert np.isnan(said.words[~here, 0, 1:]).all()


def test_joint_part_speaks_wherever_anything_is_there(batch):
    said = listen(make_fold(Experts()), batch)
    assert np.array_equal(said.present[:, M], batch.present.any(axis=1))
    assert not said.present[-1].any()


def test_joint_experts_speak_where_everything_is_there(batch):
    said = listen(make_fold(Experts(), joint=False), batch)
    assert np.array_equal(said.present[:, M], batch.present.all(axis=1))


def test_members_that_agree_do_not_disagree(batch):
    alone = listen(make_fold(n_members=1), batch)
    several = listen(make_fold(n_members=3), batch)
    assert not alone.disagreement.any()
    assert (several.disagreement[several.present] > 0).all()


# ---------------------------------------------------------------- novelty


def test_training_rows_are_usual(batch):
    said = listen(make_fold(), make_batch())
    usual = said.novelty[:, :M][said.present[:, :M]]
    assert np.exp(usual[:, 0]).mean() < 1.5  # a mean square of standardised distances


def test_content_far_from_the_training_rows_is_new(batch):
    before = listen(make_fold(), batch)
    batch.blocks["right"].arrays["x"] *= 30
    after = listen(make_fold(), batch)
    here = batch.present[:, 1]
    grown = after.novelty[here, 1, :2] > before.novelty[here, 1, :2] + 1
    assert (grown.mean(axis=0) > 0.9).all()
    assert np.array_equal(after.novelty[:, 0], before.novelty[:, 0])


def test_all_together_are_as_new_as_the_newest_that_is_there(batch):
    said = listen(make_fold(), batch)
    some = batch.present.any(axis=1)
    there = batch.present[..., None]
    newest = np.where(there, said.novelty[:, :M], -np.inf).max(axis=1)
    np.testing.assert_array_equal(said.novelty[some, M], newest[some])


def test_modality_never_seen_in_training_has_a_finite_novelty(batch):
    training = make_batch()
    training.blocks["right"].present[:] = False
    fold = Fold(make_network(), None, training, is_classification=True)
    assert np.isfinite(listen(fold, batch).novelty).all()


def test_training_rows_are_their_own_neighbours():
    training = make_batch(absent=False)
    near = listen(make_fold(), training).novelty[:, :M, 1]
    far = listen(make_fold(), make_batch(seed=7, absent=False)).novelty[:, :M, 1]
    assert np.median(near) < np.median(far) - 1


@pytest.mark.parametrize("is_sparse", [False, True])
def test_neighbours_are_the_nearest_rows(is_sparse):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 4)) * (rng.random((50, 4)) < 0.7)
    other = rng.normal(size=(7, 4))
    if is_sparse:
        x, other = (
            sparse.csr_matrix(a / np.maximum(np.linalg.norm(a, axis=1), 1e-9)[:, None])
            for a in (x, other)
        )
        wanted = 1 - (other @ x.T).toarray().max(axis=1)
    else:
        apart = np.linalg.norm((other[:, None] - x) / x.std(axis=0), axis=-1)
        wanted = np.log(apart.min(axis=1) + 0.1)
    np.testing.assert_allclose(_Neighbours(x).distance(other), wanted, atol=1e-9)


def test_what_a_modality_finds_strange_is_passed_on(batch, monkeypatch):
    strange = np.arange(float(len(batch)))
    monkeypatch.setattr(Summary, "strangeness", lambda self, block: strange)
    passed_on = listen(make_fold(), batch).novelty[:, 0, 2]
    assert (passed_on == np.where(batch.present[:, 0], strange, 0)).all()


# ---------------------------------------------------------------- the contract


def fields(said):
    return [*said[:-1], *said.attention]


def test_content_behind_an_absence_mask_changes_no_bit(batch):
    training, other = make_batch(), make_batch()
    for block in [*batch.blocks.values(), *other.blocks.values()]:
        block.arrays["x"] = block.arrays["x"].copy()
    before = listen(make_fold(Experts()), batch, exact=True)
    for block in [*batch.blocks.values(), *other.blocks.values()]:
        block.arrays["x"][~block.present] = 1e30
    assert np.array_equal(training.present, other.present)
    fold = Fold(make_network(), Experts(), other, is_classification=True)
    after = listen(fold, batch, exact=True)
    for x, y in zip(fields(before), fields(after), strict=True):
        assert np.array_equal(x, y, equal_nan=True)


def test_a_row_does_not_depend_on_the_others(batch):
    fold = make_fold(Experts())
    together = listen(fold, batch, exact=True)
    for i in range(6):
        alone = listen(fold, batch[i], exact=True)
        for x, y in zip(alone[:-1], together[:-1], strict=True):
            np.testing.assert_allclose(x[0], y[i], rtol=0, atol=1e-9)


def test_rows_go_through_in_chunks_of_any_size(batch, monkeypatch):
    fold = make_fold(Experts())
    whole = listen(fold, batch, exact=True)
    monkeypatch.setattr(module, "CHUNK_ROWS", 7)
    chunked = listen(fold, batch, exact=True)
    for x, y in zip(fields(whole), fields(chunked), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-9)
    attention = chunked.attention[0]
    there = batch.present[:, 0]
    np.testing.assert_allclose(attention.sum(axis=1), there)


def test_exact_is_close_to_fast_and_leaves_the_network_as_it_was(batch):
    fold = make_fold()
    before = copy.deepcopy(fold.network.state_dict())
    exact, fast = (listen(fold, batch, exact=e) for e in (True, False))
    for x, y in zip(fields(exact)[:-M], fields(fast)[:-M], strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-4)
    for key, value in fold.network.state_dict().items():
        assert value.dtype == before[key].dtype
        assert torch.equal(value, before[key])
    assert not fold.network.training


def test_listening_draws_no_random_numbers(batch):
    fold = make_fold()
    state = torch.random.get_rng_state()
    listen(fold, batch)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_fold_survives_pickling_and_carries_few_rows(batch):
    fold = make_fold()
    again = pickle.loads(pickle.dumps(fold))
    assert np.array_equal(listen(fold, batch).words, listen(again, batch).words)
    many, more = (
        Fold(make_network(), None, make_batch(n), is_classification=True)
        for n in (2000, 4000)
    )
    assert len(pickle.dumps(more)) < len(pickle.dumps(many)) + 1000


# ---------------------------------------------------------------- several folds


def test_mean_of_one_is_itself(batch):
    said = listen(make_fold(), batch)
    assert mean_said([said]) is said


def test_folds_speak_by_their_mean(batch):
    folds = [make_fold(Experts(says), seed=s) for s, says in enumerate((1.0, 3.0))]
    one, two = (listen(fold, batch) for fold in folds)
    mean = mean_said([one, two])
    np.testing.assert_allclose(mean.words, (one.words + two.words) / 2, equal_nan=True)
    for x, y, z in zip(fields(mean)[1:], fields(one)[1:], fields(two)[1:], strict=True):
        np.testing.assert_allclose(x, (y.astype(float) + z) / 2)
    assert mean.present.dtype == bool


def test_expert_that_one_fold_lacks_speaks_through_the_others(batch):
    folds = [make_fold(Experts(2.0)), make_fold(Experts(silent=True))]
    mean = mean_said([listen(fold, batch) for fold in folds])
    here = batch.present[:, 0]
    assert (mean.words[here, 0, 1:, 1] == [2, 4]).all()
    assert np.isnan(mean.words[~here, 0, 1:]).all()


@pytest.mark.parametrize("order", [1, -1])
def test_joint_witness_is_there_where_any_fold_has_one(batch, order):
    folds = [make_fold(Experts(silent=silent), joint=False) for silent in (True, False)]
    said = mean_said([listen(fold, batch) for fold in folds[::order]])
    assert np.array_equal(said.present[:, M], batch.present.all(axis=1))


def test_rules_own_word_is_kept(batch):
    rule = MeanFusion(n_heads=2)
    fold = make_fold(rule=rule)
    said = listen(fold, batch, exact=True)
    (output,) = forward(fold.network, batch, exact=True)
    np.testing.assert_allclose(said.logits, output.logits.mean(dim=1))
    np.testing.assert_allclose(said.weights, output.weights)
    np.testing.assert_allclose(said.parts, output.parts)
