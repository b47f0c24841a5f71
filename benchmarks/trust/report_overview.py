"""One line a target: where it is met, and where it is missed most."""

import pandas as pd

from benchmarks.common.text import csv_table
from benchmarks.trust.figures import ADAPTIVE
from benchmarks.trust.report_rows import TITLES, Results

# Number of the test, what it asks, and how its measures begin.
OVERVIEW = [
    (1, "noise, sd 1: the weight falls", "noise, sd 1: rows"),
    (1, "noise, sd 3: the weight falls", "noise, sd 3: rows"),
    (1, "noise, sd 1: weight after / before", "noise, sd 1: mean"),
    (1, "noise, sd 3: weight after / before", "noise, sd 3: mean"),
    (2, "heavy is right, all modalities", "own loss: rank"),
    (2, "heavy is right, within a modality", "own loss: the same"),
    (3, "what is heavy is missed most", "deletion:"),
    (4, "another row's content: the weight falls", "swap:"),
    (13, "the weight is the Shapley share", "distance of weight and Shapley share$"),
    (
        13,
        "the same, where much is joint and shared out",
        "distance of weight and Shapley share, joint",
    ),
    (13, "weights rank as Shapley shares do", "rank correlation of weight and"),
    (13, "a modality that adds little is light", "mean weight of|distance of both of"),
    (14, "parts add up to the output", "largest distance of the output"),
    (14, "elements add up to their modality", "largest distance of '"),
    (5, "a useless modality is light", "weight of a random"),
    (5, "a useless modality does no harm", "accuracy lost by it"),
    (6, "absent counts for exactly nothing", "absence:"),
    (6, "absent does no more harm than never had", "without "),
    (7, "columns in another order", "largest change of a probability, columns"),
    (7, "modalities in another order", "largest change of a probability, fitted"),
    (7, "other seeds rank modalities the same", "rank correlation of mean"),
    (8, "heavy elements are missed more", "elements of"),
    (8, "known elements are heavy", "AUC of the weights"),
    (9, "accuracy against ungated fusion", "points below the best ungated"),
    (10, "noise: above plain concatenation", "points above plain"),
    (
        10,
        "noise: above fusion by mean or concatenation",
        "points above the better of t",
    ),
    (10, "unseen corruptions: above others", "points above the better of both"),
    (11, "nobody starves", "image's own prediction|audio's own prediction"),
    (11, "fused is above each alone", "points of the fused output"),
    (12, "confidence, clean", "ECE, clean"),
    (12, "confidence, corrupted", "ECE, corrupted|ECE, noise"),
]


def overview(results: Results) -> str:
    """One line a target: where it is met, and where it is missed most."""
    rows = []
    for item, title, starts in OVERVIEW:
        found = results.of(item, fusion=ADAPTIVE)
        found = found[found["measure"].str.match(starts) & (found["target"] != "")]
        if found.empty:
            continue
        met = int((found["met"] == "yes").sum())
        sign = found["target"].str.startswith(">=").map({True: 1, False: -1})
        target = found["target"].str.split().str[1].astype(float)
        worst = found.loc[((found["value"] - target) * sign).idxmin()]
        targets = " or ".join(dict.fromkeys(found["target"]))
        rows.append(
            [
                str(item),
                title,
                targets.replace(">=", "≥").replace("<=", "≤"),
                f"{met} of {len(found)}" if met == len(found) else
                f"**{met} of {len(found)}**",
                f"{worst['value']:.3g} ({TITLES[worst['set']]}{_which(worst)})",
            ]
        )  # fmt: skip
    header = ["", "what is asked", "target", "met in", "the worst of them"]
    return csv_table(rows, header)


def _which(row: pd.Series) -> str:
    """Of which modality or corruption a figure is, where there are several."""
    measure = row["measure"]
    if "'" in measure and "own prediction" not in measure:
        return f", {measure.split(chr(39))[1]}"
    if row["item"] in (8, 10) and ", " in measure:
        return f", {measure.rsplit(', ', 1)[1]}"
    if row["item"] == 6 and measure.startswith("without"):
        return f", without {measure.split()[1].rstrip(',')}"
    return f", {measure.split(chr(39))[0]}" if "own prediction" in measure else ""
