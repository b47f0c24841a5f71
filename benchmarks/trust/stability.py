"""Does anything change that should not: the order of columns, the seed?"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from benchmarks.trust.figures import ADAPTIVE, Figure


def order(data: Any) -> Iterator[Figure]:
    """7: columns, and modalities, in another order."""
    clf = data.fit()
    proba = clf.predict_proba(data.X_test)
    turned = data.X_test[list(data.X_test.columns)[::-1]]
    change = np.abs(clf.predict_proba(turned) - proba).max()
    measure = "largest change of a probability, columns reversed"
    yield Figure(7, ADAPTIVE, measure, float(change), "<=", 1e-6)
    other = data.fit(data.modalities[::-1])
    change = np.abs(other.predict_proba(data.X_test) - proba)
    measure = "largest change of a probability, fitted with the modalities reversed"
    yield Figure(7, ADAPTIVE, measure, float(change.max()), "<=", 1e-6)
    agree = (other.predict(data.X_test) == clf.predict(data.X_test)).mean()
    yield Figure(7, ADAPTIVE, "rows predicted the same, fitted so", float(agree))


def seeds(data: Any, n: int = 3) -> Iterator[Figure]:
    """7: do other seeds rank the modalities the same?"""
    fits = [data.fit(random_state=seed) for seed in range(n)]
    weights = [fit.modality_weights(data.X_test) for fit in fits]
    pairs = [(a, b) for i, a in enumerate(weights) for b in weights[i + 1 :]]
    by_class, by_row = [], []
    for a, b in pairs:
        means = [
            np.concatenate([w[data.y_test == k].mean(axis=0) for k in fits[0].classes_])
            for w in (a, b)
        ]
        by_class.append(spearmanr(*means).statistic)
        by_row.append(spearmanr(a.ravel(), b.ravel()).statistic)
    overall = [spearmanr(a.mean(axis=0), b.mean(axis=0)).statistic for a, b in pairs]
    measure = f"rank correlation of mean weights, lowest of the pairs of {n} seeds"
    yield Figure(7, ADAPTIVE, measure, float(min(overall)), ">=", 0.8)
    measure = "the same, mean weights by class"
    yield Figure(7, ADAPTIVE, measure, float(min(by_class)), ">=", 0.8)
    yield Figure(7, ADAPTIVE, "the same, weights row by row", float(min(by_row)))
    predicted = [fit.predict(data.X_test) for fit in fits]
    same = np.mean([(p == predicted[0]).mean() for p in predicted[1:]])
    yield Figure(7, ADAPTIVE, "rows predicted the same by another seed", float(same))
