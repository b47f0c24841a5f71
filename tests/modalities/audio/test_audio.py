"""Sounds of every form become the same frames, and padding changes nothing."""

import io
import pickle

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skfusion.batch import block_tensors, padded
from skfusion.modalities import AudioModality
from skfusion.modalities.audio.reading import mel_filters

RATE = 8000


def sound(seconds=0.5, pitch=300.0, seed=0):
    """A rising tone with a little hiss, at half of full scale."""
    time = np.arange(round(seconds * RATE)) / RATE
    hiss = 0.02 * np.random.default_rng(seed).normal(size=len(time))
    return (0.45 * np.sin(2 * np.pi * (pitch + 400 * time) * time) + hiss).astype("f4")


def encode(samples, fmt="WAV", **kwargs):
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=fmt, **kwargs)
    return file.getvalue()


def frames(block, row=0):
    return block.arrays["log_mel"][row, 0]


def inputs(block):
    return block_tensors(block, np.arange(len(block)))


def encoder(modality, dropout=0.0, seed=0):
    torch.manual_seed(seed)
    return modality.build_encoder(24, dropout).eval()


@pytest.fixture(scope="module")
def cells():
    return [(sound(0.2 + 0.1 * i, 200 + 80 * i, i), RATE) for i in range(6)] + [None]


@pytest.fixture(scope="module")
def fitted(cells):
    return AudioModality(n_mels=32).fit(cells)


def test_fit_learns_rate_duration_and_bands(fitted, cells):
    assert fitted.sample_rate_ == RATE
    assert fitted.duration_ == pytest.approx(0.7, abs=0.01)
    block = fitted.transform(cells)
    assert padded(block.arrays["log_mel"]).shape == (7, 1, 69, 32)
    assert padded(block.arrays["log_mel"]).dtype == np.uint8
    np.testing.assert_array_equal(block.present, [True] * 6 + [False])
    np.testing.assert_array_equal(block.arrays["length"][:3, 0], [20, 30, 40])
    valid = np.concatenate([frames(block, i) for i in range(6)])
    np.testing.assert_allclose(
        valid.mean(0) * 80 / 255 - 80, fitted.band_mean_, atol=1e-3
    )


def test_fit_transform_equals_fit_then_transform(fitted, cells):
    both, apart = AudioModality(n_mels=32).fit_transform(cells), fitted.transform(cells)
    np.testing.assert_array_equal(np.asarray(both), np.asarray(apart))


@pytest.mark.parametrize(
    "form",
    [
        "path", "pathlib", "wav", "flac", "stereo", "channels first", "int16", "int32",
        "list", "half level", "bytearray", "file stereo",
    ],
)  # fmt: skip
def test_every_form_of_cell_gives_the_same_sound(fitted, tmp_path, form):
    x = sound()
    whole = (x * 32767).round().astype("int16")
    path = tmp_path / "sound.wav"
    path.write_bytes(encode(x))
    cell = {
        "path": str(path),
        "pathlib": path,
        "wav": encode(x),
        "flac": encode(x, "FLAC"),
        "stereo": (np.stack([x, x], axis=1), RATE),
        "channels first": (np.stack([x, x]), RATE),
        "int16": (whole, RATE),
        "int32": (whole.astype("int32") * 65536, RATE),
        "list": [x.tolist(), RATE],
        "half level": (x / 2, RATE),
        "bytearray": bytearray(encode(x)),
        "file stereo": encode(np.stack([x, x], axis=1)),
    }[form]
    expected = frames(fitted.transform([(x, RATE)]))
    came = frames(fitted.transform([cell]))
    assert came.shape == expected.shape
    loud = expected > 60  # 16 bits add a little noise below -60 dB
    assert np.abs(came.astype(int) - expected.astype(int))[loud].max() <= 3


@pytest.mark.parametrize("fmt", ["OGG", "MP3"])
def test_lossy_files_give_nearly_the_same_sound(fitted, fmt):
    expected = frames(fitted.transform([(sound(), RATE)])).astype(int)
    came = frames(fitted.transform([encode(sound(), fmt)])).astype(int)
    n = min(len(came), len(expected))
    assert abs(len(came) - len(expected)) <= 30  # an MP3 may begin with its delay
    assert np.abs(came[:n].mean(0) - expected[:n].mean(0))[:8].mean() < 30


