import itertools
import pickle

import numpy as np
import pytest
import torch
from scipy import sparse
from skorch.callbacks import Callback
from torch import nn

from skfusion.batch import Block, ModalityBatch
from skfusion.corruption import Corruption, CorruptionPlan
from skfusion.fusion import AdaptiveFusion, MeanFusion
from skfusion.fusion.base import FusionShape
from skfusion.network import Encoder, FusionNetwork, NetworkOutput
from skfusion.training import (
    BatchDataset,
    BatchIterator,
    FusionLoss,
    Recipe,
    block_tensors,
    history_frame,
    resolve_device,
    train,
)

N, D = 50, 8


class LinearEncoder(Encoder):
    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, D)

    def forward(self, inputs):
        h = self.linear(inputs["x"]).unsqueeze(1)
        return h, h.new_ones(h.shape[:2], dtype=torch.bool)


def make_dataset(n=N, seed=0, flip=0.0):
    """Two modalities whose value is the row's number, so that rows can be told."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] > 0) ^ (rng.random(n) < flip)
    ids = np.arange(n, dtype=np.int64)[:, None]
    present = np.ones((2, n), dtype=bool)
    present[0, ::5], present[1, 1::5] = False, False
    blocks = {
        name: Block({"x": x[:, m : m + 1], "id": ids}, present[m])
        for m, name in enumerate(("left", "right"))
    }
    batch = ModalityBatch(blocks, dict.fromkeys(blocks))
    return BatchDataset(batch, torch.from_numpy(y.astype(np.int64)))


def make_network(seed=0, n_members=2, n=N, fusion=None):
    torch.manual_seed(seed)
    shape = FusionShape(2, D, 2, n_members, n, True, 0.0)
    return FusionNetwork(
        [LinearEncoder(1), LinearEncoder(1)],
        (fusion or AdaptiveFusion(n_heads=2)).build(shape),
        d_model=D,
        prior=torch.zeros(2),
        n_members=n_members,
        n_heads=2,
        dropout=0.0,
    )


def make_recipe(**changes):
    recipe = Recipe(
        max_epochs=4,
        batch_size=16,
        lr=1e-2,
        weight_decay=0.0,
        n_iter_no_change=50,
        corruption=Corruption(),
        device="cpu",
        callbacks=[],
        verbose=0,
    )
    return recipe._replace(**changes)


def run(valid=None, network=None, **changes):
    network = network or make_network()
    torch.manual_seed(0)
    return train(
        network,
        ("left", "right"),
        make_dataset(),
        valid,
        make_recipe(**changes),
        is_classification=True,
    )


class AlwaysCorrupt(Corruption):
    """A plan that is known: swap on the left, hide on the right, in even rows."""

    def plan(self, present, names=()):
        even = torch.arange(len(present)) % 2 == 0
        swap, drop = torch.zeros_like(present), torch.zeros_like(present)
        swap[even, 0] = True
        drop[even, 1] = True
        return CorruptionPlan(torch.zeros(present.shape), swap, drop)


# ---------------------------------------------------------------- batches


def test_tensors_are_copies_and_sparse_arrays_become_coo():
    dense = np.arange(6, dtype=np.float32).reshape(3, 2)
    words = sparse.csr_matrix(dense)
    block = Block({"x": dense, "words": words}, np.ones(3, dtype=bool))
    tensors = block_tensors(block, np.array([2, 0]))
    assert tensors["words"].is_sparse
    torch.testing.assert_close(tensors["words"].to_dense(), tensors["x"])
    tensors["x"].zero_()
    assert dense[2, 1] == 5


def test_read_only_arrays_are_read_without_a_warning():
    x = np.ones((3, 2), np.float32)
    x.setflags(write=False)
    block_tensors(Block({"x": x}, np.ones(3, dtype=bool)), np.arange(2))


@pytest.mark.parametrize("shuffle", [False, True])
def test_each_row_comes_once_an_epoch(shuffle):
    torch.manual_seed(0)
    iterator = BatchIterator(make_dataset(), 16, shuffle=shuffle)
    seen = [x["inputs"][0]["id"][:, 0] for x, _ in iterator]
    assert [len(ids) for ids in seen] == [16, 16, 16, 2]
    assert len(iterator) == 4
    ids = torch.cat(seen)
    assert sorted(ids.tolist()) == list(range(N))
    assert shuffle != torch.equal(ids, torch.arange(N))


def test_shuffling_keeps_rows_labels_and_weights_together():
    dataset = make_dataset()
    dataset.weight = torch.arange(N, dtype=torch.float32)
    for x, target in BatchIterator(dataset, 7, shuffle=True):
        ids = x["inputs"][0]["id"][:, 0]
        assert torch.equal(x["inputs"][1]["id"][:, 0], ids)
        assert torch.equal(target["y"], dataset.y[ids])
        assert torch.equal(target["weight"], ids.float())
        assert torch.equal(x["present"], dataset.present[ids])


def test_swapped_modality_brings_content_and_presence_of_its_source():
    torch.manual_seed(0)
    dataset = make_dataset()
    ((x, target),) = BatchIterator(dataset, N, corruption=AlwaysCorrupt())
    source = x["inputs"][0]["id"][:, 0]
    even = torch.arange(N) % 2 == 0
    assert torch.equal(source[~even], torch.arange(N)[~even])
    assert (source[even] != torch.arange(N)[even]).float().mean() > 0.8
    assert torch.equal(x["present"][:, 0], dataset.present[source, 0])
    assert torch.equal(x["inputs"][1]["id"][:, 0], torch.arange(N))
    assert torch.equal(target["y"], dataset.y)
    assert torch.equal(target["honest"][:, 0], ~even)
    assert target["honest"][:, 1].all()


def test_hidden_modality_is_absent_from_the_batch_but_not_from_the_data():
    torch.manual_seed(0)
    dataset = make_dataset()
    before = dataset.present.clone()
    ((x, _),) = BatchIterator(dataset, N, corruption=AlwaysCorrupt())
    assert not x["present"][::2, 1].any()
    assert torch.equal(x["present"][1::2, 1], before[1::2, 1])
    assert torch.equal(dataset.present, before)


# ---------------------------------------------------------------- loss


def output_of(logits, unimodal=None, present=None, joint=None):
    B, K, C = logits.shape
    if unimodal is None:
        unimodal = torch.zeros(B, 1, K, C)
    M = unimodal.shape[1]
    if present is None:
        present = torch.ones(B, M, dtype=torch.bool)
    even, parts = torch.full((B, M), 1 / max(1, M)), torch.zeros(B, M, C)
    pooled = torch.zeros(B, M, D)
    return NetworkOutput(
        logits, unimodal, present, even, parts, joint, pooled, attention=()
    )


def target_of(y, weight=None, **more):
    return {"y": y, "weight": torch.ones(len(y)) if weight is None else weight} | more


@pytest.fixture
def loss():
    return FusionLoss(["one", "two"], is_classification=True)


@pytest.fixture
def logits():
    torch.manual_seed(0)
    return torch.randn(6, 3, 4)


Y = torch.tensor([0, 3, 1, 2, 2, 0])


def cross_entropy(logits, y):
    """Mean over rows and members of (n, K, C)."""
    K = logits.shape[1]
    return nn.functional.cross_entropy(logits.flatten(0, 1), y.repeat_interleave(K))


def test_members_learn_one_by_one_and_speak_by_their_mean(loss, logits):
    output = output_of(logits, torch.zeros(6, 2, 3, 4))
    loss(output, target_of(Y))
    torch.testing.assert_close(loss.parts["fused"], cross_entropy(logits, Y))
    together = nn.functional.cross_entropy(logits.mean(dim=1), Y)
    torch.testing.assert_close(loss.eval()(output, target_of(Y)), together)


def test_loss_adds_what_each_modality_says_alone_with_weight_one(loss, logits):
    unimodal = torch.randn(6, 2, 3, 4)
    total = loss(output_of(logits, unimodal), target_of(Y))
    assert set(loss.parts) == {"fused", "one", "two"}
    torch.testing.assert_close(total, sum(loss.parts.values()))
    torch.testing.assert_close(loss.parts["two"], cross_entropy(unimodal[:, 1], Y))


def test_joint_part_is_taught_by_a_loss_of_its_own(loss, logits):
    unimodal, joint = torch.randn(6, 2, 3, 4), torch.randn(6, 3, 4)
    target = target_of(Y, torch.arange(6.0))
    without = loss(output_of(logits, unimodal), target)
    with_it = loss(output_of(logits, unimodal, joint=joint), target)
    rows = torch.arange(6).repeat_interleave(torch.arange(6))
    expected = cross_entropy(joint[rows], Y[rows])
    torch.testing.assert_close(with_it - without, expected)
    # Early stopping watches the fused output alone.
    loss.eval()
    assert torch.equal(
        loss(output_of(logits, unimodal), target),
        loss(output_of(logits, unimodal, joint=joint), target),
    )


def test_modality_that_is_seldom_there_weighs_as_much_as_its_rows_do(loss, logits):
    unimodal = torch.zeros(6, 2, 3, 4)
    unimodal[:, 1] = torch.randn(6, 3, 4)
    present = torch.ones(6, 2, dtype=torch.bool)
    present[1:, 1] = False

    def pull(weight):
        u = unimodal.clone().requires_grad_()
        loss(output_of(logits, u, present), target_of(Y, weight)).backward()
        return u.grad[0, 1]

    assert pull(torch.ones(6)).any()
    alone = unimodal[:1, 1].clone().requires_grad_()
    cross_entropy(alone, Y[:1]).backward()
    torch.testing.assert_close(pull(torch.ones(6)), alone.grad[0] / 6)


def test_absent_and_swapped_modalities_are_not_judged(loss, logits):
    unimodal = torch.randn(6, 2, 3, 4)
    present = torch.ones(6, 2, dtype=torch.bool)
    present[:2, 0] = False
    honest = torch.ones(6, 2, dtype=torch.bool)
    honest[2, 0] = False
    target = target_of(Y, honest=honest)
    before = loss(output_of(logits, unimodal, present), target)
    torch.testing.assert_close(loss.parts["one"], cross_entropy(unimodal[3:, 0], Y[3:]))
    unimodal[:3, 0] = torch.randn(3, 3, 4) * 100
    after = loss(output_of(logits, unimodal, present), target)
    assert torch.equal(before, after)


def test_a_weight_of_two_is_the_row_twice(loss, logits):
    unimodal, joint = torch.randn(6, 2, 3, 4), torch.randn(6, 3, 4)
    weight = torch.tensor([1.0, 2.0, 1.0, 0.0, 1.0, 1.0])
    rows = torch.tensor([0, 1, 1, 2, 4, 5])
    weighted = loss(output_of(logits, unimodal, joint=joint), target_of(Y, weight))
    copied = loss(
        output_of(logits[rows], unimodal[rows], joint=joint[rows]),
        target_of(Y[rows]),
    )
    torch.testing.assert_close(weighted, copied)


def test_regression_loss_is_the_squared_error():
    loss = FusionLoss(["one"], is_classification=False)
    y = torch.tensor([[0.0], [1.0], [2.0]])
    said = torch.zeros(3, 1, 1)
    loss(output_of(said, said.unsqueeze(1)), target_of(y))
    assert loss.parts["fused"].item() == pytest.approx(5 / 3)


@pytest.mark.parametrize("is_classification", [True, False])
def test_loss_of_each_output_keeps_the_axes_between(is_classification):
    loss = FusionLoss([], is_classification=is_classification)
    logits = torch.randn(6, 5, 3, 4)
    y = Y if is_classification else torch.randn(6, 4)
    each = loss.elementwise(logits, y)
    assert each.shape == (6, 5, 3)
    torch.testing.assert_close(each[:, 2, 1], loss.elementwise(logits[:, 2, 1], y))


def test_regression_mixes_members_and_outputs_by_their_mean():
    loss = FusionLoss([], is_classification=False).eval()
    said = torch.tensor([[[0.0, 2.0], [2.0, 4.0]]])  # (1, 2 members, 2 outputs)
    value = loss(output_of(said, torch.zeros(1, 0, 2, 2)), target_of(torch.ones(1, 2)))
    assert value.item() == pytest.approx((0 + 4) / 2)


# ---------------------------------------------------------------- training


def test_training_lowers_the_loss():
    history = history_frame(run(max_epochs=15))
    assert history["train_loss_fused"].iloc[-1] < history["train_loss_fused"].iloc[0]


def test_history_has_a_row_an_epoch_with_every_loss():
    history = history_frame(run(valid=make_dataset(30, seed=1)))
    assert list(history.index) == [1, 2, 3, 4]
    for phase in ("train", "valid"):
        for name in ("fused", "left", "right"):
            assert np.isfinite(history[f"{phase}_loss_{name}"]).all()
    assert (history["seconds"] > 0).all()
    assert not {"batches", "train_batch_count"} & set(history)


def test_history_states_the_validation_loss_of_the_fused_output():
    history = history_frame(run(valid=make_dataset(30, seed=1)))
    np.testing.assert_allclose(
        history["valid_loss_fused"], history["valid_loss"], rtol=1e-5
    )


def validation_loss(net, valid):
    loss = FusionLoss(("left", "right"), is_classification=True).eval()
    ((x, target),) = BatchIterator(valid, len(valid))
    with torch.no_grad():
        return loss(net.module_.eval()(**x), target).item()


def test_best_epoch_is_restored():
    # Labels of the validation rows are turned round, so that learning harms.
    valid = make_dataset(40, seed=1, flip=1.0)
    net = run(valid, max_epochs=6, lr=0.03)
    losses = history_frame(net)["valid_loss"]
    assert losses.idxmin() < len(losses)
    assert validation_loss(net, valid) == pytest.approx(losses.min(), rel=1e-4)


def test_training_stops_when_nothing_improves():
    valid = make_dataset(40, seed=1, flip=1.0)
    net = run(valid, max_epochs=40, lr=0.03, n_iter_no_change=3)
    losses = history_frame(net)["valid_loss"]
    assert len(losses) == losses.idxmin() + 3 < 40


def test_without_patience_the_last_epoch_is_kept():
    valid = make_dataset(40, seed=1, flip=1.0)
    net = run(valid, max_epochs=6, lr=0.03, n_iter_no_change=None)
    losses = history_frame(net)["valid_loss"]
    assert losses.iloc[-1] > losses.min() + 0.01
    assert validation_loss(net, valid) == pytest.approx(losses.iloc[-1], rel=1e-4)


class Interrupt(Callback):
    """Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, net, training=False, **kwargs):
        if training and len(net.history) == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.parametrize("patience", [None, 50])
