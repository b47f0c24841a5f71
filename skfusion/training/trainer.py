"""Builds and runs the skorch net: loss, schedule, callbacks, early stopping."""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
from threadpoolctl import threadpool_limits
from torch import Tensor
from tqdm.auto import tqdm

from skfusion._defaults import MIN_BRANCH_STEPS, automatic_epochs
from skfusion._validation import shorten
from skfusion.corruption import Plans
from skfusion.network import FusionNetwork, set_generator
from skfusion.training.data import BatchDataset, BatchIterator
from skfusion.training.links import Link
from skfusion.training.loss import FusionLoss
from skfusion.training.tasks import EpochTasks

__all__ = [
    "Recipe",
    "check_callbacks",
    "history_frame",
    "interrupted",
    "one_thread",
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
        if not math.isfinite(net.history[-1]["train_loss_fused"]):
            raise diverged(net)


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
        self.bar_.update(len(net.history) - self.bar_.n)

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        self.bar_.close()


#: Parts of the network that belong to one modality.
BRANCH = ("encoders", "attentions", "norms")


class StopBranches(Callback):
    """Ends the learning of branches whose encoder asks for few epochs."""

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


class _OneThread:
    """What `one_thread` restores when the last fit of the process ends."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.n_running, self.before = 0, 1
        self.ended = threading.Event()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Run torch, BLAS and OpenMP with one thread, as small networks and trees want.

        With more, the threads of a busy machine wait for one another, and an epoch
        takes ten times as long. Settings of torch and BLAS belong to the process, those
        of OpenMP to a thread of Python.
        """
        with self.lock:
            if not self.n_running:
                self.before = torch.get_num_threads()
                self._limit_blas()
            self.n_running += 1
        try:
            with threadpool_limits(limits=1, user_api="openmp"):
                torch.set_num_threads(1)
                yield
        finally:
            with self.lock:
                self.n_running -= 1
                if not self.n_running:
                    torch.set_num_threads(self.before)
                    self.ended.set()
                    self.keeper.join()

    def _limit_blas(self) -> None:
        """Limit BLAS in a thread of its own: only that which did can undo it."""
        limited = threading.Event()
        self.ended.clear()

        def keep() -> None:
            with threadpool_limits(limits=1, user_api="blas"):
                limited.set()
                self.ended.wait()

        self.keeper = threading.Thread(target=keep, daemon=True)
        self.keeper.start()
        limited.wait()


one_thread = _OneThread()


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


def check_callbacks(callbacks: Sequence[Any] | None) -> None:
    """Refuse what skorch would not take for a callback."""
    for i, given in enumerate(callbacks or ()):
        callback = given[1] if isinstance(given, tuple) and len(given) == 2 else given
        kind = callback if isinstance(callback, type) else type(callback)
        if callback is not None and not hasattr(kind, "on_train_begin"):
            raise ValueError(
                "The 'callbacks' parameter must be a list of skorch callbacks, or of "
                f"(name, callback). Got {shorten(given)} at position {i} instead."
            )


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
    callbacks: list[Any] = [
        ("epoch_log", EpochLog()),
        ("tasks", epochs),
        ("balance", recipe.balance),
        ("clip", GradientNormClipping(1.0)),
        ("schedule", schedule),
        ("branches", StopBranches(short)),
    ]
    if valid is not None:
        stop = EarlyStopping(
            patience=recipe.n_iter_no_change,
            threshold=0,
            load_best=True,
            sink=lambda *_: None,
        )
        callbacks.append(("early_stopping", stop))
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


def diverged(net: skorch.NeuralNet) -> ValueError:
    """The error of a training whose losses or parameters are not finite."""
    return ValueError(
        f"Training diverged: after epoch {len(net.history)} the loss or the parameters "
        f"of the network are not finite. Use a smaller lr (it is {net.lr:g}), check "
        "that the rows hold no extreme values, or what `callbacks` do."
    )


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
