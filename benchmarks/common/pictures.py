"""What the pictures of the reports share: colours, bare axes, files."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

mpl.use("Agg")
INK, FAINT, OWN = "#22303c", "#7b8894", "#d9480f"
GRID = "#dde2e7"


def bare(ax: Any) -> None:
    """No frame but the axis below."""
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(FAINT)
    ax.tick_params(colors=INK)


def save(figure: Any, path: Path) -> None:
    """Write the file, the same one for the same figure, and close the figure."""
    # Without the version of matplotlib, which would change the file.
    figure.savefig(path, dpi=130, metadata={"Software": None})
    plt.close(figure)
