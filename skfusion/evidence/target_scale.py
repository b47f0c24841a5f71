"""The scale on which a regression is learned, and the way back to the units of y.

A target whose values lie close together is standardised. One with heavy tails, where a
few values are far larger than all others, may be *transformed*: it is learned as

    z = (arcsinh((t - location) / width) - centre) / spread

of the standardised target t, which is about linear near the median and logarithmic far
from it. Held-out rows choose, by their squared error in the units of y, between what
fast models say on either scale. The same rows tell how far z is missed: for residuals r
of u = centre + spread z, the mean of the target where u is expected is

    t(u) = location + width (cosh_r sinh(u) + sinh_r cosh(u))

with cosh_r and sinh_r the means of cosh(r) and sinh(r): a smearing estimate in closed
form. Without it, the prediction would be about the median.

The sum of evidence is exact in z. In the units of y, each row's contributions are
multiplied by the slope of the line from the value at z = 0 to that at the row's z, so
they sum to the prediction there as well (the rescale rule).

**Shape**: arrays of a scale (C,); y, t, z (n, C).

References
----------
Duan (1983), "Smearing estimate: a nonparametric retransformation method". Burbidge,
Magee, Robb (1988), "Alternative transformations to handle extreme values of the
dependent variable". Shrikumar, Greenside, Kundaje (2017), "Learning important features
through propagating activation differences", section 3.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skfusion.batch import ModalityBatch
from skfusion.evidence.base_models import Task
from skfusion.evidence.crossfit import CrossFitter, Rows
from skfusion.evidence.fit import fit_evidence
from skfusion.training.links import Identity
from skfusion.training.splits import Split, held_out_rows

__all__ = ["OnScale", "TargetScale", "choose_scale"]

#: Largest distance from the median, in typical distances, of a target without heavy
#: tails: of 100,000 normal values it is 4.5, of as many exponential ones 16.
HEAVY = 10.0
#: Residuals beyond so many of their typical sizes count as if they were that large: one
#: wrong value would otherwise decide on the mean of all.
RESIDUAL_LIMIT = 4.0
#: Standard errors by which the original scale must be better, to be chosen.
MARGIN = 1.0
#: A median of absolute deviations times this is the sd, of normal values.
MAD = 1.4826


class TargetScale(NamedTuple):
    """How a target is learned.

    mean, sd : of y
    transformed : ndarray of bool
    location, width : of t, robustly
    centre, spread : mean and standard deviation of u
    low, high : range of u
    cosh_r, sinh_r : means of cosh(r) and sinh(r)
    """

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    transformed: NDArray[np.bool_]
    location: NDArray[np.float64]
    width: NDArray[np.float64]
    centre: NDArray[np.float64]
    spread: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    cosh_r: NDArray[np.float64]
    sinh_r: NDArray[np.float64]

    @classmethod
    def fit(
        cls,
        y: NDArray[np.float64],
        w: NDArray[np.float64],
        mean: NDArray[np.float64],
        sd: NDArray[np.float64],
        transformed: NDArray[np.bool_] | None = None,
    ) -> TargetScale:
        """The scale of targets (n, C): transformed if tails are heavy, or as given."""
        t = (y - mean) / sd
        location = _median(t, w)
        away = np.abs(t - location)
        width = MAD * _median(away, w, where=away > 0)
        if transformed is None or transformed.shape != mean.shape:
            transformed = away.max(axis=0) > HEAVY * width
        u = np.arcsinh((t - location) / width)
        centre = np.average(u, axis=0, weights=w)
        spread = np.sqrt(np.average((u - centre) ** 2, axis=0, weights=w))
        spread = np.where(spread > 0, spread, 1.0)
        one, no = np.ones_like(mean), np.zeros_like(mean)
        low, high = u.min(axis=0), u.max(axis=0)
        return cls(
            mean, sd, transformed, location, width, centre, spread, low, high, one, no
        )

    def learned(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        """What is learned of targets (n, C): z, or t where they are not transformed."""
        t = (y - self.mean) / self.sd
        u = np.arcsinh((t - self.location) / self.width)
        return np.where(self.transformed, (u - self.centre) / self.spread, t)

    def standardised(self, learned: NDArray[np.float64]) -> NDArray[np.float64]:
        """The standardised target t of what is learned of it."""
        u = np.where(self.transformed, self.centre + self.spread * learned, 0.0)
        return np.where(
            self.transformed, self.location + self.width * np.sinh(u), learned
        )

    def value(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """The expected target, in the units of y, where z is predicted."""
        return self.expected(z) * self.sd + self.mean

    def expected(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """The expected t where z is predicted."""
        u = np.clip(self.centre + self.spread * z, self.low, self.high)
        t = self.cosh_r * np.sinh(u) + self.sinh_r * np.cosh(u)
        return np.where(self.transformed, self.location + self.width * t, z)

    @property
    def base(self) -> NDArray[np.float64]:
        """Where nothing is known of a row."""
        return self.value(np.zeros_like(self.mean))

    def slope(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Units of y for each of z, from the base to where z is predicted."""
        z = np.where(np.abs(z) < 1e-6, 1e-6, z)
        return np.where(self.transformed, (self.value(z) - self.base) / z, self.sd)

    def calibrated(
        self,
        predicted: NDArray[np.float64],
        z: NDArray[np.float64],
        w: NDArray[np.float64],
    ) -> TargetScale:
        """With the residuals z - predicted of held-out rows."""
        r = self.spread * (z - predicted)
        middle = _median(r, w)
        far = np.abs(r - middle)
        limit = RESIDUAL_LIMIT * MAD * _median(far, w, where=far > 0)
        r = np.clip(r, middle - limit, middle + limit)
        return self._replace(
            cosh_r=np.average(np.cosh(r), axis=0, weights=w),
            sinh_r=np.average(np.sinh(r), axis=0, weights=w),
        )


