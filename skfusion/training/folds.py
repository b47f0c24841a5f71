"""One network a fold: built, trained, and asked about the rows held out from it."""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed
from torch import Tensor

from skfusion.batch import ModalityBatch
from skfusion.fusion.base import Fusion, FusionShape
from skfusion.network import FusionNetwork
from skfusion.training.checkpoint import Checkpoint, checkpoint_files, forget
from skfusion.training.data import BatchDataset
from skfusion.training.inference import Predicted, predict, run
from skfusion.training.links import Link
from skfusion.training.splits import Split
from skfusion.training.tasks import EpochTasks, FoldTask
from skfusion.training.threads import one_thread
from skfusion.training.trainer import (
    Recipe,
    history_frame,
    interrupted,
    train,
)

__all__ = [
    "NetworkFold",
    "NetworkPlan",
    "build_network",
    "forget_checkpoints",
    "train_folds",
]

#: Rows from which it is learned what the columns of a table add on average: at most
#: what goes through the network at once.
MEAN_ROWS = 512
#: torch initialises modules from its global generator: one fit at a time.
_BUILD_LOCK = threading.Lock()


class NetworkPlan(NamedTuple):
    """How the network of every fold is built and trained.

    rule : Fusion
    prior : Tensor (C,)
    d_model, dropout : as the user chose
    recipe : Recipe
    early_stopping : whether held-out rows end the training
    link : Link
    seed : int
    """

    rule: Fusion
    prior: Tensor
    d_model: int
    dropout: float
    recipe: Recipe
    early_stopping: bool
    link: Link
    seed: int


class NetworkFold(NamedTuple):
    """A trained network, its history, and what it says of the rows held out from it.

    predicted : list of Predicted: of clean rows, then of each corrupted copy
    interrupted : whether Ctrl-C ended its training
    checkpoint : file from which its training would go on, or None
    """

    network: FusionNetwork
    history: pd.DataFrame
    predicted: list[Predicted]
    interrupted: bool
    checkpoint: Path | None


def build_network(
    plan: NetworkPlan, batch: ModalityBatch, n: int, seed: int
) -> FusionNetwork:
    """A fresh network for n training rows; torch's global generator is left alone."""
    shape = FusionShape(
        n_modalities=len(batch.names),
        d_model=plan.d_model,
        n_outputs=len(plan.prior),
        n_samples=n,
    )
    with _BUILD_LOCK, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoders = [
            modality.build_encoder(plan.d_model, plan.dropout)
            for modality in batch.modalities.values()
        ]
        return FusionNetwork(
            encoders,
            plan.rule.build(shape),
            d_model=plan.d_model,
            prior=plan.prior,
            n_heads=plan.rule.n_heads,
        )


def train_folds(
    plan: NetworkPlan,
    batch: ModalityBatch,
    target: Tensor,
    weight: Tensor,
    splits: Sequence[Split],
    copies: Sequence[ModalityBatch],
    *,
    start: Sequence[FusionNetwork] | None = None,
    tasks: Sequence[FoldTask] | None = None,
    n_jobs: int | None = None,
) -> list[NetworkFold]:
    """Train a network on each fold.

    After Ctrl-C, what is finished is given back: the folds before, or the first network
    as far as it came. Where nothing is finished, the interrupt goes on.

    Parameters
    ----------
    copies : list of ModalityBatch
        Corrupted copies of the rows, of which the held-out ones are predicted too.
    start : list of FusionNetwork, optional
        Networks to go on from; they are copied.
    tasks : list of FoldTask, optional
        Who is told of folds and epochs.
    n_jobs : int or None
        Processes over which folds are spread.
    """
    files = _files(plan, batch, target, weight, splits, start)

    def arguments(f: int) -> tuple[Any, ...]:
        learn, held = splits[f]
        everything = len(learn) == len(batch)
        learned = BatchDataset(
            batch if everything else batch[learn], target[learn], weight[learn]
        )
        watched = BatchDataset(batch[held], target[held], weight[held])
        corrupted = [copy_[held] for copy_ in copies]
        network = None  # after Ctrl-C there are fewer networks to go on from than folds
        if start is not None and f < len(start):
            network = copy.deepcopy(start[f])
        label = f"fold {f + 1}/{len(splits)}" if len(splits) > 1 else None
        epochs = None if tasks is None else EpochTasks(tasks[f], learn)
        told = plan.seed + f, label, files[f], epochs
        return plan, learned, watched, corrupted, network, *told

    if n_jobs not in (None, 1) and len(splits) > 1:
        calls = (delayed(_train_fold)(*arguments(f)) for f in range(len(splits)))
        return list(Parallel(n_jobs=n_jobs)(calls))
    done: list[NetworkFold] = []
    for f in range(len(splits)):
        try:
            fold = _train_fold(*arguments(f))
            if fold.interrupted and (done or fold.history.empty):
                raise KeyboardInterrupt
        except KeyboardInterrupt:
            if not done:
                raise
            break
        done.append(fold)
        if fold.interrupted:
            break
    return done


