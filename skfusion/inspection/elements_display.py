"""Where the attention inside a modality lay, as a person can look at it."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_classifier

from skfusion.inspection._painters import PAINTERS, Painter, painter_of
from skfusion.inspection._plotting import new_axes
from skfusion.inspection._resolving import Resolved, quiet_about_empty_rows, resolve

__all__ = ["ElementsDisplay"]


class ElementsDisplay:
    """Elements of some rows, shaded by how far they stand out.

    Words are shaded in their text, patches over the picture as the model saw it,
    frames over the spectrogram, and columns are bars. The lightest element of a row
    has no shade, the heaviest the full one; where the weights are nearly even, all
    are pale. In a notebook the display shows
    itself; `plot` draws one row with matplotlib. Use `from_estimator` or
    `from_predictions` to make one.

    Parameters
    ----------
    painters : list of objects that draw one row each, or None where it is absent
    titles : list of str

    Attributes
    ----------
    ax_ : matplotlib Axes, after `plot`
    figure_ : matplotlib Figure, after `plot`
    """

    def __init__(
        self, *, painters: Sequence[Painter | None], titles: Sequence[str]
    ) -> None:
        self.painters, self.titles = list(painters), list(titles)

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, modality: str, *, rows: Sequence[int] | None = None
    ) -> ElementsDisplay:
        """Look at the elements of some rows.

        Parameters
        ----------
        estimator : FusionClassifier, FusionRegressor, or Pipeline that ends in one
            Fitted.
        X : DataFrame, array or ModalityBatch
        modality : str
            One of the estimator's `modality_names_`.
        rows : sequence of int, optional
            Positions of the rows to show. By default the first three.

        Returns
        -------
        display : ElementsDisplay
        """
        found = resolve(estimator)
        rows = range(min(3, len(X))) if rows is None else rows
        rows = np.arange(len(X))[np.asarray(rows, dtype=int)]
        part = X.iloc[rows] if hasattr(X, "iloc") else X[rows]
        batch = found.batch(part)
        elements = found.final.element_weights(batch, modality)
        block, read_by = batch.blocks[modality], batch.modalities[modality]
        cells = _cells(found, part, modality)
        painters = [
            painter_of(read_by, block, i, e, cells[i]) if len(e) else None
            for i, e in enumerate(elements)
        ]
        labels = getattr(part, "index", rows)
        return cls(
            painters=painters, titles=_titles(found, batch, modality, list(labels))
        )

    @classmethod
    def from_predictions(
        cls,
        elements: Sequence[pd.Series],
        *,
        kind: str = "bars",
        contents: Sequence[Any] | None = None,
        titles: Sequence[str] | None = None,
    ) -> ElementsDisplay:
        """Show elements whose weights are known.

        Parameters
        ----------
        elements : list of n_samples Series
            What `element_weights` returned.
        kind : {"words", "patches", "frames", "bars"}, default="bars"
        contents : list of n_samples objects, optional
            For "patches" the pictures, arrays (H, W) or (H, W, 3), 0 to 255; for
            "frames" spectrograms (n_frames, n_bands), 0 to 255; for "bars", dicts of
            what stood in the columns.
        titles : list of n_samples str, optional

        Returns
        -------
        display : ElementsDisplay
        """
        if kind not in PAINTERS:
            raise ValueError(
                f"The 'kind' parameter must be one of {list(PAINTERS)}. Got {kind!r}."
            )
        if kind in ("patches", "frames") and contents is None:
            raise ValueError(f"kind={kind!r} needs the `contents` under the {kind}.")
        contents = [None] * len(elements) if contents is None else contents
        painters = [
            PAINTERS[kind](e, content) if len(e) else None
            for e, content in zip(elements, contents, strict=True)
        ]
        titles = [""] * len(painters) if titles is None else titles
        return cls(painters=painters, titles=titles)

    def plot(self, ax: Any = None, *, row: int = 0) -> ElementsDisplay:
        """Draw one row.

        Parameters
        ----------
        ax : matplotlib Axes, optional
        row : int, default=0
            Which of the rows that are shown.

        Returns
        -------
        display : ElementsDisplay
        """
        self.ax_ = new_axes(ax)
        self.figure_ = self.ax_.figure
        self.ax_.set_title(self.titles[row], fontsize=9, loc="left")
        painter = self.painters[row]
        if painter is None:
            self.ax_.set(xticks=[], yticks=[])
            self.ax_.text(0.5, 0.5, "absent", ha="center", va="center")
        else:
            painter.draw(self.ax_)
        return self

    def _repr_html_(self) -> str:
        blocks = []
        for painter, title in zip(self.painters, self.titles, strict=True):
            inner = "<i>absent</i>" if painter is None else painter.html()
            blocks.append(
                '<div style="margin:0.8em 0"><div style="color:#7b8894;'
                f'font-size:0.85em">{html.escape(title)}</div>{inner}</div>'
            )
        return "\n".join(blocks)

    def __repr__(self) -> str:
        return f"ElementsDisplay of {len(self.painters)} row(s): {self.titles}"


def _cells(found: Resolved, X: Any, modality: str) -> list[Mapping[Any, Any]]:
    """What stood in the columns of a modality, row by row, where that is known."""
    if not isinstance(X, pd.DataFrame) or not found.reads_frames:
        return [{}] * len(X)
    own = next(columns for name, _, columns in found.triples() if name == modality)
    return [dict(zip(own, row, strict=True)) for row in X[own].to_numpy(dtype=object)]


def _titles(found: Resolved, batch: Any, modality: str, labels: list[Any]) -> list[str]:
    """The row, what is predicted, and how far the modality was relied on."""
    with quiet_about_empty_rows():
        weight = found.final.modality_weights(batch)[:, found.names.index(modality)]
        says = found.final.predict(batch)
        proba = (
            found.final.predict_proba(batch).max(axis=1)
            if is_classifier(found.final)
            else None
        )
    titles = []
    for i, label in enumerate(labels):
        said = f"{says[i]:.4g}" if proba is None else f"{says[i]} ({proba[i]:.2f})"
        titles.append(
            f"row {label}: predicted {said}, weight of {modality} {weight[i]:.2f}"
        )
    return titles
