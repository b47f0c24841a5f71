"""What `trust.py` measures: for each set, the figures that can be measured there."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from bench_data import read, take
from trust_measures import (
    Figure,
    absence,
    calibration,
    faithfulness,
    found_elements,
    noise_against_concat,
    order,
    random_modality,
    seeds,
    unseen,
    without_each,
)

from skfusion import FusionClassifier
from skfusion.datasets import (
    load_clothing_reviews,
    load_handwritten_views,
    make_multimodal_classification,
)


class Data(NamedTuple):
    """A set, split, and the modalities to make of it."""

    modalities: list[tuple[str, Any, Any]]
    X: Any
    y: np.ndarray
    X_test: Any
    y_test: np.ndarray
    options: dict[str, Any]

    def fit(self, modalities: Any = None, **options: Any) -> FusionClassifier:
        """A classifier with its defaults, but for `options`."""
        clf = FusionClassifier(
            self.modalities if modalities is None else modalities,
            **{"random_state": 0, **self.options, **options},
        )
        return clf.fit(self.X, self.y)


def _data(modalities: Any, X: Any, y: Any, test: Any, smoke: bool) -> Data:
    rows, test_rows = np.flatnonzero(~test), np.flatnonzero(test)
    if smoke:
        rng = np.random.default_rng(0)
        rows, test_rows = (rng.permutation(r)[:150] for r in (rows, test_rows))
    y = np.asarray(y)
    return Data(
        modalities,
        take(X, rows),
        y[rows],
        take(X, test_rows),
        y[test_rows],
        {"max_epochs": 1} if smoke else {},
    )


def scene15(smoke: bool) -> Iterator[Figure]:
    """Three views of scenes; a random fifth of the rows is for test."""
    frame = read("mv_scene15")
    test = np.random.default_rng(0).random(len(frame.y)) < 0.2
    data = _data(frame.modalities, frame.X, frame.y, test, smoke)
    clf, concat = data.fit(), data.fit(fusion="concat")
    attention = data.fit(fusion="attention")
    yield from faithfulness(clf, data)
    yield from faithfulness(attention, data)
    yield from random_modality(clf, data)
    yield from absence(clf, data)
    yield from without_each(clf, data)
    yield from order(clf, data)
    yield from seeds(clf, data)
    yield from noise_against_concat(clf, concat, data)
    yield from calibration(clf, data)


def mfeat(smoke: bool) -> Iterator[Figure]:
    """Six views of handwritten digits, which come with the package."""
    digits = load_handwritten_views()
    views = [(name, "vector", columns) for name, columns in digits.views.items()]
    test = digits.split == "test"
    data = _data(views, digits.data, digits.target, test, smoke)
    clf = data.fit()
    yield from faithfulness(clf, data, swap_target=0.9)
    yield from faithfulness(data.fit(fusion="attention"), data, swap_target=0.9)
    yield from random_modality(clf, data)
    yield from absence(clf, data)


def avmnist(smoke: bool) -> Iterator[Figure]:
    """Digits that are written and spoken."""
    frame = read("avmnist")
    data = _data(frame.modalities, frame.X, frame.y, frame.split == "test", smoke)
    clf = data.fit()
    yield from faithfulness(clf, data)
    yield from faithfulness(data.fit(fusion="attention"), data)
    yield from absence(clf, data)
    yield from without_each(clf, data)
    yield from calibration(clf, data)


def avmnist_hard(smoke: bool) -> Iterator[Figure]:
    """The same with most of the picture removed and with noise in the sound."""
    frame = read("avmnist", hard=True)
    data = _data(frame.modalities, frame.X, frame.y, frame.split == "test", smoke)
    clf, concat = data.fit(), data.fit(fusion="concat")
    yield from unseen(clf, concat, data)


def clothing(smoke: bool) -> Iterator[Figure]:
    """Reviews of clothes, which come with the package: words and columns."""
    reviews = load_clothing_reviews()
    views = [
        ("review", "text", ["Title", "Review Text"]),
        (
            "facts",
            "tabular",
            [c for c in reviews.data if c not in ("Title", "Review Text")],
        ),
    ]
    test = reviews.split == "test"
    data = _data(views, reviews.data, reviews.target, test, smoke)
    clf = data.fit()
    yield from faithfulness(clf, data)
    yield from calibration(clf, data)


def made(smoke: bool) -> Iterator[Figure]:
    """Made-up data in which it is known which elements tell the class."""
    for kinds in (["text", "tabular"], ["image", "audio"]):
        made = make_multimodal_classification(
            2500 if "image" in kinds else 1500, kinds=kinds, random_state=0
        )
        test = np.arange(len(made.target)) >= len(made.target) - 500
        views = [(n, made.kinds[n], c) for n, c in made.modalities.items()]
        data = _data(views, made.data, made.target, test, smoke)
        rows = take(made.data, np.flatnonzero(test))
        places = made.informative_elements[-500:]
        yield from found_elements(data.fit(), rows, places)
