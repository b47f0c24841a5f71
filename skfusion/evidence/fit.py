"""The held-out stage: one mixing step and one gate, fitted on rows held out.

What the fit of the estimator calls when networks and base models are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skfusion.evidence.base_models import Task
from skfusion.evidence.crossfit import BaseModels, Rows
from skfusion.evidence.gate import Gate, fit_gate, gate_features
from skfusion.evidence.held_out import summarise
from skfusion.evidence.mixing import Mix, fit_mix
from skfusion.evidence.ood import fit_densities, ood_scores, update_densities
from skfusion.evidence.outputs import EvidenceModel, network_evidence, speaking
from skfusion.training.inference import Predicted
from skfusion.training.links import Link
from skfusion.training.splits import Split, held_out_rows

__all__ = ["fit_evidence", "go_on", "with_networks"]


def with_networks(
    held: Sequence[NDArray[np.float64]],
    predicted: Sequence[Sequence[Predicted]],
    splits: Sequence[Split],
    everything: Sequence[Rows],
    *,
    link: Link,
) -> list[NDArray[np.float64]]:
    """Put what the networks say in front of the base models.

    Parameters
    ----------
    held : list of ndarray (n, S, K - 1, C), of the base models
    predicted : for each fold, what its network says of the rows held out from it:
        clean ones, then each corrupted copy
    everything : the clean rows, then the corrupted copies

    Returns
    -------
    evidence : list of ndarray (n, S, K, C), clean and corrupted
    """
    out = []
    for i, base in enumerate(held):
        n, S, _, C = base.shape
        full = np.concatenate([np.full((n, S, 1, C), np.nan), base], axis=2)
        for (_, at), outputs in zip(splits, predicted, strict=True):
            present = everything[i].present[at]
            full[at, :, 0] = network_evidence(outputs[i], present, S, link=link)
        out.append(full)
    return out


def fit_evidence(
    networks: Sequence[Any],
    base: BaseModels,
    evidence: Sequence[NDArray[np.float64]],
    additive: Sequence[NDArray[np.float64]],
    everything: Sequence[Rows],
    splits: Sequence[Split],
    y: NDArray[Any],
    weight: NDArray[np.float64],
    *,
    former: EvidenceModel | None = None,
    share: float = 1.0,
) -> EvidenceModel:
    """Fit the mixing step and the gate.

    Parameters
    ----------
    networks : one FusionNetwork a fold
    evidence, additive : see `with_networks` and `CrossFitter`; of clean rows, then of
        each corrupted copy
    y, weight : of all rows
    former : EvidenceModel, optional
        What mixing step, gate and densities go on from.
    share : float
        Of all rows so far, these.
    """
    task = base.task
    at = held_out_rows(splits)
    evidence, additive = [e[at] for e in evidence], [a[at] for a in additive]
    y, weight = y[at], weight[at]
    if former is None:
        ood = _held_out_scores(everything, splits, task.seed)
    else:  # whose densities have not seen any of these rows
        ood = [
            ood_scores(former.densities, r.batch, r.features)[at] for r in everything
        ]
    mix, gate = _fit_trust(task, evidence, additive, ood, y, weight, former)
    clean = everything[0]
    if former is None:
        components = [reduced.components for reduced in base.reduced]
        densities = fit_densities(clean.features, clean.present, task.seed, components)
        model = EvidenceModel(list(networks), base, mix, gate, densities)
    else:
        model = go_on(former, networks, base, clean, share)
        model.mix, model.gate = mix, gate
    out = model._outputs(clean.take(at), evidence[0], additive[0], "separate")
    model.held_out = summarise(
        out.logits, out.weights, out.joint_share, y, weight, link=task.link
    )
    return model


def go_on(
    former: EvidenceModel,
    networks: Sequence[Any],
    base: BaseModels,
    rows: Rows,
    share: float,
) -> EvidenceModel:
    """A model that has learned further rows, and trusts as the former one did."""
    densities = update_densities(
        former.densities, rows.features, rows.present, base.task.seed, share
    )
    model = EvidenceModel(list(networks), base, former.mix, former.gate, densities)
    model.held_out = former.held_out
    return model


def _fit_trust(
    task: Task,
    evidence: Sequence[NDArray[np.float64]],
    additive: Sequence[NDArray[np.float64]],
    ood: Sequence[NDArray[np.float64]],
    y: NDArray[Any],
    weight: NDArray[np.float64],
    former: EvidenceModel | None,
) -> tuple[Mix, Gate]:
    """Mixing step and gate of held-out rows: clean ones, then each corrupted copy."""
    log_prior, link, copies = task.log_prior, task.link, len(evidence)
    known = None if former is None else former.mix
    mix = fit_mix(evidence[0], y, weight, log_prior, link=link, former=known)
    mixed = np.concatenate([mix(e) for e in evidence])
    present = np.concatenate([speaking(e) for e in evidence])
    features = gate_features(mixed, np.concatenate(ood), present, log_prior, link=link)
    gate = fit_gate(
        mixed,
        np.concatenate(additive),
        features,
        present,
        np.concatenate([y] * copies),
        np.tile(weight, copies),
        log_prior,
        n_clean=len(y),
        link=link,
        former=None if former is None else former.gate,
    )
    return mix, gate


def _held_out_scores(
    everything: Sequence[Rows], splits: Sequence[Split], seed: int
) -> list[NDArray[np.float64]]:
    """Out-of-distribution scores by densities that did not learn from the row."""
    scores: list[list[NDArray[np.float64]]] = [[] for _ in everything]
    clean = everything[0]
    for learn, held in splits:
        densities = fit_densities(
            [x[learn] for x in clean.features], clean.present[learn], seed
        )
        for rows, out in zip(everything, scores, strict=True):
            some = rows.take(held)
            out.append(ood_scores(densities, some.batch, some.features))
    return [np.concatenate(parts) for parts in scores]
