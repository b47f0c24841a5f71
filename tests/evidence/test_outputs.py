"""A prediction is a sum: of modalities, and inside each of elements."""

import numpy as np
import pandas as pd
import pytest

from skfusion import FusionClassifier, FusionRegressor
from skfusion.corruption import Noise
from skfusion.evidence.outputs import weights_of
from skfusion.fusion import AdaptiveFusion, BottleneckFusion
from skfusion.modalities import AudioModality, ImageModality, SeriesModality
from skfusion.training.links import Identity, Softmax

SMALL = {"max_epochs": 2, "d_model": 16, "n_folds": 2, "random_state": 0}
N = 120


def frame_of(n=N, seed=0):
    """Text, table, series and a column of noise; some cells absent."""
    from tests.conftest import mixed_frame

    frame, good = mixed_frame(n, seed)
    rng = np.random.default_rng(seed + 1)
    curves = rng.normal(size=(n, 40)) + good[:, None] * np.sin(np.arange(40))
    frame["curve"] = list(curves)
    frame["noise"] = rng.normal(size=n)
    return frame.drop(columns="photo"), good


TRIPLES = [
    ("words", "text", "note"),
    ("facts", "tabular", ["price", "weight", "colour"]),
    ("curve", SeriesModality(), "curve"),
    ("vector", "vector", ["weight", "noise"]),
]


def targets(kind, frame, good):
    """Three classes, or two numbers."""
    if kind is FusionClassifier:
        return good.astype(int) + (frame["weight"].to_numpy() > 4)
    return np.stack([5 * good + frame["noise"], frame["weight"]], axis=1)


CASES = {
    "classes": (FusionClassifier, {}),
    "numbers": (FusionRegressor, {}),
    "classes, joint": (FusionClassifier, {"fusion": AdaptiveFusion(joint=True)}),
    "numbers, joint": (FusionRegressor, {"fusion": AdaptiveFusion(joint=True)}),
    "bottleneck": (FusionClassifier, {"fusion": BottleneckFusion()}),
    "network alone": (FusionClassifier, {"base_models": None}),
}


@pytest.fixture(scope="module")
def rows():
    return frame_of()


@pytest.fixture(scope="module", params=CASES)
def fitted(request, rows):
    kind, parameters = CASES[request.param]
    model = kind(TRIPLES, **SMALL | parameters)
    return model.fit(rows[0], targets(kind, *rows))


def expected_sum(model, X):
    """The output beyond what is known without evidence, centred over classes."""
    if isinstance(model, FusionRegressor):
        return model.predict(X) - model.y_mean_
    logits = np.log(model.predict_proba(X)) - np.log(model.class_prior_)
    return logits - logits.mean(axis=1, keepdims=True)


def absent_of(model, X):
    return ~model.modalities_.transform(X).present


@pytest.mark.parametrize("joint", ["separate", "shared"])
def test_contributions_sum_to_the_output(fitted, rows, joint):
    X = rows[0]
    contributions, rest = fitted.modality_contributions(X, joint=joint)
    assert contributions.shape == (N, 4, rest.shape[1])
    np.testing.assert_allclose(
        contributions.sum(axis=1) + rest, expected_sum(fitted, X), rtol=0, atol=1e-7
    )
    if joint == "shared":
        assert not rest.any()


def test_many_rows_sum_up_as_few_do(fitted):
    # Above some rows prediction runs in float32.
    X = frame_of(300, 3)[0]
    contributions, rest = fitted.modality_contributions(X)
    total = contributions.sum(axis=1) + rest
    np.testing.assert_allclose(total, expected_sum(fitted, X), rtol=0, atol=1e-5)
    few, _ = fitted.modality_contributions(X.head(20))
    np.testing.assert_allclose(few, contributions[:20], rtol=0, atol=1e-4)


def test_joint_part_is_shared_among_what_is_there_alone(fitted, rows):
    X = rows[0]
    shared, _ = fitted.modality_contributions(X, joint="shared")
    assert not shared[absent_of(fitted, X)].any()


def size_of(fitted, X, added):
    """Size of what is added (n, ..., C): of the predicted class, and of all."""
    if isinstance(fitted, FusionRegressor):
        return np.abs(added / fitted.y_scale_).mean(axis=-1)
    answer = fitted.predict_proba(X).argmax(axis=1)
    of_answer = np.abs(added[np.arange(len(answer)), ..., answer])
    return (of_answer + np.abs(added).mean(axis=-1)) / 2


