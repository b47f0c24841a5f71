"""Whatever the frame: finite predictions, or one error of the documented kinds.

``SKFUSION_TEST_CASES`` sets how many random frames are tried; without it, the same few
in every run.
"""

import os
import warnings

import numpy as np
from hypothesis import HealthCheck, given, settings

from skfusion import FusionClassifier, FusionRegressor, ModalityTransformer
from skfusion.modalities import AudioModality, ImageModality
from tests.random_frames import cases

CASES = int(os.environ.get("SKFUSION_TEST_CASES", "0"))
SETTINGS = {
    "deadline": None,
    "derandomize": not CASES,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}
#: The kinds of errors that a bad cell, column or target may lead to.
DOCUMENTED = (ValueError, TypeError)
FAST = {"max_epochs": 1, "d_model": 8, "n_folds": 1, "random_state": 0}
SMALL = {"image": ImageModality(size=8), "audio": AudioModality(n_mels=8)}


def smaller(modalities, **parameters):
    """The same modalities, small, those of cells with parameters."""
    if modalities is None:
        return None
    return [
        (name, SMALL.get(kind, kind), columns) for name, kind, columns in modalities
    ]


def refused(run):
    """Whether a function fails, in a documented way and with a message; no warnings
    but those for users."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            run()
        except DOCUMENTED as error:
            assert str(error)
            assert len(str(error)) < 2000
            return True
    return False


@settings(max_examples=CASES or 300, **SETTINGS)
@given(cases())
def test_modalities_give_finite_arrays_or_an_error(case):
    modalities = ModalityTransformer(smaller(case.modalities))
    batches = []
    if refused(
        lambda: batches.append(modalities.fit_transform(case.frame, case.labels))
    ):
        return
    refused(lambda: batches.append(modalities.transform(case.other)))
    for batch in batches:
        assert len(batch) == len(case.frame)
        for name, block in batch.blocks.items():
            assert np.isfinite(np.asarray(block)).all()
            features = batch.modalities[name].features(block)
            assert np.isfinite(getattr(features, "data", features)).all()
            assert not abs(features[~block.present]).sum()


@settings(max_examples=CASES or 40, **SETTINGS)
@given(cases())
def test_predictions_are_finite_or_there_is_an_error(case):
    kind = FusionClassifier if case.is_classification else FusionRegressor
    model = kind(smaller(case.modalities), **FAST)
    if refused(lambda: model.fit(case.frame, case.labels)):
        assert not hasattr(model, "networks_")
        return
    for X in (case.frame, case.other):
        found = []
        if refused(lambda: found.append(model.predict(X))):  # noqa: B023
            continue
        assert len(found[0]) == len(X)
        if case.is_classification:
            assert set(found[0].tolist()) <= set(model.classes_.tolist())
            refused(lambda: found.append(model.predict_proba(X)))  # noqa: B023
            np.testing.assert_allclose(found[1].sum(axis=1), 1, rtol=1e-6)
        assert np.isfinite(found[-1]).all()
        refused(lambda: found.append(model.modality_weights(X)))  # noqa: B023
        assert np.isfinite(found[-1]).all()
        assert (found[-1] >= 0).all()
