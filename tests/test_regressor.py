import copy

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

import skfusion
from skfusion import FusionRegressor
from skfusion.evidence.outputs import NetworkModel
from skfusion.training.links import Identity


def make_targets(X):
    """Two targets of very different scales."""
    X = X.fillna(0.0)
    return np.stack([X["a"] + X["d"], 1000 + 50 * X["b"] - 20 * X["e"]], axis=1)


@pytest.fixture
def make(view_triples, tiny):
    def make(**parameters):
        return FusionRegressor(**{"modalities": view_triples} | tiny | parameters)

    return make


@pytest.fixture
def learned(make):
    def learned(**parameters):
        return make(**{"max_epochs": 60, "lr": 0.01} | parameters)

    return learned


@pytest.fixture
def data(views):
    X, _ = views
    return X, make_targets(X)


def test_learns_what_can_be_learned(learned, make_views):
    X, _ = make_views(400)
    X_test, _ = make_views(400, seed=1)
    y, y_test = make_targets(X), make_targets(X_test)
    model = learned().fit(X, y)
    each = r2_score(y_test, model.predict(X_test), multioutput="raw_values")
    assert (each > 0.8).all()
    assert model.score(X_test, y_test) == pytest.approx(each.mean())


@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (-1, 2)], ids=str)
def test_prediction_has_the_shape_of_the_target(make, data, shape):
    X, y = data
    y = y[:, : abs(shape[-1])].reshape(shape)
    model = make().fit(X, y)
    assert model.predict(X).shape == y.shape
    assert model.predict(X).dtype == np.float64
    assert model.predict(X.head(1)).shape == y[:1].shape
    for said in model.modality_predict(X).values():
        assert said.shape == y.shape


def test_one_column_and_no_column_predict_alike(make, data):
    X, y = data
    flat, column = make().fit(X, y[:, 0]), make().fit(X, y[:, :1])
    assert np.array_equal(flat.predict(X), column.predict(X)[:, 0])


@pytest.mark.parametrize(
    "form",
    [pd.DataFrame, np.asfortranarray, lambda y: y.tolist()],
    ids=["frame", "fortran", "list"],
)
def test_targets_may_come_in_any_form(make, data, form):
    X, y = data
    expected = make().fit(X, y).predict(X)
    assert np.array_equal(make().fit(X, form(y)).predict(X), expected)


def test_integers_are_regressed(make, data):
    X, y = data
    y = y[:, 1].round()
    one, two = make().fit(X, y), make().fit(X, y.astype(int))
    assert np.array_equal(one.predict(X), two.predict(X))


def test_contributions_are_in_units_of_the_target(make, whole, data):
    X, y = data
    model = make(**whole).fit(X, y)
    contributions, joint = model.modality_contributions(X)
    assert contributions.shape == (len(X), 2, 2)
    assert joint.shape == (len(X), 2)
    total = contributions.sum(axis=1) + joint + y.mean(axis=0)
    np.testing.assert_allclose(total, model.predict(X), rtol=0, atol=1e-9)
    # The second target is some fifty times as wide as the first.
    spread = np.abs(contributions).mean(axis=(0, 1))
    assert spread[1] > 10 * spread[0]


def test_one_row_is_no_trouble(make, data):
    X, y = data
    model = make(early_stopping=True).fit(X[:1], y[:1])
    assert np.isfinite(model.predict(X)).all()


def test_base_models_help_where_rows_are_few(make, whole, make_views):
    X, _ = make_views(120)
    X_test, _ = make_views(400, seed=1)
    y, y_test = make_targets(X)[:, 0], make_targets(X_test)[:, 0]
    alone = make(n_folds=2).fit(X, y).score(X_test, y_test)
    assert make(**whole).fit(X, y).score(X_test, y_test) > max(alone, 0.6)


@pytest.mark.parametrize("parts", [{}, {"base_models": "auto"}], ids=str)
def test_units_of_the_target_do_not_matter(make, data, parts):
    X, y = data
    y = y[:, 0]
    plain, scaled = (make(**parts).fit(X, target) for target in (y, 4096.0 * y - 512.0))
    np.testing.assert_allclose(
        scaled.predict(X), 4096.0 * plain.predict(X) - 512.0, rtol=1e-4, atol=0.5
    )


def test_constant_target_is_predicted_as_it_is(make, data):
    X, _ = data
    predicted = make(max_epochs=30).fit(X, np.full(len(X), 5.0)).predict(X)
    np.testing.assert_allclose(predicted, 5.0, atol=0.5)


