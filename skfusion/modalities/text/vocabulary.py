"""What words and n-grams are known, and how texts become their ids."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skfusion.modalities.text.reading import MAX_UNSEEN, Tokens, hash_char_ngrams

__all__ = ["MAX_COLUMNS", "RARE", "Vocabulary", "narrow", "row_counts"]

#: Words and n-grams of fewer training rows have no embedding of their own.
RARE = 5
#: Columns that are told apart.
MAX_COLUMNS = 255


class Ngrams(NamedTuple):
    """N-grams of one length; each is its prefix and the word that follows.

    **Shape**: keys (n,), ascending; ids (n,), 1 = the most frequent. The `n_common`
    most frequent ones occur in `RARE` training rows or more.
    """

    keys: NDArray[Any]
    ids: NDArray[Any]
    n_common: int

    @classmethod
    def learn(
        cls,
        keys: NDArray[np.int64],
        row: NDArray[np.int64],
        *,
        min_df: int,
        max_features: int,
        groups: NDArray[np.intp] | None,
    ) -> Ngrams:
        """Keep the most frequent keys; 0 is none."""
        at = keys > 0
        unique, ids = np.unique(keys[at], return_inverse=True)
        counts = row_counts(row[at], ids, len(unique), groups)
        kept = most_common(counts, min_df, max_features)
        order = np.argsort(unique[kept])
        n_common = int((counts[kept] >= RARE).sum())
        return cls(narrow(unique[kept][order]), narrow(order + 1), n_common)

    def find(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ids of the keys, 0 where unknown."""
        if len(self.keys) == 0:
            return np.zeros_like(keys)
        keys = keys.astype(self.keys.dtype)  # else NumPy widens all that are known
        at = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        return np.where(self.keys[at] == keys, self.ids[at], 0).astype(np.int64)


