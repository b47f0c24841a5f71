"""Pretrained torch modules: what they, or some of their layers, say of a cell."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from skfusion._validation import shorten
from skfusion.modalities.intervals import quarters

__all__ = [
    "as_module",
    "call_with",
    "evaluated",
    "load_transformer",
    "named_layers",
    "options_of",
    "vectors",
    "without_progress_bar",
]

#: Layers that are read of a model of transformers. Measured with EfficientNet-Lite0 on
#: photographs: log-loss .44 with the ends of four stages, .50 with the last map.
N_LAYERS = 4


def vectors(
    call: Callable[[], Any],
    module: Any,
    layers: Sequence[str] | None,
    *,
    in_order: bool = False,
) -> Tensor:
    """One vector a cell, from what a call gives or from what layers give during it.

    They have gradients where torch records them.

    Parameters
    ----------
    call : callable
        Runs the module on some cells.
    module : object
        Where `layers` are found; a torch module, unless `layers` is None.
    layers : list of str, or None
        Names, as in ``module.named_modules()``. Their vectors stand side by side.
    in_order : bool
        Whether the means are those of each quarter of the steps, side by side.

    Returns
    -------
    vectors : Tensor of shape (n, width), float32
    """
    if layers is None:
        return pooled(call(), in_order)
    outputs = list(_outputs(call, module, layers))
    return torch.cat([pooled(output, in_order) for output in outputs], dim=1)


def named_layers(
    module: Any, layers: Sequence[str], parameter: str
) -> dict[str, nn.Module]:
    """All layers of a module by name; those of a parameter must be among them."""
    known = dict(module.named_modules()) if isinstance(module, nn.Module) else {}
    for name in layers:
        if name not in known:
            near = difflib.get_close_matches(name, known, 3, 0) or ["none"]
            raise ValueError(
                f"{parameter}={shorten(list(layers))}: {type(module).__name__} has no "
                f"layer {name!r}. Names are those of model.named_modules(), such as "
                f"{', '.join(near)}."
            )
    return known


def _outputs(
    call: Callable[[], Any], module: Any, layers: Sequence[str]
) -> Iterator[Any]:
    """What layers give during a call, in the order of their names."""
    known = named_layers(module, layers, "layers")
    found: dict[str, Any] = {}
    hooks = []
    for name in layers:

        def keep(_: nn.Module, __: Any, output: Any, name: str = name) -> None:
            found[name] = output

        hooks.append(known[name].register_forward_hook(keep))
    try:
        call()
    finally:
        for hook in hooks:
            hook.remove()
    for name in layers:
        if name not in found:
            raise ValueError(f"layers: the layer {name!r} is never run by the model.")
        yield found[name]


def pooled(output: Any, in_order: bool = False) -> Tensor:
    """Vectors (n, width) of an output: means over its places or steps.

    Of a model of transformers, those of four layers that are evenly spread, since what
    lies in the middle adds much to what the last one says; these over all steps.

    Parameters
    ----------
    output : object
        An array or a Tensor of shape (n, width), (n, n_steps, width) or (n, width,
        height, width); an output of transformers; or a tuple, whose first item counts.
    in_order : bool
        As in `vectors`.
    """
    hidden = getattr(output, "hidden_states", None)
    if hidden:
        at = np.unique(np.linspace(0, len(hidden) - 1, 1 + N_LAYERS).round()[1:])
        return torch.cat([pooled(hidden[int(i)]) for i in at], dim=1)
    output = getattr(output, "last_hidden_state", output)
    if isinstance(output, tuple | list) and output:
        output = output[0]
    x = output if isinstance(output, Tensor) else torch.from_numpy(np.asarray(output))
    x = x.float()
    if x.dim() == 3:
        parts = quarters(x.shape[1]) if in_order else [slice(None)]
        return torch.cat([x[:, part].mean(dim=1) for part in parts], dim=1)
    return x.mean(dim=(2, 3)) if x.dim() == 4 else x


def call_with(weights: Mapping[str, Tensor] | None, module: Any, *inputs: Any) -> Any:
    """What a model gives, with some of its weights replaced for this call."""
    options = options_of(module)
    if weights is None:
        return module(*inputs, **options)
    return functional_call(module, dict(weights), inputs, options)


def options_of(model: Any) -> dict[str, Any]:
    """What a model of transformers must be called with, so that it gives its layers."""
    config = getattr(model, "config", None)
    return {} if config is None else {"output_hidden_states": True}


@contextmanager
def evaluated(module: Any, *, learns: bool = False) -> Iterator[None]:
    """Without dropout and the like; a user's module is left as it was.

    Parameters
    ----------
    module : object
    learns : bool
        Whether gradients are recorded.
    """
    parts = list(module.modules()) if isinstance(module, nn.Module) else []
    modes = [part.training for part in parts]
    try:
        for part in parts:
            part.training = False
        with torch.inference_mode(not learns):
            yield
    finally:
        for part, mode in zip(parts, modes, strict=True):
            part.training = mode


def as_module(model: Any, x: Tensor) -> Tensor:
    """A tensor on the device of a module, of the type of its weights."""
    some = next(iter(model.parameters()), None) if isinstance(model, nn.Module) else x
    if some is None or not some.is_floating_point():
        return x
    return x.to(some.device, some.dtype)


def load_transformer(spec: Any, name: str) -> Any:
    """A model of transformers, without a progress bar of its own.

    Nor does it report which heads the folder lacks: none is read.
    """
    from transformers import AutoModel
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with without_progress_bar():
            model = AutoModel.from_pretrained(
                name, revision=spec.revision, local_files_only=spec.local_files_only
            )
    finally:
        logging.set_verbosity(verbosity)
    return model.to(spec.device or ("cuda" if torch.cuda.is_available() else "cpu"))


@contextmanager
def without_progress_bar() -> Iterator[None]:
    """Let transformers load a model without a progress bar of its own."""
    from transformers.utils import logging

    shows = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shows:
            logging.enable_progress_bar()
