"""Folds and epochs as scikit-learn's callbacks see them: a tree of tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from skorch.callbacks import Callback

from skfusion.network import FusionNetwork

__all__ = ["EpochTasks", "FoldTask"]


class FoldTask(NamedTuple):
    """The training of one network, a task whose subtasks are the epochs.

    estimator : the estimator that is fitted
    context : sklearn.callback.CallbackContext of the fold
    rows : () -> (X, y, metadata): rows that the network learns from
    state : (network) -> attributes of an estimator that predicts by it
    """

    estimator: Any
    context: Any
    rows: Callable[[NDArray[np.intp]], tuple[Any, Any, dict[str, Any] | None]]
    state: Callable[[FusionNetwork], dict[str, Any]]


class EpochTasks(Callback):
    """Tells scikit-learn's callbacks of each epoch; any of them may end the training.

    Parameters
    ----------
    task : FoldTask
    learn : ndarray of int, rows of the fold
    """

    def __init__(self, task: FoldTask, learn: NDArray[np.intp]) -> None:
        self.task, self.learn = task, learn

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.stopped_ = False
        self.task.context.max_subtasks = net.max_epochs
        self.given_ = dict(
            zip(("X", "y", "metadata"), self.task.rows(self.learn), strict=True)
        )
        self.task.context.call_on_fit_task_begin(
            estimator=self.task.estimator, **self.given_
        )

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        if self.stopped_:
            raise KeyboardInterrupt  # which is how skorch ends a training
        self.epoch_ = self.task.context.subcontext(task_name="epoch")
        self.epoch_.call_on_fit_task_begin(estimator=self.task.estimator, **self.given_)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self.stopped_ = self.epoch_.call_on_fit_task_end(
            estimator=self.task.estimator,
            reconstruction_attributes=lambda: self.task.state(net.module_),
            **self.given_,
        )

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        self.task.context.call_on_fit_task_end(
            estimator=self.task.estimator, **self.given_
        )
