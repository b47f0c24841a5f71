"""Learns with pytorch-widedeep, in its own environment, what stdin orders."""

import json
import os
import pickle
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

# The registry's torchvision is built for a torch with CUDA; its compiled operators do
# not load beside a CPU build, and it cannot be imported without their names. Nothing
# here calls them.
operators = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    operators.define(f"{name}(Tensor dets, Tensor scores, float threshold) -> Tensor")

from pytorch_widedeep import Trainer  # noqa: E402
from pytorch_widedeep.callbacks import Callback, EarlyStopping  # noqa: E402
from pytorch_widedeep.models import (  # noqa: E402
    BasicRNN,
    TabMlp,
    Vision,
    Wide,
    WideDeep,
)
from pytorch_widedeep.preprocessing import (  # noqa: E402
    TabPreprocessor,
    TextPreprocessor,
    WidePreprocessor,
)

N_EPOCHS = 50
PATIENCE = 5


class Deadline(Callback):
    """End training when its time is over; what was best until then is kept."""

    def __init__(self, seconds):
        super().__init__()
        self.end = time.monotonic() + seconds

    def on_epoch_end(self, epoch, logs=None, metric=None):
        """Look at the clock."""
        if time.monotonic() > self.end:
            self.trainer.early_stop = True


class Inputs:
    """The preprocessors of the package, fitted on the training rows."""

    def __init__(self, X, texts, images):
        self.texts, self.images = texts, images
        table = X.drop(columns=texts)
        self.numbers = [c for c in table if pd.api.types.is_numeric_dtype(table[c])]
        self.categories = [c for c in table if c not in self.numbers]
        self.medians = table[self.numbers].median()
        self.wide = self.tab = None
        X = self.clean(X)
        if self.categories:
            self.wide = WidePreprocessor(wide_cols=self.categories).fit(X)
        if len(table.columns):
            self.tab = TabPreprocessor(
                cat_embed_cols=self.categories or None,
                continuous_cols=self.numbers or None,
                cols_to_scale=self.numbers or None,
                verbose=0,
            ).fit(X)
        self.text = [
            TextPreprocessor(text_col=c, maxlen=90, min_freq=2, n_cpus=1, verbose=0)
            for c in texts
        ]
        for one in self.text:
            one.fit(X)

    def clean(self, X):
        """Numbers without gaps, which the package does not take."""
        texts = {c: X[c].fillna("").astype(str) for c in self.texts}
        categories = {c: X[c].astype(str) for c in self.categories}
        return X.assign(**X[self.numbers].fillna(self.medians), **texts, **categories)

    def transform(self, X, pictures):
        """The arguments of `fit` and `predict`."""
        X, inputs = self.clean(X), {}
        if self.wide:
            inputs["X_wide"] = self.wide.transform(X)
        if self.tab:
            inputs["X_tab"] = self.tab.transform(X)
        if self.text:
            inputs["X_text"] = _one_or_all([one.transform(X) for one in self.text])
        if self.images:
            inputs["X_img"] = _one_or_all([pictures[c] for c in self.images])
        return inputs


def _one_or_all(values):
    return values[0] if len(values) == 1 else values


def network(inputs, pred_dim):
    """The components that the inputs call for, as in the package's examples."""
    parts = {}
    if inputs.wide:
        n_words = int(inputs.wide.wide_dim)
        parts["wide"] = Wide(input_dim=n_words, pred_dim=pred_dim)
    if inputs.tab:
        parts["deeptabular"] = TabMlp(
            column_idx=inputs.tab.column_idx,
            cat_embed_input=getattr(inputs.tab, "cat_embed_input", None),
            continuous_cols=inputs.numbers or None,
            mlp_hidden_dims=[64, 32],
            mlp_dropout=[0.2, 0.2],
        )
    if inputs.text:
        parts["deeptext"] = _one_or_all(
            [
                BasicRNN(
                    vocab_size=len(text.vocab.itos),
                    embed_dim=300,
                    hidden_dim=64,
                    n_layers=3,
                    rnn_dropout=0.2,
                    head_hidden_dims=[32],
                )
                for text in inputs.text
            ]
        )
    if inputs.images:
        pictures = [Vision(head_hidden_dims=[64]) for _ in inputs.images]
        parts["deepimage"] = _one_or_all(pictures)
    # Without a head of its own, 1.7.0 fails on three models of one kind.
    many = max(len(inputs.text), len(inputs.images)) > 2
    head = {"head_hidden_dims": [64, 32]} if many else {}
    return WideDeep(**parts, **head, pred_dim=pred_dim)


def read(folder, name):
    """A frame, its target, and pictures."""
    X = pd.read_parquet(Path(folder, f"{name}.parquet"))
    with np.load(Path(folder, f"{name}.npz")) as file:
        pictures = dict(file)
    return X.drop(columns="target"), X["target"].to_numpy(), pictures


def learn(order):
    """Train, and return the function that predicts."""
    torch.manual_seed(order["seed"])
    np.random.seed(order["seed"])  # noqa: NPY002  (read by the package)
    n_classes = order["n_classes"]
    X, y, pictures = read(order["folder"], "train")
    X_held, y_held, pictures_held = read(order["folder"], "held")
    inputs = Inputs(X, order["texts"], order["images"])
    mean, spread = (y.mean(), y.std()) if n_classes == 0 else (0.0, 1.0)
    objective = (
        ("regression", "", "binary")[n_classes] if n_classes < 3 else "multiclass"
    )
    trainer = Trainer(
        network(inputs, n_classes if n_classes > 2 else 1),
        objective=objective,
        callbacks=[
            EarlyStopping(patience=PATIENCE, restore_best_weights=True),
            Deadline(order["seconds"]),
        ],
        num_workers=0,
        device="cpu",
        verbose=0,
    )
    scale = (lambda y: (y - mean) / spread) if n_classes == 0 else (lambda y: y)
    trainer.fit(
        X_train={**inputs.transform(X, pictures), "target": scale(y)},
        X_val={**inputs.transform(X_held, pictures_held), "target": scale(y_held)},
        n_epochs=N_EPOCHS,
        batch_size=64 if len(y) < 5000 else 256,
    )

    def predict(X, pictures):
        given = inputs.transform(X, pictures)
        if n_classes == 0:
            return trainer.predict(**given) * spread + mean
        return trainer.predict_proba(**given)

    return predict, len(pickle.dumps((inputs, trainer.model)))


def main():
    """Answer after the imports, after learning, and after each prediction."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    # Whatever the package prints goes to stderr: stdout carries the answers.
    answers, sys.stdout = sys.stdout, sys.stderr

    def answer(**figures):
        print(json.dumps(figures), file=answers, flush=True)

    answer()
    predict, n_bytes = learn(json.loads(sys.stdin.readline()))
    answer(bytes=n_bytes)
    for line in sys.stdin:
        folder = json.loads(line)["folder"]
        X, _, pictures = read(folder, "test")
        wall, cpu = time.perf_counter(), time.process_time()
        predicted = predict(X, pictures)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        np.save(Path(folder, "predicted.npy"), predicted)
        answer(wall=wall, cpu=cpu)


if __name__ == "__main__":
    main()
