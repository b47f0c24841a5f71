"""From texts to words: cleaning, splitting, and hashed character n-grams."""

from __future__ import annotations

import html
import re
import unicodedata
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skfusion._validation import mend_surrogates
from skfusion.modalities.base import Verdict
from skfusion.modalities.detection import TEXTS, looks_like, most

__all__ = [
    "MAX_UNSEEN",
    "N_BUCKETS",
    "N_CHAR_NGRAMS",
    "SEPARATOR",
    "Tokens",
    "are_texts",
    "clean",
    "hash_char_ngrams",
    "split_words",
    "tokenise",
]

# Between the texts of two columns; cleaning turns it, as all white space, into " ".
SEPARATOR = "\x1f"

# ---------------------------------------------------------------- cleaning

_OPENING = re.compile(r"<(?:(script|style)\b|(!--)|/?[a-z])", re.ASCII | re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")
#: What ends the parts of a page that are dropped with all that stands in them.
_CLOSING = {
    "script": re.compile(r"</script\s*>", re.IGNORECASE),
    "style": re.compile(r"</style\s*>", re.IGNORECASE),
    "!--": re.compile("-->"),
}
_ENTITY = re.compile(r"&(?:#\w{1,8}|\w{1,32});")
# Normalising takes time with the square of a run of accents, so long texts are
# normalised in pieces, cut where a word ends if that can be.
_PIECE = re.compile(r".{1,1024}(?=\s|\Z)|.{1,1024}", re.DOTALL)
# NFKC keeps these: typographic apostrophes, soft hyphens, characters of no width.
_PLAIN = {
    0x2018: "'",
    0x2019: "'",
    0xAD: None,
    0x200B: None,
    0x2060: None,
    0xFEFF: None,
}

# Scripts without spaces: each character with its marks is a word, and n-grams make the
# words. First Han, Kana, Bopomofo and Yi, of which about two characters are a word;
# then Thai, Lao, Myanmar, Khmer, Tai and Javanese, of which about four are.
_HAN_KANA = (
    "\u3005-\u3007\u3040-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua000-\ua48c\uf900-\ufaff\uff66-\uff9f\U00020000-\U000323af"
)
_THAI_KHMER = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ecf\u0edc-\u0edf\u1000-\u103f\u1050-\u108f"
    "\u109a-\u109f\u1780-\u17d3\u17d7\u17dc\u17dd\u1950-\u1974\u1980-\u19c9"
    "\u1a20-\u1a7c\ua980-\ua9c0\ua9e0-\ua9ef\ua9fa-\ua9fe\uaa60-\uaadf"
)
_NO_SPACES = _HAN_KANA + _THAI_KHMER
_EMOJI = "\u2600-\u27bf\U0001f000-\U0001faff"
_ASCII_WORD = re.compile(r"\w+(?:'\w+)*|[!?]")  # the same on ASCII
# What `_ASCII_WORD` keeps, all else a space: with `split`, ten times as fast.
_ASCII_SPACES = {
    code: " " for code in range(128) if not re.match(r"[\w'!?]", chr(code))
}


def clean(text: str, *, strip_html: bool) -> str:
    """Normalise a text: no markup, one form a character, single spaces."""
    if strip_html and ("<" in text or "&" in text):
        text = _ENTITY.sub(lambda m: html.unescape(m[0]), _without_markup(text))
    if not text.isascii():
        pieces = _PIECE.findall(mend_surrogates(text))
        text = "".join(unicodedata.normalize("NFKC", piece) for piece in pieces)
        text = text.translate(_PLAIN)
    return " ".join(text.split())


@cache
def _word() -> re.Pattern[str]:
    """What is a word in texts that are not ASCII."""
    # Vowel signs and accents, which \w leaves out: without them, words of Hindi, Thai,
    # Hebrew or Arabic would fall apart.
    codes = range(0x300, 0x1F000)
    marks = "".join(chr(c) for c in codes if unicodedata.category(chr(c))[0] == "M")
    letters = rf"(?:[^\W{_NO_SPACES}]|[{marks}])+"
    return re.compile(
        rf"[{_NO_SPACES}][{marks}]*|{letters}(?:'{letters})*|[{_EMOJI}]|[!?]"
    )


def _without_markup(text: str) -> str:
    """A text without tags, comments and scripts, in time linear in its length.

    What opens a comment or a script that does not end is no markup.
    """
    kept, start, at = [], 0, 0
    unclosed = set()  # what does not end after here does not end after a later place
    while opening := _OPENING.search(text, at):
        kind = (opening[1] or opening[2] or "").lower()
        end = None
        if kind and kind not in unclosed:
            end = _CLOSING[kind].search(text, opening.end())
            if end is None:
                unclosed.add(kind)
        if end is None and kind != "!--":
            end = _TAG.match(text, opening.start())
        if end is None:
            at = opening.end()
            continue
        kept.append(text[start : opening.start()])
        start = at = end.end()
    return " ".join([*kept, text[start:]])


def split_words(text: str) -> list[str]:
    """Words as written; a text of mere punctuation is split at its spaces."""
    if not text.isascii():
        return _word().findall(text) or text.split()
    spaced = text.translate(_ASCII_SPACES)
    for mark in "!?":
        if mark in spaced:
            spaced = spaced.replace(mark, f" {mark} ")
    words = spaced.split()
    if "'" in spaced:
        words = [
            part
            for word in words
            for part in (_ASCII_WORD.findall(word) if "'" in word else (word,))
        ]
    return words or text.split()


