"""Draws docs/_static/architecture.png: ``python docs/_static/architecture.py``."""

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

INK, FAINT = "#22303c", "#5d6b78"
PLAIN, LEARNED, HELD = "#eef1f4", "#dbe8f6", "#fdebd7"

# name: left, bottom, width, height, colour, title, lines below it
BOXES = {
    "modalities": (
        (0.2, 1.05, 2.2, 1.6, PLAIN),
        "Modalities",
        "clean and tokenise cells;\ntokens for the network,\nfeatures for base models",
    ),
    "network": (
        (3.2, 2.15, 2.7, 1.35, LEARNED),
        "Network",
        "encoders, additive attention;\none a fold: "
        r"$\Sigma_t\,\alpha_t v_t$" + "\nover the elements $t$",
    ),
    "base": (
        (3.2, 0.2, 2.7, 1.35, LEARNED),
        "Base models",
        "linear, boosted trees, your\nown; of each modality and\nof all together",
    ),
    "mix": (
        (6.9, 1.15, 2.7, 1.4, LEARNED),
        "Evidence of each source",
        "the mixing step: shares of\nthe network and of each\nbase model give $e_m(x)$",
    ),
    "held": (
        (7.75, 3.35, 1.85, 1.15, HELD),
        "Held-out rows",
        "clean, and copies\ncorrupted on purpose",
    ),
    "gate": (
        (6.9, 5.25, 2.7, 1.2, LEARNED),
        "Gate",
        "trust $a_m(x)$, a linear\nfunction of gate features",
    ),
    "sum": (
        (10.6, 1.15, 2.5, 1.4, PLAIN),
        "Sum",
        r"$\log\,\pi + \Sigma_m\,a_m e_m$" + "\nand the joint part $a_J e_J$",
    ),
    "output": (
        (14.0, 1.05, 2.1, 1.6, PLAIN),
        "Output",
        "predictions, weights,\nand what each modality\nand element added",
    ),
}


def draw_box(ax, name):
    """A box with its title and what it does."""
    (x, y, w, h, color), title, lines = BOXES[name]
    ax.add_patch(
        FancyBboxPatch(
            (x, y), w, h, boxstyle="round,pad=0,rounding_size=0.1",
            facecolor=color, edgecolor="#9fb0c0", linewidth=1,
        )
    )  # fmt: skip
    ax.text(
        x + w / 2, y + h - 0.23, title, ha="center", va="center", color=INK,
        fontsize=11, weight="bold",
    )  # fmt: skip
    ax.text(
        x + w / 2, y + (h - 0.36) / 2, lines, ha="center", va="center", color=INK,
        fontsize=10, linespacing=1.3,
    )  # fmt: skip


def draw_arrow(ax, *points, learns=False):
    """A line through points with a head at the end; dashed where it teaches."""
    style = {"color": "#c0741a" if learns else FAINT, "linewidth": 1.4}
    style["linestyle"] = (0, (4, 3)) if learns else "solid"
    xs, ys = zip(*points, strict=True)
    ax.plot(xs[:-1], ys[:-1], **style)
    ax.annotate(
        "", points[-1], points[-2], arrowprops={"arrowstyle": "-|>", **style}
    )  # fmt: skip


def label(ax, x, y, text, **style):
    """A few words beside an arrow."""
    ax.text(x, y, text, color=FAINT, fontsize=9.5, va="center", **style)


fig = plt.figure(figsize=(14.4, 6.1), facecolor="white")
ax = fig.add_axes((0, 0, 1, 1))
ax.set(xlim=(0, 16.3), ylim=(-0.1, 6.85))
ax.axis("off")
for name in BOXES:
    draw_box(ax, name)

draw_arrow(ax, (2.4, 2.1), (3.2, 2.6))
label(ax, 2.75, 2.62, "tokens", ha="center")
draw_arrow(ax, (2.4, 1.55), (3.2, 1.1))
label(ax, 2.75, 1.02, "features", ha="center")
draw_arrow(ax, (5.9, 2.6), (6.9, 2.1))
draw_arrow(ax, (5.9, 1.1), (6.9, 1.55))
draw_arrow(ax, (9.6, 1.85), (10.6, 1.85))
draw_arrow(ax, (13.1, 1.85), (14.0, 1.85))
draw_arrow(ax, (7.25, 2.55), (7.25, 5.25))
label(
    ax, 7.1, 4.2, "how confident the source is,\nhow far it agrees with\nthe others",
    ha="right",
)  # fmt: skip
draw_arrow(ax, (1.3, 2.65), (1.3, 5.85), (6.9, 5.85))
label(ax, 1.45, 6.05, "how unlike the training rows the content is", ha="left")
draw_arrow(ax, (9.6, 5.85), (11.85, 5.85), (11.85, 2.55))
label(ax, 12.0, 4.2, "how far each source\nis believed in this row", ha="left")
draw_arrow(ax, (8.65, 3.35), (8.65, 2.55), learns=True)
draw_arrow(ax, (8.65, 4.5), (8.65, 5.25), learns=True)
ax.text(8.8, 2.95, "fit", color="#c0741a", fontsize=9.5, va="center")
ax.text(8.8, 4.87, "fit", color="#c0741a", fontsize=9.5, va="center")

fig.savefig(Path(__file__).with_name("architecture.png"), dpi=100)
