"""Targets with heavy tails: a few values that are far larger than all others.

    python -m benchmarks.compare.heavy_tails                # all targets
    python -m benchmarks.compare.heavy_tails --targets counts --rows 300 --seeds 0
    python -m benchmarks.compare.heavy_tails --seeds        # only print

Tables are made to order: four numbers, a category, and a note of six words, some of
which multiply the target. What they have to do with it is partly not linear, and a
quarter of its variance is chance; the same score is then given each distribution. Test
rows are 5,000. The peers read the note as one column a word, the category as one column
each. Rows are added to benchmarks/results/heavy_tails.csv, of which
docs/benchmarks/heavy_tails.txt is made.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from benchmarks.common.provenance import DOCS, RESULTS, append_rows, newest, provenance
from benchmarks.common.text import csv_table, measured_with, write_fragments
from skfusion import FusionRegressor

N_HELD = 5000
KEY = ["target", "n", "seed", "who"]
SCORES = ["rmse", "mae", "cpu_seconds"]
NUMBERS = [f"number {i}" for i in range(4)]
OURS, TREES = "skfusion", "boosted trees"


def table_of(n: int, rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows, and the part of their score that they tell, of variance 3/4."""
    numbers, words = rng.normal(size=(n, 4)), rng.integers(0, 40, (n, 6))
    kind = rng.integers(0, 5, n)
    meaning = rng.normal(size=40) * (np.arange(40) < 12)
    of_kind = rng.normal(size=5)
    score = 0.8 * numbers[:, 0] + 0.6 * np.sin(2 * numbers[:, 1])
    score += 0.4 * numbers[:, 2] * (kind < 2) + 0.6 * of_kind[kind]
    score += 0.8 * meaning[words].sum(axis=1)
    X = pd.DataFrame(numbers, columns=NUMBERS)
    X["kind"] = np.array(list("abcde"))[kind]
    X["note"] = [" ".join(f"word{i}" for i in row) for row in words]
    return X, np.sqrt(0.75) * (score - score.mean()) / score.std()


def counts(z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Negative binomial, one in two hundred of them 30 times as large."""
    expected = np.exp(1 + 1.2 * z) * rng.gamma(2, 0.5, len(z))
    return rng.poisson(expected * np.where(rng.random(len(z)) < 0.005, 30, 1)) * 1.0


def sales(z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Nothing in two fifths of the rows, else lognormal in millions."""
    sold = z + rng.normal(size=len(z)) > -0.36
    return np.where(sold, 1e6 * np.exp(1.2 * z), 0)


#: The target of a score z, which is about standard normal, chance included.
TARGETS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "normal": lambda z, rng: z,
    "lognormal, sigma 1": lambda z, rng: np.exp(z),
    "lognormal, sigma 2": lambda z, rng: np.exp(2 * z),
    "Pareto, alpha 2.5": lambda z, rng: stats.norm.sf(z) ** (-1 / 2.5),
    "Pareto, alpha 1.5": lambda z, rng: stats.norm.sf(z) ** (-1 / 1.5),
    "counts": counts,
    "sales": sales,
    "Student t, 2 df": lambda z, rng: stats.t.ppf(stats.norm.cdf(z), 2),
    "normal, 1 in 100 wrong": lambda z, rng: (
        z * np.where(rng.random(len(z)) < 0.01, 100, 1)
    ),
    "sum of lognormal numbers": lambda z, rng: z,
}


