"""From texts to words: cleaning, splitting, pieces, and counts of n-grams."""

from __future__ import annotations

import html
import re
import unicodedata
import zlib
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MAX_UNSEEN",
    "N_BUCKETS",
    "N_PIECES",
    "SEPARATOR",
    "Ngrams",
    "Tokens",
    "clean",
    "hash_pieces",
    "most_common",
    "row_counts",
    "split_words",
    "tokenise",
]

# Between the texts of two columns; cleaning turns it, as all white space, into " ".
SEPARATOR = "\x1f"

# ---------------------------------------------------------------- cleaning

_TAG = re.compile(
    r"<(script|style)\b.*?</\1\s*>|<!--.*?-->|</?[a-z][^<>]*>",
    re.DOTALL | re.IGNORECASE,
)
_ENTITY = re.compile(r"&#?\w+;")
# NFKC keeps these: typographic apostrophes, soft hyphens, characters of no width.
_PLAIN = {
    0x2018: "'",
    0x2019: "'",
    0xAD: None,
    0x200B: None,
    0x2060: None,
    0xFEFF: None,
}

# Scripts without spaces: each character is a word, and bigrams make the words.
_HAN_KANA = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_EMOJI = "\u2600-\u27bf\U0001f000-\U0001faff"
# Vowel signs and accents, which \w leaves out: without them, words of Hindi, Thai,
# Hebrew or Arabic would fall apart.
_MARKS = (
    "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u0963\u0966-\u109f"
)
_LETTERS = rf"(?:[^\W{_HAN_KANA}]|[{_MARKS}])+"
_WORD = re.compile(rf"{_LETTERS}(?:'{_LETTERS})*|[{_HAN_KANA}{_EMOJI}]|[!?]")
_ASCII_WORD = re.compile(r"\w+(?:'\w+)*|[!?]")  # the same on ASCII, and faster


def clean(text: str, *, strip_html: bool) -> str:
    """Normalise a text: no markup, one form a character, single spaces."""
    if strip_html and ("<" in text or "&" in text):
        text = _ENTITY.sub(lambda m: html.unescape(m[0]), _TAG.sub(" ", text))
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_PLAIN)
    return " ".join(text.split())


def split_words(text: str) -> list[str]:
    """Words as written; a text of mere punctuation is split at its spaces."""
    pattern = _ASCII_WORD if text.isascii() else _WORD
    return pattern.findall(text) or text.split()


# ---------------------------------------------------------------- tokens

N_BUCKETS = 8192  # of hashed pieces; bucket 0 is padding
N_PIECES = 16  # a word
MAX_UNSEEN = 64  # a row; the pieces of further ones are those of its first again


def hash_pieces(words: Sequence[str]) -> NDArray[np.int16]:
    """Hash the runs of 3 and 4 characters of each word, its ends marked.

    Returns
    -------
    pieces : ndarray of shape (n_words, N_PIECES), 1 to N_BUCKETS - 1, padded by 0
        Of longer words, pieces at even distances.
    """
    out = np.zeros((len(words), N_PIECES), dtype=np.int16)
    for row, word in zip(out, words, strict=True):
        marked = f"<{word}>".encode("utf-32-le", "surrogatepass")
        n = len(marked) // 4
        runs = [
            marked[4 * i : 4 * (i + size)]
            for size in (3, 4)
            for i in range(n - size + 1)
        ]
        if len(runs) > N_PIECES:
            runs = [runs[i * len(runs) // N_PIECES] for i in range(N_PIECES)]
        row[: len(runs)] = [zlib.crc32(run) % (N_BUCKETS - 1) + 1 for run in runs]
    return out


class Tokens(NamedTuple):
    """The words of all rows, end to end, cut to `max_tokens` a row.

    **Shape**: distinct, the words that occur (normalised); word, row, column, position:
    each of one entry a word; present and cells: of one entry a row.
    """

    distinct: list[str]
    word: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    position: NDArray[np.int64]
    present: NDArray[np.bool_]
    cells: NDArray[np.object_]


def tokenise(
    cells: NDArray[np.object_], n_columns: int, max_tokens: int, lowercase: bool
) -> Tokens:
    """Split cleaned cells into words, and number the distinct ones."""
    n = len(cells)
    found = [split_words(text) for c in cells for text in c.split(SEPARATOR)]
    lengths = np.fromiter(map(len, found), np.int64, len(found))
    flat = list(chain.from_iterable(found))
    number = {word: i for i, word in enumerate(dict.fromkeys(flat))}
    word = np.fromiter(map(number.__getitem__, flat), np.int64, len(flat))
    if lowercase:
        distinct: dict[str, int] = {}
        merged = [distinct.setdefault(w.lower(), len(distinct)) for w in number]
        word = np.array(merged, dtype=np.int64)[word]
    else:
        distinct = number
    part = np.repeat(np.arange(len(found)), lengths)
    row, column = part // n_columns, part % n_columns
    first = np.searchsorted(row, np.arange(n))
    position = np.arange(len(row)) - first[row]
    kept = position < max_tokens
    present = np.bincount(row, minlength=n) > 0
    return Tokens(
        list(distinct),
        word[kept],
        row[kept],
        column[kept],
        position[kept],
        present,
        cells,
    )


def row_counts(row: NDArray[Any], ids: NDArray[Any], n_ids: int) -> NDArray[np.int64]:
    """In how many rows each id occurs."""
    pairs = np.sort(row * n_ids + ids)  # np.unique hashes, which is slower here
    first = np.ones(len(pairs), dtype=bool)
    first[1:] = pairs[1:] != pairs[:-1]
    return np.bincount(pairs[first] % max(n_ids, 1), minlength=n_ids)


def most_common(counts: NDArray[np.int64], min_df: int, n: int) -> NDArray[np.int64]:
    """Indices of the at most `n` highest counts of at least `min_df`, in order."""
    order = np.argsort(-counts, kind="stable")[:n]
    return order[counts[order] >= min_df]


class Ngrams(NamedTuple):
    """N-grams of one length; each is its prefix and the word that follows.

    **Shape**: keys (n,), ascending; ids (n,), 1 = the most frequent; counts (n,),
    training rows by id.
    """

    keys: NDArray[np.int64]
    ids: NDArray[np.int64]
    counts: NDArray[np.int64]

    def find(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ids of the keys, 0 where unknown."""
        if len(self.keys) == 0:
            return np.zeros_like(keys)
        at = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        return np.where(self.keys[at] == keys, self.ids[at], 0)
