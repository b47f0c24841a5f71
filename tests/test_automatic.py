"""What "auto" stands for."""

import pytest

from skfusion.automatic import (
    automatic_batch_size,
    automatic_corruption,
    automatic_epochs,
    automatic_folds,
    automatic_members,
)


@pytest.mark.parametrize(
    ("n", "costs", "expected"),
    [
        (300, [0, 0], 5),
        (300, [0, 1], 5),
        (300, [0, 2], 3),
        (3000, [0, 0], 3),
        (3000, [0, 1], 1),
        (3000, [2, 0], 1),
        (4000, [0, 0], 1),
    ],
)
def test_fewer_networks_where_rows_are_many_or_passes_cost_much(n, costs, expected):
    assert automatic_folds(n, costs) == expected


def test_one_network_has_more_members_unless_rows_are_very_many():
    assert automatic_members(5000, 1) == 4
    assert automatic_members(5000, 3) == automatic_members(20_000, 1) == 2


def test_batches_grow_and_few_rows_are_disturbed_less():
    assert automatic_batch_size(9_999) < automatic_batch_size(10_000)
    assert automatic_corruption(499).p_drop < automatic_corruption(500).p_drop


def epochs(n, passes, costs=(0, 0), steps=0):
    return automatic_epochs(n, 128, passes=passes, costs=costs, steps=steps)


def test_epochs_are_those_of_the_branch_that_learns_longest():
    assert epochs(3000, [3, 25]) == 25
    assert epochs(3000, [3, None]) == 50
    assert epochs(1_000_000, [3, None]) == 8


def test_small_tables_are_given_enough_steps():
    assert epochs(300, [3, 3]) * 300 / 128 >= 70


def test_the_costly_branch_ends_what_a_cheap_one_would_go_on_with():
    assert epochs(3000, [25, None], costs=[2, 0]) == 25
    assert epochs(3000, [25, None], costs=[1, 0]) == 50


def test_a_rule_that_needs_steps_is_given_them_up_to_a_hundred_epochs():
    assert epochs(3000, [3, 25], steps=1500) == 64
    assert epochs(300, [3, 25], steps=1500) == 100
