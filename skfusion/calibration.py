"""Fits, on held-out rows, what training rows would get wrong: whom to trust.

A modality that learned its training rows by heart looks sure of itself and deserves
trust there, and nowhere else. How the network and the experts mix into what each
witness says, how far each witness is trusted in which row, and how sure the output is,
are therefore fitted on rows that none of them has learned from, clean ones and
disturbed ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skfusion.batch import ModalityBatch
from skfusion.corruption import Plans
from skfusion.ensemble import Fold, Said, listen
from skfusion.experts import EXPERTS
from skfusion.fusion.trust import EXPECTED, N_UNUSUAL, Trust, TrustResult, signs_of
from skfusion.stacking import Stack
from skfusion.training import FusionLoss, corrupt_batch

__all__ = ["Calibration", "LabelledRows", "calibrate"]

#: Normal priors around the start: few rows should move it little.
PRIOR_SD = 1.0
#: Of the gate: few rows should not make it blind to noise. But how far a witness is to
#: be trusted as a rule, and what it means that others agree, rows decide. Measured with
#: `UNUSUAL` of fusion/trust.py, where .3 for all was the other choice.
GATE_SD = 0.1
FREE_SD = 0.6
#: Of the steepness of the weights, in a classification and in a regression. Measured:
#: with 1 it can run away on a few hundred rows, from 2.7 to 19 on houses, and then
#: throws out whatever is a little unusual.
STEEPNESS_SD = {True: 1.0, False: 0.3}
#: What disturbed rows count beside clean ones in the fit of the output. Measured: with
#: 0.5 the log-loss of clean rows is 1 to 15 % higher on eight sets of nine, and the
#: accuracy of noisy rows the same.
DISTURBED = 0.05
#: Log-likelihood that a row may cost more if its output belongs to modalities alone, in
#: a classification and in a regression. Measured: most of the joint share goes, and
#: with it no accuracy, but .001 of R2 on salaries at .02; see docs/decisions.
JOINT_PRICE = {True: 0.02, False: 0.01}
#: Log-loss that a row may cost more if its weights follow confidence: the mean, by
#: weight, of -log confidence. Weights of words that add nothing, or that the stack says
#: better, are otherwise left where they began. Measured: with .01 a modality of random
#: numbers keeps .67 of an even share on Scene15, with .03 .44, without .78. Where the
#: confidence is no probability, in a regression, it would silence all but the best.
DOUBT_PRICE = {True: 0.03, False: 0.0}
#: Held-out rows, for each pair of classes, from which it is learned which classes
#: are taken for which. Measured: with 17 and 61 of them it lowers the log-loss by 17
#: and 2 %, with 9 it costs 4 %, with 1.4 it learns them by heart.
CONFUSION_ROWS = 15


class LabelledRows(NamedTuple):
    """Rows with their targets and weights."""

    batch: ModalityBatch
    y: Tensor
    weight: Tensor


class Mix(NamedTuple):
    """How what is said becomes the word of each witness.

    With ``v = sum_s share_s said_s``, its word is ``v + log softmax(v) V + offset``,
    where V knows which classes are taken for which.

    share : Tensor (W, S), what each slot counts
    confusion : Tensor (W, C, C), and offset : Tensor (W, C), or None with few rows
    """

    share: Tensor
    confusion: Tensor | None = None
    offset: Tensor | None = None

    def __call__(self, words: Any) -> Tensor:
        """Words of the slots (n, W, S, C) -> (n, W, C).

        Where a slot is silent, the others count for it.
        """
        words = torch.as_tensor(words)
        share = ~words[..., 0].isnan() * self.share
        scale = self.share.sum(dim=-1) / share.sum(dim=-1).clamp_min(1e-12)
        said = torch.einsum(
            "nwsc,nws->nwc", words.nan_to_num(), share * scale[..., None]
        )
        if self.confusion is None or self.offset is None:
            return said
        taken = torch.einsum("nwc,wcd->nwd", said.log_softmax(dim=-1), self.confusion)
        speaks = share.any(dim=-1, keepdim=True)
        return said + speaks * (taken + self.offset)


class Calibration(NamedTuple):
    """What held-out rows taught.

    mix : Mix, how what is said becomes the word of each witness
    trust : Trust, or None where the network's own rule has the last word
    temperature : float, by which the logits of that rule are divided
    is_classification : bool
    stack : Stack of what experts say, or None where there are none
    """

    mix: Mix
    trust: Trust | None
    temperature: float
    is_classification: bool
    stack: Stack | None = None

    def words(self, said: Said) -> NDArray[np.float64]:
        """What each witness says, its slots mixed, (n, W, C)."""
        return self.mix(said.words).numpy()

    @torch.no_grad()
    def weigh(self, said: Said, words: NDArray[np.float64]) -> TrustResult:
        """Weigh the words of the witnesses by trust."""
        assert self.trust is not None
        u, disagreement, novelty, present = (
            torch.from_numpy(x)
            for x in (words, said.disagreement, said.novelty, said.present)
        )
        signs = signs_of(
            u,
            disagreement,
            novelty,
            present,
            n_modalities=said.parts.shape[1],
            is_classification=self.is_classification,
        )
        terms = None if self.stack is None else self.stack(said.words)
        return self.trust(u, signs, present, terms)


def calibrate(
    folds: Sequence[Fold],
    held_out: Sequence[LabelledRows],
    learned: LabelledRows,
    corruption: Plans | None,
    *,
    is_classification: bool,
    learns_trust: bool,
    log_prior: Tensor,
) -> Calibration:
    """Fit mix, trust and temperature on the held-out rows of all folds together.

    `learned` are the rows that the first fold learned from: where there is no other
    fold, they teach the stack.
    """
    loss = FusionLoss([], is_classification=is_classification)
    clean = _gather(folds, held_out, loss)
    mix = _fit_mix(loss, clean)
    if not learns_trust:
        temperature = _temperature(loss, clean)
        return Calibration(mix, None, temperature, is_classification)
    n = len(clean.y)
    n_draws = 0 if corruption is None else 3 if n < 1000 else 2 if n < 3000 else 1
    disturbed = [_gather(folds, held_out, loss, corruption) for _ in range(n_draws)]
    rows = _join([clean, *disturbed])
    M = len(held_out[0].batch.names)
    stack, terms = None, None
    # Measured: in a regression it only kept the joint experts from being heard.
    if is_classification and folds[0].experts is not None and M > 1:
        stack, terms = _fit_stack(folds, held_out, learned, [clean, *disturbed])
    trust = _fit_trust(loss, rows, mix, log_prior, terms, n_clean=n, n_modalities=M)
    return Calibration(mix, trust, 1.0, is_classification, stack)


class _Rows(NamedTuple):
    """Held-out rows as float64 tensors; see `Said` for shapes."""

    words: Tensor
    disagreement: Tensor
    novelty: Tensor
    present: Tensor
    logits: Tensor
    y: Tensor
    weight: Tensor


def _join(parts: Sequence[_Rows]) -> _Rows:
    words, disagreement, novelty, present, logits, y, weight = (
        torch.cat(column) for column in zip(*parts, strict=True)
    )
    return _Rows(words, disagreement, novelty, present, logits, y, weight)


def _gather(
    folds: Sequence[Fold],
    held_out: Sequence[LabelledRows],
    loss: FusionLoss,
    corruption: Plans | None = None,
) -> _Rows:
    """What each fold says of the rows held out from it; clean rows choose strengths."""
    all_said = []
    for fold, (batch, _, _) in zip(folds, held_out, strict=True):
        if corruption is not None:
            plan = corruption.plan(torch.from_numpy(batch.present), batch.names)
            batch = corrupt_batch(batch, fold.network.encoders, plan)
        all_said.append(listen(fold, batch, all_strengths=corruption is None))
    y = torch.cat([h.y for h in held_out])
    weight = torch.cat([h.weight for h in held_out]).double()
    words, *fields = (
        torch.from_numpy(np.concatenate([getattr(s, name) for s in all_said]))
        for name in ("words", "disagreement", "novelty", "present", "logits")
    )
    if corruption is None and folds[0].experts is not None:
        words = _choose_strengths(folds, words, y, weight, loss)
    disagreement, novelty, present, logits = fields
    return _Rows(words, disagreement, novelty, present, logits, y, weight)


def _choose_strengths(
    folds: Sequence[Fold], words: Tensor, y: Tensor, weight: Tensor, loss: FusionLoss
) -> Tensor:
    """Settle each linear expert's strength by its held-out loss; keep that word."""
    n_linear = words.shape[2] - len(EXPERTS)  # after the network's slot
    linear = words[:, :, 1 : 1 + n_linear]
    silent = linear.isnan().any(dim=-1)
    each = loss.elementwise(linear.nan_to_num(), y)
    share = (~silent * weight[:, None, None]).expand_as(each)
    total = share.sum(dim=0)
    mean = (each * share).sum(dim=0) / total.clamp_min(1e-12)
    best = torch.where(total > 0, mean, math.inf).argmin(dim=1)  # (W,)
    for fold in folds:
        if fold.experts is not None:
            fold.experts.strength = best.tolist()
    index = best.view(1, -1, 1, 1).expand(len(words), -1, 1, words.shape[-1])
    chosen = linear.gather(2, index)
    return torch.cat([words[:, :, :1], chosen, words[:, :, 1 + n_linear :]], dim=2)


