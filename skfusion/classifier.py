"""FusionClassifier."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin

from skfusion._sklearn import StrOptions, fit_context
from skfusion.estimator.class_target import ClassTarget, known_classes

__all__ = ["FusionClassifier"]


class FusionClassifier(ClassifierMixin, ClassTarget):
    """Classifier that fuses the modalities of a table by adaptive attention.

    Like `ColumnTransformer` and a classifier in one, but the blocks are fused instead
    of concatenated: each modality has an encoder that weighs its elements, speaks alone
    through a head of its own, and is weighed against the others in each row by how far
    it can be trusted there. Missing modalities are left out exactly.

    A row has one class, or any number of labels: `y` is then an indicator matrix of 0
    and 1, dense, sparse or a DataFrame whose columns name the labels.

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
        of classifiers of your own (LightGBM, CatBoost, TabICL, any of scikit-learn)
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
    class_weight : dict, "balanced" or None, default=None
        Weight of each class in the losses, as in scikit-learn. Not of labels, where `y`
        is an indicator matrix.
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
    classes_ : ndarray of shape (n_classes,)
        Class labels; of an indicator matrix, the numbers of its columns.
    class_prior_ : ndarray of shape (n_classes,)
        Share of each class, or of each label, in the (weighted) training rows.
    multilabel_ : bool
        Whether `y` was an indicator of labels.
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

    _parameter_constraints = {
        **ClassTarget._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        modalities=None,
        *,
        fusion="adaptive",
        base_models="auto",
        corruption="auto",
        balance=None,
        n_folds="auto",
        d_model=64,
        dropout=0.25,
        max_epochs="auto",
        batch_size="auto",
        lr=6e-3,
        weight_decay=1e-2,
        class_weight=None,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=16,
        warm_start=False,
        n_jobs=None,
        device="auto",
        callbacks=None,
        checkpoint=None,
        random_state=None,
        verbose=0,
    ):
        super().__init__(
            modalities,
            fusion=fusion,
            base_models=base_models,
            corruption=corruption,
            balance=balance,
            n_folds=n_folds,
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
            n_jobs=n_jobs,
            device=device,
            callbacks=callbacks,
            checkpoint=checkpoint,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    @fit_context(prefer_skip_nested_validation=False)
    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> Self:
        """Learn from one batch of rows after another.

        The first call, where nothing is fitted yet, is a `fit`: modalities (vocabulary,
        scales, categories) are fitted on its rows alone, so let it be a fair sample of
        some hundred rows or more. With each further batch networks and base models go
        on, and trust is adjusted on parts of it that are held out. No row is kept. A
        call that fails, or that Ctrl-C ends, leaves the estimator as it was.

        Parameters
        ----------
        X : as in `fit`
        y : array-like of shape (n_samples,), or an indicator of labels
        classes : array-like of shape (n_classes,), optional
            All classes that any batch may hold. Needed in the first call (but not of
            labels), and the same in every other, if given at all.
        sample_weight : array-like of shape (n_samples,), optional
            As in `fit`; weights of all batches are of one unit.

        Returns
        -------
        self : object
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight='balanced' is not known before all batches are: pass a "
                "dict, such as that of sklearn.utils.class_weight.compute_class_weight."
            )
        former = self.classes_ if self.__sklearn_is_fitted__() else None
        if classes is not None:
            classes = self._check_y(classes)
        self._announced = known_classes(self._check_y(y), classes, former)
        try:
            return self._partial_fit(X, y, sample_weight)
        finally:
            del self._announced

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probability of each class, or of each label.

        Parameters
        ----------
        X : DataFrame, array of shape (n_samples, n_features), or ModalityBatch

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`. Of labels (n_samples, n_labels), one array and
            not a list: the probability that the row has the label. Rows do not sum to
            1. A label that was constant in the training rows has 0 or 1.
        """
        proba = self._link.mean(self._outputs(self._batch(X)).logits)
        return self._of_all(proba, self.class_prior_)

    def predict(self, X: Any) -> NDArray[Any]:
        """Most probable class of each row, or its labels.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Of labels an indicator, (n_samples, n_labels) of int: 1 where the
            probability is above 0.5.
        """
        proba = self.predict_proba(X)
        if self.multilabel_:
            return (proba > 0.5).astype(np.int64)
        return self.classes_[proba.argmax(axis=1)]

    def modality_proba(self, X: Any) -> dict[str, NDArray[np.float64]]:
        """What each modality says alone.

        Returns
        -------
        proba : dict of str to ndarray of shape (n_samples, n_classes)
            Where a modality is absent, the class shares of the training rows.
        """
        batch = self._batch(X)
        share = self.class_prior_
        if self.multilabel_:
            share = share[self._learned]
        prior = self._link.logits(share)
        alone = self._link.mean(prior + self._outputs(batch).alone)  # (n, M, C)
        alone = self._of_all(alone, self.class_prior_)
        return {name: alone[:, m] for m, name in enumerate(self.modality_names_)}
