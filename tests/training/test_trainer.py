"""Training: what is learned, when it ends, and what an interrupt leaves."""

import itertools
import pickle

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from skfusion.fusion import AdaptiveFusion, MeanFusion
from skfusion.training.data import BatchIterator
from skfusion.training.links import Softmax
from skfusion.training.loss import FusionLoss
from skfusion.training.trainer import (
    history_frame,
    interrupted,
    resolve_device,
)
from tests.training.made import make_dataset, make_network, run


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
    loss = FusionLoss(("left", "right"), torch.zeros(2), link=Softmax()).eval()
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


class Interrupt(Callback):
    """Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, net, training=False, **kwargs):
        if training and len(net.history) == self.epoch:
            raise KeyboardInterrupt


def test_interrupt_keeps_the_best_epoch_so_far():
    valid = make_dataset(40, seed=1, flip=1.0)
    net = run(valid, max_epochs=9, lr=0.03, callbacks=[Interrupt(5)])
    losses = [row["valid_loss"] for row in net.history if "valid_loss" in row]
    assert len(losses) == 4
    assert validation_loss(net, valid) == pytest.approx(min(losses), rel=1e-4)


def test_interrupt_is_told_from_the_end_and_from_patience():
    valid = make_dataset(40, seed=1, flip=1.0)
    assert interrupted(run(max_epochs=3, callbacks=[Interrupt(2)]))
    assert not interrupted(run(max_epochs=3))
    assert not interrupted(run(valid, max_epochs=40, lr=0.03, n_iter_no_change=3))


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


class BranchWeights(Callback):
    """Notes the weights of each encoder at the end of every epoch."""

    def __init__(self, seen):
        self.seen = seen

    def on_epoch_end(self, net, **kwargs):
        self.seen.append([e.linear.weight.clone() for e in net.module_.encoders])


def short_lived(which, fusion=None):
    """A network in which some branches ask for two epochs."""
    network = make_network(fusion=fusion)
    for m in which:
        network.max_epochs[m] = 2
    return network


def moved(seen, m):
    return [not torch.equal(a[m], b[m]) for a, b in itertools.pairwise(seen)]


def test_branch_of_few_epochs_stops_while_the_others_learn_on():
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


@pytest.mark.parametrize(
    "rule, expected",
    [
        (AdaptiveFusion(n_heads=2, joint=True), [True, False, False]),
        # Where nothing else learns, training ends with the branches.
        (AdaptiveFusion(n_heads=2, joint=False), [True]),
        (MeanFusion(n_heads=2), [True]),
    ],
    ids=repr,
)
def test_every_branch_may_stop(rule, expected):
    seen = []
    network = short_lived([0, 1], fusion=rule)
    run(
        network=network,
        max_epochs=4,
        batch_size=1,
        callbacks=[BranchWeights(seen)],
        corruption=None,
    )
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


def test_training_touches_no_global_random_state():
    network = make_network()
    state = torch.random.get_rng_state()
    run(network=network)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(getattr(p, "generator", None) is None for p in network.modules())


def test_trained_net_carries_no_rows():
    few, many = make_dataset(30, seed=1), make_dataset(3000, seed=1)
    sizes = [len(pickle.dumps(run(valid, batch_size=3000))) for valid in (few, many)]
    assert sizes[1] < sizes[0] + 1000


# ---------------------------------------------------------------- the rest


def test_device_auto_is_the_cpu_unless_there_is_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == "cuda"
    assert resolve_device("cpu") == "cpu"


@pytest.mark.parametrize("device", ["abacus", "meta", ""])
def test_device_that_cannot_be_used_is_refused_with_the_remedy(device):
    with pytest.raises(ValueError, match=rf"device='{device}'.*device=\"auto\""):
        resolve_device(device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_cuda_without_a_gpu_is_refused(device):
    with pytest.raises(ValueError, match=f"device='{device}' cannot be used"):
        resolve_device(device)
