"""What travels between the modalities and the network: blocks of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

__all__ = ["Block", "ModalityBatch", "block_tensors", "padded", "row_chunks"]

#: Bytes that arrays of unequal length may take when they are padded side by side.
PADDED = 2**26


class Block:
    """The rows of one modality, cleaned, and ready for its encoder.

    It has `len`, `shape` and row indexing. ``np.asarray(block)`` is the matrix of the
    features of the modality that made it.

    Parameters
    ----------
    arrays : dict of str to ndarray or CSR matrix, each of shape (n_samples, ...)
        What the encoder reads. Dense arrays are float32, uint8 or integer, as the
        modality chose to store them; sparse ones are CSR and float32. The elements of
        one of dtype object are arrays that differ in their first axis, which is padded
        by zeros for the rows of a batch.
    present : ndarray of shape (n_samples,), bool
        False where the modality is absent in this row. What the arrays hold in such
        a row is never read.
    cells : ndarray of shape (n_samples,) and dtype object, optional
        References to what a person would call the content of the row (the cleaned
        text, say), kept only where elements cannot be named without it.

    Attributes
    ----------
    modality : Modality or None
        The fitted modality that made the block.
    """

    #: What other estimators read is a matrix.
    ndim = 2

    def __init__(
        self,
        arrays: Mapping[str, Any],
        present: NDArray[np.bool_],
        cells: NDArray[np.object_] | None = None,
    ) -> None:
        self.arrays = dict(arrays)
        self.present = np.asarray(present, dtype=bool)
        self.cells = cells
        self.modality: Any = None
        for key, array in self.arrays.items():
            if array.shape[0] != len(self.present):
                raise ValueError(
                    f"Array {key!r} of the block has {array.shape[0]} rows, but "
                    f"`present` has {len(self.present)}."
                )

    def __len__(self) -> int:
        return len(self.present)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_samples, n_features)."""
        return len(self), self[:1]._features().shape[1]

    def __iter__(self) -> Iterator[Block]:
        return (self[i : i + 1] for i in range(len(self)))

    def __getitem__(self, rows: Any) -> Block:
        rows = _row_index(rows)
        chosen = Block(
            {key: array[rows] for key, array in self.arrays.items()},
            self.present[rows],
            None if self.cells is None else self.cells[rows],
        )
        chosen.modality = self.modality
        return chosen

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """What the modality describes each row by, (n_samples, n_features), dense."""
        x = self._features()
        dense = x.toarray() if sparse.issparse(x) else x
        return dense.astype(dtype or np.float32, copy=bool(copy))

    def _features(self) -> Any:
        if self.modality is None:
            raise TypeError(
                "A block is a matrix of features only where a modality made it."
            )
        return self.modality.features(self)

    @property
    def nbytes(self) -> int:
        """Bytes held by the arrays."""
        return sum(
            a.data.nbytes + a.indices.nbytes + a.indptr.nbytes
            if sparse.issparse(a)
            else a.nbytes + sum(x.nbytes for x in a.flat if a.dtype == object)
            for a in self.arrays.values()
        )

    def __repr__(self) -> str:
        parts = ", ".join(f"{k}: {a.dtype}{a.shape}" for k, a in self.arrays.items())
        return f"Block({parts}; {int(self.present.sum())} of {len(self)} rows present)"


