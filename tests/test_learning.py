"""What the models learn, on synthetic rows whose truth is known.

Smaller networks than the defaults keep these within seconds; the defaults reach the
same accuracy on the XOR (0.985) in half a minute.
"""

import numpy as np
import pandas as pd
import pytest

from skfusion import FusionClassifier, FusionRegressor
from skfusion.datasets import (
    load_handwritten_views,
    make_multimodal_classification,
)

LEFT = [f"a{i}" for i in range(4)]
RIGHT = [f"b{i}" for i in range(4)]
NOISE = [f"c{i}" for i in range(4)]
TWO = [("left", "vector", LEFT), ("right", "vector", RIGHT)]
SMALL = {"d_model": 32, "n_members": 2, "random_state": 0}


def frame_of(n, seed):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.normal(size=(n, 12)), columns=[*LEFT, *RIGHT, *NOISE])


# ---------------------------------------------------------------- XOR


def xor(n, seed):
    X = frame_of(n, seed)
    return X, (X["a0"] > 0) ^ (X["b0"] > 0)


@pytest.fixture(scope="module")
def xor_model():
    return FusionClassifier(TWO, **SMALL).fit(*xor(2000, 0))


def test_label_that_needs_two_modalities_at_once_is_learned(xor_model):
    assert xor_model.score(*xor(1000, 1)) >= 0.85


def test_joint_share_says_that_no_modality_alone_knew(xor_model):
    X, y = xor(1000, 1)
    assert xor_model.joint_share(X).mean() > 0.5
    for p in xor_model.modality_proba(X).values():
        assert np.mean(p.argmax(axis=1) == y) < 0.6


# ---------------------------------------------------------------- addition


def added(n, seed):
    """Each half of the truth in one modality; the third is useless."""
    X = frame_of(n, seed)
    rng = np.random.default_rng(seed + 100)
    return X, X["a0"] + X["b0"] + rng.normal(0, 0.5, n) > 0


@pytest.fixture(scope="module")
def models():
    """Without and with the useless modality."""
    X, y = added(2000, 0)
    three = [*TWO, ("noise", "vector", NOISE)]
    common = SMALL | {"max_epochs": 20}
    return [FusionClassifier(m, **common).fit(X, y) for m in (TWO, three)]


def test_useless_modality_costs_little(models):
    X, y = added(4000, 1)
    without, with_it = (model.score(X, y) for model in models)
    assert without > 0.82
    assert with_it > without - 0.01


def test_useless_modality_is_trusted_less(models):
    X, _ = added(1000, 1)
    weights = models[1].modality_weights(X).mean(axis=0)
    assert weights[2] < min(weights[:2])


def shuffled(X, columns, seed=0):
    X = X.copy()
    X[columns] = X[columns].to_numpy()[np.random.default_rng(seed).permutation(len(X))]
    return X


def test_shuffling_an_informative_modality_lowers_the_score(models):
    X, y = added(2000, 1)
    model = models[1]
    score = model.score(X, y)
    for columns in (LEFT, RIGHT):
        assert model.score(shuffled(X, columns), y) < score - 0.08
    assert abs(model.score(shuffled(X, NOISE), y) - score) < 0.02


def test_hiding_an_informative_modality_costs_less_than_shuffling_it(models):
    X, y = added(2000, 1)
    hidden = X.copy()
    hidden[LEFT] = np.nan
    assert models[1].score(hidden, y) > models[1].score(shuffled(X, LEFT), y)


# ---------------------------------------------------------------- trust


def test_noise_lowers_the_weight_of_the_modality_it_falls_on():
    made = load_handwritten_views()
    views = {name: made.views[name] for name in ("fou", "zer", "kar")}
    X, y = made.data, np.asarray(made.target)
    learn, test = made.split == "train", made.split == "test"
    model = FusionClassifier(
        [(name, "vector", columns) for name, columns in views.items()],
        **SMALL | {"max_epochs": 20},
    ).fit(X[learn], y[learn])
    noisy = X[test].astype(float)
    rng = np.random.default_rng(0)
    sd = X[learn][views["kar"]].std().to_numpy()
    noisy[views["kar"]] += 3 * sd * rng.normal(size=(len(noisy), len(sd)))
    before, after = (model.modality_weights(x)[:, 2] for x in (X[test], noisy))
    assert np.mean(after < before) > 0.8


# ---------------------------------------------------------------- regression


def test_regression_adds_what_two_modalities_know():
    def data(n, seed):
        X = frame_of(n, seed)
        return X, 3 * X["a0"] - 2 * X["b1"] + 10

    model = FusionRegressor(TWO, **SMALL).fit(*data(500, 0))
    assert model.score(*data(1000, 1)) > 0.9


# ---------------------------------------------------------------- every kind of cell


def test_every_kind_of_modality_is_learned_from():
    kinds = ["text", "image", "audio", "series", "vector", "tabular"]
    made = make_multimodal_classification(260, kinds=kinds, n_classes=2, random_state=0)
    X, y = made.data, np.asarray(made.target)
    learn, test = slice(0, 180), slice(180, None)
    triples = [(k, k, made.modalities[k]) for k in kinds]
    common = SMALL | {"max_epochs": 25}
    model = FusionClassifier(triples, **common).fit(X[learn], y[learn])
    assert model.score(X[test], y[test]) > 0.65
