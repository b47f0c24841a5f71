"""The contract of a modality."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator

from skfusion.batch import Block
from skfusion.modalities.output import NamedFeatures
from skfusion.network import Encoder

__all__ = ["Modality", "Verdict"]


class Verdict(NamedTuple):
    """Whether a column is a modality's, and in words why it is, or why not."""

    detected: bool
    reason: str

    def __bool__(self) -> bool:
        return self.detected


class Modality(NamedFeatures, BaseEstimator, ABC):
    """A scikit-learn transformer that also knows how to build its encoder.

    A modality cleans, normalises and tokenises the columns it is given; everything it
    learns in `fit` comes from training rows. `transform` returns a
    :class:`~skfusion.batch.Block`, whose arrays the encoder reads; after
    ``set_output(transform="pandas")``, a frame of the features.

    To write one: subclass, declare the parameters in `__init__` and in
    `_parameter_constraints`, and write `fit`, `transform`, `build_encoder` and
    `features`. Where a row has elements (words, patches, ...), write `elements`,
    `hide` and `linear_terms` too, and set `has_elements`. To give features names
    instead of numbers, write `get_feature_names_out`. To let it be named and found
    automatically, write `short_name` and `detect`, and export the class in
    ``skfusion/modalities/__init__.py``.
    """

    #: What stands for the modality, with its defaults, in the triples of
    #: `ModalityTransformer`; None where it cannot be made without arguments.
    short_name: ClassVar[str | None] = None
    #: Whether an epoch of its encoder takes long, as with images and sound; there are
    #: fewer folds then.
    slow: ClassVar[bool] = False
    #: Whether `hide` can take elements away one by one.
    has_elements: ClassVar[bool] = False
    #: How many times more a prediction must lose by the heaviest 20 % of the elements
    #: than by random ones, for their weights to count as true.
    deletion_target: ClassVar[float] = 2.0
    #: The modality with the lowest rank is the first whose `detect` is asked.
    detection_rank: ClassVar[int] = 0

    @classmethod
    def detect(cls, column: Any) -> bool | Verdict:
        """Whether the automatic choice gives a column to this modality.

        Parameters
        ----------
        column : Series
            A column of the training rows.

        Returns
        -------
        detected : bool or Verdict
            A `Verdict` says why as well. False by default: the modality must be asked
            for.
        """
        return False

    @classmethod
    def automatic(cls) -> Modality:
        """What the automatic choice makes: the modality with its defaults."""
        return cls()

    def describe_column(self, column: pd.Series) -> tuple[str, str, list[str]]:
        """What a column is to this modality, before any fit.

        Returns
        -------
        kind : str
        reason : str
            Why it is taken for that, where `detect` does not say it already.
        remarks : list of str
            What a user should know of its cells.
        """
        return self.short_name or type(self).__name__, "", []

    @abstractmethod
    def transform(self, X: Any) -> Block:
        """Clean and tokenise the rows of `X`.

        Parameters
        ----------
        X : DataFrame, Series or array-like of n_samples rows
            The columns of this modality.

        Returns
        -------
        block : Block of n_samples rows
        """

    @abstractmethod
    def build_encoder(self, d_model: int, dropout: float) -> Encoder:
        """Make the torch module that turns a block into tokens.

        It is called inside the seeded `fit` of the estimator, so fresh weights may be
        drawn freely.

        Parameters
        ----------
        d_model : int
            Width D of the tokens.
        dropout : float
            Dropout probability chosen by the user, for the encoder's own layers.

        Returns
        -------
        encoder : Encoder
            Its forward gives tokens (B, T, D) and their mask (B, T), True = present.
        """

    @abstractmethod
    def features(self, block: Block) -> NDArray[np.float32] | sparse.csr_matrix:
        """Summarise each row in one 2-D matrix, as a simple model would want it.

        Returns
        -------
        features : ndarray or CSR matrix of shape (n_samples, n_features), float32
            Finite everywhere; rows in which the modality is absent are all zero.
        """

    def ood_score(self, block: Block) -> NDArray[np.float64] | None:
        """How far out of distribution the rows are, where `features` do not show it.

        Returns
        -------
        score : ndarray of shape (n_samples,), or None
            Finite everywhere; higher is less like the rows of `fit`. A row of `fit`
            must not score lower just because it is one.
        """
        return None

    def elements(self, block: Block, values: NDArray[Any]) -> list[pd.Series]:
        """Name the tokens of each row.

        Parameters
        ----------
        block : Block of n_samples rows
        values : ndarray of shape (n_samples, n_tokens)
            One value a token of the encoder, such as its attention or its signed
            contribution. `n_tokens` may exceed what the modality made (padding), never
            undercut it.

        Returns
        -------
        elements : list of n_samples Series
            Values indexed by what a person would call the element (a word, a patch
            `(top, left, bottom, right)` in pixels, an interval `(start, end)` in
            seconds, a column). Empty where the modality is absent.
        """
        names = pd.Index(self._element_names(), tupleize_cols=False)
        values = np.asarray(values, dtype=np.float64)
        return [
            pd.Series(v[: len(names)], index=names)
            if here
            else pd.Series([], dtype=float)
            for v, here in zip(values, block.present, strict=True)
        ]

    def linear_terms(
        self, block: Block, coef: NDArray[Any], center: NDArray[Any]
    ) -> NDArray[np.float64] | None:
        """Split a linear model on `features` among the tokens.

        The model gives ``(features(block) - center) @ coef``; the term of a token is
        what its own features add to that.

        Parameters
        ----------
        block : Block of n_samples rows
        coef : ndarray of shape (n_features, n_outputs)
        center : ndarray of shape (n_features,)
            0 where the features are sparse.

        Returns
        -------
        terms : ndarray of shape (n_samples, n_tokens, n_outputs), or None
            Tokens as in `elements`; 0 where the modality is absent. What belongs to no
            token is left out. None where features belong to no token at all. A
            modality without elements has one token, to which everything belongs.
        """
        if self.has_elements:
            return None
        terms = np.asarray(self.features(block) @ coef) - center @ coef
        return np.where(block.present[:, None], terms, 0.0)[:, None, :]

    def hide(
        self, block: Block, hidden: NDArray[np.bool_], names: Sequence[pd.Index]
    ) -> Block:
        """Make a block in which some elements say nothing.

        Parameters
        ----------
        block : Block of n_samples rows
        hidden : ndarray of shape (n_samples, n_elements), bool
            True = hide the element that stands there in the row's `elements`.
        names : list of n_samples Index
            The elements of each row, as `elements` names them.

        Returns
        -------
        block : Block
        """
        raise TypeError(f"{type(self).__name__} has no elements that can be hidden.")

    def content(
        self, block: Block, row: int, elements: pd.Series, cells: Mapping[Any, Any]
    ) -> tuple[str, pd.Series, Any]:
        """What a display draws of a row.

        Parameters
        ----------
        block : Block
        row : int
            Position of the row in the block.
        elements : Series
            Values of the row's elements, not empty.
        cells : dict of str to object
            What stood in the row's columns of this modality, where that is known.

        Returns
        -------
        kind : {"words", "patches", "frames", "bars"}
            How it is drawn.
        elements : Series
            Those that are drawn.
        content : object
            What lies behind them: nothing for "words"; for "patches" pixels (H, W, C)
            or (n_columns, H, W, C), for "frames" a spectrogram (n_frames, n_bands),
            both from 0 to 255; for "bars" a dict of what stood in the columns.
        """
        return "bars", elements, cells

    def _element_names(self) -> Sequence[Any] | pd.Index:
        """Names of the tokens where they are the same in every row."""
        return ["all"]
