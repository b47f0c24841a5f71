"""The single tests behind `faithfulness_report`, one function each."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.base import is_classifier

from skfusion.batch import ModalityBatch
from skfusion.corruption import Noise, Swap
from skfusion.inspection._resolving import (
    has_labels,
    logits,
    with_block,
    with_present,
)

__all__ = [
    "Finding",
    "Subject",
    "absence",
    "deletion",
    "element_deletion",
    "loss_correlation",
    "noise_fall",
    "swap_fall",
]

SHARE = 0.2  # of a row's elements that are deleted
FEWEST = 5  # elements a row must have for that
DRAWS = 3  # random choices that the heaviest elements are compared with
EXACT = 256  # rows that the test of absence looks at


class Finding(NamedTuple):
    """One figure, and what it must reach.

    `holds` and `fails` say in words what it means if it does, and if it does not.
    """

    test: str
    measure: str
    value: float
    target: float
    sign: str  # ">=" or "<="
    n: int
    holds: str
    fails: str


class Subject:
    """A fitted estimator, rows with their truth, and what several tests need of them.

    Parameters
    ----------
    final : FusionClassifier or FusionRegressor
    batch : ModalityBatch of n_samples rows
    y : ndarray of shape (n_samples,) or (n_samples, n_targets)
    seed : int
    """

    def __init__(
        self, final: Any, batch: ModalityBatch, y: NDArray[Any], seed: int
    ) -> None:
        self.final, self.batch, self.y, self.seed = final, batch, y, seed
        self.is_classifier = is_classifier(final)
        self.names = final.modality_names_
        self.present = batch.present
        # Where one modality is alone, its weight is 1 whatever it says.
        self.compared = self.present & (self.present.sum(axis=1) >= 2)[:, None]

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        return self.final.modality_weights(self.batch)

    @cached_property
    def output(self) -> NDArray[np.float64]:
        return logits(self.final, self.batch)

    @cached_property
    def own_loss(self) -> NDArray[np.float64]:
        """How wrong each modality, alone, is in each row (n, M)."""
        if has_labels(self.final):
            y = np.asarray(self.y)
            proba = self.final.modality_proba(self.batch)
            losses = [
                -np.log(np.maximum(np.where(y, proba[m], 1 - proba[m]), 1e-12)).mean(1)
                for m in self.names
            ]
        elif self.is_classifier:
            proba = self.final.modality_proba(self.batch)
            truth = np.searchsorted(self.final.classes_, self.y)
            rows = np.arange(len(truth))
            losses = [
                -np.log(np.maximum(proba[m][rows, truth], 1e-12)) for m in self.names
            ]
        else:
            predicted = self.final.modality_predict(self.batch)
            y = np.asarray(self.y, dtype=float).reshape(len(self.batch), -1)
            spread = np.where(y.std(axis=0) > 0, y.std(axis=0), 1)
            losses = [
                (((predicted[m].reshape(y.shape) - y) / spread) ** 2).mean(axis=1)
                for m in self.names
            ]
        return np.stack(losses, axis=1)

    def fall(self, batch: ModalityBatch) -> NDArray[np.float64]:
        """What becomes of the prediction, (n,), if the rows are changed to `batch`.

        Of a classifier, the fall of the log-probability of the class that was
        predicted; of labels, of their log-odds, where they were not; of a regressor,
        how far the prediction moved.
        """
        changed = logits(self.final, batch)
        if has_labels(self.final):
            fell = self.output - changed
            return np.where(self.output > 0, fell, -fell).mean(axis=1)
        if not self.is_classifier:
            return np.abs(changed - self.output).mean(axis=1)
        rows, predicted = np.arange(len(changed)), self.output.argmax(axis=1)
        return self.output[rows, predicted] - changed[rows, predicted]


def noise_fall(subject: Subject, sd: float) -> Iterator[Finding]:
    """Noise on one random modality of each row: does its weight fall?"""
    spec = Noise(float(sd))
    batch, plan = subject.final.corrupt(subject.batch, spec, random_state=subject.seed)
    hit = (plan.noise.numpy() > 0) & subject.compared
    share, ratio = _fall_of_weight(subject, batch, hit)
    test, n = f"noise, sd {sd:g}", int(hit.sum())
    yield Finding(
        test,
        "rows where its weight fell",
        share,
        0.85 if sd < 3 else 0.95,
        ">=",
        n,
        "a noisy modality is trusted less",
        "weights do not tell a noisy modality from a clean one",
    )
    yield Finding(
        test,
        "mean of weight after / before",
        ratio,
        0.8 if sd < 3 else 0.4,
        "<=",
        n,
        "it is trusted much less",
        "it keeps most of its weight",
    )


def swap_fall(subject: Subject) -> Iterator[Finding]:
    """Another row's content in one random modality of each row."""
    batch, plan = subject.final.corrupt(
        subject.batch, Swap(), random_state=subject.seed
    )
    hit = plan.swap.numpy() & subject.compared
    share, _ = _fall_of_weight(subject, batch, hit)
    yield Finding(
        "swap",
        "rows where its weight fell",
        share,
        0.75,
        ">=",
        int(hit.sum()),
        "a modality that contradicts the others is trusted less",
        "contradiction by the others does not lower a weight",
    )


