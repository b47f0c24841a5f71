"""Keys of rows: what counts as the same content."""

import copy
import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image
from scipy import sparse

from skfusion._row_keys import row_keys
from skfusion.batch import Block, ModalityBatch
from skfusion.modalities import VectorModality

FRAME = pd.DataFrame({"n": [1.0, 2.0, np.nan], "t": ["a", "b", None]})


def same(one, two):
    return (row_keys(one) == row_keys(two)).all(axis=1).tolist()


@pytest.mark.parametrize(
    "other",
    [
        FRAME.astype({"n": np.float32}),
        FRAME.set_axis(["x", "y", "z"]),
        FRAME.assign(t=np.array(["a", "b", np.nan], dtype=object)),
        FRAME.assign(t=FRAME["t"].astype("category")),
        FRAME.assign(t=["a", "b", pd.NA]),
        pl.DataFrame({"n": [1.0, 2.0, None], "t": ["a", "b", None]}),
    ],
    ids=["float32", "row labels", "nan in text", "category", "NA", "polars"],
)
def test_form_in_which_content_comes_does_not_matter(other):
    assert same(FRAME, other) == [True] * 3


def test_integers_are_the_numbers_that_they_are():
    assert same(np.array([[1, 0], [2, 3]]), np.array([[1.0, -0.0], [2.0, 3.0]])) == [
        True,
        True,
    ]


def test_sparse_rows_do_not_depend_on_how_they_are_stored():
    dense = np.array([[0.0, 1.0, 0.0], [2.0, 0.0, 3.0]])
    one, two = sparse.csr_matrix(dense), sparse.csc_matrix(dense)
    padded = sparse.csr_matrix(
        (np.array([0.0, 1.0, 2.0, 3.0]), np.array([0, 1, 0, 2]), np.array([0, 2, 4]))
    )
    assert same(one, two) == same(one, padded) == [True, True]


def cells(*values):
    out = np.empty(len(values), dtype=object)
    out[:] = [None] * len(values)
    for i, value in enumerate(values):
        out[i] = value
    return pd.DataFrame({"c": out})


A = np.arange(6.0).reshape(2, 3)
PICTURE = Image.fromarray(np.full((4, 5, 3), 7, np.uint8))


@pytest.mark.parametrize(
    "one, other",
    [
        (A, A.T),
        (A, A + 1e-12),
        (A.astype(np.uint8), (A + 1).astype(np.uint8)),
        ("a", "b"),
        ("1", 1.0),
        (b"a", "a"),
        ((A, 8000), (A, 16000)),
        ([1.0, 2.0], [2.0, 1.0]),
        (PICTURE, PICTURE.resize((5, 5))),
        (dt.date(2020, 1, 2), dt.date(2020, 1, 3)),
        (np.array(["a", "b"], object), np.array(["a", "c"], object)),
        (None, 0.0),
        (None, np.inf),
        (10**400, 10**401),
        ("", None),
    ],
    ids=lambda cell: type(cell).__name__,
)
def test_cells_of_other_content_have_other_keys(one, other):
    frame = cells(one, copy.deepcopy(one), other)
    keys = row_keys(frame)
    assert np.array_equal(keys[0], keys[1])
    assert not np.array_equal(keys[0], keys[2])


def test_every_absence_is_the_same():
    keys = row_keys(cells(None, np.nan, pd.NA, pd.NaT, float("nan")))
    assert len(np.unique(keys, axis=0)) == 1


def test_what_stands_in_which_column_matters():
    frame = pd.DataFrame({"a": ["x", "y"], "b": ["y", "x"]})
    keys = row_keys(frame)
    assert not np.array_equal(keys[0], keys[1])
    assert len(np.unique(row_keys(np.array([[0.0, 1.0], [1.0, 0.0]])), axis=0)) == 2


@pytest.mark.parametrize("is_sparse", [False, True])
def test_content_behind_an_absence_mask_is_no_part_of_a_key(is_sparse):
    x = np.ones((4, 2), np.float32)
    x[2:] = [[3, 4], [5, 6]]
    present = np.array([True, True, False, False])
    block = Block({"x": sparse.csr_matrix(x) if is_sparse else x}, present)
    keys = row_keys(ModalityBatch({"v": block}, {"v": VectorModality()}))
    assert np.array_equal(keys[0], keys[1])
    assert np.array_equal(keys[2], keys[3])
    assert not np.array_equal(keys[0], keys[2])
    assert (x[2:] > 0).all()
