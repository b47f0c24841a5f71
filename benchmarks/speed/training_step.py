"""Seconds a training step: ours, a bare PyTorch loop, and skorch's default loader.

    python -m benchmarks.speed.training_step [--sets vectors digits] [--repeats 5]

Four ways of doing the same steps, on the same rows, network, loss, optimiser, clipping
and schedule, run in turns, so that what else the machine does hits all of them:

    train   skfusion.training.train: a skorch net with whole-batch iterators
    bare    a loop written by hand over the same batches, without skorch
    loader  a skorch net with its default DataLoader, over a lean row-by-row data set
    skorch  the same, with the data set that skorch itself makes from arrays

Each round gives one ratio, and the table shows their medians. Rows are not corrupted
(skorch's loader has no place for it) unless `--corruption`, which leaves out the last
two ways. The targets: train / bare <= 1.25, and loader / train >= 5. "loading" is what
the data alone take of a step, measured by running through the loader only. On a machine
that is busy with other work use `--clock cpu --threads 1`.
"""

import argparse
import copy
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import skorch
import torch
from skorch.callbacks import GradientNormClipping, LRScheduler
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset

from benchmarks.common.provenance import RESULTS, append_rows, provenance
from skfusion import FusionClassifier
from skfusion.batch import ModalityBatch
from skfusion.corruption import Corruption
from skfusion.datasets import load_spoken_digits
from skfusion.network import FusionNetwork
from skfusion.training import (
    BatchDataset,
    BatchIterator,
    CosineWithWarmup,
    FusionLoss,
    Recipe,
    train,
)

TARGETS = {"train / bare": ("<=", 1.25), "loader / train": (">=", 5.0)}


# ---------------------------------------------------------------- sets


def vectors(n: int = 4000) -> tuple[pd.DataFrame, Any, list[Any]]:
    """A table of 10 columns and two vectors of 64 and 32, made of normal noise."""
    rng = np.random.default_rng(0)
    blocks = {"facts": 10, "other": 32, "view": 64}
    data = {
        f"{name}_{i}": rng.normal(size=n).astype(np.float32)
        for name, width in blocks.items()
        for i in range(width)
    }
    kinds = {"facts": "tabular", "view": "vector", "other": "vector"}
    modalities = [
        (name, kinds[name], [c for c in data if c.startswith(f"{name}_")])
        for name in blocks
    ]
    frame = pd.DataFrame(data)
    return frame, (frame["view_0"] + frame["other_0"] > 0).astype(int), modalities


def digits() -> tuple[pd.DataFrame, Any, list[Any]]:
    """Images and sounds, whose encoders are much heavier than their loading."""
    X, y = load_spoken_digits(subset="train", return_X_y=True)
    return X, y, [("image", "image", "image"), ("sound", "audio", "sound")]


class BenchmarkSet(NamedTuple):
    """Rows, and the size of the network that learns from them."""

    make: Callable[[], tuple[pd.DataFrame, Any, list[Any]]]
    options: dict[str, Any]


SETS = {
    "vectors": BenchmarkSet(vectors, {}),
    "vectors-small": BenchmarkSet(vectors, {"d_model": 32, "fusion": "mean"}),
    "digits": BenchmarkSet(digits, {}),
}


class Problem(NamedTuple):
    """What all ways are given."""

    network: FusionNetwork
    batch: ModalityBatch
    y: torch.Tensor
    recipe: Recipe

    @property
    def steps(self) -> int:
        """Optimiser steps of one run."""
        return self.recipe.max_epochs * math.ceil(len(self.y) / self.recipe.batch_size)


def make_problem(name: str, *, epochs: int, device: str, corruption: bool) -> Problem:
    """Fit the modalities and build the network, which one epoch of `fit` does."""
    X, y, modalities = SETS[name].make()
    clf = FusionClassifier(
        modalities,
        max_epochs=1,
        early_stopping=False,
        random_state=0,
        device=device,
        **SETS[name].options,
    ).fit(X, y)
    recipe = Recipe(
        max_epochs=epochs,
        batch_size=128,
        lr=clf.lr,
        weight_decay=clf.weight_decay,
        n_iter_no_change=None,
        corruption=Corruption() if corruption else None,
        device=device,
        callbacks=(),
        verbose=0,
    )
    target = torch.from_numpy(np.searchsorted(clf.classes_, np.asarray(y)))
    return Problem(clf.net_.module_, clf.modalities_.transform(X), target, recipe)


