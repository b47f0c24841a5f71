"""The package's own estimators, in the form in which peers are run."""

from functools import partial
from inspect import signature
from typing import Any

import numpy as np

import skfusion.fusion
from benchmarks.common.tasks import Part
from benchmarks.compare.methods import Learn, Predict, Setup
from skfusion import FusionClassifier, FusionRegressor


def learner(options: dict[str, Any]) -> Learn:
    """The function that fits an estimator with these options, defaults otherwise."""
    options = {name: _resolved(value) for name, value in options.items()}

    def fit(train: Part, setup: Setup) -> Predict:
        kind = FusionClassifier if train.is_classification else FusionRegressor
        model = kind(train.modalities, random_state=setup.seed, device="cpu", **options)
        takes = signature(model.fit).parameters  # at older commits, no groups
        given = {"groups": train.groups} if "groups" in takes else {}
        model.fit(train.X, train.y, **given)
        return partial(predict, model, train.n_classes)

    return fit


def _resolved(value: Any) -> Any:
    """An option as it is, or the spec that a pair of a name and options stands for."""
    if not isinstance(value, tuple):
        return value
    name, options = value
    return getattr(skfusion.fusion, name)(**options)


def predict(model: Any, n_classes: int, part: Part) -> np.ndarray:
    """Probabilities of all classes of the task, or numbers."""
    if not n_classes:
        return model.predict(part.X)
    out = np.zeros((len(part.y), n_classes))
    out[:, np.asarray(model.classes_, dtype=int)] = model.predict_proba(part.X)
    return out
