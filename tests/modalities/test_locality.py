"""Tokens of pictures, sounds and series know their surroundings only, and are found."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from skfusion.batch import block_tensors
from skfusion.datasets import make_multimodal_classification
from skfusion.modalities import AudioModality, ImageModality, SeriesModality
from skfusion.network import AdditiveAttention, set_generator

MADE = {"image": ImageModality, "audio": AudioModality, "series": SeriesModality}
SAMPLE_RATE = 8000  # Hz, of the made sounds


def tensors(block):
    return block_tensors(block, np.arange(len(block)))


# ---------------------------------------------------------------- receptive fields


@pytest.mark.parametrize("size", [24, 28, 33, 64, 100, 150])
def test_pixels_beyond_the_next_patch_change_no_bit_of_a_token(size):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (3, size, size, 3)).astype(np.uint8)
    image = ImageModality(size=size).fit(pictures)
    block = image.transform(pictures)
    encoder = image.build_encoder(16, 0.0).eval()
    before, _ = encoder(tensors(block))
    widest = max(b - t for t, _, b, _ in image._element_names())
    for token, (top, left, bottom, right) in enumerate(image._element_names()):
        changed = tensors(block)
        far = torch.ones(size, size, dtype=torch.bool)
        far[
            max(0, top - widest) : bottom + widest,
            max(0, left - widest) : right + widest,
        ] = False
        changed["pixels"][..., far] = 255 - changed["pixels"][..., far]
        after, _ = encoder(changed)
        assert torch.equal(after[:, token], before[:, token])
        changed["pixels"][..., top:bottom, left:right] = 0
        assert not torch.equal(encoder(changed)[0][:, token], before[:, token])


def test_frames_beyond_the_next_interval_change_no_bit_of_a_token():
    rng = np.random.default_rng(0)
    sounds = [(rng.normal(size=n), SAMPLE_RATE) for n in (4000, 4000, 2900)]
    audio = AudioModality(n_mels=16).fit(sounds)
    block = audio.transform(sounds)
    encoder = audio.build_encoder(16, 0.0).eval()
    before, mask = encoder(tensors(block))
    for token in range(mask.shape[1]):
        changed = tensors(block)
        own = slice(4 * token, 4 * token + 4)
        near = slice(max(0, 4 * token - 4), 4 * token + 8)
        far = torch.ones(changed["log_mel"].shape[2], dtype=torch.bool)
        far[near] = False
        changed["log_mel"][:, :, far] = 255 - changed["log_mel"][:, :, far]
        after, _ = encoder(changed)
        assert torch.equal(after[:, token], before[:, token])
        changed["log_mel"][:, :, own] = 0
        assert not torch.equal(encoder(changed)[0][0, token], before[0, token])


@pytest.mark.parametrize("n_steps", [12, 64, 300, 1000])
def test_steps_beyond_the_next_interval_change_no_bit_of_a_token(n_steps):
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(2, n)) for n in (n_steps, n_steps, n_steps * 2 // 3)]
    series = SeriesModality().fit(rows)
    block = series.transform(rows)
    encoder = series.build_encoder(16, 0.0).eval()
    before, _ = encoder(tensors(block))
    spans = series.elements(block, np.zeros(before.shape[:2]))[0].index
    widest = max(end - start for start, end in spans)
    for token, (start, end) in enumerate(spans):
        changed = tensors(block)
        far = torch.ones(n_steps, dtype=torch.bool)
        far[max(0, start - widest - 1) : end + widest] = False  # a change has two ends
        changed["values"][..., far] += 1
        changed["statistics"] += 1  # of the whole
        after, _ = encoder(changed)
        assert torch.equal(after[:, token], before[:, token])
        changed["values"][..., start:end] += 1
        assert not torch.equal(encoder(changed)[0][0, token], before[0, token])


# ---------------------------------------------------------------- planted elements


def inside(kind, element, place):
    """1 where most of an element lies in the place, 0 where nothing does, else NaN."""
    if kind == "image":
        top, left, height, width = place
        sides = [
            (element[0], element[2], top, top + height),
            (element[1], element[3], left, left + width),
        ]
    else:
        unit = SAMPLE_RATE if kind == "audio" else 1
        sides = [(*element, place[0] / unit, place[1] / unit)]
    shares = [
        max(0.0, min(end, stop) - max(begin, start)) / (end - begin)
        for begin, end, start, stop in sides
    ]
    if min(shares) == 0:
        return 0.0
    return 1.0 if min(shares) >= 0.5 else np.nan


@pytest.mark.parametrize("kind", MADE)
def test_planted_elements_are_found(kind):
    made = make_multimodal_classification(500, kinds=[kind], random_state=0)
    cells, y = list(made.data[kind]), torch.tensor(made.target.to_numpy())
    modality = MADE[kind]().fit(cells[:400])
    block = modality.transform(cells)
    torch.manual_seed(0)
    encoder = modality.build_encoder(32, 0.1)
    attention = AdditiveAttention(32, 3, n_heads=4)
    set_generator(encoder, torch.Generator().manual_seed(0))
    weights = [*encoder.parameters(), *attention.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=3e-3, fused=True)
    order = np.random.default_rng(0)
    for _ in range(16):
        for rows in np.array_split(order.permutation(400), 8):
            _, evidence, _ = attention(*encoder(tensors(block[rows])))
            loss = torch.nn.functional.cross_entropy(evidence, y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    encoder.eval()
    test = np.arange(400, 500)
    with torch.no_grad():
        tokens, mask = encoder(tensors(block[test]))
        _, evidence, a = attention(tokens, mask)
        added = attention.contributions(tokens, a)
    assert (evidence.argmax(dim=1) == y[test]).float().mean() > 0.95
    size = (added - added.mean(dim=2, keepdim=True)).abs().sum(dim=2).numpy()
    ranks, truth = [], []
    for i, element in zip(test, modality.elements(block[test], size), strict=True):
        place = made.informative_elements[i][kind]
        ranks += list(element.rank(pct=True))
        truth += [inside(kind, name, place) for name in element.index]
    known = ~np.isnan(truth)
    auc = roc_auc_score(np.array(truth)[known], np.array(ranks)[known])
    assert auc >= 0.95


# ---------------------------------------------------------------- linear terms


def test_linear_terms_of_a_patch_follow_its_own_pixels():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (8, 32, 32, 3)).astype(np.uint8)
    image = ImageModality(augment=False).fit(pictures)
    changed = pictures.copy()
    names = list(image._element_names())
    top, left, bottom, right = names[14]
    changed[:, top:bottom, left:right] //= 2
    n_features = image.features(image.transform(pictures)).shape[1]
    coef = rng.normal(size=(n_features, 2))
    coef[: 4 * 9 * 25] = 0  # blocks of gradients are normalised together
    before, after = (
        image.linear_terms(image.transform(x), coef, np.zeros(n_features))
        for x in (pictures, changed)
    )
    moved = ~np.isclose(before, after).all(axis=(0, 2))
    assert np.flatnonzero(moved).tolist() == [14]


def test_linear_terms_of_gradients_lie_where_the_gradients_are():
    picture = np.full((36, 36), 100, np.uint8)
    picture[14:16, 14:16] = 255
    image = ImageModality(size=36).fit([picture])
    block = image.transform([picture])
    features = image.features(block)
    coef = np.zeros((features.shape[1], 1))
    coef[: 4 * 9 * 25] = 1
    terms = image.linear_terms(block, coef, np.zeros(len(coef)))[0, :, 0]
    assert terms.sum() == pytest.approx(features[0, : 4 * 9 * 25].sum(), rel=1e-5)
    heaviest = list(image._element_names())[int(terms.argmax())]
    assert heaviest == (12, 12, 18, 18)
    assert terms.reshape(6, 6)[4:, :].sum() < 0.05 * terms.sum()


@pytest.mark.parametrize("kind", ["audio", "series"])
def test_linear_terms_of_an_interval_follow_its_own_content(kind):
    rng = np.random.default_rng(0)
    made = make_multimodal_classification(12, kinds=[kind], random_state=0)
    modality = MADE[kind]().fit(list(made.data[kind]))
    block = modality.transform(list(made.data[kind]))
    names = [e.index for e in modality.elements(block, np.zeros((12, 99)))]
    hidden = np.zeros((12, len(names[0])), bool)
    hidden[:, 5] = True
    changed = modality.hide(block, hidden, names)
    n_features = modality.features(block).shape[1]
    coef = rng.normal(size=(n_features, 2))
    if kind == "series":  # compressed where far from the mean: by what the whole is
        modality._statistics_sd = modality._statistics_sd * 1e6
    before, after = (
        modality.linear_terms(b, coef, np.zeros(n_features)) for b in (block, changed)
    )
    gap = np.abs(before - after).max(axis=(0, 2))
    assert gap.argmax() == 5
    # of a sound, the level moves a little
    assert np.delete(gap, 5).max() < (0.1 if kind == "audio" else 1e-9) * gap[5]
