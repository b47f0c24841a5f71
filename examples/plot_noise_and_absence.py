"""
Noise, absence, and what training never saw
===========================================

A sensor fails, a picture is out of focus, somebody talks in the background. How does
the accuracy fall? `robustness_curve` corrupts rows more and more, and scores a fitted
estimator on each level; `RobustnessCurveDisplay` draws the curves of several.

Adaptive fusion is compared with plain concatenation, ``fusion="concat"``, which has the
same encoders and has trained on the same corrupted rows. The base models, which
concatenation cannot have, are switched off, so that the rule of fusion is all that
differs.

Set ``SKFUSION_DEMO=short`` to run on half of the rows, for a few epochs.
"""

# %%
# Digits that are written and spoken
# ----------------------------------

import os

import matplotlib.pyplot as plt
import pandas as pd

from skfusion import FusionClassifier
from skfusion.datasets import load_spoken_digits
from skfusion.inspection import ReliabilityDisplay, RobustnessCurveDisplay

SHORT = os.environ.get("SKFUSION_DEMO") == "short"

X_train, y_train = load_spoken_digits(subset="train", return_X_y=True)
X_test, y_test = load_spoken_digits(subset="test", return_X_y=True)
if SHORT:
    X_train, y_train = X_train.iloc[::2], y_train.iloc[::2]
    X_test, y_test = X_test.iloc[::2], y_test.iloc[::2]
views = [("image", "image", "image"), ("sound", "audio", "sound")]

models = {
    rule: FusionClassifier(
        views,
        fusion=rule,
        base_models=None,
        max_epochs=8 if SHORT else 20,
        random_state=0,
    ).fit(X_train, y_train)
    for rule in ("adaptive", "concat")
}
for rule, model in models.items():
    print(f"{rule:10} accuracy {model.score(X_test, y_test):.3f}")

# %%
# What training rehearses
# -----------------------
# In training, modalities are now and then noisy, swapped with another row's, or absent.
# Here one of the two, drawn at random for each row, is so in more and more rows
# ("missing", "swap"), or noisier and noisier in all rows ("noise").


def draw_curves(kinds, title):
    """Curves of all models, a panel a kind of corruption."""
    fig, axes = plt.subplots(
        1,
        len(kinds),
        figsize=(3.3 * len(kinds), 3.4),
        layout="constrained",
        sharey=True,
    )
    for ax, kind in zip(axes, kinds, strict=True):
        RobustnessCurveDisplay.from_estimator(models, X_test, y_test, kind=kind, ax=ax)
        ax.xaxis.label.set_size(9)
        if ax is not axes[0]:
            ax.get_legend().remove()
            ax.set_ylabel("")
    axes[0].set_ylim(0, 1.02)
    fig.suptitle(title)


draw_curves(["missing", "swap", "noise"], "Corruptions that training knows")

# %%
# What it never saw
# -----------------
# These are done to the cells before anything is cleaned: the picture out of focus or
# partly covered, the recording clipped, or drowned by other voices. No part of training
# has prepared the model for them.

draw_curves(
    ["blur", "occlusion", "band-pass", "babble"], "Corruptions that training never saw"
)

# %%
# Can the probabilities be believed?
# ----------------------------------
# With a quarter of the pictures and a quarter of the sounds gone, confidence should
# fall together with accuracy, in each pattern of what is there. The larger a dot, the
# more rows it stands for; small ones are a few rows, whose accuracy is mostly luck;
# no line leads to them. Dots above the dotted line: the model was right
# more often than it promised.

holes = X_test.reset_index(drop=True)
n = len(holes)
holes["image"] = holes["image"].where(pd.Series(range(n)) % 4 != 0, None)
holes["sound"] = holes["sound"].where(pd.Series(range(n)) % 4 != 1, None)
display = ReliabilityDisplay.from_estimator(models["adaptive"], holes, y_test, n_bins=5)
display.ax_.set_title("Confidence and accuracy, by what is there")
display.summary.round(3)

# %%

plt.show()
