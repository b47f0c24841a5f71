"""
Learn from clothing reviews
===========================

A shop's customers wrote 22,641 reviews. Each has a title, a text, the customer's age,
and where in the shop the garment hangs. Will the customer recommend it?

The usual answer concatenates TF-IDF, one-hot columns and numbers, and fits a logistic
regression. Here the text and the facts are two *modalities*, and a prediction is a sum:
of what each modality adds, and inside each modality of what each word or column adds.

Set ``SKFUSION_DEMO=short`` to run on few rows in less than a minute.
"""

# %%
# The data
# --------
# The data set comes with the package, with a fixed split. Cells may be missing: the
# title is absent in every eighth review.

import os
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.patches import FancyBboxPatch, Rectangle
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from skfusion import FusionClassifier, ModalityTransformer
from skfusion.datasets import load_clothing_reviews
from skfusion.modalities import TabularModality, TextModality

SHORT = os.environ.get("SKFUSION_DEMO") == "short"

X_train, y_train = load_clothing_reviews(subset="train", return_X_y=True)
X_test, y_test = load_clothing_reviews(subset="test", return_X_y=True)
if SHORT:
    X_train, y_train = X_train.head(3000), y_train.head(3000)
print(f"{len(X_train):,} reviews to learn from, {len(X_test):,} to test on")
X_train.head(3)

# %%
# Fit
# ---
# A modality is a name, how to read it, and its columns, as in scikit-learn's
# ``ColumnTransformer``. Everything else is left at its default.

TEXTS = ["Title", "Review Text"]
NUMBERS = ["Age", "Positive Feedback Count"]
CATEGORIES = ["Division Name", "Department Name", "Class Name"]

clf = FusionClassifier(
    ModalityTransformer(
        [
            ("review", TextModality(), TEXTS),
            ("facts", TabularModality(), NUMBERS + CATEGORIES),
        ]
    ),
    max_epochs=3 if SHORT else "auto",
    random_state=0,
    verbose=1,
)
start = time.process_time()
clf.fit(X_train, y_train)
fusion_seconds = time.process_time() - start
clf

# %%
# What you would have written
# ---------------------------
# Word 1- and 2-grams by TF-IDF, one-hot columns and scaled numbers side by side, then
# logistic regression.


def join_texts(frame):
    """Title and review as one string a row."""
    return frame.fillna("").agg(" ".join, axis=1)


linear = make_pipeline(
    make_column_transformer(
        (
            make_pipeline(
                FunctionTransformer(join_texts), TfidfVectorizer(ngram_range=(1, 2))
            ),
            TEXTS,
        ),
        (OneHotEncoder(handle_unknown="ignore"), CATEGORIES),
        (StandardScaler(), NUMBERS),
    ),
    LogisticRegression(C=1, max_iter=1000),
)
start = time.process_time()
linear.fit(X_train, y_train)
linear_seconds = time.process_time() - start

# %%
# How they compare
# ----------------
# On the official test rows. AUC and accuracy: higher is better; log-loss, which asks
# whether the probabilities can be believed: lower is better. Seconds are those of the
# processor.


def print_row(name, proba, seconds):
    """One line of the table."""
    print(
        f"{name:34}{accuracy_score(y_test, proba > 0.5):9.3f}"
        f"{roc_auc_score(y_test, proba):8.3f}{log_loss(y_test, proba):10.3f}"
        f"{seconds:9.0f}"
    )


proba = clf.predict_proba(X_test)[:, 1]
if SHORT:
    print("SKFUSION_DEMO=short: few rows and epochs; these are not the real figures.")
print(f"{'':34}{'accuracy':>9}{'AUC':>8}{'log-loss':>10}{'CPU-s':>9}")
print_row("skfusion, defaults", proba, fusion_seconds)
print_row(
    "TF-IDF + one-hot + logistic", linear.predict_proba(X_test)[:, 1], linear_seconds
)

# %%
# What it relied on
# -----------------
# The network and fast scikit-learn models, the *base models*, learn side by side. What
# each of them counts in the evidence of a modality is decided on rows that none of them
# has learned from; so are the weights of the modalities. Weights of one row sum to 1.
# The *joint share* is the part of the output that belongs to no single modality.

weights = clf.modality_weights(X_test)
joint = clf.joint_share(X_test)
print(clf.base_model_weights_.round(2).to_string())
print("mean weight on the test rows:")
for name, weight in zip(clf.modality_names_, weights.mean(axis=0), strict=True):
    print(f"  {name:10}{weight:6.2f}")
