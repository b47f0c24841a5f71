"""What each balance strategy gives, next to each modality trained alone.

    python -m benchmarks.compare.balance                  # all sets, seed 0
    python -m benchmarks.compare.balance --sets digits --seeds 0 1 --fusions concat

It measures networks alone (no base models, one fold), of half the default width, for
few epochs and on few rows, which is enough to compare and no figure of the package's
quality. Rows that are not learned from are held out and give the figures; test rows are
never read. "digits" and "handwritten" come with the package; the other sets are
AV-MNIST from the folder that SKFUSION_BENCH_DATA names, with clean pictures beside
sound under noise at -5 dB, so that one modality is much easier. Rows are added to
benchmarks/results/balance.csv.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import log_loss

from benchmarks.common.data import BENCH_DATA, read
from benchmarks.common.provenance import RESULTS, append_rows, provenance
from skfusion import FusionClassifier
from skfusion.balance import OGMGE
from skfusion.datasets import load_handwritten_views, load_spoken_digits
from skfusion.fusion import AdaptiveFusion

STRATEGIES: dict[str, dict[str, Any]] = {
    "none": {},
    "mmpareto": {"balance": "mmpareto"},
    "ogm_ge": {"balance": "ogm_ge"},
    "ogm_ge, no noise": {"balance": OGMGE(noise=False)},
    # No strategy, but nothing is corrupted in training, as where a modality is alone.
    "none, not corrupted": {"corruption": None},
}
FUSIONS = {
    "adaptive": "adaptive",
    "no joint part": AdaptiveFusion(joint=False),
    "attention": "attention",
    "concat": "concat",
}


class Data(NamedTuple):
    """A set without its test rows."""

    modalities: list[tuple[str, Any, Any]]
    X: pd.DataFrame
    y: np.ndarray
    n_learn: int
    max_epochs: int


def digits() -> Data:
    """Written and spoken digits."""
    X, y = load_spoken_digits(subset="train", return_X_y=True)
    modalities = [("image", "image", "image"), ("sound", "audio", "sound")]
    return Data(modalities, X, np.asarray(y), 600, 20)


def handwritten() -> Data:
    """Six feature views of written digits."""
    made = load_handwritten_views()
    train = np.flatnonzero(made.split == "train")
    modalities = [(name, "vector", columns) for name, columns in made.views.items()]
    return Data(
        modalities, made.data.iloc[train], np.asarray(made.target)[train], 800, 40
    )


def lopsided() -> Data:
    """Clean pictures and noisy sound of digits."""
    clean, noisy = read("avmnist"), read("avmnist", hard=True, snr_db=-5)
    train = np.flatnonzero(clean.split == "train")
    X = clean.X.assign(audio=noisy.X["audio"])
    return Data(clean.modalities, X.iloc[train], clean.y[train], 700, 20)


SETS = {"digits": digits, "handwritten": handwritten, "avmnist": lopsided}


def measure(
    data: Data, seed: int, fusions: list[str], strategies: list[str]
) -> Iterator[dict[str, Any]]:
    """Each modality alone, then the strategies under the rules."""
    rows = np.random.default_rng(seed).permutation(len(data.y))
    learn, held = np.sort(rows[: data.n_learn]), np.sort(rows[data.n_learn :])
    X_held, y_held = data.X.iloc[held], data.y[held]

    def fit(modalities: Any, **options: Any) -> tuple[FusionClassifier, float]:
        clf = FusionClassifier(
            modalities,
            base_models=None,
            n_folds=1,
            d_model=64,
            max_epochs=data.max_epochs,
            random_state=seed,
            **options,
        )
        start = time.process_time()
        clf.fit(data.X.iloc[learn], data.y[learn])
        return clf, time.process_time() - start

    def row(who: str, clf: FusionClassifier, p: np.ndarray, **more: Any) -> dict:
        right = clf.classes_[p.argmax(axis=1)] == y_held
        return {
            "seed": seed,
            "learned": len(learn),
            "held_out": len(held),
            "epochs": data.max_epochs,
            **more,
            "who": who,
            "accuracy": f"{right.mean():.4f}",
            "log_loss": f"{log_loss(y_held, p, labels=clf.classes_):.4f}",
        }

    for triple in data.modalities if "alone" in strategies else ():
        clf, seconds = fit([triple])
        about = {"fusion": "", "balance": "alone", "cpu_seconds": f"{seconds:.0f}"}
        yield row(triple[0], clf, clf.predict_proba(X_held), **about)
    for fusion in fusions:
        for name in (name for name in strategies if name != "alone"):
            options = {"fusion": FUSIONS[fusion], **STRATEGIES[name]}
            clf, seconds = fit(data.modalities, **options)
            about = {"fusion": fusion, "balance": name, "cpu_seconds": f"{seconds:.0f}"}
            yield row("fused", clf, clf.predict_proba(X_held), **about)
            for who, p in clf.modality_proba(X_held).items():
                yield row(who, clf, p, **about)


def show(results: pd.DataFrame) -> None:
    """Print what the file holds: means over seeds, a line a strategy."""
    results = results.fillna({"fusion": ""})
    for (name, _), table in results.groupby(["set", "epochs"], sort=False):
        first = table.iloc[0]
        print(
            f"\n{name}: {first['learned']} rows learned, {first['held_out']} held out, "
            f"{first['epochs']} epochs"
        )
        by = ["fusion", "balance"]
        wide = table.pivot_table("accuracy", by, "who", sort=False)
        fused = table[table["who"].eq("fused")].groupby(by, sort=False)
        wide["log-loss"] = fused["log_loss"].mean()
        every = table[table["who"].eq(first["who"])].groupby(by, sort=False)
        wide["seconds"] = every["cpu_seconds"].mean()
        wide["seeds"] = every.size()
        print(wide.round(4).to_string(), flush=True)


def main() -> None:
    """Measure the sets that the command line names; with no seeds, only print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--fusions", nargs="+", choices=FUSIONS, default=["adaptive"])
    known = ["alone", *STRATEGIES]
    parser.add_argument("--strategies", nargs="+", choices=known, default=known)
    parser.add_argument("--longer", type=int, default=1, help="factor on the epochs")
    parser.add_argument("--output", type=Path, default=RESULTS / "balance.csv")
    options = parser.parse_args()
    torch.set_num_threads(1)
    source = provenance()
    for name in options.sets:
        if name == "avmnist" and BENCH_DATA is None:
            print("avmnist: left out, SKFUSION_BENCH_DATA is not set")
            continue
        data = SETS[name]()
        data = data._replace(max_epochs=options.longer * data.max_epochs)
        for seed in options.seeds:
            for row in measure(data, seed, options.fusions, options.strategies):
                append_rows(options.output, [source | {"set": name} | row])
    if options.output.exists():
        show(pd.read_csv(options.output))


if __name__ == "__main__":
    main()
