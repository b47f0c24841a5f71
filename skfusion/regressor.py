"""FusionRegressor."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.utils import check_array
from torch import Tensor

from skfusion._sklearn import fit_context
from skfusion._validation import check_no_missing, check_numbers
from skfusion.estimator.partial_fit import PartialFit
from skfusion.evidence.learn import Learned
from skfusion.evidence.target_scale import OnScale, TargetScale, choose_scale
from skfusion.training.folds import NetworkPlan
from skfusion.training.links import Identity

__all__ = ["FusionRegressor"]


class FusionRegressor(RegressorMixin, PartialFit):
    """Regressor that fuses the modalities of a table by adaptive attention.

    The target is standardised inside, and transformed where heavy tails make that
    better; several targets are allowed. Otherwise it works as `FusionClassifier` does.

    Parameters
    ----------
    modalities : ModalityTransformer, list of (name, transformer, columns), or None, \
            default=None
        Which columns feed which modality. None finds the modalities from the columns
        of a DataFrame; a numeric array is one tabular modality. Not used where `fit`
        is given a `ModalityBatch`, as in a `Pipeline` after a `ModalityTransformer`.
    fusion : {"adaptive", "attention", "bottleneck", "concat", "mean"} or Fusion, \
            default="adaptive"
        How what the modalities know and say is fused; a name stands for the rule with
        its defaults, such as :class:`~skfusion.fusion.AdaptiveFusion`.
    base_models : "auto", None or list of (name, estimator), default="auto"
        "auto" lets fast scikit-learn models (linear ones and boosted trees) learn on
        the features of each modality, and of all together, beside the network. A list
        of regressors of your own (LightGBM, CatBoost, TabPFN, any of scikit-learn)
        joins these. Held-out rows decide what each counts; see `base_model_weights_`.
        None is the network alone. Only with ``fusion="adaptive"`` or "bottleneck".
    corruption : "auto", Corruption or None, default="auto"
        How modalities are corrupted during training, which teaches the network whom to
        trust and to do without. "auto" is `Corruption()`, at half its rates below 500
        rows; None trains on clean rows only. A single modality is never corrupted.
    balance : {"mmpareto", "ogm_ge"}, Balance or None, default=None
        What keeps a modality that learns fast from starving the others, by changing the
        gradients of their encoders; a name stands for the strategy with its defaults,
        such as :class:`~skfusion.balance.MMPareto`. Each modality has a loss of its own
        anyway, so None measured as well (see the docs). A single modality is left
        alone.
    n_folds : int or "auto", default="auto"
        Networks that are trained, each on all rows but one fold, which then tells how
        far every source can be trusted; their outputs are averaged. 1 trains one
        network and holds out `validation_fraction` of the rows. "auto" is 5 below 1,000
        distinct rows (with pictures or sounds 3), 3 below 4,000, else 1. Below 40 rows
        nothing is held out, and base models stay out.
    d_model : int, default=64
        Width of tokens and of what a modality knows. A multiple of the attention heads.
    dropout : float, default=0.25
        Dropout probability in the encoders and above them.
    max_epochs : int or "auto", default="auto"
        Passes over the training rows; the learning rate falls to 0 over them. "auto"
        is 80,000 / n_samples, between 6 and 30, or fewer where every modality's encoder
        asks for fewer, and at least what makes 100 steps. Text, pictures and tables of
        rare categories stop learning after fewer epochs than the others, which keeps
        them from overfitting.
    batch_size : int or "auto", default="auto"
        Rows a step. "auto" is 64 below 400 rows, 128 below 10,000, else 256.
    lr : float, default=0.006
        Highest learning rate of AdamW, after a warm-up over 5 % of the steps.
    weight_decay : float, default=0.01
        Decoupled weight decay of AdamW.
    early_stopping : bool, default=False
        Whether training stops when the loss of the held-out rows no longer improves,
        and keeps the best epoch. Running every epoch measured better.
    validation_fraction : float, default=0.1
        Share of the training rows to hold out, where there is one fold.
    n_iter_no_change : int, default=16
        Epochs without improvement after which `early_stopping=True` stops.
    warm_start : bool, default=False
        Whether the next `fit` goes on from the present weights and modalities.
    n_jobs : int or None, default=None
        Processes over which the folds are spread; None is 1, -1 one for each core.
        Within a process, one thread works.
    device : str, default="auto"
        Where the network lives: "cpu", "cuda", "cuda:1"; "auto" takes a GPU if any.
    callbacks : list of skorch callbacks, or None, default=None
        Further callbacks of the training; they are copied.
    checkpoint : str, path-like or None, default=None
        A folder for what a killed fit had learned, written after each epoch. The same
        fit (rows, parameters, `random_state`, versions) goes on from there, to the same
        result as without the interruption. A fit that is complete removes its files.
    random_state : int, RandomState instance or None, default=None
        Seeds the weights, the order of rows, corruption, dropout and the validation
        rows. Two fits with one seed are equal to the bit. NumPy's and torch's global
        random states are left as they were.
    verbose : int, default=0
        1 shows a progress bar with the losses and the time left.

    Attributes
    ----------
    y_mean_, y_scale_ : ndarray of shape (n_targets,)
        By which the target is standardised inside.
    y_transformed_ : ndarray of bool of shape (n_targets,)
        Whether the target was learned on a scale that is logarithmic far from its
        median. Held-out rows choose, where a target has heavy tails; see the user
        guide.
    y_base_ : ndarray of shape (n_targets,)
        What contributions are added to: the mean, or of a transformed target what is
        predicted where nothing is known.
    modality_names_ : tuple of str
        Names of the modalities, in the order given.
    modalities_ : ModalityTransformer
        The fitted modalities; missing where `fit` was given a `ModalityBatch`.
    history_ : DataFrame
        One row an epoch of the first fold: losses of the fused output and of each
        modality, seconds, and what a `balance` strategy did to each.
    n_iter_ : int
        Epochs run.
    base_model_weights_ : DataFrame, or None
        What the network and each base model count in the evidence of each modality and
        of the joint part; fitted on held-out rows, None where ``fusion`` has no trust.
    networks_ : list of torch.nn.Module
        The trained networks, one a fold.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where `X` has names that are all strings.

    See Also
    --------
    FusionClassifier : The same for classes.
    ModalityTransformer : Turns columns into modalities.

    Examples
    --------
    >>> import numpy as np
    >>> from skfusion import FusionRegressor
    >>> X = np.random.default_rng(0).normal(size=(80, 3))
    >>> reg = FusionRegressor(max_epochs=20, random_state=0).fit(X, X[:, 0])
    >>> reg.predict(X[:2]).shape
    (2,)
    """

    _link: Identity = Identity()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _check_y(self, y: Any) -> NDArray[np.float64]:
        check_no_missing(y)
        check_numbers(y)
        return check_array(
            y, ensure_2d=False, dtype=np.float64, order="C", input_name="y"
        )

    def _as_learned(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._scale.learned(y.reshape(len(y), -1))

    def _encode_target(
        self, y: NDArray[np.float64], weight: NDArray[np.float64]
    ) -> tuple[Tensor, Tensor, NDArray[np.float64]]:
        self._flat = y.ndim == 1
        y = y.reshape(len(y), -1)
        self.y_mean_ = np.average(y, axis=0, weights=weight)
        centred = y - self.y_mean_
        largest = np.abs(centred).max(axis=0)  # squares of small numbers underflow
        largest = np.where(largest > 0, largest, 1.0)
        sd = np.sqrt(np.average((centred / largest) ** 2, axis=0, weights=weight))
        sd = sd * largest
        self.y_scale_ = np.where(sd > 1e-12 * np.abs(self.y_mean_), sd, 1.0)
        transformed = getattr(self, "y_transformed_", None) if self.warm_start else None
        self._scale = TargetScale.fit(
            y, weight, self.y_mean_, self.y_scale_, transformed
        )
        target = torch.from_numpy(self._scale.learned(y)).float()
        return target, torch.zeros(y.shape[1]), weight

    def _learn(
        self,
        learned: Learned,
        plan: NetworkPlan,
        tasks: Any,
        start: Any = None,
        former: Any = None,
        share: float = 1.0,
    ) -> None:
        """Choose the scale of the target first; further batches go on with theirs."""
        if former is None:
            learned = self._on_scale(learned, plan.seed, compare=start is None)
        self._link = OnScale(self._scale)
        plan = plan._replace(link=self._link)
        super()._learn(learned, plan, tasks, start, former, share)

    def _on_scale(self, learned: Learned, seed: int, *, compare: bool) -> Learned:
        """The rows with their target on the scale that is chosen."""
        z, before = learned.target.double().numpy(), self._scale
        batch, weight, splits = learned.batch, learned.weight, learned.splits
        self._scale = choose_scale(
            before, batch, z, weight, splits, seed % 2**31, compare=compare
        )
        self.y_transformed_, self.y_base_ = self._scale.transformed, self._scale.base
        if (self.y_transformed_ == before.transformed).all():
            return learned
        t = np.where(self.y_transformed_, z, before.standardised(z))
        return learned._replace(target=torch.from_numpy(t).float())

    @fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from one batch of rows after another.

        The first call, where nothing is fitted yet, is a `fit`: modalities (vocabulary,
        scales, categories) and the mean and scale of the target are those of its rows,
        so let it be a fair sample of some hundred rows or more. With each further batch
        networks and base models go on, and trust is adjusted on parts of it that are
        held out. No row is kept. A call that fails, or that Ctrl-C ends, leaves the
        estimator as it was.

        Parameters
        ----------
        X : as in `fit`
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), optional
            As in `fit`; weights of all batches are of one unit.

        Returns
        -------
        self : object
        """
        return self._partial_fit(X, y, sample_weight)

    def _update_prior(
        self, target: NDArray[Any], weight: NDArray[np.float64], share: float
    ) -> tuple[Tensor, NDArray[np.float64]]:
        return torch.zeros(target.shape[1]), weight / weight.mean()

    @property
    def _output_names(self) -> list[Any]:
        return list(range(len(self.y_mean_)))

    def _in_units(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        y = self._scale.value(z)
        return y[:, 0] if self._flat else y

    def _in_output_units(
        self, parts: NDArray[np.float64], logits: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        slope = self._scale.slope(logits)  # (n, C)
        return parts * slope.reshape(len(slope), *[1] * (parts.ndim - 2), -1)

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Predicted value of each row, in the units of `y`.

        Parameters
        ----------
        X : DataFrame, array of shape (n_samples, n_features), or ModalityBatch

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets), as in `fit`
        """
        return self._in_units(self._outputs(self._batch(X)).logits)

    def modality_predict(self, X: Any) -> dict[str, NDArray[np.float64]]:
        """What each modality predicts alone, in the units of `y`.

        Returns
        -------
        y : dict of str to ndarray of shape (n_samples,) or (n_samples, n_targets)
            Where a modality is absent, `y_base_`: the mean of the training rows, if the
            target is not transformed.
        """
        alone = self._outputs(self._batch(X)).alone  # (n, M, C)
        return {
            name: self._in_units(alone[:, m])
            for m, name in enumerate(self.modality_names_)
        }
