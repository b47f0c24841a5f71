"""What is inspected: the fitted estimator, what stands before it, and its rows."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skfusion import FusionClassifier, FusionRegressor, ModalityTransformer
from skfusion.batch import Block, ModalityBatch

__all__ = [
    "Resolved",
    "has_labels",
    "logits",
    "quiet_about_empty_rows",
    "resolve",
    "unwrap",
    "with_block",
    "with_present",
]


class Resolved:
    """A fitted estimator of this package, and the transformer that feeds it.

    Parameters
    ----------
    final : FusionClassifier or FusionRegressor
    before : fitted transformer or None
        Turns a frame into a `ModalityBatch`; None where only batches can be taken.
    """

    def __init__(self, final: Any, before: Any) -> None:
        self.final, self.before = final, before

    @property
    def names(self) -> tuple[str, ...]:
        return self.final.modality_names_

    def batch(self, X: Any) -> ModalityBatch:
        """Rows as the estimator reads them."""
        if isinstance(X, ModalityBatch):
            return X
        if self.before is None:
            raise TypeError(
                f"This {type(self.final).__name__} was fitted on a ModalityBatch, so "
                f"it cannot read a {type(X).__name__}. Pass the whole Pipeline, or "
                "what its ModalityTransformer returns."
            )
        return self.before.transform(X)

    @property
    def reads_frames(self) -> bool:
        """Whether it is known which columns of the frame feed which modality."""
        return self._transformer() is not None

    def _transformer(self) -> ModalityTransformer | None:
        before = self.before
        if isinstance(before, Pipeline) and len(before) == 1:
            before = before[0]
        return before if isinstance(before, ModalityTransformer) else None

    def triples(self) -> list[tuple[str, Any, list[Any]]]:
        """(name, fitted modality, names of its columns in the frame)."""
        transformer = self._transformer()
        if transformer is None:
            raise TypeError(
                "Which columns feed which modality is known only where a "
                "ModalityTransformer reads the frame directly; here it is "
                f"{self.before!r}. Move what comes before it out of the Pipeline."
            )
        return [(name, m, list(c.names)) for name, m, c in transformer.modalities_]


def unwrap(estimator: Any) -> Any:
    """The fitted estimator that a search has found; others as they are."""
    return getattr(estimator, "best_estimator_", estimator)


def resolve(estimator: Any) -> Resolved:
    """Find the estimator of this package in what the user passed.

    Parameters
    ----------
    estimator : fitted estimator
        FusionClassifier, FusionRegressor, Pipeline that ends in one, or search over it.
    """
    estimator = unwrap(estimator)
    final = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    if not isinstance(final, FusionClassifier | FusionRegressor):
        raise TypeError(
            "Expected a fitted FusionClassifier or FusionRegressor, or a Pipeline "
            f"that ends in one. Got {type(estimator).__name__} instead"
            + ("." if final is estimator else f", ending in {type(final).__name__}.")
        )
    check_is_fitted(final)
    if final is estimator:
        return Resolved(final, getattr(final, "modalities_", None))
    return Resolved(final, estimator[:-1])


def logits(final: Any, batch: ModalityBatch) -> NDArray[np.float64]:
    """Output (n, C): log-probabilities of classes, log-odds of labels, or predictions.

    The log-odds of a label that was constant in the training rows are large, and the
    same in all rows.
    """
    with quiet_about_empty_rows():
        if is_classifier(final):
            contributions, joint = final.modality_contributions(batch)
            evidence = contributions.sum(axis=1) + joint
            found = final._link.logits(final.class_prior_) + evidence
            if has_labels(final):
                return np.nan_to_num(found, posinf=1e3, neginf=-1e3)
            return log_softmax(found, axis=1)
        predicted = np.asarray(final.predict(batch), dtype=np.float64)
    return predicted.reshape(len(batch), -1)


def has_labels(estimator: Any) -> bool:
    """Whether an estimator of this package has learned an indicator of labels."""
    return getattr(estimator, "multilabel_", False)


@contextmanager
def quiet_about_empty_rows() -> Iterator[None]:
    """No warning of rows without content, where they are emptied on purpose."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\d+ row\(s\) have no modality present")
        yield


def with_present(batch: ModalityBatch, present: NDArray[np.bool_]) -> ModalityBatch:
    """The same rows with another mask (n, M); True = present."""
    blocks = {
        name: Block(block.arrays, present[:, m], block.cells)
        for m, (name, block) in enumerate(batch.blocks.items())
    }
    return ModalityBatch(blocks, batch.modalities)


def with_block(batch: ModalityBatch, name: str, block: Block) -> ModalityBatch:
    """The same rows with another block in the place of one."""
    return ModalityBatch({**batch.blocks, name: block}, batch.modalities)
