"""A figure, and what it must reach."""

from typing import Any, NamedTuple

import numpy as np

ADAPTIVE, CONCAT, MEAN, LATE = "adaptive", "concat", "mean", "late"


class Figure(NamedTuple):
    """One figure; `sign` is ">=" or "<=", or "" where there is no target."""

    item: int
    fusion: str
    measure: str
    value: float
    sign: str = ""
    target: float = float("nan")

    def row(self) -> dict[str, Any]:
        """The columns of the results file."""
        met = ""
        if self.sign:
            gap = (self.value - self.target) * (1 if self.sign == ">=" else -1)
            met = "yes" if gap >= 0 else "no"
        return {
            "item": self.item,
            "fusion": self.fusion,
            "measure": self.measure,
            "value": f"{self.value:.6g}",
            "target": f"{self.sign} {self.target:g}" if self.sign else "",
            "met": met,
        }


def difference(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Points of accuracy by which `a` is above `b` on the same rows, and its error."""
    points = 100.0 * (a.astype(float) - b.astype(float))
    return float(points.mean()), float(points.std() / np.sqrt(len(points)))
