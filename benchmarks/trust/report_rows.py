"""The rows of benchmarks/results/trust.csv, and how their figures are shown."""

from pathlib import Path

import numpy as np
import pandas as pd

TITLES = {
    "rosmap": "ROSMAP",
    "titanic": "Titanic",
    "htad": "HTAD",
    "emoji": "emoji",
    "xor": "made up: XOR",
    "made: text, columns": "made up: text, columns",
    "made: series": "made up: series, columns",
    "made: image, sound": "made up: pictures, sounds",
    "mfeat": "handwritten views",
    "watch": "watch",
    "druglib": "drug reviews",
    "scene15": "Scene15",
    "avmnist": "AV-MNIST",
    "avmnist hard": "AV-MNIST, both degraded",
    "avmnist lopsided": "AV-MNIST, sounds degraded",
    "clothing": "clothing reviews",
    "womens_clothing": "clothing: recommended",
    "womens_clothing:Rating": "clothing: stars",
    "womens_clothing:Department": "clothing: department",
    "druglib:effectiveness": "drug reviews: effectiveness",
    "fashion_products": "fashion products",
    "fashion_products:masked": "fashion products, words masked",
    "midwest_survey": "midwest survey",
    "employee_salaries": "employee salaries",
    "houses": "houses",
}


class Results:
    """The figures of each part of each set, as the newest code gave them."""

    def __init__(self, path: Path) -> None:
        rows = pd.read_csv(path, dtype={"target": str, "met": str, "code": str})
        rows = rows.sort_values("date", kind="stable")
        newest = rows.groupby(["set", "part"])["code"].transform("last")
        rows = rows[rows["code"] == newest]
        rows = rows.drop_duplicates(["set", "item", "fusion", "measure"], keep="last")
        known = [name for name in TITLES if name in set(rows["set"])]
        self.sets = sorted(known, key=lambda s: rows.n_train[rows["set"] == s].iloc[0])
        self.rows = rows[rows["set"].isin(known)].fillna({"target": "", "met": ""})

    def of(self, item: int | None = None, **where: str) -> pd.DataFrame:
        """Rows of a numbered test, with some columns as given."""
        rows = self.rows if item is None else self.rows[self.rows["item"] == item]
        for column, value in where.items():
            rows = rows[rows[column] == value]
        return rows

    def starting(self, text: str, **where: str) -> pd.DataFrame:
        """Rows whose measure begins so, by set in the page's order."""
        rows = self.of(**where)
        rows = rows[rows["measure"].str.startswith(text)]
        order = {name: i for i, name in enumerate(self.sets)}
        return rows.sort_values("set", key=lambda s: s.map(order), kind="stable")


def number(value: float, digits: int = 2) -> str:
    """.98, and -0.2 as -.20."""
    if np.isnan(value):
        return ""
    text = f"{value:.{digits}f}"
    return (
        text if digits < 2 else text.replace("0.", ".", 1) if abs(value) < 1 else text
    )


def cell(row: pd.Series, digits: int = 2) -> str:
    """A figure, in bold where it misses its target."""
    text = number(row["value"], digits)
    return f"**{text}**" if row["met"] == "no" else text


def percent(value: float) -> str:
    """A share, as points."""
    return f"{100 * value:.1f}"
