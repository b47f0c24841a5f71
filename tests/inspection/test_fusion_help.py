import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline

from skfusion import FusionClassifier, FusionRegressor, ModalityTransformer
from skfusion.inspection import FusionHelp, does_fusion_help
from skfusion.inspection.fusion_help import _corrected_interval

QUICK = {"n_folds": 2, "base_models": None, "d_model": 16}
VIEWS = [("left", "vector", ["a", "b"]), ("right", "vector", ["c", "d"])]


def _sum(n=300, seed=0):
    """The class is a sum of which each view knows one half."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 4)), columns=list("abcd"))
    return X, (X["a"] + X["c"] > 0).to_numpy()


def test_fusion_helps_where_each_view_knows_one_half():
    X, y = _sum()
    clf = FusionClassifier(VIEWS, max_epochs=15, random_state=0, **QUICK)
    found = does_fusion_help(clf, X, y, cv=3)
    assert list(found.scores.columns) == [
        "fusion",
        "concatenation",
        "only left",
        "only right",
    ]
    assert found.table.loc["only left", "gain"] > 0.05
    assert found.table.loc["only right", "gain"] > 0.05
    assert "concatenation" in found.verdict
    assert not hasattr(clf, "net_")  # clones are fitted


def test_pipeline_gives_the_same_scores_as_the_single_object():
    X, y = _sum(120)
    single = FusionClassifier(VIEWS, max_epochs=3, random_state=0, **QUICK)
    pipe = Pipeline(
        [
            ("modalities", ModalityTransformer(VIEWS)),
            ("fusion", FusionClassifier(max_epochs=3, random_state=0, **QUICK)),
        ]
    )
    one, two = (does_fusion_help(e, X, y, cv=2).scores for e in (single, pipe))
    pd.testing.assert_frame_equal(one, two)


def test_regressors_groups_and_scoring_are_taken():
    X, _ = _sum(80)
    reg = FusionRegressor(VIEWS, max_epochs=2, random_state=0, **QUICK)
    groups = np.arange(80) // 10
    found = does_fusion_help(
        reg,
        X,
        X["a"],
        cv=GroupKFold(2),
        groups=groups,
        scoring="neg_mean_absolute_error",
    )
    assert (found.scores < 0).all(axis=None)
    assert len(found.scores) == 2


def _help(fusion, concat, left, right):
    scores = {
        "fusion": fusion,
        "concatenation": concat,
        "only left": left,
        "only right": right,
    }
    return FusionHelp(pd.DataFrame(scores), 0.25, 0.95)


def test_verdict_is_no_where_one_modality_alone_does_better():
    wiggle = np.array([0.0, 0.001, -0.001, 0.002])
    found = _help(0.8 + wiggle, 0.7 - wiggle, 0.9 - wiggle, 0.6 + wiggle)
    assert found.verdict.startswith("No: only left does better than fusion.")
    assert found.table.index.tolist()[0] == "only left"


def test_verdict_is_yes_only_where_both_intervals_are_above_0():
    wiggle = np.array([0.0, 0.001, -0.001, 0.002])
    found = _help(0.9 + wiggle, 0.8 - wiggle, 0.7 - wiggle, 0.6 + wiggle)
    assert found.verdict.startswith("Yes: fusion is better than only left (+0.2")
    noisy = np.array([0.2, -0.1, 0.15, -0.1])
    found = _help(0.9 + wiggle, 0.89 - noisy, 0.7 - wiggle, 0.6 + wiggle)
    assert found.verdict.startswith("Not shown")
    assert found.verdict in repr(found)
    assert "<table" in found._repr_html_()


def test_interval_is_the_paired_t_interval_widened_for_shared_rows():
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, 10), rng.normal(0, 1, 10)
    plain = ttest_rel(a, b).confidence_interval(0.9)
    np.testing.assert_allclose(_corrected_interval(a - b, 0.0, 0.9), plain)
    low, high = _corrected_interval(a - b, 1 / 9, 0.9)
    widened = np.sqrt((1 / 10 + 1 / 9) / (1 / 10))
    assert (high - low) / (plain.high - plain.low) == pytest.approx(widened)


def test_errors_say_what_to_do():
    X, y = _sum(40)
    clf = FusionClassifier(VIEWS[:1], max_epochs=1, **QUICK)
    with pytest.raises(ValueError, match="at least two modalities"):
        does_fusion_help(clf, X, y, cv=2)
    with pytest.raises(TypeError, match=r"Got Pipeline|Got int"):
        does_fusion_help(3, X, y)
    with pytest.raises(ValueError, match="'confidence' parameter"):
        does_fusion_help(clf, X, y, confidence=95)
