"""What the experts say of single modalities, stacked: a sum with a term for each."""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor

__all__ = ["Stack"]

#: C of the linear model: of .03, .1 and .3 none was better on all sets.
STRENGTH = 0.1


class Stack(NamedTuple):
    """Logistic regression on what is said of single modalities.

    It learns from many rows (all training rows, each judged by experts that did not
    learn from it) how far the modalities repeat one another and which classes each
    takes for which. Being linear, it is a sum with one term for each modality, and
    each term can be weighed by how far its modality is trusted.

    center : Tensor (M, S, C), what is usually said; what is not said counts as that
    coef : Tensor (M, S, C, C)
    intercept : Tensor (C,)

    References
    ----------
    Wolpert (1992), "Stacked generalization".
    """

    center: Tensor
    coef: Tensor
    intercept: Tensor

    def __call__(self, words: Any) -> Tensor:
        """The terms (n, M, C) of words of the slots (n, W, S, C), NaN where silent."""
        M = len(self.center)
        x = torch.as_tensor(words)[:, :M].log_softmax(dim=-1)
        terms = torch.einsum(
            "nmsc,mscd->nmd", (x - self.center).nan_to_num(), self.coef
        )
        return terms + self.intercept / M

    @classmethod
    def fit(cls, words: Tensor, y: Tensor, weight: Tensor) -> Stack:
        """Learn from the words (n, M, S, C) of rows that their speakers did not see."""
        x = words.log_softmax(dim=-1)
        there = ~x.isnan()
        center = x.nan_to_num().sum(dim=0) / there.sum(dim=0).clamp_min(1)
        n, M, S, C = x.shape
        flat = (x - center).nan_to_num().reshape(n, -1).numpy()
        coef, intercept = _fit(flat, y.numpy(), weight.numpy(), C)
        by_slot = torch.from_numpy(coef).reshape(C, M, S, C).permute(1, 2, 3, 0)
        return cls(center, by_slot, torch.from_numpy(intercept))


def _fit(
    x: NDArray[np.float64], y: NDArray[Any], weight: NDArray[Any], n_classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coefficients (n_classes, n_features) and intercepts (n_classes,).

    All 0 where the rows are of one class.
    """
    coef, intercept = np.zeros((n_classes, x.shape[1])), np.zeros(n_classes)
    if len(np.unique(y)) < 2:
        return coef, intercept
    model = LogisticRegression(C=STRENGTH, max_iter=200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message="The number of unique classes")
        model.fit(x, y, weight)
    slopes, starts = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # the log-odds of the second
        slopes = np.concatenate([-slopes, slopes]) / 2
        starts = np.concatenate([-starts, starts]) / 2
    intercept[:] = starts.min() - math.log(len(y))  # of unseen ones
    coef[model.classes_], intercept[model.classes_] = slopes, starts
    return coef, intercept
