"""Peers that take a frame with text and categories as they are.

Pictures, sounds, series and vectors are given to them as columns of features, unless
they read those too.
"""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import smarttab
from catboost import CatBoostClassifier, CatBoostRegressor
from lightgbm import LGBMClassifier, LGBMRegressor
from skrub import tabular_pipeline

from benchmarks.common.tasks import Part, hold_out
from benchmarks.compare.methods import Predict, Setup
from benchmarks.compare.peers_features import Mixed
from benchmarks.compare.peers_sklearn import joined_trees

SHARE = 0.15  # of the training rows, for stopping early


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
    frame = partial(_as_catboost_wants, mixed, texts, categories)
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
    return partial(_of_frame, model, frame)


def _as_catboost_wants(
    mixed: Mixed, texts: list[str], categories: list[str], part: Part
) -> pd.DataFrame:
    X = mixed.transform(part)
    words = {c: X[c].fillna("").astype(str).astype(object) for c in texts}
    return X.assign(**words, **{c: X[c].astype(object) for c in categories})


def _of_frame(model: Any, frame: Any, part: Part) -> np.ndarray:
    """What a model makes of the frame of some rows."""
    if part.is_classification:
        return np.asarray(model.predict_proba(frame(part)))
    return np.asarray(model.predict(frame(part)))


def skrub(train: Part, setup: Setup) -> Predict:
    """The `tabular_pipeline` of skrub: `TableVectorizer` and gradient boosting."""
    mixed = Mixed(train, {"text", "tabular"}, setup.seed)
    model = tabular_pipeline("classifier" if train.is_classification else "regressor")
    model[-1].set_params(random_state=setup.seed)
    model.fit(mixed.train, train.y)
    return partial(_of_frame, model, mixed.transform)


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
    return partial(_of_smart_tab, model, mixed)


def _of_smart_tab(model: Any, mixed: Mixed, part: Part) -> np.ndarray:
    X = mixed.transform(part)
    if part.is_classification:
        return np.asarray(model.predict_proba(X))
    return np.asarray(model.predict(X).values)