def made(target: str, n: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows to learn from first, then those held out."""
    rng = np.random.default_rng([seed, n, list(TARGETS).index(target)])
    X, told = table_of(n + N_HELD, rng)
    z = told + np.sqrt(0.25) * rng.normal(size=len(told))
    if target == "sum of lognormal numbers":  # whose logarithm is no help
        X[NUMBERS] = np.exp(1.5 * X[NUMBERS])
        z = z + X[NUMBERS].sum(axis=1).to_numpy()
    return X, TARGETS[target](z, rng)


def on_columns(model: Any) -> Any:
    """A peer, and how it reads the table."""
    before = make_column_transformer(
        (CountVectorizer(), "note"),
        (OneHotEncoder(handle_unknown="ignore"), ["kind"]),
        ("passthrough", NUMBERS),
        sparse_threshold=0,
    )
    return make_pipeline(before, model)


def lightgbm(seed: int) -> Any:
    """LightGBM as it comes."""
    from lightgbm import LGBMRegressor

    return on_columns(LGBMRegressor(random_state=seed, n_jobs=1, verbose=-1))


METHODS: dict[str, Callable[[int], Any]] = {
    OURS: lambda seed: FusionRegressor(random_state=seed),
    TREES: lambda seed: on_columns(HistGradientBoostingRegressor(random_state=seed)),
    "LightGBM": lightgbm,
    "boosted trees of log(1 + y)": lambda seed: on_columns(
        TransformedTargetRegressor(
            HistGradientBoostingRegressor(random_state=seed),
            func=np.log1p,
            inverse_func=np.expm1,
        )
    ),
}


def errors(y: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Errors in proportion to those of the best constant of the test rows."""
    mean, median = y.mean(), np.median(y)
    squares = np.mean((y - predicted) ** 2) / np.mean((y - mean) ** 2)
    absolute = np.mean(np.abs(y - predicted)) / np.mean(np.abs(y - median))
    return {"rmse": round(float(squares**0.5), 4), "mae": round(float(absolute), 4)}


def measure(target: str, n: int, seed: int, who: str) -> dict[str, Any] | None:
    """Fit, and score the rows held out; nothing of a logarithm below 0."""
    X, y = made(target, n, seed)
    if "log" in who and y.min() < 0:
        return None
    learn, held = slice(n), slice(n, None)
    start = time.process_time()
    model = METHODS[who](seed).fit(X[learn], y[learn])
    seconds = time.process_time() - start
    found = errors(y[held], model.predict(X[held]))
    return found | {"cpu_seconds": round(seconds, 1)}


def means(rows: pd.DataFrame) -> pd.DataFrame:
    """Geometric means over the seeds, and of ratios of RMSE to boosted trees."""
    wide = rows.set_index(KEY)
    rows = rows.join(wide.xs(TREES, level="who")["rmse"].rename("other"), on=KEY[:3])
    rows["ratio"] = rows["rmse"] / rows["other"]
    by = rows.groupby(["target", "n", "who"], sort=False)
    return np.exp(by[["rmse", "ratio", "mae"]].agg(lambda x: np.log(x).mean())).join(
        by["cpu_seconds"].mean()
    )


def table(rows: pd.DataFrame) -> str:
    """RMSE and MAE of each target and number of rows, for the docs."""
    found = means(rows)
    lines = []
    for (target, n), part in found.groupby(["target", "n"], sort=False):
        part = part.droplevel(["target", "n"])
        cells = [
            f"{part['rmse'][who]:.3f} / {part['mae'][who]:.3f}"
            if who in part.index
            else ""
            for who in METHODS
        ]
        lines.append([target, str(n), *cells])
    text = csv_table(lines, ["target", "rows", *METHODS], stub=2)
    return f"{text}\n\n{measured_with(rows)}."


def main() -> None:
    """Measure what the command line names; with no seeds, only print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--rows", nargs="+", type=int, default=[300, 1000, 3000])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--who", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--output", type=Path, default=RESULTS / "heavy_tails.csv")
    options = parser.parse_args()
    torch.set_num_threads(1)
    source = provenance()
    for seed in options.seeds:
        for n in options.rows:
            for target in options.targets:
                about = {"target": target, "n": n, "seed": seed}
                for who in options.who:
                    found = measure(target, n, seed, who)
                    if found is not None:
                        row = source | about | {"who": who} | found
                        append_rows(options.output, [row])
    rows = newest(options.output, KEY)
    print(means(rows).round(3).to_string())
    if options.output == RESULTS / "heavy_tails.csv":
        write_fragments(
            "benchmarks.compare.heavy_tails", DOCS, {"heavy_tails": table}, rows
        )


if __name__ == "__main__":
    main()
