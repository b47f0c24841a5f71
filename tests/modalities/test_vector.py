import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skfusion.modalities import TransformerModality, VectorModality


@parametrize_with_checks(
    [
        VectorModality(),
        VectorModality(scaling="robust"),
        TransformerModality(StandardScaler()),
    ],
    expected_failed_checks=lambda _: {
        "check_array_api_input": "a modality gives a Block, which is no array"
    },
)
def test_sklearn_contract(estimator, check):
    check(estimator)


@pytest.fixture
def matrix():
    """A matrix (30, 5); row 4 is missing, and so is one more value."""
    X = np.random.default_rng(0).normal(3, 2, (30, 5))
    X[4] = np.nan
    X[7, 2] = np.nan
    return X


@pytest.fixture
def tfidf():
    """A very wide sparse matrix (60, 100_000)."""
    return sparse.random(
        60, 100_000, density=2e-4, format="csr", random_state=0, dtype=np.float64
    )


@pytest.fixture
def never_dense(monkeypatch):
    """Let every way to densify a SciPy matrix fail."""

    def refuse(self, *args, **kwargs):
        raise AssertionError("a sparse matrix was densified")

    for container in (sparse.csr_matrix, sparse.csr_array, sparse.coo_matrix):
        for method in ("toarray", "todense"):
            monkeypatch.setattr(container, method, refuse)


def cells_of(matrix):
    """The rows of a matrix as cells; None where all is missing."""
    cells = np.empty(len(matrix), dtype=object)
    for i, row in enumerate(matrix):
        cells[i] = None if np.isnan(row).all() else row
    return cells


def to_tensor(array):
    if not sparse.issparse(array):
        return torch.as_tensor(array)
    coo = array.tocoo()
    return torch.sparse_coo_tensor(
        np.stack([coo.row, coo.col]).astype(np.int64),
        coo.data,
        coo.shape,
        check_invariants=False,
    )


def as_tensors(block, rows=slice(None)):
    return {key: to_tensor(array[rows]) for key, array in block.arrays.items()}


# ------------------------------------------------------------------ dense vectors


def test_scaled_features_have_unit_spread(matrix):
    for scaling in ("standard", "robust"):
        block = VectorModality(scaling=scaling).fit_transform(matrix)
        x = block.arrays["x"][block.present]
        assert x.dtype == np.float32
        assert np.abs(np.median(x, axis=0)).max() < 0.5
        assert 0.6 < x.std() < 1.4


def test_no_scaling_keeps_the_values(matrix):
    block = VectorModality(scaling="none").fit_transform(matrix)
    rows = block.present & ~np.isnan(matrix).any(axis=1)
    np.testing.assert_allclose(block.arrays["x"][rows], matrix[rows], rtol=1e-6)


def test_only_rows_without_any_value_are_absent(matrix):
    modality = VectorModality().fit(matrix)
    block = modality.transform(matrix)
    assert np.flatnonzero(~block.present).tolist() == [4]
    assert block.arrays["x"][7, 2] == 0
    assert (modality.features(block)[4] == 0).all()
    assert np.isfinite(np.asarray(block)).all()


def test_every_container_gives_the_same_vectors(matrix):
    expected = VectorModality().fit_transform(matrix)
    cells = cells_of(matrix)
    lists = [None if c is None else c.tolist() for c in cells]
    containers = {
        "columns": pd.DataFrame(matrix, columns=list("abcde")),
        "polars columns": pl.DataFrame(matrix, schema=list("abcde")),
        "cells": pd.DataFrame({"v": cells}),
        "series": pd.Series(cells, name="v"),
        "lists": pd.DataFrame({"v": pd.Series(lists, dtype=object)}),
        "array of cells": cells,
        "polars lists": pl.DataFrame({"v": lists}),
        "parts": pd.DataFrame({"a": matrix[:, 0], "v": cells_of(matrix[:, 1:])}),
    }
    for name, X in containers.items():
        block = VectorModality().fit_transform(X)
        np.testing.assert_array_equal(block.present, expected.present, err_msg=name)
        np.testing.assert_allclose(
            block.arrays["x"], expected.arrays["x"], rtol=1e-5, err_msg=name
        )


