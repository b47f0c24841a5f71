"""Learning batch by batch.

Networks go on from their weights, linear models from their coefficients; trees of the
batch join those of the batches before. Each batch is split as the rows of a fit are: on
what is held out within it, mixing step and gate are fitted, by a prior around the
former ones. No row is kept.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from skfusion._defaults import automatic_folds, batch_recipe
from skfusion._sklearn import with_callbacks
from skfusion.estimator.base import BaseFusion
from skfusion.estimator.card import TrainingRows, versions
from skfusion.evidence.learn import Learned
from skfusion.training.splits import Split, distinct_rows
from skfusion.training.threads import one_thread

__all__ = ["PartialFit"]


class PartialFit(BaseFusion):
    """Adds to the estimators that they can learn from one batch after another."""

    @abstractmethod
    def _update_prior(
        self, target: NDArray[Any], weight: NDArray[np.float64], share: float
    ) -> tuple[Tensor, NDArray[np.float64]]:
        """The output without evidence, and the weights of a further batch's rows.

        Parameters
        ----------
        target : ndarray (n,) of class indices, or (n, C) of labels or standardised
        weight : ndarray (n,)
        share : float
            Of all rows so far, those of this batch.

        Returns
        -------
        prior : Tensor (C,)
        weight : ndarray (n,), with those of classes, 1 on average
        """

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any) -> Self:
        """A first fit, or one more batch."""
        if self.__sklearn_is_fitted__():
            return self._all_or_nothing("_fit_more", X, y, sample_weight)
        return self._all_or_nothing("_fit", X, y, sample_weight, None)

    @with_callbacks
    def _fit_more(self, X: Any, y: Any, sample_weight: Any) -> None:
        """The steps of learning from a further batch."""
        X = self._check_X(X, reset=False)
        X, y, weight, _ = self._check_rows(X, y, sample_weight, None)
        target = self._truth(y, len(y))  # classes must be known
        rule, seed = self._check_parameters()
        self._check_structure(rule, len(self.networks_[0].prior), "partial_fit")
        batch = self._transform(X)
        self._check_modalities(batch, "partial_fit")
        more = len(y) if weight is None else float(weight.sum())
        self._seen, share = self._seen + more, more / (self._seen + more)
        present = batch.present.mean(axis=0)
        batch = batch.in_order(self._names)
        distinct = distinct_rows(batch, y, weight, None)
        batch, target = batch[distinct.rows], target[distinct.rows]
        prior, weights = self._update_prior(target, distinct.weight, share)
        learned = Learned(
            batch,
            torch.from_numpy(target if target.ndim == 1 else target.astype(np.float32)),
            weights,
            prior,
            self._batch_splits(target, seed),
        )
        former, history = self._model, self.history_
        n_folds = len(learned.splits)
        tasks = self._tasks(X, y, weight, batch, distinct, n_folds)
        with one_thread(), tasks as folds:
            plan = self._network_plan(learned, rule, seed)
            plan = plan._replace(recipe=batch_recipe(plan.recipe, share))
            self._learn(learned, plan, folds, former=former, share=share)
        self.history_.index += len(history)
        self.history_ = pd.concat([history, self.history_])
        self.n_iter_ = len(self.history_)
        counts = self._link.counts(y, getattr(self, "classes_", None))
        self._rows = _joined(self._rows, len(y), len(batch), counts, present)

    def _batch_splits(self, target: NDArray[Any], seed: int) -> list[Split]:
        """For each network, rows of the batch to learn from, and those held out."""
        n, n_networks = len(target), len(self.networks_)
        if automatic_folds(n, slow=False) == 0 or n < 2 * n_networks:
            return [(np.arange(n), np.arange(0))] * n_networks
        return self._split(target, n_networks, seed)


def _joined(
    rows: TrainingRows,
    n_rows: int,
    n_distinct: int,
    counts: NDArray[np.int64] | None,
    present: NDArray[np.float64],
) -> TrainingRows:
    """What is noted of the rows so far, and of those of one more batch."""
    total = rows.n_rows + n_rows
    return TrainingRows(
        total,
        rows.n_distinct + n_distinct,
        None if counts is None or rows.counts is None else rows.counts + counts,
        (rows.present * rows.n_rows + present * n_rows) / total,
        versions(),
    )
