"""How each modality learned, and which one starves."""

from __future__ import annotations

from typing import Any

import pandas as pd

from skfusion.inspection._plotting import INK, colour_of, new_axes
from skfusion.inspection._resolving import resolve

__all__ = ["LearningCurvesDisplay"]

FUSED = "fused"
LITTLE = 0.1  # of what the best learner's loss fell, relative to where it began


class LearningCurvesDisplay:
    """Losses of the fused output and of each modality's own, epoch by epoch.

    Use `from_estimator` or `from_predictions` to make one.

    Parameters
    ----------
    history : DataFrame
        As in the estimator's `history_`.
    names : sequence of str
        The modalities.

    Attributes
    ----------
    summary : DataFrame
        A row a modality: "first" and "best", its own loss after the first epoch and
        the lowest one, on held-out rows where there are any, else on training rows;
        "fallen", how far the lowest one is below that of knowing nothing, 0 to 1. For
        that stands the highest "first" of all modalities, since the easiest of them may
        have learned nearly all in the first epoch.
    starving : tuple of str
        Modalities that learned next to nothing while another one learned: their loss
        fell by less than a tenth of what the best learner's did.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Notes
    -----
    A modality that has nothing to say looks the same as one that starves beside a
    stronger one. `does_fusion_help` fits each alone, which tells them apart.
    """

    def __init__(self, *, history: pd.DataFrame, names: tuple[str, ...]) -> None:
        self.history, self.names = history, tuple(names)
        # Training losses fall by rote as well.
        losses = {m: _losses(history, m) for m in self.names}
        first = pd.Series({m: loss.iloc[0] for m, loss in losses.items()})
        best = pd.Series({m: loss.min() for m, loss in losses.items()})
        fallen = 1 - best / (first.max() or 1.0)
        self.summary = pd.DataFrame({"first": first, "best": best, "fallen": fallen})
        most = fallen.max()
        hungry = fallen < LITTLE * most if most > LITTLE else fallen < -1
        self.starving = tuple(str(m) for m in fallen.index[hungry])

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> LearningCurvesDisplay:
        """Draw how a fitted estimator learned.

        Parameters
        ----------
        estimator : FusionClassifier, FusionRegressor, or Pipeline that ends in one
            Fitted.
        ax : matplotlib Axes, optional

        Returns
        -------
        display : LearningCurvesDisplay
        """
        found = resolve(estimator)
        return cls.from_predictions(found.final.history_, found.names, ax=ax)

    @classmethod
    def from_predictions(
        cls, history: pd.DataFrame, names: Any, *, ax: Any = None
    ) -> LearningCurvesDisplay:
        """Draw a history.

        Parameters
        ----------
        history : DataFrame
            As in the estimator's `history_`, a row an epoch.
        names : sequence of str
            The modalities.
        ax : matplotlib Axes, optional

        Returns
        -------
        display : LearningCurvesDisplay
        """
        lacking = [m for m in names if f"train_loss_{m}" not in history]
        if lacking:
            raise ValueError(
                f"The history has no losses of {lacking}; its columns are "
                f"{list(history.columns)}."
            )
        return cls(history=history, names=tuple(names)).plot(ax)

    def plot(self, ax: Any = None) -> LearningCurvesDisplay:
        """Draw: training losses as lines, losses on held-out rows dashed.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        display : LearningCurvesDisplay
        """
        self.ax_ = new_axes(ax)
        self.figure_ = self.ax_.figure
        colours = {name: colour_of(m) for m, name in enumerate(self.names)}
        for name, colour in {**colours, FUSED: INK}.items():
            label = f"{name} (starving?)" if name in self.starving else name
            for part, style in (("train", "-"), ("valid", "--")):
                column = f"{part}_loss_{name}"
                if column not in self.history or self.history[column].isna().all():
                    continue
                self.ax_.plot(
                    self.history.index,
                    self.history[column],
                    linestyle=style,
                    color=colour,
                    linewidth=2.2 if name == FUSED else 1.3,
                    label=label if part == "train" else None,
                )
        self.ax_.set(xlabel="epoch", ylabel="loss (dashed: held-out rows)")
        self.ax_.legend(frameon=False)
        self.ax_.spines[["top", "right"]].set_visible(False)
        return self


def _losses(history: pd.DataFrame, name: str) -> pd.Series:
    """A modality's own losses on held-out rows, or on training rows without any."""
    held_out = f"valid_loss_{name}"
    if held_out in history and history[held_out].notna().all():
        return history[held_out]
    return history[f"train_loss_{name}"]
