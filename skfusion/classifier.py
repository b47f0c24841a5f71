"""FusionClassifier."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.base import ClassifierMixin
from sklearn.utils import assert_all_finite
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d
from torch import Tensor

from skfusion._estimator import BaseFusion
from skfusion._rows import check_no_missing
from skfusion._sklearn import StrOptions

__all__ = ["FusionClassifier"]


class FusionClassifier(ClassifierMixin, BaseFusion):
    """Classifier that fuses the modalities of a table by adaptive attention.

    Like `ColumnTransformer` and a classifier in one, but the blocks are fused instead
    of concatenated: each modality has an encoder that weighs its elements, speaks alone
    through a head of its own, and is weighed against the others in each row by how far
    it can be trusted there. Missing modalities are left out exactly.

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
    experts : "auto" or None, default="auto"
        "auto" lets fast scikit-learn models (linear ones, forests, boosted trees) learn
        on a summary of each modality, and on all summaries together, beside the
        network. Held-out rows decide what each counts; see `expert_weights_`. Only with
        ``fusion="adaptive"``.
    corruption : "auto", Corruption or None, default="auto"
        How modalities are disturbed during training, which teaches the network whom to
        trust and to do without. "auto" is `Corruption()`, at half its rates below 500
        rows; None trains on clean rows only. A single modality is never disturbed.
    balance : {"mmpareto", "ogm_ge"}, Balance or None, default=None
        What keeps a modality that learns fast from starving the others, by changing the
        gradients of their encoders; a name stands for the strategy with its defaults,
        such as :class:`~skfusion.balance.MMPareto`. Each modality has a loss of its own
        anyway, so None measured as well (see the docs). A single modality is left
        alone.
    n_folds : int or "auto", default="auto"
        Networks that are trained, each on all rows but one fold, which then tells how
        far it can be trusted; their outputs are averaged. 1 trains one network and
        holds out `validation_fraction` of the rows. "auto" is 5 below 1,000 rows
        (with pictures 3) and 3 below 4,000 (without pictures, sounds and series), else
        1.
    n_members : int or "auto", default="auto"
        Members of the parameter-efficient ensemble that shares the encoders. "auto" is
        4 for one fold of up to 10,000 rows, else 2.
    d_model : int, default=128
        Width of tokens and of what a modality knows. A multiple of the attention heads.
    dropout : float, default=0.25
        Dropout probability in the encoders and above them.
    max_epochs : int or "auto", default="auto"
        Passes over the training rows; the learning rate falls to 0 over them. "auto"
        is 150,000 / n_samples, between 8 and 100, or fewer where every modality's
        encoder asks for fewer. Text, pictures and tables of rare categories stop
        learning after fewer passes than the others, which keeps them from learning
        rows by heart.
    batch_size : int or "auto", default="auto"
        Rows a step. "auto" is 128 below 10,000 rows and 256 above.
    lr : float, default=0.002
        Highest learning rate of AdamW, after a warm-up over 5 % of the steps.
    weight_decay : float, default=0.01
        Decoupled weight decay of AdamW.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class in the losses, as in scikit-learn.
    early_stopping : bool or "auto", default="auto"
        True holds out validation rows, stops when their loss no longer improves, and
        keeps the best epoch. "auto" holds them out, from 100 rows, only to learn whom
        to trust, and runs every epoch, which measured better. False learns from every
        row: experts stay out, and all modalities weigh the same.
    validation_fraction : float, default=0.1
        Share of the training rows to hold out, where there is one fold.
    n_iter_no_change : int, default=16
        Epochs without improvement after which `early_stopping=True` stops.
    warm_start : bool, default=False
        Whether the next `fit` goes on from the present weights and modalities.
    device : str, default="auto"
        Where the network lives: "cpu", "cuda", "cuda:1"; "auto" takes a GPU if any.
    callbacks : list of skorch callbacks, or None, default=None
        Further callbacks of the training; they are copied.
    random_state : int, RandomState instance or None, default=None
        Seeds the weights, the order of rows, corruption, dropout and the validation
        rows. Two fits with one seed are equal to the bit. NumPy's and torch's global
        random states are left as they were.
    verbose : int, default=0
        1 shows a progress bar with the losses and the time left.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    modality_names_ : tuple of str
        Names of the modalities, in the order given.
    modalities_ : ModalityTransformer
        The fitted modalities; missing where `fit` was given a `ModalityBatch`.
    history_ : DataFrame
        One row an epoch of the first fold: losses of the fused output and of each
        modality, seconds, and what a `balance` strategy did to each.
    n_iter_ : int
        Epochs run.
    expert_weights_ : DataFrame, or None
        What the network and each kind of expert count in the word of each modality
        and of the joint part; fitted on held-out rows, None where there are none.
    net_ : skorch.NeuralNet
        The trained net of the first fold; ``net_.module_`` is the torch network.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where `X` has names that are all strings.

    See Also
    --------
    FusionRegressor : The same for numeric targets.
    ModalityTransformer : Turns columns into modalities.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skfusion import FusionClassifier
    >>> frame = pd.DataFrame(
    ...     {"note": ["fits well", "seam broke"] * 30, "price": np.arange(60.0)}
    ... )
    >>> liked = ["yes", "no"] * 30
    >>> clf = FusionClassifier(
    ...     [("note", "text", "note"), ("facts", "tabular", ["price"])],
    ...     max_epochs=10, d_model=16, random_state=0,
    ... ).fit(frame, liked)
    >>> clf.predict(frame.head(2))
    array(['yes', 'no'], dtype='<U3')
    >>> clf.modality_weights(frame.head(2)).shape
    (2, 2)
    """

    _is_classification = True
    classes_: NDArray[Any]
    _parameter_constraints = {
        **BaseFusion._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        modalities=None,
        *,
        fusion="adaptive",
        experts="auto",
        corruption="auto",
        balance=None,
        n_folds="auto",
        n_members="auto",
        d_model=128,
        dropout=0.25,
        max_epochs="auto",
        batch_size="auto",
        lr=2e-3,
        weight_decay=1e-2,
        class_weight=None,
        early_stopping="auto",
        validation_fraction=0.1,
        n_iter_no_change=16,
        warm_start=False,
        device="auto",
        callbacks=None,
        random_state=None,
        verbose=0,
    ):
        super().__init__(
            modalities,
            fusion=fusion,
            experts=experts,
            corruption=corruption,
            balance=balance,
            n_folds=n_folds,
            n_members=n_members,
            d_model=d_model,
            dropout=dropout,
            max_epochs=max_epochs,
            batch_size=batch_size,
            lr=lr,
            weight_decay=weight_decay,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            warm_start=warm_start,
            device=device,
            callbacks=callbacks,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def _check_y(self, y: Any) -> NDArray[Any]:
        y = column_or_1d(y, warn=True)
        check_no_missing(y)
        assert_all_finite(y, estimator_name=type(self).__name__, input_name="y")
        check_classification_targets(y)
        return y

    def _encode_target(self, y: NDArray[Any]) -> tuple[Tensor, Tensor]:
        classes, index = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                "FusionClassifier needs samples of at least 2 classes in y, but y has "
                f"only one class: {classes[0]!r}."
            )
        again = self.warm_start and hasattr(self, "net_")
        if again and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"warm_start=True goes on with the classes {self.classes_}, but y now "
                f"has {classes}. Use warm_start=False to start afresh."
            )
        self.classes_ = classes
        share = np.bincount(index) / len(index)
        return torch.from_numpy(index), torch.from_numpy(np.log(share)).float()

    def _class_weights(self, target: NDArray[Any]) -> NDArray[np.float64] | None:
        if self.class_weight is None:
            return None
        return compute_sample_weight(self.class_weight, self.classes_[target])

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probability of each class.

        Parameters
        ----------
        X : DataFrame, array of shape (n_samples, n_features), or ModalityBatch

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        return softmax(self._outputs(self._batch(X)).logits, axis=-1)

    def _in_output_units(self, parts: NDArray[np.float64]) -> NDArray[np.float64]:
        return parts - parts.mean(axis=-1, keepdims=True)

    def predict(self, X: Any) -> NDArray[Any]:
        """Most probable class of each row.

        Returns
        -------
        y : ndarray of shape (n_samples,)
        """
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(axis=1)]

    def modality_proba(self, X: Any) -> dict[str, NDArray[np.float64]]:
        """What each modality says alone.

        Returns
        -------
        proba : dict of str to ndarray of shape (n_samples, n_classes)
            Where a modality is absent, the class shares of the training rows.
        """
        batch = self._batch(X)
        alone = softmax(self._outputs(batch).unimodal, axis=-1)  # (n, M, C)
        prior = softmax(self.net_.module_.prior.double().cpu().numpy())
        alone = np.where(batch.present[:, :, None], alone, prior)
        return {name: alone[:, m] for m, name in enumerate(self.modality_names_)}
