"""Batches of rows by index, corrupted as a plan says."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from skfusion.batch import ModalityBatch, block_tensors
from skfusion.corruption import Plans, swap_sources

__all__ = ["BatchDataset", "BatchIterator"]


class BatchDataset(torch.utils.data.Dataset):
    """Rows of a `ModalityBatch` with their targets and weights.

    It is read by whole batches (`rows`) and not row by row, which is what makes an
    epoch several times faster than with torch's `DataLoader`.
    """

    def __init__(self, batch: ModalityBatch, y: Tensor, weight: Tensor) -> None:
        self.batch, self.y, self.weight = batch, y, weight
        self.present = torch.from_numpy(batch.present)

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, i: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """One row, collated: for torch's own loaders, which are not used here."""
        return self.rows(torch.tensor([i]), None, None)

    def rows(
        self,
        index: Tensor,
        corruption: Plans | None,
        generator: torch.Generator | None,
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Assemble a batch, corrupted as the plan says."""
        present = self.present[index]
        target = {"y": self.y[index], "weight": self.weight[index]}
        blocks = list(self.batch.blocks.values())
        if corruption is None:
            rows = index.numpy()
            inputs = [block_tensors(block, rows) for block in blocks]
            return {"inputs": inputs, "present": present}, target
        plan = corruption.plan(present, self.batch.names, generator)
        source = swap_sources(plan.swap, index, len(self), generator)
        present = torch.stack(
            [self.present[source[:, m], m] for m in range(len(blocks))], dim=1
        )
        inputs = [
            block_tensors(block, source[:, m].numpy()) for m, block in enumerate(blocks)
        ]
        present &= ~plan.drop
        # What was swapped says nothing of this row's truth, so the modality's own head
        # is not taught by it.
        target["label_valid"] = ~plan.swap
        return {"inputs": inputs, "present": present, "noise": plan.noise}, target


class BatchIterator:
    """Whole batches by index, for skorch's `iterator_train` and `iterator_valid`."""

    def __init__(
        self,
        dataset: BatchDataset,
        batch_size: int,
        *,
        shuffle: bool = False,
        corruption: Plans | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        self.dataset, self.batch_size = dataset, batch_size
        self.shuffle, self.corruption = shuffle, corruption
        self.generator = generator

    def __len__(self) -> int:
        return math.ceil(len(self.dataset) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[dict[str, Any], dict[str, Tensor]]]:
        n = len(self.dataset)
        order = (
            torch.randperm(n, generator=self.generator)
            if self.shuffle
            else torch.arange(n)
        )
        for index in order.split(self.batch_size):
            yield self.dataset.rows(index, self.corruption, self.generator)
