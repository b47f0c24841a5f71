"""Made-to-order multimodal data whose informative parts are known."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import RandomState
from numpy.typing import NDArray
from sklearn.utils import Bunch, check_random_state

from ._base import check_option, object_array
from ._planted import KINDS

_MAX_CLASSES = 16  # as many motifs as a series can tell apart


def make_multimodal_classification(
    n_samples: int = 1000,
    *,
    n_classes: int = 3,
    n_modalities: int | None = None,
    kinds: Sequence[str] | None = None,
    informative: Sequence[float] | None = None,
    interaction: str = "none",
    class_sep: float = 1.0,
    noise: float = 1.0,
    missing_rate: float = 0.0,
    as_frame: bool = True,
    return_X_y: bool = False,
    random_state: int | RandomState | None = None,
) -> Any:
    """Generate a classification problem over several modalities.

    In each row one modality, drawn at random, carries a sign of the row's class, in
    a place that is recorded; the other modalities carry background only. So for every
    row it is known which modality, and which of its elements, a model should look at.
    With ``interaction="xor"`` the first two modalities carry one bit each, and neither
    says anything about the class without the other.

    ======== ================================= =====================================
    Kind     Cells                             Sign of a class, and its place
    ======== ================================= =====================================
    tabular  one column a number               a corner of a cube in some of the
                                               columns; their indices
    text     6 to 14 words of a made-up        two of the class's five words; their
             language                          positions among the words
    image    (24, 24) uint8, grey grain        a patch of stripes at the class's
                                               angle; (top, left, height, width)
                                               in pixels
    audio    (samples float32 (4000,), 8000    a tone of the class's pitch, 0.15
             Hz), hiss                         seconds; (start, stop) in samples
    series   (64,) float32, noise              a motif of 16 steps; (start, stop)
    vector   (n,) float32, noise               as tabular; indices
    ======== ================================= =====================================

    Parameters
    ----------
    n_samples : int, default=1000
        The number of rows.
    n_classes : int, default=3
        From 2 to 16; exactly 2 with ``interaction="xor"``. The classes are balanced.
    n_modalities : int, default=None
        The number of modalities: the first so many of the table above, again from
        its top when it is through. By default 3, or as many as `kinds` has.
    kinds : sequence of str, default=None
        The kind of each modality, from the table above. A modality is named after
        its kind, with a number where a kind occurs twice: "text1", "text2".
    informative : sequence of float of shape (n_modalities,), default=None
        How probable it is for each modality to be the informative one of a row; it is
        scaled to a sum of 1. By default all are equally probable. A 0 makes a modality
        that never says anything. Not with ``interaction="xor"``.
    interaction : {"none", "xor"}, default="none"
        Whether one modality tells the class, or the first two only together.
    class_sep : float, default=1.0
        The strength of the signs in all kinds but text.
    noise : float, default=1.0
        The standard deviation of the background, in units that suit the kind; in a
        text, the number of background words grows with it.
    missing_rate : float, default=0.0
        The probability in [0, 1) that a modality is absent in a row: None, or NaN in
        tabular columns. One modality at least stays in every row.
    as_frame : bool, default=True
        Whether `data` is a DataFrame and `target` a Series. Otherwise both are
        arrays, `data` one of objects.
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a Bunch.
    random_state : int, RandomState instance or None, default=None
        Pass an int for the same data on every call.

    Returns
    -------
    bunch : Bunch or tuple of (data, target)
        data : DataFrame of shape (n_samples, n_columns)
        target : Series of shape (n_samples,)
            The class, 0 to ``n_classes - 1``.
        target_names : list of str
        modalities : dict of str to list of str
            The columns of each modality, in order.
        kinds : dict of str to str
            The kind of each modality.
        informative : ndarray of shape (n_samples,)
            The index of the modality that tells the class; -1 where none does by
            itself: it is absent, or the class is an XOR.
        informative_elements : list of dict of str to ndarray
            For each row, the places of the signs by modality, in the units of the
            table above. A modality that carries no sign, or is absent, has no entry.
        frame : DataFrame of shape (n_samples, n_columns + 1) or None
            Data and target together; None unless `as_frame`.
        feature_names : list of str
        DESCR : str

    Raises
    ------
    ValueError
        If a parameter is out of its range, or two of them contradict each other.

    Examples
    --------
    >>> from skfusion.datasets import make_multimodal_classification
    >>> made = make_multimodal_classification(
    ...     n_samples=60, kinds=["text", "image"], random_state=0
    ... )
    >>> row = int((made.informative == 0).nonzero()[0][0])  # one that its text tells
    >>> words = made.data["text"][row].split(" ")
    >>> [words[i] for i in made.informative_elements[row]["text"]]
    ['gifo', 'fuvi']
    """
    kinds = _check_kinds(n_modalities, kinds)
    _check_numbers(n_samples, n_classes, class_sep, noise, missing_rate)
    check_option(
        "make_multimodal_classification", "interaction", interaction, ("none", "xor")
    )
    names = _names(kinds)
    rng = check_random_state(random_state)
    y = rng.permutation(np.arange(n_samples) % n_classes)
    if interaction == "xor":
        _check_xor(n_classes, len(kinds), informative)
        told_by, signs = _draw_xor(y, len(kinds), rng)
    else:
        chances = _check_informative(informative, len(kinds))
        told_by = rng.choice(len(kinds), size=n_samples, p=chances)
        signs = np.where(told_by[:, None] == np.arange(len(kinds)), y[:, None], -1)
    present = _draw_present(n_samples, len(kinds), missing_rate, rng)
    data, modalities, elements = _make_cells(
        names, kinds, signs, present, n_classes, class_sep, noise, rng
    )
    told_by[(told_by >= 0) & ~present[np.arange(n_samples), told_by]] = -1

    target = pd.Series(y, name="target")
    X: Any = data if as_frame else data.to_numpy(dtype=object)
    if return_X_y:
        return X, target if as_frame else y
    return Bunch(
        data=X,
        target=target if as_frame else y,
        frame=pd.concat([data, target], axis=1) if as_frame else None,
        target_names=[str(k) for k in range(n_classes)],
        feature_names=list(data.columns),
        modalities=modalities,
        kinds=dict(zip(names, kinds, strict=True)),
        informative=told_by,
        informative_elements=elements,
        DESCR=(
            f"{n_samples} generated rows of {n_classes} classes over the modalities "
            f"{', '.join(names)} (interaction: {interaction})."
        ),
    )


def _draw_xor(
    y: NDArray[Any], n_modalities: int, rng: RandomState
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Who tells the class of each row, which is nobody, and the signs (n, M)."""
    signs = np.full((len(y), n_modalities), -1)
    signs[:, 0] = rng.randint(2, size=len(y))
    signs[:, 1] = signs[:, 0] ^ y
    return np.full(len(y), -1), signs


