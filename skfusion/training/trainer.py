"""Builds and runs the skorch net: loss, optimiser, schedule, early stopping."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
import skorch
import torch
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    GradientNormClipping,
    LRScheduler,
)
from skorch.helper import predefined_split

from skfusion._defaults import MIN_BRANCH_STEPS, automatic_epochs
from skfusion.corruption import Plans
from skfusion.network import FusionNetwork, set_generator
from skfusion.training.callbacks import (
    BRANCH,
    EpochLog,
    Progress,
    StopBranches,
    diverged,
)
from skfusion.training.data import BatchDataset, BatchIterator
from skfusion.training.links import Link
from skfusion.training.loss import FusionLoss
from skfusion.training.tasks import EpochTasks

__all__ = [
    "Recipe",
    "history_frame",
    "interrupted",
    "resolve_device",
    "train",
]


class Recipe(NamedTuple):
    """Everything about training that the user can choose, resolved to numbers."""

    max_epochs: int | None  # None: as the encoders and the number of rows ask for
    batch_size: int
    lr: float
    weight_decay: float
    n_iter_no_change: int
    corruption: Plans | None
    device: str
    callbacks: Sequence[Any]
    verbose: int
    balance: Callback | None = None
    checkpoint: str | os.PathLike[str] | None = None  # a folder


class Net(skorch.NeuralNet):
    """A net that remembers whether its training was interrupted, in any epoch.

    skorch ends the training then as if it were complete. Of the epochs, those that a
    checkpoint brought along are done.
    """

    def fit_loop(self, *args: Any, **kwargs: Any) -> Any:
        self.interrupted_ = False
        remaining = self.max_epochs - len(self.history)
        try:
            return super().fit_loop(*args, epochs=remaining, **kwargs)
        except KeyboardInterrupt:
            self.interrupted_ = True
            raise


class CosineWithWarmup:
    """Factor of the learning rate: up over 5 % of the steps, then a cosine to 0."""

    def __init__(self, n_steps: int) -> None:
        self.n_steps, self.first = n_steps, max(1, round(0.05 * n_steps))

    def __call__(self, step: int) -> float:
        if step < self.first:
            return (step + 1) / self.first
        progress = (step - self.first) / max(1, self.n_steps - self.first)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


# ---------------------------------------------------------------- training


def resolve_device(device: str) -> str:
    """Turn "auto" into "cuda" where there is one, else "cpu"; check any other."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device={device!r} cannot be used here ({str(error)[:100]}). Use "
            'device="auto" or "cpu", or install a torch that supports it.'
        ) from error
    return device


def train(
    network: FusionNetwork,
    dataset: BatchDataset,
    valid: BatchDataset | None,
    recipe: Recipe,
    generator: torch.Generator,
    device_generator: torch.Generator,
    *,
    link: Link,
    min_steps: int = 0,
    label: str | None = None,
    checkpoint: Callback | None = None,
    epochs: EpochTasks | None = None,
) -> skorch.NeuralNet:
    """Train a network in place and return the skorch net that holds it.

    With validation rows, training stops when their fused loss has not improved for
    `n_iter_no_change` epochs, and the best epoch's weights are restored. Random numbers
    come from `generator`, those drawn on the device from `device_generator`.
    `min_steps` is what the fusion rule needs. A `checkpoint` is the last of the
    callbacks; `epochs` tells others of each epoch.
    """
    schedule, short, max_epochs = _schedule(network, len(dataset), recipe, min_steps)
    callbacks = _callbacks(recipe, schedule, short, epochs, stops=valid is not None)
    if recipe.verbose:
        callbacks.append(("progress", Progress(label)))
    callbacks.extend(recipe.callbacks)
    if checkpoint is not None:
        callbacks.append(("checkpoint", checkpoint))
    net = Net(
        network,
        criterion=FusionLoss(dataset.batch.names, network.prior.clone(), link=link),
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=recipe.weight_decay,
        optimizer__fused=True,
        optimizer__param_groups=[(pattern, {}) for pattern in _groups(short)],
        lr=recipe.lr,
        max_epochs=max_epochs,
        batch_size=recipe.batch_size,
        iterator_train=BatchIterator,
        iterator_train__shuffle=True,
        iterator_train__corruption=recipe.corruption,
        iterator_train__generator=generator,
        iterator_valid=BatchIterator,
        train_split=None if valid is None else predefined_split(valid),
        callbacks=callbacks,
        callbacks__print_log=None,
        device=recipe.device,
        verbose=0,
    )
    set_generator(network, device_generator)
    net.fit(dataset, None)
    set_generator(network, None)
    if not all(p.isfinite().all() for p in network.parameters()):
        raise diverged(net)
    _forget_training_data(net)
    return net


