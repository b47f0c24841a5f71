"""By what cells the automatic choice knows a column."""

import io

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from skfusion import FusionClassifier, ModalityTransformer
from skfusion.modalities import (
    AudioModality,
    ImageModality,
    SeriesModality,
    TabularModality,
    TextModality,
    VectorModality,
    registry,
)

N = 40
TEXTS = [f"cloth number {i} is {'soft' if i % 2 else 'torn'}" for i in range(N)]


def cells(values):
    out = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        out[i] = value
    return pd.Series(out)


def encoded(form):
    file = io.BytesIO()
    if form in ("WAV", "FLAC", "AIFF", "RF64"):
        soundfile.write(file, np.zeros(800), 8000, format=form)
    else:
        Image.new("RGB", (8, 8)).save(file, form)
    return file.getvalue()


KINDS = [
    (TEXTS, TextModality),
    ([f"img/p{i}.jpg" for i in range(N)], ImageModality),
    ([f"my img/photo {i}.jpg" for i in range(N)], ImageModality),
    ([f"my talks/the talk {i}.wav" for i in range(N)], AudioModality),
    ([encoded("WEBP")] * N, ImageModality),
    ([encoded("PNG")] * N, ImageModality),
    ([encoded("WAV")] * N, AudioModality),
    ([encoded("AIFF")] * N, AudioModality),
    ([encoded("FLAC")] * N, AudioModality),
    ([np.arange(3.0)] * N, VectorModality),
    ([np.arange(3.0 + i % 3) for i in range(N)], SeriesModality),
    ([[1.0, None, i] for i in range(N)], VectorModality),
    ([f"{i} %" for i in range(N)], TabularModality),
    ([f"{i % 28 + 1:02d} May 20{i}" for i in range(10, N)], TabularModality),
]


@pytest.mark.parametrize("odd", ["", " \t", None, 5, "?"], ids=repr)
@pytest.mark.parametrize(("values", "kind"), KINDS, ids=lambda v: str(v)[:30])
def test_a_single_odd_cell_changes_nothing(values, kind, odd):
    for at in (0, 7):
        column = cells([*values[:at], odd, *values[at + 1 :]])
        assert registry.detect(column).modality is kind


@pytest.mark.parametrize(("values", "kind"), KINDS, ids=lambda v: str(v)[:30])
def test_blank_cells_are_skipped_however_many(values, kind):
    column = cells([*[""] * 200, *[None] * 200, *values, *[" "] * 200])
    assert registry.detect(column).modality is kind


@pytest.mark.parametrize(
    "make",
    [
        lambda i: f"质量{chr(0x4E00 + i)}很好我喜欢",  # Chinese
        lambda i: f"この商品{i}はとても良いです",  # Japanese
        lambda i: f"สินค้าดีมากชอบมากๆเลย{i}",  # Thai
        lambda i: f"ទំនិញល្អណាស់ខ្ញុំចូលចិត្ត{i}",  # Khmer
        lambda i: f"ສິນຄ້າດີຫຼາຍ{i}ມັກຫຼາຍ",  # Lao
        lambda i: f"ပစ္စည်းကောင်းပါတယ်{i}ကြိုက်တယ်",  # Burmese
        lambda i: f"ཡག་པོ་{i}འདུག་ང་དགའ་པོ",  # Tibetan
    ],
    ids=["Chinese", "Japanese", "Thai", "Khmer", "Lao", "Burmese", "Tibetan"],
)
def test_scripts_without_spaces_are_text(make):
    assert (
        registry.detect(pd.Series([make(i) for i in range(N)])).modality is TextModality
    )
    few = pd.Series([make(i % 4) for i in range(N)])
    assert registry.detect(few).modality is None


@pytest.mark.parametrize(
    "column",
    [
        [f"https://example.org/{i}/my-photo.jpg" for i in range(N)],
        [f"my scans/scan {i}.dcm" for i in range(N)],
        [f"[{i}, 2, 3]" for i in range(N)],
        [f"SKU-{i}" for i in range(N)],
        pd.Categorical(TEXTS * 2),
    ],
    ids=lambda v: str(v[0]),
)
def test_what_nothing_reads_is_a_category(column):
    assert registry.detect(pd.Series(column)).modality is None


def test_texts_of_category_type_are_texts():
    assert registry.detect(pd.Series(pd.Categorical(TEXTS))).modality is TextModality


def test_numbers_among_texts_are_absent_with_one_warning():
    X = pd.DataFrame({"note": cells([5, *TEXTS[1:]])})
    with pytest.warns(UserWarning, match=r"1 cell\(s\) .*row 0 of column 'note'"):
        batch = ModalityTransformer().fit_transform(X)
    assert batch.present[:, 0].tolist() == [False] + [True] * (N - 1)


def test_what_a_column_says_is_not_lost(tiny):
    """Each column alone tells the classes apart, but for new rows of the same kind."""
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    amount = rng.uniform(10, 20, 200) + 20 * y
    columns = {
        "price": [f"${a:,.2f}" for a in amount],
        "day": [
            f"{d:%d/%m/%Y}" for d in pd.Timestamp("2020") + pd.to_timedelta(amount, "D")
        ],
        "words": [
            f"质量{chr(0x4E00 + i)}很{'好' if c else '差'}我" for i, c in enumerate(y)
        ],
    }
    for name, column in columns.items():
        X = pd.DataFrame({name: column})
        model = FusionClassifier(**tiny | {"max_epochs": 20}).fit(X[:150], y[:150])
        assert model.score(X[150:], y[150:]) > 0.9, name