def test_float32_is_scaled_like_float64(matrix):
    np.testing.assert_allclose(
        VectorModality().fit_transform(matrix.astype(np.float32)).arrays["x"],
        VectorModality().fit_transform(matrix).arrays["x"],
        atol=1e-5,
    )


def test_constant_and_empty_features_stay_silent():
    X = np.array([[1.0, np.nan, 0], [1.0, np.nan, 1], [1.0, np.nan, 2]])
    modality = VectorModality().fit(X)
    x = modality.transform([[50.0, 50.0, 1.0]]).arrays["x"]
    np.testing.assert_array_equal(x, [[0, 0, 0]])


def test_cell_of_wrong_length_names_row_and_column():
    X = pd.DataFrame({"v": [[1.0, 2.0], [1.0, 2.0, 3.0]]}, index=["a", "b"])
    with pytest.raises(
        ValueError, match=r"Row 'b' of column 'v' holds .*\(3,\).*2 val"
    ):
        VectorModality().fit(X)
    modality = VectorModality().fit(X.iloc[:1])
    with pytest.raises(ValueError, match="Row 'b' of column 'v'"):
        modality.transform(X.iloc[1:])


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (["x", "y"], "is no vector of numbers"),
        ([1.0, np.inf], "holds infinity"),
        ([[1.0, 2.0]], r"holds an array of shape \(1, 2\)"),
        (3.0, r"holds an array of shape \(\)"),
        ("text", "is no vector of numbers"),
    ],
)
def test_bad_cell_names_row_and_column(cell, message):
    X = pd.DataFrame({"v": pd.Series([[1.0, 2.0], cell], dtype=object)})
    with pytest.raises(ValueError, match=f"Row 1 of column 'v' {message}"):
        VectorModality().fit(X)


def test_infinity_in_a_number_column_names_the_cell():
    X = pd.DataFrame({"a": [1.0, -np.inf], "b": [1.0, 2.0]})
    with pytest.raises(ValueError, match="Row 1 of column 'a' holds infinity"):
        VectorModality().fit(X)


def test_parameters_are_validated():
    with pytest.raises(ValueError, match="'scaling' parameter of VectorModality"):
        VectorModality(scaling="log").fit([[1.0], [2.0]])


# ------------------------------------------------------------------ sparse vectors


def test_sparse_matrices_are_never_densified(tfidf, never_dense):
    modality = VectorModality().fit(tfidf)
    block = modality.transform(tfidf)
    x = block.arrays["x"]
    assert sparse.issparse(x)
    assert x.format == "csr"
    assert x.dtype == np.float32
    assert block.nbytes < 1e6
    assert modality.features(block) is x
    assert block[np.arange(5)].arrays["x"].shape == (5, 100_000)
    encoder = modality.build_encoder(8, 0.5).train()
    inputs = encoder.add_noise(as_tensors(block), torch.full((60,), 1.0))
    h, mask = encoder(inputs)
    assert h.shape == (60, 1, 8)
    assert mask.all()
    h.square().sum().backward()
    assert encoder.weight.grad is not None


def test_sparse_encoder_computes_what_a_dense_one_would(tfidf):
    modality = VectorModality().fit(tfidf[:, :500])
    block = modality.transform(tfidf[:, :500])
    encoder = modality.build_encoder(8, 0.5).eval()
    x = torch.as_tensor(block.arrays["x"].toarray())
    torch.testing.assert_close(
        encoder(as_tensors(block))[0][:, 0], x @ encoder.weight + encoder.bias
    )


def test_sparse_values_keep_their_proportions(tfidf):
    x = VectorModality().fit_transform(tfidf).arrays["x"]
    factor = x.data / tfidf.data
    np.testing.assert_allclose(factor, factor[0], rtol=1e-5)
    assert np.sqrt(np.mean(x.data**2)) == pytest.approx(1, rel=1e-5)


