"""Links of the ONNX graph: those of `skfusion.training.links`, of tensors."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from skfusion.evidence.target_scale import OnScale
from skfusion.training.links import Identity, Link, Sigmoid, Softmax

__all__ = ["TorchLink", "torch_link"]


class TorchLink:
    """Numbers; see `Identity`."""

    is_classification = False

    def mean(self, logits: Tensor) -> Tensor:
        return logits

    def logits(self, mean: Tensor) -> Tensor:
        return mean

    def centre(self, logits: Tensor) -> Tensor:
        return logits

    def size(self, added: Tensor, logits: Tensor) -> Tensor:
        return added.abs().mean(dim=-1)

    def gate_columns(self, p: Tensor, others: Tensor) -> list[Tensor]:
        return [p.abs().mean(dim=-1), (p - others).square().mean(dim=-1).sqrt()]


class _Softmax(TorchLink):
    is_classification = True

    def mean(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=-1)

    def logits(self, mean: Tensor) -> Tensor:
        return torch.log(mean)

    def centre(self, logits: Tensor) -> Tensor:
        return logits - logits.mean(dim=-1, keepdim=True)

    def size(self, added: Tensor, logits: Tensor) -> Tensor:
        each = added.abs()
        answer = logits.argmax(dim=-1)[:, None, None].expand(-1, each.shape[1], 1)
        return (each.mean(dim=-1) + each.gather(-1, answer).squeeze(-1)) / 2

    def gate_columns(self, p: Tensor, others: Tensor) -> list[Tensor]:
        top = p.amax(dim=-1).clamp_max(1 - 1e-6)
        terms = p * torch.log(torch.where(p > 0, p, 1.0))
        entropy = -terms.sum(dim=-1) / math.log(p.shape[-1])
        return [torch.log(top / (1 - top)), entropy, (p * others).sum(dim=-1)]


class _Sigmoid(TorchLink):
    is_classification = True

    def mean(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(logits)

    def logits(self, mean: Tensor) -> Tensor:
        return torch.log(mean / (1 - mean))

    def gate_columns(self, p: Tensor, others: Tensor) -> list[Tensor]:
        columns = _Softmax().gate_columns(
            torch.stack([1 - p, p], dim=-1), torch.stack([1 - others, others], dim=-1)
        )
        return [column.mean(dim=-1) for column in columns]


_LINKS: dict[type[Link], type[TorchLink]] = {
    Identity: TorchLink,
    OnScale: TorchLink,
    Sigmoid: _Sigmoid,
    Softmax: _Softmax,
}


def torch_link(link: Link) -> TorchLink:
    """The link of tensors that computes what a link of arrays does."""
    if type(link) not in _LINKS:
        raise ValueError(
            f"A target under the link {type(link).__name__} cannot be written as ONNX. "
            "Keep the model by skfusion.save."
        )
    return _LINKS[type(link)]()