def test_huge_and_tiny_targets_stay_finite(make, whole, data):
    X, y = data
    for factor in (1e-12, 1e12):
        predicted = make(**whole).fit(X, factor * y).predict(X)
        assert np.isfinite(predicted).all()
        assert np.abs(predicted).max() < 10 * np.abs(factor * y).max()


def test_each_modality_predicts_alone_in_units_of_the_target(learned, make_views):
    X, _ = make_views(400)
    y = make_targets(X)
    model = learned().fit(X, y)
    alone = model.modality_predict(X)
    assert list(alone) == ["left", "right"]
    for name, column, truth in (
        ("left", "a", X["a"]),
        ("right", "d", X["d"]),
    ):
        here = X[column].notna().to_numpy()
        assert np.corrcoef(alone[name][here, 0], truth[here])[0, 1] > 0.8
        assert alone[name][here, 1].mean() == pytest.approx(1000, abs=30)
        np.testing.assert_allclose(alone[name][~here], [y.mean(axis=0)] * (~here).sum())


def test_weights_pull_the_prediction(make, data):
    X, y = data
    y = np.where(np.arange(len(X)) % 2, 10.0, 0.0)  # unpredictable
    weight = np.where(y > 0, 0.9, 0.1)
    predicted = make(max_epochs=30, lr=0.01).fit(X, y, sample_weight=weight).predict(X)
    assert predicted.mean() > 7


def test_weights_fall_on_every_output_alike(make, data):
    X, y = data
    weight = np.arange(len(X)) % 3
    kept = weight > 0
    rows = np.repeat(np.arange(len(X)), weight)
    assert kept.sum() < len(X)
    one = make().fit(X, y, sample_weight=weight)
    two = make().fit(X.iloc[rows], y[rows])
    assert np.array_equal(one.predict(X), two.predict(X))


def test_networks_of_the_folds_are_averaged(make, data):
    X, y = data
    model = make(fusion="mean", n_folds=3).fit(X, y)
    whole, said = model.predict(X), []
    for network in model.networks_:
        alone = copy.copy(model)
        alone._model = NetworkModel([network], link=Identity(), adds_evidence=False)
        said.append(alone.predict(X))
    assert not np.allclose(said[0], said[1])
    np.testing.assert_allclose(np.mean(said, axis=0), whole, atol=1e-9)


def test_targets_of_three_dimensions_are_refused(make, data):
    X, _ = data
    with pytest.raises(ValueError, match="dim"):
        make().fit(X, np.zeros((len(X), 2, 2)))


def test_strings_are_refused(make, data):
    X, _ = data
    with pytest.raises(ValueError, match="Convert it to a number"):
        make().fit(X, np.array(["a", "b"] * 60))


# ---------------------------------------------------------------- heavy tails

TAILS = {
    "lognormal": lambda z: np.exp(1.5 * z),
    "Pareto": lambda z: stats.norm.sf(z) ** (-1 / 2),
    "both sides": lambda z: stats.t.ppf(stats.norm.cdf(z), 2),
}


