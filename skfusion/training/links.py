"""Links: what the outputs of a model stand for, and how wrong they are.

Classes, of which a row has one, are outputs under a softmax; labels, of which it may
have several, under a sigmoid each; numbers are outputs as they are. A link has no
state. What networks, base models, mixing step and gate know of the kind of the target
is here.

**Shape**: logits (n, ..., C); y (n,) of class indices, or (n, C) of labels 0 and 1 or
of standardised numbers.

References
----------
McCullagh and Nelder (1989), "Generalized linear models", on links.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import entr, expit, log_softmax, logit, softmax
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

__all__ = ["Identity", "Link", "Sigmoid", "Softmax"]

#: Rows of the same labels from which they are a stratum of their own.
STRATUM_ROWS = 10


class Link(ABC):
    """What the outputs stand for.

    Attributes
    ----------
    is_classification : bool
        Whether outputs are probabilities, of which there are shares in the rows.
    """

    is_classification: ClassVar[bool] = True

    @abstractmethod
    def mean(self, logits: NDArray[Any]) -> NDArray[Any]:
        """Expected values: probabilities, or the numbers themselves."""

    @abstractmethod
    def logits(self, mean: NDArray[Any]) -> NDArray[Any]:
        """Logits whose expected values these are."""

    @abstractmethod
    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """Loss of each row, (n, ..., C) -> (n, ...): of several outputs the mean."""

    def row_loss(self, logits: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
        """The loss of arrays, (n, C) -> (n,)."""
        return self.loss(torch.from_numpy(logits), torch.from_numpy(y)).numpy()

    def centre(self, logits: NDArray[Any]) -> NDArray[Any]:
        """Logits without what adds the same to all outputs and so changes nothing."""
        return logits

    def size(
        self, added: NDArray[np.float64], logits: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Size of what was added to the logits, (n, ..., C) -> (n, ...): the mean."""
        return np.abs(added).mean(axis=-1)

    @abstractmethod
    def gate_columns(
        self, p: NDArray[np.float64], others: NDArray[np.float64]
    ) -> list[NDArray[np.float64]]:
        """How sure a source is, and last its agreement with others, each (n, S).

        Parameters
        ----------
        p, others : ndarray (n, S, C), what it expects, and what the others do
        """

    def counts(
        self, y: NDArray[Any], classes: NDArray[Any] | None = None
    ) -> NDArray[np.int64] | None:
        """Rows of each class or label, of targets that are not encoded."""
        return None

    def strata(self, y: NDArray[Any]) -> NDArray[np.intp] | None:
        """Number of the stratum of each row, (n,): what folds should have alike."""
        return None

    @abstractmethod
    def scores(
        self, logits: NDArray[np.float64], y: NDArray[Any], w: NDArray[np.float64]
    ) -> dict[str, float]:
        """Scores of rows whose weights `w` sum to 1, for the model card."""


