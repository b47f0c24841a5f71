"""Tables of what predictions are worth: absence, order, noise, calibration."""

import numpy as np

from benchmarks.common.text import NOTHING, csv_table
from benchmarks.trust.figures import ADAPTIVE, CONCAT, LATE, MEAN
from benchmarks.trust.report_rows import TITLES, Results, cell, number, percent


def absence_table(results: Results) -> str:
    """Test 6."""
    rows = []
    gains = results.starting("without ")
    for _, row in gains.iterrows():
        modality = row["measure"].removeprefix("without ").split(",")[0]
        own = results.of(6, set=row["set"]).set_index("measure")["value"]
        error = own[f"standard error of that, without {modality}"]
        rows.append(
            [
                TITLES[row["set"]],
                modality,
                percent(own[f"accuracy without {modality}"]),
                f"{cell(row, 1)} ± {error:.1f}",
            ]
        )
    header = [
        "set",
        "absent",
        "accuracy, %",
        "points above a network that never had it (≥ -1)",
    ]
    return csv_table(rows, header, stub=2)


ORDER = {
    "largest change of a probability, columns reversed": (
        "columns in another order: largest change of a probability (≤ 1e-6)"
    ),
    "largest change of a probability, fitted with the modalities reversed": (
        "fitted with the modalities listed in reverse: largest change (≤ 1e-6)"
    ),
    "rows predicted the same, fitted so": "rows that are predicted the same then",
    "rows predicted the same by another seed": (
        "rows that another seed predicts the same"
    ),
    "rank correlation of mean weights, lowest of the pairs of 3 seeds": (
        "rank correlation between seeds, mean weights (≥ .80)"
    ),
    "the same, mean weights by class": "the same, mean weights of each class (≥ .80)",
    "the same, weights row by row": "the same, weights row by row",
}


def order_table(results: Results) -> str:
    """Test 7."""
    table = results.of(7)
    sets = [name for name in results.sets if name in set(table["set"])]
    rows = []
    for measure, title in ORDER.items():
        cells = []
        for name in sets:
            found = table[(table["set"] == name) & (table["measure"] == measure)]
            if found.empty:
                cells.append("")
            elif "largest change" in measure:
                text = f"{found['value'].iloc[0]:.2g}"
                cells.append(f"**{text}**" if found["met"].iloc[0] == "no" else text)
            else:
                cells.append(cell(found.iloc[0]))
        rows.append([title, *cells])
    return csv_table(rows if sets else [], ["", *(TITLES[name] for name in sets)])


def clean_table(results: Results) -> str:
    """Test 9."""
    rows, costs, errors = [], [], []
    for _, row in results.starting("points below the best ungated").iterrows():
        own = results.of(9, set=row["set"]).set_index(["fusion", "measure"])["value"]
        error = own[ADAPTIVE, "standard error of that, points below"]
        costs.append(row["value"])
        errors.append(error)
        rows.append(
            [
                TITLES[row["set"]],
                *(percent(own[f, "accuracy"]) for f in (ADAPTIVE, MEAN, CONCAT)),
                *(number(own[f, "log-loss"], 3) for f in (ADAPTIVE, MEAN, CONCAT)),
                f"{cell(row, 1)} ± {error:.1f}",
            ]
        )
    if not rows:
        return NOTHING
    mean, error = np.mean(costs), np.sqrt(np.square(errors).sum()) / len(errors)
    text = f"{mean:.2f}" if mean <= 0.3 else f"**{mean:.2f}**"
    rows.append(["mean", *[""] * 6, f"{text} ± {error:.2f}"])
    header = ["set", "adaptive, %", "mean, %", "concat, %"]
    header += ["log-loss: adaptive", "mean", "concat", "points below the best (≤ 0.3)"]
    return csv_table(rows, header)


def noise_table(results: Results) -> str:
    """Test 10, noise."""
    rows = []
    for name in results.sets:
        own = results.of(10, set=name)
        own = own[own["measure"].isin(["accuracy, clean", "accuracy, noise of sd 3"])]
        for fusion, scores in own.groupby("fusion", sort=False):
            values = scores.set_index("measure")["value"]
            clean, noisy = (percent(value) for value in values)
            rows.append([TITLES[name], fusion, clean, noisy])
    for starts, target in (("points above plain", "≥ 12"), ("points above the", "≥ 0")):
        found = results.starting(starts, fusion=ADAPTIVE)
        for _, row in found[~found["measure"].str.contains("both")].iterrows():
            title = row["measure"].removesuffix(", noise of sd 3") + f" ({target})"
            rows.append([TITLES[row["set"]], f"*{title}*", "", cell(row, 1)])
    return csv_table(rows, ["set", "fusion", "clean, %", "noise, %"], stub=2)


def unseen_table(results: Results) -> str:
    """Test 10, what training never saw."""
    rows = []
    for _, row in results.starting("points above the better of both").iterrows():
        what = row["measure"].split(", ", 1)[1]
        own = results.of(10, set=row["set"], measure=f"accuracy, {what}")
        own = own.set_index("fusion")["value"]
        scores = [percent(own[f]) for f in (ADAPTIVE, CONCAT, LATE)]
        rows.append([what, *scores, cell(row, 1)])
    header = ["corruption (level)", "adaptive, %", "concat, %", "late, %"]
    return csv_table(rows, [*header, "points above the better (≥ 0)"])


def imbalance_table(results: Results) -> str:
    """Test 11."""
    rows = []
    for _, row in results.of(11).iterrows():
        if row["target"]:
            own = results.of(11, set=row["set"]).set_index("measure")["value"]
            what = row["measure"].split("'s own prediction")[0]
            is_own = what != row["measure"]
            error = own[f"standard error of that, {what if is_own else 'fused'}"]
            accuracy = percent(own[f"accuracy of {what} alone"]) if is_own else ""
            title = f"{what}, as it predicts in the fused model" if is_own else "fused"
            against = "the same encoder alone" if is_own else "the best of these"
            rows.append(
                [
                    TITLES[row["set"]],
                    title,
                    accuracy,
                    f"{cell(row, 1)} ± {error:.1f}",
                    against,
                    row["target"].replace(">=", "≥"),
                ]
            )
    header = ["set", "who", "accuracy, %", "points above", "whom", "target"]
    return csv_table(rows, header, stub=2)


def ece_table(results: Results) -> str:
    """Test 12."""
    kinds = {"clean": "clean", "corrupted": "corrupted", "noise of sd 3": "noise, sd 3"}
    table = results.of(12)
    rows = []
    for name in results.sets:
        own = table[table["set"] == name].set_index("measure")
        if len(own):
            rows.append(
                [TITLES[name], *(cell(own.loc[f"ECE, {kind}"], 3) for kind in kinds)]
            )
    header = ["set", *kinds.values()]
    targets = ["target", "≤ .030", "≤ .060", "≤ .060"]
    return csv_table([targets, *rows] if rows else [], header)
