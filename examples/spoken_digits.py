"""
Digits that are written and spoken
==================================

Each row holds a picture of a handwritten digit and a recording of the same digit. A
model that knows both should be better than with either alone, should do without one
where it is missing, and should rely on the other one where one is corrupted.

Set ``SKFUSION_DEMO=short`` for a run of a few epochs.
"""

# %%
# The data
# --------
# 1,200 rows to learn from and 300 to test on; no recording and no picture occurs twice.
# A picture is an array, a sound is ``(samples, sample_rate)``, as cells of a DataFrame.

import os
import time
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle
from sklearn.metrics import accuracy_score

from skfusion import FusionClassifier
from skfusion.datasets import load_spoken_digits
from skfusion.modalities import AudioModality, ImageModality

SHORT = os.environ.get("SKFUSION_DEMO") == "short"

X_train, y_train = load_spoken_digits(subset="train", return_X_y=True)
X_test, y_test = load_spoken_digits(subset="test", return_X_y=True)
X_test.dtypes

# %%
# Fit
# ---
# Two modalities. The speaker would be a third, ``("speaker", "tabular", ["speaker"])``;
# it is left out here, since who speaks says nothing about the digit.
#
# Of the defaults only ``max_epochs`` is changed, to keep the example short; the default
# trains for more epochs on so few rows.

clf = FusionClassifier(
    [("image", ImageModality(), "image"), ("sound", AudioModality(), "sound")],
    max_epochs=3 if SHORT else 12,
    random_state=0,
    verbose=1,
)
start = time.perf_counter()
clf.fit(X_train, y_train)
seconds = time.perf_counter() - start
if SHORT:
    print("SKFUSION_DEMO=short: few epochs; these are not the real figures.")
print(f"{clf.n_iter_} epochs in {seconds:.0f} s")

# %%
# With both, and with one
# -----------------------
# The model is fitted once. To predict without a modality, its column is filled with
# ``None``: such a cell is *absent*, has weight 0, and is left out exactly.


def without(frame, column, rows=None):
    """A copy of `frame` in which a column is absent, everywhere or in some rows."""
    cells = frame[column].copy()
    cells[slice(None) if rows is None else rows] = None
    return frame.assign(**{column: cells})


cases = {
    "image and sound": X_test,
    "image only": without(X_test, "sound"),
    "sound only": without(X_test, "image"),
}
accuracy = {
    name: accuracy_score(y_test, clf.predict(frame)) for name, frame in cases.items()
}
for name, value in accuracy.items():
    print(f"{name:18}{value:.3f}")

# %%
# Half of the images and, independently, half of the sounds absent
# ----------------------------------------------------------------
# Rows then fall into four cases. If absence does no harm beyond what is lost with the
# modality, the accuracy is the mean of the cases' own accuracies, weighted by how many
# rows fall into each. Rows with neither get the class shares, with a warning: chance.

rng = np.random.default_rng(0)
no_image, no_sound = rng.random((2, len(X_test))) < 0.5
holes = without(without(X_test, "image", no_image), "sound", no_sound)
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=".*no modality present")
    found = accuracy_score(y_test, clf.predict(holes))
accuracy["neither"] = 1 / clf.classes_.size
shares = {
    "image and sound": np.mean(~no_image & ~no_sound),
    "image only": np.mean(~no_image & no_sound),
    "sound only": np.mean(no_image & ~no_sound),
    "neither": np.mean(no_image & no_sound),
}
expected = sum(shares[name] * accuracy[name] for name in shares)
print(f"accuracy with holes      {found:.3f}")
print(f"what masking predicts    {expected:.3f}")

# %%
# What it relies on when one is corrupted
# ---------------------------------------
# Strong noise on the pictures, and then on the sounds. The model was never told which
# one is noisy.


def corrupt_image(pixels):
    """Grey noise in which little of the digit is left."""
    noise = rng.normal(0, 130, pixels.shape)
    return np.clip(0.5 * pixels + 60 + noise, 0, 255).astype(np.uint8)


def corrupt_sound(cell):
    """White noise twice as strong as the voice."""
    samples, rate = cell
    noise = rng.normal(0, 2 * samples.std(), samples.shape)
    return (samples + noise).astype(np.float32), rate


noisy = {
    "nothing corrupted": X_test,
    "image corrupted": X_test.assign(
        image=pd.Series(map(corrupt_image, X_test["image"]), dtype=object)
    ),
    "sound corrupted": X_test.assign(
        sound=pd.Series(map(corrupt_sound, X_test["sound"]), dtype=object)
    ),
}
weights = {name: clf.modality_weights(frame) for name, frame in noisy.items()}
print(f"{'':18}{'accuracy':>9}{'weight of image':>17}{'of sound':>10}")
for name, frame in noisy.items():
    image, sound = weights[name].mean(axis=0)
    score = accuracy_score(y_test, clf.predict(frame))
    print(f"{name:18}{score:9.3f}{image:17.2f}{sound:10.2f}")
