"""Checkpoints: what a killed fit leaves on disk, so that the next one goes on from it.

One file a fold, written at the end of each epoch: weights, optimizer, generators,
history, and the state of callbacks. Its name holds a digest of all that the training
depends on, so that no fit takes the file of another.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback

from skfusion._row_keys import row_keys
from skfusion._validation import shorten
from skfusion.batch import ModalityBatch

__all__ = ["Checkpoint", "check_checkpoint", "checkpoint_files", "forget"]

#: Format of the files; a part of the digest.
FORMAT = 1
#: When this process began, about: a file that is older is of no fit that still runs.
_STARTED = time.time()
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def check_checkpoint(folder: str | os.PathLike[str] | None, random_state: Any) -> None:
    """Make the folder, and refuse one that cannot be written to, before any training.

    Raises
    ------
    OSError
        If the folder cannot be made or written to.
    ValueError
        If there is a folder and no seed.
    """
    if folder is None:
        return
    if random_state is None:
        raise ValueError(
            "The 'checkpoint' parameter needs a seed, since a fit that goes on must "
            "draw the numbers that the killed one would have drawn. Got "
            "random_state=None; pass an int, as in random_state=0."
        )
    path = Path(folder)
    probe = path / f"skfusion-{os.getpid()}.part"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(folder: Path, error: OSError) -> OSError:
    return OSError(
        f"The 'checkpoint' parameter must be a folder that can be written to. Got "
        f"{shorten(str(folder))}: {error.strerror or error}. Make room, choose another "
        "folder, or pass checkpoint=None."
    )


def checkpoint_files(
    folder: str | os.PathLike[str] | None,
    n_folds: int,
    batch: ModalityBatch,
    parts: Sequence[Any],
) -> list[Path | None]:
    """The file of each fold, there or not; None each without a folder.

    Parameters
    ----------
    batch : ModalityBatch
        The rows that are learned from.
    parts : list of ndarray, Tensor, module or object
        All else that the training depends on; objects by their `repr`.

    Warns
    -----
    UserWarning
        Where the folder holds none of these files, but some that another process left.
    """
    if folder is None:
        return [None] * n_folds
    digest = hashlib.blake2b(row_keys(batch).tobytes(), digest_size=8)
    for part in (FORMAT, torch.__version__, *batch.names, *parts):
        digest.update(b"\x1e")
        for chunk in _content(part):
            digest.update(chunk)
    name = digest.hexdigest()
    files = [Path(folder) / f"skfusion-{name}-fold{f + 1}.pt" for f in range(n_folds)]
    others = [f for f in Path(folder).glob("skfusion-*-fold*.pt") if _is_left(f)]
    if others and not any(f.exists() for f in files):
        warnings.warn(
            f"The folder checkpoint={shorten(str(folder))} holds {len(others)} file(s) "
            "of unfinished fits with other rows, parameters or versions: they are left "
            "alone, and this fit begins afresh. Pass what the killed fit was given to "
            "go on from them, or delete them.",
            UserWarning,
            stacklevel=2,
        )
    return list(files)


def _is_left(file: Path) -> bool:
    """Whether a file was written before this process began."""
    try:
        return file.stat().st_mtime < _STARTED
    except FileNotFoundError:  # its fit has just ended
        return False


def _content(part: Any) -> list[bytes]:
    """Bytes by which a part of a fit is told from another."""
    if isinstance(part, torch.nn.Module):
        state = part.state_dict()
        return [b for k, x in state.items() for b in (k.encode(), *_content(x))]
    if isinstance(part, torch.Tensor):
        part = part.detach().cpu().numpy()
    if isinstance(part, np.ndarray):
        header = f"{part.dtype}{part.shape}".encode()
        return [header, np.ascontiguousarray(part).tobytes()]
    return [_ADDRESS.sub("", repr(part)).encode()]


def forget(files: Sequence[Path | None]) -> None:
    """Remove the files of a fit that is complete."""
    for file in files:
        if file is not None:
            file.unlink(missing_ok=True)


class Checkpoint(Callback):
    """Writes a file at the end of each epoch; goes on from one that is there.

    It must be the last callback: what the others do in an epoch is a part of it.

    Parameters
    ----------
    file : Path
    generators : list of torch.Generator
        All from which the training draws.
    """

    def __init__(self, file: Path, generators: Sequence[torch.Generator]) -> None:
        self.file = file
        self.generators = generators

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        state = self._read()
        if state is None:
            return
        net.module_.load_state_dict(state["module"])
        net.optimizer_.load_state_dict(state["optimizer"])
        net.history.extend(state["history"])
        for generator, numbers in zip(
            self.generators, state["generators"], strict=True
        ):
            generator.set_state(numbers)
        for name, callback in net.callbacks_:
            given = state["callbacks"].get(name, {})
            scheduler = given.pop("lr_scheduler_", None)
            if scheduler is not None:
                callback.lr_scheduler_.load_state_dict(scheduler)
            vars(callback).update(given)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        state = {
            "module": net.module_.state_dict(),
            "optimizer": net.optimizer_.state_dict(),
            "history": [_plain(row) | {"batches": []} for row in net.history],
            "generators": [generator.get_state() for generator in self.generators],
            "callbacks": {n: _state(c) for n, c in net.callbacks_ if c is not self},
        }
        buffer = io.BytesIO()  # torch does not say why a file cannot be written
        torch.save(state, buffer)
        partial = self.file.with_suffix(f".{os.getpid()}.part")
        try:
            partial.write_bytes(buffer.getbuffer())
            partial.replace(self.file)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise _unwritable(self.file.parent, error) from error

    def _read(self) -> dict[str, Any] | None:
        """What the file holds; None where there is none that can be read."""
        try:
            return torch.load(self.file, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            return None
        except Exception as error:  # noqa: BLE001 - whatever a damaged file raises
            warnings.warn(
                f"The checkpoint {shorten(str(self.file))} cannot be read "
                f"({type(error).__name__}): the training of its fold begins afresh.",
                UserWarning,
                stacklevel=2,
            )
            return None


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """The numbers and texts of a dict, of Python's own types."""
    plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in values.items()}
    return {k: v for k, v in plain.items() if isinstance(v, bool | int | float | str)}


def _state(callback: Any) -> dict[str, Any]:
    """What a callback has learned: by skorch's custom, attributes that end in "_"."""
    state = {k: v for k, v in vars(callback).items() if k.endswith("_")}
    kept = _plain(state)
    if state.get("best_model_weights_") is not None:
        kept["best_model_weights_"] = state["best_model_weights_"]
    if "lr_scheduler_" in state:
        kept["lr_scheduler_"] = state["lr_scheduler_"].state_dict()
    return kept
