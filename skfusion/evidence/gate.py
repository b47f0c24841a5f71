"""The gate: how far each source is trusted in each row, fitted on held-out rows.

With the log of the class shares `log pi`, the evidence `e_s` of source s and its trust
`a_s`, the output is

    logits(x) = log pi + sum_s a_s(x) e_s(x),    a_s(x) = exp(b_s + theta_s . g_s(x))

where `g_s` are gate features: how confident the source is, how far it agrees with the
other modalities, and how unlike the training rows its content is.

**Shape**: S sources, the M modalities first, then the joint part where there is one;
evidence (n, S, C), present (n, S), gate features (n, S, G), trust (n, S).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

from skfusion.evidence.ood import N_SCORES

__all__ = ["Gate", "fit_gate", "gate_features", "held_out_loss", "minimise"]

#: Expected log trust of a modality and of the joint part, until rows say otherwise.
LOG_TRUST, LOG_JOINT_TRUST = -0.3, -1.5
#: Expected coefficient of each out-of-distribution score: the unusual is trusted less.
#: What lies within one standard deviation of the usual counts little (a softplus).
OOD_COEF = {True: -1.0, False: -0.5}
OOD_START, OOD_SOFTNESS = 1.0, 0.5
#: Standard deviations of the priors of b and of theta.
BIAS_SD, COEF_SD = 1.0, 0.3
#: Penalty on the share of the output that belongs to the joint part.
JOINT_PENALTY = 0.02
#: Weight of the corrupted rows in all, beside that of the clean ones.
CORRUPTED_WEIGHT = 0.5
#: Standardised gate features beyond this say no more.
CLIP = 4.0


class Gate(NamedTuple):
    """A fitted gate.

    **Shape**: bias (S,), coef (S, G), mean and sd (S, G) of the gate features.
    """

    bias: NDArray[np.float64]
    coef: NDArray[np.float64]
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]

    def trust(
        self, features: NDArray[np.float64], present: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Trust (n, S); 0 where a source is absent."""
        x = standardise(features, self.mean, self.sd)
        log_a = self.bias + (x * self.coef).sum(axis=-1)
        return np.exp(np.clip(log_a, -12, 2)) * present


def gate_features(
    evidence: NDArray[np.float64],
    ood: NDArray[np.float64],
    present: NDArray[np.bool_],
    log_prior: NDArray[np.float64],
    *,
    is_classification: bool,
) -> NDArray[np.float64]:
    """What the gate sees of each source, (n, S, G).

    Parameters
    ----------
    evidence : ndarray (n, S, C)
    ood : ndarray (n, M, N_SCORES)
    present : ndarray (n, S)
    log_prior : ndarray (C,)
    """
    n, S, C = evidence.shape
    M = ood.shape[1]
    seen = present[:, :M]
    n_others = seen.sum(axis=1, keepdims=True) - np.pad(seen, ((0, 0), (0, S - M)))
    alone = n_others == 0
    if is_classification:
        logp = evidence + log_prior
        logp = logp - logsumexp(logp, axis=-1, keepdims=True)
        p = np.exp(logp)
    else:
        p = evidence
    total = (p[:, :M] * seen[..., None]).sum(axis=1, keepdims=True)
    own = np.zeros_like(p)
    own[:, :M] = p[:, :M] * seen[..., None]
    others = (total - own) / np.maximum(n_others, 1)[..., None]
    if is_classification:
        top = np.minimum(p.max(axis=-1), 1 - 1e-6)
        agreement = np.where(alone, 1 / C, (p * others).sum(axis=-1))
        entropy = -(p * logp).sum(axis=-1) / np.log(C)
        columns = [np.log(top / (1 - top)), entropy, agreement]
    else:
        distance = np.sqrt(((p - others) ** 2).mean(axis=-1))
        columns = [np.abs(p).mean(axis=-1), np.where(alone, 0, distance)]
    worst = np.where(seen[..., None], ood, -np.inf).max(axis=1, initial=-np.inf)
    worst = np.where(np.isfinite(worst), worst, 0)[:, None]
    ood = np.concatenate([ood, np.repeat(worst, S - M, axis=1)], axis=1)
    return np.concatenate([np.stack(columns, axis=-1), ood], axis=-1)


