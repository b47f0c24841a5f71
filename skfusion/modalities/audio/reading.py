"""Reading sounds: files, bytes and samples become log-mel frames."""

from __future__ import annotations

import io
import math
import os
import re
import struct
from collections.abc import Sequence
from numbers import Real
from typing import Any, BinaryIO

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from skfusion.modalities.base import is_absent
from skfusion.modalities.detection import are_paths, most

__all__ = [
    "HOP",
    "RANGE",
    "READ_ERRORS",
    "STEP",
    "WINDOW",
    "are_sounds",
    "holds_nothing",
    "hop_of",
    "log_mel",
    "mel_filters",
    "probe",
    "read",
    "resample",
]

WINDOW, HOP = 0.025, 0.010  # seconds: a frame of speech, and the step between two
LOWEST = 30.0  # Hz; below lie rumble and the direct current
RANGE = 80.0  # dB kept below the loudest mel value of a recording
STEP = RANGE / 255  # dB a code: log-mel values are stored as uint8
MAX_CHANNELS = 32
READ_ERRORS = (OSError, ValueError, TypeError, soundfile.LibsndfileError, struct.error)

ENDINGS = frozenset({".wav", ".flac", ".ogg", ".oga", ".mp3", ".aiff", ".aif"})
#: How the bytes of such files begin.
MAGIC = re.compile(
    rb"RIFF....WAVE|RF64....WAVE|FORM....AIF[FC]|fLaC|OggS|ID3|\xff[\xfa\xfb\xf2\xf3]",
    re.DOTALL,
)


def are_sounds(cells: Sequence[Any]) -> bool:
    """Tell whether a sample of cells looks like sounds of one sort."""
    return bool(
        most(lambda c: isinstance(c, bytes) and MAGIC.match(c), cells)
        or most(
            lambda c: isinstance(c, tuple) and len(c) == 2 and np.isscalar(c[1]), cells
        )
        or are_paths(cells, ENDINGS)
    )


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


def holds_nothing(cell: Any) -> bool:
    return is_absent(cell) or (isinstance(cell, str) and not cell.strip())


def _open(cell: Any) -> BinaryIO | None:
    """The file behind a cell, or None if the cell is not one."""
    if isinstance(cell, bytes | bytearray | memoryview):
        return io.BytesIO(cell)
    if isinstance(cell, str | os.PathLike):
        if not os.path.isfile(cell):
            raise FileNotFoundError(f"there is no file {os.fspath(cell)!r}.")
        return open(cell, "rb")
    return None


def probe(cell: Any) -> tuple[int | None, int | None]:
    """Rate and number of samples of a cell, as far as they are known without decoding.

    What cannot be read counts for nothing here: `read` will say why.
    """
    try:
        file = None if holds_nothing(cell) else _open(cell)
        if file is not None:
            with file:
                info = soundfile.info(file)
            return info.samplerate, info.frames
        samples, rate = _split(cell)
        return rate, max(np.shape(samples), default=None)
    except READ_ERRORS:
        return None, None


def read(cell: Any) -> tuple[NDArray[np.float32], int | None]:
    """Decode a cell to mono samples (n_samples,) and their rate, None if not told."""
    file = _open(cell)
    if file is None:
        samples, rate = _split(cell)
        return _mono(np.asarray(samples)), rate
    with file:
        raw = file.read()
    _check_complete(raw)
    try:
        with soundfile.SoundFile(io.BytesIO(raw)) as sound:
            announced, rate = sound.frames, sound.samplerate
            samples = sound.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(
            f"it is not a sound file, or it is damaged ({error.error_string})"
        ) from error
    # Only an MP3 with this tag says how long it is, and its encoder's delay is vague.
    if sound.format == "MP3":
        tagged = b"Xing" in raw or b"Info" in raw
        announced = int(0.98 * announced) - 2304 if tagged else 0
    if len(samples) < announced:
        raise ValueError(
            f"the file is truncated: it announces {announced} frames of sound, but "
            f"holds only {len(samples)}."
        )
    return _mono(samples), rate


def _check_complete(raw: bytes) -> None:
    """Raise if a file is shorter than its own header says.

    libsndfile reads what there is of a truncated WAV, AIFF or OGG file as if it were
    all, so their structure is followed here.
    """
    announced = len(raw)
    if raw[:4] == b"RIFF" and raw[8:12] == b"WAVE":
        position = 12
        while position + 8 <= len(raw):
            name, size = struct.unpack_from("<4sI", raw, position)
            # Programs that write to a pipe leave 0 or a huge size: it says nothing.
            if name == b"data":
                announced = position + 8 + size if size < 0x7FFFF000 else announced
                break
            position += 8 + size + size % 2
    elif raw[:4] == b"FORM" and len(raw) >= 8:
        announced = 8 + struct.unpack_from(">I", raw, 4)[0]
    elif raw[:4] == b"OggS":
        page = raw.rfind(b"OggS\0")
        segments = raw[page + 26] if len(raw) > page + 26 else 0
        table = raw[page + 27 : page + 27 + segments]
        # The last page must be whole, and carry the mark "end of stream".
        if not raw[page + 5] & 4 or page + 27 + segments + sum(table) > len(raw):
            raise ValueError("the file is truncated: its last OGG page is not there.")
    if len(raw) < announced:
        raise ValueError(
            f"the file is truncated: its header announces {announced} bytes, but it "
            f"has only {len(raw)}."
        )


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
    if not isinstance(rate, Real) or not 1 <= float(rate) <= 1e7:
        raise ValueError(f"the sample rate must be a number of Hz, got {rate!r}.")
    return cell[0], round(float(rate))


def _mono(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Check samples, and average their channels, the shorter of two axes."""
    if samples.ndim == 0:
        raise TypeError(f"a single value ({str(samples)[:40]}) is no sound.")
    if samples.dtype.kind not in "fiu":
        raise TypeError(
            f"samples must be float or integer numbers, got dtype {samples.dtype}."
        )
    if samples.ndim not in (1, 2):
        raise ValueError(
            f"samples must have shape (T,), (T, channels) or (channels, T), got "
            f"{samples.shape}."
        )
    if samples.size == 0:
        raise ValueError("the sound has no samples.")
    if samples.ndim == 2:
        channels = int(np.argmin(samples.shape))
        if samples.shape[channels] > MAX_CHANNELS:
            raise ValueError(
                f"an array of shape {samples.shape} would be a sound of "
                f"{samples.shape[channels]} channels; at most {MAX_CHANNELS} are read."
            )
    if samples.dtype.kind == "f" and not np.isfinite(samples).all():
        bad = int((~np.isfinite(samples)).sum())
        raise ValueError(f"{bad} of its samples are NaN or infinite.")
    peak = max(float(samples.max()), -float(samples.min()))
    samples = (samples / (peak or 1.0)).astype(np.float32)  # the level says nothing
    return samples if samples.ndim == 1 else samples.mean(axis=channels)


def resample(
    sound: NDArray[np.float32], rate: int | None, target: int
) -> NDArray[np.float32]:
    if rate is None or rate == target:
        return sound
    resampled = soxr.resample(sound, rate, target)
    return resampled if len(resampled) else sound[:1]
