"""scikit-learn's contract of outputs: names of features, and frames of them."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skfusion._sklearn import check_feature_names_in, default_output, frame_asked_of
from skfusion.batch import Block, ModalityBatch

__all__ = [
    "NamedFeatures",
    "NamedModalities",
    "check_modalities_known",
    "prefixes",
    "unique_names",
]


class NamedFeatures(TransformerMixin):
    """Names the features of a modality, and gives them as a frame where asked to.

    Without `set_output`, the subclass's `transform` and `fit_transform` give the block
    that they make, which then knows whose it is.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        for name in {"transform", "fit_transform"} & set(vars(cls)):
            setattr(cls, name, _given_as_asked(vars(cls)[name]))
        super().__init_subclass__(**options)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the columns of `features`, which are those of a frame.

        Parameters
        ----------
        input_features : array-like of n_features_in_ str, optional
            Names of the columns of `X`. Where `fit` was given names, these or none.

        Returns
        -------
        names : ndarray of shape (n_features,) and dtype object
            All different.
        """
        check_is_fitted(self)
        columns = check_feature_names_in(self, input_features, generate_names=False)
        if columns is None:
            columns = self._input_names()
        return unique_names(self._feature_names([str(column) for column in columns]))

    def _input_names(self) -> Sequence[Any]:
        """Names of the columns of `X`, where `feature_names_in_` does not tell."""
        known = getattr(self, "_column_names", None)
        return known or check_feature_names_in(self)

    def _feature_names(self, columns: list[str]) -> Iterable[str]:
        """What the features are called; two may have the same name.

        Parameters
        ----------
        columns : list of str
            Names of the columns of `X`.
        """
        nothing: Any = np.full((1, len(columns)), None)
        if hasattr(self, "feature_names_in_"):
            nothing = pd.DataFrame(nothing, columns=self.feature_names_in_)
        n_features = default_output(copy.copy(self)).transform(nothing).shape[1]
        prefix = getattr(self, "short_name", None) or type(self).__name__.lower()
        return [f"{prefix}{i}" for i in range(n_features)]


class NamedModalities(TransformerMixin):
    """Names the features of several modalities, and gives a frame where asked to.

    What is set globally is not followed: it would reach transformers that stand before
    fusion estimators, which need the batch.
    """

    modalities_: list[tuple[str, Any, Any]]
    _columns: list[Any] | None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(auto_wrap_output_keys=None, **options)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the columns of ``np.asarray(batch)``, "modality__feature".

        Parameters
        ----------
        input_features : array-like of n_features_in_ str, optional
            Names of the columns of `X`. Where `fit` was given names, these or none.

        Returns
        -------
        names : ndarray of shape (n_features,) and dtype object
            All different.
        """
        check_is_fitted(self)
        names = check_feature_names_in(
            self, input_features, generate_names=self._columns is None
        )
        seen = range(len(names)) if self._columns is None else self._columns
        called = dict(zip(seen, seen if names is None else names, strict=True))
        return unique_names(
            f"{name}__{feature}"
            for name, modality, columns in self.modalities_
            for feature in modality.get_feature_names_out(
                [str(called[column]) for column in columns.names]
            )
        )

    def set_output(self, *, transform: Any = None) -> Self:
        """Choose what `transform` and `fit_transform` give.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, optional
            "default" is a `ModalityBatch`, which fusion estimators learn from. The
            others are a frame of the features, dense, for other estimators and for
            looking at them. None changes nothing.

        Returns
        -------
        self : object
        """
        if transform is not None:
            self._sklearn_output_config = {"transform": transform}
        return self

    def _given_as_asked(self, batch: ModalityBatch, X: Any) -> Any:
        """The batch, or a frame of its features where `set_output` asked for one."""
        asked = hasattr(self, "_sklearn_output_config")
        adapter = frame_asked_of(self) if asked else None
        if adapter is None:
            return batch
        names = self.get_feature_names_out()
        frame = adapter.create_container(np.asarray(batch), X, columns=names)
        frame.made_of_modalities = True  # until it is copied or changed
        return frame


def check_modalities_known(estimator: Any, X: Any, *, reset: bool) -> None:
    """Refuse what took the place of a batch, and does not tell modalities apart.

    Parameters
    ----------
    estimator : FusionClassifier or FusionRegressor
    X : frame or array
    reset : bool
        True in `fit`.
    """
    if reset:
        made = getattr(X, "__dict__", {}).get("made_of_modalities", False)
        lost = made and estimator.modalities is None
    else:
        lost = not hasattr(estimator, "modalities_")
    if lost:
        raise TypeError(
            f"{type(estimator).__name__} {'needs' if reset else 'was fitted on'} the "
            "ModalityBatch that a ModalityTransformer gives by default, but got a "
            f"{type(X).__name__}, in which modalities are not told apart. Call "
            'set_output(transform="default") on the ModalityTransformer; or, to learn '
            "from the columns of this table, pass modalities=..."
        )


def _given_as_asked(method: Callable[..., Block]) -> Callable[..., Any]:
    """Let the block that a method makes know its modality; or give its features.

    scikit-learn wraps the method once more, and makes a frame of them.
    """

    @functools.wraps(method)
    def given(self: Any, X: Any, *args: Any, **options: Any) -> Any:
        block = method(self, X, *args, **options)
        block.modality = self
        return block if frame_asked_of(self) is None else np.asarray(block)

    return given


def unique_names(names: Iterable[str]) -> NDArray[np.object_]:
    """The same names; of equal ones, all but the first are numbered."""
    wanted = list(names)
    taken, given, counts = set(wanted), set[str](), dict[str, int]()
    out = np.empty(len(wanted), dtype=object)
    for i, name in enumerate(wanted):
        free = name
        while free in given or (free != name and free in taken):
            counts[name] = counts.get(name, 1) + 1
            free = f"{name}_{counts[name]}"
        given.add(free)
        out[i] = free
    return out


def prefixes(columns: Sequence[str]) -> list[str]:
    """What tells apart the features of several columns; nothing where there is one."""
    return [f"{column}_" for column in columns] if len(columns) > 1 else [""]