class Vocabulary:
    """The words and n-grams that training rows share.

    Parameters
    ----------
    words : dict of str to int
        Ids from 1, the most frequent first.
    counts : ndarray of shape (n_words,)
        Training rows of each word.

    Attributes
    ----------
    ngrams : list of Ngrams
        Of two words, of three, ...
    """

    def __init__(self, words: dict[str, int], counts: NDArray[Any]) -> None:
        self.words, self.counts = words, counts
        self.ngrams: list[Ngrams] = []
        self._char_ngrams: NDArray[np.int16] | None = None

    @classmethod
    def learn(
        cls,
        tokens: Tokens,
        *,
        longest: int,
        min_df: int,
        max_features: int,
        groups: NDArray[np.intp] | None = None,
    ) -> Vocabulary:
        """Choose words, and n-grams of up to `longest` words, from training rows."""
        counts = row_counts(tokens.row, tokens.word, len(tokens.distinct), groups)
        # In the order of the alphabet first, for the order of the rows must not matter.
        known = np.flatnonzero(counts >= min_df).tolist()
        by_name = np.array(sorted(known, key=tokens.distinct.__getitem__), dtype=int)
        kept = by_name[most_common(counts[by_name], min_df, max_features)]
        words = {tokens.distinct[i]: rank for rank, i in enumerate(kept.tolist(), 1)}
        self = cls(words, narrow(counts[kept]))
        ids = prefix = self.word_ids(tokens)
        for step in range(1, longest):
            keys = self._keys(tokens, prefix, ids, step)
            self.ngrams.append(
                Ngrams.learn(
                    keys,
                    tokens.row,
                    min_df=min_df,
                    max_features=max_features,
                    groups=groups,
                )
            )
            prefix = self.ngrams[-1].find(keys)
        return self

    def __getstate__(self) -> dict[str, Any]:
        """What pickles need: hashed n-grams can be computed again."""
        return {**self.__dict__, "_char_ngrams": None}

    @property
    def sizes(self) -> list[int]:
        """Number of words, of pairs of words, ..."""
        return [len(self.words), *(len(known.keys) for known in self.ngrams)]

    @property
    def n_common(self) -> list[int]:
        """The same, of those that are not rare; they have the lowest ids."""
        common = int((self.counts >= RARE).sum())
        return [common, *(known.n_common for known in self.ngrams)]

    @property
    def terms(self) -> list[str]:
        """The words, then the pairs of words, ..., each in the order of their ids."""
        words = shorter = list(self.words)
        terms = list(words)
        for known in self.ngrams:
            prefix, word = np.divmod(known.keys, len(words) + 1)
            longer = [
                f"{shorter[p - 1]} {words[w - 1]}"
                for p, w in zip(prefix.tolist(), word.tolist(), strict=True)
            ]
            shorter = [longer[i] for i in np.argsort(known.ids)]
            terms += shorter
        return terms

    @property
    def char_ngrams(self) -> NDArray[np.int16]:
        """Hashed character n-grams of each word, (1 + n_words, 16); id 0 has none."""
        if self._char_ngrams is None:
            hashed = hash_char_ngrams(list(self.words))
            self._char_ngrams = np.pad(hashed, ((1, 0), (0, 0)))
        return self._char_ngrams

    def word_ids(self, tokens: Tokens) -> NDArray[np.int64]:
        """Ids of the words, 0 where unknown."""
        get = self.words.get
        ids = np.array([get(word, 0) for word in tokens.distinct], dtype=np.int64)
        return ids[tokens.word]

    def ngram_ids(
        self, tokens: Tokens, words: NDArray[np.int64]
    ) -> list[NDArray[np.int64]]:
        """Ids of the n-grams that begin at each word, by length, 0 where unknown."""
        found = [words]
        for step, known in enumerate(self.ngrams, start=1):
            found.append(known.find(self._keys(tokens, found[-1], words, step)))
        return found[1:]

    def arrays(self, tokens: Tokens) -> dict[str, NDArray[Any]]:
        """The words as padded arrays, as `TextModality.transform` describes them."""
        words = self.word_ids(tokens)
        ngrams = self.ngram_ids(tokens, words)
        n = len(tokens.cells)
        there = np.arange(max(tokens.length.max(), 1)) < tokens.length[:, None]
        new = words == 0
        row, word = tokens.row[new], tokens.word[new]
        place = (np.arange(len(row)) - np.searchsorted(row, row)) % MAX_UNSEEN
        occurs = np.zeros(len(tokens.distinct), dtype=bool)
        occurs[word] = True
        which = np.flatnonzero(occurs)
        hashed = hash_char_ngrams([tokens.distinct[i] for i in which])
        n_unseen = int(place.max(initial=0)) + 1
        unseen = np.zeros((n, n_unseen, hashed.shape[1]), dtype=np.int16)
        unseen[row, place] = hashed[(occurs.cumsum() - 1)[word]]
        words[new] = -1 - place
        arrays: dict[str, Any] = {
            "words": _spread(words, there, np.int32),
            "ngrams": np.zeros((*there.shape, len(ngrams)), dtype=np.int32),
            "unseen": unseen,
        }
        if ngrams:
            arrays["ngrams"][there] = np.stack(ngrams, axis=-1)
        if tokens.column is not None:
            column = np.minimum(tokens.column + 1, MAX_COLUMNS)
            arrays["columns"] = _spread(column, there, np.uint8)
        return arrays

    def _keys(
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
        if tokens.column is not None:
            same &= tokens.column[here] == tokens.column[there]
        following[here] = np.where(same, words[there], 0)
        known = (prefix > 0) & (following > 0)
        return np.where(known, prefix * (len(self.words) + 1) + following, 0)


def _spread(values: NDArray[Any], there: NDArray[np.bool_], dtype: Any) -> NDArray[Any]:
    """One value a word as a padded array (n_samples, n_tokens)."""
    out = np.zeros(there.shape, dtype=dtype)
    out[there] = values
    return out


def row_counts(
    row: NDArray[Any],
    ids: NDArray[Any],
    n_ids: int,
    groups: NDArray[np.intp] | None = None,
) -> NDArray[np.int64]:
    """In how many rows each id occurs; 0 where these are several rows of one group.

    Rows of other groups will not have such a word: it is as good as the group's name.
    """
    if groups is not None:
        counts = row_counts(row, ids, n_ids)
        several = row_counts(groups[row], ids, n_ids) > 1
        return np.where(several | (counts == 1), counts, 0)
    pairs = np.sort(row * n_ids + ids)  # np.unique hashes, which is slower here
    first = np.ones(len(pairs), dtype=bool)
    first[1:] = pairs[1:] != pairs[:-1]
    return np.bincount(pairs[first] % max(n_ids, 1), minlength=n_ids)


def most_common(counts: NDArray[np.int64], min_df: int, n: int) -> NDArray[np.int64]:
    """Indices of the at most `n` highest counts of at least `min_df`, in order."""
    order = np.argsort(-counts, kind="stable")[:n]
    return order[counts[order] >= min_df]


def narrow(x: NDArray[np.int64]) -> NDArray[Any]:
    """As int32 where the values fit: half the memory, and half the pickle."""
    fits = len(x) == 0 or x.max() <= np.iinfo(np.int32).max
    return x.astype(np.int32) if fits else x
