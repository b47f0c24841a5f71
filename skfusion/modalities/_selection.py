"""What a column holds, told from its cells: the selectors of the automatic choice."""

from __future__ import annotations

import io
import os
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from skfusion.modalities.base import is_absent, split_columns

__all__ = ["is_audio", "is_image", "is_series", "is_text", "is_vector"]

_IMAGE_ENDINGS = frozenset(
    e for e, kind in Image.registered_extensions().items() if kind in Image.OPEN
) - {".pdf", ".mpg", ".mpeg"}
_AUDIO_ENDINGS = frozenset({".wav", ".flac", ".ogg", ".oga", ".mp3", ".aiff", ".aif"})
_AUDIO_MAGIC = (b"RIFF", b"fLaC", b"OggS", b"ID3", b"\xff\xfb", b"\xff\xf3", b"FORM")


def _sample(values: Any, n: int = 200) -> list[Any]:
    """Up to `n` present cells of a column; none unless it holds objects or strings."""
    if str(values.dtype) not in ("object", "str", "string", "Object", "String") and (
        not str(values.dtype).startswith(("List", "Array", "Binary", "string"))
    ):
        return []
    values = values.dropna() if hasattr(values, "dropna") else values.drop_nulls()
    _, (cells,), _ = split_columns(values.head(n))
    return [cell for cell in cells if not is_absent(cell)]


def _ends_with(cells: list[Any], endings: frozenset[str]) -> bool:
    return all(
        isinstance(c, str | os.PathLike)
        and os.path.splitext(os.fspath(c))[1].lower() in endings
        for c in cells
    )


def is_image(values: Any) -> bool:
    cells = _sample(values, 20)
    if not cells:
        return False
    if all(isinstance(c, Image.Image) for c in cells) or _ends_with(
        cells, _IMAGE_ENDINGS
    ):
        return True
    if all(isinstance(c, bytes) for c in cells):
        return not cells[0].startswith(_AUDIO_MAGIC) and _opens(cells[0])
    return all(
        isinstance(c, np.ndarray)
        and (c.ndim == 3 or (c.ndim == 2 and c.dtype == np.uint8))
        for c in cells
    )


def _opens(data: bytes) -> bool:
    try:
        Image.open(io.BytesIO(data)).close()
    except OSError:
        return False
    return True


def is_audio(values: Any) -> bool:
    cells = _sample(values, 20)
    if not cells:
        return False
    if all(isinstance(c, tuple) and len(c) == 2 and np.isscalar(c[1]) for c in cells):
        return True
    if all(isinstance(c, bytes) for c in cells):
        return cells[0].startswith(_AUDIO_MAGIC)
    return _ends_with(cells, _AUDIO_ENDINGS)


def _numeric_cells(values: Any) -> list[Any]:
    cells = _sample(values)
    numeric = all(
        isinstance(c, list | np.ndarray | pd.Series)
        and len(c)
        and np.asarray(c).dtype.kind in "iufb"
        for c in cells
    )
    return [np.asarray(c) for c in cells] if numeric else []


def is_vector(values: Any) -> bool:
    """Cells of one dimension and one length, too short to be called a series."""
    cells = _numeric_cells(values)
    return bool(cells) and len({c.shape for c in cells}) == 1 and cells[0].ndim == 1


def is_series(values: Any) -> bool:
    return any(c.ndim <= 2 for c in _numeric_cells(values))


def is_text(values: Any) -> bool:
    """Strings that rarely repeat and have several words."""
    cells = _sample(values, 1000)
    if not cells or not all(isinstance(c, str) for c in cells):
        return False
    unique = set(cells)
    words = sum(len(c.split()) for c in unique) / len(unique)
    return len(unique) > min(30, 0.5 * len(cells)) and words >= 2
