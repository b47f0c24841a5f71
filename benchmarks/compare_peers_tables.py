"""Peers that take a frame with text and categories as they are.

Pictures, sounds, series and vectors are given to them as columns of features, unless
they read those too.
"""

from typing import Any

import numpy as np
import pandas as pd
import smarttab
from catboost import CatBoostClassifier, CatBoostRegressor
from compare_peers_features import Features
from compare_peers_sklearn import Predict, Setup, joined_trees
from compare_tasks import Part, hold_out
from lightgbm import LGBMClassifier, LGBMRegressor
from skrub import tabular_pipeline

SHARE = 0.15  # of the training rows, for stopping early


class Mixed:
    """A frame in which some kinds of modality stay as they are.

    The others become columns of features, learned from the training rows.
    """

    def __init__(self, train: Part, keep: set[str], seed: int) -> None:
        self.kept = [m for m in train.modalities if m[1] in keep]
        described = [m for m in train.modalities if m[1] not in keep]
        self.features = None
        if described:
            part = train._replace(modalities=described)
            self.features = Features(part, trees=True, seed=seed)
        self.train = self._frame(train, self.features and self.features.train)

    def columns(self, kind: str) -> list[str]:
        """Columns of the modalities of a kind."""
        return [c for _, k, columns in self.kept if k == kind for c in columns]

    def transform(self, part: Part) -> pd.DataFrame:
        """Other rows."""
        return self._frame(part, self.features and self.features.transform(part))

    def _frame(self, part: Part, described: dict[str, Any] | None) -> pd.DataFrame:
        kept = [c for *_, columns in self.kept for c in columns]
        return pd.concat([part.X[kept], *(described or {}).values()], axis=1)


def lightgbm(train: Part, setup: Setup) -> Predict:
    """LightGBM with its defaults on all columns side by side."""
    kind = LGBMClassifier if train.is_classification else LGBMRegressor
    model = kind(n_jobs=setup.threads, random_state=setup.seed, verbose=-1)
    return joined_trees(model, train, setup)


def catboost(train: Part, setup: Setup) -> Predict:
    """CatBoost with `text_features` and `cat_features`, stopped early."""
    mixed = Mixed(train, {"text", "tabular"}, setup.seed)
    texts = mixed.columns("text")
    table = mixed.train[mixed.columns("tabular")]
    categories = [c for c in table if not pd.api.types.is_numeric_dtype(table[c])]

    def frame(part: Part) -> pd.DataFrame:
        X = mixed.transform(part)
        words = {c: X[c].fillna("").astype(str).astype(object) for c in texts}
        return X.assign(**words, **{c: X[c].astype(object) for c in categories})

    kind = CatBoostClassifier if train.is_classification else CatBoostRegressor
    model = kind(
        text_features=texts,
        cat_features=categories,
        early_stopping_rounds=50,
        thread_count=setup.threads,
        random_seed=setup.seed,
        allow_writing_files=False,
        verbose=False,
    )
    learn, held = hold_out(train, SHARE, setup.seed)
    model.fit(frame(learn), learn.y, eval_set=(frame(held), held.y))
    if train.is_classification:
        return lambda part: model.predict_proba(frame(part))
    return lambda part: model.predict(frame(part))


def skrub(train: Part, setup: Setup) -> Predict:
    """The `tabular_pipeline` of skrub: `TableVectorizer` and gradient boosting."""
    mixed = Mixed(train, {"text", "tabular"}, setup.seed)
    model = tabular_pipeline("classifier" if train.is_classification else "regressor")
    model[-1].set_params(random_state=setup.seed)
    model.fit(mixed.train, train.y)
    if train.is_classification:
        return lambda part: model.predict_proba(mixed.transform(part))
    return lambda part: model.predict(mixed.transform(part))


def smart_tab(train: Part, setup: Setup) -> Predict:
    """SmartTab with `ensemble="auto"` and `fusion="auto"`, as its page shows.

    It keeps a part of the rows for its own report (a fifth by default, here a tenth),
    and is told to choose its thresholds by accuracy.
    """
    mixed = Mixed(train, {"text", "tabular", "image", "audio"}, setup.seed)
    kinds = {
        c: kind for kind in ("text", "image", "audio") for c in mixed.columns(kind)
    }
    task = ("regression", "", "binary")[min(train.n_classes, 2)]
    model = smarttab.fit(
        mixed.train.assign(target=train.y),
        target="target",
        modalities=kinds or None,
        task_type="multiclass" if train.n_classes > 2 else task,
        ensemble="auto",
        fusion="auto",
        objective="accuracy",
        test_size=0.1,
        time_limit=0.7 * setup.seconds,
        cpu_threads=setup.threads,
        feature_workers=setup.threads,
        device="cpu",
        report=False,
        random_state=setup.seed,
        verbose=0,
    )

    def predict(part: Part) -> np.ndarray:
        X = mixed.transform(part)
        if train.is_classification:
            return np.asarray(model.predict_proba(X))
        return np.asarray(model.predict(X).values)

    return predict