# ---------------------------------------------------------------- ways


def ours(p: Problem, network: FusionNetwork) -> None:
    """Train as the estimators do."""
    dataset = BatchDataset(p.batch, p.y)
    train(network, p.batch.names, dataset, None, p.recipe, is_classification=True)


def bare(p: Problem, network: FusionNetwork) -> None:
    """Train by a loop written by hand."""
    dataset, recipe = BatchDataset(p.batch, p.y), p.recipe
    loss_of = FusionLoss(p.batch.names, is_classification=True)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True
    )
    schedule = LambdaLR(optimizer, CosineWithWarmup(p.steps))
    network.train()
    for _ in range(recipe.max_epochs):
        for index in torch.randperm(len(dataset)).split(recipe.batch_size):
            inputs, target = dataset.rows(index, recipe.corruption)
            inputs, target = _to((inputs, target), recipe.device)
            optimizer.zero_grad(set_to_none=True)
            loss_of(network(**inputs), target).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()


class RowDataset(Dataset):
    """Rows one by one, as views of arrays, with no more work than that."""

    def __init__(self, p: Problem) -> None:
        self.inputs = [block.arrays for block in p.batch.blocks.values()]
        self.present = p.batch.present
        self.y = p.y.numpy()

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, i: int) -> tuple[dict[str, Any], dict[str, Any]]:
        inputs = [{key: a[i] for key, a in arrays.items()} for arrays in self.inputs]
        target = {"y": self.y[i], "weight": np.float32(1)}
        return {"inputs": inputs, "present": self.present[i]}, target


def row_loader(p: Problem, network: FusionNetwork) -> None:
    """Train through skorch's default loader, over `RowDataset`."""
    _default_net(p, network).fit(RowDataset(p), None)


class FlatInputs(torch.nn.Module):
    """A network that takes one flat dict of arrays, which is all that skorch slices."""

    def __init__(self, network: FusionNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, present: torch.Tensor, **arrays: torch.Tensor) -> Any:
        inputs: list[dict[str, torch.Tensor]] = [{} for _ in self.network.encoders]
        for name, array in arrays.items():
            m, key = name.split("_", 1)
            inputs[int(m)][key] = array
        return self.network(inputs=inputs, present=present)


def skorch_arrays(p: Problem, network: FusionNetwork) -> None:
    """Train through skorch's default loader and its own data set."""
    rows = RowDataset(p)
    flat = {
        f"{m}_{key}": array
        for m, arrays in enumerate(rows.inputs)
        for key, array in arrays.items()
    }
    y = {"y": rows.y, "weight": np.ones(len(rows), np.float32)}
    _default_net(p, FlatInputs(network)).fit({**flat, "present": rows.present}, y)


def _default_net(p: Problem, network: torch.nn.Module) -> skorch.NeuralNet:
    """The net of `train` without its iterators and its bookkeeping."""
    recipe = p.recipe
    schedule = LRScheduler(
        LambdaLR, lr_lambda=CosineWithWarmup(p.steps), step_every="batch"
    )
    return skorch.NeuralNet(
        network,
        criterion=FusionLoss(p.batch.names, is_classification=True),
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=recipe.weight_decay,
        optimizer__fused=True,
        lr=recipe.lr,
        max_epochs=recipe.max_epochs,
        batch_size=recipe.batch_size,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[("clip", GradientNormClipping(1.0)), ("schedule", schedule)],
        callbacks__print_log=None,
        device=recipe.device,
        verbose=0,
    )


def _to(data: Any, device: str) -> Any:
    if isinstance(data, torch.Tensor):
        return data.to(device)
    if isinstance(data, dict):
        return {key: _to(value, device) for key, value in data.items()}
    return type(data)(_to(value, device) for value in data)


