"""Objects as records of JSON, and back, without running any code of a file.

A record is a plain value (null, boolean, integer, text, finite number) or
``{kind: content}``; the kinds are those of `Reader`, and no others. An object of this
package, of ``torch.nn``, or a pipeline is the name of its class and its attributes: it
is made without its constructor. Arrays and tensors are kept aside, for safetensors,
and what is of no kind here (scikit-learn's estimators, mostly), for skops. An object
that occurs again is ``{"again": number}``, so that one network stays one.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from torch import nn

from skfusion._sklearn import MetadataRequest, MethodMetadataRequest

__all__ = ["Reader", "Writer", "class_name", "find_class", "is_known", "is_ours"]

#: Classes of scikit-learn whose objects may hold ours.
_HOLDERS = (Pipeline, MetadataRequest, MethodMetadataRequest)
_SEQUENCES = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
#: Where scikit-learn keeps the callbacks that are set: they belong to the session.
CALLBACKS = "_skl_callbacks"
#: Kinds of numbers that safetensors keeps.
_NUMBERS = frozenset("?bhilqBHILQefd")


# ---------------------------------------------------------------- classes


def class_name(cls: type) -> str:
    """The name under which a class is kept, and under which it can be trusted."""
    return f"{cls.__module__}.{cls.__qualname__}"


def is_ours(cls: type) -> bool:
    """Whether objects of a class are kept by their attributes, and not by skops.

    Modalities, rules and encoders that a user wrote are too.
    """
    return (
        cls in _HOLDERS
        or issubclass(cls, nn.Module)
        or any(base.__module__.split(".")[0] == "skfusion" for base in cls.__mro__)
    )


def is_known(name: str) -> bool:
    """Whether a class needs no trust: of this package, of torch.nn, or a holder."""
    module = name.rpartition(".")[0]
    return (
        name in map(class_name, _HOLDERS)
        or name.startswith("skfusion.")
        or (module.startswith("torch.nn.modules.") and module in sys.modules)
    )


def find_class(name: str) -> type:
    """The class of that name, which must be known or trusted."""
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(module), attribute)
    if not (isinstance(found, type) and class_name(found) == name and is_ours(found)):
        raise TypeError(f"{name} is no class whose objects are kept.")
    return found


# ---------------------------------------------------------------- to records


class Writer:
    """Turns objects into records.

    Attributes
    ----------
    arrays : dict of str to ndarray
    classes : list of str, names of the classes of objects
    foreign : dict of str to object
        What is left to skops, by its place in the model.
    """

    def __init__(self) -> None:
        self.arrays: dict[str, NDArray[Any]] = {}
        self.classes: list[str] = []
        self.foreign: dict[str, Any] = {}
        self._numbers: dict[int, int] = {}
        self._kept: list[Any] = []  # ids are those of living objects
        self._open: set[int] = set()
        self._place: list[str] = []

    def record(self, thing: Any, step: str = "") -> Any:
        """The record of an object; `step` leads to it from the one that holds it."""
        if thing is None or type(thing) in (bool, int, str):
            return thing
        if type(thing) is float and math.isfinite(thing):
            return thing
        self._place.append(step)
        number = self._numbers.setdefault(id(thing), len(self._kept))
        if number < len(self._kept):
            if id(thing) in self._open:
                raise TypeError(f"{self.place} holds itself, which cannot be saved.")
            self._place.pop()
            return {"again": number}
        self._kept.append(thing)
        self._open.add(id(thing))
        kind, content = self._encoded(thing)
        self._open.discard(id(thing))
        self._place.pop()
        return {kind: content}

    @property
    def place(self) -> str:
        """Where in the model the writer is, as a user would write it."""
        return "model" + "".join(self._place)

    def _encoded(self, thing: Any) -> tuple[str, Any]:
        """Kind and content of anything but plain values."""
        cls = type(thing)
        if cls.__name__ in _SEQUENCES and cls is _SEQUENCES[cls.__name__]:
            parts = enumerate(thing)
            return cls.__name__, [self.record(x, f"[{i}]") for i, x in parts]
        if cls in (dict, OrderedDict):
            return "dict", self._pairs(thing)
        if cls is float:
            return "float", repr(thing)
        if isinstance(thing, Path):
            return "path", str(thing)
        if cls is bytes:
            return "bytes", self._stored(np.frombuffer(thing, np.uint8))
        if cls in (slice, range):
            ends = (thing.start, thing.stop, thing.step)
            return cls.__name__, [self.record(x) for x in ends]
        if cls is np.ndarray and thing.dtype.names is None:
            return self._array(thing)
        if isinstance(thing, np.generic) and not isinstance(thing, np.void):
            return "scalar", self.record(np.asarray(thing))
        if isinstance(thing, torch.Tensor):
            kind = "parameter" if isinstance(thing, nn.Parameter) else "tensor"
            return kind, [
                *self._stored(thing.detach().cpu().numpy()),
                thing.requires_grad,
            ]
        if cls in (pd.DataFrame, pd.Timestamp, pd.Timedelta):
            return self._pandas(thing)
        if is_ours(cls):
            if hasattr(thing, "_fields"):
                return "named", [self._class(cls), self._pairs(thing._asdict(), ".")]
            return "object", [self._class(cls), self._state(thing)]
        self.foreign[self.place] = thing
        return "foreign", len(self.foreign) - 1

    def _pairs(self, thing: Mapping[Any, Any], dot: str = "") -> list[Any]:
        return [
            [self.record(key), self.record(x, f".{key}" if dot else f"[{key!r}]")]
            for key, x in thing.items()
        ]

    def _class(self, cls: type) -> int:
        name = class_name(cls)
        if getattr(sys.modules.get(cls.__module__), cls.__qualname__, None) is not cls:
            raise TypeError(
                f"{self.place} is of {name}, which is not found by that name when the "
                "file is loaded. Define the class in a module, at its top level."
            )
        if name not in self.classes:
            self.classes.append(name)
        return self.classes.index(name)

    def _state(self, thing: Any) -> list[Any]:
        """Attributes of an object, without those that an empty network has anyway."""
        self._open.discard(id(thing))  # they may lead back to it
        state = thing.__getstate__() or {}
        if not isinstance(state, dict):
            raise TypeError(
                f"{self.place} is of {class_name(type(thing))}, whose state is no dict "
                "of attributes (it has __slots__), which cannot be saved."
            )
        if isinstance(thing, nn.Module):
            empty = vars(nn.Module())
            state = {k: v for k, v in state.items() if k not in empty or v != empty[k]}
        state = {k: v for k, v in state.items() if k != CALLBACKS}
        return self._pairs(state, ".")

    def _array(self, thing: NDArray[Any]) -> tuple[str, Any]:
        if thing.dtype == object:
            parts = enumerate(thing.ravel())
            items = [self.record(x, f"[{i}]") for i, x in parts]
            return "objects", [list(thing.shape), items]
        if thing.dtype.char in _NUMBERS and thing.dtype.isnative:
            return "array", self._stored(thing)
        raw = np.frombuffer(thing.tobytes(), np.uint8)  # texts, dates, ...
        return "raw", [*self._stored(raw), thing.dtype.str, list(thing.shape)]

    def _stored(self, array: NDArray[Any]) -> list[Any]:
        """Keep an array of numbers; its number, and its axes from the slowest on.

        Sums depend, in their last bits, on the order in which memory holds a matrix.
        """
        axes = sorted(range(array.ndim), key=lambda i: -array.strides[i])
        laid = array.transpose(axes)
        if array.flags.c_contiguous or not laid.flags.c_contiguous:
            axes, laid = list(range(array.ndim)), np.asarray(array, order="C")
        self.arrays[str(len(self.arrays))] = laid
        return [len(self.arrays) - 1, axes]

    def _pandas(self, thing: Any) -> tuple[str, Any]:
        if isinstance(thing, pd.DataFrame):
            names = self.record(list(thing.columns))
            columns = [self.record(x.to_numpy(), f"[{n!r}]") for n, x in thing.items()]
            index = [thing.index.to_numpy(), thing.index.name]
            return "frame", [names, self.record(index), columns]
        if isinstance(thing, pd.Timedelta):
            return "timedelta", self.record(thing.to_timedelta64())
        utc = thing if thing.tz is None else thing.tz_convert(None)
        return "timestamp", [self.record(utc.to_datetime64()), self.record(thing.tz)]


# ---------------------------------------------------------------- from records


class Reader:
    """Makes the objects that a `Writer` turned into records.

    Parameters
    ----------
    classes : list of type, each known or trusted
    arrays : dict of str to ndarray
    foreign : list of object
    """

    def __init__(
        self,
        classes: Sequence[type],
        arrays: Mapping[str, NDArray[Any]],
        foreign: Sequence[Any],
    ) -> None:
        self._classes, self._arrays, self._foreign = classes, arrays, foreign
        self._made: list[Any] = []
        self._kinds: dict[str, Callable[[Any], Any]] = {
            "dict": self._dict,
            "float": float,
            "path": Path,
            "bytes": lambda content: self._stored(content).tobytes(),
            "slice": lambda content: slice(*self._all(content)),
            "range": lambda content: range(*self._all(content)),
            "array": self._stored,
            "raw": self._raw,
            "objects": self._objects,
            "scalar": lambda content: self.thing(content)[()],
            "tensor": self._tensor,
            "parameter": lambda content: nn.Parameter(
                self._tensor(content).detach(), requires_grad=content[2]
            ),
            "frame": self._frame,
            "timestamp": self._timestamp,
            "timedelta": lambda content: pd.Timedelta(self.thing(content)),
            "named": self._named,
            "object": self._object,
            "foreign": lambda content: self._foreign[content],
        }

    def thing(self, record: Any) -> Any:
        """The object of a record."""
        if not isinstance(record, dict):
            if isinstance(record, list):
                raise ValueError("a list where a record should be")
            return record
        ((kind, content),) = record.items()
        if kind == "again":
            return self._made[content]
        at = len(self._made)
        self._made.append(None)
        if kind in _SEQUENCES:
            self._made[at] = _SEQUENCES[kind](self._all(content))
        else:
            self._made[at] = self._kinds[kind](content)
        return self._made[at]

    def _all(self, records: Iterable[Any]) -> list[Any]:
        return [self.thing(record) for record in records]

    def _dict(self, content: Any) -> dict[Any, Any]:
        return {self.thing(key): self.thing(value) for key, value in content}

    def _stored(self, content: Any) -> NDArray[Any]:
        at, axes = content[:2]
        laid = self._arrays[str(at)]
        return laid.transpose(np.argsort(axes)).copy(order="K")

    def _raw(self, content: Any) -> NDArray[Any]:
        *stored, dtype, shape = content
        dtype = np.dtype(dtype)
        if dtype.hasobject:
            raise ValueError("an array of objects as bytes")
        return (
            np.frombuffer(self._stored(stored).tobytes(), dtype).reshape(shape).copy()
        )

    def _objects(self, content: Any) -> NDArray[np.object_]:
        shape, items = content
        return np.fromiter(map(self.thing, items), dtype=object).reshape(shape)

    def _tensor(self, content: Any) -> torch.Tensor:
        # A clone, for torch aligns memory as its kernels like it.
        tensor = torch.from_numpy(self._stored(content)).clone()
        return tensor.requires_grad_(content[2])

    def _frame(self, content: Any) -> pd.DataFrame:
        names, index, columns = content
        names, columns = self.thing(names), self._all(columns)
        values, name = self.thing(index)
        index = pd.Index(values, name=name, tupleize_cols=False)
        frame = pd.DataFrame(dict(enumerate(columns)), index=index)
        frame.columns = pd.Index(names, tupleize_cols=False)
        return frame

    def _timestamp(self, content: Any) -> pd.Timestamp:
        utc, zone = self._all(content)
        moment = pd.Timestamp(utc)
        return moment if zone is None else moment.tz_localize("UTC").tz_convert(zone)

    def _named(self, content: Any) -> Any:
        at, fields = content
        cls: Any = self._classes[at]
        if not issubclass(cls, tuple):
            raise TypeError(f"{class_name(cls)} is no named tuple")
        return cls(**self._dict(fields))

    def _object(self, content: Any) -> Any:
        cls, state = content
        made = object.__new__(self._classes[cls])
        self._made[-1] = made  # its attributes may lead back to it
        if isinstance(made, nn.Module):
            nn.Module.__init__(made)
        attributes = self._dict(state)
        getattr(made, "__setstate__", made.__dict__.update)(attributes)
        return made
