"""Pretrained encoders of sound: what a sound as a whole says, beside its intervals."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skfusion._sklearn import Interval
from skfusion._validation import shorten
from skfusion.modalities.audio.reading import decode
from skfusion.modalities.frozen import (
    as_module,
    call_with,
    load_transformer,
    options_of,
    vectors,
)
from skfusion.modalities.pretrained import Pretrained

__all__ = ["PretrainedAudio"]

LONGEST = 10.0  # seconds, where no modality says how long sounds are


class PretrainedAudio(Pretrained):
    """A pretrained encoder of sound, for ``AudioModality(encoder=...)``.

    Its embedding of a sound is one more element beside the intervals. The model is
    loaded in `fit`, and never changed.

    Parameters
    ----------
    model : str, Path or object
        A name on the Hugging Face hub or a folder, which transformers loads with its
        feature extractor (that needs the extra ``pretrained``); or a loaded object. A
        torch module is called with a float32 tensor (1, n_samples) and gives (1, width)
        or (1, n_frames, width); any other callable with a float32 array (n_samples,),
        and gives (width,) or (n_frames, width). Frames are averaged over each quarter
        of the sound. An object must not change after `fit`.
    fine_tune : int or list of str, default=0
        Layers that learn from the targets in `fit`: how many of the last ones of the
        model's longest stack, or their names, as in ``model.named_modules()``. What
        they then say of each sound, one number an output, takes the place of the
        embedding. Needs a torch module; takes minutes for thousands of sounds on a
        CPU.
    layers : list of str or None, default=None
        Layers of the model, as ``model.named_modules()`` names them, whose outputs are
        put side by side. None takes the last output and, of a model of transformers,
        four layers that are evenly spread, averaged over the whole sound.
    sample_rate : int or None, default=None
        Rate in Hz of the samples that the model reads. None takes what the model's
        folder says; a loaded object must be given it.
    revision : str or None, default=None
        Branch, tag or commit of a model on the hub.
    local_files_only : bool, default=False
        Never ask the hub: take what was downloaded before.
    batch_size : int, default=32
        Sounds that are read at once; they are embedded one by one, since they differ in
        length.
    cache : "memory", str, Path or None, default="memory"
        Where embeddings are kept, so that no sound is embedded twice by the same model:
        in the memory of this process, in a folder (which processes share, as under
        ``n_jobs``), or nowhere.
    max_cache_mb : float, default=1024
        Largest size of the cache; beyond it, the oldest embeddings go.
    device : str or None, default=None
        Such as "cuda", which is also what None takes where there is one. A loaded
        module stays where it is.
    verbose : bool, default=False
        Whether a progress bar shows sounds a second and the time left.

    Notes
    -----
    Samples are mono, of at most `duration_` seconds, and range from -1 to 1 with the
    loudest at one end. A pickle holds the name of the model, not its weights, see
    :class:`PretrainedText`.

    Examples
    --------
    >>> import numpy as np
    >>> from skfusion.modalities import AudioModality, PretrainedAudio
    >>> def loudness(samples):
    ...     return np.abs(samples[: len(samples) // 400 * 400]).reshape(-1, 400)
    >>> spec = PretrainedAudio(loudness, sample_rate=8000)
    >>> sounds = [(np.sin(np.arange(n)), 8000) for n in (4000, 8000)]
    >>> block = AudioModality(encoder=spec).fit_transform(sounds)
    >>> block.arrays["meaning"].shape
    (2, 1, 1600)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Pretrained._parameter_constraints,
        "layers": ["array-like", None],
        "sample_rate": [Interval(Integral, 1000, 192_000, closed="both"), None],
    }
    _example = "AutoModel and AutoFeatureExtractor.from_pretrained(name)"
    _example += ".save_pretrained(folder)"

    def __init__(
        self,
        model: Any,
        *,
        fine_tune: int | Sequence[str] = 0,
        layers: Sequence[str] | None = None,
        sample_rate: int | None = None,
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
        self.sample_rate = sample_rate

    def settled(self) -> PretrainedAudio:
        """A copy in which the sample rate is said."""
        self._validate_params()
        rate = self.sample_rate
        if rate is None and isinstance(self.model, str | Path):
            rate = self.load()[0].rate
        if rate is None:
            raise ValueError(
                "The 'sample_rate' parameter of PretrainedAudio must be given: model="
                f"{shorten(self.model)} does not say how many samples a second it "
                "wants. Most encoders of speech were trained with 16000."
            )
        return type(self)(**{**self.get_params(deep=False), "sample_rate": rate})

    def _read(
        self, cells: Sequence[Any], context: tuple[int | None, float] | None
    ) -> list[NDArray[np.float32]]:
        """Samples at the rate of the model, as long as the modality keeps."""
        usual, duration = context or (None, LONGEST)
        rate = int(self.sample_rate or 0)
        longest = max(1, round(duration * rate))
        return [decode(cell, rate, longest, usual)[0] for cell in cells]

    def blank(self) -> tuple[NDArray[np.float32], int]:
        rate = int(self.sample_rate or 0)
        return np.zeros(rate, np.float32), rate

    def _load(self, name: str) -> Any:
        from transformers import AutoFeatureExtractor

        extractor = AutoFeatureExtractor.from_pretrained(
            name, revision=self.revision, local_files_only=self.local_files_only
        )
        return _Extracted(load_transformer(self, name), extractor)

    def _encode(
        self,
        model: Any,
        cells: Sequence[NDArray[np.float32]],
        weights: dict[str, Tensor] | None = None,
    ) -> list[Tensor]:
        if hasattr(model, "config") or not callable(model):
            raise TypeError(
                "The 'model' parameter of PretrainedAudio must be a name, a folder or "
                "a callable, such as a torch module; of a model of transformers, its "
                "name or folder, where its feature extractor is too. Got "
                f"{type(model).__name__}."
            )
        module = model.model if isinstance(model, _Extracted) else model
        out = []
        for samples in cells:

            def call(samples: NDArray[np.float32] = samples) -> Any:
                if isinstance(model, nn.Module):
                    x = as_module(model, torch.from_numpy(samples)[None])
                    return call_with(weights, model, x)
                return np.asarray(model(samples))[None]

            out.append(vectors(call, module, self.layers, in_order=True)[0])
        return out

    def _content(self, cell: NDArray[np.float32]) -> bytes:
        return repr((self.layers, self.sample_rate)).encode() + cell.tobytes()


class _Extracted(nn.Module):
    """A model of transformers behind its feature extractor.

    **Shape**: samples (1, n_samples) to the outputs of the model.
    """

    def __init__(self, model: nn.Module, extractor: Any) -> None:
        super().__init__()
        self.model, self.extractor = model, extractor
        self.rate = int(extractor.sampling_rate)

    def extra_repr(self) -> str:  # a part of the fingerprint
        return str(self.extractor.to_json_string())

    def forward(self, samples: Tensor) -> Any:
        inputs = self.extractor(
            samples[0].cpu().numpy(), sampling_rate=self.rate, return_tensors="pt"
        )
        (name,) = self.extractor.model_input_names[:1]
        x = as_module(self.model, inputs[name])
        return self.model(x, **options_of(self.model))
