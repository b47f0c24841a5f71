"""The figures of `trust.py`, each with the target that it must reach."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

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
    faithfulness_report,
    modality_contributions,
    robustness_curve,
)

# What the numbers of the list stand for.
ITEMS = {
    "noise, sd 1": 1,
    "noise, sd 3": 1,
    "own loss": 2,
    "deletion": 3,
    "swap": 4,
    "absence": 6,
}
# Corruptions that training never sees, and the column that they befall.
UNSEEN = {
    ImageBlur: "image",
    ImageOcclusion: "image",
    ImageJPEG: "image",
    SoundClipping: "audio",
    SoundBandPass: "audio",
    SoundBabble: "audio",
}


ADAPTIVE, CONCAT, MEAN, LATE = "adaptive", "concat", "mean", "late"
PLAIN = "concat, trained on clean rows"


class Figure(NamedTuple):
    """One figure; `sign` is ">=" or "<=", or "" where there is no target."""

    item: int
    fusion: str
    measure: str
    value: float
    sign: str = ""
    target: float = float("nan")

    def row(self) -> dict[str, Any]:
        """The columns of the results file."""
        met = ""
        if self.sign:
            gap = (self.value - self.target) * (1 if self.sign == ">=" else -1)
            met = "yes" if gap >= 0 else "no"
        return {
            "item": self.item,
            "fusion": self.fusion,
            "measure": self.measure,
            "value": f"{self.value:.6g}",
            "target": f"{self.sign} {self.target:g}" if self.sign else "",
            "met": met,
        }


def faithfulness(
    data: Any, swap_target: float = 0.75, fusion: str = "adaptive"
) -> Iterator[Figure]:
    """Tests 1 to 4, 6 (absence) and 8 (elements) of the report."""
    clf = data.fit(fusion=fusion)
    table = faithfulness_report(clf, data.X_test, data.y_test).table
    for test, measure, value, target in table[
        ["test", "measure", "value", "target"]
    ].itertuples(index=False):
        sign, number = target.split()
        if test == "swap":
            number = swap_target
        yield Figure(
            ITEMS.get(test, 8),
            fusion,
            f"{test}: {measure}",
            float(value),
            sign,
            float(number),
        )
    parts = modality_contributions(clf, data.X_test)
    share = float(parts.joint_share.mean())
    yield Figure(3, fusion, "mean share of the joint part", share)
    score = float(clf.score(data.X_test, data.y_test))
    yield Figure(9, fusion, "accuracy", score)


def random_modality(data: Any) -> Iterator[Figure]:
    """5: a modality of noise is added and the network fitted again."""
    rng = np.random.default_rng(0)
    names = [f"random_{i}" for i in range(16)]

    def with_noise(X: Any) -> Any:
        noise = rng.normal(size=(len(X), len(names))).astype(np.float32)
        return X.assign(**dict(zip(names, noise.T, strict=True)))

    views = [*data.modalities, ("random", "vector", names)]
    spoilt = data.with_rows(with_noise(data.X), with_noise(data.X_test), views)
    weights = spoilt.fit().modality_weights(spoilt.X_test)
    yield Figure(
        5,
        ADAPTIVE,
        "weight of a random modality, times M",
        float(weights[:, -1].mean() * len(views)),
        "<=",
        0.5,
    )
    right, right_with_it = data.right(), spoilt.right()
    lost, error = _difference(right, right_with_it)
    yield Figure(5, ADAPTIVE, "accuracy lost by it, points", lost, "<=", 0.3)
    yield Figure(5, ADAPTIVE, "standard error of that", error)


def clean_cost(data: Any) -> Iterator[Figure]:
    """9: accuracy on clean rows against the ungated rules."""
    right = {rule: data.right(fusion=rule) for rule in (ADAPTIVE, CONCAT, MEAN)}
    for rule, rows in right.items():
        loss = _log_loss(data.fit(fusion=rule), data.X_test, data.y_test)
        yield Figure(9, rule, "accuracy", float(rows.mean()))
        yield Figure(9, rule, "log-loss", loss)
    best = max((CONCAT, MEAN), key=lambda rule: right[rule].mean())
    cost, error = _difference(right[best], right[ADAPTIVE])
    yield Figure(9, ADAPTIVE, "points below the best ungated rule", cost, "<=", 0.3)
    yield Figure(9, ADAPTIVE, "standard error of that, points below", error)


def _log_loss(clf: Any, X: Any, y: np.ndarray) -> float:
    return float(log_loss(y, clf.predict_proba(X), labels=clf.classes_))


def _difference(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Points of accuracy by which `a` is above `b` on the same rows, and its error."""
    points = 100.0 * (a.astype(float) - b.astype(float))
    return float(points.mean()), float(points.std() / np.sqrt(len(points)))


