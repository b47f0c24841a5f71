"""Text: words, the n-grams that begin at them, character n-grams of rare words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from skfusion._row_keys import number_groups
from skfusion._sklearn import Interval, StrOptions, fit_context
from skfusion._validation import shorten
from skfusion.batch import Block
from skfusion.modalities.base import Verdict
from skfusion.modalities.cells import CellModality, Failures
from skfusion.modalities.columns import is_absent
from skfusion.modalities.detection import sample_cells
from skfusion.modalities.meaning import Meaning
from skfusion.modalities.output import prefixes
from skfusion.modalities.text.encoder import TextEncoder
from skfusion.modalities.text.features import TextFeatures
from skfusion.modalities.text.pretrained import PretrainedText
from skfusion.modalities.text.reading import (
    SEPARATOR,
    Tokens,
    are_texts,
    clean,
    split_words,
    tokenise,
)
from skfusion.modalities.text.vocabulary import MAX_COLUMNS, Vocabulary
from skfusion.network import Encoder

__all__ = ["TextModality"]


class TextModality(CellModality):
    """Text in one or several columns, read as words in their order.

    Cells are `str`. They are cleaned (markup and entities, Unicode NFKC, white space),
    the texts of several columns are joined in order, and split into words, "!", "?" and
    emoji. In scripts without spaces (Chinese, Japanese, Thai, Khmer, ...) each
    character is a word, and n-grams are those of characters. The tokens are the words:
    the token of a word is its embedding, plus those of the n-grams which begin at it,
    plus that of its column where there are several. Rare and new words are read by
    their hashed character n-grams, runs of 3 and 4 characters, so that a misspelt word
    still says something. None, NaN and text of no visible character are absent.

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
    embedding_dim : int, default=32
        Width of the learned embeddings, before they are projected to `d_model`.
    token_dropout : float, default=0.4
        Share of the words of a long text that training hides at each step; short texts
        lose less, since each of their words counts.
    encoder : PretrainedText or None, default=None
        A pretrained encoder. Its embedding of the text of each column is one more
        element, "[meaning]", beside the words.
    on_error : {"raise", "absent"}, default="raise"
        What to do with a cell that is no text: raise an error that names its row and
        column, or treat it as absent, with one warning.

    Attributes
    ----------
    vocabulary_ : dict of str to int
        The known words and their ids, from 1, the most frequent first; of equally
        frequent ones, in the order of the alphabet.
    encoder_ : PretrainedText or None
        The encoder in use.
    n_features_in_ : int
        Number of columns.

    Examples
    --------
    >>> from skfusion.modalities import TextModality
    >>> text = TextModality(min_df=1).fit(["Lovely dress!", "Not lovely", None])
    >>> text.vocabulary_
    {'lovely': 1, '!': 2, 'dress': 3, 'not': 4}
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
        "encoder": [PretrainedText, None],
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
        embedding_dim: int = 32,
        token_dropout: float = 0.4,
        encoder: PretrainedText | None = None,
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
        self.encoder = encoder
        self.on_error = on_error

    @classmethod
    def detect(cls, column: Any) -> Verdict:
        """Strings that rarely repeat and have several words."""
        return are_texts(sample_cells(column, 1000))

    @classmethod
    def automatic(cls) -> TextModality:
        """With numbers among the texts, as spreadsheets have them, absent."""
        return cls(on_error="absent")

    # ------------------------------------------------------------ fit, transform

    @fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X: Any, y: Any = None, groups: Any = None) -> Block:
        """Learn the vocabulary and return the rows of `X`, split into words once.

        Parameters
        ----------
        X : DataFrame, Series or array-like of n_samples rows of str
        y : array-like of n_samples targets, optional
            Read where `encoder` fine-tunes.
        groups : array-like of shape (n_samples,), optional
            Words that stand in several rows of a single group are unknown: rows of
            other groups will not have them. Where `encoder` fine-tunes, a row is
            predicted from other groups.

        Returns
        -------
        block : Block of n_samples rows
        """
        tokens = self._read(X, reset=True)
        groups = number_groups(groups, len(tokens.cells))
        self._learn(tokens, groups)
        self._meaning = Meaning(self.encoder_, self._column_names)
        meaning = self._meaning.fit_transform(_texts(tokens), y=y, groups=groups)
        return self._to_block(tokens, meaning)

    def transform(self, X: Any) -> Block:
        """Clean the texts and split them into known words.

        Parameters
        ----------
        X : DataFrame, Series or array-like of n_samples rows of str

        Returns
        -------
        block : Block
            Arrays, padded by 0: "words" (n_samples, n_tokens), ids from 1, and -r for
            a word that is not in the vocabulary; its hashed character n-grams are then
            row r - 1 of "unseen" (n_samples, n_unseen, 16); "ngrams" (n_samples,
            n_tokens, n - 1), ids of the n-grams that begin at the word; "columns"
            (n_samples, n_tokens) where there are several; "meaning" (n_samples,
            n_columns, width) where there is an `encoder`.
        """
        check_is_fitted(self)
        tokens = self._read(X, reset=False)
        return self._to_block(tokens, self._meaning.transform(_texts(tokens)))

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
        failures: Failures = []
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
        failures: Failures,
    ) -> list[str]:
        """Cleaned texts of a column, "" where absent; others go to `failures`."""
        texts = []
        for i, cell in enumerate(column):
            if isinstance(cell, str):
                texts.append(clean(cell, strip_html=self.strip_html))
                continue
            texts.append("")
            if not is_absent(cell):
                cause = f"it is of type {type(cell).__name__}, {shorten(cell, 40)}."
                if isinstance(cell, bytes):
                    cause += " Decode bytes first: column.str.decode('utf-8')."
                failures.append((labels[i], name, TypeError(cause)))
        return texts

    def _learn(self, tokens: Tokens, groups: NDArray[np.intp] | None) -> None:
        """Choose words, n-grams and what counts in `features` from training rows."""
        n_rows = int(tokens.present.sum())
        min_df = self.min_df
        if min_df == "auto":
            min_df = 2 if n_rows < 10_000 else 3
        vocabulary = Vocabulary.learn(
            tokens,
            longest=self.ngram_range[1],
            min_df=min_df,
            max_features=self.max_features,
            groups=groups,
        )
        words = vocabulary.word_ids(tokens)
        ids = [words, *vocabulary.ngram_ids(tokens, words)]
        self.vocabulary_ = vocabulary.words
        self._features = TextFeatures(vocabulary, min(self.n_features_in_, MAX_COLUMNS))
        self._features.learn(tokens, ids, min_df=min_df, groups=groups)
        self.encoder_ = None if self.encoder is None else clone(self.encoder)

    def _to_block(self, tokens: Tokens, meaning: Mapping[str, NDArray[Any]]) -> Block:
        """Spread the words over padded arrays, with what their texts mean."""
        arrays = {**self._features.vocabulary.arrays(tokens), **meaning}
        return Block(arrays, tokens.present, tokens.cells)

    # ------------------------------------------------------------ what others read

    def build_encoder(self, d_model: int, dropout: float) -> Encoder:
        """Make the encoder: a sum of embeddings a word, projected to `d_model`."""
        check_is_fitted(self)
        vocabulary = self._features.vocabulary
        n_words, *n_ngrams = vocabulary.n_common
        words = TextEncoder(
            vocabulary.char_ngrams,
            vocabulary.counts,
            n_words=n_words,
            n_ngrams=n_ngrams,
            n_columns=min(self.n_features_in_, 255) if self.n_features_in_ > 1 else 0,
            width=self.embedding_dim,
            d_model=d_model,
            dropout=dropout,
            token_dropout=self.token_dropout,
        )
        return self._meaning.join(words, d_model, dropout)

    def features(self, block: Block) -> sparse.csr_matrix:
        """TF-IDF of words and n-grams; of short texts, also of character n-grams.

        Each column has words of its own: "headache" among the benefits of a drug is
        not what it is among the side effects.

        Returns
        -------
        features : CSR matrix of shape (n_samples, n_features), float32
            The words of a cell have norm 1, and so have its character n-grams, or 0
            where nothing in the text is known; embeddings come last.
        """
        check_is_fitted(self)
        tfidf = self._features.matrix(block)
        return self._meaning.beside(tfidf, block)

    def _feature_names(self, columns: list[str]) -> list[str]:
        """Words, n-grams, buckets of character n-grams; of several columns, prefixed.

        A bucket holds all character n-grams of one hash, "char_ngrams17".
        """
        own = self._features.names(prefixes(columns)[: self._features.n_columns])
        return own + self._meaning.feature_names(columns)

    def linear_terms(
        self, block: Block, coef: NDArray[Any], center: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Split the terms of a linear model among the words.

        A term's value is shared evenly by its occurrences in the cell, an n-gram's by
        its words, and a hashed character n-gram's by the words that have it.
        """
        check_is_fitted(self)
        coef, _, first = self._meaning.linear_terms(block, coef, center)
        own = self._features.linear_terms(block, coef)
        return np.concatenate([first, own], axis=1)

    def ood_score(self, block: Block) -> NDArray[np.float64] | None:
        """Minus the log of the share of words that begin a common n-gram."""
        check_is_fitted(self)
        _, *n_common = self._features.vocabulary.n_common
        if not n_common:
            return None
        ngrams = block.arrays["ngrams"]
        common = (ngrams > 0) & (ngrams <= n_common)
        n_words = (block.arrays["words"] != 0).sum(axis=1)
        return -np.log((common.any(axis=-1).sum(axis=1) + 0.5) / (n_words + 1.0))

    def elements(self, block: Block, values: NDArray[Any]) -> list[pd.Series]:
        """Values of the words, as written, in their order.

        To the encoder, an n-gram belongs to the word it begins with. A word that occurs
        twice is there twice. "[meaning]" comes first, 0 where a column has no text.
        """
        out = []
        own = values[:, self._meaning.n_columns :]
        for i, (here, v) in enumerate(zip(block.present, own, strict=True)):
            words: list[str] = []
            if here and block.cells is not None:
                parts = block.cells[i].split(SEPARATOR)
                words = [w for part in parts for w in split_words(part)]
            words = words[: self.max_tokens]
            out.append(pd.Series(v[: len(words)], index=words, dtype=float))
        return self._meaning.elements(block, values, out)

    def hide(
        self, block: Block, hidden: NDArray[np.bool_], names: Sequence[pd.Index]
    ) -> Block:
        """Take words out, with the n-grams that they are part of."""
        block, hidden, names = self._meaning.hide(block, hidden, names)
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


def _texts(tokens: Tokens) -> NDArray[np.object_]:
    """The cleaned texts (n_samples, n_columns), "" where absent."""
    rows = [cell.split(SEPARATOR) for cell in tokens.cells]
    return np.array(rows, dtype=object)
