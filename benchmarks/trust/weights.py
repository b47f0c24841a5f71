"""Are weights true: under noise, in size, and where a modality tells nothing?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import spearmanr

from benchmarks.trust.figures import ADAPTIVE, Figure, difference
from skfusion.inspection import faithfulness_report, modality_shapley

# What the tests of the report are numbered on the page.
ITEMS = {
    "noise, sd 1": 1,
    "noise, sd 3": 1,
    "own loss": 2,
    "deletion": 3,
    "swap": 4,
    "absence": 6,
}
# Targets that are others than those of the report.
TARGETS = {
    "noise, sd 1: mean of weight after / before": 0.8,
    "noise, sd 3: mean of weight after / before": 0.4,
}
N_ROWS = 300  # whose exact Shapley values are computed
LARGE_JOINT = 0.2  # share of the joint part above which weights are judged with it
NO_WEIGHT = 0.03  # of a modality of random numbers


def faithfulness(
    data: Any, swap_target: float = 0.75, fusion: str = "adaptive"
) -> Iterator[Figure]:
    """Tests 1 to 4, 6 (absence) and 8 (elements) of the report."""
    clf = data.fit(fusion=fusion)
    kinds = {f"elements of {name!r}": kind for name, kind, _ in data.modalities}
    targets = TARGETS | {"swap: rows where its weight fell": swap_target}
    table = faithfulness_report(clf, data.X_test, data.y_test).table
    columns = ["test", "measure", "value", "target"]
    for test, measure, value, target in table[columns].itertuples(index=False):
        sign, number = target.split()
        title = f"{test}: {measure}"
        limit = targets.get(title, float(number))
        if test in kinds:
            limit = 3.0 if kinds[test] == "text" else 2.0
        yield Figure(ITEMS.get(test, 8), fusion, title, float(value), sign, limit)
    share = float(clf.joint_share(data.X_test).mean())
    yield Figure(3, fusion, "mean share of the joint part", share)
    score = float(clf.score(data.X_test, data.y_test))
    yield Figure(9, fusion, "accuracy", score)


# ---------------------------------------------------------------- exact Shapley shares


class Shares(NamedTuple):
    """Rows with two modalities or more: which are present, and what each counts."""

    rows: np.ndarray  # numbers of the rows
    present: np.ndarray  # (n, M)
    share: np.ndarray  # (n, M), rows sum to 1

    def distance(self, weights: np.ndarray) -> float:
        """Mean over rows of the mean distance of weight and share."""
        gap = np.abs(weights - self.share) * self.present
        return float((gap.sum(axis=1) / self.present.sum(axis=1)).mean())


def shapley_shares(model: Any, X: Any, *, is_classification: bool) -> Shares:
    """Shares of the size of Shapley values: of the predicted class, or the number."""
    found = modality_shapley(model, X)
    n = len(found.output)
    target = found.output.argmax(axis=1) if is_classification else np.zeros(n, int)
    size = np.abs(found.shapley[np.arange(n), :, target])
    present = model.modalities_.transform(X).present
    rows = np.flatnonzero((present.sum(axis=1) > 1) & (size.sum(axis=1) > 1e-12))
    return Shares(rows, present[rows], _to_sum_1(size[rows]))


def _to_sum_1(size: np.ndarray) -> np.ndarray:
    return size / np.maximum(size.sum(axis=1, keepdims=True), 1e-12)


def shapley(
    data: Any,
    limits: Mapping[str, float] | None = None,
    together: Sequence[str] = (),
) -> Iterator[Figure]:
    """13: weights against exact Shapley shares.

    `limits` are the largest mean weights of modalities that tell next to nothing, and
    `together` modalities of which the weights and the shares are summed.
    """
    model, X = data.fit(), data.some(N_ROWS)
    exact = shapley_shares(model, X, is_classification=data.is_classification)
    weights = model.modality_weights(X)[exact.rows]
    contributions, _ = model.modality_contributions(X, joint="shared")
    size = np.abs(contributions).mean(axis=-1)
    if data.is_classification:  # of all classes, and of the one that is predicted
        predicted = model.predict_proba(X).argmax(axis=1)
        size += np.abs(contributions[np.arange(len(size)), :, predicted])
    shared = _to_sum_1(size)[exact.rows]
    joint = float(model.joint_share(X)[exact.rows].mean())
    even = exact.present / exact.present.sum(axis=1, keepdims=True)
    near, far = (0.05, float("nan")) if joint <= LARGE_JOINT else (float("nan"), 0.1)

    def figure(measure: str, value: float, sign: str, limit: float) -> Figure:
        sign = "" if np.isnan(limit) else sign
        return Figure(13, ADAPTIVE, measure, value, sign, limit)

    what = "distance of weight and Shapley share"
    yield figure(what, exact.distance(weights), "<=", near)
    yield figure(f"{what}, joint part shared", exact.distance(shared), "<=", far)
    yield figure(f"{what}, even weights", exact.distance(even), "", float("nan"))
    correlation = _rank_correlation(weights, exact)
    measure = "rank correlation of weight and Shapley share"
    limit = 0.9 if joint <= LARGE_JOINT else float("nan")
    yield figure(measure, correlation, ">=", limit)
    correlation = _rank_correlation(shared, exact)
    yield figure(f"{measure}, joint part shared", correlation, "", float("nan"))
    yield figure("joint share of those rows", joint, "", float("nan"))
    yield from _means(model.modality_names_, weights, exact, limits or {}, together)


def _rank_correlation(weights: np.ndarray, exact: Shares) -> float:
    """Over all rows and modalities that are present."""
    pair = weights[exact.present], exact.share[exact.present]
    if min(map(np.ptp, pair)) == 0:
        return 0.0
    return float(spearmanr(*pair).statistic)


def _means(
    names: Sequence[str],
    weights: np.ndarray,
    exact: Shares,
    limits: Mapping[str, float],
    together: Sequence[str],
) -> Iterator[Figure]:
    """Mean weight and mean share of each modality."""
    for m, name in enumerate(names):
        weight, share = float(weights[:, m].mean()), float(exact.share[:, m].mean())
        target = ("<=", limits[name]) if name in limits else ()
        yield Figure(13, ADAPTIVE, f"mean weight of {name!r}", weight, *target)
        yield Figure(13, ADAPTIVE, f"mean Shapley share of {name!r}", share)
    if together:
        chosen = [names.index(name) for name in together]
        weight, share = (
            float(values[:, chosen].sum(axis=1).mean())
            for values in (weights, exact.share)
        )
        title = f"of {', '.join(together)} together"
        yield Figure(13, ADAPTIVE, f"mean weight {title}", weight)
        yield Figure(13, ADAPTIVE, f"mean Shapley share {title}", share)
        gap = abs(weight - share)
        yield Figure(13, ADAPTIVE, f"distance of both {title}", gap, "<=", 0.05)


# ---------------------------------------------------------------- a useless modality


def random_modality(data: Any) -> Iterator[Figure]:
    """5: a modality of noise is added and the network fitted again."""
    rng = np.random.default_rng(0)
    names = [f"random_{i}" for i in range(16)]

    def with_noise(X: Any) -> Any:
        noise = rng.normal(size=(len(X), len(names))).astype(np.float32)
        return X.assign(**dict(zip(names, noise.T, strict=True)))

    views = [*data.modalities, ("random", "vector", names)]
    beside = data.with_rows(with_noise(data.X), with_noise(data.X_test), views)
    model = beside.fit()
    weight = float(model.modality_weights(beside.X_test)[:, -1].mean())
    yield Figure(5, ADAPTIVE, "weight of a random modality", weight, "<=", NO_WEIGHT)
    times = weight * len(views)
    yield Figure(5, ADAPTIVE, "the same, times M", times)
    exact = shapley_shares(model, beside.some(N_ROWS), is_classification=True)
    share = float(exact.share[:, -1].mean())
    yield Figure(5, ADAPTIVE, "Shapley share of a random modality", share)
    lost, error = difference(data.right(), beside.right())
    yield Figure(5, ADAPTIVE, "accuracy lost by it, points", lost, "<=", 0.3)
    yield Figure(5, ADAPTIVE, "standard error of that", error)
