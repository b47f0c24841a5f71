"""Which layers of EfficientNet-Lite0 say most of pictures, by linear models.

    python -m benchmarks.compare.pretrained_layers --cache FOLDER --tasks emoji

On at most 1,200 training rows of the first fold, by four-fold cross-validation:
log-loss of the best of three logistic regressions, or R2 of the best of five ridge
regressions. Test rows are not looked at. What comes out is printed.
"""

import argparse
import warnings
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss, r2_score
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.common.encoders import STAGES, pictures
from benchmarks.common.tasks import Part, load

N_ROWS = 1200
LAST = "_avg_pooling"
CHOICES = [[LAST], *([layer] for layer in STAGES), STAGES, [*STAGES, LAST]]


def embedded(part: Part, layers: list[str], size: int, cache: str) -> np.ndarray:
    """Embeddings of all pictures of each row, side by side."""
    spec = pictures(layers, size=size, cache=cache)
    columns = [c for _, kind, cs in part.modalities if kind == "image" for c in cs]
    return np.hstack([spec.embed(part.X[column].to_list()) for column in columns])


def score(X: np.ndarray, part: Part) -> float:
    """The best cross-validated log-loss, or R2."""
    options: dict[str, Any] = {"n_splits": 4, "shuffle": True, "random_state": 0}
    if not part.is_classification:
        models = [Ridge(alpha=alpha) for alpha in 10.0 ** np.arange(1, 6)]
        said = [
            cross_val_predict(_scaled(model), X, part.y, cv=KFold(**options))
            for model in models
        ]
        return max(r2_score(part.y, p) for p in said)
    labels = np.unique(part.y)
    losses = []
    for C in (1e-4, 1e-3, 1e-2):
        model = _scaled(LogisticRegression(C=C, max_iter=200, tol=1e-2))
        folds = StratifiedKFold(**options)
        p = cross_val_predict(model, X, part.y, cv=folds, method="predict_proba")
        losses.append(log_loss(part.y, p, labels=labels))
    return min(losses)


def _scaled(model: Any) -> Any:
    return make_pipeline(StandardScaler(), model)


def main() -> None:
    """Print the score of each choice of layers."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    tasks = ["fashion_products", "emoji", "houses"]
    parser.add_argument("--tasks", nargs="+", choices=tasks, default=tasks)
    parser.add_argument("--sizes", nargs="+", type=int, default=[64, 128])
    parser.add_argument("--cache", default="memory", help="folder of embeddings")
    args = parser.parse_args()
    for task in args.tasks:
        train, _ = load(task, 0, 0)
        rows = np.random.default_rng(0).permutation(len(train.y))[:N_ROWS]
        part = train.rows(rows)
        for size in args.sizes:
            for layers in CHOICES:
                X = embedded(part, layers, size, args.cache)
                found = round(score(X, part), 3)
                print(task, size, "+".join(layers), X.shape[1], found, flush=True)


if __name__ == "__main__":
    main()
