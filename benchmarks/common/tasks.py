"""The tasks of the comparison, and the rows that each learns from and is tested on."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    train_test_split,
)

from benchmarks.common.data import read, take

N_FOLDS = 5
SMALL = 2000  # below so many rows, a task is run with three seeds


class Task(NamedTuple):
    """A set, what is asked of it, and how often."""

    data: str
    options: dict[str, Any] = {}
    official: bool = False  # the set has test rows of its own
    small: bool = False  # fewer than SMALL rows


TASKS = {
    "womens_clothing": Task("womens_clothing", official=True),
    "womens_clothing:Rating": Task("womens_clothing", {"target": "Rating"}, True),
    "womens_clothing:Department": Task(
        "womens_clothing", {"target": "Department Name"}, True
    ),
    "druglib": Task("druglib", official=True),
    "druglib:effectiveness": Task("druglib", {"target": "effectiveness"}, True),
    "avmnist": Task("avmnist", official=True),
    "avmnist:hard": Task("avmnist", {"hard": True, "pairs": "x1"}, True),
    "fashion_products": Task("fashion_products"),
    "fashion_products:masked": Task("fashion_products", {"mask_title": True}),
    "emoji": Task("emoji", small=True),
    "mv_handwritten": Task("mv_handwritten", official=True),
    "mv_scene15": Task("mv_scene15"),
    "rosmap": Task("rosmap", official=True, small=True),
    "htad": Task("htad", small=True),
    "watch": Task("watch"),
    "midwest_survey": Task("midwest_survey"),
    "titanic": Task("titanic", small=True),
    "employee_salaries": Task("employee_salaries"),
    "houses": Task("houses", small=True),
}


class Part(NamedTuple):
    """The rows of one fold: what a method is given."""

    X: pd.DataFrame
    y: np.ndarray  # classes as 0, 1, ...; or numbers
    groups: np.ndarray | None
    modalities: list[tuple[str, str, list[str]]]
    n_classes: int  # 0 where the target is a number

    @property
    def is_classification(self) -> bool:
        """Whether the target is a class."""
        return self.n_classes > 0

    def rows(self, rows: Any) -> "Part":
        """Some of the rows."""
        groups = None if self.groups is None else self.groups[rows]
        return self._replace(X=take(self.X, rows), y=self.y[rows], groups=groups)


def runs(name: str, quick: bool) -> Iterator[tuple[int, int]]:
    """The (fold, seed) pairs of a task; fold 0 is the official split where one is."""
    task = TASKS[name]
    for seed in range(3 if task.small and not quick else 1):
        for fold in range(1 if task.official or quick else N_FOLDS):
            yield fold, seed


def load(name: str, fold: int, seed: int) -> tuple[Part, Part]:
    """The rows to learn from and the rows to be tested on, the same for all methods."""
    task = TASKS[name]
    data = read(task.data, **task.options)
    if data.is_classification:
        classes, y = np.unique(data.y, return_inverse=True)
        n_classes = len(classes)
    else:
        y, n_classes = np.asarray(data.y, dtype=float), 0
    # The speakers of avmnist are in both parts of its official split.
    groups = None if task.official else data.groups
    whole = Part(data.X, y, groups, data.modalities, n_classes)
    if task.official:
        is_test = data.split == "test"
        return whole.rows(np.flatnonzero(~is_test)), whole.rows(np.flatnonzero(is_test))
    train, test = folds(whole, N_FOLDS, seed)[fold]
    return whole.rows(train), whole.rows(test)


def folds(part: Part, n_splits: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Shuffled folds: whole groups where there are groups, else stratified."""
    if part.groups is not None:
        n_splits = min(n_splits, len(np.unique(part.groups)))
    options = {"n_splits": n_splits, "shuffle": True, "random_state": seed}
    if part.groups is not None:
        kind = StratifiedGroupKFold if part.is_classification else GroupKFold
    else:
        kind = StratifiedKFold if part.is_classification else KFold
    return list(kind(**options).split(part.X, part.y, part.groups))


def hold_out(part: Part, share: float, seed: int) -> tuple[Part, Part]:
    """Split off a share of the rows, for methods that stop early by themselves."""
    rows = np.arange(len(part.y))
    if part.groups is not None:
        splitter = GroupShuffleSplit(1, test_size=share, random_state=seed)
        train, held = next(splitter.split(rows, part.y, part.groups))
    else:
        train, held = train_test_split(
            rows,
            test_size=share,
            stratify=part.y if part.is_classification else None,
            random_state=seed,
        )
    return part.rows(train), part.rows(held)
