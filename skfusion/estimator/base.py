"""What the classifier and the regressor share: validate, transform, fit, explain."""

from __future__ import annotations

import copy
import math
import warnings
from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import clone
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from skfusion._defaults import automatic_folds
from skfusion._sklearn import (
    VisualBlock,
    default_output,
    fit_context,
    with_callbacks,
)
from skfusion._validation import (
    check_groups,
    check_same_length,
    check_weights,
    is_numeric,
)
from skfusion.batch import ModalityBatch
from skfusion.corruption import Corruption
from skfusion.estimator.callbacks import Callbacks
from skfusion.estimator.card import TrainingRows, versions
from skfusion.estimator.diagram import diagram
from skfusion.estimator.explanations import Explanations
from skfusion.estimator.parameters import FUSIONS, Parameters
from skfusion.estimator.warm_start import WarmStart
from skfusion.evidence.learn import Learned, learn
from skfusion.evidence.outputs import EvidenceModel, NetworkModel
from skfusion.modalities.columns import object_rows, take_rows
from skfusion.modalities.output import check_modalities_known
from skfusion.modalities.resolution import check_frame
from skfusion.modalities.transformer import ModalityTransformer
from skfusion.network import FusionNetwork
from skfusion.training.folds import NetworkPlan, forget_checkpoints
from skfusion.training.splits import Split, distinct_rows, split_rows
from skfusion.training.tasks import FoldTask
from skfusion.training.threads import one_thread

__all__ = ["BaseFusion"]