def standardise(
    features: NDArray[np.float64], mean: NDArray[np.float64], sd: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Gate features in standard deviations; out-of-distribution ones softly cut off."""
    x = np.clip((features - mean) / sd, -CLIP, CLIP)
    unusual = (x[..., -N_SCORES:] - OOD_START) / OOD_SOFTNESS
    x[..., -N_SCORES:] = np.logaddexp(0, unusual) * OOD_SOFTNESS
    return x


def fit_gate(
    evidence: NDArray[np.float64],
    features: NDArray[np.float64],
    present: NDArray[np.bool_],
    joint_rest: NDArray[np.float64],
    y: NDArray[np.float64] | NDArray[np.int64],
    weight: NDArray[np.float64],
    log_prior: NDArray[np.float64],
    *,
    n_clean: int,
    n_modalities: int,
    is_classification: bool,
) -> Gate:
    """Fit trust by the loss of the sum on held-out rows, by L-BFGS.

    Parameters
    ----------
    evidence, features, present : the clean rows first, then corrupted copies of them
    joint_rest : ndarray (n, C)
        What of the joint part's evidence belongs to no modality: it is penalised.
    y : ndarray (n,) of class indices, or (n, C) standardised targets
    weight : ndarray (n,)
    n_clean : int
        Rows that are clean.
    """
    n, S, G = features.shape
    M = n_modalities
    share = present[:n_clean] * weight[:n_clean, None]
    share = share / np.maximum(share.sum(axis=0), 1e-12)
    mean = (features[:n_clean] * share[..., None]).sum(axis=0)
    sd = (((features[:n_clean] - mean) ** 2) * share[..., None]).sum(axis=0)
    sd = np.sqrt(sd) + 1e-3
    bias0 = np.full(S, LOG_TRUST)
    bias0[M:] = LOG_JOINT_TRUST
    coef0 = np.zeros((S, G))
    if n > n_clean:  # without corrupted rows, only the rows say what the unusual means
        coef0[:, -N_SCORES:] = OOD_COEF[is_classification] / N_SCORES
    w = weight.astype(np.float64).copy()
    if n > n_clean:
        w[n_clean:] *= CORRUPTED_WEIGHT * w[:n_clean].sum() / w[n_clean:].sum()
    tensors = [torch.from_numpy(np.ascontiguousarray(a)) for a in (evidence, w)]
    E, W = tensors
    X = torch.from_numpy(standardise(features, mean, sd))
    here = torch.from_numpy(present.astype(np.float64))
    start = (np.exp(bias0)[:, None] * evidence[:n_clean]).sum(axis=1)
    loss = held_out_loss(y, log_prior, start, w[:n_clean], is_classification)
    R = torch.from_numpy(joint_rest)

    def objective(b: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        a = torch.exp((b + (X * theta).sum(dim=-1)).clamp(-12, 2)) * here
        total = (a[..., None] * E).sum(dim=1)
        each = loss(total)
        if S > M:
            size = (a[:, M:] * R).abs().mean(dim=-1)
            joint = size / (size + total.abs().mean(dim=-1) + 1e-6)
        else:
            joint = torch.zeros(())
        away = ((b - torch.from_numpy(bias0)) / BIAS_SD).square().sum()
        away = away + ((theta - torch.from_numpy(coef0)) / COEF_SD).square().sum()
        return (((each + JOINT_PENALTY * joint) * W).sum() + 0.5 * away) / W.sum()

    bias, coef = minimise(objective, bias0, coef0)
    return Gate(bias, coef, mean, sd)


def held_out_loss(
    y: NDArray[np.float64] | NDArray[np.int64],
    log_prior: NDArray[np.float64],
    start: NDArray[np.float64],
    weight: NDArray[np.float64],
    is_classification: bool,
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Negative log-likelihood of rows as a function of their summed evidence (..., C).

    In a regression it is Gaussian; its variance is that of the errors where the fit
    begins, with `start` (n, ..., C) as the evidence of the first n rows.
    """
    if is_classification:
        target, prior = torch.from_numpy(y), torch.from_numpy(log_prior)

        def cross_entropy(total: torch.Tensor) -> torch.Tensor:
            logp = (prior + total).log_softmax(dim=-1)
            index = target.view(-1, *[1] * (total.dim() - 1))
            return -logp.gather(-1, index.expand(*total.shape[:-1], 1)).squeeze(-1)

        return cross_entropy
    y = y.reshape(len(y), *[1] * (start.ndim - 2), -1).astype(np.float64)
    errors = ((start - y[: len(start)]) ** 2).mean(axis=-1)
    share = weight / weight.sum()
    variance = np.maximum(np.tensordot(share, errors, axes=1), 1e-6)
    target, spread = torch.from_numpy(y), torch.from_numpy(np.asarray(variance))

    def squared(total: torch.Tensor) -> torch.Tensor:
        return 0.5 * (total - target).square().mean(dim=-1) / spread

    return squared


def minimise(
    objective: Callable[..., torch.Tensor],
    *start: NDArray[np.float64],
    positive: bool = False,
) -> list[NDArray[np.float64]]:
    """Full-batch L-BFGS of a function of arrays, from where they start.

    If `positive`, no entry may fall below 0.
    """
    ends = np.cumsum([x.size for x in start])[:-1]

    def unpack(flat: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        pieces = np.split(flat, ends)
        return [p.reshape(x.shape) for p, x in zip(pieces, start, strict=True)]

    def value_and_gradient(
        flat: NDArray[np.float64],
    ) -> tuple[float, NDArray[np.float64]]:
        tensors = [torch.tensor(x, requires_grad=True) for x in unpack(flat)]
        value = objective(*tensors)
        value.backward()
        gradient = [
            (torch.zeros_like(t) if t.grad is None else t.grad).numpy().ravel()
            for t in tensors
        ]
        return float(value.detach()), np.concatenate(gradient)

    flat = np.concatenate([x.ravel() for x in start])
    bounds = [(0, None)] * flat.size if positive else None
    found = minimize(
        value_and_gradient, flat, jac=True, method="L-BFGS-B", bounds=bounds
    )
    return unpack(found.x if np.isfinite(found.fun) else flat)
