"""What the displays share: matplotlib where it is installed, colours, an axes."""

from __future__ import annotations

from typing import Any

__all__ = ["COLOURS", "FAINT", "INK", "colour_of", "new_axes"]

INK, FAINT = "#22303c", "#7b8894"
#: One a modality, in their order.
COLOURS = (
    *("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2"),
    *("#b07aa1", "#edc948", "#9c755f", "#ff9da7", "#bab0ac"),
)


def colour_of(position: int) -> str:
    """Colour of the modality that stands there."""
    return COLOURS[position % len(COLOURS)]


def new_axes(ax: Any = None) -> Any:
    """The axes given, or those of a new figure.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Displays draw with matplotlib, which is not installed. Get it with "
            "`pip install skfusion[plot]`."
        ) from error
    return plt.subplots(layout="constrained")[1] if ax is None else ax
