"""What must be as it was, to go on from what is learned already."""

from __future__ import annotations

from typing import Any

from skfusion.batch import ModalityBatch
from skfusion.fusion.base import Fusion
from skfusion.network import FusionNetwork

__all__ = ["WarmStart"]

_AFRESH = "To start afresh, use fit with warm_start=False."


class WarmStart:
    """Checks what `warm_start` and `partial_fit` go on with."""

    d_model: int
    n_folds: int | str
    modality_names_: tuple[str, ...]
    networks_: list[FusionNetwork]
    _built: dict[str, Any]

    def _structure(self, rule: Fusion) -> dict[str, Any]:
        """What the networks were built by, which a warm start must keep."""
        return {
            "fusion": repr(rule),
            "d_model": self.d_model,
            "n_folds": self.n_folds,
        }

    def _check_structure(
        self, rule: Fusion, n_outputs: int, how: str = "warm_start=True"
    ) -> None:
        """Refuse to go on with networks of another form."""
        before = len(self.networks_[0].prior)
        if n_outputs != before:
            raise ValueError(
                f"{how} goes on with networks of {before} outputs, but y now needs "
                f"{n_outputs}. {_AFRESH}"
            )
        for name, value in self._structure(rule).items():
            if value != self._built[name]:
                raise ValueError(
                    f"{how} goes on with networks that were built with "
                    f"{name}={self._built[name]}, but it would now be {value}. "
                    f"{_AFRESH}"
                )

    def _check_modalities(
        self, batch: ModalityBatch, how: str = "warm_start=True"
    ) -> None:
        """Refuse to go on with other modalities."""
        if batch.names != self.modality_names_:
            raise ValueError(
                f"{how} goes on with the modalities {self.modality_names_}, but got "
                f"{batch.names}. {_AFRESH}"
            )
