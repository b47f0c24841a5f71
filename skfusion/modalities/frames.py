"""A table from the parts that a user has: folders of files, lists, a frame."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skfusion._validation import shorten
from skfusion.modalities.columns import repeated
from skfusion.modalities.frame_parts import (
    SEVERAL,
    Part,
    just_counts,
    read_part,
    read_table,
    some,
)

__all__ = ["frame_from"]

_SAMPLE = 200  # cells of a column by which it is seen whether they name files


def frame_from(
    *,
    image: Any = None,
    audio: Any = None,
    text: Any = None,
    table: Any = None,
    key: Any = None,
    sample_rate: int | None = None,
    return_y: bool = False,
) -> Any:
    """Build a DataFrame from parts: folders of files, lists, a table.

    Parameters
    ----------
    image, audio : str or Path, sequence of n_samples cells, or dict of such by name
        A folder stands for the pictures or sounds in it and in its subfolders, those
        whose names begin with "." left out. Cells are paths, bytes, arrays, PIL images
        and, of sounds, tuples (samples, rate); None where there is none.
    text : sequence of n_samples str, or dict of such by name
    table : DataFrame (pandas or polars), dict of columns, or array, optional
    key : str, optional
        The column of `table` that names the files.
    sample_rate : int, optional
        Rate in Hz of sounds that are given as arrays.
    return_y : bool, default=False
        Also return the subfolder of the (first) folder in which each file lies, as
        torchvision's `ImageFolder` takes it for the class.

    Returns
    -------
    df : DataFrame of n_samples rows
        The columns of `table`, then one a part: "text", "image", "audio", or the names
        in the dict. Files are paths. The index is that of `table`; without a table,
        that of the first Series that has one; or the names of the files in the first
        folder.
    y : Series of n_samples str
        Only where `return_y` is True.

    Raises
    ------
    ValueError
        Where lengths differ, files are missing or could be ordered in two ways, or
        nothing in a folder belongs to a row.

    Warns
    -----
    UserWarning
        Where rows have no file (the cell is None), or files belong to no row.

    Notes
    -----
    **How files find their rows.** A file belongs to the row whose key is the end of its
    path, with or without the ending: "a", "a.jpg" and "cats/a.jpg" all are keys of
    cats/a.jpg. The keys are the column `key`; without it, the index of the table,
    unless that just counts the rows; then the one column that names at least half of
    the files, each at most once. Such a column becomes the index (a second one is left
    out), for a model should not learn from names of files. Where there are no keys,
    the files are taken in the order of their names, and must be as many as the rows;
    names whose order as text and by number differ ("10.jpg", "9.jpg") are refused.

    A Series whose index does not just count its rows finds its rows by the index.
    Everything else is taken in order.

    Grey pictures that are given as arrays get a last axis of length 1, and arrays of
    samples their rate, so that the automatic choice does not take them for series.

    See Also
    --------
    skfusion.describe : Shows what each column would be taken for.

    Examples
    --------
    >>> import numpy as np
    >>> import skfusion
    >>> df = skfusion.frame_from(
    ...     image=[np.zeros((8, 8, 3), np.uint8), None],
    ...     text=["a black square", "nothing to be seen"],
    ...     table={"price": [3.5, 2.0]},
    ... )
    >>> df[["price", "text"]]
       price                text
    0    3.5      a black square
    1    2.0  nothing to be seen

    Files that belong to rows by a column of the table:

    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("chair", "lamp"):
    ...         Image.new("RGB", (8, 8)).save(Path(folder) / f"{name}.png")
    ...     goods = {"name": ["lamp", "chair"], "price": [20.0, 45.0]}
    ...     df = skfusion.frame_from(image=folder, table=goods, key="name")
    >>> df["image"].map(lambda path: Path(path).name)
    name
    lamp      lamp.png
    chair    chair.png
    Name: image, dtype: ...
    """
    parts = [
        read_part(kind, str(name), cells, sample_rate)
        for kind, given in (("text", text), ("image", image), ("audio", audio))
        for name, cells in _named(kind, given)
        if cells is not None
    ]
    frame = None if table is None else read_table(table)
    if frame is None and not parts:
        raise ValueError("Give at least one of image, audio, text and table.")
    if key is not None and (frame is None or key not in frame.columns):
        known = (
            "there is no table" if frame is None else f"it has {list(frame.columns)}"
        )
        raise ValueError(f"key={key!r} must be a column of the table; {known}.")
    rows = _Rows(parts, frame, key)
    placed = [rows.place(part) for part in parts]
    index = rows.in_order(
        [part for part, at in zip(parts, placed, strict=True) if at is None]
    )
    if frame is None:
        frame = pd.DataFrame(index=index)
    elif rows.naming:
        frame = frame.set_index(rows.naming[0]).drop(columns=rows.naming[1:])
    _check_names(frame, [part.name for part in parts])
    labels: pd.Series | None = None
    for part, found in zip(parts, placed, strict=True):
        at = np.arange(len(frame)) if found is None else found
        cells = [part.cells[i] if i >= 0 else None for i in at]
        frame[part.name] = _column(cells, frame.index, texts=part.kind == "text")
        _tell_of_misfits(part, at, frame.index)
        if return_y and labels is None and part.folder is not None:
            labels = pd.Series(_classes(part, at), index=frame.index, name="y")
    if not return_y:
        return frame
    if labels is None:
        raise ValueError("return_y=True needs a folder as `image` or `audio`.")
    return frame, labels


def _named(kind: str, given: Any) -> list[tuple[Any, Any]]:
    return list(given.items()) if isinstance(given, Mapping) else [(kind, given)]


class _Rows:
    """Which rows there are, and where each part has their cells.

    labels : of the rows: those of the table; of a Series; names of files; or None
    naming : the columns by which files were found
    """

    def __init__(self, parts: list[Part], frame: pd.DataFrame | None, key: Any) -> None:
        self.frame = frame
        self.naming = [] if key is None else [key]
        self.key = key
        #: The folder whose files are the rows.
        self.first: Part | None = None
        self.labels = None if frame is None else frame.index
        if frame is None:
            self.labels = next((p.labels for p in parts if p.labels is not None), None)
            self.first = next((p for p in parts if p.folder is not None), None)
            if self.labels is not None:
                self.first = None
            elif self.first is not None:
                self.labels = self.first.names()

    def place(self, part: Part) -> NDArray[np.intp] | None:
        """For each row the position of its cell, -1 for none; None: as they stand."""
        if self.labels is None or part is self.first:
            return None
        if part.labels is not None:
            return _by_labels(part.name, part.labels, self.labels)
        if part.folder is None:
            return None
        column = self.key
        if self.frame is not None and just_counts(self.labels) and column is None:
            column = _naming_column(part, self.frame)
            if column is None:
                at = part.find(self.labels)
                counted = len(at) == len(part) and bool((at >= 0).all())
                return at if counted else None
        if column is None:
            return _by_names(part, self.labels, "the index")
        assert self.frame is not None
        self.naming += [column] * (column not in self.naming)
        return _by_names(part, self.frame[column], f"column {column!r}")

    def in_order(self, parts: list[Part]) -> pd.Index:
        """The labels of the rows, where parts that are taken in order are as many."""
        if self.labels is None:
            self.labels = pd.RangeIndex(len(parts[0]))
        lengths = {part.name: len(part) for part in parts}
        if any(n != len(self.labels) for n in lengths.values()):
            rows = "" if self.frame is None else f"table {len(self.labels)}, "
            shown = ", ".join(f"{name} {n}" for name, n in lengths.items())
            raise ValueError(
                f"The parts differ in length: {rows}{shown}. Parts without keys are "
                "taken in order, and need as many cells as there are rows: write None "
                "where one is missing, or name the files by a column (key=...) or by "
                "the index of the table."
            )
        if len(parts) + (self.frame is not None) > 1:
            for part in parts:
                _check_order(part)
        return self.labels


def _by_labels(name: str, own: pd.Index, labels: pd.Index) -> NDArray[np.intp]:
    """Rows of a Series by its index."""
    if own.equals(labels):
        return np.arange(len(labels))
    if not own.is_unique:
        twice = own[own.duplicated()]
        raise ValueError(
            f"The index of {name!r} differs from that of the rows and names "
            f"{some(twice)} more than once. Pass a list to take its cells in order."
        )
    at = own.get_indexer(labels)
    if (at < 0).all():
        raise ValueError(
            f"The index of {name!r} ({some(own)}) has no label in common "
            f"with that of the rows ({some(labels)}). Pass a list to take its cells in "
            "order."
        )
    return at


def _by_names(part: Part, keys: Any, where: str) -> NDArray[np.intp]:
    """Rows of files by what names them."""
    at, keys = part.find(keys), list(keys)
    several = np.flatnonzero(at == SEVERAL)
    if len(several):
        files = [part.files[i] for i in part.files_named(keys[several[0]])]
        raise ValueError(
            f"{shorten(keys[several[0]])} in {where} may be several files of "
            f"{part.name!r}: {some(files)}. "
            "Write more of the path, or the ending, into it."
        )
    if (at < 0).all():
        raise ValueError(
            f"No file of {part.name!r} ({some(part.files)}) is named by {where} "
            f"({some(keys)}). Pass the column that names the files as key=..., or a "
            "table whose index is 0, 1, 2, ... to take the files in order."
        )
    return at


def _naming_column(part: Part, frame: pd.DataFrame) -> Any:
    """The column that names at least half of the files, each once, if there is one."""
    found: dict[Any, NDArray[np.intp]] = {}
    for name in frame.columns:
        cells = frame[name].tolist()
        some = part.find(cells[:: max(1, len(cells) // _SAMPLE)])
        if (some >= 0).any():
            at = part.find(cells)
            used = at[at >= 0]
            if len(np.unique(used)) == len(used) >= len(part.files) / 2:
                found[name] = at
    if len({tuple(at) for at in found.values()}) > 1:
        raise ValueError(
            f"Several columns of the table name files of {part.name!r}: {list(found)}. "
            "Pass one of them as key=..."
        )
    return next(iter(found), None)


def _check_order(part: Part) -> None:
    """Refuse files whose order by name is not clear, where rows depend on it."""
    names = [file.as_posix() for file in part.files]
    by_number = sorted(names, key=_by_number)
    if by_number != names:
        a, b = next(
            pair for pair in zip(names, by_number, strict=True) if len(set(pair)) > 1
        )
        raise ValueError(
            f"The files of {part.name!r} have no clear order: as text {a!r} comes "
            f"first, by its number {b!r}. Pass the column that names them as key=..., "
            "or a list of paths in the order of the rows."
        )


def _by_number(name: str) -> list[Any]:
    """A key that sorts the numbers in names by their size."""
    return [int(p) if p.isdecimal() else p for p in re.split(r"(\d+)", name)]


def _tell_of_misfits(part: Part, at: NDArray[np.intp], index: pd.Index) -> None:
    """Warn of rows without a cell, and of cells without a row."""
    absent = np.flatnonzero(at < 0)
    unused = np.setdiff1d(np.arange(len(part)), at)
    what = "file" if part.folder is not None else "cell"
    remarks = []
    if len(absent):
        remarks.append(
            f"{len(absent)} of {len(at)} rows have no {what}, and are None (row "
            f"{some(index[absent].tolist())})"
        )
    if len(unused):
        names: Any = part.files if part.folder is not None else part.labels
        remarks.append(
            f"{len(unused)} {what}(s) belong to no row, and are left out "
            f"({some(names[i] for i in unused)})"
        )
    if remarks:
        warnings.warn(f"{part.name!r}: {'; '.join(remarks)}.", stacklevel=3)


def _classes(part: Part, at: NDArray[np.intp]) -> list[str]:
    """The subfolder of the file of each row."""
    outside = [file for file in part.files if len(file.parts) == 1]
    if outside or (at < 0).any():
        what = f"{some(outside)} lie in none" if outside else "some rows have no file"
        raise ValueError(
            "return_y=True takes the subfolders for classes, as folder/class/file.jpg, "
            f"but {what}."
        )
    return [part.files[i].parts[0] for i in at]


def _check_names(frame: pd.DataFrame, names: list[str]) -> None:
    """Refuse names of columns that repeat, and those of a table that are no strings."""
    twice = repeated([*frame.columns, *names])
    if twice:
        raise ValueError(
            f"There would be several columns named {twice}. Name a part by a dict, "
            'such as image={"photo": ...}.'
        )
    other = [c for c in frame.columns if not isinstance(c, str)]
    if names and other:
        raise ValueError(
            f"The names of the table's columns must be strings, but there is "
            f"{shorten(other[0])}. Rename them: table.columns.map(str)."
        )


def _column(cells: list[Any], index: pd.Index, *, texts: bool) -> pd.Series:
    """Cells as they are: pandas would take arrays apart."""
    if texts:
        return pd.Series(cells, index=index)
    return pd.Series(np.fromiter(cells, dtype=object), index=index, dtype=object)