print(f"joint share {joint.mean():6.2f}")

# %%
# A prediction is a sum
# ---------------------
# The first two recommended and the first two not recommended test reviews of 30 to 42
# words that have a title: nobody picked them for looking well. Their log-odds of a
# recommendation begin with those of the class shares; each modality, and the joint
# part, adds to them; and the sum is the prediction.

length = X_test["Review Text"].str.split().str.len()
fit_for_print = np.asarray(length.between(30, 42) & X_test.notna().all(axis=1))
chosen = np.concatenate(
    [np.flatnonzero(fit_for_print & (y_test == label))[:2] for label in (1, 0)]
)
rows, truths = X_test.iloc[chosen], y_test.iloc[chosen]


def in_favour(values):
    """Log-odds of the second class against the first."""
    return values[..., 1] - values[..., 0]


added, joint_part = clf.modality_contributions(rows)
sums = pd.DataFrame(in_favour(added), columns=clf.modality_names_)
sums.insert(0, "class shares", in_favour(np.log(clf.class_prior_)))
sums["joint part"] = in_favour(joint_part)
sums["sum"] = sums.sum(axis=1)
print(sums.round(2).to_string())
gap = sums["sum"] - in_favour(np.log(clf.predict_proba(rows)))
print(f"largest gap to predict_proba: {np.abs(gap).max():.0e}")

# %%
# What each word added
# --------------------
# Inside a modality the words, or the columns, add up as well. What is no sum over them
# (boosted trees, constants) is the *rest*. In the picture all four reviews share one
# scale: blue speaks for a recommendation, orange against it.

INK, FAINT, PAPER = "#22303c", "#7b8894", "#f6f7f9"
FOR, AGAINST = "#1f77c8", "#f08614"
WIDTH, LEFT, TEXT_RIGHT, PANEL = 12.0, 0.45, 8.2, 8.65  # inches
LINE = 0.265

elements = {}  # modality -> one Series a row: element -> what it added
rest = {}  # modality -> what is no sum over elements, a number a row
for name in clf.modality_names_:
    parts = clf.element_contributions(rows, name)
    elements[name] = [frame[1] - frame[0] for frame in parts.elements]
    rest[name] = in_favour(parts.rest)
SCALE = max(values.abs().max() for found in elements.values() for values in found)


def words_with_values(row, values):
    """Split the texts of a row at spaces; give each piece what its words added.

    `values` holds the words as the model read them, in order, without punctuation.
    """
    lines = []
    words = list(values.items())
    for column in TEXTS:
        pieces = []
        for piece in row[column].split():
            value, at = 0.0, 0
            while words and (found := piece.find(words[0][0], at)) >= 0:
                at = found + len(words[0][0])
                value += words.pop(0)[1]
            pieces.append((piece, value))
        lines.append(pieces)
    return lines


def facts_with_values(row, values):
    """The cells of a row, with what each added."""
    return [(f"{name}: {row[name]}", value) for name, value in values.items()]


def write(ax, pieces, y, *, gap=0.07, **style):
    """Write pieces from the height `y` down, wrapped and shaded; return the next."""
    x = LEFT
    for piece, value in pieces:
        text = ax.text(
            x, y, piece, va="center", color=INK, parse_math=False, zorder=3, **style
        )
        box = text.get_window_extent().transformed(ax.transData.inverted())
        if box.x1 > TEXT_RIGHT:
            x, y = LEFT, y - LINE
            text.set_position((x, y))
        shade = min(abs(value) / SCALE, 1)
        if shade > 0.04:
            ax.add_patch(
                FancyBboxPatch(
                    (x, y - 0.085),
                    box.width,
                    0.17,
                    boxstyle="round,pad=0.028",
                    linewidth=0,
                    facecolor=FOR if value > 0 else AGAINST,
                    alpha=0.75 * shade,
                    zorder=2,
                )
            )
        x += box.width + gap
    return y - LINE


def draw_bar(ax, y, name, value):
    """A bar from 0 to 1 with its name and its value."""
    left, width = PANEL + 0.95, 1.4
    ax.text(PANEL, y, name, va="center", color=INK, fontsize=10)
    ax.add_patch(Rectangle((left, y - 0.07), width, 0.14, color="#e3e7eb", zorder=2))
    ax.add_patch(Rectangle((left, y - 0.07), width * value, 0.14, color=INK, zorder=3))
    ax.text(left + width + 0.1, y, f"{value:.2f}", va="center", color=INK, fontsize=10)


