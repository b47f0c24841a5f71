"""What "auto" stands for: every rule of sample size, and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from skfusion.corruption import Corruption

__all__ = [
    "TREE_COST",
    "automatic_batch_size",
    "automatic_corruption",
    "automatic_draws",
    "automatic_epochs",
    "automatic_folds",
    "batch_recipe",
    "fine_tuning_epochs",
    "has_joint_part",
    "linear_strengths",
    "reduced_width",
    "tree_options",
    "tree_width",
]

#: Rows from which something is held out: with fewer, all sources count the same.
MIN_ROWS = 40
#: Most that boosted trees may cost: outputs * features * (rows + 4,000).
TREE_COST = 3e6
#: Dense features that trees may read: of few rows, and of many.
TREE_WIDTHS = 100, 300
#: Rows from which the network has a joint part; below, it overfits.
JOINT_ROWS = 500
#: Steps that a branch of few epochs is given at least: small tables have few an epoch.
MIN_BRANCH_STEPS = 70
#: Steps of 128 rows that a network is trained for at least, and rows shown in all.
MIN_STEPS = 100
ROWS_SHOWN = 80_000
MIN_EPOCHS, MAX_EPOCHS = 6, 30
#: Epochs over each further batch of `partial_fit`, and the power of its share of all
#: rows so far by which the learning rate is smaller.
BATCH_EPOCHS, BATCH_LR_POWER = 5, 0.5
#: Epochs of fine-tuning, fewest and most, and rows that it is shown at least between.
FINE_TUNING_EPOCHS, FINE_TUNING_ROWS = (2, 6), 3000


def automatic_folds(n: int, *, slow: bool) -> int:
    """Networks to train on n rows, each with held-out rows of its own.

    0 where nothing is held out. Where rows are few, a tenth of them holds one or two
    errors: too few to tell how sure to be.
    """
    if n < MIN_ROWS:
        return 0
    if n < 1000:
        return 3 if slow else 5
    return 3 if n < 4000 else 1


def automatic_batch_size(n: int) -> int:
    """Rows of a training step."""
    return 64 if n < 400 else 128 if n < 10_000 else 256


def automatic_corruption(n: int) -> Corruption:
    """What training does to the modalities of its rows; to few rows, less of it."""
    milder = 0.5 if n < 500 else 1.0
    return Corruption(p_corrupt=0.15 * milder, p_drop=0.1 * milder)


def automatic_draws(n: int) -> int:
    """Corrupted copies of the held-out rows that the gate learns from."""
    return 3 if n < 1000 else 2 if n < 3000 else 1


def automatic_epochs(
    n: int,
    batch_size: int,
    *,
    wanted: Sequence[int | None],
    min_steps: int,
) -> int:
    """Epochs over n rows.

    Parameters
    ----------
    n, batch_size : int
    wanted : `Encoder.max_epochs` of every modality
        Training ends with the modality that learns longest.
    min_steps : int
        Steps that the fusion rule itself needs.
    """
    longest = round(min(MAX_EPOCHS, max(MIN_EPOCHS, ROWS_SHOWN / n)))
    shown = max(
        (longest if e is None else min(e, longest) for e in wanted), default=longest
    )
    least = math.ceil(max(MIN_STEPS, min_steps) * batch_size / n)
    return max(shown, min(100, least))


def fine_tuning_epochs(n: int) -> int:
    """Epochs over which the last layers of a pretrained encoder learn."""
    few, many = FINE_TUNING_EPOCHS
    return max(few, min(many, math.ceil(FINE_TUNING_ROWS / max(n, 1))))


def batch_recipe(recipe: Any, share: float) -> Any:
    """How networks learn from a further batch, which is a share of all rows so far."""
    return recipe._replace(
        max_epochs=recipe.max_epochs or BATCH_EPOCHS,
        lr=recipe.lr * share**BATCH_LR_POWER,
        checkpoint=None,
    )


def has_joint_part(n: int, n_modalities: int) -> bool:
    """Whether "auto" gives the network a joint part."""
    return n_modalities > 1 and n >= JOINT_ROWS


def tree_options(n: int, is_classification: bool) -> dict[str, float]:
    """Rounds, learning rate and leaves of boosted trees on n rows."""
    few = n < 2000
    if is_classification:
        return {
            "max_iter": 50,
            "learning_rate": 0.15,
            "max_leaf_nodes": 8 if few else 16,
        }
    if few:
        return {"max_iter": 80, "learning_rate": 0.1, "max_leaf_nodes": 8}
    return {"max_iter": 200, "learning_rate": 0.1, "max_leaf_nodes": 31}


def linear_strengths(
    shape: Sequence[int], is_sparse: bool, is_classification: bool
) -> tuple[float, ...]:
    """C of logistic, or alpha of ridge regressions, weak fits first.

    Held-out rows choose. Of many sparse rows the two in the middle are enough.
    """
    if is_sparse:
        found = (1.0, 4.0, 16.0, 64.0) if is_classification else (1.0, 0.5, 0.25, 0.06)
        return found if shape[0] < 10_000 else found[:2]
    return (0.004, 0.03, 0.25, 2.0) if is_classification else (3e4, 1e3, 30.0, 1.0)


def tree_width(n: int) -> int:
    """Most dense features that boosted trees read as they are, of n rows.

    Half as many as there are rows, between 100 and 300.
    """
    fewest, most = TREE_WIDTHS
    return min(max(n // 2, fewest), most)


def reduced_width(n: int, n_features: int, n_outputs: int) -> int | None:
    """Principal components that dense features are reduced to for a linear model.

    None where the model is affordable without: about 3 seconds a fit.
    """
    if n * n_features * n_outputs < 1e8 or n < 400:
        return None
    return min(150, n_features // 2) or None
