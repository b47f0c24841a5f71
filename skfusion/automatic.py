"""What "auto" stands for, by the number of rows and what the modalities cost."""

from __future__ import annotations

import math
from collections.abc import Sequence

from skfusion.corruption import Corruption

__all__ = [
    "MIN_STEPS",
    "automatic_batch_size",
    "automatic_corruption",
    "automatic_epochs",
    "automatic_folds",
    "automatic_members",
]

#: Steps that a branch of few passes is given at least: small tables have few a pass.
MIN_STEPS = 70
#: Rows that training shows in all, whatever their number, within 8 and 100 epochs.
ROW_PASSES = 150_000
MAX_EPOCHS = 100


def automatic_folds(n: int, costs: Sequence[int]) -> int:
    """Networks to train on n rows, each calibrated on the rows that it did not see.

    Where rows are few, a tenth of them holds one or two errors: too few to tell how
    sure to be. The figures are in docs/decisions.
    """
    cost = max(costs)
    if n < 1000:
        return 3 if cost > 1 else 5
    return 3 if n < 4000 and cost == 0 else 1


def automatic_members(n: int, n_folds: int) -> int:
    """Members of each network's ensemble."""
    return 4 if n_folds == 1 and n <= 10_000 else 2


def automatic_batch_size(n: int) -> int:
    """Rows of a training step."""
    return 128 if n < 10_000 else 256


def automatic_corruption(n: int) -> Corruption:
    """What training does to the modalities of its rows; to few rows, less of it."""
    milder = 0.5 if n < 500 else 1.0
    return Corruption(p_corrupt=0.15 * milder, p_drop=0.1 * milder)


def automatic_epochs(
    n: int,
    batch_size: int,
    *,
    passes: Sequence[int | None],
    costs: Sequence[int],
    steps: int,
) -> int:
    """Epochs for n rows: as many as the branch that learns longest, or the rule, needs.

    Going on after every branch has ended would only teach the joint part rows by heart.
    Where a pass of some branch costs much, all end with the last of these, since even a
    branch that has ended still goes forward in every epoch.

    Parameters
    ----------
    n, batch_size : int
    passes : one for each modality, None for as many as there are
    costs : one for each modality, see `Modality.cost`
    steps : int
        Those that the fusion rule itself needs.
    """
    longest = round(min(MAX_EPOCHS, max(8, ROW_PASSES / n)))
    least = math.ceil(MIN_STEPS * batch_size / n)
    needed = [max(p or longest, least) for p in passes]
    if max(costs) > 1:
        needed = [p for p, cost in zip(needed, costs, strict=True) if cost > 1]
    by_branches = min(longest, max(needed))
    return max(by_branches, min(MAX_EPOCHS, math.ceil(steps * batch_size / n)))
