"""Linear base models: logistic and ridge regressions of several strengths.

What they say is evidence, as in `skfusion.evidence.base_models`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from skfusion._defaults import linear_strengths, reduced_width
from skfusion.evidence.base_models import Task, is_constant
from skfusion.training.links import Identity, Sigmoid

__all__ = ["LinearModel", "fit_linear"]


class LinearModel(NamedTuple):
    """A linear model of features whose scaling is folded into the coefficients.

    **Shape**: coef (F, C), bias (C,); center (F,), the mean of the features (0 where
    they are sparse), from which what each of them adds is counted.
    """

    coef: NDArray[np.float32]
    center: NDArray[np.float32]
    bias: NDArray[np.float64]

    def evidence(self, x: Any, *, exact: bool = True) -> NDArray[np.float64]:
        """Evidence (n, C); if `exact`, it does not depend on which rows come along."""
        if exact:  # sums of float32 depend on how many rows are multiplied at once
            x = x.astype(np.float64, copy=False)
        return np.asarray(x @ self.coef, dtype=np.float64) + self.bias

    @property
    def at_center(self) -> NDArray[np.float64]:
        """What the coefficients say of the mean of the features, (C,)."""
        return self.center.astype(np.float64) @ self.coef.astype(np.float64)

    @classmethod
    def mean(cls, models: Sequence[LinearModel]) -> LinearModel:
        """The model whose evidence is the mean of that of several."""
        coef, center = (
            np.asarray(np.mean(column, axis=0, dtype=np.float64))
            for column in ([m.coef for m in models], [m.center for m in models])
        )
        bias = np.mean([m.bias for m in models], axis=0)
        return cls(coef.astype(np.float32), center.astype(np.float32), bias)

    def split(self, widths: Sequence[int]) -> list[LinearModel]:
        """Of a model of joined features, the parts of each.

        Each says nothing of the mean of its features; the first has the rest.
        """
        ends = np.cumsum(widths)[:-1]
        parts = zip(np.split(self.coef, ends), np.split(self.center, ends), strict=True)
        models = [LinearModel(*part, np.zeros_like(self.bias)) for part in parts]
        models = [m._replace(bias=-m.at_center) for m in models]
        rest = self.bias + self.at_center
        return [models[0]._replace(bias=models[0].bias + rest), *models[1:]]

    @classmethod
    def joined(cls, parts: Sequence[LinearModel]) -> LinearModel:
        """The model of joined features, from the parts that `split` made of it."""
        return cls(
            np.concatenate([part.coef for part in parts]),
            np.concatenate([part.center for part in parts]),
            np.sum([part.bias for part in parts], axis=0),
        )


def fit_linear(
    task: Task,
    x: Any,
    y: NDArray[Any],
    w: NDArray[Any],
    *,
    only: slice = slice(None),
) -> list[LinearModel]:
    """Linear models of every strength, weak fits first; none where rows are too few.

    Parameters
    ----------
    x : ndarray or CSR matrix (n, F)
    y : ndarray (n,) of class indices, or (n, C) of labels or standardised
    w : ndarray (n,), weights of the rows
    only : slice, optional
        The strengths that are wanted.
    """
    if x.shape[0] < 10 or (task.link.is_classification and is_constant(y)):
        return []
    is_sparse = sparse.issparse(x)
    center = factor = np.zeros(x.shape[1], np.float32)
    components = None
    if not is_sparse:
        center = np.average(x, axis=0, weights=w).astype(np.float32)
        x = x - center
        sd = np.sqrt(np.average(x**2, axis=0, weights=w))
        factor = np.where(sd > 1e-7, 1 / np.maximum(sd, 1e-7), 0).astype(np.float32)
        x = x * factor
        width = reduced_width(x.shape[0], x.shape[1], task.n_outputs)
        if width is not None:
            pca = PCA(width, random_state=task.seed, svd_solver="randomized").fit(x)
            components = pca.components_
            x = (x @ components.T).astype(np.float32)
    models, warm = [], None
    strengths = linear_strengths(x.shape, is_sparse, task.link.is_classification)
    for strength in strengths[only]:
        coef, intercept, warm = _solve(task, x, y, w, strength, warm)
        if components is not None:
            coef = components.T @ coef
        if not is_sparse:
            coef = factor[:, None] * coef
        model = LinearModel(coef.astype(np.float32), center, intercept)
        models.append(model._replace(bias=intercept - model.at_center))
    return models


def _solve(
    task: Task, x: Any, y: NDArray[Any], w: NDArray[Any], strength: float, warm: Any
) -> tuple[NDArray[Any], NDArray[np.float64], Any]:
    """Coefficients (F, C) and intercept (C,) of the evidence, and the fitted model."""
    if isinstance(task.link, Identity):
        ridge = Ridge(alpha=strength).fit(x, y, sample_weight=w)
        coef = np.atleast_2d(ridge.coef_).T
        return coef, np.atleast_1d(ridge.intercept_).astype(np.float64), None
    if isinstance(task.link, Sigmoid):
        return _solve_labels(task, x, y, w, strength, warm)
    model = _logistic(x, y, w, strength, warm)
    coef, intercept = model.coef_, model.intercept_
    if len(model.classes_) == 2:
        coef = np.concatenate([-coef / 2, coef / 2])
        intercept = np.concatenate([-intercept / 2, intercept / 2])
    return *_as_evidence(task, model.classes_, coef, intercept), model


def _solve_labels(
    task: Task, x: Any, y: NDArray[Any], w: NDArray[Any], strength: float, warm: Any
) -> tuple[NDArray[Any], NDArray[np.float64], Any]:
    """The same, by one model a label; a label that is constant gets no evidence."""
    coef, intercept = np.zeros((x.shape[1], task.n_outputs)), np.zeros(task.n_outputs)
    models = [None] * task.n_outputs if warm is None else warm
    for c in np.flatnonzero(np.ptp(y, axis=0)):
        models[c] = model = _logistic(x, y[:, c], w, strength, models[c])
        coef[:, c] = model.coef_[0]
        intercept[c] = model.intercept_[0] - task.log_prior[c]
    return coef, intercept, models


def _logistic(
    x: Any, y: NDArray[Any], w: NDArray[Any], strength: float, warm: Any
) -> Any:
    """A logistic regression, begun where a weaker one ended."""
    model = LogisticRegression(C=strength, max_iter=300, tol=1e-3, warm_start=True)
    if warm is not None:  # from the weaker fit, half of the iterations remain
        model.coef_, model.intercept_ = warm.coef_, warm.intercept_
        model.classes_ = warm.classes_
    with warnings.catch_warnings():
        # A fit that was cut short is a model like any other: held-out rows judge it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message="The number of unique classes")
        return model.fit(x, y, sample_weight=w)


def _as_evidence(
    task: Task, classes: Any, coef: NDArray[Any], intercept: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Logits of the classes that were seen, (C', F) and (C',), as evidence of all.

    A class that the rows lacked gets no evidence for or against it.
    """
    centre = task.link.centre
    wide = np.zeros((coef.shape[1], task.n_outputs))
    wide[:, classes] = centre(coef.T)
    shift = np.zeros(task.n_outputs)
    shift[classes] = centre(intercept - task.log_prior[classes])
    return centre(wide), centre(shift)
