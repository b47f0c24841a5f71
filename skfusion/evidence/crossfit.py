"""Cross-fitting: what networks and base models say of rows they did not learn from.

Sources are the M modalities and, where there is one, the joint part. Each source has
several models, the axis K: the network, then the base models. What is not said is NaN.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.model_selection import KFold

from skfusion.batch import ModalityBatch
from skfusion.evidence.base_models import (
    LINEAR,
    TREES,
    Reduced,
    TableModel,
    Task,
    columns_for_trees,
    fit_table_model,
    join,
    trees,
)
from skfusion.evidence.linear_models import LinearModel, fit_linear
from skfusion.training.splits import Split

__all__ = [
    "BaseModels",
    "CrossFitter",
    "Rows",
    "no_base_models",
]

#: Rows that trees and a user's own models need at least.
MIN_TABLE_ROWS = 20


class Rows(NamedTuple):
    """Rows, and the features of each modality, computed once.

    features : list of M matrices (n, F_m), dense or CSR; rows of absent ones are zero
    """

    batch: ModalityBatch
    features: list[Any]

    @property
    def present(self) -> NDArray[np.bool_]:
        return self.batch.present

    def having(self, s: int, at: NDArray[np.intp]) -> NDArray[np.intp]:
        """Of the rows `at`, those in which source s is there.

        The joint part, which is number M, is where all modalities are.
        """
        present = self.present[at]
        return at[present[:, s] if s < present.shape[1] else present.all(axis=1)]

    def take(self, at: NDArray[np.intp]) -> Rows:
        """Some of the rows."""
        return Rows(self.batch[at], [x[at] for x in self.features])

    @classmethod
    def of(cls, batch: ModalityBatch, *, exact: bool = False) -> Rows:
        """Compute the features, if `exact` in float64."""
        features = [batch.modalities[n].features(b) for n, b in batch.blocks.items()]
        if exact:
            features = [x.astype(np.float64, copy=False) for x in features]
        return cls(batch, features)


#: What `CrossFitter.fit` returns.
CrossFitted = tuple["BaseModels", list[NDArray[np.float64]], list[NDArray[np.float64]]]


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
        for m, evidence in enumerate(linear):
            if evidence is not None:
                out[:, m, 0] = evidence
        if self.joint_linear is not None:
            parts = zip(self.joint_linear, rows.features, strict=True)
            for m, (model, x) in enumerate(parts):
                additive[:, m] = np.nan_to_num(_where(present[:, m], model, x, exact))
        for s, models in enumerate(self.tables):
            at = rows.having(s, np.arange(n))
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
            some, of_rows = features, linear
        else:
            some = [x[at] for x in features]
            of_rows = [None if e is None else e[at] for e in linear]
        if s < M:
            return some[s] if name == TREES else self.reduced[s](some[s])
        if name == TREES:
            return columns_for_trees(self.task, some, self.reduced, of_rows)
        parts = [r(x) for r, x in zip(self.reduced, some, strict=True)]
        return np.concatenate(parts, axis=1)


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
) -> CrossFitted:
    """What `CrossFitter.fit` returns where there are none."""
    n, M = everything[0].present.shape
    C = task.n_outputs
    models = BaseModels(task, (), [None] * M, None, [], [])
    held = [np.full((n, M + has_joint, 0, C), np.nan) for _ in everything]
    additive = [np.zeros((n, M, C)) for _ in everything]
    return models, held, additive


class CrossFitter:
    """Fits every base model on each fold, then on all rows.

    Linear models of the folds are averaged, which makes one model; the others are
    fitted once more, on all rows, where there are several folds.

    Parameters
    ----------
    task : Task
    everything : list of Rows, the clean ones, then each corrupted copy of them
    y : ndarray (n,) of class indices, or (n, C) standardised
    w : ndarray (n,), weights of the rows
    splits : list of (rows to learn from, rows held out)
    own : list of (name, estimator), the user's
    has_joint : bool
        Whether there are models of all modalities together.
    """

    def __init__(
        self,
        task: Task,
        everything: Sequence[Rows],
        y: NDArray[Any],
        w: NDArray[np.float64],
        splits: Sequence[Split],
        *,
        own: Sequence[tuple[str, Any]] = (),
        has_joint: bool,
    ) -> None:
        self.task, self.everything, self.clean = task, everything, everything[0]
        self.y, self.w, self.splits = y, w, splits
        self.own, self.has_joint = own, has_joint
        self.n, self.M = self.clean.present.shape

    def fit(self) -> CrossFitted:
        """Fit all.

        Returns
        -------
        models : BaseModels
        held : list of ndarray (n, S, K, C)
            Evidence of held-out rows: of clean ones, then of each corrupted copy. The
            axis K is that of `models.names`.
        additive : list of ndarray (n, M, C)
            Of the same rows, what of the joint part's linear model belongs to each
            modality.
        """
        n, M, C, names = self.n, self.M, self.task.n_outputs, self._names()
        S, copies = M + self.has_joint, range(len(self.everything))
        self._held = [np.full((n, S, len(names), C), np.nan) for _ in copies]
        self._additive = [np.zeros((n, M, C)) for _ in copies]
        # What linear models say of rows that they did not learn from, as trees read it.
        self._linear_evidence: list[list[NDArray[np.float64] | None]] = [
            [] for _ in copies
        ]
        linear = [self._linear_of_modality(m) for m in range(M)]
        joint_linear = self._joint_linear() if M > 1 else None
        models = BaseModels(self.task, names, linear, joint_linear, [], self._reduced())
        models.tables.extend(self._tables(models, s) for s in range(S))
        return models, self._held, self._additive

    # ------------------------------------------------------------ how each is fitted

    def _names(self) -> tuple[str, ...]:
        """Names of the base models."""
        return (LINEAR, TREES, *(name for name, _ in self.own))

    def _reduced(self) -> list[Reduced]:
        """What trees and a user's own models read of each modality."""
        return [Reduced.fit(x, self.task.seed) for x in self.clean.features]

    def _fit_linear(
        self, x: Any, s: int, at: NDArray[np.intp], only: slice
    ) -> list[LinearModel]:
        """Linear models of some rows, one a strength; none where rows are too few."""
        return fit_linear(self.task, x[at], self.y[at], self.w[at], only=only)

    def _estimators(self, models: BaseModels, s: int) -> list[tuple[str, Any]]:
        """What is fitted on source s beside linear models, unfitted."""
        features = self.clean.features
        if s < self.M and (
            sparse.issparse(features[s]) or not models.reduced[s].for_trees
        ):
            return list(self.own)
        read = models._read(TREES, s, features, self._linear_evidence[0], np.arange(1))
        found = trees(self.task, self.n, read.shape[1])
        return [*([(TREES, found)] if found is not None else []), *self.own]

    def _fit_table(
        self, models: BaseModels, s: int, name: str, estimator: Any, at: NDArray[Any]
    ) -> TableModel | None:
        """One of these, fitted on some rows; None where it cannot be."""
        if len(at) < MIN_TABLE_ROWS:
            return None
        x = models._read(name, s, self.clean.features, self._linear_evidence[0], at)
        return fit_table_model(self.task, estimator, x, self.y[at], self.w[at])

    # ------------------------------------------------------------ what is held out

    def _held_out(
        self, s: int, models: Sequence[Any]
    ) -> Iterator[tuple[int, NDArray[np.intp], Any]]:
        """For all rows and folds: number of the copy, held-out rows, model of the fold.

        The rows are those in which source s is there.
        """
        for i, rows in enumerate(self.everything):
            for (_, held), model in zip(self.splits, models, strict=True):
                yield i, rows.having(s, held), model

    def _linear_of_modality(self, m: int) -> LinearModel | None:
        """The linear model of a modality, the mean of those of the folds, or None."""
        x = self.clean.features[m]
        chosen = self._choose_strength(x, m)
        if chosen is None:
            for everything in self._linear_evidence:
                everything.append(None)
            return None
        strength, models = chosen
        for i, at, model in self._held_out(m, models):
            features = self.everything[i].features[m]
            self._held[i][at, m, 0] = model.evidence(features[at])
        evidence = [np.nan_to_num(held[:, m, 0]) for held in self._held]
        learned = self.clean.having(m, self.splits[0][0])
        if len(self.splits) == 1 < len(learned):  # of rows it learned from, two halves
            halves = KFold(2, shuffle=True, random_state=self.task.seed)
            for a, b in halves.split(learned):
                half = self._fit_linear(x, m, learned[a], strength)
                if half:
                    evidence[0][learned[b]] = half[0].evidence(x[learned[b]])
        for everything, own in zip(self._linear_evidence, evidence, strict=True):
            everything.append(own)
        return LinearModel.mean(models)

    def _choose_strength(
        self, x: Any, s: int
    ) -> tuple[slice, list[LinearModel]] | None:
        """The strength of least held-out loss, and the models of the folds of it."""
        task, y, w = self.task, self.y, self.w
        all_models, totals = [], []
        # Of all modalities together, where fits cost most, the two in the middle.
        wanted = slice(None) if s < self.M else slice(1, 3)
        for learn, held in self.splits:
            models = self._fit_linear(x, s, self.clean.having(s, learn), wanted)
            if not models:
                return None
            all_models.append(models)
            at = self.clean.having(s, held)
            logits = [model.evidence(x[at]) + task.log_prior for model in models]
            losses = [task.link.row_loss(z, y[at]) for z in logits]
            totals.append([(loss * w[at]).sum() for loss in losses])
        best = int(np.argmin(np.sum(totals, axis=0)))
        return slice(best, best + 1), [models[best] for models in all_models]

    def _joint_linear(self) -> list[LinearModel] | None:
        """The linear model of all features, by modality."""
        chosen = self._choose_strength(join(self.clean.features), self.M)
        if chosen is None:
            return None
        widths = [x.shape[1] for x in self.clean.features]
        split_models = [model.split(widths) for model in chosen[1]]
        columns = list(zip(*split_models, strict=True))
        for m, models in enumerate(columns):
            for i, at, model in self._held_out(m, models):
                features = self.everything[i].features[m]
                self._additive[i][at, m] = model.evidence(features[at])
        return [LinearModel.mean(models) for models in columns]

    def _tables(self, models: BaseModels, s: int) -> dict[str, TableModel]:
        """Trees and the user's models of one source."""
        found: dict[str, TableModel] = {}
        for name, estimator in self._estimators(models, s):
            model = self._table(models, s, name, estimator)
            if model is not None:
                found[name] = model
        return found

    def _table(
        self, models: BaseModels, s: int, name: str, estimator: Any
    ) -> TableModel | None:
        """One of these, fitted on each fold and on all rows; or None."""

        def fitted_on(rows: NDArray[np.intp]) -> TableModel | None:
            at = self.clean.having(s, rows)
            return self._fit_table(models, s, name, estimator, at)

        fitted = [fitted_on(learn) for learn, _ in self.splits]
        if None in fitted:
            return None
        k = models.names.index(name)
        for i, at, model in self._held_out(s, fitted):
            if len(at):
                features = self.everything[i].features
                x = models._read(name, s, features, self._linear_evidence[i], at)
                self._held[i][at, s, k] = model.evidence(x)
        return fitted[0] if len(fitted) == 1 else fitted_on(np.arange(self.n))
