"""TF-IDF of terms, each column of texts by itself: what linear models read."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skfusion.modalities.text.reading import row_counts

__all__ = ["CellTerms", "of_pieces"]


class CellTerms(NamedTuple):
    """The terms that count in each column, and how much.

    The same word says one thing among benefits and another among side effects, so each
    column has terms of its own, and each cell (row * n_columns + column) a norm of 1.

    **Shape**: keys (n,), ascending, column * n_terms + term; idf (n,).
    """

    n_columns: int
    n_terms: int
    keys: NDArray[np.int64]
    idf: NDArray[np.float32]

    @classmethod
    def learn(
        cls,
        cell: NDArray[np.int64],
        term: NDArray[np.int64],
        *,
        n_rows: int,
        n_columns: int,
        n_terms: int,
        min_df: int,
    ) -> CellTerms:
        """Keep what occurs in `min_df` cells of a column; one entry an occurrence."""
        keys, ids = np.unique((cell % n_columns) * n_terms + term, return_inverse=True)
        counts = row_counts(cell, ids, len(keys))
        kept = counts >= min_df
        idf = np.log((1 + n_rows) / (1 + counts[kept])) + 1
        return cls(n_columns, n_terms, keys[kept], idf.astype(np.float32))

    def tfidf(
        self, cell: NDArray[np.int64], term: NDArray[np.int64], n_rows: int
    ) -> sparse.csr_matrix:
        """Sublinear TF-IDF of shape (n_rows, n): the cells of a row side by side."""
        key = (cell % self.n_columns) * self.n_terms + term
        column = np.searchsorted(self.keys, key)
        known = np.append(self.keys, -1)[column] == key
        ones = np.ones(int(known.sum()), dtype=np.float32)
        matrix = sparse.csr_matrix(
            (ones, (cell[known], column[known])),
            shape=(n_rows * self.n_columns, len(self.keys)),
        )
        matrix.sum_duplicates()
        data = (1 + np.log(matrix.data)) * self.idf[matrix.indices]
        # Unlike scikit-learn's normalize, this is defined without any column, too.
        norm = np.sqrt(np.bincount(_rows(matrix), data**2, matrix.shape[0]))
        data /= np.repeat(norm.astype(np.float32), np.diff(matrix.indptr))
        # The columns of a cell follow those of the cell before it.
        ends = matrix.indptr[:: self.n_columns]
        shape = n_rows, len(self.keys)
        return sparse.csr_matrix((data, matrix.indices, ends), shape=shape)


def _rows(matrix: Any) -> NDArray[np.int64]:
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def of_pieces(
    cell: NDArray[np.int64], pieces: NDArray[np.int16]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cell and number of each piece of each word, padding left out."""
    known = pieces > 0
    return np.repeat(cell, known.sum(axis=1)), pieces[known].astype(np.int64)
