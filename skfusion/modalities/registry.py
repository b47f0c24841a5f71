"""The modalities that can be named, and those that are found automatically.

``skfusion/modalities/__init__.py`` registers every class that it exports; nothing else
has to know of a new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from skfusion.modalities.base import Modality, Verdict
from skfusion.modalities.columns import numpy_column

__all__ = ["Choice", "by_short_name", "choose", "detect", "name_modalities", "register"]

_classes: list[type[Modality]] = []


def register(classes: Iterable[Any]) -> None:
    """Add what is a modality among some exported objects."""
    _classes.extend(
        cls
        for cls in classes
        if isinstance(cls, type) and issubclass(cls, Modality) and cls not in _classes
    )


def by_short_name() -> dict[str, type[Modality]]:
    """The modalities that can be made without arguments, by their short names."""
    return {cls.short_name: cls for cls in _classes if cls.short_name is not None}


class Choice(NamedTuple):
    """The modality that a column is given to, and why; None: it belongs to a table."""

    modality: type[Modality] | None
    reason: str


def detect(column: Any) -> Choice:
    """The first modality, by `detection_rank`, that wants a column."""
    refusals = []
    for cls in sorted(_classes, key=lambda cls: cls.detection_rank):
        if cls.short_name is None:
            continue
        try:
            verdict = cls.detect(column)
        except ArithmeticError:  # a cell that cannot be compared: a table names it
            return Choice(None, "a cell cannot be compared with others")
        reason = verdict.reason if isinstance(verdict, Verdict) else ""
        if verdict:
            return Choice(cls, reason or f"{cls.__name__} detects it")
        refusals.append(reason)
    return Choice(None, next(filter(None, refusals), "nothing else detects it"))


def choose(X: Any) -> dict[Any, Choice]:
    """What each column of a frame is taken for."""
    return {column: detect(numpy_column(X[column])) for column in X.columns}


def name_modalities(choices: Mapping[Any, Choice]) -> list[tuple[str, Any, Any]]:
    """A modality for each column that is not the table's, and one for all the rest."""
    table = by_short_name()["tabular"]
    found: list[tuple[str, Any, Any]] = []
    rest = []
    for column, (detected, _) in choices.items():
        if detected is None or detected is table:
            rest.append(column)
        else:
            found.append((_free_name(str(column), found), detected.automatic(), column))
    if rest:
        found.append((_free_name("tabular", found), table(), rest))
    return found


def _free_name(name: str, taken: Sequence[tuple[str, Any, Any]]) -> str:
    """A name that nested parameters and the other modalities leave free."""
    name = name.replace("__", "_") or "column"
    names = {other for other, _, _ in taken} | {"modalities"}
    while name in names:
        name += "_"
    return name
