"""Experts: fast scikit-learn models on a summary of each modality, and on all.

Small tables are won by simple models, so they join the network instead of competing
with it. They learn from the same rows as the network of their fold, and what each is
worth beside it is decided on rows that none of them has seen (see `calibration.py`).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfusion.batch import ModalityBatch

__all__ = ["EXPERTS", "ExpertTask", "Experts", "summaries"]

#: Kinds of experts, in the order of the axis E.
EXPERTS = ("linear", "forest", "boosting")

# Each limit keeps one fit of one expert within about 3 seconds on one core, measured on
# 200 to 20,000 rows; what would take longer is left out or reduced.
_BOOSTING_COST = 3e6  # outputs * features * (rows + 4,000)
_FOREST_COST = 6e6  # rows * sqrt(features) * trees / 10
_LINEAR_COST = 4e8  # rows * features * outputs, of dense features
_MAX_DENSE = 300  # dense features for a linear expert; more are reduced by PCA
_N_COMPONENTS = 150
# What trees read of a wide block beside others: sparse blocks hold words, dense ones
# hand-made features.
_SVD_SPARSE, _SVD_DENSE = 30, 100
# Strengths of the linear experts, from weak to strong fits; the held-out rows choose.
_DENSE_C = (0.004, 0.03, 0.25, 2.0)
_SPARSE_C = (1.0, 2.0, 4.0, 16.0)
_DENSE_ALPHA = (3e4, 1e3, 30.0, 1.0)
_SPARSE_ALPHA = (1.0, 0.5, 0.25, 0.06)
_MANY_ROWS = 10_000  # from here on, sparse features are given the middle strengths only


class ExpertTask(NamedTuple):
    """What experts have to learn.

    n_outputs : number of classes, or of targets of a regression
    prior : ndarray of shape (n_outputs,), class shares; unused in regression
    seed : int
    """

    is_classification: bool
    n_outputs: int
    prior: NDArray[np.float64]
    seed: int


class Experts:
    """The experts of one fold: several a modality, and several on all together.

    The last place of the axis M + 1 belongs to the joint experts. They speak only in
    rows where every modality is present.

    Attributes
    ----------
    models : list of M + 1 dict
        Fitted models by kind; the linear ones are a list, one for each strength.
    """

    def __init__(self, task: ExpertTask) -> None:
        self.task = task
        self.models: list[dict[str, Any]] = []
        self.strength: list[int] = []

    def fit(
        self, batch: ModalityBatch, y: NDArray[Any], weight: NDArray[Any] | None
    ) -> Experts:
        """Fit every expert that is affordable.

        Parameters
        ----------
        y : ndarray of shape (n_samples,) of class indices, or (n_samples, n_outputs)
        weight : ndarray of shape (n_samples,), or None
        """
        features = summaries(batch)
        for m, x in enumerate(features):
            rows = np.flatnonzero(batch.present[:, m])
            self.models.append(self._fit_all(x, y, weight, rows))
        everything = np.flatnonzero(batch.present.all(axis=1))
        few = len(everything) < max(50, len(batch) / 2)
        if len(features) == 1 or few:
            self.models.append({})
        else:
            self.models.append(self._fit_joint(features, y, weight, everything))
        self.strength = [0] * len(self.models)
        return self

    def logits(
        self,
        batch: ModalityBatch,
        features: Sequence[Any] | None = None,
        *,
        all_strengths: bool = False,
    ) -> NDArray[np.float64]:
        """What the experts say, (n_samples, M + 1, E, C); NaN where they say nothing.

        `features` are the `summaries` of the batch, where they are known already.

        With `all_strengths`, the linear experts of every strength stand in front of the
        others instead of the chosen one: (n_samples, M + 1, S + E - 1, C).
        """
        features = summaries(batch) if features is None else features
        present = np.column_stack([batch.present, batch.present.all(axis=1)])
        n_linear = max(len(_DENSE_C), len(_SPARSE_C)) if all_strengths else 1
        n_slots = n_linear + len(EXPERTS) - 1
        out = np.full(
            (len(batch), len(self.models), n_slots, self.task.n_outputs), np.nan
        )
        for m, models in enumerate(self.models):
            rows = np.flatnonzero(present[:, m])
            if not models or not len(rows):
                continue
            # Sums of float32 depend on how many rows are multiplied at once.
            parts = [features[m]] if m < len(features) else features
            parts = [part[rows].astype(np.float64) for part in parts]
            x = _join(parts)
            linear = models["linear"]
            chosen = linear if all_strengths else [linear[self.strength[m]]]
            for s, model in enumerate(chosen):
                out[rows, m, s] = self._answers(model, x)
            for e, kind in enumerate(EXPERTS[1:], start=n_linear):
                if kind in models:
                    read = self.reader.read(parts) if m == len(features) else {kind: x}
                    out[rows, m, e] = self._answers(models[kind], read[kind])
        return out

    def cross_fitted(
        self, batch: ModalityBatch, y: NDArray[Any], weight: NDArray[Any] | None
    ) -> NDArray[np.float64]:
        """What the experts of single modalities would say of the rows they learned.

        Each row is judged by experts like the fitted ones that did not learn from it.

        Returns
        -------
        words : ndarray (n_samples, M, E, C), NaN where nothing is said
        """
        features = summaries(batch)
        shape = len(batch), len(features), len(EXPERTS), self.task.n_outputs
        out = np.full(shape, np.nan)
        for m, x in enumerate(features):
            rows = np.flatnonzero(batch.present[:, m])
            w = None if weight is None else weight[rows]
            for kind, model in self.models[m].items():
                one = model[self.strength[m]] if kind == "linear" else model
                said = _cross_fitted(self.task, one, x[rows], y[rows], w)
                if said is not None:
                    out[rows, m, EXPERTS.index(kind)] = said
        return out

    def _fit_all(
        self,
        x: Any,
        y: NDArray[Any],
        weight: NDArray[Any] | None,
        rows: NDArray[np.intp],
    ) -> dict[str, Any]:
        """One of each kind on the summary of one modality."""
        x, y = x[rows], y[rows]
        w = None if weight is None else weight[rows]
        models = self._fit_linear(x, y, w)
        if models and not sparse.issparse(x):
            models |= self._fit_trees(dict.fromkeys(EXPERTS[1:], x), y, w)
        return models

    def _fit_linear(
        self, x: Any, y: NDArray[Any], w: NDArray[Any] | None
    ) -> dict[str, Any]:
        """The linear experts of every strength; none where rows are too few."""
        few_classes = self.task.is_classification and len(np.unique(y)) < 2
        if len(y) < 10 or few_classes:
            return {}
        strengths = _strengths(self.task, x)
        return {"linear": [_fit(_linear(self.task, x, s), x, y, w) for s in strengths]}

    def _fit_joint(
        self,
        features: Sequence[Any],
        y: NDArray[Any],
        weight: NDArray[Any] | None,
        rows: NDArray[np.intp],
    ) -> dict[str, Any]:
        """A linear expert on all summaries; trees that also read what such ones say."""
        features, y = [x[rows] for x in features], y[rows]
        w = None if weight is None else weight[rows]
        models = self._fit_linear(_join(features), y, w)
        if models:
            linear = [*(alone.get("linear") for alone in self.models), models["linear"]]
            self.reader = _Reader(self.task, linear)
            models |= self._fit_trees(self.reader.fit_read(features, y, w), y, w)
        return models

    def _fit_trees(
        self, read: dict[str, NDArray[Any]], y: NDArray[Any], w: NDArray[Any] | None
    ) -> dict[str, Any]:
        """The trees that are affordable, each kind on what it reads."""
        task, models = self.task, {}
        n, f = read["forest"].shape
        trees = int(min(200, 10 * _FOREST_COST / (n * np.sqrt(f))))
        if trees >= 20:
            forest = ExtraTreesClassifier if task.is_classification else _forest
            models["forest"] = _fit(
                forest(trees, min_samples_leaf=2, random_state=task.seed),
                read["forest"],
                y,
                w,
            )
        n, f = read["boosting"].shape
        outputs = task.n_outputs if task.n_outputs > 2 else 1
        one = task.is_classification or task.n_outputs == 1
        if one and outputs * f * (n + 4000) <= _BOOSTING_COST:
            boosting = (
                HistGradientBoostingClassifier
                if task.is_classification
                else HistGradientBoostingRegressor
            )
            models["boosting"] = _fit(
                boosting(
                    learning_rate=0.06,
                    max_iter=150,
                    max_leaf_nodes=15,
                    l2_regularization=1.0,
                    early_stopping=False,
                    random_state=task.seed,
                ),
                read["boosting"],
                y,
                w,
            )
        return models

    def _answers(self, model: Any, x: Any) -> NDArray[np.float64]:
        return _answers(self.task, model, x)


def _answers(task: ExpertTask, model: Any, x: Any) -> NDArray[np.float64]:
    """Log-probabilities (n, C), or predictions of the standardised target."""
    if not task.is_classification:
        return np.asarray(model.predict(x), dtype=np.float64).reshape(x.shape[0], -1)
    # As if each class had been counted once more: no answer is ever certain.
    n, C = 200.0, task.n_outputs
    p = np.zeros((x.shape[0], C))
    p[:, model.classes_] = model.predict_proba(x)  # a fold may lack a rare class
    return np.log((n * p + C * task.prior) / (n + C))


def _cross_fitted(
    task: ExpertTask, model: Any, x: Any, y: NDArray[Any], w: NDArray[Any] | None
) -> NDArray[np.float64] | None:
    """What models like this one say of rows that they did not learn from, (n, C).

    None where some of them would know one class only.
    """
    n_folds = 3 if len(y) < _MANY_ROWS else 2
    folds = KFold(n_folds, shuffle=True, random_state=task.seed)
    out = np.empty((len(y), task.n_outputs))
    for learn, hold in folds.split(y):
        if task.is_classification and len(np.unique(y[learn])) < 2:
            return None
        weight = None if w is None else w[learn]
        out[hold] = _answers(
            task, _fit(clone(model), x[learn], y[learn], weight), x[hold]
        )
    return out


def _forest(trees: int, **options: Any) -> ExtraTreesRegressor:
    return ExtraTreesRegressor(trees, max_features=0.5, **options)


def _fit(model: Any, x: Any, y: NDArray[Any], w: NDArray[Any] | None) -> Any:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    options = {}
    if w is not None:
        last = model.steps[-1][0] + "__" if hasattr(model, "steps") else ""
        options = {f"{last}sample_weight": w}
    with warnings.catch_warnings():
        # A fit that was cut short is an expert like any other: held-out rows judge it.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message="The number of unique classes")
        return model.fit(x, y, **options)


def _strengths(task: ExpertTask, x: Any) -> tuple[float, ...]:
    """From weak fits to strong ones: C of a classifier, alpha of a regressor."""
    if not sparse.issparse(x):
        return _DENSE_C if task.is_classification else _DENSE_ALPHA
    found = _SPARSE_C if task.is_classification else _SPARSE_ALPHA
    return found if x.shape[0] < _MANY_ROWS else found[1:3]


def _linear(task: ExpertTask, x: Any, strength: float) -> Any:
    """An unfitted linear model of one strength."""
    if task.is_classification:
        model: Any = LogisticRegression(C=strength, max_iter=300)
    else:
        model = Ridge(alpha=strength)
    if sparse.issparse(x):
        return model
    n, f = x.shape
    width = min(_N_COMPONENTS, max(20, int(_LINEAR_COST / (n * task.n_outputs))))
    if f > min(_MAX_DENSE, width * 2) and n > 2 * width:
        pca = PCA(width, random_state=task.seed, svd_solver="randomized")
        return make_pipeline(StandardScaler(), pca, model)
    return make_pipeline(StandardScaler(), model)


class _Reader:
    """What trees read of all modalities: few columns, and what linear models say.

    The forest reads both. So does boosting in a regression; of classes it would
    believe the linear models too readily.

    Parameters
    ----------
    task : ExpertTask
    linear : list of M + 1 list, or None
        Fitted linear models, a list for each modality and one for all together.

    References
    ----------
    Wolpert (1992), "Stacked generalization": what the linear models say of a training
    row is said by models that did not learn from it.
    """

    def __init__(self, task: ExpertTask, linear: Sequence[Any]) -> None:
        self.task = task
        self.linear = [m and m[len(m) // 2] for m in linear]

    def fit_read(
        self, features: Sequence[Any], y: NDArray[Any], w: NDArray[Any] | None
    ) -> dict[str, NDArray[np.float64]]:
        """Learn from the training rows, and read them."""
        mixed = any(sparse.issparse(x) for x in features)
        self.svds = [_svd(x, self.task.seed) if mixed else None for x in features]
        blocks = [*features, _join(features)]
        self.asked, said = [], []
        for m, model in enumerate(self.linear):
            if model is not None:
                opinion = _cross_fitted(self.task, model, blocks[m], y, w)
                if opinion is not None:
                    self.asked.append(m)
                    said.append(opinion)
        return self._combine(features, said)

    def read(self, features: Sequence[Any]) -> dict[str, NDArray[np.float64]]:
        """Read other rows."""
        blocks = [*features, _join(features)]
        said = [_answers(self.task, self.linear[m], blocks[m]) for m in self.asked]
        return self._combine(features, said)

    def _combine(
        self, features: Sequence[Any], said: list[NDArray[np.float64]]
    ) -> dict[str, NDArray[np.float64]]:
        columns = []
        for svd, x in zip(self.svds, features, strict=True):
            dense = x.toarray() if svd is None and sparse.issparse(x) else x
            columns.append(dense if svd is None else svd.transform(x))
        few = np.concatenate(columns, axis=1)
        both = np.concatenate([few, *said], axis=1)
        boosting = few if self.task.is_classification else both
        return {"forest": both, "boosting": boosting}


def _svd(x: Any, seed: int) -> TruncatedSVD | None:
    """What makes few columns of a wide block; None where it is narrow."""
    width = _SVD_SPARSE if sparse.issparse(x) else _SVD_DENSE
    if x.shape[1] <= 2 * width or x.shape[0] <= width:
        return None
    return TruncatedSVD(width, random_state=seed).fit(x)


def summaries(batch: ModalityBatch) -> list[Any]:
    """One matrix a modality, (n_samples, n_features), dense or CSR."""
    return [batch.modalities[n].features(b) for n, b in batch.blocks.items()]


def _join(features: Sequence[Any]) -> Any:
    """All summaries side by side, sparse where any is."""
    if len(features) == 1:
        return features[0]
    if not any(sparse.issparse(x) for x in features):
        return np.concatenate(features, axis=1)
    # Dense columns beside rows of TF-IDF of norm 1 get a size like theirs.
    return sparse.hstack([sparse.csr_matrix(x) for x in features], format="csr")
