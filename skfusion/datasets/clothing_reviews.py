"""Women's clothing reviews: text, numbers and categories."""

import lzma
from typing import Any

import numpy as np
import pandas as pd

from ._base import SUBSETS, check_option, data_file, make_bunch

_TEXTS = ["Title", "Review Text"]
_NUMBERS = ["Age", "Positive Feedback Count"]
_CATEGORIES = ["Division Name", "Department Name", "Class Name"]

# target -> (its column, the columns that would give it away, names of its classes)
_TARGETS: dict[str, tuple[str, list[str], list[str] | None]] = {
    "recommended": ("Recommended IND", [], ["not recommended", "recommended"]),
    "rating": ("Rating", [], ["1", "2", "3", "4", "5"]),
    "department": ("Department Name", _CATEGORIES, None),
}


def load_clothing_reviews(
    *,
    target: str = "recommended",
    subset: str = "all",
    as_frame: bool = True,
    return_X_y: bool = False,
) -> Any:
    """Load customers' reviews of women's clothing (classification).

    Each row is a review from an online shop, with its title, facts about the customer
    and the place of the garment in the shop. Rows without a review are left out.

    ================= =====================================================
    Rows              22,641 (20,366 train, 2,275 test)
    Text              Title (absent in 2,966 rows), Review Text
    Numbers           Age (years), Positive Feedback Count
    Categories        Division Name, Department Name, Class Name
    ================= =====================================================

    Parameters
    ----------
    target : {"recommended", "rating", "department"}, default="recommended"
        What to predict: whether the customer recommends the garment (0 or 1; 82 % of
        the rows are 1), the rating from 1 to 5, or the department (6 names; the rows
        without one are left out). Columns that give the target away are dropped: the
        rating and the recommendation are never features of one another, and the
        categories are no features of the department.
    subset : {"all", "train", "test"}, default="all"
        The rows to load, by the fixed split of the Multimodal Toolkit; its validation
        rows count as "train".
    as_frame : bool, default=True
        Whether `data` is a DataFrame and `target` a Series. Otherwise both are
        arrays, `data` one of objects.
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    bunch : Bunch or tuple of (data, target)
        data : DataFrame of shape (n_samples, n_columns)
            Texts as `str`, numbers as int64, categories as `category`.
        target : Series of shape (n_samples,)
        target_names : list of str
            The names of the classes, in sorted order of their values.
        frame : DataFrame of shape (n_samples, n_columns + 1) or None
            Data and target together; None unless `as_frame`.
        split : ndarray of shape (n_samples,)
            "train" or "test" for each row.
        feature_names : list of str
        DESCR : str
            Origin, licence and attribution.

    Raises
    ------
    ValueError
        If `target` or `subset` is none of the options.

    Notes
    -----
    The data are public domain (CC0 1.0), published as "Women's E-Commerce Clothing
    Reviews" by Nick Brooks; `DESCR` has the details. The text of 4 test reviews also
    occurs in the training rows.

    Examples
    --------
    >>> from skfusion.datasets import load_clothing_reviews
    >>> reviews = load_clothing_reviews(subset="test")
    >>> reviews.data.shape
    (2275, 7)
    >>> reviews.target.value_counts().to_dict()
    {1: 1864, 0: 411}
    """
    check_option("load_clothing_reviews", "target", target, list(_TARGETS))
    check_option("load_clothing_reviews", "subset", subset, SUBSETS)
    table = _read_table()
    column, leaks, names = _TARGETS[target]
    table = table[table[column].notna()].reset_index(drop=True)
    y = table[column]
    if isinstance(y.dtype, pd.CategoricalDtype):
        names = sorted(y.unique())
        y = y.astype(str)
    features = [c for c in [*_TEXTS, *_NUMBERS, *_CATEGORIES] if c not in leaks]
    return make_bunch(
        table[features],
        y,
        np.asarray(table["split"], dtype="U5"),
        subset=subset,
        as_frame=as_frame,
        return_X_y=return_X_y,
        target_names=names,
        DESCR=data_file("clothing_reviews.LICENSE.txt").read_text(encoding="utf-8"),
    )


def _read_table() -> pd.DataFrame:
    with (
        data_file("clothing_reviews.csv.xz").open("rb") as packed,
        lzma.open(packed, "rt", encoding="utf-8", newline="") as text,
    ):
        # Only an empty field is an absent one: a title may well read "NA" or "None".
        return pd.read_csv(
            text,
            keep_default_na=False,
            na_values={column: [""] for column in [*_TEXTS, *_CATEGORIES]},
            dtype=dict.fromkeys(_CATEGORIES, "category"),
        )
