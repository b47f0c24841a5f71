"""scikit-learn's callbacks: the tasks of a fit, of which they are told."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skfusion._sklearn import CallbackSupportMixin
from skfusion.batch import ModalityBatch
from skfusion.evidence.outputs import NetworkModel
from skfusion.network import FusionNetwork
from skfusion.training.links import Link
from skfusion.training.splits import DistinctRows
from skfusion.training.tasks import FoldTask

__all__ = ["Callbacks"]


class Callbacks(CallbackSupportMixin):
    """Adds the callbacks of scikit-learn 1.9; with older versions there are none.

    A fit is a task, its folds are subtasks, and their epochs are subtasks of these. At
    the end of an epoch the fitted estimator is the network of the fold alone.
    """

    modality_names_: tuple[str, ...]
    _link: Link

    @contextmanager
    def _tasks(
        self,
        X: Any,
        y: NDArray[Any],
        weight: NDArray[np.float64] | None,
        batch: ModalityBatch,
        distinct: DistinctRows,
        n_folds: int,
    ) -> Iterator[list[FoldTask] | None]:
        """The task of a fit; yields those of its folds, None where nobody asks.

        Parameters
        ----------
        X, y, weight : of all rows
        batch : ModalityBatch, of the distinct rows
        """
        fit = self._init_callback_context(
            max_subtasks=n_folds, sequential_subtasks=False
        )
        metadata = None if weight is None else {"sample_weight": weight}
        given = {"estimator": self, "X": X, "y": y, "metadata": metadata}
        fit.call_on_fit_task_begin(**given)
        tasks = None
        if getattr(self, "_skl_callbacks", None):
            rows = partial(
                _rows,
                batch.in_order(self.modality_names_),
                y[distinct.rows],
                None if weight is None else distinct.weight,
            )
            tasks = [
                FoldTask(
                    self,
                    fit.subcontext(task_name="fold", task_id=f, max_subtasks=None),
                    rows,
                    self._state_by,
                )
                for f in range(n_folds)
            ]
        yield tasks
        fit.call_on_fit_task_end(**given, reconstruction_attributes={})

    def _state_by(self, network: FusionNetwork) -> dict[str, Any]:
        """What makes of this estimator one that predicts by a copy of a network."""
        generators = [getattr(part, "generator", None) for part in network.modules()]
        network = copy.deepcopy(network, {id(g): None for g in generators if g})
        model = NetworkModel([network.eval()], link=self._link, adds_evidence=False)
        return {"_model": model, "networks_": model.networks}


def _rows(
    batch: ModalityBatch,
    y: NDArray[Any],
    weight: NDArray[np.float64] | None,
    rows: NDArray[np.intp],
) -> tuple[Any, Any, dict[str, Any] | None]:
    """X, y and metadata of some rows."""
    metadata = None if weight is None else {"sample_weight": weight[rows]}
    return batch[rows], y[rows], metadata
