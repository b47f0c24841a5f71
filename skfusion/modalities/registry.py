"""The modalities that can be named, and those that are found automatically.

``skfusion/modalities/__init__.py`` registers every class that it exports; nothing else
has to know of a new one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from skfusion.modalities.base import Modality

__all__ = ["by_short_name", "detect", "register"]

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


def detect(column: Any) -> type[Modality] | None:
    """The first modality, by `detection_rank`, that wants a column."""
    for cls in sorted(_classes, key=lambda cls: cls.detection_rank):
        try:
            if cls.short_name is not None and cls.detect(column):
                return cls
        except ArithmeticError:  # a cell that cannot be compared: a table names it
            return None
    return None