WAYS: dict[str, Callable[[Problem, FusionNetwork], None]] = {
    "train": ours,
    "bare": bare,
    "loader": row_loader,
    "skorch": skorch_arrays,
}


# ---------------------------------------------------------------- measuring


#: By the wall, or by the processor, which other work on the machine does not disturb;
#: with several threads the latter adds them up.
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def measure(
    p: Problem, ways: list[str], repeats: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Seconds a step of each way in each round; a round before them is not counted."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for r in range(repeats + 1):
        for way in ways[r % len(ways) :] + ways[: r % len(ways)]:
            network = copy.deepcopy(p.network).to(p.recipe.device)
            torch.manual_seed(0)
            _wait(p.recipe.device)
            start = clock()
            WAYS[way](p, network)
            _wait(p.recipe.device)
            if r:
                seconds[way].append((clock() - start) / p.steps)
    return seconds


def loading_seconds(p: Problem, way: str, clock: Callable[[], float]) -> float:
    """Seconds that assembling one batch takes, without a network."""
    size = p.recipe.batch_size
    loader: BatchIterator | DataLoader[Any]
    if way in ("train", "bare"):
        loader = BatchIterator(
            BatchDataset(p.batch, p.y), size, corruption=p.recipe.corruption
        )
    elif way == "loader":
        loader = DataLoader(RowDataset(p), size)
    else:
        return math.nan
    seconds = []
    for _ in range(3):
        start = clock()
        for _ in loader:
            pass
        seconds.append(clock() - start)
    return min(seconds) / len(loader)


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def report(
    name: str, p: Problem, seconds: dict[str, list[float]], clock: str
) -> Iterator[dict[str, Any]]:
    """Print the table of one set; yield a row of the results a way."""
    print(
        f"\n{name}: {len(p.y):,} rows, {p.steps} steps of {p.recipe.batch_size} a run, "
        f"{sum(x.numel() for x in p.network.parameters()):,} parameters"
    )
    print(f"{'way':8}{'ms a step':>12}{'loading, ms':>13}{'/ train':>10}{'/ bare':>10}")
    loading = {way: loading_seconds(p, way, CLOCKS[clock]) for way in seconds}
    for way, values in seconds.items():
        row = {
            "seconds": float(np.median(values)),
            "fastest": min(values),
            "loading": loading[way],
            "to_train": float(np.median(np.divide(values, seconds["train"]))),
            "to_bare": float(np.median(np.divide(values, seconds["bare"]))),
        }
        print(
            f"{way:8}{1e3 * row['seconds']:12.2f}{1e3 * row['loading']:13.2f}"
            f"{row['to_train']:10.2f}{row['to_bare']:10.2f}"
        )
        yield {
            "set": name,
            "rows": len(p.y),
            "batch_size": p.recipe.batch_size,
            "steps": p.steps,
            "repeats": len(values),
            "corruption": p.recipe.corruption is not None,
            "clock": clock,
            "way": way,
            **{key: f"{value:.6g}" for key, value in row.items()},
        }
    for label, (sign, target) in TARGETS.items():
        way, base = label.split(" / ")
        if way in seconds:
            ratio = float(np.median(np.divide(seconds[way], seconds[base])))
            met = ratio <= target if sign == "<=" else ratio >= target
            word = "met" if met else "missed"
            print(f"{label:15}{ratio:6.2f}   target {sign} {target}: {word}")
    if "loader" in seconds:
        ratio = loading["loader"] / loading["train"]
        print(f"loading alone, loader / train: {ratio:.0f}")


def main() -> None:
    """Measure the sets that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=2, help="epochs a run")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--corruption", action="store_true", help="as in `fit`")
    parser.add_argument("--output", type=Path, default=RESULTS / "training_step.csv")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    source = provenance(args.device)
    ways = list(WAYS)[:2] if args.corruption else list(WAYS)
    for name in args.sets:
        problem = make_problem(
            name, epochs=args.epochs, device=args.device, corruption=args.corruption
        )
        seconds = measure(problem, ways, args.repeats, CLOCKS[args.clock])
        rows = report(name, problem, seconds, args.clock)
        append_rows(args.output, [source | row for row in rows])


if __name__ == "__main__":
    main()
