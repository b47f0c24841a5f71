"""The methods that are compared: variants of the package's estimators, and peers."""

import functools
import importlib
import subprocess
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import numpy as np

from benchmarks.common.provenance import ROOT
from benchmarks.common.tasks import Part

# What the estimators are constructed with, by the name of the variant. Each variant
# differs from the defaults in one option, so that together they are the ablation. A
# pair (name, options) is a spec of skfusion.fusion with these options.
OURS: dict[str, dict[str, Any]] = {
    "skfusion": {},
    "skfusion:network only": {"base_models": None},
    "skfusion:no folds": {"n_folds": 1},
    "skfusion:no corruption": {"corruption": None},
    "skfusion:concat": {"fusion": "concat"},
    "skfusion:mean": {"fusion": "mean"},
    "skfusion:attention": {"fusion": "attention"},
    "skfusion:bottleneck": {"fusion": "bottleneck"},
}
READ = frozenset({"text", "tabular", "image", "audio", "series", "vector"})
SIMPLE = frozenset({"tabular", "vector"})


class Setup(NamedTuple):
    """How a method is run."""

    seed: int
    threads: int
    seconds: float  # after which it is stopped


#: Takes rows; gives probabilities (n_samples, n_classes) or predicted numbers. It can
#: be pickled: what it holds is what has to be kept for predicting.
Predict = Callable[[Part], np.ndarray]
Learn = Callable[[Part, Setup], Predict]


class Peer(NamedTuple):
    """A method of others."""

    fit: str  # module:function
    packages: tuple[str, ...]
    takes: frozenset[str] = SIMPLE  # kinds of modality that it reads by itself
    tier: int = 1  # the first tiers are run first, over all tasks


HERE = "benchmarks.compare"
TABLE = f"{HERE}.peers_tables"
PLAIN = f"{HERE}.peers_sklearn"
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
        f"{HERE}.peers_widedeep:WideDeep",
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
# pytorch-widedeep lives in an environment of its own, which `make bench` makes.
WIDEDEEP = ROOT / "build" / "venv-widedeep" / "bin" / "python"


def tier(method: str) -> int:
    """The package's defaults come first, then peers, slow ones later, then variants."""
    if method in PEERS:
        return PEERS[method].tier
    return 3 if OURS[method] else 0


@functools.cache
def versions(method: str) -> str:
    """Packages that the figures of a method depend on."""
    if method in OURS:
        names: tuple[str, ...] = ("torch", "skorch", "scikit-learn")
    else:
        names = PEERS[method].packages
    return "; ".join(f"{name} {_version(name)}" for name in names)


def _version(name: str) -> str:
    if name == "pytorch-widedeep":
        return _version_of_widedeep()
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _version_of_widedeep() -> str:
    code = "from importlib.metadata import version; print(version('pytorch-widedeep'))"
    if not WIDEDEEP.exists():
        return "not installed"
    done = subprocess.run([WIDEDEEP, "-c", code], capture_output=True, text=True)
    return done.stdout.strip() or "not installed"


def still_holds(row: Any, code: str) -> bool:
    """Whether a row of results need not be measured again for this code."""
    if row.method in OURS:
        # Files changed since the commit ("+") may have changed since that run too.
        return row.code == code and not code.endswith("+")
    return row.method in METHODS and row.versions == versions(row.method)


def note(method: str, part: Part) -> str:
    """What a method could not take as it is."""
    takes = READ if method in OURS else PEERS[method].takes
    kinds = {kind for _, kind, _ in part.modalities}
    described = sorted(kinds - takes)
    return f"{', '.join(described)}: hand-made features" if described else ""


def start(method: str) -> Learn:
    """The function that learns, its imports done, so that they are not timed."""
    if method in OURS:
        ours = importlib.import_module(f"{HERE}.ours")
        return ours.learner(OURS[method])
    module, name = PEERS[method].fit.split(":")
    fit = getattr(importlib.import_module(module), name)
    return fit() if isinstance(fit, type) else fit
