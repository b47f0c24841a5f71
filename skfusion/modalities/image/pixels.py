"""Pixels of pictures that were read: colour, channels, statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skfusion.batch import Block
from skfusion.modalities.image.reading import sides

__all__ = [
    "channels_first",
    "choose_size",
    "has_colour",
    "pixel_statistics",
    "readable",
]

LARGEST = 64  # pixels; larger pictures are reduced to it unless `size` says more


def choose_size(cells: Sequence[Any]) -> int:
    """Median of the longest sides, a multiple of 4 that training can afford."""
    longest = [max(found) for found in map(sides, cells) if found]
    side = float(np.median(longest)) if longest else 32.0
    return int(min(LARGEST, max(8, 4 * math.ceil(side / 4))))


def has_colour(picture: NDArray[np.uint8] | None) -> bool:
    """Whether a picture (S, S) or (S, S, 3) is anything but grey."""
    if picture is None or picture.ndim == 2:
        return False
    return bool((picture[..., 1:] != picture[..., :1]).any())


def channels_first(picture: NDArray[np.uint8], n_channels: int) -> NDArray[np.uint8]:
    """(S, S) or (S, S, 3) as (C, S, S), or as what broadcasts to it."""
    if picture.ndim == 2:
        return picture[None]
    if n_channels == 3:
        return picture.transpose(2, 0, 1)
    luminance = picture @ np.array([19595, 38470, 7471])  # as Pillow's convert("L")
    return ((luminance + 0x8000) >> 16).astype(np.uint8)[None]


def pixel_statistics(block: Block) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean and standard deviation of each channel over the pictures that are there."""
    pixels = block.arrays["pixels"]
    there = block.arrays.get("there", block.present)
    c, s = pixels.shape[-3], pixels.shape[-1]
    counts = np.zeros((c, 256))
    for rows in np.array_split(np.arange(len(pixels)), len(pixels) // 1024 + 1):
        kept = pixels[rows][there[rows]].reshape(-1, c, s * s)
        counts += [np.bincount(kept[:, i].ravel(), minlength=256) for i in range(c)]
    if not counts.any():
        return np.full(c, 127.5), np.full(c, 64.0)  # nothing to learn from
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ np.arange(256)
    variance = (share * (np.arange(256) - mean[:, None]) ** 2).sum(axis=1)
    return mean, np.maximum(np.sqrt(variance), 1.0)


def readable(
    columns: list[NDArray[np.object_]], pictures: list[list[NDArray[np.uint8] | None]]
) -> NDArray[np.object_]:
    """Cells (n_samples, n_columns), None where they are absent or cannot be read."""
    cells = np.stack(columns, axis=1)
    for j, column in enumerate(pictures):
        cells[[picture is None for picture in column], j] = None
    return cells