def _masked(batch: ModalityBatch, shown: Sequence[str]) -> ModalityBatch:
    """The batch in which all but some modalities are absent."""
    blocks = {}
    for name, block in batch.blocks.items():
        rows = np.arange(len(block))
        blocks[name] = block[rows]
        blocks[name].present = block.present & (name in shown)
    return ModalityBatch(blocks, batch.modalities)


def absence(data: Any) -> Iterator[Figure]:
    """6: accuracy with each modality absent in all rows."""
    clf = data.fit()
    batch = clf.modalities_.transform(data.X_test)
    for name in clf.modality_names_:
        shown = [m for m in clf.modality_names_ if m != name]
        score = clf.score(_masked(batch, shown), data.y_test)
        yield Figure(6, ADAPTIVE, f"accuracy without {name}", float(score))


def without_each(data: Any) -> Iterator[Figure]:
    """6: against a network that never had the modality."""
    clf = data.fit()
    batch = clf.modalities_.transform(data.X_test)
    for name in clf.modality_names_:
        views = [view for view in data.modalities if view[0] != name]
        never = data.right(views)
        shown = _masked(batch, [view[0] for view in views])
        gain, error = _difference(clf.predict(shown) == data.y_test, never)
        measure = f"without {name}, points above a network that never had it"
        yield Figure(6, ADAPTIVE, measure, gain, ">=", -1.0)
        yield Figure(6, ADAPTIVE, f"standard error of that, without {name}", error)


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
    measure = "points above the better of those that trained on disturbed rows"
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


def imbalance(data: Any) -> Iterator[Figure]:
    """11: is a modality left behind by an easier one?"""
    clf = data.fit()
    proba = clf.modality_proba(data.X_test)
    own = {}
    for view in data.modalities:
        name = view[0]
        own[name] = clf.classes_[proba[name].argmax(axis=1)] == data.y_test
        gain, error = _difference(own[name], data.right([view]))
        measure = f"{name}'s own word, points above the same encoder alone"
        yield Figure(11, ADAPTIVE, f"accuracy of {name} alone", float(own[name].mean()))
        yield Figure(11, ADAPTIVE, measure, gain, ">=", -1.0)
        yield Figure(11, ADAPTIVE, f"standard error of that, {name}", error)
    best = max(own.values(), key=np.mean)
    gain, error = _difference(data.right(), best)
    measure = "points of the fused output above the best alone"
    yield Figure(11, ADAPTIVE, measure, gain, ">=", 0)
    yield Figure(11, ADAPTIVE, "standard error of that, fused", error)


def calibration(data: Any) -> Iterator[Figure]:
    """12: expected calibration error on clean and on corrupted rows."""
    clf = data.fit()
    batch = clf.modalities_.transform(data.X_test)
    disturbed, _ = clf.corrupt(batch, Corruption(p_corrupt=0.3), random_state=0)
    noisy, _ = clf.corrupt(batch, Noise(3.0), random_state=0)
    for what, rows, target in (
        ("clean", batch, 0.03),
        ("corrupted", disturbed, 0.06),
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
        yield Figure(8, ADAPTIVE, measure, float(auc), ">=", 0.9)


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