def _files(
    plan: NetworkPlan,
    batch: ModalityBatch,
    target: Tensor,
    weight: Tensor,
    splits: Sequence[Split],
    start: Sequence[FusionNetwork] | None,
) -> list[Path | None]:
    """The checkpoint of each fold, named by all that its training depends on."""
    recipe = plan.recipe
    if recipe.checkpoint is None:
        return [None] * len(splits)
    balance = recipe.balance and (type(recipe.balance), vars(recipe.balance))
    choices = plan._replace(
        recipe=recipe._replace(verbose=0, checkpoint=None, balance=balance)
    )
    rows = [side for split in splits for side in split]
    # A network built afresh shows what the modalities have learned.
    networks = start or [build_network(plan, batch, len(splits[0][0]), plan.seed)]
    parts = [choices, plan.prior, target, weight, *rows, *networks]
    return checkpoint_files(recipe.checkpoint, len(splits), batch, parts)


def forget_checkpoints(folds: Sequence[NetworkFold], n_folds: int) -> None:
    """Remove the checkpoints of a fit, unless Ctrl-C left some of it to be done."""
    if len(folds) == n_folds and not any(fold.interrupted for fold in folds):
        forget([fold.checkpoint for fold in folds])


def _train_fold(
    plan: NetworkPlan,
    learned: BatchDataset,
    watched: BatchDataset,
    corrupted: Sequence[ModalityBatch],
    network: FusionNetwork | None,
    seed: int,
    label: str | None,
    file: Path | None,
    epochs: EpochTasks | None,
) -> NetworkFold:
    if network is None:
        network = build_network(plan, learned.batch, len(learned), seed)
    # Callbacks have a state: each network has its own.
    recipe = plan.recipe._replace(
        callbacks=copy.deepcopy(plan.recipe.callbacks),
        balance=copy.deepcopy(plan.recipe.balance),
    )
    device = plan.recipe.device
    generators = [torch.Generator("cpu").manual_seed(seed)]
    if device != "cpu":
        generators.append(torch.Generator(device).manual_seed(seed))
    with one_thread():
        net = train(
            network,
            learned,
            watched if plan.early_stopping and len(watched) else None,
            recipe,
            generators[0],
            generators[-1],
            link=plan.link,
            min_steps=plan.rule.min_steps,
            label=label,
            checkpoint=None if file is None else Checkpoint(file, generators),
            epochs=epochs,
        )
        some = learned.batch[np.arange(min(len(learned), MEAN_ROWS))]
        for output in run(network, some):
            network.learn_token_means(output)
        held = (watched.batch, *corrupted)
        predicted = [predict(network, rows) for rows in held if len(rows)]
    history = history_frame(net)
    return NetworkFold(network, history, predicted, interrupted(net), file)
