"""Each test of faithfulness, on estimators of which the answer is known."""

import numpy as np
import pytest

from skfusion.batch import ModalityBatch
from skfusion.corruption import CorruptionPlan
from skfusion.inspection import _measures as measures
from skfusion.inspection._measures import Subject


def _subject(clf, X, y):
    return Subject(clf, clf.modalities_.transform(X), np.asarray(y), 0)


def _value(findings, measure=""):
    return next(f.value for f in findings if measure in f.measure)


@pytest.fixture
def supervised(trusted):
    return _subject(*trusted)


@pytest.fixture
def unsupervised(attending):
    return _subject(*attending)


def test_noise_lowers_the_weight_of_a_gate_but_not_of_an_attention(
    supervised, unsupervised
):
    fell = _value(measures.noise_fall(supervised, 3.0), "fell")
    # Not in rows of which the modality said nothing before.
    assert fell >= 0.8
    assert fell >= _value(measures.noise_fall(unsupervised, 3.0), "fell") + 0.15
    assert _value(measures.noise_fall(supervised, 3.0), "after / before") < 0.8
    weak = _value(measures.noise_fall(supervised, 0.1), "after / before")
    assert weak > _value(measures.noise_fall(supervised, 3.0), "after / before")


def test_weight_follows_who_is_right_over_all_and_within_each_view(supervised):
    found = list(measures.loss_correlation(supervised))
    assert [f.measure.split("'")[1] for f in found[1:]] == ["a", "b", "c"]
    assert min(f.value for f in found) > 0.5


def test_prediction_hangs_on_heavy_modalities(supervised):
    assert _value(measures.deletion(supervised)) > 0.3


class Constant:
    """Predicts as another estimator does, but weighs all modalities the same."""

    def __init__(self, like):
        self.like = like

    def __getattr__(self, name):
        return getattr(self.like, name)

    def __sklearn_tags__(self):
        return self.like.__sklearn_tags__()

    def modality_weights(self, X):
        present = X.present.astype(float)
        return present / present.sum(axis=1, keepdims=True)


def test_weights_that_never_change_tell_nothing(trusted):
    clf, X, y = trusted
    subject = Subject(Constant(clf), clf.modalities_.transform(X), y, 0)
    assert _value(measures.noise_fall(subject, 3.0), "fell") == 0
    assert _value(measures.loss_correlation(subject)) == 0
    assert _value(measures.deletion(subject)) == 0


def test_rows_with_one_modality_are_not_compared(trusted):
    clf, X, y = trusted
    alone = X.assign(**{f"{v}{i}": np.nan for v in "bc" for i in range(8)})
    found = [
        *measures.noise_fall(_subject(clf, alone, y), 1.0),
        *measures.deletion(_subject(clf, alone, y)),
    ]
    assert [f.n for f in found] == [0, 0, 0]
    assert np.isnan([f.value for f in found]).all()


def test_heavy_words_and_columns_carry_the_prediction(planted):
    clf, X, y, _ = planted
    subject = _subject(clf, X, y)
    assert _value(measures.element_deletion(subject, "text")) > 3
    assert _value(measures.element_deletion(subject, "tabular")) > 1.2


def test_element_deletion_is_not_measured_without_elements(supervised):
    assert list(measures.element_deletion(supervised, "a")) == []


def test_random_weights_of_elements_are_found_out(planted, monkeypatch):
    clf, X, y, _ = planted
    subject = _subject(clf, X, y)
    rng = np.random.default_rng(0)

    def shuffled(batch, name, element_weights=clf.element_weights):
        return [
            e.set_axis(e.index).sample(frac=1, random_state=rng).set_axis(e.index)
            for e in element_weights(batch, name)
        ]

    monkeypatch.setattr(clf, "element_weights", shuffled)
    assert _value(measures.element_deletion(subject, "text")) < 1.6


def test_absence_is_exact_and_a_leak_is_found(supervised, monkeypatch):
    assert _value(measures.absence(supervised)) == 0
    final = supervised.final
    monkeypatch.setattr(
        final, "modality_weights", lambda X: np.full(X.present.shape, 1 / 3)
    )
    assert _value(measures.absence(supervised)) == pytest.approx(1 / 3)


def test_regression_measures_how_far_the_prediction_moves(regression):
    reg, X, y = regression
    subject = _subject(reg, X, y)
    batch = subject.batch
    hidden = batch.present.copy()
    hidden[:, 0] = False
    fall = subject.fall(measures.with_present(batch, hidden))
    expected = np.abs(
        reg.predict(X) - reg.predict(X.assign(a=np.nan, b=np.nan, c=np.nan))
    )
    np.testing.assert_allclose(fall, expected, rtol=1e-4, atol=1e-4)
    assert _value(measures.loss_correlation(subject)) > 0.3
    assert isinstance(batch, ModalityBatch)


def test_noise_is_that_of_the_plan(supervised, monkeypatch):
    plans = []
    corrupt = supervised.final.corrupt

    def watched(*args, **kwargs):
        batch, plan = corrupt(*args, **kwargs)
        plans.append(plan)
        return batch, plan

    monkeypatch.setattr(supervised.final, "corrupt", watched)
    found = list(measures.noise_fall(supervised, 2.0))
    assert isinstance(plans[0], CorruptionPlan)
    assert (plans[0].noise.max(dim=1).values == 2).all()
    assert found[0].n == len(supervised.batch)
