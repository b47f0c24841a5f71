"""The contract of every modality, and scikit-learn's checks of every estimator.

The modalities are discovered: a new one needs an example in `conftest.py`, and if its
constructor needs an argument a line in `NEEDS`, and is then tested as the others are.
`VideoModality`, which the package does not have, stands for one that somebody writes.
"""

import copy
import inspect
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.estimator_checks import (
    estimator_checks_generator,
    parametrize_with_checks,
)

from skfusion import FusionClassifier, FusionRegressor, modalities
from skfusion.batch import Block, ModalityBatch, block_tensors, padded
from skfusion.corruption import Noise
from skfusion.modalities import Modality
from skfusion.network import Encoder
from tests.modalities.video_frames import VideoModality

MODALITIES = [
    kind
    for name in modalities.__all__
    if inspect.isclass(kind := getattr(modalities, name))
    and issubclass(kind, Modality)
    and not inspect.isabstract(kind)
]
MODALITIES.append(VideoModality)


class SameRows:
    """Folds with every row on both sides.

    Predictions "out of fold" are then those of the estimator fitted on all rows, and
    scikit-learn's checks, which want `fit_transform` to equal `transform`, apply.
    """

    def __repr__(self):
        return "SameRows()"  # without an address, as the processes of xdist want

    def get_n_splits(self, X=None, y=None, groups=None):
        return 1

    def split(self, X, y=None, groups=None):
        rows = np.arange(len(y))
        yield rows, rows


#: How to make those whose constructor needs an argument.
NEEDS = {
    "EstimatorModality": {"estimator": LogisticRegression(), "cv": SameRows()},
    "TransformerModality": {"transformer": StandardScaler()},
}
ABSENT = [3, 8]
D = 16


def make(kind):
    return kind(**NEEDS.get(kind.__name__, {}))


#: Small enough for a hundred checks; the defaults, which take ten times as long, pass
#: them too.
SMALL = {"d_model": 32, "n_folds": 2, "max_epochs": 30}
ESTIMATORS = [FusionClassifier(**SMALL), FusionRegressor(**SMALL)]
TABLES = [m for m in map(make, MODALITIES) if get_tags(m).input_tags.two_d_array]
CELLS = [m for m in map(make, MODALITIES) if not get_tags(m).input_tags.two_d_array]


@pytest.fixture(params=MODALITIES, ids=lambda kind: kind.__name__)
def kind(request):
    return request.param


@pytest.fixture
def rows(kind, modality_examples):
    return modality_examples[kind.__name__]


@pytest.fixture
def labels(rows):
    return np.arange(len(rows)) % 2


@pytest.fixture
def fitted(kind, rows, labels):
    return make(kind).fit(rows, labels)


@pytest.fixture
def block(fitted, rows):
    return fitted.transform(rows)


@pytest.fixture
def encoder(fitted):
    torch.manual_seed(0)
    return fitted.build_encoder(D, 0.1).double().eval()


def tensors(block, index):
    """Some rows in float64, as prediction of few rows has them."""
    return {
        key: x.double() if x.is_floating_point() else x
        for key, x in block_tensors(block, np.asarray(index)).items()
    }


def encode(encoder, block, index):
    with torch.no_grad():
        return encoder(tensors(block, index))


def dense(array):
    return array.toarray() if sparse.issparse(array) else padded(array)


def assert_same_block(one, two):
    np.testing.assert_array_equal(one.present, two.present)
    assert list(one.arrays) == list(two.arrays)
    for key, array in one.arrays.items():
        np.testing.assert_array_equal(dense(array), dense(two.arrays[key]))


# ---------------------------------------------------------------- discovery


def test_every_kind_of_modality_was_discovered():
    assert len(MODALITIES) >= 8
    assert len(TABLES) + len(CELLS) == len(MODALITIES)
    assert len(TABLES) >= 3
    assert len(CELLS) >= 4


def test_every_modality_has_an_example(modality_examples):
    assert {kind.__name__ for kind in MODALITIES} == set(modality_examples)


# ---------------------------------------------------------------- blocks


