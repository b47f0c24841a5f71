"""What the specs of pretrained encoders share: loading, embedding, pickling."""

from __future__ import annotations

import hashlib
import pickle
import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from torch import Tensor, nn
from tqdm import tqdm

from skfusion._sklearn import Interval
from skfusion._validation import shorten
from skfusion.modalities.embeddings import Cache, FolderCache, MemoryCache, NoCache
from skfusion.modalities.frozen import evaluated

__all__ = ["MEMORY", "Pretrained", "Tuned"]

#: Embeddings of this process, for every spec with ``cache="memory"``.
MEMORY = MemoryCache()
#: Models that were loaded by name, and their fingerprints: folds and candidates of a
#: search share them. The last one loaded replaces what is beyond `_MAX_LOADED`.
_loaded: dict[tuple[Any, ...], tuple[Any, str]] = {}
_MAX_LOADED = 2
_CHUNK = 8  # batches between two steps of the progress bar
# One thread at a time loads or embeds: the others then find what it made.
_lock = threading.RLock()


class Tuned(NamedTuple):
    """Layers that learned from the targets, and a linear head on them.

    **Shape**: coef (F, C).
    """

    weights: dict[str, NDArray[np.float32]]
    coef: NDArray[np.float32]
    digest: str

    @property
    def key(self) -> str:
        return self.digest + hashlib.blake2b(self.coef.tobytes()).hexdigest()


