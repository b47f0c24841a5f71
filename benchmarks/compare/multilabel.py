"""Several labels at once, next to one estimator a label.

    python -m benchmarks.compare.multilabel               # both sets, seeds 0 to 2
    python -m benchmarks.compare.multilabel --sets made --seeds 0

"made" is made to order: a note of eight words, four numbers and a category; each label
hangs on some of the words, one number, and chance. "clothing" are reviews that come
with the package: from title, review, age and feedback, whether the garment is
recommended, whether it has five stars, and which department it is of (8 labels). Test
rows of the reviews are never read. Rows are added to benchmarks/results/multilabel.csv,
of which docs/benchmarks/multilabel.txt is made.
"""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import roc_auc_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.common.provenance import DOCS, RESULTS, append_rows, newest, provenance
from benchmarks.common.text import csv_table, measured_with, write_fragments
from skfusion import FusionClassifier
from skfusion.datasets import load_clothing_reviews

N_LEARN, N_HELD = 1000, 2000
KEY = ["set", "seed", "who"]
SCORES = {
    "accuracy_all": ("all labels right", ".3f"),
    "accuracy_label": ("a label right", ".3f"),
    "log_loss": ("log-loss of a label", ".4f"),
    "auc": ("area under the ROC curve", ".4f"),
    "cpu_seconds": ("CPU-s of the fit", ".1f"),
}


class Data(NamedTuple):
    """Rows to learn from first, then rows held out."""

    X: pd.DataFrame
    Y: pd.DataFrame
    texts: list[str]
    numbers: list[str]
    categories: list[str]


def made(seed: int, n_labels: int = 6) -> Data:
    """Labels that hang on words, a number, and chance."""
    rng = np.random.default_rng(seed)
    n = N_LEARN + N_HELD
    words, numbers = rng.integers(0, 60, (n, 8)), rng.normal(size=(n, 4))
    meaning = rng.normal(size=(60, n_labels)) * (rng.random((60, n_labels)) < 0.3)
    score = 1.5 * meaning[words].sum(axis=1)
    score += 1.5 * numbers[:, np.arange(n_labels) % 4] - 1
    Y = rng.random((n, n_labels)) < expit(score)
    X = pd.DataFrame(numbers, columns=[f"number {i}" for i in range(4)])
    X["note"] = [" ".join(f"word{i}" for i in row) for row in words]
    X["kind"] = rng.choice(list("abc"), n)
    labels = pd.DataFrame(Y.astype(int)).add_prefix("label ")
    return Data(X, labels, ["note"], list(X.columns[:4]), ["kind"])


def clothing(seed: int) -> Data:
    """Recommendation, five stars, and department, of a review."""
    department = load_clothing_reviews(target="department", subset="train")
    X, name = department.data, department.target
    columns = ["Title", "Review Text", "Age", "Positive Feedback Count"]
    other = load_clothing_reviews(target="rating", subset="train")
    keep = other.data["Department Name"].notna().to_numpy()
    recommended = load_clothing_reviews(subset="train").target.to_numpy()[keep]
    Y = pd.get_dummies(name, dtype=int)
    Y["recommended"] = recommended
    Y["five stars"] = (other.target.to_numpy()[keep] == 5).astype(int)
    rows = np.random.default_rng(seed).permutation(len(X))[: N_LEARN + N_HELD]
    X = X[columns].iloc[rows].fillna({"Title": ""}).reset_index(drop=True)
    return Data(X, Y.iloc[rows].reset_index(drop=True), columns[:2], columns[2:], [])


def linear(data: Data) -> Any:
    """What one would write without this package."""
    before = make_column_transformer(
        *[(TfidfVectorizer(ngram_range=(1, 2)), text) for text in data.texts],
        (StandardScaler(), data.numbers),
        (OneHotEncoder(handle_unknown="ignore"), data.categories),
    )
    model = LogisticRegressionCV(
        Cs=np.logspace(-2, 2, 5),
        l1_ratios=(0,),
        scoring="neg_log_loss",
        max_iter=1000,
        use_legacy_attributes=False,
    )
    return make_pipeline(before, OneVsRestClassifier(model))


SETS = {"made": made, "clothing": clothing}
METHODS = {
    "skfusion, all labels": lambda data, seed: FusionClassifier(random_state=seed),
    "skfusion, one a label": lambda data, seed: MultiOutputClassifier(
        FusionClassifier(random_state=seed)
    ),
    "linear, one a label": lambda data, seed: linear(data),
}


def measure(data: Data, model: Any) -> dict[str, Any]:
    """Fit, and score the rows held out."""
    learn, held = slice(N_LEARN), slice(N_LEARN, None)
    y = data.Y.to_numpy()
    start = time.process_time()
    model.fit(data.X[learn], y[learn])
    seconds = time.process_time() - start
    proba = model.predict_proba(data.X[held])
    if isinstance(proba, list):
        proba = np.stack([p[:, 1] for p in proba], axis=1)
    proba, truth = np.clip(proba, 1e-9, 1 - 1e-9), y[held]
    right = (proba > 0.5) == truth
    loss = -np.log(np.where(truth, proba, 1 - proba))
    return {
        "accuracy_all": f"{right.all(axis=1).mean():.4f}",
        "accuracy_label": f"{right.mean():.4f}",
        "log_loss": f"{loss.mean():.4f}",
        "auc": f"{roc_auc_score(truth, proba):.4f}",
        "cpu_seconds": f"{seconds:.1f}",
    }


def means(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over the seeds, a line a set and method."""
    return rows.groupby(["set", "labels", "who"], sort=False)[list(SCORES)].mean()


def table(rows: pd.DataFrame) -> str:
    """The means, for the docs."""
    found = means(rows)
    lines = [
        [f"{name}, {n} labels", who, *(format(line[s], SCORES[s][1]) for s in SCORES)]
        for (name, n, who), line in found.iterrows()
    ]
    header = ["rows", "method", *(title for title, _ in SCORES.values())]
    return f"{csv_table(lines, header, stub=2)}\n\n{measured_with(rows)}."


def main() -> None:
    """Measure the sets that the command line names; with no seeds, only print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--output", type=Path, default=RESULTS / "multilabel.csv")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="The least populated class")
    source = provenance()
    for name in options.sets:
        for seed in options.seeds:
            data = SETS[name](seed)
            about = {"set": name, "seed": seed, "labels": data.Y.shape[1]}
            for who, make in METHODS.items():
                found = measure(data, make(data, seed))
                append_rows(options.output, [source | about | {"who": who} | found])
    rows = newest(options.output, KEY)
    print(means(rows).to_string())
    if options.output == RESULTS / "multilabel.csv":
        write_fragments(
            "benchmarks.compare.multilabel", DOCS, {"multilabel": table}, rows
        )


if __name__ == "__main__":
    main()
