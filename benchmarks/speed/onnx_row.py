"""One row in onnxruntime and in `predict_proba`: clothing reviews, two texts and facts.

    python -m benchmarks.speed.onnx_row
    python -m benchmarks.speed.onnx_row --rows 800 --path model.onnx

Medians of 200 test rows that come one by one, on one thread: the graph alone; with
`onnx_inputs`, which cleans and tokenises; and `predict_proba`, which does all of it.
The report of the export comes first, its differences on other test rows.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnxruntime
import torch

from benchmarks.speed.checkpoint import TRIPLES
from skfusion import FusionClassifier, export_onnx, onnx_inputs
from skfusion.datasets import load_clothing_reviews

N_TIMED = 200


def median_ms(function: Callable[[Any], Any], rows: Sequence[Any]) -> float:
    """Median of the milliseconds for each of the rows."""
    seconds = []
    for row in rows:
        start = time.perf_counter()
        function(row)
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds)


def measure(n: int, path: str) -> None:
    """Fit, export, and print the times."""
    X, y = load_clothing_reviews(subset="train", return_X_y=True)
    test = load_clothing_reviews(subset="test").data
    clf = FusionClassifier(TRIPLES, random_state=0).fit(X.head(n), y.head(n))
    start = time.perf_counter()
    print(export_onnx(clf, path, test.iloc[N_TIMED : N_TIMED + 256]))
    print(f"export: {time.perf_counter() - start:.0f} s")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)
    rows = [test.iloc[i : i + 1] for i in range(N_TIMED)]
    inputs = [onnx_inputs(clf, row) for row in rows]
    graph = median_ms(lambda x: session.run(None, x), inputs)
    both = median_ms(lambda row: session.run(None, onnx_inputs(clf, row)), rows)
    model = median_ms(clf.predict_proba, rows)
    print(
        f"{n} training rows, {len(clf.networks_)} networks: {graph:.2f} ms the graph, "
        f"{both:.2f} with its inputs, {model:.2f} predict_proba"
    )


def main() -> None:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2000, help="to learn from")
    parser.add_argument("--path", help="where the graph is kept")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        measure(args.rows, args.path or str(Path(folder) / "model.onnx"))


if __name__ == "__main__":
    main()