def test_weights_are_shares_of_the_size_of_contributions(fitted, rows):
    X = rows[0]
    size = size_of(fitted, X, fitted.modality_contributions(X)[0])
    expected = size / size.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fitted.modality_weights(X), expected, atol=1e-9)


def test_absent_is_exactly_nothing(fitted, rows):
    X = rows[0]
    absent = absent_of(fitted, X)
    assert absent.any()
    weights, trust = fitted.modality_weights(X), fitted.modality_trust(X)
    assert trust.shape == weights.shape == absent.shape
    assert (weights[absent] == 0).all()
    assert (trust[absent] == 0).all()
    assert (trust[~absent] > 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert not fitted.modality_contributions(X)[0][absent].any()


def test_joint_share_is_that_of_the_joint_part(fitted, rows):
    contributions, rest = fitted.modality_contributions(rows[0])
    share = fitted.joint_share(rows[0])
    assert ((share >= 0) & (share <= 1)).all()
    if isinstance(fitted, FusionClassifier):
        own = size_of(fitted, rows[0], contributions).sum(axis=1)
        joint = size_of(fitted, rows[0], rest)
        np.testing.assert_allclose(share, joint / (own + joint), atol=1e-9)


def test_even_weights_only_where_nobody_says_anything():
    present = np.array([[True, True], [True, False], [True, True]])
    sizes = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 3.0]])
    np.testing.assert_allclose(
        weights_of(sizes, present), [[0.5, 0.5], [1, 0], [0.25, 0.75]]
    )


def test_size_is_that_of_the_predicted_class_and_of_all():
    added = np.array([[[1.0, -3.0, 2.0]], [[0.5, 0.0, -0.5]]])
    logits = np.array([[0.0, 5.0, 1.0], [0.0, 1.0, 2.0]])
    found = Softmax().size(added, logits)
    np.testing.assert_allclose(found, [[2.5], [5 / 12]])
    found = Identity().size(added, logits)
    np.testing.assert_allclose(found, [[2.0], [1 / 3]])


# ---------------------------------------------------------------- elements


@pytest.mark.parametrize("name", [name for name, _, _ in TRIPLES])
def test_elements_and_rest_sum_to_what_the_modality_contributed(fitted, rows, name):
    X = rows[0]
    m = fitted.modality_names_.index(name)
    found = fitted.element_contributions(X, name)
    contributions = fitted.modality_contributions(X)[0][:, m]
    total = np.array([frame.to_numpy().sum(axis=0) for frame in found.elements])
    np.testing.assert_allclose(total + found.rest, contributions, rtol=0, atol=1e-5)
    for frame, absent in zip(found.elements, absent_of(fitted, X)[:, m], strict=True):
        assert frame.empty == absent
        if isinstance(fitted, FusionClassifier):
            assert list(frame.columns) == list(fitted.classes_)
            np.testing.assert_allclose(frame.sum(axis=1), 0, atol=1e-9)


@pytest.mark.parametrize("name", [name for name, _, _ in TRIPLES])
def test_element_weights_sum_to_one_and_name_the_same_elements(fitted, rows, name):
    X = rows[0].head(40)
    weights = fitted.element_weights(X, name)
    elements = fitted.element_contributions(X, name).elements
    for weight, frame in zip(weights, elements, strict=True):
        assert list(weight.index) == list(frame.index)
        assert weight.empty or weight.sum() == pytest.approx(1)
        assert (weight >= 0).all()


