"""What pictures cost and give: time of an encoder's step, and pictures alone.

    python -m benchmarks.speed.image_encoder              # the cost alone
    python -m benchmarks.speed.image_encoder --sets digits fashion_products

A step is forward and backward of the encoder, in training mode, on 128 pictures of
noise and one thread; the least CPU time of several repeats is shown. The pictures of a
set, alone, are learned by `FusionClassifier` at its defaults, with a stratified quarter
of the training rows held out; test rows are never read. "digits" comes with the
package; "fashion_products" and "avmnist" lie in the folder that SKFUSION_BENCH_DATA
names.
"""

import argparse
import time
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from benchmarks.common.data import read
from skfusion import FusionClassifier
from skfusion.datasets import load_spoken_digits
from skfusion.modalities import ImageModality

SHAPES = ((28, 28), (32, 32, 3), (64, 64, 3))
N_PICTURES = 128


def step_milliseconds(shape: tuple[int, ...], repeats: int) -> float:
    """Least CPU time of a training step of the encoder."""
    pictures = np.random.default_rng(0).integers(
        0, 256, (N_PICTURES, *shape), dtype=np.uint8
    )
    modality = ImageModality(size=shape[0])
    block = modality.fit_transform(pictures)
    torch.manual_seed(0)
    encoder = modality.build_encoder(128, 0.25).train()
    inputs = {"pixels": torch.from_numpy(block.arrays["pixels"])}
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        tokens, _ = encoder(inputs)
        tokens.sum().backward()
        seconds.append(time.process_time() - start)
    return 1000 * min(seconds)


def training_rows(name: str) -> tuple[pd.DataFrame, Any]:
    """Pictures and targets, without the rows kept for the test."""
    if name == "digits":
        X, y = load_spoken_digits(subset="train", return_X_y=True)
        there = X["image"].notna().to_numpy()
        return X.loc[there, ["image"]], np.asarray(y)[there]
    frame = read(name)
    X, y = frame.X[["image"]], np.asarray(frame.y)
    if frame.split is not None:
        rows = np.flatnonzero(frame.split == "train")
    else:
        rows, _ = train_test_split(
            np.arange(len(y)), test_size=0.2, stratify=y, random_state=0
        )
    return X.iloc[rows], y[rows]


def alone(name: str, seed: int) -> tuple[float, float, float]:
    """Accuracy and log-loss on the rows held out, and CPU seconds of the fit."""
    X, y = training_rows(name)
    X, X_held, y, y_held = train_test_split(
        X, y, test_size=0.25, stratify=y, random_state=0
    )
    start = time.process_time()
    clf = FusionClassifier([("image", "image", "image")], random_state=seed).fit(X, y)
    seconds = time.process_time() - start
    p = clf.predict_proba(X_held)
    accuracy = float(np.mean(clf.classes_[p.argmax(axis=1)] == y_held))
    return accuracy, float(log_loss(y_held, p, labels=clf.classes_)), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--sets", nargs="*", default=[])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    options = parser.parse_args()
    torch.set_num_threads(1)
    for shape in SHAPES:
        cost = step_milliseconds(shape, options.repeats)
        print(f"{'x'.join(map(str, shape)):10} {cost:6.0f} ms a step", flush=True)
    for name in options.sets:
        for seed in options.seeds:
            accuracy, loss, seconds = alone(name, seed)
            print(
                f"{name:17} seed {seed}: accuracy {accuracy:.3f}, log-loss {loss:.3f}, "
                f"{seconds:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
