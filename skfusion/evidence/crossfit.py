"""Cross-fitting: what networks and base models say of rows they did not learn from.

Sources are the M modalities and, where there is one, the joint part. Each source has
several models, the axis K: the network, then the base models. What is not said is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold

from skfusion.batch import ModalityBatch
from skfusion.evidence.base_models import (
    LINEAR,
    TREES,
    LinearModel,
    Reduced,
    TableModel,
    Task,
    columns_for_trees,
    fit_linear,
    fit_table_model,
    join,
    reads_as_is,
    trees,
)
from skfusion.evidence.update import (
    joined_linear,
    joined_models,
    unfitted,
    update_linear,
    with_prior,
)

__all__ = [
    "BaseModels",
    "CrossFitted",
    "Rows",
    "features_of",
    "fit_base_models",
    "no_base_models",
]

Split = tuple[NDArray[np.intp], NDArray[np.intp]]

#: Rows that trees and a user's own models need at least.
MIN_TABLE_ROWS = 20


class Rows(NamedTuple):
    """Rows, and the features of each modality, computed once."""

    batch: ModalityBatch
    features: list[Any]

    @property
    def present(self) -> NDArray[np.bool_]:
        return self.batch.present

    @classmethod
    def of(cls, batch: ModalityBatch, *, exact: bool = False) -> Rows:
        """Compute the features, if `exact` in float64."""
        features = features_of(batch)
        if exact:
            features = [x.astype(np.float64, copy=False) for x in features]
        return cls(batch, features)


def features_of(batch: ModalityBatch) -> list[Any]:
    """One matrix a modality, (n, F_m), dense or CSR; rows of absent ones are zero."""
    return [batch.modalities[n].features(b) for n, b in batch.blocks.items()]


class CrossFitted(NamedTuple):
    """Evidence of held-out rows: clean ones and corrupted copies of them.

    clean : ndarray (n, S, K, C)
    corrupted : list of ndarray (n, S, K, C)
    """

    clean: NDArray[np.float64]
    corrupted: list[NDArray[np.float64]]


class BaseModels(NamedTuple):
    """The base models of all sources, ready to predict.

    task : Task
    names : names of the base models: the axis K without the network
    linear : list of M LinearModel or None, one a modality
    joint_linear : list of M LinearModel or None: of a linear model of all features
        together, the part that belongs to each modality
    tables : list of S dict of name to TableModel
    reduced : list of M Reduced, what trees and a user's own models read
    """

    task: Task
    names: tuple[str, ...]
    linear: list[LinearModel | None]
    joint_linear: list[LinearModel] | None
    tables: list[dict[str, TableModel]]
    reduced: list[Reduced]

    def evidence(
        self, rows: Rows, n_sources: int, *, exact: bool = True
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What the base models say.

        Returns
        -------
        evidence : ndarray (n, S, K - 1, C)
        additive : ndarray (n, M, C)
            What of the joint part's linear model belongs to each modality.
        """
        present, C = rows.present, self.task.n_outputs
        n, M = present.shape
        out = np.full((n, n_sources, len(self.names), C), np.nan)
        additive = np.zeros((n, M, C))
        if not self.names:
            return out, additive
        linear = [
            None if model is None else _where(present[:, m], model, x, exact)
            for m, (model, x) in enumerate(zip(self.linear, rows.features, strict=True))
        ]
        for m, said in enumerate(linear):
            if said is not None:
                out[:, m, 0] = said
        if self.joint_linear is not None:
            parts = zip(self.joint_linear, rows.features, strict=True)
            for m, (model, x) in enumerate(parts):
                additive[:, m] = np.nan_to_num(_where(present[:, m], model, x, exact))
        for s, models in enumerate(self.tables):
            here = present[:, s] if s < M else present.all(axis=1)
            at = np.flatnonzero(here)
            for name, table in models.items():
                if len(at):
                    x = self._read(name, s, rows.features, linear, at)
                    out[at, s, self.names.index(name)] = table.evidence(x)
        return out, additive

    def _read(
        self,
        name: str,
        s: int,
        features: Sequence[Any],
        linear: Sequence[NDArray[np.float64] | None],
        at: NDArray[np.intp],
    ) -> NDArray[Any]:
        """What a base model reads of source s, in some rows."""
        M = len(features)
        if len(at) == features[0].shape[0]:
            some, said = features, linear
        else:
            some = [x[at] for x in features]
            said = [None if e is None else e[at] for e in linear]
        if name == TREES:
            return (
                some[s]
                if s < M
                else columns_for_trees(self.task, some, self.reduced, said)
            )
        if s < M:
            return self.reduced[s](some[s])
        return np.concatenate(
            [r(x) for r, x in zip(self.reduced, some, strict=True)], axis=1
        )


