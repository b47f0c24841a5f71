"""Out-of-distribution scores: how unlike the training rows the content of a row is.

A density model keeps no training row: the mean, the spread and a few principal
components of the features of each modality.

References
----------
Lee, Lee, Lee, Shin (2018), "A simple unified framework for detecting
out-of-distribution samples and adversarial attacks" (Mahalanobis distance).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.decomposition import PCA, TruncatedSVD

from skfusion.batch import ModalityBatch

__all__ = ["N_SCORES", "Density", "fit_densities", "ood_scores", "update_densities"]

#: Scores of each modality: distance within the components, what they do not explain,
#: and the modality's own.
N_SCORES = 3
#: Principal components, and rows they are learned from.
N_COMPONENTS, MAX_ROWS = 32, 3000


class Density(NamedTuple):
    """A Gaussian of the features of one modality, of low rank.

    **Shape**: center and scale (F,), None where the features are sparse; components
    (k, F); variance (k,); residual (), mean square of what they leave.
    """

    center: NDArray[np.float32] | None
    scale: NDArray[np.float32] | None
    components: NDArray[np.float32]
    variance: NDArray[np.float64]
    residual: float

    @classmethod
    def fit(
        cls, x: Any, seed: int, components: NDArray[np.float32] | None = None
    ) -> Density:
        """Learn from the features (n, F) of training rows.

        Of sparse features, `components` that are there already can be used.
        """
        n, F = x.shape
        k = max(1, min(N_COMPONENTS, F // 2, n // 5))
        if sparse.issparse(x):
            k = min(k, F - 1)
            if k < 1:
                return cls(None, None, np.zeros((0, F), np.float32), np.zeros(0), 1.0)
            if components is None:
                svd = TruncatedSVD(k, random_state=seed, n_iter=3).fit(x)
                components = svd.components_.astype(np.float32)
            z = x.astype(np.float64) @ components.T
            left = np.asarray(x.multiply(x).sum(axis=1)).ravel() - (z**2).sum(axis=1)
            center = scale = None
        else:
            center = x.mean(axis=0)
            sd = x.std(axis=0, dtype=np.float64)
            # Columns that hardly vary would count for everything.
            scale = np.maximum(sd, 0.3 * np.sqrt(np.mean(sd**2)) + 1e-6)
            center, scale = center.astype(np.float32), scale.astype(np.float32)
            x = (x - center) / scale
            solver = "randomized" if 3 * k < F else "full"
            with np.errstate(invalid="ignore"):  # the shares of no variance at all
                pca = PCA(k, random_state=seed, svd_solver=solver).fit(x)
            components = pca.components_.astype(np.float32)
            z = x @ components.T
            left = (x**2).sum(axis=1) - (z**2).sum(axis=1)
        variance = (z**2).mean(axis=0, dtype=np.float64)
        variance = np.maximum(variance, 1e-3 * variance.max(initial=1e-9))
        residual = max(float(np.mean(left)), 1e-6)
        return cls(center, scale, components, variance, residual)

    def scores(self, x: Any) -> NDArray[np.float64]:
        """Log of the mean squared distance within the components, and of the rest.

        Returns
        -------
        scores : ndarray (n, 2)
        """
        squares, left = self._split(x)
        within = np.zeros(len(squares))
        if squares.shape[1]:
            within = (squares / self.variance).mean(axis=1)
        return np.log(np.stack([within, left / self.residual], axis=1) + 1e-2)

    def updated(self, x: Any, share: float) -> Density:
        """With the spread of further rows (n, F), a share of all so far."""
        squares, left = self._split(x)
        return self._replace(
            variance=(1 - share) * self.variance + share * squares.mean(axis=0),
            residual=float((1 - share) * self.residual + share * left.mean()),
        )

    def _split(self, x: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Squares along each component (n, k), and of what they leave (n,)."""
        if self.center is not None:
            x = (x - self.center) / self.scale
            size = (x.astype(np.float64) ** 2).sum(axis=1)
        else:
            x = x.astype(np.float64, copy=False)
            size = np.asarray(x.multiply(x).sum(axis=1)).ravel()
        squares = np.asarray(x @ self.components.T, dtype=np.float64) ** 2
        return squares, np.maximum(size - squares.sum(axis=1), 0)


def fit_densities(
    features: Sequence[Any],
    present: NDArray[np.bool_],
    seed: int,
    components: Sequence[NDArray[np.float32] | None] | None = None,
) -> list[Density | None]:
    """One density a modality, None where it has fewer than five rows."""
    densities: list[Density | None] = []
    components = components or [None] * len(features)
    for m, x in enumerate(features):
        rows = np.flatnonzero(present[:, m])
        rows = rows[:: max(1, -(-len(rows) // MAX_ROWS))]
        found = None
        if len(rows) >= 5:
            found = Density.fit(x[rows], seed, components[m])
        densities.append(found)
    return densities


def update_densities(
    densities: Sequence[Density | None],
    features: Sequence[Any],
    present: NDArray[np.bool_],
    seed: int,
    share: float,
) -> list[Density | None]:
    """With the spread of further rows, which are a share of all; components stay."""
    found = list(densities)
    for m, (density, x) in enumerate(zip(densities, features, strict=True)):
        here = np.flatnonzero(present[:, m])
        if density is None:
            found[m] = fit_densities([x], present[:, [m]], seed)[0]
        elif len(here):
            found[m] = density.updated(x[here], share)
    return found


def ood_scores(
    densities: Sequence[Density | None], batch: ModalityBatch, features: Sequence[Any]
) -> NDArray[np.float64]:
    """Scores (n, M, N_SCORES) of the rows of a batch; 0 where a modality is absent."""
    present = batch.present
    out = np.zeros((*present.shape, N_SCORES))
    for m, (name, block) in enumerate(batch.blocks.items()):
        here = np.flatnonzero(present[:, m])
        density = densities[m]
        if density is not None and len(here):
            x = features[m] if len(here) == len(present) else features[m][here]
            out[here, m, :2] = density.scores(x)
        own = batch.modalities[name].ood_score(block)
        if own is not None:
            out[here, m, 2] = own[here]
    return out