class ModalityBatch:
    """Rows of several modalities: what `ModalityTransformer.transform` returns.

    It has `len`, `shape` and row indexing, so that scikit-learn's splitters can slice
    it, and it carries the fitted modalities, which know how to build their encoders.
    ``np.asarray(batch)`` is the matrix of their features.

    Parameters
    ----------
    blocks : dict of str to Block
        One block a modality, in the order given by the user.
    modalities : dict of str to Modality
        The fitted modalities, under the same names.

    Examples
    --------
    >>> import numpy as np
    >>> from skfusion.batch import Block, ModalityBatch
    >>> from skfusion.modalities import TabularModality
    >>> block = Block({"x": np.ones((3, 2), np.float32)}, np.array([True, True, False]))
    >>> batch = ModalityBatch({"facts": block}, {"facts": TabularModality()})
    >>> batch.shape
    (3, 1)
    >>> batch[1:].present
    array([[ True],
           [False]])
    """

    #: What other estimators read is a matrix.
    ndim = 2

    def __init__(
        self, blocks: Mapping[str, Block], modalities: Mapping[str, Any]
    ) -> None:
        if list(blocks) != list(modalities):
            raise ValueError(
                f"The blocks {list(blocks)} and the modalities {list(modalities)} must "
                "have the same names in the same order."
            )
        if len({len(block) for block in blocks.values()}) > 1:
            raise ValueError(
                "Every modality must have the same number of rows, but they have "
                f"{ {name: len(block) for name, block in blocks.items()} }."
            )
        self.blocks = dict(blocks)
        self.modalities = dict(modalities)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the modalities, in order."""
        return tuple(self.blocks)

    def in_order(self, names: Sequence[str]) -> ModalityBatch:
        """The same rows with these of their modalities, in this order."""
        return ModalityBatch(
            {name: self.blocks[name] for name in names},
            {name: self.modalities[name] for name in names},
        )

    @property
    def present(self) -> NDArray[np.bool_]:
        """Mask of shape (n_samples, n_modalities), True where a modality is there."""
        return np.stack([block.present for block in self.blocks.values()], axis=1)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_samples, n_modalities)."""
        return len(self), len(self.blocks)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """What the modalities describe each row by, (n_samples, n_features), dense.

        So a `ModalityTransformer` can stand before other estimators, and in a
        `FeatureUnion` or a `ColumnTransformer`.
        """
        parts = [self.modalities[name].features(b) for name, b in self.blocks.items()]
        dense = [x.toarray() if sparse.issparse(x) else x for x in parts]
        return np.concatenate(dense, axis=1).astype(dtype or np.float32, copy=False)

    def __len__(self) -> int:
        return len(next(iter(self.blocks.values()))) if self.blocks else 0

    def __iter__(self) -> Iterator[ModalityBatch]:
        return (self[i : i + 1] for i in range(len(self)))

    def __getitem__(self, rows: Any) -> ModalityBatch:
        rows = _row_index(rows)
        return ModalityBatch(
            {name: block[rows] for name, block in self.blocks.items()}, self.modalities
        )

    def __repr__(self) -> str:
        inner = "".join(f"\n  {name}: {b!r}" for name, b in self.blocks.items())
        return f"ModalityBatch of {len(self)} rows{inner}"


def block_tensors(block: Block, rows: NDArray[np.intp]) -> dict[str, Tensor]:
    """Copy some rows of a block into torch tensors, sparse ones as COO."""
    return {key: _to_tensor(array[rows]) for key, array in block.arrays.items()}


def _to_tensor(array: Any) -> Tensor:
    if sparse.issparse(array):
        coo = array.tocoo()
        index = torch.from_numpy(np.stack([coo.row, coo.col]).astype(np.int64))
        value = torch.from_numpy(coo.data.copy())
        return torch.sparse_coo_tensor(
            index, value, coo.shape, is_coalesced=True, check_invariants=False
        )
    return torch.from_numpy(padded(array))  # a copy: rows are picked by index


def _full_shape(array: Any) -> tuple[int, ...]:
    """Shape of an array; one of arrays is as long as the longest of them."""
    if array.dtype != object:
        return tuple(array.shape)
    inner = max((x.shape for x in array.flat), default=(0,))
    return *array.shape, max(inner[0], 1), *inner[1:]


def padded(array: Any) -> NDArray[Any]:
    """An array of arrays as one, zeros behind the end of each; any other as it is."""
    if array.dtype != object:
        return np.asarray(array)
    dtype = array.flat[0].dtype if array.size else np.float32
    out = np.zeros(_full_shape(array), dtype)
    for i in np.ndindex(array.shape):
        out[i][: len(array[i])] = array[i]
    return out


def row_chunks(
    blocks: Sequence[Block], rows: NDArray[np.intp], most: int
) -> Iterator[NDArray[np.intp]]:
    """Successive rows: at most `most`, and no more than memory is kept for.

    What counts is what arrays of unequal length take when they are padded to the
    longest of the chunk.
    """
    bytes_of = np.zeros(len(rows))
    for array in (a for block in blocks for a in block.arrays.values()):
        if array.dtype == object:
            sizes = [[x.nbytes for x in row.flat] for row in array[rows]]
            bytes_of += np.array([max(row) * len(row) for row in sizes])
    start, largest = 0, 0.0
    for i, size in enumerate(bytes_of.tolist()):
        largest = max(largest, size)
        if i > start and (i - start == most or (i - start + 1) * largest > PADDED):
            yield rows[start:i]
            start, largest = i, size
    if start < len(rows):
        yield rows[start:]


def _row_index(rows: Any) -> Any:
    """Reduce every index that scikit-learn uses to one that keeps the first axis."""
    if isinstance(rows, tuple):  # NumPy style, as in scikit-learn's `X[rows, ...]`
        if len(rows) != 2 or rows[1] not in (Ellipsis, slice(None)):
            raise IndexError(
                f"Only rows can be indexed, as in batch[rows]. Got {rows!r}."
            )
        rows = rows[0]
    if isinstance(rows, int | np.integer):
        rows = slice(rows, rows + 1 or None)
    return rows if isinstance(rows, slice) else np.asarray(rows)
