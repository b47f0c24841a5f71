"""
Noise, absence, and what training never saw
===========================================

A sensor fails, a picture is out of focus, somebody talks in the background. How does
the accuracy bend? `robustness_curve` disturbs rows more and more, and scores a fitted
estimator on each level; `RobustnessCurveDisplay` draws the curves of several.

The default is compared with plain concatenation, ``fusion="concat"``, which has the
same encoders.

Set ``SKFUSION_DEMO=short`` for a run of a few epochs.
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
views = [("image", "image", "image"), ("sound", "audio", "sound")]

models = {
    rule: FusionClassifier(
        views, fusion=rule, max_epochs=4 if SHORT else 12, random_state=0
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

fig, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained", sharey=True)
for ax, kind in zip(axes, ["missing", "swap", "noise"], strict=True):
    RobustnessCurveDisplay.from_estimator(models, X_test, y_test, kind=kind, ax=ax)
axes[0].set(ylim=(0, 1.02), ylabel="accuracy")
fig.suptitle("Disturbances that training knows")

# %%
# What it never saw
# -----------------
# These are done to the cells before anything is cleaned: the picture out of focus or
# partly covered, the recording clipped, or drowned by other voices. No part of training
# has prepared the model for them.

kinds = ["blur", "occlusion", "band-pass", "babble"]
fig, axes = plt.subplots(1, 4, figsize=(13, 3.4), layout="constrained", sharey=True)
for ax, kind in zip(axes, kinds, strict=True):
    RobustnessCurveDisplay.from_estimator(models, X_test, y_test, kind=kind, ax=ax)
axes[0].set(ylim=(0, 1.02), ylabel="accuracy")
fig.suptitle("Disturbances that training never saw")

# %%
# Can the probabilities be believed?
# ----------------------------------
# With a quarter of the pictures and a quarter of the sounds gone, confidence should
# fall together with accuracy, in each pattern of what is there. The larger a dot, the
# more rows it stands for.

holes = X_test.reset_index(drop=True)
n = len(holes)
holes["image"] = holes["image"].where(pd.Series(range(n)) % 4 != 0, None)
holes["sound"] = holes["sound"].where(pd.Series(range(n)) % 4 != 1, None)
display = ReliabilityDisplay.from_estimator(models["adaptive"], holes, y_test)
display.ax_.set_title("Confidence and accuracy, by what is there")
display.summary.round(3)

# %%

plt.show()
