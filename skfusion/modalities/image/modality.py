"""Pictures: files, bytes, arrays or PIL images, encoded patch by patch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skfusion._sklearn import Interval, Options, StrOptions, fit_context
from skfusion.batch import Block
from skfusion.modalities.base import Verdict
from skfusion.modalities.cells import CellModality, Failures
from skfusion.modalities.columns import is_absent, is_file
from skfusion.modalities.detection import sample_cells
from skfusion.modalities.image.encoder import ImageEncoder, patch_edges, patches
from skfusion.modalities.image.features import (
    picture_feature_names,
    picture_features,
    picture_terms,
)
from skfusion.modalities.image.pixels import (
    channels_first,
    choose_size,
    has_colour,
    pixel_statistics,
    readable,
)
from skfusion.modalities.image.pretrained import PretrainedImage
from skfusion.modalities.image.reading import (
    PictureReader,
    are_pictures,
    read_all,
)
from skfusion.modalities.meaning import Meaning
from skfusion.modalities.output import prefixes
from skfusion.network import Encoder

__all__ = ["ImageModality"]

PROBED = 512  # pictures whose header is read to choose the size

Picture = NDArray[np.uint8]


class ImageModality(CellModality):
    """Pictures, one a cell.

    Every picture is turned upright (EXIF), composited over white where it is
    transparent, reduced or enlarged to fit a square with its aspect kept, and padded
    with the colour of its border. The channels are standardised on the training rows.
    In training, the encoder changes their brightness and contrast a little, and moves
    grey pictures by a few pixels. Its tokens are patches, at most 6 x 6, each of which
    knows its own pixels, half of its neighbours and its place.

    Parameters
    ----------
    size : "auto" or int, default="auto"
        Side of the squares in pixels, from 8 to 1024. "auto" takes the median of the
        longest sides of the training pictures, at most 64, so that training is quick
        without a GPU. The cost grows with the square of the size.
    channels : {"auto", 1, 3}, default="auto"
        1 for grey, 3 for colour. "auto" takes 1 if no training picture has colour.
        Pictures of the other sort are converted.
    augment : "auto" or bool, default="auto"
        Whether the encoder augments the pictures in training. "auto" changes brightness
        and contrast, and moves grey pictures, which are often written signs; colour
        pictures, often made to one measure, lost by it. True also moves colour pictures
        and mirrors all of them.
    encoder : PretrainedImage or None, default=None
        A pretrained encoder. Its embedding of the picture of each column is one more
        element, "[meaning]", before the patches.
    on_error : {"raise", "absent"}, default="raise"
        What to do with a cell that is there and cannot be read (corrupt or truncated
        file, missing path, empty array, unknown channels): raise one error that names
        row and column, or warn once and treat such cells as absent.

    Attributes
    ----------
    size_ : int
        Side S of the squares in pixels.
    n_channels_ : int
        Number of channels C, 1 or 3.
    mean_, std_ : ndarray of shape (n_channels_,)
        Mean and standard deviation of the training pixels, on the scale 0 to 255.
    encoder_ : PretrainedImage or None
        The encoder in use, which says how it reads pictures.
    n_features_in_ : int
        Number of columns.

    Notes
    -----
    Cells may be the path of a regular file, the bytes of a file that Pillow reads, a
    PIL image, an array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), or None. Of
    animations the first frame counts. Arrays may be bool, uint8, float or wider
    integers: the training rows decide whether floats range to 1 or to 255, integers to
    255, 1023, 4095, 16383 or 65535, or, with negative values, over a range of their
    own. Several columns are encoded by the same network and give tokens side by side.

    Of a file, at most ``PIL.Image.MAX_IMAGE_PIXELS`` pixels are decoded, JPEG at
    reduced size; a larger picture is a cell that cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> from skfusion.modalities import ImageModality
    >>> white, black = np.ones((20, 32)), np.zeros((20, 32))
    >>> image = ImageModality().fit([white, black, None])
    >>> image.size_, image.n_channels_
    (32, 1)
    >>> image.transform([black, None])
    Block(pixels: uint8(2, 1, 32, 32); 1 of 2 rows present)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **CellModality._parameter_constraints,
        "size": [StrOptions({"auto"}), Interval(Integral, 8, 1024, closed="both")],
        "channels": [StrOptions({"auto"}), Options(Integral, {1, 3})],
        "augment": [StrOptions({"auto"}), "boolean"],
        "encoder": [PretrainedImage, None],
    }
    short_name = "image"
    slow = True
    has_elements = True
    detection_rank = 10
    _cell_name = "picture"
    _cell_formats = (
        "a path, the bytes of an image file, a PIL image, or an array (H, W), "
        "(H, W, 1), (H, W, 3) or (H, W, 4)"
    )

    def __init__(
        self,
        *,
        size: Literal["auto"] | int = "auto",
        channels: Literal["auto", 1, 3] = "auto",
        augment: Literal["auto"] | bool = "auto",
        encoder: PretrainedImage | None = None,
        on_error: Literal["raise", "absent"] = "raise",
    ) -> None:
        self.size = size
        self.channels = channels
        self.augment = augment
        self.encoder = encoder
        self.on_error = on_error

    @classmethod
    def detect(cls, column: Any) -> Verdict:
        """Pictures, names of image files, their bytes, or arrays with channels."""
        return are_pictures(sample_cells(column))

    @fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X: Any, y: Any = None, groups: Any = None) -> Block:
        """Fit, and transform the same rows while decoding every picture only once.

        Parameters
        ----------
        X : DataFrame, Series or array-like of n_samples rows
            One picture a cell; an array (n_samples, H, W) or (n_samples, H, W, C) is
            one column of pictures.
        y : array-like of n_samples targets, optional
            Read where `encoder` fine-tunes.
        groups : array-like of shape (n_samples,), optional
            Read where `encoder` fine-tunes: a row is predicted from other groups.

        Returns
        -------
        block : Block
        """
        names, columns, labels = self._columns(X, reset=True)
        cells = [c for column in columns for c in column if not is_absent(c)]
        sample = cells[:: max(1, len(cells) // PROBED)]
        self.size_ = choose_size(sample) if self.size == "auto" else int(self.size)
        known = [cell for cell in cells if not is_file(cell)]
        self._reader = PictureReader(self.size_).learn_levels(
            known + [cell for cell in sample if is_file(cell)]
        )
        pictures = self._pictures(names, columns, labels)
        if self.channels == "auto":
            colour = any(has_colour(p) for column in pictures for p in column)
            self.n_channels_ = 3 if colour else 1
        else:
            self.n_channels_ = int(self.channels)
        block = self._block(pictures)
        self.mean_, self.std_ = pixel_statistics(block)
        self.encoder_ = None if self.encoder is None else self.encoder.settled()
        self._meaning = Meaning(self.encoder_, names)
        block.arrays |= self._meaning.fit_transform(
            readable(columns, pictures), self._reader, y=y, groups=groups
        )
        return block

    def transform(self, X: Any) -> Block:
        """Decode pictures into squares.

        Parameters
        ----------
        X : DataFrame, Series or array-like of n_samples rows
            The columns that were fitted.

        Returns
        -------
        block : Block
            Arrays: ``pixels`` (n_samples, C, S, S) uint8. With several columns,
            ``pixels`` (n_samples, n_columns, C, S, S) uint8 and ``there`` (n_samples,
            n_columns) bool, False where a column of the row is absent. "meaning"
            (n_samples, n_columns, width) where there is an `encoder`.
        """
        check_is_fitted(self)
        names, columns, labels = self._columns(X, reset=False)
        pictures = self._pictures(names, columns, labels)
        block = self._block(pictures)
        block.arrays |= self._meaning.transform(
            readable(columns, pictures), self._reader
        )
        return block

    def _pictures(
        self,
        names: list[str],
        columns: list[NDArray[np.object_]],
        labels: Sequence[Any],
    ) -> list[list[Picture | None]]:
        """Read every cell of every column; None where it is absent."""
        failures: Failures = []
        pictures = []
        for name, column in zip(names, columns, strict=True):
            read = read_all(self._reader, column)
            for i, picture in enumerate(read):
                if isinstance(picture, Exception):
                    failures.append((labels[i], name, picture))
            pictures.append([p if isinstance(p, np.ndarray) else None for p in read])
        self._unreadable(failures)
        return pictures

    def _block(self, pictures: list[list[Picture | None]]) -> Block:
        n, k, c, s = len(pictures[0]), len(pictures), self.n_channels_, self.size_
        pixels = np.zeros((n, k, c, s, s), np.uint8)
        there = np.zeros((n, k), bool)
        for j, column in enumerate(pictures):
            for i, picture in enumerate(column):
                if picture is not None:
                    there[i, j] = True
                    pixels[i, j] = channels_first(picture, c)
        present = np.asarray(there.any(axis=1))
        if k == 1:
            return Block({"pixels": pixels[:, 0]}, present)
        return Block({"pixels": pixels, "there": there}, present)

    def build_encoder(self, d_model: int, dropout: float) -> Encoder:
        """Make the network that turns pictures into tokens of patches."""
        auto = self.augment == "auto"
        patches = ImageEncoder(
            size=self.size_,
            mean=self.mean_,
            std=self.std_,
            n_columns=self.n_features_in_,
            d_model=d_model,
            dropout=dropout,
            light=bool(self.augment),
            move=self.augment is True or (auto and self.n_channels_ == 1),
            mirror=self.augment is True,
        )
        return self._meaning.join(patches, d_model, dropout)

    def features(self, block: Block) -> NDArray[np.float32]:
        """Edges, colours and a thumbnail of each picture.

        For each column: histograms of oriented gradients (Dalal & Triggs, 2005), the
        square root of the histogram of colours, mean and standard deviation of each
        channel, and the picture reduced to a few pixels.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features), float32
            A column of grey pictures makes 982 features, one of colour 1162; of several
            columns each makes 358 or 442. Embeddings come last.
        """
        pixels, there = self._side_by_side(block)
        parts = [
            picture_features(pixels[:, j], there[:, j], **self._summary())
            for j in range(there.shape[1])
        ]
        return self._meaning.beside(np.concatenate(parts, axis=1), block)

    def _feature_names(self, columns: list[str]) -> list[str]:
        """Bins of gradients and colours, channels, and pixels of the thumbnail."""
        own = picture_feature_names(self.n_channels_, self.size_, **self._summary())
        names = [prefix + name for prefix in prefixes(columns) for name in own]
        return names + self._meaning.feature_names(columns)

    def linear_terms(
        self, block: Block, coef: NDArray[Any], center: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Split the terms of a linear model among the patches.

        Blocks of gradients belong to the patches that they overlap, by area; the mean
        of a channel and the thumbnail, to the pixels that they average; other features
        of colour belong to none.
        """
        pixels, there = self._side_by_side(block)
        k = there.shape[1]
        coef, center, first = self._meaning.linear_terms(block, coef, center)
        features = self.features(block)[:, : len(coef)].reshape(len(block), k, -1)
        coef, center = (
            np.asarray(a).reshape(k, -1, *np.shape(a)[1:]) for a in (coef, center)
        )
        edges = np.array(patch_edges(self.size_))
        terms = np.zeros((len(block), k, (len(edges) - 1) ** 2, coef.shape[2]))
        for j in range(k):
            rows = np.flatnonzero(there[:, j])
            terms[rows, j] = picture_terms(
                pixels[rows, j],
                features[rows, j],
                coef[j],
                center[j],
                edges=edges,
                **self._summary(),
            )
        return np.hstack([first, terms.reshape(len(block), -1, coef.shape[2])])

    def _side_by_side(self, block: Block) -> tuple[Picture, NDArray[np.bool_]]:
        """Pixels (n, n_columns, C, S, S), and which of them are there."""
        pixels = block.arrays["pixels"]
        if pixels.ndim == 4:
            return pixels[:, None], block.present[:, None]
        return pixels, block.arrays["there"] & block.present[:, None]

    def _summary(self) -> dict[str, int]:
        """Grids of the features, coarser where there are several columns."""
        if self.n_features_in_ == 1:
            return {"grid": 6, "thumbnail": 8}
        return {"grid": 4, "thumbnail": 4}

    def elements(self, block: Block, values: NDArray[Any]) -> list[pd.Series]:
        """Name the tokens of each row by their patch of the square.

        Returns
        -------
        elements : list of n_samples Series
            Values indexed by ``(top, left, bottom, right)`` in pixels of the resized
            picture; with several columns, by ``(column, top, left, bottom, right)``
            for the columns that are there. "[meaning]" comes first.
        """
        own = super().elements(block, values[:, self._meaning.n_columns :])
        if "there" in block.arrays:
            there = block.arrays["there"]
            n_patches = len(self._element_names()) // there.shape[1]
            keep = np.repeat(there, n_patches, axis=1)
            own = [
                element[mask] if here else element
                for element, mask, here in zip(own, keep, block.present, strict=True)
            ]
        return self._meaning.elements(block, values, own)

    def _element_names(self) -> pd.Index:
        names: list[Any] = patches(self.size_)
        if self.n_features_in_ > 1:
            names = [(column, *p) for column in self._column_names for p in names]
        return pd.Index(names, dtype=object, tupleize_cols=False)

    def hide(
        self, block: Block, hidden: NDArray[np.bool_], names: Sequence[pd.Index]
    ) -> Block:
        """Paint patches in the mean colour of the training pictures."""
        block, hidden, names = self._meaning.hide(block, hidden, names)
        pixels = block.arrays["pixels"].copy()
        one = pixels.ndim == 4
        n, size = len(pixels), pixels.shape[-1]
        there = np.ones((n, 1), bool) if one else block.arrays["there"]
        view = pixels.reshape(n, there.shape[1], -1, size, size)
        colour = np.round(self.mean_).astype(pixels.dtype)[:, None, None]
        for i, k in zip(*np.nonzero(hidden), strict=True):
            columns = np.flatnonzero(there[i])
            j = columns[k // (len(names[i]) // len(columns))]
            top, left, bottom, right = names[i][k][-4:]
            view[i, j, :, top:bottom, left:right] = colour
        return Block({**block.arrays, "pixels": pixels}, block.present, block.cells)

    def content(
        self, block: Block, row: int, elements: pd.Series, cells: Mapping[Any, Any]
    ) -> tuple[str, pd.Series, Any]:
        """Patches over the pictures as the encoder sees them."""
        pixels = block.arrays["pixels"][row]
        if pixels.ndim == 4:
            pixels = pixels[block.arrays["there"][row]]
        return "patches", self._meaning.others(elements), np.moveaxis(pixels, -3, -1)
