"""Builds and runs the skorch net: batches, loss, schedule, early stopping, seed."""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import skorch
import torch
from numpy.typing import NDArray
from scipy import sparse
from skorch.callbacks import (
    Callback,
    GradientNormClipping,
    LRScheduler,
)
from skorch.helper import predefined_split
from torch import Tensor, nn
from tqdm.auto import tqdm

from skfusion.automatic import MIN_STEPS
from skfusion.batch import Block, ModalityBatch
from skfusion.corruption import CorruptionPlan, Plans
from skfusion.network import FusionNetwork, NetworkOutput

__all__ = [
    "BatchDataset",
    "BatchIterator",
    "BestEpoch",
    "FusionLoss",
    "Recipe",
    "block_tensors",
    "corrupt_batch",
    "history_frame",
    "interrupted",
    "resolve_device",
    "to_device",
    "train",
]


class Recipe(NamedTuple):
    """Everything about training that the user can choose, resolved to numbers."""

    max_epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    n_iter_no_change: int | None
    corruption: Plans | None
    device: str
    callbacks: Sequence[Any]
    verbose: int
    balance: Callback | None = None


# ---------------------------------------------------------------- batches


def block_tensors(block: Block, rows: NDArray[np.intp]) -> dict[str, Tensor]:
    """Copy some rows of a block into torch tensors, sparse ones as COO."""
    return {key: _to_tensor(array[rows]) for key, array in block.arrays.items()}


def _to_tensor(array: Any) -> Tensor:
    if sparse.issparse(array):
        coo = array.tocoo()
        index = torch.from_numpy(np.stack([coo.row, coo.col]).astype(np.int64))
        value = torch.from_numpy(coo.data.copy())
        return torch.sparse_coo_tensor(
            index, value, coo.shape, is_coalesced=True, check_invariants=False
        )
    return torch.from_numpy(array)  # already a copy: rows are picked by index


def corrupt_batch(
    batch: ModalityBatch, encoders: Any, plan: CorruptionPlan
) -> ModalityBatch:
    """Carry out a plan on the rows of a batch, by torch's random state.

    `encoders` are those of the network, in order. Swapped content comes from another
    row of the batch. Noise that leaves an array's type (grain on pixels, hiss on
    log-mel codes) is rounded back to it.
    """
    n = len(batch)
    blocks = {}
    for m, (name, block) in enumerate(batch.blocks.items()):
        source = np.arange(n)
        swapped = plan.swap[:, m].nonzero().squeeze(1).numpy()
        step = torch.randint(1, max(n, 2), (len(swapped),)).numpy()
        source[swapped] = (swapped + step) % n
        block = block[source]
        present = block.present & ~plan.drop[:, m].numpy()
        rows = np.flatnonzero((plan.noise[:, m] > 0).numpy() & present)
        arrays = dict(block.arrays)
        if len(rows):
            device = next(encoders[m].parameters()).device
            inputs = to_device(block_tensors(block, rows), device)
            noisy = encoders[m].add_noise(inputs, plan.noise[rows, m].to(device))
            for key, array in arrays.items():
                if noisy[key] is not inputs[key]:
                    arrays[key] = _put_rows(array, rows, noisy[key].cpu())
        blocks[name] = Block(arrays, present, block.cells)
    return ModalityBatch(blocks, batch.modalities)


def _put_rows(array: Any, rows: NDArray[np.intp], values: Tensor) -> Any:
    """An array, dense or CSR, in which some rows have other values."""
    if sparse.issparse(array):
        coo = values.coalesce()
        index, data = coo.indices().numpy(), coo.values().numpy()
        new = sparse.csr_matrix((data, index), shape=(len(rows), array.shape[1]))
        place = np.arange(array.shape[0])
        place[rows] = array.shape[0] + np.arange(len(rows))
        return sparse.vstack([array, new], format="csr", dtype=array.dtype)[place]
    if array.dtype.kind in "iu":
        limits = np.iinfo(array.dtype)
        values = values.round().clamp(limits.min, limits.max)
    array = array.copy()
    array[rows] = values.numpy().astype(array.dtype)
    return array


