"""What the headline figures are of: each task a function that returns its figures."""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from sklearn.model_selection import KFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from benchmarks.common.data import Frame, cells, read, take
from skfusion import FusionClassifier, FusionRegressor
from skfusion.datasets import (
    load_clothing_reviews,
    load_handwritten_views,
    load_spoken_digits,
    make_multimodal_classification,
)

SMOKE_ROWS = 200

Figures = dict[str, float]


class Setup(NamedTuple):
    """How one task is run once."""

    seed: int
    smoke: bool
    device: str

    @property
    def options(self) -> dict[str, Any]:
        """Parameters of the estimators: the defaults, but for a smoke run."""
        short = {"max_epochs": 1} if self.smoke else {}
        return {"random_state": self.seed, "device": self.device, **short}

    def few(self, *arrays: Any) -> list[Any]:
        """All rows, or a random few in a smoke run."""
        n = len(arrays[0])
        if not self.smoke or n <= SMOKE_ROWS:
            return list(arrays)
        rows = np.random.RandomState(0).permutation(n)[:SMOKE_ROWS]
        return [take(a, rows) for a in arrays]

    def accuracy(self, modalities: list[Any], data: tuple[Any, ...]) -> float:
        """Accuracy on the test rows of a classifier fitted on the training rows."""
        X_train, X_test, y_train, y_test = data
        clf = FusionClassifier(modalities, **self.options).fit(X_train, y_train)
        return float(clf.score(X_test, y_test))


# ---------------------------------------------------------------- reading data


@functools.cache
def _read(name: str) -> Frame:
    return read(name)


def _official(name: str, setup: Setup) -> tuple[list[Any], tuple[Any, ...]]:
    """A set of that folder, by its own split."""
    X, y, modalities, split, *_ = _read(name)
    test = split == "test"
    X_train, y_train = setup.few(X[~test], y[~test])
    X_test, y_test = setup.few(X[test], y[test])
    return modalities, (X_train, X_test, y_train, y_test)


def _shipped(load: Callable[..., Any], setup: Setup) -> tuple[Any, ...]:
    """A set that comes with the package, by its own split."""
    X_train, y_train = setup.few(*load(subset="train", return_X_y=True))
    X_test, y_test = setup.few(*load(subset="test", return_X_y=True))
    return X_train, X_test, y_train, y_test


# ---------------------------------------------------------------- clothing reviews

TEXTS = ["Title", "Review Text"]
NUMBERS = ["Age", "Positive Feedback Count"]
CATEGORIES = ["Division Name", "Department Name", "Class Name"]


def clothing(setup: Setup) -> Figures:
    """Text and facts, named; defaults otherwise."""
    modalities = [
        ("review", "text", TEXTS),
        ("facts", "tabular", NUMBERS + CATEGORIES),
    ]
    return _binary(FusionClassifier(modalities, **setup.options), setup)


def clothing_automatic(setup: Setup) -> Figures:
    """The same with modalities found from the columns."""
    return _binary(FusionClassifier(**setup.options), setup)


def clothing_linear(setup: Setup) -> Figures:
    """What one would have written: TF-IDF, one-hot columns, logistic regression."""
    join = FunctionTransformer(lambda frame: frame.fillna("").agg(" ".join, axis=1))
    linear = make_pipeline(
        make_column_transformer(
            (make_pipeline(join, TfidfVectorizer(ngram_range=(1, 2))), TEXTS),
            (OneHotEncoder(handle_unknown="ignore"), CATEGORIES),
            (StandardScaler(), NUMBERS),
        ),
        LogisticRegression(C=1, max_iter=1000),
    )
    return _binary(linear, setup)


def _binary(model: Any, setup: Setup) -> Figures:
    X_train, X_test, y_train, y_test = _shipped(load_clothing_reviews, setup)
    start = time.perf_counter()
    model.fit(X_train, y_train)
    seconds = time.perf_counter() - start
    proba = model.predict_proba(X_test)[:, 1]
    return {
        "AUC": roc_auc_score(y_test, proba),
        "log-loss": log_loss(y_test, proba),
        "accuracy": accuracy_score(y_test, proba > 0.5),
        "fit seconds": seconds,
    }


# ---------------------------------------------------------------- image and sound


def digits(setup: Setup) -> Figures:
    """The spoken digits that come with the package."""
    modalities = [("image", "image", ["image"]), ("sound", "audio", ["sound"])]
    return _absences(modalities, _shipped(load_spoken_digits, setup), setup)


