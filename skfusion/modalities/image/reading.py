"""From one cell to one small square picture, 8 bits a channel."""

from __future__ import annotations

import itertools
import os
import struct
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from skfusion.modalities.base import Verdict
from skfusion.modalities.columns import is_absent, is_file
from skfusion.modalities.detection import are_paths, most
from skfusion.modalities.image.files import (
    ENDINGS,
    LARGE,
    one_at_a_time,
    open_picture,
)

__all__ = [
    "READ_ERRORS",
    "PictureReader",
    "are_pictures",
    "read_all",
    "sides",
]

#: What Pillow and NumPy raise on a cell that they cannot read.
READ_ERRORS = (
    *(OSError, EOFError, ValueError, TypeError, SyntaxError, OverflowError),
    *(LookupError, AttributeError, struct.error, zlib.error),
    *(Image.DecompressionBombError, Image.DecompressionBombWarning),
)
#: Values that sensors and file formats call white.
WHITES = (1, 255, 1023, 4095, 16383, 65535)
#: Pixels that are converted at a time.
STRIPE = LARGE
THREADED = 64  # files a piece of work of one thread
#: How EXIF says that a picture must be turned to stand upright.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
REMEDY = "pass pictures as (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)."


def are_pictures(cells: Sequence[Any]) -> Verdict:
    """Tell whether a sample of cells looks like pictures of one sort."""
    if are_paths(cells, ENDINGS):
        return Verdict(True, "names of image files")
    if most(lambda c: isinstance(c, Image.Image), cells):
        return Verdict(True, "PIL images")
    if most(lambda c: isinstance(c, bytes), cells):
        known = any(isinstance(c, bytes) and sides(c) is not None for c in cells[:20])
        return Verdict(known, "bytes of image files" * known)
    known = most(
        lambda c: (
            isinstance(c, np.ndarray)
            and (c.ndim == 3 or (c.ndim == 2 and c.dtype == np.uint8))
        ),
        cells,
    )
    return Verdict(known, "arrays of pixels" * known)


def sides(cell: Any) -> tuple[int, int] | None:
    """(height, width) in pixels without decoding; None where it cannot be told."""
    try:
        if is_file(cell):
            with open_picture(cell) as image:
                return image.height, image.width
        if isinstance(cell, Image.Image):
            return cell.height, cell.width
        height, width = _as_array(cell).shape[:2]
    except READ_ERRORS:
        return None  # the reading itself will say what is wrong
    return (height, width) if height and width else None


