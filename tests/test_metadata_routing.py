"""Weights and groups reach what asks for them, whatever scikit-learn's global flag."""

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    TunedThresholdClassifierCV,
    cross_val_score,
    cross_validate,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfusion import FusionClassifier, FusionRegressor, ModalityTransformer
from skfusion.modalities import EstimatorModality

N = 60


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    y = np.arange(N) % 2
    X = pd.DataFrame({"a": rng.normal(size=N) + y, "b": rng.normal(size=N)})
    return X, y


@pytest.fixture
def weight():
    return np.random.default_rng(1).integers(1, 9, N) / 4


@pytest.fixture
def parameters(tiny):
    return tiny | {"max_epochs": 1, "n_folds": 1, "base_models": "auto"}


GROUPS = np.arange(N) // 4
BASE_MODELS = {
    "automatic": "auto",
    "linear": [("own", LogisticRegression())],
    "pipeline": [("own", make_pipeline(StandardScaler(), LogisticRegression()))],
    "search": [("own", GridSearchCV(LogisticRegression(), {"C": [1, 2]}, cv=2))],
    "calibrated": [("own", CalibratedClassifierCV(LogisticRegression(), cv=2))],
    "stack": [("own", StackingClassifier([("l", LogisticRegression())], cv=2))],
    "vote": [("own", VotingClassifier([("l", LogisticRegression())], voting="soft"))],
}


@pytest.mark.parametrize("base_models", BASE_MODELS.values(), ids=BASE_MODELS)
def test_the_flag_changes_no_bit_of_a_weighted_fit(
    data, weight, parameters, base_models
):
    X, y = data
    parameters = parameters | {"base_models": base_models}

    def fit(routing):
        with config_context(enable_metadata_routing=routing):
            model = FusionClassifier(**parameters)
            model.fit(X, y, sample_weight=weight, groups=GROUPS)
            return model.predict_proba(X)

    assert np.array_equal(fit(True), fit(False))


@pytest.mark.parametrize("routing", [False, True])
def test_other_weighted_fits_work_whatever_the_flag(data, weight, parameters, routing):
    X, y = data
    scaled = make_pipeline(StandardScaler(), LogisticRegression())
    modalities = [
        ("own", EstimatorModality(scaled), ["a"]),
        ("ridge", EstimatorModality(RidgeClassifier()), ["b"]),
        ("scaled", make_pipeline(StandardScaler()), ["a", "b"]),
    ]
    ridge = [("own", make_pipeline(StandardScaler(), Ridge()))]
    with config_context(enable_metadata_routing=routing):
        FusionClassifier(modalities, **parameters).fit(X, y, sample_weight=weight)
        FusionClassifier(class_weight={0: 1, 1: 2.5}, **parameters).fit(X, y)
        regressor = FusionRegressor(**parameters | {"base_models": ridge})
        regressor.fit(X, X["a"], sample_weight=weight)


def test_weights_reach_the_last_step_of_a_pipeline(data, weight, parameters):
    X, y = data
    own = [("own", make_pipeline(StandardScaler(), LogisticRegression()))]
    parameters = parameters | {"base_models": own}

    def weights_of(sample_weight):
        model = FusionClassifier(**parameters).fit(X, y, sample_weight=sample_weight)
        return model._model.base.tables[0]["own"].model[-1].coef_

    assert not np.allclose(weights_of(weight), weights_of(None))


def test_base_model_without_weights_says_so(data, weight, parameters):
    X, y = data
    parameters = parameters | {"base_models": [("own", KNeighborsClassifier())]}
    FusionClassifier(**parameters).fit(X, y)
    with pytest.warns(UserWarning, match="KNeighborsClassifier takes no sample_weight"):
        FusionClassifier(**parameters).fit(X, y, sample_weight=weight)


def test_what_is_requested_is_routed(data, weight, parameters):
    X, y = data
    X = X.assign(name=[f"group {g}" for g in GROUPS])
    triples = [("left", "vector", ["a"]), ("names", "tabular", ["name"])]
    given = {"sample_weight": weight, "groups": GROUPS}
    with config_context(enable_metadata_routing=True):
        model = FusionClassifier(**parameters)
        model.set_fit_request(sample_weight=True, groups=True)
        model.set_score_request(sample_weight=True)
        pipe = make_pipeline(ModalityTransformer(triples), model).fit(X, y, **given)
        names = pipe[0].named_modalities_["names"].categories_["name"]
        assert len(names) == 0  # each is that of a group
        scores = cross_val_score(model, X, y, cv=GroupKFold(2), params=given)
        assert np.isfinite(scores).all()
        search = GridSearchCV(model, {"dropout": [0.1, 0.3]}, cv=GroupKFold(2))
        assert "dropout" in search.fit(X, y, **given).best_params_


# ---------------------------------------------------------------- nested parameters


TRIPLES = [("left", "vector", ["a"]), ("right", "tabular", ["b"])]


