"""How the modalities are weighed, by class or row by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import is_regressor

from skfusion.inspection._plotting import FAINT, colour_of, new_axes
from skfusion.inspection._resolving import resolve

__all__ = ["ModalityWeightsDisplay"]


class ModalityWeightsDisplay:
    """Weights of the modalities: their mean in each class, or every row.

    Use `from_estimator` or `from_predictions` to make one.

    Parameters
    ----------
    weights : ndarray of shape (n_samples, n_modalities)
    names : sequence of n_modalities str
    y : array-like of shape (n_samples,), optional
        Classes by which means are drawn.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    bars_ : list of n_modalities matplotlib artists
    """

    def __init__(
        self, *, weights: NDArray[np.float64], names: Sequence[str], y: Any = None
    ) -> None:
        self.weights, self.names, self.y = weights, tuple(names), y

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any = None, *, by: str = "auto", ax: Any = None
    ) -> ModalityWeightsDisplay:
        """Weigh rows and draw the weights.

        Parameters
        ----------
        estimator : FusionClassifier, FusionRegressor, or Pipeline that ends in one
            Fitted.
        X : DataFrame, array or ModalityBatch of n_samples rows
        y : array-like of shape (n_samples,), optional
            Of a regressor, fifths of the rows by their target stand for classes.
        by, ax
            As in `plot`.

        Returns
        -------
        display : ModalityWeightsDisplay
        """
        found = resolve(estimator)
        weights = found.final.modality_weights(found.batch(X))
        if y is not None and is_regressor(found.final):
            y = _fifths(np.asarray(y))
        return cls.from_predictions(weights, found.names, y, by=by, ax=ax)

    @classmethod
    def from_predictions(
        cls,
        weights: Any,
        names: Sequence[str],
        y: Any = None,
        *,
        by: str = "auto",
        ax: Any = None,
    ) -> ModalityWeightsDisplay:
        """Draw weights that are known.

        Parameters
        ----------
        weights : array-like of shape (n_samples, n_modalities)
        names : sequence of n_modalities str
        y : array-like of shape (n_samples,), optional
        by, ax
            As in `plot`.

        Returns
        -------
        display : ModalityWeightsDisplay
        """
        weights = np.asarray(weights, dtype=float)
        if weights.ndim != 2 or weights.shape[1] != len(names):
            raise ValueError(
                f"`weights` must have shape (n_samples, {len(names)}), one column a "
                f"name in {tuple(names)}. Got {weights.shape}."
            )
        if y is not None and len(y) != len(weights):
            raise ValueError(f"`weights` has {len(weights)} rows and y has {len(y)}.")
        return cls(weights=weights, names=names, y=y).plot(ax, by=by)

    def plot(self, ax: Any = None, *, by: str = "auto") -> ModalityWeightsDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
        by : {"auto", "class", "row"}, default="auto"
            "class" draws the mean weights in each class of `y`; "row" draws every row
            as a thin bar, in the order of the weight of the first modality. "auto" is
            "class" where there is a `y`.

        Returns
        -------
        display : ModalityWeightsDisplay
        """
        if by not in ("auto", "class", "row") or (by == "class" and self.y is None):
            raise ValueError(
                "The 'by' parameter must be 'auto', 'row' or, with y, 'class'. Got "
                f"{by!r} instead" + (" without y." if self.y is None else ".")
            )
        self.ax_ = new_axes(ax)
        self.figure_ = self.ax_.figure
        if by == "row" or self.y is None:
            self._plot_rows()
        else:
            self._plot_classes()
        self.ax_.spines[["top", "right"]].set_visible(False)
        self.ax_.legend(
            loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False
        )
        return self

    def _plot_rows(self) -> None:
        order = np.argsort(self.weights[:, 0], kind="stable")
        stack = self.weights[order].cumsum(axis=1)
        below = np.zeros(len(stack))
        self.bars_ = []
        for m, name in enumerate(self.names):
            self.bars_.append(
                self.ax_.fill_between(
                    np.arange(len(stack) + 1),
                    np.append(below, below[-1:]),
                    np.append(stack[:, m], stack[-1:, m]),
                    step="post",
                    color=colour_of(m),
                    linewidth=0,
                    label=name,
                )
            )
            below = stack[:, m]
        self.ax_.set(xlabel="rows", ylabel="weight", ylim=(0, 1), xlim=(0, len(stack)))

    def _plot_classes(self) -> None:
        y = np.asarray(self.y)
        classes = np.unique(y)
        means = np.array([self.weights[y == k].mean(axis=0) for k in classes])
        left = np.zeros(len(classes))
        self.bars_ = []
        for m, name in enumerate(self.names):
            bars = self.ax_.barh(
                np.arange(len(classes)),
                means[:, m],
                left=left,
                color=colour_of(m),
                label=name,
            )
            labels = [f"{w:.2f}" if w >= 0.08 else "" for w in means[:, m]]
            self.ax_.bar_label(
                bars, labels, label_type="center", color="white", fontsize=8
            )
            self.bars_.append(bars)
            left += means[:, m]
        of = "target" if isinstance(classes[0], pd.Interval) else "class"
        self.ax_.set(xlabel="mean weight", ylabel=of, xlim=(0, 1))
        self.ax_.set_yticks(np.arange(len(classes)), [str(k) for k in classes])
        self.ax_.invert_yaxis()
        self.ax_.tick_params(colors=FAINT, labelcolor="black")


def _fifths(y: NDArray[Any]) -> Any:
    """Intervals of targets (n,), of a fifth of the rows each; a few values stay."""
    if y.ndim > 1 or len(np.unique(y)) <= 5:
        return y
    return np.asarray(pd.qcut(y, 5, duplicates="drop"), dtype=object)