@dataclass
class PictureReader:
    """Reads cells as squares of `size` pixels.

    Parameters
    ----------
    size : int
        Side S of the squares.
    levels : dict of {"float", "integer"} to (float, float)
        The values that mean black and white in arrays of floats and in those of
        integers wider than 8 bits; see `learn_levels`.
    """

    size: int
    levels: dict[str, tuple[float, float]] = field(default_factory=dict)

    def learn_levels(self, cells: Iterable[Any]) -> PictureReader:
        """Set `levels` from all training pictures at once.

        A bright picture in [0, 255] and a dark one in [0, 1] cannot be told apart one
        by one, so the training rows decide: [0, w], where w is the first of 1, 255,
        1023, 4095, 16383 and 65535 that holds every value (for floats, of 1 and 255);
        with negative or still larger values, their own range, or [-1, 1].
        """
        lowest: dict[str, float] = {}
        highest: dict[str, float] = {}
        for cell in cells:
            try:
                array = _raw(cell)
                if array.size == 0 or array.dtype in (np.uint8, np.bool_):
                    continue
                kind, low, high = _extent(array)
            except READ_ERRORS:
                continue
            lowest[kind] = min(low, lowest.get(kind, low))
            highest[kind] = max(high, highest.get(kind, high))
        self.levels = {
            kind: _levels(kind, lowest[kind], highest[kind]) for kind in lowest
        }
        return self

    def read(self, cell: Any) -> NDArray[np.uint8]:
        """Decode a cell, keep its aspect, and pad it with the colour of its border.

        Returns
        -------
        picture : ndarray of shape (S, S), or (S, S, 3) where the cell holds colour
        """
        fitting = ((self.size, self.size), (self.size, self.size, 3))
        if getattr(cell, "dtype", None) == np.uint8 and cell.shape in fitting:
            return cell  # small stacks come by the thousand: spare Pillow the trip
        if is_file(cell):
            with open_picture(cell) as image:
                # JPEG can be decoded at 1/2, 1/4 or 1/8.
                image.draft(None, (2 * self.size, 2 * self.size))
                with one_at_a_time(image):
                    return self._padded(self._resized(image))
        if isinstance(cell, Image.Image):
            return self._padded(self._resized(cell))
        image = Image.fromarray(_eight_bits(_as_array(cell), self.levels))
        return self._padded(self._resized(image))

    def _resized(self, image: Image.Image) -> Image.Image:
        """Decode, convert, and reduce to the size of the square, upright.

        Large pictures are converted in stripes, so that no other copy of them is made.
        """
        if not all(image.size):
            raise ValueError(f"it has no pixels: {image.height} x {image.width}.")
        try:
            image.load()
        except READ_ERRORS as error:
            cause = str(error).rstrip(".")
            raise ValueError(f"Pillow cannot decode it: {cause}.") from error
        scale = self.size / max(image.size)
        width, height = (max(1, round(side * scale)) for side in image.size)
        # As in Pillow, first by whole numbers to twice the size at least.
        by = max(1, image.width // (2 * width)), max(1, image.height // (2 * height))
        step = max(1, STRIPE // (image.width * by[1])) * by[1]
        levels = self._levels_of(image)
        stripes = [
            self._converted(image, top, top + step, levels).reduce(by)
            for top in range(0, image.height, step)
        ]
        small = stripes[0]
        if len(stripes) > 1:
            whole = sum(stripe.height for stripe in stripes)
            small = Image.new(small.mode, (small.width, whole))
            for i, stripe in enumerate(stripes):
                small.paste(stripe, (0, i * step // by[1]))
        if small.size != (width, height):
            box = (0, 0, image.width / by[0], image.height / by[1])
            small = small.resize((width, height), Image.Resampling.BICUBIC, box)
        turn = UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
        return small if turn is None else small.transpose(turn)

    def _levels_of(self, image: Image.Image) -> dict[str, tuple[float, float]]:
        """`levels`, where they are unknown those that the whole picture suggests."""
        kind = "float" if image.mode == "F" else "integer"
        if not _is_deep(image) or kind in self.levels:
            return self.levels
        if image.mode in ("I", "F", "I;16"):
            low, high = (float(np.asarray(x)) for x in image.getextrema())
        else:
            _, low, high = _extent(np.asarray(image))
        return {kind: _levels(kind, low, high)}

    def _converted(
        self,
        image: Image.Image,
        top: int,
        bottom: int,
        levels: dict[str, tuple[float, float]],
    ) -> Image.Image:
        """Some lines of a picture, opaque, in 8 bits a channel."""
        if top or bottom < image.height:
            image = image.crop((0, top, image.width, min(bottom, image.height)))
        if _is_deep(image):
            image = Image.fromarray(_eight_bits(np.asarray(image), levels))
        return _opaque(image)

    def _padded(self, image: Image.Image) -> NDArray[np.uint8]:
        """Pad to a square with the colour of the border."""
        picture = np.asarray(image)
        width, height = image.size
        if height == width:
            return picture
        touching = (0, slice(None)) if width > height else (slice(None), 0)
        opposite = (-1, slice(None)) if width > height else (slice(None), -1)
        border = np.concatenate([picture[touching], picture[opposite]])
        shape = (self.size, self.size, *picture.shape[2:])
        square = np.empty(shape, np.uint8)
        square[:] = np.median(border, axis=0).astype(np.uint8)
        top, left = (self.size - height) // 2, (self.size - width) // 2
        square[top : top + height, left : left + width] = picture
        return square


def _is_deep(image: Image.Image) -> bool:
    """Tell whether pixels are wide integers or floats (modes I, I;16, F)."""
    return image.mode.startswith(("I", "F"))


def _as_array(cell: Any) -> NDArray[Any]:
    """Numbers of an array, of what converts to one, or of nested lists."""
    if not (hasattr(cell, "__array__") or isinstance(cell, list | tuple)):
        raise TypeError(f"it is of type {type(cell).__name__}.")
    array = np.asarray(cell)
    if array.dtype.kind not in "buif" or array.ndim == 0:
        raise TypeError(f"it is of type {type(cell).__name__}, dtype {array.dtype}.")
    return array


def _raw(cell: Any) -> NDArray[Any]:
    """Values of a cell that is not stored in 8 bits; empty where it is."""
    if is_file(cell):
        with open_picture(cell) as image:
            if not _is_deep(image):
                return np.empty(0, np.uint8)
            with one_at_a_time(image):
                return np.asarray(image)
    if isinstance(cell, Image.Image):
        return np.asarray(cell) if _is_deep(cell) else np.empty(0, np.uint8)
    return _as_array(cell)


def _extent(array: NDArray[Any]) -> tuple[str, float, float]:
    """Kind of numbers, the lowest and the highest."""
    low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high]).all():
        raise ValueError("the array holds NaN or infinite values.")
    return ("float" if array.dtype.kind == "f" else "integer"), low, high


def _levels(kind: str, low: float, high: float) -> tuple[float, float]:
    slack = 1e-3 * (kind == "float")  # resampled floats overshoot a little
    whites = WHITES if kind == "integer" else WHITES[:2]
    for white in whites:
        if low >= -slack * white and high <= (1 + slack) * white:
            return 0.0, float(white)
    if low >= -1 and high <= 1:
        return -1.0, 1.0
    return low, high if high > low else low + max(1e-6, 1e-6 * abs(low))


def _eight_bits(
    array: NDArray[Any], levels: dict[str, tuple[float, float]]
) -> NDArray[np.uint8]:
    """Check the shape of an array and bring its values into 0 to 255."""
    if array.size == 0:
        raise ValueError(f"the array is empty, of shape {array.shape}.")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        first = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        remedy = "move the channels last with np.moveaxis(a, 0, -1)." * first
        raise ValueError(
            f"an array of shape {array.shape} is neither grey, RGB nor RGBA; "
            + (remedy or REMEDY)
        )
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype == np.bool_:
        return array * np.uint8(255)
    kind, low, high = _extent(array)
    black, white = levels.get(kind) or _levels(kind, low, high)
    half = white / 2 - black / 2  # of 1e308 and its opposite, the whole overflows
    if max(black / 2 - low / 2, high / 2 - white / 2) > half:
        raise ValueError(
            f"its values lie in [{low:g}, {high:g}], but those of the training "
            f"pictures in [{black:g}, {white:g}]; scale them in the same way."
        )
    out = np.empty(array.shape, np.uint8)
    lines = max(1, STRIPE // array[:1].size)
    for top in range(0, len(array), lines):
        some = array[top : top + lines].astype(np.float64)
        share = (some / 2 - black / 2) / half
        out[top : top + lines] = np.clip(np.rint(255 * share), 0, 255)
    return out


def _opaque(image: Image.Image) -> Image.Image:
    """Composite over white what is transparent; reduce the mode to "L" or "RGB"."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    mode = "L" if image.mode in ("1", "L") else "RGB"
    return image if image.mode == mode else image.convert(mode)


def read_all(
    reader: PictureReader, column: NDArray[np.object_]
) -> list[NDArray[np.uint8] | Exception | None]:
    """Read the cells of a column; an exception stands where it cannot be done."""

    def read(cell: Any) -> NDArray[np.uint8] | Exception | None:
        if is_absent(cell):
            return None
        try:
            return reader.read(cell)
        except READ_ERRORS as error:
            return error

    files = np.array([is_file(cell) for cell in column], dtype=bool)
    if files.sum() < THREADED:
        return [read(cell) for cell in column]
    # Pillow decodes outside of the interpreter's lock. PIL images stay out of the
    # threads: two rows may share one, and its lazy loading is not safe there.
    rows = np.flatnonzero(files)
    parts = np.array_split(rows, len(rows) // THREADED)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        decoded = pool.map(lambda part: [read(cell) for cell in column[part]], parts)
        found = dict(
            zip(rows.tolist(), itertools.chain.from_iterable(decoded), strict=True)
        )
    return [found[i] if i in found else read(cell) for i, cell in enumerate(column)]
