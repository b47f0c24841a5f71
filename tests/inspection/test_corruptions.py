"""What befalls cells; the common contract for each subclass that there is."""

import io

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image
from scipy.ndimage import laplace

from skfusion import inspection
from skfusion.inspection import (
    CellCorruption,
    ImageBlur,
    ImageJPEG,
    ImageOcclusion,
    SoundBabble,
    SoundBandPass,
    SoundClipping,
    TabularShift,
    TextDeletion,
    TextTypos,
)
from skfusion.modalities import AudioModality, ImageModality

EVERY = CellCorruption.__subclasses__()


def _cells(kind, n=8, seed=0):
    rng = np.random.default_rng(seed)
    if kind.modalities == ("image",):
        cells = list(rng.integers(0, 256, (n, 20, 28, 3), dtype=np.uint8))
    elif kind.modalities == ("audio",):
        cells = [(rng.normal(size=800).astype(np.float32), 8000) for _ in range(n)]
    elif kind.modalities == ("text",):
        cells = ["a lovely dress that fits well and looks good"] * n
    else:
        return pd.Series(np.r_[rng.normal(size=n - 1), np.nan], name="x")
    out = pd.Series([*cells[:-1], None], name="x", dtype=object)
    return out.set_axis([f"r{i}" for i in range(n)])


def _same(a, b):
    if isinstance(a, tuple):
        return np.array_equal(a[0], b[0]) and a[1] == b[1]
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b


def test_every_subclass_was_found_and_is_public():
    assert len(EVERY) >= 9
    assert all(kind.__name__ in inspection.__all__ for kind in EVERY)


@pytest.mark.parametrize("kind", EVERY)
def test_level_0_leaves_cells_as_they_are(kind):
    column = _cells(kind)
    out = kind(0.0).corrupt_column(column, np.random.default_rng(0))
    assert all(_same(a, b) for a, b in zip(column[:-1], out[:-1], strict=True))


@pytest.mark.parametrize("kind", EVERY)
def test_cells_change_while_absent_ones_and_the_given_column_stay(kind):
    column, before = _cells(kind), _cells(kind)
    out = kind(kind.default_levels[-1]).corrupt_column(column, np.random.default_rng(0))
    assert not any(_same(a, b) for a, b in zip(column[:-1], out[:-1], strict=True))
    assert pd.isna(out.iloc[-1])
    assert all(_same(a, b) for a, b in zip(column[:-1], before[:-1], strict=True))
    assert out.index.equals(column.index)
    assert out.name == column.name


@pytest.mark.parametrize("kind", EVERY)
def test_one_seed_gives_the_same_cells(kind):
    column = _cells(kind)
    level = kind.default_levels[1]
    one, two = (
        kind(level).corrupt_column(column, np.random.default_rng(5)) for _ in "ab"
    )
    assert all(_same(a, b) for a, b in zip(one[:-1], two[:-1], strict=True))


@pytest.mark.parametrize("kind", EVERY)
def test_level_out_of_range_is_refused(kind):
    with pytest.raises(ValueError, match=f"'level' parameter of {kind.__name__}"):
        kind(-0.1).corrupt_column(_cells(kind), np.random.default_rng(0))


def _png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("kind", [ImageBlur, ImageJPEG, ImageOcclusion])
def test_pictures_of_every_form_are_read(kind, tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (24, 24), dtype=np.uint8)
    path = tmp_path / "picture.png"
    path.write_bytes(_png(grey))
    forms = [
        *(grey, grey / 255.0, grey[..., None], np.stack([grey] * 4, axis=-1)),
        *(_png(grey), path, str(path), Image.fromarray(grey), grey > 100),
    ]
    column = pd.Series(forms, dtype=object)
    out = kind(0.3).corrupt_column(column, np.random.default_rng(0))
    read = ImageModality(size=24).fit_transform(out)
    assert read.present.all()
    assert out.iloc[1].max() <= 1  # stays on its own scale


