"""Peers that need scikit-learn alone, each a function that learns from rows.

Each takes the training rows and a setup, and returns a function that takes rows and
gives probabilities of shape (n_samples, n_classes), or predicted numbers.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline

from benchmarks.common.tasks import Part, folds
from benchmarks.compare.methods import Predict, Setup
from benchmarks.compare.peers_features import Features, joined

# Penalties that are tried. Matrices have rows of norm 1, so they suit all of them.
CS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
ALPHAS = (100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
PATIENCE = 2  # weaker penalties without gain after which no more are tried
MANY_ROWS = 5000  # from so many rows, 3 folds choose instead of 5


# ---------------------------------------------------------------- learners


def _inner_folds(part: Part, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return folds(part, 3 if len(part.y) >= MANY_ROWS else 5, seed)


def _loss(part: Part, predicted: np.ndarray) -> float:
    if part.is_classification:
        return float(log_loss(part.y, predicted, labels=range(part.n_classes)))
    return float(np.mean((part.y - predicted) ** 2))


def _answers(model: Any, X: Any, part: Part) -> np.ndarray:
    """Probabilities of all classes, those unseen in training too; or numbers."""
    if not part.is_classification:
        return np.asarray(model.predict(X), dtype=float)
    out = np.zeros((X.shape[0], part.n_classes))
    out[:, np.asarray(model.classes_, dtype=int)] = model.predict_proba(X)
    return out


def _rows(X: Any, rows: np.ndarray) -> Any:
    return X.iloc[rows] if isinstance(X, pd.DataFrame) else X[rows]


class Learned(NamedTuple):
    """A model of all rows, and predictions of such models for rows held out."""

    model: Any
    out_of_fold: np.ndarray
    loss: float


def linear(X: Any, part: Part, inner: list[Any]) -> Learned:
    """Logistic or ridge regression, its penalty chosen by cross-validation.

    The folds walk from strong to weak penalties together, each from its last weights.
    """
    penalties = CS if part.is_classification else ALPHAS
    models = [_linear(part) for _ in inner]
    best, worse = None, 0
    for penalty in penalties:
        answers = np.zeros((len(part.y), part.n_classes or 1)).squeeze()
        for model, (train, held) in zip(models, inner, strict=True):
            _set_penalty(model, penalty).fit(_rows(X, train), part.y[train])
            answers[held] = _answers(model, _rows(X, held), part)
        loss = _loss(part, answers)
        if best is None or loss < best[0]:
            best, worse = (loss, penalty, answers), 0
        else:
            worse += 1
            if worse == PATIENCE:
                break
    loss, penalty, answers = best
    return Learned(_set_penalty(_linear(part), penalty).fit(X, part.y), answers, loss)


def _linear(part: Part) -> Any:
    if part.is_classification:
        # With the default tolerance, words of a few rows are hardly learned, and a fit
        # that starts from the last weights may not move at all.
        return LogisticRegression(warm_start=True, max_iter=1000, tol=1e-5)
    return Ridge()


def _set_penalty(model: Any, penalty: float) -> Any:
    name = "alpha" if isinstance(model, Ridge) else "C"
    return model.set_params(**{name: penalty})


def boosted(X: Any, part: Part, inner: list[Any], seed: int) -> Learned:
    """Histogram gradient boosting with its defaults."""
    answers = np.zeros((len(part.y), part.n_classes or 1)).squeeze()
    for train, held in inner:
        model = _boosting(part, seed).fit(_rows(X, train), part.y[train])
        answers[held] = _answers(model, _rows(X, held), part)
    model = _boosting(part, seed).fit(X, part.y)
    return Learned(model, answers, _loss(part, answers))


def _boosting(part: Part, seed: int) -> Any:
    kind = (
        HistGradientBoostingClassifier
        if part.is_classification
        else HistGradientBoostingRegressor
    )
    return kind(random_state=seed)


# ---------------------------------------------------------------- each modality alone


class Alone:
    """The better of a linear model and of boosting, for each modality by itself.

    What the models predict of the training rows out of fold is in `learned`; it is not
    needed for other rows, nor pickled.
    """

    def __init__(self, train: Part, setup: Setup) -> None:
        self.matrices = Features(train, trees=False, seed=setup.seed)
        self.frames = Features(train, trees=True, seed=setup.seed)
        self.inner = _inner_folds(train, setup.seed)
        self.learned = {
            name: min(
                linear(self.matrices.train[name], train, self.inner),
                boosted(self.frames.train[name], train, self.inner, setup.seed),
                key=lambda learned: learned.loss,
            )
            for name in self.matrices.train
        }

        self.models = {name: found.model for name, found in self.learned.items()}

    def __getstate__(self) -> dict[str, Any]:
        """What is needed for other rows."""
        kept = ("matrices", "frames", "models")
        return {name: self.__dict__[name] for name in kept}

    def predict(self, part: Part, names: list[str]) -> list[np.ndarray]:
        """The predictions of these modalities' models."""
        matrices, frames = self.matrices.transform(part), self.frames.transform(part)
        answers = []
        for name in names:
            model = self.models[name]
            is_linear = isinstance(model, LogisticRegression | Ridge)
            X = matrices[name] if is_linear else frames[name]
            answers.append(_answers(model, X, part))
        return answers