for m, name in enumerate(clf.modality_names_):
    fell = weights[f"{name} corrupted"][:, m] < weights["nothing corrupted"][:, m]
    print(f"{name} corrupted: its weight fell in {fell.mean():.0%} of the rows")

# %%
# What each patch and each stretch of sound added
# -----------------------------------------------
# To the evidence for the true digit: blue for it, orange against it, patches and
# stretches each on one scale; below, the weight of each modality in that row. The
# columns are the first test rows of four digits.

digits = [2, 4, 7, 9]
chosen = [int(np.flatnonzero(y_test == digit)[0]) for digit in digits]
rows = X_test.iloc[chosen]


def for_the_truth(name):
    """What each element of a modality added to the true digit, a Series a row."""
    frames = clf.element_contributions(rows, name).elements
    return [frame[digit] for frame, digit in zip(frames, y_test[chosen], strict=True)]


patches, stretches = for_the_truth("image"), for_the_truth("sound")

INK, FAINT, PAPER = "#22303c", "#7b8894", "#f6f7f9"
IMAGE, SOUND = "#59a14f", "#b07aa1"
FOR, AGAINST = "#1f77c8", "#f08614"


def shades(found):
    """Colour and opacity of each element, the same scale for all rows."""
    largest = max(series.abs().max() for series in found)
    return [
        [
            (element, FOR if value > 0 else AGAINST, 0.75 * abs(value) / largest)
            for element, value in series.items()
        ]
        for series in found
    ]


patches, stretches = shades(patches), shades(stretches)

fig, axes = plt.subplots(
    3,
    len(digits),
    figsize=(11, 6.6),
    height_ratios=(2.5, 1.05, 1.0),
    facecolor=PAPER,
    layout="constrained",
)
for column, position in enumerate(chosen):
    top, middle, bottom = axes[:, column]

    side = max(patch[3] for patch, _, _ in patches[column])
    top.imshow(255 - X_test["image"][position], cmap="gray", extent=(0, side, side, 0))
    for (y0, x0, y1, x1), color, alpha in patches[column]:
        top.add_patch(
            Rectangle((x0, y0), x1 - x0, y1 - y0, color=color, alpha=alpha, lw=0)
        )
    top.set(xticks=[], yticks=[])
    top.set_title(f"a {y_test[position]}", color=INK, weight="bold")

    samples, rate = X_test["sound"][position]
    seconds = np.arange(len(samples)) / rate
    for (begin, end), color, alpha in stretches[column]:
        middle.axvspan(begin, end, color=color, alpha=alpha, lw=0)
    middle.plot(seconds, samples / np.abs(samples).max(), color=INK, lw=0.5)
    middle.set(yticks=[], xlim=(0, seconds[-1]), ylim=(-1.05, 1.05))
    middle.set_xlabel("seconds", color=FAINT)

    for i, name in enumerate(weights):
        image, sound = weights[name][position]
        bottom.barh(i, image, color=IMAGE, height=0.62)
        bottom.barh(i, sound, left=image, color=SOUND, height=0.62)
        for x, weight, align in ((0.02, image, "left"), (0.98, sound, "right")):
            label = f"{weight:.2f}" if weight > 0.15 else ""  # else it has no room
            bottom.text(x, i, label, va="center", ha=align, color="white", fontsize=9)
    bottom.set(xlim=(0, 1), xticks=[], yticks=range(len(weights)))
    bottom.set_yticklabels(list(weights) if column == 0 else [], color=INK)
    bottom.tick_params(length=0)
    bottom.invert_yaxis()
    for ax in (top, middle, bottom):
        ax.set_facecolor(PAPER)
        ax.spines[:].set_visible(False)
        ax.tick_params(axis="x", colors=FAINT)
axes[2, 0].set_xlabel("weight of image", color=IMAGE, weight="bold", loc="left")
axes[2, -1].set_xlabel("weight of sound", color=SOUND, weight="bold", loc="right")
fig.suptitle(
    "What each patch and each stretch of sound added", color=INK, weight="bold", size=15
)

folder = Path(__file__).parent if "__file__" in globals() else Path.cwd()
path = folder.resolve() / "spoken_digits.png"
fig.savefig(path, dpi=130, facecolor=PAPER)
print(f"picture: {path}")
