"""How the score bends as rows become worse."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import check_scoring
from sklearn.utils import check_random_state
from torch import Tensor

from skfusion.batch import ModalityBatch
from skfusion.corruption import CorruptionPlan, Drop, Noise, Swap
from skfusion.inspection._resolving import (
    Resolved,
    quiet_about_empty_rows,
    resolve,
    unwrap,
)
from skfusion.inspection.corruptions import (
    CellCorruption,
    ImageBlur,
    ImageJPEG,
    ImageOcclusion,
    SoundBabble,
    SoundBandPass,
    SoundClipping,
    TabularShift,
    TextDeletion,
    TextTypos,
)

__all__ = ["robustness_curve"]


class InSome(NamedTuple):
    """A corruption of one modality that befalls only a share of the rows.

    Of two shares with one seed, the larger one holds the rows of the smaller one.
    """

    spec: Drop | Swap
    share: float

    def plan(
        self,
        present: Tensor,
        names: Sequence[str] = (),
        generator: torch.Generator | None = None,
    ) -> CorruptionPlan:
        """Draw what happens to the rows of a batch."""
        noise, swap, drop = self.spec.plan(present, names, generator)
        hit = (torch.rand(len(present), generator=generator) < self.share)[:, None]
        return CorruptionPlan(noise * hit, swap & hit, drop & hit)


#: Known in training: how to make a plan of a level and a modality, and levels to try.
PLANNED: dict[str, tuple[Callable[[float, str | None], Any], tuple[float, ...]]] = {
    "missing": (
        lambda share, name: InSome(Drop(modality=name), share),
        (0.0, 0.25, 0.5, 0.75, 1.0),
    ),
    "noise": (lambda sd, name: Noise(sd, modality=name), (0.0, 0.5, 1.0, 2.0, 3.0)),
    "swap": (
        lambda share, name: InSome(Swap(modality=name), share),
        (0.0, 0.25, 0.5, 0.75, 1.0),
    ),
}
#: Unseen in training: done to the cells of a frame.
UNSEEN: dict[str, type[CellCorruption]] = {
    "blur": ImageBlur,
    "occlusion": ImageOcclusion,
    "jpeg": ImageJPEG,
    "clipping": SoundClipping,
    "band-pass": SoundBandPass,
    "babble": SoundBabble,
    "typos": TextTypos,
    "word-deletion": TextDeletion,
    "shift": TabularShift,
}


def robustness_curve(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    kind: str | type[CellCorruption] = "missing",
    levels: Sequence[float] | None = None,
    modality: str | None = None,
    modalities: Mapping[str, Sequence[Any]] | None = None,
    scoring: str | Callable[..., float] | None = None,
    random_state: int | None = 0,
) -> pd.DataFrame:
    """Score an estimator on rows that become worse and worse.

    Parameters
    ----------
    estimator : fitted estimator
        A `FusionClassifier`, `FusionRegressor` or `Pipeline` that ends in one; or, with
        `modalities` and any kind but "noise", any estimator that takes a frame.
    X : DataFrame, or (for "missing", "noise" and "swap") ModalityBatch
        Rows that the estimator has not learned from.
    y : array-like of shape (n_samples,)
    kind : str or subclass of CellCorruption, default="missing"
        - "missing": a modality is absent; the level is the share of the rows in which
          it is.
        - "swap": it comes from another row; the level is a share of the rows, too.
        - "noise": it gets noise in every row; the level is the standard deviation, in
          standardised units.
        - Kinds that training never sees, done to the cells before they are cleaned:
          "blur", "occlusion" and "jpeg" of pictures, "clipping", "band-pass" and
          "babble" of sounds, "typos" and "word-deletion" of texts, "shift" of numbers.
          What the level means stands with the classes of
          :mod:`skfusion.inspection.corruptions`; a subclass of your own will do.
    levels : sequence of float, optional
        From harmless to bad. By default those of the kind.
    modality : str, optional
        What is corrupted. By default one present modality, drawn at random for each
        row; of the kinds done to cells, every modality that they suit.
    modalities : dict of str to list of columns, optional
        Which columns make a modality; only where the estimator is not of this package.
    scoring : str or callable, optional
        As in scikit-learn; by default the estimator's own score (accuracy or R2).
    random_state : int or None, default=0
        Seed. One seed corrupts the same rows at each level, and more of them.

    Returns
    -------
    curve : DataFrame
        Columns "kind", "modality" ("any" where none was named), "level", "score" and,
        for estimators of this package, "weight": the mean weight of what is corrupted
        (NaN where that is another modality in each row).

    See Also
    --------
    RobustnessCurveDisplay : Draws such curves, for several estimators.

    Examples
    --------
    >>> from skfusion import FusionClassifier
    >>> from skfusion.datasets import make_multimodal_classification
    >>> from skfusion.inspection import robustness_curve
    >>> made = make_multimodal_classification(90, random_state=0, n_modalities=2)
    >>> views = [(n, made.kinds[n], columns) for n, columns in made.modalities.items()]
    >>> clf = FusionClassifier(views, max_epochs=2, d_model=16, random_state=0)
    >>> curve = robustness_curve(
    ...     clf.fit(made.data, made.target), made.data, made.target, kind="typos"
    ... )
    >>> curve["level"].tolist()
    [0.0, 0.05, 0.1, 0.2]
    """
    scorer = check_scoring(unwrap(estimator), scoring=scoring)
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    asked = Asked(X, y, levels, modality, modalities, scorer, seed)
    if modalities is not None and kind in ("missing", "swap"):
        rows = _of_rows(unwrap(estimator), kind, asked)
    elif isinstance(kind, str) and kind in PLANNED and modalities is None:
        rows = _planned(resolve(estimator), kind, asked)
    else:
        rows = _of_cells(estimator, _cell_kind(kind), asked)
    name = kind if isinstance(kind, str) else kind.__name__
    return pd.DataFrame(
        [{"kind": name, "modality": modality or "any", **row} for row in rows]
    )


class Asked(NamedTuple):
    """Rows, their truth, and what is asked; see `robustness_curve`."""

    X: Any
    y: Any
    levels: Sequence[float] | None
    modality: str | None
    modalities: Mapping[str, Sequence[Any]] | None
    scorer: Callable[..., float]
    seed: int

    def score(self, estimator: Any, X: Any, level: float) -> dict[str, float]:
        """The score of an estimator on rows that were corrupted."""
        return {
            "level": float(level),
            "score": float(self.scorer(estimator, X, self.y)),
        }

    def levels_or(self, usual: Sequence[float]) -> Sequence[float]:
        return usual if self.levels is None else self.levels


def _planned(found: Resolved, kind: str, asked: Asked) -> Iterator[dict[str, float]]:
    """Absence, noise and other rows' content, by plans as in training."""
    make, usual = PLANNED[kind]
    batch, modality = found.batch(asked.X), asked.modality
    for level in asked.levels_or(usual):
        spec = make(float(level), modality)
        with quiet_about_empty_rows():
            corrupted, _ = found.final.corrupt(batch, spec, random_state=asked.seed)
            row = asked.score(found.final, corrupted, level)
        yield row | _weight(found, corrupted, [modality] if modality else [])


