"""Pretrained text encoders: what a text as a whole means, beside its words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from skfusion.modalities.frozen import call_with, without_progress_bar
from skfusion.modalities.pretrained import Pretrained

__all__ = ["PretrainedText"]


#: How far up the layers the one lies whose tokens are averaged. Measured with MiniLM on
#: 10,000 reviews: of 6 layers the fourth, by the log-loss of held-out ratings.
DEPTH = 2 / 3


class PretrainedText(Pretrained):
    """A pretrained encoder of texts, for ``TextModality(encoder=...)``.

    Its embedding of a text is one more element beside the words. The model is loaded in
    `fit`, and never changed. Needs the extra ``pretrained``.

    Parameters
    ----------
    model : str, Path or object
        A name on the Hugging Face hub, a folder, or a loaded `SentenceTransformer`: any
        object whose ``encode(texts, batch_size=..., show_progress_bar=False)`` gives
        one vector a text. An object must not change after `fit`.
    fine_tune : int or list of str, default=0
        Layers that learn from the targets in `fit`: how many of the last ones of the
        model's longest stack, or their names, as in ``model.named_modules()``. What
        they then say of each text, one number an output, takes the place of the
        embedding. Needs a torch module; takes minutes for thousands of texts on a
        CPU.
    prompt : str, default=""
        Put before every text, as some models want it ("query: ").
    middle_layer : bool, default=True
        Whether the mean of the tokens two thirds up the layers of a
        `SentenceTransformer` stands beside its embedding, which has little of tone.
    revision : str or None, default=None
        Branch, tag or commit of a model on the hub.
    local_files_only : bool, default=False
        Never ask the hub: take what was downloaded before.
    batch_size : int, default=32
        Texts that are embedded at once.
    cache : "memory", str, Path or None, default="memory"
        Where embeddings are kept, so that no text is embedded twice by the same model:
        in the memory of this process, in a folder (which processes share, as under
        ``n_jobs``), or nowhere.
    max_cache_mb : float, default=1024
        Largest size of the cache; beyond it, the oldest embeddings go.
    device : str or None, default=None
        Such as "cuda"; by default the choice of sentence-transformers.
    verbose : bool, default=False
        Whether a progress bar shows texts a second and the time left.

    Notes
    -----
    A pickle holds the name of the model, not its weights. They are loaded from there
    again, and an error says so where they have changed. Of a loaded object without a
    name the pickle does not know where to find them. Layers that `fine_tune` has
    trained are in the pickle: two copies of each, one for either half of the training
    rows. Each predicts the half that it did not learn from, so that what reads their
    answers sees how far they can be trusted; new rows are given the mean of both.

    Examples
    --------
    >>> import numpy as np
    >>> from skfusion.modalities import PretrainedText, TextModality
    >>> class Length:
    ...     def encode(self, texts, **options):
    ...         return np.array([[len(text), text.count("!")] for text in texts])
    >>> text = TextModality(encoder=PretrainedText(Length()), min_df=1)
    >>> text.fit_transform(["Lovely dress!", "Not lovely", None])
    Block(words: int32(3, 3), ngrams: int32(3, 3, 1), unseen: int16(3, 1, 16),
          meaning: float32(3, 1, 2); 2 of 3 rows present)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Pretrained._parameter_constraints,
        "prompt": [str],
        "middle_layer": ["boolean"],
    }
    _example = "SentenceTransformer(name).save(folder)"

    def __init__(
        self,
        model: Any,
        *,
        fine_tune: int | Sequence[str] = 0,
        prompt: str = "",
        middle_layer: bool = True,
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
        self.prompt = prompt
        self.middle_layer = middle_layer

    def _load(self, name: str) -> Any:
        from sentence_transformers import SentenceTransformer

        with without_progress_bar():
            return SentenceTransformer(
                name,
                device=self.device,
                revision=self.revision,
                local_files_only=self.local_files_only,
            )

    def _encode(
        self, model: Any, cells: Sequence[Any], weights: dict[str, Tensor] | None = None
    ) -> Any:
        if not hasattr(model, "encode"):
            raise TypeError(
                "The 'model' parameter of PretrainedText must be a name, a folder or "
                "an object with a method `encode`, such as a SentenceTransformer. Got "
                f"{type(model).__name__}."
            )
        texts = [self.prompt + cell for cell in cells]
        layer = _middle_layer(model) if self.middle_layer else None
        if weights is None and layer is None:
            return model.encode(
                texts, batch_size=self.batch_size, show_progress_bar=False
            )
        parts = []
        for start in range(0, len(texts), self.batch_size):
            some = texts[start:][: self.batch_size]
            if weights is not None:
                parts.append(_last(model, some, weights))
            else:
                parts.append(_both(model, layer, some))
        return torch.cat(parts)

    def _content(self, cell: Any) -> bytes:
        return f"{self.middle_layer}\0{self.prompt}\0{cell}".encode(
            errors="surrogatepass"
        )

    def _size(self, cell: Any) -> int:
        return len(cell)

    def blank(self) -> str:
        return "."


def _middle_layer(model: Any) -> nn.Module | None:
    """The layer two thirds up a `SentenceTransformer`; None of any other model."""
    first = next(model.children(), None) if isinstance(model, nn.Module) else None
    inner = getattr(first, "auto_model", None)
    depth = getattr(getattr(inner, "config", None), "num_hidden_layers", 0)
    if inner is None or depth < 2:
        return None
    for part in inner.modules():
        if isinstance(part, nn.ModuleList) and len(part) == depth:
            return part[round(DEPTH * depth) - 1]
    return None


def _run(
    model: Any, texts: list[str], weights: dict[str, Tensor] | None = None
) -> tuple[Any, Tensor]:
    """What a `SentenceTransformer` gives for texts, and the mask of their tokens."""
    prompt = model.prompts.get(model.default_prompt_name) or ""
    read = getattr(model, "preprocess", model.tokenize)  # its older name
    inputs = {
        name: x.to(model.device) if isinstance(x, Tensor) else x
        for name, x in read([prompt + text for text in texts]).items()
    }
    mask = inputs["attention_mask"]
    return call_with(weights, model, inputs), mask


def _mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean (n, width) of the tokens (n, n_tokens, width) that are there."""
    there = mask.to(tokens.dtype).unsqueeze(-1)
    return (tokens * there).sum(dim=1) / there.sum(dim=1)


def _last(model: Any, texts: list[str], weights: dict[str, Tensor]) -> Tensor:
    """The mean of the tokens of the last layer, with other weights."""
    out, mask = _run(model, texts, weights)
    return _mean(out["token_embeddings"], mask).float()


def _both(model: Any, layer: Any, texts: list[str]) -> Tensor:
    """The mean of the tokens of a layer and the embedding itself, side by side."""
    found: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Any) -> None:
        found.append(output[0] if isinstance(output, tuple) else output)

    hook = layer.register_forward_hook(keep)
    try:
        out, mask = _run(model, texts)
    finally:
        hook.remove()
    return torch.cat([_mean(found[0], mask), out["sentence_embedding"]], dim=1).float()
