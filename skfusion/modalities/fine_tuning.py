"""Fine-tuning: the last layers of a pretrained encoder learn from the targets."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import QuantileTransformer
from sklearn.utils.multiclass import type_of_target
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from skfusion._defaults import fine_tuning_epochs
from skfusion._row_keys import link_rows
from skfusion._validation import shorten
from skfusion.modalities.frozen import evaluated, named_layers
from skfusion.modalities.pretrained import Pretrained, Tuned

__all__ = ["FineTuning"]

#: Halves of the rows: the model of one predicts the other.
N_FOLDS = 2
BATCH_SIZE = 32
LR = 2e-4
LR_HEAD = 4e-3
WEIGHT_DECAY = 0.01
DROPOUT = 0.1
WARM_UP = 0.1  # share of the steps during which the learning rate rises
#: Distinct whole numbers beyond which they are taken for the target of a regression.
MAX_CLASSES = 100


class FineTuning:
    """Copies of an encoder's last layers, trained on the targets, one a fold.

    Each has a linear head for each column; the logits of a row are the sum over its
    cells. Of training rows, logits are out of fold: what reads them sees how far they
    can be trusted.

    Parameters
    ----------
    spec : Pretrained
        Its `fine_tune` says which layers.
    fingerprint : str
        That of the model.
    context : object
        What the modality learned about the reading of cells.
    """

    def __init__(self, spec: Pretrained, fingerprint: str, context: Any) -> None:
        self.spec = spec
        self.fingerprint = fingerprint
        self.context = context

    def fit_predict(
        self,
        cells: NDArray[np.object_],
        there: NDArray[np.bool_],
        y: Any,
        groups: NDArray[np.intp] | None = None,
    ) -> NDArray[np.float32]:
        """Train, and predict each row by the model that did not learn from it.

        Parameters
        ----------
        cells : ndarray (n, n_columns) of objects
        there : ndarray (n, n_columns), bool
        y : array-like (n,), or (n, n_targets)
        groups : ndarray (n,) of numbers, optional
            Rows of one group are in one half.

        Returns
        -------
        logits : ndarray (n_there, C)
            Of the cells that are there, in their order.
        """
        target = _Target.of(self.spec, y)
        self.n_outputs = target.n_outputs
        model = self.spec.load()[0]
        names = tuned_parameters(self.spec, model)
        row, column = np.nonzero(there)
        flat = cells[there]
        keys = self.spec.keys(flat.tolist(), self.fingerprint, self.context)
        fold = _folds(there, keys, groups)[row]
        n_epochs = fine_tuning_epochs(int(there.any(axis=1).sum()))
        n_batches = [len(_batches(row[fold != k])) for k in range(N_FOLDS)]
        bar = tqdm(
            total=n_epochs * sum(n_batches),
            desc=f"{type(self.spec).__name__}: fine-tuning",
            unit="batch",
            disable=not self.spec.verbose,
        )
        self.folds: list[list[Tuned]] = []
        with bar, evaluated(model, learns=True), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            for k in range(N_FOLDS) if len(np.unique(fold)) == N_FOLDS else ():
                rows = _Rows(flat[fold != k], row[fold != k], column[fold != k])
                trainer = _Trainer(self, model, names, target, there.shape[1])
                self.folds.append(trainer.train(rows, n_epochs, bar))
        logits = np.zeros((len(flat), self.n_outputs), np.float32)
        for k, heads in enumerate(self.folds):
            held = fold == k
            logits[held] = self._predict(heads, flat[held], column[held])
        return logits

    def predict(
        self, cells: NDArray[np.object_], there: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Mean over folds of the logits (n_there, C) of the cells that are there."""
        column = np.nonzero(there)[1]
        if not self.folds:  # no two rows to learn from
            return np.zeros((len(column), self.n_outputs), np.float32)
        folds = [self._predict(heads, cells[there], column) for heads in self.folds]
        return np.mean(folds, axis=0, dtype=np.float32)

    def _predict(
        self, heads: Sequence[Tuned], cells: NDArray[Any], column: NDArray[np.intp]
    ) -> NDArray[np.float32]:
        out = np.zeros((len(cells), self.n_outputs), np.float32)
        for k, tuned in enumerate(heads):
            here = column == k
            if here.any():
                out[here] = self.spec.embed(
                    cells[here].tolist(), self.fingerprint, self.context, tuned
                )
        return out


class _Rows(NamedTuple):
    """Cells to learn from, each with the row and the column that it stands in."""

    cells: NDArray[np.object_]
    row: NDArray[np.intp]
    column: NDArray[np.intp]


