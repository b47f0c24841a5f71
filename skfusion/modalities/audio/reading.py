"""Reading sounds: files, bytes and samples become log-mel frames."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from skfusion._validation import shorten
from skfusion.modalities.audio.files import check_rate, open_sound, read_part
from skfusion.modalities.base import Verdict
from skfusion.modalities.columns import is_absent, is_file
from skfusion.modalities.detection import are_paths, most

__all__ = [
    "HOP",
    "RANGE",
    "READ_ERRORS",
    "STEP",
    "WINDOW",
    "are_sounds",
    "decode",
    "hop_of",
    "log_mel",
    "mel_filters",
    "probe",
]

WINDOW, HOP = 0.025, 0.010  # seconds: a frame of speech, and the step between two
LOWEST = 30.0  # Hz; below lie rumble and the direct current
RANGE = 80.0  # dB kept below the loudest mel value of a recording
STEP = RANGE / 255  # dB a code: log-mel values are stored as uint8
MAX_CHANNELS = 32
MARGIN = 256  # samples at the lower rate that resampling sees on each side of a cut
READ_ERRORS = (OSError, ValueError, TypeError, soundfile.LibsndfileError, struct.error)

ENDINGS = frozenset({".wav", ".flac", ".ogg", ".oga", ".mp3", ".aiff", ".aif"})
#: How the bytes of such files begin.
MAGIC = re.compile(
    rb"RIFF....WAVE|RF64....WAVE|FORM....AIF[FC]|fLaC|OggS|ID3|\xff[\xfa\xfb\xf2\xf3]",
    re.DOTALL,
)


def are_sounds(cells: Sequence[Any]) -> Verdict:
    """Tell whether a sample of cells looks like sounds of one sort."""
    if most(lambda c: isinstance(c, bytes) and MAGIC.match(c), cells):
        return Verdict(True, "bytes of sound files")
    if most(
        lambda c: isinstance(c, tuple) and len(c) == 2 and np.isscalar(c[1]), cells
    ):
        return Verdict(True, "tuples (samples, rate)")
    if are_paths(cells, ENDINGS):
        return Verdict(True, "names of sound files")
    return Verdict(False, "")


def hop_of(rate: int) -> int:
    return max(1, round(HOP * rate))


def mel_filters(rate: int, n_mels: int) -> NDArray[np.float32]:
    """Triangular filters of unit height, evenly spaced on the HTK mel scale.

    Returns
    -------
    filters : ndarray of shape (n_fft // 2 + 1, n_mels)
        They sum to 1 between the centres of the first and the last band, so the mel
        values of a frame add up to its power.
    """
    edges = 2595 * np.log10(1 + np.array([LOWEST, rate / 2]) / 700)
    mel = np.linspace(edges[0], edges[1], n_mels + 2)
    points = 700 * (10 ** (mel / 2595) - 1)
    low, centre, high = points[:-2], points[1:-1], points[2:]
    hz = np.arange(_n_fft(rate) // 2 + 1)[:, None] * rate / _n_fft(rate)
    rising, falling = (hz - low) / (centre - low), (high - hz) / (high - centre)
    filters = np.clip(np.minimum(rising, falling), 0, None)
    for band in np.flatnonzero(filters.sum(axis=0) == 0):  # narrower than a bin
        filters[np.abs(hz[:, 0] - centre[band]).argmin(), band] = 1
    return filters.astype(np.float32)


def _n_fft(rate: int) -> int:
    """Power of two, at least twice the window: low bands are narrower than its bins."""
    return 2 ** math.ceil(math.log2(2 * WINDOW * rate))


def log_mel(
    sound: NDArray[np.float32], rate: int, filters: Tensor
) -> NDArray[np.uint8]:
    """Log-mel frames of one sound, relative to its loudest value.

    One sound at a time, so that no row depends on the others, not even by rounding.

    Parameters
    ----------
    sound : ndarray of shape (n_samples,), float32
    rate : int
        Sample rate in Hz.
    filters : Tensor of shape (n_fft // 2 + 1, n_mels)

    Returns
    -------
    codes : ndarray of shape (n_frames, n_mels), uint8
        255 is the loudest value; one unit is 0.31 dB; 0 is 80 dB below or less.
    """
    n_fft, window = _n_fft(rate), round(WINDOW * rate)
    n_frames = max(1, len(sound) // hop_of(rate))
    x = torch.from_numpy(sound - sound.mean())
    spectrum = torch.stft(
        x,
        n_fft,
        hop_of(rate),
        window,
        torch.hann_window(window),
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    power = spectrum[:, :n_frames].abs().square()  # (bins, frames)
    mel = power.T @ filters  # (frames, mels)
    peak = mel.max()
    if not peak > 0:  # digital silence
        return np.zeros(mel.shape, np.uint8)
    decibels = 10 * torch.log10((mel / peak).clamp_min(10 ** (-RANGE / 10)))
    return ((decibels + RANGE) / STEP).round().to(torch.uint8).numpy()


def probe(cell: Any) -> tuple[int | None, int | None]:
    """Rate and number of samples of a cell, as far as they are known without decoding.

    What cannot be read counts for nothing here: `decode` will say why.
    """
    try:
        if is_absent(cell):
            return None, None
        if is_file(cell):
            with open_sound(cell, whole=False) as sound:
                return sound.samplerate, sound.frames
        samples, rate = _split(cell)
        return rate, max(np.shape(samples), default=None)
    except READ_ERRORS:
        return None, None


def decode(
    cell: Any, target: int, longest: int, usual: int | None = None
) -> tuple[NDArray[np.float32], int]:
    """Decode the middle of a sound to mono samples at another rate.

    No more is read than is kept, and a little on both sides.

    Parameters
    ----------
    cell : path, bytes of a file, samples, or (samples, rate)
    target : int
        Sample rate in Hz.
    longest : int
        Samples that are kept.
    usual : int, optional
        Rate of a cell that does not tell its own; by default `target`.

    Returns
    -------
    sound : ndarray of shape (n_samples,), at most `longest` of them
    n_skipped : int
        Frames that were cut off in front: a cut by whole frames keeps the seconds of
        the elements exact.
    """
    if is_file(cell):
        with open_sound(cell, whole=True) as file:
            n, rate = file.frames, file.samplerate
            cut = _Cut.of(n, rate, target, longest)
            samples = read_part(file, cut.first, cut.last)
        channels = 1
    else:
        values, own_rate = _split(cell)
        rate = own_rate or usual or target
        samples, channels = _check_samples(np.asarray(values))
        n = samples.shape[1 - channels] if samples.ndim == 2 else len(samples)
        cut = _Cut.of(n, rate, target, longest)
        part = slice(cut.first, cut.last)
        samples = samples[:, part] if channels == 0 else samples[part]
    sound = _resample(_mono(samples, channels), rate, target)[cut.lead :][:longest]
    if not len(sound):
        raise ValueError("the file is truncated: its middle is not there.")
    return sound, cut.n_skipped


class _Cut(NamedTuple):
    """Which samples of a sound are read.

    first, last : samples at its own rate
    lead : samples at the new rate to drop in front
    n_skipped : frames that are cut off in front
    """

    first: int
    last: int
    lead: int
    n_skipped: int

    @classmethod
    def of(cls, n: int, rate: int, target: int, longest: int) -> _Cut:
        n_resampled = n * target // rate
        if n_resampled <= longest:
            return cls(0, n, 0, 0)
        n_skipped = (n_resampled - longest) // 2 // hop_of(target)
        begin = n_skipped * hop_of(target)
        margin = math.ceil(MARGIN * max(1, rate / target))
        common = math.gcd(rate, target)  # of the rates, so that `lead` is exact
        steps = max(0, begin * rate // target - margin) // (rate // common)
        first = steps * (rate // common)
        last = -(-(begin + longest) * rate // target) + margin
        return cls(first, min(n, last), begin - steps * (target // common), n_skipped)


def _split(cell: Any) -> tuple[Any, int | None]:
    """Samples and rate of a cell that is no file."""
    if not isinstance(cell, tuple) and not (
        isinstance(cell, list)
        and len(cell) == 2
        and np.ndim(cell[0])
        and np.ndim(cell[1]) == 0
    ):
        return cell, None
    if len(cell) != 2 or np.ndim(cell[1]) or not np.ndim(cell[0]):
        hint = " The order is (samples, rate)." if len(cell) == 2 else ""
        raise TypeError(
            f"a tuple must hold (samples, rate), got {len(cell)} items of types "
            f"{[type(part).__name__ for part in cell[:3]]}.{hint}"
        )
    rate = cell[1]
    if not isinstance(rate, Real):
        raise TypeError(f"the sample rate must be a number of Hz, got {shorten(rate)}.")
    check_rate(float(rate))
    return cell[0], round(float(rate))


def _check_samples(samples: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Samples (T,), (T, channels) or (channels, T), and the axis of the channels.

    The shorter of two axes is that of the channels.
    """
    if samples.ndim == 0:
        raise TypeError(f"a single value ({shorten(samples.item())}) is no sound.")
    if samples.dtype.kind not in "fiu":
        raise TypeError(
            f"samples must be float or integer numbers, got dtype {samples.dtype}."
        )
    if samples.ndim not in (1, 2):
        raise ValueError(
            f"samples must have shape (T,), (T, channels) or (channels, T), got "
            f"{samples.shape}."
        )
    channels = 1 if samples.ndim == 1 else int(np.argmin(samples.shape))
    if samples.ndim == 2 and samples.shape[channels] > MAX_CHANNELS:
        raise ValueError(
            f"an array of shape {samples.shape} would be a sound of "
            f"{samples.shape[channels]} channels; at most {MAX_CHANNELS} are read."
        )
    return samples, channels


def _mono(samples: NDArray[Any], channels: int) -> NDArray[np.float32]:
    """Average the channels; the level says nothing, and becomes 1."""
    if samples.size == 0:
        raise ValueError("the sound has no samples.")
    if samples.dtype.kind == "f" and not np.isfinite(samples).all():
        bad = int((~np.isfinite(samples)).sum())
        raise ValueError(f"{bad} of its samples are NaN or infinite.")
    peak = max(float(samples.max()), -float(samples.min()))
    samples = (samples / (peak or 1.0)).astype(np.float32)
    return samples if samples.ndim == 1 else samples.mean(axis=channels)


def _resample(
    sound: NDArray[np.float32], rate: int, target: int
) -> NDArray[np.float32]:
    if rate == target:
        return sound
    resampled = soxr.resample(sound, rate, target)
    return resampled if len(resampled) else sound[:1]
