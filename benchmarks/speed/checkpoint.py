"""What checkpoints cost: a fit of clothing reviews with and without them, in turns.

    python -m benchmarks.speed.checkpoint
    python -m benchmarks.speed.checkpoint --rows 800 3000 --repeats 5

CPU-seconds of one thread, the least of the repeats. Only training rows are read.
"""

import argparse
import tempfile
import time
from typing import Any

from skfusion import FusionClassifier
from skfusion.datasets import load_clothing_reviews

TRIPLES = [
    ("title", "text", "Title"),
    ("review", "text", "Review Text"),
    (
        "facts",
        "tabular",
        ["Age", "Positive Feedback Count", "Division Name", "Department Name"],
    ),
]


def seconds(X: Any, y: Any, folder: str | None) -> float:
    """CPU time of a fit."""
    clf = FusionClassifier(TRIPLES, random_state=0, checkpoint=folder)
    start = time.process_time()
    clf.fit(X, y)
    return time.process_time() - start


def main() -> None:
    """Print a line for each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[800, 3000])
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    X, y = load_clothing_reviews(subset="train", return_X_y=True)
    for n in args.rows:
        without, with_ = [], []
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(args.repeats):
                without.append(seconds(X.head(n), y.head(n), None))
                with_.append(seconds(X.head(n), y.head(n), folder))
        print(
            f"{n} rows: {min(without):.2f} CPU-s without, {min(with_):.2f} with "
            f"checkpoints ({min(with_) / min(without) - 1:+.1%})",
            flush=True,
        )


if __name__ == "__main__":
    main()
