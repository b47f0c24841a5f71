"""Made-up rows whose number, modalities, classes and words can be chosen."""

from itertools import islice, product
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.common.tasks import Part

N_COMMON = 5000  # words that tell nothing
N_OWN = 5  # words of a class
TELLING = 1.2  # words of its class in a text, whatever its length: no text is easier


class Shape(NamedTuple):
    """The size of made-up rows."""

    rows: int = 3000
    modalities: int = 2
    classes: int = 3
    words: int = 40  # a text

    def with_(self, name: str, value: int) -> "Shape":
        """The same but for one size."""
        return self._replace(**{name: value})


def made(shape: Shape, n_test: int, seed: int = 0) -> tuple[Part, Part]:
    """Rows to learn from and to be tested on: texts and tables in turns."""
    rng = np.random.default_rng(seed)
    n = shape.rows + n_test
    # Each part has all classes, if its rows are as many.
    in_turn = (np.arange(k) % shape.classes for k in (shape.rows, n_test))
    y = np.concatenate([rng.permutation(part) for part in in_turn])
    data: dict[str, np.ndarray] = {}
    modalities = []
    for m in range(shape.modalities):
        kind = "tabular" if m % 2 else "text"
        name = f"{kind}{m // 2 + 1}"
        columns = table(name, y, shape, rng) if m % 2 else {name: texts(y, shape, rng)}
        data |= columns
        modalities.append((name, kind, list(columns)))
    whole = Part(pd.DataFrame(data), y, None, modalities, shape.classes)
    return whole.rows(np.arange(shape.rows)), whole.rows(np.arange(shape.rows, n))


def texts(y: np.ndarray, shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Words as frequent as in a language, a few of them the class's own."""
    size = (len(y), shape.words)
    frequency = 1 / np.arange(1, N_COMMON + 1)
    common = rng.choice(N_COMMON, size, p=frequency / frequency.sum())
    own = N_COMMON + y[:, None] * N_OWN + rng.integers(N_OWN, size=size)
    words = np.where(rng.random(size) < TELLING / shape.words, own, common)
    vocabulary = _vocabulary(N_COMMON + N_OWN * shape.classes)
    return np.array([" ".join(vocabulary[row]) for row in words], dtype=object)


def _vocabulary(n: int) -> np.ndarray:
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    words = map("".join, product(syllables, repeat=3))
    return np.array(list(islice(words, n)))


def table(
    name: str, y: np.ndarray, shape: Shape, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Four numbers and two categories, which tell something of the class."""
    numbers = rng.normal(size=(shape.classes, 4))[y] + rng.normal(size=(len(y), 4))
    columns = {f"{name}.{i}": numbers[:, i] for i in range(4)}
    for i, n_levels in enumerate((3, 12)):
        levels = np.where(
            rng.random(len(y)) < 0.3, y % n_levels, rng.integers(n_levels, size=len(y))
        )
        columns[f"{name}.level{i}"] = np.array([f"level {v}" for v in levels], object)
    return columns
