import base64
import io
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score
from sklearn.utils import Bunch

from skfusion import FusionClassifier, ModalityTransformer
from skfusion.inspection import ElementsDisplay
from skfusion.modalities import ImageModality
from tests.conftest import mixed_frame


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def _picture(html):
    code = re.search(r"base64,([^\"]+)", html)[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(code)))).astype(int)


def test_planted_words_and_columns_are_the_heavy_ones(planted):
    clf, X, _, places = planted
    for name, split in (("text", None), ("tabular", "_")):
        scores, truth = [], []
        for element, place in zip(clf.element_weights(X, name), places, strict=True):
            if name not in place:
                continue
            at = (
                np.arange(len(element))
                if split is None
                else [int(c.split(split)[1]) for c in element.index]
            )
            scores.append(element.rank(pct=True).to_numpy())
            truth.append(np.isin(at, place[name]))
        auc = roc_auc_score(np.concatenate(truth), np.concatenate(scores))
        assert auc >= 0.9


def _colours(html):
    """Signed strength of each coloured element: blue counts positive."""
    return [
        float(alpha) * (1 if int(blue) > int(red) else -1)
        for red, blue, alpha in re.findall(r"rgba\((\d+),\d+,(\d+),([\d.]+)\)", html)
    ]


def test_words_are_coloured_by_sign_and_size_and_escaped():
    values = pd.Series([0.1, 0.8, -0.4], index=["good", "<b>", "cloth"])
    html = ElementsDisplay.from_predictions([values], kind="words")._repr_html_()
    assert "<b>" not in html.replace("<b></b>", "")
    np.testing.assert_allclose(_colours(html), [0.0875, 0.7, -0.35], atol=0.01)
    words = [m[1] for m in re.finditer(r'px">([^<>]+)</span>', html)]
    assert words == ["good", "&lt;b&gt;", "cloth"]


def test_rows_share_one_scale():
    strong = pd.Series([1.0, -2.0], index=["a", "b"])
    weak = pd.Series([0.02, 0.01], index=["c", "d"])
    display = ElementsDisplay.from_predictions([strong, weak], kind="words")
    np.testing.assert_allclose(display.painters[0].shades, [0.5, -1])
    np.testing.assert_allclose(display.painters[1].shades, [0.01, 0.005])


def test_weights_have_no_legend_of_for_and_against():
    weights = pd.Series([0.3, 0.7], index=["a", "b"])
    display = ElementsDisplay.from_predictions([weights])
    assert display.legend is None
    assert "against" not in display._repr_html_()


def test_bars_show_the_largest_of_either_sign_and_sum_up_the_others():
    values = pd.Series([0.01] * 20 + [-3.0, 2.0], index=[f"c{i}" for i in range(22)])
    bars = ElementsDisplay.from_predictions([values]).painters[0].bars()
    assert [label for label, _ in bars][:2] == ["c20", "c21"]
    assert len(bars) == 12
    assert bars[-1][0] == "11 others"
    assert sum(v for _, v in bars) == pytest.approx(values.sum())


def test_words_are_drawn_in_order_within_the_axes():
    words = [f"word{i}" for i in range(40)]
    display = ElementsDisplay.from_predictions(
        [pd.Series(np.arange(40.0), index=words)], kind="words"
    ).plot()
    texts = display.ax_.texts
    assert [t.get_text() for t in texts] == words
    rights = [
        t.get_window_extent().transformed(display.ax_.transData.inverted()).x1
        for t in texts
    ]
    assert max(rights) < 1.05
    assert len({round(t.get_position()[1], 3) for t in texts}) > 1


def test_patches_are_blue_for_and_orange_against():
    index = [(0, 0, 4, 4), (0, 4, 4, 8), (4, 0, 8, 4), (4, 4, 8, 8)]
    values = pd.Series(
        [0.1, 0.6, -0.3, 0.0], index=pd.Index(index, tupleize_cols=False)
    )
    grey = np.full((8, 8), 100)
    html = ElementsDisplay.from_predictions(
        [values], kind="patches", contents=[grey]
    )._repr_html_()
    picture = _picture(html)
    blue = (picture[..., 2] - picture[..., 0]).reshape(2, 80, 2, 80).mean(axis=(1, 3))
    assert blue[0, 1] > blue[0, 0] > blue[1, 1] == 0 > blue[1, 0]