def test_unequal_channels_are_averaged(fitted):
    a, b = sound(), sound(pitch=700, seed=1)
    mixed = frames(fitted.transform([((a + b) / 2, RATE)]))
    stereo = frames(fitted.transform([(np.stack([a, b], 1), RATE)]))
    assert np.abs(mixed.astype(int) - stereo.astype(int)).max() <= 1


def test_resampling_keeps_pitch_and_duration(fitted):
    time = np.arange(22050) / 22050
    high = (np.sin(2 * np.pi * 1000 * time), 22050)
    low = (np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE), RATE)
    modality = AudioModality(n_mels=32, sample_rate=RATE).fit([high, low])
    block = modality.transform([high, low])
    np.testing.assert_array_equal(block.arrays["length"][:, 0], [100, 100])
    bands = [frames(block, i)[40:60].mean(0).argmax() for i in range(2)]
    assert bands[0] == bands[1]


def test_sample_rate_auto_takes_the_usual_rate_up_to_16_khz():
    x = sound()
    assert AudioModality().fit([(x, 8000), (x, 8000), (x, 22050)]).sample_rate_ == 8000
    assert AudioModality().fit([(x, 44100)]).sample_rate_ == 16000
    assert AudioModality().fit([x, x]).sample_rate_ == 16000
    assert AudioModality().fit([encode(x), x]).sample_rate_ == RATE


def test_arrays_without_rate_are_taken_at_sample_rate():
    block = AudioModality(sample_rate=RATE).fit_transform(np.stack([sound(), sound()]))
    np.testing.assert_array_equal(block.arrays["length"], [[50], [50]])


def test_long_sounds_keep_their_middle_and_elements_know_it():
    x = np.concatenate([np.zeros(RATE), sound(1.0), np.zeros(RATE)]).astype("f4")
    modality = AudioModality(duration=1.0, n_mels=32)
    block = modality.fit_transform([(x, RATE)])
    np.testing.assert_array_equal(block.arrays["start"], [[100]])
    expected = modality.transform([(sound(1.0), RATE)])
    inner = slice(2, -2)  # windows at the ends see what lies outside
    gap = frames(block)[inner].astype(int) - frames(expected)[inner].astype(int)
    assert np.abs(gap).max() <= 2
    weights = np.full((1, 25), 0.04)
    spans = modality.elements(block, weights)[0].index
    assert spans[0] == (1.0, 1.04)
    assert spans[-1][1] == pytest.approx(2.0)


def test_duration_auto_is_capped():
    assert AudioModality().fit([(np.ones(1000 * 30), 1000)]).duration_ == 10.0


def test_silence_is_present_and_finite(fitted):
    block = fitted.transform([(np.zeros(800), RATE), (np.full(800, 0.3), RATE)])
    assert block.present.all()
    assert np.isfinite(fitted.features(block)).all()
    tokens, _ = encoder(fitted)(inputs(block))
    assert torch.isfinite(tokens).all()


def test_one_sample_is_a_sound(fitted):
    block = fitted.transform([(np.ones(1), RATE), (np.ones(1), 44100)])
    np.testing.assert_array_equal(block.arrays["length"], [[1], [1]])


def truncated_wav():
    return encode(sound())[:-1000]


def flipped():
    return encode(sound(), "FLAC")[:600] + b"\0" * 500


