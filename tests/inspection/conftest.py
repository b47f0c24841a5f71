"""Estimators that many tests look at, fitted once."""

import warnings

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from skfusion import FusionClassifier, FusionRegressor
from skfusion.datasets import make_multimodal_classification

mpl.use("Agg")

QUICK = {"n_folds": 2, "base_models": None, "random_state": 0}


def _views(n, seed):
    """Three views of one class; each says it clearly in two rows of three."""
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=n)
    corners = np.random.default_rng(7).normal(size=(3, 3, 8)) * 2
    says = rng.random((n, 3)) < 0.66
    X = rng.normal(size=(n, 3, 8)) + corners[:, y].transpose(1, 0, 2) * says[..., None]
    names = [f"{view}{i}" for view in "abc" for i in range(8)]
    return pd.DataFrame(X.reshape(n, 24), columns=names), y


VIEWS = [(v, "vector", [f"{v}{i}" for i in range(8)]) for v in "abc"]


@pytest.fixture(scope="session")
def trusted():
    """(classifier that learned trust, its test rows, their labels)."""
    X, y = _views(900, 0)
    clf = FusionClassifier(VIEWS, max_epochs=20, d_model=32, **QUICK)
    return clf.fit(X[:600], y[:600]), X[600:], y[600:]


@pytest.fixture(scope="session")
def attending(trusted):
    """The same rows for an unsupervised attention."""
    X, y = _views(900, 0)
    clf = FusionClassifier(
        VIEWS, fusion="attention", max_epochs=20, d_model=32, **QUICK
    )
    return clf.fit(X[:600], y[:600]), trusted[1], trusted[2]


@pytest.fixture(scope="session")
def regression():
    """(regressor, rows, targets): the target is 10 + 3 times a column of the first."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(400, 6)), columns=list("abcdef"))
    y = 10 + 3 * X["a"].to_numpy() + rng.normal(size=400)
    views = [("left", "vector", list("abc")), ("right", "tabular", list("def"))]
    reg = FusionRegressor(views, max_epochs=20, d_model=16, **QUICK)
    return reg.fit(X, y), X, y


@pytest.fixture(scope="session")
def planted():
    """(classifier of words and numbers, test rows, what was planted there)."""
    made = make_multimodal_classification(
        1200, kinds=["text", "tabular"], random_state=0
    )
    views = [(n, made.kinds[n], columns) for n, columns in made.modalities.items()]
    clf = FusionClassifier(views, max_epochs=30, d_model=64, **QUICK)
    learn = np.arange(900)
    clf.fit(made.data.iloc[learn], made.target.iloc[learn])
    rows = np.arange(900, 1200)
    places = [made.informative_elements[i] for i in rows]
    return clf, made.data.iloc[rows], made.target.iloc[rows], places


@pytest.fixture(scope="session")
def sensed():
    """(classifier of pictures, sounds and series, rows, labels), hardly fitted."""
    made = make_multimodal_classification(
        60, kinds=["image", "audio", "series"], random_state=0, missing_rate=0.1
    )
    views = [(n, made.kinds[n], columns) for n, columns in made.modalities.items()]
    clf = FusionClassifier(views, max_epochs=2, d_model=16, **QUICK)
    return clf.fit(made.data, made.target), made.data, made.target


@pytest.fixture(scope="session")
def mixed_classifier():
    """(classifier, frame, labels) of text, table and pictures, some cells absent."""
    from skfusion import ModalityTransformer
    from skfusion.modalities import ImageModality
    from tests.conftest import mixed_frame

    frame, good = mixed_frame(80)
    modalities = ModalityTransformer(
        [
            ("words", "text", "note"),
            ("facts", "tabular", ["price", "weight", "colour"]),
            ("picture", ImageModality(size=16), "photo"),
        ]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = FusionClassifier(modalities, max_epochs=3, d_model=16, random_state=0)
        return clf.fit(frame, good), frame, good
