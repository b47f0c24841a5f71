"""Cells as a person put them into a table: read, and given back in the same form."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from numpy.typing import NDArray
from PIL import Image, ImageOps

__all__ = [
    "GiveBack",
    "holds_nothing",
    "object_column",
    "read_picture",
    "read_sound",
]


def holds_nothing(cell: Any) -> bool:
    """Whether a cell is absent: None, NaN, NaT, pd.NA or blank text."""
    if isinstance(cell, str):
        return not cell.strip()
    return cell is None or (pd.api.types.is_scalar(cell) and bool(pd.isna(cell)))


def object_column(cells: Sequence[Any], like: pd.Series) -> pd.Series:
    """A Series of objects with the index and the name of another one."""
    values = np.fromiter(cells, dtype=object)  # `asarray` would unpack arrays
    return pd.Series(values, index=like.index, name=like.name)


def read_picture(cell: Any) -> NDArray[Any]:
    """A picture as an array (H, W) or (H, W, C); arrays as they are."""
    if isinstance(cell, bytes | bytearray | memoryview):
        cell = Image.open(io.BytesIO(cell))
    elif isinstance(cell, str | os.PathLike):
        cell = Image.open(cell)
    if isinstance(cell, Image.Image):
        cell = ImageOps.exif_transpose(cell)
        if cell.mode not in ("L", "RGB", "RGBA"):
            transparent = "transparency" in cell.info or "A" in cell.mode
            cell = cell.convert("RGBA" if transparent else "RGB")
    picture = np.asarray(cell)
    return picture.astype(np.uint8) * 255 if picture.dtype == bool else picture


class GiveBack:
    """Puts samples into the form in which the cell came."""

    def __init__(self, rate: int | None) -> None:
        self.rate = rate

    def __call__(self, sound: NDArray[np.float64]) -> Any:
        samples = sound.astype(np.float32)
        return samples if self.rate is None else (samples, self.rate)


def read_sound(cell: Any) -> tuple[NDArray[np.float64], GiveBack]:
    """Mono samples of a sound, and what gives a changed sound back as a cell."""
    rate: int | None = None
    if isinstance(cell, bytes | bytearray | memoryview):
        samples, rate = soundfile.read(io.BytesIO(cell))
    elif isinstance(cell, str | os.PathLike):
        samples, rate = soundfile.read(cell)
    elif isinstance(cell, tuple | list) and len(cell) == 2 and np.ndim(cell[1]) == 0:
        samples, rate = cell
    else:
        samples = cell
    sound = np.asarray(samples, dtype=np.float64)
    if sound.ndim == 2:
        sound = sound.mean(axis=int(np.argmin(sound.shape)))
    return sound, GiveBack(None if rate is None else round(float(rate)))
