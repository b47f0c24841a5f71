import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from skfusion.modalities.tabular import TabularModality


@parametrize_with_checks(
    [TabularModality(), TabularModality(n_bins=1, max_tokens=2)],
    expected_failed_checks=lambda _: {
        "check_array_api_input": "a modality gives a Block, which is no array"
    },
)
def test_sklearn_contract(estimator, check):
    check(estimator)


@pytest.fixture
def table():
    """A frame of every kind of column; row 3 is empty."""
    n = 40
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 10, n),
            "member": pd.array(rng.random(n) < 0.5, dtype="boolean"),
            "joined": pd.date_range("2020-01-30", periods=n, freq="7h"),
            "stay": pd.to_timedelta(rng.integers(1, 100, n), unit="h"),
            "class": pd.Categorical(rng.choice(["first", "second"], n)),
            "town": rng.choice([f"town {i}" for i in range(12)], n),
            "constant": 7,
            "nothing": None,
        },
        index=[f"r{i}" for i in range(n)],
    )
    frame["constant"] = frame["constant"].astype("Int64")
    frame.loc["r3"] = None
    return frame


def as_tensors(block, rows=slice(None), dtype=None):
    tensors = {k: torch.as_tensor(a[rows]) for k, a in block.arrays.items()}
    if dtype is None:
        return tensors
    return {k: t.to(dtype) if t.is_floating_point() else t for k, t in tensors.items()}


def encode(modality, X, seed=0):
    torch.manual_seed(seed)
    encoder = modality.build_encoder(16, 0.0).eval()
    with torch.no_grad():
        return encoder(as_tensors(modality.transform(X)))


# ------------------------------------------------------------------ kinds of columns


def test_kinds_are_recognised(table):
    modality = TabularModality().fit(table)
    assert modality.kinds_ == [
        "number",
        "number",
        "date",
        "number",
        "category",
        "category",
        "number",
        "empty",
    ]
    assert set(modality.categories_) == {"class", "town"}


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([1, 2.5, None], "number"),
        ([True, None, False], "number"),
        (["1", "2", "1"], "category"),
        ([1, "one", 1], "category"),
        ([pd.Timestamp("2020-01-01"), None], "date"),
        ([pd.Timestamp("2020-01-01").date()], "date"),
        ([pd.Timedelta("1h"), pd.NaT], "number"),
        ([None, float("nan"), pd.NA], "empty"),
    ],
)
def test_object_columns_are_sniffed(cells, kind):
    X = pd.DataFrame({"x": pd.Series(cells, dtype=object)})
    modality = TabularModality().fit(X)
    assert modality.kinds_ == [kind]
    assert np.isfinite(np.asarray(modality.transform(X))).all()


def test_numbers_as_objects_equal_numbers_as_floats(table):
    numbers = table[["age"]]
    modality = TabularModality().fit(numbers)
    as_objects = np.asarray(modality.transform(numbers.astype(object)))
    np.testing.assert_array_equal(np.asarray(modality.transform(numbers)), as_objects)


def test_array_and_frame_give_the_same_numbers():
    X = np.random.default_rng(0).normal(size=(20, 3))
    frame = pd.DataFrame(X, columns=list("abc"))
    np.testing.assert_array_equal(
        np.asarray(TabularModality().fit_transform(X)),
        np.asarray(TabularModality().fit_transform(frame)),
    )


def test_series_is_one_column(table):
    series = TabularModality().fit_transform(table["age"])
    frame = TabularModality().fit_transform(table[["age"]])
    np.testing.assert_array_equal(np.asarray(series), np.asarray(frame))


def test_object_array_of_mixed_columns():
    X = np.array([[1.5, "a"], [2.5, "b"], [None, "a"], [1.0, "b"]], dtype=object)
    modality = TabularModality().fit(X)
    assert modality.kinds_ == ["number", "category"]
    assert modality.transform(X).present.all()


