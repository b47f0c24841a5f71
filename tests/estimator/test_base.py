"""What the classifier and the regressor have in common."""

import copy
import inspect
import pickle
import re
import threading

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpydoc.docscrape import ClassDoc
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import estimator_html_repr
from skorch.callbacks import Callback

import skfusion
from skfusion import FusionClassifier, FusionRegressor, ModalityTransformer
from skfusion import balance as balance_strategies
from skfusion import corruption as corruption_module
from skfusion import fusion as fusion_rules
from skfusion import modalities as all_modalities
from skfusion.batch import Block, ModalityBatch
from skfusion.corruption import Corruption, Drop, Noise, Swap
from skfusion.fusion import AdaptiveFusion

NAMES = [
    n.removesuffix("Fusion").lower() for n in fusion_rules.__all__ if n != "Fusion"
]


@pytest.fixture
def make(kind, view_triples, tiny):
    def make(**parameters):
        return kind(**{"modalities": view_triples} | tiny | parameters)

    return make


@pytest.fixture
def make_whole(make, whole):
    """The same with base models."""

    def make_whole(**parameters):
        return make(**whole | parameters)

    return make_whole


@pytest.fixture
def fitted(make_whole, data):
    return make_whole().fit(*data)


def output(model, X):
    """The finest output there is, so that equality says most."""
    return getattr(model, "predict_proba", model.predict)(X)


def assert_same_output(one, two, X, X_two=None):
    assert np.array_equal(output(one, X), output(two, X if X_two is None else X_two))


# ---------------------------------------------------------------- randomness


def test_two_fits_with_one_seed_are_equal_to_the_bit(make_whole, data):
    one, two = make_whole().fit(*data), make_whole().fit(*data)
    assert_same_output(one, two, data[0])
    losses = one.history_.columns.drop("seconds")
    assert one.history_[losses].equals(two.history_[losses])


def test_another_seed_gives_another_model(make, data):
    one, two = make().fit(*data), make(random_state=1).fit(*data)
    assert not np.allclose(output(one, data[0]), output(two, data[0]))


def test_global_random_state_neither_matters_nor_changes(make_whole, data):
    models = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
        model = make_whole().fit(*data)
        output(model, data[0])
        assert torch.equal(torch.random.get_rng_state(), before[0])
        assert np.array_equal(np.random.get_state()[1], before[1])
        models.append(model)
    assert_same_output(*models, data[0])


def test_random_state_object_moves_on_between_fits(make, data):
    rng = np.random.RandomState(0)
    one, two = make(random_state=rng).fit(*data), make(random_state=rng).fit(*data)
    assert not np.allclose(output(one, data[0]), output(two, data[0]))


def test_refitting_starts_from_nothing(make, data):
    model = make()
    first = output(model.fit(*data), data[0])
    assert np.array_equal(output(model.fit(*data), data[0]), first)