def _where(
    here: NDArray[np.bool_], model: LinearModel, x: Any, exact: bool
) -> NDArray[np.float64]:
    """Evidence (n, C) where a modality is present, NaN elsewhere."""
    if here.all():
        return model.evidence(x, exact=exact)
    out = np.full((len(here), len(model.bias)), np.nan)
    if here.any():
        out[here] = model.evidence(x[here], exact=exact)
    return out


# ---------------------------------------------------------------- fit


def no_base_models(
    task: Task, everything: Sequence[Rows], has_joint: bool
) -> tuple[BaseModels, CrossFitted, list[NDArray[np.float64]]]:
    """What `fit_base_models` returns where there are none."""
    n, M = everything[0].present.shape
    C = task.n_outputs
    models = BaseModels(task, (), [None] * M, None, [], [])
    held = [np.full((n, M + has_joint, 0, C), np.nan) for _ in everything]
    additive = [np.zeros((n, M, C)) for _ in everything]
    return models, CrossFitted(held[0], held[1:]), additive


class _Fitter(NamedTuple):
    """What the steps of `fit_base_models` share."""

    task: Task
    clean: Rows
    corrupted: list[Rows]
    y: NDArray[Any]
    w: NDArray[np.float64]
    splits: Sequence[Split]
    former: BaseModels | None
    share: float

    def former_linear(self, m: int | None) -> LinearModel | None:
        """The linear model of a modality (of None, of all) that goes on."""
        if self.former is None:
            return None
        parts = self.former.joint_linear
        if m is None:
            model = None if parts is None else joined_linear(parts)
        else:
            model = self.former.linear[m]
        return None if model is None else with_prior(model, self.former.task, self.task)

    def more(self, model: LinearModel, x: Any, rows: NDArray[np.intp]) -> LinearModel:
        """A linear model that has learned some rows as well."""
        y, w = self.y[rows], self.w[rows]
        return update_linear(self.task, model, x[rows], y, w, self.share)

    def learn(self, split: Split, m: int | None) -> NDArray[np.intp]:
        """Rows to learn from: where a modality (of None, every one) is there."""
        return self._with(split[0], self.clean.present, m)

    @staticmethod
    def _with(
        rows: NDArray[np.intp], present: NDArray[np.bool_], m: int | None
    ) -> NDArray[np.intp]:
        here = present[rows].all(axis=1) if m is None else present[rows, m]
        return rows[here]


def fit_base_models(
    task: Task,
    clean: Rows,
    corrupted: list[Rows],
    y: NDArray[Any],
    w: NDArray[np.float64],
    splits: Sequence[Split],
    *,
    own: Sequence[tuple[str, Any]] = (),
    has_joint: bool,
    former: BaseModels | None = None,
    share: float = 1.0,
) -> tuple[BaseModels, CrossFitted, list[NDArray[np.float64]]]:
    """Fit every base model on each fold, then on all rows.

    Linear models of the folds are averaged, which makes one model; the others are
    fitted once more, on all rows, where there are several folds.

    Parameters
    ----------
    y : ndarray (n,) of class indices, or (n, C) standardised
    own : list of (name, estimator), the user's
    has_joint : bool
        Whether there are models of all modalities together.
    former : BaseModels, optional
        Where the rows are a further batch, the models that go on.
    share : float
        Of all rows so far, those of the batch.

    Returns
    -------
    models : BaseModels
    held : CrossFitted
        Its axis K is that of `models.names`.
    additive : list of ndarray (n, M, C)
        Of clean rows, then of the corrupted ones, what of the joint part's linear model
        belongs to each modality.
    """
    fitter = _Fitter(task, clean, corrupted, y, w, splits, former, share)
    n, M = clean.present.shape
    S = M + has_joint
    names = (LINEAR, TREES, *(name for name, _ in own))
    if former is not None:
        names = former.names
    everything = [clean, *corrupted]
    held = [np.full((n, S, len(names), task.n_outputs), np.nan) for _ in everything]
    additive = [np.zeros((n, M, task.n_outputs)) for _ in everything]
    linear: list[LinearModel | None] = []
    said: list[NDArray[np.float64] | None] = []
    for m in range(M):
        model, opinion = _linear_of_modality(fitter, m, held)
        linear.append(model)
        said.append(opinion)
    joint_linear = _joint_linear(fitter, additive) if M > 1 else None
    if former is None:
        reduced = [Reduced.fit(x, task.seed) for x in clean.features]
    else:
        reduced = former.reduced
    models = BaseModels(task, names, linear, joint_linear, [], reduced)
    for s in range(S):
        models.tables.append(_tables(fitter, models, s, said, own, held))
    return models, CrossFitted(held[0], held[1:]), additive


