"""Rows before they are learned: which are distinct, in which order, in which fold."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    train_test_split,
)

from skfusion._row_keys import link_rows, row_keys
from skfusion.training.links import Link

__all__ = ["DistinctRows", "Split", "distinct_rows", "held_out_rows", "split_rows"]

#: Rows to learn from, and rows held out.
Split = tuple[NDArray[np.intp], NDArray[np.intp]]


class DistinctRows(NamedTuple):
    """The distinct rows of a table in an order of their own.

    rows : ndarray (n_distinct,)
        Positions, in the order of the keys of their content: it does not depend on how
        the rows were ordered or repeated.
    weight : ndarray (n_distinct,)
        Sum of the weights of the copies, 1 on average.
    group : ndarray (n_distinct,) or None
        Rows of one number belong together: those of one group that the user named, and
        those of the same content with another target. None where each is by itself.
    """

    rows: NDArray[np.intp]
    weight: NDArray[np.float64]
    group: NDArray[np.intp] | None


def distinct_rows(X: Any, y: NDArray[Any], weight: Any, groups: Any) -> DistinctRows:
    """Merge rows of the same content and target, and add up their weights.

    Parameters
    ----------
    X : DataFrame, array, CSR matrix or ModalityBatch of n_samples rows
    y : ndarray of shape (n_samples,) or (n_samples, n_targets)
    weight : ndarray of shape (n_samples,), above 0, or None
    groups : array-like of shape (n_samples,), or None
    """
    n = len(y)
    weight = np.ones(n) if weight is None else weight
    keys = row_keys(X)
    parts = [keys, row_keys(np.asarray(y).reshape(n, -1))]
    if groups is not None:
        parts.append(row_keys(np.asarray(groups, dtype=object).reshape(n, 1)))
    _, first, inverse = np.unique(
        np.concatenate(parts, axis=1), axis=0, return_index=True, return_inverse=True
    )
    total = np.bincount(inverse.ravel(), weight)
    total = total / total.max()  # of all weights times 7, the same to the bit
    names = None if groups is None else parts[2][first]
    return DistinctRows(first, total / total.mean(), _linked(keys[first], names))


def _linked(keys: NDArray[Any], names: NDArray[Any] | None) -> NDArray[np.intp] | None:
    """Number of the set of rows that each belongs to, by content and by name."""
    _, by_content = np.unique(keys, axis=0, return_inverse=True)
    if names is None:
        alone = by_content.max(initial=-1) + 1 == len(keys)
        return None if alone else by_content.ravel()
    _, by_name = np.unique(names, axis=0, return_inverse=True)
    return link_rows(by_content.ravel(), by_name.ravel())


# ---------------------------------------------------------------- folds


def held_out_rows(splits: Sequence[Split]) -> NDArray[np.intp]:
    """The rows that are held out from any fold, fold by fold."""
    return np.concatenate([held for _, held in splits])


def split_rows(
    target: NDArray[Any],
    n_folds: int,
    *,
    n_held: int,
    seed: int,
    link: Link,
    group: NDArray[np.intp] | None = None,
) -> list[Split]:
    """Rows to learn from and rows held out, `n_folds` times, by stratum if that can be.

    One fold holds out `n_held` rows, several hold out each row once. Rows of one group
    are never on both sides.
    """
    n = len(target)
    rows = np.arange(n)
    labels, least = link.strata(target), 0
    if labels is not None:
        counts = np.unique(labels, return_counts=True)[1]
        least = int(counts.min())
        if least < 2 or not n_held >= len(counts) <= n - n_held:
            labels = None
    n_groups = n if group is None else len(np.unique(group))
    n_folds = max(1, min(n_folds, n_groups, n // 2))
    if n_folds == 1:
        if group is not None:
            splitter = GroupShuffleSplit(1, test_size=n_held / n, random_state=seed)
            return [next(splitter.split(rows, groups=group))]
        learn, held = train_test_split(
            rows, test_size=n_held, random_state=seed, stratify=labels
        )
        return [(np.sort(learn), np.sort(held))]
    stratified = labels is not None and least >= n_folds
    options = {"n_splits": n_folds, "shuffle": True, "random_state": seed}
    if group is not None:
        kind = StratifiedGroupKFold if stratified else GroupKFold
    else:
        kind = StratifiedKFold if stratified else KFold
    with warnings.catch_warnings():
        # Where a class is in few groups, some fold lacks it: allowed for.
        warnings.filterwarnings("ignore", message="The least populated class")
        return list(kind(**options).split(rows, labels, group))
