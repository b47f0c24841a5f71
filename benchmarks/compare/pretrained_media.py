"""What pretrained encoders of pictures and of sound add, beside patches and intervals.

    python -m benchmarks.compare.pretrained_media --cache FOLDER
    python -m benchmarks.compare.pretrained_media --tasks emoji --methods encoder

EfficientNet-Lite0 on pictures and Google's speech embedding on spoken digits, whose
test speakers are not among those to learn from. "alone" is the modality without the
others. Beside them, what one would write by hand: embeddings and the other columns
(one-hot, or TF-IDF) into a linear model, or into histogram gradient boosting, as
`benchmarks.compare` has them. First fold, seed 0; rows go to pretrained_media.csv.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.encoders import pictures, sounds
from benchmarks.common.provenance import RESULTS, append_rows, provenance
from benchmarks.common.tasks import Part, load
from benchmarks.compare import ours, peers_sklearn
from benchmarks.compare.fit import scores
from benchmarks.compare.methods import Predict, Setup
from skfusion.datasets import load_spoken_digits
from skfusion.modalities import AudioModality, ImageModality

SETUP = Setup(seed=0, threads=1, seconds=600)
MODALITIES = {"image": ImageModality, "audio": AudioModality}
Encoders = dict[str, Any]


def spoken_digits() -> tuple[Part, Part]:
    """Recordings of speakers, and of two that are not among them."""
    parts = []
    for subset in ("train", "test"):
        data = load_spoken_digits(split="speaker", subset=subset)
        y, speaker = data.target.to_numpy().astype(int), data.data["speaker"]
        X = data.data[["sound"]].reset_index(drop=True)
        parts.append(
            Part(X, y, speaker.to_numpy(), [("sound", "audio", ["sound"])], 10)
        )
    return parts[0], parts[1]


def alone(name: str) -> tuple[Part, Part]:
    """The pictures of a task, without its other modalities."""
    return tuple(
        part._replace(modalities=[m for m in part.modalities if m[1] == "image"])
        for part in load(name, 0, 0)
    )


TASKS: dict[str, Callable[[], tuple[Part, Part]]] = {
    "fashion_products": lambda: load("fashion_products", 0, 0),
    "fashion_products:masked": lambda: load("fashion_products:masked", 0, 0),
    "fashion_products alone": lambda: alone("fashion_products"),
    "emoji": lambda: load("emoji", 0, 0),
    "emoji alone": lambda: alone("emoji"),
    "houses": lambda: load("houses", 0, 0),
    "houses alone": lambda: alone("houses"),
    "spoken digits, unseen speakers": spoken_digits,
}
#: Where the last map alone is measured too.
LAST = ("fashion_products alone", "emoji alone", "houses alone")


def with_encoders(part: Part, encoders: Encoders) -> Part:
    """The same rows, their pictures and sounds read by pretrained encoders too."""
    return part._replace(
        modalities=[
            (name, MODALITIES[kind](encoder=encoders[kind]), columns)
            if kind in encoders
            else (name, kind, columns)
            for name, kind, columns in part.modalities
        ]
    )


def as_vectors(part: Part, encoders: Encoders) -> Part:
    """The same rows, embeddings in place of pictures and sounds."""
    X, modalities = part.X.copy(), []
    for name, kind, columns in part.modalities:
        if kind not in encoders:
            modalities.append((name, kind, columns))
            continue
        spec = encoders[kind].settled()
        for column in columns:
            vectors = spec.embed(X[column].to_list())
            X[column] = list(vectors)
            modalities.append((f"{name} {column}", "vector", [column]))
    return part._replace(X=X, modalities=modalities)


def fit_ours(train: Part, *, prepare: Callable[[Part], Part]) -> Predict:
    """The package's own estimator, with its defaults."""
    return ours.learner({})(prepare(train), SETUP)


def fit_peer(
    train: Part, *, peer: Callable[..., Predict], prepare: Callable[[Part], Part]
) -> Predict:
    """A method that reads embeddings."""
    predict = peer(prepare(train), SETUP)
    return lambda part: predict(prepare(part))


def methods(cache: str) -> dict[str, Callable[[Part], Predict]]:
    """How rows are learned from, by name."""
    stages = {"image": pictures(cache=cache), "audio": sounds(cache=cache)}
    last = {"image": pictures(None, cache=cache)}
    vectors = partial(as_vectors, encoders=stages)
    return {
        "no encoder": partial(fit_ours, prepare=lambda part: part),
        "encoder": partial(fit_ours, prepare=partial(with_encoders, encoders=stages)),
        "encoder, last map": partial(
            fit_ours, prepare=partial(with_encoders, encoders=last)
        ),
        "embeddings, linear": partial(
            fit_peer, peer=peers_sklearn.early_linear, prepare=vectors
        ),
        "embeddings, hgb": partial(fit_peer, peer=peers_sklearn.hgb, prepare=vectors),
    }


def main() -> None:
    """Measure tasks and print what came out."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--methods", nargs="+", default=[])
    parser.add_argument("--cache", default="memory", help="folder of embeddings")
    parser.add_argument("--output", type=Path, default=RESULTS / "pretrained_media.csv")
    args = parser.parse_args()
    known = methods(args.cache)
    for task in args.tasks:
        train, test = TASKS[task]()
        for name in args.methods or known:
            if name == "encoder, last map" and task not in LAST:
                continue
            start, cpu = time.perf_counter(), time.process_time()
            predicted = np.asarray(known[name](train)(test))
            row = {
                "task": task,
                "method": name,
                "n_train": len(train.y),
                "n_test": len(test.y),
                **dict.fromkeys(("accuracy", "AUC", "log_loss", "ECE", "R2", "RMSE")),
                **scores(test, predicted),
                "seconds": time.perf_counter() - start,
                "cpu_seconds": time.process_time() - cpu,
            }
            append_rows(args.output, [{**provenance(), **row}])
            print({key: v for key, v in row.items() if v is not None}, flush=True)


if __name__ == "__main__":
    main()
