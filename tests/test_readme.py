"""The README's blocks of Python run, and its promises hold, on tiny data."""

import re
from pathlib import Path

import numpy as np
import pytest

from skfusion import FusionClassifier, datasets

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def tiny(monkeypatch):
    """Few rows and two epochs, so that the blocks can run as they are printed."""
    X, y = datasets.load_clothing_reviews(subset="train", return_X_y=True)
    X, y = X.head(80), y.head(80)
    monkeypatch.setattr(
        datasets, "load_clothing_reviews", lambda *, subset, return_X_y: (X, y)
    )
    monkeypatch.setitem(FusionClassifier.__init__.__kwdefaults__, "max_epochs", 2)


def test_blocks_of_python_run_in_order(tiny):
    assert len(BLOCKS) >= 2
    here = {}
    for block in BLOCKS:
        exec(compile(block, "README.md", "exec"), here)
    X, clf = here["X"].head(), here["clf"]
    weights = clf.modality_weights(X)
    assert weights.shape == (5, 2)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    elements = clf.element_weights(X, "review")
    assert len(elements) == 5
    assert set(here["search"].best_params_) == {
        "modalities__review__max_tokens",
        "fusion__n_heads",
    }


def test_every_file_that_is_linked_exists():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("target", ["demo", "test", "lint", "docs", "bench"])
def test_every_command_is_shown(target):
    assert f"make {target}" in README
