"""The parameters that classifier and regressor share, and what they stand for."""

from __future__ import annotations

import copy
import os
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state

from skfusion import balance as balance_strategies
from skfusion import fusion as fusion_rules
from skfusion._defaults import automatic_batch_size, automatic_corruption
from skfusion._sklearn import Interval, StrOptions
from skfusion.balance.base import Balance
from skfusion.corruption import Corruption, Plans
from skfusion.evidence.learn import Learned
from skfusion.fusion.base import Fusion
from skfusion.modalities.transformer import ModalityTransformer
from skfusion.training.callbacks import check_callbacks
from skfusion.training.checkpoint import check_checkpoint
from skfusion.training.folds import NetworkPlan
from skfusion.training.links import Link
from skfusion.training.trainer import Recipe, resolve_device

__all__ = ["FUSIONS", "Parameters"]

FUSIONS: dict[str, type[Fusion]] = {
    name.removesuffix("Fusion").lower(): getattr(fusion_rules, name)
    for name in fusion_rules.__all__
    if name != "Fusion"
}
BALANCES: dict[str, type[Balance]] = {
    strategy.short_name: strategy
    for name in balance_strategies.__all__
    if (strategy := getattr(balance_strategies, name)) is not Balance
}


class Parameters(BaseEstimator):
    """Parameters: their constraints, their defaults, and what is resolved of them."""

    _link: Link

    _parameter_constraints: dict[str, list[Any]] = {
        "modalities": [ModalityTransformer, list, tuple, None],
        "fusion": [StrOptions(set(FUSIONS)), Fusion],
        "base_models": [StrOptions({"auto"}), list, tuple, None],
        "corruption": [StrOptions({"auto"}), Corruption, None],
        "balance": [StrOptions(set(BALANCES)), Balance, None],
        "n_folds": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "d_model": [Interval(Integral, 4, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "max_epochs": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "batch_size": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "n_jobs": [Integral, None],
        "device": [str],
        "callbacks": [list, None],
        "checkpoint": [str, os.PathLike, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        modalities: ModalityTransformer | list[Any] | None = None,
        *,
        fusion: str | Fusion = "adaptive",
        base_models: str | list[tuple[str, Any]] | None = "auto",
        corruption: str | Corruption | None = "auto",
        balance: str | Balance | None = None,
        n_folds: int | str = "auto",
        d_model: int = 64,
        dropout: float = 0.25,
        max_epochs: int | str = "auto",
        batch_size: int | str = "auto",
        lr: float = 6e-3,
        weight_decay: float = 1e-2,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 16,
        warm_start: bool = False,
        n_jobs: int | None = None,
        device: str = "auto",
        callbacks: list[Any] | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.modalities = modalities
        self.fusion = fusion
        self.base_models = base_models
        self.corruption = corruption
        self.balance = balance
        self.n_folds = n_folds
        self.d_model = d_model
        self.dropout = dropout
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.device = device
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.verbose = verbose

    def set_params(self, **params: Any) -> Self:
        """Set parameters; those of a part are written ``part__parameter``.

        A part that is given by its short name (``fusion="adaptive"``) is replaced by
        its spec first, so that ``fusion__n_heads`` can be searched, and a list of
        modalities by a `ModalityTransformer` of it.
        """
        if any(key.startswith("modalities__") for key in params):
            named = params.get("modalities", self.modalities)
            if named is None:
                raise ValueError(
                    "With modalities=None the modalities are found in fit, and have no "
                    "parameters before. Name them: modalities=[(name, ...), ...]."
                )
            if isinstance(named, list | tuple):
                params["modalities"] = ModalityTransformer(list(named))
        for part, specs in (("fusion", FUSIONS), ("balance", BALANCES)):
            nested = any(key.startswith(f"{part}__") for key in params)
            given = params.get(part, getattr(self, part))
            if nested and isinstance(given, str):
                params[part] = specs[given]()
        return super().set_params(**params)

    def _check_parameters(self) -> tuple[Fusion, int]:
        """The fusion rule, and a seed; what nothing can be learned with is refused."""
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        rule = _spec(self.fusion, FUSIONS)
        resolve_device(self.device)
        check_callbacks(self.callbacks)
        check_checkpoint(self.checkpoint, self.random_state)
        return rule, int(seed)

    def _network_plan(self, learned: Learned, rule: Fusion, seed: int) -> NetworkPlan:
        """How the network of every fold is built and trained."""
        return NetworkPlan(
            rule,
            learned.prior,
            self.d_model,
            self.dropout,
            self._recipe(learned),
            self.early_stopping,
            self._link,
            seed,
        )

    def _recipe(self, learned: Learned) -> Recipe:
        """Resolve what is "auto", by the number of training rows."""
        n = len(learned.splits[0][0])
        batch_size = automatic_batch_size(n)
        if not isinstance(self.batch_size, str):
            batch_size = self.batch_size
        names = learned.batch.names
        several = len(names) > 1
        corruption: Plans | None = None
        if several and self.corruption is not None:
            corruption = automatic_corruption(n)
            if not isinstance(self.corruption, str):
                corruption = self.corruption
                corruption._validate_params()
        strategy = None if self.balance is None else _spec(self.balance, BALANCES)
        return Recipe(
            max_epochs=None if isinstance(self.max_epochs, str) else self.max_epochs,
            batch_size=min(batch_size, n),
            lr=self.lr,
            weight_decay=self.weight_decay,
            n_iter_no_change=self.n_iter_no_change,
            corruption=corruption,
            device=resolve_device(self.device),
            callbacks=[copy.deepcopy(c) for c in self.callbacks or ()],
            verbose=int(self.verbose),
            balance=strategy.build(names) if strategy and several else None,
            checkpoint=self.checkpoint,
        )


def _spec(given: Any, short_names: dict[str, Any]) -> Any:
    """A spec whose parameters are right: that of a short name, or a copy of a given."""
    spec = short_names[given]() if isinstance(given, str) else clone(given)
    spec._validate_params()
    return spec
