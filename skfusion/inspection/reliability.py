"""Can the probabilities be believed, also where modalities are absent?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import is_classifier

from skfusion.inspection._plotting import FAINT, colour_of, new_axes
from skfusion.inspection._resolving import (
    has_labels,
    quiet_about_empty_rows,
    resolve,
)

__all__ = ["ReliabilityDisplay"]

EVERYTHING = "all"
FEWEST = 5  # rows of a bin that a line leads to


class ReliabilityDisplay:
    """Accuracy against confidence, for each pattern of what is there.

    The confidence is the probability of the predicted class. Use `from_estimator` or
    `from_predictions` to make one.

    Parameters
    ----------
    confidence : ndarray of shape (n_samples,)
    correct : ndarray of shape (n_samples,), bool
    pattern : ndarray of n_samples str
        What is there in the row.
    n_bins : int

    Attributes
    ----------
    summary : DataFrame
        A row a pattern, the most frequent first: "n", "accuracy", "confidence" (its
        mean) and "ECE", the expected calibration error.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(
        self,
        *,
        confidence: NDArray[np.float64],
        correct: NDArray[np.bool_],
        pattern: NDArray[Any],
        n_bins: int,
    ) -> None:
        self.confidence, self.correct, self.pattern = confidence, correct, pattern
        self.n_bins = n_bins
        names, counts = np.unique(pattern, return_counts=True)
        rows = {}
        for name in names[np.argsort(-counts, kind="stable")]:
            own = pattern == name
            share, stated, accuracy = self._bins(own)
            rows[str(name)] = {
                "n": int(own.sum()),
                "accuracy": correct[own].mean(),
                "confidence": confidence[own].mean(),
                "ECE": float((share * np.abs(stated - accuracy)).sum()),
            }
        self.summary = pd.DataFrame.from_dict(rows, orient="index")

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, n_bins: int = 10, ax: Any = None
    ) -> ReliabilityDisplay:
        """Predict rows and draw.

        Parameters
        ----------
        estimator : FusionClassifier, or Pipeline that ends in one
            Fitted.
        X : DataFrame, array or ModalityBatch of n_samples rows
            Rows that the estimator has not learned from.
        y : array-like of shape (n_samples,)
        n_bins : int, default=10
        ax : matplotlib Axes, optional

        Returns
        -------
        display : ReliabilityDisplay
        """
        found = resolve(estimator)
        if not is_classifier(found.final):
            raise TypeError(
                "A reliability diagram is of probabilities: expected a classifier. Got "
                f"{type(found.final).__name__} instead."
            )
        if has_labels(found.final):
            raise TypeError(
                "A reliability diagram is of one answer a row, but this estimator has "
                "learned several labels. Draw label l, of the probabilities p = "
                "predict_proba(X)[:, l]: from_predictions(Y[:, l], np.stack([1 - p, p],"
                " axis=1), classes=[0, 1])."
            )
        batch = found.batch(X)
        with quiet_about_empty_rows():
            proba = found.final.predict_proba(batch)
        return cls.from_predictions(
            y,
            proba,
            classes=found.final.classes_,
            present=batch.present,
            names=found.names,
            n_bins=n_bins,
            ax=ax,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_proba: Any,
        *,
        classes: Any,
        present: Any = None,
        names: Sequence[str] = (),
        n_bins: int = 10,
        ax: Any = None,
    ) -> ReliabilityDisplay:
        """Draw probabilities that are known.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
        y_proba : array-like of shape (n_samples, n_classes)
        classes : array-like of shape (n_classes,)
            Which class each column is.
        present : array-like of shape (n_samples, n_modalities), bool, optional
            True where a modality is there. Without it all rows are one pattern.
        names : sequence of n_modalities str
        n_bins : int, default=10
            Bins of equal width between 0 and 1.
        ax : matplotlib Axes, optional

        Returns
        -------
        display : ReliabilityDisplay
        """
        proba = np.asarray(y_proba, dtype=float)
        classes, y = np.asarray(classes), np.asarray(y_true)
        if proba.shape != (len(y), len(classes)):
            raise ValueError(
                f"`y_proba` must have shape ({len(y)}, {len(classes)}): a row a label, "
                f"a column a class. Got {proba.shape}."
            )
        pattern = np.full(len(y), EVERYTHING, dtype=object)
        if present is not None:
            present = np.asarray(present, dtype=bool)
            pattern[:] = [_pattern(row, names) for row in present]
        correct = classes[proba.argmax(axis=1)] == y
        return cls(
            confidence=proba.max(axis=1),
            correct=correct,
            pattern=pattern,
            n_bins=n_bins,
        ).plot(ax)

    def plot(self, ax: Any = None, *, most: int = 6) -> ReliabilityDisplay:
        """Draw: a dot a bin, larger with more rows; lines join bins of 5 rows or more.

        Parameters
        ----------
        ax : matplotlib Axes, optional
        most : int, default=6
            At most so many patterns, the most frequent.

        Returns
        -------
        display : ReliabilityDisplay
        """
        self.ax_ = new_axes(ax)
        self.figure_ = self.ax_.figure
        self.ax_.plot([0, 1], [0, 1], color=FAINT, linestyle=":", zorder=1)
        for i, (name, row) in enumerate(self.summary.head(most).iterrows()):
            share, stated, accuracy = self._bins(self.pattern == name)
            seen, firm = share > 0, share * row["n"] >= FEWEST
            colour = colour_of(i)
            self.ax_.plot(
                stated[firm],
                accuracy[firm],
                color=colour,
                alpha=0.6,
                linewidth=1,
                label=f"{name} (n = {int(row['n'])}, ECE {row['ECE']:.3f})",
            )
            self.ax_.scatter(
                stated[seen], accuracy[seen], s=12 + 200 * share[seen], color=colour
            )
        self.ax_.set(
            xlabel="confidence: probability of the predicted class",
            ylabel="accuracy",
            xlim=(0, 1.03),
            ylim=(0, 1.03),
        )
        self.ax_.legend(frameon=False, loc="best", fontsize=8)
        self.ax_.spines[["top", "right"]].set_visible(False)
        return self

    def _bins(
        self, own: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Share of the rows, mean confidence and accuracy of each bin (n_bins,)."""
        confidence, correct = self.confidence[own], self.correct[own]
        at = np.minimum((confidence * self.n_bins).astype(int), self.n_bins - 1)
        counts = np.bincount(at, minlength=self.n_bins)
        n = np.maximum(counts, 1)
        stated = np.bincount(at, confidence, self.n_bins) / n
        accuracy = np.bincount(at, correct.astype(float), self.n_bins) / n
        return counts / max(len(at), 1), stated, accuracy


def _pattern(present: NDArray[np.bool_], names: Sequence[str]) -> str:
    """What is there, in words."""
    if present.all():
        return EVERYTHING
    here = [name for name, there in zip(names, present, strict=True) if there]
    return " + ".join(here) or "nothing"
