"""Models as files: the same to the bit, without pickle, and no harm from any file."""

import io
import os
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.cluster import Birch
from sklearn.compose import make_column_selector
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import skfusion
from skfusion import FusionClassifier, FusionRegressor, ModalityTransformer
from skfusion import modalities as all_modalities
from skfusion.estimator.parameters import FUSIONS
from skfusion.modalities import EstimatorModality, ImageModality, TransformerModality
from skfusion.modalities.base import Modality
from skfusion.persistence import archive

ONE = {"max_epochs": 1, "d_model": 16, "n_folds": 2, "random_state": 0}
TREE = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"


def again(model, tmp_path, **options):
    skfusion.save(model, tmp_path / "model.skfusion")
    return skfusion.load(tmp_path / "model.skfusion", **options)


def predictions(model, X):
    """All that a model says of rows, few (float64) and many (float32)."""
    many = pd.concat([X] * 4, ignore_index=True)
    out = [model.predict(X), model.predict(many)]
    out += [model.modality_weights(X), *model.modality_contributions(many)]
    if hasattr(model, "predict_proba"):
        out += [model.predict_proba(X), model.predict_proba(many)]
    return out


def assert_same(model, loaded, X):
    for a, b in zip(predictions(model, X), predictions(loaded, X), strict=True):
        assert a.dtype == b.dtype
        assert np.array_equal(a, b)


# ---------------------------------------------------------------- the same to the bit


@pytest.mark.parametrize("rule", sorted(FUSIONS))
def test_every_rule_predicts_the_same(rule, views, view_triples, tmp_path):
    X, y = views
    model = FusionClassifier(view_triples, fusion=rule, **ONE).fit(X, y)
    loaded = again(model, tmp_path)
    assert_same(model, loaded, X)
    assert repr(loaded) == repr(model)
    assert loaded.networks_[0] is loaded._model.networks[0]
    assert not loaded.networks_[0].encoders[0]._forward_hooks


@pytest.mark.parametrize("n_targets", [1, 2])
def test_a_regressor_predicts_the_same(n_targets, views, view_triples, tmp_path):
    X, _ = views
    y = X[["a", "d"]].fillna(0).to_numpy()[:, :n_targets].squeeze()
    model = FusionRegressor(view_triples, **ONE).fit(X, y)
    assert_same(model, again(model, tmp_path), X)


