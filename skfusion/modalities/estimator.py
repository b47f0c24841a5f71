"""Any scikit-learn estimator as a modality: its predictions, out of fold."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from copy import deepcopy
from numbers import Integral
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    check_cv,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array, check_consistent_length, column_or_1d, get_tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from skfusion._row_keys import number_groups
from skfusion._sklearn import Interval, StrOptions, default_output, fit_context
from skfusion._validation import check_indicator
from skfusion.batch import Block
from skfusion.modalities.base import Modality
from skfusion.modalities.columns import read_for, take_rows
from skfusion.network import Encoder

__all__ = ["EstimatorModality"]

_METHODS = ("predict_proba", "decision_function", "predict")


class EstimatorModality(Modality):
    """A scikit-learn classifier or regressor as a modality.

    `fit_transform` gives out-of-fold predictions, as
    :class:`~sklearn.ensemble.StackingClassifier` uses them, so that the network sees
    how far the estimator can be trusted on rows it did not learn from; `transform`
    uses one fitted on all training rows. Rows whose every cell is missing are
    absent: the estimator never sees them.

    Parameters
    ----------
    estimator : classifier or regressor
        It is cloned, never fitted itself, and gets the columns as they are.
    cv : int, cross-validation generator or iterable, default=5
        Folds of `fit_transform`. With an int, they are shuffled with a fixed seed and,
        for a classifier of one target, stratified.
    method : {"auto", "predict_proba", "decision_function", "predict"}, default="auto"
        What a classifier is asked; "auto" takes the first that it has. Answers other
        than probabilities are turned into some by a logistic regression on the
        out-of-fold answers. Regressors are always asked to `predict`, and where `y` is
        an indicator of labels, one classifier a label for its probabilities.

    Attributes
    ----------
    estimator_ : estimator
        Fitted on all training rows that are present.
    classes_ : ndarray of shape (n_classes,)
        Of a classifier.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where all are strings.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skfusion.modalities import EstimatorModality
    >>> X, y = load_iris(return_X_y=True)
    >>> EstimatorModality(DecisionTreeClassifier()).fit_transform(X, y)
    Block(logits: float32(150, 3); 150 of 150 rows present)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "cv": [Interval(Integral, 2, None, closed="left"), "cv_object"],
        "method": [StrOptions({"auto", *_METHODS})],
    }

    def __init__(
        self,
        estimator: Any,
        *,
        cv: Any = 5,
        method: Literal[
            "auto", "predict_proba", "decision_function", "predict"
        ] = "auto",
    ) -> None:
        self.estimator = estimator
        self.cv = cv
        self.method = method

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.input_tags = deepcopy(inner.input_tags)
        tags.target_tags = deepcopy(inner.target_tags)
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None, groups: Any = None) -> EstimatorModality:
        """Fit the estimator on all rows.

        Parameters
        ----------
        X : DataFrame, Series or array-like of n_samples rows
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Of a classifier, several columns are an indicator of labels, 0 or 1.
        groups : array-like of shape (n_samples,), optional
            Rows of one group are in one fold.

        Returns
        -------
        self : EstimatorModality

        Raises
        ------
        ValueError
            Without `y`.
        """
        self._fit(X, y, groups, cross_fit=False)
        return self

    @fit_context(prefer_skip_nested_validation=False)
    def fit_transform(self, X: Any, y: Any = None, groups: Any = None) -> Block:
        """Fit the estimator on all rows, and give out-of-fold predictions of them.

        Returns
        -------
        block : Block
            Array "logits", float32: the log-probabilities (n_samples, n_classes) of a
            classifier, classes in the order of `classes_`, or the log-odds of labels
            that are not constant; the predictions (n_samples, n_outputs) of a
            regressor, standardised by the mean and the standard deviation of `y`.
        """
        return self._fit(X, y, groups, cross_fit=True)

    def transform(self, X: Any) -> Block:
        """Predictions of the estimator fitted on all rows.

        Returns
        -------
        block : Block
            As from `fit_transform`.
        """
        check_is_fitted(self)
        X, present = read_for(self, self.estimator, X, reset=False)
        logits = np.zeros((len(present), self._n_outputs), dtype=np.float32)
        if present.any():
            if not present.all():
                X = take_rows(X, np.flatnonzero(present))
            logits[present] = self._logits(self._answers(self.estimator_, X))
        return Block({"logits": logits}, present)

    def build_encoder(self, d_model: int, dropout: float) -> Encoder:
        """Make the encoder: one token from the predictions, which also vote."""
        check_is_fitted(self)
        return _PredictionEncoder(
            self._n_outputs,
            d_model,
            is_classifier=hasattr(self, "classes_") and not self._has_labels,
        )

    def features(self, block: Block) -> NDArray[np.float32]:
        """The log-probabilities, or the standardised predictions."""
        return np.where(block.present[:, None], block.arrays["logits"], np.float32(0))

    def _feature_names(self, columns: list[str]) -> list[str]:
        """The estimator, and the class, label or output that is predicted."""
        name = type(self.estimator).__name__.lower()
        return [f"{name}{answer}" for answer in self._answer_names]

    def _fit(self, X: Any, y: Any, groups: Any, *, cross_fit: bool) -> Block:
        """Fit the estimator on all rows; return what is known of them out of fold."""
        X, present = read_for(self, self.estimator, X, reset=True)
        y = self._check_targets(y)
        check_consistent_length(present, y)
        if not present.any():
            raise ValueError(
                "EstimatorModality needs at least one row that is not missing."
            )
        rows = np.flatnonzero(present)
        known = X if present.all() else take_rows(X, rows)
        self.estimator_ = self._fitted(known, y[rows])
        self._n_rows = len(rows)
        self._choose_method(take_rows(X, rows[:1]))
        answers = np.full((len(y), self._n_answers), np.nan)
        if cross_fit or self._needs_calibration:
            groups = number_groups(groups, len(y))
            self._cross_fit(X, y, groups, present, out=answers)
        if self._needs_calibration:
            seen = ~np.isnan(answers).any(axis=1)
            if len(np.unique(y[seen])) > 1:
                self._calibrator = make_pipeline(
                    default_output(StandardScaler()), LogisticRegression()
                )
                self._calibrator.fit(answers[seen], y[seen])
            else:
                self._calibrator = None
        logits = np.where(present[:, None], self._logits(answers), np.float32(0))
        return Block({"logits": logits}, present)

    def _fitted(self, X: Any, y: NDArray[Any]) -> Any:
        """A fitted clone of the estimator, for labels one a label."""
        if not self._has_labels:
            return clone(self.estimator).fit(X, y)
        with warnings.catch_warnings():  # labels that are constant in a fold
            warnings.filterwarnings("ignore", message="Label ")
            return OneVsRestClassifier(self.estimator).fit(X, y)

    def _check_targets(self, y: Any) -> NDArray[Any]:
        """Validate the targets, and learn their classes or their scale."""
        if y is None:
            raise ValueError(
                "EstimatorModality requires y to be passed, but the target y is None: "
                "its estimator learns from y."
            )
        self._has_labels = False
        labels = check_indicator(y) if is_classifier(self.estimator) else None
        if labels is not None:
            varying = np.flatnonzero(labels.min(axis=0) < labels.max(axis=0))
            y = labels[:, varying]
            self._has_labels, self._n_outputs = True, y.shape[1]
            self._answer_names = [str(label) for label in varying]
            self.classes_, self._prior = np.arange(labels.shape[1]), y.mean(axis=0)
        elif is_classifier(self.estimator):
            y = column_or_1d(y, warn=True)
            check_classification_targets(y)
            self.classes_, counts = np.unique(y, return_counts=True)
            self._prior = counts / len(y)
            self._n_outputs = len(counts)
            self._answer_names = [f"_{label}" for label in self.classes_]
        elif is_regressor(self.estimator):
            y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
            self._mean, sd = y.mean(axis=0), y.std(axis=0)
            self._sd = np.where(sd > 0, sd, 1.0)
            self._n_outputs = 1 if y.ndim == 1 else y.shape[1]
            self._answer_names = [str(i) for i in range(self._n_outputs)]
        else:
            raise TypeError(
                "The 'estimator' parameter of EstimatorModality must be a classifier "
                f"or a regressor. Got {self.estimator!r} instead; put a transformer "
                "into TransformerModality(...)."
            )
        return y

    def _choose_method(self, one_row: Any) -> None:
        """Find out what the fitted estimator can be asked, and how it answers."""
        self._n_answers = self._n_outputs
        self._needs_calibration = False
        if not is_classifier(self.estimator):
            return
        methods = _METHODS if self.method == "auto" else (self.method,)
        found = [m for m in methods if hasattr(self.estimator_, m)]
        if not found:
            raise ValueError(
                f"The 'method' parameter of EstimatorModality is {self.method!r}, but "
                f"{self.estimator!r} has no such method. It has "
                f"{[m for m in _METHODS if hasattr(self.estimator_, m)]}."
            )
        self._method = found[0]
        if self._has_labels and self._method != "predict_proba":
            raise ValueError(
                "EstimatorModality asks for the probability of each label, but "
                f"{self.estimator!r} has no predict_proba, or `method` is "
                f"{self.method!r}. Put the estimator into a CalibratedClassifierCV."
            )
        self._needs_calibration = self._method != "predict_proba"
        if self._method == "decision_function":  # one against one, there are more
            self._n_answers = self.estimator_.decision_function(one_row).size

    def _cross_fit(
        self,
        X: Any,
        y: NDArray[Any],
        groups: NDArray[np.intp] | None,
        present: NDArray[np.bool_],
        *,
        out: NDArray[np.float64],
    ) -> None:
        """Write the answers for rows that the estimator was not fitted on."""
        for train, test in self._folds(X, y, groups):
            train, test = train[present[train]], test[present[test]]
            few = 2 if is_classifier(self.estimator) else 1
            if not len(test) or len(np.unique(y[train], axis=0)) < few:
                continue
            estimator = self._fitted(take_rows(X, train), y[train])
            out[test] = self._answers(estimator, take_rows(X, test))

    def _folds(
        self, X: Any, y: NDArray[Any], groups: NDArray[np.intp] | None
    ) -> Iterable[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        rows = np.zeros(len(y))
        classify = is_classifier(self.estimator) and not self._has_labels
        if not isinstance(self.cv, Integral):
            return check_cv(self.cv, y, classifier=classify).split(X, y, groups)
        n_splits = min(int(self.cv), len(y))
        if classify:
            n_splits = min(n_splits, int(np.unique(y, return_counts=True)[1].max()))
        if groups is not None:
            n_splits = min(n_splits, int(groups.max()) + 1)
        if n_splits < 2:
            return []
        # Tables are often sorted; the fixed seed keeps repeated fits equal.
        options = {"n_splits": n_splits, "shuffle": True, "random_state": 0}
        if groups is not None:
            kind = StratifiedGroupKFold if classify else GroupKFold
        else:
            kind = StratifiedKFold if classify else KFold
        with warnings.catch_warnings():
            # A class with fewer members than folds is missing in some: allowed for.
            warnings.filterwarnings("ignore", message="The least populated class")
            return list(kind(**options).split(rows, y, groups))

    def _answers(self, estimator: Any, X: Any) -> NDArray[np.float64]:
        """What the estimator says, (n_samples, n_answers)."""
        if not is_classifier(self.estimator):
            predicted = (np.asarray(estimator.predict(X)) - self._mean) / self._sd
            return predicted.reshape(len(predicted), -1)
        raw = np.asarray(getattr(estimator, self._method)(X))
        if self._method == "predict":
            return (raw[:, None] == self.classes_).astype(np.float64)
        if raw.ndim == 1 and self._n_answers > 1:
            raw = np.stack([-raw, raw], axis=1)  # a fold with two of several classes
        raw = raw.reshape(len(raw), -1).astype(np.float64)
        if len(estimator.classes_) == self._n_outputs:
            return raw
        if self._n_answers != self._n_outputs or raw.shape[1] != len(
            estimator.classes_
        ):
            return np.full((len(raw), self._n_answers), np.nan)  # cannot be aligned
        # A class that a fold did not have is as unlikely as can be there.
        least = 0.0 if self._method == "predict_proba" else raw.min(axis=1)[:, None]
        out = np.empty((len(raw), self._n_outputs))
        out[:] = least
        out[:, np.searchsorted(self.classes_, estimator.classes_)] = raw
        return out

    def _logits(self, answers: NDArray[np.float64]) -> NDArray[np.float32]:
        """Log-probabilities, or standardised predictions; of NaN, the prior or 0."""
        if not is_classifier(self.estimator):
            return np.nan_to_num(answers).astype(np.float32)
        known = ~np.isnan(answers).any(axis=1)
        p = np.tile(self._prior, (len(answers), 1))
        if known.any() and not self._needs_calibration:
            p[known] = answers[known]
        elif known.any() and self._calibrator is not None:
            columns = np.searchsorted(self.classes_, self._calibrator.classes_)
            p[known] = 0
            p[np.ix_(known, columns)] = self._calibrator.predict_proba(answers[known])
        # Laplace smoothing towards the class shares: no answer is ever certain.
        n, C = self._n_rows, 2 if self._has_labels else self._n_outputs
        p = (n * p + C * self._prior) / (n + C)
        return (logit(p) if self._has_labels else np.log(p)).astype(np.float32)


class _PredictionEncoder(Encoder):
    """One token from known predictions, which are also logits of their own.

    **Shape**: logits (B, C); tokens (B, 1, D).
    """

    def __init__(self, n_outputs: int, d_model: int, *, is_classifier: bool) -> None:
        super().__init__()
        self.is_classifier = is_classifier
        self.linear = nn.Linear(n_outputs, d_model)

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        x = inputs["logits"]
        if self.is_classifier:
            x = x - x.mean(dim=1, keepdim=True)
        h = self.linear(x / torch.sqrt(1 + (x / 3) ** 2)).unsqueeze(1)
        return h, h.new_ones(h.shape[:2], dtype=torch.bool)

    def add_noise(self, inputs: dict[str, Tensor], sd: Tensor) -> dict[str, Tensor]:
        """Gaussian noise; that of a classifier leaves probabilities that sum to 1."""
        noisy = super().add_noise(inputs, sd)["logits"]
        if self.is_classifier:
            hit = (sd > 0).unsqueeze(1)  # the others stay as they are, to the bit
            noisy = torch.where(hit, noisy.log_softmax(dim=1), inputs["logits"])
        return {"logits": noisy}

    def known_logits(self, inputs: dict[str, Tensor]) -> Tensor:
        return inputs["logits"]
