"""A model card: what a fitted estimator is, in Markdown.

References
----------
Mitchell et al. (2019), "Model cards for model reporting".
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skfusion._validation import shorten
from skfusion.evidence.held_out import Summary
from skfusion.training.links import Sigmoid

__all__ = ["TrainingRows", "model_card", "versions"]

#: Modules on whose versions predictions may depend, by the names of their packages.
_PACKAGES = {
    "skfusion": "skfusion",
    "numpy": "numpy",
    "pandas": "pandas",
    "scikit-learn": "sklearn",
    "scipy": "scipy",
    "torch": "torch",
}
#: With fewer rows than this, or rows of a class, scores are uncertain.
_FEW_ROWS, _FEW_OF_A_CLASS = 500, 20
#: From this share on, what belongs to no modality is worth a warning.
_MUCH_JOINT = 0.2


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a model is made with."""
    found = {name: str(sys.modules[m].__version__) for name, m in _PACKAGES.items()}
    return {**found, "python": platform.python_version()}


class TrainingRows(NamedTuple):
    """What a fit notes of its rows.

    n_rows : int, n_distinct : int
    counts : ndarray (C,), rows of each class or label, or None in a regression
    present : ndarray (M,), share of the rows in which each modality is present
    versions : dict of str to str
    """

    n_rows: int
    n_distinct: int
    counts: NDArray[np.int64] | None
    present: NDArray[np.float64]
    versions: dict[str, str]


def model_card(estimator: Any, columns: Mapping[str, Summary]) -> str:
    """Write the card of a fitted estimator.

    Parameters
    ----------
    estimator : FusionClassifier or FusionRegressor
    columns : dict of str to Summary
        Rows that were not learned from, by what they are called; their modalities are
        in the user's order.
    """
    parts = [
        f"# Model card: {type(estimator).__name__}",
        *_data_part(estimator),
        *_score_part(estimator, columns),
        *_relies_part(estimator, columns),
        *_limits_part(estimator, columns),
        *_made_part(estimator),
    ]
    return "\n\n".join(parts) + "\n"


def _data_part(estimator: Any) -> list[str]:
    rows = estimator._rows
    counts = [f"- Rows: {rows.n_rows:,}, of which {rows.n_distinct:,} are distinct"]
    if rows.counts is not None:
        found = zip(estimator._output_names, rows.counts, strict=True)
        shown = [f"{_text(c)} ({n:,})" for c, n in found]
        more = f", and {len(shown) - 20} more" if len(shown) > 20 else ""
        what = "Labels" if isinstance(estimator._link, Sigmoid) else "Classes"
        counts.append(f"- {what}: {', '.join(shown[:20])}{more}")
    else:
        spread = zip(estimator.y_mean_, estimator.y_scale_, strict=True)
        shown = [f"mean {m:.4g}, standard deviation {s:.4g}" for m, s in spread]
        counts.append(f"- Targets: {len(shown)}; {'; '.join(shown[:20])}")
    parts = dict.fromkeys(estimator.modality_names_, ("from the step before", ""))
    if hasattr(estimator, "modalities_"):
        for name, modality, columns in estimator.modalities_.modalities_:
            read = [_text(column) for column in columns.names]
            more = f", and {len(read) - 10} more" if len(read) > 10 else ""
            kind = type(modality).__name__
            parts[name] = (kind, ", ".join(read[:10]) + more)
    table = [
        [_text(name), *parts[name], f"{share:.1%}"]
        for name, share in zip(parts, rows.present, strict=True)
    ]
    head = ["Modality", "Kind", "Columns", "Present in"]
    return ["## Data", "\n".join(counts), _table(head, table)]


