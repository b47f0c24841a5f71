"""What each part of the held-out stage is worth: the stage is fitted without it.

    python -m benchmarks.compare.held_out             # all tasks, fold 0, seed 0
    python -m benchmarks.compare.held_out --report    # the tables

Networks and base models are fitted once a task; the stage that weighs them is then
fitted as it is and without each of its parts, so that all figures of a task differ by
that part alone. Test rows are scored as they are, and with one modality of each row
noised (standard deviation 3). Rows go to benchmarks/results/held_out.csv, and tables of
them to docs/benchmarks.
"""

import argparse
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd

from benchmarks.common.provenance import DOCS, RESULTS, append_rows, newest, origin
from benchmarks.common.tasks import TASKS, load
from benchmarks.common.text import (
    NOTHING,
    frame_table,
    measured_with,
    shown,
    write_fragments,
)
from benchmarks.compare.fit import scores
from benchmarks.compare.ours import predict
from skfusion import FusionClassifier, FusionRegressor
from skfusion.corruption import Noise
from skfusion.evidence import gate, learn, mixing
from skfusion.evidence.fit import fit_evidence

RESULTS_FILE = RESULTS / "held_out.csv"
NEVER = float("inf")
TINY = 0.01  # as a standard deviation: a smaller one stops the optimiser


class Captured(dict):
    """The arguments of the held-out stage, by name."""

    def without(self, what: str) -> "Captured":
        """The same where networks, base models, or linear parts say nothing."""
        evidence = [e.copy() for e in self["evidence"]]
        additive = self["additive"]
        for e in evidence:
            if what == "networks":
                e[:, :, 0] = np.nan
            elif what == "base models":
                e[:, :, 1:] = np.nan
        if what in ("linear parts", "base models"):
            additive = [np.zeros_like(a) for a in additive]
        return Captured(self, evidence=evidence, additive=additive)

    def clean_only(self) -> "Captured":
        """The same without corrupted copies."""
        first = {k: self[k][:1] for k in ("evidence", "additive", "everything")}
        return Captured(self, **first)


#: What is left out: constants of the stage that are set, and what becomes of its input.
PARTS: dict[str, tuple[dict[str, Any], Callable[[Captured], Captured]]] = {
    "as it is": ({}, Captured),
    "networks": ({}, lambda c: c.without("networks")),
    "base models": ({}, lambda c: c.without("base models")),
    "linear model of all features": ({}, lambda c: c.without("linear parts")),
    "shares of the mixing step": ({"SHARE_SD": TINY}, Captured),
    "gate features": (
        {"COEF_SD": TINY, "OOD_COEF_SD": TINY, "OOD_COEF": {True: 0.0, False: 0.0}},
        Captured,
    ),
    "out-of-distribution scores": (
        {"OOD_COEF_SD": TINY, "OOD_COEF": {True: 0.0, False: 0.0}},
        Captured,
    ),
    "corrupted copies": ({}, Captured.clean_only),
    "cut of the evidence": (
        {"cut": lambda evidence, _: np.ones(evidence.shape[:-1])},
        Captured,
    ),
    "class matrix": ({"ROWS_PER_ENTRY": NEVER}, Captured),
    "penalty of the joint part": ({"JOINT_PENALTY": 0.0}, Captured),
}


@contextmanager
def constants(values: dict[str, Any]) -> Iterator[None]:
    """The stage with other constants."""
    with ExitStack() as stack:
        for name, value in values.items():
            module = mixing if hasattr(mixing, name) else gate
            stack.enter_context(mock.patch.object(module, name, value))
        yield


