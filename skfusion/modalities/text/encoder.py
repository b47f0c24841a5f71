"""The encoder of words: sums of embeddings, character n-grams for rare and new ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from skfusion.network import Dropout, Encoder, exporting

__all__ = ["TextEncoder"]

# Measured on reviews, titles and names.
N_EMBEDDED = 2048  # embeddings of character n-grams, of which 0 is padding
_BY_CHARS = 0.05  # share of common words that training reads by character n-grams
_HALF_LENGTH = 16  # words of a row that loses half of `token_dropout`


class TextEncoder(Encoder):
    """Sum of the embeddings of a word, its n-grams and its column, projected.

    Words of fewer than `RARE` training rows have no embedding of their own: like
    unseen words they are the sum of their hashed character n-grams. Some other words
    are read so too in training, which teaches the n-grams what the words mean.

    **Shape**: words (B, T'), ngrams (B, T', N), unseen (B, R, P), columns (B, T');
    output (B, T, D) with T the longest row of the batch, or in training the longest
    after some words were hidden.
    """

    # Measured: 3 of 1 to 12 on drug reviews, by held-out log-loss.
    max_epochs = 3
    padded = {"words": 1, "ngrams": 1, "unseen": 1, "columns": 1}
    char_ngrams: NDArray[np.int16]
    frequency: Tensor

    def __init__(
        self,
        char_ngrams: NDArray[np.int16],
        word_counts: NDArray[Any],
        *,
        n_words: int,
        n_ngrams: Sequence[int],
        n_columns: int,
        width: int,
        d_model: int,
        dropout: float,
        token_dropout: float,
    ) -> None:
        super().__init__()
        self.n_words, self.n_ngrams = n_words, tuple(n_ngrams)
        self.has_columns = n_columns > 0
        self.token_dropout = token_dropout
        learned = [n_words, *n_ngrams, n_columns, N_EMBEDDED - 1]
        *self.offsets, self.char_offset, total = np.cumsum(learned).tolist()
        self.embedding = nn.Embedding(1 + total, width, padding_idx=0)
        self.project = nn.Linear(width, d_model)
        self.dropout = Dropout(dropout)
        # Every encoder of the modality reads the same array, which a pickle holds once.
        self.char_ngrams = char_ngrams
        share = word_counts / max(word_counts.sum(), 1)
        self.register_buffer("frequency", torch.tensor(share.cumsum()).float())
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw words and character n-grams; what only refines them starts at 0."""
        weight = self.embedding.weight.data
        nn.init.normal_(weight, std=0.1)
        weight[0] = 0
        weight[1 + self.n_words : 1 + self.char_offset] = 0

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Encode the words; absent rows give one token that means nothing."""
        if exporting():
            return self._of_all_places(inputs)
        all_words = inputs["words"]
        mask = all_words != 0
        kept = self._hide(mask) if self.training else mask
        row, at = kept.nonzero(as_tuple=True)  # (n,), the words that are read
        words = all_words[row, at].long()
        by_chars = (words < 0) | (words > self.n_words)
        if self.training:
            by_chars |= self.rand(words.shape, words) < _BY_CHARS
        columns = inputs["columns"][row, at] if self.has_columns else None
        h = self._sum_known(words, by_chars, inputs["ngrams"][row, at], columns)
        some = by_chars.nonzero().squeeze(1)
        if len(some):
            read = self._read_chars(words[some], inputs["unseen"], row[some])
            h = h.index_add(0, some, read)
        if self.training:  # one mask a row, the same for all its words
            h = h * self.dropout(h.new_ones(len(kept), h.shape[1]))[row]
        return self._spread(self.project(h), row, kept)

    def _of_all_places(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """`forward` of trained words at all places of the padded arrays."""
        words = inputs["words"].long()
        by_chars = (words < 0) | (words > self.n_words)
        h = self._sum_known(words, by_chars, inputs["ngrams"], inputs.get("columns"))
        row = torch.arange(words.shape[0], device=words.device)[:, None]
        read = self._read_chars(words, inputs["unseen"], row)
        h = torch.where(by_chars[..., None], h + read, h)  # (B, T', E)
        mask = words != 0
        h = torch.where(mask[..., None], self.project(h), 0.0)
        first = torch.arange(words.shape[1], device=words.device) == 0
        return h, mask | (first & ~mask.any(dim=1, keepdim=True))

    def _sum_known(
        self, words: Tensor, by_chars: Tensor, ngrams: Tensor, columns: Tensor | None
    ) -> Tensor:
        """Sum of what has an embedding of its own: (..., ) ids to (..., E)."""
        ids = [words.masked_fill(by_chars, 0)]
        for k, n in enumerate(self.n_ngrams):
            ngram = ngrams[..., k].long()
            known = (ngram > 0) & (ngram <= n)
            ids.append(torch.where(known, ngram + self.offsets[k], 0))
        if self.has_columns and columns is not None:
            ids.append(columns.long() + self.offsets[-1])
        return self._sum(torch.stack(ids, dim=-1))

    @staticmethod
    def _spread(h: Tensor, row: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Words (n, D) of the rows (n,) as tokens (B, T, D), with their mask."""
        counts = kept.sum(dim=1)
        T = max(int(counts.max()), 1)
        place = kept.cumsum(dim=1)[kept] - 1
        out = h.new_zeros(len(kept), T, h.shape[1]).index_put((row, place), h)
        mask = torch.arange(T, device=h.device) < counts.clamp_min(1).unsqueeze(-1)
        return out, mask

    def add_noise(self, inputs: dict[str, Tensor], sd: Tensor) -> dict[str, Tensor]:
        """Replace each word by a random one with probability ``1 - exp(-sd)``.

        Words are drawn as often as they occur, and n-grams do not survive it.
        """
        words = inputs["words"]
        p = 1 - torch.exp(-sd.float()).view(-1, 1)
        hit = (self.rand(words.shape, words) < p) & (words != 0)
        if len(self.frequency) == 0 or not hit.any():
            return inputs
        u = self.rand(words.shape, self.frequency)
        drawn = torch.searchsorted(self.frequency, u).clamp(max=len(self.frequency) - 1)
        broken = hit.clone()
        for step in range(1, len(self.n_ngrams) + 1):
            broken[:, :-step] |= hit[:, step:]
        return {
            **inputs,
            "words": torch.where(hit, (drawn + 1).to(words.dtype), words),
            "ngrams": inputs["ngrams"].masked_fill(broken.unsqueeze(-1), 0),
        }

    def _hide(self, mask: Tensor) -> Tensor:
        """Which words training keeps: of a row of n words, about p n / (n + 16) go."""
        length = mask.sum(dim=1, keepdim=True)
        p = self.token_dropout * length / (length + _HALF_LENGTH)
        kept = mask & (self.rand(mask.shape, mask) >= p)
        return torch.where(kept.any(dim=1, keepdim=True), kept, mask)

    def _sum(self, ids: Tensor) -> Tensor:
        """Sum embeddings, (..., S) -> (..., E); id 0 adds nothing."""
        if ids.dim() > 2:
            return F.embedding(ids, self.embedding.weight).sum(dim=-2)
        return F.embedding_bag(ids, self.embedding.weight, mode="sum", padding_idx=0)

    def _read_chars(self, words: Tensor, unseen: Tensor, row: Tensor) -> Tensor:
        """Embed words by their character n-grams, (...) -> (..., E)."""
        table = torch.from_numpy(self.char_ngrams)
        known = table[words.clamp(min=0).cpu()].to(words.device)
        new = unseen[row, (-1 - words).clamp(min=0)]
        chars = torch.where((words > 0).unsqueeze(-1), known, new).long()  # (n, P)
        some = chars > 0
        # Fewer embeddings than buckets: some character n-grams share one.
        chars = (chars - 1) % (N_EMBEDDED - 1) + 1
        total = self._sum(torch.where(some, chars + self.char_offset, 0))
        return total / some.sum(dim=-1, keepdim=True).clamp(min=1).sqrt()
