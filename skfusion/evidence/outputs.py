"""What a fitted model says of rows, and what each modality has to do with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skfusion.batch import ModalityBatch
from skfusion.evidence.crossfit import BaseModels, Rows
from skfusion.evidence.gate import Gate, gate_features
from skfusion.evidence.held_out import Summary
from skfusion.evidence.linear_models import LinearModel
from skfusion.evidence.mixing import Mix
from skfusion.evidence.network_parts import (
    joint_shapley,
    padded_sum,
    token_contributions,
)
from skfusion.evidence.ood import Density, ood_scores
from skfusion.network import FusionNetwork
from skfusion.training.inference import Predicted, double_copy, predict
from skfusion.training.links import Link

__all__ = [
    "EvidenceModel",
    "NetworkModel",
    "Outputs",
    "network_evidence",
    "speaking",
]

#: Up to this many rows, prediction runs in float64: the answer for a row then does not
#: depend, to 1e-7, on which rows come with it. Above, float32 is several times faster.
EXACT_ROWS = 256


class Outputs(NamedTuple):
    """What the model says of n rows.

    logits : ndarray (n, C)
    alone : ndarray (n, M, C), evidence of each modality alone
    weights : ndarray (n, M), share in the size of what modalities added
    contributions : ndarray (n, M, C), what each modality added to the logits
    joint : ndarray (n, C), what belongs to no single modality
    joint_share : ndarray (n,), its share in the size of all that was added
    trust : ndarray (n, M)
    """

    logits: NDArray[np.float64]
    alone: NDArray[np.float64]
    weights: NDArray[np.float64]
    contributions: NDArray[np.float64]
    joint: NDArray[np.float64]
    joint_share: NDArray[np.float64]
    trust: NDArray[np.float64]

    def in_order(self, order: Sequence[int]) -> Outputs:
        """The same with the modalities in another order."""
        return self._replace(
            alone=self.alone[:, order],
            weights=self.weights[:, order],
            contributions=self.contributions[:, order],
            trust=self.trust[:, order],
        )


def weights_of(
    size: NDArray[np.float64], present: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Shares of sizes, (n, M): even ones only where nobody says anything."""
    share = size * present
    total = share.sum(axis=1, keepdims=True)
    return np.where(total > 1e-9, share / np.maximum(total, 1e-9), even_shares(present))


