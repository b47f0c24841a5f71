"""The contract of a balance strategy."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from sklearn.base import BaseEstimator
from skorch.callbacks import Callback
from torch import Tensor, nn

from skfusion.network import FusionNetwork

__all__ = ["Balance", "Balancer"]


class Balance(BaseEstimator, ABC):
    """A balance strategy as a set of parameters; `build` makes the callback in `fit`.

    Like a fusion rule, it is a spec and not a callback: each network that is trained
    gets a callback of its own.
    """

    #: What `balance=` calls the strategy with its defaults.
    short_name: ClassVar[str]

    @abstractmethod
    def build(self, names: Sequence[str]) -> Balancer:
        """Make the callback, for modalities of these names."""


class Balancer(Callback):
    """Base of the callbacks that change the gradients of the modalities' encoders.

    Each training step calls `observe` between the forward and the backward pass, and
    then, before gradients are clipped, `adjust` for each modality that may learn. The
    mean of what `adjust` gives back stands in the history as ``balance_{name}``.
    """

    #: Whether what the modalities say alone has to teach their encoders, also under a
    #: fusion rule whose heads only follow.
    teaches_encoders: ClassVar[bool] = False

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)

    def observe(
        self, network: FusionNetwork, alone: Tensor, share: Tensor, total: Tensor
    ) -> Any:
        """Find in the losses of a step what `adjust` needs.

        Parameters
        ----------
        network : FusionNetwork
        alone : Tensor (B, M)
            Loss of what each modality says alone.
        share : Tensor (B, M)
            What it counts: the weight of the row, or 0 where the modality is absent or
            another row's.
        total : Tensor ()
            Sum of the weights of the rows: ``(alone * share).sum() / total`` is part of
            the training loss.
        """
        raise NotImplementedError

    def adjust(
        self, m: int, grads: dict[nn.Parameter, Tensor], observed: Any
    ) -> Tensor:
        """Change the gradients of an encoder in place, and tell what was done.

        Parameters
        ----------
        m : int
            The modality.
        grads : dict of Parameter to Tensor
            The gradients of its encoder.
        observed : object
            What `observe` found.

        Returns
        -------
        value : Tensor ()
        """
        raise NotImplementedError

    # ------------------------------------------------------------ what skorch calls

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        def hook(criterion: Any, inputs: tuple[Any, ...], loss: Tensor) -> None:
            if criterion.training:
                output, target = inputs
                alone, share = criterion.alone(output, target)
                total = target["weight"].sum().clamp_min(1e-12)
                self.observed_ = self.observe(net.module_, alone, share, total)

        self.generator_ = net.iterator_train__generator
        self.hook_ = net.criterion_.register_forward_hook(hook)
        fusion = net.module_.fusion
        self.trained_heads_ = fusion.trains_heads
        fusion.trains_heads = fusion.trains_heads or self.teaches_encoders

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        self.done_: list[list[Tensor]] = [[] for _ in self.names]

    def on_grad_computed(self, net: Any, **kwargs: Any) -> None:
        for m in range(len(self.names)):
            parameters = net.module_.encoder_parameters(m)
            grads = {p: p.grad for p in parameters if p.grad is not None}
            if grads:
                self.done_[m].append(self.adjust(m, grads, self.observed_))
        self.observed_ = None

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        for name, done in zip(self.names, self.done_, strict=True):
            mean = float(torch.stack(done).float().mean()) if done else math.nan
            net.history.record(f"balance_{name}", mean)

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        self.hook_.remove()
        del self.hook_
        self.observed_, self.done_, self.generator_ = None, [], None
        net.module_.fusion.trains_heads = self.trained_heads_
