"""Series of every form become the same steps, and padding changes nothing."""

import itertools
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skfusion.modalities import SeriesModality


def inputs(block):
    return {k: torch.from_numpy(v.copy()) for k, v in block.arrays.items()}


def encoder(modality, dropout=0.0, seed=0):
    torch.manual_seed(seed)
    return modality.build_encoder(24, dropout).eval()


@pytest.fixture(scope="module")
def cells():
    """Seven series of two channels and 20 to 110 steps, the last one absent."""
    rng = np.random.default_rng(0)
    made = []
    for i in range(6):
        time = np.arange(20 + 18 * i)
        wave = np.sin(time / (2 + i)) * 5 + 100
        made.append(np.stack([wave, rng.normal(size=len(time)).cumsum()]))
    return [*made, None]


@pytest.fixture(scope="module")
def fitted(cells):
    return SeriesModality().fit(cells)


def test_fit_learns_channels_lengths_and_scales(fitted, cells):
    assert fitted.n_channels_ == [2]
    assert (fitted.n_steps_, fitted.pooling_) == (110, 1)
    first = np.concatenate([c[0] for c in cells[:6]])
    assert fitted.center_[0] == pytest.approx(np.median(first))
    block = fitted.transform(cells)
    assert block.arrays["values"].dtype == np.float32
    assert block.arrays["values"].shape == (7, 2, 110)
    np.testing.assert_array_equal(block.arrays["length"], [20, 38, 56, 74, 92, 110, 1])
    np.testing.assert_array_equal(block.present, [True] * 6 + [False])
    valid = block.arrays["values"][5]
    z = (cells[5] - fitted.center_[:, None]) / fitted.scale_[:, None]
    np.testing.assert_allclose(valid, z / np.hypot(1, z / 10), rtol=1e-5, atol=1e-6)
    assert not block.arrays["values"][0, :, 20:].any()


def test_fit_transform_equals_fit_then_transform(fitted, cells):
    both, apart = SeriesModality().fit_transform(cells), fitted.transform(cells)
    for key, array in both.arrays.items():
        np.testing.assert_array_equal(array, apart.arrays[key])


@pytest.mark.parametrize(
    "convert",
    [
        list,
        tuple,
        np.float32,
        pd.Series,
        pl.Series,
        lambda x: np.asarray(x)[None],
        lambda x: [list(x)],
        lambda x: pd.Series(x, dtype="Float64"),
        lambda x: [*x, None, np.nan],
    ],
    ids=["list", "tuple", "float32", "pandas", "polars", "(1, T)", "nested", "nullable",
         "trailing gap"],
)  # fmt: skip
def test_every_form_of_cell_gives_the_same_series(convert):
    cells = [[1.0, 2.0, 3.0, 5.0], [4.0, 4.0, 1.0]]
    modality = SeriesModality().fit(cells)
    expected = modality.transform(cells)
    column = np.empty(2, dtype=object)
    column[:] = [convert(cell) for cell in cells]
    came = modality.transform(column)
    for key, array in expected.arrays.items():
        np.testing.assert_array_equal(array, came.arrays[key])


def test_arrays_stand_for_a_column(cells):
    rng = np.random.default_rng(0)
    flat, deep = rng.normal(size=(5, 30)), rng.normal(size=(5, 3, 30))
    assert SeriesModality().fit_transform(flat).arrays["values"].shape == (5, 1, 30)
    modality = SeriesModality().fit(deep)
    assert modality.n_channels_ == [3]
    block = modality.transform(list(deep))
    np.testing.assert_array_equal(
        block.arrays["values"], modality.transform(deep).arrays["values"]
    )


@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
def test_columns_are_channels_of_one_series(library):
    data = {"a": [[1, 2, 3], [3, 4]], "b": [[5.0, 6, 8, 9], None]}
    modality = SeriesModality()
    block = modality.fit_transform(library.DataFrame(data))
    assert modality.n_channels_ == [1, 1]
    np.testing.assert_array_equal(block.arrays["length"], [4, 2])
    assert not block.arrays["values"][1, 1].any()
    assert np.isfinite(modality.features(block)).all()
    with pytest.raises(ValueError, match="fitted on 2 column"):
        modality.transform(library.DataFrame({"a": data["a"]}))


def test_gaps_are_filled_along_a_line():
    modality = SeriesModality().fit([[0.0, 1, 2, 3, 4, 5]])
    whole = modality.transform([[0.0, 1, 2, 3, 4, 5]]).arrays["values"]
    gap = modality.transform([[0.0, np.nan, np.nan, 3, 4, 5]]).arrays["values"]
    np.testing.assert_allclose(gap, whole, atol=1e-6)
    ends = modality.transform([[np.nan, 1, 2]]).arrays["values"][0, 0]
    assert ends[0] == ends[1]


