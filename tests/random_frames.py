"""Random frames of random kinds of columns, with hostile cells, for hypothesis.

Hypothesis draws the structure (which kinds, how many rows, which cells are hostile) and
a seed; the ordinary cells come from the seed, since drawing each would take longer than
a fit.
"""

import datetime as dt
import decimal
import fractions
import io

import numpy as np
import pandas as pd
import soundfile
from hypothesis import strategies as st
from PIL import Image

__all__ = ["HOSTILE", "KINDS", "Case", "cases"]

SCRIPTS = [
    ["good", "bad", "cloth", "seam", "fits", "broke", "lovely", "small"],
    ["質量", "很好", "我喜歡", "这件衣服", "太小", "不好"],
    ["とても良い", "小さい", "服です", "カタカナ"],
    ["ผ้าดีมาก", "เล็กเกินไป", "ชอบ"],
    ["отличная", "плохая", "ткань", "шов"],
    ["נהדר", "בד", "رائع", "قماش"],
    ["बहुत", "अच्छा", "कपड़ा"],
    ["😀", "\U0001f469\u200d\U0001f467", "e\u0301", "\u200b", "\ufb01ne", "\u2167"],
    ["<b>", "</b>", "<!--", "&amp;", "&#1;", "<script>", "it's", "O'Brien", "--", "…"],
]


def _bytes_of_picture(rng, form="PNG"):
    file = io.BytesIO()
    shape = (int(rng.integers(1, 12)), int(rng.integers(1, 12)), 3)
    pixels = rng.integers(0, 256, shape).astype(np.uint8)
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def _bytes_of_sound(rng, form="WAV"):
    file = io.BytesIO()
    samples = rng.normal(size=int(rng.integers(1, 900))) / 9
    soundfile.write(file, samples, 8000, format=form)
    return file.getvalue()


def _numbers(rng, n):
    scale = 10.0 ** rng.integers(-300, 300)
    values = rng.normal(size=n) * rng.choice([1, scale])
    form = rng.integers(6)
    if form == 0:
        return pd.array(rng.integers(-5, 5, n), dtype="Int64")
    if form == 1:
        return rng.random(n) < 0.5
    if form == 2:
        return values.astype(np.float32) if abs(scale) < 1e30 else values
    if form == 3:
        return [decimal.Decimal(repr(float(v))) for v in values]
    if form == 4:
        return [pd.Timedelta(seconds=int(v)) for v in rng.integers(0, 9999, n)]
    return values


def _categories(rng, n):
    labels = [["a", "b", "c"], [1, 2.0, "3"], ["", " ", "x"], list(map(str, range(40)))]
    cells = [labels[i] for i in [int(rng.integers(len(labels)))] * n]
    values = [own[int(rng.integers(len(own)))] for own in cells]
    return pd.Categorical(values) if rng.integers(2) else values


def _dates(rng, n):
    days = pd.Timestamp("1999-12-31 23:00") + pd.to_timedelta(
        rng.integers(0, 9000, n), unit="h"
    )
    form = rng.integers(5)
    if form == 0:
        return days.tz_localize("UTC").tz_convert("Asia/Tokyo")
    if form == 1:
        return [d.date() for d in days]
    if form == 2:
        return days.strftime("%Y-%m-%d %H:%M").tolist()
    if form == 3:
        return days.to_period("D")
    return days


def _texts(rng, n):
    words = SCRIPTS[int(rng.integers(len(SCRIPTS)))]
    glue = " " if rng.integers(3) else ""
    return [glue.join(rng.choice(words, rng.integers(0, 12))) for _ in range(n)]


def _vectors(rng, n):
    width = int(rng.integers(1, 6))
    rows = list(rng.normal(size=(n, width)))
    if rng.integers(2):
        return [row.tolist() for row in rows]
    rows[0][0] = np.nan
    return rows


def _series(rng, n):
    channels = int(rng.integers(1, 3))
    return [rng.normal(size=(channels, rng.integers(1, 30))) for _ in range(n)]


def _pictures(rng, n):
    form = rng.integers(4)
    if form == 0:
        return [_bytes_of_picture(rng) for _ in range(n)]
    if form == 1:
        return [_bytes_of_picture(rng, "JPEG") for _ in range(n)]
    if form == 2:
        shape = tuple(rng.integers(1, 9, 2))
        return list(rng.integers(0, 256, (n, *shape, 3)).astype(np.uint8))
    return [Image.new("L", tuple(rng.integers(1, 9, 2).tolist())) for _ in range(n)]


def _sounds(rng, n):
    if rng.integers(2):
        return [_bytes_of_sound(rng) for _ in range(n)]
    return [(rng.normal(size=rng.integers(1, 900)), 8000) for _ in range(n)]


def _nothing(rng, n):
    return [None, np.nan, pd.NA, ""][int(rng.integers(4)) :][:1] * n


def _rubbish(rng, n):
    return [HOSTILE[int(i)] for i in rng.integers(0, len(HOSTILE), n)]


#: Kinds of columns, each with the modality that is made for it, if there is one.
KINDS = {
    "numbers": (_numbers, "tabular"),
    "categories": (_categories, "tabular"),
    "dates": (_dates, "tabular"),
    "texts": (_texts, "text"),
    "vectors": (_vectors, "vector"),
    "series": (_series, "series"),
    "pictures": (_pictures, "image"),
    "sounds": (_sounds, "audio"),
    "nothing": (_nothing, None),
    "rubbish": (_rubbish, None),
}
MODALITIES = ["tabular", "text", "vector", "series", "image", "audio"]

