import pandas as pd
import pytest

from skfusion.datasets import load_clothing_reviews


def test_texts_are_strings_and_an_absent_title_is_missing():
    data = load_clothing_reviews().data
    assert data["Review Text"].map(type).eq(str).all()
    assert data["Review Text"].str.strip().ne("").all()
    assert data["Title"].isna().sum() == 2966
    assert data["Title"].dropna().map(type).eq(str).all()


def test_numbers_and_categories_have_their_types():
    data = load_clothing_reviews().data
    assert pd.api.types.is_integer_dtype(data["Age"])
    assert data["Age"].between(18, 99).all()
    for column in ("Division Name", "Department Name", "Class Name"):
        assert isinstance(data[column].dtype, pd.CategoricalDtype)


@pytest.mark.parametrize(
    ("target", "leaks", "n_classes"),
    [
        ("recommended", {"Recommended IND", "Rating"}, 2),
        ("rating", {"Recommended IND", "Rating"}, 5),
        ("department", {"Division Name", "Department Name", "Class Name"}, 6),
    ],
)
def test_columns_that_give_the_target_away_are_left_out(target, leaks, n_classes):
    reviews = load_clothing_reviews(target=target, subset="test")
    assert not leaks & set(reviews.feature_names)
    assert {"Title", "Review Text", "Age"} <= set(reviews.feature_names)
    assert len(reviews.target_names) == reviews.target.nunique() == n_classes


def test_department_leaves_out_rows_without_one():
    reviews = load_clothing_reviews(target="department")
    assert len(reviews.target) == 22_641 - 13
    assert reviews.target_names == sorted(reviews.target.unique())


def test_unknown_target_is_refused_by_name():
    with pytest.raises(ValueError, match=r"'target'.*'recommended'.*Got 'price'"):
        load_clothing_reviews(target="price")


def test_few_reviews_are_in_both_parts_of_the_split():
    reviews = load_clothing_reviews()
    in_test = reviews.split == "test"
    texts = reviews.data["Review Text"]
    assert texts[in_test].isin(texts[~in_test]).sum() == 4  # as the docstring says