class Unnamed:
    """What a pickle holds in place of a model that has no name to be found by."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __repr__(self) -> str:
        return f"<a {self.kind} that is not in the pickle>"


class Pretrained(BaseEstimator, ABC):
    """Base of the specs of pretrained encoders.

    A subclass says how a model is loaded, how cells are embedded, and what of a cell
    its embedding depends on.
    """

    #: What the extra, the example of a model, and a cell are called in messages.
    _example: ClassVar[str] = ""
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "model": "no_validation",
        "fine_tune": [Interval(Integral, 0, None, closed="left"), "array-like"],
        "revision": [str, None],
        "local_files_only": ["boolean"],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "cache": [str, Path, None],
        "max_cache_mb": [Interval(Real, 0, None, closed="left")],
        "device": [str, None],
        "verbose": ["boolean"],
    }

    def __init__(
        self,
        model: Any,
        *,
        fine_tune: int | Sequence[str] = 0,
        revision: str | None = None,
        local_files_only: bool = False,
        batch_size: int = 32,
        cache: Literal["memory"] | str | Path | None = "memory",
        max_cache_mb: float = 1024,
        device: str | None = None,
        verbose: bool = False,
    ) -> None:
        self.model = model
        self.fine_tune = fine_tune
        self.revision = revision
        self.local_files_only = local_files_only
        self.batch_size = batch_size
        self.cache = cache
        self.max_cache_mb = max_cache_mb
        self.device = device
        self.verbose = verbose

    # ------------------------------------------------------------ for subclasses

    @abstractmethod
    def _load(self, name: str) -> Any:
        """Load a model by its name on the hub, or from a folder."""

    @abstractmethod
    def _encode(
        self, model: Any, cells: Sequence[Any], weights: dict[str, Tensor] | None = None
    ) -> Any:
        """Embeddings (n, width) of cells, or what NumPy makes an array of.

        With other `weights`, a Tensor, or a list of them, through which gradients flow.
        """

    @abstractmethod
    def _content(self, cell: Any) -> bytes:
        """What of a cell, and of the settings, its embedding depends on."""

    def _read(self, cells: Sequence[Any], context: Any) -> Sequence[Any]:
        """What is embedded of some cells; of all, it may take much memory."""
        return cells

    def settled(self) -> Pretrained:
        """A copy in which every setting is said that the model's folder knows."""
        return clone(self)

    @abstractmethod
    def blank(self) -> Any:
        """A cell that says nothing, as long as it tells the width."""

    def _size(self, cell: Any) -> int:
        """About how long a cell takes: batches hold cells of like size."""
        return 0

    @property
    def fine_tunes(self) -> bool:
        """Whether any layers learn from the targets."""
        return np.size(self.fine_tune) > 0 and not np.array_equal(self.fine_tune, 0)

    # ------------------------------------------------------------ loading

    def load(self) -> tuple[Any, str]:
        """Load the model, once a process.

        Returns
        -------
        model : object
        fingerprint : str
            A digest of its class, its settings and its weights.
        """
        self._validate_params()
        if isinstance(self.model, Unnamed):
            raise ValueError(
                f"{type(self).__name__} was pickled without its model, {self.model!r}: "
                "it has no name by which its weights are found. Set `encoder_.model` "
                "of the fitted modality to it; or, before `fit`, save the model to a "
                "folder and pass that as `model`."
            )
        if not isinstance(self.model, str | Path):
            return self.model, fingerprint_of(self.model)
        key = (type(self), self._name(), self.revision, self.device)
        with _lock:
            if key not in _loaded:
                found = self._load_or_explain(self._load)
                while len(_loaded) >= _MAX_LOADED:
                    del _loaded[next(iter(_loaded))]
                _loaded[key] = found, fingerprint_of(found)
            return _loaded[key]

    def _name(self) -> str:
        """The name of the model, or the whole path of its folder."""
        # Not the object of a folder, which is written `Path("...")`, but its name.
        name = str(self.model)
        folder = Path(name).expanduser()
        return str(folder.resolve()) if folder.is_dir() else name

    def _load_or_explain(self, load: Callable[[str], Any]) -> Any:
        """Load something by name; whatever is missing, one error says what to do."""
        kind: type[Exception] = ImportError
        name = self._name()
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)  # a head that the folder lacks draws its weights
                return load(name)
        except ImportError as error:
            cause: Exception = error
        except Exception as error:  # noqa: BLE001 (libraries of the hub raise many kinds)
            cause, kind = error, OSError
        raise kind(
            f"{type(self).__name__} cannot load model={shorten(name)}: "
            f"{type(cause).__name__}: {shorten(str(cause), 200)} "
            'It needs pip install "skfusion[pretrained]". Without a connection, pass '
            "the path of a folder that holds the model (on a machine with a "
            f"connection: {self._example}), or one that is in the hub's cache, with "
            "local_files_only=True or HF_HUB_OFFLINE=1."
        ) from cause

    # ------------------------------------------------------------ embedding

    def embed(
        self,
        cells: Sequence[Any],
        fingerprint: str | None = None,
        context: Any = None,
        tuned: Tuned | None = None,
    ) -> NDArray[np.float32]:
        """Embed cells, each distinct one once, and none that the cache has.

        Parameters
        ----------
        cells : sequence of n cells, at least one
        fingerprint : str, optional
            That of the model in `fit`: other weights under the same name are an error,
            and the model is loaded only where the cache lacks a cell.
        context : object, optional
            What the modality learned about the reading of cells.
        tuned : Tuned, optional
            What the last layers learned; embeddings are then the logits of its head.

        Returns
        -------
        embeddings : ndarray of shape (n, width), float32
        """
        prefix = self.load()[1] if fingerprint is None else fingerprint
        if tuned is not None:
            prefix += tuned.key
        step = self.batch_size * _CHUNK
        keys = self.keys(cells, prefix, context)
        distinct = dict(zip(keys, cells, strict=True))
        cache, limit = self._open_cache(), int(self.max_cache_mb * 2**20)
        with _lock:
            found = cache.get(list(distinct))
            missing = [key for key in distinct if key not in found]
            missing.sort(key=lambda key: -self._size(distinct[key]))
            bar = tqdm(
                total=len(missing),
                desc=f"{type(self).__name__}: embedding",
                unit="cell",
                disable=not (self.verbose and missing),
            )
            with bar:
                for start in range(0, len(missing), step):
                    some = missing[start : start + step]
                    ready = self._read([distinct[key] for key in some], context)
                    new = self._checked(ready, fingerprint, tuned)
                    made = dict(zip(some, new, strict=True))
                    cache.put(made, limit)
                    found |= made
                    bar.update(len(some))
        return np.stack([found[key] for key in keys])

    def keys(
        self, cells: Sequence[Any], prefix: str, context: Any = None
    ) -> list[bytes]:
        """Digests of what embeddings of cells depend on, and of a prefix."""
        step = self.batch_size * _CHUNK
        return [
            hashlib.blake2b(
                prefix.encode() + b"\0" + self._content(cell), digest_size=16
            ).digest()
            for start in range(0, len(cells), step)
            for cell in self._read(cells[start : start + step], context)
        ]

    def _checked(
        self, cells: Sequence[Any], fingerprint: str | None, tuned: Tuned | None
    ) -> NDArray[np.float32]:
        """Embeddings of cells, by the weights that `fit` knew, and as they must be."""
        model, own = self.load()
        if fingerprint not in (None, own) and isinstance(self.model, str | Path):
            raise ValueError(
                f"The weights of model={shorten(str(self.model))} are not those that "
                "the estimator was fitted with. Restore them, or fit again."
            )
        weights = None
        if tuned is not None:
            known = dict(model.named_parameters())
            weights = {
                name: torch.from_numpy(array).to(known[name])
                for name, array in tuned.weights.items()
            }
        with evaluated(model):
            made = self._encode(model, cells, weights)
        if isinstance(made, Tensor):
            made = made.float().cpu().numpy()
        elif isinstance(made, list):
            made = [x.cpu().numpy() if isinstance(x, Tensor) else x for x in made]
        shapes = sorted({np.shape(vector) for vector in made})
        if len(shapes) > 1:
            raise ValueError(
                f"model={shorten(self.model)} must give vectors of one width, whatever "
                f"the cell, but gave shapes {shorten(shapes)}."
            )
        vectors = np.asarray(made, dtype=np.float32)
        if tuned is not None:
            vectors = vectors @ tuned.coef
        if vectors.ndim != 2 or len(vectors) != len(cells) or not vectors.shape[1]:
            raise ValueError(
                f"model={shorten(self.model)} must give one vector a cell, "
                f"({len(cells)}, width) in all, but gave shape {vectors.shape}."
            )
        if not np.isfinite(vectors).all():
            raise ValueError(f"model={shorten(self.model)} gave NaN or infinity.")
        return vectors

    def _open_cache(self) -> Cache:
        if self.cache is None:
            return NoCache()
        return MEMORY if self.cache == "memory" else FolderCache(self.cache)

    # ------------------------------------------------------------ copies, pickles

    def __sklearn_clone__(self) -> Pretrained:
        """A spec of the same parameters: the model is frozen, and can be shared."""
        return type(self)(**self.get_params(deep=False))

    def __copy__(self) -> Pretrained:
        return self.__sklearn_clone__()

    def __deepcopy__(self, memo: Any) -> Pretrained:
        return self.__sklearn_clone__()

    def __getstate__(self) -> dict[str, Any]:
        """Without the weights of a torch module, which are found again by its name."""
        state = dict(super().__getstate__())
        if isinstance(self.model, nn.Module):
            name = _name_of(self.model)
            state["model"] = name or Unnamed(type(self.model).__name__)
        return state


def fingerprint_of(model: Any) -> str:
    """A digest of the class, the settings and the weights of a model.

    Of an object that is no torch module, of what its pickle would hold; one that cannot
    be pickled has a new one each time, so that no other object's embeddings are taken.
    """
    if not isinstance(model, nn.Module):
        try:
            return f"{type(model).__qualname__}:{joblib.hash(model)}"
        except (pickle.PicklingError, TypeError, AttributeError):
            return uuid.uuid4().hex
    digest = hashlib.blake2b(digest_size=16)
    settings = (getattr(model, "max_seq_length", None), getattr(model, "prompts", None))
    digest.update(f"{model!r}{settings!r}".encode())
    for name, weight in sorted(model.state_dict().items()):
        digest.update(f"{name}{weight.dtype}{tuple(weight.shape)}".encode())
        flat = weight.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _name_of(model: nn.Module) -> str | None:
    """The name or folder that a module was loaded from, where it is known."""
    for part in model.modules():
        name = getattr(getattr(part, "config", None), "_name_or_path", None)
        if name:
            return str(name)
    return None
