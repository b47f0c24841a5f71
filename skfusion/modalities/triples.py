"""Triples (name, transformer, columns): checked, found, and made modalities of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sklearn.base import BaseEstimator, clone

from skfusion.modalities import registry
from skfusion.modalities.base import Modality
from skfusion.modalities.columns import repeated
from skfusion.modalities.tabular import TabularModality
from skfusion.modalities.wrapped import TransformerModality

__all__ = ["are_triples", "as_modality", "check_triples", "find_modalities"]


def are_triples(modalities: Any) -> bool:
    return isinstance(modalities, list | tuple) and all(
        isinstance(triple, list | tuple) and len(triple) == 3 for triple in modalities
    )


def check_triples(triples: Any, reserved: Iterable[str]) -> None:
    if not are_triples(triples) or not triples:
        raise ValueError(
            "The 'modalities' parameter must be None or a list of (name, transformer, "
            f"columns) triples with at least one of them. Got {triples!r} instead."
        )
    names = [name for name, _, _ in triples]
    for name in names:
        if not isinstance(name, str) or not name or "__" in name or name in reserved:
            raise ValueError(
                "A modality's name must be a non-empty string without '__' (it nests "
                f"parameters), and none of {sorted(reserved)}. Got {name!r} instead."
            )
    twice = repeated(names)
    if twice:
        raise ValueError(f"Names of modalities must be unique; {twice} stand twice.")


def as_modality(name: str, transformer: Any) -> Modality:
    """A fresh, unfitted modality for what stands in the triple."""
    known = registry.by_short_name()
    if isinstance(transformer, str):
        if transformer not in known:
            raise ValueError(
                f"Modality {name!r}: {transformer!r} is not one of {sorted(known)} "
                "or 'drop'."
            )
        return known[transformer]()
    if isinstance(transformer, Modality):
        return clone(transformer)
    if isinstance(transformer, BaseEstimator) and hasattr(transformer, "transform"):
        return TransformerModality(clone(transformer))
    raise TypeError(
        f"Modality {name!r} must be a modality, a scikit-learn transformer (with fit "
        f"and transform) or one of {sorted(known)}. Got {transformer!r} instead"
        + (
            "; put an estimator that predicts into EstimatorModality(...)."
            if hasattr(transformer, "predict")
            else "."
        )
    )


def find_modalities(X: Any) -> list[tuple[str, Any, Any]]:
    """Give each column to the first modality that detects it, the rest to a table."""
    if not hasattr(X, "columns"):
        return [("tabular", TabularModality(), slice(None))]
    return registry.name_modalities(registry.choose(X))