def test_gap_of_one_whole_channel_is_its_median(fitted):
    row = np.stack([np.full(30, np.nan), np.arange(30.0)])
    block = fitted.transform([row])
    assert block.present.all()
    assert not block.arrays["values"][0, 0].any()
    assert np.isfinite(fitted.features(block)).all()


@pytest.mark.parametrize(
    "cell", [None, np.nan, pd.NA, [], [np.nan, np.nan], np.full((2, 9), np.nan)]
)
def test_absent_cells(fitted, cells, cell):
    block = fitted.transform([cell, cells[0]])
    np.testing.assert_array_equal(block.present, [False, True])
    assert not block.arrays["values"][0].any()
    assert not fitted.features(block)[0].any()
    assert len(fitted.elements(block, np.zeros((2, 30)))[0]) == 0


def test_fit_on_absent_cells_only():
    modality = SeriesModality()
    block = modality.fit_transform([None, None])
    assert not block.present.any()
    tokens, mask = encoder(modality)(inputs(block))
    assert torch.isfinite(tokens).all()
    assert mask.any(dim=1).all()


@pytest.mark.parametrize(
    ("cell", "cause"),
    [
        (np.array([[1.0, np.inf], [0, 0]]), "step 1 of channel 0 is infinite"),
        (np.zeros(9), r"1 channel\(s\), but the column has 2"),
        (np.zeros((9, 2)), "transposed"),
        (np.zeros((2, 2, 2)), "too many axes"),
        (3.5, "single value of type float"),
        ("1, 2, 3", "single value of type str"),
        (["a", "b"], "no real numbers"),
        ([1.0, "b"], "no real numbers"),
        (np.array(["2020-01-01"], dtype="M8[D]"), "no real numbers"),
        ([[1, 2], [3]], "inhomogeneous"),
        (np.array([1j, 2]), "no real numbers"),
    ],
)
def test_unreadable_cell_names_row_column_cause_and_remedy(fitted, cells, cell, cause):
    frame = pd.DataFrame({"wrist": [cells[0], cell, cells[1]]}, index=list("abc"))
    with pytest.raises(ValueError, match=cause) as error:
        fitted.transform(frame)
    for part in ("row 'b' of column 'wrist'", "SeriesModality", "on_error"):
        assert part in str(error.value)
    with pytest.raises(ValueError, match=cause):
        clone(fitted).fit(frame)
    lenient = clone(fitted).set_params(on_error="absent")
    with pytest.warns(UserWarning, match="1 cell"):
        block = lenient.fit_transform(frame)
    np.testing.assert_array_equal(block.present, [True, False, True])


def test_long_series_are_averaged_to_max_length():
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=250) for _ in range(40)] + [rng.normal(size=1000)]
    modality = SeriesModality(max_length=100)
    block = modality.fit_transform(rows)
    assert modality.pooling_ == 3
    np.testing.assert_array_equal(block.arrays["length"][[0, 40]], [84, 100])
    expected = (rows[0][:3].mean() - modality.center_[0]) / modality.scale_[0]
    assert block.arrays["values"][0, 0, 0] == pytest.approx(
        expected / np.hypot(1, expected / 10), rel=1e-5
    )
    weights = np.full((41, 60), 1 / 60)
    last = modality.elements(block, weights)[40].index[-1]
    assert last[1] == 1000


def test_longer_series_at_prediction_are_kept_whole(fitted):
    rng = np.random.default_rng(0)
    block = fitted.transform([rng.normal(size=(2, 300))])
    np.testing.assert_array_equal(block.arrays["length"], [300])
    tokens, _ = encoder(fitted)(inputs(block))
    assert torch.isfinite(tokens).all()


@pytest.mark.parametrize("n_steps", [1, 2, 31, 33, 100, 700, 2000])
def test_no_series_has_more_than_16_tokens(n_steps):
    modality = SeriesModality()
    block = modality.fit_transform(np.random.default_rng(0).normal(size=(3, n_steps)))
    tokens, mask = encoder(modality)(inputs(block))
    assert tokens.shape[1] <= 16
    spans = modality.elements(block, np.full(mask.shape, 1 / mask.shape[1]))[0].index
    assert len(spans) == mask.shape[1]
    assert spans[-1][1] == n_steps


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("longest", [110, 900])
def test_tokens_do_not_depend_on_padding_or_on_other_rows(cells, double, longest):
    wide = np.random.default_rng(1).normal(size=(2, longest))
    modality = SeriesModality().fit([*cells, wide])
    block = modality.transform([*cells[:6], wide])
    net = encoder(modality)
    net = net.double() if double else net
    tokens, mask = net(inputs(block))
    behind = np.arange(longest) >= block.arrays["length"][:, None, None]
    block.arrays["values"][np.broadcast_to(behind, block.arrays["values"].shape)] = 9.0
    garbage, _ = net(inputs(block))
    assert torch.equal(tokens[mask], garbage[mask])
    for i in range(7):
        alone, alone_mask = net(inputs(block[i : i + 1]))
        assert alone_mask.all()
        n = alone.shape[1]
        assert mask[i].sum() == n
        atol = 1e-12 if double else 1e-5
        torch.testing.assert_close(alone[0], tokens[i, :n], rtol=0, atol=atol)
    assert tokens.dtype == (torch.float64 if double else torch.float32)


