import base64
import io
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from skfusion.inspection import ElementsDisplay


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


def test_words_are_shaded_by_weight_and_escaped():
    weights = pd.Series([0.1, 0.8, 0.1], index=["good", "<b>", "cloth"])
    html = ElementsDisplay.from_predictions([weights], kind="words")._repr_html_()
    assert "<b>" not in html.replace("<b></b>", "")
    alphas = [float(a) for a in re.findall(r"rgba\(\d+,\d+,\d+,([\d.]+)\)", html)]
    assert alphas == pytest.approx([0.0, 0.75, 0.0], abs=0.01)
    assert [m[1] for m in re.finditer(r">([^<>]+)</span>", html)] == [
        "good",
        "&lt;b&gt;",
        "cloth",
    ]


def test_nothing_stands_out_where_weights_are_even():
    weights = pd.Series([0.252, 0.25, 0.25, 0.248], index=list("abcd"))
    html = ElementsDisplay.from_predictions([weights], kind="words")._repr_html_()
    alphas = [float(a) for a in re.findall(r"rgba\(\d+,\d+,\d+,([\d.]+)\)", html)]
    assert max(alphas) < 0.05


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


def test_the_heaviest_patch_is_the_most_orange():
    index = [(0, 0, 4, 4), (0, 4, 4, 8), (4, 0, 8, 4), (4, 4, 8, 8)]
    weights = pd.Series(
        [0.1, 0.6, 0.2, 0.1], index=pd.Index(index, tupleize_cols=False)
    )
    grey = np.full((8, 8), 100)
    html = ElementsDisplay.from_predictions(
        [weights], kind="patches", contents=[grey]
    )._repr_html_()
    picture = _picture(html)
    orange = (picture[..., 0] - picture[..., 2]).reshape(2, 80, 2, 80).mean(axis=(1, 3))
    assert orange.argmax() == 1
    assert orange[0, 0] < orange[1, 0]


@pytest.mark.parametrize("name", ["image", "audio", "series"])
def test_elements_of_an_estimator_are_drawn_with_their_rows(sensed, name):
    clf, X, _ = sensed
    display = ElementsDisplay.from_estimator(clf, X, name, rows=[0, 1, 2, 3])
    absent = X[name].iloc[:4].isna().to_numpy()
    assert [p is None for p in display.painters] == absent.tolist()
    assert display._repr_html_().count("absent") == absent.sum()
    weight = clf.modality_weights(X.iloc[:4])[:, clf.modality_names_.index(name)]
    assert display.titles[1].startswith("row 1: predicted ")
    assert display.titles[1].endswith(f"weight of {name} {weight[1]:.2f}")
    for row in range(4):
        display.plot(row=row)
    assert len(plt.get_fignums()) == 4


def test_frames_lie_on_the_spectrogram_in_seconds(sensed):
    clf, X, _ = sensed
    row = int(np.flatnonzero(X["audio"].notna())[0])
    display = ElementsDisplay.from_estimator(clf, X, "audio", rows=[row]).plot()
    samples, rate = X["audio"].iloc[row]
    begin, end = display.ax_.images[0].get_extent()[:2]
    assert (begin, end) == pytest.approx((0, len(samples) / rate), abs=0.02)
    weights = clf.element_weights(X.iloc[[row]], "audio")[0]
    shown = display.painters[0].picture().astype(int)
    orange = (shown[..., 0] - shown[..., 2]).mean(axis=0)
    heaviest = weights.index[weights.argmax()]
    peak = orange.argmax() / len(orange) * end
    assert heaviest[0] - 0.01 <= peak <= heaviest[1] + 0.01


def test_bars_say_what_stood_in_the_columns(mixed_classifier):
    clf, X, _ = mixed_classifier
    display = ElementsDisplay.from_estimator(clf, X, "facts", rows=[0]).plot()
    labels = {t.get_text() for t in display.ax_.get_yticklabels()}
    assert f"colour = {X['colour'].iloc[0]}" in labels
    assert f"price = {X['price'].iloc[0]:.4g}" in labels
    widths = sorted(bar.get_width() for bar in display.ax_.patches)
    expected = sorted(clf.element_weights(X.iloc[[0]], "facts")[0])
    np.testing.assert_allclose(widths, expected, atol=1e-6)


def test_a_batch_does_without_the_cells(mixed_classifier):
    clf, X, _ = mixed_classifier
    batch = clf.modalities_.transform(X)
    display = ElementsDisplay.from_estimator(clf, batch, "facts", rows=[5])
    assert "price<" in display._repr_html_()
    assert display.titles[0].startswith("row 5")


def test_kinds_that_need_contents_say_so():
    weights = [pd.Series([1.0], index=["x"])]
    with pytest.raises(ValueError, match="needs the `contents`"):
        ElementsDisplay.from_predictions(weights, kind="frames")
    with pytest.raises(ValueError, match="'kind' parameter must be one of"):
        ElementsDisplay.from_predictions(weights, kind="smells")