def best_single(train: Part, setup: Setup) -> Predict:
    """The modality whose model has the least cross-validated loss."""
    alone = Alone(train, setup)
    best = min(alone.learned, key=lambda name: alone.learned[name].loss)
    return partial(_of_one, alone, best)


def _of_one(alone: Alone, name: str, part: Part) -> np.ndarray:
    return alone.predict(part, [name])[0]


def late(train: Part, setup: Setup) -> Predict:
    """A linear model on top of what each modality's model predicts out of fold."""
    alone = Alone(train, setup)
    names = list(alone.learned)
    out_of_fold = [alone.learned[name].out_of_fold for name in names]
    forms = (np.asarray, _log) if train.is_classification else (np.asarray,)
    tops = [
        (linear(_side_by_side(out_of_fold, form), train, alone.inner), form)
        for form in forms
    ]
    top, form = min(tops, key=lambda pair: pair[0].loss)
    return partial(_of_all, alone, names, top.model, form)


def _of_all(
    alone: Alone, names: list[str], top: Any, form: Callable[..., Any], part: Part
) -> np.ndarray:
    answers = alone.predict(part, names)
    return _answers(top, _side_by_side(answers, form), part)


def _log(proba: np.ndarray) -> np.ndarray:
    return np.log(np.clip(proba, 1e-4, 1.0))


def _side_by_side(answers: list[np.ndarray], form: Callable[..., Any]) -> np.ndarray:
    return np.column_stack([form(answer) for answer in answers])


# ---------------------------------------------------------------- joined features


def early_linear(train: Part, setup: Setup) -> Predict:
    """One linear model on all features side by side."""
    features = Features(train, trees=False, seed=setup.seed)
    inner = _inner_folds(train, setup.seed)
    model = linear(joined(features.train), train, inner).model
    return partial(_of_joined, model, features, joined)


def _of_joined(
    model: Any, features: Features, join: Callable[..., Any], part: Part
) -> np.ndarray:
    return _answers(model, join(features.transform(part)), part)


def hgb(train: Part, setup: Setup) -> Predict:
    """HistGradientBoosting with its defaults on all columns side by side."""
    return joined_trees(_boosting(train, setup.seed), train, setup)


def extratrees(train: Part, setup: Setup) -> Predict:
    """500 extremely randomised trees."""
    kind = ExtraTreesClassifier if train.is_classification else ExtraTreesRegressor
    trees = kind(500, n_jobs=setup.threads, random_state=setup.seed)
    features = Features(train, trees=True, seed=setup.seed)
    impute = SimpleImputer(strategy="median", keep_empty_features=True)
    model = make_pipeline(impute, trees).fit(_codes(features.train), train.y)
    return partial(_of_joined, model, features, _codes)


def _codes(blocks: dict[str, pd.DataFrame]) -> pd.DataFrame:
    frame = joined(blocks)
    categories = frame.select_dtypes("category")
    return frame.assign(**{c: categories[c].cat.codes for c in categories})


def joined_trees(model: Any, train: Part, setup: Setup) -> Predict:
    """Fit a model that knows pandas' categories on all columns side by side."""
    features = Features(train, trees=True, seed=setup.seed)
    model.fit(joined(features.train), train.y)
    return partial(_of_joined, model, features, joined)
