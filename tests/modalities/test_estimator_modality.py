import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes, load_iris, make_classification
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Perceptron, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, TimeSeriesSplit
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import estimator_checks_generator

from skfusion import FusionClassifier
from skfusion.modalities.estimator import EstimatorModality

# These compare fit_transform with transform, which differ here on purpose: the former
# is out of fold.
OUT_OF_FOLD = {"check_transformer_general", "check_transformer_data_not_an_array"}
# A modality gives a Block, which is no array.
NO_ARRAY = {"check_array_api_input"}


def contract_checks():
    for estimator in (LogisticRegression(), Ridge()):
        for modality, check in estimator_checks_generator(EstimatorModality(estimator)):
            name = getattr(check, "func", check).__name__
            if name not in OUT_OF_FOLD | NO_ARRAY:
                yield pytest.param(modality, check, id=f"{estimator}-{name}")


CHECKS = list(contract_checks())


@pytest.mark.parametrize(("modality", "check"), CHECKS)
def test_sklearn_contract(modality, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(modality)


def test_contract_is_not_empty():
    assert len(CHECKS) > 80


@pytest.fixture
def iris():
    X, y = load_iris(return_X_y=True)
    return X, np.array(["setosa", "versicolor", "virginica"])[y]


def probabilities(block):
    return np.exp(block.arrays["logits"].astype(np.float64))


def accuracy(modality, block, y):
    return np.mean(modality.classes_[block.arrays["logits"].argmax(axis=1)] == y)


# ------------------------------------------------------------------ out of fold


def test_memorising_expert_does_not_leak():
    """One neighbour is always right on the rows it has seen, and guesses elsewhere."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 5)), rng.integers(0, 2, 400)
    modality = EstimatorModality(KNeighborsClassifier(1))
    assert 0.4 < accuracy(modality, modality.fit_transform(X, y), y) < 0.6
    assert accuracy(modality, modality.transform(X), y) == 1


def test_memorising_regressor_does_not_leak():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 5)), rng.normal(5, 3, 200)
    modality = EstimatorModality(KNeighborsRegressor(1))
    z = (y - y.mean()) / y.std()
    out_of_fold = modality.fit_transform(X, y).arrays["logits"][:, 0]
    assert abs(np.corrcoef(out_of_fold, z)[0, 1]) < 0.2
    np.testing.assert_allclose(
        modality.transform(X).arrays["logits"][:, 0], z, rtol=1e-4
    )


def test_fit_and_fit_transform_lead_to_the_same_expert(iris):
    X, y = iris
    one = EstimatorModality(LogisticRegression(max_iter=500)).fit(X, y)
    two = EstimatorModality(LogisticRegression(max_iter=500))
    two.fit_transform(X, y)
    np.testing.assert_array_equal(
        one.transform(X).arrays["logits"], two.transform(X).arrays["logits"]
    )


def test_repeated_fits_are_equal(iris):
    blocks = [
        EstimatorModality(LogisticRegression(max_iter=500)).fit_transform(*iris)
        for _ in range(2)
    ]
    np.testing.assert_array_equal(np.asarray(blocks[0]), np.asarray(blocks[1]))


# ------------------------------------------------------------------ classifiers


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(max_iter=500),
        DecisionTreeClassifier(random_state=0),
        SVC(),
        SVC(decision_function_shape="ovo"),
        LinearSVC(),
        Perceptron(),
    ],
)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_every_classifier_gives_log_probabilities(estimator, n_classes, iris):
    X, y = iris[0][50 * (3 - n_classes) :], iris[1][50 * (3 - n_classes) :]
    modality = EstimatorModality(make_pipeline(StandardScaler(), estimator))
    for block in (modality.fit_transform(X, y), modality.transform(X)):
        p = probabilities(block)
        assert block.arrays["logits"].dtype == np.float32
        assert p.shape == (len(y), n_classes)
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
        assert p.min() > 1e-4
        assert accuracy(modality, block, y) > 0.85
    assert modality.classes_.tolist() == sorted(set(y))


def test_one_against_one_answers_of_many_classes():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2, 3, 4], [12, 12, 12, 12, 1])
    X = np.eye(5)[y] * 4 + rng.normal(size=(49, 5))
    modality = EstimatorModality(SVC(decision_function_shape="ovo"))
    p = probabilities(modality.fit_transform(X, y))
    assert p.shape == (49, 5)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    assert accuracy(modality, modality.transform(X), y) > 0.8


def test_method_chooses_what_is_asked(iris):
    tree = DecisionTreeClassifier(max_depth=2, random_state=0)
    modality = EstimatorModality(tree, method="predict").fit(*iris)
    logits = modality.transform(iris[0]).arrays["logits"]
    assert len(np.unique(logits, axis=0)) == 3
    with pytest.raises(ValueError, match=r"no such method. It has \['predict_proba'"):
        EstimatorModality(tree, method="decision_function").fit(*iris)


def test_certain_expert_stays_finite(iris):
    modality = EstimatorModality(DecisionTreeClassifier(random_state=0)).fit(*iris)
    logits = modality.transform(iris[0]).arrays["logits"]
    assert np.isfinite(logits).all()
    assert logits.min() > np.log(1e-4)


@pytest.mark.parametrize("estimator", [LogisticRegression(), LinearSVC(), Perceptron()])
def test_rare_classes_do_not_stop_cross_fitting(estimator):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = np.array(["a"] * 30 + ["b"] * 27 + ["c"] * 2 + ["d"])
    modality = EstimatorModality(estimator)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        block = modality.fit_transform(X, y)
    p = probabilities(block)
    assert p.shape == (60, 4)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)


def test_fold_without_a_class_gives_it_little():
    X = np.arange(12.0)[:, None]
    y = np.repeat([0, 1, 2], 4)
    modality = EstimatorModality(LogisticRegression(), cv=GroupKFoldByThirds())
    p = probabilities(modality.fit_transform(X, y))
    assert (p[np.arange(12), y] < 0.1).all()


class GroupKFoldByThirds(GroupKFold):
    def __init__(self):
        super().__init__(3)

    def split(self, X, y, groups=None):
        return super().split(X, y, np.repeat([0, 1, 2], len(y) // 3))


def test_too_few_rows_for_folds_give_the_class_shares():
    X, y = np.array([[0.0], [1.0]]), np.array([0, 1])
    p = probabilities(EstimatorModality(LogisticRegression()).fit_transform(X, y))
    np.testing.assert_allclose(p, 0.5, rtol=1e-6)


def test_rows_outside_every_test_fold_give_the_class_shares(iris):
    order = np.random.default_rng(0).permutation(150)
    X, y = iris[0][order], iris[1][order]
    modality = EstimatorModality(DecisionTreeClassifier(), cv=TimeSeriesSplit(3))
    p = probabilities(modality.fit_transform(X, y))
    np.testing.assert_allclose(p[:30], 1 / 3, atol=0.01)
    assert p[-30:].max(axis=1).min() > 0.9


def test_class_weights_by_label_work(iris):
    weight = {"setosa": 1.0, "versicolor": 2.0, "virginica": 1.0}
    expert = LogisticRegression(class_weight=weight, max_iter=500)
    assert EstimatorModality(expert).fit_transform(*iris).present.all()


# ------------------------------------------------------------------ regressors


def test_regressor_gives_standardised_predictions():
    X, y = load_diabetes(return_X_y=True)
    modality = EstimatorModality(Ridge(alpha=0.1))
    z = (y - y.mean()) / y.std()
    predicted = modality.fit_transform(X, y).arrays["logits"][:, 0]
    assert 0.4 < 1 - np.mean((predicted - z) ** 2) < 0.6


def test_regressor_of_several_outputs():
    X, y = load_diabetes(return_X_y=True)
    Y = np.c_[y, 1000 - 5 * y, np.ones(len(y))]
    modality = EstimatorModality(Ridge(alpha=0.1))
    block = modality.fit_transform(X, Y)
    logits = block.arrays["logits"]
    assert logits.shape == (len(y), 3)
    np.testing.assert_allclose(logits[:, 0], -logits[:, 1], atol=1e-4)
    np.testing.assert_allclose(logits[:, 2], 0, atol=1e-4)


# ------------------------------------------------------------------ tables, absence


def test_mixed_frames_pass_through_as_they_are():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.choice(["x", "y"], 80), "b": rng.normal(size=80)})
    y = (X["a"] == "x").astype(int)
    expert = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["a"]), remainder="passthrough"),
        LogisticRegression(),
    )
    modality = EstimatorModality(expert)
    assert accuracy(modality, modality.fit_transform(X, y), y) > 0.95
    assert modality.feature_names_in_.tolist() == ["a", "b"]
    categories = X.astype({"a": "category"})
    trees = HistGradientBoostingClassifier(
        max_iter=5, categorical_features="from_dtype"
    )
    assert EstimatorModality(trees, cv=2).fit_transform(categories, y).present.all()


def test_polars_and_sparse_tables(iris):
    X, y = iris
    expert = EstimatorModality(DecisionTreeClassifier(random_state=0))
    expected = np.asarray(expert.fit_transform(X, y))
    frame = pl.DataFrame(X, schema=["a", "b", "c", "d"])
    for table in (frame, sparse.csr_matrix(X), sparse.coo_matrix(X)):
        block = expert.fit_transform(table, y)
        np.testing.assert_allclose(np.asarray(block), expected, atol=1e-6)


def test_text_experts_get_their_column():
    texts = ["good soft", "soft good", "bad torn", "torn bad"] * 6 + [None, " "]
    X = pd.DataFrame({"note": pd.Series(texts, dtype=object)})
    y = np.array([1, 1, 0, 0] * 6 + [1, 1])
    modality = EstimatorModality(make_pipeline(TfidfVectorizer(), LogisticRegression()))
    block = modality.fit_transform(X, y)
    assert block.present.tolist() == [True] * 24 + [False] * 2
    assert accuracy(modality, block[:24], y[:24]) == 1


def test_expert_never_sees_missing_rows(iris):
    X, y = iris[0].copy(), iris[1]
    X[::10] = np.nan
    modality = EstimatorModality(LogisticRegression(max_iter=500))
    for block in (modality.fit_transform(X, y), modality.transform(X)):
        assert np.flatnonzero(~block.present).tolist() == list(range(0, 150, 10))
        assert (modality.features(block)[::10] == 0).all()
        assert accuracy(modality, block[block.present], y[block.present]) > 0.9
    nothing = modality.transform(np.full((3, 4), np.nan))
    assert not nothing.present.any()


# ------------------------------------------------------------------ errors


def test_targets_are_required(iris):
    for method in ("fit", "fit_transform"):
        with pytest.raises(ValueError, match="requires y to be passed"):
            getattr(EstimatorModality(LogisticRegression()), method)(iris[0])


def test_wrong_parameters_are_errors(iris):
    with pytest.raises(TypeError, match="must be a classifier or a regressor"):
        EstimatorModality(StandardScaler()).fit(*iris)
    with pytest.raises(ValueError, match="'method' parameter"):
        EstimatorModality(LogisticRegression(), method="score").fit(*iris)
    with pytest.raises(ValueError, match="'cv' parameter"):
        EstimatorModality(LogisticRegression(), cv=1).fit(*iris)


def test_unequal_lengths_are_an_error(iris):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        EstimatorModality(LogisticRegression()).fit(iris[0], iris[1][:-1])


# ------------------------------------------------------------------ encoder


@pytest.mark.parametrize("estimator", [LogisticRegression(max_iter=500), Ridge()])
def test_encoder_gives_one_token_and_known_logits(estimator, iris):
    X = iris[0]
    y = iris[1] if isinstance(estimator, LogisticRegression) else X[:, 0]
    modality = EstimatorModality(estimator)
    block = modality.fit_transform(X, y)
    inputs = {"logits": torch.as_tensor(block.arrays["logits"])}
    encoder = modality.build_encoder(8, 0.1)
    h, mask = encoder(inputs)
    assert h.shape == (150, 1, 8)
    assert mask.all()
    assert torch.equal(encoder.known_logits(inputs), inputs["logits"])
    double, _ = encoder.double()({"logits": inputs["logits"].double()})
    torch.testing.assert_close(double.float(), h, rtol=1e-4, atol=1e-5)


def test_noise_leaves_probabilities(iris):
    modality = EstimatorModality(LogisticRegression(max_iter=500))
    block = modality.fit_transform(*iris)
    inputs = {"logits": torch.as_tensor(block.arrays["logits"])}
    sd = torch.zeros(150)
    sd[75:] = 2.0
    noisy = modality.build_encoder(8, 0.1).add_noise(inputs, sd)["logits"]
    torch.testing.assert_close(noisy[:75], inputs["logits"][:75], rtol=1e-4, atol=1e-4)
    assert (noisy[75:] - inputs["logits"][75:]).abs().mean() > 0.5
    torch.testing.assert_close(noisy.exp().sum(1), torch.ones(150))


# ------------------------------------------------------------------ life cycle


class Counting(ClassifierMixin, BaseEstimator):
    """Counts its fits, in a place that clones share."""

    sizes: list[int] = []

    def fit(self, X, y):
        self.sizes.append(len(X))
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


def test_fit_alone_does_not_cross_fit(iris):
    Counting.sizes.clear()
    EstimatorModality(Counting()).fit(*iris)
    assert Counting.sizes == [150]
    Counting.sizes.clear()
    EstimatorModality(Counting(), cv=3).fit_transform(*iris)
    assert Counting.sizes == [150, 100, 100, 100]


def test_estimator_is_cloned_and_its_parameters_are_nested():
    X, y = make_classification(random_state=0)
    expert = LogisticRegression()
    modality = EstimatorModality(expert).set_params(estimator__C=0.01, cv=3)
    modality.fit(X, y)
    assert not hasattr(expert, "coef_")
    assert modality.estimator_.C == 0.01
    again = pickle.loads(pickle.dumps(modality))
    np.testing.assert_array_equal(
        np.asarray(again.transform(X)), np.asarray(modality.transform(X))
    )
    assert clone(modality).estimator.C == 0.01


def test_labels_are_not_confused_by_their_type():
    X = np.arange(20.0)[:, None]
    modality = EstimatorModality(DummyClassifier()).fit(X, [True, False] * 10)
    assert modality.classes_.tolist() == [False, True]


# ---------------------------------------------------------------- labels


def test_labels_are_learned_one_by_one_and_out_of_fold():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3))
    Y = np.stack([X[:, 0] > 0, X[:, 1] > 1, np.zeros(120)], axis=1).astype(int)
    Y[:, 1] &= np.arange(120) > 40
    modality = EstimatorModality(LogisticRegression())
    block = modality.fit_transform(X, Y)
    assert block.arrays["logits"].shape == (120, 2)  # the third is constant
    for c in range(2):
        assert roc_auc_score(Y[:, c], block.arrays["logits"][:, c]) > 0.9
    p = LogisticRegression().fit(X, Y[:, 0]).predict_proba(X)[:, 1]
    smooth = (120 * p + 2 * Y[:, 0].mean()) / 122
    said = modality.transform(X).arrays["logits"][:, 0]
    np.testing.assert_allclose(expit(said), smooth, rtol=1e-5)
    same = EstimatorModality(LogisticRegression(), cv=2).fit_transform(X, Y)
    assert not np.array_equal(same.arrays["logits"], block.arrays["logits"])


def test_labels_join_the_other_modalities_of_a_classifier():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4))
    Y = np.stack([X[:, 0] > 0, X[:, 2] > 0, np.ones(120)], axis=1).astype(int)
    parts = [("trees", EstimatorModality(LogisticRegression()), [0, 1])]
    parts.append(("rest", "vector", [2, 3]))
    clf = FusionClassifier(parts, max_epochs=3, d_model=16, n_folds=2, random_state=0)
    with pytest.warns(UserWarning, match=r"1 label\(s\)"):
        clf.fit(X[:80], Y[:80])
    assert clf.score(X[80:], Y[80:]) > 0.6


def test_labels_need_probabilities():
    X, Y = np.arange(40.0).reshape(20, 2), np.arange(40).reshape(20, 2) % 3 > 0
    with pytest.raises(ValueError, match="CalibratedClassifierCV"):
        EstimatorModality(LinearSVC()).fit(X, Y)


@pytest.mark.parametrize("cv", [5, GroupKFold(4)])
@pytest.mark.parametrize("regression", [False, True])
def test_rows_of_a_group_are_predicted_by_other_groups(cv, regression):
    rng = np.random.RandomState(0)
    groups = np.repeat(np.arange(40), 4)
    X = np.repeat(rng.randn(40, 5), 4, axis=0) + 1e-3 * rng.randn(160, 5)
    y = np.repeat(rng.randint(2, size=40), 4)  # of a group, and of nothing else
    nearest = KNeighborsRegressor(1) if regression else KNeighborsClassifier(1)
    modality = EstimatorModality(nearest, cv=cv)
    logits = modality.fit_transform(X, y, groups).arrays["logits"][:, -1]
    assert 0.2 < roc_auc_score(y, logits) < 0.8
    if cv == 5:
        logits = modality.fit_transform(X, y).arrays["logits"][:, -1]
        assert roc_auc_score(y, logits) > 0.95
