"""Pictures of the benchmark."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from matplotlib.transforms import Bbox

from benchmarks.common.pictures import FAINT, GRID, OWN, bare, save
from benchmarks.compare.report_rows import DEFAULTS, Results
from benchmarks.compare.report_tables import Ranks, against_best

LINEAR, TREES, NETS = "#3b6894", "#4f9d4a", "#8a5a9e"
# Colour by family, marker by method.
LOOKS = {
    "best single": (LINEAR, "s"),
    "late": (LINEAR, "o"),
    "early-linear": (LINEAR, "^"),
    "hgb": (TREES, "s"),
    "lightgbm": (TREES, "o"),
    "extratrees": (TREES, "^"),
    "catboost": (TREES, "D"),
    "skrub": (TREES, "v"),
    "widedeep": (NETS, "s"),
    "smarttab": (NETS, "o"),
    DEFAULTS: (OWN, "*"),
}
OTHER = (FAINT, "X")
TICKS = (-50, -20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20)


def points(results: Results, path: Path) -> None:
    """Every method against the best peer of each task, in points."""
    best = against_best(results)
    scores = results.pivot("score").loc[results.tasks]
    gaps = 100 * scores.sub(best["peer_score"], axis=0)
    height = 1.5 + 0.42 * len(gaps)
    figure, ax = plt.subplots(figsize=(9.5, height), layout="constrained")
    rows = np.arange(len(gaps))
    error = best["error"].fillna(0)
    ax.barh(rows, 2 * error, 0.8, left=-error, color="#e9edf1", zorder=0)
    ax.axvline(0, color=FAINT, linewidth=0.8, zorder=1)
    peers = gaps.columns.drop(DEFAULTS)
    # Each peer has a height of its own in a row, so that equal ones are seen apart.
    heights = dict(zip(peers, np.linspace(-0.3, 0.3, len(peers)), strict=True))
    for method in [*peers, DEFAULTS]:
        colour, marker = LOOKS.get(method, OTHER)
        own = method == DEFAULTS
        ax.scatter(
            gaps[method],
            rows + heights.get(method, 0.0),
            s=150 if own else 34,
            color=colour,
            marker=marker,
            label=method,
            alpha=1 if own else 0.75,
            edgecolor="white",
            linewidth=0.6,
            zorder=4 if own else 3,
            clip_on=False,
        )
    _points_axes(ax, gaps, best)
    figure.legend(loc="outside upper center", ncols=6, frameon=False, fontsize=9)
    save(figure, path)


def _points_axes(ax: Any, gaps: pd.DataFrame, best: pd.DataFrame) -> None:
    reach = max(best["error"].max(), 2)
    low, high = min(gaps.min(axis=None), -reach), max(gaps.max(axis=None), reach)
    ax.set_xscale("symlog", linthresh=1, linscale=0.7)
    ax.set_xlim(1.15 * low, 1.3 * high)
    ax.set_xticks([t for t in TICKS if 1.15 * low <= t <= 1.3 * high])
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:+g}" if x else "0"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("points of accuracy (or 100 x R2) above the best peer of the task")
    ax.set_yticks(range(len(gaps)), gaps.index)
    ax.set_ylim(len(gaps) - 0.4, -0.6)
    ax.grid(axis="x", color=GRID, linewidth=0.6)
    ax.set_axisbelow(True)
    bare(ax)
    ax.tick_params(axis="y", length=0)
    for row, (_, peer) in enumerate(best.iterrows()):
        told = f"{peer['peer']} {peer['peer_score']:.3f}"
        place = {"xy": (1.01, row), "xycoords": ax.get_yaxis_transform()}
        ax.annotate(told, **place, va="center", fontsize=8, color=FAINT)


def ranks(results: Results, path: Path) -> None:
    """Mean rank against seconds to fit, over the tasks that all have finished."""
    found = Ranks(results)
    seconds = results.pivot("fit_seconds").loc[found.tasks, found.methods]
    seconds = np.exp(np.log(seconds).mean())
    figure, ax = plt.subplots(figsize=(7.5, 4.6), layout="constrained")
    places = {m: (seconds[m], rank) for m, rank in found.common.dropna().items()}
    for method, place in places.items():
        colour, marker = LOOKS.get(method, OTHER)
        own = method == DEFAULTS
        size = 230 if own else 60
        ax.scatter(*place, size, colour, marker=marker, zorder=3)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    ax.margins(x=0.22, y=0.1)
    ax.invert_yaxis()
    n = len(found.tasks)
    ax.set_xlabel("seconds to fit, geometric mean")
    ax.set_ylabel("mean rank (1 is best)")
    ax.set_title(
        f"{n} task{'' if n == 1 else 's'} that all finished", fontsize=10, color=FAINT
    )
    ax.grid(color="#e6eaee", linewidth=0.6)
    bare(ax)
    _name(ax, places)
    save(figure, path)


# Where a name may stand, beside its marker: offset in points, alignment.
SIDES = (
    ((9, 0), "left", "center"),
    ((-9, 0), "right", "center"),
    ((0, 9), "center", "bottom"),
    ((0, -9), "center", "top"),
)


def _name(ax: Any, places: dict[str, tuple[float, float]]) -> None:
    """Write names beside markers, each on the first side where nothing stands."""
    ax.figure.canvas.draw()
    taken = []
    for xy in places.values():
        x, y = ax.transData.transform(xy)
        taken.append(Bbox.from_bounds(x - 8, y - 8, 16, 16))
    for method, xy in places.items():
        for offset, ha, va in SIDES:
            text = ax.annotate(
                method,
                xy,
                offset,
                textcoords="offset points",
                ha=ha,
                va=va,
                color=LOOKS.get(method, OTHER)[0],
                weight="bold" if method == DEFAULTS else "normal",
            )
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
                break
            if (offset, ha, va) != SIDES[-1]:
                text.remove()
        taken.append(box)


PICTURES: dict[str, Callable[[Results, Path], None]] = {
    "points": points,
    "ranks": ranks,
}
