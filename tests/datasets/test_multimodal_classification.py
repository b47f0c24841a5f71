import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from skfusion.datasets import make_multimodal_classification

KINDS = ["tabular", "text", "image", "audio", "series", "vector"]


def planted(made, name, row):
    """The numbers that stand where the sign of the row's class is said to be."""
    place = made.informative_elements[row][name]
    kind = made.kinds[name]
    if kind == "tabular":
        return made.data[made.modalities[name]].to_numpy()[row, place]
    cell = made.data[name].iloc[row]
    if kind == "text":
        words = np.array(cell.split(" "))[place]
        # Which words they are, as numbers: a fixed random vector for each.
        vectors = [
            np.random.default_rng([ord(c) for c in word]).normal(size=30)
            for word in words
        ]
        return np.sum(vectors, axis=0)
    if kind == "image":
        top, left, height, width = place
        return cell[top : top + height, left : left + width].ravel() / 128.0 - 1
    if kind == "audio":
        return np.abs(np.fft.rfft(cell[0][slice(*place)]))
    return cell[slice(*place)] if kind == "series" else cell[place]


@pytest.mark.parametrize("kind", KINDS)
def test_class_is_planted_at_the_reported_place(kind):
    made = make_multimodal_classification(240, kinds=[kind], random_state=0)
    assert (made.informative == 0).all()
    X = np.stack([planted(made, kind, row) for row in range(240)])
    model = LogisticRegression(max_iter=1000)
    assert cross_val_score(model, X, made.target, cv=3).mean() > 0.97


@pytest.mark.parametrize("kind", ["tabular", "image", "audio", "series", "vector"])
def test_without_noise_nothing_stands_outside_the_reported_place(kind):
    made = make_multimodal_classification(30, kinds=[kind], noise=0, random_state=0)
    for row in range(30):
        place = made.informative_elements[row][kind]
        cell = made.data[made.modalities[kind]].iloc[row]
        content = cell.to_numpy() if kind == "tabular" else cell.iloc[0]
        content = content[0] if kind == "audio" else content
        content = content - (128.0 if kind == "image" else 0.0)
        inside = np.zeros(content.shape, dtype=bool)
        if kind == "image":
            top, left, height, width = place
            inside[top : top + height, left : left + width] = True
        else:
            inside[slice(*place) if kind in ("audio", "series") else place] = True
        assert not content[~inside].any()
        assert np.count_nonzero(content[inside]) > 0.4 * inside.sum()


def test_words_of_a_class_stand_nowhere_but_at_the_reported_positions():
    made = make_multimodal_classification(200, kinds=["text"], random_state=0)
    own, common = {k: set() for k in range(3)}, set()
    for text, k, elements in zip(
        made.data["text"], made.target, made.informative_elements, strict=True
    ):
        for position, word in enumerate(text.split(" ")):
            (own[k] if position in elements["text"] else common).add(word)
    assert [len(words) for words in own.values()] == [5, 5, 5]
    assert len(set.union(*own.values())) == 15
    assert not common & set.union(*own.values())


@pytest.mark.parametrize("kind", KINDS)
def test_modality_that_is_never_informative_is_background_only(kind):
    made = make_multimodal_classification(
        50, kinds=[kind, "series"], informative=[0, 1], random_state=0
    )
    assert (made.informative == 1).all()
    name = next(iter(made.kinds))
    assert not any(name in elements for elements in made.informative_elements)
    other = make_multimodal_classification(
        50, kinds=[kind, "series"], informative=[0, 1], class_sep=5.0, random_state=0
    )
    columns = made.modalities[name]  # the same cells, however strong the signs are
    for left, right in zip(
        made.data[columns].to_numpy().ravel(),
        other.data[columns].to_numpy().ravel(),
        strict=True,
    ):
        np.testing.assert_equal(left, right)


def test_exactly_the_informative_modality_has_elements():
    made = make_multimodal_classification(90, n_modalities=6, random_state=0)
    names = list(made.modalities)
    assert set(made.informative) == set(range(6))
    for which, elements in zip(
        made.informative, made.informative_elements, strict=True
    ):
        assert list(elements) == [names[which]]


def test_informative_sets_the_shares():
    made = make_multimodal_classification(
        2000, informative=[6, 3, 1], kinds=["tabular"] * 3, random_state=0
    )
    shares = np.bincount(made.informative, minlength=3) / 2000
    np.testing.assert_allclose(shares, [0.6, 0.3, 0.1], atol=0.03)