def _make_cells(
    names: Sequence[str],
    kinds: Sequence[str],
    signs: NDArray[Any],
    present: NDArray[np.bool_],
    n_classes: int,
    class_sep: float,
    noise: float,
    rng: RandomState,
) -> tuple[pd.DataFrame, dict[str, list[str]], list[dict[str, Any]]]:
    """The cells, each modality's columns, and where the signs stand in each row."""
    columns: dict[str, Any] = {}
    modalities: dict[str, list[str]] = {}
    elements: list[dict[str, Any]] = [{} for _ in signs]
    for m, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        maker = KINDS[kind](n_classes, class_sep, noise, rng)
        cells: list[Any] = []
        for i, sign in enumerate(signs[:, m]):
            cell = maker.background()
            if sign >= 0:
                cell, place = maker.plant(cell, sign)
                if present[i, m]:
                    elements[i][name] = place
            cells.append(cell)
        block = _columns(name, kind, cells, present[:, m])
        modalities[name] = list(block)
        columns |= block
    return pd.DataFrame(columns), modalities, elements


def _columns(
    name: str, kind: str, cells: list[Any], present: NDArray[np.bool_]
) -> dict[str, Any]:
    """The columns of one modality; a tabular one has one for each number."""
    if kind == "tabular":
        table = np.stack(cells)
        table[~present] = np.nan
        return {f"{name}_{j}": column for j, column in enumerate(table.T)}
    kept = [c if there else None for c, there in zip(cells, present, strict=True)]
    return {name: object_array(kept)}


