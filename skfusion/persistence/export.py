"""A fitted model as an ONNX graph, for runtimes without Python."""

from __future__ import annotations

import copy
import logging
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skfusion._validation import shorten
from skfusion.batch import Block, ModalityBatch
from skfusion.estimator.base import BaseFusion
from skfusion.evidence.outputs import EvidenceModel
from skfusion.modalities.columns import take_rows
from skfusion.persistence.graph import EvidenceGraph, NetworkGraph, Rows
from skfusion.persistence.graph_links import torch_link
from skfusion.persistence.graph_parts import Constants, Features, ScaleGraph
from skfusion.persistence.inputs import inputs_of, opened
from skfusion.persistence.writing import complete_file

__all__ = ["OnnxReport", "export_onnx"]

#: Largest difference from the model that is no reason for a warning.
TOLERANCE = 1e-4
#: Rows that are compared at most, and one by one.
MAX_ROWS, TIMED_ROWS = 256, 200
#: Modalities that are left out in turns, at most.
MAX_SUBSETS = 50
#: Length of a padded axis of the rows by which torch follows the model.
LEAST = 8


class OnnxReport(NamedTuple):
    """What `export_onnx` wrote, and how near it is to the model.

    Parameters
    ----------
    path : str
    differences : Series
        Largest absolute difference from the model on the rows that were given: of
        probabilities or, in a regression, of predictions in standard deviations of the
        training target. Of the rows as they are ("all"), and without each modality.
        Empty where no rows were given.
    row_ms : float
        Median of the milliseconds that onnxruntime takes for one row, on one thread of
        the CPU; NaN where no rows were given.
    inputs, outputs : dict of str to str
        Names, and types with shapes.
    """

    path: str
    differences: pd.Series
    row_ms: float
    inputs: dict[str, str]
    outputs: dict[str, str]

    def __repr__(self) -> str:
        size = os.path.getsize(self.path) / 1e6 if os.path.exists(self.path) else 0
        lines = [f"OnnxReport of {self.path} ({size:.1f} MB)"]
        for title, table in (("inputs", self.inputs), ("outputs", self.outputs)):
            lines += [f"  {title}:", *(f"    {k}: {v}" for k, v in table.items())]
        if self.differences.empty:
            return "\n".join([*lines, "  not compared with the model: no rows given"])
        lines.append("  largest difference from the model:")
        lines += [f"    {k}: {v:.1e}" for k, v in self.differences.items()]
        return "\n".join([*lines, f"  one row: {self.row_ms:.2f} ms"])


# ---------------------------------------------------------------- export


