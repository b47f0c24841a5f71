"""Running a trained network over rows."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skfusion.batch import ModalityBatch, block_tensors, row_chunks
from skfusion.network import FusionNetwork, NetworkOutput

__all__ = ["Predicted", "double_copy", "joint_of_subset", "predict", "run"]

#: Rows that go through the network at once.
CHUNK_ROWS = 256


class Predicted(NamedTuple):
    """What a network says of n rows.

    logits : ndarray (n, C), of the network's own rule, the prior included
    evidence : ndarray (n, M, C)
    joint : ndarray (n, C), or None
    weights : ndarray (n, M), of the network's own rule
    contributions : ndarray (n, M, C), of the network's own rule
    """

    logits: NDArray[np.float64]
    evidence: NDArray[np.float64]
    joint: NDArray[np.float64] | None
    weights: NDArray[np.float64]
    contributions: NDArray[np.float64]


def double_copy(network: FusionNetwork) -> FusionNetwork:
    """The network in float64: the answer for a row then does not depend, to 1e-7, on
    which rows come with it."""
    return copy.deepcopy(network).double().eval()


@torch.inference_mode()
def run(network: FusionNetwork, batch: ModalityBatch) -> Iterator[NetworkOutput]:
    """Run a network over rows, in chunks; its own precision decides that of inputs."""
    if network.training:
        network.eval()
    parameter = next(network.parameters())
    present = torch.from_numpy(batch.present)
    blocks = list(batch.blocks.values())
    for rows in row_chunks(blocks, np.arange(len(batch)), CHUNK_ROWS):
        inputs = [_like(block_tensors(block, rows), parameter) for block in blocks]
        yield network(inputs, present[rows].to(parameter.device))


def _like(inputs: dict[str, Tensor], parameter: Tensor) -> dict[str, Tensor]:
    """Inputs on the device, and floating ones in the precision, of a parameter."""
    return {
        key: x.to(parameter.device, parameter.dtype)
        if x.is_floating_point()
        else x.to(parameter.device)
        for key, x in inputs.items()
    }


def predict(network: FusionNetwork, batch: ModalityBatch) -> Predicted:
    """What a network says of rows."""
    outputs = list(run(network, batch))
    has_joint = outputs[0].joint is not None
    return Predicted(
        _join([o.logits for o in outputs]),
        _join([o.evidence for o in outputs]),
        _join([o.joint for o in outputs if o.joint is not None]) if has_joint else None,
        _join([o.weights for o in outputs]),
        _join([o.contributions for o in outputs]),
    )


def joint_of_subset(
    network: FusionNetwork, batch: ModalityBatch, shown: Sequence[NDArray[np.bool_]]
) -> list[NDArray[np.float64]]:
    """What the joint part says where only some modalities are shown.

    Parameters
    ----------
    shown : list of masks (M,)

    Returns
    -------
    joint : list of ndarray (n, C), one for each mask
    """
    fusion: Any = network.fusion
    found: list[list[Tensor]] = [[] for _ in shown]
    with torch.inference_mode():
        for output in run(network, batch):
            z = output.z
            for mask, parts in zip(shown, found, strict=True):
                here = output.present & torch.from_numpy(mask).to(z.device)
                tokens = [
                    t._replace(mask=t.mask & here[:, m, None])
                    for m, t in enumerate(output.tokens)
                ]
                parts.append(fusion.joint(z * here.unsqueeze(-1), here, tokens))
    return [_join(parts) for parts in found]


def _join(tensors: Sequence[Tensor]) -> NDArray[np.float64]:
    return torch.cat(list(tensors)).double().cpu().numpy()
