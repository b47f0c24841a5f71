"""Base models on the features of each modality, and of all: trees, and a user's own.

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
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.exceptions import ConvergenceWarning

from skfusion._defaults import TREE_COST, tree_options, tree_width
from skfusion.training.links import Link, Sigmoid, Softmax

__all__ = [
    "LINEAR",
    "TREES",
    "TableModel",
    "Task",
    "columns_for_trees",
    "fit_table_model",
    "is_constant",
    "join",
    "trees",
]

#: Names of the automatic base models.
LINEAR, TREES = "linear", "trees"
#: Laplace smoothing towards the class shares: as many pseudo-rows of each class share,
#: and as many rows that the model is taken to have seen.
PSEUDO_ROWS = 200.0
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
    if task.link.is_classification and is_constant(y):
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


def is_constant(y: NDArray[Any]) -> bool:
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

    Of many dense features, trees read nothing but what a linear model says.

    **Shape**: components (k, F), or None where the features are dense.
    """

    components: NDArray[np.float32] | None
    for_trees: bool

    @classmethod
    def fit(cls, x: Any, seed: int) -> Reduced:
        """Learn the components of the features (n, F)."""
        if not sparse.issparse(x):
            return cls(None, x.shape[1] <= tree_width(x.shape[0]))
        width = min(N_COMPONENTS, x.shape[1] - 1, x.shape[0] - 1)
        if width < 1:
            return cls(None, True)
        svd = TruncatedSVD(width, random_state=seed, n_iter=3).fit(x)
        return cls(svd.components_.astype(np.float32), True)

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
    parts = [r(x) for r, x in pairs if r.for_trees]
    for evidence in linear:
        if evidence is not None:
            parts.append(evidence[:, 1:] if task.two_classes else evidence)
    return np.concatenate(parts, axis=1, dtype=np.float32, casting="same_kind")


def join(features: Sequence[Any]) -> Any:
    """All features side by side, sparse where any is."""
    if len(features) == 1:
        return features[0]
    if not any(sparse.issparse(x) for x in features):
        return np.concatenate(features, axis=1)
    # Dense columns beside rows of TF-IDF of norm 1 get a size like theirs.
    return sparse.hstack([sparse.csr_matrix(x) for x in features], format="csr")