_SPACE = re.compile("[\\s\u0f0b\u1361]+")  # and what stands between words instead
_DENSE = [(re.compile(f"[{_HAN_KANA}]"), 2), (re.compile(f"[{_THAI_KHMER}]"), 4)]


def are_texts(cells: Sequence[Any]) -> Verdict:
    """Tell whether a sample of cells looks like texts: many of several words."""
    texts = {cell for cell in cells if isinstance(cell, str)}
    if not most(lambda cell: isinstance(cell, str), cells):
        return Verdict(False, "cells of several types" if texts else "")
    if len(texts) <= min(30, 0.5 * len(cells)):
        found = f"{len(texts)} distinct in {len(cells)} cells looked at"
        return Verdict(False, f"strings that repeat: {found}")
    words = sum(map(_count_words, texts)) / len(texts)
    if words < 2:
        return Verdict(False, f"strings of {words:.1f} words on average")
    repeat = "rarely repeat"
    if len(texts) <= 0.5 * len(cells):
        repeat = f"repeat, {len(texts)} distinct in {len(cells)} cells looked at"
    form, _ = looks_like(cells)
    if form != TEXTS:
        return Verdict(False, f"looks like {form}")
    return Verdict(True, f"strings of {words:.0f} words on average that {repeat}")


def _count_words(text: str) -> float:
    """About how many words a text has, also where no spaces stand between them."""
    if text.isascii():
        return len(text.split())
    n = 0.0
    for script, size in _DENSE:
        text, found = script.subn(" ", text)
        n += found / size
    return n + len([word for word in _SPACE.split(text) if word])


# ---------------------------------------------------------------- tokens

N_BUCKETS = 8192  # of hashed character n-grams; bucket 0 is padding
N_CHAR_NGRAMS = 16  # a word
MAX_UNSEEN = 64  # a row; further ones have the character n-grams of its first again


def hash_char_ngrams(words: Sequence[str]) -> NDArray[np.int16]:
    """Hash the runs of 3 and 4 characters of each word, its ends marked.

    Returns
    -------
    char_ngrams : ndarray of shape (n_words, N_CHAR_NGRAMS), 1 to N_BUCKETS - 1
        Padded by 0. Of longer words, runs at even distances.
    """
    out = np.zeros((len(words), N_CHAR_NGRAMS), dtype=np.int16)
    for row, word in zip(out, words, strict=True):
        marked = f"<{word}>".encode("utf-32-le", "surrogatepass")
        n = len(marked) // 4
        n_runs = max(n - 2, 0) + max(n - 3, 0)  # of 3, then of 4 characters
        wanted: Iterable[int] = range(n_runs)
        if n_runs > N_CHAR_NGRAMS:
            wanted = (i * n_runs // N_CHAR_NGRAMS for i in range(N_CHAR_NGRAMS))
        for k, i in enumerate(wanted):
            first, size = (i, 3) if i < n - 2 else (i - n + 2, 4)
            run = marked[4 * first : 4 * (first + size)]
            row[k] = zlib.crc32(run) % (N_BUCKETS - 1) + 1
    return out


class Tokens(NamedTuple):
    """The words of all rows, end to end, cut to `max_tokens` a row.

    **Shape**: distinct, the words that occur (normalised); word, row, column, position:
    each of one entry a word, `column` None where there is one; length, present and
    cells: of one entry a row.
    """

    distinct: list[str]
    word: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64] | None
    position: NDArray[np.int64]
    length: NDArray[np.int64]
    present: NDArray[np.bool_]
    cells: NDArray[np.object_]


def tokenise(
    cells: NDArray[np.object_], n_columns: int, max_tokens: int, lowercase: bool
) -> Tokens:
    """Split cleaned cells into words, and number the distinct ones."""
    if n_columns == 1:
        found = [split_words(text) for text in cells]
    else:
        found = [split_words(text) for c in cells for text in c.split(SEPARATOR)]
    lengths = np.fromiter(map(len, found), np.int64, len(found))
    n_words = int(lengths.sum())
    # Looking up a new word gives it the next number.
    number: defaultdict[str, int] = defaultdict()
    number.default_factory = number.__len__
    flat = chain.from_iterable(found)
    word = np.fromiter(map(number.__getitem__, flat), np.int64, n_words)
    distinct = list(number)
    if lowercase:
        merged: dict[str, int] = {}
        at = [merged.setdefault(w.lower(), len(merged)) for w in distinct]
        distinct, word = list(merged), np.array(at, dtype=np.int64)[word]
    length = lengths.reshape(len(cells), n_columns).sum(axis=1)
    row = np.repeat(np.arange(len(cells)), length)
    column = None
    if n_columns > 1:
        column = np.repeat(np.tile(np.arange(n_columns), len(cells)), lengths)
    position = np.arange(n_words) - (length.cumsum() - length)[row]
    if n_words and length.max() > max_tokens:
        kept = position < max_tokens
        word, row, position = word[kept], row[kept], position[kept]
        column = None if column is None else column[kept]
    return Tokens(
        distinct,
        word,
        row,
        column,
        position,
        length.clip(max=max_tokens),
        length > 0,
        cells,
    )