def _linear_of_modality(
    fitter: _Fitter, m: int, held: list[NDArray[np.float64]]
) -> tuple[LinearModel | None, NDArray[np.float64] | None]:
    """The linear model of a modality; writes what its folds say of held-out rows.

    Returns
    -------
    model : LinearModel, the mean of those of the folds, or None
    opinion : ndarray (n, C), what models say of every row that they did not learn from
    """
    task, x = fitter.task, fitter.clean.features[m]
    chosen = _choose_strength(fitter, x, m)
    if chosen is None:
        return None, None
    strength, models = chosen
    everything = [fitter.clean, *fitter.corrupted]
    for rows, out in zip(everything, held, strict=True):
        for (_, at), model in zip(fitter.splits, models, strict=True):
            here = _Fitter._with(at, rows.present, m)
            out[here, m, 0] = model.evidence(rows.features[m][here])
    opinion = np.where(np.isnan(held[0][:, m, 0]), 0.0, held[0][:, m, 0])
    learn = fitter.learn(fitter.splits[0], m)
    if len(fitter.splits) == 1 < len(learn):  # of rows it learned from, two halves
        for a, b in KFold(2, shuffle=True, random_state=task.seed).split(learn):
            half = _fit_strength(fitter, x, m, learn[a], strength)
            if half is not None:
                opinion[learn[b]] = half.evidence(x[learn[b]])
    return LinearModel.mean(models), opinion


def _fit_strength(
    fitter: _Fitter, x: Any, m: int, rows: NDArray[np.intp], strength: int
) -> LinearModel | None:
    former = fitter.former_linear(m)
    if former is not None:
        return fitter.more(former, x, rows)
    found = fit_linear(
        fitter.task,
        x[rows],
        fitter.y[rows],
        fitter.w[rows],
        only=slice(strength, strength + 1),
    )
    return found[0] if found else None


def _choose_strength(
    fitter: _Fitter, x: Any, m: int | None
) -> tuple[int, list[LinearModel]] | None:
    """The strength of least held-out loss, and the models of the folds of it."""
    task, y, w = fitter.task, fitter.y, fitter.w
    former = fitter.former_linear(m)
    if former is not None:
        learned = [fitter.learn(split, m) for split in fitter.splits]
        return 0, [fitter.more(former, x, rows) for rows in learned]
    all_models, totals = [], []
    # Of all modalities together, where fits cost most, the two in the middle.
    wanted = slice(1, 3) if m is None else slice(None)
    for split in fitter.splits:
        learn = fitter.learn(split, m)
        models = fit_linear(task, x[learn], y[learn], w[learn], only=wanted)
        if not models:
            return None
        all_models.append(models)
        at = _Fitter._with(split[1], fitter.clean.present, m)
        said = [model.evidence(x[at]) + task.log_prior for model in models]
        totals.append([(task.link.row_loss(e, y[at]) * w[at]).sum() for e in said])
    best = int(np.argmin(np.sum(totals, axis=0)))
    return best, [models[best] for models in all_models]


