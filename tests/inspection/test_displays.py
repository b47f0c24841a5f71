"""Displays: what is drawn is what was measured."""

import re
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from skfusion import FusionRegressor
from skfusion.inspection import (
    LearningCurvesDisplay,
    ModalityWeightsDisplay,
    ReliabilityDisplay,
    RobustnessCurveDisplay,
    robustness_curve,
)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


# ---------------------------------------------------------------- weights


def test_bars_are_the_mean_weights_of_each_class(trusted):
    clf, X, y = trusted
    display = ModalityWeightsDisplay.from_estimator(clf, X, y)
    weights = clf.modality_weights(X)
    for m, bars in enumerate(display.bars_):
        widths = [bar.get_width() for bar in bars]
        expected = [weights[y == k, m].mean() for k in range(3)]
        np.testing.assert_allclose(widths, expected, atol=1e-6)
    legend = [t.get_text() for t in display.ax_.get_legend().get_texts()]
    assert legend == ["a", "b", "c"]


def test_rows_are_drawn_into_the_given_axes_and_fill_it(trusted):
    clf, X, _ = trusted
    _, ax = plt.subplots()
    display = ModalityWeightsDisplay.from_estimator(clf, X, ax=ax)
    assert display.ax_ is ax
    tops = [bars.get_paths()[0].vertices[:, 1].max() for bars in display.bars_]
    assert tops[-1] == pytest.approx(1.0)
    assert tops[0] < 1


def test_weights_of_a_regression_are_drawn_by_fifths_of_the_target():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(100, 2)), columns=["a", "b"])
    y = X["a"].rank().to_numpy()
    triples = [("a", "tabular", ["a"]), ("b", "tabular", ["b"])]
    reg = FusionRegressor(triples, max_epochs=2, d_model=8, random_state=0).fit(X, y)
    display = ModalityWeightsDisplay.from_estimator(reg, X, y)
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels[0] == "(0.999, 20.8]"
    assert len(labels) == 5
    expected = reg.modality_weights(X)[y < 20.8, 0].mean()
    assert display.bars_[0][0].get_width() == pytest.approx(expected)
    assert display.ax_.get_ylabel() == "target"


def test_weights_display_refuses_what_it_cannot_draw():
    with pytest.raises(ValueError, match=r"shape \(n_samples, 2\)"):
        ModalityWeightsDisplay.from_predictions(np.ones((3, 3)), ["a", "b"])
    with pytest.raises(ValueError, match=r"'by' parameter.*without y"):
        ModalityWeightsDisplay.from_predictions(np.ones((3, 1)), ["a"], by="class")


# ---------------------------------------------------------------- robustness


def test_lines_are_the_curves_of_each_estimator(trusted, attending):
    clf, X, y = trusted
    display = RobustnessCurveDisplay.from_estimator(
        {"gate": clf, "attention": attending[0]}, X, y, kind="noise", levels=[0, 2]
    )
    expected = robustness_curve(clf, X, y, kind="noise", levels=[0, 2])
    np.testing.assert_allclose(display.lines_[0].get_ydata(), expected["score"])
    assert display.ax_.get_xlabel() == "noise, in standard deviations"
    assert [line.get_label() for line in display.lines_] == ["gate", "attention"]


def test_curves_without_scores_are_refused():
    with pytest.raises(ValueError, match=r"lacks the column\(s\) \['score'\]"):
        RobustnessCurveDisplay.from_predictions(pd.DataFrame({"level": [0]}))


# ---------------------------------------------------------------- learning


def _history(**losses):
    columns = {f"train_loss_{name}": values for name, values in losses.items()}
    return pd.DataFrame(columns)


def test_modality_that_hardly_learned_beside_another_is_named():
    history = _history(
        fused=[1.0, 0.4, 0.1], strong=[1.0, 0.5, 0.2], weak=[1.0, 0.98, 0.97]
    )
    display = LearningCurvesDisplay.from_predictions(history, ["strong", "weak"])
    assert display.starving == ("weak",)
    assert display.summary.loc["strong", "fallen"] == pytest.approx(0.8)
    labels = [t.get_text() for t in display.ax_.get_legend().get_texts()]
    assert labels == ["strong", "weak (starving?)", "fused"]