class BatchDataset(torch.utils.data.Dataset):
    """Rows of a `ModalityBatch` with their targets and weights.

    It is read by whole batches (`rows`) and not row by row, which is what makes an
    epoch several times faster than with torch's `DataLoader`.
    """

    def __init__(
        self, batch: ModalityBatch, y: Tensor, weight: Tensor | None = None
    ) -> None:
        self.batch, self.y = batch, y
        self.weight = torch.ones(len(y)) if weight is None else weight
        self.present = torch.from_numpy(batch.present)

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, i: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """One row, collated: for torch's own loaders, which are not used here."""
        return self.rows(torch.tensor([i]), None)

    def rows(
        self, index: Tensor, corruption: Plans | None
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Assemble a batch, disturbed as the corruption says."""
        present = self.present[index]
        target = {"y": self.y[index], "weight": self.weight[index]}
        if corruption is None:
            rows = index.numpy()
            inputs = [block_tensors(b, rows) for b in self.batch.blocks.values()]
            return {"inputs": inputs, "present": present}, target
        plan = corruption.plan(present)
        inputs = []
        for m, block in enumerate(self.batch.blocks.values()):
            source = index.clone()
            swapped = plan.swap[:, m].nonzero().squeeze(1)
            source[swapped] = torch.randint(len(self), (len(swapped),))
            present[swapped, m] = self.present[source[swapped], m]
            inputs.append(block_tensors(block, source.numpy()))
        present &= ~plan.drop
        # What was swapped says nothing of this row's truth, so the modality's own head
        # is not taught by it.
        target["honest"] = ~plan.swap
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
    ) -> None:
        self.dataset, self.batch_size = dataset, batch_size
        self.shuffle, self.corruption = shuffle, corruption

    def __len__(self) -> int:
        return math.ceil(len(self.dataset) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[dict[str, Any], dict[str, Tensor]]]:
        n = len(self.dataset)
        order = torch.randperm(n) if self.shuffle else torch.arange(n)
        for index in order.split(self.batch_size):
            yield self.dataset.rows(index, self.corruption)


# ---------------------------------------------------------------- loss


class FusionLoss(nn.Module):
    """Loss of the fused output, of each modality alone, and of the joint part.

    In evaluation mode it is the fused loss only, which early stopping watches. After
    each call `parts` holds the fused loss and that of each modality.
    """

    def __init__(self, names: Sequence[str], *, is_classification: bool) -> None:
        super().__init__()
        self.names = tuple(names)
        self.is_classification = is_classification
        self.parts: dict[str, Tensor] = {}

    def forward(self, output: NetworkOutput, target: dict[str, Tensor]) -> Tensor:
        y, weight = target["y"], target["weight"]
        total = weight.sum().clamp_min(1e-12)
        if self.training:
            fused = self.elementwise(output.logits, y).mean(dim=1)  # (B,)
        else:
            fused = self.elementwise(output.logits.mean(dim=1), y)
        loss = (fused * weight).sum() / total

        alone, share = self.alone(output, target)
        alone = (alone * share).sum(dim=0) / share.sum(dim=0).clamp_min(1e-12)
        self.parts = {"fused": loss.detach()}
        self.parts.update(zip(self.names, alone.detach().unbind(), strict=True))
        if not self.training:
            return loss
        # A modality that is seldom there weighs as much as its rows do.
        loss = loss + (alone * share.sum(dim=0) / total).sum()
        if output.joint is not None:
            joint = self.elementwise(output.joint, y).mean(dim=1)
            loss = loss + (joint * weight).sum() / total
        return loss

    def alone(
        self, output: NetworkOutput, target: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Loss of what each modality says alone, and what it counts, both (B, M)."""
        alone = self.elementwise(output.unimodal, target["y"]).mean(dim=2)
        counts = output.present
        if "honest" in target:
            counts = counts & target["honest"]
        return alone, counts * target["weight"][:, None]

    def elementwise(self, logits: Tensor, y: Tensor) -> Tensor:
        """Loss of each output, (B, ..., C) -> (B, ...)."""
        if not self.is_classification:
            y = y.view(len(y), *[1] * (logits.dim() - 2), -1)
            return (logits - y).square().mean(dim=-1)
        index = y.view(-1, *[1] * (logits.dim() - 1)).expand(*logits.shape[:-1], 1)
        return -logits.log_softmax(dim=-1).gather(-1, index).squeeze(-1)


# ---------------------------------------------------------------- callbacks


class EpochLog(Callback):
    """Writes the mean fused and unimodal losses of each epoch into the history."""

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        self.sums_: dict[str, Tensor] = {}
        self.rows_ = {"train": 0, "valid": 0}

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        phase, size = ("train" if training else "valid"), len(batch[1]["y"])
        self.rows_[phase] += size
        for name, value in net.criterion_.parts.items():
            key = f"{phase}_loss_{name}"
            self.sums_[key] = self.sums_.get(key, 0.0) + value * size

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        for key, value in self.sums_.items():
            net.history.record(key, float(value) / self.rows_[key.split("_")[0]])


class BestEpoch(Callback):
    """Keeps the weights of the epoch with the lowest validation loss in memory.

    With a patience, training stops after so many epochs without improvement. The best
    weights come back when training ended before its last epoch, by itself or by Ctrl-C.
    Without a patience the last epoch, where the learning rate has reached 0, is kept:
    picking the epoch by a few validation rows measured worse (see the docs).
    """

    def __init__(self, patience: int | None) -> None:
        self.patience = patience

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.best_, self.waited_ = math.inf, 0
        self.weights_: dict[str, Tensor] | None = None

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        loss = net.history[-1]["valid_loss"]
        if loss < self.best_:
            self.best_, self.waited_ = loss, 0
            self.weights_ = copy.deepcopy(net.module_.state_dict())
            return
        self.waited_ += 1
        if self.patience is not None and self.waited_ >= self.patience:
            raise KeyboardInterrupt  # skorch's own way to end training early

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        whole = sum("valid_loss" in row for row in net.history) >= net.max_epochs
        if self.weights_ and not (whole and self.patience is None):
            net.module_.load_state_dict(self.weights_)


class Progress(Callback):
    """A bar with the epoch, losses and time left, in terminals and notebooks."""

    def __init__(self, label: str | None = None) -> None:
        self.label = label

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.bar_ = tqdm(
            desc=self.label,
            total=net.max_epochs,
            unit="epoch",
            file=sys.stderr,
            leave=True,
        )

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        row = net.history[-1]
        shown = {
            key: f"{row[name]:.3f}"
            for key, name in (("train", "train_loss_fused"), ("valid", "valid_loss"))
            if name in row
        }
        self.bar_.set_postfix(shown, refresh=False)
        self.bar_.update()

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        self.bar_.close()


#: Parts of the network that belong to one modality.
BRANCH = ("encoders", "poolings", "trunks", "heads")


class StopBranches(Callback):
    """Ends the learning of branches whose encoder asks for few passes."""

    def __init__(self, epochs: dict[int, int]) -> None:
        self.epochs = epochs

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        done = sum("train_loss_fused" in row for row in net.history)
        for m, epochs in self.epochs.items():
            self._let_learn(net.module_, m, done < epochs)

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        for m in self.epochs:
            self._let_learn(net.module_, m, True)

    def _let_learn(self, network: FusionNetwork, m: int, yes: bool) -> None:
        for part in BRANCH:
            getattr(network, part)[m].requires_grad_(yes)


class CosineWithWarmup:
    """Factor of the learning rate: up over 5 % of the steps, then a cosine to 0."""

    def __init__(self, n_steps: int, warmup: float = 0.05) -> None:
        self.n_steps, self.first = n_steps, max(1, round(warmup * n_steps))

    def __call__(self, step: int) -> float:
        if step < self.first:
            return (step + 1) / self.first
        progress = (step - self.first) / max(1, self.n_steps - self.first)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


# ---------------------------------------------------------------- training


def to_device(inputs: Any, device: torch.device) -> Any:
    """Move tensors, and the dicts and lists that hold them, to a device."""
    return skorch.utils.to_tensor(inputs, device)


def resolve_device(device: str) -> str:
    """Turn "auto" into "cuda" where there is one, else "cpu"."""
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def train(
    network: FusionNetwork,
    names: Sequence[str],
    dataset: BatchDataset,
    valid: BatchDataset | None,
    recipe: Recipe,
    *,
    is_classification: bool,
    label: str | None = None,
) -> skorch.NeuralNet:
    """Train a network in place and return the skorch net that holds it.

    With validation rows and `n_iter_no_change`, training stops when their fused loss
    has not improved for so many epochs, and the best epoch's weights are restored; an
    interrupt (Ctrl-C) always does the same. It draws on torch's global random state.
    """
    steps = math.ceil(len(dataset) / recipe.batch_size)  # of one epoch
    short = {
        m: min(recipe.max_epochs, max(passes, math.ceil(MIN_STEPS / steps)))
        for m, passes in enumerate(network.passes)
        if passes is not None
    }
    groups = {f"{part}.{m}.*": e for m, e in short.items() for part in BRANCH}
    branches = tuple(pattern.removesuffix("*") for pattern in groups)
    lasting = any(not n.startswith(branches) for n, _ in network.named_parameters())
    # Where every parameter belongs to a branch that ends, training ends with them.
    max_epochs = recipe.max_epochs if lasting else max(short.values())
    callbacks: list[Any] = [
        ("epoch_log", EpochLog()),
        ("balance", recipe.balance),
        ("clip", GradientNormClipping(1.0)),
        (
            "schedule",
            LRScheduler(
                torch.optim.lr_scheduler.LambdaLR,
                lr_lambda=[
                    CosineWithWarmup(epochs * steps)
                    for epochs in [*groups.values(), *[max_epochs] * lasting]
                ],
                step_every="batch",
            ),
        ),
        ("branches", StopBranches(short)),
    ]
    if valid is not None:
        callbacks.append(("best_epoch", BestEpoch(recipe.n_iter_no_change)))
    if recipe.verbose:
        callbacks.append(("progress", Progress(label)))
    callbacks.extend(recipe.callbacks)
    net = skorch.NeuralNet(
        network,
        criterion=FusionLoss(names, is_classification=is_classification),
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=recipe.weight_decay,
        optimizer__fused=True,
        optimizer__param_groups=[(pattern, {}) for pattern in groups],
        lr=recipe.lr,
        max_epochs=max_epochs,
        batch_size=recipe.batch_size,
        iterator_train=BatchIterator,
        iterator_train__shuffle=True,
        iterator_train__corruption=recipe.corruption,
        iterator_valid=BatchIterator,
        train_split=None if valid is None else predefined_split(valid),
        callbacks=callbacks,
        callbacks__print_log=None,
        device=recipe.device,
        verbose=0,
    )
    net.fit(dataset, None)
    _forget_training_data(net)
    return net


def interrupted(net: skorch.NeuralNet) -> bool:
    """Whether Ctrl-C ended the training, rather than its last epoch or its patience."""
    done = sum("train_loss_fused" in row for row in net.history)
    waits = [c for c in net.callbacks_ if isinstance(c[1], BestEpoch)]
    patient = any(c.patience and c.waited_ >= c.patience for _, c in waits)
    return done < net.max_epochs and not patient


def _forget_training_data(net: skorch.NeuralNet) -> None:
    """Drop what a fitted estimator must not carry: rows, optimiser state, weights."""
    net.train_split = None
    net.optimizer_.state.clear()
    for _, callback in net.callbacks_:
        if isinstance(callback, BestEpoch):
            callback.weights_ = None
    net.module_.eval()


def history_frame(net: skorch.NeuralNet) -> pd.DataFrame:
    """One row an epoch: losses of the fused output and of each modality, seconds."""
    skip = {"batches", "train_batch_count", "valid_batch_count"}
    rows = [
        {key: value for key, value in row.items() if key not in skip}
        for row in net.history
        if "train_loss_fused" in row  # not where Ctrl-C cut an epoch short
    ]
    frame = pd.DataFrame(rows, columns=None if rows else ["epoch"])
    return frame.rename(columns={"dur": "seconds"}).set_index("epoch")
