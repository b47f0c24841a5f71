"""Callbacks of the training: the history, a progress bar, branches that end early."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import skorch
from skorch.callbacks import Callback
from torch import Tensor
from tqdm.auto import tqdm

from skfusion._validation import shorten
from skfusion.network import FusionNetwork

__all__ = [
    "BRANCH",
    "EpochLog",
    "Progress",
    "StopBranches",
    "check_callbacks",
    "diverged",
]


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


def diverged(net: skorch.NeuralNet) -> ValueError:
    """The error of a training whose losses or parameters are not finite."""
    return ValueError(
        f"Training diverged: after epoch {len(net.history)} the loss or the parameters "
        f"of the network are not finite. Use a smaller lr (it is {net.lr:g}), check "
        "that the rows hold no extreme values, or what `callbacks` do."
    )


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
