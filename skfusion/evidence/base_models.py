"""Base models: fast scikit-learn models on the features of each modality, and of all.

Every base model says *evidence*: of classes, log-probabilities minus the log of the
class shares, centred over the classes; of labels, log-odds minus those of their shares;
in a regression, the standardised prediction.

**Shape**: features of a modality (n, F), dense or CSR; evidence (n, C).
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from skfusion._defaults import (
    TREE_COST,
    linear_strengths,
    reduced_width,
    tree_options,
)
from skfusion.training.links import Identity, Link, Sigmoid, Softmax

__all__ = [
    "LINEAR",
    "TREES",
    "LinearModel",
    "TableModel",
    "Task",
    "columns_for_trees",
    "fit_linear",
    "fit_table_model",
    "join",
    "trees",
]

#: Names of the automatic base models.
LINEAR, TREES = "linear", "trees"
#: Laplace smoothing towards the class shares: as many pseudo-rows of each class share,
#: and as many rows that the model is taken to have seen.
PSEUDO_ROWS = 200.0
#: Dense features that trees read as they are; of more, what a linear model says. Tables
#: of a few dozen columns with categories have fewer, pictures, sounds and series more.
MAX_TREE_FEATURES = 300
#: Components of sparse features that trees, and a user's own base models, read.
N_COMPONENTS = 30


class Task(NamedTuple):
    """What is to be learned.

    link : Link
    n_outputs : number C of classes, of labels, or of targets of a regression
    log_prior : ndarray (C,), the logits of the shares; zeros in a regression
    seed : int
    """

    link: Link
    n_outputs: int
    log_prior: NDArray[np.float64]
    seed: int

    @property
    def two_classes(self) -> bool:
        """Whether the evidence of one output is that of the other, turned round."""
        return isinstance(self.link, Softmax) and self.n_outputs == 2


# ---------------------------------------------------------------- linear models


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
    if x.shape[0] < 10 or (task.link.is_classification and _is_constant(y)):
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


# ---------------------------------------------------------------- trees and others


class TableModel(NamedTuple):
    """Any fitted classifier or regressor on dense features, and its evidence.

    Of labels, `model` is a list of one a label, None where the label was constant.
    """

    task: Task
    model: Any

    def evidence(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Evidence (n, C) of the features (n, F)."""
        task, link = self.task, self.task.link
        if not link.is_classification:
            return np.asarray(self.model.predict(x), np.float64).reshape(len(x), -1)
        prior, C = link.mean(task.log_prior), task.n_outputs
        if isinstance(self.model, list):
            p, C = np.tile(prior, (len(x), 1)), 2
            for c, model in enumerate(self.model):
                if model is not None:
                    p[:, c] = model.predict_proba(x)[:, 1]
        else:
            p = np.zeros((len(x), C))
            p[:, self.model.classes_] = self.model.predict_proba(x)
        n = PSEUDO_ROWS
        smooth = (n * p + C * prior) / (n + C)
        return link.centre(link.logits(smooth) - task.log_prior)


def trees(task: Task, n: int, n_features: int) -> Any | None:
    """Boosted trees that are affordable for so many rows and features, unfitted."""
    per_round = 1 if task.two_classes else task.n_outputs
    several_numbers = not task.link.is_classification and task.n_outputs > 1
    if several_numbers or n < 30 or per_round * n_features * (n + 4000) > TREE_COST:
        return None
    kind = (
        HistGradientBoostingClassifier
        if task.link.is_classification
        else HistGradientBoostingRegressor
    )
    return kind(
        **tree_options(n, task.link.is_classification),
        max_features=0.3,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=task.seed,
    )


