"""What linear models, displays and deletion tests ask of every modality."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from skfusion import modalities
from skfusion.batch import block_tensors, padded
from skfusion.modalities import (
    AudioModality,
    EstimatorModality,
    ImageModality,
    ModalityTransformer,
    SeriesModality,
    TabularModality,
    TextModality,
    TransformerModality,
    VectorModality,
    registry,
)
from skfusion.modalities.pretrained import Pretrained
from tests.modalities.video_frames import VideoModality, videos

mpl.use("Agg")
import matplotlib.pyplot as plt

N = 30
RNG = np.random.default_rng(0)
WORDS = [f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnrst"]


def cells(values, absent=(3, 11)):
    """A column of objects, one a cell, some of them absent."""
    out = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        out[i] = None if i in absent else value
    return pd.Series(out)


def texts(length, seed=0):
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, len(WORDS) + 1)
    return cells(
        [
            " ".join(rng.choice(WORDS, rng.integers(1, length), p=share / share.sum()))
            for _ in range(N)
        ]
    )


def table(n_numbers=3, n_categories=2):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {f"n{i}": rng.normal(size=N) for i in range(n_numbers)}
        | {f"c{i}": rng.choice(list("xyz"), N) for i in range(n_categories)}
    ).astype({f"c{i}": object for i in range(n_categories)})
    frame.iloc[3] = None
    frame.iloc[5, 0] = None
    return frame


class LetterShares:
    """Stands for a pretrained encoder: shares of five letters."""

    def encode(self, texts, **options):
        return np.array([[t.count(c) / len(t) for c in "aeiou"] for t in texts])


def loudness(samples):
    """Stands for a pretrained encoder of sound: mean size of each ten samples."""
    return np.abs(samples[: len(samples) // 10 * 10].reshape(-1, 10))


def lightness(x):
    """Stands for a pretrained encoder of pictures: their colour, place by place."""
    return x.mean(dim=3)


def made():
    """(id, modality, columns): every modality, and every form that matters."""
    two = pd.DataFrame({"a": texts(6), "b": texts(40, 1)})
    many = table(9, 7).assign(
        when=pd.date_range("2020-01-31", periods=N, freq="D"),
        town=[f"t{i // 2 % 60}" for i in range(N)],
    )
    sounds = cells([(RNG.normal(size=n), 8000) for n in RNG.integers(900, 4000, N)])
    series = cells([RNG.normal(size=(2, n)) for n in RNG.integers(20, 60, N)])
    pictures = cells(list(RNG.integers(0, 255, (N, 16, 16, 3), np.uint8)))
    vectors = cells(list(RNG.normal(size=(N, 5))))
    y = RNG.normal(size=N)
    yield "text-long", TextModality(), texts(90)
    yield "text-short", TextModality(min_df=1), texts(6)
    yield "text-trigrams", TextModality(min_df=1, ngram_range=(1, 3)), texts(20)
    yield "text-columns", TextModality(min_df=1), two
    spec = modalities.PretrainedText(LetterShares())
    yield "text-pretrained", TextModality(min_df=1, encoder=spec), two
    yield "tabular", TabularModality(), table()
    yield "tabular-groups", TabularModality(max_tokens=2), many
    yield "tabular-numbers", TabularModality(), table(4, 0)
    yield "tabular-categories", TabularModality(min_frequency=1), table(0, 3)
    yield "vector", VectorModality(), vectors
    yield "transformer", TransformerModality(StandardScaler()), table(4, 0).fillna(0)
    yield "transformer-sparse", TransformerModality(TfidfVectorizer()), texts(20)
    yield "estimator", EstimatorModality(Ridge()), (RNG.normal(size=(N, 3)), y)
    yield (
        "classifier",
        EstimatorModality(LogisticRegression()),
        (
            RNG.normal(size=(N, 3)),
            np.arange(N) % 3,
        ),
    )
    yield "image", ImageModality(size=16), pictures
    yield (
        "image-columns",
        ImageModality(size=8),
        pd.DataFrame({"p": pictures, "q": cells(list(pictures), absent=(3, 5))}),
    )
    spec = modalities.PretrainedImage(lightness, size=8, mean=0.5, std=0.5)
    yield "image-pretrained", ImageModality(size=16, encoder=spec), pictures
    yield (
        "image-columns-pretrained",
        ImageModality(size=8, encoder=spec),
        pd.DataFrame({"p": pictures, "q": cells(list(pictures), absent=(3, 5))}),
    )
    yield "audio", AudioModality(n_mels=16), sounds
    spec = modalities.PretrainedAudio(loudness, sample_rate=4000)
    yield "audio-pretrained", AudioModality(n_mels=16, encoder=spec), sounds
    yield (
        "audio-columns-pretrained",
        AudioModality(n_mels=16, encoder=spec),
        pd.DataFrame({"p": sounds, "q": cells(list(sounds), absent=(3, 5))}),
    )
    yield "series", SeriesModality(), series
    yield "video", VideoModality(), cells(videos(N, RNG))


MADE = {name: (modality, X) for name, modality, X in made()}


def fit(name):
    """(modality fitted on 20 rows, block of all 30, of which some are absent)."""
    modality, X = MADE[name]
    y = None
    if isinstance(X, tuple):
        X, y = X
        X[[3, 11]] = np.nan
    some = X.iloc[:20] if hasattr(X, "iloc") else X[:20]
    modality = clone(modality).fit(some, None if y is None else y[:20])
    return modality, modality.transform(X)


@pytest.fixture(scope="module", params=MADE)
def fitted(request):
    return fit(request.param)


@pytest.fixture(scope="module")
def tokens(fitted):
    """Mask of the encoder's tokens, (n_samples, n_tokens); absent rows have none."""
    modality, block = fitted
    encoder = modality.build_encoder(8, 0.0).eval()
    with torch.no_grad():
        _, mask = encoder(block_tensors(block, np.arange(len(block))))
    return mask.numpy() & block.present[:, None]