class Softmax(Link):
    """Classes of which each row has one; logits are centred log-probabilities."""

    def mean(self, logits: NDArray[Any]) -> NDArray[Any]:
        return softmax(logits, axis=-1)

    def logits(self, mean: NDArray[Any]) -> NDArray[Any]:
        return np.log(mean)

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        index = y.view(-1, *[1] * (logits.dim() - 1)).expand(*logits.shape[:-1], 1)
        return -logits.log_softmax(dim=-1).gather(-1, index).squeeze(-1)

    def centre(self, logits: NDArray[Any]) -> NDArray[Any]:
        return logits - logits.mean(axis=-1, keepdims=True)

    def size(
        self, added: NDArray[np.float64], logits: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The mean over the classes, and of that and of the class that is predicted.

        That class alone is what the answer hangs on, and would make nothing of who only
        speaks against the others.
        """
        each = np.abs(added)
        answer = logits.argmax(axis=-1).reshape(-1, *[1] * (added.ndim - 1))
        chosen = np.take_along_axis(each, answer, axis=-1)[..., 0]
        return (each.mean(axis=-1) + chosen) / 2

    def gate_columns(
        self, p: NDArray[np.float64], others: NDArray[np.float64]
    ) -> list[NDArray[np.float64]]:
        """Log-odds of the most probable class, entropy, probability of agreement."""
        top = np.minimum(p.max(axis=-1), 1 - 1e-6)
        entropy = entr(p).sum(axis=-1) / np.log(p.shape[-1])
        return [np.log(top / (1 - top)), entropy, (p * others).sum(axis=-1)]

    def counts(
        self, y: NDArray[Any], classes: NDArray[Any] | None = None
    ) -> NDArray[np.int64]:
        classes = np.unique(y) if classes is None else classes
        return np.bincount(np.searchsorted(classes, y), minlength=len(classes))

    def strata(self, y: NDArray[Any]) -> NDArray[np.intp]:
        return y

    def scores(
        self, logits: NDArray[np.float64], y: NDArray[Any], w: NDArray[np.float64]
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


class Sigmoid(Link):
    """Labels of which each row may have several; logits are the log-odds of each."""

    def mean(self, logits: NDArray[Any]) -> NDArray[Any]:
        return expit(logits)

    def logits(self, mean: NDArray[Any]) -> NDArray[Any]:
        return logit(mean)

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        y = _beside(y, logits).to(logits.dtype)
        each = binary_cross_entropy_with_logits(
            logits, y.expand_as(logits), reduction="none"
        )
        return each.mean(dim=-1)

    def gate_columns(
        self, p: NDArray[np.float64], others: NDArray[np.float64]
    ) -> list[NDArray[np.float64]]:
        """Those of two classes, of the labels on average."""
        columns = Softmax().gate_columns(
            np.stack([1 - p, p], axis=-1), np.stack([1 - others, others], axis=-1)
        )
        return [column.mean(axis=-1) for column in columns]

    def counts(
        self, y: NDArray[Any], classes: NDArray[Any] | None = None
    ) -> NDArray[np.int64]:
        return y.sum(axis=0)

    def strata(self, y: NDArray[Any]) -> NDArray[np.intp]:
        """The frequent combinations of labels, and all others as one more."""
        _, found, count = np.unique(y, axis=0, return_inverse=True, return_counts=True)
        rare = (count < STRATUM_ROWS)[found]
        rest = len(count) if rare.sum() >= STRATUM_ROWS else count.argmax()
        return np.where(rare, rest, found)

    def scores(
        self, logits: NDArray[np.float64], y: NDArray[Any], w: NDArray[np.float64]
    ) -> dict[str, float]:
        right = (logits > 0) == (y > 0)
        return {
            "accuracy (all labels right)": float(w @ right.all(axis=1)),
            "accuracy of a label": float((w @ right).mean()),
            "log-loss of a label": float(w @ self.row_loss(logits, y)),
        }


class Identity(Link):
    """Numbers, standardised."""

    is_classification = False

    def mean(self, logits: NDArray[Any]) -> NDArray[Any]:
        return logits

    def logits(self, mean: NDArray[Any]) -> NDArray[Any]:
        return mean

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        y = _beside(y, logits)
        return (logits - y).square().mean(dim=-1)

    def gate_columns(
        self, p: NDArray[np.float64], others: NDArray[np.float64]
    ) -> list[NDArray[np.float64]]:
        """Distance from the mean of the target, and from the others."""
        distance = np.sqrt(((p - others) ** 2).mean(axis=-1))
        return [np.abs(p).mean(axis=-1), distance]

    def scores(
        self, logits: NDArray[np.float64], y: NDArray[Any], w: NDArray[np.float64]
    ) -> dict[str, float]:
        error = y - logits
        squares, spread = w @ error**2, w @ (y - w @ y) ** 2
        r2 = np.divide(squares, spread, out=np.zeros_like(squares), where=spread > 0)
        return {
            "R2": float(np.mean(1 - r2)),
            "RMSE": float(np.sqrt(squares).mean()),
            "MAE": float((w @ np.abs(error)).mean()),
        }


def _beside(y: Tensor, logits: Tensor) -> Tensor:
    """Targets (n, C), or (n,) of one, with the axes of logits (n, ..., C)."""
    width = y.shape[1] if y.dim() > 1 else 1
    return y.view(len(y), *[1] * (logits.dim() - 2), width)
