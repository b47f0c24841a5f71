"""The guides for those who come from other packages: their code runs, on tiny data."""

import re
from pathlib import Path

import numpy as np
import pytest

from skfusion import FusionClassifier, datasets

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "guide"
PAGES = sorted(GUIDE.glob("from_*.rst"))
BLOCK = re.compile(
    r"^( *)\.\. code-block:: python\n\1   :caption: (.+)\n\n((?:\1   .*\n|\n)+)", re.M
)
#: Captions of blocks that need nothing but what the package itself needs.
OURS = {"skfusion", "scikit-learn"}


class LengthEncoder:
    """Stands for a sentence encoder."""

    def encode(self, texts, **options):
        return np.array([[len(text), text.count("!")] for text in texts], dtype=float)


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Few rows and two epochs, in a folder where files may be written."""
    X, y = datasets.load_clothing_reviews(subset="train", return_X_y=True)
    monkeypatch.setattr(
        datasets,
        "load_clothing_reviews",
        lambda *, subset, return_X_y: (X.head(80), y.head(80)),
    )
    monkeypatch.setitem(FusionClassifier.__init__.__kwdefaults__, "max_epochs", 2)
    monkeypatch.setitem(FusionClassifier.__init__.__kwdefaults__, "n_folds", 1)
    monkeypatch.chdir(tmp_path)


def test_pages_are_found():
    assert len(PAGES) >= 4


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_of_ours_runs(page, tiny):
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert any(caption == "skfusion" for _, caption, _ in blocks)
    here = {"LengthEncoder": LengthEncoder}
    for indent, caption, code in blocks:
        code = re.sub(rf"^{indent}   ", "", code, flags=re.M)
        # An encoder that would have to be downloaded.
        code = code.replace('"all-MiniLM-L6-v2"', "LengthEncoder()")
        compile(code, str(page), "exec")
        if caption in OURS:
            exec(code, here)
    np.testing.assert_allclose(here["clf"].predict_proba(here["X"]).sum(axis=1), 1)