def make_tails(kind, n=300):
    """Rows to learn from, and 3,000 more; what they say multiplies the target."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n + 3000, 6))
    z = 0.7 * X[:, 0] + 0.5 * X[:, 3] + 0.4 * np.sin(2 * X[:, 1])
    z = (z + 0.5 * rng.normal(size=len(X))) / np.sqrt(1.15)
    y = TAILS[kind](z)
    return X[:n], y[:n], X[n:], y[n:]


@pytest.fixture
def tails(whole):
    views = [("left", "vector", [0, 1, 2]), ("right", "vector", [3, 4, 5])]

    def tails(**parameters):
        return FusionRegressor(views, **whole | parameters)

    return tails


@pytest.mark.parametrize("kind", TAILS)
def test_heavy_tails_are_predicted_as_well_as_by_boosted_trees(tails, kind):
    X, y, X_test, y_test = make_tails(kind)
    model = tails(max_epochs=20, lr=0.01).fit(X, y)
    trees = HistGradientBoostingRegressor(random_state=0).fit(X, y)
    ours, theirs = model.predict(X_test), trees.predict(X_test)
    assert model.y_transformed_.all()
    for error in (root_mean_squared_error, mean_absolute_error):
        assert error(y_test, ours) < 0.98 * error(y_test, theirs)


@pytest.mark.parametrize("joint", ["separate", "shared"])
def test_contributions_to_a_transformed_target_are_exact_sums(tails, joint):
    X, y, X_test, _ = make_tails("lognormal", 150)
    model = tails().fit(X, y)
    contributions, rest = model.modality_contributions(X_test, joint=joint)
    predicted = model.predict(X_test)
    assert model.y_transformed_.all()
    total = contributions.sum(axis=1) + rest + model.y_base_
    np.testing.assert_allclose(total[:, 0], predicted, rtol=1e-9, atol=1e-9)
    if joint == "separate":
        found = model.element_contributions(X_test[:20], "left")
        total = [frame.to_numpy().sum(axis=0) for frame in found.elements]
        few = model.modality_contributions(X_test[:20])[0][:, 0]
        np.testing.assert_allclose(np.array(total) + found.rest, few, rtol=1e-6)


@pytest.mark.parametrize("factor, shift", [(2.0**30, 0), (1, 2.0**10)])
def test_units_of_a_transformed_target_do_not_matter(tails, factor, shift):
    X, y, X_test, _ = make_tails("lognormal", 100)
    plain, other = (tails().fit(X, v) for v in (y, factor * y + shift))
    assert plain.y_transformed_.all() and other.y_transformed_.all()
    np.testing.assert_allclose(
        (other.predict(X_test) - shift) / factor, plain.predict(X_test), rtol=2e-3
    )


def test_one_gigantic_value_does_not_destroy_the_rest(tails):
    X, y, X_test, _ = make_tails("lognormal")
    y, truth = np.log(y), 0.7 * X_test[:, 0] + 0.5 * X_test[:, 3]
    y[7] = 1e12
    predicted = tails(max_epochs=20, lr=0.01).fit(X, y).predict(X_test)
    assert np.corrcoef(predicted, truth)[0, 1] > 0.8
    assert np.quantile(np.abs(predicted), 0.95) < 10


def test_a_target_is_transformed_only_where_held_out_rows_say_so(tails):
    X, y, *_ = make_tails("lognormal")
    X[:, 3] = np.arange(len(X)) % 20 == 0
    jumps = X[:, 0] + 100 * X[:, 3]  # which a logarithm makes hard to tell
    assert tails().fit(X, jumps).y_transformed_.tolist() == [False]
    several = np.stack([jumps, np.log(y), y], axis=1)
    assert tails().fit(X, several).y_transformed_.tolist() == [False, False, True]


def test_warm_start_keeps_the_scale_of_the_target(tails):
    X, y, X_test, _ = make_tails("lognormal", 100)
    model = tails(warm_start=True).fit(X, y)
    assert model.fit(X, np.log(y)).y_transformed_.all()
    model = tails(warm_start=True).fit(X, np.log(y))
    assert not model.fit(X, y).y_transformed_.any()
    assert np.isfinite(model.predict(X_test)).all()


def test_card_scores_a_transformed_target_in_its_units(tails):
    X, y, *_ = make_tails("lognormal", 100)
    model = tails().fit(X, y)
    rmse = root_mean_squared_error(y, model.predict(X))
    assert f"| {rmse:.4g} |" in model.card(X, y)
    assert model.y_transformed_.all()


def test_a_transformed_target_survives_saving(tails, tmp_path):
    X, y, X_test, _ = make_tails("lognormal", 100)
    model = tails().fit(X, y)
    skfusion.save(model, tmp_path / "model.skf")
    loaded = skfusion.load(tmp_path / "model.skf")
    assert model.y_transformed_.all()
    assert np.array_equal(loaded.predict(X_test), model.predict(X_test))


def test_further_batches_are_on_the_scale_of_the_first(tails):
    X, y, X_test, y_test = make_tails("lognormal")
    model = tails(max_epochs=10, lr=0.01).partial_fit(X[:200], y[:200])
    before, base = model.predict(X_test), model.y_base_
    model.partial_fit(X[200:], y[200:])
    assert model.y_transformed_.all() and np.array_equal(model.y_base_, base)
    after = model.predict(X_test)
    assert mean_absolute_error(y_test, after) < 1.1 * mean_absolute_error(
        y_test, before
    )
    contributions, rest = model.modality_contributions(X_test)
    total = contributions.sum(axis=1) + rest + base
    np.testing.assert_allclose(total[:, 0], after, rtol=1e-9, atol=1e-9)