def _joint_linear(
    fitter: _Fitter, additive: list[NDArray[np.float64]]
) -> list[LinearModel] | None:
    """The linear model of all features, by modality; writes what its parts say."""
    everything = [fitter.clean, *fitter.corrupted]
    chosen = _choose_strength(fitter, join(fitter.clean.features), None)
    if chosen is None:
        return None
    widths = [x.shape[1] for x in fitter.clean.features]
    split_models = [model.split(widths) for model in chosen[1]]
    for rows, parts in zip(everything, additive, strict=True):
        for (_, at), models in zip(fitter.splits, split_models, strict=True):
            for m, model in enumerate(models):
                here = _Fitter._with(at, rows.present, m)
                parts[here, m] = model.evidence(rows.features[m][here])
    return [LinearModel.mean(column) for column in zip(*split_models, strict=True)]


def _tables(
    fitter: _Fitter,
    models: BaseModels,
    s: int,
    said: list[NDArray[np.float64] | None],
    own: Sequence[tuple[str, Any]],
    held: list[NDArray[np.float64]],
) -> dict[str, TableModel]:
    """Trees and the user's models of one source; writes what they say held out."""
    task, clean = fitter.task, fitter.clean
    n, M = clean.present.shape
    which = s if s < M else None
    found: dict[str, TableModel] = {}
    if which is not None and not reads_as_is(clean.features[s]):
        candidates: list[tuple[str, Any]] = []
    else:
        width = models._read(TREES, s, clean.features, said, np.arange(1)).shape[1]
        candidates = [(TREES, trees(task, n, width))]
    before = {} if fitter.former is None else fitter.former.tables[s]
    if fitter.former is not None:
        candidates, own = [], []
        for name, table in before.items():
            candidates.append((name, unfitted(table.model)))
    for name, estimator in [*candidates, *own]:
        model = None
        if estimator is not None:
            go_on = before.get(name)
            model = _table(fitter, models, s, name, estimator, said, held, go_on)
        if model is not None:
            found[name] = model
    return found


def _table(
    fitter: _Fitter,
    models: BaseModels,
    s: int,
    name: str,
    estimator: Any,
    said: list[NDArray[np.float64] | None],
    held: list[NDArray[np.float64]],
    before: TableModel | None,
) -> TableModel | None:
    """One of these, fitted on each fold, then on all rows; None where it cannot be."""
    task, clean = fitter.task, fitter.clean
    n, M = clean.present.shape
    which = s if s < M else None

    def fitted_on(split: Split) -> TableModel | None:
        learn = fitter.learn(split, which)
        found = None
        if len(learn) >= MIN_TABLE_ROWS:
            x = models._read(name, s, clean.features, said, learn)
            y, w = fitter.y[learn], fitter.w[learn]
            found = fit_table_model(task, estimator, x, y, w)
        if before is None:
            return found
        if found is None:
            return TableModel(task, before.model)
        model = joined_models(before.model, found.model, fitter.share)
        return TableModel(task, model)

    fitted = [fitted_on(split) for split in fitter.splits]
    if None in fitted:
        return None
    _write_held(fitter, models, s, name, fitted, held, said)
    if len(fitted) == 1:
        return fitted[0]
    return fitted_on((np.arange(n), np.arange(0)))


def _write_held(
    fitter: _Fitter,
    models: BaseModels,
    s: int,
    name: str,
    fitted: list[Any],
    held: list[NDArray[np.float64]],
    said: list[NDArray[np.float64] | None],
) -> None:
    """Write what the models of the folds say of the rows held out from each."""
    M = len(fitter.clean.features)
    k = models.names.index(name)
    everything = [fitter.clean, *fitter.corrupted]
    for i, (rows, out) in enumerate(zip(everything, held, strict=True)):
        opinions = (
            said
            if i == 0
            else [
                None if e is None else np.nan_to_num(out[:, m, 0])
                for m, e in enumerate(said)
            ]
        )
        for (_, at), model in zip(fitter.splits, fitted, strict=True):
            here = _Fitter._with(at, rows.present, s if s < M else None)
            if len(here):
                x = models._read(name, s, rows.features, opinions, here)
                out[here, s, k] = model.evidence(x)
