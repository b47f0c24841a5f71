"""What is left to skops: scikit-learn's estimators, and a user's own.

skops names every type in a file before it makes anything, so that nothing is made of
types that nobody trusts. It is imported where it is needed, for it imports all of
scikit-learn.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)

__all__ = ["check_sizes", "dumps", "loads", "untrusted"]

_TREE = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
#: Types that are trusted beside those that skops trusts: parts of scikit-learn's
#: estimators, selectors of columns, and names of columns. Their content can do no harm
#: but for the nodes of trees, which scikit-learn reads unchecked: see `_are_sound`.
TRUSTED = frozenset(
    {
        _TREE,
        "datetime.date",
        "datetime.datetime",
        "datetime.timedelta",
        "datetime.timezone",
        "numpy.dtype",
        "numpy.number",
        "sklearn._loss.link.HalfLogitLink",
        "sklearn._loss.link.IdentityLink",
        "sklearn._loss.link.Interval",
        "sklearn._loss.link.LogLink",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.link.MultinomialLogit",
        "sklearn._loss.loss.AbsoluteError",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn._loss.loss.HalfGammaLoss",
        "sklearn._loss.loss.HalfMultinomialLoss",
        "sklearn._loss.loss.HalfPoissonLoss",
        "sklearn._loss.loss.HalfSquaredError",
        "sklearn._loss.loss.PinballLoss",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.compose._column_transformer.make_column_selector",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn.utils._bunch.Bunch",
        "zoneinfo.ZoneInfo",
    }
)


# ---------------------------------------------------------------- save


def dumps(parts: Mapping[str, Any]) -> bytes:
    """The objects in the format of skops; they are named by their places in the model.

    Raises
    ------
    TypeError
        Of what cannot be kept without pickle, naming its place.
    """
    try:
        return _dumped(list(parts.values()))
    except Exception:
        for place, part in parts.items():
            try:
                _dumped([part])
            except Exception as error:
                raise TypeError(
                    f"{place} is of type {type(part).__module__}."
                    f"{type(part).__qualname__}, which cannot be saved without pickle: "
                    f"{error}. Leave it out, or use pickle or joblib."
                ) from error
        raise


def _dumped(parts: list[Any]) -> bytes:
    import skops.io

    content = skops.io.dumps(parts)
    for name in skops.io.get_untrusted_types(data=content):
        if "<" in name:
            raise TypeError(
                f"{name} is found by no name when the file is loaded; define it in a "
                "module, with def"
            )
        if name.startswith("skfusion."):
            raise TypeError(
                f"it holds a {name.rpartition('.')[2]}, which is kept only by itself "
                "or as a step of scikit-learn's Pipeline"
            )
    return content


# ---------------------------------------------------------------- load


def check_sizes(content: bytes, max_bytes: int, max_json: int) -> None:
    """Refuse what would take more memory than it says, before anything reads it."""
    total = 0
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for member in archive.infolist():
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError("a compressed part")
            size = member.file_size
            if member.filename.endswith(".npz"):
                with zipfile.ZipFile(io.BytesIO(archive.read(member))) as inner:
                    size = sum(part.file_size for part in inner.infolist())
            if member.filename.endswith(".json") and size > max_json:
                raise ValueError(f"{size} bytes of JSON")
            total += size
            if total > max_bytes:
                raise ValueError(f"{total} bytes")


def untrusted(content: bytes, trusted: Collection[str]) -> list[str]:
    """Names of the types that nobody trusts; nothing is imported or made."""
    import skops.io

    found = set(skops.io.get_untrusted_types(data=content))
    return sorted(found - TRUSTED - set(trusted))


def loads(content: bytes, trusted: Collection[str]) -> list[Any]:
    """The objects, in the order in which they were saved."""
    import skops.io

    parts = skops.io.loads(content, trusted=sorted(TRUSTED.union(trusted)))
    return list(parts)


def unsound_trees(parts: list[Any]) -> list[str]:
    """The type of trees, if any of them would make scikit-learn read outside of it."""
    return [] if all(map(_are_sound, _boosted_trees(parts))) else [_TREE]


def _boosted_trees(parts: list[Any]) -> Iterator[Any]:
    """All boosted trees among objects, and in them."""
    todo, seen = [parts], set()
    while todo:
        thing: Any = todo.pop()
        if id(thing) in seen or isinstance(thing, type):
            continue
        seen.add(id(thing))
        if isinstance(
            thing, HistGradientBoostingClassifier | HistGradientBoostingRegressor
        ):
            yield thing
        elif isinstance(thing, dict):
            todo.extend(thing.values())
        elif isinstance(thing, list | tuple | set):
            todo.extend(thing)
        elif isinstance(thing, np.ndarray):
            todo.extend(thing.ravel().tolist() if thing.dtype == object else ())
        else:
            todo.extend(getattr(thing, "__dict__", {}).values())


def _are_sound(model: Any) -> bool:
    """Whether children of a node come after it, and features are among those read.

    Trees over categories, which read more, are sound only to who trusts them.
    """
    if not hasattr(model, "_predictors"):
        return True
    if model._preprocessor is not None:
        return False
    for tree in chain.from_iterable(model._predictors):
        nodes = tree.nodes
        if nodes.ndim != 1 or not len(nodes) or nodes["is_categorical"].any():
            return False
        at = np.flatnonzero(nodes["is_leaf"] == 0)
        inner = nodes[at]
        feature = inner["feature_idx"]
        if ((feature < 0) | (feature >= model.n_features_in_)).any():
            return False
        for child in (inner["left"], inner["right"]):
            if ((child <= at) | (child >= len(nodes))).any():
                return False
    return True
