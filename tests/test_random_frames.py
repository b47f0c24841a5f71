"""Whatever the frame: finite predictions, or one error of the documented kinds.

``SKFUSION_TEST_CASES`` sets how many random frames are tried; without it, the same few
in every run.
"""

import os
import warnings

import numpy as np
from hypothesis import HealthCheck, given, settings
from scipy import sparse

from skfusion import FusionClassifier, FusionRegressor, ModalityTransformer
from skfusion.batch import padded
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


def smaller(modalities):
    """The same modalities, pictures and sounds of a small size."""
    if modalities is None:
        return None
    return [
        (name, SMALL.get(kind, kind), columns) for name, kind, columns in modalities
    ]


def answer(run, *arguments):
    """What a function gives; None where it fails, in a documented way and with a
    message. No warnings but those for users."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            return run(*arguments)
        except DOCUMENTED as error:
            assert str(error)
            assert len(str(error)) < 2000
            return None


@settings(max_examples=CASES or 300, **SETTINGS)
@given(cases())
def test_modalities_give_finite_arrays_or_an_error(case):
    modalities = ModalityTransformer(smaller(case.modalities))
    fitted = answer(modalities.fit_transform, case.frame, case.labels)
    if fitted is None:
        return
    names = modalities.get_feature_names_out()
    assert len(set(names)) == len(names)
    for batch in filter(None, (fitted, answer(modalities.transform, case.other))):
        assert len(batch) == len(case.frame)
        assert np.asarray(batch).shape[1] == len(names)
        for name, block in batch.blocks.items():
            for array in block.arrays.values():
                entries = array.data if sparse.issparse(array) else padded(array)
                assert np.isfinite(entries).all()
            features = batch.modalities[name].features(block)
            assert np.isfinite(getattr(features, "data", features)).all()
            assert not abs(features[~block.present]).sum()


@settings(max_examples=CASES or 40, **SETTINGS)
@given(cases())
def test_predictions_are_finite_or_there_is_an_error(case):
    kind = FusionClassifier if case.is_classification else FusionRegressor
    model = kind(smaller(case.modalities), **FAST)
    if answer(model.fit, case.frame, case.labels) is None:
        assert not hasattr(model, "networks_")
        return
    for X in (case.frame, case.other):
        predicted = answer(model.predict, X)
        if predicted is None:
            continue
        assert len(predicted) == len(X)
        if case.is_classification:
            assert set(predicted.tolist()) <= set(model.classes_.tolist())
            proba = answer(model.predict_proba, X)
            np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
        else:
            assert np.isfinite(predicted).all()
        weights = answer(model.modality_weights, X)
        assert np.isfinite(weights).all()
        assert (weights >= 0).all()
