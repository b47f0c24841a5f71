"""The contract of an encoder: from the arrays of a block to tokens."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from skfusion.network.layers import RandomModule

__all__ = ["Encoder"]


class Encoder(RandomModule):
    """Base of the encoders: from the arrays of a block to tokens.

    **Shape**: inputs, a dict of tensors (B, ...) under the names of the block's arrays;
    output, tokens (B, T, D) and their mask (B, T), True = present. Every row has at
    least one present token. T may depend on the batch, but a row's tokens must not
    depend on the other rows, nor a token on elements outside of its receptive field.

    Random numbers are drawn from `self.generator` alone (see `rand` and `randn`), never
    from torch's global generator.
    """

    #: Epochs after which the encoder has learned what it can and would only overfit;
    #: None where that is no danger.
    max_epochs: int | None = None
    #: Whether every row has the same tokens, as a table has the same columns. What such
    #: a token adds in every row alike is then no contribution of its content.
    same_tokens: bool = False
    #: Arrays with an axis that is as long as the batch needs, padded by 0; and which.
    padded: Mapping[str, int] = {}

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def add_noise(self, inputs: dict[str, Tensor], sd: Tensor) -> dict[str, Tensor]:
        """Corrupt the inputs by noise, in training and inspection.

        The default adds Gaussian noise to every dense floating array, which suits
        arrays that the modality has standardised; encoders of other inputs override
        it with what such noise means for them (other words, grain, hiss).

        **Shape**: sd (B,), in standard deviations of the input; 0 leaves a row as is.
        """
        return {
            key: x
            + self.randn(x.shape, x) * sd.to(x.dtype).view(-1, *[1] * (x.dim() - 1))
            if x.is_floating_point() and not x.is_sparse
            else x
            for key, x in inputs.items()
        }

    def known_logits(self, inputs: dict[str, Tensor]) -> Tensor | None:
        """Logits of the outputs that come with the input, (B, C); None by default."""
        return None
