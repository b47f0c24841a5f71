"""How elements are drawn: words, patches, frames, bars; in matplotlib and in HTML."""

from __future__ import annotations

import base64
import html
import io
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from skfusion.inspection._plotting import INK

__all__ = ["AGAINST", "FOR", "PAINTERS", "Painter"]

#: Blue and orange, which nearly everybody can tell apart.
FOR, AGAINST = np.array([31, 119, 200]), np.array([240, 134, 20])
STRENGTH = 0.7  # of the colour of an element as large as the scale


class Painter(ABC):
    """One row's elements, ready to be drawn.

    Parameters
    ----------
    elements : Series
        Signed contributions (or weights) by element.
    content : object
        What lies behind the elements; each painter says what it needs.
    scale : float, optional
        The size that is drawn in full colour; by default that of the largest.
    """

    def __init__(
        self, elements: pd.Series, content: Any = None, *, scale: float | None = None
    ) -> None:
        self.elements, self.content = elements, content
        values = elements.to_numpy(dtype=float)
        scale = scale or float(np.abs(values).max(initial=0.0)) or 1.0
        #: -1 (against, full colour) to 1 (for, full colour)
        self.shades = np.clip(values / scale, -1, 1)

    @abstractmethod
    def draw(self, ax: Any) -> None:
        """Draw into matplotlib axes."""

    @abstractmethod
    def html(self) -> str:
        """A block of HTML."""


class Words(Painter):
    """Words in their order, coloured; no content needed."""

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
            f'<span title="{value:+.3f}" style="background:{_css(shade)};color:{INK};'
            f'border-radius:4px;padding:1px 4px">{html.escape(str(word))}</span>'
            for (word, value), shade in zip(
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
        # Nearly grey, so that blue and orange are not taken for the picture's own.
        rgb = 0.2 * rgb + 0.8 * rgb.mean(axis=-1, keepdims=True)
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
    """Intervals of time over a spectrogram.

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
    """Signed bars, the largest first; the content maps elements to their cells."""

    most = 12

    def bars(self) -> list[tuple[str, float]]:
        """(label, value) of each bar; the last one sums up what is too small."""
        cells = dict(self.content or {})
        values = self.elements.to_numpy(dtype=float)
        order = np.argsort(-np.abs(values), kind="stable")
        shown = order if len(order) <= self.most else order[: self.most - 1]
        bars = [
            (f"{n} = {_short(cells[n])}" if n in cells else str(n), float(v))
            for n, v in zip(self.elements.index[shown], values[shown], strict=True)
        ]
        if len(shown) < len(order):
            others = order[len(shown) :]
            bars.append((f"{len(others)} others", float(values[others].sum())))
        return bars

    def draw(self, ax: Any) -> None:
        labels, values = zip(*self.bars(), strict=True)
        colours = [_colour(value) / 255 for value in values]
        ax.barh(range(len(labels)), values, color=colours)
        ax.set_yticks(range(len(labels)), labels)
        ax.invert_yaxis()
        ax.axvline(0, color=INK, linewidth=0.8)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)

    def html(self) -> str:
        bars = self.bars()
        largest = max(abs(value) for _, value in bars) or 1.0
        left = 12 * max(0.0, -min(value for _, value in bars)) / largest  # em
        rows = []
        for label, value in bars:
            width = 12 * abs(value) / largest
            indent = left - width if value < 0 else left
            rows.append(
                f'<tr><td style="text-align:right">{html.escape(label)}</td>'
                f'<td style="text-align:left"><div style="margin-left:{indent:.2f}em;'
                f"background:{_css(np.sign(value))};height:0.8em;"
                f'width:{width:.2f}em"></div></td><td>{value:+.3f}</td></tr>'
            )
        return f"<table>{''.join(rows)}</table>"


#: By the kind that `Modality.content` names.
PAINTERS: dict[str, Callable[..., Painter]] = {
    "words": Words,
    "patches": Patches,
    "frames": Frames,
    "bars": Bars,
}


def _colour(value: float) -> NDArray[np.int64]:
    return AGAINST if value < 0 else FOR


def _blend(grey: Any, shade: float) -> NDArray[np.float64]:
    """Colours, 0 to 255, under a veil of blue or orange."""
    alpha = STRENGTH * abs(float(shade))
    return np.asarray(grey, dtype=float) * (1 - alpha) + _colour(shade) * alpha


def _css(shade: float) -> str:
    red, green, blue = _colour(shade)
    return f"rgba({red},{green},{blue},{STRENGTH * abs(float(shade)):.2f})"


def _png(picture: NDArray[np.uint8], height: int) -> str:
    """An HTML image that carries its own pixels."""
    image = Image.fromarray(picture)
    scale = height / image.height
    size = (max(1, round(image.width * scale)), height)
    file = io.BytesIO()
    image.resize(size, Image.Resampling.NEAREST).save(file, "PNG")
    code = base64.b64encode(file.getvalue()).decode("ascii")
    return f'<img src="data:image/png;base64,{code}" alt="elements in colour">'


def _short(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)
    return text if len(text) <= 24 else text[:23] + "…"
