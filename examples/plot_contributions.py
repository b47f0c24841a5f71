"""
What each modality added
========================

A prediction is a sum. It begins with the class shares; each modality adds to the
log-odds of each class, with a sign; what belongs to no single modality is the joint
part. The weight of a modality is its share of the size of what the modalities added.

The second half shows where weights alone mislead: a label that no modality knows
without the other.
"""

# %%
# Reviews of clothes
# ------------------
# Will the customer recommend the garment? Few rows, to keep the example short.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skfusion import FusionClassifier
from skfusion.datasets import load_clothing_reviews, make_multimodal_classification
from skfusion.inspection import modality_shapley

X_train, y_train = load_clothing_reviews(subset="train", return_X_y=True)
X_test, y_test = load_clothing_reviews(subset="test", return_X_y=True)
reviews = FusionClassifier(
    [
        ("review", "text", ["Title", "Review Text"]),
        ("facts", "tabular", ["Age", "Positive Feedback Count", "Class Name"]),
    ],
    random_state=0,
).fit(X_train.head(1200), y_train.head(1200))

added_by, joint = reviews.modality_contributions(X_test)
output = np.log(reviews.class_prior_) + added_by.sum(axis=1) + joint
proba = reviews.predict_proba(X_test)
total = output - np.logaddexp.reduce(output, axis=1, keepdims=True)
print(f"largest gap to log predict_proba: {np.abs(total - np.log(proba)).max():.0e}")
print(f"mean share of the joint part: {reviews.joint_share(X_test).mean():.2f}")

# %%
# Row by row
# ----------
# Log-odds of "recommended" against "not recommended" in six test reviews, from the
# one that is least in favour to the one that is most. All begin with the log-odds of
# the class shares. Below each review stand the weights of the two modalities: where the
# facts add next to nothing, they weigh next to nothing.

REVIEW, FACTS, JOINT, SHARES = "#4e79a7", "#f28e2b", "#9aa5b1", "#d5dae0"


def in_favour(values):
    """Log-odds of the second class against the first."""
    return values[..., 1] - values[..., 0]


added = pd.DataFrame(in_favour(added_by), columns=reviews.modality_names_)
added["joint part"] = in_favour(joint)
added["class shares"] = in_favour(np.log(reviews.class_prior_))
sure = added.sum(axis=1)
length = X_test["Review Text"].str.split().str.len().to_numpy()
short = np.flatnonzero((length >= 12) & (length <= 22))
ranks = (np.array([0, 0.06, 0.12, 0.2, 0.5, 1]) * (len(short) - 1)).astype(int)
chosen = short[np.argsort(sure[short])][ranks]
weights = reviews.modality_weights(X_test.iloc[chosen])

fig, ax = plt.subplots(figsize=(9, 5), layout="constrained")
labels = []
for k, row in enumerate(chosen):
    left = {1: 0.0, -1: 0.0}
    for name, colour in zip(added, (REVIEW, FACTS, JOINT, SHARES), strict=True):
        value = added[name].iloc[row]
        sign = 1 if value >= 0 else -1
        ax.barh(
            k,
            value,
            left=left[sign],
            color=colour,
            height=0.5,
            label=name if k == 0 else None,
        )
        left[sign] += value
    ax.plot(sure[row], k, "d", color="#22303c", label="their sum" if k == 0 else None)
    words = X_test["Review Text"].iloc[row].split()
    text = " ".join(words[:8]) + " …"
    labels.append(f"{text}\nweights {weights[k][0]:.2f} and {weights[k][1]:.2f}")
ax.axvline(0, color="#22303c", linewidth=0.8)
ax.set_yticks(range(len(chosen)), labels, fontsize=8)
ax.set_xlabel("log-odds of a recommendation")
ax.spines[["top", "right", "left"]].set_visible(False)
ax.tick_params(axis="y", length=0)
ax.legend(frameon=False, ncols=5, loc="lower center", bbox_to_anchor=(0.4, 1.0))

# %%
# Where weights are not the whole account
# ---------------------------------------
# In these made-up rows each of two vectors carries one bit, and the class is whether
# the bits differ (XOR). Neither knows anything about the class without the other.

made = make_multimodal_classification(
    2000, n_classes=2, kinds=["vector", "vector"], interaction="xor", random_state=0
)
views = [(name, made.kinds[name], columns) for name, columns in made.modalities.items()]
train, test = np.arange(1500), np.arange(1500, 2000)
X_test, y_test = made.data.iloc[test], made.target.iloc[test]
xor = FusionClassifier(views, random_state=0).fit(
    made.data.iloc[train], made.target.iloc[train]
)
print(f"accuracy with both {xor.score(X_test, y_test):.3f}")
for name, proba in xor.modality_proba(X_test).items():
    alone = (xor.classes_[proba.argmax(axis=1)] == y_test).mean()
    print(f"{name} alone       {alone:.3f}")

# %%
# Weights compare what the modalities add alone, which here is next to nothing, and so
# they are no account of the prediction. That it belongs to the joint part is what
# ``joint_share`` says, so look at it before you look at weights. ``joint="shared"``
# splits the joint part among the modalities, by exact Shapley values of that part;
# `modality_shapley`, which asks what changes where a modality is taken away from the
# whole model, is the yardstick.

added, joint = xor.modality_contributions(X_test)
shared, _ = xor.modality_contributions(X_test, joint="shared")
shapley = modality_shapley(xor, X_test)

accounts = pd.DataFrame(
    {
        "mean weight": [*xor.modality_weights(X_test).mean(axis=0), 0],
        "mean size of contribution": [
            *np.abs(added).mean(axis=(0, 2)),
            np.abs(joint).mean(),
        ],
        'with joint="shared"': [*np.abs(shared).mean(axis=(0, 2)), 0],
        "mean size of Shapley value": [*np.abs(shapley.shapley).mean(axis=(0, 2)), 0],
    },
    index=[*xor.modality_names_, "joint part"],
)
print(f"mean share of the joint part: {xor.joint_share(X_test).mean():.2f}")

fig, axes = plt.subplots(1, 4, figsize=(11, 2.4), layout="constrained", sharey=True)
for ax, title in zip(axes, accounts, strict=True):
    ax.barh(accounts.index, accounts[title], color=(REVIEW, FACTS, JOINT))
    ax.set_title(title, fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)
axes[0].invert_yaxis()
fig.suptitle("XOR of two vectors: four accounts of one model")
plt.show()
