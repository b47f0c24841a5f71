"""What every loader of real data keeps to."""

import numpy as np
import pandas as pd
import pytest

from skfusion.datasets import (
    load_clothing_reviews,
    load_handwritten_views,
    load_spoken_digits,
)

LOADERS = [load_clothing_reviews, load_handwritten_views, load_spoken_digits]
SIZES = {  # (train, test, columns)
    load_clothing_reviews: (20_366, 2_275, 7),
    load_handwritten_views: (1_600, 400, 649),
    load_spoken_digits: (1_200, 300, 3),
}


@pytest.fixture(params=LOADERS, ids=lambda load: load.__name__)
def load(request):
    return request.param


def test_bunch_holds_matching_shapes(load):
    bunch = load()
    n_train, n_test, n_columns = SIZES[load]
    n = n_train + n_test
    assert bunch.data.shape == (n, n_columns)
    assert bunch.target.shape == bunch.split.shape == (n,)
    assert bunch.feature_names == list(bunch.data.columns)
    assert bunch.frame.shape == (n, n_columns + 1)
    assert bunch.frame.columns[-1] == bunch.target.name
    assert dict(zip(*np.unique(bunch.split, return_counts=True), strict=True)) == {
        "train": n_train,
        "test": n_test,
    }
    assert len(bunch.target_names) == bunch.target.nunique()
    assert not bunch.target.isna().any()


def test_subsets_are_the_rows_of_the_split(load):
    whole = load()
    for subset in ("train", "test"):
        part = load(subset=subset)
        rows = np.flatnonzero(whole.split == subset)
        assert set(part.split) == {subset}
        assert part.data.index.equals(pd.RangeIndex(len(rows)))
        np.testing.assert_array_equal(part.target, whole.target[rows])
        first = whole.data.columns[0]
        for got, expected in zip(
            part.data[first][:20], whole.data[first].iloc[rows[:20]], strict=True
        ):
            np.testing.assert_array_equal(got, expected)


def test_arrays_and_tuples_on_request(load):
    bunch = load(subset="test", as_frame=False)
    assert isinstance(bunch.data, np.ndarray)
    assert isinstance(bunch.target, np.ndarray)
    assert bunch.frame is None
    X, y = load(subset="test", return_X_y=True)
    assert isinstance(X, pd.DataFrame)
    assert X.shape == bunch.data.shape
    np.testing.assert_array_equal(y, bunch.target)


def test_description_and_docstring_name_licence_and_attribution(load):
    description = load(subset="test").DESCR
    assert "Licence:" in description
    assert "https://creativecommons.org/" in description
    assert "Attribution:" in description or "Author:" in description
    assert "CC" in load.__doc__.partition("Notes\n")[2]


def test_unknown_option_is_refused_by_name(load):
    with pytest.raises(ValueError, match=r"'subset'.*'all', 'train', 'test'.*'dev'"):
        load(subset="dev")
