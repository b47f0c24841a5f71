"""Pretrained text encoders: what a text as a whole means, beside its words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn

from skfusion.batch import Block
from skfusion.modalities.pretrained import Pretrained
from skfusion.modalities.scaling import as_float32, learn_scale, smooth_clip
from skfusion.modalities.text.encoder import TextEncoder
from skfusion.modalities.text.reading import SEPARATOR
from skfusion.network import Dropout, Encoder, ResidualMLP

__all__ = ["Meaning", "MeaningEncoder", "PretrainedText"]

#: Norm of the embedding of a text among the features of a linear model; that of the
#: TF-IDF beside it is 1. Measured: 0.5 of 0.25 to 6, by log-loss on 10,000 reviews.
FEATURE_NORM = 0.5


class PretrainedText(Pretrained):
    """A pretrained encoder of texts, for ``TextModality(encoder=...)``.

    Its embedding of a text is one more element beside the words. The weights stay as
    they are, and the model is loaded in `fit`. Needs the extra ``pretrained``.

    Parameters
    ----------
    model : str, Path or object
        A name on the Hugging Face hub, a folder, or a loaded `SentenceTransformer`: any
        object whose ``encode(texts, batch_size=..., show_progress_bar=False)`` gives
        one vector a text. An object must not change after `fit`.
    prompt : str, default=""
        Put before every text, as some models want it ("query: ").
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
    name the pickle does not know where to find them.

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
    }
    _example = "SentenceTransformer(name).save(folder)"

    def __init__(
        self,
        model: Any,
        *,
        prompt: str = "",
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
            revision=revision,
            local_files_only=local_files_only,
            batch_size=batch_size,
            cache=cache,
            max_cache_mb=max_cache_mb,
            device=device,
            verbose=verbose,
        )
        self.prompt = prompt

    def _load(self, name: str) -> Any:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        shows = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            return SentenceTransformer(
                name,
                device=self.device,
                revision=self.revision,
                local_files_only=self.local_files_only,
            )
        finally:
            if shows:
                logging.enable_progress_bar()

    def _encode(self, model: Any, cells: Sequence[Any]) -> Any:
        if not hasattr(model, "encode"):
            raise TypeError(
                "The 'model' parameter of PretrainedText must be a name, a folder or "
                "an object with a method `encode`, such as a SentenceTransformer. Got "
                f"{type(model).__name__}."
            )
        texts = [self.prompt + cell for cell in cells]
        return model.encode(texts, batch_size=self.batch_size, show_progress_bar=False)

    def _content(self, cell: Any) -> bytes:
        return f"{self.prompt}\0{cell}".encode(errors="surrogatepass")

    def _size(self, cell: Any) -> int:
        return len(cell)


class Meaning:
    """Embeddings of the texts of each column, scaled as in the training rows.

    **Shape**: center and factor (F,), with F the width of an embedding.
    """

    def __init__(
        self, spec: PretrainedText, cells: Any, columns: Sequence[str]
    ) -> None:
        self.spec, self.n_columns = spec, len(columns)
        self.names = (
            ["[meaning]"]
            if len(columns) == 1
            else [f"[meaning of {column}]" for column in columns]
        )
        self.fingerprint = spec.load()[1]
        texts = [t for cell in cells for t in cell.split(SEPARATOR) if t]
        vectors = spec.embed(texts or ["."], self.fingerprint)
        self.n_rows, self.width = len(cells), vectors.shape[1]
        self.center, self.factor = learn_scale(vectors, robust=False)

    @property
    def n_features(self) -> int:
        """Columns that `features` has for the embeddings."""
        return self.n_columns * self.width

    def __call__(self, cells: Any) -> NDArray[np.float32]:
        """Embeddings (n, n_columns, F) of joined cells, 0 where there is no text."""
        parts = [cell.split(SEPARATOR) for cell in cells]
        at = [(i, j) for i, row in enumerate(parts) for j, t in enumerate(row) if t]
        out = np.zeros((len(parts), self.n_columns, self.width), dtype=np.float32)
        if at:
            vectors = self.spec.embed([parts[i][j] for i, j in at], self.fingerprint)
            scaled = smooth_clip((vectors - self.center) * self.factor)
            out[tuple(zip(*at, strict=True))] = as_float32(scaled)
        return out

    def beside(self, tfidf: sparse.csr_matrix, block: Block) -> sparse.csr_matrix:
        """TF-IDF and embeddings side by side."""
        return sparse.hstack(
            [tfidf, sparse.csr_matrix(self._sized(block))], format="csr"
        )

    def linear_terms(self, block: Block, coef: NDArray[Any]) -> NDArray[np.float64]:
        """What each column's embedding adds to a linear model, (n, n_columns, C)."""
        x = self._sized(block).astype(np.float64)
        x = x.reshape(len(x), self.n_columns, self.width)
        coef = coef.reshape(self.n_columns, self.width, -1)
        return np.einsum("nkf,kfc->nkc", x, coef)

    def _sized(self, block: Block) -> NDArray[np.float32]:
        """Embeddings (n, n_columns * F) of a size that suits the TF-IDF beside them."""
        flat = block.arrays["meaning"].reshape(len(block), -1)
        flat = flat * np.float32(FEATURE_NORM / self.width**0.5)
        return np.where(block.present[:, None], flat, np.float32(0))


class MeaningEncoder(Encoder):
    """A token for the embedding of each column, then the words.

    **Shape**: meaning (B, K, F), 0 where a column has no text, and what `TextEncoder`
    reads; output (B, K + T, D).
    """

    def __init__(
        self, words: TextEncoder, meaning: Meaning, d_model: int, dropout: float
    ) -> None:
        super().__init__()
        self.words = words
        self.max_epochs, self.padded = words.max_epochs, words.padded
        self.dropout = Dropout(dropout)
        shape = (meaning.n_columns, meaning.width, d_model)
        self.weight = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.zeros(meaning.n_columns, d_model))
        self.mlp = ResidualMLP(d_model, dropout)
        nn.init.normal_(self.weight, std=meaning.width**-0.5)

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        meaning = inputs["meaning"]
        there = (meaning != 0).any(dim=-1)
        h = torch.einsum("bkf,kfd->bkd", self.dropout(meaning), self.weight) + self.bias
        words, mask = self.words(inputs)
        tokens = torch.cat([self.mlp(h), words], dim=1)
        return tokens, torch.cat([there, mask], dim=1)

    def add_noise(self, inputs: dict[str, Tensor], sd: Tensor) -> dict[str, Tensor]:
        """Other words, as `TextEncoder` has them, and Gaussian noise on embeddings."""
        meaning = inputs["meaning"]
        noise = self.randn(meaning.shape, meaning) * sd.to(meaning.dtype).view(-1, 1, 1)
        there = (meaning != 0).any(dim=-1, keepdim=True)
        out = self.words.add_noise(inputs, sd)
        return {**out, "meaning": torch.where(there, meaning + noise, meaning)}
