"""Corruptions of cells before anything is cleaned, unseen in training.

Noise, swapped rows and absence, which training knows, are in
:mod:`skfusion.corruption`; these are not used there, so they test what was not
rehearsed.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.signal import butter, sosfiltfilt
from sklearn.base import BaseEstimator

from skfusion.inspection._cells import (
    holds_nothing,
    object_column,
    read_picture,
    read_sound,
)

__all__ = [
    "CellCorruption",
    "ImageBlur",
    "ImageJPEG",
    "ImageOcclusion",
    "SoundBabble",
    "SoundBandPass",
    "SoundClipping",
    "TabularShift",
    "TextDeletion",
    "TextTypos",
]


class CellCorruption(BaseEstimator, ABC):
    """Base of what befalls the cells of a column.

    To write one: subclass, name in `modalities` those it suits and in
    `default_levels` what to try, and write `corrupt_cell` (or, where other cells are
    needed, `corrupt_column`).

    Parameters
    ----------
    level : float
        How bad it is; 0 leaves cells as they are.
    """

    #: Short names of the modalities whose cells it suits.
    modalities: ClassVar[tuple[str, ...]] = ()
    default_levels: ClassVar[tuple[float, ...]] = (0.0, 0.1, 0.2, 0.4)
    highest: ClassVar[float] = np.inf

    def __init__(self, level: float = 0.1) -> None:
        self.level = level

    def corrupt_column(self, column: pd.Series, rng: Generator) -> pd.Series:
        """Corrupt the cells that are there.

        Parameters
        ----------
        column : Series of n_samples cells
        rng : numpy.random.Generator

        Returns
        -------
        column : Series, a new one; absent cells stay absent
        """
        self._check_level()
        if self.level == 0:
            return column.copy()
        cells = [
            cell if holds_nothing(cell) else self.corrupt_cell(cell, rng)
            for cell in column
        ]
        return object_column(cells, column)

    @abstractmethod
    def corrupt_cell(self, cell: Any, rng: Generator) -> Any:
        """Corrupt one cell that is there."""

    def _check_level(self) -> None:
        if not 0 <= self.level <= self.highest:
            raise ValueError(
                f"The 'level' parameter of {type(self).__name__} must be a float in "
                f"the range [0, {self.highest:g}]. Got {self.level!r} instead."
            )


class ImageBlur(CellCorruption):
    """A picture out of focus.

    Parameters
    ----------
    level : float
        Standard deviation of the Gaussian blur, as a share of the longer side.
    """

    modalities = ("image",)
    default_levels = (0.0, 0.02, 0.05, 0.1)

    def corrupt_cell(self, cell: Any, rng: Generator) -> NDArray[Any]:
        picture = read_picture(cell)
        sd = self.level * max(picture.shape[:2])
        spread = (sd, sd) + (0,) * (picture.ndim - 2)
        return gaussian_filter(picture.astype(np.float64), spread).astype(picture.dtype)


class ImageOcclusion(CellCorruption):
    """A picture with a square in its mean colour over some part of it.

    Parameters
    ----------
    level : float
        Share of the area that is covered, up to 1.
    """

    modalities = ("image",)
    highest = 1.0

    def corrupt_cell(self, cell: Any, rng: Generator) -> NDArray[Any]:
        picture = read_picture(cell).copy()
        sides = [max(1, round(side * self.level**0.5)) for side in picture.shape[:2]]
        corner = [
            int(rng.integers(0, whole - side + 1))
            for whole, side in zip(picture.shape[:2], sides, strict=True)
        ]
        where = tuple(slice(a, a + b) for a, b in zip(corner, sides, strict=True))
        picture[where] = picture.mean(axis=(0, 1)).astype(picture.dtype)
        return picture


class ImageJPEG(CellCorruption):
    """A picture compressed too much.

    Parameters
    ----------
    level : float
        0 to 1; the JPEG quality is ``100 * (1 - level)``, at least 1.
    """

    modalities = ("image",)
    default_levels = (0.0, 0.7, 0.9, 0.97)
    highest = 1.0

    def corrupt_cell(self, cell: Any, rng: Generator) -> NDArray[Any]:
        picture = read_picture(cell)
        low, high = 0.0, 255.0
        if picture.dtype != np.uint8:  # its own range stands for black to white
            low, high = float(picture.min()), float(picture.max())
        scale = 255 / (high - low) if high > low else 1.0
        codes = np.round((picture.astype(np.float64) - low) * scale).astype(np.uint8)
        image = Image.fromarray(codes.squeeze() if codes.shape[2:] == (1,) else codes)
        file = io.BytesIO()
        quality = max(1, round(100 * (1 - self.level)))
        image.convert("L" if codes.ndim == 2 or codes.shape[2] == 1 else "RGB").save(
            file, "JPEG", quality=quality
        )
        decoded = np.asarray(Image.open(file), dtype=np.float64) / scale + low
        return decoded.astype(picture.dtype)


class SoundClipping(CellCorruption):
    """A recording driven too loud.

    Parameters
    ----------
    level : float
        Share of the samples that are cut off at the top or the bottom, up to 1.
    """

    modalities = ("audio",)
    default_levels = (0.0, 0.2, 0.5, 0.8)
    highest = 1.0

    def corrupt_cell(self, cell: Any, rng: Generator) -> Any:
        sound, give_back = read_sound(cell)
        limit = np.quantile(np.abs(sound), 1 - self.level)
        return give_back(np.clip(sound, -limit, limit))


class SoundBandPass(CellCorruption):
    """A recording through a narrow line, such as an old telephone.

    Parameters
    ----------
    level : float
        Share, up to 0.95, of the octaves between 50 Hz and half the sample rate that
        are lost, as many below as above.
    """

    modalities = ("audio",)
    default_levels = (0.0, 0.4, 0.6, 0.8)
    highest = 0.95
    lowest_hz, assumed_rate = 50.0, 16_000

    def corrupt_cell(self, cell: Any, rng: Generator) -> Any:
        sound, give_back = read_sound(cell)
        nyquist = (give_back.rate or self.assumed_rate) / 2
        octaves = np.log2(0.99 * nyquist / self.lowest_hz)
        lost = self.level * octaves / 2
        band = [self.lowest_hz * 2**lost, 0.99 * nyquist / 2**lost]
        filters = butter(4, band, "bandpass", fs=2 * nyquist, output="sos")
        padding = min(3 * (2 * len(filters) + 1), len(sound) - 1)
        return give_back(sosfiltfilt(filters, sound, padlen=max(0, padding)))


class SoundBabble(CellCorruption):
    """Other recordings of the column, three at once, in the background.

    Parameters
    ----------
    level : float
        Loudness (root mean square) of the others, relative to the recording's own.
    """

    modalities = ("audio",)
    default_levels = (0.0, 0.25, 0.5, 1.0)
    n_voices = 3

    def corrupt_column(self, column: pd.Series, rng: Generator) -> pd.Series:
        self._voices = [
            read_sound(cell)[0] for cell in column if not holds_nothing(cell)
        ]
        return super().corrupt_column(column, rng)

    def corrupt_cell(self, cell: Any, rng: Generator) -> Any:
        sound, give_back = read_sound(cell)
        babble = np.zeros(len(sound))
        for i in rng.integers(len(self._voices), size=self.n_voices):
            voice = np.roll(self._voices[i], int(rng.integers(len(sound))))
            babble += np.resize(voice, len(sound)) / (_loudness(voice) or 1.0)
        loudness = self.level * _loudness(sound) / (_loudness(babble) or 1.0)
        return give_back(sound + loudness * babble)


class TextTypos(CellCorruption):
    """A text typed in haste: letters changed, lost, doubled, or in the wrong order.

    Parameters
    ----------
    level : float
        Probability of each letter to be hit, up to 1.
    """

    modalities = ("text",)
    default_levels = (0.0, 0.05, 0.1, 0.2)
    highest = 1.0

    def corrupt_cell(self, cell: Any, rng: Generator) -> str:
        letters = list(str(cell))
        hit = rng.random(len(letters)) < self.level
        kinds = rng.integers(4, size=len(letters))
        others = rng.integers(ord("a"), ord("z") + 1, size=len(letters))
        for i in np.flatnonzero(hit):
            if not letters[i].isalpha():
                continue
            if kinds[i] == 0:
                letters[i] = chr(others[i])
            elif kinds[i] == 1:
                letters[i] = ""
            elif kinds[i] == 2:
                letters[i] *= 2
            elif i + 1 < len(letters) and letters[i + 1].isalpha():
                letters[i], letters[i + 1] = letters[i + 1], letters[i]
        return "".join(letters)


class TextDeletion(CellCorruption):
    """A text with words missing; one word at least stays.

    Parameters
    ----------
    level : float
        Probability of each word to be missing, up to 1.
    """

    modalities = ("text",)
    default_levels = (0.0, 0.2, 0.5, 0.8)
    highest = 1.0

    def corrupt_cell(self, cell: Any, rng: Generator) -> str:
        words = str(cell).split()
        kept = rng.random(len(words)) >= self.level
        if len(words) and not kept.any():
            kept[rng.integers(len(words))] = True
        return " ".join(w for w, k in zip(words, kept, strict=True) if k)


class TabularShift(CellCorruption):
    """Another population: every number moves, in a direction that is its column's own.

    Columns that are not numeric stay as they are.

    Parameters
    ----------
    level : float
        How far, in interquartile ranges of the column.
    """

    modalities = ("tabular", "vector")
    default_levels = (0.0, 0.25, 0.5, 1.0)

    def corrupt_column(self, column: pd.Series, rng: Generator) -> pd.Series:
        self._check_level()
        up = rng.random() < 0.5
        is_number = pd.api.types.is_numeric_dtype(column)
        if not is_number or pd.api.types.is_bool_dtype(column) or self.level == 0:
            return column.copy()
        numbers = column.astype(float)
        low, high = numbers.quantile([0.25, 0.75])
        spread = (high - low) or numbers.std() or 0.0
        return numbers + (self.level if up else -self.level) * spread

    def corrupt_cell(self, cell: Any, rng: Generator) -> Any:
        raise NotImplementedError("A shift is a matter of whole columns.")


def _loudness(sound: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(sound**2)))
