"""What holds of the encoders of sound and of series alike."""

import numpy as np
import pytest
import torch
from sklearn.base import clone

from skfusion.batch import block_tensors
from skfusion.modalities import AudioModality, SeriesModality

RATE = 8000  # Hz


def inputs(block):
    return block_tensors(block, np.arange(len(block)))


def encoder(modality):
    torch.manual_seed(0)
    return modality.build_encoder(24, 0.0).eval()


def sounds(rng):
    return [(rng.normal(size=1600 + 800 * i), RATE) for i in range(6)]


def series(rng):
    return [rng.normal(size=(2, 20 + 18 * i)).cumsum(axis=1) for i in range(6)]


@pytest.fixture(
    params=[(AudioModality(n_mels=32), sounds), (SeriesModality(), series)],
    ids=["audio", "series"],
)
def fitted_and_cells(request):
    """A modality, and the seven cells that it was fitted on, the last one absent."""
    modality, make = request.param
    cells = [*make(np.random.default_rng(0)), None]
    return clone(modality).fit(cells), cells


def test_augmentation_works_in_training_only(fitted_and_cells):
    fitted, cells = fitted_and_cells
    batch = inputs(fitted.transform(cells))
    net = encoder(fitted)
    assert torch.equal(net(batch)[0], net(batch)[0])
    net.train()
    assert not torch.equal(net(batch)[0][:, :4], net(batch)[0][:, :4])
    for _ in range(20):
        tokens, mask = net(batch)
        assert torch.isfinite(tokens).all()
        assert mask.any(dim=1).all()
    plain = clone(fitted).set_params(augment=False).fit(cells)
    still = encoder(plain).train()
    assert torch.equal(still(batch)[0], still(batch)[0])


def test_gradients_reach_every_parameter(fitted_and_cells):
    fitted, cells = fitted_and_cells
    net = encoder(fitted).train()
    net(inputs(fitted.transform(cells)))[0].square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())
