"""Small data that many tests share. No test here needs more than a second of it."""

import io
import os

# Loky's workers inherit these: with more threads, two processes fight for two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
# scikit-learn's checks of array-API input run only with this; SciPy reads it once.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

import numpy as np
import pandas as pd
import pytest
import torch

from skfusion import FusionClassifier, FusionRegressor

torch.set_num_threads(1)

WORDS = ["lovely", "soft", "warm", "fits", "scratchy", "torn", "loose", "cheap"]


def _cells(values):
    """A Series of objects, one a cell; pandas would unpack arrays otherwise."""
    cells = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        cells[i] = value
    return cells


def _sentences(rng, good):
    fillers = ["the", "dress", "and", "shirt", "was", "really"]
    return [
        " ".join(
            [*rng.choice(fillers, 3), *rng.choice(WORDS[:4] if g else WORDS[4:], 2)]
        )
        for g in good
    ]


def mixed_frame(n, seed=0, *, absent=True):
    """Text, numbers, categories and tiny pictures; the label is a bit of each.

    Returns the frame and a boolean label. Some cells of each column are absent.
    """
    rng = np.random.default_rng(seed)
    good = rng.random(n) < 0.5
    photo = rng.integers(0, 60, (n, 8, 8, 3), dtype=np.uint8)
    photo[good, :4] += 150
    frame = pd.DataFrame(
        {
            "note": _sentences(rng, good),
            "price": rng.normal(20, 5, n) + 4 * good,
            "weight": rng.gamma(2, 2, n),
            "colour": rng.choice(["red", "green", "blue"], n),
            "photo": _cells(list(photo)),
        },
        index=[f"r{i}" for i in range(n)],
    )
    if absent:
        frame.loc[frame.index[1::7], "note"] = None
        frame.loc[frame.index[2::7], "price"] = np.nan
        frame.loc[frame.index[3::7], "colour"] = None
        frame["photo"] = frame["photo"].where(np.arange(n) % 7 != 4, None)
    return frame, good


@pytest.fixture
def mixed():
    """(frame, labels) of 80 rows."""
    return mixed_frame(80)


@pytest.fixture
def make_mixed():
    """The function that makes mixed frames."""
    return mixed_frame


@pytest.fixture
def mixed_modalities():
    """Unfitted modalities of the mixed frame, named unlike its columns."""
    from skfusion import ModalityTransformer
    from skfusion.modalities import ImageModality

    return ModalityTransformer(
        [
            ("words", "text", "note"),
            ("facts", "tabular", ["price", "weight", "colour"]),
            ("picture", ImageModality(size=16), "photo"),
        ]
    )


def _views(n, seed=0):
    """Two views of three columns; the class is the sign of their sum. Some absent."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6))
    y = np.where(X[:, 0] + X[:, 3] > 0, "yes", "no")
    X[1::9, :3] = np.nan
    X[5::9, 3:] = np.nan
    return pd.DataFrame(X, columns=[*"abcdef"]), y


@pytest.fixture
def views():
    """(frame, string labels) of 120 rows and two views, columns abc and def."""
    return _views(120)


@pytest.fixture(params=[FusionClassifier, FusionRegressor], ids=lambda k: k.__name__)
def kind(request):
    """The classifier, then the regressor."""
    return request.param


@pytest.fixture
def data(kind, views):
    """(frame, y) of 120 rows with a y that suits the kind."""
    frame, labels = views
    if kind is FusionClassifier:
        return frame, labels
    filled = frame.fillna(0.0)
    return frame, (filled["a"] + 2 * filled["d"]).to_numpy()


@pytest.fixture
def make_views():
    return _views


@pytest.fixture
def view_triples():
    """Triples for the two views, as `modalities=` takes them."""
    return [("left", "vector", ["a", "b", "c"]), ("right", "vector", ["d", "e", "f"])]


@pytest.fixture
def tiny():
    """Parameters that make a fit last a fraction of a second: the networks alone."""
    return {
        "max_epochs": 3,
        "d_model": 16,
        "n_folds": 2,
        "base_models": None,
        "random_state": 0,
    }


@pytest.fixture
def whole(tiny):
    """As small, with base models: everything that the defaults have."""
    return tiny | {"base_models": "auto"}


# ---------------------------------------------------------------- modalities


def _png(array):
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def _examples():
    """For each exported modality: 12 rows, of which rows 3 and 8 are absent."""
    rng = np.random.default_rng(0)
    n, absent = 12, [3, 8]

    def cells(make):
        return pd.Series(
            _cells([None if i in absent else make(i) for i in range(n)]), name="cell"
        )

    def picture(i):
        array = rng.integers(0, 256, (9 + i % 3, 12, 3), dtype=np.uint8)
        return _png(array) if i % 2 else array

    numbers = pd.DataFrame(rng.normal(size=(n, 3)), columns=["p", "q", "r"])
    numbers.iloc[absent] = np.nan
    table = numbers.assign(
        kind=[None if i in absent else "ab"[i % 2] for i in range(n)]
    )
    table.loc[5, "p"] = np.nan
    text = pd.Series(_sentences(rng, np.arange(n) % 2 == 0), name="cell")
    return {
        "AudioModality": cells(lambda i: (rng.normal(size=2000 + 300 * i), 8000)),
        "EstimatorModality": numbers,
        "ImageModality": cells(picture),
        "SeriesModality": cells(lambda i: rng.normal(size=(2, 20 + 3 * i))),
        "TabularModality": table,
        "TextModality": text.where(~text.index.isin(absent), None),
        "TransformerModality": numbers,
        "VectorModality": numbers,
        "VideoModality": cells(lambda i: rng.normal(size=(3 + i % 4, 8, 8))),
    }


EXAMPLES = _examples()


@pytest.fixture
def modality_examples():
    """Example rows of each modality, by the name of its class; rows 3, 8 absent."""
    return {name: example.copy() for name, example in EXAMPLES.items()}
