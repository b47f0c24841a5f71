"""
Words, patches, frames and columns
==================================

What a modality adds to a prediction is a sum over its elements: the words of a text,
the patches of a picture, the stretches of a sound, the columns of a table. Each adds
with a sign, and exactly. `ElementsDisplay` shows them so that a person can look at
them; in a notebook it shows itself.

Blue speaks for the class that is predicted, orange against it. What is no sum over
elements (boosted trees, for instance) is given as the rest. Whether the prediction
hangs on the elements that add most is measured at the end.

Set ``SKFUSION_DEMO=short`` to run on fewer rows.
"""

# %%
# Words and columns
# -----------------
# Reviews of clothes: will the customer recommend the garment?

import os

import matplotlib.pyplot as plt
import numpy as np

from skfusion import FusionClassifier
from skfusion.datasets import load_clothing_reviews, load_spoken_digits
from skfusion.inspection import ElementsDisplay, faithfulness_report

SHORT = os.environ.get("SKFUSION_DEMO") == "short"

X_train, y_train = load_clothing_reviews(subset="train", return_X_y=True)
X_test, y_test = load_clothing_reviews(subset="test", return_X_y=True)
n_rows = 2000 if SHORT else 8000
reviews = FusionClassifier(
    [
        ("review", "text", ["Title", "Review Text"]),
        ("facts", "tabular", ["Age", "Positive Feedback Count", "Class Name"]),
    ],
    n_folds=1 if SHORT else "auto",
    random_state=0,
).fit(X_train.head(n_rows), y_train.head(n_rows))

# %%
# The first four test reviews of 25 to 35 words. A column of
# ``reviews.element_contributions(X, "review").elements[i]`` holds the same numbers.

length = X_test["Review Text"].str.split().str.len()
rows = np.flatnonzero(length.between(25, 35))[:4]
ElementsDisplay.from_estimator(reviews, X_test, "review", rows=rows)

# %%
# and the columns of the first of them, with what stood there. Here most of what the
# modality adds is not additive: boosted trees read columns together.

ElementsDisplay.from_estimator(reviews, X_test, "facts", rows=rows[:1])

# %%
# Patches and frames
# ------------------
# A handwritten digit and a recording of the same digit. The picture is drawn as the
# model read it; the sound is its spectrogram, from low to high.

A_train, b_train = load_spoken_digits(subset="train", return_X_y=True)
A_test, b_test = load_spoken_digits(subset="test", return_X_y=True)
if SHORT:
    A_train, b_train = A_train.iloc[::2], b_train.iloc[::2]
digits = FusionClassifier(
    [("image", "image", "image"), ("sound", "audio", "sound")],
    max_epochs=6 if SHORT else 15,
    random_state=0,
).fit(A_train, b_train)

chosen = [int(np.flatnonzero(b_test == digit)[0]) for digit in (2, 4, 7, 9)]
fig, axes = plt.subplots(2, 4, figsize=(11, 5), layout="constrained")
for name, line in zip(["image", "sound"], axes, strict=True):
    display = ElementsDisplay.from_estimator(digits, A_test, name, rows=chosen)
    for k, ax in enumerate(line):
        display.plot(ax, row=k)
        digit = b_test.iloc[chosen[k]]
        ax.set_title(f"a {digit}: {name}", fontsize=10, loc="left")
        legend = ax.get_legend()
        handles, labels = legend.legend_handles, [t.get_text() for t in legend.texts]
        legend.remove()
for ax in axes[1, 1:]:
    ax.set_ylabel("")
fig.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
fig.suptitle("What each patch and each stretch of sound added")

# %%
# Does the prediction hang on them?
# ---------------------------------
# The heaviest fifth of the elements of each row, those that add most in size, is
# hidden, and then, for comparison, a random fifth. The figures are how many times more
# log-probability the prediction loses by the heavy ones.


def by_elements(model, X, y):
    """What the report says about elements."""
    table = faithfulness_report(model, X, y).table
    of_elements = table["test"].str.startswith("elements")
    return table.loc[of_elements, ["test", "value", "target", "verdict"]].round(2)


by_elements(reviews, X_test.head(300), y_test.head(300))

# %%

by_elements(digits, A_test, b_test)

# %%

plt.show()
