"""Layers that the network and the encoders share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = [
    "AdditiveAttention",
    "Dropout",
    "RandomModule",
    "ResidualMLP",
    "exporting",
    "set_generator",
]


def exporting() -> bool:
    """Whether a network is being exported: no size may depend on values then.

    What is computed of present elements alone is computed of all, and masked.
    """
    return torch.compiler.is_exporting()


class RandomModule(nn.Module):
    """A module that draws random numbers from a generator of its own.

    `set_generator` hands it one for the time of a fit, so that fits in several threads
    do not disturb one another; without one, torch's global generator serves.
    """

    generator: torch.Generator | None = None

    def rand(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Uniform numbers in [0, 1), float, on the device of `like`."""
        return (
            self._drawn(like, shape).uniform_(generator=self.generator).to(like.device)
        )

    def randn(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Standard normal numbers, float, on the device of `like`."""
        return (
            self._drawn(like, shape).normal_(generator=self.generator).to(like.device)
        )

    def _drawn(self, like: Tensor, shape: Sequence[int]) -> Tensor:
        """An empty tensor where the generator is; floating, as `like` is if it is."""
        device = like.device if self.generator is None else self.generator.device
        dtype = like.dtype if like.is_floating_point() else torch.float32
        return torch.empty(tuple(shape), dtype=dtype, device=device)


def set_generator(module: nn.Module, generator: torch.Generator | None) -> None:
    """Let every part of a module draw from a generator; None takes it away."""
    for part in module.modules():
        if isinstance(part, RandomModule):
            part.generator = generator


class Dropout(RandomModule):
    """Dropout from the module's own generator.

    Parameters
    ----------
    p : float
        Probability that an entry becomes 0.
    shared : int or None, default=None
        Axis along which one mask is shared: with 1, all tokens of a row (B, T, D) lose
        the same entries, which costs one T-th of the random numbers.
    """

    def __init__(self, p: float, *, shared: int | None = None) -> None:
        super().__init__()
        self.p, self.shared = float(p), shared

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        shape = list(x.shape)
        if self.shared is not None:
            shape[self.shared] = 1
        keep = 1 - self.p
        mask = self._drawn(x, shape).bernoulli_(keep, generator=self.generator)
        return x * mask.div_(keep).to(x.device)

    def extra_repr(self) -> str:
        return f"p={self.p}, shared={self.shared}"


class ResidualMLP(nn.Module):
    """One hidden layer around which the input is carried on, then norm and dropout.

    It gives each token by itself what a linear head cannot see: (..., D) to the same.
    """

    def __init__(self, d_model: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(d_model),
            nn.Linear(d_model, 4 * d_model),
            nn.GELU(),
            nn.Linear(4 * d_model, d_model),
        )
        self.norm = nn.LayerNorm(d_model)
        self.dropout = Dropout(dropout)

    def forward(self, h: Tensor) -> Tensor:
        return self.dropout(self.norm(h + self.layers(h)))


class AdditiveAttention(nn.Module):
    """Gated attention over tokens whose output is a sum over tokens.

    With ``a_t = softmax_t(v . (tanh(V h_t) * sigmoid(U h_t)))``, one for each head, the
    evidence is ``sum_t a_t W h_t + b``: the head W is applied before the sum, so what
    each token contributes is exact.

    **Shape**: tokens h (B, T, D), mask (B, T), True = present; output: pooled (B, D),
    the sum of ``a_t h_t``, evidence (B, C), and the attention (B, T, H).

    References
    ----------
    Ilse, Tomczak, Welling (2018), "Attention-based deep multiple instance learning",
    equation 9. Javed et al. (2022), "Additive MIL: intrinsically interpretable multiple
    instance learning for pathology", equation 5.
    """

    def __init__(self, d_model: int, n_outputs: int, *, n_heads: int) -> None:
        if d_model % n_heads:
            raise ValueError(
                f"d_model must be a multiple of n_heads, however: {d_model=}, "
                f"{n_heads=}."
            )
        super().__init__()
        self.n_heads = n_heads
        hidden = max(d_model // 4, n_heads)
        self.norm = nn.LayerNorm(d_model)
        self.gate = nn.Linear(d_model, 2 * hidden)  # V and U in one product
        self.score = nn.Linear(hidden, n_heads, bias=False)
        self.head = nn.Linear(d_model, n_outputs)

    def forward(self, h: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        B, T, D = h.shape
        H = self.n_heads
        if T == 1:
            pooled = h[:, 0]
            return pooled, self.head(pooled), h.new_ones(B, 1, H)
        tanh, sigmoid = self.gate(self.norm(h)).chunk(2, dim=-1)
        score = self.score(torch.tanh(tanh) * torch.sigmoid(sigmoid))  # (B, T, H)
        a = score.masked_fill(~mask.unsqueeze(-1), float("-inf")).softmax(dim=1)
        value = h.view(B, T, H, D // H)
        pooled = torch.einsum("bth,bthd->bhd", a, value).reshape(B, D)
        return pooled, self.head(pooled), a

    def contributions(self, h: Tensor, a: Tensor) -> Tensor:
        """What each token adds to the evidence, (B, T, C); the rest is the bias.

        `h` and `a` are the tokens and their attention.
        """
        B, T, D = h.shape
        H = self.n_heads
        weighed = (h.view(B, T, H, D // H) * a.unsqueeze(-1)).view(B, T, D)
        return weighed @ self.head.weight.T
