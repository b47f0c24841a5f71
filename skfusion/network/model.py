"""The network: encoders, attention inside each modality, a fusion rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from skfusion.network.encoder import Encoder
from skfusion.network.layers import AdditiveAttention, exporting

__all__ = ["FusionNetwork", "FusionResult", "NetworkOutput", "Tokens"]


#: Share of present rows from which all rows are encoded, and the absent ones masked.
FEW_ABSENT = 0.7


class Tokens(NamedTuple):
    """Tokens of one modality.

    **Shape**: h (B, T, D); mask (B, T), True = present, all False where the modality
    is absent; attention (B, T, H).
    """

    h: Tensor
    mask: Tensor
    attention: Tensor


class FusionResult(NamedTuple):
    """What a fusion rule gives back.

    **Shape**: logits (B, C); weights (B, M), rows sum to 1 over present modalities;
    contributions (B, M, C), how much of the logits each modality contributed, so that
    the rest is joint; joint (B, C), the evidence of the joint part, which is taught by
    a loss of its own, or None where the rule has none.
    """

    logits: Tensor
    weights: Tensor
    contributions: Tensor
    joint: Tensor | None = None


class NetworkOutput(NamedTuple):
    """What the network gives back.

    **Shape**: logits, weights, contributions and joint as in `FusionResult`; evidence
    (B, M, C), what each modality says alone, beyond the prior, 0 where it is absent;
    present (B, M); z (B, M, D), what the modalities know, normalised; tokens, one
    `Tokens` a modality.
    """

    logits: Tensor
    evidence: Tensor
    present: Tensor
    weights: Tensor
    contributions: Tensor
    joint: Tensor | None
    z: Tensor
    tokens: tuple[Tokens, ...]


class FusionNetwork(nn.Module):
    """Encoders, additive attention inside each modality, and a fusion rule.

    Parameters
    ----------
    encoders : sequence of M Encoder
    fusion : nn.Module
        Built by a fusion spec: ``(z (B, M, D), evidence (B, M, C), present (B, M),
        tokens)`` to `FusionResult`, its logits without the prior. Its attribute
        ``trains_heads`` tells whether what the modalities say alone also teaches their
        encoders.
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
        n_heads: int,
    ) -> None:
        super().__init__()
        self.d_model = d_model
        self.max_epochs = [encoder.max_epochs for encoder in encoders]
        self.encoders = nn.ModuleList(encoders)
        self.attentions = nn.ModuleList(
            AdditiveAttention(d_model, len(prior), n_heads=n_heads) for _ in encoders
        )
        self.norms = nn.ModuleList(nn.LayerNorm(d_model) for _ in encoders)
        self.fusion = fusion
        self.register_buffer("prior", prior)
        self.token_means: dict[int, Tensor] = {}
        self.n_tokens: dict[int, int] = {}

    def encoder_parameters(self, m: int) -> list[nn.Parameter]:
        """What shapes the knowledge of modality m, below its head, and may learn."""
        attention: Any = self.attentions[m]
        parts = (self.encoders[m], attention.gate, attention.score)
        return [p for part in parts for p in part.parameters() if p.requires_grad]

    def branch_size(self, m: int) -> tuple[int, int, int]:
        """Tokens of modality m in a row, their width D, and the branch's parameters."""
        parts = (self.encoders[m], self.attentions[m], self.norms[m])
        n = sum(p.numel() for part in parts for p in part.parameters())
        return self.n_tokens.get(m, 0), self.d_model, n

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
        columns = [
            self._modality(
                m, inputs[m], present[:, m], None if noise is None else noise[:, m]
            )
            for m in range(len(self.encoders))
        ]
        pooled, alone, tokens = zip(*columns, strict=True)
        z, evidence = torch.stack(pooled, dim=1), torch.stack(alone, dim=1)
        fused = self.fusion(z, evidence, present, tokens)
        known = present.any(dim=1, keepdim=True)
        return NetworkOutput(
            self.prior + fused.logits * known,
            evidence,
            present,
            fused.weights,
            fused.contributions,
            fused.joint,
            z,
            tokens,
        )

    def _modality(
        self, m: int, inputs: dict[str, Tensor], present: Tensor, sd: Tensor | None
    ) -> tuple[Tensor, Tensor, Tokens]:
        """Encode the present rows of modality m; all is 0 in the others."""
        B, D, C = present.shape[0], self.d_model, len(self.prior)
        attention: Any = self.attentions[m]
        if not exporting() and not present.any():
            zero = self.prior.new_zeros
            tokens = Tokens(
                zero(B, 1, D), present[:, None], zero(B, 1, attention.n_heads)
            )
            return zero(B, D), zero(B, C), tokens
        # In training, where few rows are absent, masking is cheaper than picking the
        # others. In prediction, what lies behind a mask must not change a bit.
        whole = not exporting() and bool(present.all())
        few = self.training and present.float().mean() >= FEW_ABSENT
        picked = not whole and not few and not exporting()
        rows = present.nonzero().squeeze(1) if picked else None
        if rows is not None:
            inputs = {key: x.index_select(0, rows) for key, x in inputs.items()}
            sd = None if sd is None else sd[rows]
        encoder: Any = self.encoders[m]
        if sd is not None and bool((sd > 0).any()):
            inputs = encoder.add_noise(inputs, sd)
        h, mask = encoder(inputs)
        pooled, evidence, a = attention(h, mask)
        fusion: Any = self.fusion
        if not fusion.trains_heads:  # the heads follow the encoder without teaching it
            evidence = attention.head(pooled.detach())
        known = encoder.known_logits(inputs)
        if known is not None:
            evidence = evidence + known - self.prior
        z = self.norms[m](pooled)

        def spread(x: Tensor) -> Tensor:
            """Zeros in the rows where the modality is absent."""
            if whole:
                return x
            if rows is not None:
                return x.new_zeros(B, *x.shape[1:]).index_copy(0, rows, x)
            here = present.view(B, *[1] * (x.dim() - 1))
            if x.dtype == torch.bool:
                return x & here
            return torch.where(here, x, torch.zeros((), dtype=x.dtype, device=x.device))

        tokens = Tokens(h, mask, a)
        if not self.training or fusion.reads_tokens:
            tokens = Tokens(spread(h), spread(mask), spread(a))
        return spread(z), spread(evidence), tokens

    def token_contributions(self, m: int, tokens: Tokens) -> Tensor:
        """What each token of modality m adds to its evidence, (B, T, C).

        Where all rows have the same tokens, more than it adds on average.
        """
        attention: Any = self.attentions[m]
        added = attention.contributions(tokens.h, tokens.attention)
        return added - self.token_means[m] if m in self.token_means else added

    @torch.no_grad()
    def learn_token_means(self, output: NetworkOutput) -> None:
        """Learn from rows what tokens that all rows have add on average.

        Also how many tokens a row has at most.
        """
        for m, tokens in enumerate(output.tokens):
            encoder: Any = self.encoders[m]
            here = output.present[:, m]
            most = int(tokens.mask[here].sum(dim=1).max()) if bool(here.any()) else 0
            self.n_tokens[m] = max(most, self.n_tokens.get(m, 0))
            if encoder.same_tokens and bool(here.any()):
                self.token_means.pop(m, None)
                added = self.token_contributions(m, tokens)[here]
                self.token_means[m] = added.mean(dim=0).detach().clone()
