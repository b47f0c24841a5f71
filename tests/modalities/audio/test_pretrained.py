"""Pretrained encoders of sound: an element beside the intervals, at their own rate."""

import io
import pickle
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from skfusion.datasets import load_spoken_digits
from skfusion.modalities import AudioModality, PretrainedAudio
from skfusion.modalities import pretrained as shared

RATE = 8000
TONES = [
    (np.sin(2 * np.pi * f * np.arange(n) / RATE).astype(np.float32), RATE)
    for f, n in [(220, 4000), (440, 8000), (880, 2000), (300, 4000)]
]
#: Lengths of what fake encoders were given.
ASKED = []


def sizes(samples):
    """Mean size of samples, 100 at a time, as frames of width 1."""
    ASKED.append(len(samples))
    return (
        np.abs(samples[: len(samples) // 100 * 100]).reshape(-1, 100).mean(1)[:, None]
    )


class Windows(torch.nn.Module):
    """Frames (1, T, 2) of samples (1, n), by a convolution."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv1d(1, 2, 200, 100)

    def forward(self, x):
        ASKED.append(tuple(x.shape))
        return self.conv(x[:, None]).transpose(1, 2)


@pytest.fixture(autouse=True)
def _nothing_is_known():
    shared.MEMORY.clear()
    shared._loaded.clear()
    ASKED.clear()


def modality(model=sizes, **options):
    own = {"sample_rate": 4000} | options
    spec = PretrainedAudio(model, **own)
    return AudioModality(n_mels=16, duration=1.0, encoder=spec)


# ------------------------------------------------------------------ the modality


def test_sounds_are_resampled_for_the_encoder_and_keep_their_length():
    block = modality().fit_transform([*TONES, None])
    assert sorted(ASKED) == [1000, 2000, 2000, 4000]
    assert block.arrays["meaning"].shape == (5, 1, 4)  # quarters of one frame feature
    assert not block.arrays["meaning"][4].any()


def test_bare_arrays_have_the_rate_of_the_modality():
    audio = modality()
    audio.sample_rate = RATE
    named = audio.fit_transform(TONES).arrays["meaning"]
    ASKED.clear()
    bare = audio.fit_transform([samples for samples, _ in TONES]).arrays["meaning"]
    assert not ASKED  # the same samples, which the cache knows
    np.testing.assert_array_equal(bare, named)


def test_no_more_is_embedded_than_the_modality_keeps():
    audio = modality()
    audio.duration = 0.5
    audio.fit(TONES)
    assert max(ASKED) == 2000


def test_a_module_gets_a_batch_of_one():
    block = modality(Windows()).fit_transform(TONES)
    assert (1, 4000) in ASKED
    assert block.arrays["meaning"].shape == (4, 1, 8)


def test_the_embedding_is_the_first_element_and_is_hidden_alone():
    audio = modality().fit(TONES)
    block = audio.transform(TONES[:1])
    names = [audio.elements(block, np.ones((1, 60)))[0].index]
    assert names[0][0] == "[meaning]"
    assert all(len(name) == 2 for name in names[0][1:])
    hidden = np.zeros((1, len(names[0])), bool)
    hidden[0, 0] = True
    left = audio.hide(block, hidden, names)
    assert not left.arrays["meaning"].any()
    assert left.arrays["log_mel"][0, 0] is block.arrays["log_mel"][0, 0]
    left = audio.hide(block, ~hidden, names)
    np.testing.assert_array_equal(left.arrays["meaning"], block.arrays["meaning"])
    assert (left.arrays["log_mel"][0, 0] != block.arrays["log_mel"][0, 0]).any()


def test_each_column_has_an_embedding_of_its_own():
    X = pd.DataFrame({"left": TONES, "right": [None, *TONES[1:]]}, dtype=object)
    audio = modality().fit(X)
    block = audio.transform(X)
    there = (block.arrays["meaning"] != 0).any(axis=-1)
    assert there[:2].tolist() == [[True, False], [True, True]]
    names = audio.elements(block, np.zeros((4, 200)))[0].index
    assert list(names[:2]) == ["[meaning of left]", "[meaning of right]"]


# ------------------------------------------------------------------ the cache, pickles


def test_no_sound_is_embedded_twice(tmp_path):
    modality(cache=tmp_path).fit(TONES)
    wav = io.BytesIO()
    soundfile.write(wav, *TONES[0], format="WAV", subtype="FLOAT")
    again = modality(cache=tmp_path).fit_transform([*TONES[::-1], wav.getvalue()])
    assert len(ASKED) == 4
    np.testing.assert_array_equal(*again.arrays["meaning"][[3, 4]])
    modality(cache=tmp_path, sample_rate=2000).fit(TONES)
    assert len(ASKED) == 8


def test_columns_without_any_sound_can_be_fitted():
    assert not modality().fit_transform([None, None]).present.any()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small model of transformers with its feature extractor."""
    transformers = pytest.importorskip("transformers")
    path = tmp_path_factory.mktemp("model")
    config = transformers.Wav2Vec2Config(
        hidden_size=8,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=8,
        conv_dim=(4, 4),
        conv_kernel=(10, 3),
        conv_stride=(5, 2),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )
    torch.manual_seed(0)
    transformers.Wav2Vec2Model(config).save_pretrained(path)
    transformers.Wav2Vec2FeatureExtractor(sampling_rate=4000).save_pretrained(path)
    return path


@pytest.mark.pretrained
def test_a_folder_says_its_rate_and_is_found_again(folder):
    audio = modality(folder, sample_rate=None, local_files_only=True).fit(TONES)
    assert audio.encoder_.sample_rate == 4000
    block = audio.transform(TONES)
    assert block.arrays["meaning"].shape == (4, 1, 4 * 8)
    content = pickle.dumps(audio)
    shared._loaded.clear()
    shared.MEMORY.clear()
    found = pickle.loads(content).transform(TONES)
    np.testing.assert_array_equal(found.arrays["meaning"], block.arrays["meaning"])
    layered = modality(folder, layers=["encoder.layers.1"]).fit(TONES)
    assert layered.transform(TONES).arrays["meaning"].shape == (4, 1, 4 * 8)


# ------------------------------------------------------------------ errors


def test_what_the_encoder_cannot_be_is_an_error():
    with pytest.raises(ValueError, match=r"'sample_rate' .* must be given"):
        modality(sample_rate=None).fit(TONES)
    with pytest.raises(TypeError, match=r"or a callable.*Got int"):
        modality(3).fit(TONES)
    with pytest.raises(ValueError, match="'encoder' parameter of AudioModality"):
        AudioModality(encoder=sizes).fit(TONES)
    with pytest.raises(ValueError, match=r"one vector a cell.*shape \(4, 0\)"):
        modality(lambda samples: np.zeros(0)).fit(TONES)


def test_vectors_of_several_widths_are_an_error():
    with pytest.raises(ValueError, match=r"vectors of one width.*\(1000,\), \(2000,\)"):
        modality(lambda samples: samples).fit(TONES)


@pytest.mark.pretrained
def test_a_loaded_transformer_is_asked_for_by_its_folder(folder):
    from transformers import AutoModel

    with pytest.raises(TypeError, match="its name or folder, where its feature"):
        modality(AutoModel.from_pretrained(folder)).fit(TONES)


# ------------------------------------------------------------------ a real one


@pytest.mark.pretrained
@pytest.mark.skipif(
    find_spec("openwakeword") is None or find_spec("onnxruntime") is None,
    reason="needs openwakeword 0.4.0",
)
def test_digits_of_speakers_who_are_new_are_understood():
    from sklearn.linear_model import LogisticRegression

    from benchmarks.common.encoders import sounds

    parts = [load_spoken_digits(split="speaker", subset=s) for s in ("train", "test")]
    parts = [(b.data["sound"][::5], b.target[::5]) for b in parts]
    (X, y), (X_new, y_new) = parts
    audio = AudioModality(encoder=sounds())
    meaning = audio.fit_transform(X).arrays["meaning"][:, 0]
    model = LogisticRegression(C=0.01).fit(meaning, y)
    new = audio.transform(X_new).arrays["meaning"][:, 0]
    assert model.score(new, y_new) > 0.9
    content = pickle.dumps(audio)  # without the sessions, which are opened again
    again = pickle.loads(content)
    np.testing.assert_array_equal(again.transform(X_new).arrays["meaning"][:, 0], new)
