"""Handwritten digits seen as six sets of features (UCI Multiple Features)."""

from typing import Any

import numpy as np
import pandas as pd

from ._base import SUBSETS, check_option, data_file, make_bunch

_VIEWS = ("pix", "fou", "fac", "zer", "kar", "mor")


def load_handwritten_views(
    *,
    subset: str = "all",
    as_frame: bool = True,
    return_X_y: bool = False,
) -> Any:
    """Load the UCI Multiple Features digits (classification, ten classes, six views).

    Each row is a numeral from Dutch utility maps, described by six sets of numbers.

    ==== ======= ==========================================================
    View Columns What it holds
    ==== ======= ==========================================================
    pix  240     pixel averages in windows of 2 x 3 pixels
    fou  76      Fourier coefficients of the shape
    fac  216     profile correlations
    zer  47      Zernike moments
    kar  64      Karhunen-Loeve coefficients
    mor  6       morphological features
    ==== ======= ==========================================================

    Parameters
    ----------
    subset : {"all", "train", "test"}, default="all"
        The rows to load, by the split of Trusted Multi-View Classification: 1,600
        for training, 400 for test.
    as_frame : bool, default=True
        Whether `data` is a DataFrame and `target` a Series. Otherwise both are arrays.
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    bunch : Bunch or tuple of (data, target)
        data : DataFrame of shape (n_samples, 649)
            float32; the columns are named ``pix_0`` to ``mor_5``.
        target : Series of shape (n_samples,)
            The digit, 0 to 9; each in 200 rows.
        target_names : list of str
        views : dict of str to list of str
            The columns of each view.
        frame : DataFrame of shape (n_samples, 650) or None
            Data and target together; None unless `as_frame`.
        split : ndarray of shape (n_samples,)
            "train" or "test" for each row.
        feature_names : list of str
        DESCR : str
            Origin, licence and attribution.

    Raises
    ------
    ValueError
        If `subset` is none of the options.

    Notes
    -----
    The data are licensed under CC BY 4.0: name their source, Duin, R., "Multiple
    Features", UCI Machine Learning Repository, https://doi.org/10.24432/C5HC70. Six
    pairs of rows are equal in all numbers; one pair has a row in each part of the
    split.

    Examples
    --------
    >>> from skfusion.datasets import load_handwritten_views
    >>> digits = load_handwritten_views(subset="train")
    >>> digits.data.shape
    (1600, 649)
    >>> {name: len(columns) for name, columns in digits.views.items()}
    {'pix': 240, 'fou': 76, 'fac': 216, 'zer': 47, 'kar': 64, 'mor': 6}
    """
    check_option("load_handwritten_views", "subset", subset, SUBSETS)
    with (
        data_file("handwritten_views.npz").open("rb") as packed,
        np.load(packed) as arrays,
    ):
        blocks = [arrays[name].astype(np.float32) for name in _VIEWS]
        digits = arrays["digit"].astype(np.int64)
        split = np.where(arrays["is_test"], "test", "train")
    views = {
        name: [f"{name}_{i}" for i in range(block.shape[1])]
        for name, block in zip(_VIEWS, blocks, strict=True)
    }
    data = pd.DataFrame(
        np.concatenate(blocks, axis=1),
        columns=[column for columns in views.values() for column in columns],
    )
    return make_bunch(
        data,
        pd.Series(digits, name="digit"),
        split,
        subset=subset,
        as_frame=as_frame,
        return_X_y=return_X_y,
        target_names=[str(digit) for digit in range(10)],
        views=views,
        DESCR=data_file("handwritten_views.LICENSE.txt").read_text(encoding="utf-8"),
    )
