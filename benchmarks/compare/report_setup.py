"""What was run: the tasks, the methods, where and when."""

import pandas as pd

from benchmarks.common.tasks import TASKS, runs
from benchmarks.common.text import NOTHING, bullets, frame_table
from benchmarks.compare.report_rows import COMPARED, DEFAULTS, Results

ABOUT = {
    "womens_clothing": "review, facts: recommended or not",
    "womens_clothing:Rating": "review, facts: 1 to 5 stars",
    "womens_clothing:Department": "review, facts: department of the shop",
    "druglib": "three texts on a drug, facts: rated 7 or more, or not",
    "druglib:effectiveness": "three texts on a drug, facts: how effective",
    "avmnist": "picture of a digit, the digit spoken: which digit",
    "avmnist:hard": "the same, both degraded",
    "fashion_products": "title, photo, facts: kind of product",
    "fashion_products:masked": "the same, without the words that tell it",
    "emoji": "picture, description: category",
    "mv_handwritten": "six sets of features of a digit: which digit",
    "mv_scene15": "three sets of features of a photo: which scene",
    "rosmap": "three molecular profiles: Alzheimer's disease or not",
    "htad": "features of sound and of acceleration: which activity",
    "watch": "accelerometer, gyroscope, side: which exercise; people are new",
    "midwest_survey": "answer in words, facts: region of the country",
    "titanic": "name, ticket and cabin; facts: survived or not",
    "employee_salaries": "title and division, facts: salary (R2)",
    "houses": "facts, four photos: log of the price (R2)",
}


def task_list(results: Results) -> str:
    """Rows of each task, and how they are split."""
    lines = {}
    for task, spec in TASKS.items():
        rows = results.rows[results.rows["task"] == task]
        sizes = rows[["n_train", "n_test"]].dropna()
        fold_numbers, seeds = (
            set(numbers) for numbers in zip(*runs(task, quick=False), strict=True)
        )
        lines[task] = {
            "modalities, and what is asked": ABOUT[task],
            "training rows": f"{sizes['n_train'].iloc[0]:.0f}" if len(sizes) else "",
            "test rows": f"{sizes['n_test'].iloc[0]:.0f}" if len(sizes) else "",
            "split": "official" if spec.official else f"{len(fold_numbers)} folds",
            "seeds": str(len(seeds)),
        }
    return frame_table(pd.DataFrame(lines).T.rename_axis("task"))


def method_table(results: Results) -> str:
    """Versions, and which kinds of modality were described by hand."""
    lines = {}
    for method in COMPARED:
        rows = results.rows[results.rows["method"] == method]
        if len(rows):
            notes = [note.partition(":")[0] for note in rows["note"].dropna()]
            kinds = {kind for note in notes for kind in note.split(", ")}
            lines[method] = {
                "versions": rows["versions"].iloc[-1],
                "given hand-made features of": ", ".join(sorted(kinds)),
                "tasks": str(rows["task"][rows["status"] == "ok"].nunique()),
            }
    return frame_table(pd.DataFrame(lines).T.rename_axis("method"))


def provenance_summary(results: Results) -> str:
    """Where and when the rows were measured, and on which commits of the package."""
    rows = results.rows
    if not len(rows):
        return NOTHING
    threads = ", ".join(str(n) for n in sorted(rows["threads"].unique()))
    own = rows[rows["method"] == DEFAULTS]
    commits = own["code"].value_counts(sort=False)
    told = ", ".join(f"``{commit}`` ({n})" for commit, n in commits.items())
    lines = [
        f"{len(rows)} fits of {rows['date'].min()[:10]} to {rows['date'].max()[:10]}, "
        f"on {'; '.join(sorted(rows['machine'].unique()))}; threads a fit: {threads}.",
        f"Commits of the package in the rows of ``{DEFAULTS}``, with the number of "
        f"fits: {told or 'none'}; a + means that files had changed since.",
    ]
    return bullets(lines)
