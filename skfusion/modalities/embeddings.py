"""A cache of embeddings, shared by folds, candidates of a search and later calls.

What is kept is found by a digest of its content, of the model and of its settings, so
neither the order of the rows nor the process that asks matters.
"""

from __future__ import annotations

import math
import sqlite3
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Cache", "FolderCache", "MemoryCache", "NoCache"]

Found = dict[bytes, NDArray[np.float32]]
_AT_ONCE = 500  # keys of one query: SQLite takes a thousand variables or more


class Cache(Protocol):
    """Vectors by their keys, at most so many bytes of them."""

    def get(self, keys: Sequence[bytes]) -> Found:
        """Those of the keys that are there."""

    def put(self, vectors: Mapping[bytes, NDArray[np.float32]], limit: int) -> None:
        """Keep vectors; beyond `limit` bytes, the oldest go."""


class NoCache:
    """Keeps nothing."""

    def get(self, keys: Sequence[bytes]) -> Found:
        return {}

    def put(self, vectors: Mapping[bytes, NDArray[np.float32]], limit: int) -> None:
        pass


class MemoryCache:
    """Vectors in the memory of this process, which all of its threads share."""

    def __init__(self) -> None:
        self._vectors: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()
        self.nbytes = 0

    def get(self, keys: Sequence[bytes]) -> Found:
        with self._lock:
            return {key: self._vectors[key] for key in keys if key in self._vectors}

    def put(self, vectors: Mapping[bytes, NDArray[np.float32]], limit: int) -> None:
        with self._lock:
            for key, vector in vectors.items():
                old = self._vectors.pop(key, None)
                self.nbytes += vector.nbytes - (0 if old is None else old.nbytes)
                self._vectors[key] = vector.copy()  # a view would keep its batch
            while self.nbytes > limit and self._vectors:
                self.nbytes -= self._vectors.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._vectors.clear()
            self.nbytes = 0


class FolderCache:
    """Vectors in a SQLite file, which several processes may read and write at once.

    A file that cannot be read or written costs time, not the fit: one warning says so.

    Parameters
    ----------
    folder : str or Path
        Made where it is not there.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder).expanduser() / "embeddings.sqlite"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(
                f"The folder cache={str(folder)!r} cannot be made: {error}. Name a "
                'folder that can be written, or pass cache="memory".'
            ) from error

    def get(self, keys: Sequence[bytes]) -> Found:
        found: Found = {}

        def read(database: sqlite3.Connection) -> None:
            for start in range(0, len(keys), _AT_ONCE):
                some = keys[start : start + _AT_ONCE]
                marks = ",".join("?" * len(some))
                query = f"SELECT key, vector FROM embeddings WHERE key IN ({marks})"
                for key, vector in database.execute(query, some):
                    found[key] = np.frombuffer(vector, "<f4").astype(np.float32)

        self._with_database(read)
        return found

    def put(self, vectors: Mapping[bytes, NDArray[np.float32]], limit: int) -> None:
        rows = [(key, v.astype("<f4").tobytes()) for key, v in vectors.items()]

        def write(database: sqlite3.Connection) -> None:
            database.executemany(
                "INSERT OR REPLACE INTO embeddings VALUES (?, ?)", rows
            )
            size, count = database.execute(
                "SELECT COALESCE(SUM(LENGTH(vector)), 0), COUNT(*) FROM embeddings"
            ).fetchone()
            if size > limit:
                database.execute(
                    "DELETE FROM embeddings WHERE rowid IN "
                    "(SELECT rowid FROM embeddings ORDER BY rowid LIMIT ?)",
                    (math.ceil(count * (size - limit) / size),),
                )

        self._with_database(write)

    def _with_database(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Do something with the file, its table made, in one transaction."""
        try:
            with closing(sqlite3.connect(self.path, timeout=60)) as database, database:
                database.execute(
                    "CREATE TABLE IF NOT EXISTS embeddings "
                    "(key BLOB UNIQUE, vector BLOB)"
                )
                work(database)
        except sqlite3.Error as error:
            warnings.warn(
                f"The cache of embeddings {str(self.path)!r} cannot be used: {error}. "
                "Embeddings are computed anew; delete the file if it is broken.",
                UserWarning,
                stacklevel=3,
            )
