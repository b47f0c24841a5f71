"""Tables as matrices, for models that are not networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skfusion.batch import Block
from skfusion.modalities.tabular.encoder import grouping

__all__ = ["FIRST", "MAX_ONE_HOT", "MISSING", "UNKNOWN", "TableFeatures"]

#: Codes of the cells of a category column; the kept categories follow, most frequent
#: first.
MISSING, UNKNOWN, FIRST = 0, 1, 2
#: A category column with more categories than this is summarised by the most frequent
#: ones and by how frequent its value is.
MAX_ONE_HOT = 30
#: In a table of many categories each gets fewer, so that this width is about kept.
MAX_WIDTH = 2000


class TableFeatures(NamedTuple):
    """Scaled numbers, missing indicators, one-hot categories.

    numbers : list of (column, part of a date or "")
    may_miss : ndarray of bool, which numbers are missing in some training row
    categories : dict of column to its known categories
    counts : list of ndarray, training rows of each code of each category column
    max_tokens : int, as in `TabularModality`
    """

    numbers: list[tuple[Any, str]]
    may_miss: NDArray[np.bool_]
    categories: Mapping[Any, NDArray[np.object_]]
    counts: list[NDArray[np.int64]]
    max_tokens: int

    def matrix(self, block: Block) -> NDArray[np.float32]:
        """The features of a block, (n_samples, n_features)."""
        parts = [block.arrays["numbers"], block.arrays["missing"][:, self.may_miss]]
        for codes, counts in zip(block.arrays["codes"].T, self.counts, strict=True):
            n_hot = min(len(counts) - FIRST, self._most_one_hot)
            hot = codes[:, None] == np.arange(FIRST, FIRST + n_hot)
            parts.append(hot)
            if counts[MISSING]:
                parts.append(codes[:, None] == MISSING)
            if len(counts) - FIRST > n_hot:
                frequency = np.log1p(counts) / np.log1p(counts.max())
                parts.append(frequency[codes, None])
        matrix = np.concatenate(parts, axis=1, dtype=np.float32, casting="unsafe")
        if not matrix.shape[1]:
            return np.zeros((len(block), 1), dtype=np.float32)
        return matrix * block.present[:, None]

    def named(self, called: Mapping[Any, Any]) -> list[tuple[int, str]]:
        """The token and the name of each feature, in their order.

        Parameters
        ----------
        called : dict of column to what it is called
        """
        size, n_tokens = grouping(len(self.numbers), self.max_tokens)
        found = [
            (i // size, f"{called[column]}_{part}" if part else called[column])
            for i, (column, part) in enumerate(self.numbers)
        ]
        may_miss = np.flatnonzero(self.may_miss)
        found += [(found[i][0], f"missingindicator_{found[i][1]}") for i in may_miss]
        size, _ = grouping(len(self.counts), self.max_tokens)
        for i, (column, known) in enumerate(self.categories.items()):
            counts, name = self.counts[i], called[column]
            n_hot = min(len(known), self._most_one_hot)
            names = [f"{name}_{category}" for category in known[:n_hot]]
            names += [f"missingindicator_{name}"] * bool(counts[MISSING])
            names += [f"{name}_frequency"] * (len(known) > n_hot)
            found += [(n_tokens + i // size, feature) for feature in names]
        return found or [(0, "all")]

    def linear_terms(
        self,
        block: Block,
        coef: NDArray[Any],
        center: NDArray[Any],
        *,
        token: Sequence[int],
        n_tokens: int,
    ) -> NDArray[np.float64]:
        """Split a linear model among tokens, (n_samples, n_tokens, n_outputs).

        Parameters
        ----------
        token : sequence of int
            That of each feature.
        """
        n_outputs = coef.shape[1]
        # Row f of the matrix holds the coefficients of feature f, where its token is.
        at = np.asarray(token)[:, None] * n_outputs + np.arange(n_outputs)
        ends = np.arange(len(token) + 1) * n_outputs
        spread = sparse.csr_matrix(
            (coef.ravel(), at.ravel(), ends), shape=(len(token), n_tokens * n_outputs)
        )
        z = (self.matrix(block) - center) * block.present[:, None]
        return np.asarray(z @ spread).reshape(len(block), n_tokens, n_outputs)

    @property
    def _most_one_hot(self) -> int:
        """Categories a column that are one-hot."""
        return min(MAX_ONE_HOT, max(2, MAX_WIDTH // max(len(self.counts), 1)))
