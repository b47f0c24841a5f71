"""The methods that are compared: variants of the package's estimators, and peers."""

import importlib
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from compare_tasks import Part

ROOT = Path(__file__).resolve().parents[1]

# What the estimators are constructed with, by the name of the variant. Each variant
# differs from the defaults in one option, so that together they are the ablation.
OURS: dict[str, dict[str, Any]] = {
    "skfusion": {},
    "skfusion:no experts": {"experts": None},
    "skfusion:no folds": {"n_folds": 1},
    "skfusion:no corruption": {"corruption": None},
    "skfusion:one member": {"n_members": 1},
    "skfusion:concat": {"fusion": "concat"},
    "skfusion:mean": {"fusion": "mean"},
    "skfusion:attention": {"fusion": "attention"},
    "skfusion:bottleneck": {"fusion": "bottleneck"},
}
READ = frozenset({"text", "tabular", "image", "audio", "series", "vector"})
SIMPLE = frozenset({"tabular", "vector"})


class Peer(NamedTuple):
    """A method of others."""

    fit: str  # module:function
    packages: tuple[str, ...]
    takes: frozenset[str] = SIMPLE  # kinds of modality that it reads by itself
    tier: int = 1  # the first tiers are run first, over all tasks


TABLE = "compare_peers_tables"
PLAIN = "compare_peers_sklearn"
PEERS = {
    "best single": Peer(f"{PLAIN}:best_single", ("scikit-learn",)),
    "late": Peer(f"{PLAIN}:late", ("scikit-learn",)),
    "early-linear": Peer(f"{PLAIN}:early_linear", ("scikit-learn",)),
    "hgb": Peer(f"{PLAIN}:hgb", ("scikit-learn",)),
    "lightgbm": Peer(f"{TABLE}:lightgbm", ("lightgbm",)),
    "extratrees": Peer(f"{PLAIN}:extratrees", ("scikit-learn",)),
    "catboost": Peer(f"{TABLE}:catboost", ("catboost",), SIMPLE | {"text"}),
    "skrub": Peer(f"{TABLE}:skrub", ("skrub", "scikit-learn"), SIMPLE | {"text"}),
    "widedeep": Peer(
        "compare_peers_widedeep:WideDeep",
        ("pytorch-widedeep",),
        SIMPLE | {"text", "image"},
        tier=2,
    ),
    "smarttab": Peer(
        f"{TABLE}:smart_tab",
        ("smarttab", "catboost", "lightgbm"),
        SIMPLE | {"text", "image", "audio"},
        tier=2,
    ),
}
METHODS = [*OURS, *PEERS]


def tier(method: str) -> int:
    """The package's defaults come first, then peers, slow ones later, then variants."""
    if method in PEERS:
        return PEERS[method].tier
    return 3 if OURS[method] else 0


def versions(method: str) -> str:
    """Packages that the figures of a method depend on."""
    if method in OURS:
        names: tuple[str, ...] = ("torch", "skorch", "scikit-learn")
    else:
        names = PEERS[method].packages
    return "; ".join(f"{name} {_version(name)}" for name in names)


def _version(name: str) -> str:
    if name == "pytorch-widedeep":  # lives in an environment of its own
        from compare_peers_widedeep import installed

        return installed()
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def note(method: str, part: Part) -> str:
    """What a method could not take as it is."""
    takes = READ if method in OURS else PEERS[method].takes
    kinds = {kind for _, kind, _ in part.modalities}
    described = sorted(kinds - takes)
    return f"{', '.join(described)}: hand-made features" if described else ""


def start(method: str) -> Callable[..., Any]:
    """The function that learns, its imports done, so that they are not timed."""
    if method in OURS:
        return importlib.import_module("compare_ours").learner(OURS[method])
    module, name = PEERS[method].fit.split(":")
    fit = getattr(importlib.import_module(module), name)
    return fit() if isinstance(fit, type) else fit
