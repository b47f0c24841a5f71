"""
Few labels, many texts
======================

Often texts are plenty and labels are few. `PretrainedText` puts what a text as a whole
means beside its words, as one more element, and what it means can be learned without
labels: by a sentence encoder from the Hugging Face hub, or, as here, from unlabelled
texts of the same kind. That needs no download and shows the contract: any object with a
method ``encode(texts)`` will do.

With sentence-transformers, ``PretrainedText("all-MiniLM-L6-v2")`` takes its place.
"""

# %%
# An encoder without labels
# -------------------------
# Latent semantic analysis: TF-IDF of 8,000 reviews, reduced to 100 dimensions.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from skfusion import FusionClassifier
from skfusion.datasets import load_clothing_reviews
from skfusion.modalities import PretrainedText, TextModality

X_train, y_train = load_clothing_reviews(subset="train", return_X_y=True)
X_test, y_test = load_clothing_reviews(subset="test", return_X_y=True)
X_test, y_test = X_test.head(1000), y_test.head(1000)


class LatentSemantics:
    """An encoder of texts that has read many of them, and no label."""

    def __init__(self, texts):
        self.pipeline = make_pipeline(
            TfidfVectorizer(sublinear_tf=True, min_df=5, stop_words="english"),
            TruncatedSVD(100, random_state=0),
            Normalizer(),
        ).fit(texts)

    def encode(self, texts, **options):
        """One vector a text."""
        return self.pipeline.transform(texts)


semantics = LatentSemantics(X_train["Review Text"].dropna().head(8000))

# %%
# With and without it
# -------------------
# The same model on 100 and on 400 labelled reviews. The texts are embedded once: fits
# and predictions find the embeddings in the cache of the encoder. On 100 labels there
# is too little to learn from either way; on 400 the meaning lowers the loss.

encoders = {"words": None, "words and meaning": PretrainedText(semantics)}
sizes = [100, 400]
losses, models = {name: [] for name in encoders}, {}
for name, encoder in encoders.items():
    for n in sizes:
        model = FusionClassifier(
            [
                ("review", TextModality(encoder=encoder), "Review Text"),
                ("facts", "tabular", ["Age", "Class Name"]),
            ],
            n_folds=3,
            random_state=0,
        ).fit(X_train.tail(n), y_train.tail(n))
        losses[name].append(log_loss(y_test, model.predict_proba(X_test)))
    models[name] = model
    print(f"{name:18}", *(f"{loss:.3f}" for loss in losses[name]))

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for (name, loss), colour in zip(losses.items(), ["#f28e2b", "#4e79a7"], strict=True):
    ax.plot(sizes, loss, "o-", color=colour, label=name)
ax.axhline(
    log_loss(y_test, np.full(len(y_test), y_train.mean())),
    color="#7b8894",
    linestyle=":",
    label="class shares",
)
ax.set(xscale="log", xlabel="labelled reviews", ylabel="log-loss on test reviews")
ax.set_xticks(sizes, sizes)
ax.minorticks_off()
ax.set_ylim(0, None)
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)
fig.suptitle("Words alone, and with the meaning of the whole text")

# %%
# What the meaning added
# ----------------------
# The meaning has a contribution of its own, the first line, beside those of the words.

parts = models["words and meaning"].element_contributions(X_test.head(1), "review")
parts.elements[0].iloc[:8].round(3)

# %%

plt.show()
