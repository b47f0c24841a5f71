"""
Does fusion help?
=================

More modalities are not always better. Before a second one is collected, cleaned and
kept, one question should be answered on the data at hand: is the fused model better
than the best modality alone, and than all columns in one network, by more than chance?
`does_fusion_help` fits all of them on the same folds and answers "yes", "no" or "not
shown".

The data here are made up, so that the true answer is known.
"""

# %%
# Two modalities that know something
# ----------------------------------
# In each row either a text or a vector of numbers tells the class, and nothing says
# which one. All candidates are scored by the log-likelihood of the truth, which rewards
# probabilities that can be believed.

import matplotlib.pyplot as plt
import numpy as np

from skfusion import FusionClassifier
from skfusion.datasets import make_multimodal_classification
from skfusion.inspection import LearningCurvesDisplay, does_fusion_help

QUICK = {"max_epochs": 12, "n_folds": 1, "random_state": 0}


def views_of(made):
    """The modalities of a made-up set."""
    return [(name, made.kinds[name], c) for name, c in made.modalities.items()]


both = make_multimodal_classification(
    800, kinds=["vector", "text"], class_sep=0.5, random_state=0
)
help_of_both = does_fusion_help(
    FusionClassifier(views_of(both), **QUICK),
    both.data,
    both.target,
    cv=5,
    scoring="neg_log_loss",
)
help_of_both

# %%
# A modality that knows nothing
# -----------------------------
# Now the class stands in the numbers alone, and the text says nothing at all. A true
# answer is not "yes".

useless = make_multimodal_classification(
    500, kinds=["vector", "text"], class_sep=0.5, informative=[1, 0], random_state=0
)
help_of_text = does_fusion_help(
    FusionClassifier(views_of(useless), **QUICK),
    useless.data,
    useless.target,
    cv=5,
    scoring="neg_log_loss",
)
help_of_text

# %%
# What fusion gained over each rival: a dot a fold, and the interval that the verdict is
# taken from. Fusion helps where all intervals are right of 0.

fig, axes = plt.subplots(1, 2, figsize=(10, 2.6), layout="constrained")
found = {"both know something": help_of_both, "the text is useless": help_of_text}
for ax, (title, answer) in zip(axes, found.items(), strict=True):
    rivals = answer.table.drop(index="fusion")
    for i, (name, row) in enumerate(rivals.iterrows()):
        gains = answer.scores["fusion"] - answer.scores[name]
        ax.plot([row["low"], row["high"]], [i, i], color="#9aa5b1", linewidth=5)
        ax.plot(gains, np.full(len(gains), i), "o", color="#4e79a7", alpha=0.7)
        ax.plot(row["gain"], i, "|", color="#22303c", markersize=20)
    ax.axvline(0, color="#22303c", linewidth=0.8)
    ax.set_yticks(range(len(rivals)), [f"over {name}" for name in rivals.index])
    ax.set(xlabel="log-likelihood gained by fusion", title=title)
    ax.set_ylim(len(rivals) - 0.5, -0.5)
    ax.spines[["top", "right", "left"]].set_visible(False)

# %%
# Is one starving?
# ----------------
# A modality may add nothing because it knows nothing, or because a stronger one learned
# so fast that it was left behind. The learning curves of each modality's own loss show
# which one hardly learned on rows held out; ``only text`` above, where it had all the
# attention, tells the two apart: here there was nothing to learn.
#
# The solid losses are those of training, in which modalities are corrupted, absent and
# subject to dropout, so they may lie above those of held-out rows, which are clean.

clf = FusionClassifier(views_of(useless), **QUICK).fit(useless.data, useless.target)
display = LearningCurvesDisplay.from_estimator(clf)
display.ax_.set_title("Losses of each modality and of the fused output")
display.summary.round(3)

# %%

print("starving, or with nothing to say:", ", ".join(display.starving))
plt.show()