class _Trainer:
    """Trains a copy of the last layers, and one head a column.

    The first batch says how wide the heads are.
    """

    def __init__(
        self,
        tuning: FineTuning,
        model: nn.Module,
        names: Sequence[str],
        target: _Target,
        n_columns: int,
    ) -> None:
        self.spec, self.context = tuning.spec, tuning.context
        self.model, self.target, self.n_columns = model, target, n_columns
        weights = {name: p.detach() for name, p in model.named_parameters()}
        self.tuned = {name: weights[name].clone().requires_grad_() for name in names}
        self.weights = weights | self.tuned
        self.heads: list[Tensor] = []

    def train(self, rows: _Rows, n_epochs: int, bar: Any) -> list[Tuned]:
        """What was learned, of each column; `bar` is told of every batch."""
        bias = self.target.prior(np.unique(rows.row))
        n_steps = n_epochs * len(_batches(rows.row))
        size = np.array([self.spec._size(cell) for cell in rows.cells])
        rng = np.random.RandomState(0)
        optimiser, schedule = None, None
        for _ in range(n_epochs):
            for batch in _batches(rows.row, size, rng):
                x = F.dropout(self._embed(rows.cells[batch]), DROPOUT)
                if optimiser is None or schedule is None:
                    self._start_heads(x)
                    bias = bias.to(x.device).requires_grad_()
                    layers = list(self.tuned.values())
                    optimiser, schedule = _optimiser(
                        layers, [*self.heads, bias], n_steps
                    )
                distinct, at = np.unique(rows.row[batch], return_inverse=True)
                own = torch.stack(
                    [
                        vector @ self.heads[k]
                        for vector, k in zip(x, rows.column[batch], strict=True)
                    ]
                )
                logits = bias.expand(len(distinct), -1).index_add(
                    0, torch.from_numpy(at).to(x.device), own
                )
                optimiser.zero_grad()
                self.target.loss(logits, distinct).backward()
                nn.utils.clip_grad_norm_([*self.tuned.values(), *self.heads], 1.0)
                optimiser.step()
                schedule.step()
                bar.update()
        return self._learned()

    def _embed(self, cells: NDArray[np.object_]) -> Tensor:
        ready = self.spec._read(cells.tolist(), self.context)
        made = self.spec._encode(self.model, ready, self.weights)
        return made if isinstance(made, Tensor) else torch.stack(list(made))

    def _start_heads(self, x: Tensor) -> None:
        if not x.requires_grad:
            raise ValueError(
                f"fine_tune={shorten(self.spec.fine_tune)}: no such layer of "
                f"{type(self.model).__name__} takes part in its output."
            )
        shape = x.shape[1], self.target.n_outputs
        self.heads = [
            x.new_zeros(shape).requires_grad_() for _ in range(self.n_columns)
        ]

    def _learned(self) -> list[Tuned]:
        arrays = {
            name: p.detach().cpu().numpy()
            for name, p in self.tuned.items()
            if p.grad is not None
        }
        digest = hashlib.blake2b(digest_size=16)
        for array in arrays.values():
            digest.update(array.tobytes())
        return [
            Tuned(arrays, head.detach().cpu().numpy(), digest.hexdigest())
            for head in self.heads
        ]


def _optimiser(
    layers: list[Tensor], head: list[Tensor], n_steps: int
) -> tuple[Any, Any]:
    """AdamW, and a learning rate that rises, then falls to 0, both linearly."""
    optimiser = torch.optim.AdamW(
        [{"params": layers, "lr": LR}, {"params": head, "lr": LR_HEAD}],
        weight_decay=WEIGHT_DECAY,
    )

    def factor(step: int) -> float:
        return min((step + 1) / (WARM_UP * n_steps), 1 - step / n_steps, 1.0)

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, factor)


def _batches(
    row: NDArray[np.intp],
    size: NDArray[Any] | None = None,
    rng: np.random.RandomState | None = None,
) -> list[NDArray[np.intp]]:
    """Positions of the cells of some rows each; at random, of about one size."""
    distinct, at = np.unique(row, return_inverse=True)
    order = np.arange(len(distinct))
    if rng is not None and size is not None:
        total = 1 + np.bincount(at, weights=size)
        order = np.argsort(total * rng.uniform(0.8, 1.25, len(total)), kind="stable")
    parts = [order[i : i + BATCH_SIZE] for i in range(0, len(order), BATCH_SIZE)]
    if rng is not None:
        rng.shuffle(parts)
    by_row = np.argsort(at, kind="stable")
    start = np.searchsorted(at[by_row], np.arange(len(distinct) + 1))
    return [
        np.concatenate([by_row[start[r] : start[r + 1]] for r in part])
        for part in parts
    ]