NAMES = sorted(
    name
    for name in all_modalities.__all__
    if issubclass(getattr(all_modalities, name), Modality)
    and name not in ("Modality", "CellModality")
)
MADE = {
    "EstimatorModality": lambda: EstimatorModality(HistGradientBoostingClassifier()),
    "TransformerModality": lambda: TransformerModality(StandardScaler()),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_modality_gives_the_same_block(name, modality_examples, tmp_path):
    X = modality_examples[name]
    y = np.arange(len(X)) % 2
    modality = MADE.get(name, getattr(all_modalities, name))().fit(X, y)
    before, after = modality.transform(X), again(modality, tmp_path).transform(X)
    assert before.arrays.keys() == after.arrays.keys()
    for key, array in before.arrays.items():
        assert_equal(array, after.arrays[key])


def assert_equal(a, b):
    """Dense, sparse, or one array a row."""
    if getattr(a, "dtype", np.dtype(float)).kind == "O":
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_equal(x, y)
    else:
        a, b = (x.toarray() if sparse.issparse(x) else np.asarray(x) for x in (a, b))
        assert a.dtype == b.dtype
        assert np.array_equal(a, b)


def test_modalities_were_found():
    assert len(NAMES) >= 8


def everything(n):
    """A frame of every kind of column."""
    rng = np.random.default_rng(0)
    y = rng.random(n) < 0.5
    words = np.array(["soft", "warm", "torn", "cheap", "shirt", "dress"])
    texts = [" ".join([*rng.choice(words, 5), "good" if g else "bad"]) for g in y]
    columns = {
        "text": [f"{text} zanzibar{i}" for i, text in enumerate(texts)],
        "number": rng.normal(size=n) + y,
        "kind": rng.choice(["u", "v"], n),
        "photo": list(rng.integers(0, 255, (n, 8, 8, 3), dtype=np.uint8)),
        "sound": [(rng.normal(size=800), 8000) for _ in range(n)],
        "series": list(rng.normal(size=(n, 2, 20))),
    }
    return pd.DataFrame({k: pd.Series(v) for k, v in columns.items()}), y


ALL = [
    ("text", "text", "text"),
    ("facts", "tabular", ["number", "kind"]),
    ("photo", ImageModality(size=8), "photo"),
    ("sound", "audio", "sound"),
    ("series", "series", "series"),
    ("vector", "vector", make_column_selector(dtype_include="number")),
    ("tfidf", TfidfVectorizer(), "text"),
    (
        "boosted",
        EstimatorModality(HistGradientBoostingClassifier(min_samples_leaf=3), cv=2),
        ["number"],
    ),
]


@pytest.fixture(scope="module")
def fitted():
    X, y = everything(60)
    return FusionClassifier(ALL, **ONE).fit(X, y), X, y


@pytest.fixture(scope="module")
def file(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "model.skfusion"
    skfusion.save(fitted[0], path)
    return path


def test_all_modalities_together_predict_the_same(fitted, file):
    model, X, _ = fitted
    loaded = skfusion.load(file)
    assert_same(model, loaded, X)
    pd.testing.assert_frame_equal(loaded.history_, model.history_)
    pd.testing.assert_frame_equal(loaded.base_model_weights_, model.base_model_weights_)
    assert loaded.card() == model.card()
    assert loaded.modalities[5][2](X) == ["number"]
    words = [e.element_contributions(X, "text").elements[0] for e in (model, loaded)]
    pd.testing.assert_frame_equal(*words)


def test_a_loaded_model_can_be_cloned_fitted_and_saved_again(small, tmp_path):
    model, path, X = small
    loaded = skfusion.load(path)
    again(loaded, tmp_path)
    assert_same(model, loaded.fit(X, X[:, 0] > 0), pd.DataFrame(X))
    assert not hasattr(clone(loaded), "networks_")


def test_a_warm_start_goes_on_from_a_file(small, tmp_path):
    model, path, X = small
    loaded, twin = skfusion.load(path), pickle.loads(pickle.dumps(model))
    for each in (loaded, twin):
        each.set_params(warm_start=True).fit(X, X[:, 0] > 0)
    assert_same(twin, loaded, pd.DataFrame(X))


def test_another_process_predicts_the_same(small, tmp_path):
    model, path, X = small
    np.save(tmp_path / "X.npy", X)
    code = (
        "import sys, numpy as np, skfusion\n"
        "model = skfusion.load(sys.argv[1])\n"
        "np.save(sys.argv[3], model.predict_proba(np.load(sys.argv[2])))\n"
    )
    files = [path, tmp_path / "X.npy", tmp_path / "out.npy"]
    subprocess.run([sys.executable, "-c", code, *map(str, files)], check=True)
    assert np.array_equal(np.load(files[2]), model.predict_proba(X))


def test_a_pipeline_of_modalities_and_fusion(views, view_triples, tmp_path):
    X, y = views
    steps = [
        ("same", FunctionTransformer()),
        ("modalities", ModalityTransformer(view_triples)),
        ("fusion", FusionClassifier(**ONE)),
    ]
    pipe = Pipeline(steps).fit(X, y)
    loaded = again(pipe, tmp_path)
    assert np.array_equal(pipe.predict_proba(X), loaded.predict_proba(X))


def test_parameters_of_an_unfitted_model(tmp_path):
    model = FusionClassifier(
        ALL,
        random_state=np.random.RandomState(3),
        class_weight={"u": 1.0, "v": 2},
        callbacks=[],
    )
    with config_context(enable_metadata_routing=True):
        model.set_fit_request(sample_weight=True)
    loaded = again(model, tmp_path)
    assert loaded.class_weight == model.class_weight
    assert loaded.random_state.randint(99) == model.random_state.randint(99)
    assert loaded._metadata_request.fit.requests == {
        "sample_weight": True,
        "groups": None,
    }


# ---------------------------------------------------------------- what is in the file


def parts_of(content, name=""):
    """Every member of an archive, and of the archives in it, unpacked."""
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            for member in opened.namelist():
                yield from parts_of(opened.read(member), f"{name}/{member}")
    else:
        yield name, content


def test_no_pickle_and_no_training_text(fitted, file):
    _, X, _ = fitted
    parts = dict(parts_of(file.read_bytes()))
    assert {"/state.json", "/arrays.safetensors", "/manifest.json"} <= parts.keys()
    for name, content in parts.items():
        assert name.endswith((".json", ".safetensors", ".npy", ".npz", ".bin"))
        for text in X["text"]:
            for piece in (text, " ".join(text.split()[:3])):
                assert piece.encode() not in content
        if name.endswith(".npy"):
            np.load(io.BytesIO(content), allow_pickle=False)


def test_no_training_row_is_in_the_file(views, view_triples, tmp_path):
    X, y = views
    model = FusionClassifier(view_triples, **ONE).fit(X, y)
    again(model, tmp_path)
    content = b"".join(
        part for _, part in parts_of((tmp_path / "model.skfusion").read_bytes())
    )
    blocks = model.modalities_.transform(X).blocks
    for block in blocks.values():  # scaled, as features and as given
        for row in block.arrays["x"][block.present]:
            for dtype in (np.float32, np.float64):
                assert row.astype(dtype).tobytes() not in content
    for row in X.dropna().to_numpy():
        for part in (row[:3], row[3:]):
            for dtype in (np.float32, np.float64):
                assert part.astype(dtype).tobytes() not in content


@pytest.mark.parametrize("n_words", [3000])
def test_two_thousand_rows_of_text_and_table_are_below_ten_megabytes(n_words, tmp_path):
    rng = np.random.default_rng(0)
    words = np.array([f"w{i}" for i in range(n_words)])
    X = pd.DataFrame(rng.normal(size=(2000, 4)), columns=[*"abcd"])
    X["text"] = [" ".join(rng.choice(words, 20)) for _ in range(2000)]
    triples = [("text", "text", "text"), ("facts", "tabular", [*"abcd"])]
    model = FusionClassifier(triples, max_epochs=1, random_state=0).fit(X, X["a"] > 0)
    path = tmp_path / "model.skfusion"
    skfusion.save(model, path)
    assert path.stat().st_size <= 10_000_000
    assert path.stat().st_size < 8_000_000


# ---------------------------------------------------------------- what cannot be saved


class Constant(ClassifierMixin, BaseEstimator):
    """A user's own base model."""

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return np.full((len(X), len(self.classes_)), 1 / len(self.classes_))


def local_modality():
    class Local(ImageModality):
        pass

    return Local()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (LogisticRegression(), "estimators and modalities of skfusion"),
        (GridSearchCV(FusionClassifier(), {}), "best_estimator_"),
        (
            FusionClassifier([("a", "vector", lambda X: [0])]),
            r"model\.modalities\[0\]\[2\] is of type builtins\.function.*lambda",
        ),
        (
            FusionClassifier([("a", local_modality(), "a")]),
            r"model\.modalities\[0\]\[1\] is of .*<locals>.*top level",
        ),
        (
            FusionClassifier(base_models=[("a", GridSearchCV(FusionClassifier(), {}))]),
            r"model\.base_models\[0\]\[1\].*FusionClassifier.*by itself",
        ),
        (FusionClassifier(callbacks=[Birch()]), r"model\.callbacks\[0\]"),
    ],
    ids=lambda x: type(x).__name__ if hasattr(x, "fit") else "",
)  # fmt: skip
def test_what_cannot_be_saved_is_named(model, message, tmp_path):
    path = tmp_path / "model.skfusion"
    path.write_bytes(b"older")
    with pytest.raises(TypeError, match=message):
        skfusion.save(model, path)
    assert path.read_bytes() == b"older"
    assert os.listdir(tmp_path) == ["model.skfusion"]