def _callbacks(
    recipe: Recipe,
    schedule: LRScheduler,
    short: dict[int, int],
    epochs: EpochTasks | None,
    *,
    stops: bool,
) -> list[Any]:
    """What every training calls; with `stops`, held-out rows may end it."""
    callbacks: list[Any] = [
        ("epoch_log", EpochLog()),
        ("tasks", epochs),
        ("balance", recipe.balance),
        ("clip", GradientNormClipping(1.0)),
        ("schedule", schedule),
        ("branches", StopBranches(short)),
    ]
    if stops:
        stop = EarlyStopping(
            patience=recipe.n_iter_no_change,
            threshold=0,
            load_best=True,
            sink=lambda *_: None,
        )
        callbacks.append(("early_stopping", stop))
    return callbacks


def _schedule(
    network: FusionNetwork, n: int, recipe: Recipe, min_steps: int
) -> tuple[LRScheduler, dict[int, int], int]:
    """The schedule on n rows, the epochs of branches that end early, and of all."""
    most = recipe.max_epochs or automatic_epochs(
        n, recipe.batch_size, wanted=network.max_epochs, min_steps=min_steps
    )
    steps = math.ceil(n / recipe.batch_size)  # of one epoch
    short = {
        m: min(most, max(epochs, math.ceil(MIN_BRANCH_STEPS / steps)))
        for m, epochs in enumerate(network.max_epochs)
        if epochs is not None
    }
    groups = _groups(short)
    branches = tuple(pattern.removesuffix("*") for pattern in groups)
    lasting = any(not n.startswith(branches) for n, _ in network.named_parameters())
    # Where every parameter belongs to a branch that ends, training ends with them.
    max_epochs = most if lasting else max(short.values())
    schedule = LRScheduler(
        torch.optim.lr_scheduler.LambdaLR,
        lr_lambda=[
            CosineWithWarmup(epochs * steps)
            for epochs in [*groups.values(), *[max_epochs] * lasting]
        ],
        step_every="batch",
    )
    return schedule, short, max_epochs


def _groups(short: dict[int, int]) -> dict[str, int]:
    """Epochs of the parameters of each part of a branch, by a pattern of names."""
    return {f"{part}.{m}.*": e for m, e in short.items() for part in BRANCH}


def interrupted(net: skorch.NeuralNet) -> bool:
    """Whether Ctrl-C ended the training, rather than its last epoch or its patience."""
    stops = [c for _, c in net.callbacks_ if isinstance(c, EarlyStopping)]
    ended = any(c.misses_ >= c.patience for c in stops)
    told = [c for _, c in net.callbacks_ if isinstance(c, EpochTasks)]
    return net.interrupted_ and not ended and not any(c.stopped_ for c in told)


def _forget_training_data(net: skorch.NeuralNet) -> None:
    """Drop what a fitted estimator must not carry: rows, optimiser state, weights."""
    net.train_split = None
    net.iterator_train__generator = None
    net.optimizer_.state.clear()
    for _, callback in net.callbacks_:
        if isinstance(callback, EarlyStopping):
            callback.best_model_weights_ = None
            callback.sink = None
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
