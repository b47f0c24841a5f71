"""Are the heavy elements the ones that tell the class, and do all parts add up?"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from benchmarks.trust.figures import ADAPTIVE, Figure

EXACT = 1e-5  # of the size of the whole
N_ROWS = 300


def sums(data: Any) -> Iterator[Figure]:
    """14: do modalities add up to the output, and elements to their modality?"""
    model, X = data.fit(), data.some(N_ROWS)
    contributions, joint = model.modality_contributions(X)
    whole = contributions.sum(axis=1) + joint
    gap = _from_output(model, X, whole, is_classification=data.is_classification)
    measure = "largest distance of the output and the sum of its parts"
    yield Figure(14, ADAPTIVE, measure, gap, "<=", EXACT)
    for m, name in enumerate(model.modality_names_):
        parts = model.element_contributions(X, name)
        added = np.stack([np.asarray(frame).sum(axis=0) for frame in parts.elements])
        rest = np.asarray(parts.rest).reshape(added.shape)
        own = contributions[:, m].reshape(added.shape)
        gap = np.abs(added + rest - own).max() / max(1.0, np.abs(own).max())
        measure = f"largest distance of {name!r} and the sum of its elements"
        yield Figure(14, ADAPTIVE, measure, float(gap), "<=", EXACT)
        size = np.abs(rest).mean(), np.abs(added).mean()
        share = float(size[0] / max(sum(size), 1e-12))
        yield Figure(14, ADAPTIVE, f"share of {name!r} in no element", share)


def _from_output(
    model: Any, X: Any, whole: np.ndarray, *, is_classification: bool
) -> float:
    """Largest distance of what is predicted and what the parts give."""
    if is_classification:
        proba = softmax(np.log(model.class_prior_) + whole, axis=1)
        return float(np.abs(proba - model.predict_proba(X)).max())
    predicted = np.asarray(model.predict(X), dtype=float).reshape(whole.shape)
    offset = predicted - whole  # the mean of the training target, in every row
    return float(np.ptp(offset, axis=0).max() / max(1.0, np.abs(predicted).max()))


def found_elements(data: Any) -> Iterator[Figure]:
    """8: are the elements heavy that are known to tell the class?"""
    clf = data.fit()
    for name in clf.modality_names_:
        scores, truth = [], []
        elements = clf.element_weights(data.X_test, name)
        for element, place in zip(elements, data.places, strict=True):
            if name in place and len(element):
                scores.append(element.rank(pct=True).to_numpy())
                truth.append(OVERLAP[name](element.index, np.asarray(place[name])))
        known = np.concatenate(truth)
        kept = ~np.isnan(known)
        auc = roc_auc_score(known[kept] == 1, np.concatenate(scores)[kept])
        measure = f"AUC of the weights of known elements, {name}"
        yield Figure(8, ADAPTIVE, measure, float(auc), ">=", 0.95)


def _within(start: float, end: float, low: float, high: float) -> float:
    """1 where most of an element lies in the sign, 0 where nothing does, else NaN."""
    share = max(0.0, min(end, high) - max(start, low)) / (end - start)
    return 1.0 if share >= 0.5 else 0.0 if share == 0 else np.nan


def _patches(index: Any, place: np.ndarray) -> np.ndarray:
    top, left, height, width = place
    rows = np.array([_within(p[0], p[2], top, top + height) for p in index])
    columns = np.array([_within(p[1], p[3], left, left + width) for p in index])
    return np.where((rows == 0) | (columns == 0), 0.0, rows * columns)


def _spans(index: Any, place: np.ndarray) -> np.ndarray:
    """Stretches of a series; its statistics, which have names, lie nowhere."""
    start, stop = place
    return np.array(
        [np.nan if isinstance(e, str) else _within(*e, start, stop) for e in index]
    )


OVERLAP = {
    "text": lambda index, place: np.isin(np.arange(len(index)), place).astype(float),
    "tabular": lambda index, place: np.isin(
        [int(c.split("_")[1]) for c in index], place
    ).astype(float),
    "image": _patches,
    "audio": lambda index, place: np.array(
        [_within(a, b, *(place / 8000)) for a, b in index]
    ),
    "series": _spans,
}
