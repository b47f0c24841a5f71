"""What the loaders share: finding the files, checking options, filling a Bunch."""

from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import Bunch

SUBSETS = ("all", "train", "test")


def data_file(name: str) -> Traversable:
    """The file `name` of those that come with the package."""
    return files("skfusion.datasets") / "data" / name


def check_option(function: str, name: str, value: Any, options: Sequence[str]) -> None:
    """Raise ValueError unless `value` is one of `options`."""
    if value not in options:
        raise ValueError(
            f"The {name!r} parameter of {function} must be one of "
            f"{', '.join(map(repr, options))}. Got {value!r} instead."
        )


def object_array(cells: Sequence[Any]) -> NDArray[np.object_]:
    """A 1-D array with one object a cell, arrays and tuples among them kept whole."""
    return np.fromiter(cells, dtype=object)


def make_bunch(
    data: pd.DataFrame,
    target: pd.Series,
    split: NDArray[Any],
    *,
    subset: str,
    as_frame: bool,
    return_X_y: bool,
    **extra: Any,
) -> Any:
    """Keep the rows of `subset` and hand them over as scikit-learn's loaders do.

    Parameters
    ----------
    data : DataFrame of shape (n_samples, n_columns)
    target : Series of shape (n_samples,)
    split : ndarray of shape (n_samples,)
        "train" or "test" for each row.
    subset : {"all", "train", "test"}
    as_frame, return_X_y : bool
    **extra : Any
        Further entries of the Bunch.

    Returns
    -------
    Bunch, or the tuple (data, target) with `return_X_y`
    """
    if subset != "all":
        rows = split == subset
        data = data[rows].reset_index(drop=True)
        target = target[rows].reset_index(drop=True)
        split = split[rows]
    frame = pd.concat([data, target], axis=1) if as_frame else None
    feature_names = list(data.columns)
    X: Any = data if as_frame else data.to_numpy()
    y: Any = target if as_frame else target.to_numpy()
    if return_X_y:
        return X, y
    return Bunch(
        data=X,
        target=y,
        frame=frame,
        split=split,
        feature_names=feature_names,
        **extra,
    )
