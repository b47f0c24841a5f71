"""Sound: files, bytes or samples become log-mel frames, encoded by intervals."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skfusion._sklearn import Interval, StrOptions, fit_context
from skfusion.batch import Block
from skfusion.modalities.audio.encoder import STRIDE, AudioEncoder
from skfusion.modalities.audio.features import (
    band_statistics,
    sound_feature_names,
    sound_features,
    sound_terms,
)
from skfusion.modalities.audio.pretrained import PretrainedAudio
from skfusion.modalities.audio.reading import (
    RANGE,
    READ_ERRORS,
    STEP,
    WINDOW,
    are_sounds,
    decode,
    hop_of,
    log_mel,
    mel_filters,
    probe,
)
from skfusion.modalities.base import Verdict
from skfusion.modalities.cells import CellModality, Failures
from skfusion.modalities.columns import is_absent
from skfusion.modalities.detection import sample_cells
from skfusion.modalities.meaning import Meaning
from skfusion.modalities.output import prefixes
from skfusion.network import Encoder

__all__ = ["AudioModality"]

LOWEST_RATE, DEFAULT_RATE = 1_000, 16_000
LONGEST = 10.0  # seconds


class AudioModality(CellModality):
    """Sounds, one a cell.

    Every sound is mixed to mono, resampled, cut to at most `duration` and turned into
    log-mel frames (25 ms wide, 10 ms apart) relative to its own loudest frame, so that
    the recording level says nothing. The bands are standardised on the training rows.
    In training, the encoder stretches and shifts time, and changes the level. Its
    tokens are intervals of 40 ms.

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
        Whether the encoder augments the sounds in training.
    encoder : PretrainedAudio or None, default=None
        A pretrained encoder. Its embedding of the sound of each column is one more
        element, "[meaning]", before the intervals.
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
    encoder_ : PretrainedAudio or None
        The encoder in use, which says how it reads sounds.
    n_features_in_ : int
        Number of columns.

    Notes
    -----
    Cells may be a path, the bytes of a WAV, FLAC, OGG, MP3 or AIFF file, an array of
    samples (float or integer; (T,), (T, channels) or (channels, T)), a tuple
    ``(samples, rate)``, or None. Of a long sound, only what is kept is decoded. Several
    columns are encoded by the same convolutions and give tokens side by side.

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
            Interval(Integral, LOWEST_RATE, None, closed="left"),
        ],
        "duration": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "n_mels": [Interval(Integral, 8, 256, closed="both")],
        "augment": ["boolean"],
        "encoder": [PretrainedAudio, None],
    }
    short_name = "audio"
    slow = True
    has_elements = True
    detection_rank = 20
    _cell_name = "sound"
    _cell_formats = (
        "a path, the bytes of a WAV, FLAC, OGG or MP3 file, an array of samples, or "
        "a tuple (samples, rate)"
    )

    def __init__(
        self,
        *,
        sample_rate: Literal["auto"] | int = "auto",
        duration: Literal["auto"] | float = "auto",
        n_mels: int = 64,
        augment: bool = True,
        encoder: PretrainedAudio | None = None,
        on_error: Literal["raise", "absent"] = "raise",
    ) -> None:
        self.sample_rate = sample_rate
        self.duration = duration
        self.n_mels = n_mels
        self.augment = augment
        self.encoder = encoder
        self.on_error = on_error

    @classmethod
    def detect(cls, column: Any) -> Verdict:
        """Tuples (samples, rate), names of sound files, or their bytes."""
        return are_sounds(sample_cells(column))

    @fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X: Any, y: Any = None, groups: Any = None) -> Block:
        """Fit, and transform the same rows while reading every sound only once.

        Returns
        -------
        block : Block
        """
        names, columns, labels = self._columns(X, reset=True)
        probed = [probe(cell) for column in columns for cell in column]
        rates = Counter(rate for rate, _ in probed if rate)
        if self.sample_rate == "auto":  # of equally common rates, the lowest
            usual = max(rates, key=lambda r: (rates[r], -r), default=DEFAULT_RATE)
            self.sample_rate_ = min(max(int(usual), LOWEST_RATE), DEFAULT_RATE)
        else:
            self.sample_rate_ = int(self.sample_rate)
        if self.duration == "auto":
            seconds = [n / (rate or self.sample_rate_) for rate, n in probed if n]
            longest = float(np.quantile(seconds, 0.99)) if seconds else 1.0
            self.duration_ = min(max(longest, WINDOW), LONGEST)
        else:
            self.duration_ = float(self.duration)
        self.encoder_ = None if self.encoder is None else self.encoder.settled()
        self._meaning = Meaning(self.encoder_, names)
        embed = partial(self._meaning.fit_transform, y=y, groups=groups)
        block = self._block(names, columns, labels, embed)
        self.band_mean_, self.band_sd_ = band_statistics(
            block.arrays["log_mel"].ravel(), self.n_mels
        )
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
            Arrays: ``log_mel`` (n_samples, n_columns) of arrays (n_frames, n_mels)
            uint8, where 255 is the loudest value of the recording and one unit is 0.31
            dB; ``length`` (n_samples, n_columns) int32, frames that are there;
            ``start`` (n_samples, n_columns) int64, frames that were cut off in front;
            ``meaning`` (n_samples, n_columns, width) where there is an `encoder`.
        """
        check_is_fitted(self)
        columns = self._columns(X, reset=False)
        return self._block(*columns, self._meaning.transform)

    def _block(
        self,
        names: list[str],
        columns: list[NDArray[np.object_]],
        labels: Sequence[Any],
        embed: Callable[..., dict[str, NDArray[Any]]],
    ) -> Block:
        rate = self.sample_rate_
        longest = max(1, round(self.duration_ * rate))  # samples
        filters = torch.from_numpy(mel_filters(rate, self.n_mels))
        n, k = len(columns[0]), len(columns)
        codes = np.empty((n, k), dtype=object)  # of unequal length: padded by batch
        length = np.zeros((n, k), np.int32)
        start = np.zeros((n, k), np.int64)
        failures: Failures = []
        for j, (name, column) in enumerate(zip(names, columns, strict=True)):
            for i, cell in enumerate(column):
                codes[i, j] = np.zeros((0, self.n_mels), np.uint8)
                if is_absent(cell):
                    continue
                try:
                    sound, start[i, j] = decode(cell, rate, longest)
                except READ_ERRORS as error:
                    failures.append((labels[i], name, error))
                    continue
                codes[i, j] = log_mel(sound, rate, filters)
                length[i, j] = len(codes[i, j])
        self._unreadable(failures)
        arrays = {"log_mel": codes, "length": length, "start": start}
        cells = np.stack(columns, axis=1)
        cells[length == 0] = None
        arrays |= embed(cells, (rate, self.duration_))
        return Block(arrays, length.max(axis=1) > 0)

    def build_encoder(self, d_model: int, dropout: float) -> Encoder:
        """Make the network that turns log-mel frames into tokens of 40 ms."""
        mean, sd = self._bands()
        intervals = AudioEncoder(
            mean=mean,
            sd=sd,
            bandwidth=mel_filters(self.sample_rate_, self.n_mels).sum(axis=0),
            n_columns=self.n_features_in_,
            d_model=d_model,
            dropout=dropout,
            augment=self.augment,
        )
        return self._meaning.join(intervals, d_model, dropout)

    def features(self, block: Block) -> NDArray[np.float32]:
        """Log-mel statistics of each sound.

        For each band: mean, standard deviation, mean absolute difference between
        frames, quantiles of 10, 50 and 90 % over time, and the means of four segments
        of equal length, all but the second and third relative to the level, which is
        the mean of all; then the level and the logarithm of the duration. Beside an
        embedding, which comes last, only the mean of each band, level and duration.

        Returns
        -------
        features : ndarray of shape (n_samples, n_columns * (10 * n_mels + 2)), float32
            Beside an embedding, (n_samples, n_columns * (n_mels + 2 + width)).
        """
        codes, length = block.arrays["log_mel"], self._present_length(block)
        brief = self.encoder_ is not None
        columns = [
            sound_features(codes[:, j], length[:, j], *self._bands(), brief=brief)
            for j in range(length.shape[1])
        ]
        return self._meaning.beside(np.concatenate(columns, axis=1), block)

    def _feature_names(self, columns: list[str]) -> list[str]:
        """Statistics of the mel bands, "mel0_mean", the level and the duration."""
        own = sound_feature_names(self.n_mels, brief=self.encoder_ is not None)
        names = [prefix + name for prefix in prefixes(columns) for name in own]
        return names + self._meaning.feature_names(columns)

    def linear_terms(
        self, block: Block, coef: NDArray[Any], center: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Split the terms of a linear model among the intervals.

        Means of bands, over the sound and over its quarters, belong to the intervals
        that they average; other statistics belong to none.
        """
        codes, length = block.arrays["log_mel"], self._present_length(block)
        n, k = length.shape
        coef, center, first = self._meaning.linear_terms(block, coef, center)
        coef, center = (
            np.asarray(a).reshape(k, -1, *a.shape[1:]) for a in (coef, center)
        )
        n_intervals = -(-int(length.max(initial=1)) // STRIDE)
        terms = np.zeros((n, n_intervals, k, coef.shape[2]))
        for j in range(k):
            own = sound_terms(
                codes[:, j],
                length[:, j],
                *self._bands(),
                coef=coef[j],
                center=center[j],
                step=STRIDE,
            )
            terms[:, : own.shape[1], j] = own
        return np.hstack([first, terms.reshape(n, n_intervals * k, -1)])

    def _bands(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of each band, in codes."""
        return (self.band_mean_ + RANGE) / STEP, self.band_sd_ / STEP

    def _present_length(self, block: Block) -> NDArray[np.int32]:
        return np.where(block.present[:, None], block.arrays["length"], 0)

    def elements(self, block: Block, values: NDArray[Any]) -> list[pd.Series]:
        """Name the tokens of each row by their interval of time.

        Returns
        -------
        elements : list of n_samples Series
            Values indexed by ``(start, end)`` in seconds, counted from the beginning
            of the sound as it was given; with several columns, by
            ``(column, start, end)``. "[meaning]" comes first.
        """
        every, values = values, values[:, self._meaning.n_columns :]
        length, start = block.arrays["length"], block.arrays["start"]
        n_columns = length.shape[1]
        frame = hop_of(self.sample_rate_) / self.sample_rate_
        elements = []
        for i, here in enumerate(block.present):
            names: list[tuple[Any, ...]] = []
            own: list[float] = []
            for t, j in np.ndindex(math.ceil(length[i].max() / STRIDE), n_columns):
                if not here or t * STRIDE >= length[i, j]:
                    continue
                a = int(start[i, j]) + t * STRIDE
                b = int(start[i, j]) + min((t + 1) * STRIDE, int(length[i, j]))
                span = (round(a * frame, 3), round(b * frame, 3))
                column = () if n_columns == 1 else (self._column_names[j],)
                names.append((*column, *span))
                own.append(values[i, t * n_columns + j])
            index = pd.Index(names, dtype=object, tupleize_cols=False)
            elements.append(pd.Series(own, index=index, dtype=float))
        return self._meaning.elements(block, every, elements)

    def hide(
        self, block: Block, hidden: NDArray[np.bool_], names: Sequence[pd.Index]
    ) -> Block:
        """Give frames the mean loudness of each band in the training sounds."""
        block, hidden, names = self._meaning.hide(block, hidden, names)
        codes = block.arrays["log_mel"].copy()
        length = block.arrays["length"]
        mean = np.round((self.band_mean_ + RANGE) / STEP).astype(np.uint8)
        for i in np.flatnonzero(hidden.any(axis=1)).tolist():
            spans = [name[-2:] for name in names[i]]
            keys = [name[:-2] for name in names[i]]  # the column, where there are more
            columns = dict(
                zip(dict.fromkeys(keys), np.flatnonzero(length[i]), strict=True)
            )
            for k in np.flatnonzero(hidden[i]).tolist():
                j = columns[keys[k]]
                own = [s for s, key in zip(spans, keys, strict=True) if key == keys[k]]
                a_frame = (own[-1][1] - own[0][0]) / length[i, j]  # seconds
                start, end = (round((s - own[0][0]) / a_frame) for s in spans[k])
                codes[i, j] = codes[i, j].copy()
                codes[i, j][start:end] = mean
        return Block({**block.arrays, "log_mel": codes}, block.present, block.cells)

    def content(
        self, block: Block, row: int, elements: pd.Series, cells: Mapping[Any, Any]
    ) -> tuple[str, pd.Series, Any]:
        """Intervals over the spectrogram; of several columns the first is drawn."""
        length = block.arrays["length"][row]
        first, elements = np.flatnonzero(length)[0], self._meaning.others(elements)
        if len(elements.index[0]) == 3:
            own = [name[0] == elements.index[0][0] for name in elements.index]
            elements = elements[own]
        return "frames", elements, block.arrays["log_mel"][row, first]
