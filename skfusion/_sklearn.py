"""The one place that imports scikit-learn's private names.

scikit-learn offers no public way to declare parameter constraints or to draw an
estimator as parallel branches, so every such import is gathered here: when
scikit-learn moves one of them, this is the only file to change. What older versions
lack has a stand-in here too.
"""

import functools
from typing import Any

from sklearn.base import _fit_context as fit_context
from sklearn.utils._metadata_requests import MetadataRequest, MethodMetadataRequest
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils._repr_html.estimator import _VisualBlock as VisualBlock
from sklearn.utils._set_output import _get_container_adapter
from sklearn.utils.metaestimators import _BaseComposition as BaseComposition
from sklearn.utils.validation import _check_feature_names_in as check_feature_names_in
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # before 1.9

    class NoContext:
        """A task of which nobody is told."""

        max_subtasks: int | None = 0

        def subcontext(self, **options: Any) -> "NoContext":
            return self

        def call_on_fit_task_begin(self, **options: Any) -> "NoContext":
            return self

        def call_on_fit_task_end(self, **options: Any) -> bool:
            return False

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Estimators have no callbacks of scikit-learn."""

        def _init_callback_context(self, **options: Any) -> NoContext:
            return NoContext()

    def with_callbacks(method: Any) -> Any:
        """The method as it is."""
        return method


def one_task(fit: Any) -> Any:
    """Let callbacks know of a method that fits, as one task without subtasks."""

    @functools.wraps(fit)
    def told(self: Any, X: Any, y: Any = None, **parameters: Any) -> Any:
        task = self._init_callback_context()
        task.call_on_fit_task_begin(estimator=self, X=X, y=y)
        result = fit(self, X, y, **parameters)
        task.call_on_fit_task_end(estimator=self, X=X, y=y)
        return result

    return with_callbacks(told)


def default_output(transformer: Any) -> Any:
    """The transformer, which gives no frames, whatever was or is set globally."""
    transformer._sklearn_output_config = {"transform": "default"}
    return transformer


def frame_asked_of(estimator: Any) -> Any:
    """What makes the frames that a transformer is to give; None where it is none."""
    return _get_container_adapter("transform", estimator)


__all__ = [
    "BaseComposition",
    "CallbackSupportMixin",
    "Interval",
    "MetadataRequest",
    "MethodMetadataRequest",
    "Options",
    "StrOptions",
    "VisualBlock",
    "check_feature_names_in",
    "check_sample_weight",
    "default_output",
    "fit_context",
    "frame_asked_of",
    "one_task",
    "with_callbacks",
]
