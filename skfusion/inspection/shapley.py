"""Exact Shapley values of modalities: what changes where they are taken away."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.utils import Bunch

from skfusion.inspection._resolving import (
    has_labels,
    logits,
    resolve,
    unwrap,
    with_present,
)

__all__ = ["modality_shapley"]

LARGEST = 10  # modalities; 2 to this power subsets are evaluated
CHUNK = 4096  # rows a call: of few rows, many subsets are evaluated at once

#: Outputs (n, C) of some rows where only some modalities, (n, M), are shown.
Value = Callable[[NDArray[np.intp], NDArray[np.bool_]], NDArray[np.float64]]


def modality_shapley(
    estimator: Any, X: Any, *, modalities: Mapping[str, Sequence[Any]] | None = None
) -> Bunch:
    """Share out each row's output among the modalities by exact Shapley values.

    Every subset of the modalities is shown to the estimator, the others being absent,
    and each modality is credited with the change that it makes, averaged over all
    orders in which the modalities may come. Unlike contributions, these values can be
    compared between models, also with models that are not of this package.

    Parameters
    ----------
    estimator : fitted estimator
        A `FusionClassifier`, `FusionRegressor` or `Pipeline` that ends in one; or, with
        `modalities`, any classifier or regressor that takes a DataFrame with missing
        cells.
    X : DataFrame, array or ModalityBatch of n_samples rows
        A DataFrame where `modalities` is given.
    modalities : dict of str to list of columns, optional
        Which columns make a modality. They are emptied (NaN in numeric columns, None in
        others) where it is to be absent. Not needed for estimators of this package,
        which hide modalities exactly.

    Returns
    -------
    found : Bunch
        names : tuple of str
            The M modalities.
        shapley : ndarray of shape (n_samples, n_modalities, n_outputs)
            Of a classifier, in centred log-probabilities (log-odds against the mean of
            all classes), or in log-odds of labels; of a regressor, in the units of `y`.
            A modality that is absent in a row has 0 there.
        baseline : ndarray of shape (n_samples, n_outputs)
            The output without any modality.
        output : ndarray of shape (n_samples, n_outputs)
            The output with all of them: ``baseline + shapley.sum(axis=1)``.

    Raises
    ------
    ValueError
        If there are more than 10 modalities: 1,024 subsets a row are the limit.

    References
    ----------
    Shapley (1953), "A value for n-person games".

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.ensemble import HistGradientBoostingRegressor
    >>> from skfusion.inspection import modality_shapley
    >>> X = pd.DataFrame({"a": range(40), "b": [0, 1] * 20}, dtype=float)
    >>> trees = HistGradientBoostingRegressor(min_samples_leaf=2).fit(X, X["a"] > 19)
    >>> found = modality_shapley(trees, X, modalities={"A": ["a"], "B": ["b"]})
    >>> found.shapley.shape, bool(abs(found.shapley[:, 1]).max() < 1e-8)
    ((40, 2, 1), True)
    """
    value: Value
    labels = False
    if modalities is not None:
        names, value = tuple(modalities), _of_frame(unwrap(estimator), X, modalities)
        present = np.ones((len(X), len(names)), dtype=bool)
    else:
        found = resolve(estimator)
        batch = found.batch(X)
        names, present = found.names, batch.present
        labels = has_labels(found.final)

        def value(
            rows: NDArray[np.intp], shown: NDArray[np.bool_]
        ) -> NDArray[np.float64]:
            return logits(found.final, with_present(batch[rows], shown))

    if len(names) > LARGEST:
        raise ValueError(
            f"modality_shapley shows the estimator all 2^M subsets of M modalities, so "
            f"it takes at most {LARGEST}. Got {len(names)}: {names}. Put some together "
            "into one modality, or use modality_contributions, which needs one pass."
        )
    outputs = _of_all_subsets(value, present)
    if is_classifier(unwrap(estimator)) and not labels:
        outputs = outputs - outputs.mean(axis=2, keepdims=True)
    return Bunch(
        names=names,
        shapley=_shapley(outputs, len(names)),
        baseline=outputs[0],
        output=outputs[-1],
    )


def _of_all_subsets(value: Value, present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Outputs (2^M, n, C); bit m of a subset's number says whether m is shown."""
    n, M = present.shape
    subsets = (np.arange(2**M)[:, None] >> np.arange(M)) & 1 == 1  # (2^M, M)
    at_once = max(1, CHUNK // n)
    parts = []
    for start in range(0, 2**M, at_once):
        shown = subsets[start : start + at_once, None] & present  # (k, n, M)
        rows = np.tile(np.arange(n), len(shown))
        out = value(rows, shown.reshape(-1, M))
        parts.append(out.reshape(len(shown), n, -1))
    return np.concatenate(parts)


def _shapley(outputs: NDArray[np.float64], M: int) -> NDArray[np.float64]:
    """Shapley values (n, M, C) from the outputs of all subsets (2^M, n, C)."""
    number = np.arange(2**M)
    size = np.array([int(s).bit_count() for s in number])
    values = []
    for m in range(M):
        without = number[(number >> m) & 1 == 0]
        weight = np.array([1 / (M * math.comb(M - 1, int(s))) for s in size[without]])
        gain = outputs[without | 1 << m] - outputs[without]
        values.append(np.tensordot(weight, gain, axes=1))
    return np.stack(values, axis=1)


def _of_frame(estimator: Any, X: Any, modalities: Mapping[str, Sequence[Any]]) -> Value:
    """How any estimator that takes a frame answers where columns are emptied."""
    if not hasattr(X, "iloc") or not hasattr(X, "columns"):
        raise TypeError(
            "With `modalities`, X must be a pandas DataFrame whose columns are named "
            f"there. Got {type(X).__name__} instead."
        )
    missing = [c for cs in modalities.values() for c in cs if c not in X.columns]
    if missing:
        raise ValueError(
            f"`modalities` names the column(s) {missing}, which X does not have. It "
            f"has {list(X.columns)}."
        )

    def value(rows: NDArray[np.intp], shown: NDArray[np.bool_]) -> NDArray[np.float64]:
        frame = X.iloc[rows].reset_index(drop=True)
        for m, columns in enumerate(modalities.values()):
            for c in columns:
                frame[c] = frame[c].where(shown[:, m], None)
        if is_classifier(estimator):
            return np.log(np.clip(estimator.predict_proba(frame), 1e-12, None))
        return np.asarray(estimator.predict(frame), dtype=float).reshape(len(rows), -1)

    return value
