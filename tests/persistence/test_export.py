"""The ONNX graph says what the model says, whichever modalities are there."""

import sys
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from torch import nn

import skfusion
from skfusion import FusionClassifier, FusionRegressor, ModalityTransformer
from skfusion.modalities import (
    AudioModality,
    EstimatorModality,
    ImageModality,
    PretrainedImage,
    SeriesModality,
    TextModality,
    VectorModality,
)
from skfusion.network import Encoder
from skfusion.persistence.export import OnnxReport
from skfusion.persistence.graph_parts import _below
from tests.conftest import _cells, mixed_frame

SMALL = {"max_epochs": 2, "d_model": 16, "random_state": 0}
N = 90


def media():
    """The mixed frame with sounds and curves of many lengths, and a second picture."""
    frame, good = mixed_frame(N)
    rng = np.random.default_rng(1)
    n = range(N)
    sounds = [(rng.normal(size=2000 + 30 * i), 8000) if i % 6 else None for i in n]
    curves = [rng.normal(size=(2, 20 + i % 9)) if i % 5 else None for i in n]
    frame["tone"], frame["curve"] = _cells(sounds), _cells(curves)
    frame["other"] = frame["photo"].sample(frac=1, random_state=0).to_numpy()
    frame["phrase"] = frame["note"].fillna("nothing")
    frame["size"] = frame["weight"].fillna(0) + 2.0 * good
    return frame, good


def words_and_facts():
    """Three classes; two texts in one modality, TF-IDF, a table; two networks."""
    frame, good = media()
    y = np.array(["a", "b", "c"])[good.astype(int) + (frame["size"] > 5)]
    triples = [
        ("words", TextModality(min_df=1), ["note", "colour"]),
        ("facts", "tabular", ["price", "weight", "colour"]),
        ("tfidf", TfidfVectorizer(), "phrase"),
    ]
    own = [("own", HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5))]
    clf = FusionClassifier(triples, n_folds=2, base_models=own, **SMALL)
    return clf.fit(frame, y), frame


def pictures_and_sounds():
    """An encoder of pictures learns from the targets; the graph reads what it says."""
    frame, _ = media()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    encoder = PretrainedImage(layers, size=8, mean=0.5, std=0.25, fine_tune=1)
    triples = [
        ("photos", ImageModality(size=16, encoder=encoder), ["photo", "other"]),
        ("tone", AudioModality(), "tone"),
        ("curve", SeriesModality(), "curve"),
        ("line", EstimatorModality(LogisticRegression()), ["size"]),
    ]
    y = (frame["size"] > 5).to_numpy()
    return FusionClassifier(triples, n_folds=1, **SMALL).fit(frame, y), frame


def large_numbers():
    """A regression whose target is in the millions and more, and so is transformed.

    The joint part reads tokens.
    """
    frame, _ = media()
    triples = [("words", "text", "note"), ("view", "vector", ["price", "weight"])]
    reg = FusionRegressor(triples, n_folds=1, fusion="bottleneck", **SMALL)
    reg.fit(frame, 1e6 * np.exp(frame["size"]))
    assert reg.y_transformed_.all()
    return reg, frame


def network_alone():
    frame, good = media()
    triples = [("words", "text", "note"), ("view", "vector", ["price", "weight"])]
    pipe = Pipeline(
        [
            ("modalities", ModalityTransformer(triples)),
            ("fusion", FusionClassifier(fusion="mean", n_folds=1, **SMALL)),
        ]
    )
    return pipe.fit(frame, good), frame


def labels():
    """Four labels, of which one is constant."""
    frame, good = media()
    size = frame["size"].to_numpy()
    y = np.column_stack([good, size > 5, size > 3, np.ones(N)]).astype(int)
    triples = [("words", "text", "note"), ("view", "vector", ["price", "weight"])]
    clf = FusionClassifier(triples, n_folds=1, **SMALL)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* have one value in all")
        return clf.fit(frame, y), frame


MODELS = [words_and_facts, pictures_and_sounds, large_numbers, labels, network_alone]


@pytest.fixture(scope="module", params=MODELS, ids=lambda make: make.__name__)
def exported(request, tmp_path_factory):
    """A model, its rows, its report, and a session of its graph."""
    model, frame = request.param()
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    report = skfusion.export_onnx(model, path, frame)
    return model, frame, report, onnxruntime.InferenceSession(path)


def answer(model, X):
    return model.predict_proba(X) if hasattr(model, "classes_") else model.predict(X)


def difference(model, expected, found):
    final = model[-1] if isinstance(model, Pipeline) else model
    return np.abs((expected - found) / getattr(final, "y_scale_", 1.0)).max()


def test_report_has_every_subset_and_small_differences(exported):
    model, _, report, _ = exported
    names = (model[-1] if isinstance(model, Pipeline) else model).modality_names_
    assert list(report.differences.index) == ["all", *(f"without {n}" for n in names)]
    assert (report.differences < 1e-5).all()
    assert 0 < report.row_ms < 100
    shown = repr(report)
    for part in (report.path, *report.differences.index, "one row", *report.inputs):
        assert part in shown


def test_every_row_alone_is_as_in_the_model(exported):
    model, frame, _, session = exported
    for i in range(0, N, 3):
        row = frame.iloc[i : i + 1]
        found = session.run(None, skfusion.onnx_inputs(model, row))[0]
        assert difference(model, answer(model, row), found) < 1e-5


