"""Robustness curves of one or several estimators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from sklearn.base import is_classifier

from skfusion.inspection._plotting import colour_of, new_axes
from skfusion.inspection._resolving import unwrap
from skfusion.inspection.robustness import robustness_curve

__all__ = ["RobustnessCurveDisplay"]

#: What the level means.
LEVELS = {
    "missing": "share of the rows in which it is absent",
    "swap": "share of the rows in which it is another row's",
    "noise": "noise, in standard deviations",
    "blur": "blur, as a share of the longer side",
    "occlusion": "share of the picture that is covered",
    "jpeg": "compression: 1 - JPEG quality / 100",
    "clipping": "share of the samples that are clipped",
    "band-pass": "share of the octaves that are lost",
    "babble": "loudness of other voices",
    "typos": "share of the letters that are hit",
    "word-deletion": "share of the words that are lost",
    "shift": "shift, in interquartile ranges",
}


class RobustnessCurveDisplay:
    """How scores bend as rows become worse.

    Use `from_estimator` or `from_predictions` to make one.

    Parameters
    ----------
    curves : dict of str to DataFrame
        What `robustness_curve` returned, by the name of the estimator.
    ylabel : str, default="score"

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
    """

    def __init__(
        self, *, curves: Mapping[str, pd.DataFrame], ylabel: str = "score"
    ) -> None:
        self.curves, self.ylabel = dict(curves), ylabel

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, ax: Any = None, **parameters: Any
    ) -> RobustnessCurveDisplay:
        """Measure the curve of one estimator, or of several, and draw.

        Parameters
        ----------
        estimator : fitted estimator, or dict of str to fitted estimator
        X, y
            As in `robustness_curve`.
        ax : matplotlib Axes, optional
        **parameters
            Further ones of `robustness_curve`: `kind`, `levels`, `modality`,
            `modalities`, `scoring`, `random_state`.

        Returns
        -------
        display : RobustnessCurveDisplay
        """
        if not isinstance(estimator, Mapping):
            estimator = {type(estimator).__name__: estimator}
        curves = {
            name: robustness_curve(one, X, y, **parameters)
            for name, one in estimator.items()
        }
        ylabel = parameters.get("scoring")
        if ylabel is None:
            classifies = all(is_classifier(unwrap(one)) for one in estimator.values())
            ylabel = "accuracy" if classifies else "R2"
        if not isinstance(ylabel, str):
            ylabel = "score"
        return cls.from_predictions(curves, ylabel=ylabel, ax=ax)

    @classmethod
    def from_predictions(
        cls,
        curves: Mapping[str, pd.DataFrame] | pd.DataFrame,
        *,
        ylabel: str = "score",
        ax: Any = None,
    ) -> RobustnessCurveDisplay:
        """Draw curves that have been measured.

        Parameters
        ----------
        curves : DataFrame or dict of str to DataFrame
            What `robustness_curve` returned.
        ylabel : str, default="score"
        ax : matplotlib Axes, optional

        Returns
        -------
        display : RobustnessCurveDisplay
        """
        if isinstance(curves, pd.DataFrame):
            curves = {"": curves}
        for name, curve in curves.items():
            lacking = {"level", "score"} - set(curve.columns)
            if lacking:
                raise ValueError(
                    f"The curve {name!r} lacks the column(s) {sorted(lacking)}; pass "
                    "what robustness_curve returns."
                )
        return cls(curves=curves, ylabel=ylabel).plot(ax)

    def plot(self, ax: Any = None) -> RobustnessCurveDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        display : RobustnessCurveDisplay
        """
        self.ax_ = new_axes(ax)
        self.figure_ = self.ax_.figure
        self.lines_ = []
        for i, (name, curve) in enumerate(self.curves.items()):
            (line,) = self.ax_.plot(
                curve["level"],
                curve["score"],
                marker="o",
                color=colour_of(i),
                label=name or None,
            )
            self.lines_.append(line)
        first = next(iter(self.curves.values()))
        kind = str(first["kind"].iloc[0]) if "kind" in first else ""
        self.ax_.set(xlabel=LEVELS.get(kind, "level"), ylabel=self.ylabel, title=kind)
        if any(self.curves):
            self.ax_.legend(frameon=False)
        self.ax_.spines[["top", "right"]].set_visible(False)
        return self
