"""What a fitted estimator tells of its predictions."""

from __future__ import annotations

import copy
from abc import abstractmethod
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.validation import check_is_fitted

from skfusion.batch import ModalityBatch
from skfusion.corruption import CorruptionPlan, Plans, corrupt_batch
from skfusion.estimator.card import model_card
from skfusion.evidence.held_out import Summary, summarise
from skfusion.evidence.outputs import EvidenceModel, NetworkModel, Outputs
from skfusion.network import FusionNetwork
from skfusion.training.links import Link

__all__ = ["Explanations"]


class Explanations:
    """The methods of the estimators that explain: weights, contributions, elements."""

    _link: Link
    _model: EvidenceModel | NetworkModel
    networks_: list[FusionNetwork]
    modality_names_: tuple[str, ...]

    @abstractmethod
    def _batch(self, X: Any) -> ModalityBatch:
        """Validate and transform rows for prediction."""

    @abstractmethod
    def _truth(self, y: Any, n: int) -> NDArray[Any]:
        """The targets of n rows as the model has them."""

    @abstractmethod
    def _in_output_units(
        self, parts: NDArray[np.float64], logits: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Parts (n, ..., C) of the logits (n, C) as a user reads them."""

    @property
    @abstractmethod
    def _output_names(self) -> list[Any]:
        """Names of the outputs: classes, or numbers of targets."""

    @property
    def _names(self) -> tuple[str, ...]:
        """The modalities as the networks know them: their order changes no bit."""
        return tuple(sorted(self.modality_names_))

    @property
    def _order(self) -> list[int]:
        """Where the modalities, in the user's order, stand in that of the networks."""
        return [self._names.index(name) for name in self.modality_names_]

    def _outputs(self, batch: ModalityBatch, *, joint: str = "separate") -> Outputs:
        """What the model says of rows, its modalities in the user's order."""
        out = self._model.outputs(batch.in_order(self._names), joint=joint)
        return out.in_order(self._order)

    def modality_weights(self, X: Any) -> NDArray[np.float64]:
        """How much each modality was relied on, row by row.

        Parameters
        ----------
        X : as in `predict`

        Returns
        -------
        weights : ndarray of shape (n_samples, n_modalities)
            Each modality's share in the size of what the modalities added to the
            output, half of it to the class that is predicted and half to all classes
            on average; of labels, to all on average. In the order of `modality_names_`.
            Rows sum to 1; an absent modality has exactly 0, and a row in which all are
            absent is all 0.
        """
        return self._outputs(self._batch(X)).weights

    def modality_trust(self, X: Any) -> NDArray[np.float64]:
        """How far each modality is believed in a row, whatever it says.

        Returns
        -------
        trust : ndarray of shape (n_samples, n_modalities)
            The factor of its evidence, at least 0; exactly 0 where it is absent. A
            modality that is trusted and says nothing weighs nothing.
        """
        return self._outputs(self._batch(X)).trust

    def modality_contributions(
        self, X: Any, *, joint: str = "separate"
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What each modality, and the joint part, added to the output.

        Parameters
        ----------
        X : as in `predict`
        joint : {"separate", "shared"}, default="separate"
            "shared" splits the joint part among the modalities, by exact Shapley
            values of the joint part alone; there may be at most 10 modalities.

        Returns
        -------
        contributions : ndarray of shape (n_samples, n_modalities, n_classes)
            In the order of `modality_names_`. Of a classifier, signed contributions to
            the log-odds of each class (centred, so that those of one row and modality
            sum to 0), or to those of each label, (n_samples, n_modalities, n_labels);
            of a regressor, to the prediction in the units of `y`, of shape (n_samples,
            n_modalities, n_targets). An absent modality has exactly 0.
        joint : ndarray of shape (n_samples, n_classes)
            What belongs to no single modality: 0 if "shared".

        Notes
        -----
        ``log(class_prior_) + contributions.sum(axis=1) + joint`` are the logits whose
        softmax is `predict_proba`. Of labels, ``logit(class_prior_)`` plus the sum is
        the logit of `predict_proba`; in a regression, the sum plus `y_base_` is the
        prediction.

        References
        ----------
        Shapley (1953), "A value for n-person games".
        """
        if joint not in ("separate", "shared"):
            raise ValueError(
                "The 'joint' parameter of modality_contributions must be 'separate' or "
                f"'shared'. Got {joint!r} instead."
            )
        out = self._outputs(self._batch(X), joint=joint)
        parts = (out.contributions, out.joint)
        contributions, rest = (self._in_output_units(p, out.logits) for p in parts)
        return contributions, rest

    def joint_share(self, X: Any) -> NDArray[np.float64]:
        """Share of the output that belongs to no single modality.

        Returns
        -------
        share : ndarray of shape (n_samples,)
            Between 0 (the output is the sum of what the modalities say) and 1.
        """
        return self._outputs(self._batch(X)).joint_share

    def element_contributions(self, X: Any, modality: str) -> Bunch:
        """What each element of a modality added to the output, with sign.

        Parameters
        ----------
        X : as in `predict`
        modality : str
            One of `modality_names_`.

        Returns
        -------
        found : Bunch
            elements : list of n_samples DataFrames of shape (n_elements, n_classes)
                Indexed by the elements (words, patches, intervals, columns); empty in
                rows where the modality is absent. In the units of
                `modality_contributions`.
            rest : ndarray of shape (n_samples, n_classes)
                What is not additive over the elements (trees, interactions). Elements
                and rest sum to the modality's contribution.
        """
        batch, out, values = self._element_values(X, modality)
        m = self._names.index(modality)
        rest = out.contributions[:, m] - values.sum(axis=1)
        rest, values = (self._in_output_units(p, out.logits) for p in (rest, values))
        names = self._output_names
        read_by, block = batch.modalities[modality], batch.blocks[modality]
        columns = [
            read_by.elements(block, values[:, :, c]) for c in range(values.shape[2])
        ]
        frames = [
            pd.DataFrame(
                np.stack([s.to_numpy(dtype=float) for s in row], axis=1),
                index=row[0].index,
                columns=names,
            )
            for row in zip(*columns, strict=True)
        ]
        # Padding tokens have no name, and no contribution.
        return Bunch(elements=frames, rest=rest)

    def element_weights(self, X: Any, modality: str) -> list[pd.Series]:
        """Share of each element in the size of what a modality's elements added.

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
        batch, out, values = self._element_values(X, modality)
        added = self._link.size(values, out.logits)
        weights = added / np.maximum(added.sum(axis=1, keepdims=True), 1e-12)
        return batch.modalities[modality].elements(batch.blocks[modality], weights)

    def _element_values(
        self, X: Any, modality: str
    ) -> tuple[ModalityBatch, Outputs, NDArray[np.float64]]:
        """Rows, what is said of them, and contributions of tokens (n, T, C)."""
        check_is_fitted(self)
        if modality not in self.modality_names_:
            raise ValueError(
                f"The 'modality' parameter must be one of {self.modality_names_}. Got "
                f"{modality!r} instead."
            )
        batch = self._batch(X)
        ours = batch.in_order(self._names)
        return batch, *self._model.elements(ours, self._names.index(modality))

    def corrupt(
        self, X: Any, corruption: Plans, *, random_state: int | None = None
    ) -> tuple[ModalityBatch, CorruptionPlan]:
        """Rows corrupted as in training, for seeing what the model makes of it.

        Parameters
        ----------
        X : as in `predict`
        corruption : Corruption, Noise, Swap or Drop
            From :mod:`skfusion.corruption`.
        random_state : int, optional
            Seed of the corruption.

        Returns
        -------
        batch : ModalityBatch
            The corrupted rows; every method that takes `X` takes it too.
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
        seed = check_random_state(random_state).randint(2**31 - 1)
        generator = torch.Generator().manual_seed(int(seed))
        plan = corruption.plan(torch.from_numpy(batch.present), batch.names, generator)
        encoders = copy.deepcopy(self.networks_[0].encoders)
        batch = corrupt_batch(batch, encoders, plan, generator)
        plan = CorruptionPlan(*(column[:, self._order] for column in plan))
        return batch.in_order(self.modality_names_), plan

    @property
    def base_model_weights_(self) -> pd.DataFrame | None:
        """What the network and each base model count in the evidence of each source."""
        check_is_fitted(self)
        if isinstance(self._model, NetworkModel):
            return None
        share = self._model.mix.share
        names = [*self._names, "joint"][: len(share)]
        table = pd.DataFrame(share, names, ["network", *self._model.base.names])
        return table.loc[[*self.modality_names_, *names[len(self._names) :]]]

    def card(self, X: Any = None, y: Any = None) -> str:
        """A model card in Markdown.

        What was learned from, scores on the training rows that were held out, what
        predictions rely on, limits that follow from these, and versions. It holds no
        row.

        Parameters
        ----------
        X : as in `predict`, optional
            Rows that the model has not learned from, to be scored as well.
        y : array-like, optional
            Their answers.

        Returns
        -------
        card : str

        Examples
        --------
        >>> import numpy as np
        >>> from skfusion import FusionRegressor
        >>> X = np.random.default_rng(0).normal(size=(80, 3))
        >>> reg = FusionRegressor(max_epochs=5, random_state=0).fit(X, X[:, 0])
        >>> print(reg.card().partition("##")[0].strip())
        # Model card: FusionRegressor
        """
        check_is_fitted(self)
        columns: dict[str, Summary] = {}
        held = self._model.held_out
        if held is not None:  # its modalities are in the order of the networks
            held = held._replace(weights=held.weights[self._order])
            columns["held-out training rows"] = held
        if X is not None:
            batch = self._batch(X)
            out = self._outputs(batch)
            truth = None if y is None else self._truth(y, len(batch))
            columns["rows given"] = summarise(
                out.logits, out.weights, out.joint_share, truth, link=self._link
            )
        return model_card(self, columns)