def _folds(
    there: NDArray[np.bool_],
    keys: Sequence[bytes],
    groups: NDArray[np.intp] | None = None,
) -> NDArray[np.intp]:
    """The fold (n,) of each row; those of equal cells, or one group, share a fold."""
    ids = np.full(there.shape, -1)
    ids[there] = pd.factorize(np.array(keys, dtype=object))[0]
    together = np.unique(ids, axis=0, return_inverse=True)[1].ravel()
    if groups is not None:
        together = link_rows(together, groups)
    n_sets = together.max(initial=-1) + 1
    of_set = np.random.RandomState(0).permutation(n_sets) % N_FOLDS
    return np.asarray(of_set[together])


class _Target(NamedTuple):
    """What is learned: class indices, an indicator of labels, or normal scores."""

    values: Tensor
    n_outputs: int
    kind: str

    @classmethod
    def of(cls, spec: Pretrained, y: Any) -> _Target:
        if y is None:
            raise ValueError(
                f"{type(spec).__name__} with fine_tune={shorten(spec.fine_tune)} "
                "requires y to be passed, but the target y is None."
            )
        y = np.asarray(y)
        kind = type_of_target(y)
        if kind == "multilabel-indicator":
            return cls(torch.from_numpy(y.astype(np.float32)), y.shape[1], "labels")
        if y.ndim == 1 and kind in ("binary", "multiclass"):
            classes, index = np.unique(y, return_inverse=True)
            if y.dtype.kind not in "iuf" or len(classes) <= MAX_CLASSES:
                return cls(torch.from_numpy(index), len(classes), "classes")
        columns = y.reshape(len(y), -1).astype(float)
        # Ranks: a few huge values must not lead.
        scores = QuantileTransformer(
            n_quantiles=min(1000, len(y)), output_distribution="normal"
        ).fit_transform(columns)
        return cls(torch.from_numpy(scores).float(), columns.shape[1], "scores")

    def prior(self, rows: NDArray[np.intp]) -> Tensor:
        """Logits of no evidence, (C,)."""
        if self.kind == "scores":
            return torch.zeros(self.n_outputs)
        values = self.values[torch.from_numpy(rows)]
        if self.kind == "labels":
            share = (values.sum(dim=0) + 0.5) / (len(values) + 1)
            return torch.logit(share)
        counts = torch.bincount(values, minlength=self.n_outputs) + 0.5
        return (counts / counts.sum()).log().float()

    def loss(self, logits: Tensor, rows: NDArray[np.intp]) -> Tensor:
        values = self.values[torch.from_numpy(rows)].to(logits.device)
        if self.kind == "classes":
            return F.cross_entropy(logits, values)
        if self.kind == "labels":
            return F.binary_cross_entropy_with_logits(logits, values)
        return F.mse_loss(logits, values)


# ---------------------------------------------------------------- which layers


def tuned_parameters(spec: Pretrained, model: Any) -> list[str]:
    """Names of the parameters that `fine_tune` says."""
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"fine_tune={shorten(spec.fine_tune)} needs a torch module, but model="
            f"{shorten(spec.model)} is a {type(model).__name__}."
        )
    if isinstance(spec.fine_tune, int | np.integer):
        last = _last_layers(dict(model.named_modules()), int(spec.fine_tune))
        names = [name for name, _ in model.named_parameters()]
        start = [i for i, name in enumerate(names) if name.startswith(last)]
        names = names[start[0] :] if start else []  # with what comes after the stack
    else:
        layers = list(spec.fine_tune)
        named_layers(model, layers, "fine_tune")
        names = [
            name
            for name, _ in model.named_parameters()
            if any(name.startswith(layer + ".") for layer in layers)
        ]
    weights = dict(model.named_parameters())
    return [name for name in names if weights[name].is_floating_point()]


def _last_layers(known: dict[str, nn.Module], n_layers: int) -> tuple[str, ...]:
    """How the names of the last layers' parameters begin, in the longest stack."""
    stacks = {
        name: module
        for name, module in known.items()
        if isinstance(module, nn.ModuleList | nn.Sequential)
    }
    if not stacks:
        raise ValueError(
            f"fine_tune={n_layers}: the model has no stack of layers that could be "
            "counted. Name the layers instead, as in model.named_modules()."
        )
    name = max(stacks, key=lambda n: len(stacks[n]))
    count = len(stacks[name])
    if n_layers > count:
        raise ValueError(f"fine_tune={n_layers}: the model has {count} layers.")
    layers = range(count - n_layers, count)
    return tuple(f"{name}.{i}.".lstrip(".") for i in layers)
