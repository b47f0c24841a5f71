"""The sets that do not come with the package, as frames with named modalities.

They are read from the folder that SKFUSION_BENCH_DATA names, through its `load.py`.
"""

import functools
import importlib.util
import os
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

BENCH_DATA = os.environ.get("SKFUSION_BENCH_DATA")

# What the loaders call a kind, and what the package calls it.
KINDS = {
    "text": "text",
    "image": "image",
    "audio": "audio",
    "timeseries": "series",
    "tabular": "tabular",
    "view": "vector",
}


class Frame(NamedTuple):
    """A set, one row a case."""

    X: pd.DataFrame
    y: np.ndarray
    modalities: list[tuple[str, str, list[str]]]
    split: np.ndarray | None
    groups: np.ndarray | None
    is_classification: bool


def is_here(needs: str | None) -> bool:
    """Whether a folder of SKFUSION_BENCH_DATA, if any is needed, is there."""
    if needs is None:
        return True
    return BENCH_DATA is not None and (Path(BENCH_DATA) / needs).is_dir()


@functools.cache
def loaders() -> ModuleType:
    """The module `load.py` of the folder with the sets that do not come along."""
    if BENCH_DATA is None:
        raise SystemExit(
            "SKFUSION_BENCH_DATA must name the folder of the benchmark's data, which "
            "holds `load.py`; it is not set."
        )
    spec = importlib.util.spec_from_file_location(
        "bench_data_load", Path(BENCH_DATA) / "load.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(name: str, **options: Any) -> Frame:
    """A set of that folder, as a frame in which a cell is a picture or a sound."""
    bunch = loaders().load(name, **options)
    data, modalities = {}, []
    for key, values in bunch.mods.items():
        kind = bunch.kind[key]
        columns = {key: values}
        if kind == "tabular":
            table = pd.DataFrame(values)
            columns = {f"{key}.{c}": table[c].to_numpy() for c in table}
        elif kind == "audio":
            columns = {key: cells([(samples, bunch.sr) for samples in values])}
        elif kind == "image":
            columns = {key: cells(_pixels(values))}
        elif kind != "text":
            columns = {key: cells(values)}
        data |= columns
        modalities.append((key, KINDS[kind], list(columns)))
    is_classification = bunch.task == "clf"
    return Frame(
        pd.DataFrame(data),
        bunch.y,
        modalities,
        bunch.split,
        bunch.groups,
        is_classification,
    )


def cells(values: Any) -> np.ndarray:
    """A column with one object a cell."""
    column = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        column[i] = value
    return column


def take(array: Any, rows: Any) -> Any:
    """Some rows of a frame or an array."""
    if hasattr(array, "iloc"):
        return array.iloc[rows].reset_index(drop=True)
    return array[rows]


def _pixels(images: Any) -> Any:
    """Bytes as they are; what is left of a degraded picture, -1 to 1, as bytes."""
    images = np.asarray(images)
    if images.dtype == np.uint8:
        return images
    return np.clip(np.round(127.5 + 127.5 * images), 0, 255).astype(np.uint8)