_SOME = np.random.default_rng(0)
#: Cells that no column should have.
HOSTILE = [
    *(None, np.nan, pd.NA, pd.NaT, np.inf, -np.inf, 1e308, -1e308, 5e-324, -0.0),
    *(10**400, -(10**400), 10**5000, decimal.Decimal("sNaN"), decimal.Decimal("1e999")),
    *(fractions.Fraction(1, 3), 2j, np.complex64(1j), True, np.bool_(False), 0, "0"),
    *("", " ", "\0", "\ud83d", "a\ud83db", "\ufeff", "x" * 3000, "<!--" * 500, "nan"),
    *("2020-02-30", "1,5", "$5", "missing.png", "missing.wav", "/dev/null", "s3://x/y"),
    *(b"", b"abc", bytearray(b"RIFF"), memoryview(b"OggS"), b"\x89PNG\r\n\x1a\n"),
    _bytes_of_picture(_SOME)[:40],
    _bytes_of_sound(_SOME)[:60],
    _bytes_of_sound(_SOME, "FLAC")[:-20],
    *([], [1], [1, "a"], [[1], [2, 3]], [None], [np.nan], [10**400], (), (1, 2), {}),
    *({"a": 1}, {1}, frozenset({1}), object(), int, Exception("x"), range(3), 1 + 0j),
    *(np.array([]), np.array(5.0), np.zeros((2, 2, 2, 2)), np.array([np.inf, 1.0])),
    *(np.full((3, 3), 1e308), np.full((3, 3), -1e11), np.zeros((0, 3), np.uint8)),
    *(np.array(["a"]), np.array([1j, 2]), np.array([None, 1], dtype=object)),
    *(dt.date(1, 1, 1), dt.datetime(9999, 12, 31), dt.time(5), dt.timedelta(1)),
    *(
        pd.Timestamp("2020", tz="UTC"),
        pd.Timestamp("2020"),
        pd.Timedelta(1),
        pd.Period("2020"),
    ),
    *(
        pd.Period("2020"),
        np.datetime64("NaT"),
        np.datetime64("2020"),
        np.timedelta64(1, "s"),
    ),
    *((np.zeros(9), 0), (np.zeros(9), -1), (np.zeros(9), 10**9), (8000, np.zeros(9))),
    *((np.array([np.nan]), 8000), (np.zeros((40, 40)), 8000), ([], 8000)),
    *(Image.new("L", (0, 0)), Image.new("RGBA", (1, 1)), Image.new("F", (2, 2))),
]


class Case:
    """A frame, a target, what to fit on it, and other rows to predict.

    Attributes
    ----------
    frame, other : DataFrame
    labels : ndarray of shape (n_samples,)
    modalities : None or list of triples
    is_classification : bool
    """

    def __init__(self, kinds, n, seed, hostile, automatic, is_classification):
        rng = np.random.default_rng(seed)
        self.kinds, self.is_classification = kinds, is_classification
        columns = {}
        for i, (kind, _, share) in enumerate(kinds):
            cells = pd.Series(KINDS[kind][0](rng, n))
            absent = rng.random(n) < share
            columns[f"c{i}"] = cells.where(~absent, None) if absent.any() else cells
        whole = pd.DataFrame(columns)
        self.frame = self._spoilt(whole, [h for h in hostile if h[0]])
        self.other = self._spoilt(whole, hostile).iloc[::-1]
        labels = rng.integers(0, 3, n)
        labels[:4] = [0, 1, 0, 1]
        self.labels = np.array(["x", "y", "z"])[labels] if seed % 2 else labels
        if not is_classification:
            self.labels = labels + rng.normal(size=n)
        self.modalities = None
        if not automatic:
            self.modalities = [
                (f"m{i}", modality, [f"c{i}"])
                for i, (_, modality, _) in enumerate(kinds)
            ]

    @staticmethod
    def _spoilt(frame, hostile):
        """The frame with some cells replaced."""
        frame = frame.copy()
        for _, row, column, value in hostile:
            name = frame.columns[column % frame.shape[1]]
            cells = frame[name].tolist()
            cells[row % len(cells)] = HOSTILE[value]
            spoilt = pd.Series(index=frame.index, dtype=object)
            for i, cell in enumerate(cells):
                spoilt.iat[i] = cell
            frame[name] = spoilt
        return frame

    def __repr__(self):
        return (
            f"Case({self.kinds}, {len(self.frame)} rows, "
            f"modalities={self.modalities}, classes={self.is_classification})"
        )


@st.composite
def cases(draw):
    """Random cases; hostile cells in some of them, in training or in other rows."""
    names = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=3))
    kinds = [
        (
            name,
            # Now and then a modality that is not made for the column.
            KINDS[name][1] or draw(st.sampled_from(MODALITIES)),
            draw(st.sampled_from([0.0, 0.0, 0.2, 1.0])),
        )
        for name in names
    ]
    hostile = st.tuples(
        st.booleans(),
        st.integers(0, 99),
        st.integers(0, 9),
        st.integers(0, len(HOSTILE) - 1),
    )
    return Case(
        kinds,
        n=draw(st.integers(4, 24) | st.integers(40, 50)),
        seed=draw(st.integers(0, 2**20)),
        hostile=draw(st.lists(hostile, max_size=3)),
        automatic=draw(st.booleans()),
        is_classification=draw(st.booleans()),
    )
