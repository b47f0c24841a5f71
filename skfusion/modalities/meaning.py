"""What pretrained encoders say of whole cells: one more element for each column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn

from skfusion._row_keys import number_groups
from skfusion.batch import Block
from skfusion.modalities.fine_tuning import FineTuning
from skfusion.modalities.output import prefixes
from skfusion.modalities.pretrained import Pretrained
from skfusion.modalities.scaling import as_float32, learn_scale, smooth_clip
from skfusion.network import Dropout, Encoder, ResidualMLP

__all__ = ["Meaning", "MeaningEncoder"]

#: Norm of the embedding of a text among the features of a linear model; that of the
#: TF-IDF beside it is 1. Measured: 1 of 0.25 to 6, by log-loss on 10,000 reviews.
#: Dense features are standardised by the model, whatever their norm.
FEATURE_NORM = 1.0


class Meaning:
    """Embeddings of the cells of each column, scaled as in the training rows.

    A modality passes each of its methods through one of these, all of which leave
    things as they are where there is no encoder.

    Parameters
    ----------
    spec : Pretrained or None
    columns : list of str

    **Shape**: center and factor (F,), with F the width of an embedding.
    """

    def __init__(self, spec: Pretrained | None, columns: Sequence[str]) -> None:
        self.spec = spec
        self.n_columns = 0 if spec is None else len(columns)
        self.width = 0
        self.tuning: FineTuning | None = None
        self.names = ["[meaning]"]
        if self.n_columns != 1:
            self.names = [f"[meaning of {column}]" for column in columns]

    # ------------------------------------------------------------ fit, transform

    def fit_transform(
        self,
        cells: NDArray[np.object_],
        context: Any = None,
        *,
        y: Any = None,
        groups: Any = None,
    ) -> dict[str, NDArray[np.float32]]:
        """Learn the scale of embeddings, and embed the same cells.

        Where layers learn from the targets, an embedding is what they say of a cell.

        Parameters
        ----------
        cells : ndarray (n, n_columns) of objects, None or "" where absent
        context : object, optional
            What the modality learned about the reading of cells.
        y : array-like (n,), or (n, n_targets), optional
            What the last layers learn from, where they are to.
        groups : array-like (n,), optional
            Rows of one group are not learned from for one another.

        Returns
        -------
        arrays : dict
            Of a block: "meaning" (n, n_columns, F), 0 where a cell is absent; nothing
            where there is no encoder.
        """
        if self.spec is None:
            return {}
        self.fingerprint = self.spec.load()[1]
        there = _are_there(cells)
        if self.spec.fine_tunes:
            self.tuning = FineTuning(self.spec, self.fingerprint, context)
            numbers = number_groups(groups, len(cells))
            vectors = self.tuning.fit_predict(cells, there, y, numbers)
            if not len(vectors):
                vectors = np.zeros((1, self.tuning.n_outputs), np.float32)
        else:
            some = cells[there].tolist() or [self.spec.blank()]
            vectors = self.spec.embed(some, self.fingerprint, context)
        self.width = vectors.shape[1]
        self.center, self.factor = learn_scale(vectors, robust=False)
        return self._spread(vectors, there)

    def transform(
        self, cells: NDArray[np.object_], context: Any = None
    ) -> dict[str, NDArray[np.float32]]:
        """Embed cells (n, n_columns), see `fit_transform`."""
        if self.spec is None:
            return {}
        there = _are_there(cells)
        vectors = np.zeros((0, self.width), dtype=np.float32)
        if self.tuning is not None:
            vectors = self.tuning.predict(cells, there)
        elif there.any():
            vectors = self.spec.embed(cells[there].tolist(), self.fingerprint, context)
        return self._spread(vectors, there)

    def _spread(
        self, vectors: NDArray[np.float32], there: NDArray[np.bool_]
    ) -> dict[str, NDArray[np.float32]]:
        out = np.zeros((*there.shape, self.width), dtype=np.float32)
        if there.any():
            scaled = smooth_clip((vectors - self.center) * self.factor)
            out[there] = as_float32(scaled)
        return {"meaning": out}

    # ------------------------------------------------------------ what others read

    def join(self, encoder: Encoder, d_model: int, dropout: float) -> Encoder:
        """The encoder, which then has a token for each embedding too."""
        if self.spec is None:
            return encoder
        return MeaningEncoder(encoder, self.n_columns, self.width, d_model, dropout)

    def beside(self, features: Any, block: Block) -> Any:
        """Features, dense or CSR, and embeddings side by side."""
        if self.spec is None:
            return features
        own = self._sized(block)
        if not sparse.issparse(features):
            return np.concatenate([features, own], axis=1)
        return sparse.hstack([features, sparse.csr_matrix(own)], format="csr")

    def feature_names(self, columns: Sequence[str]) -> list[str]:
        """Names of what `beside` puts beside the features."""
        if self.spec is None:
            return []
        each = range(self.width)
        return [f"{prefix}meaning{i}" for prefix in prefixes(columns) for i in each]

    def linear_terms(
        self, block: Block, coef: NDArray[Any], center: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float64]]:
        """What is left of a linear model for the other features, and its terms here.

        Returns
        -------
        coef, center : ndarray of shape (n_features, C), (n_features,)
            Of the other features.
        terms : ndarray of shape (n, n_columns, C)
            What each column's embedding adds; they stand before the other elements.
        """
        n, k, C = len(block), self.n_columns, coef.shape[1]
        if self.spec is None:
            return coef, center, np.zeros((n, 0, C))
        own = len(coef) - k * self.width
        gap = (self._sized(block) - center[own:]).reshape(n, k, self.width)
        terms = np.einsum(
            "nkf,kfc->nkc",
            np.where(self._there(block)[..., None], gap, 0).astype(np.float64),
            coef[own:].reshape(k, self.width, C),
        )
        return coef[:own], center[:own], terms

    def elements(
        self, block: Block, values: NDArray[Any], own: Sequence[pd.Series]
    ) -> list[pd.Series]:
        """Put the embeddings' values before the elements of each row."""
        if self.spec is None:
            return list(own)
        out = []
        for v, here, series in zip(values, block.present, own, strict=True):
            names = [*self.names, *series.index] if here else []
            both = np.concatenate([v[: self.n_columns], series.to_numpy()])
            index = pd.Index(names, dtype=object, tupleize_cols=False)
            out.append(pd.Series(both[: len(names)], index=index, dtype=float))
        return out

    def hide(
        self, block: Block, hidden: NDArray[np.bool_], names: Sequence[pd.Index]
    ) -> tuple[Block, NDArray[np.bool_], Sequence[pd.Index]]:
        """Take hidden embeddings out; return what else is to be hidden.

        An embedding is an element of its own: it goes only where it is hidden itself.
        """
        if self.spec is None:
            return block, hidden, names
        gone, hidden = np.split(hidden, [self.n_columns], axis=1)
        meaning = np.where(gone[..., None], 0, block.arrays["meaning"])
        arrays = {**block.arrays, "meaning": meaning}
        names = [index[self.n_columns :] for index in names]
        return Block(arrays, block.present, block.cells), hidden, names

    def others(self, elements: pd.Series) -> pd.Series:
        """The elements of a row that are no embeddings."""
        return elements.iloc[self.n_columns :]

    def _sized(self, block: Block) -> NDArray[np.float32]:
        """Embeddings (n, n_columns * F) of a size that suits what is beside them."""
        size = np.float32(FEATURE_NORM / self.width**0.5)
        flat = (block.arrays["meaning"] * size).reshape(len(block), -1)
        return np.where(block.present[:, None], flat, np.float32(0))

    def _there(self, block: Block) -> NDArray[np.bool_]:
        """Which columns have an embedding, (n, n_columns)."""
        there = (block.arrays["meaning"] != 0).any(axis=-1)
        return np.asarray(there & block.present[:, None])


