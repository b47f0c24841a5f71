"""Sound files: broken, truncated, hours long, or of nonsensical rates."""

import io
import os
import struct

import numpy as np
import pytest
import soundfile

from skfusion.batch import padded
from skfusion.modalities import AudioModality
from skfusion.modalities.audio.files import FORMATS
from skfusion.modalities.audio.reading import decode, log_mel, mel_filters

RATE = 8000


def sound(seconds=2.0, rate=RATE):
    time = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * (200 + 90 * time) * time)).astype("f4")


def encode(samples, form, rate=RATE):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form)
    return file.getvalue()


@pytest.fixture(scope="module")
def fitted():
    return AudioModality(n_mels=16).fit([(sound(), RATE)] * 2)


# ---------------------------------------------------------------- truncation


@pytest.mark.parametrize("form", sorted(FORMATS))
@pytest.mark.parametrize("as_path", [False, True])
def test_every_format_is_read_whole_or_refused(fitted, tmp_path, form, as_path):
    raw = encode(sound(4.0), form)
    path = tmp_path / "sound"

    def cell(content):
        path.write_bytes(content)
        return path if as_path else content

    assert fitted.transform([cell(raw)]).present.all()
    shares = (0.5, 0.2, 0.03)  # the delay of its encoder makes an MP3's end vague
    for share in shares if form == "MP3" else (0.9, *shares):
        with pytest.raises(ValueError, match=r"truncated|damaged"):
            fitted.transform([cell(raw[: int(share * len(raw))])])


@pytest.mark.parametrize("form", sorted(FORMATS - {"MP3", "CAF"}))
def test_a_missing_end_is_noticed_though_only_the_middle_is_kept(form):
    raw = encode(sound(30.0), form)
    modality = AudioModality(n_mels=16, duration=0.5).fit([raw])
    with pytest.raises(ValueError, match=r"truncated|damaged"):
        modality.transform([raw[:-2000]])


@pytest.mark.parametrize("form", ["AVR", "IRCAM", "MAT4", "NIST", "PVF", "VOC"])
def test_formats_whose_end_cannot_be_told_are_refused(fitted, form):
    with pytest.raises(ValueError, match=f"of {form} files .* convert it to WAV"):
        fitted.transform([encode(sound(), form)])


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_au_and_wave_written_to_a_pipe_do_not_say_how_long_they_are(fitted, size):
    raw = bytearray(encode(sound(), "WAV"))
    at = raw.index(b"data")
    raw[at + 4 : at + 8] = struct.pack("<I", size or 0x7FFFF000)
    assert fitted.transform([bytes(raw)]).present.all()
    raw = bytearray(encode(sound(), "AU"))
    raw[8:12] = b"\xff" * 4
    assert fitted.transform([bytes(raw)]).present.all()


def test_chunks_without_an_end_are_no_endless_loop(fitted):
    wave64 = encode(sound(), "W64")
    at = wave64.index(b"fmt ") + 16
    for size in (0, 8, 2**63):
        broken = wave64[:at] + struct.pack("<Q", size) + wave64[at + 8 :]
        with pytest.raises(ValueError, match="cannot read the sound"):
            fitted.transform([broken])
    many = b"RIFF" + struct.pack("<I", 400_000) + b"WAVE" + b"junk\0\0\0\0" * 50_000
    with pytest.raises(ValueError, match="cannot read the sound"):
        fitted.transform([many])


# ---------------------------------------------------------------- nonsense


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_no_sound(fitted, tmp_path):
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)
    with pytest.raises(ValueError, match="there is no file"):
        fitted.transform([pipe])


def with_rate(rate, samples=20_000):
    raw = bytearray(encode(np.sin(np.arange(samples)), "WAV"))
    raw[24:28] = struct.pack("<I", rate)
    return bytes(raw)


@pytest.mark.parametrize("rate", [1, 2, 7, 100])
def test_only_what_is_kept_is_resampled(fitted, monkeypatch, rate):
    import soxr

    lengths = []
    real = soxr.resample
    monkeypatch.setattr(
        soxr, "resample", lambda x, *a: lengths.append(len(x)) or real(x, *a)
    )
    block = fitted.transform([with_rate(rate)])
    assert block.present.all()
    assert max(lengths) < rate * fitted.duration_ + 2 * 256 + 2 * rate + 2
    assert AudioModality().fit([with_rate(rate)]).sample_rate_ == 1000


@pytest.mark.parametrize("rate", [0, 20_000_000, 4_000_000_000])
def test_impossible_rates_are_refused(fitted, rate):
    with pytest.raises(ValueError, match=r"rate must be from 1|damaged"):
        fitted.transform([with_rate(rate)])
    with pytest.raises(ValueError, match="rate must be from 1"):
        fitted.transform([(sound(), rate)])


def test_a_header_that_claims_hours_does_not_reserve_them(fitted):
    raw = bytearray(encode(sound(), "FLAC"))
    raw[21] |= 0x0F  # the total number of samples: 36 bits
    raw[22:26] = b"\xff" * 4
    with pytest.raises(ValueError, match=r"truncated|damaged"):
        fitted.transform([bytes(raw)])


# ---------------------------------------------------------------- cut


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 44101])
@pytest.mark.parametrize("form", ["WAV", "FLAC", None])
def test_a_part_is_what_it_was_in_the_whole(rate, form):
    x = sound(9.0, rate)
    cell = encode(x, form, rate) if form else (x, rate)
    filters_of = mel_filters(RATE, 16)
    whole, n_skipped = decode(cell, RATE, 10**9)
    assert n_skipped == 0
    part, n_skipped = decode(cell, RATE, 8000)
    assert len(part) == 8000
    assert n_skipped == 400  # frames of 10 ms: the middle of nine seconds
    same = whole[400 * 80 :][:8000]
    import torch

    codes = [log_mel(s, RATE, torch.from_numpy(filters_of)) for s in (part, same)]
    assert np.abs(codes[0].astype(int) - codes[1]).max() <= 1


def test_stereo_and_transposed_samples_are_cut_alike():
    x = sound(5.0)
    stereo = np.stack([x, x])
    expected, _ = decode((x, RATE), RATE, 8000)
    for cell in ((stereo, RATE), (stereo.T, RATE), encode(stereo.T, "WAV")):
        found, n_skipped = decode(cell, RATE, 8000)
        assert n_skipped == 200
        np.testing.assert_allclose(found, expected, atol=1e-3)


# ---------------------------------------------------------------- padding


def test_a_long_sound_pads_no_other_row():
    cells = [(sound(0.5), RATE)] * 20 + [(sound(60.0), RATE)]
    modality = AudioModality(n_mels=16, duration=600)
    block = modality.fit_transform(cells)
    assert block.nbytes < 2 * (20 * 50 + 6000) * 16
    assert padded(block[:3].arrays["log_mel"]).shape == (3, 1, 50, 16)
    features = modality.features(block)
    np.testing.assert_array_equal(features[0], modality.features(block[:1])[0])
