import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skfusion.modalities import TextModality

TEXTS = [
    "A beautiful dress, it fits!",
    "Not beautiful: the fabric is thin",
    None,
    "Beautiful fabric and a beautiful fit",
    "  ",
    "the dress is too thin, not my fit?",
]
ABSENT = [2, 4]


@pytest.fixture
def reviews():
    """Fitted on six cells repeated, so that every word of them is frequent."""
    return TextModality(min_df=1).fit(TEXTS * 8)


def as_tensors(block, rows=slice(None)):
    return {key: torch.as_tensor(a[rows]) for key, a in block.arrays.items()}


def make_encoder(modality, seed=0, dropout=0.0):
    """An encoder whose n-grams and columns already say something."""
    torch.manual_seed(seed)
    encoder = modality.build_encoder(16, dropout)
    encoder.embedding.weight.data[1:].normal_()
    return encoder.eval()


def encode(modality, X, seed=0):
    with torch.no_grad():
        return make_encoder(modality, seed)(as_tensors(modality.transform(X)))


def uniform(block):
    """Equal attention on the words of each row."""
    there = block.arrays["words"] != 0
    return there / np.maximum(there.sum(axis=1, keepdims=True), 1)


# ------------------------------------------------------------------ cells


def test_cells_without_text_are_absent(reviews):
    cells = ["fine", None, np.nan, pd.NA, "", " \n\t", "\u200b", "<br/>&nbsp;", "..."]
    block = reviews.transform(cells)
    assert block.present.tolist() == [True] + [False] * 7 + [True]


def test_content_behind_absence_is_never_read(reviews):
    block = reviews.transform(TEXTS)
    hidden = reviews.transform(TEXTS)
    hidden.present[0] = False
    features = reviews.features(hidden).toarray()
    assert not features[[0, *ABSENT]].any()
    assert (features[1] == reviews.features(block).toarray()[1]).all()
    assert len(reviews.elements(hidden, uniform(block))[0]) == 0


@pytest.mark.parametrize("cell", [3, 2.5, ["a", "list"], {"a": 1}, True])
def test_cell_that_is_no_text_is_an_error_with_row_and_column(cell):
    frame = pd.DataFrame({"note": ["fine", cell]}, index=["r0", "r7"], dtype=object)
    with pytest.raises(ValueError, match=r"row 'r7' of column 'note'") as error:
        TextModality().fit(frame)
    assert type(cell).__name__ in str(error.value)
    assert 'on_error="absent"' in str(error.value)


def test_bytes_are_an_error_that_says_how_to_decode_them(reviews):
    with pytest.raises(
        ValueError, match=r"row 1 of column '0'.*str\.decode\('utf-8'\)"
    ):
        reviews.transform(["fine", b"raw"])


def test_on_error_absent_warns_with_the_count():
    with pytest.warns(UserWarning, match=r"2 cell\(s\).*row 1 of column '0'"):
        block = TextModality(on_error="absent").fit_transform(["fine", 3, b"raw"])
    assert block.present.tolist() == [True, False, False]


@pytest.mark.parametrize("dtype", ["object", "str", "string", "category"])
def test_pandas_dtypes_are_equal(reviews, dtype):
    series = pd.Series(TEXTS, name="note", dtype=dtype)
    block = reviews.transform(series.to_frame())
    expected = reviews.transform(TEXTS)
    assert (block.arrays["words"] == expected.arrays["words"]).all()
    assert (block.present == expected.present).all()


def test_polars_frames_and_series_are_equal_to_pandas(reviews):
    expected = reviews.transform(TEXTS).arrays["words"]
    for X in (pl.Series("note", TEXTS), pl.DataFrame({"note": TEXTS})):
        assert (reviews.transform(X).arrays["words"] == expected).all()


def test_empty_and_wrong_frames_are_errors(reviews):
    with pytest.raises(ValueError, match="at least one row"):
        TextModality().fit([])
    with pytest.raises(ValueError, match=r"fitted on 1 column.*got 2"):
        reviews.transform(pd.DataFrame({"a": ["x"], "b": ["y"]}))
    with pytest.raises(NotFittedError):
        TextModality().transform(["x"])


def test_column_without_any_text_is_no_error():
    modality = TextModality()
    block = modality.fit_transform([None, "", np.nan])
    assert modality.vocabulary_ == {}
    assert not block.present.any()
    assert modality.features(block).nnz == 0
    tokens, mask = encode(modality, ["something new", None])
    assert torch.isfinite(tokens).all()
    assert mask.any(dim=1).all()