def test_xor_needs_both_of_the_first_two_modalities():
    made = make_multimodal_classification(
        400,
        n_classes=2,
        kinds=["tabular", "vector", "series"],
        interaction="xor",
        random_state=0,
    )
    assert (made.informative == -1).all()
    assert all(list(e) == ["tabular", "vector"] for e in made.informative_elements)
    first, second = (
        np.stack([planted(made, name, row) for row in range(400)])
        for name in ("tabular", "vector")
    )
    # The two corners of a code lie on either side of the origin in some number.
    bits = [np.sign(X[:, np.abs(X.mean(axis=0)).argmin()]) for X in (first, second)]
    for bit in bits:
        assert abs(np.corrcoef(bit, made.target)[0, 1]) < 0.15
    assert abs(np.corrcoef(bits[0] * bits[1], made.target)[0, 1]) > 0.95


def test_cells_are_what_the_modalities_read():
    made = make_multimodal_classification(30, n_modalities=6, random_state=0)
    row = made.data.iloc[0]
    assert all(made.data[c].dtype == np.float32 for c in made.modalities["tabular"])
    assert isinstance(row["text"], str)
    assert row["image"].dtype == np.uint8
    assert row["image"].shape == (24, 24)
    samples, rate = row["audio"]
    assert (samples.dtype, samples.shape, rate) == (np.float32, (4000,), 8000)
    assert np.abs(samples).max() <= 1
    assert row["series"].shape == (64,)
    assert row["vector"].ndim == 1


def test_absent_modalities_are_missing_and_never_all_at_once():
    made = make_multimodal_classification(
        300, n_modalities=6, missing_rate=0.6, random_state=0
    )
    absent = pd.DataFrame(
        {
            name: made.data[columns].isna().all(axis=1)
            for name, columns in made.modalities.items()
        }
    )
    np.testing.assert_allclose(absent.mean(), 0.6, atol=0.1)
    assert not absent.all(axis=1).any()
    tabular = made.data[made.modalities["tabular"]].isna()
    assert (tabular.all(axis=1) == tabular.any(axis=1)).all()
    names = np.array(list(made.modalities))
    for row, which in enumerate(made.informative):
        elements = made.informative_elements[row]
        assert list(elements) == ([] if which == -1 else [names[which]])
        assert which == -1 or not absent.iloc[row, which]


def test_same_seed_same_data_and_the_global_state_is_left_alone():
    before = np.random.get_state()[1].copy()
    first, again, other = (
        make_multimodal_classification(40, n_modalities=6, random_state=seed)
        for seed in (3, 3, 4)
    )
    assert list(first.data["text"]) == list(again.data["text"])
    assert list(first.data["text"]) != list(other.data["text"])
    for a, b in zip(first.data["audio"], again.data["audio"], strict=True):
        np.testing.assert_array_equal(a[0], b[0])
    np.testing.assert_array_equal(before, np.random.get_state()[1])


def test_classes_are_balanced():
    made = make_multimodal_classification(100, n_classes=4, random_state=0)
    assert made.target.value_counts().to_dict() == dict.fromkeys(range(4), 25)


def test_repeated_kinds_are_numbered():
    made = make_multimodal_classification(
        10, kinds=["text", "image", "text"], random_state=0
    )
    assert list(made.kinds) == ["text1", "image", "text2"]


def test_arrays_and_tuples_on_request():
    made = make_multimodal_classification(10, as_frame=False, random_state=0)
    assert made.frame is None
    assert made.data.dtype == object
    X, y = make_multimodal_classification(10, return_X_y=True, random_state=0)
    assert X.shape == made.data.shape
    np.testing.assert_array_equal(y, made.target)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_samples": 0}, r"'n_samples'.*\[1, inf\).*Got 0"),
        ({"n_classes": 17}, r"'n_classes'.*\[2, 16\].*Got 17"),
        ({"noise": -1}, r"'noise'.*\[0.0, inf\).*Got -1"),
        ({"missing_rate": 1.0}, r"'missing_rate'.*\[0.0, 1.0\).*Got 1.0"),
        ({"class_sep": "high"}, r"'class_sep'.*Got 'high'"),
        ({"kinds": ["smell"]}, r"'kinds'.*'tabular'.*Got 'smell'"),
        ({"kinds": "text"}, r"did you mean \['text'\]"),
        ({"kinds": ["text"], "n_modalities": 2}, "names 1 modalities, n_modalities=2"),
        ({"informative": [1, 1]}, "must hold 3 probabilities"),
        ({"informative": [0, 0, 0]}, "not all 0"),
        ({"interaction": "and"}, r"'interaction'.*'none', 'xor'.*Got 'and'"),
        ({"interaction": "xor"}, "needs n_classes=2.*n_classes=3"),
    ],
)
def test_wrong_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        make_multimodal_classification(**parameters)
