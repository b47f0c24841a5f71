"""Hidden elements say nothing, and the others say what they said."""

import numpy as np
import pandas as pd
import pytest

from skfusion.batch import padded
from skfusion.modalities import (
    AudioModality,
    ImageModality,
    SeriesModality,
    TabularModality,
    TextModality,
    VectorModality,
)


def _hide(modality, block, choose):
    """Hide the elements of each row that `choose` (from a name) wants."""
    n_tokens = 600
    elements = modality.elements(block, np.ones((len(block), n_tokens)))
    names = [e.index for e in elements]
    hidden = np.zeros((len(block), max(map(len, names))), bool)
    for i, own in enumerate(names):
        hidden[i, : len(own)] = [choose(name) for name in own]
    return modality.hide(block, hidden, names)


def test_hidden_words_read_as_if_they_were_not_there():
    text = TextModality(min_df=1).fit(["one two three four five", "six seven"])
    block = text.transform(["one two three four five"])
    without = _hide(text, block, lambda word: word == "three")
    left = text.features(without).toarray() > 0
    before = text.features(block).toarray() > 0
    short = text.transform(["one two", "four five"])
    expected = (text.features(short).toarray() > 0).any(axis=0)
    assert before.sum() > left.sum()
    np.testing.assert_array_equal(left[0], expected)  # no bigram over the gap


def test_hidden_patches_have_the_mean_colour_and_others_stay():
    rng = np.random.default_rng(0)
    pictures = pd.DataFrame(
        {k: list(rng.integers(0, 256, (3, 16, 16, 3), np.uint8)) for k in "pq"},
        dtype=object,
    )
    pictures.loc[1, "p"] = None
    image = ImageModality(size=16).fit(pictures)
    block = image.transform(pictures)
    first = image.elements(block, np.ones((3, 600)))[0].index[0]
    without = _hide(image, block, lambda patch: patch[1:] == first[1:])
    _, top, left, bottom, right = first
    pixels, before = without.arrays["pixels"], block.arrays["pixels"]
    changed = (pixels != before).any(axis=(2,))
    assert changed[[0, 0, 1, 2], [0, 1, 1, 0], top:bottom, left:right].mean() > 0.9
    assert changed[1, 0].sum() == 0  # the absent picture
    assert changed[:, :, bottom:].sum() == 0
    mean = np.round(image.mean_).astype(np.uint8)
    assert (pixels[0, 0, :, top, left] == mean).all()


def differing(one, other):
    """Codes of two blocks of sounds that differ, (n, n_columns, n_frames, n_mels)."""
    return padded(one.arrays["log_mel"]) != padded(other.arrays["log_mel"])


def test_hidden_frames_are_the_seconds_that_the_element_names():
    rng = np.random.default_rng(0)
    sounds = pd.DataFrame(
        {k: pd.Series([(rng.normal(size=n), 8000) for n in (4000, 6100)]) for k in "pq"}
    )
    sounds.loc[1, "p"] = None
    for columns in (["q"], ["p", "q"]):
        audio = AudioModality(n_mels=16).fit(sounds[columns])
        block = audio.transform(sounds[columns])
        without = _hide(
            audio, block, lambda s: s[-2] == 0.2 and (len(s) == 2 or s[0] == "q")
        )
        changed = differing(without, block)
        frames = [np.unique(np.nonzero(c[-1])[0]).tolist() for c in changed]
        assert frames == [[20, 21, 22, 23], [20, 21, 22, 23]]
        if len(columns) == 2:
            assert not changed[:, 0].any()


def test_hidden_frames_of_a_sound_whose_ends_were_cut_are_the_right_ones():
    rng = np.random.default_rng(0)
    audio = AudioModality(n_mels=16, sample_rate=8000, duration=0.5)
    audio.fit([(rng.normal(size=12000), 8000)])
    block = audio.transform([(rng.normal(size=12000), 8000)])
    without = _hide(audio, block, lambda span: span[0] == 0.5)
    changed = differing(without, block)
    assert np.unique(np.nonzero(changed[0, 0])[0]).tolist() == [0, 1, 2, 3]


def test_hidden_steps_of_a_series_have_the_median():
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(2, 64)) + 3, rng.normal(size=(2, 40)) + 3]
    series = SeriesModality().fit(rows)
    block = series.transform(rows)
    start, end = series.elements(block, np.ones((2, 99)))[0].index[3]
    without = _hide(series, block, lambda name: name == (start, end))
    values = without.arrays["values"]
    assert (block.arrays["values"][:, :, start:end] != 0).all()
    assert (values[:, :, start:end] == 0).all()
    np.testing.assert_array_equal(
        values[..., :start], block.arrays["values"][..., :start]
    )
    again = series.transform(rows)
    again.arrays["values"][:, :, start:end] = 0
    for i in (0, 1):  # described anew
        x = again.arrays["values"][i, :, : again.arrays["length"][i]]
        cells = (
            series.center_[:, None]
            + x / np.sqrt(1 - (x / 10) ** 2) * (series.scale_[:, None])
        )
        expected = series.features(series.transform([cells]))[0]
        np.testing.assert_allclose(series.features(without)[i], expected, atol=1e-3)


@pytest.mark.parametrize("max_tokens", [64, 2])
def test_hidden_columns_read_as_missing(max_tokens):
    frame = pd.DataFrame(
        {"a": [1.0, 2.0, 3.0], "b": [4.0, 5.0, 6.0], "c": [7.0, 8.0, 10.0]}
    ).assign(k=["x", "y", "x"], m=["u", "u", "v"], n=["p", "q", "q"])
    table = TabularModality(max_tokens=max_tokens, min_frequency=1).fit(frame)
    block = table.transform(frame)
    without = _hide(table, block, lambda name: name in ("c", "c … c", "k", "k … m"))
    gone = frame.assign(c=np.nan, k=None)
    if max_tokens == 2:
        gone["m"] = None
    expected = table.transform(gone)
    for key, array in expected.arrays.items():
        np.testing.assert_array_equal(without.arrays[key], array)


def test_a_vector_has_no_elements():
    assert not VectorModality().has_elements
    with pytest.raises(TypeError, match="VectorModality has no elements"):
        VectorModality().hide(None, None, None)
