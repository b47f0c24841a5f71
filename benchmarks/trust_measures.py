"""The figures of `trust.py`, each with the target that it must reach."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
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
            "value": f"{self.value:.4f}",
            "target": f"{self.sign} {self.target:g}" if self.sign else "",
            "met": met,
        }


def _fusion(clf: Any) -> str:
    return clf.fusion if isinstance(clf.fusion, str) else type(clf.fusion).__name__


def faithfulness(clf: Any, data: Any, swap_target: float = 0.75) -> Iterator[Figure]:
    """Tests 1 to 4, 6 (absence) and 8 (elements) of the report."""
    table = faithfulness_report(clf, data.X_test, data.y_test).table
    for test, measure, value, target in table[
        ["test", "measure", "value", "target"]
    ].itertuples(index=False):
        sign, number = target.split()
        if test == "swap":
            number = swap_target
        yield Figure(
            ITEMS.get(test, 8),
            _fusion(clf),
            f"{test}: {measure}",
            float(value),
            sign,
            float(number),
        )
    parts = modality_contributions(clf, data.X_test)
    share = float(parts.joint_share.mean())
    yield Figure(3, _fusion(clf), "mean share of the joint part", share)


def random_modality(clf: Any, data: Any) -> Iterator[Figure]:
    """5: a modality of noise is added and the network fitted again."""
    rng = np.random.default_rng(0)
    names = [f"random_{i}" for i in range(16)]

    def with_noise(X: Any) -> Any:
        noise = rng.normal(size=(len(X), len(names))).astype(np.float32)
        return X.assign(**dict(zip(names, noise.T, strict=True)))

    learn, tell = with_noise(data.X), with_noise(data.X_test)
    views = [*data.modalities, ("random", "vector", names)]
    noisy = data._replace(X=learn, modalities=views).fit()
    weight = noisy.modality_weights(tell)[:, -1].mean() * len(views)
    lost = clf.score(data.X_test, data.y_test) - noisy.score(tell, data.y_test)
    yield Figure(
        5,
        "adaptive",
        "weight of a random modality, times M",
        float(weight),
        "<=",
        0.5,
    )
    yield Figure(
        5, "adaptive", "accuracy lost by it, points", 100 * float(lost), "<=", 0.3
    )


def _masked(batch: ModalityBatch, shown: Sequence[str]) -> ModalityBatch:
    """The batch in which all but some modalities are absent."""
    blocks = {}
    for name, block in batch.blocks.items():
        rows = np.arange(len(block))
        blocks[name] = block[rows]
        blocks[name].present = block.present & (name in shown)
    return ModalityBatch(blocks, batch.modalities)


def absence(clf: Any, data: Any) -> Iterator[Figure]:
    """6: accuracy with each modality absent in all rows."""
    batch = clf.modalities_.transform(data.X_test)
    for name in clf.modality_names_:
        shown = [m for m in clf.modality_names_ if m != name]
        score = clf.score(_masked(batch, shown), data.y_test)
        yield Figure(6, _fusion(clf), f"accuracy without {name}", float(score))
    whole = clf.score(batch, data.y_test)
    yield Figure(6, _fusion(clf), "accuracy with all", float(whole))


def without_each(clf: Any, data: Any) -> Iterator[Figure]:
    """6: against a network that never had the modality."""
    batch = clf.modalities_.transform(data.X_test)
    for name in clf.modality_names_:
        views = [view for view in data.modalities if view[0] != name]
        never = data.fit(views).score(data.X_test, data.y_test)
        shown = [view[0] for view in views]
        score = clf.score(_masked(batch, shown), data.y_test)
        yield Figure(
            6,
            _fusion(clf),
            f"without {name}, points above a network that never had it",
            100 * float(score - never),
            ">=",
            -1.0,
        )


def order(clf: Any, data: Any) -> Iterator[Figure]:
    """7: columns, and modalities, in another order."""
    proba = clf.predict_proba(data.X_test)
    turned = data.X_test[list(data.X_test.columns)[::-1]]
    change = np.abs(clf.predict_proba(turned) - proba).max()
    yield Figure(
        7,
        _fusion(clf),
        "largest change of a probability, columns reversed",
        float(change),
        "<=",
        1e-6,
    )
    other = data.fit(data.modalities[::-1])
    change = np.abs(other.predict_proba(data.X_test) - proba)
    agree = (other.predict(data.X_test) == clf.predict(data.X_test)).mean()
    yield Figure(
        7,
        _fusion(clf),
        "mean change of a probability, refitted in reverse order",
        float(change.mean()),
    )
    yield Figure(7, _fusion(clf), "rows predicted the same, refitted so", float(agree))


def seeds(clf: Any, data: Any, n: int = 3) -> Iterator[Figure]:
    """7: do other seeds rank the modalities the same?"""
    fits = [clf, *(data.fit(random_state=seed) for seed in range(1, n))]
    weights = [fit.modality_weights(data.X_test) for fit in fits]
    pairs = [(a, b) for i, a in enumerate(weights) for b in weights[i + 1 :]]
    by_class = []
    for a, b in pairs:
        means = [
            np.concatenate([w[data.y_test == k].mean(axis=0) for k in clf.classes_])
            for w in (a, b)
        ]
        by_class.append(spearmanr(*means).statistic)
    overall = [spearmanr(a.mean(axis=0), b.mean(axis=0)).statistic for a, b in pairs]
    yield Figure(
        7,
        _fusion(clf),
        "rank correlation of mean weights, lowest of 3 pairs of seeds",
        float(min(overall)),
        ">=",
        0.8,
    )
    yield Figure(
        7,
        _fusion(clf),
        "the same of mean weights by class",
        float(min(by_class)),
        ">=",
        0.8,
    )
    scores = [fit.score(data.X_test, data.y_test) for fit in fits]
    yield Figure(9, _fusion(clf), "accuracy, mean of 3 seeds", float(np.mean(scores)))


def noise_against_concat(clf: Any, concat: Any, data: Any) -> Iterator[Figure]:
    """10: noise of sd 3 on one random modality of each row."""
    scores = {}
    for name, fitted in (("adaptive", clf), ("concat", concat)):
        curve = robustness_curve(
            fitted, data.X_test, data.y_test, kind="noise", levels=[0, 3]
        )
        clean, noisy = curve["score"]
        yield Figure(10, name, "accuracy, clean", float(clean))
        yield Figure(10, name, "accuracy, noise of sd 3", float(noisy))
        scores[name] = noisy
    gain = 100 * (scores["adaptive"] - scores["concat"])
    yield Figure(
        10,
        "adaptive",
        "points above concatenation, noise of sd 3",
        float(gain),
        ">=",
        12,
    )


class Late:
    """The mean of the probabilities of a logistic regression on each modality."""

    def fit(self, batch: ModalityBatch, y: np.ndarray) -> "Late":
        """Fit one for each summary of a modality."""
        self.models = {
            name: make_pipeline(
                StandardScaler(with_mean=False),
                LogisticRegression(max_iter=2000, C=0.01),
            ).fit(batch.modalities[name].features(block), y)
            for name, block in batch.blocks.items()
        }
        return self

    def score(self, batch: ModalityBatch, y: np.ndarray) -> float:
        """Accuracy."""
        proba = [
            model.predict_proba(batch.modalities[name].features(batch.blocks[name]))
            for name, model in self.models.items()
        ]
        classes = next(iter(self.models.values())).classes_
        return float((classes[np.mean(proba, axis=0).argmax(axis=1)] == y).mean())


def unseen(clf: Any, concat: Any, data: Any) -> Iterator[Figure]:
    """10: what training never saw, against concatenation and late fusion."""
    late = Late().fit(clf.modalities_.transform(data.X), data.y)
    for kind, modality in UNSEEN.items():
        column = data.X_test[modality]
        for level in kind.default_levels[1:]:
            rng = np.random.default_rng(0)
            cells = kind(level).corrupt_column(column, rng)
            batch = clf.modalities_.transform(data.X_test.assign(**{modality: cells}))
            scores = {
                "adaptive": clf.score(batch, data.y_test),
                "concat": concat.score(batch, data.y_test),
                "late": late.score(batch, data.y_test),
            }
            what = f"{kind.__name__}({level:g})"
            for name, score in scores.items():
                yield Figure(10, name, f"accuracy, {what}", float(score))
            best = max(scores["concat"], scores["late"])
            yield Figure(
                10,
                "adaptive",
                f"points above the better of both, {what}",
                100 * float(scores["adaptive"] - best),
                ">=",
                0,
            )


def calibration(clf: Any, data: Any) -> Iterator[Figure]:
    """12: expected calibration error on clean and on corrupted rows."""
    batch = clf.modalities_.transform(data.X_test)
    disturbed, _ = clf.corrupt(batch, Corruption(p_corrupt=0.3), random_state=0)
    noisy, _ = clf.corrupt(batch, Noise(3.0), random_state=0)
    for what, rows, target in (
        ("clean", batch, 0.03),
        ("corrupted", disturbed, 0.06),
        ("noise of sd 3", noisy, 0.06),
    ):
        error = expected_calibration_error(clf.predict_proba(rows), clf, data.y_test)
        yield Figure(12, _fusion(clf), f"ECE, {what}", error, "<=", target)


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


def found_elements(clf: Any, X: Any, places: Sequence[dict]) -> Iterator[Figure]:
    """8: are the elements heavy that are known to tell the class?"""
    for name in clf.modality_names_:
        scores, truth = [], []
        for element, place in zip(clf.element_weights(X, name), places, strict=True):
            if name in place and len(element):
                scores.append(element.rank(pct=True).to_numpy())
                truth.append(OVERLAP[name](element.index, np.asarray(place[name])))
        known = np.concatenate(truth)
        kept = ~np.isnan(known)
        auc = roc_auc_score(known[kept] == 1, np.concatenate(scores)[kept])
        measure = f"AUC of the weights of known elements, {name}"
        yield Figure(8, _fusion(clf), measure, float(auc), ">=", 0.9)


def _within(start: float, end: float, low: float, high: float) -> float:
    """1 where most of an element lies in the sign, 0 where nothing does, else NaN."""
    share = max(0.0, min(end, high) - max(start, low)) / (end - start)
    return 1.0 if share >= 0.5 else 0.0 if share == 0 else np.nan


def _patches(index: Any, place: np.ndarray) -> np.ndarray:
    top, left, height, width = place
    rows = np.array([_within(p[0], p[2], top, top + height) for p in index])
    columns = np.array([_within(p[1], p[3], left, left + width) for p in index])
    return np.where((rows == 0) | (columns == 0), 0.0, rows * columns)


OVERLAP = {
    "text": lambda index, place: np.isin(np.arange(len(index)), place).astype(float),
    "tabular": lambda index, place: np.isin(
        [int(c.split("_")[1]) for c in index], place
    ).astype(float),
    "image": _patches,
    "audio": lambda index, place: np.array(
        [_within(a, b, *(place / 8000)) for a, b in index]
    ),
}
