"""Any scikit-learn transformer as a modality: its output is a vector."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import clone
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from skfusion._sklearn import BaseComposition, default_output, fit_context
from skfusion.batch import Block
from skfusion.modalities.base import Modality
from skfusion.modalities.columns import is_frame, read_for, take_rows
from skfusion.modalities.vector import VectorModality
from skfusion.network import Encoder

__all__ = ["TransformerModality"]


class TransformerModality(Modality):
    """Any scikit-learn transformer as a modality: its output is treated as a vector.

    Missing and blank rows are absent: the transformer never sees them. A transformer
    that reads texts rather than a table is given its one column as such.

    Parameters
    ----------
    transformer : transformer
        `TfidfVectorizer()`, a pipeline that ends in `PCA()`, ...; its output may be
        dense, sparse or a frame. It is cloned, never fitted itself.

    Attributes
    ----------
    transformer_ : transformer
        The fitted clone.
    vector_ : VectorModality
        Scales the output of `transformer_`.
    n_features_in_ : int
        Number of columns.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where all are strings.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from skfusion.modalities import TransformerModality
    >>> df = pd.DataFrame({"note": ["good cloth", "bad seam", None]})
    >>> TransformerModality(TfidfVectorizer()).fit_transform(df)
    Block(x: float32(3, 4); 2 of 3 rows present)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}

    def __init__(self, transformer: Any) -> None:
        self.transformer = transformer

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = get_tags(self.transformer)
        tags.input_tags = deepcopy(inner.input_tags)
        tags.target_tags.required = inner.target_tags.required
        tags.transformer_tags.preserves_dtype = []
        return tags

    def describe_column(self, column: pd.Series) -> tuple[str, str, list[str]]:
        """It is what the transformer makes of it."""
        return type(self.transformer).__name__, "", []

    def fit(self, X: Any, y: Any = None) -> TransformerModality:
        """Fit a clone of the transformer, and the scales of its output.

        Parameters
        ----------
        X : DataFrame, Series or array-like of n_samples rows
        y : array-like of n_samples values, optional
            Handed to the transformer.

        Returns
        -------
        self : TransformerModality
        """
        self.fit_transform(X, y)
        return self

    @fit_context(prefer_skip_nested_validation=False)
    def fit_transform(self, X: Any, y: Any = None) -> Block:
        """Fit, and transform the training rows, by the transformer's `fit_transform`.

        Returns
        -------
        block : Block
            Array "x" of shape (n_samples, width), float32, CSR where the output is
            sparse.
        """
        if not all(hasattr(self.transformer, m) for m in ("fit", "transform")):
            raise TypeError(
                "The 'transformer' parameter of TransformerModality must be an object "
                f"with fit and transform. Got {self.transformer!r} instead."
            )
        X, present = read_for(self, self.transformer, X, reset=True)
        if not present.any():
            raise ValueError(
                "TransformerModality needs at least one row that is not missing."
            )
        self.transformer_ = clone(self.transformer)
        _let_give_arrays(self.transformer_)
        if not present.all():
            X = take_rows(X, np.flatnonzero(present))
            y = None if y is None else np.asarray(y)[present]
        if hasattr(self.transformer_, "fit_transform"):
            out = self.transformer_.fit_transform(X, y)
        else:
            out = self.transformer_.fit(X, y).transform(X)
        self._columns_out = list(out.columns) if hasattr(out, "columns") else None
        self.vector_ = default_output(VectorModality())
        out = self._plain(out, n_rows=int(present.sum()))
        return _spread(self.vector_.fit_transform(out), present)

    def transform(self, X: Any) -> Block:
        """Transform rows.

        Returns
        -------
        block : Block
            As from `fit_transform`.
        """
        check_is_fitted(self)
        X, present = read_for(self, self.transformer, X, reset=False)
        if not present.any():
            return self._nothing(len(present))
        if not present.all():
            X = take_rows(X, np.flatnonzero(present))
        out = self.transformer_.transform(X)
        out = self._plain(out, n_rows=int(present.sum()))
        return _spread(self.vector_.transform(out), present)

    def build_encoder(self, d_model: int, dropout: float) -> Encoder:
        """Make the encoder: one linear layer, one token a row."""
        check_is_fitted(self)
        return self.vector_.build_encoder(d_model, dropout)

    def features(self, block: Block) -> NDArray[np.float32] | sparse.csr_matrix:
        """The scaled output of the transformer."""
        check_is_fitted(self)
        return self.vector_.features(block)

    def _feature_names(self, columns: list[str]) -> list[Any]:
        """What the transformer calls its output; else, the columns of a frame."""
        try:
            names = self.transformer_.get_feature_names_out(columns)
        except AttributeError:  # as a pipeline has it, where a step has no names
            names = self._columns_out or ()
        if len(names) == self.vector_.width_:
            return [str(name) for name in names]
        prefix = type(self.transformer).__name__.lower()
        return [f"{prefix}{i}" for i in range(self.vector_.width_)]

    def _plain(self, output: Any, *, n_rows: int) -> Any:
        """What the transformer returned, without names: they may depend on the rows."""
        found = output.shape[0] if hasattr(output, "shape") else len(output)
        if found != n_rows:
            raise ValueError(
                f"{type(self.transformer).__name__} gave {found} rows for {n_rows}; it "
                "must return one for each. What reads texts needs its column as a "
                'Series: name it as "a", not as ["a"].'
            )
        return output.to_numpy() if is_frame(output) else output

    def _nothing(self, n_samples: int) -> Block:
        """A block of rows that are all absent."""
        shape = (n_samples, self.vector_.width_)
        x = (
            sparse.csr_matrix(shape, dtype=np.float32)
            if self.vector_.sparse_
            else np.zeros(shape, dtype=np.float32)
        )
        return Block({"x": x}, np.zeros(n_samples, dtype=bool))


def _let_give_arrays(transformer: Any) -> None:
    """Keep the last step from making frames, which are read as arrays anyway.

    Sparse output cannot be one; and whatever is set globally should change nothing.
    """
    while hasattr(transformer, "steps"):
        transformer = transformer.steps[-1][1]
    if hasattr(transformer, "set_output") and not isinstance(
        transformer, BaseComposition
    ):
        transformer.set_output(transform="default")


def _spread(block: Block, present: NDArray[np.bool_]) -> Block:
    """Put the rows of a block where `present` says, zeros elsewhere."""
    if present.all():
        return block
    x = block.arrays["x"]
    if sparse.issparse(x):
        sizes = np.zeros(len(present) + 1, dtype=x.indptr.dtype)
        sizes[1:][present] = np.diff(x.indptr)
        x = sparse.csr_matrix(
            (x.data, x.indices, np.cumsum(sizes, dtype=x.indptr.dtype)),
            shape=(len(present), x.shape[1]),
        )
    else:
        full = np.zeros((len(present), *x.shape[1:]), dtype=x.dtype)
        full[present] = x
        x = full
    here = present.copy()
    here[present] = block.present
    return Block({"x": x}, here)
