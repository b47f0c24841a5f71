"""The package's own estimators, in the form in which peers are run."""

from collections.abc import Callable
from typing import Any

import numpy as np
from compare_peers_sklearn import Predict, Setup
from compare_tasks import Part

from skfusion import FusionClassifier, FusionRegressor


def learner(options: dict[str, Any]) -> Callable[[Part, Setup], Predict]:
    """The function that fits an estimator with these options, defaults otherwise."""

    def fit(train: Part, setup: Setup) -> Predict:
        kind = FusionClassifier if train.is_classification else FusionRegressor
        model = kind(
            train.modalities, random_state=setup.seed, device="cpu", **options
        ).fit(train.X, train.y)
        if not train.is_classification:
            return lambda part: model.predict(part.X)

        def predict(part: Part) -> np.ndarray:
            out = np.zeros((len(part.y), train.n_classes))
            out[:, np.asarray(model.classes_, dtype=int)] = model.predict_proba(part.X)
            return out

        return predict

    return fit
