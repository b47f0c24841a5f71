"""What a fitted model carries: no training row, no optimiser, each network once."""

import io
import pickle
import pickletools

import numpy as np
import pandas as pd
import pytest

from skfusion import FusionClassifier

N = 150
SMALL = {"max_epochs": 2, "d_model": 16, "n_folds": 2, "random_state": 0}


def rows(n=N, seed=0, n_words=400):
    rng = np.random.default_rng(seed)
    words = np.array(
        [f"{a}{b}{c}on" for a in "bdfgk" for b in "aeiou" for c in "bcdfghjklmnpqrst"]
    )[:n_words]
    y = rng.random(n) < 0.5
    texts = [
        " ".join([*rng.choice(words, 8), "fine" if good else "poor", f"row{i}"])
        for i, good in enumerate(y)
    ]
    X = pd.DataFrame(rng.normal(size=(n, 4)), columns=[*"abcd"]).assign(text=texts)
    X["a"] += y
    return X, y


TRIPLES = [("text", "text", "text"), ("facts", "tabular", [*"abcd"])]


class Arrays(pickle.Pickler):
    """Notes every array that is pickled."""

    def __init__(self):
        super().__init__(io.BytesIO())
        self.found = []

    def reducer_override(self, thing):
        if isinstance(thing, np.ndarray):
            self.found.append(thing)
        return NotImplemented


@pytest.fixture(scope="module")
def fitted():
    X, y = rows()
    return FusionClassifier(TRIPLES, **SMALL).fit(X, y), X


def test_no_training_text_is_in_the_pickle(fitted):
    model, X = fitted
    content = pickle.dumps(model)
    assert all(text.encode() not in content for text in X["text"])
    strings = {
        value
        for _, value, _ in pickletools.genops(content)
        if isinstance(value, str) and len(value.split()) >= 6
    }
    assert not strings & set(X["text"])


def test_no_training_row_is_in_an_array_of_the_pickle(fitted):
    model, X = fitted
    noted = Arrays()
    noted.dump(model)
    assert len(noted.found) > 10
    batch = model.modalities_.transform(X)
    scaled = batch.blocks["facts"].arrays
    numbers = [X[[*"abcd"]].to_numpy()]
    numbers += [a.astype(float) for a in scaled.values() if a.ndim == 2]
    numbers = [table for table in numbers if len(np.unique(table, axis=0)) == N]
    assert len(numbers) >= 2
    seen = {tuple(row) for table in numbers for row in table.round(4)}
    for array in noted.found:
        if array.dtype.kind != "f" or array.size % 4:
            continue
        for kept in (array.reshape(-1, 4), array.reshape(4, -1).T):
            assert not seen & {tuple(row) for row in kept.astype(float).round(4)}


def test_pickle_does_not_grow_with_the_rows():
    sizes = []
    for n in (600, 1800):  # a vocabulary does grow, so no text
        X, y = rows(n)
        sizes.append(
            len(pickle.dumps(FusionClassifier(TRIPLES[1:], **SMALL).fit(X, y)))
        )
    assert sizes[1] < 1.1 * sizes[0]


def test_networks_are_pickled_once_and_without_what_trained_them(fitted):
    model, X = fitted
    before = len(pickle.dumps(model))
    model.predict(X)  # makes float64 copies of the networks
    assert len(pickle.dumps(model)) == before
    content = pickle.dumps(model)
    assert b"skorch" not in content
    assert b"AdamW" not in content
    assert content.count(b"FusionNetwork") == 1
    assert all(
        network is kept
        for network, kept in zip(model.networks_, model._model.networks, strict=True)
    )


@pytest.mark.slow
def test_model_of_two_thousand_rows_is_small():
    X, y = rows(2000)
    model = FusionClassifier(TRIPLES, random_state=0).fit(X, y)
    assert len(pickle.dumps(model)) <= 5_000_000