def test_a_list_that_holds_itself_is_named(tmp_path):
    loop = []
    loop.append(loop)
    with pytest.raises(TypeError, match=r"model\.callbacks\[0\] holds itself"):
        skfusion.save(FusionClassifier(callbacks=loop), tmp_path / "model")


def test_attributes_may_lead_back_to_their_object(tmp_path):
    model = FusionClassifier()
    model.callbacks = [model]
    loaded = again(model, tmp_path)
    assert loaded.callbacks[0] is loaded


def test_a_failed_write_leaves_the_older_file(small, tmp_path, monkeypatch):
    path = tmp_path / "model.skfusion"
    path.write_bytes(b"older")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archive.Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        skfusion.save(small[0], path)
    assert path.read_bytes() == b"older"
    assert os.listdir(tmp_path) == ["model.skfusion"]


def test_folders_that_are_not_there(small, tmp_path):
    for path in (tmp_path / "no" / "model", tmp_path / "model"):
        with pytest.raises(FileNotFoundError):
            skfusion.load(path)
    with pytest.raises(FileNotFoundError):
        skfusion.save(small[0], tmp_path / "no" / "model")


# ---------------------------------------------------------------- trust


def test_own_estimators_are_made_only_if_trusted(small, tmp_path):
    _, _, X = small
    own = [("own", Constant())]
    model = FusionClassifier(base_models=own, **ONE).fit(X, X[:, 0] > 0)
    name = f"{__name__}.Constant"
    with pytest.raises(TypeError, match=rf"unless you trust them: \['{name}'\]"):
        again(model, tmp_path)
    for trusted in ([name], Constant):
        assert_same(model, again(model, tmp_path, trusted=trusted), pd.DataFrame(X))


def test_forests_are_trusted_by_name(tmp_path):
    X = np.random.default_rng(0).normal(size=(30, 2))
    modality = EstimatorModality(RandomForestClassifier(2)).fit(X, X[:, 0] > 0)
    with pytest.raises(TypeError, match=r"sklearn\.tree\._tree\.Tree"):
        again(modality, tmp_path)
    loaded = again(modality, tmp_path, trusted=["sklearn.tree._tree.Tree"])
    assert np.array_equal(
        loaded.transform(X).arrays["logits"], modality.transform(X).arrays["logits"]
    )


class Own(ImageModality):
    """A user's own modality."""


def test_own_modalities_are_made_only_if_trusted(tmp_path):
    X = pd.Series(
        list(np.random.default_rng(0).integers(0, 255, (6, 8, 8, 3), np.uint8))
    )
    modality = Own(size=8).fit(X)
    with pytest.raises(TypeError, match="unless you trust"):
        again(modality, tmp_path)
    assert type(again(modality, tmp_path, trusted=[Own])) is Own
