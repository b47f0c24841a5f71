import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.model_selection import KFold, train_test_split
from sklearn.utils import indexable, resample

from skfusion.batch import Block, ModalityBatch, block_tensors, padded, row_chunks

N = 6


@pytest.fixture
def block():
    arrays = {
        "x": np.arange(N * 2, dtype=np.float32).reshape(N, 2),
        "codes": np.arange(N, dtype=np.int32)[:, None],
        "words": sparse.csr_matrix(np.eye(N, 4, dtype=np.float32)),
    }
    cells = np.array([f"row {i}" for i in range(N)], dtype=object)
    return Block(arrays, np.arange(N) % 3 != 2, cells)


@pytest.fixture
def batch(block):
    other = Block({"x": np.ones((N, 3, 2), np.uint8)}, np.ones(N, dtype=bool))
    return ModalityBatch(
        {"first": block, "second": other}, {"first": None, "second": None}
    )


INDEXES = [
    np.array([4, 0, 0]),
    [1, 2],
    np.arange(N) > 3,
    slice(1, 4),
    slice(None, None, -2),
    (np.array([2, 1]), Ellipsis),
    (np.array([2, 1]), slice(None)),
    3,
    -1,
    np.int64(-N),
    np.array([], dtype=int),
]


@pytest.mark.parametrize("index", INDEXES, ids=repr)
def test_every_part_of_a_block_is_indexed_alike(block, index):
    rows = np.arange(N)[index[0] if isinstance(index, tuple) else index]
    rows = np.atleast_1d(rows)
    chosen = block[index]
    assert len(chosen) == len(rows)
    np.testing.assert_array_equal(chosen.arrays["x"][:, 0], 2 * rows)
    np.testing.assert_array_equal(chosen.arrays["codes"][:, 0], rows)
    np.testing.assert_array_equal(chosen.arrays["words"].toarray(), np.eye(N, 4)[rows])
    np.testing.assert_array_equal(chosen.present, rows % 3 != 2)
    assert list(chosen.cells) == [f"row {i}" for i in rows]


def test_indexing_keeps_dtypes_and_sparsity(block):
    chosen = block[np.array([5, 1])]
    assert {k: a.dtype for k, a in chosen.arrays.items()} == {
        k: a.dtype for k, a in block.arrays.items()
    }
    assert sparse.issparse(chosen.arrays["words"])


@pytest.mark.parametrize(
    "index", [(0, 1), (slice(None), 0), (0, slice(None), 0)], ids=repr
)
def test_columns_cannot_be_indexed(block, index):
    with pytest.raises(IndexError, match="Only rows can be indexed"):
        block[index]


def test_block_refuses_arrays_of_another_length():
    with pytest.raises(ValueError, match=r"'x' .* has 3 rows, but `present` has 2"):
        Block({"x": np.ones((3, 2))}, np.ones(2, dtype=bool))


def test_block_is_not_changed_through_the_dict_it_was_made_from():
    arrays = {"x": np.ones((2, 2))}
    block = Block(arrays, np.ones(2, dtype=bool))
    arrays["y"] = np.ones((5, 1))
    assert list(block.arrays) == ["x"]


class Doubled:
    """Stands for a modality whose features are sparse."""

    def features(self, block):
        return sparse.csr_matrix(2 * block.arrays["x"])


def test_block_is_the_matrix_of_its_modality_s_features(block):
    block.modality = Doubled()
    for part, rows in ((block, np.arange(N)), (block[[3, 1]], [3, 1]), (block[:0], [])):
        matrix = np.asarray(part)
        assert part.ndim == matrix.ndim == 2
        assert part.shape == matrix.shape == (len(rows), 2)
        assert matrix.dtype == np.float32
        np.testing.assert_array_equal(matrix, 2 * block.arrays["x"][rows])
    assert np.asarray(block, dtype=np.float64).dtype == np.float64
    assert [row.cells[0] for row in block] == [f"row {i}" for i in range(N)]
    np.testing.assert_array_equal(pd.DataFrame(block), np.asarray(block))


def test_block_that_no_modality_made_is_no_matrix(block):
    with pytest.raises(TypeError, match="only where a modality made it"):
        np.asarray(block)


def test_nbytes_counts_dense_and_sparse(block):
    words = block.arrays["words"]
    expected = N * 2 * 4 + N * 4
    expected += words.data.nbytes + words.indices.nbytes + words.indptr.nbytes
    assert block.nbytes == expected