def test_interrupt_keeps_the_best_epoch_so_far(patience):
    valid = make_dataset(40, seed=1, flip=1.0)
    net = run(
        valid,
        max_epochs=9,
        lr=0.03,
        n_iter_no_change=patience,
        callbacks=[Interrupt(5)],
    )
    losses = [row["valid_loss"] for row in net.history if "valid_loss" in row]
    assert len(losses) == 4
    assert validation_loss(net, valid) == pytest.approx(min(losses), rel=1e-4)


def test_interrupt_in_the_first_epoch_leaves_an_empty_history():
    history = history_frame(run(make_dataset(40), callbacks=[Interrupt(1)]))
    assert len(history) == 0
    assert history.index.name == "epoch"


def test_history_after_an_interrupt_holds_whole_epochs_only():
    valid = make_dataset(40, seed=1)
    history = history_frame(run(valid, max_epochs=9, callbacks=[Interrupt(3)]))
    assert list(history.index) == [1, 2]
    assert not history.isna().any().any()


class LearningRates(Callback):
    def __init__(self, seen):
        self.seen = seen

    def on_batch_begin(self, net, training=False, **kwargs):
        if training:
            self.seen.append(net.optimizer_.param_groups[0]["lr"])


def test_learning_rate_rises_then_falls_to_nothing():
    seen = []
    run(max_epochs=20, lr=0.1, callbacks=[LearningRates(seen)])
    assert len(seen) == 20 * 4
    assert np.argmax(seen) == pytest.approx(0.05 * len(seen), abs=1)
    assert max(seen) == pytest.approx(0.1)
    assert (np.diff(seen)[4:] < 0).all()
    assert seen[-1] < 0.001


