"""Splitting into words, and what a fitted vocabulary keeps."""

import pickle
import re
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skfusion.modalities import TextModality
from skfusion.modalities.text.reading import clean, hash_char_ngrams, split_words
from skfusion.modalities.text.vocabulary import Vocabulary, narrow

PATTERN = re.compile(r"\w+(?:'\w+)*|[!?]")


@given(st.text(st.characters(max_codepoint=127), max_size=60))
def test_ascii_words_are_those_of_the_pattern(text):
    assert split_words(text) == (PATTERN.findall(text) or text.split())


@given(st.text(st.sampled_from("ab'!? .-_\t"), max_size=30))
def test_apostrophes_and_marks_are_those_of_the_pattern(text):
    assert split_words(text) == (PATTERN.findall(text) or text.split())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("质量很好", ["质", "量", "很", "好"]),
        ("時々カード", ["時", "々", "カ", "ー", "ド"]),
        ("ดีที่สุด", ["ดี", "ที่", "สุ", "ด"]),  # Thai
        ("ល្អណាស់", ["ល្", "អ", "ណា", "ស់"]),  # Khmer
        ("ດີຫຼາຍ", ["ດີ", "ຫຼ", "າ", "ຍ"]),  # Lao
        ("ကောင်း", ["ကော", "င်း"]),  # Burmese
        ("བཀྲ་ཤིས", ["བཀྲ", "ཤིས"]),  # Tibetan has marks between syllables
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),  # Hindi has spaces
        ("ދިވެހި ބަސް", ["ދިވެހި", "ބަސް"]),  # Dhivehi
        ("iPhone手机", ["iPhone", "手", "机"]),
    ],
)
def test_scripts_without_spaces_are_split_into_characters(text, words):
    assert split_words(text) == words


#: What is taken out of a text, as one pattern; it takes time with the square of what
#: is not closed.
MARKUP = re.compile(
    r"<(script|style)\b.*?</\1\s*>|<!--.*?-->|</?[a-z][^<>]*>",
    re.DOTALL | re.IGNORECASE,
)
PIECES = ["<!--", "-->", "<script>", "</SCRIPT >", "<style x>", "</style>", "<b>", "<"]


@given(st.lists(st.sampled_from([*PIECES, "</b>", "<scripts>", " ", "a"]), max_size=12))
def test_markup_is_what_the_pattern_finds(pieces):
    text = "".join(pieces)
    expected = " ".join(MARKUP.sub(" ", text).split())
    assert clean(text, strip_html=True) == expected


OPENINGS = [
    *("<!--", "<script>", "<style >", "<script ", "</script ", "<a", "< ", "<", "&"),
    *("&a", "&#1", f"&#{'1' * 5000};", "a'", "x", "<script></script ", "\ud83d"),
    *("a\u0300\u0323", "\u0323\u0300", "\uff9e\u0300", "\u0e33", "\U0001f468\u200d"),
]


@pytest.mark.parametrize("opening", OPENINGS, ids=ascii)
def test_a_megabyte_of_what_is_not_closed_takes_linear_time(opening):
    start = time.process_time()
    TextModality(min_df=1).fit_transform([opening * (1_000_000 // len(opening)), "ok"])
    assert time.process_time() - start < 5  # with the square it would be minutes


def test_halves_of_characters_are_joined_or_replaced():
    assert clean("cut \ud83d", strip_html=True) == "cut \ufffd"
    assert clean("\ud83d\ude00!", strip_html=True) == "\U0001f600!"
    text = TextModality(min_df=1)
    block = text.fit_transform(["cut \ud83d", "\ud83d"])
    words = [list(e.index) for e in text.elements(block, np.ones((2, 2)))]
    assert words == [["cut"], ["\ufffd"]]


def test_accents_far_into_a_long_text_are_normalised():
    long = "e\u0301t " * 1000
    assert clean(long, strip_html=False) == " ".join(["\u00e9t"] * 1000)


def test_runs_of_characters_of_a_long_word_are_at_even_distances():
    (hashed,) = hash_char_ngrams(["abcdefgh" * 40])
    assert (hashed > 0).all()
    (short,) = hash_char_ngrams(["ab"])
    assert (short > 0).sum() == 3  # "<ab", "ab>" and "<ab>"


def _sentences(n, length, seed=0):
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(list("abcdefgh"), 6)) for _ in range(4000)]
    share = 1 / np.arange(1, 4001)
    return [
        " ".join(rng.choice(words, length, p=share / share.sum())) for _ in range(n)
    ]


def test_pickle_is_small_and_holds_no_row():
    texts = _sentences(1000, 60)
    modality = TextModality()
    block = modality.fit_transform(texts)
    pickled = pickle.dumps(modality)
    assert len(pickled) < 600_000
    for text in texts[:50]:
        assert " ".join(text.split()[:3]).encode() not in pickled
    assert pickle.dumps(pickle.loads(pickled).fit(texts)) == pickled
    again = pickle.loads(pickled).features(block)
    assert (again != modality.features(block)).nnz == 0


def test_what_a_pickle_leaves_out_is_computed_again():
    texts = _sentences(200, 4)
    modality = TextModality(min_df=1)
    block = modality.fit_transform(texts)
    assert modality._features.char_terms is not None
    before = modality.features(block)
    again = pickle.loads(pickle.dumps(modality))
    assert (again.features(block) != before).nnz == 0
    np.testing.assert_array_equal(
        again._features.vocabulary.char_ngrams,
        modality._features.vocabulary.char_ngrams,
    )


def test_the_order_of_the_rows_does_not_matter():
    texts = _sentences(300, 12)
    one = TextModality().fit(texts)
    two = TextModality().fit(texts[::-1])
    assert list(one.vocabulary_) == list(two.vocabulary_)
    first, second = one.transform(texts), two.transform(texts)
    for key, array in first.arrays.items():
        np.testing.assert_array_equal(array, second.arrays[key])
    assert (one.features(first) != two.features(second)).nnz == 0


def test_ids_are_stored_in_32_bits_where_they_fit():
    assert narrow(np.array([1, 2**31 - 1])).dtype == np.int32
    assert narrow(np.array([1, 2**31])).dtype == np.int64
    vocabulary = TextModality(min_df=1).fit(["a b c", "a b"])._features.vocabulary
    assert isinstance(vocabulary, Vocabulary)
    assert {known.keys.dtype for known in vocabulary.ngrams} == {np.dtype(np.int32)}


@pytest.mark.parametrize("n_columns", [1, 2])
def test_sublinear_tfidf_is_that_of_scikit_learn(n_columns):
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [" ".join(t.split()) for t in _sentences(80, 40)]
    X = np.array([[t] * n_columns for t in texts], dtype=object)
    modality = TextModality(min_df=2, ngram_range=(1, 1)).fit(X)
    ours = modality.features(modality.transform(X)).toarray()
    expected = TfidfVectorizer(
        min_df=2, sublinear_tf=True, vocabulary=list(modality.vocabulary_)
    ).fit_transform(texts)
    for column in np.split(ours, n_columns, axis=1):
        np.testing.assert_allclose(column, expected.toarray(), atol=1e-6)