def _fit_stack(
    folds: Sequence[Fold],
    held_out: Sequence[LabelledRows],
    learned: LabelledRows,
    draws: Sequence[_Rows],
) -> tuple[Stack, Tensor]:
    """The stack, and its terms of the held-out rows, clean ones and disturbed ones.

    No stack judges rows that it learned from: of several folds, what the held-out rows
    of the others taught judges those of each.
    """
    M = len(learned.batch.names)
    if len(folds) == 1:
        experts: Any = folds[0].experts
        said = experts.cross_fitted(
            learned.batch, learned.y.numpy(), learned.weight.numpy()
        )
        network = np.full_like(said[:, :, :1], np.nan)  # knows these rows by heart
        words = torch.from_numpy(np.concatenate([network, said], axis=2))
        stack = Stack.fit(words, learned.y, learned.weight)
        return stack, torch.cat([stack(rows.words) for rows in draws])

    words, y, weight = draws[0].words[:, :M], draws[0].y, draws[0].weight
    stack = Stack.fit(words, y, weight)
    fold = torch.cat([torch.full((len(h.y),), f) for f, h in enumerate(held_out)])
    terms = [torch.zeros_like(rows.words[:, :M, 0]) for rows in draws]
    for f in range(len(folds)):
        own, others = fold == f, fold != f
        other = Stack.fit(words[others], y[others], weight[others])
        for rows, out in zip(draws, terms, strict=True):
            out[own] = other(rows.words[own])
    return stack, torch.cat(terms)


