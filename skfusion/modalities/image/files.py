"""Picture files: opened by what they are, and large ones decoded one at a time."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from PIL import Image, UnidentifiedImageError

from skfusion._validation import shorten

__all__ = ["ENDINGS", "LARGE", "one_at_a_time", "open_picture"]

#: Endings of the files that Pillow reads, but for documents and films.
ENDINGS = frozenset(
    e for e, kind in Image.registered_extensions().items() if kind in Image.OPEN
) - {".pdf", ".mpg", ".mpeg"}
#: Formats that are programs, which Pillow has others run or play back.
_RUN = ("EPS", "WMF")
#: Pictures of more pixels than this are decoded one at a time.
LARGE = 2**21
_large_picture = threading.Lock()


def open_picture(cell: Any) -> Image.Image:
    """Open a path or the bytes of a file; the pixels are not decoded yet."""
    if isinstance(cell, str | os.PathLike):
        name = os.fspath(cell)
        if not os.path.isfile(name):
            fault = "is no regular file" if os.path.exists(name) else "does not exist"
            raise FileNotFoundError(
                f"the file {shorten(name)} {fault} (looked from "
                f"{shorten(os.getcwd())})."
            )
        source: Any = name
        what = f"the file {shorten(name)}"
    else:
        source, what = io.BytesIO(cell), f"its {len(cell)} bytes"
    try:
        image = Image.open(source)
    except UnidentifiedImageError as error:
        raise ValueError(f"Pillow knows no picture format like {what}.") from error
    if image.format in _RUN:
        image.close()
        raise ValueError(
            f"{what} is {image.format}, a program that another one would have to run. "
            "Convert it to PNG or JPEG."
        )
    return image


@contextmanager
def one_at_a_time(image: Image.Image) -> Iterator[None]:
    """Refuse pictures of too many pixels; of large ones, let only one be decoded."""
    n_pixels, most = image.width * image.height, Image.MAX_IMAGE_PIXELS
    if most is not None and n_pixels > most:
        raise ValueError(
            f"it has {image.height} x {image.width} pixels, and at most {most} are "
            "decoded (PIL.Image.MAX_IMAGE_PIXELS); reduce it."
        )
    with _large_picture if n_pixels > LARGE else nullcontext():
        yield
