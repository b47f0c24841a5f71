"""TF-IDF of texts, each column by itself: what linear models read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skfusion.batch import Block
from skfusion.modalities.text.reading import N_BUCKETS, Tokens, hash_char_ngrams
from skfusion.modalities.text.vocabulary import Vocabulary, narrow, row_counts

__all__ = ["TextFeatures"]

#: Texts of fewer words on average are also described by their character n-grams.
SHORT = 32


class CellTerms(NamedTuple):
    """The terms that count in each column, and how much.

    The same word says one thing among benefits and another among side effects, so each
    column has terms of its own, and each cell (row * n_columns + column) a norm of 1.

    **Shape**: keys (n,), ascending, column * n_terms + term, or None where every term
    of the only column counts; idf (n,).
    """

    n_columns: int
    n_terms: int
    keys: NDArray[Any] | None
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
        groups: NDArray[np.intp] | None,
    ) -> CellTerms:
        """Keep what occurs in `min_df` cells of a column; one entry an occurrence."""
        keys, ids = np.unique((cell % n_columns) * n_terms + term, return_inverse=True)
        of_cell = None if groups is None else np.repeat(groups, n_columns)
        counts = row_counts(cell, ids, len(keys), of_cell)
        kept = counts >= min_df
        idf = (np.log((1 + n_rows) / (1 + counts[kept])) + 1).astype(np.float32)
        every = n_columns == 1 and len(idf) == n_terms
        return cls(n_columns, n_terms, None if every else narrow(keys[kept]), idf)

    def names(self, terms: Sequence[str], columns: Sequence[str]) -> list[str]:
        """The term that each feature is, behind the prefix of its column."""
        keys = np.arange(self.n_terms) if self.keys is None else self.keys
        column, term = np.divmod(keys, max(self.n_terms, 1))
        return [
            columns[c] + terms[t]
            for c, t in zip(column.tolist(), term.tolist(), strict=True)
        ]

    def find(
        self, cell: NDArray[np.int64], term: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_] | slice]:
        """Cell and feature of each term as one number, and which terms count."""
        n = len(self.idf)
        if self.keys is None:
            return cell * n + term, slice(None)
        if n == 0:
            return cell[:0], np.zeros(len(cell), dtype=bool)
        key = term
        if self.n_columns > 1:
            key = (cell % self.n_columns) * self.n_terms + term
        key = key.astype(self.keys.dtype)
        feature = np.searchsorted(self.keys, key).clip(max=n - 1)
        known = self.keys[feature] == key
        return cell[known] * n + feature[known], known

    def weigh(
        self, at: NDArray[np.int64], counts: NDArray[Any], n_cells: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Cell, feature and sublinear TF-IDF of distinct numbers from `find`.

        The norm of each cell is 1.
        """
        cell, feature = np.divmod(at, max(len(self.idf), 1))
        tfidf = (1 + np.log(counts.astype(np.float32))) * self.idf[feature]
        norm = np.sqrt(np.bincount(cell, tfidf**2, n_cells)).astype(np.float32)
        return cell, feature, tfidf / norm[cell]

    def tfidf(
        self, cell: NDArray[np.int64], term: NDArray[np.int64], n_rows: int
    ) -> sparse.csr_matrix:
        """TF-IDF of shape (n_rows, n_features): the cells of a row side by side."""
        at = np.sort(self.find(cell, term)[0])
        first = np.flatnonzero(np.diff(at, prepend=-1))
        counts = np.diff(first, append=len(at))
        cell, feature, tfidf = self.weigh(at[first], counts, n_rows * self.n_columns)
        ends = np.searchsorted(cell, np.arange(n_rows + 1) * self.n_columns)
        return sparse.csr_matrix(
            (tfidf, feature.astype(np.int32), ends.astype(np.int32)),
            shape=(n_rows, len(self.idf)),
        )

    def shares(
        self, cell: NDArray[np.int64], term: NDArray[np.int64], n_rows: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_] | slice]:
        """Feature of each occurrence that counts, and its even share of the TF-IDF."""
        found, known = self.find(cell, term)
        at, inverse, counts = np.unique(found, return_inverse=True, return_counts=True)
        _, feature, tfidf = self.weigh(at, counts, n_rows * self.n_columns)
        return feature[inverse], (tfidf / counts)[inverse], known


class Words(NamedTuple):
    """Words, row by row: of texts just split, or of a block.

    **Shape**: of one entry a word: row; cell, row * n_columns + column; token, row *
    n_tokens + position; ids, one array of the words and one of each length of n-grams
    that begin at them, 0 where unknown.
    """

    row: NDArray[np.int64]
    cell: NDArray[np.int64]
    token: NDArray[np.int64]
    ids: list[NDArray[np.int64]]


class Terms(NamedTuple):
    """Occurrences of terms, each in `length` words from `token` on; of one length."""

    cell: NDArray[np.int64]
    term: NDArray[np.int64]
    token: NDArray[np.int64]
    length: NDArray[np.int64]