def test_polars_frame_equals_pandas_frame(table):
    polars = pl.DataFrame(
        {
            "age": table["age"].to_numpy(),
            "member": [None if pd.isna(m) else m for m in table["member"]],
            "joined": [
                None if pd.isna(t) else t.to_pydatetime() for t in table["joined"]
            ],
            "stay": [None if pd.isna(t) else t.to_pytimedelta() for t in table["stay"]],
            "class": [None if pd.isna(c) else c for c in table["class"]],
            "town": [None if pd.isna(c) else c for c in table["town"]],
            "constant": [None if pd.isna(c) else int(c) for c in table["constant"]],
            "nothing": [None] * len(table),
        },
        schema_overrides={"class": pl.Categorical, "age": pl.Float64},
    )
    polars = polars.with_columns(pl.col("age").fill_nan(None))
    modality = TabularModality().fit(polars)
    expected = TabularModality().fit(table)
    assert modality.kinds_ == expected.kinds_
    np.testing.assert_allclose(
        np.asarray(modality.transform(polars)), np.asarray(expected.transform(table))
    )
    np.testing.assert_array_equal(
        np.asarray(modality.transform(polars)), np.asarray(modality.transform(table))
    )


# ------------------------------------------------------------------ numbers


def test_scaling_is_robust_and_clipped():
    x = np.r_[np.random.default_rng(0).normal(100, 20, 999), 1e9]
    modality = TabularModality().fit(x[:, None])
    scaled = modality.transform(x[:, None]).arrays["numbers"][:, 0]
    assert abs(np.median(scaled)) < 0.01
    assert 0.8 < scaled[:-1].std() < 1.05
    assert 2.9 < scaled[-1] <= 3


@pytest.mark.parametrize("big", [1e300, 1.7e308])
def test_huge_numbers_stay_finite(big):
    X = np.array([[big], [-big], [0.0], [1.0], [2.0]])
    block = TabularModality().fit_transform(X)
    assert np.isfinite(block.arrays["numbers"]).all()


def test_half_equal_column_still_varies():
    x = np.r_[np.zeros(90), np.arange(1.0, 11)]
    scaled = TabularModality().fit_transform(x[:, None]).arrays["numbers"][:, 0]
    assert len(np.unique(scaled)) == 11


def test_constant_column_stays_silent_when_it_changes():
    modality = TabularModality().fit(np.ones((10, 1)))
    assert modality.transform(np.array([[1000.0]])).arrays["numbers"][0, 0] == 0


def test_missing_number_has_its_own_token_and_hides_its_content(table):
    modality = TabularModality().fit(table)
    encoder = modality.build_encoder(8, 0.0)
    torch.nn.init.normal_(encoder.numbers.weight)
    inputs = as_tensors(modality.transform(table.iloc[:2]))
    inputs["missing"][0, 0] = 1
    other = {**inputs, "numbers": inputs["numbers"].clone()}
    other["numbers"][0, 0] = 5
    h, _ = encoder(inputs)
    torch.testing.assert_close(encoder(other)[0], h, rtol=0, atol=0)
    inputs["missing"][0, 0] = 0
    assert not torch.allclose(encoder(inputs)[0][0, 0], h[0, 0])


