"""The files behind the loaders: complete, unchanged, licensed, small, reproducible."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hatchling.builders.wheel import WheelBuilder

from benchmarks.common import make_datasets as maker
from skfusion.datasets import (
    load_clothing_reviews,
    load_handwritten_views,
    load_spoken_digits,
)

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "skfusion" / "datasets" / "data"
CHECKSUMS = json.loads((Path(__file__).parent / "checksums.json").read_text())


def test_clothing_reviews_are_as_published():
    recommended = load_clothing_reviews()
    table = recommended.data.astype(object)
    table["Rating"] = load_clothing_reviews(target="rating").target
    table["Recommended IND"] = recommended.target
    table["split"] = recommended.split
    published = ["Age", "Title", "Review Text", "Rating", "Recommended IND"]
    published += ["Positive Feedback Count", "Division Name", "Department Name"]
    published += ["Class Name", "split"]
    digest = maker.digest_of_table(table[published])
    assert digest == CHECKSUMS["clothing_reviews"]


def test_handwritten_views_are_as_published():
    digits = load_handwritten_views()
    for name, columns in digits.views.items():
        digest = maker.digest(digits.data[columns].to_numpy(), "f4")
        assert digest == CHECKSUMS[f"handwritten_views/{name}"]


def test_spoken_digits_are_as_published():
    data = load_spoken_digits().data
    images = np.stack(list(data["image"]))
    assert maker.digest(images, "u1") == CHECKSUMS["spoken_digits/image"]
    samples = np.concatenate([samples for samples, _ in data["sound"]]) * 32768
    assert maker.digest(samples, "i2") == CHECKSUMS["spoken_digits/sound"]


def test_wheel_holds_every_data_file_and_its_licence():
    wheel = {
        Path(file.distribution_path).name
        for file in WheelBuilder(str(ROOT)).recurse_included_files()
        if "datasets/data" in Path(file.distribution_path).as_posix()
    }
    data = [path.name for path in DATA.iterdir()]
    assert len(data) == 13
    assert wheel == set(data)
    for name in data:
        stem = name.split(".")[0]
        licences = [text for text in data if text.endswith(".LICENSE.txt")]
        assert any(stem.startswith(text.split(".")[0]) for text in licences), name


def test_data_files_stay_small():
    sizes = [path.stat().st_size for path in DATA.iterdir()]
    assert max(sizes) < 3000 * 1024
    assert sum(sizes) < 10e6


@pytest.fixture
def originals(tmp_path):
    """A folder like that of the originals, with a few invented rows in each file."""
    rng = np.random.default_rng(0)
    for folder in ("womens_clothing", "avmnist", "mv_handwritten"):
        (tmp_path / folder).mkdir()
    pd.DataFrame(
        {
            "Clothing ID": [1, 2, 3],
            "Title": ["None", None, 'a "quoted"\r\ntitle'],
            "Review Text": ["fine", None, "été, and a comma"],
            "split": ["train", "val", "val"],
        }
    ).to_parquet(tmp_path / "womens_clothing" / "data.parquet")
    views = {name: rng.random((5, 3), dtype=np.float32) for name in maker.VIEWS}
    np.savez(
        tmp_path / "mv_handwritten" / "data.npz",
        y=np.arange(5),
        is_test=np.arange(5) > 3,
        **views,
    )
    lengths = rng.integers(50, 90, size=6)
    np.savez(
        tmp_path / "avmnist" / "fsdd.npz",
        samples=rng.integers(-9999, 9999, size=lengths.sum(), dtype=np.int16),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        digit=np.array([0, 0, 1, 1, 0, 1]),
        speaker=np.array(["ann", "bob"] * 3),
        index=np.array([0, 0, 7, 7, 30, 0]),
    )
    images = rng.integers(0, 256, size=(6, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "avmnist" / "mnist.npz", x_train=images, x_test=images[::-1])
    np.savez(
        tmp_path / "avmnist" / "pairs.npz",
        train_x1=np.array([[4, 2], [1, 3], [2, 4]]),
        test_x1=np.array([[0, 0], [3, 1], [5, 5]]),
    )
    return tmp_path


@pytest.mark.parametrize("make", maker.MAKERS, ids=lambda make: make.__name__)
def test_making_the_files_twice_gives_the_same_bytes(make, originals, tmp_path):
    made = []
    for name in ("first", "second"):
        output = tmp_path / name
        output.mkdir()
        digests = make(originals, output)
        made.append(({p.name: p.read_bytes() for p in output.iterdir()}, digests))
    assert made[0] == made[1]
    assert made[0][0]