def test_some_intervals_are_hidden_in_training_but_never_all(fitted, cells):
    net = encoder(fitted).train()
    masks = torch.stack([net(inputs(fitted.transform(cells)))[1] for _ in range(30)])
    assert masks.any(dim=2).all()
    assert 0.3 < masks[:, 5].float().mean() < 0.7  # the longest series


def test_noise_changes_values_but_tokens_still_ignore_padding(fitted, cells):
    batch = inputs(fitted.transform(cells[:6]))
    net = encoder(fitted)
    clean, mask = net(batch)
    torch.manual_seed(0)
    noisy, _ = net(net.add_noise(batch, torch.tensor([0.0, 2, 2, 2, 2, 2])))
    assert torch.equal(noisy[0][mask[0]], clean[0][mask[0]])
    assert not torch.allclose(noisy[1][mask[1]], clean[1][mask[1]])


def test_elements_sum_to_one_inside_the_series(fitted, cells):
    block = fitted.transform(cells)
    _, mask = encoder(fitted)(inputs(block))
    weights = mask.double() / mask.sum(dim=1, keepdim=True)
    weights = np.pad(weights.numpy(), ((0, 0), (0, 3)))
    for i, element in enumerate(fitted.elements(block, weights)[:6]):
        assert element.sum() == pytest.approx(1)
        spans = list(element.index)
        assert spans[0][0] == 0
        assert spans[-1][1] == cells[i].shape[1]
        assert all(a[1] == b[0] for a, b in itertools.pairwise(spans))


def test_statistics_find_level_trend_and_frequency():
    rng = np.random.default_rng(0)
    time = np.arange(100)
    rows = [
        np.sin(2 * np.pi * (0.05 if i % 2 else 0.25) * time)
        + 0.1 * rng.normal(size=100)
        for i in range(30)
    ]
    modality = SeriesModality()
    features = modality.fit_transform(rows).arrays["statistics"]
    gap = np.abs(features[::2].mean(0) - features[1::2].mean(0))
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert gap.max() > 1.5


def test_huge_and_constant_values_stay_finite():
    rows = [np.array([1e300, -1e300, 0.0]), np.full(3, 7.0), np.zeros(3)]
    modality = SeriesModality()
    block = modality.fit_transform(rows)
    assert np.isfinite(np.asarray(block)).all()
    same = SeriesModality().fit_transform([np.ones(5), np.ones(5)])
    assert np.isfinite(np.asarray(same)).all()


def test_rows_do_not_depend_on_one_another(fitted, cells):
    together = fitted.transform(cells)
    for i in range(len(cells)):
        alone = fitted.transform(cells[i : i + 1])
        for key, array in alone.arrays.items():
            np.testing.assert_allclose(
                array[0], together.arrays[key][i], rtol=1e-6, atol=1e-6
            )


def test_cells_are_left_alone(fitted):
    x = np.array([[1.0, np.nan, 3.0], [1.0, 2.0, 3.0]])
    kept = x.copy()
    fitted.transform([x])
    np.testing.assert_array_equal(x, kept)


def test_pickle_and_clone(fitted, cells):
    twin = pickle.loads(pickle.dumps(fitted))
    a, b = fitted.transform(cells), twin.transform(cells)
    np.testing.assert_array_equal(a.arrays["values"], b.arrays["values"])
    assert not hasattr(clone(fitted), "n_channels_")


@pytest.mark.parametrize(
    "parameters", [{"max_length": 1}, {"augment": "yes"}, {"on_error": "skip"}]
)
def test_wrong_parameters_are_named_in_fit(parameters):
    with pytest.raises(ValueError, match=next(iter(parameters))):
        SeriesModality(**parameters).fit([[1.0, 2.0]])


def test_transform_before_fit_is_refused():
    with pytest.raises(NotFittedError, match="SeriesModality"):
        SeriesModality().transform([[1.0, 2.0]])
