"""The model card: what it says is so, and it is Markdown whatever the names are."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    log_loss,
    mean_absolute_error,
    r2_score,
    root_mean_squared_error,
)
from sklearn.pipeline import Pipeline

from skfusion import FusionClassifier, FusionRegressor, ModalityTransformer
from skfusion.evidence.held_out import summarise
from skfusion.training.links import Softmax

ONE = {"max_epochs": 1, "d_model": 16, "n_folds": 2, "random_state": 0}


@pytest.fixture(scope="module")
def classifier():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(90, 6)), columns=[*"abcdef"])
    y = np.where(X["a"] + X["d"] > 0, "yes", "no")
    X.loc[::3, ["d", "e", "f"]] = np.nan
    X.loc[1::3, ["d", "e", "f"]] = np.nan
    views = [("right", "vector", [*"def"]), ("left", "vector", [*"abc"])]
    return FusionClassifier(views, **ONE).fit(X, y), X, y


def table(card, head):
    """The cells of the table whose head begins so, by the first of each row."""
    lines = card.split(f"| {head} |")[1].split("\n\n")[0].splitlines()[2:]
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in rows}


def test_scores_and_weights_of_rows_given(classifier):
    model, X, y = classifier
    card = model.card(X, y)
    scores = {name: float(row[1]) for name, row in table(card, "Score").items()}
    assert scores == pytest.approx(
        {
            "rows": 90,
            "accuracy": accuracy_score(y, model.predict(X)),
            "balanced accuracy": balanced_accuracy_score(y, model.predict(X)),
            "log-loss": log_loss(y, model.predict_proba(X)),
        },
        rel=1e-3,
    )
    weights = table(card.partition("relies on")[0], "Modality")
    assert weights["left"][1:] == ["a, b, c", "100.0%"]
    relied = table(card.split("Mean weights:")[1], "Modality")
    mean = model.modality_weights(X).mean(axis=0)
    assert [float(relied[n][1]) for n in ("right", "left")] == pytest.approx(
        mean.tolist(), abs=0.006
    )
    assert float(relied["share of the joint part"][1]) == pytest.approx(
        model.joint_share(X).mean(), abs=0.006
    )


def test_held_out_scores_are_those_of_rows_not_learned_from(classifier):
    """Noise is learned by heart, and predicted no better than by chance."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 30)), rng.random(200) < 0.5
    model = FusionClassifier(**{**ONE, "max_epochs": 20}).fit(X, y)
    held = float(table(model.card(), "Score")["accuracy"][0])
    assert held < 0.65 < model.score(X, y)
    assert table(model.card(), "Score")["rows"] == ["200"]
    # The order of the modalities is that of the user, not that of the networks.
    _, left = model_weights(classifier[0].card())
    assert left > 0.5


def model_weights(card):
    relied = table(card.split("Mean weights:")[1], "Modality")
    return float(relied["right"][0]), float(relied["left"][0])


def test_data_limits_and_versions(classifier):
    card = classifier[0].card()
    assert card.startswith("# Model card: FusionClassifier\n\n## Data\n")
    for part in (
        "Rows: 90, of which 90 are distinct", "Classes: no (", "33.3%",
        "learned from 90 distinct rows", "right was absent in 67% of rows",
        "## Limits", "numpy " + np.__version__, "FusionClassifier(d_model=16",
    ):  # fmt: skip
        assert part in card
    assert card == classifier[0].card()


def test_a_regression_in_units_of_the_target():
    X = np.random.default_rng(0).normal(size=(80, 3))
    y = 50 + 9 * X[:, 0]
    model = FusionRegressor(**ONE).fit(X, y)
    scores = {k: float(v[1]) for k, v in table(model.card(X, y), "Score").items()}
    predicted = model.predict(X)
    assert scores == pytest.approx(
        {
            "rows": 80,
            "R2": r2_score(y, predicted),
            "RMSE": root_mean_squared_error(y, predicted),
            "MAE": mean_absolute_error(y, predicted),
        },
        rel=1e-3,
    )


def test_rules_without_trust_in_pipelines_and_few_rows(classifier):
    _, X, y = classifier
    views = [("right", "vector", [*"def"]), ("left", "vector", [*"abc"])]
    pipe = Pipeline(
        [
            ("modalities", ModalityTransformer(views)),
            ("fusion", FusionClassifier(fusion="mean", **ONE)),
        ]
    ).fit(X, y)
    card = pipe[-1].card()
    assert "from the step before" in card
    assert "accuracy" in table(card, "Score")
    assert "joint part" not in card
    few = FusionClassifier(**ONE).fit(X[["a"]].head(20), y[:20])
    assert "No rows were held out" in few.card()


def test_weights_without_answers(classifier):
    model, X, _ = classifier
    card = model.card(X)
    assert table(card, "Score")["accuracy"][1] == ""
    assert model_weights(card)[1] > 0


def test_names_are_no_markdown():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a|b\n# c": rng.normal(size=60), "<b>": rng.normal(size=60)})
    y = np.where(X["<b>"] > 0, "*x*", "[y](z)")
    card = FusionClassifier(**ONE).fit(X, y).card().partition("## Made with")[0]
    assert r"a\|b \# c, \<b\>" in card
    assert r"\*x\*" in card and r"\[y\](z)" in card
    for line in re.findall(r"^\|.*\|$", card, re.MULTILINE):
        assert not re.search(r"(?<!\\)[<>#*]", line)


def test_faults_are_told(classifier):
    model, X, y = classifier
    with pytest.raises(NotFittedError):
        FusionClassifier().card()
    with pytest.raises(ValueError, match="X has 90 rows and y has 3"):
        model.card(X, y[:3])
    wrong = y.copy()
    wrong[4] = "?"
    with pytest.raises(
        ValueError, match=r"'\?' in row 4, which is none of the classes"
    ):
        model.card(X, wrong)


def test_a_summary_weighs_its_rows():
    logits = np.array([[2.0, 0], [0, 1], [3, 0]])
    y, weights = np.array([0, 0, 1]), np.array([[1.0, 0], [0, 1], [0.5, 0.5]])
    options = {"link": Softmax()}
    w = np.array([2.0, 1, 1])
    twice = [0, 0, 1, 2]
    weighted = summarise(logits, weights, None, y, w, **options)
    repeated = summarise(logits[twice], weights[twice], None, y[twice], **options)
    assert weighted.scores == pytest.approx(repeated.scores)
    assert weighted.weights == pytest.approx(repeated.weights)
    assert weighted.joint_share is None
