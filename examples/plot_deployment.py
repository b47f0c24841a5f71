"""
A model as a file
=================

From a fit to something that can be given to others: a file that holds no pickle and no
training row, a card that says what it is, and how long a prediction takes.
"""

# %%
# Fit, save, load
# ---------------

import tempfile
import time
import zipfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

import skfusion
from skfusion import FusionClassifier
from skfusion.datasets import load_clothing_reviews

X_train, y_train = load_clothing_reviews(subset="train", return_X_y=True)
X_test, y_test = load_clothing_reviews(subset="test", return_X_y=True)
clf = FusionClassifier(
    [
        ("review", "text", ["Title", "Review Text"]),
        ("facts", "tabular", ["Age", "Positive Feedback Count", "Class Name"]),
    ],
    random_state=0,
).fit(X_train.head(1000), y_train.head(1000))

path = Path(tempfile.mkdtemp()) / "model.skfusion"
skfusion.save(clf, path)
loaded = skfusion.load(path)
same = (loaded.predict_proba(X_test) == clf.predict_proba(X_test)).all()
print(f"{path.stat().st_size / 1e6:.1f} MB; the same to the bit: {same}")

# %%
# What is in it
# -------------
# A zip archive: arrays by safetensors, parts of scikit-learn by skops, the rest JSON.

with zipfile.ZipFile(path) as archive:
    members = pd.Series({i.filename: i.compress_size for i in archive.infolist()})
(members.sort_values(ascending=False).head(8) / 1e3).round(1).rename("kB").to_frame()

# %%
# The card
# --------
# ``Path("CARD.md").write_text(card)`` puts it beside the file. Its first lines:

card = loaded.card(X_test, y_test)
print("\n".join(card.splitlines()[:40]))

# %%
# How long a prediction takes
# ---------------------------
# A row that comes alone pays for everything that is done once a call. Up to 256 rows
# are predicted in double precision, more in single precision.

sizes = [1, 4, 16, 64, 256, 1024]
milliseconds = []
for n in sizes:
    rows = X_test.head(n)
    loaded.predict_proba(rows)
    start = time.perf_counter()
    for _ in range(5):
        loaded.predict_proba(rows)
    milliseconds.append((time.perf_counter() - start) / 5 * 1e3)

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.plot(sizes, milliseconds, "o-", color="#4e79a7", label="a call")
per_row = [ms / n for ms, n in zip(milliseconds, sizes, strict=True)]
ax.plot(sizes, per_row, "o-", color="#f28e2b", label="a row")
ax.set(xscale="log", yscale="log", xlabel="rows in the call", ylabel="milliseconds")
ax.set_xticks(sizes, sizes)
ax.minorticks_off()
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)
fig.suptitle("predict_proba of reviews and facts")
plt.show()
