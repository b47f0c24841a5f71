"""What the ONNX graph of a model reads of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skfusion._validation import shorten
from skfusion.batch import ModalityBatch, padded
from skfusion.estimator.base import BaseFusion
from skfusion.evidence.outputs import EvidenceModel

__all__ = ["inputs_of", "onnx_inputs", "opened"]


def onnx_inputs(model: Any, X: Any) -> dict[str, NDArray[Any]]:
    """What the graph of `export_onnx` reads of rows.

    Parameters
    ----------
    model : FusionClassifier, FusionRegressor or Pipeline that ends in one
        The fitted model that was exported.
    X : as in `predict`

    Returns
    -------
    inputs : dict of str to ndarray
        For each modality, ``"{name}.present"`` (n_samples,), False where it is absent;
        the arrays that its encoder reads; and, where base models or trust read them,
        ``"{name}.features"``, or of sparse features the entries of each row, padded by
        0: ``"{name}.features.index"`` and ``"{name}.features.value"``. To leave a
        modality out, set its mask to False: what the other arrays hold is then not
        read.

    Examples
    --------
    >>> import numpy as np, skfusion
    >>> X = np.random.default_rng(0).normal(size=(80, 3))
    >>> reg = skfusion.FusionRegressor(max_epochs=5, random_state=0).fit(X, X[:, 0])
    >>> {name: x.shape for name, x in skfusion.onnx_inputs(reg, X[:2]).items()}
    {'tabular.present': (2,), 'tabular.numbers': (2, 3), ...}
    """
    estimator, rows = opened(model, X)
    return inputs_of(estimator, estimator._batch(rows).in_order(estimator._names))


def opened(model: Any, X: Any) -> tuple[BaseFusion, Any]:
    """The fusion estimator of a model, and rows as it takes them."""
    if isinstance(model, Pipeline):
        return opened(model[-1], model[:-1].transform(X))
    if not isinstance(model, BaseFusion):
        raise TypeError(
            "ONNX is written of a fitted FusionClassifier or FusionRegressor, or of a "
            f"Pipeline that ends in one. Got {shorten(model)} instead; of a search, "
            "use its best_estimator_."
        )
    check_is_fitted(model)
    return model, X


def inputs_of(estimator: BaseFusion, batch: ModalityBatch) -> dict[str, NDArray[Any]]:
    out: dict[str, NDArray[Any]] = {}
    model = estimator._model
    for m, (name, block) in enumerate(batch.blocks.items()):
        out[f"{name}.present"] = block.present
        for key, array in block.arrays.items():
            out |= _plain(f"{name}.{key}", array)
        if isinstance(model, EvidenceModel):
            features = batch.modalities[name].features(block)
            if sparse.issparse(features) and _is_dense(model, m):
                features = features.toarray()
            out |= _plain(f"{name}.features", features)
            score = batch.modalities[name].ood_score(block)
            if score is not None:
                out[f"{name}.ood_score"] = np.asarray(score, np.float64)
    return out


def _plain(name: str, array: Any) -> dict[str, NDArray[Any]]:
    """An array of a block as ONNX takes it: of float32, uint8, bool or int64."""
    if sparse.issparse(array):
        rows = sparse.csr_matrix(array)
        length = np.diff(rows.indptr)
        there = np.arange(max(length.max(initial=0), 1)) < length[:, None]
        index = np.zeros(there.shape, np.int64)
        value = np.zeros(there.shape, np.float32)
        index[there], value[there] = rows.indices, rows.data
        return {f"{name}.index": index, f"{name}.value": value}
    array = padded(array)
    if array.dtype.kind in "iu" and array.dtype != np.uint8:
        array = array.astype(np.int64)
    elif array.dtype.kind == "f":
        array = array.astype(np.float32)
    return {name: np.ascontiguousarray(array)}


def _is_dense(model: EvidenceModel, m: int) -> bool:
    """Whether the features of a modality are given as a matrix."""
    density, reduced = model.densities[m], model.base.reduced
    is_sparse = density is not None and density.center is None
    return not (is_sparse or (reduced and reduced[m].components is not None))
