"""The prediction of a fitted model as one torch module, for ONNX.

It computes what `skfusion.evidence` and `skfusion.training.inference` compute with
NumPy and scikit-learn, in steps whose sizes do not depend on values. Networks run in
float32; what follows, in float64.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from skfusion.evidence.base_models import TREES
from skfusion.evidence.gate import CLIP, OOD_CLIP, OOD_SOFTNESS, OOD_START
from skfusion.evidence.ood import N_SCORES
from skfusion.evidence.outputs import EvidenceModel, NetworkModel
from skfusion.network import FusionNetwork
from skfusion.persistence.graph_links import torch_link
from skfusion.persistence.graph_parts import (
    Constants,
    DensityScores,
    Features,
    Linear,
    Reducer,
    base_model,
)

__all__ = ["EvidenceGraph", "NetworkGraph", "Rows"]


class Rows(NamedTuple):
    """Rows as the graph reads them: arrays of blocks, masks, features.

    **Shape**: present (n, M), bool; own_scores (n, M), of each modality.
    """

    blocks: Sequence[dict[str, Tensor]]
    present: Tensor
    features: Sequence[Features]
    own_scores: Tensor


class Said(NamedTuple):
    """What the model says: logits (n, C), contributions (n, M, C), weights (n, M)."""

    logits: Tensor
    contributions: Tensor
    weights: Tensor


def shares(size: Tensor, present: Tensor) -> Tensor:
    """Shares of sizes, (n, M): even ones only where nobody says anything."""
    share = size * present
    total = share.sum(dim=1, keepdim=True)
    even = present / present.sum(dim=1, keepdim=True).clamp_min(1)
    return torch.where(total > 1e-9, share / total.clamp_min(1e-9), even)


class _Networks(nn.Module):
    """The networks of the folds.

    **Shape**: the outputs of `FusionNetwork`, averaged over the networks, in float64.
    """

    def __init__(self, networks: Sequence[FusionNetwork]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(
            copy.deepcopy(network).cpu().float().eval() for network in networks
        )

    def forward(self, rows: Rows) -> dict[str, Tensor]:
        said = [network(rows.blocks, rows.present) for network in self.networks]
        found = {}
        for key in ("logits", "evidence", "joint", "weights", "contributions"):
            columns = [getattr(output, key) for output in said]
            if all(x is not None for x in columns):
                found[key] = torch.stack(columns).double().mean(dim=0)
        return found


class NetworkGraph(Constants):
    """Networks under a rule of their own: their outputs are averaged."""

    def __init__(self, model: NetworkModel) -> None:
        super().__init__()
        self.networks = _Networks(model.networks)
        self.link = torch_link(model.link)
        self.adds_evidence = model.adds_evidence

    def forward(self, rows: Rows) -> Said:
        said = self.networks(rows)
        logits, weights = said["logits"], said["weights"]
        contributions = said["contributions"]
        if self.adds_evidence:
            weights = shares(self.link.size(contributions, logits), rows.present)
        return Said(logits, contributions, weights)


class EvidenceGraph(Constants):
    """Networks, base models, mixing step, densities and gate.

    Parameters
    ----------
    model : EvidenceModel
    names : tuple of M str
        The modalities, in the networks' order.
    """

    def __init__(self, model: EvidenceModel, names: Sequence[str]) -> None:
        super().__init__()
        base, gate = model.base, model.gate
        self.task, self.M, self.S = base.task, len(names), model.n_sources
        self.link = torch_link(base.task.link)
        self.names = base.names
        self.for_trees = [r.for_trees for r in base.reduced]
        self.networks = _Networks(model.networks)
        joint: Sequence[Any] = base.joint_linear or [None] * self.M
        self.linear = nn.ModuleList(Linear(m) for m in base.linear)
        self.joint_linear = nn.ModuleList(Linear(m) for m in joint)
        self.reduced = nn.ModuleList(Reducer(r.components) for r in base.reduced)
        sources = [*names, "joint"]
        self.tables = nn.ModuleList(
            nn.ModuleDict(
                {f"_{k}": base_model(t, k, sources[s]) for k, t in models.items()}
            )
            for s, models in enumerate(base.tables)
        )
        self.densities = nn.ModuleList(DensityScores(d) for d in model.densities)
        self.keep(
            log_prior=self.task.log_prior,
            share=model.mix.share,
            bias=gate.bias,
            coef=gate.coef,
            mean=gate.mean,
            sd=gate.sd,
            limit=gate.limit,
            linear_limit=gate.linear_limit,
            class_matrix=gate.class_matrix,
        )
        self.linear_scale = gate.linear_scale

    def forward(self, rows: Rows) -> Said:
        rows = rows._replace(
            features=[x.where(rows.present[:, m]) for m, x in enumerate(rows.features)]
        )
        evidence, speaks, additive = self._evidence(rows)
        share = speaks * self.share
        scale = self.share.sum(dim=-1) / share.sum(dim=-1).clamp_min(1e-12)
        e = (evidence * (share * scale[..., None])[..., None]).sum(dim=2)  # (n, S, C)
        trust = self._trust(rows, e, speaks.any(dim=2))
        own = _cut(e, self.limit)
        linear = self.linear_scale * _cut(additive, self.linear_limit)
        parts = (trust * own)[..., None] * e
        M = self.M
        contributions = parts[:, :M] + (trust[:, :M] * linear)[..., None] * additive
        parts, contributions = self._scaled(parts), self._scaled(contributions)
        logits = self.log_prior + contributions.sum(dim=1) + parts[:, M:].sum(dim=1)
        weights = shares(self.link.size(contributions, logits), rows.present)
        return Said(logits, contributions, weights)

    def _evidence(self, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
        """Evidence (n, S, K, C), who speaks (n, S, K), and additive parts (n, M, C)."""
        present, M = rows.present, self.M
        n, K, C = present.shape[0], 1 + len(self.names), self.task.n_outputs
        nothing = self.log_prior.new_zeros(1, C).expand(n, C)
        nobody = present.new_zeros(1).expand(n)
        said = [[nothing] * K for _ in range(self.S)]
        speaks = [[nobody] * K for _ in range(self.S)]
        for s, (e, here) in enumerate(self._of_networks(rows)):
            said[s][0], speaks[s][0] = e, here
        linear: list[Tensor | None] = [None] * M
        additive = []
        for m, x in enumerate(rows.features):
            here = present[:, m]
            if self.linear[m].exists:
                linear[m] = self.linear[m](x)
                said[m][1], speaks[m][1] = linear[m], here
            own = self.joint_linear[m](x) if self.joint_linear[m].exists else nothing
            additive.append(torch.where(here[:, None], own, 0.0))
        for s, tables in enumerate(self.tables):
            here = present[:, s] if s < M else present.all(dim=1)
            models: Any = tables
            for key, table in models.items():
                k = 1 + self.names.index(key[1:])
                said[s][k] = table(self._read(key[1:], s, rows.features, linear))
                speaks[s][k] = here
        evidence = torch.stack([torch.stack(row, dim=1) for row in said], dim=1)
        here = torch.stack([torch.stack(row, dim=1) for row in speaks], dim=1)
        evidence = torch.where(here[..., None], evidence, 0.0)
        return evidence, here, torch.stack(additive, dim=1)

    def _of_networks(self, rows: Rows) -> list[tuple[Tensor, Tensor]]:
        """What the networks say on average of each source, and where they do."""
        said = self.networks(rows)
        out = [(said["evidence"][:, m], rows.present[:, m]) for m in range(self.M)]
        if self.S > self.M and "joint" in said:
            out.append((said["joint"], rows.present.sum(dim=1) >= 2))
        return [(self.link.centre(e), here) for e, here in out]

    def _read(
        self,
        name: str,
        s: int,
        features: Sequence[Features],
        linear: Sequence[Tensor | None],
    ) -> Tensor:
        """What a base model reads of source s, float32."""
        if name == TREES and s < self.M:
            return features[s].value.float()
        if s < self.M:
            return self.reduced[s](features[s]).float()
        parts = [
            reduced(x)
            for reduced, x, for_trees in zip(
                self.reduced, features, self.for_trees, strict=True
            )
            if name != TREES or for_trees
        ]
        if name == TREES:
            said = [e for e in linear if e is not None]
            parts += [e[:, 1:] if self.task.two_classes else e for e in said]
        return torch.cat([part.float() for part in parts], dim=1)

    def _trust(self, rows: Rows, e: Tensor, present: Tensor) -> Tensor:
        """How far each source is believed, (n, S)."""
        seen = rows.present
        scores = []
        for m, density in enumerate(self.densities):
            pair = density(rows.features[m])
            found = torch.cat([pair, rows.own_scores[:, m, None].double()], dim=1)
            scores.append(torch.where(seen[:, m, None], found, 0.0))
        ood = torch.stack(scores, dim=1)  # (n, M, N_SCORES)
        if self.S > self.M:
            worst = torch.where(seen[..., None], ood, -torch.inf).amax(dim=1)
            worst = torch.where(torch.isfinite(worst), worst, 0.0)
            ood = torch.cat([ood, worst[:, None]], dim=1)
        columns, unknown = self._gate_features(e, seen)
        z = (torch.cat([columns, ood], dim=-1) - self.mean) / self.sd
        z = torch.where(torch.cat([unknown, torch.zeros_like(ood).bool()], -1), 0.0, z)
        unusual = (z[..., -N_SCORES:].clamp(-CLIP, OOD_CLIP) - OOD_START) / OOD_SOFTNESS
        soft = unusual.relu() + torch.log(1 + torch.exp(-unusual.abs()))
        usual = z[..., :-N_SCORES].clamp(-CLIP, CLIP)
        x = torch.cat([usual, soft * OOD_SOFTNESS], dim=-1)
        log_a = self.bias + (x * self.coef).sum(dim=-1)
        return torch.exp(log_a.clamp(-12, 2)) * present

    def _gate_features(self, e: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Gate features of what is said, and where they are not known, (n, S, G)."""
        S, M = self.S, self.M
        joint = seen.new_zeros(1, 1).expand(seen.shape[0], S - M)
        own_row = torch.cat([seen, joint], dim=1)
        n_others = seen.sum(dim=1, keepdim=True) - own_row.long()
        p = self.link.mean(e + self.log_prior)
        own = p * own_row[..., None]
        total = own.sum(dim=1, keepdim=True)
        others = (total - own) / n_others.clamp_min(1)[..., None]
        columns = self.link.gate_columns(p, others)
        known = [torch.zeros_like(own_row)] * (len(columns) - 1)
        return torch.stack(columns, dim=-1), torch.stack([*known, n_others == 0], -1)

    def _scaled(self, added: Tensor) -> Tensor:
        if self.class_matrix is None:
            return added
        return added @ self.class_matrix.T


def _cut(evidence: Tensor, limit: Tensor) -> Tensor:
    size = evidence.abs().mean(dim=-1)
    return (limit / size.clamp_min(1e-12)).clamp_max(1.0)
