"""Pictures of the speed benchmark."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from benchmarks.common.pictures import FAINT, GRID, INK, bare, save
from benchmarks.speed.growth import SIZES
from benchmarks.speed.report_rows import BEFORE, OWN, Results, exponent
from benchmarks.speed.report_tables import GROWING, NAMES, growth_rows

# Colours that those who see few of them tell apart (Okabe and Ito), and markers.
LOOKS = {
    OWN: ("#d55e00", "*"),
    BEFORE: ("#22303c", "o"),
    "early-linear": ("#0072b2", "^"),
    "hgb": ("#009e73", "s"),
    "catboost": ("#e69f00", "D"),
    "widedeep": ("#cc79a7", "v"),
}
OTHER = (FAINT, "X")
PANELS = {
    "fit_cpu_seconds": "fit, CPU-seconds",
    "row_cpu_ms": "one row, ms",
    "rows_per_cpu_second": "rows a second, in batches",
    "pickle_MB": "pickle, MB",
}


def tasks(results: Results, path: Path) -> None:
    """Every method on each task: fit, one row, batches, size."""
    tables = {figure: results.table(figure) for figure in PANELS}
    names = tables["fit_cpu_seconds"].index
    figure, axes = plt.subplots(
        1,
        len(PANELS),
        figsize=(13, 1.6 + 0.34 * len(names)),
        sharey=True,
        layout="constrained",
    )
    for ax, (key, table) in zip(axes, tables.items(), strict=True):
        # Each peer has a height of its own in a row, so that equal ones are seen apart.
        peers = [m for m in table if m not in (OWN, BEFORE)]
        heights = dict(zip(peers, np.linspace(-0.25, 0.25, len(peers)), strict=True))
        for method in [m for m in (OWN, BEFORE) if m in table] + peers:
            values = table[method].reindex(names).to_numpy()
            _dots(ax, values, method, heights.get(method, 0.0))
        if {OWN, BEFORE} <= set(table):
            ends = table[[OWN, BEFORE]].reindex(names).to_numpy().T
            ax.hlines(np.arange(len(names)), *ends, color=FAINT, lw=1, zorder=1)
        ax.set_title(PANELS[key], fontsize=10, color=INK)
        _log(ax.xaxis, ax.set_xscale)
        bare(ax)
        ax.tick_params(axis="y", length=0)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.4, -0.6)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside upper center",
        ncols=len(labels),
        frameon=False,
        fontsize=9,
    )
    save(figure, path)


def _dots(ax: Any, values: np.ndarray, method: str, height: float) -> None:
    colour, marker = LOOKS.get(method, OTHER)
    own = method == OWN
    ax.scatter(
        values,
        np.arange(len(values)) + height,
        s=150 if own else 36,
        color=colour,
        marker=marker,
        edgecolor="white",
        linewidth=0.6,
        label=NAMES.get(method, method),
        zorder=4 if own else 3,
        clip_on=False,
    )


def _log(
    axis: Any,
    set_scale: Callable[[str], None],
    ticks: tuple[float, ...] = (),
    subs: tuple[float, ...] = (1,),
) -> None:
    """A logarithmic axis with few ticks: those given, or powers of ten times `subs`."""
    set_scale("log")
    locator = FixedLocator(ticks) if ticks else LogLocator(subs=subs, numticks=8)
    axis.set_major_locator(locator)
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
    axis.grid(color=GRID, linewidth=0.6)
    axis.axes.set_axisbelow(True)


def growth(results: Results, path: Path) -> None:
    """Seconds and memory against each size, on logarithmic scales."""
    shown = [name for name in SIZES if len(growth_rows(results, name))]
    figure, axes = plt.subplots(
        len(GROWING),
        len(shown),
        figsize=(3.1 * len(shown), 5.4),
        sharex="col",
        sharey="row",
        squeeze=False,
        layout="constrained",
    )
    for row, (key, (title, _)) in zip(axes, GROWING.items(), strict=True):
        for ax, varied in zip(row, shown, strict=True):
            rows = growth_rows(results, varied)
            ax.plot(rows[varied], rows[key], color=LOOKS[OWN][0], marker="o")
            slope = exponent(rows[varied], rows[key])
            if not np.isnan(slope):
                place = {"xycoords": "axes fraction", "fontsize": 9, "color": INK}
                ax.annotate(f"exponent {slope:.2f}", (0.05, 0.9), **place)
            _log(ax.xaxis, ax.set_xscale, tuple(SIZES[varied]))
            _log(ax.yaxis, ax.set_yscale, subs=(1, 3))
            bare(ax)
        row[0].set_ylabel(title)
    for ax, varied in zip(axes[-1], shown, strict=True):
        ax.set_xlabel(varied)
    save(figure, path)


def draw(results: Results, folder: Path) -> None:
    """What there are measurements for."""
    if len(results.means):
        tasks(results, folder / "tasks.png")
    if len(results.growth):
        growth(results, folder / "growth.png")
