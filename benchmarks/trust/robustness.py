"""What fusion costs on clean rows, and what it gains on corrupted ones."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.trust.figures import (
    ADAPTIVE,
    CONCAT,
    LATE,
    MEAN,
    Figure,
    difference,
)
from skfusion.batch import ModalityBatch
from skfusion.corruption import Corruption, Noise
from skfusion.inspection import (
    ImageBlur,
    ImageJPEG,
    ImageOcclusion,
    ReliabilityDisplay,
    SoundBabble,
    SoundBandPass,
    SoundClipping,
    robustness_curve,
)

# Corruptions that training never sees, and the column that they befall.
UNSEEN = {
    ImageBlur: "image",
    ImageOcclusion: "image",
    ImageJPEG: "image",
    SoundClipping: "audio",
    SoundBandPass: "audio",
    SoundBabble: "audio",
}
PLAIN = "concat, trained on clean rows"


def clean_cost(data: Any) -> Iterator[Figure]:
    """9: accuracy on clean rows against the ungated rules."""
    right = {rule: data.right(fusion=rule) for rule in (ADAPTIVE, CONCAT, MEAN)}
    for rule, rows in right.items():
        loss = _log_loss(data.fit(fusion=rule), data.X_test, data.y_test)
        yield Figure(9, rule, "accuracy", float(rows.mean()))
        yield Figure(9, rule, "log-loss", loss)
    best = max((CONCAT, MEAN), key=lambda rule: right[rule].mean())
    cost, error = difference(right[best], right[ADAPTIVE])
    yield Figure(9, ADAPTIVE, "points below the best ungated rule", cost, "<=", 0.3)
    yield Figure(9, ADAPTIVE, "standard error of that, points below", error)


def _log_loss(clf: Any, X: Any, y: np.ndarray) -> float:
    return float(log_loss(y, clf.predict_proba(X), labels=clf.classes_))


def noise_against_concat(data: Any) -> Iterator[Figure]:
    """10: noise of sd 3 on one random modality of each row."""
    fits = {name: data.fit(fusion=name) for name in (ADAPTIVE, CONCAT, MEAN)}
    fits[PLAIN] = data.fit(fusion=CONCAT, corruption=None)
    scores = {}
    for name, clf in fits.items():
        curve = robustness_curve(
            clf, data.X_test, data.y_test, kind="noise", levels=[0, 3]
        )
        clean, scores[name] = map(float, curve["score"])
        yield Figure(10, name, "accuracy, clean", clean)
        yield Figure(10, name, "accuracy, noise of sd 3", scores[name])
    gain = 100 * (scores[ADAPTIVE] - scores[PLAIN])
    measure = "points above plain concatenation, noise of sd 3"
    yield Figure(10, ADAPTIVE, measure, gain, ">=", 12)
    gain = 100 * (scores[ADAPTIVE] - max(scores[CONCAT], scores[MEAN]))
    measure = "points above the better of those that trained on corrupted rows"
    yield Figure(10, ADAPTIVE, measure, gain, ">=", 0)


class Late:
    """The mean of the probabilities of a logistic regression on each modality."""

    strengths = (0.001, 0.01, 0.1, 1.0)

    def fit(self, batch: ModalityBatch, y: np.ndarray) -> "Late":
        """Fit one for each summary of a modality, its C chosen on a fifth of it."""
        self.models = {}
        rows, held = train_test_split(
            np.arange(len(y)), test_size=0.2, stratify=y, random_state=0
        )
        for name, block in batch.blocks.items():
            X = batch.modalities[name].features(block)
            losses = {
                C: log_loss(y[held], self._one(C, X[rows], y[rows], X[held]))
                for C in self.strengths
            }
            best = min(losses, key=lambda C: losses[C])
            self.models[name] = self._regression(best).fit(X, y)
        return self

    @staticmethod
    def _regression(C: float) -> Any:
        return make_pipeline(
            StandardScaler(with_mean=False), LogisticRegression(max_iter=2000, C=C)
        )

    def _one(self, C: float, X: Any, y: np.ndarray, X_held: Any) -> np.ndarray:
        return self._regression(C).fit(X, y).predict_proba(X_held)

    def score(self, batch: ModalityBatch, y: np.ndarray) -> float:
        """Accuracy."""
        proba = [
            model.predict_proba(batch.modalities[name].features(batch.blocks[name]))
            for name, model in self.models.items()
        ]
        classes = next(iter(self.models.values())).classes_
        return float((classes[np.mean(proba, axis=0).argmax(axis=1)] == y).mean())


def unseen(data: Any) -> Iterator[Figure]:
    """10: what training never saw, against concatenation and late fusion."""
    clf, concat = data.fit(), data.fit(fusion=CONCAT)
    transform = clf.modalities_.transform
    late = Late().fit(transform(data.X), data.y)

    def compare(what: str, frame: Any) -> Iterator[Figure]:
        batch = transform(frame)
        fitted = {ADAPTIVE: clf, CONCAT: concat, LATE: late}
        scores = {n: float(f.score(batch, data.y_test)) for n, f in fitted.items()}
        for name, score in scores.items():
            yield Figure(10, name, f"accuracy, {what}", score)
        gain = 100 * (scores[ADAPTIVE] - max(scores[CONCAT], scores[LATE]))
        measure = f"points above the better of both, {what}"
        yield Figure(10, ADAPTIVE, measure, gain, ">=", 0)

    yield from compare("nothing done", data.X_test)
    for kind, modality in UNSEEN.items():
        column = data.X_test[modality]
        for level in kind.default_levels[1:]:
            cells = kind(level).corrupt_column(column, np.random.default_rng(0))
            frame = data.X_test.assign(**{modality: cells})
            yield from compare(f"{kind.__name__}({level:g})", frame)


def calibration(data: Any) -> Iterator[Figure]:
    """12: expected calibration error on clean and on corrupted rows."""
    clf = data.fit()
    batch = clf.modalities_.transform(data.X_test)
    corrupted, _ = clf.corrupt(batch, Corruption(p_corrupt=0.3), random_state=0)
    noisy, _ = clf.corrupt(batch, Noise(3.0), random_state=0)
    for what, rows, target in (
        ("clean", batch, 0.03),
        ("corrupted", corrupted, 0.06),
        ("noise of sd 3", noisy, 0.06),
    ):
        error = expected_calibration_error(clf.predict_proba(rows), clf, data.y_test)
        yield Figure(12, ADAPTIVE, f"ECE, {what}", error, "<=", target)


def expected_calibration_error(proba: np.ndarray, clf: Any, y: np.ndarray) -> float:
    """Over 15 bins of the probability of the predicted class."""
    confidence = proba.max(axis=1)
    right = clf.classes_[proba.argmax(axis=1)] == y
    display = ReliabilityDisplay(
        confidence=confidence,
        correct=right,
        pattern=np.full(len(y), "all"),
        n_bins=15,
    )
    return float(display.summary.loc["all", "ECE"])