# ------------------------------------------------------------------ words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don\u2019t  stop!", ["Don't", "stop", "!"]),
        ("\uff26\uff49\uff4e\uff45 \ufb01t", ["Fine", "fit"]),
        ("5'8\" and 3.5", ["5'8", "and", "3", "5"]),
        ("<p>Soft&amp;<b>warm</b><br>a < b</p>", ["Soft", "warm", "a", "b"]),
        ("<script>var x = 1;</script>Soft<!-- no -->", ["Soft"]),
        ("I <3 it \U0001f600\U0001f600", ["I", "3", "it", "\U0001f600", "\U0001f600"]),
        ("\u6771\u4eac\u30bf\u30ef\u30fc", list("\u6771\u4eac\u30bf\u30ef\u30fc")),
        ("\u0939\u093f\u0928\u094d\u0926\u0940 caf\u00e9", None),
        ("--- ...", ["---", "..."]),
    ],
)
def test_words_as_written(reviews, text, words):
    words = text.split() if words is None else words
    block = reviews.transform([text])
    assert reviews.elements(block, uniform(block))[0].index.tolist() == words


def test_html_is_kept_on_request():
    modality = TextModality(min_df=1, strip_html=False).fit(["<b>warm</b>"])
    assert list(modality.vocabulary_) == ["b", "warm"]


def test_lower_case_and_composed_forms_are_one_word():
    texts = ["Cafe\u0301", "CAF\u00c9"]
    assert len(TextModality(min_df=1).fit(texts).vocabulary_) == 1
    assert len(TextModality(min_df=1, lowercase=False).fit(texts).vocabulary_) == 2


def test_vocabulary_counts_rows_and_keeps_the_most_frequent():
    texts = ["a a a b", "a b c", "b c d"]
    modality = TextModality(min_df=2, ngram_range=(1, 3)).fit(texts)
    assert modality.vocabulary_ == {"b": 1, "a": 2, "c": 3}
    block = modality.transform(["a b c", "b a"])
    bigrams, trigrams = block.arrays["ngrams"].transpose(2, 0, 1)
    assert (bigrams > 0).tolist() == [[True, True, False], [False, False, False]]
    assert not trigrams.any()
    assert list(TextModality(min_df=1, max_features=2).fit(texts).vocabulary_) == [
        "b",
        "a",
    ]


def test_min_df_auto_asks_more_of_large_data():
    texts = [f"common word{i // 2}" for i in range(10_000)]
    assert len(TextModality().fit(texts).vocabulary_) == 1
    assert len(TextModality().fit(texts[:5000]).vocabulary_) == 2501


def test_texts_are_cut_to_max_tokens():
    modality = TextModality(min_df=1, max_tokens=3)
    block = modality.fit_transform(["one two three four five", "six"])
    assert block.arrays["words"].shape == (2, 3)
    assert set(modality.vocabulary_) == {"one", "two", "three", "six"}
    elements = modality.elements(block, uniform(block))
    assert [list(e.index) for e in elements] == [["one", "two", "three"], ["six"]]


# ------------------------------------------------------------------ several columns


@pytest.fixture
def two_columns():
    return pd.DataFrame(
        {"title": ["Good", None, None, "Bad fit"], "body": ["fit", "Good", None, None]}
    )


def test_columns_are_joined_in_order_and_one_suffices(two_columns):
    modality = TextModality(min_df=1)
    block = modality.fit_transform(two_columns)
    assert block.present.tolist() == [True, True, False, True]
    names = [list(e.index) for e in modality.elements(block, uniform(block))]
    assert names == [["Good", "fit"], ["Good"], [], ["Bad", "fit"]]
    assert block.arrays["columns"].tolist() == [[1, 2], [2, 0], [0, 0], [1, 1]]


def test_no_ngram_reaches_over_columns(two_columns):
    modality = TextModality(min_df=1).fit(two_columns)
    bigrams = modality.transform(two_columns).arrays["ngrams"][..., 0]
    assert (bigrams > 0).tolist() == [
        [False] * 2,
        [False] * 2,
        [False] * 2,
        [True, False],
    ]


def test_the_column_of_a_word_tells(two_columns):
    modality = TextModality(min_df=1).fit(pd.concat([two_columns] * 5))
    tokens, _ = encode(
        modality, pd.DataFrame({"title": ["Good", None], "body": [None, "Good"]})
    )
    assert not torch.allclose(tokens[0, 0], tokens[1, 0])


