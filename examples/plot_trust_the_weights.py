"""
Can the weights be trusted?
===========================

An attention weight looks like an explanation: this modality counted so much in this
row. Whether that is true can be tested. If a modality is corrupted, its weight should
fall; where it is right by itself, it should be heavy; and if a heavy one is taken away,
the prediction should suffer. `faithfulness_report` asks all this of a fitted estimator.

Here it is asked of two: the default, whose trust is learned from held-out rows, some of
them corrupted on purpose, and an ordinary softmax attention.
"""

# %%
# The data
# --------
# Six descriptions of the same handwritten digits, as in
# :func:`~skfusion.datasets.load_handwritten_views`: pixels (``pix``), Fourier
# coefficients (``fou``), profiles (``fac``), Zernike moments (``zer``), Karhunen-Loève
# coefficients (``kar``), and six morphological numbers (``mor``).

import matplotlib.pyplot as plt

from skfusion import FusionClassifier
from skfusion.datasets import load_handwritten_views
from skfusion.inspection import (
    ModalityWeightsDisplay,
    faithfulness_report,
    robustness_curve,
)

train = load_handwritten_views(subset="train")
test = load_handwritten_views(subset="test")
views = [(name, "vector", columns) for name, columns in train.views.items()]

# %%
# Two ways to weigh
# -----------------
# One network and fewer epochs than by default, to keep the example short.

models = {
    rule: FusionClassifier(
        views, fusion=rule, max_epochs=15, n_folds=1, random_state=0
    ).fit(train.data, train.target)
    for rule in ("adaptive", "attention")
}
for rule, model in models.items():
    print(f"{rule:10} accuracy {model.score(test.data, test.target):.3f}")

# %%
# Accuracy says nothing about the weights, so they are tested on their own.
#
# The default
# -----------
# Each figure stands beside its target. The vectors of these views have no elements, so
# nothing is said about elements here.
#
# A weight is a share of what all views add in the row. So within a view that is nearly
# always right, it follows where the *other* views know less, more than where this one
# errs.

reports = {
    rule: faithfulness_report(model, test.data, test.target)
    for rule, model in models.items()
}
reports["adaptive"]

# %%
# Ordinary attention
# ------------------
# Its weights were only ever trained to lower the loss of the fused output. A noisy
# modality is met in training, but nothing says that its weight should fall.

reports["attention"]

# %%
# The same in a picture: noise of growing strength on one view, and the weight that the
# model then gives it.

colours = {"adaptive": "#4e79a7", "attention": "#f28e2b"}
fig, axes = plt.subplots(
    2, 3, figsize=(9, 5), layout="constrained", sharex=True, sharey=True
)
for ax, name in zip(axes.flat, train.views, strict=True):
    for rule, model in models.items():
        curve = robustness_curve(
            model, test.data, test.target, kind="noise", modality=name
        )
        ax.plot(
            curve["level"],
            curve["weight"],
            marker="o",
            color=colours[rule],
            label=rule,
        )
    ax.axhline(1 / len(axes.flat), color="#7b8894", linestyle=":", label="even")
    ax.set(title=f"noise on {name}", ylim=(0, 0.35))
    ax.spines[["top", "right"]].set_visible(False)
for ax in axes[1]:
    ax.set_xlabel("standard deviation")
for ax in axes[:, 0]:
    ax.set_ylabel("its mean weight")
axes[0, 0].legend(frameon=False)
fig.suptitle("Does the weight of a noisy view fall?")

# %%
# What it relies on
# -----------------
# With weights that have been tested, it is worth looking at them: by class, the mean
# weight of each view.

ModalityWeightsDisplay.from_estimator(models["adaptive"], test.data, test.target)
plt.show()
