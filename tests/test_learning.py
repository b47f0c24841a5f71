"""What the models learn, on synthetic rows whose truth is known.

Smaller networks than the defaults, and one fold, keep these within seconds.
"""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.metrics import log_loss

from skfusion import FusionClassifier, FusionRegressor
from skfusion.corruption import Noise
from skfusion.datasets import (
    load_handwritten_views,
    make_multimodal_classification,
)

LEFT = [f"a{i}" for i in range(4)]
RIGHT = [f"b{i}" for i in range(4)]
NOISE = [f"c{i}" for i in range(4)]
TWO = [("left", "vector", LEFT), ("right", "vector", RIGHT)]
SMALL = {"d_model": 32, "n_folds": 1, "random_state": 0}


def frame_of(n, seed):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.normal(size=(n, 12)), columns=[*LEFT, *RIGHT, *NOISE])


# ---------------------------------------------------------------- XOR


def xor(n, seed):
    X = frame_of(n, seed)
    return X, (X["a0"] > 0) ^ (X["b0"] > 0)


@pytest.fixture(scope="module", params=["auto", None], ids=lambda e: f"base_models={e}")
def xor_model(request):
    model = FusionClassifier(TWO, base_models=request.param, **SMALL)
    return model.fit(*xor(2000, 0))


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


def test_useless_modality_weighs_nearly_nothing(models):
    X, _ = added(1000, 1)
    weights = models[1].modality_weights(X).mean(axis=0)
    assert weights[2] < 0.05


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


@pytest.fixture(scope="module")
def digits():
    """A model of three views of digits, and test rows of 240 features in all."""
    made = load_handwritten_views()
    views = {name: made.views[name] for name in ("fou", "zer", "kar")}
    X, y = made.data, np.asarray(made.target)
    learn, test = made.split == "train", made.split == "test"
    model = FusionClassifier(
        [(name, "vector", columns) for name, columns in views.items()],
        **SMALL | {"max_epochs": 20},
    ).fit(X[learn], y[learn])
    sd = X[learn][views["kar"]].std()
    return model, X[test], y[test], sd


def fell(model, before, after, m):
    weights = [model.modality_weights(X)[:, m] for X in (before, after)]
    return np.mean(weights[1] < weights[0])


def test_noise_lowers_the_weight_of_the_modality_it_falls_on(digits):
    model, X, _, sd = digits
    noisy = X.astype(float)
    rng = np.random.default_rng(0)
    noisy[sd.index] += 3 * sd.to_numpy() * rng.normal(size=(len(X), len(sd)))
    assert fell(model, X, noisy, 2) > 0.8


@pytest.mark.parametrize("m, name", [(0, "fou"), (1, "zer"), (2, "kar")])
def test_strong_noise_lowers_the_weight_of_each_view(digits, m, name):
    model, X, _, _ = digits
    corrupted, _ = model.corrupt(X, Noise(3.0, modality=name), random_state=0)
    assert fell(model, X, corrupted, m) > 0.7


def test_corrupted_rows_are_predicted_better_than_by_the_mean(digits):
    # Trust decides: an even mean of what the modalities say does worse.
    model, X, y, _ = digits
    corrupted, _ = model.corrupt(X, Noise(3.0), random_state=0)
    alone = model.modality_proba(corrupted).values()
    even = softmax(np.mean([np.log(p) for p in alone], axis=0), axis=1)
    assert log_loss(y, model.predict_proba(corrupted)) < log_loss(y, even)


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


# ------------------------------------------------------- questions about elements


def asking(rng, words):
    """Texts that hold one of these words somewhere, and which."""
    fill = ["please", "would", "you", "tell", "us", "today", "what", "it", "is"]
    asked = rng.integers(len(words), size=1000)
    texts = []
    for a in asked:
        text = list(rng.choice(fill, rng.integers(4, 9)))
        text.insert(rng.integers(len(text) + 1), words[a])
        texts.append(" ".join(text))
    return texts, asked


def words_agree(seed):
    """Whether a word of one text fits a word of the other."""
    rng = np.random.default_rng(seed)
    left, a = asking(rng, ["cat", "dog"])
    right, b = asking(rng, ["sun", "rain"])
    return pd.DataFrame({"left": left, "right": right}), a == b


def test_bottleneck_answers_what_depends_on_single_words():
    X, y = words_agree(0)
    both = [(name, "text", [name]) for name in X]
    model = FusionClassifier(both, fusion="bottleneck", **SMALL).fit(X, y)
    new, truth = words_agree(1)
    assert model.score(new, truth) >= 0.95
    for p in model.modality_proba(new).values():
        assert np.mean(model.classes_[p.argmax(axis=1)] == truth) < 0.6


@pytest.mark.parametrize("mark", ["-", " "], ids=["category", "text"])
def test_how_often_a_name_occurred_says_nothing_of_new_groups(mark):
    """Players stay until they are out: names of many rows were seldom out."""
    rng = np.random.RandomState(0)
    rows = [
        (f"player{mark}{i}", rng.randn(), out)
        for i, n in enumerate(rng.geometric(0.3, size=120))
        for out in [False] * (n - 1) + [True]
    ]
    frame = pd.DataFrame(rows, columns=["player", "form", "out"])
    new = frame["player"].isin([f"player{mark}{i}" for i in range(80, 120)])
    X, y, players = frame[["player", "form"]], frame["out"], frame["player"]
    clf = FusionClassifier(max_epochs=5, d_model=16, random_state=0)
    clf.fit(X[~new], y[~new], groups=players[~new])
    shares = np.tile(clf.class_prior_, (new.sum(), 1))
    loss = log_loss(y[new], clf.predict_proba(X[new]))
    assert loss < log_loss(y[new], shares) + 0.1
