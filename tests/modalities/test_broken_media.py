"""Files with flipped, cut or repeated bytes are read or absent, and nothing else.

``SKFUSION_TEST_CASES`` sets how many are tried.
"""

import io
import os
import warnings

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from skfusion.batch import padded
from skfusion.modalities import AudioModality, ImageModality

CASES = int(os.environ.get("SKFUSION_TEST_CASES", "0"))
rng = np.random.default_rng(0)


def picture(form):
    file = io.BytesIO()
    pixels = rng.integers(0, 256, (20, 24, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def sound(form):
    file = io.BytesIO()
    soundfile.write(file, rng.normal(size=3000) / 9, 8000, format=form)
    return file.getvalue()


FILES = {
    **{form: picture(form) for form in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")},
    **{
        form: sound(form)
        for form in ("WAV", "RF64", "W64", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF")
    },
}
FITTED = {
    "picture": ImageModality(size=8, on_error="absent").fit([FILES["PNG"]] * 2),
    "sound": AudioModality(n_mels=8, on_error="absent").fit([FILES["WAV"]] * 2),
}


@st.composite
def broken(draw, whole):
    """The bytes of a file with up to five changes, most of them in its head."""
    raw = bytearray(whole)
    for _ in range(draw(st.integers(1, 5))):
        size = max(len(raw), 1)
        at = draw(st.integers(0, min(size, 100) - 1) | st.integers(0, size - 1))
        change = draw(st.sampled_from(["byte", "cut", "insert", "huge", "repeat"]))
        if change == "cut":
            del raw[at:]
        elif change == "insert":
            raw[at:at] = draw(st.binary(max_size=8))
        elif change == "huge":
            raw[at : at + 4] = draw(st.sampled_from([b"\xff" * 4, b"\0" * 4]))
        elif change == "repeat":
            raw[at:at] = raw[at : at + 64]
        elif raw:
            raw[at % len(raw)] = draw(st.integers(0, 255))
    return bytes(raw)


@pytest.mark.parametrize("form", FILES)
def test_a_broken_file_is_read_or_absent(form):
    modality = FITTED["sound" if form in soundfile.available_formats() else "picture"]

    @settings(
        max_examples=CASES // len(FILES) or 40,
        deadline=None,
        derandomize=not CASES,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(broken(FILES[form]))
    def check(raw):
        with warnings.catch_warnings():
            # Pillow tells of what it tolerates; ours is the one of absence.
            warnings.simplefilter("ignore")
            block = modality.transform([FILES[form], raw])
        assert block.present[0]
        for array in block.arrays.values():
            assert np.isfinite(padded(array)).all()
        assert np.isfinite(modality.features(block)).all()
        assert modality.features(block)[1].any() <= block.present[1]

    check()
