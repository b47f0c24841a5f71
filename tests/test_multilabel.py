"""Targets of several labels, and of several columns of classes."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.special import logit
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline

import skfusion
from skfusion import FusionClassifier, ModalityTransformer
from skfusion.inspection import (
    ElementsDisplay,
    ReliabilityDisplay,
    does_fusion_help,
    faithfulness_report,
    modality_contributions,
    modality_shapley,
    robustness_curve,
)

NAMES = ["warm", "dear", "both"]
N = 160
TRAIN, TEST = slice(0, 110), slice(110, None)
MODALITIES = [("note", "text", "note"), ("facts", "tabular", ["price", "size"])]
PLAIN = {"base_models": None}  # where these have no part in what is tested
TINY = {"d_model": 16, "max_epochs": 6, "n_folds": 2, "random_state": 0}


def made(n=N):
    """A label that the text tells, one that the price does, one that needs both."""
    rng = np.random.default_rng(0)
    warm, price = rng.random(n) < 0.5, rng.normal(size=n)
    words = np.where(warm, "woollen scarf", "linen shirt")
    note = [f"{w} {c}" for w, c in zip(words, rng.choice(list("abcd"), n), strict=True)]
    frame = pd.DataFrame({"note": note, "price": price, "size": rng.normal(size=n)})
    labels = np.stack([warm, price > 0, warm & (price > 0)], axis=1)
    return frame, pd.DataFrame(labels.astype(int), columns=NAMES)


X, Y = made()


def make(**parameters):
    return FusionClassifier(MODALITIES, **TINY | parameters)


@pytest.fixture(scope="module")
def model():
    return make().fit(X[TRAIN], Y[TRAIN])


@pytest.fixture(scope="module")
def proba(model):
    return model.predict_proba(X[TEST])


def test_each_label_is_learned(model, proba):
    assert roc_auc_score(Y[TEST], proba, average=None).min() > 0.9
    assert model.score(X[TEST], Y[TEST]) > 0.6


def test_answers_have_the_form_that_scikit_learn_gives(model, proba):
    other = MLPClassifier(max_iter=2).set_params(early_stopping=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other.fit(X[["price"]][TRAIN], Y[TRAIN])
    theirs = other.predict(X[["price"]][TEST])
    ours = model.predict(X[TEST])
    assert (ours.shape, ours.dtype.kind) == (theirs.shape, theirs.dtype.kind)
    assert proba.shape == other.predict_proba(X[["price"]][TEST]).shape
    np.testing.assert_array_equal(model.classes_, other.classes_)
    np.testing.assert_array_equal(ours, proba > 0.5)
    assert model.score(X[TEST], Y[TEST]) == accuracy_score(Y[TEST], ours)


FORMS = {
    "array": np.asarray,
    "csr": sparse.csr_matrix,
    "coo": sparse.coo_array,
    "bool": lambda y: y.to_numpy(bool),
    "lists of floats": lambda y: y.to_numpy(float).tolist(),
    "nullable": lambda y: y.astype("Int8"),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_form_of_the_indicator_changes_nothing(form):
    found = make()._check_y(form(Y))
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, Y)


def test_a_sparse_indicator_is_learned_and_scored(model):
    again = make().fit(X[TRAIN], sparse.csr_matrix(Y[TRAIN]))
    score = again.score(X[TEST], sparse.csr_matrix(Y[TEST]))
    assert score == model.score(X[TEST], Y[TEST])


@pytest.mark.parametrize("fusion", ["adaptive", "concat", "mean"])
def test_contributions_sum_to_the_log_odds_of_each_label(model, fusion):
    if fusion != "adaptive":
        model = make(fusion=fusion, n_folds=1).fit(X[TRAIN], Y[TRAIN])
    output = logit(model.predict_proba(X[TEST]))
    for joint in ("separate", "shared"):
        parts, rest = model.modality_contributions(X[TEST], joint=joint)
        assert parts.shape == (N - 110, 2, 3)
        log_odds = logit(model.class_prior_) + parts.sum(axis=1) + rest
        np.testing.assert_allclose(log_odds, output, rtol=1e-5)


def test_elements_and_their_rest_sum_to_the_contribution_of_each_label(model):
    parts, _ = model.modality_contributions(X[TEST])
    found = model.element_contributions(X[TEST], "note")
    assert list(found.elements[0].columns) == NAMES
    sums = np.array([frame.sum(axis=0) for frame in found.elements]) + found.rest
    np.testing.assert_allclose(sums, parts[:, 0], atol=1e-8)
    words = found.elements[0]["warm"]
    assert words[words.index.isin(["woollen", "scarf", "linen", "shirt"])].abs().max()


def test_weights_and_trust_are_those_of_the_row(model):
    weights = model.modality_weights(X[TEST])
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert model.modality_trust(X[TEST]).shape == weights.shape
    for series in model.element_weights(X[TEST], "note"):
        assert series.sum() == pytest.approx(1)


def test_each_modality_alone_says_a_probability_of_each_label(model):
    alone = model.modality_proba(X[TEST])
    assert roc_auc_score(Y[TEST]["warm"], alone["note"][:, 0]) > 0.95
    assert roc_auc_score(Y[TEST]["dear"], alone["facts"][:, 1]) > 0.95
    nothing = X[TEST].assign(note=None)
    absent = model.modality_proba(nothing)["note"]
    np.testing.assert_allclose(absent, [model.class_prior_] * len(nothing))


def test_constant_labels_are_predicted_as_they_were_and_warned_of():
    y = Y.assign(never=0, always=1)
    with pytest.warns(UserWarning, match=r"2 label\(s\) .* \['never', 'always'\]"):
        model = make().fit(X[TRAIN], y[TRAIN])
    proba = model.predict_proba(X[TEST])
    np.testing.assert_array_equal(proba[:, 3:], [[0, 1]] * len(proba))
    np.testing.assert_array_equal(model.predict(X[TEST])[0, 3:], [0, 1])
    parts, rest = model.modality_contributions(X[TEST])
    assert not parts[..., 3:].any()
    assert not rest[:, 3:].any()
    assert model.modality_proba(X[TEST])["note"].shape == (len(proba), 5)
    assert model.element_contributions(X[TEST], "note").rest.shape == (len(proba), 5)
    assert "never (0), always (110)" in model.card(X[TEST], y[TEST])


def test_a_label_of_a_single_row_is_learned_without_a_warning():
    y = np.asarray(Y[TRAIN]).copy()
    y[:, 2] = 0
    y[17, 2] = 1
    model = make(base_models=[("forest", RandomForestClassifier(5))])
    proba = model.fit(X[TRAIN], y).predict_proba(X[TEST])
    assert 0 < proba[:, 2].max() < 0.5


def test_users_base_models_are_fitted_for_each_label():
    own = [("forest", RandomForestClassifier(20, random_state=0))]
    model = make(base_models=own).fit(X[TRAIN], Y[TRAIN])
    assert "forest" in model.base_model_weights_.columns
    assert model.score(X[TEST], Y[TEST]) > 0.6


def test_weights_are_factors():
    w = np.random.default_rng(1).integers(1, 4, 110)
    weighted = make(**PLAIN).fit(X[TRAIN], Y[TRAIN], sample_weight=w)
    rows = np.repeat(np.arange(110), w)
    repeated = make(**PLAIN).fit(X.iloc[rows], Y.iloc[rows])
    np.testing.assert_allclose(
        weighted.predict_proba(X[TEST]), repeated.predict_proba(X[TEST]), atol=1e-6
    )
    share = np.average(Y[TRAIN], axis=0, weights=w)
    np.testing.assert_allclose(weighted.class_prior_, share)


def test_a_warm_start_keeps_the_labels():
    model = make(warm_start=True, **PLAIN).fit(X[TRAIN], Y[TRAIN])
    before = log_loss(Y[TEST]["both"], model.predict_proba(X[TEST])[:, 2])
    model.fit(X[TRAIN], Y[TRAIN])
    assert log_loss(Y[TEST]["both"], model.predict_proba(X[TEST])[:, 2]) < 2 * before
    with pytest.raises(ValueError, match=r"goes on with the labels \[0 1 2\], but y"):
        model.fit(X[TRAIN], Y[TRAIN].iloc[:, :2])
    with pytest.raises(ValueError, match="goes on with the labels"):
        model.fit(X[TRAIN], Y[TRAIN]["warm"])
    one = make(warm_start=True, **PLAIN).fit(X[TRAIN], Y[TRAIN]["warm"])
    with pytest.raises(ValueError, match=r"with the classes \[0 1\], but y now has"):
        one.fit(X[TRAIN], Y[TRAIN].iloc[:, :2])


def test_a_refit_goes_from_labels_to_classes_and_back(proba):
    model = make().fit(X[TRAIN], Y[TRAIN]["warm"])
    assert not model.multilabel_
    assert model.predict_proba(X[TEST]).shape == (N - 110, 2)
    model.fit(X[TRAIN], Y[TRAIN])
    assert model.multilabel_
    np.testing.assert_array_equal(model.predict_proba(X[TEST]), proba)
    model.fit(X[TRAIN], Y[TRAIN]["warm"])
    assert model._output_names == [0, 1]


def test_files_and_pickles_predict_the_same_to_the_bit(model, proba, tmp_path):
    skfusion.save(model, tmp_path / "model.skf")
    loaded = skfusion.load(tmp_path / "model.skf")
    for other in (loaded, pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.predict_proba(X[TEST]), proba)
        assert other._output_names == NAMES


def test_searches_and_cross_validation_score_labels():
    y = Y.to_numpy()
    grid = {"d_model": [8, 16]}
    search = GridSearchCV(make(**PLAIN), grid, cv=2, scoring="roc_auc")
    assert search.fit(X, y).best_score_ > 0.7
    scores = cross_val_score(make(**PLAIN), X, y, cv=2, scoring="f1_macro")
    assert np.isfinite(scores).all()


def test_a_pipeline_learns_labels(proba):
    pipeline = make_pipeline(ModalityTransformer(MODALITIES), clone(make()))
    pipeline.set_output(transform="default").fit(X[TRAIN], Y[TRAIN])
    np.testing.assert_array_equal(pipeline.predict_proba(X[TEST]), proba)


def test_grouped_rows_of_labels_stay_together():
    groups = np.arange(110) // 5
    model = make().fit(X[TRAIN], Y[TRAIN], groups=groups)
    assert model.score(X[TEST], Y[TEST]) > 0.5


def test_the_card_names_labels_and_scores_them(model):
    card = model.card(X[TEST], Y[TEST])
    assert "- Labels: warm (" in card
    assert f"{model.score(X[TEST], Y[TEST]):.4g}" in card
    with pytest.raises(ValueError, match="an indicator of 3 labels"):
        model.card(X[TEST], Y[TEST].iloc[:, :2])


# ---------------------------------------------------------------- inspection


def test_contributions_and_shapley_values_sum_to_the_log_odds(model, proba):
    found = modality_contributions(model, X[TEST])
    np.testing.assert_allclose(found.output, logit(proba), rtol=1e-5)
    shared = modality_shapley(model, X[TEST])
    np.testing.assert_allclose(shared.output, logit(proba), rtol=1e-5)
    sums = shared.baseline + shared.shapley.sum(axis=1)
    np.testing.assert_allclose(sums, shared.output, atol=1e-8)


def test_displays_and_reports_take_labels_or_say_what_to_do(model):
    display = ElementsDisplay.from_estimator(model, X[TEST], "note", rows=[0])
    assert any(name in display.titles[0] for name in NAMES)
    chosen = ElementsDisplay.from_estimator(model, X[TEST], "note", output="dear")
    assert "to dear" in chosen.titles[0]
    report = faithfulness_report(model, X[TEST], Y[TEST], random_state=0)
    assert len(report.table)
    robust = robustness_curve(model, X[TEST], Y[TEST], levels=[0, 1], random_state=0)
    assert robust["score"].iloc[0] == model.score(X[TEST], Y[TEST])
    helped = does_fusion_help(make(max_epochs=1, **PLAIN), X[:60], Y[:60], cv=2)
    assert "fusion" in helped.table.index
    with pytest.raises(TypeError, match=r"from_predictions\(Y\[:, l\]"):
        ReliabilityDisplay.from_estimator(model, X[TEST], Y[TEST])


# ---------------------------------------------------------------- what is refused


def test_several_columns_of_classes_are_learned_through_scikit_learn():
    size = np.digitize(X["price"], [-0.5, 0.5])
    y = np.stack([np.where(Y["warm"], "winter", "summer"), size.astype(str)], axis=1)
    with pytest.raises(ValueError, match=r"'summer|winter' in row 0, column 0.*Multi"):
        make().fit(X, y)
    wrapped = MultiOutputClassifier(make()).fit(X[TRAIN], y[TRAIN])
    assert wrapped.predict(X[TEST]).shape == (N - 110, 2)
    assert [p.shape[1] for p in wrapped.predict_proba(X[TEST])] == [2, 3]
    assert wrapped.score(X[TEST], y[TEST]) > 0.5
    assert wrapped.estimators_[1].modality_weights(X[TEST]).shape == (N - 110, 2)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([[0, 1], [1, 2]] * 20, r"holds 2 in row 1, column 1.*MultiOutputClassifier"),
        ([[0.5, 1], [1, 0]] * 20, r"holds 0.5 in row 0, column 0.*FusionRegressor"),
        ([["a"], ["a", "b"]] * 20, r"\['a'\] in row 0.*MultiLabelBinarizer"),
        ([[0, np.nan], [1, 0]] * 20, "missing in row 0"),
        ([[0, 1]] * 40, "all 2 labels in y are constant"),
    ],
    ids=["classes", "numbers", "sets", "missing", "constant"],
)
def test_other_targets_of_several_columns_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        make().fit(X[:40], y)


def test_class_weights_of_labels_are_refused():
    with pytest.raises(ValueError, match=r"'class_weight' parameter .* 'balanced'"):
        make(class_weight="balanced").fit(X, Y)