def _draw_present(
    n_samples: int, n_modalities: int, missing_rate: float, rng: RandomState
) -> NDArray[np.bool_]:
    present = rng.uniform(size=(n_samples, n_modalities)) >= missing_rate
    rescued = rng.randint(n_modalities, size=n_samples)
    empty = np.flatnonzero(~present.any(axis=1))
    present[empty, rescued[empty]] = True
    return present


def _names(kinds: Sequence[str]) -> list[str]:
    """Each modality's kind, numbered from 1 where the kind occurs more than once."""
    total, seen = Counter(kinds), Counter[str]()
    names = []
    for kind in kinds:
        seen[kind] += 1
        names.append(kind if total[kind] == 1 else f"{kind}{seen[kind]}")
    return names


def _check_kinds(n_modalities: int | None, kinds: Sequence[str] | None) -> list[str]:
    if n_modalities is not None:
        _check_integer("n_modalities", n_modalities, 1)
    if kinds is None:
        every = list(KINDS)
        return [every[i % len(every)] for i in range(n_modalities or 3)]
    if isinstance(kinds, str):
        raise ValueError(
            "The 'kinds' parameter of make_multimodal_classification must be a "
            f"sequence of str, one a modality. Got {kinds!r} instead; did you mean "
            f"[{kinds!r}]?"
        )
    kinds = list(kinds)
    for kind in kinds:
        check_option("make_multimodal_classification", "kinds", kind, list(KINDS))
    if not kinds or n_modalities not in (None, len(kinds)):
        raise ValueError(
            f"'kinds' names {len(kinds)} modalities, n_modalities={n_modalities}. "
            "Give at least one kind, and leave n_modalities out."
        )
    return kinds


def _check_numbers(
    n_samples: int, n_classes: int, class_sep: float, noise: float, missing_rate: float
) -> None:
    _check_integer("n_samples", n_samples, 1)
    _check_integer("n_classes", n_classes, 2, _MAX_CLASSES)
    _check_real("class_sep", class_sep)
    _check_real("noise", noise)
    _check_real("missing_rate", missing_rate, below=1.0)


def _check_integer(name: str, value: Any, least: int, most: int | None = None) -> None:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        raise ValueError(
            f"The {name!r} parameter of make_multimodal_classification must be an int "
            f"in the range [{least}, {'inf)' if most is None else f'{most}]'}. "
            f"Got {value!r} instead."
        )


def _check_real(name: str, value: Any, below: float = np.inf) -> None:
    number = isinstance(value, int | float | np.integer | np.floating)
    if not number or not 0.0 <= value < below:
        raise ValueError(
            f"The {name!r} parameter of make_multimodal_classification must be a "
            f"float in the range [0.0, {below}). Got {value!r} instead."
        )


def _check_informative(
    informative: Sequence[float] | None, n_modalities: int
) -> NDArray[np.float64]:
    if informative is None:
        return np.full(n_modalities, 1.0 / n_modalities)
    chances = np.asarray(informative, dtype=np.float64)
    if (
        chances.shape != (n_modalities,)
        or not np.isfinite(chances).all()
        or (chances < 0).any()
        or chances.sum() == 0
    ):
        raise ValueError(
            "The 'informative' parameter of make_multimodal_classification must hold "
            f"{n_modalities} probabilities, one a modality, none negative and not all "
            f"0. Got {informative!r} instead."
        )
    return chances / chances.sum()


def _check_xor(n_classes: int, n_modalities: int, informative: Any) -> None:
    if n_classes != 2 or n_modalities < 2 or informative is not None:
        raise ValueError(
            "interaction='xor' needs n_classes=2, two modalities or more, and no "
            f"'informative': got n_classes={n_classes}, {n_modalities} modalities "
            f"and informative={informative!r}."
        )
