import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from skfusion.inspection import ImageBlur, robustness_curve


@pytest.mark.parametrize("kind", ["missing", "noise", "swap"])
def test_score_and_weight_fall_as_the_level_rises(trusted, kind):
    clf, X, y = trusted
    curve = robustness_curve(clf, X, y, kind=kind, modality="a")
    assert curve["score"].iloc[0] == pytest.approx(clf.score(X, y))
    weights = clf.modality_weights(X)[:, 0].mean()
    assert curve["weight"].iloc[0] == pytest.approx(weights)
    assert curve["score"].iloc[-1] < curve["score"].iloc[0]
    assert curve["weight"].iloc[-1] < curve["weight"].iloc[0]
    assert set(curve["kind"]) == {kind}
    assert set(curve["modality"]) == {"a"}


def test_wholly_missing_modality_has_no_weight(trusted):
    clf, X, y = trusted
    curve = robustness_curve(clf, X, y, modality="b", levels=[1.0])
    assert curve["weight"].tolist() == [0.0]
    gone = X.assign(**{f"b{i}": np.nan for i in range(8)})
    assert curve["score"].iloc[0] == pytest.approx(clf.score(gone, y))


def test_a_higher_share_corrupts_the_same_rows_and_more(trusted):
    clf, X, _ = trusted
    from skfusion.corruption import Drop
    from skfusion.inspection.robustness import InSome

    hit = [
        clf.corrupt(X, InSome(Drop(), share), random_state=1)[1].drop.numpy()
        for share in (0.2, 0.6)
    ]
    assert hit[0].any(axis=1).mean() == pytest.approx(0.2, abs=0.06)
    assert hit[1].any(axis=1).mean() == pytest.approx(0.6, abs=0.06)
    assert (hit[0] <= hit[1]).all()


@pytest.mark.parametrize(
    "kind", ["blur", "occlusion", "jpeg", "clipping", "band-pass", "babble"]
)
def test_kinds_done_to_cells_change_what_the_estimator_sees(sensed, kind):
    clf, X, y = sensed
    curve = robustness_curve(clf, X, y, kind=kind, scoring="neg_log_loss")
    assert curve["score"].nunique() > 1
    assert curve["score"].iloc[0] == pytest.approx(
        robustness_curve(clf, X, y, kind="missing", levels=[0], scoring="neg_log_loss")[
            "score"
        ].iloc[0]
    )


def test_typos_lower_the_score_of_what_reads_words(planted):
    clf, X, y, _ = planted
    curve = robustness_curve(clf, X, y, kind="typos", levels=[0, 0.5])
    assert curve["score"].iloc[1] < curve["score"].iloc[0] - 0.1


def test_named_modality_alone_is_corrupted(mixed_classifier):
    clf, X, y = mixed_classifier
    curve = robustness_curve(
        clf, X, y, kind="shift", modality="facts", scoring="neg_log_loss"
    )
    assert curve["score"].nunique() > 1
    with pytest.raises(
        ValueError, match="ImageBlur is for image modalities; 'facts' is"
    ):
        robustness_curve(clf, X, y, kind=ImageBlur, modality="facts")


@pytest.mark.parametrize("kind", ["missing", "swap"])
def test_estimators_of_any_kind_have_curves(trusted, kind):
    _, X, y = trusted
    trees = HistGradientBoostingClassifier(max_iter=20).fit(X[:150], y[:150])
    views = {v: [f"{v}{i}" for i in range(8)] for v in "abc"}
    curve = robustness_curve(
        trees, X[150:], y[150:], kind=kind, modalities=views, levels=[0, 1]
    )
    assert curve["score"].iloc[0] == trees.score(X[150:], y[150:])
    assert curve["score"].iloc[1] < curve["score"].iloc[0]
    shifted = robustness_curve(
        trees,
        X[150:],
        y[150:],
        kind="shift",
        modalities=views,
        modality="a",
        levels=[0, 2],
    )
    assert shifted["score"].iloc[1] < shifted["score"].iloc[0]


def test_errors_say_what_to_do(trusted):
    clf, X, y = trusted
    with pytest.raises(ValueError, match=r"'kind' parameter must be one of.*'typos'"):
        robustness_curve(clf, X, y, kind="fire")
    with pytest.raises(TypeError, match="cells of a pandas DataFrame"):
        robustness_curve(clf, clf.modalities_.transform(X), y, kind="shift")
    with pytest.raises(ValueError, match="'modality' parameter must be None or one of"):
        robustness_curve(clf, X, y, kind="shift", modality="z")
    with pytest.raises(ValueError, match="name the 'modality', one of"):
        trees = HistGradientBoostingClassifier(max_iter=2).fit(X, y)
        robustness_curve(trees, X, y, kind="shift", modalities={"a": ["a0"]})
