"""ModalityTransformer: which columns feed which modality."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted, validate_data

from skfusion._row_keys import number_groups, row_keys
from skfusion._sklearn import (
    BaseComposition,
    CallbackSupportMixin,
    VisualBlock,
    default_output,
    one_task,
)
from skfusion._validation import check_same_length, shorten
from skfusion.batch import Block, ModalityBatch
from skfusion.modalities import registry
from skfusion.modalities.base import Modality
from skfusion.modalities.columns import take_rows
from skfusion.modalities.output import NamedModalities
from skfusion.modalities.resolution import (
    Columns,
    as_table,
    check_frame,
    check_names,
    resolve,
)
from skfusion.modalities.tabular.reading import key_column
from skfusion.modalities.triples import (
    are_triples,
    as_modality,
    check_triples,
    find_modalities,
)
from skfusion.modalities.wrapped import TransformerModality

__all__ = ["ModalityTransformer"]


class ModalityTransformer(CallbackSupportMixin, NamedModalities, BaseComposition):
    """Turn the columns of a table into modalities.

    Like :class:`~sklearn.compose.ColumnTransformer`, but the blocks are kept apart, so
    that they can be fused instead of concatenated.

    Parameters
    ----------
    modalities : list of (name, transformer, columns), or None, default=None
        - name : str. Names the modality in results and in nested parameters.
        - transformer : a modality such as `TextModality()`; the `short_name` of one
          (``"tabular"``, ``"text"``, ``"image"``, ...) for its defaults; ``"drop"``;
          or any scikit-learn transformer, whose output is treated as a vector.
        - columns : str, int, list of them, slice, boolean mask or callable. Columns as
          in `ColumnTransformer`: ``"a"`` reaches a transformer as a Series, ``["a"]``
          as a frame; a callable such as
          :class:`~sklearn.compose.make_column_selector` is given the frame. Names may
          be of any kind that a frame allows (dates, integers, tuples of a MultiIndex).
          Columns may feed several modalities; columns that feed none are not used.

        None finds the modalities from the columns, each by what nearly all of its
        cells are: those that a modality detects (pictures, sounds, series, vectors,
        free text) become one each, and all the rest forms a table.

    Attributes
    ----------
    modalities_ : list of (name, fitted modality, columns)
    named_modalities_ : Bunch
        The fitted modalities by name.
    modality_names_ : tuple of str
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only where `X` has column names that are all strings.

    See Also
    --------
    skfusion.FusionClassifier : Learns from what this transformer returns.

    Examples
    --------
    >>> import pandas as pd
    >>> from skfusion import ModalityTransformer
    >>> frame = pd.DataFrame(
    ...     {"note": ["good cloth", "bad seam", None], "size": [1.0, 2.0, 3.0]}
    ... )
    >>> modalities = ModalityTransformer([("note", "text", "note"),
    ...                                   ("facts", "tabular", ["size"])])
    >>> modalities.fit_transform(frame).present
    array([[ True,  True],
           [ True,  True],
           [False,  True]])
    """

    # With metadata routing, groups that reach a pipeline reach this step.
    __metadata_request__fit = {"groups": True}

    def __init__(self, modalities: list[tuple[str, Any, Any]] | None = None) -> None:
        self.modalities = modalities

    # ------------------------------------------------------------ parameters

    @property
    def _pairs(self) -> list[tuple[str, Any]]:
        """(name, transformer), the form in which scikit-learn nests parameters."""
        if not isinstance(self.modalities, list | tuple):
            return []
        return [(name, transformer) for name, transformer, _ in self.modalities]

    @_pairs.setter
    def _pairs(self, pairs: list[tuple[str, Any]]) -> None:
        columns = [triple[2] for triple in self.modalities or ()]
        self.modalities = [
            (name, transformer, c)
            for (name, transformer), c in zip(pairs, columns, strict=True)
        ]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters of this transformer and, if `deep`, of its modalities."""
        if not are_triples(self.modalities):
            return {"modalities": self.modalities}
        return self._get_params("_pairs", deep=deep) | {"modalities": self.modalities}

    def set_params(self, **params: Any) -> Self:
        """Set parameters; those of a modality are written ``name__parameter``."""
        if "modalities" in params:
            self.modalities = params.pop("modalities")
        nested = {key.split("__")[0] for key in params if "__" in key}
        if nested and self.modalities and are_triples(self.modalities):
            # A short name has no parameters of its own: let the modality stand for it.
            known = registry.by_short_name()
            self.modalities = [
                (
                    name,
                    known[t]()
                    if name in nested and isinstance(t, str) and t in known
                    else t,
                    columns,
                )
                for name, t, columns in self.modalities
            ]
        return self._set_params("_pairs", **params)

    # ------------------------------------------------------------ fit and transform

    @one_task
    def fit(self, X: Any, y: Any = None, groups: Any = None) -> Self:
        """Fit every modality on its columns.

        Parameters
        ----------
        X : DataFrame (pandas or polars) or ndarray of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), optional
            Needed only by modalities that learn from it, such as `EstimatorModality`.
        groups : array-like of shape (n_samples,), optional
            What is new are rows of other groups (other patients, say): out-of-fold
            predictions are of groups that were not learned from, and categories that
            stand in the rows of a single group are unknown.

        Returns
        -------
        self : ModalityTransformer
        """
        triples = self._start(X)
        X, y, groups, _ = self._distinct(X, y, groups)
        for name, modality, columns in triples:
            given = _taken(modality, groups)
            self._call(name, modality.fit, self._select(X, columns), y, **given)
        return self

    @one_task
    def fit_transform(self, X: Any, y: Any = None, groups: Any = None) -> ModalityBatch:
        """Fit every modality and return the training rows.

        Not always the same as ``fit(X, y).transform(X)``: an `EstimatorModality` gives
        out-of-fold predictions here.

        Returns
        -------
        batch : ModalityBatch of n_samples rows
            After ``set_output(transform="pandas")``, a frame of the features.
        """
        triples = self._start(X)
        distinct, y, groups, back = self._distinct(X, y, groups)
        batch = self._batch(
            {
                name: self._call(
                    name,
                    modality.fit_transform,
                    self._select(distinct, columns),
                    y,
                    **_taken(modality, groups),
                )
                for name, modality, columns in triples
            }
        )
        return self._given_as_asked(batch[back], X)

    def transform(self, X: Any) -> ModalityBatch:
        """Clean and tokenise rows.

        Returns
        -------
        batch : ModalityBatch of n_samples rows
            After ``set_output(transform="pandas")``, a frame of the features.
        """
        check_is_fitted(self)
        table = self._as_in_fit(as_table(X))
        batch = self._batch(
            {
                name: self._call(name, modality.transform, self._select(table, columns))
                for name, modality, columns in self.modalities_
            }
        )
        return self._given_as_asked(batch, X)

    def _start(self, X: Any) -> list[tuple[str, Modality, Any]]:
        """Validate `X` and the triples; set `modalities_` to unfitted clones."""
        X = as_table(X)
        check_frame(X)
        validate_data(self, X, skip_check_array=True, reset=True)
        self._columns = list(X.columns) if hasattr(X, "columns") else None
        triples = self.modalities
        if triples is None:
            triples = find_modalities(X)
        check_triples(triples, reserved=self.get_params(deep=False))
        self.modalities_ = [
            (
                name,
                default_output(as_modality(name, transformer)),
                resolve(name, columns, X),
            )
            for name, transformer, columns in triples
            if not (isinstance(transformer, str) and transformer == "drop")
        ]
        if not self.modalities_:
            raise ValueError("Every modality is dropped: at least one must remain.")
        return self.modalities_

    def _as_in_fit(self, X: Any) -> Any:
        """A frame where `fit` was given one, else an array; by position if need be."""
        is_frame = hasattr(X, "columns")
        if is_frame and self._columns is not None:
            check_names(X, self._columns, self._used_columns())
            return X
        validate_data(self, X, skip_check_array=True, reset=False)
        if self._columns is None:
            return X.to_numpy() if is_frame else X
        names = pd.Index(self._columns, tupleize_cols=False)
        return pd.DataFrame(X, columns=names)

    def _distinct(
        self, X: Any, y: Any, groups: Any
    ) -> tuple[Any, Any, Any, NDArray[np.intp]]:
        """The distinct rows that modalities are fitted on, and where each row is.

        Their order is that of their content, so that neither the order of the rows nor
        copies of them change what a modality learns.
        """
        X = as_table(X)
        used: Any = sorted(self._used_columns(), key=str)
        if hasattr(X, "columns"):
            keys = row_keys([key_column(X[column]) for column in used])
        else:
            keys = row_keys(X[:, used])
        if y is not None:
            y = np.asarray(y)
            check_same_length(len(keys), y)
            keys = np.concatenate([keys, row_keys(y.reshape(len(y), -1))], axis=1)
        groups = number_groups(groups, len(keys))
        if groups is not None:
            keys = np.concatenate([keys, groups[:, None].astype(keys.dtype)], axis=1)
        _, first, back = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        y, groups = (None if x is None else x[first] for x in (y, groups))
        return take_rows(X, first), y, groups, back.ravel()

    def _batch(self, blocks: dict[str, Block]) -> ModalityBatch:
        return ModalityBatch(blocks, {name: m for name, m, _ in self.modalities_})

    @property
    def modality_names_(self) -> tuple[str, ...]:
        check_is_fitted(self)
        return tuple(name for name, _, _ in self.modalities_)

    @property
    def named_modalities_(self) -> Bunch:
        check_is_fitted(self)
        return Bunch(**{name: m for name, m, _ in self.modalities_})

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "modalities_")

    def _used_columns(self) -> list[Any]:
        return list(
            dict.fromkeys(
                c for _, _, columns in self.modalities_ for c in columns.names
            )
        )

    @staticmethod
    def _select(X: Any, columns: Columns) -> Any:
        X = as_table(X)
        if hasattr(X, "iloc"):
            if columns.one:
                return X[columns.names[0]]
            at = {name: i for i, name in enumerate(X.columns)}
            # `X[names]` would take four times as long.
            return X.take([at[name] for name in columns.names], axis=1)
        if hasattr(X, "columns"):  # polars
            return X[columns.names[0]] if columns.one else X.select(columns.names)
        return X[:, columns.names[0]] if columns.one else X[:, columns.names]

    @staticmethod
    def _call(name: str, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Run a modality's method; its errors name the modality."""
        try:
            return method(*args, **options)
        except (ValueError, TypeError) as error:
            raise type(error)(f"Modality {name!r}: {error}") from error

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        return tags

    def _sk_visual_block_(self) -> VisualBlock:
        return self._branches({})

    def _branches(self, encoders: Mapping[str, Any]) -> VisualBlock:
        """The modalities side by side, each with its columns, and its encoder below."""
        fitted = hasattr(self, "modalities_")
        triples: Any = self.modalities_ if fitted else self.modalities
        if not are_triples(triples) or not triples:
            return VisualBlock(
                "single",
                self,
                names=type(self).__name__,
                name_caption="finds the modalities in fit",
                name_details=str(self),
            )
        shown, names, columns = [], [], []
        for name, modality, where in triples:
            if isinstance(modality, TransformerModality) and fitted:
                modality = modality.transformer_
            below = [modality, encoders[name]] if name in encoders else [modality]
            shown.append(VisualBlock("serial", below, dash_wrapped=False))
            columns.append(where.names if isinstance(where, Columns) else where)
            read = _short(columns[-1])
            names.append(name if read == name else f"{name}: {read}")
        return VisualBlock("parallel", shown, names=names, name_details=columns)


def _taken(modality: Modality, groups: Any) -> dict[str, Any]:
    """What a modality is fitted with beside the targets: groups where it takes them."""
    takes = "groups" in inspect.signature(modality.fit_transform).parameters
    return {"groups": groups} if takes else {}


def _short(columns: Any) -> str:
    """The first columns of a modality, for its diagram."""
    if not isinstance(columns, list | tuple):
        return shorten(columns, 30) if not isinstance(columns, str) else columns[:30]
    more = f" and {len(columns) - 2} more" if len(columns) > 2 else ""
    return ", ".join(str(c)[:20] for c in columns[:2]) + more
