"""Rows and networks small enough to train in a tenth of a second."""

import numpy as np
import torch
from torch import nn

from skfusion.batch import Block, ModalityBatch
from skfusion.corruption import Corruption
from skfusion.fusion import AdaptiveFusion
from skfusion.fusion.base import FusionShape
from skfusion.network import Encoder, FusionNetwork
from skfusion.training.data import BatchDataset
from skfusion.training.links import Softmax
from skfusion.training.trainer import Recipe, train

N, D = 50, 8
NAMES = ("left", "right")


class LinearEncoder(Encoder):
    def __init__(self, width, d_model=D):
        super().__init__()
        self.linear = nn.Linear(width, d_model)

    def forward(self, inputs):
        h = self.linear(inputs["x"]).unsqueeze(1)
        return h, h.new_ones(h.shape[:2], dtype=torch.bool)


class LinearModality:
    """As much of a modality as the training asks for."""

    def build_encoder(self, d_model, dropout):
        return LinearEncoder(1, d_model)


def make_dataset(n=N, seed=0, flip=0.0):
    """Two modalities, with the row's number beside, so that rows can be told."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] > 0) ^ (rng.random(n) < flip)
    ids = np.arange(n, dtype=np.int64)[:, None]
    present = np.ones((2, n), dtype=bool)
    present[0, ::5], present[1, 1::5] = False, False
    blocks = {
        name: Block({"x": x[:, m : m + 1], "id": ids}, present[m])
        for m, name in enumerate(NAMES)
    }
    batch = ModalityBatch(blocks, {name: LinearModality() for name in NAMES})
    return BatchDataset(batch, torch.from_numpy(y.astype(np.int64)), torch.ones(n))


def make_network(seed=0, n=N, fusion=None):
    torch.manual_seed(seed)
    shape = FusionShape(2, D, 2, n)
    return FusionNetwork(
        [LinearEncoder(1), LinearEncoder(1)],
        (fusion or AdaptiveFusion(n_heads=2)).build(shape),
        d_model=D,
        prior=torch.zeros(2),
        n_heads=2,
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


def run(valid=None, network=None, dataset=None, **changes):
    """Train; the network is the net's `module_`."""
    generator = torch.Generator().manual_seed(0)
    return train(
        network or make_network(),
        dataset or make_dataset(),
        valid,
        make_recipe(**changes),
        generator,
        generator,
        link=Softmax(),
    )
