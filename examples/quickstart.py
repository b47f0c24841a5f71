"""
Learn from clothing reviews
===========================

A shop's customers wrote 22,641 reviews. Each has a title, a text, the customer's age,
and where in the shop the garment hangs. Will the customer recommend it?

The usual answer concatenates TF-IDF, one-hot columns and numbers, and fits a logistic
regression. Here the text and the facts are two *modalities*, fused by adaptive
attention, and afterwards the model says what it looked at.

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
start = time.perf_counter()
clf.fit(X_train, y_train)
fusion_seconds = time.perf_counter() - start
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
start = time.perf_counter()
linear.fit(X_train, y_train)
linear_seconds = time.perf_counter() - start

# %%
# How they compare
# ----------------
# On the official test rows. AUC and accuracy: higher is better; log-loss, which asks
# whether the probabilities can be believed: lower is better.


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
print(f"{'':34}{'accuracy':>9}{'AUC':>8}{'log-loss':>10}{'seconds':>9}")
print_row("skfusion, defaults", proba, fusion_seconds)
print_row(
    "TF-IDF + one-hot + logistic", linear.predict_proba(X_test)[:, 1], linear_seconds
)

# %%
# What it relied on
# -----------------
# Each row has its own weights, which sum to 1. The *joint share* is the part of the
# output that belongs to no single modality.

weights = clf.modality_weights(X_test)
joint = clf.joint_share(X_test)
print("mean weight on the test rows:")
for name, weight in zip(clf.modality_names_, weights.mean(axis=0), strict=True):
    print(f"  {name:10}{weight:6.2f}")
print(f"joint share {joint.mean():6.2f}")

# %%
# What it looked at
# -----------------
# The first two recommended and the first two not recommended test reviews of 30 to 42
# words that have a title: nobody picked them for looking well. Words and facts are
# shaded by their weight inside their modality, relative to the heaviest one there.

INK, FAINT, PAPER = "#22303c", "#7b8894", "#f6f7f9"
COLORS = {"review": "#f28e2b", "facts": "#4e79a7"}
WIDTH, LEFT, TEXT_RIGHT, PANEL = 12.0, 0.45, 8.35, 8.85  # inches
LINE = 0.265


def words_with_weights(row, element):
    """Split the texts of a row at spaces; give each piece its word's weight.

    `element` holds the words as the model read them, in order, without punctuation.
    """
    lines = []
    words = list(zip(element.index, element / element.max(), strict=True))
    for column in TEXTS:
        pieces = []
        for piece in row[column].split():
            shade, at = 0.0, 0
            while words and (found := piece.find(words[0][0], at)) >= 0:
                at = found + len(words[0][0])
                shade = max(shade, words.pop(0)[1])
            pieces.append((piece, shade))
        lines.append(pieces)
    return lines


def facts_with_weights(row, element):
    """The cells of a row, with the weight of each."""
    shades = element / element.max()
    return [(f"{name}: {row[name]}", shade) for name, shade in shades.items()]


def write(ax, pieces, y, color, *, gap=0.07, **style):
    """Write pieces from the height `y` down, wrapped and shaded; return the next."""
    x = LEFT
    for piece, shade in pieces:
        text = ax.text(
            x, y, piece, va="center", color=INK, parse_math=False, zorder=3, **style
        )
        box = text.get_window_extent().transformed(ax.transData.inverted())
        if box.x1 > TEXT_RIGHT:
            x, y = LEFT, y - LINE
            text.set_position((x, y))
        if shade > 0.04:
            ax.add_patch(
                FancyBboxPatch(
                    (x, y - 0.085),
                    box.width,
                    0.17,
                    boxstyle="round,pad=0.028",
                    linewidth=0,
                    facecolor=color,
                    alpha=0.85 * shade,
                    zorder=2,
                )
            )
        x += box.width + gap
    return y - LINE


def draw_bar(ax, y, name, value, color):
    """A bar from 0 to 1 with its name and its value."""
    left, width = PANEL + 0.85, 1.35
    ax.text(PANEL, y, name, va="center", color=INK, fontsize=10)
    ax.add_patch(Rectangle((left, y - 0.07), width, 0.14, color="#e3e7eb", zorder=2))
    ax.add_patch(
        Rectangle((left, y - 0.07), width * value, 0.14, color=color, zorder=3)
    )
    ax.text(left + width + 0.1, y, f"{value:.2f}", va="center", color=INK, fontsize=10)


def draw_review(ax, top, row, truth, p, weight, elements):
    """Draw one card downwards from the height `top`; return where it ends."""
    title, body = words_with_weights(row, elements["review"])
    facts = facts_with_weights(row, elements["facts"])
    y = write(ax, title, top - 0.3, COLORS["review"], fontsize=12, weight="bold")
    y = write(ax, body, y - 0.04, COLORS["review"], fontsize=10.5)
    y = write(ax, facts, y - 0.07, COLORS["facts"], fontsize=8.5, gap=0.16)
    bottom = min(y + 0.02, top - 1.72)
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
    good = "#2a9d6f" if truth else "#d1495b"
    label = "recommended" if truth else "not recommended"
    ax.add_patch(
        Rectangle((0.25, bottom + 0.09), 0.06, top - bottom - 0.18, color=good)
    )
    ax.text(PANEL, top - 0.3, "truth", va="center", color=FAINT, fontsize=10)
    ax.text(
        PANEL + 0.85, top - 0.3, label, va="center", color=good, fontsize=10.5,
        weight="bold",
    )  # fmt: skip
    draw_bar(ax, top - 0.6, "P(recom.)", p, INK)
    ax.text(
        PANEL, top - 0.93, "weight of each modality", va="center", color=FAINT,
        fontsize=9,
    )  # fmt: skip
    for i, (name, value) in enumerate(weight.items()):
        draw_bar(ax, top - 1.18 - 0.27 * i, name, value, COLORS[name])
    return bottom - 0.14


length = X_test["Review Text"].str.split().str.len()
fit_for_print = np.asarray(length.between(30, 42) & X_test.notna().all(axis=1))
chosen = np.concatenate(
    [np.flatnonzero(fit_for_print & (y_test == label))[:2] for label in (1, 0)]
)
rows, truths = X_test.iloc[chosen], y_test.iloc[chosen]
elements = {name: clf.element_weights(rows, name) for name in clf.modality_names_}

height = 9.4
fig = plt.figure(figsize=(WIDTH, height), facecolor=PAPER)
ax = fig.add_axes((0, 0, 1, 1))
ax.set(xlim=(0, WIDTH), ylim=(0, height))
ax.axis("off")
ax.text(
    0.25, height - 0.38, "What the model looked at", fontsize=17, weight="bold",
    color=INK, va="center",
)  # fmt: skip
ax.text(
    0.25, height - 0.72, "words and facts shaded by their weight inside the modality",
    fontsize=10.5, color=FAINT, va="center",
)  # fmt: skip
top = height - 1.0
for i, position in enumerate(chosen):
    top = draw_review(
        ax,
        top,
        rows.iloc[i],
        truths.iloc[i],
        proba[position],
        dict(zip(clf.modality_names_, weights[position], strict=True)),
        {name: elements[name][i] for name in clf.modality_names_},
    )
# The cards are as high as their texts: cut off what they left free.
fig.set_size_inches(WIDTH, height - top)
ax.set_ylim(top, height)

folder = Path(__file__).parent if "__file__" in globals() else Path.cwd()
path = folder.resolve() / "quickstart.png"
fig.savefig(path, dpi=130, facecolor=PAPER)
print(f"picture: {path}")

# %%
# The same numbers are arrays and Series: here, the heaviest words of the last review.

elements["review"][-1].sort_values(ascending=False).head(6).round(3)
