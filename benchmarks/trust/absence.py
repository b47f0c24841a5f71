"""What if a modality is missing in the rows, or weaker than another?"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.trust.figures import ADAPTIVE, Figure, difference
from skfusion.batch import ModalityBatch


def _masked(batch: ModalityBatch, shown: Sequence[str]) -> ModalityBatch:
    """The batch in which all but some modalities are absent."""
    blocks = {}
    for name, block in batch.blocks.items():
        rows = np.arange(len(block))
        blocks[name] = block[rows]
        blocks[name].present = block.present & (name in shown)
    return ModalityBatch(blocks, batch.modalities)


def absence(data: Any) -> Iterator[Figure]:
    """6: accuracy with each modality absent in all rows."""
    clf = data.fit()
    batch = clf.modalities_.transform(data.X_test)
    for name in clf.modality_names_:
        shown = [m for m in clf.modality_names_ if m != name]
        score = clf.score(_masked(batch, shown), data.y_test)
        yield Figure(6, ADAPTIVE, f"accuracy without {name}", float(score))


def without_each(data: Any) -> Iterator[Figure]:
    """6: against a network that never had the modality."""
    clf = data.fit()
    batch = clf.modalities_.transform(data.X_test)
    for name in clf.modality_names_:
        views = [view for view in data.modalities if view[0] != name]
        never = data.right(views)
        shown = _masked(batch, [view[0] for view in views])
        gain, error = difference(clf.predict(shown) == data.y_test, never)
        measure = f"without {name}, points above a network that never had it"
        yield Figure(6, ADAPTIVE, measure, gain, ">=", -1.0)
        yield Figure(6, ADAPTIVE, f"standard error of that, without {name}", error)


def imbalance(data: Any) -> Iterator[Figure]:
    """11: is a modality left behind by an easier one?"""
    clf = data.fit()
    proba = clf.modality_proba(data.X_test)
    own = {}
    for view in data.modalities:
        name = view[0]
        own[name] = clf.classes_[proba[name].argmax(axis=1)] == data.y_test
        gain, error = difference(own[name], data.right([view]))
        measure = f"{name}'s own prediction, points above the same encoder alone"
        yield Figure(11, ADAPTIVE, f"accuracy of {name} alone", float(own[name].mean()))
        yield Figure(11, ADAPTIVE, measure, gain, ">=", -1.0)
        yield Figure(11, ADAPTIVE, f"standard error of that, {name}", error)
    best = max(own.values(), key=np.mean)
    gain, error = difference(data.right(), best)
    measure = "points of the fused output above the best alone"
    yield Figure(11, ADAPTIVE, measure, gain, ">=", 0)
    yield Figure(11, ADAPTIVE, "standard error of that, fused", error)
