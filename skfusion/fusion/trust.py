"""How far each witness is trusted in each row, and what their words add up to."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["EXPECTED", "Trust", "TrustResult", "signs_of"]

#: What is expected of each of the three signs of unusual content, in a classification
#: and in a regression, as far as they exceed one standard deviation (softly, see
#: `Trust.confidence`): what lies within the usual says little. Measured: counted in
#: full, small tables distrusted their clearest rows; with -.75 and a prior three times
#: as wide (see `calibration.GATE_SD`) noise was met less. In a regression -1.5 and -.5
#: reached an R2 of .807 and .810 on houses, .715 and .717 beside noise of sd 1.
UNUSUAL = {True: -1.5, False: -0.5}
N_UNUSUAL = 3
#: Where and how softly that begins, in standard deviations. Measured: with a sharp bend
#: noise of sd 1 lowered the weight in .73 of rows on ROSMAP and .70 on Titanic, so it
#: does in .94 and .82.
USUAL, SOFTNESS = 1.0, 0.5
#: What is expected of the signs (see `signs_of`) until rows say otherwise: whoever is
#: sure is trusted a little more, what is unusual is trusted less.
EXPECTED = {
    True: (0.3, 0.0, 0.0, 0.0, 0.0, *[UNUSUAL[True]] * N_UNUSUAL),
    False: (0.0, 0.0, 0.0, *[UNUSUAL[False]] * N_UNUSUAL),
}
_AGREEMENT = -2 - N_UNUSUAL  # place of that sign, or of the distance from others
#: How steeply weights follow confidence until rows say otherwise.
TAU = 1.0
#: How far (through a sigmoid) weights leave even ones until rows say otherwise.
GAIN = 1.5
#: How much of a stack's sum is added to the output until rows say otherwise.
STACKED = 0.5
#: Hidden units of a gate: enough for "doubt whoever is sure and far from home".
HIDDEN = 8


class TrustResult(NamedTuple):
    """What trust makes of the witnesses' words.

    **Shape**: weights (B, W), rows sum to 1 over the present witnesses; parts
    (B, W, C), which sum to the output's logits; confidence (B, W), logits.
    """

    weights: Tensor
    parts: Tensor
    confidence: Tensor


class Trust(nn.Module):
    """Weighs W witnesses by signs of how sure, how usual and how alone each is.

    The confidence of a witness is a small network of its signs. With
    ``w = g softmax(e^tau log c) + (1 - g) / n`` over the n present witnesses, the
    output is ``s sum_m w_m k_m u_m + kappa log prior``: k_m says how much of a
    witness's word is news beside the others', so that the weights need not, and speak
    of trust alone. The scale ``log s = a + b log n + d log mean_m c_m`` knows how many
    speak and how far they are to be trusted together. The joint part has a bias of its
    own in the softmax. Where there is a stack (see `stacking.py`), each modality's term
    of it is added to that modality's part, times h and times how its weight stands to
    an even one. All is fitted on held-out rows; see `calibration.py`.

    Parameters
    ----------
    n_modalities, n_witnesses : int
        The first witnesses are the modalities.
    expected : Tensor of shape (S,)
        What each sign, standardised, is expected to add to the confidence.
    log_prior : Tensor of shape (C,)
        Log of the class shares; zeros in a regression.
    """

    log_prior: Tensor
    sign_mean: Tensor
    sign_sd: Tensor

    def __init__(
        self,
        n_modalities: int,
        n_witnesses: int,
        expected: Tensor,
        log_prior: Tensor,
    ) -> None:
        super().__init__()
        self.n_modalities = n_modalities
        W, S, H = n_witnesses, len(expected), HIDDEN
        self.register_buffer("log_prior", log_prior - log_prior.mean())
        self.register_buffer("sign_mean", torch.zeros(W, S))
        self.register_buffer("sign_sd", torch.ones(W, S))
        self.inner = nn.Parameter(torch.randn(W, S, H) * S**-0.5)
        self.inner_bias = nn.Parameter(torch.randn(W, H) * 0.5)
        self.direct = nn.Parameter(expected.float().expand(W, S).clone())
        self.outer = nn.Parameter(torch.zeros(W, H))
        self.bias = nn.Parameter(torch.zeros(W))
        self.joint_bias = nn.Parameter(torch.zeros(()))
        self.tau = nn.Parameter(torch.tensor(TAU))
        self.sharpness = nn.Parameter(torch.zeros(W))
        self.scale = nn.Parameter(torch.zeros(3))  # a, b, d
        self.kappa = nn.Parameter(torch.zeros(()))
        self.stacked = nn.Parameter(torch.tensor(math.log(STACKED)))
        self.gain = nn.Parameter(torch.tensor(GAIN))  # through a sigmoid

    def gate_parameters(self) -> list[nn.Parameter]:
        """What decides the confidences."""
        return [self.inner, self.inner_bias, self.direct, self.outer, self.bias]

    def gate_spread(self, narrow: float, wide: float) -> list[Tensor]:
        """How far each of `gate_parameters` may move: `wide` where few rows may decide.

        Those are the bias, and what it means that others agree.
        """
        spread = {p: torch.full_like(p, narrow) for p in self.gate_parameters()}
        spread[self.direct][:, _AGREEMENT] = wide
        spread[self.bias][:] = wide
        return list(spread.values())

    def output_parameters(self) -> list[nn.Parameter]:
        """What decides how the output follows the confidences."""
        return [
            self.joint_bias,
            self.tau,
            self.sharpness,
            self.scale,
            self.kappa,
            self.gain,
            self.stacked,
        ]

    @torch.no_grad()
    def standardise(self, signs: Tensor, weight: Tensor) -> None:
        """Learn the scales of the signs (B, W, S) from weighted rows (B, W)."""
        share = (weight / weight.sum(dim=0).clamp_min(1e-12)).unsqueeze(-1)
        self.sign_mean.copy_((signs * share).sum(dim=0))
        variance = ((signs - self.sign_mean).square() * share).sum(dim=0)
        self.sign_sd.copy_(variance.sqrt().clamp_min(1e-3))

    def confidence(self, signs: Tensor) -> Tensor:
        """Logits of the confidence, (B, W, S) -> (B, W)."""
        # Signs far outside of what was seen say no more than the edge of it.
        x = ((signs - self.sign_mean) / self.sign_sd).clamp(-4, 4)
        others, unusual = x[..., :-N_UNUSUAL], x[..., -N_UNUSUAL:]
        beyond = nn.functional.softplus((unusual - USUAL) / SOFTNESS) * SOFTNESS
        x = torch.cat([others, beyond], dim=-1)
        hidden = torch.tanh(
            torch.einsum("bws,wsh->bwh", x, self.inner) + self.inner_bias
        )
        deep = (hidden * self.outer).sum(dim=-1)
        return deep + (x * self.direct).sum(dim=-1) + self.bias

    def forward(
        self, u: Tensor, signs: Tensor, present: Tensor, terms: Tensor | None = None
    ) -> TrustResult:
        """Weigh the words u (B, W, C) of the witnesses that are present (B, W).

        `terms` (B, M, C) are those of a stack.
        """
        return self.weigh(u, self.confidence(signs), present, terms)

    def weigh(
        self,
        u: Tensor,
        confidence: Tensor,
        present: Tensor,
        terms: Tensor | None = None,
    ) -> TrustResult:
        """The same from the confidences (B, W)."""
        log_c = nn.functional.logsigmoid(confidence)
        joint = torch.arange(u.shape[1], device=u.device) >= self.n_modalities
        score = self.tau.exp() * log_c + self.joint_bias * joint
        score = score.masked_fill(~present, torch.finfo(score.dtype).min)
        n = present.sum(dim=1).clamp_min(1).to(u.dtype)
        even = present.to(u.dtype) / n[:, None]
        g = torch.sigmoid(self.gain)
        w = g * score.softmax(dim=1) * present + (1 - g) * even
        evidence = (even * log_c.exp()).sum(dim=1).clamp_min(1e-6).log()
        a, b, d = self.scale
        s = (a + b * n.log() + d * evidence).exp()
        sharp = s[:, None, None] * self.sharpness.exp()[:, None]
        parts = w.unsqueeze(-1) * (sharp * u + self.kappa * self.log_prior)
        if terms is not None:
            M = self.n_modalities
            share = w[:, :M] / w[:, :M].sum(dim=1, keepdim=True).clamp_min(1e-9)
            times = share * present[:, :M].sum(dim=1, keepdim=True)
            stacked = self.stacked.exp() * times.unsqueeze(-1) * terms
            parts = torch.cat([parts[:, :M] + stacked, parts[:, M:]], dim=1)
        return TrustResult(w, parts, confidence)


def signs_of(
    u: Tensor,
    disagreement: Tensor,
    novelty: Tensor,
    present: Tensor,
    *,
    n_modalities: int,
    is_classification: bool,
) -> Tensor:
    """What a bystander sees of each witness, (B, W, S).

    **Shape**: u (B, W, C); disagreement (B, W), among the ensemble members; novelty
    (B, W, N), signs of how unusual the content is; present (B, W). The first
    `n_modalities` witnesses are modalities: agreement is with the other ones of these.
    """
    voters = present.clone()
    voters[:, n_modalities:] = False
    others = voters.sum(dim=1, keepdim=True) - voters.long()
    n_others = others.clamp_min(1).to(u.dtype).unsqueeze(-1)
    alone = (others == 0).unsqueeze(-1)
    if not is_classification:
        said = u * voters.unsqueeze(-1)
        middle = (said.sum(dim=1, keepdim=True) - said) / n_others
        distance = (u - middle).square().mean(dim=-1).sqrt()
        distance = torch.where(alone.squeeze(-1), 0.0, distance)
        size = u.abs().mean(dim=-1)
        signs = torch.stack([size, distance, disagreement], dim=-1)
        return torch.cat([signs, novelty], dim=-1)
    p = u.softmax(dim=-1)
    top = p.topk(2, dim=-1).values
    entropy = -(p * p.clamp_min(1e-12).log()).sum(dim=-1) / math.log(p.shape[-1])
    said = p * voters.unsqueeze(-1)
    middle = (said.sum(dim=1, keepdim=True) - said) / n_others
    agreement = (p * middle).sum(dim=-1)
    # Nobody to agree with is as good as chance.
    agreement = torch.where(alone.squeeze(-1), 1 / p.shape[-1], agreement)
    sure = top[..., 0].clamp(max=1 - 1e-6).logit()
    margin = top[..., 0] - top[..., 1]
    signs = torch.stack([sure, margin, entropy, agreement, disagreement], dim=-1)
    return torch.cat([signs, novelty], dim=-1)
