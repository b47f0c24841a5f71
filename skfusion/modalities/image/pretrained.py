"""Pretrained image encoders: what a picture as a whole shows, beside its patches."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skfusion._sklearn import Interval
from skfusion._validation import shorten
from skfusion.modalities.frozen import (
    as_module,
    call_with,
    load_transformer,
    vectors,
)
from skfusion.modalities.image.pixels import channels_first
from skfusion.modalities.image.reading import PictureReader, read_all
from skfusion.modalities.pretrained import Pretrained

__all__ = ["PretrainedImage"]


class PretrainedImage(Pretrained):
    """A pretrained encoder of pictures, for ``ImageModality(encoder=...)``.

    Its embedding of a picture is one more element beside the patches. The model is
    loaded in `fit`, and never changed.

    Parameters
    ----------
    model : str, Path or object
        A name on the Hugging Face hub or a folder, which transformers loads (that needs
        the extra ``pretrained``); or a loaded torch module, or any other callable. It
        is called with a float32 tensor (n, 3, size, size), and gives vectors (n,
        width), or maps (n, width, height, width) or tokens (n, n_tokens, width), which
        are averaged. An object must not change after `fit`.
    fine_tune : int or list of str, default=0
        Layers that learn from the targets in `fit`: how many of the last ones of the
        model's longest stack, or their names, as in ``model.named_modules()``. What
        they then say of each picture, one number an output, takes the place of the
        embedding. Needs a torch module; takes minutes for thousands of pictures on a
        CPU.
    layers : list of str or None, default=None
        Layers of the model, as ``model.named_modules()`` names them, whose outputs are
        averaged over the picture and put side by side. None takes the last output.
        Layers in the middle often say more about pictures unlike those that the model
        has learned from.
    size : int or None, default=None
        Side of the squares that the model reads, in pixels; smaller is faster. None
        takes what the model's folder says; a loaded object must be given it.
    mean : list of three floats, float or None, default=None
        What is subtracted from each channel, where pixels range from 0 to 1. None as in
        `size`.
    std : list of three floats, float or None, default=None
        What each channel is then divided by. None as in `size`.
    revision : str or None, default=None
        Branch, tag or commit of a model on the hub.
    local_files_only : bool, default=False
        Never ask the hub: take what was downloaded before.
    batch_size : int, default=32
        Pictures that are embedded at once.
    cache : "memory", str, Path or None, default="memory"
        Where embeddings are kept, so that no picture is embedded twice by the same
        model: in the memory of this process, in a folder (which processes share, as
        under ``n_jobs``), or nowhere.
    max_cache_mb : float, default=1024
        Largest size of the cache; beyond it, the oldest embeddings go.
    device : str or None, default=None
        Such as "cuda", which is also what None takes where there is one. A loaded
        module stays where it is.
    verbose : bool, default=False
        Whether a progress bar shows pictures a second and the time left.

    Notes
    -----
    A picture is embedded at the encoder's own size, not that of the modality. A pickle
    holds the name of the model, not its weights, see :class:`PretrainedText`.

    Examples
    --------
    >>> import numpy as np
    >>> from skfusion.modalities import ImageModality, PretrainedImage
    >>> def colours(x):
    ...     return x.mean(dim=(2, 3))
    >>> spec = PretrainedImage(colours, size=16, mean=0.5, std=0.5)
    >>> white, black = np.ones((20, 32)), np.zeros((20, 32))
    >>> ImageModality(encoder=spec).fit_transform([white, black, None])
    Block(pixels: uint8(3, 1, 32, 32), meaning: float32(3, 1, 3);
          2 of 3 rows present)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Pretrained._parameter_constraints,
        "layers": ["array-like", None],
        "size": [Interval(Integral, 8, 2048, closed="both"), None],
        "mean": ["array-like", float, int, None],
        "std": ["array-like", float, int, None],
    }
    _example = "AutoModel and AutoImageProcessor.from_pretrained(name).save_pretrained"
    _example += "(folder)"

    def __init__(
        self,
        model: Any,
        *,
        fine_tune: int | Sequence[str] = 0,
        layers: Sequence[str] | None = None,
        size: int | None = None,
        mean: Sequence[float] | float | None = None,
        std: Sequence[float] | float | None = None,
        revision: str | None = None,
        local_files_only: bool = False,
        batch_size: int = 32,
        cache: Literal["memory"] | str | Path | None = "memory",
        max_cache_mb: float = 1024,
        device: str | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            model,
            fine_tune=fine_tune,
            revision=revision,
            local_files_only=local_files_only,
            batch_size=batch_size,
            cache=cache,
            max_cache_mb=max_cache_mb,
            device=device,
            verbose=verbose,
        )
        self.layers = layers
        self.size = size
        self.mean = mean
        self.std = std

    def settled(self) -> PretrainedImage:
        """A copy in which the size and the scale of the pixels are said."""
        self._validate_params()
        own = {name: getattr(self, name) for name in ("size", "mean", "std")}
        if None in own.values():
            said = {}
            if isinstance(self.model, str | Path):
                said = self._load_or_explain(self._settings)
            own = {name: said.get(name) if v is None else v for name, v in own.items()}
        for name, value in own.items():
            if value is None:
                raise ValueError(
                    f"The '{name}' parameter of PretrainedImage must be given: "
                    f"model={shorten(self.model)} does not say how it wants pictures. "
                    "Take what it was trained with, such as size=224, mean=[0.485, "
                    "0.456, 0.406], std=[0.229, 0.224, 0.225] for pixels from 0 to 1."
                )
        for name in ("mean", "std"):
            values = np.asarray(own[name], dtype=float)
            if values.shape not in ((), (3,)) or not np.isfinite(values).all():
                raise ValueError(
                    f"The '{name}' parameter of PretrainedImage must be one number or "
                    f"three, for pixels from 0 to 1. Got {shorten(own[name])}."
                )
            own[name] = values.tolist()
        if np.min(own["std"]) <= 0 or np.max(own["mean"]) > 1:
            raise ValueError(
                "PretrainedImage: 'mean' and 'std' are for pixels from 0 to 1, so "
                "means lie between, and no deviation is 0. Got "
                f"mean={shorten(own['mean'])} and std={shorten(own['std'])}; of pixels "
                "from 0 to 255, divide both by 255."
            )
        return type(self)(**{**self.get_params(deep=False), **own})

    def _settings(self, name: str) -> dict[str, Any]:
        """What the folder of a model says about the pictures that it wants."""
        from transformers.image_processing_base import ImageProcessingMixin

        said, _ = ImageProcessingMixin.get_image_processor_dict(
            name, revision=self.revision, local_files_only=self.local_files_only
        )
        size = said.get("crop_size") if said.get("do_center_crop") else None
        size = size or said.get("size")
        if isinstance(size, dict):
            size = size.get("height") or size.get("shortest_edge")
        scale = 255 * said.get("rescale_factor", 1 / 255)
        mean, std = said.get("image_mean"), said.get("image_std")
        if said.get("do_normalize") is False:
            mean, std = 0.0, 1.0
        return {
            "size": None if size is None else int(size),
            "mean": None if mean is None else (np.asarray(mean) / scale).tolist(),
            "std": None if std is None else (np.asarray(std) / scale).tolist(),
        }

    def _read(
        self, cells: Sequence[Any], context: PictureReader | None
    ) -> Sequence[Any]:
        """Squares of the size that the model wants."""
        reader = replace(context or PictureReader(0), size=int(self.size or 0))
        pictures = read_all(reader, np.fromiter(cells, dtype=object))
        for picture in pictures:
            if isinstance(picture, Exception):
                raise picture
        return pictures

    def blank(self) -> NDArray[np.uint8]:
        return np.zeros((self.size or 32, self.size or 32, 3), np.uint8)

    def _load(self, name: str) -> Any:
        return load_transformer(self, name)

    def _encode(
        self, model: Any, cells: Sequence[Any], weights: dict[str, Tensor] | None = None
    ) -> Tensor:
        if not callable(model):
            raise TypeError(
                "The 'model' parameter of PretrainedImage must be a name, a folder or "
                "a callable, such as a torch module. Got "
                f"{type(model).__name__}."
            )
        mean, std = (
            torch.tensor(255 * np.broadcast_to(np.array(values), 3))
            .float()
            .view(3, 1, 1)
            for values in (self.mean, self.std)
        )
        parts = []
        for start in range(0, len(cells), self.batch_size):
            pixels = [channels_first(c, 3) for c in cells[start:][: self.batch_size]]
            shape = (3, *pixels[0].shape[1:])
            stack = np.stack([np.broadcast_to(p, shape) for p in pixels])
            x = as_module(model, (torch.from_numpy(stack) - mean) / std)
            call = functools.partial(call_with, weights, model, x)
            parts.append(vectors(call, model, self.layers))
        return torch.cat(parts)

    def _content(self, cell: Any) -> bytes:
        settings = (self.layers, self.mean, self.std, cell.shape)
        return repr(settings).encode() + np.ascontiguousarray(cell).tobytes()
