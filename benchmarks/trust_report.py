"""Turn benchmarks/results/trust.csv into the tables of docs/trust.rst.

    python benchmarks/trust_report.py

`trust.py` writes that file, `docs/trust.rst` includes what is made of it here:
docs/trust/*.txt. Any part of the measurements is enough, and the same rows always give
the same files.
"""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from provenance import RESULTS, ROOT

HEAD = ".. Made by benchmarks/trust_report.py\n\n"
NOTHING = "*Not measured yet.*"
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
    "avmnist hard": "AV-MNIST, both spoilt",
    "avmnist lopsided": "AV-MNIST, sounds spoilt",
    "clothing": "clothing reviews",
}
ADAPTIVE, CONCAT, MEAN, LATE = "adaptive", "concat", "mean", "late"
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


class Results:
    """The newest figure of each measure, set and fusion rule."""

    def __init__(self, path: Path) -> None:
        rows = pd.read_csv(path, dtype={"target": str, "met": str, "code": str})
        rows = rows.sort_values("date", kind="stable")
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


# ---------------------------------------------------------------- cells and tables


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


def csv_table(rows: Iterable[list[str]], header: list[str], stub: int = 1) -> str:
    """A table in reStructuredText."""
    rows = list(rows)
    if not rows:
        return NOTHING
    lines = [
        ".. csv-table::",
        f"   :header: {_quoted(header)}",
        f"   :stub-columns: {stub}",
        "",
        *(f"   {_quoted(row)}" for row in rows),
    ]
    return "\n".join(lines)


def _quoted(cells: Iterable[str]) -> str:
    return ", ".join('"' + text.replace('"', '""') + '"' for text in cells)


# ---------------------------------------------------------------- tables of the page


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
    header = ["set", "modality", "heaviest / random", "target", "AUC (≥ .90)"]
    return csv_table(rows, header, stub=2)


def random_table(results: Results) -> str:
    """Test 5."""
    weight = results.starting("weight of a random modality")
    lost = results.starting("accuracy lost by it").set_index("set")
    error = results.starting("standard error of that").set_index("set")
    error = error[error["item"] == 5]
    rows = [
        [
            TITLES[row["set"]],
            cell(row),
            f"{cell(lost.loc[row['set']], 1)} ± {error['value'][row['set']]:.1f}",
        ]
        for _, row in weight.iterrows()
    ]
    header = ["set", "weight times M (≤ .50)", "points of accuracy lost (≤ 0.3)"]
    return csv_table(rows, header)


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
    header = ["disturbance (level)", "adaptive, %", "concat, %", "late, %"]
    return csv_table(rows, [*header, "points above the better (≥ 0)"])


def imbalance_table(results: Results) -> str:
    """Test 11."""
    rows = []
    for _, row in results.of(11).iterrows():
        if row["target"]:
            own = results.of(11, set=row["set"]).set_index("measure")["value"]
            what = row["measure"].split("'s own word")[0]
            is_own = what != row["measure"]
            error = own[f"standard error of that, {what if is_own else 'fused'}"]
            accuracy = percent(own[f"accuracy of {what} alone"]) if is_own else ""
            title = f"{what}, as it speaks in the fused model" if is_own else "fused"
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
    kinds = {"clean": "clean", "corrupted": "disturbed", "noise of sd 3": "noise, sd 3"}
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


# ---------------------------------------------------------------- all in one

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
    (10, "unseen disturbances: above others", "points above the better of both"),
    (11, "nobody starves", "image's own word|audio's own word"),
    (11, "fused is above each alone", "points of the fused output"),
    (12, "confidence, clean", "ECE, clean"),
    (12, "confidence, disturbed", "ECE, corrupted|ECE, noise"),
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
    """Of which modality or disturbance a figure is, where there are several."""
    measure = row["measure"]
    if "'" in measure and "own word" not in measure:
        return f", {measure.split(chr(39))[1]}"
    if row["item"] in (8, 10) and ", " in measure:
        return f", {measure.rsplit(', ', 1)[1]}"
    if row["item"] == 6 and measure.startswith("without"):
        return f", without {measure.split()[1].rstrip(',')}"
    return f", {measure.split(chr(39))[0]}" if "own word" in measure else ""


def source(results: Results) -> str:
    """What the figures were measured with."""
    rows = results.rows
    codes = ", ".join(f"``{code}``" for code in dict.fromkeys(rows["code"]))
    versions = "; ".join(
        f"{name} {', '.join(dict.fromkeys(rows[name].astype(str)))}"
        for name in ("python", "numpy", "scikit-learn", "torch", "skorch")
    )
    days = sorted({str(date)[:10] for date in rows["date"]})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return (
        f"*Measured* {when} *with the package at commit* {codes}; {versions}; "
        "one thread of a CPU."
    )


FRAGMENTS: dict[str, Callable[[Results], str]] = {
    "overview": overview,
    "weights": weights_table,
    "elements": elements_table,
    "random": random_table,
    "absence": absence_table,
    "order": order_table,
    "clean": clean_table,
    "noise": noise_table,
    "unseen": unseen_table,
    "imbalance": imbalance_table,
    "ece": ece_table,
    "source": source,
}


def main() -> None:
    """Read the rows, write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS / "trust.csv")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "trust")
    args = parser.parse_args()
    results = Results(args.results)
    args.output.mkdir(parents=True, exist_ok=True)
    for name, write in FRAGMENTS.items():
        (args.output / f"{name}.txt").write_text(f"{HEAD}{write(results)}\n")
    print(f"{len(results.rows)} figures of {len(results.sets)} sets: {args.output}")


if __name__ == "__main__":
    main()
