"""Incremental learning: base models go on with a further batch, and no row is kept.

References
----------
Chapelle & Li (2011), "An empirical evaluation of Thompson sampling", algorithm 3: the
curvature of the rows before holds the coefficients of a linear model. Here it is
estimated from the rows at hand.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.base import clone

from skfusion.evidence.base_models import Reduced, TableModel, Task
from skfusion.evidence.crossfit import BaseModels, CrossFitter
from skfusion.evidence.linear_models import LinearModel
from skfusion.training.links import Link, Sigmoid, Softmax

__all__ = ["Bag", "IncrementalFitter", "update_linear"]

#: Batches whose trees, and models of a user's own, are kept.
N_TABLES = 5
#: Precision that every coefficient has, of standardised features where they are dense.
RIDGE = 1.0


class Bag(NamedTuple):
    """Models of several batches, and the share of each in their mean."""

    models: list[Any]
    shares: list[float]

    @property
    def classes_(self) -> NDArray[Any]:
        """Classes that any of them has seen."""
        return np.unique(np.concatenate([m.classes_ for m in self.models]))

    def predict_proba(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Mean of the probabilities, (n, classes of all)."""
        classes, total = self.classes_, sum(self.shares)
        out = np.zeros((len(x), len(classes)))
        for model, share in zip(self.models, self.shares, strict=True):
            at = np.searchsorted(classes, model.classes_)
            out[:, at] += model.predict_proba(x) * (share / total)
        return out

    def predict(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Mean of the predictions."""
        each = [model.predict(x) for model in self.models]
        return np.asarray(np.average(each, axis=0, weights=self.shares))

    def joined(self, model: Any, share: float) -> Bag:
        """With one more, without the oldest where they are many."""
        shares = [*(before * (1 - share) for before in self.shares), share]
        return Bag([*self.models, model][-N_TABLES:], shares[-N_TABLES:])


def update_linear(
    task: Task,
    model: LinearModel,
    x: Any,
    y: NDArray[Any],
    w: NDArray[Any],
    share: float,
) -> LinearModel:
    """Go on from a linear model with other rows.

    The loss of the rows is least, plus half the squared changes of the coefficients
    times the curvature that as many rows like these have as there were before.

    Parameters
    ----------
    x : ndarray or CSR matrix (n, F)
    y : ndarray (n,) of class indices, or (n, C) of labels or standardised
    w : ndarray (n,), weights of the rows
    share : float
        Of all rows so far, these.
    """
    F = len(model.coef)
    if len(y) < 2:
        return model
    link = task.link
    x, scale = _scaled(x, model.center)
    offset = task.log_prior + model.bias
    if not sparse.issparse(x):
        offset = offset + model.at_center
    start = x @ (model.coef / np.where(scale > 0, scale, 1.0)[:, None]) + offset
    precision = _precision(link, x, start, w, share)
    change = _least_change(link, x, start, y, w, precision)
    slope, bias = change[:F] * scale[:, None], model.bias + change[F]
    if not sparse.issparse(x):
        bias = bias - model.center.astype(np.float64) @ slope
    coef = (model.coef + link.centre(slope)).astype(np.float32)
    return LinearModel(coef, model.center, link.centre(bias))


def _scaled(x: Any, center: NDArray[np.float32]) -> tuple[Any, NDArray[np.float64]]:
    """Features in float64, and the factors of dense ones: the solver wants one size."""
    scale = np.ones(x.shape[1])
    if not sparse.issparse(x):
        sd = x.std(axis=0, dtype=np.float64)
        scale = np.where(sd > 1e-7, 1 / np.maximum(sd, 1e-7), 0.0)
        x = (x - center) * scale
    return x.astype(np.float64), scale


def _precision(
    link: Link, x: Any, start: NDArray[np.float64], w: NDArray[Any], share: float
) -> NDArray[np.float64]:
    """Precision of the coefficients and, last, of the bias, (F + 1, 1)."""
    spread = np.ones(len(w))
    if link.is_classification:  # of a class, on average
        p = link.mean(start)
        spread = (p * (1 - p)).mean(axis=1)
    squares = x.multiply(x) if sparse.issparse(x) else x**2
    ratio = (1 - share) / share
    precision = np.asarray(squares.T @ (w * spread)).ravel() * ratio + RIDGE
    return np.append(precision, (w * spread).sum() * ratio + RIDGE)[:, None]


def _least_change(
    link: Link,
    x: Any,
    start: NDArray[np.float64],
    y: NDArray[Any],
    w: NDArray[Any],
    precision: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Change of coefficients and bias (F + 1, C), by L-BFGS.

    Parameters
    ----------
    start : ndarray (n, C), logits of the rows by the model as it is
    """
    F, C = x.shape[1], start.shape[1]
    truth = np.eye(C)[y] if y.ndim == 1 else y.astype(np.float64)

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        change = flat.reshape(F + 1, C)
        z = start + x @ change[:F] + change[F]
        value = w @ (_potential(link, z) - (truth * z).sum(axis=1))
        error = (link.mean(z) - truth) * w[:, None]
        gradient = np.vstack([x.T @ error, error.sum(axis=0)]) + precision * change
        return value + 0.5 * (precision * change**2).sum(), gradient.ravel()

    found = minimize(
        loss,
        np.zeros((F + 1) * C),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 100},
    )
    return found.x.reshape(F + 1, C)