def _are_there(cells: NDArray[np.object_]) -> NDArray[np.bool_]:
    absent = [c is None or (isinstance(c, str) and not c) for c in cells.flat]
    return ~np.array(absent, dtype=bool).reshape(cells.shape)


class MeaningEncoder(Encoder):
    """A token for the embedding of each column, then those of another encoder.

    **Shape**: meaning (B, K, F), 0 where a column is absent, and what the other encoder
    reads; output (B, K + T, D).
    """

    def __init__(
        self, own: Encoder, n_columns: int, width: int, d_model: int, dropout: float
    ) -> None:
        super().__init__()
        self.own = own
        self.max_epochs, self.padded = own.max_epochs, own.padded
        self.dropout = Dropout(dropout)
        self.weight = nn.Parameter(torch.empty(n_columns, width, d_model))
        self.bias = nn.Parameter(torch.zeros(n_columns, d_model))
        self.mlp = ResidualMLP(d_model, dropout)
        nn.init.normal_(self.weight, std=width**-0.5)

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        meaning = inputs["meaning"]
        there = (meaning != 0).any(dim=-1)
        h = torch.einsum("bkf,kfd->bkd", self.dropout(meaning), self.weight) + self.bias
        own, mask = self.own(inputs)
        tokens = torch.cat([self.mlp(h), own], dim=1)
        return tokens, torch.cat([there, mask], dim=1)

    def add_noise(self, inputs: dict[str, Tensor], sd: Tensor) -> dict[str, Tensor]:
        """What the other encoder takes for noise, and Gaussian noise on embeddings."""
        meaning = inputs["meaning"]
        noise = self.randn(meaning.shape, meaning) * sd.to(meaning.dtype).view(-1, 1, 1)
        there = (meaning != 0).any(dim=-1, keepdim=True)
        out = self.own.add_noise(inputs, sd)
        return {**out, "meaning": torch.where(there, meaning + noise, meaning)}
