"""
Does fusion help?
=================

More modalities are not always better. Before a second one is collected, cleaned and
kept, one question should be answered on the data at hand: is the fused model better
than the best modality alone, and than all columns in one network, by more than chance?
`does_fusion_help` fits all of them on the same folds and answers "yes", "no" or "not
shown".
"""

# %%
# Where it does
# -------------
# Two of the six views of handwritten digits, 47 Zernike moments and 6 morphological
# numbers; 1,000 rows. Neither view is good by itself: Zernike moments cannot tell a 6
# from a 9.

import matplotlib.pyplot as plt
import numpy as np

from skfusion import FusionClassifier
from skfusion.datasets import load_handwritten_views, make_multimodal_classification
from skfusion.inspection import LearningCurvesDisplay, does_fusion_help

digits = load_handwritten_views()
rows = np.random.default_rng(0).permutation(len(digits.target))[:1000]
views = [(name, "vector", digits.views[name]) for name in ("zer", "mor")]
QUICK = {"max_epochs": 15, "n_folds": 1, "n_members": 4, "random_state": 0}

help_of_views = does_fusion_help(
    FusionClassifier(views, **QUICK),
    digits.data.iloc[rows],
    digits.target.iloc[rows],
    cv=4,
)
help_of_views

# %%
# Where it does not
# -----------------
# Made-up rows in which the class stands in the table, and the text says nothing at all.
# An honest answer is not "yes".

made = make_multimodal_classification(
    600, kinds=["tabular", "text"], informative=[1, 0], random_state=0
)
useless = [
    (name, made.kinds[name], columns) for name, columns in made.modalities.items()
]
help_of_text = does_fusion_help(
    FusionClassifier(useless, **QUICK), made.data, made.target, cv=4
)
help_of_text

# %%
# The scores of all folds: what counts is the difference within a fold, not the spread
# of the folds, which is the same for all candidates.

fig, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
found = {
    "two views of digits": help_of_views,
    "a table and a useless text": help_of_text,
}
for ax, (title, answer) in zip(axes, found.items(), strict=True):
    for i, name in enumerate(answer.table.index[::-1]):
        scores = answer.scores[name]
        ax.plot(scores, [i] * len(scores), "o", color="#4e79a7", alpha=0.6)
        ax.plot(scores.mean(), i, "|", color="#22303c", markersize=18)
    ax.set_yticks(range(len(answer.table)), answer.table.index[::-1])
    ax.set(xlabel="accuracy", title=title, ylim=(-0.6, len(answer.table) - 0.4))
    ax.spines[["top", "right"]].set_visible(False)

# %%
# Is one starving?
# ----------------
# A modality may add nothing because it knows nothing, or because a stronger one learned
# so fast that it was left behind. The learning curves of each modality's own loss show
# which one hardly learned; ``only text`` above, where it had all the attention, shows
# that here there was nothing to learn.

clf = FusionClassifier(useless, **QUICK).fit(made.data, made.target)
display = LearningCurvesDisplay.from_estimator(clf)
display.ax_.set_title("Losses of each modality and of the fused output")
display.summary.round(3)

# %%

print("starving:", display.starving)
plt.show()
