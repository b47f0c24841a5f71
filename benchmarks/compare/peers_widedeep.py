"""pytorch-widedeep, which wants numpy < 2 and so lives in an environment of its own.

`make bench` makes that environment from requirements-widedeep.txt. A process in it,
`widedeep_env.py`, learns and predicts; the rows travel as files.
"""

import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.tasks import Part, hold_out
from benchmarks.compare.methods import WIDEDEEP, Setup
from benchmarks.compare.peers_features import Mixed

SCRIPT = Path(__file__).with_name("widedeep_env.py")
SHARE = 0.15  # of the training rows, for stopping early


class WideDeep:
    """`Wide`, `TabMlp`, `BasicRNN` and `Vision` joined by `WideDeep`.

    Sizes and epochs are those of its own examples of clothing reviews and of houses,
    with its `EarlyStopping` on held-out rows. It reads tables, texts and pictures; of
    pictures its own network learns from scratch, as weights cannot be downloaded.
    """

    def __init__(self) -> None:
        if not WIDEDEEP.exists():
            raise SystemExit(f"{WIDEDEEP} is not there; `make bench` makes it.")
        self.process = subprocess.Popen(
            [WIDEDEEP, "-W", "ignore", SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()  # its imports are done

    def __call__(self, train: Part, setup: Setup) -> "Predictor":
        """Hand over the training rows, and wait until they are learned."""
        mixed = Mixed(train, {"text", "tabular", "image"}, setup.seed)
        learn, held = hold_out(train, SHARE, setup.seed)
        with tempfile.TemporaryDirectory() as folder:
            for name, part in (("train", learn), ("held", held)):
                _write(mixed, mixed.transform(part), part.y, Path(folder, name))
            answer = self.ask(
                folder=folder,
                n_classes=train.n_classes,
                texts=mixed.columns("text"),
                images=mixed.columns("image"),
                seed=setup.seed,
                seconds=0.8 * setup.seconds,
            )
        return Predictor(self, mixed, answer["bytes"])

    def ask(self, **order: Any) -> dict[str, float]:
        """Give an order, and wait until it is done."""
        print(json.dumps(order), file=self.process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, float]:
        answer = self.process.stdout.readline().strip()
        if not answer:
            raise RuntimeError("widedeep_env.py ended; see above.")
        return json.loads(answer)


class Predictor:
    """Predicts through that process.

    Attributes
    ----------
    n_bytes : int
        What has to be kept for predicting, pickled.
    seconds : tuple of float
        Wall clock and processor of the last call, without what is lost by files, which
        one would not write in one process.
    """

    def __init__(self, model: WideDeep, mixed: Mixed, n_bytes: int) -> None:
        self.model, self.mixed, self.n_bytes = model, mixed, n_bytes
        self.seconds = (0.0, 0.0)

    def __call__(self, part: Part) -> np.ndarray:
        wall, cpu = time.perf_counter(), time.process_time()
        X = self.mixed.transform(part)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        with tempfile.TemporaryDirectory() as folder:
            _write(self.mixed, X, part.y, Path(folder, "test"))
            answer = self.model.ask(folder=folder)
            predicted = np.load(Path(folder, "predicted.npy"))
        self.seconds = (wall + answer["wall"], cpu + answer["cpu"])
        return predicted


def _write(mixed: Mixed, X: Any, y: np.ndarray, stem: Path) -> None:
    images = mixed.columns("image")
    pictures = {c: np.stack([_rgb(p) for p in X[c]]) for c in images}
    X.drop(columns=images).assign(target=y).to_parquet(stem.with_suffix(".parquet"))
    np.savez(stem.with_suffix(".npz"), **pictures)


def _rgb(picture: np.ndarray) -> np.ndarray:
    return np.dstack([picture] * 3) if picture.ndim == 2 else picture
