"""What each modality added to the output, with sign."""

from __future__ import annotations

from typing import Any

from sklearn.base import is_classifier
from sklearn.utils import Bunch

from skfusion.inspection._resolving import quiet_about_empty_rows, resolve

__all__ = ["modality_contributions"]


def modality_contributions(estimator: Any, X: Any) -> Bunch:
    """Split the output of each row into what each modality, and the joint part, added.

    Parameters
    ----------
    estimator : FusionClassifier, FusionRegressor, or Pipeline that ends in one
        Fitted.
    X : DataFrame, array or ModalityBatch of n_samples rows

    Returns
    -------
    contributions : Bunch
        names : tuple of str
            The M modalities.
        contributions : ndarray of shape (n_samples, n_modalities, n_outputs)
            Of a classifier, signed contributions to the log-odds of each class; those
            of one modality and row sum to 0, but not those to the log-odds of labels.
            Of a regressor, to the prediction, in the units of `y`. An absent modality
            has exactly 0.
        joint : ndarray of shape (n_samples, n_outputs)
            What belongs to no single modality.
        joint_share : ndarray of shape (n_samples,)
            Size of the joint part relative to the whole, 0 to 1.
        baseline : ndarray of shape (n_outputs,)
            What the output starts from: of a classifier, the logarithm of the class
            shares; of labels, the logits of their shares; of a regressor, `y_base_`.
        output : ndarray of shape (n_samples, n_outputs)
            ``baseline + contributions.sum(axis=1) + joint``. Its softmax, of labels
            its logistic function, is `predict_proba`; of a regressor it is the
            prediction.

    See Also
    --------
    modality_shapley : What changes where modalities are taken away.

    Notes
    -----
    A contribution says how the model came to its output; it is not what would happen
    without the modality, since the others would then be given more weight. That is what
    Shapley values say.

    Examples
    --------
    >>> import numpy as np
    >>> from skfusion import FusionRegressor
    >>> from skfusion.inspection import modality_contributions
    >>> X = np.random.default_rng(0).normal(size=(60, 4))
    >>> views = [("left", "vector", [0, 1]), ("right", "vector", [2, 3])]
    >>> reg = FusionRegressor(views, max_epochs=3, d_model=16, random_state=0)
    >>> parts = modality_contributions(reg.fit(X, 3 * X[:, 0]), X)
    >>> parts.names, parts.contributions.shape
    (('left', 'right'), (60, 2, 1))
    >>> bool(np.allclose(parts.output[:, 0], reg.predict(X)))
    True
    """
    found = resolve(estimator)
    batch = found.batch(X)
    contributions, joint = found.final.modality_contributions(batch)
    output = contributions.sum(axis=1) + joint
    if is_classifier(found.final):
        baseline = found.final._link.logits(found.final.class_prior_)
    else:
        with quiet_about_empty_rows():
            predicted = found.final.predict(batch)
        baseline = (predicted.reshape(output.shape) - output).mean(axis=0)
    return Bunch(
        names=found.names,
        contributions=contributions,
        joint=joint,
        joint_share=found.final.joint_share(batch),
        baseline=baseline,
        output=output + baseline,
    )
