"""Text: words, the n-grams that begin at them, and pieces of rare and unseen words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from skfusion._sklearn import Interval, StrOptions, fit_context
from skfusion.batch import Block
from skfusion.modalities.base import CellModality, is_absent
from skfusion.modalities.detection import sample_cells
from skfusion.modalities.text.encoder import RARE, TextEncoder
from skfusion.modalities.text.features import CellTerms, of_pieces
from skfusion.modalities.text.reading import (
    MAX_UNSEEN,
    N_BUCKETS,
    N_PIECES,
    SEPARATOR,
    Ngrams,
    Tokens,
    clean,
    hash_pieces,
    most_common,
    row_counts,
    split_words,
    tokenise,
)
from skfusion.network import Encoder

__all__ = ["TextModality"]

MAX_COLUMNS = 255  # that are told apart
_SHORT = 32  # texts of fewer words on average are also summarised by their pieces


class TextModality(CellModality):
    """Text in one or several columns, read as words in their order.

    Cells are `str`. They are cleaned (markup and entities, Unicode NFKC, white space),
    the texts of several columns are joined in order, and split into words, "!", "?" and
    emoji; each Han or Kana character is a word. The tokens are the words: the token of
    a word is its embedding, plus those of the n-grams which begin at it, plus that of
    its column where there are several. Words that are rare or were never seen in `fit`
    are read by their pieces, runs of 3 and 4 characters, so that a misspelt or a new
    word still says something. None, NaN and text of no visible character are absent.

    Parameters
    ----------
    max_tokens : int, default=256
        Words read of a row; what follows in a longer text is not. N-grams do not
        count, they are part of the word they begin with.
    min_df : int or "auto", default="auto"
        Words and n-grams that occur in fewer training rows are not in the vocabulary.
        "auto" is 2, and 3 from 10,000 training rows on.
    max_features : int, default=30_000
        At most this many words, and as many n-grams of each length, the most frequent.
    ngram_range : tuple (1, n), default=(1, 2)
        Longest n-grams to look for. None reaches over from one column to the next.
    lowercase : bool, default=True
        Whether "Good" and "good" are one word.
    strip_html : bool, default=True
        Remove tags, comments, scripts, and decode entities such as ``&amp;``.
    embedding_dim : int, default=64
        Width of the learned embeddings, before they are projected to `d_model`.
    token_dropout : float, default=0.4
        Share of the words of a long text that training hides at each step; short texts
        lose less, since each of their words counts.
    on_error : {"raise", "absent"}, default="raise"
        What to do with a cell that is no text: raise an error that names its row and
        column, or treat it as absent, with one warning.

    Attributes
    ----------
    vocabulary_ : dict of str to int
        The known words and their ids, from 1, the most frequent first.
    n_features_in_ : int
        Number of columns.

    Examples
    --------
    >>> from skfusion.modalities import TextModality
    >>> text = TextModality(min_df=1).fit(["Lovely dress!", "Not lovely", None])
    >>> text.vocabulary_
    {'lovely': 1, 'dress': 2, '!': 3, 'not': 4}
    >>> text.transform(["Lovely, lovely, but not a dress", ""])
    Block(words: int32(2, 6), ngrams: int32(2, 6, 1), unseen: int16(2, 2, 16);
          1 of 2 rows present)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **CellModality._parameter_constraints,
        "max_tokens": [Interval(Integral, 1, None, closed="left")],
        "min_df": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "max_features": [Interval(Integral, 1, None, closed="left")],
        "ngram_range": [tuple, list],
        "lowercase": ["boolean"],
        "strip_html": ["boolean"],
        "embedding_dim": [Interval(Integral, 1, None, closed="left")],
        "token_dropout": [Interval(Real, 0, 1, closed="left")],
    }
    short_name = "text"
    has_elements = True
    deletion_target = 3.0
    detection_rank = 50
    _cell_name = "text"
    _cell_formats = "a str"

    def __init__(
        self,
        *,
        max_tokens: int = 256,
        min_df: int | Literal["auto"] = "auto",
        max_features: int = 30_000,
        ngram_range: tuple[int, int] = (1, 2),
        lowercase: bool = True,
        strip_html: bool = True,
        embedding_dim: int = 64,
        token_dropout: float = 0.4,
        on_error: Literal["raise", "absent"] = "raise",
    ) -> None:
        self.max_tokens = max_tokens
        self.min_df = min_df
        self.max_features = max_features
        self.ngram_range = ngram_range
        self.lowercase = lowercase
        self.strip_html = strip_html
        self.embedding_dim = embedding_dim
        self.token_dropout = token_dropout
        self.on_error = on_error

    @classmethod
    def detect(cls, column: Any) -> bool:
        """Strings that rarely repeat and have several words."""
        cells = sample_cells(column, 1000)
        if not cells or not all(isinstance(c, str) for c in cells):
            return False
        unique = set(cells)
        words = sum(len(c.split()) for c in unique) / len(unique)
        return len(unique) > min(30, 0.5 * len(cells)) and words >= 2

    # ------------------------------------------------------------ fit, transform

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> TextModality:
        """Learn the vocabulary.

        Parameters
        ----------
        X : DataFrame, Series or array-like of n_samples rows of str
        y : ignored

        Returns
        -------
        self : TextModality

        Raises
        ------
        ValueError
            Where a cell is there and is no text, unless ``on_error="absent"``.
        """
        self._learn(self._read(X, reset=True))
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X: Any, y: Any = None) -> Block:
        """Learn the vocabulary and return the rows of `X`, split into words once.

        Parameters
        ----------
        X : DataFrame, Series or array-like of n_samples rows of str
        y : ignored

        Returns
        -------
        block : Block of n_samples rows
        """
        tokens = self._read(X, reset=True)
        self._learn(tokens)
        return self._to_block(tokens)

    def transform(self, X: Any) -> Block:
        """Clean the texts and split them into known words.

        Parameters
        ----------
        X : DataFrame, Series or array-like of n_samples rows of str

        Returns
        -------
        block : Block
            Arrays, padded by 0: "words" (n_samples, n_tokens), ids from 1, and -r for
            a word that is not in the vocabulary; its pieces are then row r - 1 of
            "unseen" (n_samples, n_unseen, 16); "ngrams" (n_samples, n_tokens, n - 1),
            ids of the n-grams that begin at the word; "columns" (n_samples, n_tokens)
            where there are several.
        """
        check_is_fitted(self)
        return self._to_block(self._read(X, reset=False))

    def _read(self, X: Any, *, reset: bool) -> Tokens:
        """Clean the cells, join the columns, and split them into words."""
        if reset and (
            len(self.ngram_range) != 2
            or self.ngram_range[0] != 1
            or not isinstance(self.ngram_range[1], Integral)
            or self.ngram_range[1] < 1
        ):
            raise ValueError(
                "The 'ngram_range' parameter of TextModality must be (1, n), since the "
                f"words are the elements that are weighed. Got {self.ngram_range!r}."
            )
        names, columns, labels = self._columns(X, reset=reset)
        failures: list[tuple[Any, str, Exception]] = []
        texts = [
            self._clean_column(column, name, labels, failures)
            for name, column in zip(names, columns, strict=True)
        ]
        self._unreadable(failures)
        cells = np.empty(len(labels), dtype=object)
        cells[:] = [SEPARATOR.join(parts) for parts in zip(*texts, strict=True)]
        return tokenise(cells, len(columns), self.max_tokens, self.lowercase)

    def _clean_column(
        self,
        column: Iterable[Any],
        name: str,
        labels: Sequence[Any],
        failures: list[tuple[Any, str, Exception]],
    ) -> list[str]:
        """Cleaned texts of a column, "" where absent; others go to `failures`."""
        texts = []
        for i, cell in enumerate(column):
            if isinstance(cell, str):
                texts.append(clean(cell, strip_html=self.strip_html))
                continue
            texts.append("")
            if not is_absent(cell):
                cause = f"it is of type {type(cell).__name__}, {cell!r:.40}."
                if isinstance(cell, bytes):
                    cause += " Decode bytes first: column.str.decode('utf-8')."
                failures.append((labels[i], name, TypeError(cause)))
        return texts

    def _learn(self, tokens: Tokens) -> None:
        """Choose the words, n-grams and idf weights from the training rows."""
        n = int(tokens.present.sum())
        min_df = self.min_df
        if min_df == "auto":
            min_df = 2 if n < 10_000 else 3
        counts = row_counts(tokens.row, tokens.word, len(tokens.distinct))
        kept = most_common(counts, min_df, self.max_features)
        self.vocabulary_ = {
            tokens.distinct[i]: rank for rank, i in enumerate(kept.tolist(), start=1)
        }
        self._word_counts = counts[kept]
        pieces = hash_pieces(tokens.distinct)
        self._word_pieces = np.zeros((len(kept) + 1, N_PIECES), dtype=np.int16)
        self._word_pieces[1:] = pieces[kept]

        self._ngrams: list[Ngrams] = []
        ngrams: list[NDArray[np.int64]] = []
        prefix = words = self._word_ids(tokens)
        for step in range(1, self.ngram_range[1]):
            keys = self._ngram_keys(tokens, prefix, words, step)
            at = keys > 0
            unique, ids = np.unique(keys[at], return_inverse=True)
            counts = row_counts(tokens.row[at], ids, len(unique))
            kept = most_common(counts, min_df, self.max_features)
            order = np.argsort(unique[kept])
            self._ngrams.append(Ngrams(unique[kept][order], order + 1, counts[kept]))
            prefix = self._ngrams[-1].find(keys)
            ngrams.append(prefix)
        self._learn_terms(tokens, words, ngrams, pieces, min_df)

    def _learn_terms(
        self,
        tokens: Tokens,
        words: NDArray[np.int64],
        ngrams: list[NDArray[np.int64]],
        pieces: NDArray[np.int16],
        min_df: int,
    ) -> None:
        """Choose what counts in the summary, column by column."""
        n_rows = int(tokens.present.sum())
        k = min(self.n_features_in_, MAX_COLUMNS)
        learn = partial(CellTerms.learn, n_rows=n_rows, n_columns=k)
        cell = tokens.row * k + tokens.column.clip(max=k - 1)
        n_terms = len(self.vocabulary_) + sum(len(g.counts) for g in self._ngrams)
        terms = self._terms_of(cell, words, ngrams)
        self._terms = learn(*terms, n_terms=n_terms, min_df=min_df)
        self._pieces: CellTerms | None = None
        if len(tokens.word) < _SHORT * n_rows:
            spread = of_pieces(cell, pieces[tokens.word])
            self._pieces = learn(*spread, n_terms=N_BUCKETS, min_df=1)

    def _word_ids(self, tokens: Tokens) -> NDArray[np.int64]:
        """Vocabulary ids of the words, 0 where unknown."""
        get = self.vocabulary_.get
        ids = np.array([get(word, 0) for word in tokens.distinct], dtype=np.int64)
        return ids[tokens.word]

    def _ngram_keys(
        self,
        tokens: Tokens,
        prefix: NDArray[np.int64],
        words: NDArray[np.int64],
        step: int,
    ) -> NDArray[np.int64]:
        """One number for each prefix with the word `step` further on in its text."""
        following = np.zeros_like(words)
        here, there = slice(None, -step), slice(step, None)
        same = tokens.row[here] == tokens.row[there]
        same &= tokens.column[here] == tokens.column[there]
        following[here] = np.where(same, words[there], 0)
        known = (prefix > 0) & (following > 0)
        return np.where(known, prefix * (len(self.vocabulary_) + 1) + following, 0)

    def _to_block(self, tokens: Tokens) -> Block:
        """Spread the words over padded arrays."""
        words = prefix = self._word_ids(tokens)
        shape = len(tokens.cells), int(tokens.position.max(initial=0)) + 1
        at = tokens.row, tokens.position
        arrays: dict[str, Any] = {
            "words": np.zeros(shape, dtype=np.int32),
            "ngrams": np.zeros((*shape, len(self._ngrams)), dtype=np.int32),
        }
        for step, ngrams in enumerate(self._ngrams, start=1):
            prefix = ngrams.find(self._ngram_keys(tokens, prefix, words, step))
            arrays["ngrams"][*at, step - 1] = prefix
        unseen = words == 0
        row = tokens.row[unseen]
        place = (np.arange(len(row)) - np.searchsorted(row, row)) % MAX_UNSEEN
        arrays["words"][at] = words
        arrays["words"][row, tokens.position[unseen]] = -1 - place
        which, inverse = np.unique(tokens.word[unseen], return_inverse=True)
        arrays["unseen"] = np.zeros(
            (shape[0], int(place.max(initial=0)) + 1, N_PIECES), dtype=np.int16
        )
        pieces = hash_pieces([tokens.distinct[i] for i in which])
        arrays["unseen"][row, place] = pieces[inverse]
        if self.n_features_in_ > 1:
            arrays["columns"] = np.zeros(shape, dtype=np.uint8)
            arrays["columns"][at] = np.minimum(tokens.column + 1, MAX_COLUMNS)
        return Block(arrays, tokens.present, tokens.cells)

    # ------------------------------------------------------------ what others read

    def build_encoder(self, d_model: int, dropout: float) -> Encoder:
        """Make the encoder: a sum of embeddings a word, projected to `d_model`."""
        check_is_fitted(self)
        common = int((self._word_counts >= RARE).sum())
        return TextEncoder(
            self._word_pieces,
            self._word_counts,
            n_words=common,
            n_ngrams=self._n_common_ngrams(),
            n_columns=min(self.n_features_in_, 255) if self.n_features_in_ > 1 else 0,
            width=self.embedding_dim,
            d_model=d_model,
            dropout=dropout,
            token_dropout=self.token_dropout,
        )

    def features(self, block: Block) -> sparse.csr_matrix:
        """TF-IDF of words and n-grams; of short texts, also of their pieces.

        Each column has words of its own: "headache" among the benefits of a drug is
        not what it is among the side effects.

        Returns
        -------
        features : CSR matrix of shape (n_samples, n_features), float32
            The words of a cell have norm 1, and so have its pieces, or 0 where nothing
            in the text is known.
        """
        check_is_fitted(self)
        n, words = len(block), block.arrays["words"]
        row, position = np.nonzero((words != 0) & block.present[:, None])
        cell = row
        if self.n_features_in_ > 1:
            column = block.arrays["columns"][row, position].astype(np.int64) - 1
            cell = row * min(self.n_features_in_, MAX_COLUMNS) + column
        word = words[row, position].astype(np.int64)
        ngrams = block.arrays["ngrams"][row, position].astype(np.int64).T
        tfidf = self._terms.tfidf(*self._terms_of(cell, word, list(ngrams)), n)
        if self._pieces is None:
            return tfidf
        pieces = np.where(
            (word > 0)[:, None],
            self._word_pieces[word.clip(min=0)],
            block.arrays["unseen"][row, (-1 - word).clip(min=0)],
        )
        pieces_tfidf = self._pieces.tfidf(*of_pieces(cell, pieces), n)
        return sparse.hstack([tfidf, pieces_tfidf], format="csr")

    def _n_common_ngrams(self) -> list[int]:
        """Of each order; the common ones come first."""
        return [int((g.counts >= RARE).sum()) for g in self._ngrams]

    def ood_score(self, block: Block) -> NDArray[np.float64] | None:
        """Minus the log of the share of words that begin a common n-gram."""
        check_is_fitted(self)
        if not self._ngrams:
            return None
        ngrams = block.arrays["ngrams"]
        common = (ngrams > 0) & (ngrams <= self._n_common_ngrams())
        n_words = (block.arrays["words"] != 0).sum(axis=1)
        return -np.log((common.any(axis=-1).sum(axis=1) + 0.5) / (n_words + 1.0))

    def _terms_of(
        self,
        cell: NDArray[np.int64],
        words: NDArray[np.int64],
        ngrams: list[NDArray[np.int64]],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Cell and number, from 0, of each known word and n-gram."""
        ids, offset = [words], len(self.vocabulary_)
        for found, known in zip(ngrams, self._ngrams, strict=True):
            ids.append(np.where(found > 0, found + offset, 0))
            offset += len(known.counts)
        term = np.concatenate(ids)
        return np.tile(cell, len(ids))[term > 0], term[term > 0] - 1

    def elements(self, block: Block, values: NDArray[Any]) -> list[pd.Series]:
        """Values of the words, as written, in their order.

        To the encoder, an n-gram belongs to the word it begins with.

        Parameters
        ----------
        block : Block of n_samples rows
        values : ndarray of shape (n_samples, n_tokens)

        Returns
        -------
        elements : list of n_samples Series
            A word that occurs twice is there twice; empty where the row is absent.
        """
        out = []
        for i, (here, v) in enumerate(zip(block.present, values, strict=True)):
            words: list[str] = []
            if here and block.cells is not None:
                parts = block.cells[i].split(SEPARATOR)
                words = [w for part in parts for w in split_words(part)]
            words = words[: self.max_tokens]
            out.append(pd.Series(v[: len(words)], index=words, dtype=float))
        return out

    def hide(
        self, block: Block, hidden: NDArray[np.bool_], names: Sequence[pd.Index]
    ) -> Block:
        """Take words out, with the n-grams that they are part of."""
        words = block.arrays["words"].copy()
        ngrams = block.arrays["ngrams"].copy()
        gone = np.zeros(words.shape, dtype=bool)
        width = min(gone.shape[1], hidden.shape[1])
        gone[:, :width] = hidden[:, :width]
        words[gone] = 0
        for step in range(ngrams.shape[2]):  # n-grams of step + 2 words
            broken = gone.copy()
            for ahead in range(1, step + 2):
                broken[:, :-ahead] |= gone[:, ahead:]
            ngrams[..., step][broken] = 0
        arrays = {**block.arrays, "words": words, "ngrams": ngrams}
        return Block(arrays, block.present, block.cells)

    def content(
        self, block: Block, row: int, elements: pd.Series, cells: Mapping[Any, Any]
    ) -> tuple[str, pd.Series, Any]:
        """The words themselves."""
        return "words", elements, None