def names_of(modality, block, tokens):
    return [e.index for e in modality.elements(block, tokens.astype(float))]


def dense(x):
    return x.toarray() if sparse.issparse(x) else padded(x)


def test_every_exported_modality_is_here():
    found = [getattr(modalities, name) for name in modalities.__all__]
    exported = {cls for cls in found if issubclass(cls, modalities.Modality)}
    exported -= {modalities.Modality, modalities.ModalityTransformer}
    exported -= set(Pretrained.__subclasses__())  # specs, not modalities
    assert len(exported) >= 8
    assert exported <= {type(modality) for modality, _ in MADE.values()}


# ---------------------------------------------------------------- names


def test_every_feature_has_a_name_of_its_own(fitted):
    modality, block = fitted
    names = modality.get_feature_names_out()
    assert len(set(names)) == len(names) == modality.features(block).shape[1]


# ---------------------------------------------------------------- linear terms


def test_terms_of_a_linear_model_sum_to_what_it_says(fitted, tokens):
    """A feature belongs to the tokens of a row wholly, or to none of them."""
    modality, block = fitted
    features = modality.features(block)
    n_features = features.shape[1]
    center = np.zeros(n_features)
    if not sparse.issparse(features):
        center = np.random.default_rng(0).normal(size=n_features)
    terms = modality.linear_terms(block, np.eye(n_features), center)
    if terms is None:
        assert modality.has_elements
        return
    assert terms.shape[::2] == (len(block), n_features)
    assert not terms[~block.present].any()
    total = terms.sum(axis=1)
    expected = dense(features).astype(float) - center
    owned = np.isclose(total, expected, rtol=1e-5, atol=1e-5)
    assert owned[block.present].any(axis=1).all()
    assert np.abs(total[~owned]).max(initial=0) < 1e-9
    if not block.arrays.keys() & {"pixels", "log_mel", "statistics"}:
        assert owned[block.present].all()  # else there are features of the whole
    n_tokens = max(tokens.shape[1], terms.shape[1])
    padded = np.zeros((len(block), n_tokens, n_features))
    padded[:, : terms.shape[1]] = terms
    masked = np.pad(tokens, ((0, 0), (0, n_tokens - tokens.shape[1])))
    assert not padded[~masked].any()  # nothing on what is no token
    for values in (padded[..., 0], padded.sum(axis=2)):
        named = modality.elements(block, values)
        np.testing.assert_allclose(
            [e.sum() for e in named], values.sum(axis=1), rtol=0, atol=1e-9
        )


def test_terms_of_a_row_do_not_depend_on_the_others(fitted):
    modality, block = fitted
    n_features = modality.features(block).shape[1]
    coef = np.random.default_rng(1).normal(size=(n_features, 2))
    together = modality.linear_terms(block, coef, np.zeros(n_features))
    if together is None:
        return
    alone = modality.linear_terms(block[7], coef, np.zeros(n_features))[0]
    n_tokens = len(alone)  # rows are padded to the longest
    np.testing.assert_allclose(alone, together[7, :n_tokens], rtol=0, atol=1e-9)
    assert not together[7, n_tokens:].any()


