"""How elements are drawn: words, patches, frames, bars; in matplotlib and in HTML."""

from __future__ import annotations

import base64
import html
import io
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import singledispatch
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from skfusion.batch import Block
from skfusion.inspection._plotting import INK
from skfusion.modalities import AudioModality, ImageModality, TextModality

__all__ = ["PAINTERS", "Painter", "painter_of"]

ORANGE = np.array([242, 142, 43])  # of the shading
STRENGTH = 0.75  # of the shading of the heaviest element


class Painter(ABC):
    """One row's elements, ready to be drawn.

    Parameters
    ----------
    elements : Series
        Weights by element.
    content : object
        What lies behind the weights; each painter says what it needs.
    """

    def __init__(self, elements: pd.Series, content: Any = None) -> None:
        self.elements, self.content = elements, content
        self.shades = _stand_out(elements.to_numpy(dtype=float))

    @abstractmethod
    def draw(self, ax: Any) -> None:
        """Draw into matplotlib axes."""

    @abstractmethod
    def html(self) -> str:
        """A block of HTML."""


def _stand_out(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each weight is above the lightest, 0 to 1; next to 0 if all are even.

    Full strength needs a range of at least half an even share. Relative to the
    heaviest alone, even weights would all look heavy.
    """
    if not len(weights):
        return weights
    above = weights - weights.min()
    return above / (max(above.max(), 0.5 * weights.mean()) or 1.0)


class Words(Painter):
    """Words in their order, shaded by weight; no content needed."""

    def draw(self, ax: Any) -> None:
        ax.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        renderer = ax.figure.canvas.get_renderer()
        x, y, line = 0.01, 0.94, 0.0
        for word, shade in zip(self.elements.index, self.shades, strict=True):
            background = {
                "boxstyle": "round,pad=0.15",
                "facecolor": _blend(255.0, shade) / 255,
                "linewidth": 0,
            }
            text = ax.text(
                x, y, word, color=INK, va="top", parse_math=False, bbox=background
            )
            box = text.get_window_extent(renderer).transformed(ax.transData.inverted())
            if box.x1 > 0.99 and x > 0.01:
                x, y = 0.01, y - line
                text.set_position((x, y))
            x += box.width + 0.018
            line = 1.7 * box.height

    def html(self) -> str:
        spans = [
            f'<span title="{weight:.3f}" style="background:{_css(shade)};color:{INK};'
            f'border-radius:4px;padding:1px 4px">{html.escape(str(word))}</span>'
            for (word, weight), shade in zip(
                self.elements.items(), self.shades, strict=True
            )
        ]
        return f'<div style="line-height:1.9;max-width:60em">{" ".join(spans)}</div>'


class Patches(Painter):
    """Patches over the picture.

    The content is an array (H, W), (H, W, 3) or (n_columns, H, W, 3), or with one
    channel, 0 to 255; elements end with (top, left, bottom, right) in pixels.
    """

    def picture(self) -> NDArray[np.uint8]:
        content = np.asarray(self.content, dtype=float)
        if content.ndim == 2 or content.shape[-1] not in (1, 3):
            content = content[..., None]
        rgb = np.broadcast_to(content, (*content.shape[:-1], 3))
        if rgb.ndim == 3:
            rgb = rgb[None]  # (K, H, W, 3)
        keys = [tuple(name[:-4]) for name in self.elements.index]
        columns = {key: k for k, key in enumerate(dict.fromkeys(keys))}
        out = rgb.copy()
        for key, name, shade in zip(
            keys, self.elements.index, self.shades, strict=True
        ):
            top, left, bottom, right = name[-4:]
            where = (columns[key], slice(top, bottom), slice(left, right))
            out[where] = _blend(rgb[where], shade)
        return np.concatenate(list(out), axis=1).round().astype(np.uint8)

    def draw(self, ax: Any) -> None:
        ax.imshow(self.picture())
        ax.set(xticks=[], yticks=[])

    def html(self) -> str:
        return _png(self.picture(), height=160)


class Frames(Painter):
    """Stretches of time over a spectrogram.

    The content is an array (n_frames, n_bands), 0 to 255, whose frames span the
    elements; those end with (start, end) in seconds.
    """

    def picture(self) -> NDArray[np.uint8]:
        codes = np.asarray(self.content, dtype=float)  # (T, bands)
        codes = codes.reshape(-1, *codes.shape[-2:])[0]
        rgb = np.repeat(255 - codes.T[::-1, :, None], 3, axis=2)
        begin, end = self._extent()
        per_second = codes.shape[0] / max(end - begin, 1e-9)
        for name, shade in zip(self.elements.index, self.shades, strict=True):
            a, b = (round((s - begin) * per_second) for s in name[-2:])
            rgb[:, a:b] = _blend(rgb[:, a:b], shade)
        return rgb.round().astype(np.uint8)

    def _extent(self) -> tuple[float, float]:
        index = self.elements.index
        return float(index[0][-2]), float(index[-1][-1])

    def draw(self, ax: Any) -> None:
        begin, end = self._extent()
        ax.imshow(self.picture(), aspect="auto", extent=(begin, end, 0, 1))
        ax.set(yticks=[], xlabel="seconds", ylabel="mel bands")

    def html(self) -> str:
        return _png(self.picture(), height=110)


class Bars(Painter):
    """Bars, the heaviest first; the content maps elements to what stood in the row."""

    most = 12

    def _lines(self) -> list[tuple[str, float]]:
        values = dict(self.content or {})
        weights = self.elements.to_numpy(dtype=float)
        heaviest = np.argsort(-weights, kind="stable")[: self.most]
        names = [self.elements.index[i] for i in heaviest]
        return [
            (f"{n} = {_short(values[n])}" if n in values else str(n), float(w))
            for n, w in zip(names, self.elements.iloc[heaviest], strict=True)
        ]

    def draw(self, ax: Any) -> None:
        labels, weights = zip(*self._lines(), strict=True)
        ax.barh(range(len(labels)), weights, color=ORANGE / 255)
        ax.set_yticks(range(len(labels)), labels)
        ax.invert_yaxis()
        ax.set_xlabel("weight")
        ax.spines[["top", "right"]].set_visible(False)

    def html(self) -> str:
        heaviest = max(w for _, w in self._lines()) or 1.0
        rows = [
            f'<tr><td style="text-align:right">{html.escape(label)}</td>'
            f'<td style="text-align:left"><div style="background:{_css(1.0)};'
            f'height:0.8em;width:{12 * weight / heaviest:.2f}em"></div></td>'
            f"<td>{weight:.3f}</td></tr>"
            for label, weight in self._lines()
        ]
        return f"<table>{''.join(rows)}</table>"


PAINTERS: dict[str, Callable[..., Painter]] = {
    "words": Words,
    "patches": Patches,
    "frames": Frames,
    "bars": Bars,
}


@singledispatch
def painter_of(
    modality: Any, block: Block, row: int, elements: pd.Series, cells: Any
) -> Painter:
    """Choose the painter of a modality, and hand it the content of a row.

    Parameters
    ----------
    modality : Modality
    block : Block
    row : int
        Position of the row in the block.
    elements : Series
        Weights of the row's elements, not empty.
    cells : dict of str to object
        What stood in the row's columns of this modality, where that is known.
    """
    return Bars(elements, cells)


@painter_of.register
def _(
    modality: TextModality, block: Block, row: int, elements: pd.Series, cells: Any
) -> Painter:
    return Words(elements)


@painter_of.register
def _(
    modality: ImageModality, block: Block, row: int, elements: pd.Series, cells: Any
) -> Painter:
    pixels = block.arrays["pixels"][row]
    if pixels.ndim == 4:
        pixels = pixels[block.arrays["there"][row]]
    return Patches(elements, np.moveaxis(pixels, -3, -1))


@painter_of.register
def _(
    modality: AudioModality, block: Block, row: int, elements: pd.Series, cells: Any
) -> Painter:
    length = block.arrays["length"][row]
    first = int(np.flatnonzero(length)[0])  # of several columns the first is drawn
    if len(elements.index[0]) == 3:
        own = [name[0] == elements.index[0][0] for name in elements.index]
        elements = elements[own]
    return Frames(elements, block.arrays["log_mel"][row, first, : length[first]])


def _blend(grey: Any, shade: float) -> NDArray[np.float64]:
    """Colours, 0 to 255, under a veil of orange."""
    alpha = STRENGTH * float(shade)
    return np.asarray(grey, dtype=float) * (1 - alpha) + ORANGE * alpha


def _css(shade: float) -> str:
    red, green, blue = ORANGE
    return f"rgba({red},{green},{blue},{STRENGTH * float(shade):.2f})"


def _png(picture: NDArray[np.uint8], height: int) -> str:
    """An HTML image that carries its own pixels."""
    image = Image.fromarray(picture)
    scale = height / image.height
    size = (max(1, round(image.width * scale)), height)
    file = io.BytesIO()
    image.resize(size, Image.Resampling.NEAREST).save(file, "PNG")
    code = base64.b64encode(file.getvalue()).decode("ascii")
    return f'<img src="data:image/png;base64,{code}" alt="elements by weight">'


def _short(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)
    return text if len(text) <= 24 else text[:23] + "…"
