"""How well rows were predicted, and by what: a few numbers of many rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from skfusion.training.folds import NetworkFold
from skfusion.training.splits import Split

__all__ = ["Summary", "of_networks", "summarise"]


class Summary(NamedTuple):
    """Scores of rows, and what their predictions relied on, on average.

    n_rows : int
    scores : dict of str to float
        Of a classifier "accuracy", "balanced accuracy" and "log-loss"; of a regressor
        "R2", and "RMSE" and "MAE" in standard deviations of the target. Empty where the
        answers are unknown.
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
    is_classification: bool,
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
        score = _of_classes if is_classification else _of_numbers
        scores = score(logits, y, w / w.sum())
    shares = None if joint_share is None else float(np.average(joint_share, weights=w))
    return Summary(len(logits), scores, np.average(weights, axis=0, weights=w), shares)


def _of_classes(
    logits: NDArray[np.float64], y: NDArray[np.int64], w: NDArray[np.float64]
) -> dict[str, float]:
    right = logits.argmax(axis=1) == y
    there = np.bincount(y, w)
    recall = np.bincount(y, w * right)[there > 0] / there[there > 0]
    log_proba = log_softmax(logits, axis=1)[np.arange(len(y)), y]
    return {
        "accuracy": float(w @ right),
        "balanced accuracy": float(recall.mean()),
        "log-loss": float(-(w @ log_proba)),
    }


def _of_numbers(
    predicted: NDArray[np.float64], y: NDArray[np.float64], w: NDArray[np.float64]
) -> dict[str, float]:
    error = y - predicted
    squares, spread = w @ error**2, w @ (y - w @ y) ** 2
    r2 = np.divide(squares, spread, out=np.zeros_like(squares), where=spread > 0)
    return {
        "R2": float(np.mean(1 - r2)),
        "RMSE": float(np.sqrt(squares).mean()),
        "MAE": float((w @ np.abs(error)).mean()),
    }


def of_networks(
    folds: Sequence[NetworkFold],
    splits: Sequence[Split],
    y: NDArray[Any],
    row_weight: NDArray[np.float64],
    *,
    is_classification: bool,
) -> Summary | None:
    """Summary of what networks say of rows held out from them; None without any."""
    if not folds[0].predicted:
        return None
    said = [fold.predicted[0] for fold in folds]
    at = np.concatenate([held for _, held in splits[: len(folds)]])
    return summarise(
        np.concatenate([p.logits for p in said]),
        np.concatenate([p.weights for p in said]),
        None,
        y[at],
        row_weight[at],
        is_classification=is_classification,
    )