def test_a_modality_that_learns_training_rows_by_heart_still_starves():
    history = _history(fused=[1.0, 0.2], strong=[1.0, 0.2], rote=[1.0, 0.5])
    history["valid_loss_strong"] = [1.0, 0.3]
    history["valid_loss_rote"] = [1.0, 1.2]
    display = LearningCurvesDisplay.from_predictions(history, ["strong", "rote"])
    assert display.starving == ("rote",)
    assert display.summary.loc["strong", "best"] == 0.3


def test_what_was_learned_in_the_first_epoch_counts():
    history = _history(fused=[0.3, 0.2], quick=[0.3, 0.28], weak=[1.1, 1.08])
    display = LearningCurvesDisplay.from_predictions(history, ["quick", "weak"])
    assert display.starving == ("weak",)


def test_none_starves_where_all_learn_or_none_does():
    both = _history(a=[1.0, 0.5], b=[2.0, 1.4], fused=[1.0, 0.4])
    assert LearningCurvesDisplay.from_predictions(both, ["a", "b"]).starving == ()
    neither = _history(a=[1.0, 0.99], b=[1.0, 1.0], fused=[1.0, 1.0])
    assert LearningCurvesDisplay.from_predictions(neither, ["a", "b"]).starving == ()


def test_curves_of_an_estimator_are_its_history(trusted):
    clf = trusted[0]
    display = LearningCurvesDisplay.from_estimator(clf)
    drawn = display.ax_.get_lines()[0].get_ydata()
    np.testing.assert_allclose(drawn, clf.history_["train_loss_a"])
    with pytest.raises(ValueError, match=r"no losses of \['z'\]"):
        LearningCurvesDisplay.from_predictions(clf.history_, ["z"])


# ---------------------------------------------------------------- reliability


def test_honest_probabilities_lie_on_the_diagonal_and_bold_ones_do_not():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.5, 1, 20_000)
    y = rng.random(20_000) < p
    honest = ReliabilityDisplay.from_predictions(
        y, np.stack([1 - p, p], axis=1), classes=[False, True]
    )
    assert honest.summary.loc["all", "ECE"] < 0.02
    bold = np.stack([np.full(len(p), 0.01), np.full(len(p), 0.99)], axis=1)
    bold = ReliabilityDisplay.from_predictions(y, bold, classes=[False, True])
    assert bold.summary.loc["all", "ECE"] == pytest.approx(0.24, abs=0.02)


def test_patterns_of_what_is_there_are_told_apart(trusted):
    clf, X, y = trusted
    X = X.copy()
    X.loc[X.index[:100], [f"a{i}" for i in range(8)]] = np.nan
    X.loc[X.index[:40], [f"b{i}" for i in range(8)]] = np.nan
    display = ReliabilityDisplay.from_estimator(clf, X, y)
    assert display.summary["n"].to_dict() == {"all": 200, "b + c": 60, "c": 40}
    found = display.summary.loc["b + c"]
    correct = clf.predict(X.iloc[40:100]) == y[40:100]
    assert found["accuracy"] == pytest.approx(correct.mean())
    proba = clf.predict_proba(X.iloc[40:100]).max(axis=1)
    assert found["confidence"] == pytest.approx(proba.mean(), abs=1e-5)
    labels = [t.get_text() for t in display.ax_.get_legend().get_texts()]
    assert re.fullmatch(r"all \(n = 200, ECE 0\.\d{3}\)", labels[0])


def test_reliability_is_of_classifiers(regression):
    reg, X, y = regression
    with pytest.raises(TypeError, match=r"expected a classifier. Got FusionRegressor"):
        ReliabilityDisplay.from_estimator(reg, X, y)
    with pytest.raises(ValueError, match=r"must have shape \(2, 2\)"):
        ReliabilityDisplay.from_predictions([0, 1], [[1.0], [1.0]], classes=[0, 1])


def test_without_matplotlib_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"pip install skfusion\[plot\]"):
        ModalityWeightsDisplay.from_predictions(np.ones((3, 1)), ["a"])