class TextFeatures:
    """TF-IDF of words and n-grams and, of short texts, of character n-grams.

    Parameters
    ----------
    vocabulary : Vocabulary
    n_columns : int
        Columns of texts that are told apart.
    """

    def __init__(self, vocabulary: Vocabulary, n_columns: int) -> None:
        self.vocabulary, self.n_columns = vocabulary, n_columns

    def learn(
        self,
        tokens: Tokens,
        ids: list[NDArray[np.int64]],
        *,
        min_df: int,
        groups: NDArray[np.intp] | None = None,
    ) -> TextFeatures:
        """Choose what counts, column by column, from the training rows."""
        n_rows = int(tokens.present.sum())
        cell = tokens.row
        if tokens.column is not None:
            column = tokens.column.clip(max=self.n_columns - 1)
            cell = tokens.row * self.n_columns + column
        words = Words(tokens.row, cell, tokens.row, ids)
        terms = self._terms_of(words)
        learned: dict[str, Any] = {
            "n_rows": n_rows,
            "n_columns": self.n_columns,
            "groups": groups,
        }
        n_terms = sum(self.vocabulary.sizes)
        self.terms = CellTerms.learn(
            terms.cell, terms.term, n_terms=n_terms, min_df=min_df, **learned
        )
        self.char_terms: CellTerms | None = None
        if len(tokens.word) < SHORT * n_rows:
            hashed = hash_char_ngrams(tokens.distinct)[tokens.word]
            terms = _char_terms(words, hashed)
            self.char_terms = CellTerms.learn(
                terms.cell, terms.term, n_terms=N_BUCKETS, min_df=1, **learned
            )
        return self

    def matrix(self, block: Block) -> sparse.csr_matrix:
        """The features of shape (n_samples, n_features)."""
        parts = [
            known.tfidf(terms.cell, terms.term, len(block))
            for known, terms in self._parts(block)
        ]
        return parts[0] if len(parts) == 1 else sparse.hstack(parts, format="csr")

    def names(self, columns: Sequence[str]) -> list[str]:
        """Words and n-grams of each column, behind its prefix; buckets of the hashed.

        Parameters
        ----------
        columns : sequence of n_columns str
        """
        names = self.terms.names(self.vocabulary.terms, columns)
        if self.char_terms is not None:
            buckets = [f"char_ngrams{bucket}" for bucket in range(N_BUCKETS)]
            names += self.char_terms.names(buckets, columns)
        return names

    def linear_terms(self, block: Block, coef: NDArray[Any]) -> NDArray[np.float64]:
        """What each word adds to a linear model, (n_samples, n_tokens, n_outputs).

        The value of a term is shared evenly by its occurrences in the cell, that of an
        n-gram by its words, that of a character n-gram by the words that have it.
        """
        n, T = block.arrays["words"].shape
        token, feature, value, offset = [], [], [], 0
        for known, terms in self._parts(block):
            at, share, counting = known.shares(terms.cell, terms.term, n)
            first, length = terms.token[counting], terms.length[counting]
            token.append(np.repeat(first, length) + _within(length))
            feature.append(np.repeat(at + offset, length))
            value.append(np.repeat(share / length, length))
            offset += len(known.idf)
        shares = sparse.csr_matrix(
            (np.concatenate(value), (np.concatenate(token), np.concatenate(feature))),
            shape=(n * T, offset),
        )
        return np.asarray(shares @ coef, dtype=np.float64).reshape(n, T, -1)

    def _parts(self, block: Block) -> Iterator[tuple[CellTerms, Terms]]:
        """What counts, and what of it occurs: terms, then character n-grams."""
        there = block.arrays["words"] != 0
        if not block.present.all():
            there &= block.present[:, None]
        row, position = np.nonzero(there)
        cell = row
        if self.n_columns > 1:
            column = block.arrays["columns"][there].astype(np.int64) - 1
            cell = row * self.n_columns + column
        word = block.arrays["words"][there].astype(np.int64)
        ngrams = block.arrays["ngrams"][there].astype(np.int64)
        token = row * there.shape[1] + position
        words = Words(row, cell, token, [word, *ngrams.T])
        yield self.terms, self._terms_of(words)
        if self.char_terms is not None:
            hashed = np.where(
                (word > 0)[:, None],
                self.vocabulary.char_ngrams[word.clip(min=0)],
                block.arrays["unseen"][row, (-1 - word).clip(min=0)],
            )
            yield self.char_terms, _char_terms(words, hashed)

    def _terms_of(self, words: Words) -> Terms:
        """The known words and n-grams, numbered one after the other from 0."""
        at = [np.flatnonzero(ids > 0) for ids in words.ids]
        offsets = np.cumsum([-1, *self.vocabulary.sizes[:-1]])
        found = [i[a] + o for i, a, o in zip(words.ids, at, offsets, strict=True)]
        length = np.repeat(np.arange(1, 1 + len(at)), [len(a) for a in at])
        term, every = np.concatenate(found), np.concatenate(at)
        return Terms(words.cell[every], term, words.token[every], length)


def _char_terms(words: Words, hashed: NDArray[np.int16]) -> Terms:
    """The character n-grams (n_words, N_CHAR_NGRAMS) of words, padding left out."""
    known = hashed > 0
    n = known.sum(axis=1)
    token = np.repeat(words.token, n)
    term = hashed[known].astype(np.int64)
    return Terms(np.repeat(words.cell, n), term, token, np.ones_like(token))


def _within(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, ... of each of several runs, end to end."""
    total = int(lengths.sum())
    return np.arange(total) - np.repeat(lengths.cumsum() - lengths, lengths)
