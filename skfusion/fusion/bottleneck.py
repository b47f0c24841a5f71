"""Bottleneck fusion: a few latents read the tokens of all modalities together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skfusion._sklearn import Interval
from skfusion.fusion.adaptive import AdaptiveFusion, SumOfEvidence
from skfusion.fusion.base import FusionModule, FusionShape
from skfusion.network import Dropout, Tokens

__all__ = ["BottleneckFusion"]

#: Frequencies of the sinusoidal positions, with periods from 2 to 200 tokens. Patches
#: say little of where they are.
N_FREQUENCIES = 16


class BottleneckFusion(AdaptiveFusion):
    """Adaptive fusion whose joint part reads tokens instead of summaries.

    A few latents, and one that each modality sends, attend to the tokens of all
    modalities and their positions, several times in a row, so that what is known of one
    modality decides what is looked for in another: the words of a question, then the
    patch that it asks about. Use it where the answer depends on single elements of
    two modalities at once; where it does not, `AdaptiveFusion` is faster and as good.
    Everything else is as there.

    Parameters
    ----------
    n_heads : int, default=4
        Attention heads inside each modality and of the latents; must divide `d_model`.
    dropout : float, default=0.1
        Dropout probability inside the joint part.
    joint : bool or "auto", default=True
        Whether the joint part exists; "auto" has it from 500 training rows.
    n_latents : int, default=4
        Number of latents, beside those that the modalities send.
    n_layers : int, default=3
        How many times they attend.

    References
    ----------
    Nagrani et al. (2021), "Attention bottlenecks for multimodal fusion". Jaegle et al.
    (2021), "Perceiver: general perception with iterative attention".

    Examples
    --------
    >>> from skfusion.fusion import BottleneckFusion
    >>> BottleneckFusion(n_latents=8)
    BottleneckFusion(n_latents=8)
    """

    # Long after the words of a text are known alone, what to look for is still learned.
    # After 600 steps two texts are understood together, a picture and a question not.
    min_steps = 1500
    _parameter_constraints = {
        **AdaptiveFusion._parameter_constraints,
        "n_latents": [Interval(Integral, 1, None, closed="left")],
        "n_layers": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        *,
        n_heads: int = 4,
        dropout: float = 0.1,
        joint: bool | str = True,
        n_latents: int = 4,
        n_layers: int = 3,
    ) -> None:
        super().__init__(n_heads=n_heads, dropout=dropout, joint=joint)
        self.n_latents = n_latents
        self.n_layers = n_layers

    def build(self, shape: FusionShape) -> FusionModule:
        if not self._has_joint_part(shape):
            return SumOfEvidence(None)
        return SumOfEvidence(
            _Bottleneck(
                shape,
                n_heads=self.n_heads,
                dropout=self.dropout,
                n_latents=self.n_latents,
                n_layers=self.n_layers,
            )
        )


class _Bottleneck(nn.Module):
    """Latents that attend to the tokens of all modalities, layer after layer.

    **Shape**: z (B, M, D), present (B, M), M `Tokens`; output (B, C).
    """

    reads_tokens = True

    def __init__(
        self,
        shape: FusionShape,
        *,
        n_heads: int,
        dropout: float,
        n_latents: int,
        n_layers: int,
    ) -> None:
        super().__init__()
        M, D = shape.n_modalities, shape.d_model
        self.norms = nn.ModuleList(nn.LayerNorm(D) for _ in range(M))
        self.kind = nn.Parameter(0.02 * torch.randn(M, D))
        self.position = nn.ModuleList(nn.Linear(2 * N_FREQUENCIES, D) for _ in range(M))
        self.latents = nn.Parameter(torch.randn(n_latents, D) * D**-0.5)
        self.sent = nn.ModuleList(nn.Linear(D, D) for _ in range(M))
        # For rows where every modality is absent: attention needs something to read.
        self.nothing = nn.Parameter(torch.zeros(1, 1, D))
        self.layers = nn.ModuleList(
            _PerceiverBlock(D, n_heads=n_heads, dropout=dropout)
            for _ in range(n_layers)
        )
        width = (n_latents + M) * D
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, shape.n_outputs)

    def forward(self, z: Tensor, present: Tensor, tokens: Sequence[Tokens]) -> Tensor:
        B, _, D = z.shape
        parts = [self.nothing.expand(B, 1, D)]
        masks = [present.new_ones(B, 1)]
        for m, (h, mask, _) in enumerate(tokens):
            position = self.position[m](sinusoids(h.shape[1]).to(h))
            parts.append(self.norms[m](h) + self.kind[m] + position)
            masks.append(mask & present[:, m, None])
        x, mask = torch.cat(parts, dim=1), torch.cat(masks, dim=1)  # (B, T, D), (B, T)
        sent = [send(z[:, m, None]) for m, send in enumerate(self.sent)]
        latents = torch.cat([self.latents.expand(B, -1, -1), *sent], dim=1)
        for layer in self.layers:
            latents = layer(latents, x, mask)
        return self.head(self.norm(latents.flatten(1)))  # from (B, (L + M) * D)


def sinusoids(n: int) -> Tensor:
    """Sines and cosines of the positions 0 to n - 1, (n, 2 * N_FREQUENCIES)."""
    period = torch.logspace(math.log10(2), math.log10(200), N_FREQUENCIES)
    angle = 2 * math.pi * torch.arange(n)[:, None] / period
    return torch.cat([angle.sin(), angle.cos()], dim=1)


class _PerceiverBlock(nn.Module):
    """Perceiver block: cross-attention, self-attention, MLP.

    **Shape**: latents (B, L, D), tokens (B, T, D), mask (B, T), True = present; output
    (B, L, D).
    """

    def __init__(self, d_model: int, *, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.before = nn.LayerNorm(d_model)
        self.query = nn.Linear(d_model, d_model)
        self.key_value = nn.Linear(d_model, 2 * d_model)
        self.out = nn.Linear(d_model, d_model)
        self.self_attention = nn.MultiheadAttention(d_model, n_heads, batch_first=True)
        self.between = nn.LayerNorm(d_model)
        self.mlp = nn.Sequential(
            nn.LayerNorm(d_model),
            nn.Linear(d_model, 2 * d_model),
            nn.GELU(),
            Dropout(dropout),
            nn.Linear(2 * d_model, d_model),
        )
        self.dropout = Dropout(dropout)

    def forward(self, latents: Tensor, x: Tensor, mask: Tensor) -> Tensor:
        B, L, D = latents.shape
        H = self.n_heads

        def split(t: Tensor) -> Tensor:
            return t.view(B, -1, H, D // H).transpose(1, 2)  # (B, H, L or T, D/H)

        q = split(self.query(self.before(latents)))
        k, v = (split(t) for t in self.key_value(x).chunk(2, dim=-1))
        found = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask[:, None, None, :]
        )
        found = found.transpose(1, 2).reshape(B, L, D)
        latents = latents + self.dropout(self.out(found))
        y = self.between(latents)
        latents = latents + self.self_attention(y, y, y, need_weights=False)[0]
        return latents + self.dropout(self.mlp(latents))