@pytest.mark.parametrize("name", ["text-short", "text-trigrams", "text-columns"])
def test_a_word_has_what_its_own_terms_add(name):
    modality, block = fit(name)
    features = modality.features(block).toarray()
    names = names_of(modality, block, block.arrays["words"] != 0)
    row, place = next(
        (i, k)
        for i, own in enumerate(names)
        for k in range(1, len(own) - 1)
        if len(own) > 4 and list(own).count(own[k]) == 1
    )
    hidden = np.zeros(block.arrays["words"].shape, dtype=bool)
    hidden[row, place] = True
    without = modality.features(modality.hide(block, hidden, names)).toarray()
    gone = (features[row] > 0) & (without[row] == 0)  # terms of this word alone
    coef = np.where(gone, 1.0, 0.0)[:, None]
    terms = modality.linear_terms(block, coef, np.zeros(len(coef)))[row, :, 0]
    assert gone.any()
    assert terms[place] > 0
    assert (terms >= 0).all()
    # Only n-grams share with their other words, which stand beside it.
    assert not terms[np.abs(np.arange(len(terms)) - place) > 2].any()


def test_terms_of_a_column_are_those_of_its_features():
    modality, block = fit("tabular-groups")
    names = modality._element_names()
    coef = np.ones((modality.features(block).shape[1], 1))
    base = modality.linear_terms(block, coef, np.zeros(len(coef)))[..., 0]
    hidden = np.zeros((len(block), len(names)), dtype=bool)
    hidden[:, 1] = True
    without = modality.hide(block, hidden, [names] * len(block))
    changed = modality.linear_terms(without, coef, np.zeros(len(coef)))[..., 0]
    moved = ~np.isclose(base, changed).all(axis=0)
    assert moved.tolist() == [False, True, False, False]


# ---------------------------------------------------------------- hiding


def test_hidden_elements_say_nothing_and_others_are_as_before(fitted, tokens):
    modality, block = fitted
    names = names_of(modality, block, tokens)
    if not modality.has_elements:
        assert all(list(own) in (["all"], []) for own in names)
        with pytest.raises(TypeError, match="has no elements"):
            modality.hide(block, np.ones((len(block), 1), bool), names)
        return
    before = {key: dense(a).copy() for key, a in block.arrays.items()}
    hidden = np.zeros((len(block), max(map(len, names))), dtype=bool)
    nothing = modality.hide(block, hidden, names)
    hidden[:5, 0] = block.present[:5]
    some = modality.hide(block, hidden, names)
    every = np.arange(hidden.shape[1]) < np.array([len(own) for own in names])[:, None]
    all_gone = modality.hide(block, every, names)
    for key, array in block.arrays.items():
        np.testing.assert_array_equal(dense(array), before[key])  # not in place
        np.testing.assert_array_equal(dense(nothing.arrays[key]), before[key])
        np.testing.assert_array_equal(dense(some.arrays[key])[5:], before[key][5:])
    for changed in (nothing, some, all_gone):
        np.testing.assert_array_equal(changed.present, block.present)
    assert any((dense(some.arrays[k])[:5] != a[:5]).any() for k, a in before.items())
    features = dense(modality.features(all_gone))
    first, *others = features[block.present]
    if not block.arrays.keys() & {"pixels", "log_mel", "length"}:  # not of the size
        np.testing.assert_allclose(others, [first] * len(others), atol=1e-6)


# ---------------------------------------------------------------- displays


def test_what_a_display_draws_is_of_a_kind_that_it_knows(fitted, tokens):
    from skfusion.inspection import ElementsDisplay

    modality, block = fitted
    row = int(np.flatnonzero(block.present)[0])
    rng = np.random.default_rng(0)
    elements = modality.elements(block, rng.normal(size=tokens.shape))[row]
    kind, drawn, content = modality.content(block, row, elements, {})
    assert set(drawn) <= set(elements)
    display = ElementsDisplay.from_predictions(
        [drawn], kind=kind, contents=[content]
    ).plot()
    assert display._repr_html_()
    plt.close(display.figure_)


# ---------------------------------------------------------------- a new modality


@pytest.fixture
def with_video(monkeypatch):
    """As if `skfusion.modalities` exported one more class."""
    monkeypatch.setattr(registry, "_classes", [*registry._classes])
    registry.register([VideoModality])


def test_a_new_modality_is_found_and_named_once_it_is_exported(with_video):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"clip": cells(videos(N, rng)), "x": rng.normal(size=N)})
    found = ModalityTransformer().fit(frame)
    assert isinstance(found.named_modalities_.clip, VideoModality)
    assert found.modality_names_ == ("clip", "tabular")
    named = ModalityTransformer([("clip", "video", "clip")]).fit_transform(frame)
    np.testing.assert_array_equal(named.present[:, 0], frame["clip"].notna())
    nested = ModalityTransformer([("clip", "video", "clip")])
    assert nested.set_params(clip__on_error="absent").get_params()["clip__on_error"]


def test_a_new_modality_is_unknown_until_then():
    with pytest.raises(ValueError, match="'video' is not one of"):
        ModalityTransformer([("clip", "video", "clip")]).fit(
            pd.DataFrame({"clip": cells(videos(3, RNG), absent=())})
        )