def write_sum(ax, y, terms):
    """The log-odds as a sum, each term in the colour of its sign."""
    x = LEFT
    for name, value in terms.items():
        color = (
            INK if name in ("sum", "class shares") else FOR if value > 0 else AGAINST
        )
        label = f"= {value:+.2f}" if name == "sum" else f"{value:+.2f} {name}"
        text = ax.text(
            x, y, label, va="center", color=color, fontsize=10, weight="bold"
        )
        box = text.get_window_extent().transformed(ax.transData.inverted())
        x = box.x1 + 0.2
    ax.text(x, y, "log-odds", va="center", color=FAINT, fontsize=9)


def draw_review(ax, top, i):
    """Draw the card of a row downwards from the height `top`; return where it ends."""
    row = rows.iloc[i]
    title, body = words_with_values(row, elements["review"][i])
    y = write(ax, title, top - 0.3, fontsize=12, weight="bold")
    y = write(ax, body, y - 0.04, fontsize=10.5)
    facts = facts_with_values(row, elements["facts"][i])
    y = write(ax, facts, y - 0.07, fontsize=8.5, gap=0.16)
    write_sum(ax, y - 0.1, sums.iloc[i])
    left = ", ".join(f"{values[i]:+.2f} of {name}" for name, values in rest.items())
    ax.text(
        LEFT, y - 0.36, f"in this, {left} belongs to no single word or column",
        va="center", color=FAINT, fontsize=8.5,
    )  # fmt: skip
    label, good = "not recommended", AGAINST
    if truths.iloc[i]:
        label, good = "recommended", FOR
    ax.text(PANEL, top - 0.3, "truth", va="center", color=FAINT, fontsize=10)
    ax.text(
        PANEL + 0.95, top - 0.3, label, va="center", color=good, fontsize=10.5,
        weight="bold",
    )  # fmt: skip
    draw_bar(ax, top - 0.58, "P(recom.)", proba[chosen[i]])
    ax.text(
        PANEL, top - 0.88, "weight of each modality", va="center", color=FAINT,
        fontsize=9,
    )  # fmt: skip
    for k, (name, value) in enumerate(
        zip(clf.modality_names_, weights[chosen[i]], strict=True)
    ):
        draw_bar(ax, top - 1.12 - 0.25 * k, name, value)
    bottom = min(y - 0.55, top - 1.6)
    ax.add_patch(
        FancyBboxPatch(
            (0.25, bottom),
            WIDTH - 0.5,
            top - bottom,
            boxstyle="round,pad=0,rounding_size=0.09",
            facecolor="white",
            edgecolor="#dde2e7",
            zorder=1,
        )
    )
    ax.add_patch(
        Rectangle((0.25, bottom + 0.09), 0.06, top - bottom - 0.18, color=good)
    )
    return bottom - 0.14


height = 12.0
fig = plt.figure(figsize=(WIDTH, height), facecolor=PAPER)
ax = fig.add_axes((0, 0, 1, 1))
ax.set(xlim=(0, WIDTH), ylim=(0, height))
ax.axis("off")
ax.text(
    0.25, height - 0.38, "What each word and each fact added", fontsize=17,
    weight="bold", color=INK, va="center",
)  # fmt: skip
x = 0.25
for words, color in (
    ("for a recommendation", FOR), ("against it", AGAINST), ("all on one scale", FAINT)
):  # fmt: skip
    text = ax.text(
        x, height - 0.72, words, fontsize=10.5, color=color, va="center", weight="bold"
    )
    x = text.get_window_extent().transformed(ax.transData.inverted()).x1 + 0.25
top = height - 1.0
for i in range(len(chosen)):
    top = draw_review(ax, top, i)
# The cards are as high as their texts: cut off what they left free.
fig.set_size_inches(WIDTH, height - top)
ax.set_ylim(top, height)

folder = Path(__file__).parent if "__file__" in globals() else Path.cwd()
path = folder.resolve() / "quickstart.png"
fig.savefig(path, dpi=110, facecolor=PAPER)
print(f"picture: {path}")

# %%
# The same numbers are arrays and frames: here, the words of the last review that count
# most, and what they added to the log-odds of each class.

last = clf.element_contributions(rows, "review").elements[-1]
last.loc[~last.index.duplicated()].sort_values(1, key=abs, ascending=False).head(6)
