"""Which rows are distinct, and which are held out together."""

import numpy as np
import pytest

from skfusion.training.links import Identity, Sigmoid, Softmax
from skfusion.training.splits import distinct_rows, split_rows

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = np.arange(60) % 2


def content(X, y, found):
    return np.column_stack([X[found.rows], y[found.rows], found.weight])


def test_copies_are_merged_and_their_weights_added_up():
    rows = np.repeat(np.arange(60), 1 + np.arange(60) % 3)
    copied = distinct_rows(X[rows], Y[rows], None, None)
    weighted = distinct_rows(X, Y, 1.0 + np.arange(60) % 3, None)
    assert len(copied.rows) == 60
    assert np.array_equal(content(X[rows], Y[rows], copied), content(X, Y, weighted))
    assert copied.group is weighted.group is None


def test_only_ratios_of_weights_count():
    weight = RNG.integers(1, 5, 60).astype(float)
    one, two = (distinct_rows(X, Y, w, None) for w in (weight, 7 * weight))
    np.testing.assert_allclose(one.weight, two.weight, rtol=1e-15)
    assert one.weight.mean() == pytest.approx(1)


def test_order_of_the_rows_does_not_matter():
    order = RNG.permutation(60)
    one = distinct_rows(X, Y, None, None)
    two = distinct_rows(X[order], Y[order], None, None)
    assert np.array_equal(content(X, Y, one), content(X[order], Y[order], two))


def test_same_content_with_another_target_is_another_row_of_one_group():
    x = X.copy()
    x[1] = x[0]
    found = distinct_rows(x, Y, None, None)
    assert len(found.rows) == 60
    number = dict(zip(found.rows, found.group, strict=True))
    assert number[0] == number[1]
    assert len(set(number.values())) == 59


def test_groups_that_share_content_are_one():
    # a and b share a row, b and c a name: all three belong together.
    x = np.array([[0.0], [0.0], [1.0], [2.0]])
    y, names = np.array([0, 1, 0, 1]), np.array(["a", "b", "b", "d"], dtype=object)
    found = distinct_rows(x, y, None, names)
    number = dict(zip(found.rows, found.group, strict=True))
    assert number[0] == number[1] == number[2] != number[3]


def test_row_in_two_groups_is_in_both():
    x = np.array([[0.0], [0.0], [1.0], [2.0]])
    y, names = np.zeros(4, int), np.array([1, 2, 1, 2])
    found = distinct_rows(x, y, None, names)
    assert len(set(found.group)) == 1
    assert found.weight.sum() == pytest.approx(len(found.rows))


# ---------------------------------------------------------------- folds


def split(n_folds, target=Y, group=None, *, n_held=12, seed=0, classes=True):
    options = {
        "n_held": n_held,
        "seed": seed,
        "link": Softmax() if classes else Identity(),
    }
    return split_rows(target, n_folds, group=group, **options)


@pytest.mark.parametrize("classes", [True, False])
@pytest.mark.parametrize("grouped", [True, False])
def test_several_folds_hold_out_each_row_once(classes, grouped):
    group = np.arange(60) // 4 if grouped else None
    splits = split(5, group=group, classes=classes)
    assert len(splits) == 5
    assert sorted(np.concatenate([held for _, held in splits])) == list(range(60))
    for learn, held in splits:
        assert sorted([*learn, *held]) == list(range(60))


@pytest.mark.parametrize("n_folds", [1, 2, 5])
@pytest.mark.parametrize("classes", [True, False])
def test_rows_of_one_group_are_never_on_both_sides(n_folds, classes):
    group = RNG.integers(0, 9, 60)
    for learn, held in split(n_folds, group=group, classes=classes):
        assert len(held) > 0
        assert not set(group[learn]) & set(group[held])


def test_folds_hold_out_each_class_alike():
    y = np.repeat([0, 1], [45, 15])
    for _, held in split(5, y):
        assert np.bincount(y[held]).tolist() == [9, 3]
    ((_, held),) = split(1, y)
    assert np.bincount(y[held]).tolist() == [9, 3]


def test_class_of_one_row_or_few_groups_is_allowed_for():
    y = np.where(np.arange(60) == 7, 2, Y)
    assert len(split(5, y)) == 5
    assert len(split(1, y)) == 1
    group = np.arange(60) // 30
    assert len(split(5, np.arange(60) // 30, group)) == 2


def test_seed_decides_the_folds():
    one, two, other = (split(3, seed=seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(one, two, strict=True))
    assert not all(np.array_equal(a[1], b[1]) for a, b in zip(one, other, strict=True))


def test_handful_of_rows_is_split_as_far_as_it_goes():
    assert len(split(5, Y[:3], n_held=1)) == 1
    assert len(split(5, Y[:4], n_held=1)) == 2


def test_folds_of_labels_have_frequent_combinations_alike():
    y = np.repeat([[0, 0], [0, 1], [1, 1]], [30, 18, 12], axis=0).astype(float)
    splits = split_rows(y, 3, n_held=12, seed=0, link=Sigmoid())
    for _, held in splits:
        found = np.unique(y[held], axis=0, return_counts=True)[1]
        assert found.tolist() == [10, 6, 4]