def _of_rows(estimator: Any, kind: Any, asked: Asked) -> Iterator[dict[str, float]]:
    """Absence and other rows' content for estimators that know frames only."""
    X, modalities = asked.X, asked.modalities or {}
    _check_frame(X, kind)
    rng = np.random.default_rng(asked.seed)
    names = list(_columns(None, None, asked))
    chosen = rng.integers(len(names), size=len(X))
    rank = rng.random(len(X))
    other = X.iloc[np.roll(np.arange(len(X)), 1)].set_axis(X.index)
    for level in asked.levels_or(PLANNED[kind][1]):
        frame = X.copy()
        for m, name in enumerate(names):
            spared = ~((chosen == m) & (rank < level))
            for c in modalities[name]:
                frame[c] = X[c].where(spared, None if kind == "missing" else other[c])
        yield asked.score(estimator, frame, level)


def _of_cells(
    estimator: Any, kind: type[CellCorruption], asked: Asked
) -> Iterator[dict[str, float]]:
    """Corruptions of the cells of a frame, before they are cleaned."""
    X, modalities = asked.X, asked.modalities
    _check_frame(X, kind.__name__)
    if modalities is not None and asked.modality is None:
        raise ValueError(
            f"{kind.__name__} suits only some kinds of columns, and of an estimator "
            f"that is not of this package it is not known which: name the 'modality', "
            f"one of {tuple(modalities)}."
        )
    found = None if modalities is not None else resolve(estimator)
    columns = _columns(found, kind, asked)
    for level in asked.levels_or(kind.default_levels):
        spec = kind(float(level))
        frame = X.copy()
        for i, c in enumerate(
            dict.fromkeys(c for own in columns.values() for c in own)
        ):
            frame[c] = spec.corrupt_column(X[c], np.random.default_rng([asked.seed, i]))
        if found is None:
            yield asked.score(unwrap(estimator), frame, level)
            continue
        batch = found.batch(frame)
        row = asked.score(found.final, batch, level)
        yield row | _weight(found, batch, list(columns))


def _columns(
    found: Resolved | None, kind: type[CellCorruption] | None, asked: Asked
) -> dict[str, list[Any]]:
    """Which columns of which modalities are to be corrupted."""
    modality = asked.modality
    if found is None or kind is None:
        every = {name: list(own) for name, own in (asked.modalities or {}).items()}
        suited = every
    else:
        triples = found.triples()
        every = {name: own for name, _, own in triples}
        suited = {n: own for n, m, own in triples if m.short_name in kind.modalities}
    if modality is not None and modality not in every:
        raise ValueError(
            f"The 'modality' parameter must be None or one of {tuple(every)}. Got "
            f"{modality!r} instead."
        )
    chosen = {n: own for n, own in suited.items() if modality in (None, n)}
    if not chosen and kind is not None:
        raise ValueError(
            f"{kind.__name__} is for {' and '.join(kind.modalities)} modalities; "
            + (f"{modality!r} is none." if modality else "there is none here.")
            + " Name another kind or modality."
        )
    return chosen


def _weight(
    found: Resolved, batch: ModalityBatch, names: Sequence[str]
) -> dict[str, float]:
    """Mean weight of some modalities over the rows, NaN where none is named."""
    if not names:
        return {"weight": np.nan}
    with quiet_about_empty_rows():
        weights = found.final.modality_weights(batch)
    chosen = [found.names.index(name) for name in names]
    return {"weight": float(weights[:, chosen].sum(axis=1).mean())}


def _check_frame(X: Any, what: str) -> None:
    if not isinstance(X, pd.DataFrame):
        raise TypeError(
            f"{what} is done to the cells of a pandas DataFrame, before they are "
            f"cleaned. Got {type(X).__name__} instead."
        )


def _cell_kind(kind: Any) -> type[CellCorruption]:
    if isinstance(kind, type) and issubclass(kind, CellCorruption):
        return kind
    if kind not in UNSEEN:
        raise ValueError(
            f"The 'kind' parameter must be one of {[*PLANNED, *UNSEEN]} or a subclass "
            f"of CellCorruption. Got {kind!r} instead."
        )
    return UNSEEN[kind]