@pytest.mark.parametrize(
    "modality, shape",
    [(ImageModality(size=16), (12, 12, 3)), (AudioModality(), (4000,))],
    ids=["image", "audio"],
)
def test_elements_of_pictures_and_sounds_sum_up_too(modality, shape):
    rng = np.random.default_rng(0)
    y = rng.random(48) < 0.5
    cells = np.empty(48, dtype=object)
    for i, good in enumerate(y):
        if len(shape) == 3:
            cells[i] = (rng.random(shape) * 99 + 99 * good).astype(np.uint8)
        else:
            cells[i] = ((0.1 + good) * rng.normal(size=shape), 8000)
    cells[5] = None
    X = pd.DataFrame({"cell": cells, "a": rng.normal(size=48)})
    triples = [("it", modality, "cell"), ("a", "vector", ["a"])]
    model = FusionClassifier(triples, **SMALL).fit(X, y)
    found = model.element_contributions(X, "it")
    total = np.array([frame.to_numpy().sum(axis=0) for frame in found.elements])
    expected = model.modality_contributions(X)[0][:, 0]
    np.testing.assert_allclose(total + found.rest, expected, rtol=0, atol=1e-5)
    assert found.elements[5].empty


# ---------------------------------------------------------------- what weights mean


def known(n, seed, *, numbers=False):
    """Columns a and b know the target, c is a random number."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 6)), columns=["a", "b", "c", "d", "e", "f"])
    total = 2 * X["a"] + X["b"]
    y = total if numbers else (total + rng.normal(0, 0.5, n) > 0)
    return X, y.to_numpy()


VIEWS = [("one", "vector", ["a"]), ("two", "vector", ["b"])]


@pytest.mark.parametrize("kind", [FusionClassifier, FusionRegressor])
def test_modality_of_random_numbers_weighs_nearly_nothing(kind):
    X, y = known(200, 0, numbers=kind is FusionRegressor)
    views = [*VIEWS, ("noise", "vector", ["c", "d", "e", "f"])]
    model = kind(views, **SMALL | {"max_epochs": 15}).fit(X, y)
    weights = model.modality_weights(known(300, 1)[0]).mean(axis=0)
    assert weights[2] < 0.1
    # Twice the coefficient, twice the say.
    assert weights[0] > 1.5 * weights[1]


def test_source_that_knows_only_the_class_shares_adds_nothing():
    X, _ = known(200, 0)
    y = np.random.default_rng(0).permutation(np.arange(200) < 160)
    model = FusionClassifier([VIEWS[0]], **SMALL).fit(X, y)
    contributions, _ = model.modality_contributions(X)
    assert np.abs(contributions).mean() < 0.15
    p = model.predict_proba(X)
    np.testing.assert_allclose(p.mean(axis=0), [0.2, 0.8], atol=0.04)


@pytest.mark.parametrize("kind", [FusionClassifier, FusionRegressor])
def test_trust_falls_on_rows_that_are_corrupted(kind):
    rng = np.random.default_rng(0)
    y = rng.random(300) < 0.5
    X = rng.normal(size=(300, 20)) + y[:, None]
    names = [f"{view}{i}" for view in "ab" for i in range(10)]
    X = pd.DataFrame(X, columns=names)
    views = [("a", "vector", names[:10]), ("b", "vector", names[10:])]
    target = y if kind is FusionClassifier else y * 1.0 + rng.normal(0, 0.1, 300)
    model = kind(views, **SMALL | {"max_epochs": 8}).fit(X[:200], target[:200])
    clean = model.modality_trust(X[200:])
    noisy, _ = model.corrupt(X[200:], Noise(4.0, modality="a"), random_state=0)
    corrupted = model.modality_trust(noisy)
    assert np.mean(corrupted[:, 0] < clean[:, 0]) > 0.9
    assert np.median(corrupted[:, 0] / clean[:, 0]) < 0.8
    assert np.median(corrupted[:, 1] / clean[:, 1]) > 0.8


def test_elements_of_each_target_are_told_apart():
    # What a table of one token says is all that it says, target by target.
    X, y = known(200, 0, numbers=True)
    y = np.stack([y, X["d"]], axis=1)
    views = [("ab", "vector", ["a", "b"]), ("d", "vector", ["d"])]
    model = FusionRegressor(views, **SMALL | {"max_epochs": 30, "base_models": None})
    model.fit(X, y)
    contributions, _ = model.modality_contributions(X)
    for m, name in enumerate(("ab", "d")):
        found = model.element_contributions(X, name)
        total = np.array([frame.to_numpy().sum(axis=0) for frame in found.elements])
        assert np.corrcoef(total[:, m], contributions[:, m, m])[0, 1] > 0.95
        spread = contributions[:, m].std(axis=0) / y.std(axis=0)
        assert spread[m] > 3 * spread[1 - m]
