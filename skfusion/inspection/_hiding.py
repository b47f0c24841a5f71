"""Rows in which some elements are hidden: words, patches, frames, columns.

How depends on the kind of the modality: `hide` is one function with a form for each. A
modality without elements (a vector, the predictions of an estimator) has none.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skfusion.batch import Block
from skfusion.modalities import (
    AudioModality,
    ImageModality,
    Modality,
    SeriesModality,
    TabularModality,
    TextModality,
)

__all__ = ["has_elements", "hide"]

LOUDEST, RANGE = 255, 80.0  # a log-mel code is dB below the loudest, see AudioModality


@singledispatch
def hide(modality: Any, block: Block, hidden: NDArray[np.bool_], names: Any) -> Block:
    """Make a block in which elements say nothing.

    Parameters
    ----------
    modality : Modality
        The fitted modality that made the block.
    block : Block of n_samples rows
    hidden : ndarray of shape (n_samples, n_elements), bool
        True = hide the element that stands there in the row's `element_weights`.
    names : list of n_samples Index
        The elements of each row, as `element_weights` names them.

    Returns
    -------
    block : Block
    """
    raise TypeError(f"{type(modality).__name__} has no elements that can be hidden.")


def has_elements(modality: Modality) -> bool:
    """Whether elements of this modality can be hidden one by one."""
    return hide.dispatch(type(modality)) is not hide.dispatch(object)


@hide.register
def _(
    modality: TextModality, block: Block, hidden: NDArray[np.bool_], names: Any
) -> Block:
    """Words are taken out, with the n-grams that they are part of."""
    words = block.arrays["words"].copy()
    ngrams = block.arrays["ngrams"].copy()
    gone = np.zeros(words.shape, dtype=bool)
    width = min(gone.shape[1], hidden.shape[1])
    gone[:, :width] = hidden[:, :width]
    words[gone] = 0
    for step in range(ngrams.shape[2]):  # n-grams of step + 2 words
        broken = gone.copy()
        for ahead in range(1, step + 2):
            broken[:, :-ahead] |= gone[:, ahead:]
        ngrams[..., step][broken] = 0
    return Block(
        {**block.arrays, "words": words, "ngrams": ngrams}, block.present, block.cells
    )


@hide.register
def _(
    modality: ImageModality, block: Block, hidden: NDArray[np.bool_], names: Any
) -> Block:
    """Patches are painted in the mean colour of the training pictures."""
    pixels = block.arrays["pixels"].copy()
    one = pixels.ndim == 4
    n, size = len(pixels), pixels.shape[-1]
    there = np.ones((n, 1), bool) if one else block.arrays["there"]
    view = pixels.reshape(n, there.shape[1], -1, size, size)
    colour = np.round(modality.mean_).astype(pixels.dtype)[:, None, None]
    for i, k in zip(*np.nonzero(hidden), strict=True):
        columns = np.flatnonzero(there[i])
        j = columns[k // (len(names[i]) // len(columns))]
        top, left, bottom, right = names[i][k][-4:]
        view[i, j, :, top:bottom, left:right] = colour
    return Block({**block.arrays, "pixels": pixels}, block.present, block.cells)


@hide.register
def _(
    modality: AudioModality, block: Block, hidden: NDArray[np.bool_], names: Any
) -> Block:
    """Frames are given the mean loudness of each band in the training sounds."""
    codes = block.arrays["log_mel"].copy()
    length = block.arrays["length"]
    mean = np.round(LOUDEST * (1 + modality.band_mean_ / RANGE)).astype(codes.dtype)
    for i in np.flatnonzero(hidden.any(axis=1)):
        spans = [name[-2:] for name in names[i]]
        keys = [name[:-2] for name in names[i]]  # the column, where there are several
        columns = dict(zip(dict.fromkeys(keys), np.flatnonzero(length[i]), strict=True))
        for k in np.flatnonzero(hidden[i]):
            j = columns[keys[k]]
            own = [s for s, key in zip(spans, keys, strict=True) if key == keys[k]]
            a_frame = (own[-1][1] - own[0][0]) / length[i, j]  # seconds
            start, end = (round((s - own[0][0]) / a_frame) for s in spans[k])
            codes[i, j, start:end] = mean
    return Block({**block.arrays, "log_mel": codes}, block.present, block.cells)


@hide.register
def _(
    modality: SeriesModality, block: Block, hidden: NDArray[np.bool_], names: Any
) -> Block:
    """Steps are given the median of their channel; statistics, their mean."""
    values = block.arrays["values"].copy()
    statistics = block.arrays["statistics"].copy()
    for i, k in zip(*np.nonzero(hidden), strict=True):
        if isinstance(names[i][k], str):
            statistics[i] = 0
            continue
        n_raw, length = (int(block.arrays[key][i]) for key in ("n_raw", "length"))
        step = -(-n_raw // length)
        start, end = names[i][k]
        values[i, :, start // step : -(-end // step)] = 0
    arrays = {**block.arrays, "values": values, "statistics": statistics}
    return Block(arrays, block.present, block.cells)


@hide.register
def _(
    modality: TabularModality, block: Block, hidden: NDArray[np.bool_], names: Any
) -> Block:
    """Cells are missing."""
    arrays = {key: array.copy() for key, array in block.arrays.items()}
    first = 0
    for key in ("numbers", "codes"):
        n_columns = arrays[key].shape[1]
        group = max(1, -(-n_columns // modality.max_tokens))  # columns an element
        n_elements = -(-n_columns // group)
        gone = np.repeat(hidden[:, first : first + n_elements], group, axis=1)
        gone = gone[:, :n_columns]
        arrays[key][gone] = 0
        if key == "numbers":
            arrays["missing"][gone] = 1
        first += n_elements
    return Block(arrays, block.present, block.cells)
