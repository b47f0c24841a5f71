"""What a fitted model says of rows, and what each modality has to do with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skfusion.batch import ModalityBatch
from skfusion.calibration import Calibration
from skfusion.ensemble import Fold, listen, mean_said
from skfusion.experts import summaries

__all__ = ["Outputs", "model_outputs"]

#: Up to this many rows, prediction runs in float64: the answer for a row then does not
#: depend, to 1e-7, on which rows come with it. Above, float32 is several times faster.
EXACT_ROWS = 256


class Outputs(NamedTuple):
    """The model's word on n rows.

    logits : ndarray (n, C)
    unimodal : ndarray (n, M, C), what each modality says alone
    weights : ndarray (n, M)
    parts : ndarray (n, M, C), what each modality added to the logits
    attention : list of M ndarray (n, T)
    """

    logits: NDArray[np.float64]
    unimodal: NDArray[np.float64]
    weights: NDArray[np.float64]
    parts: NDArray[np.float64]
    attention: list[NDArray[np.float64]]

    @property
    def joint(self) -> NDArray[np.float64]:
        """What belongs to no single modality, (n, C)."""
        return self.logits - self.parts.sum(axis=1)

    @property
    def joint_share(self) -> NDArray[np.float64]:
        """Share of the output that belongs to no single modality, (n,)."""
        own, joint = _size(self.parts.sum(axis=1)), _size(self.joint)
        return joint / np.maximum(own + joint, 1e-12)

    def in_order(self, order: Sequence[int]) -> Outputs:
        """The same with the modalities in another order."""
        return Outputs(
            self.logits,
            self.unimodal[:, order],
            self.weights[:, order],
            self.parts[:, order],
            [self.attention[m] for m in order],
        )


def model_outputs(
    folds: Sequence[Fold], calibration: Calibration | None, batch: ModalityBatch
) -> Outputs:
    """What the folds say together, weighed by trust.

    The modalities of the batch, and of what is returned, are in the networks' order.
    """
    exact = len(batch) <= EXACT_ROWS and folds[0].device.type != "mps"
    features = summaries(batch)
    said = mean_said([listen(fold, batch, features, exact=exact) for fold in folds])
    M = len(batch.names)
    unimodal = said.words[:, :M, 0]
    weights, parts, logits = said.weights, said.parts, said.logits
    if calibration is not None:
        words = calibration.words(said)
        unimodal = words[:, :M]
        if calibration.trust is None:
            parts = parts / calibration.temperature
            logits = logits / calibration.temperature
        else:
            result = calibration.weigh(said, words)
            logits = result.parts.numpy().sum(axis=1)
            weights, parts = result.weights.numpy()[:, :M], result.parts.numpy()[:, :M]
            total = weights.sum(axis=1, keepdims=True)
            weights = weights / np.where(total > 0, total, 1)
    # A row without evidence keeps the class shares as they are.
    known = np.asarray(batch.present.any(axis=1))
    prior = folds[0].network.prior.double().cpu().numpy()
    logits = np.where(known[:, None], logits, prior)
    parts = np.where(known[:, None, None], parts, 0)
    return Outputs(logits, unimodal, weights, parts, said.attention)


def _size(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean absolute size of logits, centred over classes, (n, C) -> (n,)."""
    if x.shape[-1] > 1:
        x = x - x.mean(axis=-1, keepdims=True)
    return np.abs(x).mean(axis=-1)