def test_bins_encode_what_a_line_cannot():
    """A linear read-out of the encoder's bins fits a parabola."""
    x = np.linspace(-2, 2, 400)[:, None]
    modality = TabularModality(n_bins=16).fit(x)
    encoder = modality.build_encoder(1, 0.0)
    inputs = as_tensors(modality.transform(x))
    target = torch.as_tensor(x**2, dtype=torch.float32)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=0.1)
    for _ in range(200):
        loss = (encoder(inputs)[0][:, 0] - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.02 * target.var()


# ------------------------------------------------------------------ dates


def test_dates_become_parts():
    days = pd.DataFrame({"day": pd.date_range("2019-11-05", periods=90)})
    modality = TabularModality().fit(days)
    assert modality._element_names() == [
        "day: seconds",
        "day: year",
        "day: month",
        "day: day",
        "day: weekday",  # no hour: all are midnight
    ]


def test_date_strings_and_zones_are_read_at_prediction():
    days = pd.DataFrame({"day": pd.date_range("2019-11-05", periods=90, tz="CET")})
    modality = TabularModality().fit(days)
    naive = pd.DataFrame({"day": ["2019-11-07", None]})
    with pytest.warns(UserWarning, match="'day' has no time zone: .* fit's, CET"):
        block = modality.transform(naive)
    assert block.present.tolist() == [True, False]
    np.testing.assert_allclose(
        block.arrays["numbers"][0], modality.transform(days).arrays["numbers"][2]
    )


def zoned(zone, n=90, freq="9h"):
    return pd.DataFrame({"day": pd.date_range("2024", periods=n, freq=freq, tz=zone)})


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "-03:30"])
@pytest.mark.parametrize("as_objects", [False, True])
def test_dates_are_converted_to_the_time_zone_of_fit(zone, as_objects):
    days = zoned("America/New_York")
    modality = TabularModality().fit(days)
    moved = days.assign(day=days["day"].dt.tz_convert(zone))
    if as_objects:
        moved = moved.astype(object)
    np.testing.assert_array_equal(
        np.asarray(modality.transform(moved)), np.asarray(modality.transform(days))
    )
    text = pd.DataFrame({"day": [day.isoformat() for day in moved["day"]]})
    np.testing.assert_array_equal(
        np.asarray(modality.transform(text)), np.asarray(modality.transform(days))
    )


@pytest.mark.parametrize("form", ["objects", "text"])
def test_dates_of_several_offsets_are_in_utc(form):
    days = zoned("UTC")
    zones = ["+02:00", "-05:00", "Asia/Tokyo"]
    mixed = [day.tz_convert(zones[i % 3]) for i, day in enumerate(days["day"])]
    if form == "text":
        mixed = [day.isoformat() for day in mixed]
    frame = pd.DataFrame({"day": pd.Series(mixed, dtype=object)})
    ours = TabularModality().fit(frame)
    expected = np.asarray(TabularModality().fit_transform(days))
    np.testing.assert_array_equal(np.asarray(ours.transform(frame)), expected)
    np.testing.assert_array_equal(np.asarray(ours.transform(days)), expected)
    one = np.asarray(ours.transform(frame[1:2]))
    np.testing.assert_array_equal(one, expected[1:2])


def test_time_zone_that_fit_did_not_have_is_told_of():
    days = zoned(None)
    modality = TabularModality().fit(days)
    with pytest.warns(UserWarning, match="'day' has a time zone, Asia/Tokyo, but"):
        block = modality.transform(zoned("Asia/Tokyo"))
    np.testing.assert_array_equal(np.asarray(block), modality.transform(days))


def test_dates_with_and_without_time_zone_name_the_cell():
    days = [pd.Timestamp("2024", tz="UTC"), None, pd.Timestamp("2024")]
    X = pd.DataFrame({"day": pd.Series(days, dtype=object, index=list("abc"))})
    with pytest.raises(ValueError, match="Row 'c' of column 'day' is a date without"):
        TabularModality().fit(X)


def test_number_in_a_date_column_is_an_error():
    days = pd.DataFrame({"day": pd.date_range("2019-11-05", periods=9)})
    modality = TabularModality().fit(days)
    with pytest.raises(ValueError, match="Row 0 of column 'day' is a number"):
        modality.transform(pd.DataFrame({"day": [3, 4]}))


# ------------------------------------------------------------------ categories


def test_unseen_categories_share_the_code_of_rare_ones():
    X = pd.DataFrame({"c": ["a", "a", "b", "b", "once"]})
    modality = TabularModality().fit(X)
    assert modality.categories_["c"].tolist() == ["a", "b"]
    new = pd.DataFrame({"c": ["a", "b", "once", "never", None, " "]})
    codes = modality.transform(new).arrays["codes"][:, 0]
    assert codes.tolist() == [2, 3, 1, 1, 0, 0]