# ------------------------------------------------------------------ encoder


def test_tokens_have_the_documented_shape(reviews):
    tokens, mask = encode(reviews, TEXTS)
    assert tokens.shape == (6, 9, 16)
    assert mask.sum(dim=1).tolist() == [6, 6, 1, 6, 1, 9]


def test_a_row_does_not_depend_on_the_batch(reviews):
    tokens, mask = encode(reviews, [*TEXTS, "qwertz beautiful asdfgh"])
    for i, text in enumerate([*TEXTS, "qwertz beautiful asdfgh"]):
        alone, one = encode(reviews, [text])
        n = int(one.sum())
        torch.testing.assert_close(tokens[i, :n], alone[0, :n], rtol=0, atol=1e-6)
        assert not mask[i, n:].any()


def test_padding_is_never_read(reviews):
    encoder = make_encoder(reviews)
    inputs = as_tensors(reviews.transform(TEXTS))
    wide = {
        key: torch.nn.functional.pad(x, (0, 0) * (x.dim() - 2) + (0, 5))
        for key, x in inputs.items()
    }
    with torch.no_grad():
        assert torch.equal(encoder(inputs)[0], encoder(wide)[0])


def test_unseen_words_say_something_of_their_own(reviews):
    tokens, _ = encode(reviews, ["zebra", "qwertz", "x"])
    flat = tokens[:, 0]
    assert flat.abs().sum(dim=1).min() > 0
    assert min(torch.pdist(flat)) > 1e-3


def test_misspelt_word_is_closer_to_the_word_than_others_are():
    # A rare word is read by its character n-grams, and so is its misspelling.
    modality = TextModality(min_df=1).fit(["beautiful", "horrible", "comfortable"])
    with torch.no_grad():
        tokens, _ = encode(modality, ["beautiful", "beautifull", "horrible", "zebra"])
    known, misspelt, *others = tokens[:, 0] - make_encoder(modality).project.bias
    cosine = torch.nn.functional.cosine_similarity
    near = cosine(known, misspelt, dim=0)
    assert near > 0.6
    assert all(near > 0.3 + cosine(known, other, dim=0) for other in others)


def test_training_teaches_the_character_ngrams_of_frequent_words(reviews):
    encoder = make_encoder(reviews).train()
    inputs = as_tensors(reviews.transform(["beautiful"] * 400))
    tokens, _ = encoder(inputs)
    tokens.sum().backward()
    moved = encoder.embedding.weight.grad.abs().sum(dim=1) > 0
    first_char = 1 + encoder.char_offset
    assert 1 < moved[first_char:].sum() <= 16
    assert moved[:first_char].sum() == 1


def test_training_hides_words_but_never_all(reviews):
    encoder = make_encoder(reviews).train()
    inputs = as_tensors(reviews.transform([*TEXTS * 40, "fit"]))
    before = encoder.eval()(inputs)[1].sum(dim=1)
    torch.manual_seed(0)
    after = encoder.train()(inputs)[1].sum(dim=1)
    assert (after <= before).all()
    assert after.sum() < 0.95 * before.sum()
    assert (after >= 1).all()
    encoder.token_dropout = 0.0
    assert torch.equal(encoder(inputs)[1].sum(dim=1), before)


def test_bigrams_make_the_order_of_words_tell(reviews):
    together, _ = encode(reviews, ["the fabric is thin"])
    apart, _ = encode(reviews, ["the thin is fabric"])
    assert not torch.allclose(together.sum(dim=1), apart.sum(dim=1))


def test_float64_gives_the_same_tokens_more_exactly(reviews):
    inputs = as_tensors(reviews.transform([*TEXTS, "qwertz"]))
    encoder = make_encoder(reviews)
    with torch.no_grad():
        single, _ = encoder(inputs)
        double, _ = encoder.double()(inputs)
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-5)
    noisy = encoder.add_noise(inputs, torch.full((7,), 2.0, dtype=torch.float64))
    assert torch.isfinite(encoder(noisy)[0]).all()


