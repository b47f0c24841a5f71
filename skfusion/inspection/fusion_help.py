"""Is fusion worth its while? One estimator against its own parts, on the same folds."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student
from sklearn.base import clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.pipeline import Pipeline

from skfusion import FusionClassifier, FusionRegressor, ModalityTransformer
from skfusion.batch import ModalityBatch
from skfusion.inspection._resolving import quiet_about_empty_rows

__all__ = ["FusionHelp", "does_fusion_help"]

FUSION, CONCAT, ONLY = "fusion", "concatenation", "only "


class FusionHelp:
    """What `does_fusion_help` found.

    Attributes
    ----------
    scores : DataFrame
        A row a fold, a column a candidate: "fusion", "concatenation", and "only ..."
        for each modality.
    table : DataFrame
        A row a candidate, the best first: "score", its mean over the folds; "gain",
        how much higher fusion is; "low" and "high", the interval of that gain.
    verdict : str
        The answer in words; it begins with "Yes", "No" or "Not shown".
    """

    def __init__(
        self, scores: pd.DataFrame, test_share: float, confidence: float
    ) -> None:
        self.scores = scores
        rows = {}
        for name in scores.columns:
            gain = (scores[FUSION] - scores[name]).to_numpy()
            low, high = _corrected_interval(gain, test_share, confidence)
            rows[name] = {
                "score": scores[name].mean(),
                "gain": gain.mean(),
                "low": low,
                "high": high,
            }
        table = pd.DataFrame.from_dict(rows, orient="index")
        table.loc[FUSION, ["gain", "low", "high"]] = np.nan
        self.table = table.sort_values("score", ascending=False, kind="stable")
        self.verdict = self._say(confidence)

    def _say(self, confidence: float) -> str:
        alone = [n for n in self.table.index if n.startswith(ONLY)]
        rivals = [alone[0], CONCAT]
        gains = {name: self.table.loc[name] for name in rivals}
        against = " and ".join(
            f"{name} ({g['gain']:+.3f}, from {g['low']:+.3f} to {g['high']:+.3f})"
            for name, g in gains.items()
        )
        tail = f"{against}; intervals of {confidence:.0%} over {len(self.scores)} folds"
        if all(g["low"] > 0 for g in gains.values()):
            return f"Yes: fusion is better than {tail}."
        worse = [name for name, g in gains.items() if g["high"] < 0]
        if worse:
            return (
                f"No: {' and '.join(worse)} does better than fusion. Gain over {tail}."
            )
        return f"Not shown: the gain of fusion may be nothing. Over {tail}."

    def __repr__(self) -> str:
        return f"{self.verdict}\n\n{self.table.round(4).to_string()}"

    def _repr_html_(self) -> str:
        return (
            f"<p><b>{html.escape(self.verdict)}</b></p>"
            f"{self.table.round(4).to_html(na_rep='')}"
        )


def does_fusion_help(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    cv: Any = 5,
    groups: Any = None,
    scoring: str | Callable[..., float] | None = None,
    confidence: float = 0.95,
) -> FusionHelp:
    """Compare fusion with each modality alone and with concatenation.

    All are fitted on the same folds, with the same parameters: the estimator as it is,
    the same with ``fusion="concat"``, and the same on each modality by itself.

    Parameters
    ----------
    estimator : FusionClassifier, FusionRegressor, or Pipeline that ends in one
        Fitted or not; clones are fitted. The Pipeline holds a `ModalityTransformer`.
    X : DataFrame or array of n_samples rows
    y : array-like of shape (n_samples,)
    cv : int, splitter or iterable, default=5
        As in scikit-learn; a `RepeatedStratifiedKFold` gives narrower intervals.
    groups : array-like of shape (n_samples,), optional
        For splitters that keep groups together.
    scoring : str or callable, optional
        As in scikit-learn; by default accuracy or R2.
    confidence : float, default=0.95
        Of the intervals.

    Returns
    -------
    help : FusionHelp
        Shows itself as a verdict and a table. "Yes" needs an interval of the gain that
        is above 0 over the best modality and over concatenation; "No" one that is
        below 0; anything else is "Not shown".

    Notes
    -----
    The scores of folds are not independent, since their training rows overlap. The
    interval is the corrected resampled t interval of Nadeau and Bengio, of variance
    ``(1 / n_folds + n_test / n_train) * var(differences)``. The best modality is chosen
    by the same scores, which favours it a little.

    References
    ----------
    Nadeau and Bengio (2003), "Inference for the generalization error".

    Examples
    --------
    >>> from skfusion import FusionClassifier
    >>> from skfusion.datasets import make_multimodal_classification
    >>> from skfusion.inspection import does_fusion_help
    >>> made = make_multimodal_classification(90, random_state=0, n_modalities=2)
    >>> views = [(n, made.kinds[n], columns) for n, columns in made.modalities.items()]
    >>> clf = FusionClassifier(views, max_epochs=2, d_model=16, random_state=0)
    >>> found = does_fusion_help(clf, made.data, made.target, cv=2)
    >>> sorted(found.table.index)
    ['concatenation', 'fusion', 'only tabular', 'only text']
    """
    if not 0 < confidence < 1:
        raise ValueError(
            "The 'confidence' parameter of does_fusion_help must be a float in the "
            f"range (0, 1). Got {confidence!r} instead."
        )
    before, final = _parts(estimator)
    scorer = check_scoring(final, scoring=scoring)
    y = np.asarray(y)
    folds = list(check_cv(cv, y, classifier=is_classifier(final)).split(X, y, groups))
    if len(folds) < 2:
        raise ValueError("does_fusion_help needs at least 2 folds; cv gave 1.")
    with quiet_about_empty_rows():
        scores = pd.DataFrame(
            [_score(before, final, X, y, a, b, scorer) for a, b in folds]
        )
    test_share = float(np.mean([len(test) / len(train) for train, test in folds]))
    return FusionHelp(scores, test_share, confidence)


def _parts(estimator: Any) -> tuple[Any, Any]:
    """What makes a batch of a frame, and what learns from the batch; both unfitted."""
    if isinstance(estimator, Pipeline) and len(estimator) > 1:
        before, final = estimator[:-1], estimator[-1]
    else:
        before, final = getattr(estimator, "modalities", None), estimator
        if not isinstance(before, ModalityTransformer):
            before = ModalityTransformer(before)
    if not isinstance(final, FusionClassifier | FusionRegressor):
        raise TypeError(
            "does_fusion_help takes a FusionClassifier or FusionRegressor, or a "
            f"Pipeline that ends in one. Got {type(estimator).__name__} instead."
        )
    return before, final


def _score(
    before: Any,
    final: Any,
    X: Any,
    y: NDArray[Any],
    train: NDArray[np.intp],
    test: NDArray[np.intp],
    scorer: Callable[..., float],
) -> dict[str, float]:
    """The score of every candidate on one fold."""
    transformer = clone(before)
    learn = transformer.fit_transform(_take(X, train), y[train])
    tell = transformer.transform(_take(X, test))
    if not isinstance(learn, ModalityBatch) or len(learn.names) < 2:
        raise ValueError(
            "does_fusion_help needs at least two modalities from a "
            f"ModalityTransformer; {transformer!r} gives {learn!r:.60}."
        )
    concat = clone(final).set_params(fusion="concat")
    candidates = {FUSION: (final, learn.names), CONCAT: (concat, learn.names)}
    candidates |= {ONLY + name: (final, (name,)) for name in learn.names}
    scores = {}
    for label, (candidate, names) in candidates.items():
        fitted = clone(candidate).fit(learn.in_order(names), y[train])
        scores[label] = float(scorer(fitted, tell.in_order(names), y[test]))
    return scores


def _take(X: Any, rows: NDArray[np.intp]) -> Any:
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def _corrected_interval(
    differences: NDArray[np.float64], test_share: float, confidence: float
) -> tuple[float, float]:
    """Corrected resampled t interval of the mean difference between two estimators."""
    k = len(differences)
    variance = (1 / k + test_share) * differences.var(ddof=1)
    width = student.ppf((1 + confidence) / 2, k - 1) * np.sqrt(variance)
    return float(differences.mean() - width), float(differences.mean() + width)
