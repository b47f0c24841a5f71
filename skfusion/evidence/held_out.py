"""How well rows were predicted, and by what: a few numbers of many rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skfusion.training.folds import NetworkFold
from skfusion.training.links import Link
from skfusion.training.splits import Split, held_out_rows

__all__ = ["Summary", "of_networks", "summarise"]


class Summary(NamedTuple):
    """Scores of rows, and what their predictions relied on, on average.

    n_rows : int
    scores : dict of str to float
        Those of the link; "RMSE" and "MAE" in standard deviations of the target. Empty
        where the answers are unknown.
    weights : ndarray (M,), mean weight of each modality
    joint_share : float, or None where there is no joint part to speak of
    """

    n_rows: int
    scores: dict[str, float]
    weights: NDArray[np.float64]
    joint_share: float | None


def summarise(
    logits: NDArray[np.float64],
    weights: NDArray[np.float64],
    joint_share: NDArray[np.float64] | None,
    y: NDArray[Any] | None,
    row_weight: NDArray[np.float64] | None = None,
    *,
    link: Link,
) -> Summary:
    """Summary of n rows.

    Parameters
    ----------
    logits : ndarray (n, C)
    weights : ndarray (n, M)
    joint_share : ndarray (n,), or None
    y : ndarray (n,) of class indices, or (n, C) standardised, or None
    row_weight : ndarray (n,), optional
    """
    w = np.ones(len(logits)) if row_weight is None else row_weight
    scores: dict[str, float] = {}
    if y is not None:
        scores = link.scores(logits, y, w / w.sum())
    shares = None if joint_share is None else float(np.average(joint_share, weights=w))
    return Summary(len(logits), scores, np.average(weights, axis=0, weights=w), shares)


def of_networks(
    folds: Sequence[NetworkFold],
    splits: Sequence[Split],
    y: NDArray[Any],
    row_weight: NDArray[np.float64],
    *,
    link: Link,
) -> Summary | None:
    """Summary of what networks say of rows held out from them; None without any."""
    if not folds[0].predicted:
        return None
    clean = [fold.predicted[0] for fold in folds]
    at = held_out_rows(splits)
    return summarise(
        np.concatenate([p.logits for p in clean]),
        np.concatenate([p.weights for p in clean]),
        None,
        y[at],
        row_weight[at],
        link=link,
    )
