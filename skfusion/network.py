"""The network: encoders, attention inside each modality, heads, fusion. torch only.

Axis letters, the same in every module of the package: B rows, M modalities, T tokens,
D width of a token (`d_model`), K ensemble members, C outputs (classes, or targets of a
regression). In masks, True means present.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

__all__ = [
    "AttentionPooling",
    "Encoded",
    "Encoder",
    "FusionNetwork",
    "NetworkOutput",
    "Tokens",
]


class Encoder(nn.Module):
    """Base of the encoders: from the arrays of a block to tokens.

    **Shape**: inputs, a dict of tensors (B, ...) under the names of the block's arrays;
    output, tokens (B, T, D) and their mask (B, T), True = present. Every row has at
    least one present token. T may depend on the batch, but a row's tokens must not
    depend on the other rows.
    """

    #: Passes over the training rows after which the encoder has learned what it can
    #: and would go on by learning rows by heart; None where that is no danger.
    passes: int | None = None

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def add_noise(self, inputs: dict[str, Tensor], sd: Tensor) -> dict[str, Tensor]:
        """Disturb the inputs, as training and inspection do to see who can be trusted.

        The default adds Gaussian noise to every dense floating array, which suits
        arrays that the modality has standardised; encoders of other inputs override
        it with what such noise means for them (other words, grain, hiss).

        **Shape**: sd (B,), in standard deviations of the input; 0 leaves a row as is.
        """
        return {
            key: x + torch.randn_like(x) * sd.to(x.dtype).view(-1, *[1] * (x.dim() - 1))
            if x.is_floating_point() and not x.is_sparse
            else x
            for key, x in inputs.items()
        }

    def expert_logits(self, inputs: dict[str, Tensor]) -> Tensor | None:
        """What the modality already knows of the outputs, (B, C); None by default."""
        return None


class Tokens(NamedTuple):
    """Tokens of one modality, for the rules that read below the pooled vectors.

    **Shape**: h (B, T, D); mask (B, T), True = present, all False where the modality
    is absent.
    """

    h: Tensor
    mask: Tensor


class Encoded(NamedTuple):
    """Everything that is known below the fusion.

    **Shape**: z (B, M, K, D), what the modalities know; u (B, M, K, C), what each says
    alone; pooled (B, M, D), what attention gathered, before it was normalised and
    averaged over the members; attention, one (B, T_m) tensor a modality; tokens, one
    `Tokens` a modality where the rule asks for them, else empty.
    """

    z: Tensor
    u: Tensor
    pooled: Tensor
    attention: tuple[Tensor, ...]
    tokens: tuple[Tokens, ...]


class FusionResult(NamedTuple):
    """What a fusion rule gives back.

    **Shape**: logits (B, K, C); weights (B, M), rows sum to 1 over present modalities;
    parts (B, M, C), how much of the members' mean logits each modality contributed, so
    that the rest is joint; joint (B, K, C), what the joint part says by itself and is
    taught to say, or None where the rule has none.
    """

    logits: Tensor
    weights: Tensor
    parts: Tensor
    joint: Tensor | None = None


class NetworkOutput(NamedTuple):
    """What the network gives back.

    **Shape**: logits, weights, parts and joint as in `FusionResult`; unimodal
    (B, M, K, C), what each modality says alone; present (B, M); pooled and attention as
    in `Encoded`, 0 where the token or the modality is absent.
    """

    logits: Tensor
    unimodal: Tensor
    present: Tensor
    weights: Tensor
    parts: Tensor
    joint: Tensor | None
    pooled: Tensor
    attention: tuple[Tensor, ...]


class AttentionPooling(nn.Module):
    """Gated attention over tokens, one set of heads an ensemble member.

    With ``a_t = softmax_t(v . (tanh(V h_t) * sigmoid(U h_t)))`` the output is
    ``W [sum_t a_t h_t ; mean_t h_t]``.

    **Shape**: tokens (B, T, D), mask (B, T), True = present; output (B, K, D) and the
    attention (B, T), averaged over heads and members.

    References
    ----------
    Ilse, Tomczak, Welling (2018), "Attention-based deep multiple instance learning",
    equation 9.
    """

    def __init__(self, d_model: int, *, n_heads: int, n_members: int) -> None:
        if d_model % n_heads:
            raise ValueError(
                f"d_model must be a multiple of n_heads, however: {d_model=}, "
                f"{n_heads=}."
            )
        super().__init__()
        self.n_heads, self.n_members = n_heads, n_members
        hidden = max(d_model // 2, n_heads)
        self.norm = nn.LayerNorm(d_model)
        self.tanh = nn.Linear(d_model, hidden)
        self.gate = nn.Linear(d_model, hidden)
        self.score = nn.Linear(hidden, n_members * n_heads, bias=False)
        self.out = nn.Linear(2 * d_model, d_model)

    def forward(self, h: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        B, T, D = h.shape
        K, H = self.n_members, self.n_heads
        if T == 1:
            pooled = torch.cat([h, h], dim=-1).expand(B, K, 2 * D)
            return self.out(pooled), mask.to(h.dtype)
        x = self.norm(h)
        score = self.score(torch.tanh(self.tanh(x)) * torch.sigmoid(self.gate(x)))
        score = score.masked_fill(~mask.unsqueeze(-1), float("-inf"))  # (B, T, K*H)
        a = score.softmax(dim=1).view(B, T, K, H)
        value = h.view(B, T, H, D // H)
        pooled = torch.einsum("btkh,bthd->bkhd", a, value).reshape(B, K, D)
        m = mask.unsqueeze(-1).to(h.dtype)
        mean = (h * m).sum(dim=1) / m.sum(dim=1)
        mean = mean.unsqueeze(1).expand(B, K, D)
        return self.out(torch.cat([pooled, mean], dim=-1)), a.mean(dim=(2, 3))


class Trunk(nn.Module):
    """Residual MLP whose members differ by learned scales of their inputs.

    **Shape**: input and output (B, K, D).

    References
    ----------
    Gorishniy et al. (2024), "TabM: advancing tabular deep learning with
    parameter-efficient ensembling".
    """

    def __init__(self, d_model: int, *, n_members: int, dropout: float) -> None:
        super().__init__()
        signs = torch.randint(0, 2, (n_members, d_model)).float() * 2 - 1
        # A single member has nothing to differ from.
        self.scale = nn.Parameter(signs if n_members > 1 else torch.ones_like(signs))
        self.block = nn.Sequential(
            nn.LayerNorm(d_model),
            nn.Linear(d_model, d_model),
            nn.GELU(),
            nn.Linear(d_model, d_model),
        )
        self.norm = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, z: Tensor) -> Tensor:
        z = z * self.scale
        return self.dropout(self.norm(z + self.block(z)))


class MemberLinear(nn.Module):
    """A linear layer of its own for each ensemble member.

    **Shape**: input (B, ..., K, D), output (B, ..., K, C).
    """

    def __init__(self, d_model: int, n_outputs: int, *, n_members: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_members, d_model, n_outputs))
        self.bias = nn.Parameter(torch.zeros(n_members, n_outputs))
        nn.init.uniform_(self.weight, -(d_model**-0.5), d_model**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("...kd,kdc->...kc", x, self.weight) + self.bias


class FusionNetwork(nn.Module):
    """Encoders, attention inside each modality, a head each, and a fusion rule.

    Parameters
    ----------
    encoders : sequence of M Encoder
    fusion : nn.Module
        Built by a fusion spec: ``(z (B, M, K, D), u (B, M, K, C), present (B, M),
        tokens)`` to `FusionResult`. Its attribute ``trains_heads`` tells whether what
        the modalities say alone also teaches their encoders, ``reads_tokens`` whether
        it is given their tokens.
    prior : Tensor of shape (C,)
        Output where every modality is absent: log of the class shares, or 0.
    """

    prior: Tensor

    def __init__(
        self,
        encoders: Sequence[Encoder],
        fusion: nn.Module,
        *,
        d_model: int,
        prior: Tensor,
        n_members: int,
        n_heads: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.n_members, self.d_model = n_members, d_model
        self.passes = [encoder.passes for encoder in encoders]
        self.encoders = nn.ModuleList(encoders)
        self.poolings = nn.ModuleList(
            AttentionPooling(d_model, n_heads=n_heads, n_members=n_members)
            for _ in encoders
        )
        self.trunks = nn.ModuleList(
            Trunk(d_model, n_members=n_members, dropout=dropout) for _ in encoders
        )
        self.heads = nn.ModuleList(
            MemberLinear(d_model, len(prior), n_members=n_members) for _ in encoders
        )
        self.fusion = fusion
        self.register_buffer("prior", prior)

    def encoder_parameters(self, m: int) -> list[nn.Parameter]:
        """What shapes the knowledge of modality m, below its head, and may learn."""
        parts = (self.encoders[m], self.poolings[m], self.trunks[m])
        return [p for part in parts for p in part.parameters() if p.requires_grad]

    def forward(
        self,
        inputs: Sequence[dict[str, Tensor]],
        present: Tensor,
        noise: Tensor | None = None,
    ) -> NetworkOutput:
        """Run the network.

        Parameters
        ----------
        inputs : sequence of M dicts of tensors (B, ...)
        present : Tensor (B, M), bool
            True = present. Inputs of absent modalities are never read.
        noise : Tensor (B, M), optional
            Standard deviation of the noise to add to each modality's input.
        """
        found = self.encode(inputs, present, noise)
        fused = self.fusion(found.z, found.u, present, found.tokens)
        nothing = ~present.any(dim=1)
        logits = torch.where(nothing[:, None, None], self.prior, fused.logits)
        return NetworkOutput(
            logits,
            found.u,
            present,
            fused.weights,
            fused.parts,
            fused.joint,
            found.pooled,
            found.attention,
        )

    def encode(
        self,
        inputs: Sequence[dict[str, Tensor]],
        present: Tensor,
        noise: Tensor | None = None,
    ) -> Encoded:
        """Everything below the fusion."""
        columns = [
            self._modality(
                m, inputs[m], present[:, m], None if noise is None else noise[:, m]
            )
            for m in range(len(self.encoders))
        ]
        z, u, pooled, attention, tokens = zip(*columns, strict=True)
        return Encoded(
            torch.stack(z, dim=1),
            torch.stack(u, dim=1),
            torch.stack(pooled, dim=1),
            attention,
            tokens if self.fusion.reads_tokens else (),
        )

    def _modality(
        self, m: int, inputs: dict[str, Tensor], present: Tensor, sd: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tokens]:
        """Encode the present rows of modality m; what is said of the others is 0."""
        B, K, D = len(present), self.n_members, self.d_model
        C = len(self.prior)
        if not present.any():
            zero = self.prior.new_zeros
            tokens = Tokens(zero(B, 1, D), present[:, None])
            return zero(B, K, D), zero(B, K, C), zero(B, D), zero(B, 1), tokens
        rows = None if present.all() else present.nonzero().squeeze(1)
        if rows is not None:
            inputs = {key: x.index_select(0, rows) for key, x in inputs.items()}
            sd = None if sd is None else sd[rows]
        encoder: Any = self.encoders[m]
        if sd is not None and bool((sd > 0).any()):
            inputs = encoder.add_noise(inputs, sd)
        h, mask = encoder(inputs)
        pooled, a = self.poolings[m](h, mask)
        z = self.trunks[m](pooled)
        head_input = z if self.fusion.trains_heads else z.detach()
        u = self.heads[m](head_input)
        expert = encoder.expert_logits(inputs)
        if expert is not None:
            u = u + expert.unsqueeze(1)
        gathered = pooled.mean(dim=1)
        if rows is None:
            return z, u, gathered, a, Tokens(h, mask)

        def spread(x: Tensor) -> Tensor:
            return x.new_zeros(B, *x.shape[1:]).index_copy(0, rows, x)

        if self.fusion.reads_tokens:
            h, mask = spread(h), spread(mask)
        tokens = Tokens(h, mask)
        return spread(z), spread(u), spread(gathered), spread(a), tokens