def test_noise_replaces_words_as_its_size_says(reviews):
    encoder = make_encoder(reviews)
    inputs = as_tensors(reviews.transform(TEXTS[:1] * 900))
    sd = torch.tensor([0.0, 0.7, 40.0]).repeat_interleave(300)
    torch.manual_seed(0)
    noisy = encoder.add_noise(inputs, sd)
    for key, x in inputs.items():
        assert torch.equal(noisy[key][:300], x[:300])
    same = (noisy["words"] == inputs["words"]).float()[inputs["words"] != 0].view(3, -1)
    assert same[0].mean() == 1
    # What is drawn may be the same word: 1/24 to 4/24 of all words are.
    assert 0.5 < same[1].mean() < 0.62
    assert same[2].mean() < 0.2
    assert ((noisy["words"] == 0) == (inputs["words"] == 0)).all()
    assert not noisy["ngrams"][600:].any()
    assert (noisy["words"] <= len(reviews.vocabulary_)).all()


def test_one_seed_gives_one_encoder(reviews):
    first, second = encode(reviews, TEXTS, seed=3)[0], encode(reviews, TEXTS, seed=3)[0]
    assert torch.equal(first, second)


# ------------------------------------------------------------------ features, elements


def test_features_of_long_texts_are_tfidf():
    texts = [" ".join([f"w{i}"] * 20 + ["and", "the"] * 10) for i in range(4)]
    modality = TextModality(min_df=1)
    block = modality.fit_transform(texts)
    features = modality.features(block)
    assert sparse.issparse(features)
    assert features.dtype == np.float32
    words, bigrams = 6, 4 + 4 + 2
    assert features.shape == (4, words + bigrams)
    np.testing.assert_allclose(sparse.linalg.norm(features, axis=1), 1, rtol=1e-6)
    row = features[[0]].toarray()[0]
    ids = {word: i - 1 for word, i in modality.vocabulary_.items()}
    # "w0" in one of four rows, "and" in all of them: log(5/2) + 1 against 1.
    ratio = row[ids["w0"]] / row[ids["and"]]
    expected = (1 + np.log(20)) * (np.log(5 / 2) + 1) / (1 + np.log(10))
    assert ratio == pytest.approx(expected, rel=1e-5)


def test_features_of_short_texts_know_character_ngrams(reviews):
    features = reviews.features(reviews.transform(["beautifull", "beautiful", "qq"]))
    near, far = (features @ features[[1]].T).toarray()[[0, 2], 0]
    assert near > 0.3
    assert far < 0.1


def test_features_tell_the_columns_apart():
    frame = pd.DataFrame(
        {
            "good": ["fast", "quiet", None, "fast"],
            "bad": ["quiet", None, "fast", "loud"],
        }
    )
    modality = TextModality(min_df=1)
    features = modality.features(modality.fit_transform(frame))
    same = (features @ features.T).toarray()
    assert same[0, 1] == same[0, 2] == 0  # a word in the other column is another word
    assert same[0, 3] > 1  # the words and the character n-grams of "fast"
    np.testing.assert_allclose(same.diagonal(), [4, 2, 2, 4], rtol=1e-5)


def test_features_of_one_column_are_those_of_the_series():
    texts = ["good cloth", "bad seam", None, "good seam"]
    alone = TextModality(min_df=1).fit(texts)
    framed = TextModality(min_df=1).fit(pd.DataFrame({"text": texts}))
    np.testing.assert_array_equal(
        alone.features(alone.transform(texts)).toarray(),
        framed.features(framed.transform(pd.DataFrame({"text": texts}))).toarray(),
    )


def test_features_of_rows_do_not_depend_on_the_batch(reviews):
    block = reviews.transform([*TEXTS, "zebra fit"])
    whole = reviews.features(block).toarray()
    rows = np.array([6, 0, 2])
    part = reviews.features(block[rows]).toarray()
    np.testing.assert_array_equal(part, whole[rows])


def test_elements_name_the_words_and_sum_to_one(reviews):
    block = reviews.transform(TEXTS)
    weights = np.pad(uniform(block), ((0, 0), (0, 3)))  # other batches were longer
    elements = reviews.elements(block, weights)
    for i, element in enumerate(elements):
        assert element.sum() == pytest.approx(0 if i in ABSENT else 1)
    assert list(elements[3].index) == TEXTS[3].split()
    assert elements[0].index[-1] == "!"


def test_elements_follow_the_rows_of_a_subset(reviews):
    block = reviews.transform(TEXTS)
    rows = np.array([5, 0])
    subset = reviews.elements(block[rows], uniform(block)[rows])
    whole = reviews.elements(block, uniform(block))
    pd.testing.assert_series_equal(subset[0], whole[5])
    pd.testing.assert_series_equal(subset[1], whole[0])