@pytest.mark.parametrize("form", [list, tuple, ModalityTransformer])
@pytest.mark.parametrize("kind", [FusionClassifier, FusionRegressor])
def test_parameters_of_modalities_can_be_searched(data, parameters, kind, form):
    X, y = data
    given = form(TRIPLES)
    model = kind(given, **parameters)
    grid = {"modalities__left__scaling": ["none", "robust"]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(X, y)
    best = search.best_params_["modalities__left__scaling"]
    fitted = search.best_estimator_.modalities_.named_modalities_
    assert fitted.left.scaling == best
    assert model.modalities is given
    assert TRIPLES == [("left", "vector", ["a"]), ("right", "tabular", ["b"])]


def test_a_list_can_be_set_together_with_its_parameters(data, parameters):
    X, y = data
    model = FusionClassifier(**parameters)
    model.set_params(modalities=list(TRIPLES), modalities__right__n_bins=2)
    assert isinstance(model.modalities, ModalityTransformer)
    assert model.fit(X, y).modalities_.named_modalities_.right.n_bins == 2
    model.set_params(modalities__left="tabular")
    assert model.fit(X, y).modality_names_ == ("left", "right")


def test_modalities_that_are_not_named_yet_have_no_parameters():
    with pytest.raises(ValueError, match=r"modalities=None .*Name them"):
        FusionClassifier().set_params(modalities__note__max_tokens=8)
    with pytest.raises(ValueError, match="'nowhere'"):
        FusionClassifier(TRIPLES).set_params(modalities__nowhere__max_tokens=8)


# ---------------------------------------------------------------- meta-estimators


def _requesting(parameters):
    model = FusionClassifier(**parameters)
    model.set_fit_request(sample_weight=True, groups=True)
    return model.set_score_request(sample_weight=True)


def _search(model):
    return GridSearchCV(model, {"dropout": [0.1]}, cv=GroupKFold(2))


def _threshold(model):
    scorer = make_scorer(accuracy_score).set_score_request(sample_weight=False)
    return TunedThresholdClassifierCV(model, scoring=scorer, cv=GroupKFold(2))


META = {
    "calibrated": lambda model: CalibratedClassifierCV(model, cv=GroupKFold(2)),
    "threshold": _threshold,
    "search": _search,
    "stack": lambda model: StackingClassifier([("fusion", model)], cv=2),
}


@pytest.mark.parametrize("meta", META)
def test_weights_and_groups_are_routed_through(data, weight, parameters, meta):
    X, y = data
    seen = []

    class Spy(FusionClassifier):
        def fit(self, X, y, sample_weight=None, groups=None):
            seen.append((sample_weight, groups))
            return super().fit(X, y, sample_weight, groups)

    with config_context(enable_metadata_routing=True):
        model = Spy(**parameters).set_fit_request(sample_weight=True, groups=True)
        model.set_score_request(sample_weight=False)
        given = {"sample_weight": weight, "groups": GROUPS}
        if meta == "stack":  # hands all it is given to its last estimator too
            del given["groups"]
        outer = META[meta](model).fit(X, y, **given)
        assert outer.predict_proba(X).shape == (N, 2)
    assert len(seen) >= 2
    for rows, groups in seen:
        assert set(rows) <= set(weight)
        assert meta == "stack" or set(groups) <= set(GROUPS)


def test_cross_validate_routes_to_fit_split_and_score(data, weight, parameters):
    X, y = data
    with config_context(enable_metadata_routing=True):
        model = _requesting(parameters)
        given = {"sample_weight": weight, "groups": GROUPS}
        weighted = cross_validate(model, X, y, cv=GroupKFold(2), params=given)
        model.set_score_request(sample_weight=False)
        plain = cross_validate(model, X, y, cv=GroupKFold(2), params=given)
    assert not np.array_equal(weighted["test_score"], plain["test_score"])


def test_weights_without_routing_reach_meta_estimators(data, weight, parameters):
    X, y = data
    model = FusionClassifier(class_weight={0: 1, 1: 3}, **parameters)
    for outer in (
        CalibratedClassifierCV(model, cv=2),
        StackingClassifier([("fusion", model)], cv=2),
    ):
        outer.fit(X, y, sample_weight=weight)
        assert outer.predict(X).shape == (N,)


def test_partial_fit_has_requests_of_its_own(parameters):
    with config_context(enable_metadata_routing=True):
        model = FusionClassifier(**parameters).set_partial_fit_request(
            sample_weight=True
        )
        requests = model.get_metadata_routing().partial_fit.requests
    assert requests == {"classes": None, "sample_weight": True}


def test_what_is_not_requested_is_refused(data, weight, parameters):
    X, y = data
    with config_context(enable_metadata_routing=True):
        search = GridSearchCV(FusionClassifier(**parameters), {"dropout": [0.1]}, cv=2)
        with pytest.raises(ValueError, match="not explicitly set as requested"):
            search.fit(X, y, sample_weight=weight)