def _fit_mix(loss: FusionLoss, rows: _Rows) -> Mix:
    """Fit the word of each witness by its own loss."""
    able = (~rows.words[..., 0].isnan()).any(dim=0)  # (W, S)
    start = able.double() / able.sum(dim=1, keepdim=True).clamp_min(1)
    inverse = torch.log(torch.expm1(start.clamp_min(1e-4)))
    raw = nn.Parameter(inverse.clone())
    parameters = [raw]
    n, W, _, C = rows.words.shape
    if loss.is_classification and C > 2 and n >= CONFUSION_ROWS * C**2:
        parameters.append(nn.Parameter(torch.zeros(W, C, C, dtype=torch.float64)))
        parameters.append(nn.Parameter(torch.zeros(W, C, dtype=torch.float64)))
    share = rows.present * rows.weight[:, None]

    def mix() -> Mix:
        return Mix(nn.functional.softplus(raw) * able, *parameters[1:])

    likelihood = _likelihood(loss, mix()(rows.words).detach(), rows.y)

    def objective() -> Tensor:
        each = likelihood(mix()(rows.words))
        away = (raw - inverse).square().sum() / PRIOR_SD**2
        for moved in parameters[1:]:
            away = away + moved.square().sum() / PRIOR_SD**2
        return ((each * share).sum() + 0.5 * away) / rows.weight.sum()

    _minimise(objective, parameters)
    fitted = mix()
    return Mix(fitted.share.detach(), *(x.detach() for x in parameters[1:]))


def _likelihood(
    loss: FusionLoss, start: Tensor, y: Tensor
) -> Callable[[Tensor], Tensor]:
    """The negative log-likelihood (n, W) as a function of words (n, W, C).

    In a regression it is Gaussian, with the variance of the words at the start.
    """
    if loss.is_classification:
        return lambda u: loss.elementwise(u, y)
    variance = loss.elementwise(start, y).mean(dim=0).clamp_min(1e-9)
    return lambda u: 0.5 * loss.elementwise(u, y) / variance


def _temperature(loss: FusionLoss, rows: _Rows) -> float:
    """By which to divide the logits of the network's own rule."""
    if not loss.is_classification:
        return 1.0
    log_t = nn.Parameter(torch.zeros((), dtype=torch.float64))
    weight = rows.weight * rows.present.any(dim=1)

    def objective() -> Tensor:
        each = loss.elementwise(rows.logits / log_t.exp(), rows.y)
        away = 0.5 * log_t.square() / PRIOR_SD**2
        return ((each * weight).sum() + away) / weight.sum().clamp_min(1e-12)

    _minimise(objective, [log_t])
    return math.exp(log_t.item())


