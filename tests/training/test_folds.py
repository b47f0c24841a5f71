"""One network a fold: how it is built, and what Ctrl-C leaves of the folds."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from skfusion.fusion import AdaptiveFusion
from skfusion.training.folds import NetworkPlan, build_network, train_folds
from skfusion.training.links import Softmax
from tests.training.made import D, N, make_dataset, make_recipe

ROWS = np.arange(N)
THIRD = ROWS % 3
SPLITS = [(ROWS[f != THIRD], ROWS[f == THIRD]) for f in range(3)]


def plan(**changes):
    return NetworkPlan(
        AdaptiveFusion(n_heads=2),
        torch.zeros(2),
        D,
        0.0,
        make_recipe(**changes),
        early_stopping=False,
        link=Softmax(),
        seed=0,
    )


def folds(plan, splits=SPLITS, **options):
    dataset = make_dataset()
    copies = options.pop("copies", [])
    return train_folds(
        plan, dataset.batch, dataset.y, dataset.weight, splits, copies, **options
    )


def parameters(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def test_building_is_by_the_seed_and_leaves_the_global_generator_alone():
    state = torch.random.get_rng_state()
    batch = make_dataset().batch
    one, two, other = (build_network(plan(), batch, N, seed) for seed in (0, 0, 1))
    assert torch.equal(parameters(one), parameters(two))
    assert not torch.equal(parameters(one), parameters(other))
    assert torch.equal(torch.random.get_rng_state(), state)


def test_every_fold_has_a_network_of_its_own_that_tells_of_held_out_rows():
    batch = make_dataset().batch
    found = folds(plan(max_epochs=2), copies=[batch, batch])
    assert len(found) == 3
    for fold, (_, held) in zip(found, SPLITS, strict=True):
        assert len(fold.history) == 2
        assert not fold.interrupted
        assert len(fold.predicted) == 3  # clean rows, and two copies of them
        assert all(p.logits.shape == (len(held), 2) for p in fold.predicted)
        assert np.array_equal(fold.predicted[0].logits, fold.predicted[1].logits)
    assert not torch.equal(*(parameters(f.network) for f in found[:2]))


def test_held_out_rows_teach_nothing():
    dataset = make_dataset()
    held = SPLITS[0][1]
    turned = dataset.y.clone()
    turned[held] = 1 - turned[held]
    one, two = (
        train_folds(plan(), dataset.batch, y, dataset.weight, SPLITS[:1], [])[0]
        for y in (dataset.y, turned)
    )
    assert torch.equal(parameters(one.network), parameters(two.network))


def test_processes_give_what_one_process_gives():
    alone, spread = folds(plan()), folds(plan(), n_jobs=2)
    for one, two in zip(alone, spread, strict=True):
        assert torch.equal(parameters(one.network), parameters(two.network))
        assert np.array_equal(one.predicted[0].logits, two.predicted[0].logits)


def test_start_is_gone_on_from_and_left_as_it_was():
    first = [fold.network for fold in folds(plan())]
    before = [parameters(network) for network in first]
    again = folds(plan(lr=1e-9), start=first)
    for network, old, fold in zip(first, before, again, strict=True):
        assert fold.network is not network
        assert torch.equal(parameters(network), old)
        torch.testing.assert_close(parameters(fold.network), old, atol=1e-5, rtol=0)


# ---------------------------------------------------------------- Ctrl-C


class CountSteps(Callback):
    """Raises at a training step, counted over all folds."""

    def __init__(self, at):
        self.at, self.seen = at, 0

    def __deepcopy__(self, memo):
        return self  # or each fold would count for itself

    def on_batch_begin(self, net, training=False, **kwargs):
        if training:
            self.seen += 1
            if self.seen == self.at:
                raise KeyboardInterrupt


STEPS = 3  # of one epoch, of 33 or 34 rows in batches of 16


def interrupted_at(epoch, step=2, max_epochs=4):
    """Folds after Ctrl-C in an epoch, counted over all folds from 0."""
    return folds(
        plan(max_epochs=max_epochs, callbacks=[CountSteps(epoch * STEPS + step)])
    )


def test_interrupt_in_the_first_epoch_of_all_goes_on():
    for step in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            interrupted_at(0, step)


def test_interrupt_in_the_first_fold_leaves_its_network():
    (fold,) = interrupted_at(2)
    assert fold.interrupted
    assert len(fold.history) == 2
    assert np.isfinite(fold.predicted[0].logits).all()


@pytest.mark.parametrize("epoch", [4, 6])
def test_interrupt_in_a_later_fold_leaves_those_that_are_finished(epoch):
    found = interrupted_at(epoch)
    assert len(found) == 1
    assert not found[0].interrupted
    whole = folds(plan(), SPLITS[:1])
    assert torch.equal(parameters(found[0].network), parameters(whole[0].network))


def test_interrupt_between_two_folds_leaves_those_that_are_finished(monkeypatch):
    from skfusion.training import folds as module

    real, calls = module._train_fold, []

    def train_fold(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(module, "_train_fold", train_fold)
    assert len(folds(plan(max_epochs=1))) == 2