def measure(task: str, fold: int = 0, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Figures of each variant of the stage on the test rows of a task."""
    train, test = load(task, fold, seed)
    kind = FusionClassifier if train.is_classification else FusionRegressor
    model = kind(train.modalities, random_state=seed, device="cpu")
    caught = Captured()

    def catch(*values: Any, **options: Any) -> Any:
        names = [
            "networks",
            "base",
            "evidence",
            "additive",
            "everything",
            "splits",
            "y",
            "weight",
        ]
        caught.update(zip(names, values, strict=True))
        return fit_evidence(*values, **options)

    with mock.patch.object(learn, "fit_evidence", catch):
        model.fit(train.X, train.y, groups=train.groups)
    noised, plan = model.corrupt(test.X, Noise(3.0), random_state=seed)
    hit = plan.noise.numpy() > 0
    for name, (values, change) in PARTS.items():
        with constants(values):  # some of them count in predictions too
            model._model = fit_evidence(**change(caught))
            if name in ("networks", "base models"):
                _silence(model._model, name)
            figures = {
                **scores(test, predict(model, test.n_classes, test)),
                "joint_share": model.joint_share(test.X).mean(),
                **_under_noise(model, test.X, noised, hit),
            }
        yield {"without": name, **figures}


def _silence(stage: Any, what: str) -> None:
    """Nothing is said by what the stage was fitted without."""
    ask = stage.evidence

    def evidence(rows: Any) -> Any:
        said, additive = ask(rows)
        if what == "networks":
            said[:, :, 0] = np.nan
        else:
            said[:, :, 1:], additive = np.nan, np.zeros_like(additive)
        return said, additive

    stage.evidence = evidence


def _under_noise(model: Any, X: Any, noised: Any, hit: np.ndarray) -> dict[str, float]:
    """How often the weight of a noised modality falls, and its mean ratio."""
    before, after = model.modality_weights(X)[hit], model.modality_weights(noised)[hit]
    return {"falls": (after < before).mean(), "ratio": after.mean() / before.mean()}


# ---------------------------------------------------------------- tables


def differences(rows: pd.DataFrame) -> pd.DataFrame:
    """What each part changes, by task: without it minus as it is.

    The loss of a regression is that of a normal distribution: the log of its RMSE.
    """
    rows = rows.assign(
        points=100 * rows["accuracy"].fillna(rows["R2"]),
        loss=100 * rows["log_loss"].fillna(np.log(rows["RMSE"])),
    )
    figures = ["points", "loss", "joint_share", "falls", "ratio"]
    table = rows.pivot_table(index="task", columns="without", values=figures)
    return table.reorder_levels([1, 0], axis=1)


def part_table(rows: pd.DataFrame) -> str:
    """Means over the tasks."""
    if rows.empty:
        return NOTHING
    table = differences(rows)
    whole = table["as it is"]
    lines = {}
    for name in PARTS:
        part = table[name]
        gap = part - whole
        lines[name] = {
            "accuracy or R2, points": format(gap["points"].mean(), "+.2f"),
            "worst task": format(gap["points"].min(), "+.1f"),
            "loss, hundredths": format(gap["loss"].mean(), "+.2f"),
            "median": format(gap["loss"].median(), "+.2f"),
            "joint share": format(part["joint_share"].mean(), ".2f"),
            "weight falls under noise": format(part["falls"].mean(), ".2f"),
            "its ratio, median": format(part["ratio"].median(), ".2f"),
        }
    changes = ["accuracy or R2, points", "worst task", "loss, hundredths", "median"]
    lines["as it is"].update(dict.fromkeys(changes, ""))
    text = frame_table(pd.DataFrame(lines).T.rename_axis("without"))
    return f"{text}\n\n{measured_with(rows)}."


def task_table(rows: pd.DataFrame) -> str:
    """Change of the loss by task, in hundredths."""
    if rows.empty:
        return NOTHING
    table = differences(rows)
    gaps = {
        name: table[name]["loss"] - table["as it is"]["loss"]
        for name in list(PARTS)[1:]
    }
    found = pd.DataFrame(gaps).reindex([task for task in TASKS if task in table.index])
    return frame_table(shown(found.rename_axis("task"), "+.1f"))


def main() -> None:
    """Measure tasks, or write the tables."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--output", type=Path, default=RESULTS_FILE)
    args = parser.parse_args()
    if not args.report:
        for task in args.tasks:
            source = {**origin(), "task": task, "fold": 0, "seed": 0}
            empty = dict.fromkeys(("accuracy", "AUC", "log_loss", "ECE", "R2", "RMSE"))
            rows = [
                {**source, "without": row["without"], **empty, **row}
                for row in measure(task)
            ]
            append_rows(args.output, rows)
            print(
                task, {r["without"]: r["log_loss"] or r["R2"] for r in rows}, flush=True
            )
    last = newest(args.output, ["task", "without"])
    fragments = {"held_out": part_table, "held_out_tasks": task_table}
    write_fragments("benchmarks.compare.held_out --report", DOCS, fragments, last)


if __name__ == "__main__":
    main()
