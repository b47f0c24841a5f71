"""The kinds of cells that `make_multimodal_classification` knows how to make.

Each kind makes cells that say nothing about the class, and plants a sign of a class in
one of them, at a place that it reports. A new kind is one more class and one more line
in `KINDS`.
"""

from collections.abc import Callable
from itertools import product
from typing import Any, Protocol

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray


class Kind(Protocol):
    """What each kind offers."""

    def background(self) -> Any:
        """A new cell that says nothing about any class."""

    def plant(self, cell: Any, sign: int) -> tuple[Any, Any]:
        """`cell` with the sign of class `sign` in it, and where that is."""


class Numbers:
    """A vector whose first few numbers, in an order of its own, are a class's code.

    The code of a class is a corner of a cube, as in `make_classification`. A cell is
    a float32 array (n_numbers,); the place is the array of the indices that matter.
    """

    def __init__(
        self, n_classes: int, class_sep: float, noise: float, rng: RandomState
    ) -> None:
        n_bits = max(2, int(np.ceil(np.log2(n_classes))))
        self.n_numbers = n_bits + 4
        self.where = np.sort(rng.choice(self.n_numbers, n_bits, replace=False))
        corners = np.array(list(product((-1.0, 1.0), repeat=n_bits)))
        self.codes = 3.0 * class_sep * corners[rng.permutation(len(corners))]
        self.noise, self.rng = noise, rng

    def background(self) -> NDArray[np.float32]:
        return self.rng.normal(0.0, self.noise, self.n_numbers).astype(np.float32)

    def plant(self, cell: Any, sign: int) -> tuple[Any, Any]:
        cell[self.where] += self.codes[sign].astype(np.float32)
        return cell, self.where.copy()


class Text:
    """Words of a made-up language; two of a class's own words stand among them.

    A cell is a str; the place is the array of the planted words' positions when the
    text is split at its spaces.
    """

    n_words_a_class = 5
    n_common_words = 150
    n_planted = 2

    def __init__(
        self, n_classes: int, class_sep: float, noise: float, rng: RandomState
    ) -> None:
        # Strength of the signal has no meaning for a word: it is there or it is not.
        syllables = [a + b for a, b in product("bdfgklmnprstvz", "aeiou")]
        n_own = n_classes * self.n_words_a_class
        words = [a + b for a, b in product(syllables, syllables)]
        chosen = rng.choice(words, n_own + self.n_common_words, replace=False)
        self.own = chosen[:n_own].reshape(n_classes, self.n_words_a_class)
        self.common = chosen[n_own:]
        self.noise, self.rng = noise, rng

    def background(self) -> str:
        n_words = max(1, round(self.noise * self.rng.randint(6, 15)))
        return " ".join(self.rng.choice(self.common, n_words))

    def plant(self, cell: Any, sign: int) -> tuple[Any, Any]:
        words = cell.split(" ")
        n_words = len(words) + self.n_planted
        where = np.sort(self.rng.choice(n_words, self.n_planted, replace=False))
        own = self.rng.choice(self.own[sign], self.n_planted, replace=False)
        for position, word in zip(where, own, strict=True):
            words.insert(position, str(word))
        return " ".join(words), where


class Image:
    """Grey grain; a patch of stripes somewhere, whose direction is the class.

    A cell is a uint8 array (24, 24); the place is the array (top, left, height, width)
    in pixels.
    """

    side, patch = 24, 10

    def __init__(
        self, n_classes: int, class_sep: float, noise: float, rng: RandomState
    ) -> None:
        y, x = np.mgrid[: self.patch, : self.patch]
        angles = np.pi * np.arange(n_classes) / n_classes
        across = np.cos(angles)[:, None, None] * x + np.sin(angles)[:, None, None] * y
        self.stripes = 90.0 * class_sep * np.sin(2 * np.pi * across / 4.0)
        self.noise, self.rng = noise, rng

    def background(self) -> NDArray[np.uint8]:
        grain = self.rng.normal(128.0, 25.0 * self.noise, (self.side, self.side))
        return _to_bytes(grain)

    def plant(self, cell: Any, sign: int) -> tuple[Any, Any]:
        top, left = self.rng.randint(0, self.side - self.patch + 1, size=2)
        patch = (slice(top, top + self.patch), slice(left, left + self.patch))
        cell[patch] = _to_bytes(cell[patch] + self.stripes[sign])
        return cell, np.array([top, left, self.patch, self.patch])


class Audio:
    """Half a second of hiss; a short tone somewhere, whose pitch is the class.

    A cell is a tuple (samples, 8000), the samples float32 in [-1, 1]; the place is the
    array (start, stop) in samples.
    """

    rate, n_samples, n_tone = 8000, 4000, 1200

    def __init__(
        self, n_classes: int, class_sep: float, noise: float, rng: RandomState
    ) -> None:
        seconds = np.arange(self.n_tone) / self.rate
        pitches = np.geomspace(300.0, 3000.0, n_classes)  # Hz
        sinusoids = np.sin(2 * np.pi * pitches[:, None] * seconds)
        self.tones = 0.3 * class_sep * np.hanning(self.n_tone) * sinusoids
        self.noise, self.rng = noise, rng

    def background(self) -> tuple[NDArray[np.float32], int]:
        hiss = self.rng.normal(0.0, 0.05 * self.noise, self.n_samples)
        return hiss.clip(-1.0, 1.0).astype(np.float32), self.rate

    def plant(self, cell: Any, sign: int) -> tuple[Any, Any]:
        samples, rate = cell
        start = self.rng.randint(0, self.n_samples - self.n_tone + 1)
        burst = slice(start, start + self.n_tone)
        samples[burst] = (samples[burst] + self.tones[sign]).clip(-1.0, 1.0)
        return (samples, rate), np.array([start, start + self.n_tone])


class Series:
    """Noise over 64 time steps; a motif of 16 somewhere, whose shape is the class.

    A cell is a float32 array (64,); the place is the array (start, stop) in steps.
    """

    n_steps, n_motif = 64, 16

    def __init__(
        self, n_classes: int, class_sep: float, noise: float, rng: RandomState
    ) -> None:
        phase = np.pi * np.arange(1, self.n_motif + 1) / (self.n_motif + 1)
        sinusoids = np.sin(np.arange(1, n_classes + 1)[:, None] * phase)
        self.motifs = 2.0 * class_sep * sinusoids
        self.noise, self.rng = noise, rng

    def background(self) -> NDArray[np.float32]:
        return self.rng.normal(0.0, 0.4 * self.noise, self.n_steps).astype(np.float32)

    def plant(self, cell: Any, sign: int) -> tuple[Any, Any]:
        start = self.rng.randint(0, self.n_steps - self.n_motif + 1)
        cell[start : start + self.n_motif] += self.motifs[sign].astype(np.float32)
        return cell, np.array([start, start + self.n_motif])


def _to_bytes(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    return pixels.clip(0, 255).round().astype(np.uint8)


KINDS: dict[str, Callable[[int, float, float, RandomState], Kind]] = {
    "tabular": Numbers,
    "text": Text,
    "image": Image,
    "audio": Audio,
    "series": Series,
    "vector": Numbers,
}
