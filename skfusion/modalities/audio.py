"""Sound: files, bytes or samples become log-mel frames, encoded by convolutions."""

from __future__ import annotations

import io
import itertools
import math
import os
import struct
from collections import Counter
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, BinaryIO, ClassVar, Literal

import numpy as np
import pandas as pd
import soundfile
import soxr
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from skfusion._sklearn import Interval, StrOptions, fit_context
from skfusion.batch import Block
from skfusion.modalities.base import CellModality, is_absent
from skfusion.network import Encoder

__all__ = ["AudioModality"]

WINDOW, HOP = 0.025, 0.010  # seconds: a frame of speech, and the step between two
LOWEST = 30.0  # Hz; below lie rumble and the direct current
RANGE = 80.0  # dB kept below the loudest mel value of a recording
STEP = RANGE / 255  # dB a code: log-mel values are stored as uint8
STRIDE = 4  # frames a token, so 25 tokens a second
DEFAULT_RATE = 16_000
LONGEST = 10.0  # seconds
MAX_CHANNELS = 32
READ_ERRORS = (OSError, ValueError, TypeError, soundfile.LibsndfileError, struct.error)


class AudioModality(CellModality):
    """Sounds, one a cell.

    Every sound is mixed to mono, resampled, cut to at most `duration` and turned into
    log-mel frames (25 ms wide, 10 ms apart) relative to its own loudest frame, so that
    the recording level says nothing. The bands are standardised on the training rows.
    In training, the encoder stretches, shifts and masks time and frequency
    (SpecAugment, https://arxiv.org/abs/1904.08779).

    Parameters
    ----------
    sample_rate : "auto" or int, default="auto"
        Rate, in Hz, to which all sounds are resampled. "auto" takes the most common
        rate of the training cells, at most 16 000, and 16 000 where no cell names a
        rate. Bare arrays are assumed to be at `sample_rate` already: say it if they
        are the only cells, or their seconds will be wrong.
    duration : "auto" or float, default="auto"
        Seconds kept of each sound: longer ones lose their two ends, shorter ones are
        padded and masked. "auto" takes the 99 % quantile of the training sounds, at
        most 10.
    n_mels : int, default=64
        Number of mel bands (HTK scale) from 30 Hz to half the sample rate.
    augment : bool, default=True
        Whether the encoder disturbs the sounds in training.
    on_error : {"raise", "absent"}, default="raise"
        What to do with a cell that is there and cannot be read (corrupt or truncated
        file, missing path, NaN or infinite samples, no samples): raise one error that
        names row and column, or warn once and treat such cells as absent.

    Attributes
    ----------
    sample_rate_ : int
        Rate in Hz in use.
    duration_ : float
        Longest sound in seconds.
    band_mean_, band_sd_ : ndarray of shape (n_mels,)
        Mean and standard deviation of each band over the training frames, in dB below
        the loudest mel value of the recording.
    n_features_in_ : int
        Number of columns.

    Notes
    -----
    Cells may be a path, the bytes of a WAV, FLAC, OGG, MP3 or AIFF file, an array of
    samples (float or integer; (T,), (T, channels) or (channels, T)), a tuple
    ``(samples, rate)``, or None. Several columns are encoded by the same convolutions
    and give tokens side by side.

    Examples
    --------
    >>> import numpy as np
    >>> from skfusion.modalities import AudioModality
    >>> time = np.arange(8000) / 8000
    >>> sounds = [(np.sin(2 * np.pi * f * time), 8000) for f in (220, 440)] + [None]
    >>> audio = AudioModality(n_mels=32).fit(sounds)
    >>> audio.sample_rate_, audio.duration_
    (8000, 1.0)
    >>> audio.transform(sounds).present
    array([ True,  True, False])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **CellModality._parameter_constraints,
        "sample_rate": [
            StrOptions({"auto"}),
            Interval(Integral, 1000, None, closed="left"),
        ],
        "duration": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "n_mels": [Interval(Integral, 8, 256, closed="both")],
        "augment": ["boolean"],
    }
    _cell_name = "sound"
    _cell_formats = (
        "a path, the bytes of a WAV, FLAC, OGG or MP3 file, an array of samples, or "
        "a tuple (samples, rate)."
    )

    def __init__(
        self,
        *,
        sample_rate: Literal["auto"] | int = "auto",
        duration: Literal["auto"] | float = "auto",
        n_mels: int = 64,
        augment: bool = True,
        on_error: Literal["raise", "absent"] = "raise",
    ) -> None:
        self.sample_rate = sample_rate
        self.duration = duration
        self.n_mels = n_mels
        self.augment = augment
        self.on_error = on_error

    def fit(self, X: Any, y: Any = None) -> AudioModality:
        """Learn rate, duration and band statistics from the training sounds.

        Parameters
        ----------
        X : DataFrame, Series or array-like of n_samples rows
            One sound a cell.
        y : ignored

        Returns
        -------
        self : AudioModality

        Raises
        ------
        ValueError
            If a cell cannot be read and ``on_error="raise"``.
        """
        self.fit_transform(X)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X: Any, y: Any = None) -> Block:
        """Fit, and transform the same rows while reading every sound only once.

        Parameters
        ----------
        X : DataFrame, Series or array-like of n_samples rows
        y : ignored

        Returns
        -------
        block : Block
        """
        names, columns, labels = self._columns(X, reset=True)
        probed = [_probe(cell) for column in columns for cell in column]
        rates = Counter(rate for rate, _ in probed if rate)
        if self.sample_rate == "auto":  # of equally common rates, the lowest
            usual = max(rates, key=lambda r: (rates[r], -r), default=DEFAULT_RATE)
            self.sample_rate_ = min(int(usual), DEFAULT_RATE)
        else:
            self.sample_rate_ = int(self.sample_rate)
        if self.duration == "auto":
            seconds = [n / (rate or self.sample_rate_) for rate, n in probed if n]
            longest = float(np.quantile(seconds, 0.99)) if seconds else 1.0
            self.duration_ = min(max(longest, WINDOW), LONGEST)
        else:
            self.duration_ = float(self.duration)
        block = self._block(names, columns, labels)
        codes, length = block.arrays["log_mel"], block.arrays["length"]
        valid = np.arange(codes.shape[2]) < length[..., None]
        frames = codes[valid & block.present[:, None, None]].astype(np.float32)
        mean, sd = (frames.mean(0), frames.std(0)) if len(frames) else (0.0, 1.0)
        self.band_mean_ = np.broadcast_to(mean, self.n_mels) * STEP - RANGE
        self.band_sd_ = np.maximum(np.broadcast_to(sd, self.n_mels) * STEP, 1.0)
        return block

    def transform(self, X: Any) -> Block:
        """Turn sounds into log-mel frames.

        Parameters
        ----------
        X : DataFrame, Series or array-like of n_samples rows
            The columns that were fitted.

        Returns
        -------
        block : Block
            Arrays: ``log_mel`` (n_samples, n_columns, n_frames, n_mels) uint8, where
            255 is the loudest value of the recording and one unit is 0.31 dB;
            ``length`` (n_samples, n_columns) int32, frames that are there; ``start``
            (n_samples, n_columns) int32, frames that were cut off in front.
        """
        check_is_fitted(self)
        return self._block(*self._columns(X, reset=False))

    def _block(
        self,
        names: list[str],
        columns: list[NDArray[np.object_]],
        labels: Sequence[Any],
    ) -> Block:
        rate = self.sample_rate_
        longest = max(1, round(self.duration_ * rate))  # samples
        hop = _hop(rate)
        filters = torch.from_numpy(mel_filters(rate, self.n_mels))
        n, k = len(columns[0]), len(columns)
        codes = np.zeros((n, k, max(1, longest // hop), self.n_mels), np.uint8)
        length = np.zeros((n, k), np.int32)
        start = np.zeros((n, k), np.int32)
        failures: list[tuple[Any, str, Exception]] = []
        for j, (name, column) in enumerate(zip(names, columns, strict=True)):
            for i, cell in enumerate(column):
                if _is_absent(cell):
                    continue
                try:
                    sound = _resample(*_read(cell), rate)
                except READ_ERRORS as error:
                    failures.append((labels[i], name, error))
                    continue
                # A cut by whole frames keeps the elements' seconds exact.
                start[i, j] = max(0, len(sound) - longest) // 2 // hop
                sound = sound[start[i, j] * hop :][:longest]
                frames = log_mel(sound, rate, filters)
                codes[i, j, : len(frames)] = frames
                length[i, j] = len(frames)
        self._unreadable(failures)
        arrays = {"log_mel": codes, "length": length, "start": start}
        return Block(arrays, length.max(axis=1) > 0)

    def build_encoder(self, d_model: int, dropout: float) -> Encoder:
        """Make the convolutions that turn log-mel frames into tokens of 40 ms."""
        bandwidth = mel_filters(self.sample_rate_, self.n_mels).sum(axis=0)
        return AudioEncoder(
            mean=(self.band_mean_ + RANGE) / STEP,
            sd=self.band_sd_ / STEP,
            bandwidth=bandwidth,
            n_columns=self.n_features_in_,
            d_model=d_model,
            dropout=dropout,
            augment=self.augment,
        )

    def features(self, block: Block) -> NDArray[np.float32]:
        """Log-mel statistics of each sound.

        For each band: mean, standard deviation, mean absolute difference between
        frames, quantiles of 10, 50 and 90 % over time, and the means of four segments
        of equal length; then the logarithm of the duration.

        Returns
        -------
        features : ndarray of shape (n_samples, n_columns * (10 * n_mels + 1)), float32
        """
        codes, length = block.arrays["log_mel"], block.arrays["length"]
        n, k = length.shape
        out = np.zeros((n, k, 10 * self.n_mels + 1), np.float32)
        mean = (self.band_mean_ + RANGE) / STEP
        for i, j in zip(*np.nonzero(length), strict=True):
            if not block.present[i]:
                continue
            frames = codes[i, j, : length[i, j]]
            x = ((frames - mean) / (self.band_sd_ / STEP)).astype(np.float32)
            edges = np.linspace(0, len(x), 5)
            parts = [
                x[int(a) : max(int(a) + 1, math.ceil(b))].mean(axis=0)
                for a, b in itertools.pairwise(edges)
            ]
            change = np.abs(np.diff(x, axis=0, append=x[-1:])).mean(axis=0)
            levels = np.quantile(x, [0.1, 0.5, 0.9], axis=0)
            out[i, j] = np.concatenate(
                [x.mean(0), x.std(0), change, *levels, *parts, [np.log(len(x) * HOP)]]
            )
        return out.reshape(n, -1)

    def elements(self, block: Block, weights: NDArray[Any]) -> list[pd.Series]:
        """Name the tokens of each row by their interval of time.

        Returns
        -------
        elements : list of n_samples Series
            Weights indexed by ``(start, end)`` in seconds, counted from the beginning
            of the sound as it was given; with several columns, by
            ``(column, start, end)``.
        """
        length, start = block.arrays["length"], block.arrays["start"]
        n_columns = length.shape[1]
        frame = _hop(self.sample_rate_) / self.sample_rate_
        elements = []
        for i, here in enumerate(block.present):
            names: list[tuple[Any, ...]] = []
            values: list[float] = []
            for t, j in np.ndindex(math.ceil(length[i].max() / STRIDE), n_columns):
                if not here or t * STRIDE >= length[i, j]:
                    continue
                a = int(start[i, j]) + t * STRIDE
                b = int(start[i, j]) + min((t + 1) * STRIDE, int(length[i, j]))
                span = (round(a * frame, 3), round(b * frame, 3))
                column = () if n_columns == 1 else (self._column_names[j],)
                names.append((*column, *span))
                values.append(weights[i, t * n_columns + j])
            index = pd.Index(names, dtype=object, tupleize_cols=False)
            elements.append(pd.Series(values, index=index, dtype=float))
        return elements


class AudioEncoder(Encoder):
    """Convolutions over time and mel bands, then over time.

    Padding is set to zero before every convolution and each frame is normalised by
    itself, so a row's tokens depend neither on its padding nor on other rows.

    Parameters
    ----------
    mean, sd : ndarray of shape (n_mels,)
        Of each band over the training frames, in the codes of the block.
    bandwidth : ndarray of shape (n_mels,)
        Share of white noise that each band catches, up to a factor.
    n_columns, d_model, dropout, augment
        As in :class:`AudioModality`.

    **Shape**: ``log_mel`` (B, columns, frames, mels) and ``length`` (B, columns) to
    tokens (B, T, D), T = columns * ceil(frames / 4), the columns of one time side by
    side, and their mask.
    """

    mean: Tensor
    sd: Tensor
    bandwidth: Tensor

    def __init__(
        self,
        *,
        mean: NDArray[Any],
        sd: NDArray[Any],
        bandwidth: NDArray[Any],
        n_columns: int,
        d_model: int,
        dropout: float,
        augment: bool,
    ) -> None:
        super().__init__()
        self.augment = augment
        for name, value in (("mean", mean), ("sd", sd), ("bandwidth", bandwidth)):
            self.register_buffer(name, torch.as_tensor(value, dtype=torch.float32))
        bands = [-(-len(mean) // 2), -(-len(mean) // 4)]
        self.planes = nn.ModuleList(
            [
                nn.Conv2d(1, 16, 3, stride=(2, 2), padding=1),
                nn.Conv2d(16, 32, 3, stride=(1, 2), padding=1),
            ]
        )
        self.plane_norms = nn.ModuleList(
            [nn.LayerNorm([bands[0], 16]), nn.LayerNorm([bands[1], 32])]
        )
        self.lines = nn.ModuleList(
            [nn.Linear(3 * 32 * bands[1], 128), nn.Linear(384, 128)]
        )
        self.line_norms = nn.ModuleList([nn.LayerNorm(128), nn.LayerNorm(128)])
        self.column = nn.Parameter(torch.zeros(n_columns, d_model))
        self.out = nn.Linear(128 + 2, d_model)
        self.out_norm = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        B, K, T, M = inputs["log_mel"].shape
        there = inputs["length"].long().reshape(B * K)
        length = there.clamp_min(1)
        x = inputs["log_mel"].reshape(B * K, T, M)[:, : int(length.max())]
        x = (x.to(self.mean.dtype) - self.mean) / self.sd
        if self.training and self.augment:
            x, length = _augment(x, length)
        n_frames = length
        x = (x * _mask(length, x)[..., None])[..., None]  # (B*K, T, M, 1)
        for stride, conv, norm in zip(
            (2, 1), self.planes, self.plane_norms, strict=True
        ):
            x = conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
            length = -(-length // stride)
            x = norm(x).relu() * _mask(length, x)[..., None, None]
        x = x.flatten(2)  # (B*K, T/2, C)
        for stride, linear, norm in zip(
            (2, 1), self.lines, self.line_norms, strict=True
        ):
            windows = F.pad(x, (0, 0, 1, 1)).unfold(1, 3, stride).flatten(2)
            length = -(-length // stride)
            h = norm(linear(windows)).relu()
            x = (x + h if stride == 1 else h) * _mask(length, h)[..., None]
        h = self.dropout(
            self.out_norm(self.out(_with_place(x, length, n_frames))).relu()
        )
        mask = _mask(length, h) & (there > 0)[:, None]
        h = h.view(B, K, *h.shape[1:]) + self.column[:, None]  # (B, K, T/4, D)
        mask = mask.view(B, K, -1).transpose(1, 2).flatten(1)
        # Absent rows: the mask of the modality hides this token.
        mask[:, 0] |= ~mask.any(dim=1)
        return h.transpose(1, 2).flatten(1, 2), mask

    def add_noise(self, inputs: dict[str, Tensor], sd: Tensor) -> dict[str, Tensor]:
        """Add white hiss: `sd` times the root mean square of the sound.

        The powers of signal and noise add up, so this happens to the log-mel values,
        which are then scaled to their new maximum, as `AudioModality` would.
        """
        codes = inputs["log_mel"].to(self.mean.dtype)  # (B, K, T, M)
        mask = _mask(inputs["length"].reshape(-1), codes.flatten(0, 1))
        mask = mask.view(codes.shape[:3])[..., None]
        power = 10 ** ((codes * STEP - RANGE) / 10) * mask
        n_frames = inputs["length"].clamp_min(1).to(codes.dtype)
        signal = power.sum(dim=(2, 3)) / n_frames  # (B, K)
        # A narrow band catches few independent bins, so its noise fluctuates more.
        spread = self.bandwidth.clamp_min(1).rsqrt()
        hiss = self.bandwidth / self.bandwidth.sum()
        hiss = hiss * torch.exp(torch.randn_like(codes) * spread - spread.square() / 2)
        strength = sd.to(codes.dtype).view(-1, 1).square() * signal
        power = (power + strength[..., None, None] * hiss) * mask
        peak = power.amax(dim=(2, 3), keepdim=True).clamp_min(1e-30)
        decibels = 10 * torch.log10((power / peak).clamp_min(10 ** (-RANGE / 10)))
        noisy = (decibels + RANGE) / STEP
        changed = (sd > 0).view(-1, 1, 1, 1) & mask
        return {**inputs, "log_mel": torch.where(changed, noisy, codes)}


def _mask(length: Tensor, x: Tensor) -> Tensor:
    """(B, T), True in the first `length` (B,) steps of `x` (B, T, ...)."""
    return torch.arange(x.shape[1], device=x.device) < length[:, None]


def _with_place(x: Tensor, length: Tensor, n_frames: Tensor) -> Tensor:
    """Append to each token its place in the sound and the sound's duration."""
    steps = torch.arange(x.shape[1], device=x.device, dtype=x.dtype)
    place = (2 * steps + 1) / length[:, None] - 1
    duration = (n_frames.to(x.dtype) * HOP * 2).log()[:, None].expand_as(place)
    return torch.cat([x, torch.stack([place, duration], dim=2)], dim=2)


