"""What "auto" stands for, at the borders where it changes."""

import itertools

import pytest

from skfusion._defaults import (
    MIN_ROWS,
    automatic_batch_size,
    automatic_corruption,
    automatic_draws,
    automatic_epochs,
    automatic_folds,
    has_joint_part,
    linear_strengths,
    reduced_width,
    tree_width,
)

SIZES = [1, 10, 39, 40, 100, 399, 400, 499, 500, 999, 1000, 3999, 4000, 10_000, 10**6]


def test_nothing_is_held_out_of_a_handful_of_rows():
    for slow in (False, True):
        assert automatic_folds(MIN_ROWS - 1, slow=slow) == 0
        assert automatic_folds(MIN_ROWS, slow=slow) > 1


def test_fewer_networks_where_rows_are_many_or_epochs_cost_much():
    for slow in (False, True):
        found = [automatic_folds(n, slow=slow) for n in SIZES if n >= MIN_ROWS]
        assert found == sorted(found, reverse=True)
        assert found[-1] == 1
    for n in SIZES:
        assert automatic_folds(n, slow=True) <= automatic_folds(n, slow=False)


def test_batches_grow_with_the_rows_and_few_rows_are_corrupted_less():
    for one, two in itertools.pairwise(SIZES):
        assert automatic_batch_size(one) <= automatic_batch_size(two)
        few, many = automatic_corruption(one), automatic_corruption(two)
        assert few.p_drop <= many.p_drop
        assert few.p_corrupt <= many.p_corrupt
        assert automatic_draws(one) >= automatic_draws(two) >= 1


def test_joint_part_needs_rows_and_something_to_join():
    assert not has_joint_part(10**6, 1)
    found = [has_joint_part(n, 2) for n in SIZES]
    assert found == sorted(found)
    assert found[-1]


def epochs(n, wanted=(None,), min_steps=0, batch_size=128):
    return automatic_epochs(n, batch_size, wanted=wanted, min_steps=min_steps)


def test_epochs_become_fewer_as_rows_become_more_but_never_none():
    found = [epochs(n) for n in SIZES]
    assert found == sorted(found, reverse=True)
    assert min(found) >= 1
    assert max(found) <= 100


def test_training_ends_with_the_modality_that_learns_longest():
    n = 3000
    assert epochs(n, [3, 10]) == epochs(n, [10]) == epochs(n, [10, 3])
    assert epochs(n, [3, None]) == epochs(n, [None]) > epochs(n, [3])
    assert epochs(n, [10_000]) == epochs(n, [None])


def test_small_tables_and_rules_that_ask_for_them_are_given_steps():
    assert epochs(300, [3, 3]) * 300 / 128 >= epochs(3000, [3, 3])
    assert epochs(3000, [3], min_steps=1500) * 3000 / 128 >= 1500
    assert epochs(50, [3], min_steps=10**6) <= 100


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize("is_classification", [False, True])
def test_linear_models_go_from_weak_fits_to_strong_ones(is_sparse, is_classification):
    for n in (100, 10**5):
        found = linear_strengths((n, 50), is_sparse, is_classification)
        assert len(found) >= 2
        # C is the inverse of a penalty, alpha is one.
        assert list(found) == sorted(found, reverse=not is_classification)


def test_features_are_reduced_only_where_a_linear_model_would_be_slow():
    assert reduced_width(500, 50, 2) is None
    width = reduced_width(50_000, 2000, 10)
    assert width is not None
    assert 1 <= width < 2000


def test_trees_read_half_as_many_features_as_there_are_rows_and_a_hundred():
    assert [tree_width(n) for n in (20, 200, 400, 600, 50_000)] == [
        100,
        100,
        200,
        300,
        300,
    ]