def test_blur_takes_the_edges():
    picture = _cells(ImageBlur).iloc[0][..., 0]
    blurred = ImageBlur(0.05).corrupt_cell(picture, np.random.default_rng(0))
    edges = [np.abs(laplace(p.astype(float))).mean() for p in (picture, blurred)]
    assert edges[1] < 0.2 * edges[0]


def test_occlusion_covers_the_share_that_it_says():
    picture = np.random.default_rng(0).integers(0, 256, (100, 80), dtype=np.uint8)
    covered = ImageOcclusion(0.25).corrupt_cell(picture, np.random.default_rng(0))
    flat = covered == np.uint8(picture.mean())
    assert flat.mean() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("kind", [SoundBabble, SoundBandPass, SoundClipping])
def test_sounds_of_every_form_are_read(kind):
    rng = np.random.default_rng(0)
    sound = rng.normal(size=1600).astype(np.float32) * 0.1
    file = io.BytesIO()
    soundfile.write(file, sound, 8000, format="WAV")
    forms = [
        *((sound, 8000), file.getvalue(), sound, np.int16(sound * 3000)),
        *((np.stack([sound] * 2), 8000), sound[:5], [sound, 8000]),
    ]
    out = kind(0.5).corrupt_column(pd.Series(forms, dtype=object), rng)
    assert AudioModality(sample_rate=8000).fit_transform(out).present.all()
    assert out.iloc[0][1] == 8000
    assert isinstance(out.iloc[2], np.ndarray)


def test_band_pass_takes_low_and_high_tones_only():
    t = np.arange(8000) / 8000
    tones = {hz: np.sin(2 * np.pi * hz * t) for hz in (70, 450, 3500)}
    kept = {}
    for hz, tone in tones.items():
        out, _ = SoundBandPass(0.5).corrupt_cell((tone, 8000), None)
        kept[hz] = np.std(out) / np.std(tone)
    assert kept[450] > 0.9
    assert kept[70] < 0.2
    assert kept[3500] < 0.2


def test_clipping_cuts_the_share_that_it_says():
    sound = np.random.default_rng(0).normal(size=5000)
    out = SoundClipping(0.4).corrupt_cell(sound, np.random.default_rng(0))
    at_limit = np.isclose(np.abs(out), np.abs(out).max())
    assert at_limit.mean() == pytest.approx(0.4, abs=0.01)


def test_babble_is_as_loud_as_it_says():
    column = _cells(SoundBabble, n=20)
    out = SoundBabble(0.5).corrupt_column(column, np.random.default_rng(0))
    for before, after in zip(column[:-1], out[:-1], strict=True):
        added = after[0] - before[0]
        assert np.std(added) / np.std(before[0]) == pytest.approx(0.5, abs=0.05)


def test_typos_hit_letters_as_often_as_they_say_and_words_stay_apart():
    text = "the quick brown fox jumps over the lazy dog " * 40
    out = TextTypos(0.1).corrupt_cell(text, np.random.default_rng(0))
    words = list(zip(text.split(), out.split(), strict=True))
    changed = np.mean([a != b for a, b in words])
    assert 0.2 < changed < 0.45  # of words of 4 letters on average


def test_word_deletion_leaves_one_word_at_least():
    rng = np.random.default_rng(0)
    assert len(TextDeletion(1.0).corrupt_cell("one two three", rng).split()) == 1
    left = TextDeletion(0.3).corrupt_cell("word " * 1000, rng)
    assert len(left.split()) == pytest.approx(700, abs=50)


def test_shift_moves_numbers_by_quartile_ranges_and_leaves_categories():
    rng = np.random.default_rng(0)
    column = pd.Series(rng.normal(50, 4, size=400))
    out = TabularShift(0.5).corrupt_column(column, rng)
    moved = out - column
    spread = column.quantile(0.75) - column.quantile(0.25)
    assert np.allclose(np.abs(moved), 0.5 * spread)
    labels = pd.Series(["a", "b"] * 5)
    assert TabularShift(0.5).corrupt_column(labels, rng).equals(labels)
