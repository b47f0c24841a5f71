import numpy as np
import pandas as pd
import pytest

from skfusion.datasets import load_spoken_digits


@pytest.fixture(scope="module")
def digits():
    return load_spoken_digits()


def test_cells_are_images_and_sounds(digits):
    for image in digits.data["image"]:
        assert image.shape == (28, 28)
        assert image.dtype == np.uint8
        assert image.max() > 100
    for samples, rate in digits.data["sound"]:
        assert rate == 8000
        assert samples.ndim == 1
        assert samples.dtype == np.float32
        assert 0.14 < len(samples) / rate < 2.3
        assert 0 < np.abs(samples).max() <= 1
    assert isinstance(digits.data["speaker"].dtype, pd.CategoricalDtype)


def test_speakers_and_digits_are_balanced(digits):
    counts = pd.crosstab(digits.data["speaker"], digits.target)
    assert counts.shape == (6, 10)
    assert (counts == 25).all(axis=None)


# Since none occurs twice, none can be in two parts of whatever split.
def test_no_image_and_no_recording_occurs_twice(digits):
    assert digits.data["image"].map(lambda image: image.tobytes()).is_unique
    assert digits.data["sound"].map(lambda sound: sound[0].tobytes()).is_unique


def test_recording_split_tests_every_speaker_on_every_digit(digits):
    in_test = digits.split == "test"
    counts = pd.crosstab(digits.data["speaker"][in_test], digits.target[in_test])
    assert (counts == 5).all(axis=None)


def test_speaker_split_keeps_two_voices_for_the_test():
    digits = load_spoken_digits(split="speaker")
    in_test = digits.split == "test"
    assert set(digits.data["speaker"][in_test]) == {"lucas", "theo"}
    assert not set(digits.data["speaker"][~in_test]) & {"lucas", "theo"}
    assert (in_test.sum(), (~in_test).sum()) == (500, 1000)


def test_unknown_split_is_refused_by_name():
    with pytest.raises(ValueError, match=r"'split'.*'recording', 'speaker'.*'random'"):
        load_spoken_digits(split="random")


# Nearest mean image or spectrum: enough to show that images, sounds and digits belong
# together, which a shifted index would not let pass.
@pytest.mark.parametrize(("column", "least"), [("image", 0.75), ("sound", 0.3)])
def test_each_modality_tells_the_digit(digits, column, least):
    if column == "image":
        X = np.stack([image.ravel() / 255.0 for image in digits.data["image"]])
    else:
        spectra = [np.fft.rfft(s, 8000)[:2000] for s, _ in digits.data["sound"]]
        bands = np.log(np.abs(np.stack(spectra)) + 1e-3).reshape(len(spectra), 50, -1)
        X = bands.mean(axis=2)
        X -= X.mean(axis=1, keepdims=True)
    y, train = digits.target.to_numpy(), digits.split == "train"
    means = np.stack([X[train & (y == digit)].mean(axis=0) for digit in range(10)])
    distances = np.linalg.norm(X[~train][:, None] - means, axis=2)
    assert np.mean(distances.argmin(axis=1) == y[~train]) > least
