"""What each element of a row added to the prediction, as a person can look at it."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_classifier

from skfusion.inspection._painters import AGAINST, FOR, PAINTERS, Painter
from skfusion.inspection._plotting import new_axes
from skfusion.inspection._resolving import (
    Resolved,
    has_labels,
    quiet_about_empty_rows,
    resolve,
)

__all__ = ["ElementsDisplay"]


class ElementsDisplay:
    """Elements of some rows, coloured by what each added to the prediction.

    Words are coloured in their text, patches over the picture as the model saw it,
    frames over the spectrogram, and columns are bars: blue for the prediction, orange
    against it. All rows share one scale, so that a pale row is one in which the
    modality added little. In a notebook the display shows itself; `plot` draws one row
    with matplotlib. Use `from_estimator` or `from_predictions` to make one.

    Parameters
    ----------
    painters : list of objects that draw one row each, or None where it is absent
    titles : list of str
    legend : tuple of two str, optional
        What blue and what orange mean.

    Attributes
    ----------
    ax_ : matplotlib Axes, after `plot`
    figure_ : matplotlib Figure, after `plot`
    """

    def __init__(
        self,
        *,
        painters: Sequence[Painter | None],
        titles: Sequence[str],
        legend: tuple[str, str] | None = None,
    ) -> None:
        self.painters, self.titles = list(painters), list(titles)
        self.legend = legend

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        modality: str,
        *,
        rows: Sequence[int] | None = None,
        output: Any = None,
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
        output : class, label or target, optional
            The class to which the elements contribute; by default the one that is
            predicted in each row. Of labels, by default the most probable one. Of a
            regression with several targets, the target; by default the first.

        Returns
        -------
        display : ElementsDisplay
        """
        found = resolve(estimator)
        rows = range(min(3, len(X))) if rows is None else rows
        rows = np.arange(len(X))[np.asarray(rows, dtype=int)]
        part = X.iloc[rows] if hasattr(X, "iloc") else X[rows]
        batch = found.batch(part)
        with quiet_about_empty_rows():
            parts = found.final.element_contributions(batch, modality)
            names, at = _outputs(found.final, batch, parts.elements, output)
        elements = [
            frame.iloc[:, k] if len(frame) else pd.Series([], dtype=float)
            for frame, k in zip(parts.elements, at, strict=True)
        ]
        rest = np.asarray(parts.rest)[np.arange(len(at)), at]
        block, read_by = batch.blocks[modality], batch.modalities[modality]
        cells = _cells(found, part, modality)
        drawn = [
            read_by.content(block, i, e, cells[i]) if len(e) else None
            for i, e in enumerate(elements)
        ]
        what = "the prediction"
        if is_classifier(found.final):
            what = "the class predicted" if output is None else str(output)
        sums = [
            _sum(modality, name, float(e.sum()), float(r)) if len(e) else "absent"
            for name, e, r in zip(names, elements, rest, strict=True)
        ]
        heads = _heads(found, batch, modality, list(getattr(part, "index", rows)))
        return cls(
            painters=_painters(drawn),
            titles=[
                f"{head}\n{total}" for head, total in zip(heads, sums, strict=True)
            ],
            legend=(f"for {what}", f"against {what}"),
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
        """Show elements whose contributions or weights are known.

        Parameters
        ----------
        elements : list of n_samples Series
            A column of each frame that `element_contributions` returned, or what
            `element_weights` returned.
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
        drawn = [
            (kind, e, content) if len(e) else None
            for e, content in zip(elements, contents, strict=True)
        ]
        signed = any((e < 0).any() for e in elements)
        return cls(
            painters=_painters(drawn),
            titles=[""] * len(drawn) if titles is None else titles,
            legend=("for", "against") if signed else None,
        )

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
            return self
        painter.draw(self.ax_)
        if self.legend is not None:
            self._plot_legend(self.legend)
        return self

    def _plot_legend(self, legend: tuple[str, str]) -> None:
        from matplotlib.patches import Patch

        has_ticks = len(self.ax_.get_xticks()) > 0
        self.ax_.legend(
            handles=[
                Patch(color=_hex(colour), label=label)
                for colour, label in zip((FOR, AGAINST), legend, strict=True)
            ],
            loc="upper center",
            bbox_to_anchor=(0.5, -0.14 if has_ticks else -0.02),
            ncols=2,
            frameon=False,
            fontsize=8,
        )

    def _repr_html_(self) -> str:
        blocks = []
        if self.legend is not None:
            blocks.append(
                '<div style="font-size:0.85em">'
                + " &nbsp; ".join(
                    f'<span style="color:{_hex(colour)}">&#9632;</span> '
                    f"{html.escape(label)}"
                    for colour, label in zip((FOR, AGAINST), self.legend, strict=True)
                )
                + "</div>"
            )
        for painter, title in zip(self.painters, self.titles, strict=True):
            inner = "<i>absent</i>" if painter is None else painter.html()
            lines = html.escape(title).replace("\n", "<br>")
            blocks.append(
                '<div style="margin:0.8em 0"><div style="color:#7b8894;'
                f'font-size:0.85em">{lines}</div>{inner}</div>'
            )
        return "\n".join(blocks)

    def __repr__(self) -> str:
        return f"ElementsDisplay of {len(self.painters)} row(s): {self.titles}"


def _painters(drawn: Sequence[tuple[str, pd.Series, Any] | None]) -> list[Any]:
    """One painter a row, all of one scale; None where the modality is absent."""
    sizes = [float(row[1].abs().max()) for row in drawn if row is not None]
    scale = max(sizes, default=1.0)
    return [
        None if row is None else PAINTERS[row[0]](row[1], row[2], scale=scale)
        for row in drawn
    ]


def _outputs(
    final: Any, batch: Any, frames: Sequence[pd.DataFrame], output: Any
) -> tuple[list[str], list[int]]:
    """The class, or the target, that is looked at in each row: name and position."""
    known = list(final._output_names)
    if output is not None and output not in known:
        raise ValueError(
            f"The 'output' parameter must be None or one of {known}. Got {output!r} "
            "instead."
        )
    if output is None and has_labels(final):
        at = final.predict_proba(batch).argmax(axis=1).tolist()
        return [str(known[k]) for k in at], at
    if output is None and is_classifier(final):
        chosen = list(final.predict(batch))
    else:
        chosen = [known[0] if output is None else output] * len(frames)
    alone = not is_classifier(final) and len(known) == 1
    names = ["the prediction" if alone else str(name) for name in chosen]
    return names, [known.index(name) for name in chosen]


def _sum(modality: str, name: str, elements: float, rest: float) -> str:
    """What the elements and the rest add up to."""
    return (
        f"{modality} adds {elements + rest:+.3g} to {name}: "
        f"its elements {elements:+.3g}, the rest {rest:+.3g}"
    )


def _cells(found: Resolved, X: Any, modality: str) -> list[Mapping[Any, Any]]:
    """What stood in the columns of a modality, row by row, where that is known."""
    if not isinstance(X, pd.DataFrame) or not found.reads_frames:
        return [{}] * len(X)
    own = next(columns for name, _, columns in found.triples() if name == modality)
    return [dict(zip(own, row, strict=True)) for row in X[own].to_numpy(dtype=object)]


def _heads(found: Resolved, batch: Any, modality: str, labels: list[Any]) -> list[str]:
    """The row, what is predicted, and the weight of the modality."""
    with quiet_about_empty_rows():
        weight = found.final.modality_weights(batch)[:, found.names.index(modality)]
        predicted = found.final.predict(batch)
        shown = [str(p) for p in predicted]
        if is_classifier(found.final):
            proba = found.final.predict_proba(batch).max(axis=1)
            if has_labels(found.final):
                names = np.array([str(name) for name in found.final._output_names])
                predicted = [", ".join(names[row > 0]) or "none" for row in predicted]
            shown = [f"{p} ({q:.2f})" for p, q in zip(predicted, proba, strict=True)]
        elif np.ndim(predicted) == 1:
            shown = [f"{p:.4g}" for p in predicted]
    return [
        f"row {label}: predicted {p}, weight of {modality} {w:.2f}"
        for label, p, w in zip(labels, shown, weight, strict=True)
    ]


def _hex(colour: Any) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
