"""What the classifier and the regressor share: validate, transform, train, explain."""

from __future__ import annotations

import copy
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from skfusion import balance as balance_strategies
from skfusion import fusion as fusion_rules
from skfusion._rows import count_copies, is_numeric, own_order, split_rows
from skfusion._sklearn import (
    Interval,
    StrOptions,
    VisualBlock,
    fit_context,
)
from skfusion.automatic import (
    automatic_batch_size,
    automatic_corruption,
    automatic_epochs,
    automatic_folds,
    automatic_members,
)
from skfusion.balance.base import Balance
from skfusion.batch import ModalityBatch
from skfusion.calibration import Calibration, LabelledRows, calibrate
from skfusion.corruption import Corruption, CorruptionPlan, Plans
from skfusion.ensemble import Fold
from skfusion.experts import EXPERTS, Experts, ExpertTask
from skfusion.fusion.base import Fusion, FusionShape
from skfusion.modalities.transformer import ModalityTransformer, check_frame
from skfusion.network import FusionNetwork
from skfusion.outputs import Outputs, model_outputs
from skfusion.training import (
    BatchDataset,
    Recipe,
    corrupt_batch,
    history_frame,
    interrupted,
    resolve_device,
    train,
)

__all__ = ["BaseFusion"]

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


class BaseFusion(BaseEstimator, ABC):
    """Base of `FusionClassifier` and `FusionRegressor`."""

    _is_classification: bool
    net_: Any
    _nets: list[Any]
    _folds: list[Fold]
    _built: dict[str, Any]
    _calibration: Calibration | None
    modality_names_: tuple[str, ...]

    _parameter_constraints: dict[str, list[Any]] = {
        "modalities": [ModalityTransformer, list, tuple, None],
        "fusion": [StrOptions(set(FUSIONS)), Fusion],
        "experts": [StrOptions({"auto"}), None],
        "corruption": [StrOptions({"auto"}), Corruption, None],
        "balance": [StrOptions(set(BALANCES)), Balance, None],
        "n_folds": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "n_members": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
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
        "early_stopping": [StrOptions({"auto"}), "boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "device": [str],
        "callbacks": [list, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        modalities: ModalityTransformer | list[Any] | None = None,
        *,
        fusion: str | Fusion = "adaptive",
        experts: str | None = "auto",
        corruption: str | Corruption | None = "auto",
        balance: str | Balance | None = None,
        n_folds: int | str = "auto",
        n_members: int | str = "auto",
        d_model: int = 128,
        dropout: float = 0.25,
        max_epochs: int | str = "auto",
        batch_size: int | str = "auto",
        lr: float = 2e-3,
        weight_decay: float = 1e-2,
        early_stopping: bool | str = "auto",
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 16,
        warm_start: bool = False,
        device: str = "auto",
        callbacks: list[Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.modalities = modalities
        self.fusion = fusion
        self.experts = experts
        self.corruption = corruption
        self.balance = balance
        self.n_folds = n_folds
        self.n_members = n_members
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
        self.device = device
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose

    # ------------------------------------------------------------ what subclasses say

    @abstractmethod
    def _encode_target(self, y: Any) -> tuple[Tensor, Tensor]:
        """Validate `y`; return the network's targets and its output without evidence.

        Returns
        -------
        target : Tensor (n_samples,) of class indices, or (n_samples, C) standardised
        prior : Tensor (C,)
        """

    @abstractmethod
    def _class_weights(self, target: NDArray[Any]) -> NDArray[np.float64] | None:
        """Weight of each row that follows from its class."""

    # ------------------------------------------------------------ parameters

    def set_params(self, **params: Any) -> Self:
        """Set parameters; those of a part are written ``part__parameter``.

        A part that is given by its short name (``fusion="adaptive"``) is replaced by
        its spec first, so that ``fusion__n_heads`` can be searched.
        """
        for part, specs in (("fusion", FUSIONS), ("balance", BALANCES)):
            nested = any(key.startswith(f"{part}__") for key in params)
            given = params.get(part, getattr(self, part))
            if nested and isinstance(given, str):
                params[part] = specs[given]()
        return super().set_params(**params)

    # ------------------------------------------------------------ fit

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from rows.

        Parameters
        ----------
        X : DataFrame, array of shape (n_samples, n_features), or ModalityBatch
            A batch is what `ModalityTransformer` returns, as in a `Pipeline`.
        y : array-like of shape (n_samples,) or, in regression, (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), optional
            Whole numbers mean so many copies of the row; others scale the row's loss.

        Returns
        -------
        self : object
        """
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is "
                "None."
            )
        X = self._check_X(X, reset=True)
        y = self._check_y(y)
        n = len(X)
        if len(y) != n:
            raise ValueError(
                "Found input variables with inconsistent numbers of samples: "
                f"X has {n} rows and y has {len(y)}."
            )
        X, y, weight = count_copies(X, y, sample_weight)
        target, prior = self._encode_target(y)
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        device = resolve_device(self.device)
        cuda = [torch.device(device)] if device.startswith("cuda") else []
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(seed)
            self._fit_seeded(X, y, target, prior, weight, seed, device)
        return self

    def _fit_seeded(
        self,
        X: Any,
        y: NDArray[Any],
        target: Tensor,
        prior: Tensor,
        weight: NDArray[np.float64] | None,
        seed: int,
        device: str,
    ) -> None:
        """Fit the modalities, split off validation rows, build and train the net."""
        again = self.warm_start and hasattr(self, "net_")
        if again and len(prior) != len(self.net_.module_.prior):
            raise ValueError(
                f"warm_start=True goes on with a network of "
                f"{len(self.net_.module_.prior)} outputs, but y now needs {len(prior)}."
                " Use warm_start=False to start afresh."
            )
        batch = self._transform(X) if again else self._fit_modalities(X, y)
        if again and batch.names != self.modality_names_:
            raise ValueError(
                f"warm_start=True goes on with the modalities {self.modality_names_}, "
                f"but got {batch.names}. Use warm_start=False to start afresh."
            )
        self.modality_names_ = batch.names
        batch = batch.in_order(self._names)
        order = own_order(batch, target)
        batch, target = batch[order], target[order]
        row_weight = self._row_weights(
            target.numpy(), None if weight is None else weight[order]
        )
        costs = [modality.cost for modality in batch.modalities.values()]
        splits = self._splits(target, seed, costs)
        rule = self._rule()
        task = self._expert_task(rule, prior, seed, fitted=splits[0][1] is not None)
        structure = self._structure(rule, len(splits))
        if again:
            self._check_structure(structure)
        nets, folds, held_out = [], [], []
        for f, (rows, held) in enumerate(splits):
            learned = _dataset(batch, target, row_weight, rows)
            if f == 0:
                first = _labelled(learned)
            watched = None
            if held is not None:
                watched = _dataset(batch, target, row_weight, held)
                held_out.append(_labelled(watched))
            network = (
                self._nets[f].module_
                if again
                else self._build(rule, batch, prior, len(rows), len(splits))
            )
            recipe = self._recipe(network, costs, len(rows), device)
            net = train(
                network,
                batch.names,
                learned,
                watched,
                recipe,
                is_classification=self._is_classification,
                label=f"fold {f + 1}/{len(splits)}" if len(splits) > 1 else None,
            )
            experts = None
            if task is not None:
                y_rows, w_rows = learned.y.numpy(), learned.weight.numpy()
                experts = Experts(task).fit(
                    learned.batch, y_rows, None if row_weight is None else w_rows
                )
            nets.append(net)
            folds.append(
                Fold(
                    network,
                    experts,
                    learned.batch,
                    is_classification=self._is_classification,
                )
            )
            if interrupted(net):
                break
        self._nets, self._folds, self.net_ = nets, folds, nets[0]
        self._built = structure
        self.history_ = history_frame(nets[0])
        self.n_iter_ = len(self.history_)
        self._calibration = None
        if held_out:
            self._calibration = calibrate(
                folds,
                held_out,
                first,
                self._calibration_corruption(recipe.corruption),
                is_classification=self._is_classification,
                learns_trust=rule.learns_trust,
                log_prior=prior.double(),
            )

    def _structure(self, rule: Fusion, n_folds: int) -> dict[str, Any]:
        """What the networks were built by, which a warm start must keep."""
        return {
            "fusion": repr(rule),
            "d_model": self.d_model,
            "n_members": self.n_members,
            "n_folds": n_folds,
        }

    def _check_structure(self, structure: dict[str, Any]) -> None:
        for name, value in structure.items():
            if value != self._built[name]:
                raise ValueError(
                    f"warm_start=True goes on with networks that were built with "
                    f"{name}={self._built[name]}, but it would now be {value}. Use "
                    "warm_start=False to start afresh."
                )

    def _calibration_corruption(self, corruption: Plans | None) -> Plans | None:
        """More disturbed rows than in training: trust is learned from few rows."""
        if corruption is None or not isinstance(self.corruption, str):
            return corruption
        return Corruption(p_corrupt=0.3)

    def _expert_task(
        self, rule: Fusion, prior: Tensor, seed: int, *, fitted: bool
    ) -> ExpertTask | None:
        """What experts have to learn, or None where there are none."""
        if self.experts is None or not rule.learns_trust or not fitted:
            return None
        share = np.exp(prior.double().numpy())
        return ExpertTask(self._is_classification, len(share), share, seed % 2**31)

    def _check_X(self, X: Any, *, reset: bool) -> Any:
        """Validate what can be said before the modalities look at their columns."""
        if isinstance(X, ModalityBatch):
            if reset:
                self.n_features_in_ = X.shape[1]
            elif X.names != self.modality_names_:
                raise ValueError(
                    f"{type(self).__name__} was fitted on the modalities "
                    f"{self.modality_names_}, but got {X.names}."
                )
            return X
        if hasattr(X, "columns") and hasattr(X, "shape"):
            check_frame(X)
            # One automatic table has no columns of its own to look for, so it is held
            # to scikit-learn's rule on the order of columns.
            one_table = not reset and self.modality_names_ == ("tabular",)
            if reset or (one_table and self.modalities is None):
                validate_data(self, X, skip_check_array=True, reset=reset)
            return X
        if not sparse.issparse(X) and not is_numeric(X):
            return self._check_X(pd.DataFrame(np.asarray(X, dtype=object)), reset=reset)
        return validate_data(self, X, reset=reset, ensure_all_finite="allow-nan")

    @abstractmethod
    def _check_y(self, y: Any) -> NDArray[Any]:
        """Validate the target, without encoding it."""

    def _fit_modalities(self, X: Any, y: NDArray[Any]) -> ModalityBatch:
        if isinstance(X, ModalityBatch):
            return X
        given = self.modalities
        if isinstance(given, ModalityTransformer):
            self.modalities_ = clone(given)
        else:
            self.modalities_ = ModalityTransformer(given)
        return self.modalities_.fit_transform(X, y)

    def _transform(self, X: Any) -> ModalityBatch:
        return X if isinstance(X, ModalityBatch) else self.modalities_.transform(X)

    def _splits(
        self, target: Tensor, seed: int, costs: list[int]
    ) -> Sequence[tuple[NDArray[np.intp], NDArray[np.intp] | None]]:
        """For each network, the rows to learn from, and those to calibrate on."""
        n = len(target)
        held_out = n >= 100 if self.early_stopping == "auto" else self.early_stopping
        if not held_out or n < 2:
            return [(np.arange(n), None)]
        n_folds = automatic_folds(n, costs)
        if not isinstance(self.n_folds, str):
            n_folds = self.n_folds
        return split_rows(
            target.numpy(),
            n_folds,
            n_held=max(1, math.ceil(self.validation_fraction * n)),
            seed=seed,
            is_classification=self._is_classification,
        )

    def _row_weights(
        self, target: NDArray[Any], weight: NDArray[np.float64] | None
    ) -> Tensor | None:
        by_class = self._class_weights(target)
        if by_class is not None:
            weight = by_class if weight is None else weight * by_class
        if weight is None:
            return None
        return torch.from_numpy((weight / weight.mean()).astype(np.float32))

    def _recipe(
        self, network: FusionNetwork, costs: list[int], n: int, device: str
    ) -> Recipe:
        """Resolve what is "auto", by the number of training rows."""
        batch_size = automatic_batch_size(n)
        if not isinstance(self.batch_size, str):
            batch_size = self.batch_size
        fusion: Any = network.fusion
        max_epochs = automatic_epochs(
            n, batch_size, passes=network.passes, costs=costs, steps=fusion.steps
        )
        if not isinstance(self.max_epochs, str):
            max_epochs = self.max_epochs
        corruption = None
        if len(self.modality_names_) > 1 and self.corruption is not None:
            corruption = automatic_corruption(n)
            if not isinstance(self.corruption, str):
                corruption = self.corruption
                corruption._validate_params()
        strategy = self._strategy()
        balance = None
        if strategy is not None and len(self.modality_names_) > 1:
            balance = strategy.build(self._names)
        return Recipe(
            max_epochs=max_epochs,
            batch_size=min(batch_size, n),
            lr=self.lr,
            weight_decay=self.weight_decay,
            n_iter_no_change=(
                self.n_iter_no_change if self.early_stopping is True else None
            ),
            corruption=corruption,
            device=device,
            callbacks=[copy.deepcopy(c) for c in self.callbacks or ()],
            verbose=int(self.verbose),
            balance=balance,
        )

    def _rule(self) -> Fusion:
        rule = self.fusion
        rule = FUSIONS[rule]() if isinstance(rule, str) else clone(rule)
        rule._validate_params()
        return rule

    def _strategy(self) -> Balance | None:
        if self.balance is None:
            return None
        given = self.balance
        strategy = BALANCES[given]() if isinstance(given, str) else clone(given)
        strategy._validate_params()
        return strategy

    def _build(
        self,
        rule: Fusion,
        batch: ModalityBatch,
        prior: Tensor,
        n: int,
        n_folds: int,
    ) -> FusionNetwork:
        n_members = automatic_members(n, n_folds)
        if not isinstance(self.n_members, str):
            n_members = self.n_members
        shape = FusionShape(
            n_modalities=len(batch.names),
            d_model=self.d_model,
            n_outputs=len(prior),
            n_members=n_members,
            n_samples=n,
            is_classification=self._is_classification,
            dropout=self.dropout,
        )
        encoders = [
            modality.build_encoder(self.d_model, self.dropout)
            for modality in batch.modalities.values()
        ]
        return FusionNetwork(
            encoders,
            rule.build(shape),
            d_model=self.d_model,
            prior=prior,
            n_members=n_members,
            n_heads=rule.n_heads,
            dropout=self.dropout,
        )

    # ------------------------------------------------------------ predict, explain

    def _batch(self, X: Any) -> ModalityBatch:
        """Validate and transform rows for prediction; warn of rows without content."""
        check_is_fitted(self)
        batch = self._transform(self._check_X(X, reset=False))
        empty = int((~batch.present.any(axis=1)).sum())
        if empty:
            what = "class shares" if self._is_classification else "mean"
            warnings.warn(
                f"{empty} row(s) have no modality present; they are given the training "
                f"rows' {what}.",
                UserWarning,
                stacklevel=3,
            )
        return batch

    @property
    def _names(self) -> tuple[str, ...]:
        """The modalities as the networks know them: their order changes no bit."""
        return tuple(sorted(self.modality_names_))

    def _outputs(self, batch: ModalityBatch) -> Outputs:
        """The model's word on rows, its modalities in the user's order."""
        ours = batch.in_order(self._names)
        out = model_outputs(self._folds, self._calibration, ours)
        return out.in_order([self._names.index(name) for name in batch.names])

    def modality_weights(self, X: Any) -> NDArray[np.float64]:
        """How much each modality was relied on, row by row.

        Parameters
        ----------
        X : as in `predict`

        Returns
        -------
        weights : ndarray of shape (n_samples, n_modalities)
            In the order of `modality_names_`. Rows sum to 1; an absent modality has
            exactly 0, and a row in which all are absent is all 0.
        """
        return self._outputs(self._batch(X)).weights

    def modality_contributions(
        self, X: Any
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What each modality, and the joint part, added to the output.

        Returns
        -------
        contributions : ndarray of shape (n_samples, n_modalities, n_classes)
            In the order of `modality_names_`. Of a classifier, signed contributions to
            the log-odds of each class (centred, so that those of one row and modality
            sum to 0); of a regressor, to the prediction in the units of `y`, of shape
            (n_samples, n_modalities, n_targets). An absent modality has exactly 0.
        joint : ndarray of shape (n_samples, n_classes)
            What belongs to no single modality.

        Notes
        -----
        ``softmax(contributions.sum(axis=1) + joint)`` is `predict_proba`; in a
        regression, the sum plus the mean of the training target is the prediction.
        """
        out = self._outputs(self._batch(X))
        return self._in_output_units(out.parts), self._in_output_units(out.joint)

    @abstractmethod
    def _in_output_units(self, parts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Parts of the logits as a user reads them."""

    def corrupt(
        self, X: Any, corruption: Plans, *, random_state: int | None = None
    ) -> tuple[ModalityBatch, CorruptionPlan]:
        """Rows disturbed as in training, for seeing what the model makes of it.

        Parameters
        ----------
        X : as in `predict`
        corruption : Corruption, Noise, Swap or Drop
            From :mod:`skfusion.corruption`.
        random_state : int, optional
            Seed of the disturbance.

        Returns
        -------
        batch : ModalityBatch
            The disturbed rows; every method that takes `X` takes it too.
        plan : CorruptionPlan
            What happened to each modality of each row.
        """
        if not hasattr(corruption, "plan"):
            raise TypeError(
                "The 'corruption' parameter of corrupt must be a spec from "
                f"skfusion.corruption, such as Noise(3.0). Got {corruption!r} instead."
            )
        if isinstance(corruption, BaseEstimator):
            corruption._validate_params()
        batch = self._batch(X).in_order(self._names)
        network = self.net_.module_
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(check_random_state(random_state).randint(2**31 - 1))
            plan = corruption.plan(torch.from_numpy(batch.present), batch.names)
            batch = corrupt_batch(batch, network.encoders, plan)
        order = [self._names.index(name) for name in self.modality_names_]
        plan = CorruptionPlan(*(column[:, order] for column in plan))
        return batch.in_order(self.modality_names_), plan

    def joint_share(self, X: Any) -> NDArray[np.float64]:
        """Share of the output that belongs to no single modality.

        Returns
        -------
        share : ndarray of shape (n_samples,)
            Between 0 (the output is the weighted sum of what the modalities say) and 1.
        """
        return self._outputs(self._batch(X)).joint_share

    def element_weights(self, X: Any, modality: str) -> list[pd.Series]:
        """How much each element of a modality was attended to, row by row.

        Parameters
        ----------
        X : as in `predict`
        modality : str
            One of `modality_names_`.

        Returns
        -------
        weights : list of n_samples Series
            Indexed by the elements (words, patches, intervals, columns), summing to 1;
            empty in rows where the modality is absent.
        """
        check_is_fitted(self)
        if modality not in self.modality_names_:
            raise ValueError(
                f"The 'modality' parameter must be one of {self.modality_names_}. Got "
                f"{modality!r} instead."
            )
        batch = self._batch(X)
        attention = self._outputs(batch).attention[batch.names.index(modality)]
        return batch.modalities[modality].elements(batch.blocks[modality], attention)

    @property
    def expert_weights_(self) -> pd.DataFrame | None:
        """What the network and each kind of expert count in each witness's word."""
        check_is_fitted(self)
        if self._calibration is None:
            return None
        mix = self._calibration.mix.share.numpy()
        names = [*self._names, "joint"][: len(mix)]
        table = pd.DataFrame(mix, names, ["network", *EXPERTS][: mix.shape[1]])
        return table.loc[[*self.modality_names_, *names[len(self._names) :]]]

    # ------------------------------------------------------------ scikit-learn

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "net_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.target_tags.required = True
        return tags

    def _sk_visual_block_(self) -> VisualBlock:
        modalities: Any = getattr(self, "modalities_", self.modalities)
        if not isinstance(modalities, ModalityTransformer):
            modalities = ModalityTransformer(modalities)
        rule = FUSIONS[self.fusion]() if isinstance(self.fusion, str) else self.fusion
        return VisualBlock("serial", [modalities, rule], names=["modalities", "fusion"])


def _dataset(
    batch: ModalityBatch, target: Tensor, weight: Tensor | None, rows: NDArray[np.intp]
) -> BatchDataset:
    weight = None if weight is None else weight[rows]
    whole = len(rows) == len(batch)
    return BatchDataset(batch if whole else batch[rows], target[rows], weight)


def _labelled(rows: BatchDataset) -> LabelledRows:
    return LabelledRows(rows.batch, rows.y, rows.weight)