def avmnist(setup: Setup) -> Figures:
    """All of their recordings."""
    return _absences(*_official("avmnist", setup), setup)


def _absences(modalities: list[Any], data: tuple[Any, ...], setup: Setup) -> Figures:
    """Both, each alone, and half of each absent, in test and in training too.

    Each test row is in each of the four cases (both, one, the other, none) once, in
    four rounds, so that chance has no part in who is absent where. "predicted" is the
    mean of the four cases as seen with whole columns absent, for the same model;
    "predicted by single" takes models that were fitted on one modality instead.
    """
    X_train, X_test, y_train, y_test = data
    first, second = (columns[0] for _, _, columns in modalities)
    clf = FusionClassifier(modalities, **setup.options).fit(X_train, y_train)
    case = np.random.RandomState(setup.seed).permutation(len(y_test)) % 4
    figures = {
        "both": clf.score(X_test, y_test),
        f"{first} absent": clf.score(_without(X_test, first), y_test),
        f"{second} absent": clf.score(_without(X_test, second), y_test),
        "all absent": clf.score(_without(X_test, first, second), y_test),
    }
    predicted = np.mean(list(figures.values()))
    half = np.mean(
        [clf.score(_halved(X_test, (case + k) % 4), y_test) for k in range(4)]
    )
    for name, _, columns in modalities:
        figures[f"{name} only"] = setup.accuracy([(name, _, columns)], data)
    single = [figures["both"], figures["all absent"]]
    single += [figures[f"{name} only"] for name, *_ in modalities]
    learned = np.random.RandomState(setup.seed + 1).permutation(len(y_train)) % 4
    clf.fit(_halved(X_train, learned), y_train)
    return figures | {
        "half absent": half,
        "half absent - predicted": half - predicted,
        "half absent - predicted by single": half - np.mean(single),
        "half absent in training, both": clf.score(X_test, y_test),
        "half absent in training too": clf.score(_halved(X_test, case), y_test),
    }


def _without(X: pd.DataFrame, *columns: str) -> pd.DataFrame:
    return X.assign(**{c: cells([None] * len(X)) for c in columns})


def _halved(X: pd.DataFrame, case: Any) -> pd.DataFrame:
    """Empty the first column in cases 1 and 3, the second in cases 2 and 3."""
    X = X.copy()
    for column, cases in zip(X.columns[:2], ((1, 3), (2, 3)), strict=True):
        cells = X[column].to_numpy(dtype=object, copy=True)
        cells[np.isin(case, cases)] = None
        X[column] = cells
    return X


# ---------------------------------------------------------------- vectors and photos


def handwritten(setup: Setup) -> Figures:
    """Six views of numerals, and the same beside a seventh that is noise."""
    views = load_handwritten_views().views
    modalities = [(name, "vector", columns) for name, columns in views.items()]
    data = _shipped(load_handwritten_views, setup)
    plain = setup.accuracy(modalities, data)
    random = np.random.RandomState(setup.seed)
    X_train, X_test, y_train, y_test = data
    X_train, X_test = (
        X.assign(noise=cells(random.normal(size=(len(X), 32)))) for X in data[:2]
    )
    clf = FusionClassifier([*modalities, ("noise", "vector", "noise")], **setup.options)
    beside = clf.fit(X_train, y_train).score(X_test, y_test)
    return {
        "accuracy": plain,
        "accuracy beside noise": beside,
        "lost by noise": plain - beside,
        "weight of noise": clf.modality_weights(X_test)[:, -1].mean(),
    }


def scene15(setup: Setup) -> Figures:
    """Three views of scenes, a stratified fifth for test."""
    X, y, modalities, *_ = _read("mv_scene15")
    X, y = setup.few(X, y)
    data = train_test_split(X, y, test_size=0.2, stratify=y, random_state=setup.seed)
    return {"accuracy": setup.accuracy(modalities, tuple(data))}


def rosmap(setup: Setup) -> Figures:
    """Three views of 351 patients."""
    return {"accuracy": setup.accuracy(*_official("rosmap", setup))}


def houses(setup: Setup) -> Figures:
    """Log price from a table, and from four photos beside it; the seed is the fold."""
    X, y, modalities, *_ = _read("houses")
    X, y = setup.few(X, y)
    folds = KFold(5, shuffle=True, random_state=0).split(X)
    train, test = list(folds)[setup.seed]
    options = setup.options | {"random_state": 0}
    r2 = {}
    for name, chosen in (("table", modalities[:1]), ("table + photos", modalities)):
        model = FusionRegressor(chosen, **options).fit(take(X, train), y[train])
        r2[f"R2, {name}"] = model.score(take(X, test), y[test])
    gain = r2["R2, table + photos"] - r2["R2, table"]
    return r2 | {"R2 gained by photos": gain}