def test_unseen_code_says_nothing_where_training_had_none():
    X = pd.DataFrame({"c": list("aabb")})
    modality = TabularModality().fit(X)
    h, _ = encode(modality, pd.DataFrame({"c": ["a", "new", None]}))
    assert h[0].abs().sum() > 0
    assert h[1:].abs().sum() == 0


def test_categories_survive_a_change_of_type():
    fitted = TabularModality().fit(pd.DataFrame({"c": pd.Categorical([1, 2, 1, 2])}))
    for cells in ([1.0, 2.0], ["1", "2"], pd.Categorical([1, 2])):
        codes = fitted.transform(pd.DataFrame({"c": cells})).arrays["codes"][:, 0]
        assert codes.tolist() == [2, 3]


def test_at_most_max_categories_are_kept():
    X = pd.DataFrame({"c": [f"c{i % 50}" for i in range(200)] + ["c0"]})
    modality = TabularModality(max_categories=5).fit(X)
    assert len(modality.categories_["c"]) == 5
    assert modality.categories_["c"][0] == "c0"
    assert modality.transform(X).arrays["codes"].max() == 6


# ------------------------------------------------------------------ absence


def test_only_rows_without_any_cell_are_absent(table):
    block = TabularModality().fit_transform(table)
    assert np.flatnonzero(~block.present).tolist() == [3]
    assert (TabularModality().fit(table).features(block)[3] == 0).all()


@pytest.mark.parametrize("column", [[None] * 4, [np.nan] * 4, ["", " ", None, ""]])
def test_table_without_information_is_absent_everywhere(column):
    X = pd.DataFrame({"x": column})
    modality = TabularModality().fit(X)
    block = modality.transform(pd.DataFrame({"x": [None, None]}))
    assert not block.present.any()
    assert modality.features(block).shape[0] == 2
    h, mask = encode(modality, X)
    assert h.shape[1] == mask.shape[1] == len(modality._element_names()) == 1


# ------------------------------------------------------------------ errors


def test_infinity_names_row_column_and_remedy(table):
    table.loc["r5", "age"] = np.inf
    with pytest.raises(
        ValueError, match=r"Row 'r5' of column 'age' holds infinity.*Re"
    ):
        TabularModality().fit(table)


def test_infinity_in_an_array_reads_as_in_sklearn():
    with pytest.raises(ValueError, match="Input X contains infinity"):
        TabularModality().fit([[1.0, np.inf], [2.0, 3.0]])


def test_text_in_a_number_column_names_the_cell(table):
    modality = TabularModality().fit(table)
    table["age"] = table["age"].astype(object)
    table.loc["r7", "age"] = "forty"
    with pytest.raises(
        ValueError, match="Row 'r7' of column 'age' is not a number: 'f"
    ):
        modality.transform(table)


def test_cells_that_are_no_category_name_the_cell():
    X = pd.DataFrame({"c": ["a", {"b": 1}]})
    with pytest.raises(TypeError, match="'dict', which row 1 of column 'c'"):
        TabularModality().fit(X)


def test_repeated_column_names_are_an_error():
    X = pd.DataFrame(np.ones((3, 2)), columns=["a", "a"])
    with pytest.raises(ValueError, match=r"\['a'\] occur more than once"):
        TabularModality().fit(X)


@pytest.mark.parametrize("X", [pd.DataFrame({"a": []}), pd.DataFrame(index=[0, 1])])
def test_empty_frame_is_an_error(X):
    with pytest.raises(ValueError, match="at least one row and one column"):
        TabularModality().fit(X)


def test_missing_and_reordered_columns_are_errors(table):
    modality = TabularModality().fit(table)
    with pytest.raises(ValueError, match="missing:\n- age"):
        modality.transform(table.drop(columns="age"))
    with pytest.raises(ValueError, match="same order"):
        modality.transform(table[table.columns[::-1]])


def test_sparse_input_is_refused():
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        TabularModality().fit(sparse.csr_matrix(np.eye(3)))


def test_parameters_are_validated():
    with pytest.raises(ValueError, match="'n_bins' parameter of TabularModality"):
        TabularModality(n_bins=0).fit([[1.0], [2.0]])


