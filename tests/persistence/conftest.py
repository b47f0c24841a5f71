"""A small model, and its file."""

import numpy as np
import pytest

import skfusion


@pytest.fixture(scope="package")
def small(tmp_path_factory):
    """A model of a few kilobytes with trees, its file, and its rows."""
    X = np.random.default_rng(0).normal(size=(60, 3))
    model = skfusion.FusionClassifier(
        max_epochs=1, d_model=16, n_folds=2, random_state=0
    ).fit(X, X[:, 0] > 0)
    path = tmp_path_factory.mktemp("small") / "small.skfusion"
    skfusion.save(model, path)
    return model, path, X