def test_empty_sparse_row_is_present():
    X = sparse.csr_matrix([[0.0, 1.0], [0.0, 0.0]])
    assert VectorModality().fit_transform(X).present.all()
    assert VectorModality().fit_transform(sparse.csr_matrix((3, 2))).present.all()


def test_sparse_frame_stays_sparse(never_dense):
    frame = pd.DataFrame.sparse.from_spmatrix(
        sparse.csr_matrix(np.eye(6)), columns=list("abcdef")
    )
    modality = VectorModality().fit(frame)
    assert modality.sparse_
    assert list(modality.feature_names_in_) == list("abcdef")
    dense = pd.DataFrame(np.eye(6), columns=list("abcdef"))
    assert sparse.issparse(modality.transform(dense).arrays["x"])


def test_sparse_after_dense_and_dense_after_sparse():
    X = np.eye(4)
    for first, second in ((X, sparse.csr_matrix(X)), (sparse.csr_matrix(X), X)):
        modality = VectorModality().fit(first)
        np.testing.assert_array_equal(
            np.asarray(modality.transform(second)),
            np.asarray(modality.transform(first)),
        )


def test_noise_moves_sparse_entries_of_noisy_rows(tfidf):
    modality = VectorModality().fit(tfidf)
    encoder = modality.build_encoder(4, 0.0)
    inputs = as_tensors(modality.transform(tfidf))
    sd = torch.zeros(60)
    sd[30:] = 3.0
    noisy = encoder.add_noise(inputs, sd)["x"]
    before, after = inputs["x"]._indices(), noisy._indices()
    assert torch.equal(before[0], after[0])
    moved = before[1] != after[1]
    assert not moved[before[0] < 30].any()
    assert moved[before[0] >= 30].float().mean() > 0.9
    assert set(after[1].tolist()) <= set(tfidf.indices.tolist())


# ------------------------------------------------------------------ encoders


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_forward_in_float64_matches_float32(kind, matrix):
    X = np.nan_to_num(matrix)
    X = sparse.csr_matrix(X) if kind == "sparse" else X
    modality = VectorModality().fit(X)
    encoder = modality.build_encoder(8, 0.3).eval()
    inputs = as_tensors(modality.transform(X))
    single, _ = encoder(inputs)
    double, _ = encoder.double()({key: x.double() for key, x in inputs.items()})
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single, rtol=1e-4, atol=1e-5)


def test_dropout_only_in_training(matrix):
    modality = VectorModality().fit(matrix)
    encoder = modality.build_encoder(8, 0.5)
    inputs = as_tensors(modality.transform(matrix))
    assert not torch.equal(encoder.train()(inputs)[0], encoder(inputs)[0])
    assert torch.equal(encoder.eval()(inputs)[0], encoder(inputs)[0])


def test_one_token_names_all(matrix):
    modality = VectorModality().fit(matrix)
    block = modality.transform(matrix)
    elements = modality.elements(block, np.ones((30, 1)))
    assert elements[0].to_dict() == {"all": 1.0}
    assert elements[4].empty


def test_pickle_and_clone(matrix, tfidf):
    for X in (matrix, tfidf[:, :50]):
        modality = VectorModality(scaling="robust").fit(X)
        again = pickle.loads(pickle.dumps(modality))
        np.testing.assert_array_equal(
            np.asarray(again.transform(X)), np.asarray(modality.transform(X))
        )
        assert clone(modality).scaling == "robust"


# ------------------------------------------------------------------ transformers


@pytest.fixture
def notes():
    texts = ["a good cloth", None, "a bad seam", " ", "good seam", np.nan]
    return pd.DataFrame({"note": pd.Series(texts, index=list("abcdef"), dtype=object)})


@pytest.mark.parametrize(
    "transformer",
    [
        TfidfVectorizer(),
        HashingVectorizer(n_features=64),
        make_pipeline(TfidfVectorizer(), StandardScaler(with_mean=False)),
    ],
)
def test_text_vectorizers_get_their_column(transformer, notes, never_dense):
    modality = TransformerModality(transformer)
    block = modality.fit_transform(notes)
    assert block.present.tolist() == [True, False, True, False, True, False]
    assert block.arrays["x"].format == "csr"
    assert np.diff(block.arrays["x"].indptr)[[1, 3, 5]].tolist() == [0, 0, 0]
    assert modality.n_features_in_ == 1
    assert modality.features(block).shape == block.arrays["x"].shape