# ---------------------------------------------------------------- XOR


def xor(setup: Setup) -> Figures:
    """XOR of two modalities: made-up signs, and the signs of hidden directions."""
    figures = {}
    for kinds in (["tabular", "text"], ["vector", "vector"]):
        made = make_multimodal_classification(
            3000,
            n_classes=2,
            kinds=kinds,
            interaction="xor",
            random_state=setup.seed,
        )
        kind_of = made.kinds.items()
        modalities = [(name, kind, made.modalities[name]) for name, kind in kind_of]
        data = _split(made.data, made.target, setup)
        figures["accuracy, " + " ^ ".join(kinds)] = setup.accuracy(modalities, data)
    modalities = [("a", "vector", "a"), ("b", "vector", "b")]
    for label, separated in (("apart", True), ("not apart", False)):
        data = _split(*_signs(setup.seed, separated), setup)
        figures[f"accuracy, signs {label}"] = setup.accuracy(modalities, data)
    return figures


def _signs(seed: int, separated: bool, n: int = 3000, width: int = 16) -> Any:
    """Two vectors of normal noise; the class is whether their signs differ.

    The sign of a vector is that of its component in a hidden direction, which is moved
    2 standard deviations away from 0 where the signs are `separated`.
    """
    random = np.random.RandomState(seed)
    data, signs = {}, []
    for name in "ab":
        x, direction = random.normal(size=(n, width)), random.normal(size=width)
        direction /= np.linalg.norm(direction)
        sign = np.sign(x @ direction)
        x += 2.0 * separated * sign[:, None] * direction
        data[name], signs = cells(x.astype(np.float32)), [*signs, sign]
    return pd.DataFrame(data), (signs[0] != signs[1]).astype(int)


def _split(X: Any, y: Any, setup: Setup) -> tuple[Any, ...]:
    X, y = setup.few(X, y)
    data = train_test_split(X, y, test_size=1 / 3, stratify=y, random_state=setup.seed)
    return tuple(data)


# ---------------------------------------------------------------- a question


CORNERS = ["upper left", "upper right", "lower left", "lower right"]
WORDS = ["the", "picture", "shows", "what", "do", "you", "see", "please", "tell", "me"]


def asked(setup: Setup) -> Figures:
    """Whether the corner of the picture that the text names is bright.

    Four corners are bright or dark by chance: the majority of them, which is all that a
    picture can say alone, gives .69, and the text alone says nothing.
    """
    modalities = [("image", "image", ["image"]), ("text", "text", ["text"])]
    X_train, y_train = _questions(3000, 2 * setup.seed)
    X_test, y_test = _questions(1000, 2 * setup.seed + 1)
    X_train, y_train = setup.few(X_train, y_train)
    X_test, y_test = setup.few(X_test, y_test)
    figures = {}
    for fusion in ("adaptive", "bottleneck"):
        clf = FusionClassifier(modalities, fusion=fusion, **setup.options)
        clf.fit(X_train, y_train)
        figures[f"accuracy, {fusion}"] = clf.score(X_test, y_test)
    for name, proba in clf.modality_proba(X_test).items():
        alone = clf.classes_[proba.argmax(axis=1)]
        figures[f"accuracy of the {name} alone"] = accuracy_score(y_test, alone)
    return figures


def _questions(n: int, seed: int) -> tuple[pd.DataFrame, Any]:
    """Grey pictures (24, 24), and texts that name one corner among other words."""
    random = np.random.RandomState(seed)
    bright = random.randint(0, 2, size=(n, 4))
    corner = random.randint(0, 4, size=n)
    pictures, texts = [], []
    for row in range(n):
        picture = random.normal(128, 20, size=(24, 24))
        for c, (top, left) in enumerate([(0, 0), (0, 12), (12, 0), (12, 12)]):
            y, x = top + random.randint(0, 5), left + random.randint(0, 5)
            picture[y : y + 8, x : x + 8] += 80 if bright[row, c] else -80
        pictures.append(picture.clip(0, 255).astype(np.uint8))
        words = list(random.choice(WORDS, random.randint(3, 8)))
        words.insert(random.randint(0, len(words) + 1), CORNERS[corner[row]])
        texts.append(" ".join(words))
    frame = pd.DataFrame({"image": cells(pictures), "text": texts})
    return frame, bright[np.arange(n), corner]