def test_repr_shows_shapes_and_how_many_rows_are_present(block, batch):
    assert "x: float32(6, 2)" in repr(block)
    assert "4 of 6 rows present" in repr(block)
    assert "first: Block" in repr(batch)


def test_batch_knows_names_and_presence(batch):
    assert batch.names == ("first", "second")
    assert batch.shape == (N, 2)
    assert len(batch) == N
    np.testing.assert_array_equal(batch.present[:, 0], np.arange(N) % 3 != 2)
    assert batch.present[:, 1].all()


def test_batch_refuses_names_in_another_order(block):
    with pytest.raises(ValueError, match="same names in the same order"):
        ModalityBatch({"a": block, "b": block}, {"b": None, "a": None})


def test_batch_refuses_modalities_of_unequal_length(block):
    with pytest.raises(ValueError, match=r"'a': 6.*'b': 2"):
        ModalityBatch({"a": block, "b": block[:2]}, {"a": None, "b": None})


def test_batch_of_nothing_has_no_rows():
    assert len(ModalityBatch({}, {})) == 0


def test_iterating_gives_batches_of_one_row(batch):
    rows = list(batch)
    assert [len(row) for row in rows] == [1] * N
    assert [row.blocks["first"].cells[0] for row in rows] == [
        f"row {i}" for i in range(N)
    ]


def test_indexing_keeps_the_modalities(block):
    modality = object()
    batch = ModalityBatch({"a": block}, {"a": modality})
    assert batch[1:3].modalities["a"] is modality


def test_splitters_of_scikit_learn_slice_a_batch(batch):
    y = np.arange(N)
    learn, watch, y_learn, y_watch = train_test_split(batch, y, random_state=0)
    for part, labels in ((learn, y_learn), (watch, y_watch)):
        assert isinstance(part, ModalityBatch)
        assert list(part.blocks["first"].cells) == [f"row {i}" for i in labels]
    assert indexable(batch, y)[0] is batch
    folds = [test for _, test in KFold(3).split(batch)]
    assert sorted(np.concatenate(folds)) == list(range(N))
    assert len(resample(batch, n_samples=4, random_state=0)) == 4


def test_batch_survives_pickling(batch):
    again = pickle.loads(pickle.dumps(batch))
    for key, array in batch.blocks["first"].arrays.items():
        assert not (again.blocks["first"].arrays[key] != array).sum()
    assert again.names == batch.names


# ---------------------------------------------------------------- unequal lengths


@pytest.fixture
def unequal():
    """Rows of two columns that hold 0 to 11 steps of 3 values."""
    frames = np.empty((N, 2), dtype=object)
    for i in range(N):
        for k in range(2):
            frames[i, k] = np.full((2 * i + k, 3), i + 1, dtype=np.uint8)
    return Block({"frames": frames}, np.ones(N, dtype=bool))


def test_arrays_of_unequal_length_are_padded_to_the_longest_of_the_rows(unequal):
    tensor = block_tensors(unequal, np.array([1, 2]))["frames"]
    assert tensor.shape == (2, 2, 5, 3)
    assert tensor[0, 0, :, 0].tolist() == [2, 2, 0, 0, 0]
    assert tensor[1, 1, :, 0].tolist() == [3, 3, 3, 3, 3]
    assert unequal.nbytes == N * 2 * 8 + sum(
        3 * (2 * i + k) for i in range(N) for k in (0, 1)
    )
    assert len(unequal[2:4]) == 2
    assert padded(unequal.arrays["frames"][:1]).shape == (1, 2, 1, 3)


def test_chunks_hold_no_more_than_can_be_padded(unequal, monkeypatch):
    rows = np.arange(N)
    assert [len(c) for c in row_chunks([unequal], rows, 4)] == [4, 2]
    assert list(row_chunks([unequal], rows[:0], 4)) == []
    monkeypatch.setattr("skfusion.batch.PADDED", 2 * 2 * 11 * 3)  # two of the longest
    chunks = list(row_chunks([unequal], rows, 4))
    np.testing.assert_array_equal(np.concatenate(chunks), rows)
    for chunk in chunks[:-1]:
        steps = 2 * max(int(i) for i in chunk) + 1
        assert len(chunk) == 1 or len(chunk) * steps * 2 * 3 <= 2 * 2 * 11 * 3
    assert len(chunks) > 2
