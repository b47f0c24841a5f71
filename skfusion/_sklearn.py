"""The one place that imports scikit-learn's private names.

scikit-learn offers no public way to declare parameter constraints or to draw an
estimator as parallel branches, so every such import is gathered here: when
scikit-learn moves one of them, this is the only file to change.
"""

from sklearn.base import _fit_context as fit_context
from sklearn.utils import assert_all_finite
from sklearn.utils._metadata_requests import MetadataRequest, MethodMetadataRequest
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils._repr_html.estimator import _VisualBlock as VisualBlock
from sklearn.utils.metaestimators import _BaseComposition as BaseComposition
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

__all__ = [
    "BaseComposition",
    "Interval",
    "MetadataRequest",
    "MethodMetadataRequest",
    "Options",
    "StrOptions",
    "VisualBlock",
    "assert_all_finite",
    "check_sample_weight",
    "fit_context",
]
