"""Fine-tuning: the last layers of a pretrained encoder learn from the targets."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import QuantileTransformer
from sklearn.utils.multiclass import type_of_target
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from skfusion._defaults import fine_tuning_epochs
from skfusion._validation import shorten
from skfusion.modalities.frozen import evaluated
from skfusion.modalities.pretrained import Pretrained, Tuned

__all__ = ["FineTuning"]

#: Each fold's model predicts the rows that it did not learn from; new rows are given
#: the mean over folds.
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
        self, cells: NDArray[np.object_], there: NDArray[np.bool_], y: Any
    ) -> NDArray[np.float32]:
        """Train, and predict each row by the model that did not learn from it.

        Parameters
        ----------
        cells : ndarray (n, n_columns) of objects
        there : ndarray (n, n_columns), bool
        y : array-like (n,), or (n, n_targets)

        Returns
        -------
        logits : ndarray (n_there, C)
            Of the cells that are there, in their order.
        """
        target = _Target.of(self.spec, y)
        self.n_outputs = target.n_outputs
        self.folds: list[list[Tuned]] = []
        row, column = np.nonzero(there)
        flat = cells[there]
        logits = np.zeros((len(flat), self.n_outputs), np.float32)
        splits = _splits(self.spec, flat, row)
        model = self.spec.load()[0]
        names = tuned_parameters(self.spec, model)
        epochs = fine_tuning_epochs(int(there.any(axis=1).sum()))
        sizes = [len(_batches(row[train])) for train, _ in splits]
        bar = tqdm(
            total=epochs * sum(sizes),
            desc=f"{type(self.spec).__name__}: fine-tuning",
            unit="batch",
            disable=not self.spec.verbose,
        )
        with bar, evaluated(model, learns=True), torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            for train, held in splits:
                heads = self._train(
                    model,
                    names,
                    (flat[train], row[train], column[train]),
                    target,
                    n_columns=there.shape[1],
                    epochs=epochs,
                    bar=bar,
                )
                self.folds.append(heads)
        for (_, held), heads in zip(splits, self.folds, strict=True):
            logits[held] = self._predict(heads, flat[held], column[held])
        return logits

    def predict(
        self, cells: NDArray[np.object_], there: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Mean over folds of the logits (n_there, C) of the cells that are there."""
        column = np.nonzero(there)[1]
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

    def _train(
        self,
        model: nn.Module,
        names: Sequence[str],
        rows: tuple[NDArray[Any], NDArray[np.intp], NDArray[np.intp]],
        target: _Target,
        *,
        n_columns: int,
        epochs: int,
        bar: Any,
    ) -> list[Tuned]:
        """Last layers and heads that are trained on some rows, one head a column."""
        cells, row, column = rows
        known = dict(model.named_parameters())
        weights = {name: p.detach() for name, p in known.items()}
        tuned = {name: weights[name].clone().requires_grad_() for name in names}
        weights |= tuned
        bias = target.prior(np.unique(row)).requires_grad_()
        heads: list[Tensor] = []
        optimiser, schedule = None, None
        size = [self.spec._size(cell) for cell in cells]
        batches = _batches(row)
        rng = np.random.RandomState(0)
        for _ in range(epochs):
            for batch in _batches(row, np.asarray(size), rng):
                ready = self.spec._read(list(cells[batch]), self.context)
                made = self.spec._encode(model, ready, weights)
                x = made if isinstance(made, Tensor) else torch.stack(list(made))
                if optimiser is None:
                    heads = [
                        x.new_zeros(x.shape[1], target.n_outputs).requires_grad_()
                        for _ in range(n_columns)
                    ]
                    optimiser, schedule = _optimiser(
                        list(tuned.values()), [*heads, bias], epochs * len(batches)
                    )
                    bias.data = bias.data.to(x.device)
                x = F.dropout(x, DROPOUT)
                distinct, at = np.unique(row[batch], return_inverse=True)
                own = torch.stack(
                    [x[i] @ heads[k] for i, k in enumerate(column[batch])]
                )
                logits = bias.expand(len(distinct), -1).index_add(
                    0, torch.from_numpy(at).to(x.device), own
                )
                loss = target.loss(logits, distinct)
                optimiser.zero_grad()
                loss.backward()
                if all(p.grad is None for p in tuned.values()):
                    raise ValueError(
                        f"fine_tune={shorten(self.spec.fine_tune)}: no such layer of "
                        f"{type(model).__name__} takes part in its output."
                    )
                nn.utils.clip_grad_norm_([*tuned.values(), *heads], 1.0)
                optimiser.step()
                schedule.step()
                bar.update()
        arrays = {
            name: p.detach().cpu().numpy()
            for name, p in tuned.items()
            if p.grad is not None
        }
        digest = hashlib.blake2b(digest_size=16)
        for array in arrays.values():
            digest.update(array.tobytes())
        return [
            Tuned(arrays, head.detach().cpu().numpy(), digest.hexdigest())
            for head in heads
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
        total = np.bincount(at, weights=size)
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


def _splits(
    spec: Pretrained, cells: NDArray[Any], row: NDArray[np.intp]
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Folds of cells; rows that share a cell are in one where that is possible."""
    distinct, at = np.unique(row, return_inverse=True)
    n_folds = min(N_FOLDS, len(distinct))
    fold = np.random.RandomState(0).permutation(len(distinct)) % n_folds
    every = fold[at]
    return [(np.flatnonzero(every != k), np.flatnonzero(every == k)) for k in range(n_folds)]


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
    known = dict(model.named_modules())
    if isinstance(spec.fine_tune, int | np.integer):
        first = _first_of_last(known, int(spec.fine_tune))
        names = [name for name, _ in model.named_parameters()]
        start = next(i for i, n in enumerate(names) if n.startswith(first + "."))
        names = names[start:]
    else:
        layers = list(spec.fine_tune)
        for layer in layers:
            if layer not in known:
                near = difflib.get_close_matches(layer, known, 3, 0) or ["none"]
                raise ValueError(
                    f"fine_tune={shorten(layers)}: {type(model).__name__} has no "
                    f"layer {layer!r}. Names are those of model.named_modules(), such "
                    f"as {', '.join(near)}."
                )
        names = [
            name
            for name, _ in model.named_parameters()
            if any(name.startswith(layer + ".") for layer in layers)
        ]
    weights = dict(model.named_parameters())
    return [name for name in names if weights[name].is_floating_point()]


def _first_of_last(known: dict[str, nn.Module], n_layers: int) -> str:
    """The first of the last layers, which are those of the longest stack."""
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
    name = max(stacks, key=lambda n: len(stacks[n]))  # type: ignore[arg-type]
    count = len(stacks[name])  # type: ignore[arg-type]
    if n_layers > count:
        raise ValueError(f"fine_tune={n_layers}: the model has {count} layers.")
    return f"{name}.{count - n_layers}".lstrip(".")