def test_gradients_are_clipped():
    norms = []

    class Norms(Callback):
        def on_batch_end(self, net, training=False, **kwargs):
            if training:
                grads = [p.grad for p in net.module_.parameters() if p.grad is not None]
                norms.append(torch.cat([g.flatten() for g in grads]).norm().item())

    run(max_epochs=2, callbacks=[Norms()])
    assert max(norms) <= 1 + 1e-4


class BranchWeights(Callback):
    """Notes the weights of each encoder at the end of every epoch."""

    def __init__(self, seen):
        self.seen = seen

    def on_epoch_end(self, net, **kwargs):
        self.seen.append([e.linear.weight.clone() for e in net.module_.encoders])


def short_lived(which, fusion=None):
    """A network in which some branches ask for two passes over the rows."""
    network = make_network(fusion=fusion)
    for m in which:
        network.passes[m] = 2
    return network


def moved(seen, m):
    return [not torch.equal(a[m], b[m]) for a, b in itertools.pairwise(seen)]


def test_branch_of_few_passes_stops_while_the_others_learn_on():
    seen = []
    network = short_lived([0])
    run(
        network=network,
        max_epochs=5,
        batch_size=1,
        callbacks=[BranchWeights(seen)],
        corruption=None,
    )
    assert moved(seen, 0) == [True, False, False, False]
    assert moved(seen, 1) == [True, True, True, True]