@pytest.mark.parametrize("base_models", [None, "auto"])
def test_fits_in_threads_equal_serial_ones(
    kind, make_mixed, mixed_modalities, tiny, base_models
):
    frame, labels = make_mixed(60)
    y = labels if kind is FusionClassifier else labels * 1.0

    def fit(seed, out):
        parameters = tiny | {"random_state": seed, "base_models": base_models}
        model = kind(mixed_modalities, **parameters).fit(frame, y)
        out[seed] = output(model, frame)

    serial, parallel = {}, {}
    for seed in (0, 1):
        fit(seed, serial)
    state = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    threads = [threading.Thread(target=fit, args=(s, parallel)) for s in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in (0, 1):
        assert np.array_equal(serial[seed], parallel[seed])
    assert torch.equal(torch.random.get_rng_state(), state[0])
    assert np.array_equal(np.random.get_state()[1], state[1])


def test_search_in_threads_gives_what_a_serial_one_gives(make_whole, data):
    from joblib import parallel_backend
    from sklearn.model_selection import cross_val_predict

    X, y = data
    serial = cross_val_predict(make_whole(), X, y, cv=2)
    with parallel_backend("threading", n_jobs=2):
        assert np.array_equal(cross_val_predict(make_whole(), X, y, cv=2), serial)


def test_processes_give_what_one_process_gives(make_whole, data):
    one, two = make_whole().fit(*data), make_whole(n_jobs=2).fit(*data)
    assert_same_output(one, two, data[0])
    assert np.array_equal(one.modality_weights(data[0]), two.modality_weights(data[0]))


def test_threads_of_torch_are_as_before(make, data):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        make().fit(*data).predict(data[0])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# ---------------------------------------------------------------- what is the caller's


def test_parameters_are_not_changed(kind, mixed, mixed_modalities, tiny):
    frame, labels = mixed
    y = labels if kind is FusionClassifier else labels * 1.0
    rule, corruption = AdaptiveFusion(n_heads=2), Corruption(p_drop=0.2)
    model = kind(mixed_modalities, fusion=rule, corruption=corruption, **tiny)
    before = str(copy.deepcopy(model.get_params()))
    model.fit(frame, y).predict(frame)
    assert model.modalities is mixed_modalities
    assert model.fusion is rule
    assert model.corruption is corruption
    assert not hasattr(mixed_modalities, "modalities_")
    assert str(model.get_params()) == before


class Counter(Callback):
    def __init__(self):
        self.epochs = 0

    def on_epoch_end(self, net, **kwargs):
        self.epochs += 1
        net.history.record("epochs_seen", self.epochs)


def test_callbacks_run_as_copies(make, data):
    counter = Counter()
    model = make(callbacks=[counter]).fit(*data)
    assert list(model.history_["epochs_seen"]) == [1, 2, 3]
    assert counter.epochs == 0
    assert list(model.fit(*data).history_["epochs_seen"]) == [1, 2, 3]


def test_frame_and_target_are_not_changed(kind, mixed, mixed_modalities, tiny):
    frame, labels = mixed
    y = labels.copy() if kind is FusionClassifier else labels * 1.0
    X_before, y_before = copy.deepcopy(frame), y.copy()
    kind(mixed_modalities, **tiny).fit(frame, y).predict(frame)
    assert list(frame.columns) == list(X_before.columns)
    for column in frame.columns:
        for a, b in zip(frame[column], X_before[column], strict=True):
            np.testing.assert_equal(a, b)
    assert np.array_equal(y, y_before)


def test_read_only_arrays_are_welcome(kind, data, tiny):
    X, y = data[0].to_numpy(), np.array(data[1])
    X.setflags(write=False)
    y.setflags(write=False)
    kind(**tiny).fit(X, y).predict(X)


# ---------------------------------------------------------------- weights and absence


@pytest.mark.parametrize("rule", NAMES)
def test_every_rule_trains_predicts_and_explains(make, data, rule):
    X, y = data
    model = make(fusion=rule).fit(X, y)
    assert np.isfinite(output(model, X)).all()
    weights = model.modality_weights(X)
    assert weights.shape == (len(X), 2)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    absent = np.stack([X["a"].isna(), X["d"].isna()], axis=1)
    assert absent.any(axis=0).all()
    assert (weights[absent] == 0).all()
    assert (weights >= 0).all()
    contributions, joint = model.modality_contributions(X)
    assert (contributions[absent] == 0).all()
    assert_adds_up(model, X, contributions, joint)
    share = model.joint_share(X)
    assert share.shape == (len(X),)
    assert ((share >= 0) & (share <= 1)).all()


def test_short_name_stands_for_the_rule_with_its_defaults(make, data):
    assert_same_output(
        make(fusion="adaptive").fit(*data),
        make(fusion=AdaptiveFusion()).fit(*data),
        data[0],
    )


@pytest.mark.parametrize("early_stopping", [False, True])
def test_row_without_any_modality_gets_what_is_known_without_evidence(
    make_whole, data, early_stopping
):
    X, y = data
    model = make_whole(early_stopping=early_stopping).fit(X, y)
    nothing = X.head(3).copy()
    nothing.iloc[1] = np.nan
    with pytest.warns(UserWarning, match=r"1 row\(s\) have no modality present"):
        said = output(model, nothing)
    if isinstance(model, FusionClassifier):
        expected = [np.mean(y == c) for c in model.classes_]
    else:
        expected = np.mean(y)
    np.testing.assert_allclose(said[1], expected, rtol=1e-6)
    with pytest.warns(UserWarning, match="no modality present"):
        weights = model.modality_weights(nothing)
    assert (weights[1] == 0).all()
    assert weights[0].sum() == pytest.approx(1)
    with pytest.warns(UserWarning, match="no modality present"):
        assert model.element_weights(nothing, "left")[1].empty


def spoilt(batch):
    """The same rows with other content behind their absence masks."""
    blocks = {}
    for name, block in batch.blocks.items():
        arrays = {key: array.copy() for key, array in block.arrays.items()}
        for array in arrays.values():
            array[~block.present] = 77
        blocks[name] = Block(arrays, block.present)
    return ModalityBatch(blocks, batch.modalities)


def test_content_behind_an_absence_mask_changes_no_bit(fitted, data):
    batch = fitted.modalities_.transform(data[0])
    other = spoilt(batch)
    assert not batch.present.all()
    assert np.array_equal(output(fitted, batch), output(fitted, other))
    for one, two in zip(
        [fitted.modality_weights(batch), *fitted.modality_contributions(batch)],
        [fitted.modality_weights(other), *fitted.modality_contributions(other)],
        strict=True,
    ):
        assert np.array_equal(one, two)


def test_content_behind_an_absence_mask_teaches_nothing(make_whole, data, view_triples):
    batch = ModalityTransformer(view_triples).fit_transform(data[0])
    models = [
        make_whole(modalities=None).fit(x, data[1]) for x in (batch, spoilt(batch))
    ]
    assert_same_output(*models, batch)


def test_order_of_modalities_changes_nothing_but_that_of_the_weights(
    make_whole, data, view_triples
):
    X, y = data
    one, two = (
        make_whole().fit(X, y),
        make_whole(modalities=view_triples[::-1]).fit(X, y),
    )
    assert two.modality_names_ == one.modality_names_[::-1]
    assert_same_output(one, two, X)
    for name in ("modality_weights", "modality_trust"):
        found = [getattr(model, name)(X) for model in (one, two)]
        assert np.array_equal(found[0], found[1][:, ::-1])
    contributions, joint = zip(
        *(model.modality_contributions(X) for model in (one, two)), strict=True
    )
    assert np.array_equal(contributions[0], contributions[1][:, ::-1])
    assert np.array_equal(*joint)
    pd.testing.assert_frame_equal(
        one.base_model_weights_.loc[two.base_model_weights_.index],
        two.base_model_weights_,
    )


def test_column_wholly_absent_at_prediction(make_whole, data):
    X, y = data
    model = make_whole().fit(X, y)
    X = X[X["a"].notna()].copy()
    X[["d", "e", "f"]] = np.nan
    assert np.isfinite(output(model, X)).all()
    assert (model.modality_weights(X) == [1, 0]).all()


def test_column_wholly_absent_in_training(make_whole, data):
    X, y = data
    X = X.copy()
    X[["d", "e", "f"]] = np.nan
    X = X.fillna({"a": 0.0, "b": 0.0, "c": 0.0})
    model = make_whole().fit(X, y)
    assert (model.modality_weights(X) == [1, 0]).all()


def test_a_row_is_predicted_alike_alone_and_among_others(make_whole, data):
    X, y = data
    model = make_whole().fit(X, y)
    together = output(model, X)
    alone = np.concatenate([output(model, X.iloc[[i]]) for i in range(5)])
    np.testing.assert_allclose(alone, together[:5], atol=1e-9)


def test_prediction_of_many_rows_agrees_with_that_of_few(make_whole, data, make_views):
    X, y = data
    model = make_whole().fit(X, y)
    many, _ = make_views(600, seed=3)
    together = output(model, many)
    assert len(together) == 600
    few = np.concatenate([output(model, many.iloc[i : i + 100]) for i in (0, 500)])
    np.testing.assert_allclose(
        together[[*range(100), *range(500, 600)]], few, atol=1e-4
    )


def test_predicting_changes_nothing(make_whole, data):
    X, y = data
    model = make_whole().fit(X, y)
    before = pickle.dumps(model.networks_)
    first = output(model, X)
    assert np.array_equal(output(model, X), first)
    assert pickle.dumps(model.networks_) == before


def test_element_weights_name_the_elements(kind, mixed, mixed_modalities, tiny):
    frame, labels = mixed
    y = labels if kind is FusionClassifier else labels * 1.0
    model = kind(mixed_modalities, **tiny).fit(frame, y)
    for name in model.modality_names_:
        elements = model.element_weights(frame, name)
        assert len(elements) == len(frame)
        sums = np.array([e.sum() for e in elements])
        present = model.modality_weights(frame)[:, model.modality_names_.index(name)]
        np.testing.assert_allclose(sums, present > 0)
    facts = model.element_weights(frame, "facts")[0]
    assert list(facts.index) == ["price", "weight", "colour"]
    words = {str(w) for w in model.element_weights(frame, "words")[0].index}
    assert words & set(frame["note"].iloc[0].split())


def assert_adds_up(model, X, contributions, joint):
    """Contributions and the joint part are the output, to 1e-9."""
    total = contributions.sum(axis=1) + joint
    if isinstance(model, FusionClassifier):
        log_p = np.log(model.predict_proba(X)) - np.log(model.class_prior_)
        expected = log_p - log_p.mean(axis=1, keepdims=True)
    else:
        expected = model.predict(X).reshape(len(X), -1) - model.y_mean_
    np.testing.assert_allclose(total, expected, rtol=0, atol=1e-9)


# ---------------------------------------------------------------- base models and folds


def test_base_model_weights_tell_what_counts_in_each_source(fitted):
    weights = fitted.base_model_weights_
    assert list(weights.index) == ["left", "right", "joint"]
    assert list(weights.columns) == ["network", "linear", "trees"]
    assert (weights >= 0).all(axis=None)
    assert (weights.loc[["left", "right"]].sum(axis=1) > 0).all()


def test_without_base_models_the_network_speaks_alone(make_whole, data):
    weights = make_whole(base_models=None).fit(*data).base_model_weights_
    assert list(weights.columns) == ["network"]
    assert list(weights.index) == ["left", "right"]


def test_base_models_of_the_user_join(kind, make_whole, data):
    X, y = data
    trees = {
        FusionClassifier: DecisionTreeClassifier,
        FusionRegressor: DecisionTreeRegressor,
    }
    own = [("tree", trees[kind](max_depth=3, random_state=0))]
    model, without = make_whole(base_models=own).fit(X, y), make_whole().fit(X, y)
    weights = model.base_model_weights_
    assert list(weights.columns) == ["network", "linear", "trees", "tree"]
    assert (weights["tree"] > 0).any()
    assert not np.allclose(output(model, X), output(without, X))
    assert not hasattr(own[0][1], "tree_")  # the caller's is not fitted


def test_rows_too_few_to_hold_any_out_make_one_network(make_whole, data):
    X, y = data
    model = make_whole().fit(X.head(30), y[:30])
    assert model.base_model_weights_ is None
    assert len(model.networks_) == 1
    assert np.isfinite(output(model, X)).all()


@pytest.mark.parametrize("rule", ["attention", "concat", "mean"])
def test_base_models_join_only_the_rules_that_learn_trust(make, data, rule):
    X, y = data
    model = make(fusion=rule, base_models="auto").fit(X, y)
    assert model.base_model_weights_ is None
    assert_same_output(model, make(fusion=rule).fit(X, y), X)


@pytest.mark.parametrize("n_folds", [1, 3])
def test_folds_are_as_many_as_asked(make, data, n_folds):
    X, y = data
    model = make(n_folds=n_folds, max_epochs=1).fit(X, y)
    assert len(model.networks_) == n_folds
    np.testing.assert_allclose(model.modality_weights(X).sum(axis=1), 1)


@pytest.mark.parametrize("n", [3, 12])
@pytest.mark.parametrize("n_folds", [1, 5])
def test_handful_of_rows_may_be_held_out_from(make_whole, data, n, n_folds):
    X, y = (part[:n] for part in data)
    model = make_whole(early_stopping=True, n_folds=n_folds).fit(X, y)
    assert np.isfinite(output(model, X)).all()


def test_every_fold_counts(make, data):
    X, y = data
    model = make(n_folds=2).fit(X, y)
    before = output(model, X)
    model.networks_[1].attentions[0].head.weight.data.mul_(3)
    model._model._doubles = None
    assert not np.allclose(output(model, X), before)


def test_each_fold_starts_from_weights_of_its_own(make, data):
    # So small a rate leaves the weights where they began.
    model = make(n_folds=2, lr=1e-9).fit(*data)
    one, two = (network.attentions[0].head.weight for network in model.networks_)
    assert not torch.allclose(one, two, atol=0.01)


def test_warm_start_goes_on_with_every_fold(make, data):
    X, y = data
    model = make(n_folds=2, warm_start=True).fit(X, y)
    before = [copy.deepcopy(network.state_dict()) for network in model.networks_]
    model.set_params(lr=1e-9).fit(X, y)
    name = "attentions.0.head.weight"
    for network, state in zip(model.networks_, before, strict=True):
        assert not torch.equal(network.state_dict()[name], state[name])
        torch.testing.assert_close(
            network.state_dict()[name], state[name], atol=1e-5, rtol=0
        )


@pytest.mark.parametrize(
    "parameters",
    [
        {"d_model": 32},
        {"n_folds": 3},
        {"fusion": "mean"},
        {"fusion": AdaptiveFusion(joint=True)},
    ],
    ids=str,
)
def test_warm_start_refuses_another_architecture(make, data, parameters):
    (name,) = parameters
    model = make(warm_start=True).fit(*data)
    with pytest.raises(ValueError, match=f"(?s)warm_start.*{name}"):
        model.set_params(**parameters).fit(*data)


def test_warm_start_goes_on_where_the_architecture_is_the_same(make, data):
    model = make(warm_start=True, fusion="adaptive", n_folds="auto").fit(*data)
    model.set_params(fusion=AdaptiveFusion(), lr=1e-3, max_epochs=1)
    assert model.fit(*data).n_iter_ == 1


# ---------------------------------------------------------------- corrupt


@pytest.mark.parametrize("spec", [Noise(3.0), Swap(), Drop(), Corruption()])
def test_corrupted_rows_go_wherever_rows_go(fitted, data, spec):
    X = data[0].dropna().head(40)  # so that no row is left without any modality
    batch, plan = fitted.corrupt(X, spec, random_state=0)
    assert len(batch) == len(X)
    assert plan.noise.shape == plan.swap.shape == plan.drop.shape == (len(X), 2)
    assert batch.names == fitted.modality_names_
    assert np.isfinite(output(fitted, batch)).all()
    weights = fitted.modality_weights(batch)
    assert (weights[~batch.present] == 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1)


def test_corruption_follows_its_seed_and_moves_no_other(fitted, data):
    X = data[0]
    state = torch.random.get_rng_state()
    one, two, other = (
        fitted.corrupt(X, Noise(2.0), random_state=seed)[0] for seed in (0, 0, 1)
    )
    assert torch.equal(torch.random.get_rng_state(), state)
    assert np.array_equal(output(fitted, one), output(fitted, two))
    assert not np.allclose(output(fitted, one), output(fitted, other))


def test_noise_moves_the_output_and_none_leaves_it(fitted, data):
    X = data[0]
    unmoved, _ = fitted.corrupt(X, Noise(0.0), random_state=0)
    assert np.array_equal(output(fitted, unmoved), output(fitted, X))
    moved, _ = fitted.corrupt(X, Noise(3.0, modality="left"), random_state=0)
    changed = (output(fitted, moved) != output(fitted, X)).reshape(len(X), -1).any(1)
    assert np.array_equal(changed, X["a"].notna())


@pytest.mark.parametrize(
    "wrong, message",
    [
        (Noise(-1.0), "The 'sd' parameter of Noise"),
        (Swap(modality="middle"), r"'modality' .*\('left', 'right'\).*'middle'"),
        ("noise", "corruption"),
    ],
    ids=repr,
)
def test_impossible_corruption_is_refused(fitted, data, wrong, message):
    with pytest.raises((ValueError, TypeError), match=message):
        fitted.corrupt(data[0], wrong)


# ---------------------------------------------------------------- the two forms


def test_pipeline_and_single_object_predict_alike(kind, mixed, mixed_modalities, tiny):
    frame, labels = mixed
    y = labels if kind is FusionClassifier else labels * 1.0
    single = kind(mixed_modalities, **tiny).fit(frame, y)
    pipe = Pipeline([("modalities", mixed_modalities), ("fusion", kind(**tiny))])
    assert_same_output(single, pipe.fit(frame, y), frame)
    assert pipe["fusion"].modality_names_ == single.modality_names_


def test_pipeline_and_single_object_predict_alike_on_numbers(kind, make, data, tiny):
    X, y = data
    single = make().fit(X, y)
    pipe = make_pipeline(ModalityTransformer(single.modalities), kind(**tiny))
    assert_same_output(single, pipe.fit(X, y), X)


def test_list_of_triples_stands_for_a_transformer(kind, make, data, tiny):
    X, y = data
    given = make().fit(X, y)
    wrapped = kind(ModalityTransformer(given.modalities), **tiny).fit(X, y)
    assert_same_output(given, wrapped, X)


def test_order_of_columns_does_not_matter(make_whole, data):
    X, y = data
    model = make_whole().fit(X, y)
    turned = X[X.columns[::-1]].assign(unused=1.0)
    assert_same_output(model, model, X, turned)
    assert_same_output(model, make_whole().fit(turned, y), X)


def test_order_of_columns_does_not_matter_to_an_automatic_table(make, data):
    X, y = data
    X = X.assign(colour=["red", "blue", None] * (len(X) // 3))
    model = make(modalities=None).fit(X, y)
    assert model.modality_names_ == ("tabular",)
    assert_same_output(model, model, X, X[X.columns[::-1]].assign(unused="?"))
    with pytest.raises(ValueError, match=r"lacks the column\(s\) \['b'\]"):
        model.predict(X.drop(columns="b"))


@pytest.mark.parametrize("form", [list, np.array], ids=["lists", "objects"])
def test_rows_are_objects_or_numbers_as_in_fit(kind, tiny, form):
    def rows(*given):
        return list(given) if form is list else np.array(given, dtype=object)

    X, y = rows(*[[1.5, "red"], [2.5, "blue"]] * 10), [0, 1] * 10
    model = kind(**tiny).fit(X, y)
    few = rows([1.5, "red"], [1.5, None], [None, "blue"], [2, 3], ["2.5", "blue"])
    expected = model.predict(few)
    for i in range(len(few)):  # whatever the other rows are
        np.testing.assert_allclose(model.predict(few[i : i + 1]), expected[i : i + 1])
    frame = pd.DataFrame([[1.5, "red"], [2.5, "blue"]] * 10)
    same = kind(**tiny).fit(frame, y).predict(frame)
    np.testing.assert_allclose(model.predict(X), same)


def test_numbers_stay_numbers_after_a_fit_on_numbers(kind, tiny):
    model = kind(**tiny).fit([[1.0, 2.0], [2.0, 3.0]] * 10, [0, 1] * 10)
    with pytest.raises(ValueError, match="could not convert string to float: 'red'"):
        model.predict(np.array([[1.0, "red"]], dtype=object))


def test_cells_of_rows_may_be_arrays_and_rows_must_be_of_one_length(kind, tiny):
    y = [0, 1] * 10
    X = [[1.0, np.zeros(3)], [2.0, np.ones(3)]] * 10
    assert kind(**tiny).fit(X, y).modality_names_ == ("1", "tabular")
    with pytest.raises(ValueError, match=r"row 0 has 2 .*row 2 has 1"):
        kind(**tiny).fit([*X[:2], [1.0], *X[3:]], y)


@pytest.mark.parametrize("column", ["a", "words"])
def test_a_series_is_refused_as_scikit_learn_does(make, data, column):
    X, y = data
    X = X.assign(words=["soft", "torn"] * (len(X) // 2))
    for model in (make().fit(X, y), make(modalities=None).fit(X, y)):
        with pytest.raises(ValueError, match="Expected a 2-dimensional container"):
            model.predict(X[column])
        with pytest.raises(ValueError, match="Expected a 2-dimensional container"):
            model.predict(X.iloc[0])
        with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
            model.predict(pl.Series("a", X[column].to_list()))


def test_row_labels_do_not_matter(make, data):
    X, y = data
    labelled = X.set_axis(np.zeros(len(X), dtype=int))
    assert_same_output(
        make().fit(X, y), make().fit(labelled, pd.Series(y, index=X.index[::-1])), X
    )


@pytest.mark.parametrize("numbers_only", [True, False])
def test_polars_frame_predicts_as_pandas_does(kind, mixed, tiny, numbers_only):
    frame, labels = mixed
    y = labels if kind is FusionClassifier else labels * 1.0
    frame = frame.reset_index(drop=True)
    columns = ["price", "weight"] if numbers_only else ["note", "price", "colour"]
    frame = frame[columns]
    other = pl.DataFrame(
        {c: [None if pd.isna(v) else v for v in frame[c]] for c in columns}
    )
    triples = [("facts", "tabular", columns[-2:])]
    if not numbers_only:
        triples.append(("words", "text", "note"))
    pandas_model = kind(triples, **tiny).fit(frame, y)
    polars_model = kind(triples, **tiny).fit(other, y)
    assert_same_output(pandas_model, polars_model, frame, other)
    assert_same_output(pandas_model, pandas_model, frame, other)


def test_modalities_are_found_from_the_columns(kind, make_mixed, tiny):
    frame, labels = make_mixed(60)
    frame["clip"] = [(np.sin(np.arange(900) * f), 4000) for f in range(60)]
    frame["curve"] = [np.arange(20.0 + i % 5) for i in range(60)]
    frame["vector"] = list(np.random.default_rng(0).normal(size=(60, 4)))
    y = labels if kind is FusionClassifier else labels * 1.0
    model = kind(**tiny).fit(frame, y)
    found = {
        name: type(modality).__name__
        for name, modality in model.modalities_.named_modalities_.items()
    }
    assert found == {
        "note": "TextModality",
        "photo": "ImageModality",
        "clip": "AudioModality",
        "curve": "SeriesModality",
        "vector": "VectorModality",
        "tabular": "TabularModality",
    }
    assert set(model.modality_names_) == set(found)
    html = estimator_html_repr(model)
    assert all(name in html for name in [*found, *found.values()])


def test_array_of_numbers_is_one_table(kind, data, tiny):
    X, y = data[0].to_numpy(), data[1]
    model = kind(**tiny).fit(X, y)
    assert model.modality_names_ == ("tabular",)
    assert (model.modality_weights(X) == 1).all()


def test_array_of_objects_is_read_column_by_column(kind, data, tiny):
    rng = np.random.default_rng(0)
    text = [f"some words and number {i}" for i in range(60)]
    X = np.array([text, rng.normal(size=60)], dtype=object).T
    y = data[1][:60]
    model = kind(**tiny).fit(X, y)
    assert len(model.modality_names_) == 2
    assert len(model.predict(X)) == 60


@pytest.mark.parametrize("name", ["keys", "items", "type", "float", "a.b", "fused"])
def test_awkward_modality_names_are_welcome(make, data, name):
    X, y = data
    triples = [(name, "vector", ["a", "b"]), ("other", "vector", ["d"])]
    model = make(modalities=triples).fit(X, y)
    assert model.modality_names_ == (name, "other")
    assert len(model.element_weights(X, name)) == len(X)
    assert {"train_loss_fused", f"train_loss_{name}"} <= set(model.history_)


def test_diagram_shows_the_branches_and_the_rule(make):
    html = estimator_html_repr(make())
    assert "sk-parallel" in html
    assert all(word in html for word in ("left", "right", "AdaptiveFusion"))


def test_fit_records_the_columns(make, data):
    X, y = data
    model = make().fit(X, y)
    assert model.n_features_in_ == 6
    assert list(model.feature_names_in_) == list("abcdef")
    array = make(modalities=None).fit(X.to_numpy(), y)
    assert array.n_features_in_ == 6
    assert not hasattr(array, "feature_names_in_")


# ---------------------------------------------------------------- training


def test_history_is_a_row_an_epoch(make, data):
    model = make(early_stopping=True).fit(*data)
    history = model.history_
    assert isinstance(history, pd.DataFrame)
    assert list(history.index) == [1, 2, 3]
    assert model.n_iter_ == 3
    for name in ("fused", "left", "right"):
        assert history[f"train_loss_{name}"].notna().all()
        assert history[f"valid_loss_{name}"].notna().all()
    assert (history["seconds"] > 0).all()


def test_without_validation_rows_there_is_no_validation_loss(make, data):
    history = make(early_stopping=False).fit(*data).history_
    assert not [c for c in history if c.startswith("valid")]


def test_early_stopping_keeps_the_best_epoch(make, data):
    X, y = data
    rng = np.random.default_rng(0)
    y = rng.permutation(y)  # nothing to learn: the validation loss rises
    common = {"early_stopping": True, "lr": 0.02, "n_iter_no_change": 4}
    model = make(max_epochs=40, **common).fit(X, y)
    best = model.history_["valid_loss"].idxmin()
    assert model.n_iter_ == best + 4 < 40
    # The weights of the best epoch, not of the last.
    again = make(max_epochs=40, callbacks=[Weights(best)], **common).fit(X, y)
    kept = pickle.loads(again.history_["weights"][best])
    for one, two in zip(model.networks_[0].parameters(), kept, strict=True):
        assert torch.equal(one, two)


class Weights(Callback):
    """Writes the weights after an epoch into the history, pickled."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_begin(self, net, **kwargs):
        # The weights at the beginning of an epoch are those at the end of the last.
        if len(net.history) == self.epoch + 1:
            net.history[-2]["weights"] = pickle.dumps(
                [p.detach().clone() for p in net.module_.parameters()]
            )


def test_warm_start_goes_on_from_the_weights_it_has(make, data):
    X, y = data
    cold = make(max_epochs=10, lr=0.01).fit(X, y)
    warm = make(max_epochs=10, lr=0.01, warm_start=True).fit(X, y)
    assert_same_output(cold, warm, X)
    first = warm.history_["train_loss_fused"].iloc[0]
    modalities = warm.modalities_
    warm.fit(X, y)
    assert warm.history_["train_loss_fused"].iloc[0] < 0.9 * first
    assert warm.modalities_ is modalities


def test_warm_start_refuses_other_modalities(make, data, tiny):
    X, y = data
    batch = ModalityTransformer(make().modalities).fit_transform(X)
    other = ModalityTransformer([("left", "vector", ["a"])]).fit_transform(X)
    model = make(warm_start=True, modalities=None).fit(batch, y)
    with pytest.raises(ValueError, match="left"):
        model.fit(other, y)


def test_bar_is_shown_when_asked_for(make, data, capsys):
    make().fit(*data)
    quiet = capsys.readouterr()
    assert not quiet.err
    assert not quiet.out
    make(verbose=1).fit(*data)
    shown = capsys.readouterr()
    assert "3/3" in shown.err
    assert "train=" in shown.err
    assert not shown.out


@pytest.mark.parametrize("corruption", [None, Corruption(p_corrupt=0.9, p_drop=0.5)])
def test_corruption_changes_the_training(make, data, corruption):
    X, y = data
    usual, other = make().fit(X, y), make(corruption=corruption).fit(X, y)
    assert not np.allclose(output(usual, X), output(other, X))


def test_single_modality_is_never_corrupted(make, data):
    X, y = data
    triples = [("all", "vector", ["a", "b"])]
    X = X.fillna(0.0)
    assert_same_output(
        make(modalities=triples, corruption=Corruption(p_corrupt=0.9)).fit(X, y),
        make(modalities=triples, corruption=None).fit(X, y),
        X,
    )


def test_batch_may_be_larger_than_the_data(make, data):
    X, y = data
    model = make(batch_size=10_000).fit(X.head(20), y[:20])
    assert np.isfinite(output(model, X)).all()


# ---------------------------------------------------------------- scikit-learn's ways


def test_pickled_model_predicts_alike(make_whole, data):
    X, y = data
    model = make_whole().fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    assert_same_output(model, again, X)
    assert again.history_.equals(model.history_)


def test_clone_is_unfitted_and_fits_alike(make, data):
    X, y = data
    model = make(fusion=AdaptiveFusion(n_heads=2)).fit(X, y)
    fresh = clone(model)
    assert not hasattr(fresh, "networks_")
    assert fresh.fusion is not model.fusion
    assert_same_output(model, fresh.fit(X, y), X)


def test_parameters_nest_into_modalities_and_fusion(kind, mixed_modalities):
    model = kind(mixed_modalities)
    model.set_params(
        modalities__words__max_tokens=5, fusion__n_heads=2, corruption=Corruption()
    )
    model.set_params(corruption__p_drop=0.3)
    assert model.modalities.modalities[0][1].max_tokens == 5
    assert model.fusion.n_heads == 2
    assert model.corruption.p_drop == 0.3
    assert "modalities__words__max_tokens" in model.get_params()


def test_nested_parameter_of_a_short_name_applies_to_the_rule_it_names(make):
    model = make(fusion="concat").set_params(fusion__dropout=0.5)
    assert type(model.fusion).__name__ == "ConcatFusion"
    assert model.fusion.dropout == 0.5


@pytest.mark.parametrize(
    "method",
    [
        "predict",
        "modality_weights",
        "modality_trust",
        "modality_contributions",
        "joint_share",
        "element_contributions",
        "element_weights",
        "corrupt",
    ],
)
def test_method_before_fit_is_refused(make, data, method):
    more = [Noise()] if method == "corrupt" else []
    more = ["left"] if method.startswith("element") else more
    with pytest.raises(NotFittedError):
        getattr(make(), method)(data[0], *more)


def test_base_model_weights_before_fit_are_refused(make):
    with pytest.raises(NotFittedError):
        make().base_model_weights_  # noqa: B018


def test_weights_of_an_unknown_modality_are_refused(make, data):
    model = make().fit(*data)
    with pytest.raises(ValueError, match=r"one of \('left', 'right'\).*'middle'"):
        model.element_weights(data[0], "middle")


def test_batch_of_other_modalities_is_refused(make, data):
    model = make().fit(*data)
    other = ModalityTransformer([("z", "vector", ["a"])]).fit_transform(data[0])
    with pytest.raises(ValueError, match=r"\('left', 'right'\).*\('z',\)"):
        model.predict(other)


def test_transformer_of_scikit_learn_is_a_branch(make, data):
    X, y = data
    X = X.fillna(0.0)
    triples = [("scaled", StandardScaler(), ["a", "b"]), ("rest", "vector", ["d"])]
    assert np.isfinite(output(make(modalities=triples).fit(X, y), X)).all()


# ---------------------------------------------------------------- documentation


def public_classes():
    modules = [
        skfusion,
        all_modalities,
        fusion_rules,
        balance_strategies,
        corruption_module,
    ]
    found = {
        getattr(module, name)
        for module in modules
        for name in module.__all__
        if inspect.isclass(getattr(module, name))
        and issubclass(getattr(module, name), BaseEstimator)
        and not inspect.isabstract(getattr(module, name))
    }
    return sorted(found, key=lambda c: c.__name__)


def test_public_classes_were_found():
    assert len(public_classes()) >= 15


@pytest.mark.parametrize("cls", public_classes(), ids=lambda c: c.__name__)
def test_documented_parameters_and_defaults_are_those_of_the_signature(cls):
    signature = inspect.signature(cls)
    documented = {p.name: p.type for p in ClassDoc(cls)["Parameters"]}
    assert list(documented) == list(signature.parameters)
    for name, parameter in signature.parameters.items():
        found = re.search(r"default\s*=\s*(.+)$", documented[name].replace("\\", ""))
        if parameter.default is inspect.Parameter.empty:
            assert found is None, f"{name} has no default"
            continue
        assert found is not None, f"the default of {name} is not documented"
        told = found.group(1).strip().strip("`")
        default = parameter.default
        same = told in (repr(default), repr(default).replace("'", '"'))
        if isinstance(default, int | float) and not isinstance(default, bool):
            same = same or float(told.replace(",", "")) == default
        assert same, f"{name}: documented {told}, is {default!r}"


@pytest.mark.parametrize("cls", public_classes(), ids=lambda c: c.__name__)
def test_public_class_has_a_runnable_example(cls):
    assert ">>>" in "\n".join(ClassDoc(cls)["Examples"])