class _Exported(Constants):
    """From named inputs to what a user reads.

    Parameters
    ----------
    estimator : fitted FusionClassifier or FusionRegressor
    """

    def __init__(self, estimator: Any) -> None:
        super().__init__()
        model, self.names = estimator._model, estimator._names
        if isinstance(model, EvidenceModel):
            self.said: nn.Module = EvidenceGraph(model, self.names)
        else:
            self.said = NetworkGraph(model)
        self.order = [self.names.index(name) for name in estimator.modality_names_]
        self.link = torch_link(estimator._link)
        self.flat = getattr(estimator, "_flat", False)
        if self.link.is_classification:
            # Of labels, some were constant: their share is the answer.
            classes, learned = estimator.classes_, estimator._learned
            n = len(classes)
            self.whole = len(learned) == n
            if not self.whole:
                constant = np.setdiff1d(np.arange(n), learned)
                self.keep(
                    place=np.eye(n)[learned],
                    constant=np.eye(n)[constant].T @ estimator.class_prior_[constant],
                )
        else:
            self.scale = ScaleGraph(estimator._scale)

    def forward(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        present = torch.stack([inputs[f"{n}.present"] for n in self.names], dim=1)
        nothing = present.new_zeros(1, dtype=torch.float64).expand(present.shape[0])
        rows = Rows(
            [
                {
                    key.removeprefix(f"{name}."): x
                    for key, x in inputs.items()
                    if key.startswith(f"{name}.")
                }
                for name in self.names
            ],
            present,
            [
                Features(inputs[f"{n}.features"])
                if f"{n}.features" in inputs
                else Features(
                    inputs.get(f"{n}.features.value", nothing),
                    inputs.get(f"{n}.features.index"),
                )
                for n in self.names
            ],
            torch.stack([inputs.get(f"{n}.ood_score", nothing) for n in self.names], 1),
        )
        said = self.said(rows)
        answer = self.link.mean(said.logits)
        contributions = self.link.centre(said.contributions[:, self.order])
        if not self.link.is_classification:
            answer, slope = self.scale(answer)
            answer = answer[:, 0] if self.flat else answer
            contributions = contributions * slope[:, None]
        elif not self.whole:
            answer = answer @ self.place + self.constant
            contributions = contributions @ self.place
        weights = said.weights[:, self.order]
        return answer.float(), weights.float(), contributions.float()


def export_onnx(model: Any, path: str | os.PathLike[str], X: Any = None) -> OnnxReport:
    """Write a fitted model as one ONNX graph.

    Network, base models, mixing step and gate are in it; cleaning, tokenising and the
    features of base models are not, see `onnx_inputs`. Each modality has a mask, by
    which it can be left out. Needs the extra ``onnx``.

    Parameters
    ----------
    model : FusionClassifier, FusionRegressor or Pipeline that ends in one
        A fitted model.
    path : str or path-like
        Where to write, as in ``"model.onnx"``. A file that is there is replaced.
    X : as in `predict`, optional
        Rows on which the graph is compared with the model, at most 256 of them. Take
        rows that look like those to come; without any, nothing is compared.

    Returns
    -------
    report : OnnxReport
        Differences from the model with all modalities and without each (at most 50),
        milliseconds for a row, and names of inputs and outputs. Outputs are
        "probabilities" (n_samples, n_classes), in the order of ``classes_``, or
        "prediction" in the units of the target; "weights" (n_samples, n_modalities),
        as from ``modality_weights``; and "contributions" (n_samples, n_modalities,
        n_outputs), as from ``modality_contributions``.

    Raises
    ------
    ImportError
        Without the extra.
    ValueError
        If a base model or an encoder cannot be written; it is named.

    Warns
    -----
    UserWarning
        If the graph differs from the model by more than 1e-4.

    See Also
    --------
    onnx_inputs : What the graph reads of rows.
    save : A file from which skfusion loads the model.
    """
    ort = _imported()
    estimator, rows = opened(model, _some_rows(model, X))
    batch = estimator._transform(estimator._check_X(rows, reset=False))
    batch = batch.in_order(estimator._names)
    program = _program(estimator, inputs_of(estimator, batch))
    with complete_file(path) as partial:
        program.save(partial)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(
        os.fspath(path), options, providers=["CPUExecutionProvider"]
    )
    compared = None if X is None else batch
    report = _report(os.fspath(path), estimator, session, compared)
    if (report.differences > TOLERANCE).any() or report.differences.isna().any():
        worst = str(report.differences.fillna(np.inf).idxmax())
        warnings.warn(
            f"The graph in {shorten(report.path)} differs from the model by "
            f"{report.differences[worst]:.1e} ({worst}), which is more than "
            f"{TOLERANCE}. Compare it on more rows before you use it.",
            UserWarning,
            stacklevel=2,
        )
    return report


def _imported() -> Any:
    """onnxruntime, if all is there that is needed."""
    try:
        *_, onnxruntime = map(import_module, ("onnx", "onnxscript", "onnxruntime"))
    except ImportError as error:
        raise ImportError(
            "skfusion.export_onnx needs the extra onnx: pip install 'skfusion[onnx]'."
        ) from error
    return onnxruntime


def _some_rows(model: Any, X: Any) -> Any:
    """At most so many of the rows as are compared; without any, two of no content."""
    if X is not None:
        n = X.shape[0] if hasattr(X, "shape") else len(X)
        rows = np.arange(min(n, MAX_ROWS))
        return X[rows] if isinstance(X, ModalityBatch) else take_rows(X, rows)
    names = getattr(model, "feature_names_in_", None)
    if names is not None:
        return pd.DataFrame(None, index=range(2), columns=names, dtype=object)
    n = getattr(model, "n_features_in_", None)
    if n is None:
        raise ValueError("The model does not know its columns: pass rows, as X.")
    return np.full((2, n), np.nan)


def _program(estimator: BaseFusion, inputs: dict[str, NDArray[Any]]) -> Any:
    """The graph, for inputs like these, of any number of rows."""
    dynamic, example = {}, {}
    rows = torch.export.Dim("rows")
    encoders: Any = estimator._model.networks[0].encoders
    padded = {
        f"{name}.{key}": axis
        for name, encoder in zip(estimator._names, encoders, strict=True)
        for key, axis in encoder.padded.items()
    }
    for name, array in inputs.items():
        axes = {0: rows}
        axis = 1 if name.endswith((".index", ".value")) else padded.get(name)
        array = np.resize(array, (2, *array.shape[1:]))
        if axis is not None:
            more = [(0, 0)] * array.ndim
            more[axis] = (0, max(0, LEAST - array.shape[axis]))
            array = np.pad(array, more)
            axes[axis] = torch.export.Dim.AUTO
        example[name], dynamic[name] = torch.from_numpy(array), axes
    classes = estimator._link.is_classification
    module = _Exported(estimator).eval()
    with _quiet(), torch.no_grad():
        try:
            exported = torch.export.export(
                module, (example,), dynamic_shapes=(dynamic,), strict=False
            )
        except Exception as error:
            _blame(estimator, example, dynamic)
            raise ValueError(
                f"The model cannot be exported by torch: {shorten(str(error))}."
            ) from error
        return torch.onnx.export(
            exported,
            input_names=list(inputs),
            output_names=[
                "probabilities" if classes else "prediction",
                "weights",
                "contributions",
            ],
            dynamo=True,
            verbose=False,
        )


def _blame(
    estimator: BaseFusion, example: dict[str, Tensor], dynamic: dict[str, Any]
) -> None:
    """Raise an error that names the modality whose encoder cannot be exported."""
    encoders: Any = estimator._model.networks[0].encoders
    for name, encoder in zip(estimator._names, encoders, strict=True):
        own = {
            key.removeprefix(f"{name}."): key
            for key in example
            if key.startswith(f"{name}.")
        }
        arguments = ({short: example[key] for short, key in own.items()},)
        shapes = ({short: dynamic[key] for short, key in own.items()},)
        try:
            torch.export.export(
                copy.deepcopy(encoder).eval(),
                arguments,
                dynamic_shapes=shapes,
                strict=False,
            )
        except Exception as error:
            raise ValueError(
                f"The encoder of the modality {name!r} ({type(encoder).__name__}) "
                f"cannot be exported by torch: {shorten(str(error))}. In its forward, "
                "no size and no branch may depend on values while "
                "skfusion.network.exporting() is true."
            ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporter says of itself."""
    loggers = [logging.getLogger(n) for n in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


# ---------------------------------------------------------------- comparison


def _report(
    path: str, estimator: BaseFusion, session: Any, batch: ModalityBatch | None
) -> OnnxReport:
    """What is known of a graph; without rows, only what goes in and comes out."""
    differences: dict[str, float] = {}
    row_ms = float("nan")
    if batch is not None:
        differences = _differences(estimator, session, batch)
        row_ms = _row_ms(estimator, session, batch)
    return OnnxReport(
        path,
        pd.Series(differences, dtype=float),
        row_ms,
        {x.name: f"{x.type} {x.shape}" for x in session.get_inputs()},
        {x.name: f"{x.type} {x.shape}" for x in session.get_outputs()},
    )


def _differences(
    estimator: BaseFusion, session: Any, batch: ModalityBatch
) -> dict[str, float]:
    """Largest difference of the rows as they are, and without each modality."""
    cases = {"all": batch}
    for name in estimator.modality_names_[:MAX_SUBSETS]:
        block = batch.blocks[name]
        hidden = Block(block.arrays, np.zeros(len(block), bool), block.cells)
        blocks = batch.blocks | {name: hidden}
        cases[f"without {name}"] = ModalityBatch(blocks, batch.modalities)
    found = {}
    model: Any = estimator
    predict = model.predict_proba if hasattr(model, "classes_") else model.predict
    for case, rows in cases.items():
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".* no modality present")
            expected = predict(rows.in_order(estimator.modality_names_))
        difference = session.run(None, inputs_of(estimator, rows))[0] - expected
        found[case] = float(
            np.abs(difference / getattr(estimator, "y_scale_", 1.0)).max()
        )
    return found


def _row_ms(estimator: BaseFusion, session: Any, batch: ModalityBatch) -> float:
    """Median of the milliseconds for one row."""
    seconds = []
    for i in range(min(len(batch), TIMED_ROWS)):
        inputs = inputs_of(estimator, batch[i])
        start = time.perf_counter()
        session.run(None, inputs)
        seconds.append(time.perf_counter() - start)
    return 1000 * float(np.median(seconds))
