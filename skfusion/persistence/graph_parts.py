"""Parts of the ONNX graph: base models and densities as torch modules."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from torch import Tensor, nn

from skfusion.evidence.base_models import PSEUDO_ROWS, TableModel
from skfusion.evidence.linear_models import LinearModel
from skfusion.evidence.ood import Density
from skfusion.evidence.target_scale import TargetScale
from skfusion.persistence.graph_links import torch_link

__all__ = [
    "BaseModel",
    "Constants",
    "DensityScores",
    "Features",
    "Linear",
    "Reducer",
    "base_model",
]


class Features(NamedTuple):
    """Features of a modality: dense (n, F), or entries of sparse rows, padded by 0.

    **Shape**: value (n, F), or value and at (n, L), the feature of each entry.
    """

    value: Tensor
    at: Tensor | None = None

    def times(self, matrix: Tensor) -> Tensor:
        """The matrix product with (F, k), in float64."""
        if self.at is None:
            return self.value.double() @ matrix.double()
        rows = matrix[self.at].double()  # (n, L, k)
        return (self.value.double().unsqueeze(-1) * rows).sum(dim=1)

    def where(self, here: Tensor) -> Features:
        """Zeros in the rows that are not `here` (n,)."""
        return self._replace(value=torch.where(here[:, None], self.value, 0.0))


class Constants(nn.Module):
    """A module that keeps arrays as buffers."""

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__(name)

    def keep(self, **arrays: Any) -> None:
        for name, array in arrays.items():
            array = None if array is None else torch.as_tensor(np.asarray(array))
            self.register_buffer(name, array)


class ScaleGraph(Constants):
    """Values in the units of y, and units for each of z; see `TargetScale`."""

    def __init__(self, scale: TargetScale) -> None:
        super().__init__()
        self.keep(**scale._asdict(), base=scale.base)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        u = (self.centre + self.spread * z).clamp(self.low, self.high)
        up, down = torch.exp(u), torch.exp(-u)
        t = self.cosh_r * (up - down) / 2 + self.sinh_r * (up + down) / 2
        t = torch.where(self.transformed, self.location + self.width * t, z)
        value = t * self.sd + self.mean
        apart = torch.where(z.abs() < 1e-6, torch.full_like(z, 1e-6), z)
        slope = torch.where(self.transformed, (value - self.base) / apart, self.sd)
        return value, slope


class Linear(Constants):
    def __init__(self, model: LinearModel | None) -> None:
        super().__init__()
        self.exists = model is not None
        if model is not None:
            self.keep(coef=model.coef, bias=model.bias)

    def forward(self, x: Features) -> Tensor:
        return x.times(self.coef) + self.bias


class Reducer(Constants):
    def __init__(self, components: NDArray[np.float32] | None) -> None:
        super().__init__()
        self.keep(matrix=None if components is None else components.T)

    def forward(self, x: Features) -> Tensor:
        return x.value.double() if self.matrix is None else x.times(self.matrix)


class DensityScores(Constants):
    def __init__(self, density: Density | None) -> None:
        super().__init__()
        self.exists = density is not None
        if density is not None:
            self.keep(
                center=density.center,
                scale=density.scale,
                matrix=density.components.T,
                variance=density.variance,
            )
            self.residual = density.residual

    def forward(self, x: Features) -> Tensor:
        """The two scores of `Density.scores`, (n, 2)."""
        if not self.exists:
            return x.value.new_zeros(x.value.shape[0], 2, dtype=torch.float64)
        if self.center is not None:
            x = Features((x.value.double() - self.center) / self.scale)
        size = x.value.double().square().sum(dim=1)
        z = x.times(self.matrix)
        squares = z.square()
        within = (squares / self.variance).mean(dim=1) if z.shape[1] else 0 * size
        left = (size - squares.sum(dim=1)).clamp_min(0) / self.residual
        return torch.log(torch.stack([within, left], dim=1) + 1e-2)


class BaseModel(Constants):
    """A base model on dense features: its evidence (n, C) from (n, F) float32.

    What `TableModel.evidence` computes.
    """

    def __init__(self, table: TableModel) -> None:
        super().__init__()
        self.link, self.of_labels = torch_link(table.task.link), False
        models = [table.model]
        if self.link.is_classification:
            n_outputs, log_prior = table.task.n_outputs, table.task.log_prior
            prior = table.task.link.mean(log_prior)
            self.keep(log_prior=log_prior, prior=prior)
            self.n_classes = n_outputs
            self.of_labels = isinstance(table.model, list)
            if self.of_labels:
                models, self.n_classes = table.model, 2
            else:
                self.keep(place=np.eye(n_outputs)[table.model.classes_])
        self.trees = nn.ModuleList(
            nn.Identity() if m is None else Trees(m) for m in models
        )

    def forward(self, x: Tensor) -> Tensor:
        if not self.link.is_classification:
            return self.trees[0](x).double()
        if self.of_labels:  # a label that was constant is as frequent as it was
            even = self.prior.expand(x.shape[0], -1)
            columns = [
                torch.sigmoid(trees(x).double())
                if isinstance(trees, Trees)
                else even[:, c, None]
                for c, trees in enumerate(self.trees)
            ]
            p = torch.cat(columns, dim=1)
        else:
            raw = self.trees[0](x).double()
            if raw.shape[1] == 1:
                raw = torch.cat([-raw, torch.zeros_like(raw)], dim=1)
            p = raw.softmax(dim=1) @ self.place
        n, C = PSEUDO_ROWS, self.n_classes
        smooth = (n * p + C * self.prior) / (n + C)
        return self.link.centre(self.link.logits(smooth) - self.log_prior)


class Trees(nn.Module):
    """Boosted trees of scikit-learn as one node of ONNX.

    **Shape**: x (n, F), float32; output (n, k), before the link: k is 1, or the number
    of classes where there are more than two.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        trees = [tree.nodes for group in model._predictors for tree in group]
        k = model.n_trees_per_iteration_
        ends = np.cumsum([len(nodes) for nodes in trees])
        nodes = np.concatenate(trees)
        tree = np.repeat(np.arange(len(trees)), [len(t) for t in trees])
        number = np.arange(len(nodes)) - np.repeat(
            ends - [len(t) for t in trees], [len(t) for t in trees]
        )
        leaf = nodes["is_leaf"] == 1
        inner = ~leaf
        self.n_targets = k
        self.attributes: dict[str, Any] = {
            "n_targets": k,
            "aggregate_function": "SUM",
            "post_transform": "NONE",
            "base_values": model._baseline_prediction.ravel().tolist(),
            "nodes_treeids": tree.tolist(),
            "nodes_nodeids": number.tolist(),
            "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
            "nodes_featureids": np.where(inner, nodes["feature_idx"], 0).tolist(),
            "nodes_values": np.where(inner, _below(nodes["num_threshold"]), 0).tolist(),
            "nodes_truenodeids": np.where(inner, nodes["left"], 0).tolist(),
            "nodes_falsenodeids": np.where(inner, nodes["right"], 0).tolist(),
            "target_treeids": tree[leaf].tolist(),
            "target_nodeids": number[leaf].tolist(),
            "target_ids": (tree[leaf] % k).tolist(),
            "target_weights": nodes["value"][leaf].tolist(),
        }

    def forward(self, x: Tensor) -> Tensor:
        return torch.onnx.ops.symbolic(
            "ai.onnx.ml::TreeEnsembleRegressor",
            (x,),
            self.attributes,
            dtype=torch.float32,
            shape=(x.shape[0], self.n_targets),
            version=3,
        )


def _below(thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest float32 numbers that are not above: they split float32 alike."""
    near = thresholds.astype(np.float32)
    down = np.nextafter(near, np.float32(-np.inf))
    return np.where(near > thresholds, down, near).astype(np.float64)


def base_model(table: TableModel, name: str, source: str) -> BaseModel:
    """The module of a base model; an error where there is no way to write it."""
    models = table.model if isinstance(table.model, list) else [table.model]
    for model in models:
        reason = None if model is None else _unsupported(model)
        if reason is not None:
            raise ValueError(
                f"The base model {name!r} of {source!r} cannot be written as ONNX: "
                f"{reason}. Fit without it (the automatic ones, linear models and "
                "boosted trees, can be written), or keep the model by skfusion.save."
            )
    return BaseModel(table)


def _unsupported(model: Any) -> str | None:
    """Why an estimator has no form in ONNX here; None if it has one."""
    kinds = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
    if type(model) not in kinds:
        return f"there is no converter for {type(model).__name__}"
    if model._preprocessor is not None:
        return "its trees split by categories"
    link = type(model._loss.link).__name__
    if link not in ("IdentityLink", "LogitLink", "MultinomialLogit"):
        return f"its loss {model.loss!r} has the link {link}"
    return None