# ------------------------------------------------------------------ encoder


def test_each_column_is_a_named_token(table):
    modality = TabularModality().fit(table)
    h, mask = encode(modality, table)
    names = modality._element_names()
    assert h.shape == (len(table), len(names), 16)
    assert mask.all()
    assert {"age", "member", "class", "town", "joined: month"} <= set(names)
    block = modality.transform(table)
    weights = np.full((len(table), len(names)), 1 / len(names))
    elements = modality.elements(block, weights)
    assert elements[0].sum() == pytest.approx(1)
    assert elements[3].empty


def test_changing_a_column_changes_its_token_alone(table):
    modality = TabularModality().fit(table)
    changed = table.copy()
    changed.loc["r0", "town"] = "town 1" if table.loc["r0", "town"] != "town 1" else "-"
    changed.loc["r0", "age"] += 10
    before, _ = encode(modality, table)
    after, _ = encode(modality, changed)
    differs = (before != after).any(dim=2)
    names = np.array(modality._element_names())
    assert set(names[differs[0]]) == {"age", "town"}
    assert not differs[1:].any()


def test_wide_tables_share_tokens():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(50, 300)), columns=[f"n{i}" for i in range(300)])
    X = X.assign(**{f"c{i}": rng.choice(["x", "y"], 50) for i in range(70)})
    modality = TabularModality(max_tokens=32).fit(X)
    h, mask = encode(modality, X)
    names = modality._element_names()
    assert h.shape[1] == mask.shape[1] == len(names) == 30 + 24
    assert names[0] == "n0 … n9"
    assert names[-1] == "c69 … c69"
    X.loc[:, "n25"] += 1
    changed = (encode(modality, X)[0] != h).any(dim=2).any(dim=0)
    assert np.array(names)[changed].tolist() == ["n20 … n29"]


def test_forward_in_float64_matches_float32(table):
    modality = TabularModality().fit(table)
    encoder = modality.build_encoder(16, 0.1).eval()
    block = modality.transform(table)
    single, _ = encoder(as_tensors(block))
    double, _ = encoder.double()(as_tensors(block, dtype=torch.float64))
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single, rtol=1e-4, atol=1e-5)


def test_rows_do_not_depend_on_each_other(table):
    modality = TabularModality().fit(table)
    torch.manual_seed(0)
    encoder = modality.build_encoder(16, 0.0).eval()
    block = modality.transform(table)
    together, _ = encoder(as_tensors(block))
    alone, _ = encoder(as_tensors(block, slice(4, 5)))
    torch.testing.assert_close(together[4:5], alone)


def test_noise_changes_numbers_and_draws_seen_categories():
    X = pd.DataFrame({"x": np.arange(400.0), "c": ["a"] * 300 + ["b"] * 100})
    modality = TabularModality().fit(X)
    encoder = modality.build_encoder(8, 0.0)
    inputs = as_tensors(modality.transform(X))
    before = {key: x.clone() for key, x in inputs.items()}
    sd = torch.zeros(400)
    sd[200:] = 3.0
    torch.manual_seed(0)
    noisy = encoder.add_noise(inputs, sd)
    for key, x in inputs.items():
        assert torch.equal(x, before[key])
        assert torch.equal(noisy[key][:200], x[:200])
    moved = noisy["numbers"][200:] - inputs["numbers"][200:]
    assert 2.5 < moved.std() < 3.5
    codes = noisy["codes"][200:, 0]
    assert set(codes.tolist()) == {2, 3}
    assert 0.65 < (codes == 2).float().mean() < 0.85
    assert torch.isfinite(encoder(noisy)[0]).all()


# ------------------------------------------------------------------ life cycle


def test_features_are_finite_and_informative(table):
    modality = TabularModality().fit(table)
    features = modality.features(modality.transform(table))
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    towns = len(modality.categories_["town"])
    n_numbers = len(modality._number_names)
    # numbers, their indicators (row 3 misses all), one-hot and missing twice
    assert features.shape[1] == 2 * n_numbers + 2 + 1 + towns + 1


