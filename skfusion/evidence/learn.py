"""Everything that is learned from rows: networks, base models, and the held-out stage.

What the fit of the estimator calls once rows are transformed, and options resolved.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skfusion._defaults import automatic_draws
from skfusion.batch import ModalityBatch
from skfusion.corruption import Plans, corrupt_batch
from skfusion.evidence.base_models import Task
from skfusion.evidence.crossfit import CrossFitter, Rows, no_base_models
from skfusion.evidence.fit import fit_evidence, go_on, with_networks
from skfusion.evidence.held_out import of_networks
from skfusion.evidence.incremental import IncrementalFitter
from skfusion.evidence.outputs import EvidenceModel, NetworkModel
from skfusion.network import FusionNetwork
from skfusion.training.folds import (
    NetworkFold,
    NetworkPlan,
    build_network,
    train_folds,
)
from skfusion.training.splits import Split
from skfusion.training.tasks import FoldTask

__all__ = ["Learned", "learn"]


class Learned(NamedTuple):
    """The distinct rows that are learned from.

    **Shape**: target (n,) of class indices, or (n, C) standardised; weight (n,); prior
    (C,); splits, one a network.
    """

    batch: ModalityBatch
    target: Tensor
    weight: NDArray[np.float64]
    prior: Tensor
    splits: list[Split]


def learn(
    learned: Learned,
    plan: NetworkPlan,
    *,
    base_models: Sequence[tuple[str, Any]] | None,
    corruption: Plans | None,
    start: Sequence[FusionNetwork] | None = None,
    former: EvidenceModel | NetworkModel | None = None,
    share: float = 1.0,
    tasks: Sequence[FoldTask] | None = None,
    n_jobs: int | None = None,
) -> tuple[list[NetworkFold], EvidenceModel | NetworkModel]:
    """Train the networks, fit base models, and let held-out rows weigh them.

    Parameters
    ----------
    base_models : list of (name, estimator), or None
        The user's own, beside the automatic ones; with None there are none at all.
    corruption : Plans or None
        What is done to the copies of the rows from which trust is learned.
    start : list of FusionNetwork, optional
        Networks to go on from.
    former : EvidenceModel or NetworkModel, optional
        Where the rows are a further batch, all that goes on; it stays as it is.
    share : float
        Of all rows so far, those of the batch.
    tasks : list of FoldTask, optional
        Who is told of folds and epochs.
    n_jobs : int or None
        Processes over which folds are spread.
    """
    batch, target, weight, prior, splits = learned
    known = former if isinstance(former, EvidenceModel) else None
    held_out = len(splits[0][1]) > 0
    adaptive = known is not None or (plan.rule.learns_trust and held_out)
    copies = _corrupted_copies(
        plan, batch, corruption if adaptive and held_out else None
    )
    if former is not None:
        start = [_with_prior(network, prior) for network in former.networks]
    folds = train_folds(
        plan,
        batch,
        target,
        torch.from_numpy(weight).float(),
        splits,
        [rows.batch for rows in copies],
        start=start,
        tasks=tasks,
        n_jobs=n_jobs,
    )
    if former is not None and (len(folds) < len(splits) or folds[-1].interrupted):
        raise KeyboardInterrupt  # some have learned the batch, and some have not
    # After Ctrl-C, the folds that are finished.
    learned = learned._replace(splits=splits[: len(folds)])
    if adaptive:
        everything = [Rows.of(batch), *copies]
        return folds, _evidence_model(
            learned, plan, folds, everything, base_models, known, share
        )
    model = NetworkModel(
        [fold.network for fold in folds],
        link=plan.link,
        adds_evidence=plan.rule.learns_trust,
    )
    model.held_out = of_networks(
        folds, learned.splits, target.numpy(), weight, link=plan.link
    )
    return folds, model


def _evidence_model(
    learned: Learned,
    plan: NetworkPlan,
    folds: Sequence[NetworkFold],
    everything: Sequence[Rows],
    base_models: Sequence[tuple[str, Any]] | None,
    former: EvidenceModel | None,
    share: float,
) -> EvidenceModel:
    """Fit base models beside the networks, and let held-out rows weigh them."""
    _, target, weight, prior, splits = learned
    networks, y = [fold.network for fold in folds], target.numpy()
    held_out = len(splits[0][1]) > 0
    log_prior = prior.double().numpy()
    task = Task(plan.link, len(prior), log_prior, plan.seed % 2**31)
    several = len(learned.batch.names) > 1
    has_joint = several and getattr(plan.rule, "joint", False) is not False
    if base_models is None and (former is None or not former.base.names):
        has_joint = has_joint and folds[0].predicted[0].joint is not None
        base, held, additive = no_base_models(task, everything, has_joint)
    else:
        rows = task, everything, y, weight, splits if held_out else splits[:1]
        if former is None:
            fitter = CrossFitter(*rows, own=base_models or (), has_joint=has_joint)
        else:  # which knows of the user's models
            fitter = IncrementalFitter(former.base, share, *rows, has_joint=has_joint)
        base, held, additive = fitter.fit()
    if former is not None and not held_out:  # too few rows to say whom to trust
        return go_on(former, networks, base, everything[0], share)
    predicted = [fold.predicted for fold in folds]
    evidence = with_networks(held, predicted, splits, everything, link=plan.link)
    return fit_evidence(
        networks,
        base,
        evidence,
        additive,
        everything,
        splits,
        y,
        weight,
        former=former,
        share=share,
    )


def _with_prior(network: FusionNetwork, prior: Tensor) -> FusionNetwork:
    """A copy of a network that adds its evidence to another prior."""
    network = copy.deepcopy(network)
    network.prior.copy_(prior)
    return network


def _corrupted_copies(
    plan: NetworkPlan, batch: ModalityBatch, corruption: Plans | None
) -> list[Rows]:
    """Corrupted copies of the rows, from which trust is learned."""
    if corruption is None:
        return []
    generator = torch.Generator().manual_seed(plan.seed)
    encoders = build_network(plan, batch, len(batch), plan.seed).encoders
    present = torch.from_numpy(batch.present)
    copies = []
    for _ in range(automatic_draws(len(batch))):
        drawn = corruption.plan(present, batch.names, generator)
        copies.append(Rows.of(corrupt_batch(batch, encoders, drawn, generator)))
    return copies