def test_block_has_a_row_for_each_row_and_the_agreed_dtypes(block, rows):
    assert isinstance(block, Block)
    assert len(block) == len(rows)
    for name, array in block.arrays.items():
        assert array.shape[0] == len(rows)
        if sparse.issparse(array):
            assert array.format == "csr", name
            assert array.dtype == np.float32, name
        else:
            kind = padded(array).dtype
            assert kind in (np.float32, np.uint8) or kind.kind == "i"


def test_absent_cells_are_absent_and_no_others(block):
    assert np.flatnonzero(~block.present).tolist() == ABSENT


def test_fit_transform_knows_the_same_rows_as_transform(kind, rows, labels):
    both = make(kind).fit_transform(rows, labels)
    alone = make(kind).fit(rows, labels).transform(rows)
    np.testing.assert_array_equal(both.present, alone.present)
    assert list(both.arrays) == list(alone.arrays)


def test_fit_returns_itself(kind, rows, labels):
    modality = make(kind)
    assert modality.fit(rows, labels) is modality


def test_transform_before_fit_is_refused(kind, rows):
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        make(kind).transform(rows)


def test_two_fits_are_equal_to_the_bit(kind, rows, labels):
    assert_same_block(
        make(kind).fit(rows, labels).transform(rows),
        make(kind).fit(rows, labels).transform(rows),
    )


def test_caller_keeps_rows_and_parameters_as_they_were(kind, rows, labels):
    before = copy.deepcopy(rows)
    modality = make(kind)
    params = copy.deepcopy(modality.get_params(deep=False))
    modality.fit(rows, labels).transform(rows)
    for (_, one), (_, two) in zip(
        pd.DataFrame(before).items(), pd.DataFrame(rows).items(), strict=True
    ):
        for a, b in zip(one, two, strict=True):
            np.testing.assert_equal(a, b)
    assert str(modality.get_params(deep=False)) == str(params)


def test_row_labels_do_not_matter(fitted, rows, block):
    renamed = rows.set_axis([f"r{i}" for i in range(len(rows))])
    assert_same_block(fitted.transform(renamed), block)


def test_fitting_learns_nothing_from_rows_that_are_transformed_later(
    kind, rows, labels
):
    modality = make(kind).fit(rows[:8], labels[:8])
    before = pickle.dumps(modality)
    modality.transform(rows)
    assert pickle.dumps(modality) == before


def test_rows_that_are_all_absent_can_be_transformed(fitted, rows):
    block = fitted.transform(rows.iloc[ABSENT])
    assert len(block) == 2
    assert not block.present.any()


# ---------------------------------------------------------------- features


def test_features_are_finite_and_zero_where_absent(fitted, block):
    features = fitted.features(block)
    assert features.ndim == 2
    assert features.shape[0] == len(block)
    assert features.dtype == np.float32
    assert np.isfinite(dense(features)).all()
    assert not dense(features)[ABSENT].any()
    assert dense(features)[block.present].any()


