"""Values that overflow, cannot be compared or cannot be encoded: one error each."""

import decimal

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import FunctionTransformer

from skfusion import FusionClassifier, FusionRegressor, describe
from skfusion.modalities import TabularModality, TransformerModality

N = 20
y = np.arange(N) % 2


@pytest.fixture
def frame():
    return pd.DataFrame({"price": np.random.default_rng(0).normal(size=N)})


HUGE = [1e101, -1e200, 1e308, 10**400, "1e200", decimal.Decimal("1e200")]


@pytest.mark.parametrize("value", HUGE, ids=lambda v: str(v)[:9])
def test_target_whose_square_overflows_names_its_row(frame, value):
    target = np.asarray(y, dtype=object)
    target[7] = value
    model = FusionRegressor([("facts", "tabular", ["price"])])
    with pytest.raises(ValueError, match=r"in row 7 .*Divide y by a constant"):
        model.fit(frame, target)


@pytest.mark.parametrize("scale", [1e-200, 1e-20, 1e20, 1e99])
def test_the_scale_of_a_target_does_not_matter(frame, scale):
    def predict(target, scale):
        model = FusionRegressor(
            [("facts", "tabular", ["price"])], max_epochs=1, random_state=0
        )
        return model.fit(frame, target * scale).predict(frame) / scale

    target = frame["price"].to_numpy()
    np.testing.assert_allclose(predict(target, scale), predict(target, 1), rtol=1e-4)


@pytest.mark.parametrize("kind", [list, np.array, pd.Series])
def test_labels_of_mixed_types_name_two_rows(frame, kind):
    labels = ["yes" if v else 0 for v in y]
    labels = labels if kind is list else kind(labels, dtype=object)
    with pytest.raises(ValueError, match=r"'yes' in row 1, and 0 of type int in row 0"):
        FusionClassifier().fit(frame, labels)


@pytest.mark.parametrize("value", [1e200, -1e200, 10**400])
def test_numbers_that_cannot_name_classes_are_refused(frame, value):
    target = np.asarray(y, dtype=object)
    target[7] = value
    with pytest.raises(ValueError, match=r"label .* in row 7 .*astype\(str\)"):
        FusionClassifier().fit(frame, target)


@pytest.mark.parametrize("kind", [FusionClassifier, FusionRegressor])
def test_signalling_nan_in_the_target_is_missing(frame, kind):
    target = np.asarray(y, dtype=object)
    target[7] = decimal.Decimal("sNaN")
    with pytest.raises(ValueError, match=r"missing in row 7"):
        kind([("facts", "tabular", ["price"])]).fit(frame, target)


def test_rows_of_unequal_length_are_named():
    rows = [[1.0, 2.0]] * 5 + [[3.0]] + [[1.0, 2.0]] * 14
    with pytest.raises(ValueError, match=r"row 0 has 2 values and row 5 has 1 values"):
        FusionClassifier().fit(rows, y)


def test_the_largest_numbers_there_are_can_be_learned():
    X = pd.DataFrame({"a": np.where(y, 1e308, -1e308), "b": np.where(y, 1e-308, 0)})
    for kind in ("tabular", "vector"):
        model = FusionClassifier([("m", kind, ["a", "b"])], max_epochs=1)
        p = model.fit(X, y).predict_proba(pd.concat([X, -X]))
        assert np.isfinite(p).all()
        np.testing.assert_allclose(p.sum(axis=1), 1)


def test_halves_of_characters_are_one_category_with_their_replacement(frame):
    cells = pd.Series(["a\ud83d", "b"] * (N // 2), dtype=object)
    X = pd.DataFrame({"c": cells, "n": np.arange(N)})
    model = FusionClassifier(max_epochs=1, random_state=0).fit(X, y)
    table = model.modalities_.named_modalities_.tabular
    assert table.categories_["c"].tolist() == ["a\ufffd", "b"]
    p = model.predict_proba(pd.DataFrame({"c": ["a\ufffd", "b"], "n": [0, 1]}))
    np.testing.assert_array_equal(p, model.predict_proba(X.head(2)))


def test_signalling_nan_among_dates_names_its_row():
    dates = pd.DataFrame({"day": pd.date_range("2020-01-01", periods=8).to_list()})
    dates["day"] = dates["day"].astype(object)
    modality = TabularModality().fit(dates)
    dates.loc[5, "day"] = decimal.Decimal("sNaN")
    with pytest.raises(ValueError, match=r"Row 5 of column 'day' is not a date"):
        modality.transform(dates)
    assert "fit would refuse it" in str(describe(dates))


def test_signalling_nan_before_another_transformer_is_missing():
    cells = pd.DataFrame({"x": [1.0, decimal.Decimal("sNaN")]}, dtype=object)
    ones = FunctionTransformer(lambda x: np.ones((len(x), 1)))
    block = TransformerModality(ones).fit_transform(cells)
    assert block.present.tolist() == [True, False]
