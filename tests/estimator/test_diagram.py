"""The HTML diagram of estimators, before and after the fit."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import Pipeline

import skfusion
from skfusion import FusionClassifier, ModalityTransformer
from skfusion.modalities import TextModality


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    words = np.array(["soft", "torn", "red", "blue", "long"])
    return pd.DataFrame(
        {
            "note": [" ".join(rng.choice(words, 4)) for _ in range(40)],
            "age<1>": rng.integers(20, 80, 40),
            "size": rng.normal(size=40),
            "shop": rng.choice(["a", "b"], 40),
        }
    )


@pytest.fixture(scope="module")
def y():
    return np.arange(40) % 2


MODALITIES = [
    ("review", TextModality(max_tokens=8), "note"),
    ("facts", "tabular", ["age<1>", "size", "shop"]),
    ("tfidf", TfidfVectorizer(), "note"),
]


def shown(estimator):
    """The diagram without styles, scripts and the text that stands in for it."""
    html = estimator._repr_html_()
    html = html[html.index('class="sk-container"') : html.rindex("<script>")]
    assert "<1>" not in html
    return html


def blocks(html):
    """Names of what is drawn, from top to bottom."""
    return re.findall(r"<div><div>(.*?)</div>", html)


def test_before_the_fit_a_branch_a_modality(tiny):
    html = shown(FusionClassifier(MODALITIES, **tiny))
    assert html.count('class="sk-parallel-item"') == 3
    assert "review: note" in html
    assert "facts: age&lt;1&gt;, size and 1 more" in html
    assert "parameters</div>" not in html
    assert "max_tokens" in html


def test_before_the_fit_the_automatic_choice_is_said_to_come(tiny):
    html = shown(FusionClassifier(**tiny))
    assert "finds the modalities in fit" in html
    assert "sk-parallel-item" not in html


def test_after_the_fit_tokens_and_parameters(frame, y, tiny):
    clf = FusionClassifier(MODALITIES, **tiny).fit(frame, y)
    html = shown(clf)
    assert blocks(html)[1:] == [
        *("review: note", "TextModality", "TextEncoder"),
        *("facts: age&lt;1&gt;, size and 1 more", "TabularModality", "TabularEncoder"),
        *("tfidf: note", "TfidfVectorizer", "SparseEncoder"),
        "AdaptiveFusion",
    ]
    network = clf.networks_[0]
    order = sorted(clf.modality_names_)
    for name, tokens in (("review", "up to 4"), ("facts", "3"), ("tfidf", "1")):
        parts = (network.encoders, network.attentions, network.norms)
        m = order.index(name)
        n = sum(p.numel() for part in parts for p in part[m].parameters())
        size = rf"{tokens} tokens? x {network.d_model}, {n:,} parameters"
        assert re.search(size, html), name
    total = sum(p.numel() for p in network.parameters())
    assert f"40 rows, 2 networks of {total:,} parameters" in html


def test_automatic_choice_is_drawn_after_the_fit(frame, y, tiny):
    clf = FusionClassifier(**tiny).fit(frame, y)
    html = shown(clf)
    assert "finds the modalities" not in html
    assert "tabular: age&lt;1&gt;, size and 1 more" in html
    assert html.count('class="sk-parallel-item"') == 2


def test_in_a_pipeline_the_branches_of_the_network_follow(frame, y, tiny):
    steps = [
        ("modalities", ModalityTransformer(MODALITIES)),
        ("fusion", FusionClassifier(**tiny)),
    ]
    html = shown(Pipeline(steps).fit(frame, y))
    assert html.count('class="sk-parallel-item"') == 6
    assert html.index("TextModality") < html.index("TextEncoder")
    names = blocks(html)
    assert names.index("TextEncoder") < names.index("TabularEncoder")
    assert "finds the modalities" not in html


def test_parameters_are_copied_with_their_prefix():
    html = shown(FusionClassifier(MODALITIES))
    assert 'data-param-prefix="modalities__review__"' in html


def test_transformer_alone(frame):
    modalities = ModalityTransformer(MODALITIES)
    for estimator in (modalities, clone(modalities).fit(frame)):
        html = shown(estimator)
        assert html.count('class="sk-parallel-item"') == 3
    assert "finds the modalities in fit" in shown(ModalityTransformer())


def test_wrong_modalities_are_still_shown():
    assert "FusionClassifier" in shown(FusionClassifier(modalities=[1, 2]))


def test_loaded_model_is_drawn_the_same(frame, y, tiny, tmp_path):
    clf = FusionClassifier(MODALITIES[:2], **tiny).fit(frame, y)
    skfusion.save(clf, tmp_path / "model")
    again = skfusion.load(tmp_path / "model")
    assert blocks(shown(again)) == blocks(shown(clf))
    assert "up to 4 tokens" in shown(again)


def test_display_can_be_text():
    with config_context(display="text"):
        assert not hasattr(FusionClassifier(), "_repr_html_")