def _relies_part(estimator: Any, columns: Mapping[str, Summary]) -> list[str]:
    title = "## What predictions rely on"
    parts = [title]
    if columns:
        weights = [s.weights for s in columns.values()]
        table = [
            [_text(name), *(f"{w[m]:.2f}" for w in weights)]
            for m, name in enumerate(estimator.modality_names_)
        ]
        shares = [s.joint_share for s in columns.values()]
        if any(share is not None for share in shares):
            shown = ["" if share is None else f"{share:.2f}" for share in shares]
            table.append(["share of the joint part", *shown])
        parts += ["Mean weights:", _table(["Modality", *columns], table)]
    models = estimator.base_model_weights_
    if models is not None:
        table = [
            [_text(name), *(f"{share:.2f}" for share in row)]
            for name, row in zip(models.index, models.to_numpy(), strict=True)
        ]
        head = ["Source", *map(_text, models.columns)]
        parts += ["What network and base models count:", _table(head, table)]
    return parts if len(parts) > 1 else []


def _limits_part(estimator: Any, columns: Mapping[str, Summary]) -> list[str]:
    rows, limits = estimator._rows, []
    if rows.n_distinct < _FEW_ROWS:
        limits.append(
            f"It has learned from {rows.n_distinct} distinct rows: scores are "
            "uncertain, and other rows may change them."
        )
    if rows.counts is not None:
        found = zip(estimator._output_names, rows.counts, strict=True)
        few = [_text(name) for name, n in found if n < _FEW_OF_A_CLASS]
        if few:
            more = " and others" if len(few) > 10 else ""
            limits.append(f"Few rows were of {', '.join(few[:10])}{more}.")
    if estimator._model.held_out is None:
        limits.append("No rows were held out: how sure it is was not checked.")
    else:
        limits.append(
            "The held-out training rows were kept from networks and base models; "
            "mixing step and gate were fitted on them. Rows of other places and "
            "times may be predicted worse."
        )
    for name, share in zip(estimator.modality_names_, rows.present, strict=True):
        if share < 0.5:
            limits.append(f"{_text(name)} was absent in {1 - share:.0%} of rows.")
    joint = [s.joint_share for s in columns.values() if s.joint_share is not None]
    if joint and max(joint) >= _MUCH_JOINT:
        limits.append(
            f"{max(joint):.0%} of what is added to the output belongs to no single "
            "modality: the weights tell the rest."
        )
    limits.append(
        "Weights and contributions say what the model relied on, not what causes "
        "what; skfusion.inspection.faithfulness_report tests them."
    )
    return ["## Limits", "\n".join(f"- {limit}" for limit in limits)]


def _made_part(estimator: Any) -> list[str]:
    made = ", ".join(f"{name} {v}" for name, v in estimator._rows.versions.items())
    itself = re.sub(r" at 0x[0-9a-f]+", "", repr(estimator))
    return ["## Made with", f"{made}.", f"```python\n{itself}\n```"]


def _score_part(estimator: Any, columns: Mapping[str, Summary]) -> list[str]:
    """Scores, of one target in its units."""
    if not columns:
        return [
            "## Scores",
            "No rows were held out in the fit: give `card` rows with answers.",
        ]
    scale, unit = 1.0, ""
    if not estimator._link.is_classification:
        one = len(estimator.y_scale_) == 1
        scale, unit = (float(estimator.y_scale_[0]), "") if one else (1.0, " (in sd)")
    names = dict.fromkeys(name for s in columns.values() for name in s.scores)
    table = [["rows", *(f"{s.n_rows:,}" for s in columns.values())]]
    for name in names:
        error = name in ("RMSE", "MAE")
        values = [s.scores.get(name, np.nan) for s in columns.values()]
        shown = [
            "" if np.isnan(v) else f"{v * (scale if error else 1):.4g}" for v in values
        ]
        table.append([name + (unit if error else ""), *shown])
    return ["## Scores", _table(["Score", *columns], table)]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(value: Any) -> str:
    """A name in Markdown: on one line, short, and without a meaning of its own."""
    value = value.item() if isinstance(value, np.generic) else value
    text = " ".join(str(value).split()) if isinstance(value, str) else shorten(value)
    text = text if len(text) <= 80 else text[:79] + "…"
    return re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", text)
