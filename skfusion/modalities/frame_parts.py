"""The parts of which `frame_from` makes a table, each as one column of cells."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skfusion._validation import shorten
from skfusion.modalities.audio.reading import ENDINGS as SOUNDS
from skfusion.modalities.columns import is_absent, is_frame, numpy_column
from skfusion.modalities.image.files import ENDINGS as PICTURES

__all__ = ["NONE", "SEVERAL", "Part", "just_counts", "read_part", "read_table", "some"]

#: What stands for the position of a file where no file has a name, or several have.
NONE, SEVERAL = -1, -2
_EXPECTED = {
    "text": "texts",
    "image": "a folder, or pictures (paths, bytes, arrays, PIL images)",
    "audio": "a folder, or sounds (paths, bytes, arrays, tuples (samples, rate))",
}


@dataclass
class Part:
    """A column: its cells, and by what they may be found.

    labels : index of a Series that does not just count its rows
    folder : where the files come from; files are their paths within it
    """

    kind: str
    name: str
    cells: list[Any]
    labels: pd.Index | None = None
    folder: Path | None = None
    files: list[PurePath] = field(default_factory=list)
    ends: dict[int, dict[tuple[str, ...], list[int]]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.cells)

    def names(self) -> pd.Index:
        """Names of the files, without their endings where these are not needed."""
        short = [file.with_suffix("").as_posix() for file in self.files]
        unique = len(set(short)) == len(short)
        return pd.Index(short if unique else [file.as_posix() for file in self.files])

    def find(self, keys: Iterable[Any]) -> NDArray[np.intp]:
        """Position of the file that each key names, or NONE, or SEVERAL."""
        found = [self.files_named(key) for key in keys]
        return np.array(
            [at[0] if len(at) == 1 else SEVERAL if at else NONE for at in found],
            dtype=np.intp,
        )

    def files_named(self, key: Any) -> list[int]:
        """The files whose path ends with a key, with or without their ending."""
        if isinstance(key, float | np.floating) and float(key).is_integer():
            key = int(key)  # whole numbers in a column with missing ones
        text = "" if is_absent(key) else str(key)
        wanted = PurePath(text.strip().replace("\\", "/")).parts
        if not wanted or not self._ends(1).get(wanted[-1:]):
            return []
        return self._ends(len(wanted)).get(wanted, [])

    def _ends(self, n: int) -> dict[tuple[str, ...], list[int]]:
        """The last n names of each path, with and without the ending."""
        if n not in self.ends and self.folder is not None:
            above, ends = self.folder.resolve(), defaultdict(list)
            for i, file in enumerate(self.files):
                *folders, name = (above / file).parts[-n:]
                for form in {name, PurePath(name).stem}:
                    ends[*folders, form].append(i)
            self.ends[n] = ends
        return self.ends.get(n, {})


def just_counts(index: pd.Index) -> bool:
    """Whether an index says nothing but the number of the row."""
    return index.name is None and index.equals(pd.RangeIndex(len(index)))


def some(values: Iterable[Any]) -> str:
    """The first three values, for messages."""
    shown = [str(v) if isinstance(v, PurePath) else v for v in values]
    return ", ".join(map(shorten, shown[:3])) + ", ..." * (len(shown) > 3)


def read_part(kind: str, name: str, given: Any, sample_rate: int | None) -> Part:
    """Check what was given as a column, and take it apart."""
    if kind != "text" and isinstance(given, str | os.PathLike):
        return _read_folder(kind, name, Path(given))
    plain = isinstance(given, list | tuple | np.ndarray | pd.Index)
    if not plain and not (is_frame(given) and not hasattr(given, "columns")):
        raise TypeError(
            f"{name!r} must be {_EXPECTED[kind]}, as a list, an array or a Series. "
            f"Got {shorten(given)} instead."
        )
    labels = None
    if isinstance(given, pd.Series) and not just_counts(given.index):
        labels = given.index
    cells = list(numpy_column(given) if is_frame(given) and not plain else given)
    if kind != "text":
        cells = [_media_cell(kind, name, cell, sample_rate) for cell in cells]
        paths = [c for c in cells if isinstance(c, str | os.PathLike)]
        gone = [
            path for path in paths if not is_absent(path) and not Path(path).is_file()
        ]
        if gone:
            raise ValueError(
                f"{len(gone)} of the {len(cells)} files of {name!r} do not exist: "
                f"{some(gone)}. Paths start from the working directory, {Path.cwd()}."
            )
    return Part(kind, name, cells, labels)


def _media_cell(kind: str, name: str, cell: Any, sample_rate: int | None) -> Any:
    """A cell in the form by which the automatic choice knows pictures and sounds."""
    array = np.asarray(cell) if isinstance(cell, list) else cell
    if not isinstance(array, np.ndarray):
        return cell
    if kind == "image":
        return array[:, :, None] if array.ndim == 2 else array
    if sample_rate is None:
        raise ValueError(
            f"{name!r} holds arrays of samples: pass sample_rate=..., their rate in Hz."
        )
    return array, sample_rate


def _read_folder(kind: str, name: str, folder: Path) -> Part:
    """The files of a folder and its subfolders in the order of their names."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise ValueError(
            f"{name!r} must be {_EXPECTED[kind]}, but {shorten(str(folder))} {what}. "
            "Put single files into a list."
        )
    endings = PICTURES if kind == "image" else SOUNDS
    files: list[PurePath] = []
    others: list[PurePath] = []
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [f for f in folders if not f.startswith((".", "__MACOSX"))]
        for file in names:
            path = PurePath(parent, file).relative_to(folder)
            if not file.startswith("."):
                (files if path.suffix.lower() in endings else others).append(path)
    if not files:
        other = f", but {some(sorted(map(str, others)))}" if others else ""
        raise ValueError(
            f"The folder {shorten(str(folder))} of {name!r} holds no file with an "
            f"ending of {kind} files{other}."
        )
    files.sort(key=PurePath.as_posix)
    cells = [str(folder / file) for file in files]
    return Part(kind, name, cells, folder=folder, files=files)


def read_table(table: Any) -> pd.DataFrame:
    """The table as a pandas frame of its own, whose columns have names."""
    if isinstance(table, np.ndarray) and table.ndim == 2:
        return pd.DataFrame(table, columns=[f"x{i}" for i in range(table.shape[1])])
    if isinstance(table, Mapping):
        return pd.DataFrame(table)
    if not (is_frame(table) and hasattr(table, "columns")):
        raise TypeError(
            "`table` must be a DataFrame, a dict of columns or an array of shape "
            f"(n_samples, n_features). Got {shorten(table)} instead."
        )
    if isinstance(table, pd.DataFrame):
        return table.copy()
    return pd.DataFrame({name: numpy_column(table[name]) for name in table.columns})