def fit_table_model(
    task: Task, model: Any, x: NDArray[Any], y: NDArray[Any], w: NDArray[Any]
) -> TableModel | None:
    """Fit a clone, of labels one for each; None where the rows are of one class."""
    if task.link.is_classification and _is_constant(y):
        return None
    weights = {}
    if np.ptp(w) > 0:
        name = _weight_parameter(model)
        if name is None:
            warnings.warn(
                f"{type(model).__name__} takes no sample_weight: as a base model "
                "it learns from every row alike.",
                UserWarning,
                stacklevel=2,
            )
        else:
            weights = {name: w}

    def fitted(y: NDArray[Any]) -> Any:
        return clone(model).fit(x, y, **weights)

    # Routing would ask each step of a user's model whether it wants weights.
    with warnings.catch_warnings(), config_context(enable_metadata_routing=False):
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message="The number of unique classes")
        if isinstance(task.link, Sigmoid):
            varies = np.ptp(y, axis=0) > 0
            labels = zip(y.T.astype(np.int64), varies, strict=True)
            return TableModel(task, [fitted(c) if v else None for c, v in labels])
        one = y.ndim == 2 and y.shape[1] == 1
        return TableModel(task, fitted(y[:, 0] if one else y))


def _is_constant(y: NDArray[Any]) -> bool:
    """Whether all rows have the same class, or the same labels."""
    return bool((y == y[:1]).all())


def _weight_parameter(model: Any) -> str | None:
    """Under which name `fit` takes weights of rows; of a pipeline, its last step."""
    if hasattr(model, "steps"):
        name, last = model.steps[-1]
        inner = _weight_parameter(last)
        return None if inner is None else f"{name}__{inner}"
    known = inspect.signature(model.fit).parameters
    any_name = any(p.kind is p.VAR_KEYWORD for p in known.values())
    return "sample_weight" if "sample_weight" in known or any_name else None


class Reduced(NamedTuple):
    """Sparse features as a few dense columns; dense ones as they are.

    **Shape**: components (k, F), or None where the features are dense.
    """

    components: NDArray[np.float32] | None

    @classmethod
    def fit(cls, x: Any, seed: int) -> Reduced:
        """Learn the components of the features (n, F)."""
        width = min(N_COMPONENTS, x.shape[1] - 1, x.shape[0] - 1)
        if not sparse.issparse(x) or width < 1:
            return cls(None)
        svd = TruncatedSVD(width, random_state=seed, n_iter=3).fit(x)
        return cls(svd.components_.astype(np.float32))

    def __call__(self, x: Any) -> NDArray[Any]:
        if self.components is not None:
            return np.asarray(x.astype(np.float64, copy=False) @ self.components.T)
        return x.toarray() if sparse.issparse(x) else x


def columns_for_trees(
    task: Task,
    features: Sequence[Any],
    reduced: Sequence[Reduced],
    linear: Sequence[NDArray[np.float64] | None],
) -> NDArray[np.float32]:
    """What trees read of several modalities together, (n, F) dense.

    Narrow dense features as they are, sparse ones reduced; and what a linear model,
    which did not learn from the row, says of each modality (Wolpert, 1992, "Stacked
    generalization").

    Parameters
    ----------
    features : list of M matrices (n, F_m)
    reduced : list of M Reduced
    linear : list of M evidences (n, C), or None where there is none
    """
    pairs = zip(reduced, features, strict=True)
    parts = [r(x) for r, x in pairs if sparse.issparse(x) or reads_as_is(x)]
    for evidence in linear:
        if evidence is not None:
            parts.append(evidence[:, 1:] if task.two_classes else evidence)
    return np.concatenate(parts, axis=1, dtype=np.float32, casting="same_kind")


def reads_as_is(x: Any) -> bool:
    """Whether trees read these features themselves."""
    return not sparse.issparse(x) and x.shape[1] <= MAX_TREE_FEATURES


def join(features: Sequence[Any]) -> Any:
    """All features side by side, sparse where any is."""
    if len(features) == 1:
        return features[0]
    if not any(sparse.issparse(x) for x in features):
        return np.concatenate(features, axis=1)
    # Dense columns beside rows of TF-IDF of norm 1 get a size like theirs.
    return sparse.hstack([sparse.csr_matrix(x) for x in features], format="csr")