@pytest.mark.parametrize("rule", [AdaptiveFusion(n_heads=2), MeanFusion(n_heads=2)])
def test_every_branch_may_stop(rule):
    seen = []
    network = short_lived([0, 1], fusion=rule)
    run(
        network=network,
        max_epochs=4,
        batch_size=1,
        callbacks=[BranchWeights(seen)],
        corruption=None,
    )
    # Where nothing else learns, training ends with the branches.
    expected = [True] if isinstance(rule, MeanFusion) else [True, False, False]
    assert moved(seen, 0) == moved(seen, 1) == expected


def test_training_leaves_what_may_learn_as_it_was():
    network = short_lived([0])
    before = {name: p.requires_grad for name, p in network.named_parameters()}
    run(network=network, max_epochs=4, batch_size=1)
    assert {n: p.requires_grad for n, p in network.named_parameters()} == before


def test_training_is_reproducible_to_the_bit():
    one, two = run(), run()
    for a, b in zip(one.module_.parameters(), two.module_.parameters(), strict=True):
        assert torch.equal(a, b)


def test_trained_net_carries_no_rows():
    few, many = make_dataset(30, seed=1), make_dataset(3000, seed=1)
    sizes = [len(pickle.dumps(run(valid, batch_size=3000))) for valid in (few, many)]
    assert sizes[1] < sizes[0] + 1000


def test_bar_shows_epochs_and_losses(capsys):
    run(valid=make_dataset(30, seed=1), verbose=1)
    shown = capsys.readouterr()
    assert "4/4" in shown.err
    assert "train=" in shown.err
    assert "valid=" in shown.err
    assert not shown.out


def test_silent_unless_asked(capsys):
    run(valid=make_dataset(30, seed=1))
    shown = capsys.readouterr()
    assert not shown.out
    assert not shown.err


# ---------------------------------------------------------------- the rest


def test_device_auto_is_the_cpu_unless_there_is_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == "cuda"
    assert resolve_device("cuda:1") == "cuda:1"
