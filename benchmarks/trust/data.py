"""The sets as they are measured: split, and with what was fitted on them so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from benchmarks.common.data import read, take
from benchmarks.common.tasks import load
from skfusion import FusionClassifier, FusionRegressor
from skfusion.datasets import (
    load_clothing_reviews,
    load_handwritten_views,
    make_multimodal_classification,
)

SMOKE_ROWS = 150


@dataclass
class Data:
    """A set, split, the modalities to make of it, and what was fitted on it so far."""

    modalities: list[tuple[str, Any, Any]]
    X: Any
    y: np.ndarray
    X_test: Any
    y_test: np.ndarray
    options: dict[str, Any] = field(default_factory=dict)
    places: Sequence[dict[str, Any]] = ()  # of the test rows' known elements
    is_classification: bool = True
    fits: dict[Any, Any] = field(default_factory=dict, init=False)

    def fit(self, modalities: Any = None, **options: Any) -> Any:
        """An estimator with its defaults, but for `options`; fitted once."""
        views = self.modalities if modalities is None else modalities
        options = {"fusion": "adaptive", "random_state": 0, **self.options, **options}
        key = (tuple(name for name, _, _ in views), *sorted(options.items()))
        if key not in self.fits:
            kind = FusionClassifier if self.is_classification else FusionRegressor
            self.fits[key] = kind(views, **options).fit(self.X, self.y)
        return self.fits[key]

    def right(self, modalities: Any = None, **options: Any) -> np.ndarray:
        """In which test rows such a classifier is right."""
        return self.fit(modalities, **options).predict(self.X_test) == self.y_test

    def some(self, n: int) -> Any:
        """So many test rows, drawn at random, in the order in which they are."""
        rows = np.random.default_rng(0).permutation(len(self.y_test))[:n]
        return take(self.X_test, np.sort(rows))

    def with_rows(self, X: Any, X_test: Any, modalities: Any) -> Data:
        """Other cells and modalities in the same rows."""
        return replace(self, X=X, X_test=X_test, modalities=modalities)


def _data(
    modalities: Any, X: Any, y: Any, test: Any, smoke: bool, places: Any = None
) -> Data:
    rows, test_rows = np.flatnonzero(~test), np.flatnonzero(test)
    if smoke:
        rng = np.random.default_rng(0)
        rows, test_rows = (rng.permutation(r)[:SMOKE_ROWS] for r in (rows, test_rows))
    y = np.asarray(y)
    return Data(
        modalities,
        take(X, rows),
        y[rows],
        take(X, test_rows),
        y[test_rows],
        {"max_epochs": 1} if smoke else {},
        () if places is None else [places[i] for i in test_rows],
    )


def task(name: str, smoke: bool) -> Data:
    """The first fold of a task of the comparison, or its official split."""
    train, test = load(name, 0, 0)
    if smoke:
        train, test = (
            part.rows(np.arange(min(SMOKE_ROWS, len(part.y)))) for part in (train, test)
        )
    return Data(
        train.modalities,
        train.X,
        train.y,
        test.X,
        test.y,
        {"max_epochs": 1} if smoke else {},
        is_classification=train.is_classification,
    )


def scene15(smoke: bool) -> Data:
    """Three views of scenes; a random fifth of the rows is for test."""
    frame = read("mv_scene15")
    test = np.random.default_rng(0).random(len(frame.y)) < 0.2
    return _data(frame.modalities, frame.X, frame.y, test, smoke)


def mfeat(smoke: bool) -> Data:
    """Six views of handwritten digits, which come with the package."""
    digits = load_handwritten_views()
    views = [(name, "vector", columns) for name, columns in digits.views.items()]
    return _data(views, digits.data, digits.target, digits.split == "test", smoke)


def avmnist_lopsided(smoke: bool) -> Data:
    """Digits that are written clearly, and spoken in noise as loud as the voice."""
    frame, hard = read("avmnist"), read("avmnist", hard=True)
    X = frame.X.assign(audio=hard.X["audio"])
    return _data(frame.modalities, X, frame.y, frame.split == "test", smoke)


def clothing(smoke: bool) -> Data:
    """Reviews of clothes, which come with the package: words and columns."""
    reviews = load_clothing_reviews()
    texts = ["Title", "Review Text"]
    facts = [c for c in reviews.data if c not in texts]
    views = [("review", "text", texts), ("facts", "tabular", facts)]
    test = reviews.split == "test"
    return _data(views, reviews.data, reviews.target, test, smoke)


def made(kinds: Sequence[str], n: int, smoke: bool, **options: Any) -> Data:
    """Made-up data in which it is known which elements tell the class."""
    bunch = make_multimodal_classification(n, kinds=kinds, random_state=0, **options)
    test = np.arange(n) >= n - 500
    views = [(name, bunch.kinds[name], c) for name, c in bunch.modalities.items()]
    places = bunch.informative_elements
    return _data(views, bunch.data, bunch.target, test, smoke, places)