@pytest.mark.parametrize(
    ("cell", "cause"),
    [
        (truncated_wav(), "truncated: its header announces"),
        (encode(sound(), "FLAC")[:-900], "damaged"),
        (flipped(), "damaged"),
        (encode(sound(3), "OGG")[:-200], "truncated: its last OGG page"),
        (encode(sound(), "AIFF")[:-900], "truncated"),
        (encode(sound(3), "MP3")[:2500], "truncated: it announces"),
        (b"no sound", "not a sound file"),
        (b"", "not a sound file"),
        ("missing.wav", "there is no file 'missing.wav'"),
        (np.array([0.1, np.nan]), "1 of its samples are NaN or infinite"),
        ((np.array([0.1, -np.inf]), RATE), "NaN or infinite"),
        (np.array([]), "no samples"),
        (encode(np.zeros(0)), "no samples"),
        (3.5, "a single value"),
        ((RATE, sound()), r"The order is \(samples, rate\)"),
        ((sound(), -1), "sample rate"),
        ((sound(), np.nan), "sample rate"),
        (np.zeros((2, 2, 9)), "shape"),
        (np.zeros((50, 90)), "50 channels"),
        (np.array(["a", "b"]), "dtype"),
        ({"a": 1}, "a single value"),
        (True, "a single value"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_unreadable_cell_names_row_column_cause_and_remedy(fitted, cell, cause):
    frame = pd.DataFrame({"clip": [(sound(), RATE), cell]}, index=["a", "b"])
    frame["clip"] = frame["clip"].astype(object)
    with pytest.raises(ValueError, match=cause) as error:
        fitted.transform(frame)
    for part in ("row 'b' of column 'clip'", "AudioModality", "on_error"):
        assert part in str(error.value)
    with pytest.raises(ValueError, match=cause):
        clone(fitted).fit(frame)
    lenient = clone(fitted).set_params(on_error="absent")
    with pytest.warns(UserWarning, match="1 cell"):
        block = lenient.fit_transform(frame)
    np.testing.assert_array_equal(block.present, [True, False])


def test_wav_written_to_a_pipe_is_not_truncated(fitted):
    raw = bytearray(encode(sound()))
    at = raw.index(b"data")
    raw[at + 4 : at + 8] = b"\xff" * 4
    assert fitted.transform([bytes(raw)]).arrays["length"][0, 0] == 50


@pytest.mark.parametrize("cell", [None, np.nan, pd.NA, "", "  "])
def test_absent_cells(fitted, cell):
    block = fitted.transform([cell, (sound(), RATE)])
    np.testing.assert_array_equal(block.present, [False, True])
    assert len(block.arrays["log_mel"][0, 0]) == 0
    assert not fitted.features(block)[0].any()
    assert len(fitted.elements(block, np.zeros((2, 15)))[0]) == 0


def test_fit_on_absent_cells_only():
    modality = AudioModality()
    block = modality.fit_transform([None, None])
    assert not block.present.any()
    tokens, mask = encoder(modality)(inputs(block))
    assert torch.isfinite(tokens).all()
    assert mask.any(dim=1).all()


@pytest.mark.parametrize("double", [False, True])
def test_tokens_do_not_depend_on_padding_or_on_other_rows(fitted, cells, double):
    block = fitted.transform(cells[:6])
    net = encoder(fitted)
    net = net.double() if double else net
    tokens, mask = net(inputs(block))
    given = inputs(block)
    steps = torch.arange(given["log_mel"].shape[2])
    given["log_mel"][steps >= given["length"][..., None]] = 200  # behind the end
    garbage, _ = net(given)
    assert torch.equal(tokens[mask], garbage[mask])
    for i in range(6):
        alone, alone_mask = net(inputs(block[i : i + 1]))
        assert alone_mask.all()
        n = alone.shape[1]
        assert mask[i].sum() == n == -(-block.arrays["length"][i, 0] // 4)
        atol = 1e-12 if double else 1e-5
        torch.testing.assert_close(alone[0], tokens[i, :n], rtol=0, atol=atol)
    assert tokens.dtype == (torch.float64 if double else torch.float32)


def test_noise_resembles_white_noise_added_to_the_samples():
    rng = np.random.default_rng(0)
    x = sound(1.0)
    modality = AudioModality(n_mels=32, sample_rate=RATE).fit([x])
    clean = inputs(modality.transform([x, x]))
    torch.manual_seed(0)
    noisy = encoder(modality).add_noise(clean, torch.tensor([0.0, 1.0]))
    assert torch.equal(noisy["log_mel"][0].to(torch.uint8), clean["log_mel"][0])
    hissing = x + x.std() * rng.normal(size=len(x)).astype("f4")
    real = frames(modality.transform([hissing])).astype(float)
    came = noisy["log_mel"][1, 0].numpy()
    quiet = frames(modality.transform([x])).astype(float)
    step = 80 / 255
    gap = np.abs(real.mean(0) - came.mean(0)) * step  # dB, by band
    assert gap.mean() < 4
    assert gap.mean() < 0.2 * np.abs(real.mean(0) - quiet.mean(0)).mean() * step
    assert clean["log_mel"].dtype == torch.uint8


def test_noise_keeps_padding_and_absence_silent(fitted, cells):
    batch = inputs(fitted.transform(cells))
    noisy = encoder(fitted).add_noise(batch, torch.full((7,), 3.0))["log_mel"]
    assert torch.isfinite(noisy).all()
    for i, n in enumerate(batch["length"][:, 0]):
        assert not noisy[i, 0, n:].any()


def test_elements_sum_to_one_inside_the_duration(fitted, cells):
    block = fitted.transform(cells)
    _, mask = encoder(fitted)(inputs(block))
    weights = mask.double() / mask.sum(dim=1, keepdim=True)
    weights = np.pad(weights.numpy(), ((0, 0), (0, 3)))
    for i, element in enumerate(fitted.elements(block, weights)[:6]):
        assert element.sum() == pytest.approx(1)
        seconds = len(cells[i][0]) / RATE
        assert element.index[0] == (0.0, 0.04)
        assert all(0 <= a < b <= seconds + 1e-9 for a, b in element.index)


def test_two_columns_give_tokens_of_both(cells):
    frame = pd.DataFrame({"left": cells, "right": [None, *cells[:5], None]})
    modality = AudioModality(n_mels=32)
    block = modality.fit_transform(frame)
    np.testing.assert_array_equal(block.present, [True] * 6 + [False])
    _, mask = encoder(modality)(inputs(block))
    weights = (mask.double() / mask.sum(dim=1, keepdim=True)).numpy()
    elements = modality.elements(block, weights)
    assert {name[0] for name in elements[0].index} == {"left"}
    assert {name[0] for name in elements[3].index} == {"left", "right"}
    assert all(e.sum() == pytest.approx(1) for e in elements[:6])
    assert modality.features(block).shape == (7, 2 * 322)
    with pytest.raises(ValueError, match="fitted on 2 column"):
        modality.transform(frame[["left"]])


def test_features_are_finite_and_tell_sounds_apart(fitted, cells):
    features = fitted.features(fitted.transform(cells))
    assert features.dtype == np.float32
    assert features.shape == (7, 322)
    assert np.isfinite(features).all()
    assert not np.allclose(features[0], features[5])


def test_rows_do_not_depend_on_one_another(fitted, cells):
    together = fitted.transform(cells)
    for i in range(len(cells)):
        alone = fitted.transform(cells[i : i + 1])
        for key, array in alone.arrays.items():
            np.testing.assert_array_equal(
                padded(array)[0], padded(together.arrays[key][i : i + 1])[0]
            )


def test_cells_are_left_alone(fitted):
    x = sound()
    kept = x.copy()
    fitted.transform([(x, RATE)])
    np.testing.assert_array_equal(x, kept)


def test_pickle_and_clone(fitted, cells):
    twin = pickle.loads(pickle.dumps(fitted))
    a, b = fitted.transform(cells), twin.transform(cells)
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    assert not hasattr(clone(fitted), "sample_rate_")


@pytest.mark.parametrize(
    "parameters",
    [{"sample_rate": 3.5}, {"duration": 0}, {"n_mels": "many"}, {"on_error": "skip"}],
)
def test_wrong_parameters_are_named_in_fit(parameters):
    modality = AudioModality(**parameters)
    with pytest.raises(ValueError, match=next(iter(parameters))):
        modality.fit([(sound(), RATE)])


@pytest.mark.parametrize("rate", [1000, 8000, 16000, 44100])
@pytest.mark.parametrize("n_mels", [8, 64, 256])
def test_every_mel_filter_catches_something(rate, n_mels):
    filters = mel_filters(rate, n_mels)
    assert (filters.sum(axis=0) > 0).all()
    assert filters.sum(axis=1).max() <= 1.0001 or n_mels == 256 or rate == 1000


def test_transform_before_fit_is_refused():
    with pytest.raises(NotFittedError, match="AudioModality"):
        AudioModality().transform([(sound(), RATE)])
