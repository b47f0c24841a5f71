"""Classes and labels: how a target of them is checked, encoded and given back."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import assert_all_finite
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d
from torch import Tensor

from skfusion._validation import (
    check_indicator,
    check_labels,
    check_no_missing,
    shorten,
)
from skfusion.estimator.partial_fit import PartialFit
from skfusion.training.links import Link, Sigmoid, Softmax

__all__ = ["ClassTarget", "known_classes"]


class ClassTarget(PartialFit):
    """Adds what a target of classes, or of labels, asks for."""

    _link: Link = Softmax()
    classes_: NDArray[Any]
    class_prior_: NDArray[np.float64]
    _learned: NDArray[Any]  # the classes; of labels, the columns that vary
    #: Classes that `partial_fit` was told of, while it fits the first batch.
    _announced: NDArray[Any] | None = None
    class_weight: Any

    def _fit(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> None:
        self._label_names = list(getattr(y, "columns", ()))
        super()._fit(X, y, sample_weight, groups)

    def _check_y(self, y: Any) -> NDArray[Any]:
        indicator = check_indicator(y)
        if indicator is not None:
            return indicator
        check_labels(y)
        y = column_or_1d(y, warn=True)
        check_no_missing(y)
        assert_all_finite(y, estimator_name=type(self).__name__, input_name="y")
        check_classification_targets(y)
        return y

    def _as_learned(self, y: NDArray[Any]) -> NDArray[Any]:
        if isinstance(self._link, Sigmoid):
            if y.shape[1:] != self.classes_.shape:
                raise ValueError(
                    f"y must be an indicator of {len(self.classes_)} labels, as in "
                    f"fit, but has the shape {y.shape}."
                )
            return y[:, self._learned]
        unknown = ~np.isin(y, self.classes_)
        if unknown.any():
            row = int(unknown.argmax())
            raise ValueError(
                f"y holds {shorten(y[row])} in row {row}, which is none of the classes "
                f"{shorten(self.classes_.tolist())}. Leave out rows of other classes."
            )
        return np.searchsorted(self.classes_, y)

    def _encode_target(
        self, y: NDArray[Any], weight: NDArray[np.float64]
    ) -> tuple[Tensor, Tensor, NDArray[np.float64]]:
        if y.ndim == 2:
            return self._encode_labels(y, weight)
        classes = np.unique(y) if self._announced is None else self._announced
        index = np.searchsorted(classes, y)
        if len(classes) < 2:
            raise ValueError(
                "FusionClassifier needs samples of at least 2 classes in y, but y has "
                f"only one class: {shorten(classes[0])}."
            )
        self._set_outputs(Softmax(), classes, classes)
        weight = weight * self._class_weights(classes, index, weight)[index]
        counts = np.bincount(index, weight, minlength=len(classes))
        if not counts.all():  # classes of later batches: as if each had had one row
            counts += weight.mean()
        self.class_prior_ = share = counts / counts.sum()
        prior = torch.from_numpy(self._link.logits(share)).float()
        return torch.from_numpy(index), prior, weight / weight.mean()

    def _encode_labels(
        self, y: NDArray[np.int64], weight: NDArray[np.float64]
    ) -> tuple[Tensor, Tensor, NDArray[np.float64]]:
        """The same of an indicator (n, L), of the labels that are not constant."""
        if self.class_weight is not None:
            raise ValueError(
                "The 'class_weight' parameter of FusionClassifier must be None where y "
                f"is an indicator of labels. Got {self.class_weight!r}. Give "
                "sample_weight, or another threshold to what predict_proba returns."
            )
        varies = y.min(axis=0) < y.max(axis=0)
        average = np.average(y, axis=0, weights=weight)
        if self._announced is not None:  # in later batches any of them may vary
            average = np.where(varies, average, (len(y) * y[0] + 0.5) / (len(y) + 1))
            varies[:] = True
        if not varies.any():
            raise ValueError(
                "FusionClassifier needs a label that is 0 in some rows and 1 in "
                f"others, but all {y.shape[1]} labels in y are constant."
            )
        self._set_outputs(Sigmoid(), np.arange(y.shape[1]), np.flatnonzero(varies))
        if not varies.all():
            names = [self._output_names[c] for c in np.flatnonzero(~varies)]
            warnings.warn(
                f"{len(names)} label(s) have one value in all training rows, which is "
                f"what will be predicted: {shorten(names)}.",
                UserWarning,
                stacklevel=5,
            )
        self.class_prior_ = share = np.where(varies, average, y[0])
        prior = torch.from_numpy(self._link.logits(share[varies])).float()
        target = torch.from_numpy(y[:, varies]).float()
        return target, prior, weight / weight.mean()

    def _set_outputs(
        self, link: Link, classes: NDArray[Any], learned: NDArray[Any]
    ) -> None:
        """Say what the outputs are, which a warm start must keep."""
        again = self.warm_start and self.__sklearn_is_fitted__()
        if again and not (
            type(link) is type(self._link)
            and np.array_equal(classes, self.classes_)
            and np.array_equal(learned, self._learned)
        ):
            what = "labels" if self.multilabel_ else "classes"
            raise ValueError(
                f"warm_start=True goes on with the {what} {self._learned}, but y now "
                f"has {learned}. Use warm_start=False to start afresh."
            )
        self._link, self.classes_, self._learned = link, classes, learned

    def _update_prior(
        self, target: NDArray[Any], weight: NDArray[np.float64], share: float
    ) -> tuple[Tensor, NDArray[np.float64]]:
        rows, learned = target, self._learned
        if target.ndim == 1:
            learned = np.arange(len(self.classes_))
            weight = weight * self._class_weights(self.classes_, target, weight)[target]
            rows = target[:, None] == learned
        shares = self.class_prior_.copy()
        before = shares[learned]
        shares[learned] = (1 - share) * before + share * np.average(
            rows, axis=0, weights=weight
        )
        self.class_prior_ = shares
        prior = torch.from_numpy(self._link.logits(shares[learned])).float()
        return prior, weight / weight.mean()

    def _class_weights(
        self, classes: NDArray[Any], index: NDArray[np.intp], weight: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Weight of each class, (n_classes,)."""
        if self.class_weight is None:
            return np.ones(len(classes))
        if isinstance(self.class_weight, str):  # "balanced", of weighted rows
            return weight.sum() / (len(classes) * np.bincount(index, weight))
        weights = compute_class_weight(self.class_weight, classes=classes, y=classes)
        if not (weights > 0).all():
            raise ValueError(
                "The 'class_weight' parameter of FusionClassifier must be positive for "
                f"every class. Got {self.class_weight!r}. To leave a class out, leave "
                "its rows out."
            )
        return weights

    @property
    def _output_names(self) -> list[Any]:
        of_labels = self.multilabel_ and self._label_names
        return self._label_names if of_labels else list(self.classes_)

    @property
    def multilabel_(self) -> bool:
        """Whether `y` was an indicator of labels."""
        return isinstance(self._link, Sigmoid)

    def _in_output_units(
        self, parts: NDArray[np.float64], logits: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return self._of_all(self._link.centre(parts), 0.0)

    def _of_all(self, learned: NDArray[np.float64], others: Any) -> NDArray[np.float64]:
        """Values (..., C) of what is learned, and `others` of constant labels."""
        if learned.shape[-1] == len(self.classes_):
            return learned
        out = np.empty((*learned.shape[:-1], len(self.classes_)))
        out[...] = others
        out[..., self._learned] = learned
        return out


def known_classes(
    y: NDArray[Any], classes: NDArray[Any] | None, former: NDArray[Any] | None
) -> NDArray[Any]:
    """The classes of all batches: those named, and those of the batches before.

    Parameters
    ----------
    y : ndarray (n,), or (n, L) of labels
    classes : ndarray, what the user named
    former : ndarray, what was named before
    """
    if classes is None and y.ndim == 2:
        classes = np.arange(y.shape[-1])
    known = former if classes is None else np.unique(classes)
    if known is None:
        raise ValueError(
            "classes must be passed on the first call to partial_fit: all that any "
            "batch may hold, such as np.unique(y) of all rows."
        )
    if former is not None and not np.array_equal(known, former):
        raise ValueError(
            "classes must be those of the first call to partial_fit, "
            f"{shorten(former.tolist())}. Got {shorten(known.tolist())}."
        )
    unknown = y[~np.isin(y, known)] if y.ndim == 1 else y[:0]
    if len(unknown):
        raise ValueError(
            f"y holds {shorten(unknown[0])}, which is none of the classes "
            f"{shorten(known.tolist())}. Name all classes in the first call."
        )
    return known
