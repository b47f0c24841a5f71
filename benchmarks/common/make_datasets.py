"""Make the data files that come with the package from their published originals.

    SKFUSION_BENCH_DATA=folder python -m benchmarks.common.make_datasets [--output ...]

The folder named by SKFUSION_BENCH_DATA holds the originals, each in its own folder:

    womens_clothing/data.parquet    the table as published, with the column "split"
    avmnist/fsdd.npz                samples, offsets, digit, speaker, index
    avmnist/mnist.npz               x_train, x_test
    avmnist/pairs.npz               train_x1, test_x1: (row of MNIST, recording)
    mv_handwritten/data.npz         the six views, y, is_test

Besides the data, `checksums.json` is written, into the folder of the tests: digests of
the originals' content, which the tests compare with what the loaders return.
"""

import argparse
import hashlib
import json
import lzma
import os
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "skfusion" / "datasets" / "data"
CHECKSUMS = ROOT / "tests" / "datasets" / "checksums.json"

VIEWS = ("pix", "fou", "fac", "zer", "kar", "mor")
RECORDINGS_KEPT = 25  # of 50 a speaker and digit: all 5 for test, 20 for training
IMAGES_ACROSS = 30


def make_clothing_reviews(source: Path, output: Path) -> dict[str, str]:
    """Write clothing_reviews.csv.xz; return the digests of its content."""
    table = pd.read_parquet(source / "womens_clothing" / "data.parquet")
    table = table[table["Review Text"].notna()].drop(columns="Clothing ID")
    table["split"] = table["split"].replace("val", "train")
    text = table.to_csv(index=False, lineterminator="\n")
    packed = lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME)
    (output / "clothing_reviews.csv.xz").write_bytes(packed)
    return {"clothing_reviews": digest_of_table(table)}


def make_handwritten_views(source: Path, output: Path) -> dict[str, str]:
    """Write handwritten_views.npz; return the digests of its content."""
    with np.load(source / "mv_handwritten" / "data.npz") as arrays:
        views = {name: arrays[name] for name in VIEWS}
        digit, is_test = arrays["y"], arrays["is_test"]
    np.savez_compressed(
        output / "handwritten_views.npz", digit=digit, is_test=is_test, **views
    )
    return {f"handwritten_views/{name}": digest(views[name], "f4") for name in VIEWS}


def make_spoken_digits(source: Path, output: Path) -> dict[str, str]:
    """Write the files spoken_digits*; return the digests of their content."""
    folder = source / "avmnist"
    with np.load(folder / "pairs.npz") as arrays:
        pairs = {part: arrays[f"{part}_x1"] for part in ("train", "test")}
    with np.load(folder / "mnist.npz") as arrays:
        mnist = {part: arrays[f"x_{part}"] for part in pairs}
    with np.load(folder / "fsdd.npz") as arrays:
        fsdd = {name: arrays[name] for name in arrays.files}

    rows = pd.concat(
        pd.DataFrame({"mnist_row": p[:, 0], "fsdd": p[:, 1], "mnist_part": part})
        for part, p in pairs.items()
    )
    rows["digit"] = fsdd["digit"][rows["fsdd"]]
    rows["speaker"] = fsdd["speaker"][rows["fsdd"]]
    rows["recording"] = fsdd["index"][rows["fsdd"]]
    rows = rows[rows["recording"] < RECORDINGS_KEPT]
    # Digits and speakers alternate, so that any stretch of rows is a fair sample.
    rows = rows.sort_values(["recording", "digit", "speaker"], ignore_index=True)

    images = np.stack(
        [
            mnist[part][row]
            for part, row in zip(rows["mnist_part"], rows["mnist_row"], strict=True)
        ]
    )
    save_mosaic(images, output / "spoken_digits_images.png")

    offsets = fsdd["offsets"]
    sounds = [fsdd["samples"][offsets[i] : offsets[i + 1]] for i in rows["fsdd"]]
    lengths = pd.Series([len(sound) for sound in sounds])
    rows["stop"] = lengths.groupby(rows["speaker"]).cumsum()
    rows["start"] = rows["stop"] - lengths
    for speaker, members in rows.groupby("speaker"):
        soundfile.write(
            output / f"spoken_digits_{speaker}.flac",
            np.concatenate([sounds[i] for i in members.index]),
            samplerate=8000,
            subtype="PCM_16",
            compression_level=1.0,
        )

    columns = ["digit", "speaker", "recording", "start", "stop"]
    columns += ["mnist_part", "mnist_row"]
    rows[columns].to_csv(output / "spoken_digits.csv", index=False, lineterminator="\n")
    return {
        "spoken_digits/image": digest(images, "u1"),
        "spoken_digits/sound": digest(np.concatenate(sounds), "i2"),
    }


def save_mosaic(images: np.ndarray, path: Path) -> None:
    """Save images (n, height, width) side by side, IMAGES_ACROSS to a row."""
    n, height, width = images.shape
    down = -(-n // IMAGES_ACROSS)
    tiles = np.zeros((down * IMAGES_ACROSS, height, width), dtype=np.uint8)
    tiles[:n] = images
    mosaic = tiles.reshape(down, IMAGES_ACROSS, height, width).swapaxes(1, 2)
    mosaic = mosaic.reshape(down * height, IMAGES_ACROSS * width)
    Image.fromarray(mosaic).save(path, optimize=True)


def digest(array: np.ndarray, dtype: str) -> str:
    """SHA-256 of the array's content as little-endian `dtype`."""
    content = np.ascontiguousarray(array, dtype=np.dtype(dtype).newbyteorder("<"))
    return hashlib.sha256(content.tobytes()).hexdigest()


def digest_of_table(table: pd.DataFrame) -> str:
    """SHA-256 of the table's cells; an absent one is null."""
    rows = table.astype(object).where(table.notna(), None).to_numpy().tolist()
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


MAKERS = (make_clothing_reviews, make_handwritten_views, make_spoken_digits)


def main() -> None:
    """Make all files."""
    parser = argparse.ArgumentParser(description="Make the data sets of the package.")
    parser.add_argument("--output", type=Path, default=DATA)
    parser.add_argument("--checksums", type=Path, default=CHECKSUMS)
    options = parser.parse_args()
    folder = os.environ.get("SKFUSION_BENCH_DATA")
    if not folder:
        parser.error("set SKFUSION_BENCH_DATA to the folder that holds the originals")
    options.output.mkdir(parents=True, exist_ok=True)
    checksums: dict[str, str] = {}
    for make in MAKERS:
        checksums |= make(Path(folder), options.output)
    options.checksums.write_text(json.dumps(checksums, indent=2) + "\n")
    for path in sorted(options.output.iterdir()):
        print(f"{path.stat().st_size:10,d}  {path.name}")


if __name__ == "__main__":
    main()