class OnScale(Identity):
    """Numbers on a scale of their own, scored as standardised ones."""

    def __init__(self, scale: TargetScale) -> None:
        self.scale = scale

    def scores(
        self, logits: NDArray[np.float64], y: NDArray[Any], w: NDArray[np.float64]
    ) -> dict[str, float]:
        t = self.scale.standardised(y.astype(np.float64))
        return super().scores(self.scale.expected(logits), t, w)


def _median(
    x: NDArray[np.float64], w: NDArray[np.float64], where: Any = True
) -> NDArray[np.float64]:
    """Weighted medians of columns (n, C), of some of their values; 1 of none."""
    w = w[:, None] * np.broadcast_to(where, x.shape)
    return np.array(
        [
            np.quantile(c, 0.5, weights=v, method="inverted_cdf") if v.any() else 1.0
            for c, v in zip(x.T, w.T, strict=True)
        ]
    )


def choose_scale(
    scale: TargetScale,
    batch: ModalityBatch,
    z: NDArray[np.float64],
    w: NDArray[np.float64],
    splits: Sequence[Split],
    seed: int,
    *,
    compare: bool,
) -> TargetScale:
    """Transform a target with heavy tails or not, as held-out rows say; calibrate.

    Parameters
    ----------
    scale : TargetScale
        Where nothing is transformed there is nothing to choose.
    z : ndarray (n, C), targets on that scale
    compare : bool
        Whether transformed targets may be left as they are.
    """
    at = held_out_rows(splits)
    if not scale.transformed.any() or not len(at):
        return scale._replace(transformed=np.zeros_like(scale.transformed))
    task = Task(Identity(), z.shape[1], np.zeros(z.shape[1]), seed)
    rows, t = Rows.of(batch), scale.standardised(z)
    predicted = _held_out(task, rows, z, w, splits)
    found = scale.calibrated(predicted, z[at], w[at])
    if not compare:
        return found
    plain = _held_out(task, rows, t, w, splits)
    worse = (found.expected(predicted) - t[at]) ** 2 - (plain - t[at]) ** 2
    return found._replace(transformed=scale.transformed & ~_clearly(worse, w[at]))


def _clearly(worse: NDArray[np.float64], w: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether differences (n, C) are above 0 by more than chance."""
    share = w / w.sum()
    error = np.sqrt((share[:, None] ** 2 * worse**2).sum(axis=0))
    return np.asarray(share @ worse > MARGIN * error)


def _held_out(
    task: Task,
    rows: Rows,
    y: NDArray[np.float64],
    w: NDArray[np.float64],
    splits: Sequence[Split],
) -> NDArray[np.float64]:
    """What base models, mixed and gated, say of the rows held out from them."""
    n, M = rows.present.shape
    fitter = CrossFitter(task, [rows], y, w, splits, has_joint=M > 1)
    base, held, additive = fitter.fit()
    silent = np.full((n, M + (M > 1), 1, task.n_outputs), np.nan)  # no network
    evidence = np.concatenate([silent, held[0]], axis=2)
    model = fit_evidence([], base, [evidence], additive, [rows], splits, y, w)
    at = held_out_rows(splits)
    some = rows.take(at)
    return model._outputs(some, evidence[at], additive[0][at], "separate").logits