def even_shares(present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The same share for each modality that is there, (n, M)."""
    return present / np.maximum(present.sum(axis=1, keepdims=True), 1)


def joint_share(
    own: NDArray[np.float64], joint: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Share of the size of the joint part (n,) beside that of modalities (n, M)."""
    return joint / np.maximum(own.sum(axis=1) + joint, 1e-12)


def speaking(evidence: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which sources say anything, (n, S, K, C) -> (n, S)."""
    return np.asarray((~np.isnan(evidence[..., 0])).any(axis=2))


def network_evidence(
    predicted: Predicted,
    present: NDArray[np.bool_],
    n_sources: int,
    *,
    link: Link,
) -> NDArray[np.float64]:
    """What a network says of each source, (n, S, C); NaN where it says nothing.

    Its joint part speaks of rows in which two modalities or more are present.
    """
    n, M = present.shape
    C = predicted.evidence.shape[-1]
    out = np.full((n, n_sources, C), np.nan)
    out[:, :M] = np.where(present[..., None], predicted.evidence, np.nan)
    if n_sources > M and predicted.joint is not None:
        several = present.sum(axis=1) >= 2
        out[several, M] = predicted.joint[several]
    return link.centre(out)


class Networks:
    """The networks of the folds, in the precision that the number of rows asks for.

    Parameters
    ----------
    networks : list of FusionNetwork, one a fold
    """

    #: Of training rows, by models that did not learn from them; None without any.
    held_out: Summary | None = None

    def __init__(self, networks: list[FusionNetwork]) -> None:
        self.networks = networks
        self._doubles: list[FusionNetwork] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_doubles": None}  # which are made anew

    def exact(self, n: int) -> bool:
        """Whether n rows are predicted in float64."""
        device = next(self.networks[0].parameters()).device
        return n <= EXACT_ROWS and device.type != "mps"

    def networks_for(self, n: int) -> list[FusionNetwork]:
        """The networks in the precision that n rows are predicted in."""
        if not self.exact(n):
            return self.networks
        if self._doubles is None:
            self._doubles = [double_copy(network) for network in self.networks]
        return self._doubles


class EvidenceModel(Networks):
    """Networks, base models, mixing step, gate and densities, ready to predict.

    Parameters
    ----------
    networks : list of FusionNetwork, one a fold
    base : BaseModels
    mix : Mix
    gate : Gate
    densities : list of M Density or None
    """

    def __init__(
        self,
        networks: list[FusionNetwork],
        base: BaseModels,
        mix: Mix,
        gate: Gate,
        densities: list[Density | None],
    ) -> None:
        super().__init__(networks)
        self.base, self.mix, self.gate, self.densities = base, mix, gate, densities

    @property
    def n_sources(self) -> int:
        """The modalities, and the joint part where there is one."""
        return len(self.gate.bias)

    def evidence(self, rows: Rows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What every model says of every source.

        Returns
        -------
        evidence : ndarray (n, S, K, C), the networks first
        additive : ndarray (n, M, C)
        """
        n, S, link = len(rows.batch), self.n_sources, self.base.task.link
        each = [
            network_evidence(predict(net, rows.batch), rows.present, S, link=link)
            for net in self.networks_for(n)
        ]
        networks = np.mean(each, axis=0)[:, :, None]
        base, additive = self.base.evidence(rows, S, exact=self.exact(n))
        return np.concatenate([networks, base], axis=2), additive

    def outputs(self, batch: ModalityBatch, *, joint: str = "separate") -> Outputs:
        """What the model says of rows, its modalities in the networks' order."""
        rows = Rows.of(batch, exact=self.exact(len(batch)))
        evidence, additive = self.evidence(rows)
        return self._outputs(rows, evidence, additive, joint)

    def _outputs(
        self,
        rows: Rows,
        evidence: NDArray[np.float64],
        additive: NDArray[np.float64],
        joint: str,
    ) -> Outputs:
        task, M = self.base.task, rows.present.shape[1]
        e, present = self.mix(evidence), rows.present
        trust = self._trust(rows, e, speaking(evidence))
        own, linear = self.gate.factors(e, additive)
        parts = (trust * own)[..., None] * e
        contributions = parts[:, :M] + (trust[:, :M] * linear)[..., None] * additive
        contributions, parts = self.gate.scaled(contributions), self.gate.scaled(parts)
        logits = task.log_prior + contributions.sum(axis=1)
        rest = np.zeros_like(logits)
        if self.n_sources > M:
            logits, rest = logits + parts[:, M], parts[:, M]
            if joint == "shared":
                share = self.mix.shares_of(~np.isnan(evidence[..., 0]))[:, M]  # (n, K)
                factor = (trust * own)[:, M, None, None]
                shared = self._shared(rows, share, evidence[:, M])
                contributions = contributions + self.gate.scaled(factor * shared)
                rest = np.zeros_like(rest)
        own_size, rest_size = (
            task.link.size(added, logits) for added in (contributions, rest)
        )
        return Outputs(
            logits,
            e[:, :M] * present[..., None],
            weights_of(own_size, present),
            contributions,
            rest,
            joint_share(own_size, rest_size),
            trust[:, :M],
        )

    def _trust(
        self, rows: Rows, mixed: NDArray[np.float64], speaks: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """How far each source is trusted, (n, S)."""
        task = self.base.task
        ood = ood_scores(self.densities, rows.batch, rows.features)
        features = gate_features(mixed, ood, speaks, task.log_prior, link=task.link)
        return self.gate.trust(features, speaks)

    def _shared(
        self,
        rows: Rows,
        share: NDArray[np.float64],
        evidence: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """The joint part's evidence, split by exact Shapley values, (n, M, C).

        Base models of all modalities speak only where all are there, so each has the
        same share in them; what the networks' joint part says of every subset of the
        modalities is asked.
        """
        known = np.nan_to_num(evidence)
        tables = np.einsum("nk,nkc->nc", share[:, 1:], known[:, 1:])
        out = even_shares(rows.present)[..., None] * tables[:, None]
        if not np.isnan(evidence[:, 0]).all():
            networks = self.networks_for(len(evidence))
            values = [joint_shapley(n, rows.batch, self.base.task) for n in networks]
            out = out + share[:, 0, None, None] * np.mean(values, axis=0)
        return out

    def elements(
        self, batch: ModalityBatch, m: int
    ) -> tuple[Outputs, NDArray[np.float64]]:
        """What is said of rows, and what each token of a modality added, (n, T, C).

        The network's tokens and the terms of linear models are exact; what trees add,
        and constants, are the rest of the contribution.
        """
        rows = Rows.of(batch, exact=self.exact(len(batch)))
        evidence, additive = self.evidence(rows)
        out = self._outputs(rows, evidence, additive, "separate")
        shares = self.mix.shares_of(~np.isnan(evidence[..., 0]))  # (n, S, K)
        own, linear = self.gate.factors(self.mix(evidence), additive)
        trust = out.trust[:, m] * own[:, m]
        networks, link = self.networks_for(len(batch)), self.base.task.link
        tokens = token_contributions(networks, batch, m, link=link)
        values = (trust * shares[:, m, 0])[:, None, None] * tokens
        name = batch.names[m]
        modality, block = batch.modalities[name], batch.blocks[name]
        models: list[tuple[LinearModel | None, NDArray[np.float64]]] = []
        if self.base.names:
            models.append((self.base.linear[m], trust * shares[:, m, 1]))
        if self.base.joint_linear is not None:
            models.append((self.base.joint_linear[m], out.trust[:, m] * linear[:, m]))
        for model, weight in models:
            terms = None
            if model is not None:
                terms = modality.linear_terms(block, model.coef, model.center)
            if terms is not None:
                values = padded_sum(values, weight[:, None, None] * terms)
        values = self.gate.scaled(values)
        return out, np.where(rows.present[:, m, None, None], values, 0)


class NetworkModel(Networks):
    """Networks under a rule of their own: their outputs are averaged.

    Parameters
    ----------
    networks : list of FusionNetwork
    link : Link
    adds_evidence : bool
        Whether the weights are those of a sum of evidence, or the rule's own.
    """

    def __init__(
        self, networks: list[FusionNetwork], *, link: Link, adds_evidence: bool
    ) -> None:
        super().__init__(networks)
        self.link = link
        self.adds_evidence = adds_evidence

    def outputs(self, batch: ModalityBatch, *, joint: str = "separate") -> Outputs:
        """What the networks say of rows, their modalities in the networks' order."""
        each = [predict(net, batch) for net in self.networks_for(len(batch))]
        logits, evidence, weights, contributions = (
            np.mean([getattr(p, name) for p in each], axis=0)
            for name in ("logits", "evidence", "weights", "contributions")
        )
        prior = self.networks[0].prior.double().cpu().numpy()
        rest = logits - prior - contributions.sum(axis=1)
        if joint == "shared":
            even = even_shares(batch.present)[..., None]
            contributions = contributions + even * rest[:, None]
            rest = np.zeros_like(rest)
        own, joint_size = (
            self.link.size(added, logits) for added in (contributions, rest)
        )
        if self.adds_evidence:
            weights = weights_of(own, batch.present)
        share = joint_share(own, joint_size)
        return Outputs(logits, evidence, weights, contributions, rest, share, weights)

    def elements(
        self, batch: ModalityBatch, m: int
    ) -> tuple[Outputs, NDArray[np.float64]]:
        """What the tokens of a modality say alone, times its weight."""
        out = self.outputs(batch)
        networks = self.networks_for(len(batch))
        tokens = token_contributions(networks, batch, m, link=self.link)
        return out, out.weights[:, m, None, None] * tokens
