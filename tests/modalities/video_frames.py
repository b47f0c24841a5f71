"""A new kind of modality in one file: videos, whose elements are their frames.

It stands in for what somebody else may write; the tests of what all modalities have in
common run over it too.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from sklearn.utils.validation import check_is_fitted

from skfusion.batch import Block
from skfusion.modalities.cells import CellModality
from skfusion.modalities.detection import sample_cells
from skfusion.network import Encoder


class VideoModality(CellModality):
    """Videos of any length, each an array (n_frames, height, width) of grey pixels.

    A frame is described by its brightness on a coarse grid.
    """

    short_name = "video"
    slow = True
    has_elements = True
    _cell_name = "video"
    _cell_formats = "an array (n_frames, height, width)"
    grid = 2

    def __init__(self, *, on_error="raise"):
        self.on_error = on_error

    @classmethod
    def detect(cls, column):
        cells = sample_cells(column, 20)
        return bool(cells) and all(
            isinstance(c, np.ndarray) and c.ndim == 3 and c.shape[-1] > 4 for c in cells
        )

    def fit(self, X, y=None):
        block = self._read(X, reset=True)
        frames = block.arrays["frames"][block.arrays["there"] > 0]
        self.mean_, self.sd_ = frames.mean(axis=0), frames.std(axis=0) + 1e-6
        return self

    def transform(self, X):
        check_is_fitted(self)
        block = self._read(X, reset=False)
        z = (block.arrays["frames"] - self.mean_) / self.sd_
        z = (z * block.arrays["there"][..., None]).astype(np.float32)
        return Block({**block.arrays, "frames": z}, block.present)

    def _read(self, X, *, reset):
        _, (cells,), _ = self._columns(X, reset=reset)
        lengths = [0 if cell is None else len(cell) for cell in cells]
        there = np.arange(max(*lengths, 1)) < np.array(lengths)[:, None]
        frames = np.zeros((*there.shape, self.grid**2), dtype=np.float32)
        for i, cell in enumerate(cells):
            if cell is not None:
                n, height, width = cell.shape
                g = self.grid
                coarse = cell[:, : height // g * g, : width // g * g].reshape(
                    n, g, height // g, g, width // g
                )
                frames[i, :n] = coarse.mean(axis=(2, 4)).reshape(n, -1)
        arrays = {"frames": frames, "there": there.astype(np.uint8)}
        return Block(arrays, there.any(axis=1))

    def build_encoder(self, d_model, dropout):
        return VideoEncoder(self.grid**2, d_model)

    def features(self, block):
        there = (block.arrays["there"] > 0) & block.present[:, None]
        z = np.where(there[..., None], block.arrays["frames"], 0)
        n = there.sum(axis=1, keepdims=True).clip(min=1)
        return (z.sum(axis=1) / n).astype(np.float32)

    def elements(self, block, values):
        return [
            pd.Series(v[: there.sum() * here], index=range(there.sum() * here))
            for v, there, here in zip(
                np.asarray(values, dtype=float),
                block.arrays["there"],
                block.present,
                strict=True,
            )
        ]

    def linear_terms(self, block, coef, center):
        there = (block.arrays["there"] > 0) & block.present[:, None]
        n = there.sum(axis=1).clip(min=1)[:, None, None]
        terms = (block.arrays["frames"] - center) @ coef / n
        return np.where(there[..., None], terms, 0.0)

    def hide(self, block, hidden, names):
        frames = block.arrays["frames"].copy()
        width = min(hidden.shape[1], frames.shape[1])
        frames[:, :width][hidden[:, :width]] = 0
        return Block({**block.arrays, "frames": frames}, block.present)

    def content(self, block, row, elements, cells):
        return "bars", elements, {i: f"frame {i}" for i in elements.index}


class VideoEncoder(Encoder):
    """One linear layer a frame; frames (B, T, F) to tokens (B, T, D)."""

    def __init__(self, width, d_model):
        super().__init__()
        self.linear = torch.nn.Linear(width, d_model)

    def forward(self, inputs):
        mask = inputs["there"] > 0
        mask[:, 0] |= ~mask.any(dim=1)
        return self.linear(inputs["frames"].to(self.linear.weight.dtype)), mask


def videos(n, rng, bright=None):
    """Videos of random length; where `bright`, one frame is brighter than the rest."""
    out = [rng.normal(size=(rng.integers(3, 9), 8, 8)) for _ in range(n)]
    for i in np.flatnonzero(bright) if bright is not None else ():
        out[i][rng.integers(len(out[i]))] += 3
    return out