def test_features_of_many_categories_stay_narrow():
    X = pd.DataFrame({"c": [f"v{i % 200}" for i in range(1000)] + ["v0"] * 50})
    modality = TabularModality().fit(X)
    features = modality.features(modality.transform(X))
    assert features.shape[1] == 31
    assert features[0, -1] == features[:, -1].max()


def test_input_is_not_changed(table):
    before = table.copy()
    TabularModality().fit(table).transform(table)
    pd.testing.assert_frame_equal(table, before)


def test_pickle_and_clone(table):
    modality = TabularModality(n_bins=4).fit(table)
    again = pickle.loads(pickle.dumps(modality))
    np.testing.assert_array_equal(
        np.asarray(again.transform(table)), np.asarray(modality.transform(table))
    )
    fresh = clone(modality)
    assert fresh.n_bins == 4
    assert not hasattr(fresh, "kinds_")


def test_few_categories_of_one_row_each_are_kept():
    # Rows that repeat reach the modality once.
    two = pd.DataFrame({"c": ["a", "b"]})
    modality = TabularModality().fit(two)
    assert list(modality.categories_["c"]) == ["a", "b"]
    some = TabularModality().fit(pd.DataFrame({"c": ["a", "b", "b"]}))
    assert list(some.categories_["c"]) == ["b"]
    many = pd.DataFrame({"c": [f"v{i % 31:02d}" for i in range(31)]})
    with pytest.warns(UserWarning, match="no other row has"):
        assert not len(TabularModality().fit(many).categories_["c"])


def test_arrays_after_a_frame_are_read_by_position_and_the_reverse():
    frame = pd.DataFrame({"a": [1.0, 2.0, 5.0], "b": ["x", "y", "x"]})
    array = frame.to_numpy(dtype=object)
    expected = TabularModality(min_frequency=1).fit_transform(frame)
    for learned, read, message in (
        (frame, array, "does not have valid feature names"),
        (array, frame, "fitted without feature names"),
    ):
        modality = TabularModality(min_frequency=1).fit(learned)
        with pytest.warns(UserWarning, match=message):
            block = modality.transform(read)
        for key, values in expected.arrays.items():
            np.testing.assert_array_equal(block.arrays[key], values)


@pytest.mark.parametrize("n_names", [20, 60])  # few enough to be kept if rare, or not
def test_categories_of_a_single_group_are_unknown(n_names):
    names = np.repeat([f"patient {i}" for i in range(n_names)], 4)
    frame = pd.DataFrame({"name": names, "ward": ["a", "b", "a", "b"] * n_names})
    assert len(TabularModality().fit(frame).categories_["name"]) == n_names
    table = TabularModality().fit(frame, groups=names)
    assert len(table.categories_["name"]) == 0
    assert sorted(table.categories_["ward"]) == ["a", "b"]
    seen = table.transform(frame)
    new = table.transform(frame.assign(name="patient of tomorrow"))
    np.testing.assert_array_equal(table.features(seen), table.features(new))


def test_categories_of_two_groups_and_rare_ones_are_kept_as_without_groups():
    frame = pd.DataFrame({"drug": ["a", "a", "b", "b", "c", None]})
    table = TabularModality(min_frequency=1).fit(frame, groups=[0, 1, 0, 0, 1, 1])
    assert sorted(table.categories_["drug"]) == ["a", "c"]


@pytest.mark.parametrize("groups", [["one"] * 6, range(6)])
def test_groups_that_divide_nothing_change_nothing(groups):
    frame = pd.DataFrame({"drug": ["a", "a", "b", "b", "c", "c"]})
    table = TabularModality().fit(frame, groups=groups)
    assert sorted(table.categories_["drug"]) == ["a", "b", "c"]


def test_groups_of_another_length_are_refused():
    frame = pd.DataFrame({"drug": ["a", "b"]})
    with pytest.raises(ValueError, match=r"groups must be of shape \(2,\)"):
        TabularModality().fit(frame, groups=[1, 2, 3])