def test_text_as_series_list_and_polars_is_the_same(notes):
    expected = TransformerModality(TfidfVectorizer()).fit_transform(notes)
    series = notes["note"]
    column = pl.DataFrame({"note": [t if isinstance(t, str) else None for t in series]})
    for X in (series, series.to_list(), series.to_numpy(), column, column["note"]):
        block = TransformerModality(TfidfVectorizer()).fit_transform(X)
        np.testing.assert_array_equal(np.asarray(block), np.asarray(expected))
        np.testing.assert_array_equal(block.present, expected.present)


def test_text_in_several_columns_is_an_error(notes):
    notes["other"] = "more"
    with pytest.raises(ValueError, match="TfidfVectorizer reads one column, but got 2"):
        TransformerModality(TfidfVectorizer()).fit(notes)


def test_transformer_never_sees_missing_rows(matrix):
    modality = TransformerModality(PCA(3, random_state=0))
    X = np.where(np.isnan(matrix).all(axis=1)[:, None], np.nan, np.nan_to_num(matrix))
    block = modality.fit_transform(X)
    assert block.arrays["x"].shape == (30, 3)
    assert np.flatnonzero(~block.present).tolist() == [4]
    np.testing.assert_allclose(
        np.asarray(modality.transform(X)), np.asarray(block), atol=1e-4
    )
    nothing = modality.transform(np.full((2, 5), np.nan))
    assert not nothing.present.any()
    assert nothing.arrays["x"].shape == (2, 3)


def test_transformers_that_return_frames():
    X = pd.DataFrame({"a": ["x", "y", "x"], "b": [1, 2, 3]})
    encoder = OneHotEncoder(sparse_output=False, handle_unknown="ignore")
    modality = TransformerModality(encoder.set_output(transform="pandas"))
    block = modality.fit_transform(X)
    assert block.arrays["x"].shape == (3, 5)
    assert modality.transform(X.assign(a="new")).present.all()


def test_supervised_transformers_get_the_labels():
    from sklearn.preprocessing import TargetEncoder

    X = pd.DataFrame({"a": ["x", "y"] * 20})
    X.iloc[5] = None
    y = np.array([0, 1] * 20)
    modality = TransformerModality(TargetEncoder()).fit(X, y)
    x = modality.transform(X).arrays["x"][:, 0]
    assert x[0] < x[1]
    with pytest.raises(ValueError, match="y"):
        TransformerModality(TargetEncoder()).fit(X)


def test_transformer_is_cloned_and_its_parameters_are_nested(notes):
    transformer = TfidfVectorizer()
    modality = TransformerModality(transformer).set_params(transformer__min_df=2)
    modality.fit(notes)
    assert not hasattr(transformer, "vocabulary_")
    assert set(modality.transformer_.vocabulary_) == {"good", "seam"}
    again = pickle.loads(pickle.dumps(modality))
    np.testing.assert_array_equal(
        np.asarray(again.transform(notes)), np.asarray(modality.transform(notes))
    )
    assert clone(modality).transformer.min_df == 2


def test_transformer_with_nothing_to_learn_from_is_an_error():
    with pytest.raises(ValueError, match="at least one row that is not missing"):
        TransformerModality(TfidfVectorizer()).fit(pd.DataFrame({"t": [None, " "]}))
    with pytest.raises(TypeError, match=r"with fit and transform\. Got 3 instead"):
        TransformerModality(3).fit([[1.0]])


def test_transformer_errors_come_through():
    X = pd.DataFrame({"a": [1.0, np.nan], "b": [1.0, 2.0]})
    with pytest.raises(ValueError, match="NaN"):
        TransformerModality(PCA(1)).fit(X)
    assert (
        TransformerModality(make_pipeline(SimpleImputer(), PCA(1)))
        .fit_transform(X)
        .present.all()
    )
