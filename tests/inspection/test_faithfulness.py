import html

import numpy as np
import pytest

from skfusion.inspection import FaithfulnessReport, faithfulness_report
from skfusion.inspection._measures import Finding


def test_gate_holds_more_than_attention_does(trusted, attending):
    gate = faithfulness_report(*trusted)
    attention = faithfulness_report(*attending)
    failed = [
        r.table["verdict"].str.startswith("fails").sum() for r in (gate, attention)
    ]
    assert failed[0] < failed[1]
    noise = attention.table.query("test == 'noise, sd 3'")
    assert noise["verdict"].str.startswith("fails: weights do not tell").any()


def test_report_is_a_table_of_every_test(mixed_classifier):
    clf, X, y = mixed_classifier
    report = faithfulness_report(clf, X, y)
    tests = list(dict.fromkeys(report.table["test"]))
    assert tests[:3] == ["noise, sd 1", "noise, sd 3", "swap"]
    assert "elements of 'words'" in tests
    assert "elements of 'picture'" in tests
    assert "elements of 'facts'" not in tests  # three columns are too few
    assert tests[-1] == "absence"
    assert report.table["verdict"].iloc[-1].startswith("holds")
    assert report.table["value"].iloc[-1] == 0
    for text in (repr(report), report._repr_html_()):
        assert report.summary in html.unescape(text)
        assert "noise, sd 3" in text


def test_one_seed_gives_one_report(trusted):
    clf, X, y = trusted
    one = faithfulness_report(clf, X.head(60), y[:60], random_state=3).table
    two = faithfulness_report(clf, X.head(60), y[:60], random_state=3).table
    other = faithfulness_report(clf, X.head(60), y[:60], random_state=4).table
    assert one.equals(two)
    assert not one.equals(other)


def test_regressor_is_reported_too(regression):
    reg, X, y = regression
    report = faithfulness_report(reg, X, y)
    assert report.table["value"].notna().all()


def test_verdict_says_in_words_what_the_figure_means():
    def finding(value, sign=">="):
        return Finding("t<", "m", value, 0.5, sign, 9, "it is so", "it is not")

    values = [(0.5, ">="), (0.45, ">="), (0.4, ">="), (0.4, "<="), (np.nan, ">=")]
    report = FaithfulnessReport([finding(*value) for value in values])
    assert report.table["verdict"].tolist() == [
        "holds: it is so",
        "nearly: it is so, though not by enough",
        "fails: it is not",
        "holds: it is so",
        "not measured: too few rows in which two modalities are present",
    ]
    assert report.summary == "2 of 4 figures reach their target; do not rely on: t<."
    assert "t&lt;" in report._repr_html_()


def test_class_that_was_never_fitted_is_named(trusted):
    clf, X, _ = trusted
    with pytest.raises(ValueError, match=r"class\(es\) \[7\].*it knows \[0, 1, 2\]"):
        faithfulness_report(clf, X.head(5), [0, 1, 2, 7, 1])
    with pytest.raises(ValueError, match="X has 5 rows and y has 2"):
        faithfulness_report(clf, X.head(5), [0, 1])
