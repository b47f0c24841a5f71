"""Tables of what weights and contributions are worth."""

from collections.abc import Iterable

import numpy as np

from benchmarks.common.text import NOTHING, csv_table
from benchmarks.trust.figures import ADAPTIVE
from benchmarks.trust.report_rows import TITLES, Results, cell, number

# What the page calls the measures of one estimator's weights, and their digits.
WEIGHTS = {
    "noise, sd 1: rows where its weight fell": "falls, sd 1",
    "noise, sd 3: rows where its weight fell": "falls, sd 3",
    "noise, sd 1: mean of weight after / before": "ratio, sd 1",
    "noise, sd 3: mean of weight after / before": "ratio, sd 3",
    "swap: rows where its weight fell": "falls, swap",
    "own loss: rank correlation of weight and -loss": "right: all",
    "own loss: the same within": "right: within",
    "deletion: rank correlation of weight and loss of support": "deletion",
    "mean share of the joint part": "joint share",
}
MEAN_DISTANCE = 0.03  # of weights and Shapley shares, over the sets


def weights_table(results: Results) -> str:
    """Tests 1 to 4, a row a set; ordinary attention beside it where measured."""
    rows: list[list[str]] = []
    targets: dict[str, dict[str, None]] = {measure: {} for measure in WEIGHTS}
    for name in results.sets:
        for fusion in (ADAPTIVE, "attention"):
            own = results.of(set=name, fusion=fusion)
            own = own[own["item"].isin([1, 2, 3, 4])]
            if own.empty:
                continue
            cells = []
            for measure in WEIGHTS:
                found = own[own["measure"].str.startswith(measure)]
                if found.empty:
                    cells.append("")
                    continue
                worst = found.loc[found["value"].idxmin()]  # within: the least one
                cells.append(cell(worst))
                targets[measure][worst["target"]] = None
            n = int(results.of(set=name)["n_train"].iloc[0])
            title = TITLES[name] if fusion == ADAPTIVE else "*the same, attention*"
            rows.append([title, f"{n:,}", *cells])
    head = ["target", "", *map(_targets, targets.values())]
    return csv_table([head, *rows] if rows else [], ["set", "rows", *WEIGHTS.values()])


def _targets(texts: Iterable[str]) -> str:
    """One target, or those of different sets: ≥ .75 or .90."""
    pairs = sorted(text.split() for text in texts if text)
    if not pairs:
        return ""
    values = " or ".join(number(float(value)) for _, value in pairs)
    return f"{'≥' if pairs[0][0] == '>=' else '≤'} {values}"


def elements_table(results: Results) -> str:
    """Test 8."""
    rows = []
    deletion = results.starting("elements of", fusion=ADAPTIVE)
    known = results.starting("AUC of the weights", fusion=ADAPTIVE)
    for _, row in deletion.iterrows():
        modality = row["measure"].split("'")[1]
        auc = known[known["set"] == row["set"]]
        auc = auc[auc["measure"].str.endswith(f", {modality}")]
        rows.append(
            [
                TITLES[row["set"]],
                modality,
                cell(row, 1),
                row["target"].replace(">=", "≥"),
                cell(auc.iloc[0]) if len(auc) else "",
            ]
        )
    header = ["set", "modality", "heaviest / random", "target", "AUC (≥ .95)"]
    return csv_table(rows, header, stub=2)


def random_table(results: Results) -> str:
    """Test 5."""
    rows = []
    for _, row in results.of(5, measure="weight of a random modality").iterrows():
        own = results.of(5, set=row["set"]).set_index("measure")
        error = own["value"]["standard error of that"]
        lost = own.loc["accuracy lost by it, points"]
        rows.append(
            [
                TITLES[row["set"]],
                cell(row, 3),
                number(own["value"]["Shapley share of a random modality"], 3),
                number(own["value"]["the same, times M"]),
                f"{cell(lost, 1)} ± {error:.1f}",
            ]
        )
    header = ["set", "weight (≤ .03)", "Shapley share", "weight times M"]
    return csv_table(rows, [*header, "points of accuracy lost (≤ 0.3)"])


# ---------------------------------------------------------------- Shapley shares

DISTANCE = "distance of weight and Shapley share"
CORRELATION = "rank correlation of weight and Shapley share"
SHARED = ", joint part shared"
EVEN = ", even weights"
JOINT = "joint share of those rows"


def shapley_table(results: Results) -> str:
    """Test 13: a row a set, and the mean."""
    table = results.of(13)
    if table.empty:
        return NOTHING
    columns = [JOINT, DISTANCE, DISTANCE + SHARED, DISTANCE + EVEN]
    columns += [CORRELATION, CORRELATION + SHARED]
    rows = []
    for name in results.sets:
        own = table[table["set"] == name].set_index("measure")
        if len(own):
            n = f"{own['n_train'].iloc[0]:,}"
            cells = [cell(own.loc[measure], 3) for measure in columns]
            rows.append([TITLES[name], n, *cells])
    means = [
        table.loc[table["measure"] == measure, "value"].mean() for measure in columns
    ]
    last = [number(mean, 3) for mean in means]
    if means[1] > MEAN_DISTANCE:
        last[1] = f"**{last[1]}**"
    header = ["set", "rows", "joint share", "distance", "joint shared", "even weights"]
    header += ["rank correlation", "joint shared"]
    target = ["target", "", "", "≤ .05; mean ≤ .03", "≤ .10", "", "≥ .9", ""]
    return csv_table([target, *rows, ["mean", "", *last]], header)


def modality_table(results: Results) -> str:
    """Test 13: mean weight and mean share of each modality."""
    rows = []
    for _, row in results.starting("mean weight of ").iterrows():
        who = row["measure"].removeprefix("mean weight of ")
        own = results.of(13, set=row["set"]).set_index("measure")
        share = own["value"][f"mean Shapley share of {who}"]
        target = row["target"]
        together = f"distance of both of {who}"
        if together in own.index:
            target = f"distance {own['target'][together]}"
        title = who.strip("'")
        shown = cell(row)
        if together in own.index and own["met"][together] == "no":
            shown = f"**{shown}**"
        target = target.replace("<=", "≤")
        rows.append([TITLES[row["set"]], title, shown, number(share), target])
    header = ["set", "modality", "mean weight", "mean Shapley share", "target"]
    return csv_table(rows, header, stub=2)


def sums_table(results: Results) -> str:
    """Test 14."""
    table = results.of(14)
    rows = []
    for name in results.sets:
        own = table[table["set"] == name].set_index("measure")
        for measure, row in own.iterrows():
            if not row["target"]:
                continue
            who = measure.split("'")[1] if "'" in measure else "all"
            gap = f"{row['value']:.1g}"
            gap = f"**{gap}**" if row["met"] == "no" else gap
            rest = own["value"].get(f"share of {who!r} in no element", np.nan)
            rows.append([TITLES[name], who, gap, number(rest)])
    header = ["set", "modality", "largest distance (≤ 1e-5)", "share in no element"]
    return csv_table(rows, header, stub=2)
