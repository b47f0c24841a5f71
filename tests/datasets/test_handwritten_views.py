import numpy as np

from skfusion.datasets import load_handwritten_views


def test_views_cover_the_columns_in_order():
    digits = load_handwritten_views(subset="test")
    assert list(digits.views) == ["pix", "fou", "fac", "zer", "kar", "mor"]
    assert [c for view in digits.views.values() for c in view] == digits.feature_names
    assert [len(view) for view in digits.views.values()] == [240, 76, 216, 47, 64, 6]


def test_all_numbers_are_finite_float32():
    data = load_handwritten_views().data
    assert set(data.dtypes) == {np.dtype(np.float32)}
    assert np.isfinite(data.to_numpy()).all()


def test_each_digit_has_as_many_rows():
    target = load_handwritten_views().target
    assert target.value_counts().to_dict() == dict.fromkeys(range(10), 200)


def test_one_numeral_is_in_both_parts_of_the_split():
    digits = load_handwritten_views()
    in_test = digits.split == "test"
    train = set(map(bytes, digits.data[~in_test].to_numpy()))
    test = list(map(bytes, digits.data[in_test].to_numpy()))
    assert sum(row in train for row in test) == 1  # as the docstring says
