"""Noise, swapped rows and dropped modalities: how trust is taught and tested.

A plan says what happens to each modality of each row. Training carries it out on the
rows of a step, `corrupt_batch` on whole batches; both swap by `swap_sources` and add
noise by `Encoder.add_noise`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from numbers import Real
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator
from torch import Tensor

from skfusion._sklearn import Interval
from skfusion.batch import Block, ModalityBatch, block_tensors, row_chunks
from skfusion.network import set_generator

__all__ = [
    "Corruption",
    "CorruptionPlan",
    "Drop",
    "Noise",
    "Plans",
    "Swap",
    "corrupt_batch",
    "swap_sources",
]


class CorruptionPlan(NamedTuple):
    """What happens to each modality of each row of a batch.

    **Shape**: noise (B, M), standard deviation of the noise, 0 for none; swap (B, M),
    True where the content comes from another row; drop (B, M), True where the modality
    is hidden.
    """

    noise: Tensor
    swap: Tensor
    drop: Tensor


class Plans(Protocol):
    """What `corrupt` takes: a spec that decides, row by row, what happens."""

    def plan(
        self,
        present: Tensor,
        names: Sequence[str] = (),
        generator: torch.Generator | None = None,
    ) -> CorruptionPlan:
        """Draw what happens to the rows of a batch."""


class Corruption(BaseEstimator):
    """How often, and how badly, modalities are corrupted while the network trains.

    Each present modality of each row is, independently, corrupted with probability
    `p_corrupt`: in half of these cases by noise of a standard deviation drawn from
    U(0, `max_sd`) in standardised units, in the other half by another row's content. It
    is hidden with probability `p_drop`, but never all modalities of a row.

    Parameters
    ----------
    p_corrupt : float, default=0.15
        Probability of noise or of another row's content.
    p_drop : float, default=0.1
        Probability of absence.
    max_sd : float, default=4.0
        Largest standard deviation of the noise, in standardised units.

    Examples
    --------
    >>> from skfusion.corruption import Corruption
    >>> Corruption(p_drop=0.3)
    Corruption(p_drop=0.3)
    """

    _parameter_constraints = {
        "p_corrupt": [Interval(Real, 0, 1, closed="both")],
        "p_drop": [Interval(Real, 0, 1, closed="left")],
        "max_sd": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self, *, p_corrupt: float = 0.15, p_drop: float = 0.1, max_sd: float = 4.0
    ) -> None:
        self.p_corrupt = p_corrupt
        self.p_drop = p_drop
        self.max_sd = max_sd

    def plan(
        self,
        present: Tensor,
        names: Sequence[str] = (),
        generator: torch.Generator | None = None,
    ) -> CorruptionPlan:
        """Draw what happens to the rows of a batch.

        Parameters
        ----------
        present : Tensor (B, M), bool
            True = present; only what is present is corrupted.
        names : sequence of M str
            The modalities' names, which this spec does not need.
        generator : torch.Generator, optional
        """
        u = torch.rand(4, *present.shape, generator=generator)
        hit = (u[0] < self.p_corrupt) & present
        swap = hit & (u[1] < 0.5)
        noise = u[2] * self.max_sd * (hit & ~swap)
        drop = (u[3] < self.p_drop) & present
        emptied = (drop == present).all(dim=1, keepdim=True)
        return CorruptionPlan(noise, swap, drop & ~emptied)


class _OnOne(BaseEstimator, ABC):
    """Base of what befalls one modality of each row: a named one, or any at random."""

    modality: str | None
    _parameter_constraints: dict[str, list[Any]] = {"modality": [str, None]}

    def plan(
        self,
        present: Tensor,
        names: Sequence[str] = (),
        generator: torch.Generator | None = None,
    ) -> CorruptionPlan:
        """Draw what happens to the rows of a batch; see `Corruption.plan`."""
        chosen = self._chosen(present, names, generator)
        return self._on(chosen, torch.zeros_like(present))

    @abstractmethod
    def _on(self, chosen: Tensor, nothing: Tensor) -> CorruptionPlan:
        """What happens to the modalities that are chosen; both masks (B, M)."""

    def _chosen(
        self, present: Tensor, names: Sequence[str], generator: torch.Generator | None
    ) -> Tensor:
        """Which modality of each row is meant, (B, M); only present ones are."""
        if self.modality is not None:
            if self.modality not in names:
                raise ValueError(
                    f"The 'modality' parameter of {type(self).__name__} must be None "
                    f"or one of {tuple(names)}. Got {self.modality!r} instead."
                )
            chosen = torch.zeros_like(present)
            chosen[:, list(names).index(self.modality)] = True
            return chosen & present
        score = torch.rand(present.shape, generator=generator).masked_fill(
            ~present, -1.0
        )
        first = score.argmax(dim=1, keepdim=True)
        return torch.zeros_like(present).scatter_(1, first, True) & present


class Noise(_OnOne):
    """Noise on one modality of each row.

    Parameters
    ----------
    sd : float, default=1.0
        Standard deviation, in standardised units; see `Encoder.add_noise` of each
        modality for what it means there.
    modality : str or None, default=None
        Which modality; None draws a present one for each row.

    Examples
    --------
    >>> from skfusion.corruption import Noise
    >>> Noise(3.0)
    Noise(sd=3.0)
    """

    _parameter_constraints = {
        **_OnOne._parameter_constraints,
        "sd": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, sd: float = 1.0, *, modality: str | None = None) -> None:
        self.sd = sd
        self.modality = modality

    def _on(self, chosen: Tensor, nothing: Tensor) -> CorruptionPlan:
        return CorruptionPlan(chosen * float(self.sd), nothing, nothing.clone())


class Swap(_OnOne):
    """Another row's content in one modality of each row.

    Parameters
    ----------
    modality : str or None, default=None
        Which modality; None draws a present one for each row.

    Examples
    --------
    >>> from skfusion.corruption import Swap
    >>> Swap(modality="photo")
    Swap(modality='photo')
    """

    def __init__(self, *, modality: str | None = None) -> None:
        self.modality = modality

    def _on(self, chosen: Tensor, nothing: Tensor) -> CorruptionPlan:
        return CorruptionPlan(nothing.float(), chosen, nothing)


class Drop(_OnOne):
    """Absence of one modality of each row, also where it is the last.

    Parameters
    ----------
    modality : str or None, default=None
        Which modality; None draws a present one for each row.

    Examples
    --------
    >>> from skfusion.corruption import Drop
    >>> Drop(modality="photo")
    Drop(modality='photo')
    """

    def __init__(self, *, modality: str | None = None) -> None:
        self.modality = modality

    def _on(self, chosen: Tensor, nothing: Tensor) -> CorruptionPlan:
        return CorruptionPlan(nothing.float(), nothing, chosen)


def swap_sources(
    swap: Tensor, index: Tensor, n: int, generator: torch.Generator | None
) -> Tensor:
    """The row that each modality's content comes from, (B, M).

    Its own, or where `swap` (B, M) is True another of the n rows; `index` (B,) tells
    which of them the rows of the batch are.
    """
    own = index[:, None].expand(swap.shape)
    step = torch.randint(1, max(n, 2), tuple(swap.shape), generator=generator)
    return torch.where(swap, (own + step) % n, own)


def corrupt_batch(
    batch: ModalityBatch,
    encoders: Any,
    plan: CorruptionPlan,
    generator: torch.Generator | None = None,
) -> ModalityBatch:
    """Carry out a plan on the rows of a batch.

    `encoders` are those of the network, in order. Swapped content comes from another
    row of the batch. Noise that leaves an array's type (grain on pixels, hiss on
    log-mel codes) is rounded back to it.
    """
    n = len(batch)
    source = swap_sources(plan.swap, torch.arange(n), n, generator).numpy()
    blocks = {}
    for m, (name, block) in enumerate(batch.blocks.items()):
        block = block[source[:, m]]
        present = block.present & ~plan.drop[:, m].numpy()
        rows = np.flatnonzero((plan.noise[:, m] > 0).numpy() & present)
        arrays = dict(block.arrays)
        for some in row_chunks([block], rows, len(rows)):
            noisy = _noisy(encoders[m], block, some, plan.noise[some, m], generator)
            arrays |= {k: _put_rows(arrays[k], some, x) for k, x in noisy.items()}
        blocks[name] = Block(arrays, present, block.cells)
    return ModalityBatch(blocks, batch.modalities)


def _noisy(
    encoder: Any,
    block: Block,
    rows: Any,
    sd: Tensor,
    generator: torch.Generator | None,
) -> dict[str, Tensor]:
    """The arrays that noise changes, of some rows."""
    device = next(encoder.parameters()).device
    inputs = {k: x.to(device) for k, x in block_tensors(block, rows).items()}
    set_generator(encoder, generator)
    noisy = encoder.add_noise(inputs, sd.to(device))
    set_generator(encoder, None)
    return {k: x.cpu() for k, x in noisy.items() if x is not inputs[k]}


def _put_rows(array: Any, rows: Any, values: Tensor) -> Any:
    """An array, dense or CSR, in which some rows have other values."""
    if sparse.issparse(array):
        coo = values.coalesce()
        index, data = coo.indices().numpy(), coo.values().numpy()
        new = sparse.csr_matrix((data, index), shape=(len(rows), array.shape[1]))
        place = np.arange(array.shape[0])
        place[rows] = array.shape[0] + np.arange(len(rows))
        return sparse.vstack([array, new], format="csr", dtype=array.dtype)[place]
    array = array.copy()
    if array.dtype != object:
        array[rows] = _as_type(values, array.dtype)
        return array
    for i, row in enumerate(rows):
        for k in np.ndindex(array.shape[1:]):
            own = array[row][k]
            array[(row, *k)] = _as_type(values[i][k][: len(own)], own.dtype)
    return array


def _as_type(values: Tensor, dtype: Any) -> Any:
    """Values as an array of a type, rounded to it where that is one of integers."""
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        values = values.round().clamp(limits.min, limits.max)
    return values.numpy().astype(dtype)