def loss_correlation(subject: Subject) -> Iterator[Finding]:
    """Is a heavy modality one that is right?"""
    w, right, here = subject.weights, -subject.own_loss, subject.compared
    test = "own loss"
    yield Finding(
        test,
        "rank correlation of weight and -loss",
        _spearman(w[here], right[here]),
        0.4,
        ">=",
        int(here.sum()),
        "heavy modalities are the ones that are right",
        "heavy modalities are not the ones that are right",
    )
    for m, name in enumerate(subject.names):
        rows = here[:, m]
        yield Finding(
            test,
            f"the same within {name!r}",
            _spearman(w[rows, m], right[rows, m]),
            0.25,
            ">=",
            int(rows.sum()),
            "it is heavier in the rows where it is right",
            "its weight does not follow where it is right",
        )


def deletion(subject: Subject) -> Iterator[Finding]:
    """Does the prediction lose most where a heavy modality is taken away?"""
    weights, falls = [], []
    for m in range(len(subject.names)):
        rows = subject.compared[:, m]
        if not rows.any():
            continue
        present = subject.present.copy()
        present[:, m] = False
        fall = subject.fall(with_present(subject.batch, present))
        weights.append(subject.weights[rows, m])
        falls.append(fall[rows])
    w, fall = np.concatenate(weights or [[]]), np.concatenate(falls or [[]])
    yield Finding(
        "deletion",
        "rank correlation of weight and loss of support",
        _spearman(w, fall),
        0.5,
        ">=",
        len(w),
        "the prediction hangs on the heavy modalities",
        "what the prediction hangs on has other weights",
    )


def element_deletion(subject: Subject, name: str) -> Iterator[Finding]:
    """Does the prediction lose more by its heaviest elements than by random ones?"""
    modality = subject.batch.modalities[name]
    if not modality.has_elements:
        return
    elements = subject.final.element_weights(subject.batch, name)
    rows = np.array([len(e) >= FEWEST for e in elements])
    if not rows.any():
        return
    rng = np.random.default_rng(subject.seed)
    orders = [
        [np.argsort(-e.to_numpy(), kind="stable") for e in elements],
        *([rng.permutation(len(e)) for e in elements] for _ in range(DRAWS)),
    ]
    names = [e.index for e in elements]
    heavy, *random = [
        subject.fall(_without(subject, name, names, order))[rows].mean()
        for order in orders
    ]
    drawn = float(np.mean(random))
    ratio = float(heavy) / drawn if drawn > 0 else np.inf if heavy > 0 else 0.0
    yield Finding(
        f"elements of {name!r}",
        f"loss by the heaviest {SHARE:.0%} / by random {SHARE:.0%}",
        ratio,
        modality.deletion_target,
        ">=",
        int(rows.sum()),
        "the prediction hangs on the heavy elements",
        "random elements matter about as much as the heavy ones",
    )


def absence(subject: Subject) -> Iterator[Finding]:
    """Is what lies behind the mask of an absent modality never read?"""
    batch = subject.batch[np.arange(min(EXACT, len(subject.batch)))]
    largest = 0.0
    for m, name in enumerate(subject.names):
        present = batch.present.copy()
        present[:, m] = False
        hidden = with_present(batch, present)
        block = hidden.blocks[name]
        other = with_block(hidden, name, block[np.roll(np.arange(len(block)), 1)])
        change = np.abs(
            logits(subject.final, hidden) - logits(subject.final, other)
        ).max()
        seen = present.any(axis=1)
        weight = subject.final.modality_weights(hidden[seen]) if seen.any() else None
        largest = max(largest, float(change))
        if weight is not None:
            largest = max(largest, float(weight[:, m].max()))
    yield Finding(
        "absence",
        "largest weight or trace of an absent modality",
        largest,
        0.0,
        "<=",
        len(batch),
        "an absent modality counts for exactly nothing",
        "something of an absent modality is read",
    )


def _fall_of_weight(
    subject: Subject, batch: ModalityBatch, hit: NDArray[np.bool_]
) -> tuple[float, float]:
    """Share of the cells `hit` (n, M) whose weight fell, and the mean of its ratio."""
    if not hit.any():
        return np.nan, np.nan
    before = subject.weights[hit]
    after = subject.final.modality_weights(batch)[hit]
    ratio = after / np.maximum(before, np.finfo(float).tiny)
    return float((after < before).mean()), float(ratio.mean())


def _without(
    subject: Subject, name: str, names: list[Any], order: list[NDArray[np.intp]]
) -> ModalityBatch:
    """The rows without the first share of their elements in `order`."""
    hidden = np.zeros((len(names), max(map(len, names))), dtype=bool)
    for i, first in enumerate(order):
        if len(first) >= FEWEST:
            hidden[i, first[: round(SHARE * len(first))]] = True
    modality = subject.batch.modalities[name]
    block = modality.hide(subject.batch.blocks[name], hidden, names)
    return with_block(subject.batch, name, block)


def _spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Rank correlation; 0 where one of the two never changes, NaN of under 3 pairs."""
    if len(a) < 3:
        return np.nan
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(spearmanr(a, b).statistic)