def _fit_trust(
    loss: FusionLoss,
    rows: _Rows,
    mix: Mix,
    log_prior: Tensor,
    terms: Tensor | None,
    *,
    n_clean: int,
    n_modalities: int,
) -> Trust:
    """The gate by the truth each witness told, then the output by the fused loss."""
    u = mix(rows.words)
    signs = signs_of(
        u,
        rows.disagreement,
        rows.novelty,
        rows.present,
        n_modalities=n_modalities,
        is_classification=loss.is_classification,
    )
    W = u.shape[1]
    prior_signs = torch.tensor(EXPECTED[loss.is_classification])
    if len(rows.y) == n_clean:  # nothing was disturbed: only the rows say what is usual
        prior_signs[-N_UNUSUAL:] = 0
    trust = Trust(n_modalities, W, prior_signs, log_prior).double()
    seen = rows.present * rows.weight[:, None]
    trust.standardise(signs, seen)
    truth = _truth(loss, u, rows.y, seen, n_clean)
    weight = rows.weight.clone()
    weight[n_clean:] *= DISTURBED * n_clean / max(len(weight) - n_clean, 1)
    gate, output = trust.gate_parameters(), trust.output_parameters()
    gate_start, output_start = (
        [p.detach().clone() for p in parameters] for parameters in (gate, output)
    )
    spread = trust.gate_spread(GATE_SD, FREE_SD)
    tau_sd = torch.tensor(STEEPNESS_SD[loss.is_classification])
    output_spread = [
        tau_sd if p is trust.tau else torch.tensor(PRIOR_SD) for p in output
    ]

    def gate_objective() -> Tensor:
        miss = nn.functional.binary_cross_entropy_with_logits(
            trust.confidence(signs), truth, reduction="none"
        )
        away = _distance(gate, gate_start, spread)
        return ((miss * seen).sum() + 0.5 * away) / n_clean

    joint_price = JOINT_PRICE[loss.is_classification]
    doubt_price = DOUBT_PRICE[loss.is_classification]

    def output_objective() -> Tensor:
        result = trust.weigh(u, confidence, rows.present, terms)
        each = likelihood(result.parts.sum(dim=1, keepdim=True))[:, 0]
        price = joint_price * _joint_share(result.parts, n_modalities)
        price = price + doubt_price * _doubt(result, n_modalities)
        away = _distance(output, output_start, output_spread)
        total = ((each + price) * weight).sum()
        return (total + 0.5 * away) / weight.sum()

    if W > 1:
        _minimise(gate_objective, gate, max_iter=80)
    confidence = trust.confidence(signs).detach()
    start = trust.weigh(u, confidence, rows.present, terms).parts.sum(
        dim=1, keepdim=True
    )
    likelihood = _likelihood(loss, start.detach(), rows.y)
    _minimise(output_objective, output)
    return trust


def _truth(
    loss: FusionLoss, u: Tensor, y: Tensor, seen: Tensor, n_clean: int
) -> Tensor:
    """How far each witness deserved trust, (n, W), between 0 and 1.

    The probability it gave to the truth; in a regression ``exp(-e^2 / 2 s^2)`` with e
    its error and s that of the best witness: beside it, others may be poor.
    """
    each = loss.elementwise(u, y)
    if loss.is_classification:
        return torch.exp(-each)
    errors, rows = (each * seen)[:n_clean].sum(dim=0), seen[:n_clean].sum(dim=0)
    usual = errors[rows > 0] / rows[rows > 0]
    best = usual.min().clamp_min(1e-6) if len(usual) else 1.0
    return torch.exp(-each / (2 * best))


def _joint_share(parts: Tensor, n_modalities: int) -> Tensor:
    """Share of the output that belongs to no single modality, (B, W, C) -> (B,)."""
    if parts.shape[-1] > 1:
        parts = parts - parts.mean(dim=-1, keepdim=True)
    own, joint = (
        x.sum(dim=1).abs().mean(dim=-1)
        for x in (parts[:, :n_modalities], parts[:, n_modalities:])
    )
    return joint / (own + joint).clamp_min(1e-9)


def _doubt(result: TrustResult, n_modalities: int) -> Tensor:
    """How far the modalities that have the weight are not trusted, (B,)."""
    w, confidence = (x[:, :n_modalities] for x in (result.weights, result.confidence))
    w = w / w.sum(dim=1, keepdim=True).clamp_min(1e-9)
    return -(w * nn.functional.logsigmoid(confidence)).sum(dim=1)


def _distance(
    parameters: Sequence[Tensor],
    start: Sequence[Tensor],
    spread: Sequence[Tensor],
) -> Tensor:
    """Squared distance from where parameters began, in units of their spread."""
    parts = zip(parameters, start, spread, strict=True)
    return torch.stack([((p - p0) / sd).square().sum() for p, p0, sd in parts]).sum()


def _minimise(
    objective: Callable[[], Tensor], parameters: list[nn.Parameter], max_iter: int = 60
) -> None:
    """Full-batch L-BFGS; keeps the start if it ends anywhere worse."""
    start = [p.detach().clone() for p in parameters]
    before = objective().item()
    optimiser = torch.optim.LBFGS(
        parameters, max_iter=max_iter, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = objective()
        grads = torch.autograd.grad(value, parameters)
        for p, grad in zip(parameters, grads, strict=True):
            p.grad = grad
        return value

    optimiser.step(closure)
    after = objective().item()
    if not math.isfinite(after) or after > before:
        with torch.no_grad():
            for p, p0 in zip(parameters, start, strict=True):
                p.copy_(p0)
