"""The gate: how far each source is trusted in each row, fitted on held-out rows.

With the log of the class shares `log pi`, the evidence `e_s` of source s and its trust
`a_s`, the output is

    logits(x) = log pi + B (sum_m a_m(x) (e_m(x) + k l_m(x)) + a_J(x) e_J(x))
    a_s(x) = exp(b_s + theta_s . g_s(x))

where `l_m` is what of a linear model of all features together belongs to modality m,
`e_J` the evidence of the joint part, and `g_s` are gate features: how confident the
source is, how far it agrees with the other modalities, and how unlike the training rows
its content is. A source that says more than it did of any held-out row (a linear model
of noise, say) is cut to that. The matrix B (C, C), near the identity,
says which classes are taken for one another, or which labels come together (matrix
scaling); it is linear, so what each source adds stays exact.

**Shape**: S sources, the M modalities first, then the joint part where there is one;
evidence (n, S, C), linear parts (n, M, C), present (n, S), gate features (n, S, G),
trust (n, S).

References
----------
Guo, Pleiss, Sun, Weinberger (2017), "On calibration of modern neural networks", section
4.2. Kull et al. (2019), "Beyond temperature scaling: obtaining well-calibrated
multi-class probabilities with Dirichlet calibration", on shrinking the matrix.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from skfusion.evidence.ood import N_SCORES
from skfusion.evidence.optimise import held_out_loss, minimise
from skfusion.training.links import Link, Softmax

__all__ = ["Gate", "fit_gate", "gate_features"]

#: Expected log trust of a modality and of the joint part, until rows say otherwise.
LOG_TRUST, LOG_JOINT_TRUST = -0.3, -1.5
#: Expected coefficient of each out-of-distribution score: the unusual is trusted less.
#: What lies within one standard deviation of the usual counts little (a softplus).
OOD_COEF = {True: -1.0, False: -0.4}
OOD_START, OOD_SOFTNESS = 1.0, 0.5
#: Standard deviations of the priors of b, of theta, and of its part for the scores.
BIAS_SD, COEF_SD, OOD_COEF_SD = 1.0, 0.3, 0.1
#: Expected factor of the linear model of all features, and the sd of its prior.
LINEAR_SCALE, LINEAR_SCALE_SD = 0.3, 0.3
#: Standard deviation of the entries of B around the identity, and the rows an entry
#: takes: with fewer, B is the identity.
CLASS_SD, ROWS_PER_ENTRY = 0.15, 5
#: Penalty on the share of the output that belongs to the joint part.
JOINT_PENALTY = 0.02
#: Weight of the corrupted rows in all, beside that of the clean ones, in a
#: classification and in a regression, where their squared errors are large.
CORRUPTED_WEIGHT = {True: 0.1, False: 0.02}
#: Standardised gate features, and out-of-distribution scores, beyond this say no more.
CLIP, OOD_CLIP = 4.0, 8.0


class Gate(NamedTuple):
    """A fitted gate.

    **Shape**: bias (S,), coef (S, G), mean and sd (S, G) of the gate features; limit
    (S,) and linear_limit (M,), the largest sizes of evidence and of linear parts;
    linear_scale (), the factor k of these; class_matrix (C, C), or None where it is the
    identity.
    """

    bias: NDArray[np.float64]
    coef: NDArray[np.float64]
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    limit: NDArray[np.float64]
    linear_limit: NDArray[np.float64]
    linear_scale: float
    class_matrix: NDArray[np.float64] | None

    def scaled(self, added: NDArray[np.float64]) -> NDArray[np.float64]:
        """What is added to the logits, (..., C), by the class matrix."""
        if self.class_matrix is None:
            return added
        return added @ self.class_matrix.T

    def trust(
        self, features: NDArray[np.float64], present: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Trust (n, S); 0 where a source is absent."""
        x = standardise(features, self.mean, self.sd)
        log_a = self.bias + (x * self.coef).sum(axis=-1)
        return np.exp(np.clip(log_a, -12, 2)) * present

    def factors(
        self, evidence: NDArray[np.float64], linear: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What evidence (n, S, C) and linear parts (n, M, C) are multiplied by.

        Returns
        -------
        own : ndarray (n, S), joint : ndarray (n, M)
        """
        own = cut(evidence, self.limit)
        return own, self.linear_scale * cut(linear, self.linear_limit)


def gate_features(
    evidence: NDArray[np.float64],
    ood: NDArray[np.float64],
    present: NDArray[np.bool_],
    log_prior: NDArray[np.float64],
    *,
    link: Link,
) -> NDArray[np.float64]:
    """What the gate sees of each source, (n, S, G).

    Where a modality is alone there is no agreement, which is NaN.

    Parameters
    ----------
    evidence : ndarray (n, S, C)
    ood : ndarray (n, M, N_SCORES)
    present : ndarray (n, S)
    log_prior : ndarray (C,)
    """
    S, M = evidence.shape[1], ood.shape[1]
    seen = present[:, :M]
    n_others = seen.sum(axis=1, keepdims=True) - np.pad(seen, ((0, 0), (0, S - M)))
    alone = n_others == 0
    p = link.mean(evidence + log_prior)
    total = (p[:, :M] * seen[..., None]).sum(axis=1, keepdims=True)
    own = np.zeros_like(p)
    own[:, :M] = p[:, :M] * seen[..., None]
    others = (total - own) / np.maximum(n_others, 1)[..., None]
    columns = link.gate_columns(p, others)
    columns[-1] = np.where(alone, np.nan, columns[-1])
    worst = np.where(seen[..., None], ood, -np.inf).max(axis=1, initial=-np.inf)
    worst = np.where(np.isfinite(worst), worst, 0)[:, None]
    ood = np.concatenate([ood, np.repeat(worst, S - M, axis=1)], axis=1)
    return np.concatenate([np.stack(columns, axis=-1), ood], axis=-1)


def standardise(
    features: NDArray[np.float64], mean: NDArray[np.float64], sd: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Gate features in standard deviations; out-of-distribution ones softly cut off.

    What there is not counts as usual: trust does not hang on who else is there.
    """
    z = np.nan_to_num((features - mean) / sd)
    x = np.clip(z, -CLIP, CLIP)
    unusual = (np.clip(z[..., -N_SCORES:], -CLIP, OOD_CLIP) - OOD_START) / OOD_SOFTNESS
    x[..., -N_SCORES:] = np.logaddexp(0, unusual) * OOD_SOFTNESS
    return x


def cut(
    evidence: NDArray[np.float64], limit: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Factors (n, S), at most 1, that cut evidence (n, S, C) to its largest size."""
    size = np.abs(evidence).mean(axis=-1)
    return np.minimum(1.0, limit / np.maximum(size, 1e-12))


def fit_gate(
    evidence: NDArray[np.float64],
    linear: NDArray[np.float64],
    features: NDArray[np.float64],
    present: NDArray[np.bool_],
    y: NDArray[np.float64] | NDArray[np.int64],
    weight: NDArray[np.float64],
    log_prior: NDArray[np.float64],
    *,
    n_clean: int,
    link: Link,
    former: Gate | None = None,
) -> Gate:
    """Fit trust by the loss of the sum on held-out rows, by L-BFGS.

    Parameters
    ----------
    evidence, linear, features, present : the clean rows first, then corrupted copies
    y : ndarray (n,) of class indices, or (n, C) standardised targets
    weight : ndarray (n,)
    n_clean : int
        Rows that are clean.
    former : Gate, optional
        The centre of the prior, for rows of a further batch.
    """
    clean = slice(n_clean)
    prior = _expected(
        evidence, linear, features, present, weight, n_clean=n_clean, link=link
    )
    if former is not None:
        prior = _around(former, prior)
    own = evidence * cut(evidence, prior.limit)[..., None]
    added = linear * cut(linear, prior.linear_limit)[..., None]
    w = _row_weights(weight, n_clean, link)
    start = (np.exp(prior.bias)[:, None] * own[clean]).sum(axis=1)
    loss = held_out_loss(y, log_prior, start, w[clean], link)
    sums = _Sums(own, added, standardise(features, prior.mean, prior.sd), present)
    distance = _Distance(prior)
    rows = _tensor(w)

    def objective(
        b: torch.Tensor, theta: torch.Tensor, k: torch.Tensor
    ) -> torch.Tensor:
        total, joint = sums(b, theta, k)
        each = loss(total)
        if joint is not None:
            size = joint.abs().mean(dim=-1)
            share = size / (size + total.abs().mean(dim=-1) + 1e-6)
            each = each + JOINT_PENALTY * share
        return ((each * rows).sum() + 0.5 * distance(b, theta, k)) / rows.sum()

    found = minimise(objective, prior.bias, prior.coef, np.array([prior.linear_scale]))
    total, _ = sums(*map(torch.from_numpy, found))
    class_matrix = _fit_class_matrix(
        total[clean], y[clean], rows[clean], log_prior, link, prior.class_matrix
    )
    bias, coef, k = found
    return prior._replace(
        bias=bias, coef=coef, linear_scale=float(k[0]), class_matrix=class_matrix
    )


def _expected(
    evidence: NDArray[np.float64],
    linear: NDArray[np.float64],
    features: NDArray[np.float64],
    present: NDArray[np.bool_],
    weight: NDArray[np.float64],
    *,
    n_clean: int,
    link: Link,
) -> Gate:
    """The gate until rows say otherwise: scales of the clean rows, and prior means."""
    n, S, G = features.shape
    M, clean = linear.shape[1], slice(n_clean)
    mean, sd = _moments(features[clean], present[clean] * weight[clean, None])
    bias, coef = np.full(S, LOG_TRUST), np.zeros((S, G))
    bias[M:] = LOG_JOINT_TRUST
    if n > n_clean:  # without corrupted rows, only the rows say what the unusual means
        coef[:, -N_SCORES:] = OOD_COEF[link.is_classification] / N_SCORES
    return Gate(
        bias,
        coef,
        mean,
        sd,
        limit=_limits(evidence[clean], present[clean]),
        linear_limit=_limits(linear[clean], present[clean, :M]),
        linear_scale=LINEAR_SCALE if np.any(linear) else 0.0,
        class_matrix=None,
    )


def _around(former: Gate, expected: Gate) -> Gate:
    """A former gate as the centre of the prior: what coefficients multiply stays."""
    return former._replace(
        limit=np.maximum(expected.limit, former.limit),
        linear_limit=np.maximum(expected.linear_limit, former.linear_limit),
    )


def _row_weights(
    weight: NDArray[np.float64], n_clean: int, link: Link
) -> NDArray[np.float64]:
    """Weights (n,) of which corrupted rows have the share that they count."""
    w = weight.astype(np.float64).copy()
    if len(w) > n_clean:
        share = CORRUPTED_WEIGHT[link.is_classification]
        w[n_clean:] *= share * w[:n_clean].sum() / w[n_clean:].sum()
    return w


class _Sums:
    """What sources say together (n, C), and the joint part (n, C) or None, of a gate.

    **Shape**: own (n, S, C) and added (n, M, C), cut to their limits; x (n, S, G),
    standardised gate features; present (n, S).
    """

    def __init__(
        self,
        own: NDArray[np.float64],
        added: NDArray[np.float64],
        x: NDArray[np.float64],
        present: NDArray[np.bool_],
    ) -> None:
        self.own, self.added, self.x, self.present = map(
            _tensor, (own, added, x, present)
        )

    def __call__(
        self, b: torch.Tensor, theta: torch.Tensor, k: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        S, M = self.own.shape[1], self.added.shape[1]
        log_a = (b + (self.x * theta).sum(dim=-1)).clamp(-12, 2)
        trust = torch.exp(log_a) * self.present
        parts = trust[..., None] * self.own
        added = trust[:, :M, None] * self.added
        total = parts.sum(dim=1) + k * added.sum(dim=1)
        return total, parts[:, M] if S > M else None


class _Distance:
    """Squared distance of b (S,), theta (S, G) and k (1,) from those of a prior."""

    def __init__(self, prior: Gate) -> None:
        self.bias, self.coef = _tensor(prior.bias), _tensor(prior.coef)
        self.scale = prior.linear_scale
        sd = np.full(prior.coef.shape[1], COEF_SD)
        sd[-N_SCORES:] = OOD_COEF_SD
        self.sd = _tensor(sd)

    def __call__(
        self, b: torch.Tensor, theta: torch.Tensor, k: torch.Tensor
    ) -> torch.Tensor:
        away = ((b - self.bias) / BIAS_SD).square().sum()
        away = away + ((theta - self.coef) / self.sd).square().sum()
        return away + ((k - self.scale) / LINEAR_SCALE_SD).square().sum()


def _tensor(array: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float64))


def _fit_class_matrix(
    total: torch.Tensor,
    y: NDArray[np.float64] | NDArray[np.int64],
    weight: torch.Tensor,
    log_prior: NDArray[np.float64],
    link: Link,
    start: NDArray[np.float64] | None,
) -> NDArray[np.float64] | None:
    """Fit the matrix B of the sums (n, C) of clean rows, by a prior around `start`.

    None where it is the identity; where rows are few, it stays what it was.
    """
    n, C = total.shape
    least = 3 if isinstance(link, Softmax) else 2  # B of fewer is a factor of trust
    if not link.is_classification or not least <= C <= math.sqrt(n / ROWS_PER_ENTRY):
        return start
    start = np.eye(C) if start is None else start
    same = torch.from_numpy(start)
    loss = held_out_loss(y, log_prior, start, weight.numpy(), link)

    def objective(matrix: torch.Tensor) -> torch.Tensor:
        away = ((matrix - same) / CLASS_SD).square().sum()
        each = loss(total @ matrix.T)
        return ((each * weight).sum() + 0.5 * away) / weight.sum()

    (matrix,) = minimise(objective, start)
    return link.centre(matrix.T).T  # so is what it gives


def _moments(
    features: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted mean and standard deviation of gate features, both (S, G)."""
    weight = weight[..., None] * ~np.isnan(features)
    share = weight / np.maximum(weight.sum(axis=0), 1e-12)
    features = np.nan_to_num(features)
    mean = (features * share).sum(axis=0)
    return mean, np.sqrt((((features - mean) ** 2) * share).sum(axis=0)) + 1e-3


def _limits(
    evidence: NDArray[np.float64], present: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The largest size of each source's evidence, (S,)."""
    size = np.abs(evidence).mean(axis=-1)
    largest = np.where(present, size, 0).max(axis=0)
    return np.where(present.any(axis=0), largest, 1.0)
