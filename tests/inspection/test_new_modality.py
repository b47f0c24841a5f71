"""A modality that the package does not know, inspected as the others are."""

import warnings

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from skfusion import FusionClassifier
from skfusion.inspection import ElementsDisplay, faithfulness_report
from tests.modalities.video_frames import VideoModality, videos

mpl.use("Agg")
import matplotlib.pyplot as plt


@pytest.fixture(scope="module")
def clips():
    """(classifier, test rows, labels): one bright frame makes the class."""
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=240)
    cells = np.empty(len(y), dtype=object)
    cells[:] = videos(len(y), rng, bright=y == 1)
    cells[::17] = None
    frame = pd.DataFrame({"clip": cells, "x": rng.normal(size=len(y))})
    triples = [("clip", VideoModality(), "clip"), ("facts", "tabular", ["x"])]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = FusionClassifier(triples, max_epochs=15, d_model=16, random_state=0)
        clf.fit(frame[:180], y[:180])
    return clf, frame[180:].reset_index(drop=True), y[180:]


def test_elements_and_rest_sum_to_what_the_modality_adds(clips):
    clf, frame, _ = clips
    contributions, _ = clf.modality_contributions(frame)
    parts = clf.element_contributions(frame, "clip")
    at = clf.modality_names_.index("clip")
    sums = np.array([e.to_numpy().sum(axis=0) for e in parts.elements]) + parts.rest
    np.testing.assert_allclose(sums, contributions[:, at], rtol=0, atol=1e-5)
    lengths = [0 if clip is None else len(clip) for clip in frame["clip"]]
    assert [len(e) for e in parts.elements] == lengths


def test_the_bright_frame_speaks_for_its_class(clips):
    clf, frame, y = clips
    parts = clf.element_contributions(frame, "clip")
    found = [
        clip.mean(axis=(1, 2)).argmax() == e[1].to_numpy().argmax()
        for clip, e, k in zip(frame["clip"], parts.elements, y, strict=True)
        if clip is not None and k == 1
    ]
    assert np.mean(found) >= 0.9


def test_frames_of_a_new_modality_are_drawn(clips):
    clf, frame, _ = clips
    display = ElementsDisplay.from_estimator(clf, frame, "clip", rows=[0, 1, 5]).plot()
    labels = [t.get_text() for t in display.ax_.get_yticklabels()]
    assert any(label.endswith("= frame 2") for label in labels)
    assert "clip adds" in display.titles[0]
    plt.close(display.figure_)


def test_deletion_of_elements_is_measured(clips):
    clf, frame, y = clips
    report = faithfulness_report(clf, frame, y).table
    row = report[report["test"] == "elements of 'clip'"]
    assert row["target"].tolist() == [f">= {VideoModality.deletion_target:g}"]
    assert row["value"].iloc[0] > 1