# ------------------------------------------------------------------ estimator


def test_fit_transform_is_fit_then_transform(two_columns):
    for X in (TEXTS, two_columns):
        one = TextModality().fit_transform(X)
        two = TextModality().fit(X).transform(X)
        for key, array in one.arrays.items():
            assert (array == two.arrays[key]).all()
        assert (one.present == two.present).all()


def test_many_unseen_words_need_little_room(reviews):
    text = " ".join(f"new{i}" for i in range(200))
    block = reviews.transform([text])
    assert block.arrays["unseen"].shape == (1, 64, 16)
    tokens, mask = encode(reviews, [text])
    assert mask.sum() == 200
    assert torch.isfinite(tokens).all()


@pytest.mark.parametrize(
    "parameters",
    [
        {"max_tokens": 0},
        {"min_df": 0},
        {"min_df": "few"},
        {"max_features": 1.5},
        {"ngram_range": (2, 2)},
        {"ngram_range": (1, 0)},
        {"ngram_range": (1, 2, 3)},
        {"ngram_range": 2},
        {"lowercase": "yes"},
        {"strip_html": None},
        {"embedding_dim": 0},
        {"token_dropout": 1.0},
        {"on_error": "ignore"},
    ],
)
def test_wrong_parameters_are_errors_that_name_them(parameters):
    for method in ("fit", "fit_transform"):
        with pytest.raises(ValueError, match=next(iter(parameters))):
            getattr(TextModality(**parameters), method)(TEXTS)


def test_clone_and_pickle(reviews):
    assert clone(reviews).get_params() == reviews.get_params()
    assert not hasattr(clone(reviews), "vocabulary_")
    copy = pickle.loads(pickle.dumps(reviews))
    for key, array in reviews.transform(TEXTS).arrays.items():
        assert (copy.transform(TEXTS).arrays[key] == array).all()


def test_unigrams_alone(reviews):
    modality = TextModality(min_df=1, ngram_range=(1, 1))
    block = modality.fit_transform(TEXTS * 8)
    assert block.arrays["ngrams"].shape == (48, 9, 0)
    assert encode(modality, TEXTS)[0].shape == (6, 9, 16)


def test_the_callers_cells_are_not_changed():
    frame = pd.DataFrame({"note": ["<b>A</b>  b", None]})
    before = frame.copy(deep=True)
    TextModality().fit_transform(frame)
    pd.testing.assert_frame_equal(frame, before)


def test_word_salad_is_strange():
    subjects = ["the red cat", "a small dog", "the old man"]
    verbs = ["sat on", "ran over", "looked at"]
    places = ["the blue mat", "a tall hill", "the front door"]
    rng = np.random.default_rng(0)
    texts = [
        " ".join(rng.choice(part) for part in (subjects, verbs, places))
        for _ in range(200)
    ]
    salad = [" ".join(rng.permutation(text.split())) for text in texts]
    modality = TextModality().fit(pd.DataFrame({"t": texts}))
    usual, strange = (
        modality.ood_score(modality.transform(pd.DataFrame({"t": t})))
        for t in (texts, salad)
    )
    assert np.mean(strange > usual) > 0.95


def test_ood_score_is_finite_and_needs_ngrams():
    X = pd.DataFrame({"t": ["one two", None, "", "three"]})
    pairs, words = TextModality(), TextModality(ngram_range=(1, 1))
    assert np.isfinite(pairs.ood_score(pairs.fit_transform(X))).all()
    assert words.ood_score(words.fit_transform(X)) is None


@pytest.mark.parametrize("columns", [["text"], ["text", "more"]])
def test_words_of_a_single_group_are_unknown(columns):
    names = np.repeat([f"ann{i} lee{i % 10}" for i in range(20)], 3)
    texts = [f"{name} came on day {i % 3}" for i, name in enumerate(names)]
    frame = pd.DataFrame({"text": texts, "more": texts})[columns]
    text = TextModality(min_df=2).fit(frame, groups=names)
    assert "came" in text.vocabulary_
    assert "lee3" in text.vocabulary_  # of two names
    assert "ann3" not in text.vocabulary_
    assert "ann3" in TextModality(min_df=2).fit(frame).vocabulary_
    terms = " ".join(text.get_feature_names_out())
    assert "lee3 came" in terms
    assert "ann3" not in terms
