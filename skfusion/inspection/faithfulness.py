"""Do the weights tell the truth? Tests of a fitted estimator on rows of the user's."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_classifier
from sklearn.utils import check_random_state

from skfusion.inspection import _measures as measures
from skfusion.inspection._measures import Finding, Subject
from skfusion.inspection._resolving import has_labels, resolve

__all__ = ["FaithfulnessReport", "faithfulness_report"]

#: How the table shows figures: a share, a correlation, a ratio.
_DIGITS = 3
NEARLY = 0.1  # of the target
NOT = "not measured"


class FaithfulnessReport:
    """What `faithfulness_report` found.

    Attributes
    ----------
    table : DataFrame
        One row a figure: ``test``, ``measure``, ``value``, ``target`` (such as
        ">= 0.85"), ``n`` (rows, or rows and modalities, that it was measured on), and
        ``verdict``, which begins with "holds", "nearly" (within a tenth of the target),
        "fails" or "not measured".
    """

    def __init__(self, findings: Iterable[Finding]) -> None:
        findings = list(findings)
        self.table = pd.DataFrame(
            {
                "test": [f.test for f in findings],
                "measure": [f.measure for f in findings],
                "value": [f.value for f in findings],
                "target": [f"{f.sign} {f.target:g}" for f in findings],
                "n": [f.n for f in findings],
                "verdict": [_verdict(f) for f in findings],
            }
        )

    @property
    def summary(self) -> str:
        """One sentence."""
        first = self.table["verdict"].str.split(":").str[0]
        n_held, n_all = int((first == "holds").sum()), int((first != NOT).sum())
        if not n_all:
            return "Nothing could be measured on these rows."
        summary = f"{n_held} of {n_all} figures reach their target"
        failed = dict.fromkeys(self.table["test"][first == "fails"])
        if failed:
            return f"{summary}; do not rely on: {', '.join(failed)}."
        if n_held < n_all:
            return f"{summary}, the others nearly."
        return f"{summary}: on rows like these, the weights can be believed."

    def __repr__(self) -> str:
        table = self.table.round({"value": _DIGITS})
        return f"{self.summary}\n\n{table.to_string(index=False)}"

    def _repr_html_(self) -> str:
        shade = {"holds": "#e4f3ea", "nearly": "#fbf3dc", "fails": "#fbe6e6"}
        lines = [
            f"<p><b>{html.escape(self.summary)}</b></p>",
            "<table><thead><tr>",
            *(f"<th>{column}</th>" for column in self.table.columns),
            "</tr></thead><tbody>",
        ]
        for row in self.table.round({"value": _DIGITS}).to_numpy(dtype=object):
            colour = shade.get(str(row[-1]).split(":")[0], "transparent")
            cells = (f"<td>{html.escape(str(cell))}</td>" for cell in row)
            lines.append(f'<tr style="background:{colour};color:#222">')
            lines += [*cells, "</tr>"]
        return "\n".join([*lines, "</tbody></table>"])


def faithfulness_report(
    estimator: Any, X: Any, y: Any, *, random_state: int | None = 0
) -> FaithfulnessReport:
    """Test on rows with known truth whether the weights say what they seem to say.

    The rows should be ones that the estimator has not learned from.

    ============= ===================================================================
    Test          Question
    ============= ===================================================================
    noise         One random modality of each row gets noise. Does its weight fall?
    swap          It gets another row's content. Does its weight fall?
    own loss      Does the weight follow how right the modality, alone, is: over all
                  rows and modalities, and within each modality?
    deletion      Does the prediction lose most support where a heavy modality is
                  taken away?
    elements      Does it lose more by the heaviest 20 % of the words, patches, frames
                  or columns than by random ones?
    absence       Does an absent modality weigh, and do, exactly nothing?
    ============= ===================================================================

    Parameters
    ----------
    estimator : FusionClassifier, FusionRegressor, or Pipeline that ends in one
        Fitted, with any ``fusion``. An unsupervised attention (``"attention"``) mostly
        fails the tests of noise and of own loss: nothing ever told it what is right.
    X : DataFrame, array or ModalityBatch of n_samples rows
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
    random_state : int or None, default=0
        Seed of what befalls the rows.

    Returns
    -------
    report : FaithfulnessReport
        Shows itself as a table; the figures are in ``report.table``.

    Notes
    -----
    The weights of a modality are compared only in rows in which another one is present
    too, and elements only in rows that have at least five.

    Examples
    --------
    >>> from skfusion import FusionClassifier
    >>> from skfusion.datasets import make_multimodal_classification
    >>> from skfusion.inspection import faithfulness_report
    >>> made = make_multimodal_classification(
    ...     90, kinds=["vector", "tabular"], random_state=0
    ... )
    >>> views = [(n, made.kinds[n], columns) for n, columns in made.modalities.items()]
    >>> clf = FusionClassifier(views, max_epochs=2, d_model=16, random_state=0)
    >>> report = faithfulness_report(clf.fit(made.data, made.target), made.data,
    ...                              made.target)
    >>> report.table["verdict"].iloc[-1]
    'holds: an absent modality counts for exactly nothing'
    """
    found = resolve(estimator)
    batch = found.batch(X)
    seed = check_random_state(random_state).randint(2**31 - 1)
    subject = Subject(found.final, batch, _check_y(found.final, batch, y), int(seed))
    return FaithfulnessReport(_findings(subject))


def _findings(subject: Subject) -> Iterable[Finding]:
    yield from measures.noise_fall(subject, 1.0)
    yield from measures.noise_fall(subject, 3.0)
    yield from measures.swap_fall(subject)
    yield from measures.loss_correlation(subject)
    yield from measures.deletion(subject)
    for name in subject.names:
        yield from measures.element_deletion(subject, name)
    yield from measures.absence(subject)


def _verdict(finding: Finding) -> str:
    if np.isnan(finding.value):
        return f"{NOT}: too few rows in which two modalities are present"
    short = finding.target - finding.value
    if finding.sign == "<=":
        short = -short
    if short <= 0:
        return f"holds: {finding.holds}"
    if short <= NEARLY * finding.target:
        return f"nearly: {finding.holds}, though not by enough"
    return f"fails: {finding.fails}"


def _check_y(final: Any, batch: Any, y: Any) -> Any:
    y = np.asarray(y)
    if len(y) != len(batch):
        raise ValueError(f"X has {len(batch)} rows and y has {len(y)}.")
    if has_labels(final):
        final._truth(y, len(batch))  # refuses other shapes
        return final._check_y(y)
    if is_classifier(final):
        unknown = sorted(set(np.unique(y).tolist()) - set(final.classes_.tolist()))
        if unknown:
            raise ValueError(
                f"y has the class(es) {unknown}, which the estimator was not fitted "
                f"on; it knows {final.classes_.tolist()}. Leave those rows out."
            )
    return y
