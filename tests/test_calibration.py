import copy
import math

import numpy as np
import pytest
import torch

from skfusion.calibration import calibrate
from skfusion.corruption import Corruption
from skfusion.training import BatchIterator, FusionLoss
from tests.test_training import make_dataset, make_network, run


@pytest.fixture
def network():
    return run(max_epochs=10).module_.eval()


@pytest.fixture
def held_out():
    return make_dataset(400, seed=1, flip=0.2)


def fit(network, dataset, corruption=None, *, is_classification=True):
    torch.manual_seed(0)
    return calibrate(network, dataset, corruption, is_classification=is_classification)


def loss_of(network, dataset, temperature=1.0):
    loss = FusionLoss(("left", "right"), is_classification=True).eval()
    ((x, target),) = BatchIterator(dataset, len(dataset))
    with torch.no_grad():
        output = network(**x)
        return loss(output._replace(logits=output.logits / temperature), target).item()


def sharpen(network, factor, names=("left", "right")):
    """Make what modalities say `factor` times as sure."""
    with torch.no_grad():
        for m, name in enumerate(("left", "right")):
            if name in names:
                network.heads[m].weight.mul_(factor)
                network.heads[m].bias.mul_(factor)


def test_held_out_rows_are_predicted_better_afterwards(network, held_out):
    sharpen(network, 10.0)
    before = loss_of(network, held_out)
    temperature, _ = fit(network, held_out)
    assert loss_of(network, held_out, temperature) < before - 0.05


def test_only_the_calibration_parameters_change(network, held_out):
    before = copy.deepcopy(network.state_dict())
    fit(network, held_out)
    changed = {
        name
        for name, value in network.state_dict().items()
        if not torch.equal(value, before[name])
    }
    ours = {id(p) for p in network.fusion.calibration_parameters()}
    allowed = {name for name, p in network.named_parameters() if id(p) in ours}
    assert changed
    assert changed <= allowed


def test_temperature_of_a_modality_undoes_its_overconfidence(network, held_out):
    _, plain = fit(copy.deepcopy(network), held_out)
    sharpen(network, 4.0, names=["right"])
    _, sharp = fit(network, held_out)
    assert plain.shape == sharp.shape == (2,)
    assert sharp[1] > 2 * plain[1]
    assert sharp[0] == pytest.approx(plain[0], rel=1e-3)


def test_few_rows_move_little(network):
    sharpen(network, 10.0)
    _, few = fit(copy.deepcopy(network), make_dataset(4, seed=1, flip=0.5))
    _, many = fit(network, make_dataset(400, seed=1, flip=0.5))
    assert np.abs(np.log(few)).max() < np.abs(np.log(many)).max()


def test_two_calibrations_are_equal_to_the_bit(network, held_out):
    other = copy.deepcopy(network)
    one = fit(network, held_out, Corruption())
    two = fit(other, held_out, Corruption())
    assert one[0] == two[0]
    assert np.array_equal(one[1], two[1])
    for a, b in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_network_keeps_its_dtype_and_mode(network, held_out):
    fit(network, held_out, Corruption())
    assert not network.training
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_nothing_is_left_to_learn_by_accident(network, held_out):
    learnable = {n: p.requires_grad for n, p in network.named_parameters()}
    fit(network, held_out)
    assert {n: p.requires_grad for n, p in network.named_parameters()} == learnable


def test_rows_without_any_modality_teach_nothing(network):
    dataset, other = make_dataset(60, seed=1), make_dataset(60, seed=1)
    for d in (dataset, other):
        d.present[::3] = False
    other.y[::3] = 1 - other.y[::3]
    copied = copy.deepcopy(network)
    assert fit(network, dataset)[0] == fit(copied, other)[0]


def test_rows_that_are_all_without_any_modality_change_nothing(network):
    dataset = make_dataset(20, seed=1)
    dataset.present[:] = False
    before = copy.deepcopy(network.state_dict())
    temperature, alone = fit(network, dataset)
    assert temperature == 1.0
    assert (alone == 1.0).all()
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_weights_count(network):
    dataset, half = make_dataset(200, 1, 0.3), make_dataset(200, 1, 0.3)
    rows = torch.arange(200) < 100
    half.weight = rows.float()
    one = fit(copy.deepcopy(network), half)
    two = fit(network, dataset)
    assert one[0] != two[0]


def test_regression_has_no_temperature(held_out):
    held_out.y = torch.randn(400, 2)
    temperature, alone = fit(make_regressor(), held_out, is_classification=False)
    assert temperature == 1.0
    assert (alone == 1.0).all()


def make_regressor():
    from skfusion.fusion import MeanFusion
    from skfusion.fusion.base import FusionShape

    network = make_network().eval()
    network.fusion = MeanFusion().build(FusionShape(2, 8, 2, 2, 50, False, 0.0))
    return network


def test_temperature_is_finite_where_every_row_is_right(network):
    dataset = make_dataset(100, seed=1)
    temperature, alone = fit(network, dataset)
    assert math.isfinite(temperature)
    assert np.isfinite(alone).all()