def _augment(x: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Stretch and shift time, mask time and bands, of frames (B, T, M)."""
    B, T, M = x.shape

    def random() -> Tensor:
        return torch.rand(B, 1, device=x.device)

    rate, first = torch.exp((2 * random() - 1) * 0.15), 4 * random()
    steps = torch.arange(math.ceil(T * math.exp(0.15)), device=x.device)
    source = torch.minimum((steps * rate + first).long(), length[:, None] - 1)
    x = x.gather(1, source[..., None].expand(-1, -1, M))
    length = ((length - first[:, 0]) / rate[:, 0]).long().clamp(1, len(steps))
    x = x[:, : int(length.max())]
    for _ in range(2):  # 0 is the mean of a band
        width = 0.15 * length[:, None] * random()
        start = random() * (length[:, None] - width)
        step = torch.arange(x.shape[1], device=x.device)
        x = x.masked_fill(((step >= start) & (step < start + width))[..., None], 0)
        width, band = 0.15 * M * random(), torch.arange(M, device=x.device)
        start = random() * (M - width)
        x = x.masked_fill(((band >= start) & (band < start + width))[:, None], 0)
    return x, length


def _hop(rate: int) -> int:
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
    n_frames = max(1, len(sound) // _hop(rate))
    x = torch.from_numpy(sound - sound.mean())
    spectrum = torch.stft(
        x,
        n_fft,
        _hop(rate),
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


def _is_absent(cell: Any) -> bool:
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


def _probe(cell: Any) -> tuple[int | None, int | None]:
    """Rate and number of samples of a cell, as far as they are known without decoding.

    What cannot be read counts for nothing here: `_read` will say why.
    """
    try:
        file = None if _is_absent(cell) else _open(cell)
        if file is not None:
            with file:
                info = soundfile.info(file)
            return info.samplerate, info.frames
        samples, rate = _split(cell)
        return rate, max(np.shape(samples), default=None)
    except READ_ERRORS:
        return None, None


def _read(cell: Any) -> tuple[NDArray[np.float32], int | None]:
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


def _resample(
    sound: NDArray[np.float32], rate: int | None, target: int
) -> NDArray[np.float32]:
    if rate is None or rate == target:
        return sound
    resampled = soxr.resample(sound, rate, target)
    return resampled if len(resampled) else sound[:1]
