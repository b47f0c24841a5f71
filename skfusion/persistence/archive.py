"""One file for a fitted model: a zip archive of a manifest and three other members."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import safetensors.numpy
from sklearn.base import BaseEstimator

from skfusion._validation import shorten
from skfusion.estimator.card import versions
from skfusion.persistence import foreign
from skfusion.persistence.state import (
    Reader,
    Writer,
    class_name,
    find_class,
    is_known,
    is_ours,
)
from skfusion.persistence.writing import complete_file

__all__ = ["load", "save"]

#: Version of the format. Files of a newer one are refused.
FORMAT = 1
#: The members, and no others: versions and hashes; the objects of the model; their
#: arrays, for safetensors; what is left to skops.
MANIFEST, STATE = "manifest.json", "state.json"
ARRAYS, FOREIGN = "arrays.safetensors", "sklearn.skops"
#: A member is never compressed further than this, which real ones hardly are.
MAX_RATIO = 200
#: A default model is a few megabytes. JSON takes some twenty times its size in memory.
MAX_BYTES, JSON_SHARE = 2**30, 16
MAX_MANIFEST = 2**20


# ---------------------------------------------------------------- save


def save(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted model to one file, without pickle.

    The file is a zip archive: weights and other arrays by safetensors, parts of
    scikit-learn by skops, the rest as JSON, with versions and hashes. It holds what the
    model holds: no training row, but the words of a vocabulary. It is put in place when
    it is complete, so that a save that fails leaves an older file as it was.

    Parameters
    ----------
    model : FusionClassifier, FusionRegressor, ModalityTransformer or modality
        Or a scikit-learn `Pipeline` with such steps.
    path : str or path-like
        Where to write, as in ``"model.skfusion"``. A file that is there is replaced.

    Raises
    ------
    TypeError
        Where something cannot be kept without pickle: a function without a name, a
        class defined within a function, a type that skops does not know.

    See Also
    --------
    load : Read the file.

    Examples
    --------
    >>> import tempfile, numpy as np, skfusion
    >>> X = np.random.default_rng(0).normal(size=(80, 3))
    >>> reg = skfusion.FusionRegressor(max_epochs=5, random_state=0).fit(X, X[:, 0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     skfusion.save(reg, f"{folder}/model.skfusion")
    ...     again = skfusion.load(f"{folder}/model.skfusion")
    >>> bool((again.predict(X) == reg.predict(X)).all())
    True
    """
    if not (isinstance(model, BaseEstimator) and is_ours(type(model))):
        raise TypeError(
            "skfusion.save writes estimators and modalities of skfusion, and scikit-"
            f"learn's Pipelines of them. Got {shorten(model)} instead; of a search, "
            "save its best_estimator_."
        )
    writer = Writer()
    record = writer.record(model)
    members = {
        STATE: _json({"classes": writer.classes, "model": record}),
        ARRAYS: safetensors.numpy.save(writer.arrays),
        FOREIGN: foreign.dumps(writer.foreign),
    }
    manifest = {
        "format": FORMAT,
        "versions": versions(),
        "members": {name: _described(data) for name, data in members.items()},
    }
    with complete_file(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name, data in {MANIFEST: _json(manifest), **members}.items():
            archive.writestr(zipfile.ZipInfo(name), data, _compression(data))


def _json(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()


def _described(data: bytes) -> dict[str, Any]:
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _compression(data: bytes) -> int:
    """Deflate what becomes smaller by it, but not by so much that a bomb could too."""
    ratio = len(data) / len(zlib.compress(data))
    pays = 1.2 < ratio < MAX_RATIO / 2
    return zipfile.ZIP_DEFLATED if pays else zipfile.ZIP_STORED


# ---------------------------------------------------------------- load


def load(
    path: str | os.PathLike[str],
    *,
    trusted: str | type | Iterable[str | type] = (),
    max_bytes: int = MAX_BYTES,
) -> Any:
    """Read a model that `save` wrote; its predictions are the same to the bit.

    No code of the file is run, and nothing is imported for it but this package,
    scikit-learn and what `trusted` names. The model lives on the CPU.

    Parameters
    ----------
    path : str or path-like
    trusted : str, type or iterable of them, default=()
        Further types that may be made: those of your own estimators, modalities and
        functions, as ``"lightgbm.sklearn.LGBMClassifier"`` or the type itself. The
        error for a file that needs them lists them. Trust only what you expect there.
    max_bytes : int, default=2**30
        The content may take so much memory.

    Returns
    -------
    model : object
        As it was saved.

    Raises
    ------
    TypeError
        If the file holds types that are not trusted.
    ValueError
        If it is no such file, was damaged or changed, is too large, or is of a newer
        format.

    Warns
    -----
    UserWarning
        If it was written by another version of skfusion. Other versions of NumPy, torch
        and scikit-learn may change the last bits.

    See Also
    --------
    save : Write the file.
    """
    name = os.fspath(path)
    name = name if len(name) <= 80 else f"…{name[-79:]}"
    trusted = [trusted] if isinstance(trusted, str | type) else trusted
    trust = {t if isinstance(t, str) else class_name(t) for t in trusted}
    members, written_by = _read(Path(path), name, max_bytes)
    max_json = max_bytes // JSON_SHARE
    part, state = members[FOREIGN], _whole(name, STATE, json.loads, members[STATE])
    _whole(name, FOREIGN, foreign.check_sizes, part, max_bytes, max_json)
    names, record = _whole(name, STATE, lambda: ([*state["classes"]], state["model"]))
    unknown = [str(n) for n in names if not is_known(str(n)) and str(n) not in trust]
    unknown += _whole(name, FOREIGN, foreign.untrusted, part, trust)
    _check_trust(name, unknown)
    classes = _classes(name, names, written_by)
    parts = _whole(name, FOREIGN, foreign.loads, part, trust)
    unsound = _whole(name, FOREIGN, foreign.unsound_trees, parts)
    _check_trust(name, [n for n in unsound if n not in trust])
    arrays = _whole(name, ARRAYS, safetensors.numpy.load, members[ARRAYS])
    model = _whole(name, STATE, Reader(classes, arrays, parts).thing, record)
    if not (isinstance(model, BaseEstimator) and is_ours(type(model))):
        raise ValueError(f"{name} holds no model of skfusion, but a {type(model)}.")
    return model


def _check_trust(name: str, unknown: list[str]) -> None:
    if unknown:
        shown = [shorten(n)[1:-1] for n in sorted(unknown)[:10]]
        more = "" if len(unknown) <= 10 else f" (and {len(unknown) - 10} more)"
        raise TypeError(
            f"{name} holds types that are not made unless you trust them{more}: "
            f"{shown}. If you know who wrote the file, and expect them in it, pass "
            f"trusted={shown}."
        )


def _classes(name: str, names: list[str], written_by: dict[str, str]) -> list[type]:
    """The classes of those names; of another version, some may not be there."""
    found, ours = [], written_by.get("skfusion")
    for n in names:
        try:
            found.append(find_class(n))
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise ValueError(
                f"{name} holds an object of {shorten(n)}, which is not there: "
                f"{shorten(str(error))}. The file was written by skfusion "
                f"{shorten(ours)}: install that version, and what the class belongs to."
            ) from error
    here = versions()["skfusion"]
    if ours != here:
        warnings.warn(
            f"{name} was written by skfusion {shorten(ours)}, and this is {here}: "
            "predictions may differ, or fail. Compare some, and save the model again.",
            UserWarning,
            stacklevel=3,
        )
    return found


def _whole(name: str, member: str, step: Callable[..., Any], *args: Any) -> Any:
    """What a step of reading gives; whatever it raises, the file is at fault."""
    try:
        return step(*args)
    except Exception as error:
        raise ValueError(
            f"{name} is damaged, or was not written by skfusion.save: {member} cannot "
            f"be read ({type(error).__name__}: {shorten(str(error))}). Copy the file "
            "again, or save the model again."
        ) from error


def _read(
    path: Path, name: str, max_bytes: int
) -> tuple[dict[str, bytes], dict[str, str]]:
    """The members, checked against the manifest, and the versions that wrote them."""
    with path.open("rb") as file:
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise ValueError(
                f"{name} is no zip archive, or was cut short: skfusion.load reads what "
                "skfusion.save wrote. Copy the file again; a pickle is read by joblib."
            ) from error
        with archive:
            infos = archive.infolist()
            found = [info.filename for info in infos]
            manifest = _manifest(archive, name, found)
            if sorted(found) != sorted([MANIFEST, STATE, ARRAYS, FOREIGN]):
                raise ValueError(
                    f"{name} must hold {MANIFEST}, {STATE}, {ARRAYS} and {FOREIGN}, "
                    f"each once, and nothing else, but holds {shorten(sorted(found))}. "
                    "It is damaged or was tampered with: save the model again."
                )
            for info in infos:
                _check_size(name, info, max_bytes)
            total = sum(info.file_size for info in infos)
            if total > max_bytes:
                _too_large(name, "its content", total, max_bytes)
            members = {
                info.filename: _whole(name, info.filename, _content, archive, info)
                for info in infos
            }
    for member in (STATE, ARRAYS, FOREIGN):
        if manifest["members"].get(member) != _described(members[member]):
            raise ValueError(
                f"{member} in {name} is not what the manifest says of it (size and "
                "SHA-256): the file was damaged or changed. Copy it again, or save the "
                "model again."
            )
    return members, manifest["versions"]


def _manifest(archive: zipfile.ZipFile, name: str, found: list[str]) -> dict[str, Any]:
    """The manifest, of a format that this version reads."""
    if found.count(MANIFEST) != 1:
        raise ValueError(
            f"{name} was not written by skfusion.save: it must hold one {MANIFEST}, "
            f"but holds {shorten(found)}."
        )
    info = archive.getinfo(MANIFEST)
    _check_size(name, info, MAX_MANIFEST)
    manifest = _whole(name, MANIFEST, lambda: json.loads(_content(archive, info)))
    written = manifest.get("format") if isinstance(manifest, dict) else None
    if type(written) is not int or written < 1:
        raise ValueError(
            f"{name} is damaged: its manifest must state a format from 1 to {FORMAT}, "
            f"but states {shorten(written)}. Save the model again."
        )
    if written > FORMAT:
        raise ValueError(
            f"{name} is of format {written}, and skfusion {versions()['skfusion']} "
            f"reads formats up to {FORMAT}. Update it: pip install -U skfusion."
        )
    for key in ("versions", "members"):
        if not isinstance(manifest.get(key), dict):
            raise ValueError(
                f"{name} is damaged: its manifest must state {key}, but states "
                f"{shorten(manifest.get(key))}. Save the model again."
            )
    return manifest


def _check_size(name: str, info: zipfile.ZipInfo, max_bytes: int) -> None:
    """Refuse a member that would be too large in memory, by what it says of itself."""
    if info.filename.endswith(".json"):
        max_bytes = max_bytes if info.filename == MANIFEST else max_bytes // JSON_SHARE
    if info.file_size > max_bytes:
        _too_large(name, shorten(info.filename), info.file_size, max_bytes)
    if info.file_size > MAX_RATIO * max(info.compress_size, 1):
        raise ValueError(
            f"{shorten(info.filename)} in {name} is compressed to less than one part "
            f"in {MAX_RATIO}, which skfusion.save never does: the file may be made to "
            "fill the memory, and is not read."
        )


def _too_large(name: str, what: str, size: int, max_bytes: int) -> None:
    raise ValueError(
        f"{name} is too large: {what} takes {size} bytes, and {max_bytes} are allowed. "
        "If you know who wrote the file, pass a larger max_bytes."
    )


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """A member; no more is unpacked than it says of its size."""
    with archive.open(info) as file:
        content = file.read(info.file_size)
        if len(content) != info.file_size or file.read(1):
            raise ValueError("its size is not the one stated")
    return content