class BaseFusion(Callbacks, WarmStart, Explanations, Parameters, ABC):
    """Base of `FusionClassifier` and `FusionRegressor`."""

    @abstractmethod
    def _check_y(self, y: Any) -> NDArray[Any]:
        """Validate the target, without encoding it."""

    @abstractmethod
    def _as_learned(self, y: NDArray[Any]) -> NDArray[Any]:
        """Further targets as what was learned: indices, labels, or standardised."""

    @abstractmethod
    def _encode_target(
        self, y: NDArray[Any], weight: NDArray[np.float64]
    ) -> tuple[Tensor, Tensor, NDArray[np.float64]]:
        """Encode `y`; tell the output without evidence, and the weights of the rows.

        Returns
        -------
        target : Tensor (n_samples,) of class indices, or (n_samples, C) of labels or
            standardised
        prior : Tensor (C,)
        weight : ndarray (n_samples,), with those of classes, 1 on average
        """

    # ------------------------------------------------------------ fit

    @fit_context(prefer_skip_nested_validation=False)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None
    ) -> Self:
        """Learn from rows.

        A fit that fails, or that Ctrl-C ends before anything is learned, leaves the
        estimator as it was.

        Parameters
        ----------
        X : DataFrame, array of shape (n_samples, n_features), or ModalityBatch
            A batch is what `ModalityTransformer` returns, as in a `Pipeline`.
        y : array-like of shape (n_samples,), or (n_samples, n_targets)
            Of a classifier, several columns are an indicator of labels, 0 or 1.
        sample_weight : array-like of shape (n_samples,), optional
            Factors: a weight of 2 is the same as the row twice, and only ratios count.
        groups : array-like of shape (n_samples,), optional
            Rows of one group (those of one patient, say) are never both learned from
            and held out. Identical rows are not either. Categories that stand in the
            rows of a single group are unknown.

        Returns
        -------
        self : object
        """
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is "
                "None."
            )
        return self._all_or_nothing("_fit", X, y, sample_weight, groups)

    def _all_or_nothing(self, steps: str, *given: Any) -> Self:
        """Run steps of learning on a copy, and take what came of them when all is."""
        fresh = copy.copy(self)
        getattr(fresh, steps)(*given)
        self.__dict__.update(fresh.__dict__)
        return self

    @with_callbacks
    def _fit(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> None:
        """The steps of a fit, on a copy of the estimator that nobody else has."""
        again = self.warm_start and self.__sklearn_is_fitted__()
        X = self._check_X(X, reset=True)
        X, y, weight, groups = self._check_rows(X, y, sample_weight, groups)
        # What cannot be learned is refused before the modalities are fitted.
        ones = np.ones(len(y)) if weight is None else weight
        self._seen = float(ones.sum())
        _, prior, _ = self._encode_target(y, ones)
        counts = self._link.counts(y, getattr(self, "classes_", None))
        rule, seed = self._check_parameters()
        if again:
            self._check_structure(rule, len(prior))
        batch = self._transform(X) if again else self._fit_modalities(X, y, groups)
        if again:
            self._check_modalities(batch)
        self.modality_names_ = batch.names
        present = batch.present.mean(axis=0)
        batch = batch.in_order(self._names)
        distinct = distinct_rows(batch, y, weight, groups)
        self._rows = TrainingRows(
            len(y), len(distinct.rows), counts, present, versions()
        )
        batch = batch[distinct.rows]
        target, prior, weights = self._encode_target(y[distinct.rows], distinct.weight)
        splits = self._splits(batch, target, seed, distinct.group)
        learned = Learned(batch, target, weights, prior, splits)
        start = self._model.networks if again else None
        tasks = self._tasks(X, y, weight, batch, distinct, len(splits))
        with one_thread(), tasks as folds:
            plan = self._network_plan(learned, rule, seed)
            self._learn(learned, plan, folds, start)
        self._built = self._structure(rule)

    def _learn(
        self,
        learned: Learned,
        plan: NetworkPlan,
        tasks: list[FoldTask] | None,
        start: list[FusionNetwork] | None = None,
        former: EvidenceModel | NetworkModel | None = None,
        share: float = 1.0,
    ) -> None:
        """Learn from the rows, and keep what came of it."""
        corruption = plan.recipe.corruption
        if corruption is not None and isinstance(self.corruption, str):
            # Trust is learned from few rows: more of them are corrupted.
            corruption = Corruption(p_corrupt=0.3)
        own = () if isinstance(self.base_models, str) else self.base_models
        folds, self._model = learn(
            learned,
            plan,
            base_models=own,
            corruption=corruption,
            start=start,
            former=former,
            share=share,
            tasks=tasks,
            n_jobs=self.n_jobs,
        )
        forget_checkpoints(folds, len(learned.splits))
        self.history_ = folds[0].history
        self.n_iter_ = len(self.history_)
        self.networks_ = [fold.network for fold in folds]

    def _check_rows(
        self, X: Any, y: Any, sample_weight: Any, groups: Any
    ) -> tuple[Any, NDArray[Any], NDArray[np.float64] | None, NDArray[Any] | None]:
        """Validate what comes with `X`; leave out rows of weight 0."""
        y = self._check_y(y)
        n = X.shape[0]
        check_same_length(n, y)
        weight = check_weights(sample_weight, X)
        groups = check_groups(groups, n)
        if weight is not None and not (weight > 0).all():
            used = np.flatnonzero(weight > 0)
            X, y, weight = take_rows(X, used), y[used], weight[used]
            groups = None if groups is None else groups[used]
        return X, y, weight, groups

    def _check_X(self, X: Any, *, reset: bool) -> Any:
        """Validate what can be said before the modalities look at their columns."""
        if isinstance(X, ModalityBatch):
            if reset:
                self.n_features_in_ = X.shape[1]
            elif X.names != self.modality_names_:
                raise ValueError(
                    f"{type(self).__name__} was fitted on the modalities "
                    f"{self.modality_names_}, but got {X.names}."
                )
            return X
        check_modalities_known(self, X, reset=reset)
        if hasattr(X, "columns") and hasattr(X, "shape"):
            check_frame(X)
            if reset:
                validate_data(self, X, skip_check_array=True, reset=True)
                self._numeric = None
            return X
        if len(getattr(X, "shape", ())) == 1 and not sparse.issparse(X):
            check_array(X, dtype=None, ensure_all_finite=False)  # refuses it
        # Rows are numbers, or objects, as those of fit; after a frame, as they are.
        numeric = None if reset else self._numeric
        if numeric is None:
            numeric = sparse.issparse(X) or is_numeric(X)
        if not numeric:
            X = object_rows(X)
            X = self._check_X(pd.DataFrame(X), reset=True) if reset else X
        else:
            X = validate_data(self, X, reset=reset, ensure_all_finite="allow-nan")
        if reset:
            self._numeric = numeric
        return X

    def _fit_modalities(
        self, X: Any, y: NDArray[Any], groups: NDArray[Any] | None
    ) -> ModalityBatch:
        if isinstance(X, ModalityBatch):
            return X
        given = self.modalities
        if not isinstance(given, ModalityTransformer):
            given = ModalityTransformer(given)
        self.modalities_ = default_output(clone(given))
        return self.modalities_.fit_transform(X, y, groups=groups)

    def _transform(self, X: Any) -> ModalityBatch:
        return X if isinstance(X, ModalityBatch) else self.modalities_.transform(X)

    def _splits(
        self,
        batch: ModalityBatch,
        target: Tensor,
        seed: int,
        group: NDArray[np.intp] | None,
    ) -> list[Split]:
        """For each network, the rows to learn from, and those held out from it."""
        n = len(target)
        slow = any(modality.slow for modality in batch.modalities.values())
        n_folds = automatic_folds(n, slow=slow)
        if n_folds == 0 or (group is not None and group.max() == 0):
            return [(np.arange(n), np.arange(0))]
        if not isinstance(self.n_folds, str):
            n_folds = self.n_folds
        return self._split(target.numpy(), n_folds, seed, group)

    def _split(
        self,
        target: NDArray[Any],
        n_folds: int,
        seed: int,
        group: NDArray[np.intp] | None = None,
    ) -> list[Split]:
        n_held = max(1, math.ceil(self.validation_fraction * len(target)))
        return split_rows(
            target, n_folds, n_held=n_held, seed=seed, link=self._link, group=group
        )

    # ------------------------------------------------------------ predict, explain

    def _batch(self, X: Any) -> ModalityBatch:
        """Validate and transform rows for prediction; warn of rows without content."""
        check_is_fitted(self)
        batch = self._transform(self._check_X(X, reset=False))
        empty = int((~batch.present.any(axis=1)).sum())
        if empty:
            classes = self._link.is_classification
            what = "the training rows' class shares" if classes else "y_base_"
            warnings.warn(
                f"{empty} row(s) have no modality present; they are given {what}.",
                UserWarning,
                stacklevel=3,
            )
        return batch

    def _truth(self, y: Any, n: int) -> NDArray[Any]:
        y = self._check_y(y)
        check_same_length(n, y)
        return self._as_learned(y)

    # ------------------------------------------------------------ scikit-learn

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_model")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.target_tags.required = True
        return tags

    def _sk_visual_block_(self) -> VisualBlock:
        rule = FUSIONS[self.fusion]() if isinstance(self.fusion, str) else self.fusion
        return diagram(self, rule)
