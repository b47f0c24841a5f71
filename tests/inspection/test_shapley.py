import itertools
import math

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skfusion.inspection import modality_shapley


def _as_zero(frame):
    return frame.fillna(0.0)


def _linear(seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(50, 4)), columns=list("abcd"))
    y = X @ [1.0, 2.0, -3.0, 0.0] + 5
    reg = make_pipeline(FunctionTransformer(_as_zero), LinearRegression())
    return reg.fit(X, y), X


def test_values_of_a_linear_model_are_its_terms():
    reg, X = _linear()
    found = modality_shapley(
        reg, X, modalities={"ab": ["a", "b"], "c": ["c"], "d": ["d"]}
    )
    expected = np.stack([X["a"] + 2 * X["b"], -3 * X["c"], 0 * X["d"]], axis=1)
    np.testing.assert_allclose(found.shapley[..., 0], expected, atol=1e-9)
    np.testing.assert_allclose(found.baseline, 5, atol=1e-9)


def test_values_are_the_mean_over_all_orders_of_coming(trusted):
    clf, X, _ = trusted
    X = X.head(4)
    found = modality_shapley(clf, X)

    def value(shown):
        hidden = [f"{v}{i}" for v in set("abc") - set(shown) for i in range(8)]
        log_p = np.log(clf.predict_proba(X.assign(**dict.fromkeys(hidden, np.nan))))
        return log_p - log_p.mean(axis=1, keepdims=True)

    expected = np.zeros((4, 3, 3))
    with pytest.warns(UserWarning, match="no modality present"):
        for order in itertools.permutations("abc"):
            for k, name in enumerate(order):
                gain = value(order[: k + 1]) - value(order[:k])
                expected[:, "abc".index(name)] += gain / math.factorial(3)
    np.testing.assert_allclose(found.shapley, expected, atol=1e-5)


def test_values_add_up_and_absent_modalities_have_none(mixed_classifier):
    clf, X, _ = mixed_classifier
    found = modality_shapley(clf, X)
    np.testing.assert_allclose(
        found.baseline + found.shapley.sum(axis=1), found.output, atol=1e-9
    )
    absent = ~clf.modalities_.transform(X).present
    assert absent.any()
    assert (found.shapley[absent] == 0).all()


def test_estimator_of_any_kind_takes_none_in_columns_that_are_not_numeric():
    frame = pd.DataFrame(
        {"a": np.tile([0.0, 1.0], 40), "c": pd.Categorical(["x", "y"] * 40)}
    )
    frame["noise"] = np.random.default_rng(0).normal(size=80)
    clf = HistGradientBoostingClassifier(
        categorical_features=["c"], min_samples_leaf=5
    ).fit(frame, np.tile([0, 1], 40))
    found = modality_shapley(
        clf, frame, modalities={"a": ["a"], "c": ["c"], "noise": ["noise"]}
    )
    size = np.abs(found.shapley).mean(axis=(0, 2))
    assert size[0] + size[1] > 10 * size[2]


def test_more_than_ten_modalities_are_refused_with_a_remedy():
    reg, X = _linear()
    many = {str(i): ["a"] for i in range(11)}
    with pytest.raises(ValueError, match=r"at most 10. Got 11.*Put some together"):
        modality_shapley(reg, X, modalities=many)


def test_unknown_columns_are_named():
    reg, X = _linear()
    with pytest.raises(ValueError, match=r"\['z'\], which X does not have"):
        modality_shapley(reg, X, modalities={"z": ["z"]})
    with pytest.raises(TypeError, match="pandas DataFrame"):
        modality_shapley(reg, X.to_numpy(), modalities={"z": ["z"]})