def test_features_of_a_row_do_not_depend_on_the_others(fitted, rows, block):
    together = dense(fitted.features(block))
    for i in (0, 5):
        alone = dense(fitted.features(fitted.transform(rows.iloc[[i]])))
        np.testing.assert_allclose(alone[0], together[i], rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------- names and frames


def test_features_have_names_that_differ(fitted, block):
    names = fitted.get_feature_names_out()
    assert names.dtype == object
    assert all(type(name) is str and name for name in names)
    assert len(set(names)) == len(names) == fitted.features(block).shape[1]
    assert np.asarray(block).shape == block.shape == (len(block), len(names))


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("context", ["local", "global"])
def test_frames_hold_the_features_under_their_names(
    kind, rows, labels, block, library, context
):
    modality = make(kind)
    if context == "local":
        modality.set_output(transform=library)
    with config_context(transform_output=library if context == "global" else "default"):
        frames = [
            modality.fit_transform(rows, labels),
            modality.fit(rows, labels).transform(rows),
        ]
    for frame in frames:
        assert type(frame).__module__.startswith(library)
        assert list(frame.columns) == list(modality.get_feature_names_out())
        if library == "pandas":
            assert frame.index.equals(rows.index)
    np.testing.assert_array_equal(frames[1].to_numpy(), np.asarray(block))


# ---------------------------------------------------------------- encoder


def test_encoder_gives_tokens_and_a_mask(encoder, block):
    assert isinstance(encoder, Encoder)
    here = np.flatnonzero(block.present)
    tokens, mask = encode(encoder, block, here)
    B, T, width = tokens.shape
    assert (B, width) == (len(here), D)
    assert mask.shape == (B, T)
    assert mask.dtype == torch.bool
    assert mask.any(dim=1).all()
    assert tokens[mask].isfinite().all()
    assert tokens.dtype == torch.float64


def test_encoder_runs_in_the_dtype_of_its_weights(fitted, block):
    torch.manual_seed(0)
    encoder = fitted.build_encoder(D, 0.0)
    inputs = block_tensors(block, np.flatnonzero(block.present))
    assert encoder(inputs)[0].dtype == torch.float32


def test_tokens_of_a_row_do_not_depend_on_the_others(encoder, fitted, rows, block):
    here = np.flatnonzero(block.present)
    tokens, mask = encode(encoder, block, here)
    for b, i in enumerate(here):
        own = fitted.transform(rows.iloc[[i]])
        alone, own_mask = encode(encoder, own, [0])
        torch.testing.assert_close(
            alone[own_mask], tokens[b][mask[b]], rtol=0, atol=1e-9
        )


def test_same_seed_builds_the_same_encoder(fitted, block):
    here = np.flatnonzero(block.present)
    made = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        encoder = fitted.build_encoder(D, 0.0).double().eval()
        made.append(encode(encoder, block, here)[0].nan_to_num())
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


def test_encoder_learns(fitted, block):
    torch.manual_seed(0)
    encoder = fitted.build_encoder(D, 0.0)
    here = np.flatnonzero(block.present)
    tokens, mask = encoder(block_tensors(block, here))
    tokens[mask].square().sum().backward()
    grads = [p.grad for p in encoder.parameters() if p.grad is not None]
    assert grads
    assert all(g.isfinite().all() for g in grads if not g.is_sparse)
    assert any(g.any() for g in grads)


def test_evaluation_mode_draws_no_random_numbers(encoder, block):
    here = np.flatnonzero(block.present)
    state = torch.random.get_rng_state()
    encode(encoder, block, here)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_noise_changes_only_the_rows_it_is_meant_for(encoder, block):
    here = np.flatnonzero(block.present)
    inputs = tensors(block, here)
    before = {key: x.clone() for key, x in inputs.items()}
    sd = torch.zeros(len(here), dtype=torch.float64)
    sd[:5] = 4.0
    torch.manual_seed(0)
    noisy = encoder.add_noise(inputs, sd)
    changed = torch.zeros(len(here), dtype=torch.bool)
    for key, x in noisy.items():
        old, new = (t.to_dense() if t.is_sparse else t for t in (before[key], x))
        changed |= (old != new).reshape(len(old), -1).any(dim=1)
        kept = inputs[key].to_dense() if inputs[key].is_sparse else inputs[key]
        assert torch.equal(kept, old), f"add_noise changed its input {key!r} in place"
    assert not changed[5:].any()
    assert changed[:5].float().mean() >= 0.6
    tokens, mask = encoder(noisy)
    assert tokens[mask].isfinite().all()


# ---------------------------------------------------------------- elements


def test_elements_sum_to_one_and_absent_rows_have_none(encoder, fitted, block):
    here = np.flatnonzero(block.present)
    _, mask = encode(encoder, block, here)
    rng = np.random.default_rng(0)
    weights = np.zeros((len(block), mask.shape[1] + 2))  # with padding
    weights[here, :-2] = rng.random(mask.shape) * mask.numpy()
    weights[here] /= weights[here].sum(axis=1, keepdims=True)
    elements = fitted.elements(block, weights)
    assert len(elements) == len(block)
    for i, series in enumerate(elements):
        assert isinstance(series, pd.Series)
        assert series.dtype == np.float64
        if i in ABSENT:
            assert series.empty
        else:
            assert series.sum() == pytest.approx(1)
            assert (series >= 0).all()


def test_elements_of_a_row_do_not_depend_on_the_others(encoder, fitted, block):
    here = np.flatnonzero(block.present)
    _, mask = encode(encoder, block, here)
    weights = np.zeros((len(block), mask.shape[1]))
    weights[here] = mask.numpy() / mask.sum(dim=1, keepdim=True).numpy()
    together = fitted.elements(block, weights)
    i = here[-1]
    (alone,) = fitted.elements(block[i], weights[[i]])
    pd.testing.assert_series_equal(alone, together[i])


# ---------------------------------------------------------------- scikit-learn's ways


def test_parameters_make_the_round_trip(kind):
    modality = make(kind)
    params = modality.get_params(deep=False)
    again = clone(modality).set_params(**params)
    assert str(again.get_params()) == str(modality.get_params())
    assert set(params) == set(inspect.signature(kind.__init__).parameters) - {"self"}


def test_every_parameter_is_constrained_or_an_estimator(kind):
    # "estimator" and "transformer" are checked by what they can do.
    constrained = set(kind._parameter_constraints) | {"estimator", "transformer"}
    assert set(make(kind).get_params(deep=False)) <= constrained


def test_clone_of_a_fitted_modality_is_not_fitted(fitted, rows):
    fresh = clone(fitted)
    assert not [name for name in vars(fresh) if name.endswith("_")]


def test_pickled_modality_gives_the_same_block(fitted, rows, block):
    again = pickle.loads(pickle.dumps(fitted))
    assert_same_block(again.transform(rows), block)


@pytest.mark.parametrize("modality", CELLS, ids=lambda m: type(m).__name__)
def test_cells_may_come_as_a_series_an_array_a_list_or_a_frame(
    modality, modality_examples
):
    rows = modality_examples[type(modality).__name__]
    expected = clone(modality).fit(rows).transform(rows)
    for form in (rows.to_numpy(dtype=object), rows.to_frame(), list(rows)):
        assert_same_block(clone(modality).fit(form).transform(form), expected)


# ---------------------------------------------------------------- inside an estimator


def _garbage(array, rows):
    """The array with other content in some rows."""
    if sparse.issparse(array):
        changed = array.tolil(copy=True)
        changed[rows] = 7.0
        return changed.tocsr()
    changed = array.copy()
    if array.dtype == object:  # of arrays that differ in length
        longest = max(array.ravel(), key=len)
        for i in np.ndindex(array[rows].shape):
            changed[(rows[i[0]], *i[1:])] = 255 - np.concatenate([longest, longest])
        return changed
    changed[rows] = np.nan if changed.dtype.kind == "f" else np.iinfo(array.dtype).max
    return changed


@pytest.fixture
def inside(kind, rows, labels):
    """A function: an estimator fitted on the modality and another, and its rows.

    With four copies of the rows there are enough for base models and folds.
    """

    def inside(**parameters):
        frame = pd.DataFrame(rows).rename(columns=str)
        columns = list(frame.columns) if isinstance(rows, pd.DataFrame) else "cell"
        frame["other"] = np.linspace(-1, 1, len(frame))
        frame = pd.concat([frame] * 4, ignore_index=True)
        triples = [("it", make(kind), columns), ("other", "vector", ["other"])]
        model = FusionClassifier(triples, early_stopping=True, **parameters)
        return model.fit(frame, np.tile(labels, 4)), frame.head(len(rows))

    return inside


def test_content_behind_an_absence_mask_changes_no_bit(inside, whole):
    model, frame = inside(**whole)
    batch = model.modalities_.transform(frame)
    block = batch.blocks["it"]
    assert np.flatnonzero(~block.present).tolist() == ABSENT
    changed = {key: _garbage(array, ABSENT) for key, array in block.arrays.items()}
    cells = block.cells if block.cells is None else block.cells.copy()
    other = ModalityBatch(
        batch.blocks | {"it": Block(changed, block.present, cells)}, batch.modalities
    )
    assert np.array_equal(model.predict_proba(other), model.predict_proba(batch))
    assert np.array_equal(model.modality_weights(other), model.modality_weights(batch))
    for one, two in zip(
        model.modality_contributions(other),
        model.modality_contributions(batch),
        strict=True,
    ):
        assert np.array_equal(one, two)
    assert not model.modality_weights(batch)[ABSENT, 0].any()
    elements = model.element_weights(frame, "it")
    assert all(elements[i].empty for i in ABSENT)
    assert all(
        e.sum() == pytest.approx(1) for i, e in enumerate(elements) if i not in ABSENT
    )


def test_a_row_is_predicted_alike_alone_and_among_others(inside, whole):
    model, frame = inside(**whole)
    together = model.predict_proba(frame)
    alone = [model.predict_proba(frame.iloc[[i]])[0] for i in (0, 3, 5)]
    np.testing.assert_allclose(alone, together[[0, 3, 5]], rtol=0, atol=1e-7)


def test_noised_rows_are_others_and_can_be_predicted(inside, tiny):
    model, frame = inside(**tiny)
    batch, plan = model.corrupt(frame, Noise(4.0, modality="it"), random_state=0)
    before = model.modalities_.transform(frame)
    hit = np.flatnonzero(plan.noise[:, 0])
    assert hit.tolist() == [i for i in range(len(frame)) if i not in ABSENT]
    changed = np.zeros(len(frame), dtype=bool)
    for key, array in before.blocks["it"].arrays.items():
        other = batch.blocks["it"].arrays[key]
        assert (other.dtype, other.shape) == (array.dtype, array.shape)
        assert sparse.issparse(other) == sparse.issparse(array)
        different = dense(array) != dense(other)
        changed |= different.reshape(len(frame), -1).any(axis=1)
    assert not changed[ABSENT].any()
    assert changed[hit].mean() >= 0.6
    assert_same_block(batch.blocks["other"], before.blocks["other"])
    np.testing.assert_array_equal(batch.present, before.present)
    assert np.isfinite(model.predict_proba(batch)).all()


# ---------------------------------------------------------------- scikit-learn's checks

#: Checks of names and frames, which scikit-learn does not count among the others. Those
#: with polars make a frame of the block itself, which polars does not read as a matrix.
OUTPUT = [
    "check_get_feature_names_out_error",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_global_output_transform_pandas",
]
#: Checks that look at the estimator alone, for modalities whose input is no 2-D array.
WITHOUT_INPUT = [
    "check_get_feature_names_out_error",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
]


@parametrize_with_checks(ESTIMATORS)
def test_estimator_passes_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


def _expected_failures(modality):
    return {"check_array_api_input": "a modality gives a Block, which is no array"}


@parametrize_with_checks(TABLES, expected_failed_checks=_expected_failures)
def test_modality_passes_the_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names")
@pytest.mark.parametrize("check", OUTPUT)
@pytest.mark.parametrize("modality", TABLES, ids=lambda m: type(m).__name__)
def test_modality_passes_the_checks_of_names_and_frames(modality, check):
    getattr(estimator_checks, check)(type(modality).__name__, modality)


@pytest.mark.parametrize("check", WITHOUT_INPUT)
@pytest.mark.parametrize("modality", CELLS, ids=lambda m: type(m).__name__)
def test_cell_modality_passes_the_checks_that_apply(modality, check):
    getattr(estimator_checks, check)(type(modality).__name__, modality)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_more_than_fifty_checks_run_for_an_estimator(estimator):
    checks = list(estimator_checks_generator(estimator))
    assert len(checks) > 50
    tags = get_tags(estimator)
    assert not tags.non_deterministic
    assert not tags.no_validation
    assert not tags._skip_test


@pytest.mark.parametrize("modality", TABLES, ids=lambda m: type(m).__name__)
def test_more_than_thirty_checks_run_for_a_modality_of_tables(modality):
    assert len(list(estimator_checks_generator(modality))) > 30
    assert not get_tags(modality).non_deterministic
