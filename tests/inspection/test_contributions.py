import numpy as np
import pytest
from scipy.special import softmax
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from skfusion.inspection import modality_contributions


def test_contributions_and_joint_part_add_up_to_the_log_odds(trusted):
    clf, X, _ = trusted
    found = modality_contributions(clf, X)
    total = found.baseline + found.contributions.sum(axis=1) + found.joint
    np.testing.assert_allclose(found.output, total, atol=1e-12)
    np.testing.assert_allclose(softmax(total, axis=1), clf.predict_proba(X), atol=1e-5)
    np.testing.assert_allclose(found.contributions.sum(axis=2), 0, atol=1e-6)


def test_contributions_of_a_regressor_add_up_to_the_prediction(regression):
    reg, X, y = regression
    found = modality_contributions(reg, X)
    assert found.baseline == pytest.approx(y.mean(), abs=1e-3)
    np.testing.assert_allclose(found.output[:, 0], reg.predict(X), rtol=1e-5, atol=1e-5)


def test_the_modality_that_holds_the_target_contributes_most(regression):
    reg, X, _ = regression
    left, right = modality_contributions(reg, X).contributions[..., 0].std(axis=0)
    assert left > 3 * right


def test_absent_modality_contributes_exactly_nothing(trusted):
    clf, X, _ = trusted
    X = X.assign(**{f"b{i}": np.nan for i in range(8)})
    found = modality_contributions(clf, X)
    assert (found.contributions[:, 1] == 0).all()
    assert (found.contributions[:, 0] != 0).any()


def test_pipeline_and_single_object_say_the_same(mixed_classifier):
    clf, X, y = mixed_classifier
    pipe = Pipeline(
        [
            ("modalities", clone(clf.modalities)),
            ("fusion", clone(clf).set_params(modalities=None)),
        ]
    ).fit(X, y)
    one, two = modality_contributions(clf, X), modality_contributions(pipe, X)
    np.testing.assert_allclose(one.contributions, two.contributions, atol=1e-6)
    batch = pipe[:-1].transform(X)
    three = modality_contributions(pipe[-1], batch)
    np.testing.assert_allclose(two.output, three.output, atol=1e-6)


def test_estimator_without_its_transformer_names_the_remedy(mixed_classifier):
    clf, X, y = mixed_classifier
    alone = clone(clf).set_params(modalities=None, max_epochs=1)
    alone.fit(clf.modalities_.transform(X), y)
    with pytest.raises(TypeError, match="Pass the whole Pipeline"):
        modality_contributions(alone, X)


def test_other_estimators_are_refused_by_name():
    with pytest.raises(TypeError, match=r"FusionRegressor.*LogisticRegression"):
        modality_contributions(LogisticRegression(), np.ones((2, 2)))