class Known(FusionClassifier):
    """A classifier whose contributions are known: +1, -1, +1, ... for class "a"."""

    classes_ = np.array(["a", "b"])
    rest_ = np.array([0.25, -0.25])

    def __init__(self, modalities=None):
        self.modalities = modalities

    def __sklearn_is_fitted__(self):
        return True

    @property
    def modality_names_(self):
        return self.modalities_.modality_names_

    def element_contributions(self, batch, name):
        block, modality = batch.blocks[name], batch.modalities[name]
        values = np.resize([1.0, -1.0], (len(block), 2000)) / 2
        elements = modality.elements(block, values)
        return Bunch(
            elements=[pd.DataFrame({"a": e, "b": -e}) for e in elements],
            rest=np.tile(self.rest_, (len(block), 1)),
        )

    def modality_weights(self, batch):
        return batch.present / batch.present.sum(axis=1, keepdims=True).clip(1)

    def predict_proba(self, batch):
        return np.tile([0.7, 0.3], (len(batch), 1))

    def predict(self, batch):
        return self.classes_[[0] * len(batch)]


@pytest.fixture(scope="module")
def known():
    """(fitted stand-in, its rows), some cells absent, one of each kind of content."""
    rng = np.random.default_rng(0)
    frame = mixed_frame(12)[0].reset_index(drop=True)
    sounds = [(rng.normal(size=4000), 8000) for _ in range(12)]
    frame["sound"] = pd.Series([None, *sounds[1:]], dtype=object)
    frame["series"] = pd.Series(list(rng.normal(size=(12, 40))))
    triples = [
        ("words", "text", "note"),
        ("facts", "tabular", ["price", "weight", "colour"]),
        ("picture", ImageModality(size=16), "photo"),
        ("sound", "audio", "sound"),
        ("series", "series", "series"),
    ]
    clf = Known(triples)
    clf.modalities_ = ModalityTransformer(triples).fit(frame)
    return clf, frame


@pytest.mark.parametrize("name", ["words", "facts", "picture", "sound", "series"])
def test_contributions_of_an_estimator_are_drawn_with_their_rows(known, name):
    clf, frame = known
    display = ElementsDisplay.from_estimator(clf, frame, name, rows=[0, 1, 2])
    absent = ~clf.modalities_.transform(frame.iloc[:3]).blocks[name].present
    assert [p is None for p in display.painters] == absent.tolist()
    assert display._repr_html_().count("<i>absent</i>") == absent.sum()
    title, total = display.titles[2].split("\n")
    assert title.startswith("row 2: predicted a (0.70), weight of ")
    shown = display.painters[2].elements.sum()
    if name != "sound":
        assert total == (
            f"{name} adds {shown + 0.25:+.3g} to a: its elements {shown:+.3g}, "
            "the rest +0.25"
        )
    for row in range(3):
        display.plot(row=row)
    assert display.legend == ("for the class predicted", "against the class predicted")


def test_another_class_turns_the_signs(known):
    clf, frame = known
    ours = ElementsDisplay.from_estimator(clf, frame, "words")
    theirs = ElementsDisplay.from_estimator(clf, frame, "words", output="b")
    np.testing.assert_allclose(ours.painters[0].shades, -theirs.painters[0].shades)
    assert theirs.legend == ("for b", "against b")
    assert "the rest -0.25" in theirs.titles[0]
    with pytest.raises(ValueError, match="'output' parameter must be None or one of"):
        ElementsDisplay.from_estimator(clf, frame, "words", output="c")


def test_frames_lie_on_the_spectrogram_in_seconds(known):
    clf, frame = known
    display = ElementsDisplay.from_estimator(clf, frame, "sound", rows=[1]).plot()
    begin, end = display.ax_.images[0].get_extent()[:2]
    assert (begin, end) == pytest.approx((0, 0.5), abs=0.02)
    shown = display.painters[0].picture().astype(int)
    blue = (shown[..., 2] - shown[..., 0]).mean(axis=0)
    index = display.painters[0].elements.index
    at = [int(np.mean(span) / end * len(blue)) for span in index[:4]]
    assert (np.sign(blue[at]) == [1, -1, 1, -1]).all()


def test_bars_say_what_stood_in_the_columns(known):
    clf, frame = known
    display = ElementsDisplay.from_estimator(clf, frame, "facts", rows=[0]).plot()
    labels = {t.get_text() for t in display.ax_.get_yticklabels()}
    assert f"colour = {frame['colour'].iloc[0]}" in labels
    assert f"price = {frame['price'].iloc[0]:.4g}" in labels
    widths = sorted(bar.get_width() for bar in display.ax_.patches)
    assert widths == [-0.5, 0.5, 0.5]


def test_a_batch_does_without_the_cells(known):
    clf, frame = known
    batch = clf.modalities_.transform(frame)
    display = ElementsDisplay.from_estimator(clf, batch, "facts", rows=[5])
    assert "price<" in display._repr_html_()
    assert display.titles[0].startswith("row 5")


def test_kinds_that_need_contents_say_so():
    weights = [pd.Series([1.0], index=["x"])]
    with pytest.raises(ValueError, match="needs the `contents`"):
        ElementsDisplay.from_predictions(weights, kind="frames")
    with pytest.raises(ValueError, match="'kind' parameter must be one of"):
        ElementsDisplay.from_predictions(weights, kind="smells")
