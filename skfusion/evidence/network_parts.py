"""What networks say of tokens, and how their joint part is shared out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skfusion.batch import ModalityBatch
from skfusion.evidence.base_models import Task
from skfusion.network import FusionNetwork
from skfusion.training.inference import joint_of_subset, run
from skfusion.training.links import Link

__all__ = ["joint_shapley", "padded_sum", "token_contributions"]


def token_contributions(
    networks: Sequence[FusionNetwork],
    batch: ModalityBatch,
    m: int,
    *,
    link: Link,
) -> NDArray[np.float64]:
    """What each token of modality m adds to its evidence, (n, T, C)."""
    total: NDArray[np.float64] = np.zeros((len(batch), 1, 1))
    for network in networks:
        parts = [
            network.token_contributions(m, output.tokens[m])
            .detach()
            .double()
            .cpu()
            .numpy()
            for output in run(network, batch)
        ]
        width = max(part.shape[1] for part in parts)
        padded = np.concatenate([_padded(part, width) for part in parts])
        total = padded_sum(total, padded)
    return link.centre(total) / len(networks)


def padded_sum(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of (n, T, C) whose T differ, the shorter one padded by 0."""
    width = max(a.shape[1], b.shape[1])
    return _padded(a, width) + _padded(b, width)


def _padded(x: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Tokens (n, T, C), padded by 0 to (n, width, C)."""
    return np.pad(x, ((0, 0), (0, width - x.shape[1]), (0, 0)))


def joint_shapley(
    network: FusionNetwork, batch: ModalityBatch, task: Task
) -> NDArray[np.float64]:
    """Shapley values (n, M, C) of what a network's joint part says.

    It counts as saying nothing where fewer than two modalities are present.
    """
    present = batch.present
    n, M = present.shape
    subsets = [np.array(mask) for mask in itertools.product([False, True], repeat=M)]
    joint = joint_of_subset(network, batch, subsets)
    value = {
        tuple(mask): task.link.centre(e) * ((present & mask).sum(axis=1) >= 2)[:, None]
        for mask, e in zip(subsets, joint, strict=True)
    }
    out = np.zeros((n, M, task.n_outputs))
    for mask in subsets:
        k = int(mask.sum())
        for m in np.flatnonzero(~mask):
            weight = 1 / (M * math.comb(M - 1, k))
            wider = mask.copy()
            wider[m] = True
            out[:, m] += weight * (value[tuple(wider)] - value[tuple(mask)])
    return out
