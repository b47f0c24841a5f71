"""pytorch-widedeep, which wants numpy < 2 and so lives in an environment of its own.

`make bench` makes that environment from requirements-widedeep.txt. A process in it,
`widedeep_env.py`, learns and predicts; the rows travel as files.
"""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from compare_peers_sklearn import Predict, Setup
from compare_peers_tables import Mixed
from compare_tasks import Part, hold_out

HERE = Path(__file__).resolve().parent
PYTHON = HERE.parent / "build" / "venv-widedeep" / "bin" / "python"
SHARE = 0.15  # of the training rows, for stopping early


def installed() -> str:
    """The version in that environment."""
    code = "from importlib.metadata import version; print(version('pytorch-widedeep'))"
    if not PYTHON.exists():
        return "not installed"
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True)
    return done.stdout.strip() or "not installed"


class WideDeep:
    """`Wide`, `TabMlp`, `BasicRNN` and `Vision` joined by `WideDeep`.

    Sizes and epochs are those of its own examples of clothing reviews and of houses,
    with its `EarlyStopping` on held-out rows. It reads tables, texts and pictures; of
    pictures its own network learns from scratch, as weights cannot be downloaded.
    """

    def __init__(self) -> None:
        if not PYTHON.exists():
            raise SystemExit(f"{PYTHON} is not there; `make bench` makes it.")
        self.process = subprocess.Popen(
            [PYTHON, "-W", "ignore", HERE / "widedeep_env.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()  # its imports are done

    def __call__(self, train: Part, setup: Setup) -> Predict:
        """Hand over the training rows, and wait until they are learned."""
        mixed = Mixed(train, {"text", "tabular", "image"}, setup.seed)
        learn, held = hold_out(train, SHARE, setup.seed)
        with tempfile.TemporaryDirectory() as folder:
            for name, part in (("train", learn), ("held", held)):
                _write(mixed, part, Path(folder, name))
            self._ask(
                folder=folder,
                n_classes=train.n_classes,
                texts=mixed.columns("text"),
                images=mixed.columns("image"),
                seed=setup.seed,
                seconds=0.8 * setup.seconds,
            )

        def predict(part: Part) -> np.ndarray:
            with tempfile.TemporaryDirectory() as folder:
                _write(mixed, part, Path(folder, "test"))
                self._ask(folder=folder)
                return np.load(Path(folder, "predicted.npy"))

        return predict

    def _ask(self, **order: Any) -> None:
        print(json.dumps(order), file=self.process.stdin, flush=True)
        self._answer()

    def _answer(self) -> None:
        answer = self.process.stdout.readline().strip()
        if answer != "done":
            raise RuntimeError(f"widedeep_env.py ended: {answer or 'see above'}")


def _write(mixed: Mixed, part: Part, stem: Path) -> None:
    X, images = mixed.transform(part), mixed.columns("image")
    pictures = {c: np.stack([_rgb(p) for p in X[c]]) for c in images}
    X.drop(columns=images).assign(target=part.y).to_parquet(
        stem.with_suffix(".parquet")
    )
    np.savez(stem.with_suffix(".npz"), **pictures)


def _rgb(picture: np.ndarray) -> np.ndarray:
    return np.dstack([picture] * 3) if picture.ndim == 2 else picture