def test_weights_and_contributions_are_those_of_the_model(exported):
    model, frame, _, session = exported
    _, weights, contributions = session.run(None, skfusion.onnx_inputs(model, frame))
    X, final = frame, model
    if isinstance(model, Pipeline):
        X, final = model[:-1].transform(frame), model[-1]
    np.testing.assert_allclose(weights, final.modality_weights(X), atol=1e-4)
    expected, _ = final.modality_contributions(X)
    assert difference(model, expected, contributions) < 1e-4


def test_what_lies_behind_a_mask_changes_no_bit(exported):
    model, frame, _, session = exported
    inputs = skfusion.onnx_inputs(model, frame.head(6))
    name = next(iter(inputs)).split(".")[0]
    inputs[f"{name}.present"] = np.zeros(6, bool)
    before = session.run(None, inputs)
    for key, x in inputs.items():
        if key.startswith(f"{name}.") and x.dtype.kind == "f":
            inputs[key] = np.full_like(x, np.nan)
    for a, b in zip(before, session.run(None, inputs), strict=True):
        assert np.array_equal(a, b)


def test_graph_takes_the_inputs_that_are_documented_and_knows_its_outputs(exported):
    model, frame, report, session = exported
    inputs = skfusion.onnx_inputs(model, frame.head(2))
    assert list(inputs) == list(report.inputs)
    assert [x.name for x in session.get_outputs()] == list(report.outputs)
    first = "probabilities" if hasattr(model, "classes_") else "prediction"
    assert list(report.outputs) == [first, "weights", "contributions"]
    onnx.checker.check_model(report.path)


# ---------------------------------------------------------------- without rows


def test_without_rows_nothing_is_compared(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    model = FusionClassifier(n_folds=1, **SMALL).fit(X, X[:, 0] > 0)
    report = skfusion.export_onnx(model, tmp_path / "model.onnx")
    assert isinstance(report, OnnxReport)
    assert report.differences.empty
    assert "not compared" in repr(report)
    session = onnxruntime.InferenceSession(report.path)
    found = session.run(None, skfusion.onnx_inputs(model, X))[0]
    assert difference(model, model.predict_proba(X), found) < 1e-5
    assert [f.name for f in tmp_path.iterdir()] == ["model.onnx"]


def test_graph_that_differs_is_told_of(tmp_path, monkeypatch):
    X = np.random.default_rng(0).normal(size=(80, 3))
    model = FusionRegressor(n_folds=1, **SMALL).fit(X, X[:, 0])
    real = model.predict
    monkeypatch.setattr(model, "predict", lambda X: real(X) + 1)
    with pytest.warns(UserWarning, match="differs from the model by .* which is more"):
        skfusion.export_onnx(model, tmp_path / "model.onnx", X)


# ---------------------------------------------------------------- errors


def test_base_model_without_a_converter_is_named(view_triples, views, tmp_path):
    own = [("bayes", GaussianNB())]
    model = FusionClassifier(view_triples, n_folds=1, base_models=own, **SMALL)
    model.fit(*views)
    with pytest.raises(
        ValueError, match=r"base model 'bayes' of 'left' .* converter for GaussianNB"
    ):
        skfusion.export_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


class _Counting(Encoder):
    """An encoder whose tokens are as many as some value says."""

    def __init__(self, d_model):
        super().__init__()
        self.linear = torch.nn.Linear(1, d_model)

    def forward(self, inputs):
        h = self.linear(inputs["x"][:, :1]).unsqueeze(1)
        h = h.expand(-1, 1 + int(inputs["x"].abs().max()), -1)
        return h, h.new_ones(h.shape[:2], dtype=torch.bool)


class Counting(VectorModality):
    def build_encoder(self, d_model, dropout):
        return _Counting(d_model)


def test_encoder_that_cannot_be_exported_is_named(views, tmp_path):
    triples = [("left", "vector", ["a", "b"]), ("right", Counting(), ["d", "e"])]
    model = FusionClassifier(triples, n_folds=1, base_models=None, **SMALL)
    model.fit(*views)
    with pytest.raises(ValueError, match=r"modality 'right' \(_Counting\) cannot be"):
        skfusion.export_onnx(model, tmp_path / "model.onnx", views[0])


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_missing_packages_name_the_extra(package, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)  # as if it could not be imported
    with pytest.raises(ImportError, match=r"skfusion\[onnx\]"):
        skfusion.export_onnx(FusionClassifier(), tmp_path / "model.onnx")


@pytest.mark.parametrize("model", [LogisticRegression(), "model.onnx", None])
def test_what_is_no_fusion_model_is_refused(model, tmp_path):
    with pytest.raises(TypeError, match="FusionClassifier or FusionRegressor"):
        skfusion.export_onnx(model, tmp_path / "model.onnx", np.ones((2, 2)))


def test_model_that_is_not_fitted_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not fitted"):
        skfusion.export_onnx(
            FusionClassifier(), tmp_path / "model.onnx", np.ones((2, 2))
        )


def test_thresholds_split_float32_as_before():
    rng = np.random.default_rng(0)
    x = rng.normal(size=1000).astype(np.float32)
    thresholds = np.concatenate([x[:500].astype(float), rng.normal(size=500)])
    rounded = _below(thresholds).astype(np.float32)
    assert np.array_equal(x[:, None] <= thresholds, x[:, None] <= rounded)