def _potential(link: Link, z: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the link's expected values are the gradient of, (n, C) -> (n,)."""
    if isinstance(link, Softmax):
        return np.asarray(logsumexp(z, axis=1))
    if isinstance(link, Sigmoid):
        return np.logaddexp(0, z).sum(axis=1)
    return 0.5 * (z**2).sum(axis=1)


# ---------------------------------------------------------------- all base models


class IncrementalFitter(CrossFitter):
    """Lets base models go on with the rows of a further batch.

    Linear models go on from their coefficients, trees and a user's own models of the
    batch join those of the batches before.

    Parameters
    ----------
    former : BaseModels, that go on; they stay as they are
    share : float
        Of all rows so far, those of the batch.
    *rows, **options
        What `CrossFitter` is given.
    """

    def __init__(
        self, former: BaseModels, share: float, *rows: Any, **options: Any
    ) -> None:
        super().__init__(*rows, **options)
        self.former, self.share = former, share

    def _names(self) -> tuple[str, ...]:
        return self.former.names

    def _reduced(self) -> list[Reduced]:
        return self.former.reduced

    def _fit_linear(
        self, x: Any, s: int, at: NDArray[np.intp], only: slice
    ) -> list[LinearModel]:
        before, parts = None, self.former.joint_linear
        if s < self.M:
            before = self.former.linear[s]
        elif parts is not None:
            before = LinearModel.joined(parts)
        if before is None:
            return super()._fit_linear(x, s, at, only)
        task, y, w = self.task, self.y[at], self.w[at]
        # The same log-probabilities, as evidence beyond other class shares.
        shift = task.link.centre(self.former.task.log_prior - task.log_prior)
        before = before._replace(bias=before.bias + shift)
        return [update_linear(task, before, x[at], y, w, self.share)]

    def _estimators(self, models: BaseModels, s: int) -> list[tuple[str, Any]]:
        tables = self.former.tables[s].items()
        return [(name, _unfitted(table.model)) for name, table in tables]

    def _fit_table(
        self, models: BaseModels, s: int, name: str, estimator: Any, at: NDArray[Any]
    ) -> TableModel:
        found = super()._fit_table(models, s, name, estimator, at)
        model = self.former.tables[s][name].model
        if found is not None:
            model = _joined(model, found.model, self.share)
        return TableModel(self.task, model)


def _joined(before: Any, model: Any, share: float) -> Any:
    """What a `TableModel` holds, and what it would hold of a further batch."""
    if isinstance(before, list):  # one a label
        pairs = zip(before, model, strict=True)
        return [_joined(old, new, share) for old, new in pairs]
    if before is None or model is None:
        return model if before is None else before
    bag = before if isinstance(before, Bag) else Bag([before], [1.0])
    return bag.joined(model, share)


def _unfitted(model: Any) -> Any:
    """A clone of what a `TableModel` holds."""
    if isinstance(model, list):
        model = next(each for each in model if each is not None)
    return clone(model.models[-1] if isinstance(model, Bag) else model)
