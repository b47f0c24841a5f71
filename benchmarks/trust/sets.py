"""The sets that are measured, and which measures are taken of each."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

from benchmarks.common.tasks import TASKS
from benchmarks.trust import absence, elements, robustness, stability, weights
from benchmarks.trust.data import (
    Data,
    avmnist_lopsided,
    clothing,
    made,
    mfeat,
    scene15,
    task,
)
from benchmarks.trust.figures import Figure

Part = Callable[[Data], Iterator[Figure]]


class Study(NamedTuple):
    """A set, and what is measured of it."""

    load: Callable[[bool], Data]
    parts: Mapping[str, Part]
    needs: str | None = None  # a folder of SKFUSION_BENCH_DATA


FAITH: dict[str, Part] = {"faithfulness": weights.faithfulness, "sums": elements.sums}
ATTENTION: dict[str, Part] = {
    "attention": partial(weights.faithfulness, fusion="attention")
}
SHAPLEY: dict[str, Part] = {"Shapley": weights.shapley}
RANDOM: dict[str, Part] = {"random modality": weights.random_modality}
CLEAN: dict[str, Part] = {"clean cost": robustness.clean_cost}
CALIBRATION: dict[str, Part] = {"calibration": robustness.calibration}
NOISE: dict[str, Part] = {"noise against concat": robustness.noise_against_concat}
UNSEEN: dict[str, Part] = {"unseen": robustness.unseen}
ABSENCE: dict[str, Part] = {
    "absence": absence.absence,
    "without each": absence.without_each,
}
IMBALANCE: dict[str, Part] = {"imbalance": absence.imbalance}
ORDER: dict[str, Part] = {"order": stability.order, "seeds": stability.seeds}
ELEMENTS: dict[str, Part] = {"known elements": elements.found_elements}
SIX_VIEWS: dict[str, Part] = {
    "faithfulness": partial(weights.faithfulness, swap_target=0.9),
    "attention": partial(weights.faithfulness, swap_target=0.9, fusion="attention"),
}
# Modalities that tell next to nothing, and how much they may weigh.
FACTS: dict[str, Part] = {"Shapley": partial(weights.shapley, limits={"tab": 0.12})}
PHOTOS: dict[str, Part] = {
    "Shapley": partial(
        weights.shapley, together=("bathroom", "bedroom", "frontal", "kitchen")
    )
}


def of_task(name: str, parts: Mapping[str, Part]) -> Study:
    """A task of the comparison, its first fold or official split."""
    return Study(partial(task, name), parts, TASKS[name].data)


STUDIES = {
    "scene15": Study(
        scene15,
        FAITH
        | SHAPLEY
        | ATTENTION
        | CLEAN
        | NOISE
        | CALIBRATION
        | RANDOM
        | ABSENCE
        | ORDER,
        "mv_scene15",
    ),
    "mfeat": Study(mfeat, FAITH | SIX_VIEWS | SHAPLEY | CLEAN | RANDOM | ORDER),
    "made: text, columns": Study(
        partial(made, ["text", "tabular"], 1500), FAITH | ELEMENTS
    ),
    "made: series": Study(partial(made, ["series", "tabular"], 1500), FAITH | ELEMENTS),
    "made: image, sound": Study(
        partial(made, ["image", "audio"], 2500), FAITH | ELEMENTS
    ),
    "clothing": Study(clothing, FAITH | CALIBRATION | CLEAN),
    "avmnist hard": of_task("avmnist:hard", UNSEEN | SHAPLEY | CLEAN | CALIBRATION),
    "avmnist lopsided": Study(avmnist_lopsided, IMBALANCE | FAITH, "avmnist"),
    "avmnist": of_task(
        "avmnist",
        FAITH | SHAPLEY | CALIBRATION | CLEAN | ABSENCE | IMBALANCE | ATTENTION,
    ),
    "xor": Study(
        partial(made, ["vector", "vector"], 3000, n_classes=2, interaction="xor"),
        FAITH | CLEAN,
    ),
    "rosmap": of_task("rosmap", FAITH | SHAPLEY | CLEAN),
    "titanic": of_task("titanic", FAITH | SHAPLEY | CLEAN),
    "htad": of_task("htad", FAITH | SHAPLEY | CLEAN | RANDOM),
    "druglib": of_task("druglib", FAITH | SHAPLEY | CALIBRATION | CLEAN),
    "emoji": of_task("emoji", FAITH | SHAPLEY | CLEAN),
    "watch": of_task("watch", FAITH | SHAPLEY | CLEAN),
    "womens_clothing": of_task("womens_clothing", FACTS),
    "womens_clothing:Rating": of_task("womens_clothing:Rating", SHAPLEY),
    "womens_clothing:Department": of_task("womens_clothing:Department", SHAPLEY),
    "druglib:effectiveness": of_task("druglib:effectiveness", SHAPLEY),
    "fashion_products": of_task("fashion_products", SHAPLEY),
    "fashion_products:masked": of_task("fashion_products:masked", SHAPLEY),
    "midwest_survey": of_task("midwest_survey", SHAPLEY),
    "employee_salaries": of_task("employee_salaries", SHAPLEY),
    "houses": of_task("houses", PHOTOS),
}
