"""Pictures: every way to write a cell, absence, errors, tokens and summaries."""

import io
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.utils._param_validation import InvalidParameterError

from skfusion import FusionClassifier
from skfusion.batch import Block
from skfusion.modalities import ImageModality

ORIENTATION = 0x0112  # the EXIF tag


def colour_picture(height=24, width=24, seed=0):
    """Smooth colours, so that resampling and JPEG change little."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (3, 3, 3)).astype(np.uint8)
    how = Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(small).resize((width, height), how))


def grey_picture(height=24, width=24, seed=0):
    return np.ascontiguousarray(colour_picture(height, width, seed)[..., 0])


def encoded(array, form="PNG", **options):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, form, **options)
    return stream.getvalue()


def pixels(modality, cells):
    return modality.transform(cells).arrays["pixels"]


def tokens_of(encoder, block):
    inputs = {key: torch.from_numpy(array) for key, array in block.arrays.items()}
    return encoder(inputs)


@pytest.fixture
def colours():
    return [colour_picture(seed=i) for i in range(12)]


@pytest.fixture
def greys():
    return [grey_picture(seed=i) for i in range(12)]


# What a cell may be


def test_every_format_gives_the_same_picture(colours, tmp_path):
    a = colours[0]
    path = tmp_path / "a.png"
    path.write_bytes(encoded(a))
    cells = [
        a,
        str(path),
        path,
        encoded(a),
        bytearray(encoded(a)),
        memoryview(encoded(a)),
        Image.fromarray(a),
        a.astype(np.float32) / 255,
        a.astype(np.float64) / 255,
        a.astype(np.int64),
        a.tolist(),
        np.dstack([a, np.full(a.shape[:2], 255, np.uint8)]),
        torch.from_numpy(a.copy()),
        Image.fromarray(a).convert("RGBA"),
        encoded(a, "BMP"),
        encoded(a, "TIFF"),
    ]
    modality = ImageModality().fit(cells)
    block = modality.transform(cells)
    assert block.present.all()
    for i in range(1, len(cells)):
        np.testing.assert_array_equal(
            block.arrays["pixels"][i], block.arrays["pixels"][0], err_msg=str(i)
        )
    np.testing.assert_array_equal(block.arrays["pixels"][0], a.transpose(2, 0, 1))


def test_every_grey_format_gives_the_same_picture(greys):
    a = greys[0]
    cells = [
        a,
        a[..., None],
        np.dstack([a, a, a]),
        encoded(a),
        Image.fromarray(a),
        Image.fromarray(a).convert("LA"),
        a / 255,
        a.astype(np.uint16) * 257,
        Image.fromarray(a.astype(np.uint16) * 257),
        encoded(a.astype(np.uint16) * 257),
    ]
    modality = ImageModality().fit(cells)
    assert modality.n_channels_ == 1
    got = pixels(modality, cells)
    for i in range(len(cells)):
        np.testing.assert_array_equal(got[i, 0], a, err_msg=str(i))


def test_bool_and_palette_and_cmyk_are_read():
    mask = np.arange(256).reshape(16, 16) % 3 == 0
    colour = Image.fromarray(colour_picture(16, 16))
    cells = [mask, Image.fromarray(mask), colour.quantize(16), colour.convert("CMYK")]
    got = pixels(ImageModality().fit(cells), cells)
    np.testing.assert_array_equal(got[0], got[1])
    assert set(np.unique(got[0])) == {0, 255}
    expected = colour_picture(16, 16).transpose(2, 0, 1).astype(int)
    assert np.abs(got[2] - expected).mean() < 20
    assert np.abs(got[3] - expected).mean() < 5


def test_stack_is_one_column_of_pictures(colours):
    stack = np.stack(colours)
    frame = pd.DataFrame({"photo": colours})
    direct, from_frame = ImageModality().fit(stack), ImageModality().fit(frame)
    np.testing.assert_array_equal(
        pixels(direct, stack), pixels(from_frame, frame["photo"])
    )
    assert direct.n_features_in_ == 1
    assert pixels(ImageModality().fit(stack[..., 0]), stack[..., 0]).shape[1] == 1


def test_frames_of_pandas_and_polars_agree(colours):
    data = {"photo": [encoded(a) for a in colours[:3]] + [None]}
    one, two = pd.DataFrame(data), pl.DataFrame(data)
    modality = ImageModality().fit(one)
    np.testing.assert_array_equal(pixels(modality, one), pixels(modality, two))
    assert modality.transform(two).present.tolist() == [True, True, True, False]


def test_many_files_are_read_in_order(tmp_path):
    cells: list[object] = [encoded(np.full((8, 8), i, np.uint8)) for i in range(200)]
    cells[7], cells[50] = None, np.full((8, 8), 50, np.uint8)
    block = ImageModality().fit_transform(cells)
    expected = np.where(np.arange(200) == 7, 0, np.arange(200))
    np.testing.assert_array_equal(block.arrays["pixels"][:, 0, 3, 3], expected)


def test_training_rows_decide_what_white_means():
    dark = np.full((8, 8), 1.0)
    assert pixels(ImageModality().fit([dark]), [dark]).max() == 255
    bright = np.full((8, 8), 200.0)
    modality = ImageModality().fit([dark, bright])
    assert pixels(modality, [dark, bright])[:, 0, 0, 0].tolist() == [1, 200]
    signed = np.linspace(-1, 1, 64).reshape(8, 8)
    got = pixels(ImageModality().fit([signed]), [signed])
    assert (got.min(), got.max()) == (0, 255)
    deep = np.full((8, 8), 4095, np.uint16)
    assert pixels(ImageModality().fit([deep]), [deep]).min() == 255
    wild = np.linspace(-3, 7, 64).reshape(8, 8)
    assert pixels(ImageModality().fit([wild]), [wild]).max() == 255


def test_values_beyond_those_of_training_are_refused(greys):
    modality = ImageModality().fit([a / 255 for a in greys])
    with pytest.raises(ValueError, match=r"row 0 .*training pictures in \[0, 1\]"):
        modality.transform([greys[0].astype(float)])


# Geometry


def test_exif_orientation_is_honoured():
    a = colour_picture(24, 24)
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # shown after a quarter turn clockwise
    turned = encoded(np.rot90(a), "PNG", exif=exif.tobytes())
    modality = ImageModality().fit([a])
    np.testing.assert_array_equal(pixels(modality, [turned]), pixels(modality, [a]))
    image = Image.open(io.BytesIO(turned))
    np.testing.assert_array_equal(pixels(modality, [image]), pixels(modality, [a]))


def test_aspect_is_kept_and_padding_takes_the_colour_of_the_border():
    a = np.full((20, 40, 3), (200, 30, 60), np.uint8)
    a[5:15, 10:30] = 0
    got = pixels(ImageModality(size=32).fit([a]), [a])[0]
    assert (got[:, 0, 0] == (200, 30, 60)).all()
    assert (got[:, -1, -1] == (200, 30, 60)).all()
    rows, columns = np.nonzero(got[0] < 100)
    assert np.ptp(columns) == pytest.approx(2 * np.ptp(rows), abs=2)
    upright = pixels(ImageModality(size=32).fit([a]), [a.transpose(1, 0, 2)])[0]
    assert (upright[:, 0, 0] == (200, 30, 60)).all()


def test_transparency_is_white(colours):
    clear = np.dstack([colours[0], np.zeros((24, 24), np.uint8)])
    modality = ImageModality().fit(colours)
    assert (pixels(modality, [clear, encoded(clear)]) == 255).all()


def test_large_jpeg_is_reduced_like_its_array():
    a = colour_picture(400, 400)
    modality = ImageModality(size=32).fit([a])
    from_file, direct = pixels(modality, [encoded(a, "JPEG", quality=95), a])
    assert np.abs(from_file.astype(int) - direct).mean() < 3


@pytest.mark.parametrize(
    ("side", "expected"), [(5, 8), (8, 8), (28, 28), (30, 32), (64, 64), (900, 64)]
)
def test_automatic_size_follows_the_training_pictures(side, expected):
    assert ImageModality().fit([grey_picture(side, side)]).size_ == expected
    assert ImageModality(size=20).fit([grey_picture(side, side)]).size_ == 20


# Channels and storage


def test_grey_sets_have_one_channel_and_mixed_sets_three(greys, colours):
    assert pixels(ImageModality().fit(greys), greys).shape == (12, 1, 24, 24)
    assert pixels(ImageModality().fit(colours), greys).shape == (12, 3, 24, 24)
    assert ImageModality().fit(greys[:2] + colours[:1]).n_channels_ == 3
    assert ImageModality(channels=1).fit(colours).n_channels_ == 1
    assert ImageModality(channels=3).fit(greys).n_channels_ == 3


def test_colour_is_turned_grey_as_pillow_does(greys, colours):
    got = pixels(ImageModality().fit(greys), colours)[:, 0]
    expected = [np.asarray(Image.fromarray(a).convert("L")) for a in colours]
    np.testing.assert_array_equal(got, expected)


def test_pixels_are_stored_in_eight_bits(colours):
    block = ImageModality().fit_transform([a / 255 for a in colours])
    assert block.arrays["pixels"].dtype == np.uint8
    assert block.arrays["pixels"].flags["C_CONTIGUOUS"]


def test_statistics_come_from_present_training_rows(colours):
    modality = ImageModality().fit([*colours, None])
    stack = np.stack(colours).reshape(-1, 3).astype(float)
    np.testing.assert_allclose(modality.mean_, stack.mean(axis=0))
    np.testing.assert_allclose(modality.std_, stack.std(axis=0))


def test_fit_transform_equals_fit_then_transform(colours):
    cells = [colours[0], None, encoded(colours[1]), colours[2] / 255]
    once, modality = ImageModality(), ImageModality()
    direct, two = once.fit_transform(cells), modality.fit(cells).transform(cells)
    np.testing.assert_array_equal(direct.arrays["pixels"], two.arrays["pixels"])
    np.testing.assert_array_equal(once.mean_, modality.mean_)


def test_cells_of_the_caller_are_not_changed(colours):
    image = Image.fromarray(colours[0]).convert("RGBA")
    before = image.tobytes()
    array = colours[1].copy()
    ImageModality(size=16).fit([image, array])
    assert image.tobytes() == before
    assert image.mode == "RGBA"
    np.testing.assert_array_equal(array, colours[1])


# Absence


@pytest.mark.parametrize("nothing", [None, np.nan, pd.NA, pd.NaT, "", "  "])
def test_absent_cells_make_absent_rows(nothing, greys):
    block = ImageModality().fit_transform([greys[0], nothing, greys[1]])
    assert block.present.tolist() == [True, False, True]


def test_all_rows_absent_is_no_error(greys):
    modality = ImageModality().fit([None, None])
    block = modality.transform([None, greys[0]])
    assert block.present.tolist() == [False, True]
    assert np.isfinite(modality.features(block)).all()
    modality = ImageModality().fit(greys)
    assert not modality.transform([None, None]).present.any()


def broken_cells(tmp_path):
    good = encoded(colour_picture(60, 60))
    text = tmp_path / "notes.txt"
    text.write_text("no picture")
    return {
        "missing path": (str(tmp_path / "none.png"), "does not exist"),
        "folder": (tmp_path, "no regular file"),
        "text file": (text, "no picture format"),
        "corrupt bytes": (b"\x89PNG\r\n\x1a\n" + b"rubbish", "no picture format"),
        "empty bytes": (b"", "no picture format"),
        "truncated": (good[: len(good) // 2], "cannot decode"),
        "number": (3.5, "type float"),
        "dictionary": ({"a": 1}, "type dict"),
        "empty array": (np.empty((0, 5, 3), np.uint8), "empty"),
        "vector": (np.zeros(5), "neither grey, RGB nor RGBA"),
        "five channels": (np.zeros((9, 9, 5), np.uint8), r"\(9, 9, 5\).*pass pictures"),
        "channels first": (np.zeros((3, 9, 9), np.uint8), "moveaxis"),
        "nan": (np.full((9, 9), np.nan), "NaN or infinite"),
        "infinite": (np.full((9, 9), np.inf), "NaN or infinite"),
        "objects": (np.full((9, 9), "a", dtype=object), "dtype object"),
        "complex": (np.zeros((9, 9), complex), "dtype complex"),
        "ragged list": ([[1, 2], [3]], "inhomogeneous"),
    }


BROKEN = [
    "missing path",
    "folder",
    "text file",
    "corrupt bytes",
    "empty bytes",
    "truncated",
    "number",
    "dictionary",
    "empty array",
    "vector",
    "five channels",
    "channels first",
    "nan",
    "infinite",
    "objects",
    "complex",
    "ragged list",
]


@pytest.mark.parametrize("kind", BROKEN)
def test_unreadable_cell_is_an_error_that_says_where_and_what(kind, tmp_path, greys):
    cell, cause = broken_cells(tmp_path)[kind]
    frame = pd.DataFrame({"photo": [greys[0], cell]}, index=["first", "second"])
    with pytest.raises(
        ValueError, match=rf"(?s)row 'second' of column 'photo': .*({cause})"
    ) as caught:
        ImageModality().fit(frame)
    message = str(caught.value)
    assert "Expected a path" in message
    assert 'on_error="absent"' in message
    assert ".." not in message.replace("...", "")


@pytest.mark.parametrize("kind", BROKEN)
def test_unreadable_cell_may_count_as_absent(kind, tmp_path, greys):
    cell, _ = broken_cells(tmp_path)[kind]
    frame = pd.DataFrame({"photo": [greys[0], cell]}, index=["first", "second"])
    with pytest.warns(UserWarning, match=r"1 cell\(s\).*'second'"):
        block = ImageModality(on_error="absent").fit_transform(frame)
    assert block.present.tolist() == [True, False]


def test_cases_of_unreadable_cells_are_all_run(tmp_path):
    assert sorted(broken_cells(tmp_path)) == sorted(BROKEN)


def test_no_file_is_left_open(tmp_path, greys):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(greys[0]))
    cut = tmp_path / "cut.png"
    cut.write_bytes(encoded(colour_picture(90, 90))[:200])
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        ImageModality().fit([path])
        with pytest.raises(ValueError, match="cannot decode"):
            ImageModality().fit([cut])


@pytest.mark.parametrize(
    "options",
    [{"size": 4}, {"size": 2.5}, {"channels": 2}, {"augment": 3}, {"on_error": "skip"}],
)
def test_wrong_parameters_are_named(options, greys):
    with pytest.raises(InvalidParameterError, match=next(iter(options))):
        ImageModality(**options).fit(greys)


def test_unfitted_modality_says_so(greys):
    with pytest.raises(NotFittedError):
        ImageModality().transform(greys)


def test_other_number_of_columns_is_refused(greys):
    modality = ImageModality().fit(greys)
    with pytest.raises(ValueError, match=r"1 column\(s\)"):
        modality.transform(pd.DataFrame({"a": greys, "b": greys}))


# The encoder


def build(modality, **options):
    torch.manual_seed(0)
    return modality.build_encoder(**{"d_model": 16, "dropout": 0.1, **options})


@pytest.mark.parametrize("size", [8, 20, 28, 33, 64, 100])
def test_encoder_gives_one_token_a_patch(size, colours):
    modality = ImageModality(size=size).fit(colours)
    block = modality.transform(colours)
    tokens, mask = tokens_of(build(modality), block)
    names = modality._element_names()
    assert tokens.shape == (12, len(names), 16)
    assert 16 <= len(names) <= 36
    assert mask.shape == tokens.shape[:2]
    assert mask.dtype == torch.bool
    assert mask.all()
    covered = np.zeros((size, size), int)
    for top, left, bottom, right in names:
        covered[top:bottom, left:right] += 1
    assert (covered == 1).all()


def test_row_does_not_depend_on_other_rows(colours):
    modality = ImageModality().fit(colours)
    block = modality.transform(colours)
    encoder = build(modality).double().eval()
    with torch.no_grad():
        together, _ = tokens_of(encoder, block)
        alone, _ = tokens_of(encoder, block[3:4])
    torch.testing.assert_close(together[3:4], alone, rtol=0, atol=1e-12)


def test_float64_forward_works(colours):
    modality = ImageModality().fit(colours)
    block = modality.transform(colours)
    encoder = build(modality).eval()
    single, _ = tokens_of(encoder, block)
    double, _ = tokens_of(encoder.double(), block)
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, rtol=1e-3, atol=1e-4)


def test_float_pixels_give_the_tokens_of_eight_bits(colours):
    modality = ImageModality().fit(colours)
    x = torch.from_numpy(pixels(modality, colours))
    encoder = build(modality).eval()
    one, two = encoder({"pixels": x})[0], encoder({"pixels": x.float()})[0]
    assert torch.equal(one, two)


def test_augmentation_happens_in_training_only(colours):
    modality = ImageModality().fit(colours)
    block = modality.transform(colours)
    encoder = build(modality, dropout=0.0)
    assert not torch.equal(tokens_of(encoder, block)[0], tokens_of(encoder, block)[0])
    encoder.eval()
    assert torch.equal(tokens_of(encoder, block)[0], tokens_of(encoder, block)[0])
    plain = build(ImageModality(augment=False).fit(colours), dropout=0.0)
    assert torch.equal(tokens_of(plain, block)[0], tokens_of(plain, block)[0])


@pytest.mark.parametrize(
    ("augment", "grey", "colour"),
    [
        ("auto", (True, True, False), (True, False, False)),
        (True, (True, True, True), (True, True, True)),
        (False, (False, False, False), (False, False, False)),
    ],
)
def test_grey_pictures_are_moved_and_none_mirrored_unless_asked(
    augment, grey, colour, greys, colours
):
    for cells, expected in ((greys, grey), (colours, colour)):
        encoder = build(ImageModality(augment=augment).fit(cells))
        assert (encoder.light, encoder.move, encoder.mirror) == expected


def test_augmented_pictures_stay_like_themselves(greys):
    encoder = build(ImageModality(augment=True).fit(greys))
    x = torch.from_numpy(np.stack(greys)).float()[:, None]
    x = (x - x.mean()) / x.std()
    encoder.mirror = False
    torch.manual_seed(0)
    changed = encoder._augment(x)
    likeness = torch.nn.functional.cosine_similarity(changed.flatten(1), x.flatten(1))
    assert 0.7 < likeness.mean() < 0.999
    encoder.move = encoder.light = False
    encoder.mirror = True
    once = encoder._augment(x)
    flipped = (once == x.flip(3)).flatten(1).all(dim=1)
    kept = (once == x).flatten(1).all(dim=1)
    assert (flipped | kept).all()
    assert flipped.any()


def test_augmentation_is_reproducible(colours):
    modality = ImageModality().fit(colours)
    block = modality.transform(colours)
    encoder = build(modality)
    results = []
    for _ in range(2):
        torch.manual_seed(5)
        results.append(tokens_of(encoder, block)[0])
    assert torch.equal(*results)


def test_gradients_reach_every_weight(colours):
    frame = pd.DataFrame({"a": colours, "b": colours[::-1]})
    modality = ImageModality().fit(frame)
    encoder = build(modality)
    tokens, _ = tokens_of(encoder, modality.transform(frame))
    (tokens * torch.randn_like(tokens)).sum().backward()
    for name, weight in encoder.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


def test_noise_is_grain_in_units_of_the_training_pixels(colours):
    modality = ImageModality().fit(colours)
    x = torch.from_numpy(pixels(modality, colours))
    encoder = build(modality)
    torch.manual_seed(0)
    sd = torch.tensor([0.0] * 6 + [0.3] * 6)
    noisy = encoder.add_noise({"pixels": x}, sd)["pixels"]
    assert torch.equal(noisy[:6], x[:6].float())
    assert noisy.is_floating_point()
    assert noisy.min() >= 0
    assert noisy.max() <= 255
    middle = (x[6:] > 100) & (x[6:] < 155)  # far from the ends of the scale
    grain = ((noisy[6:] - x[6:]) / torch.tensor(modality.std_).view(3, 1, 1))[middle]
    assert float(grain.std()) == pytest.approx(0.3, rel=0.15)
    assert encoder({"pixels": noisy})[0].isfinite().all()


def test_encoder_survives_pickle_and_modality_survives_clone(colours):
    modality = ImageModality(size=16, augment=False).fit(colours)
    block = modality.transform(colours)
    again = pickle.loads(pickle.dumps(modality))
    np.testing.assert_array_equal(
        again.transform(colours).arrays["pixels"], block.arrays["pixels"]
    )
    encoder = build(modality).eval()
    copy = pickle.loads(pickle.dumps(encoder))
    assert torch.equal(tokens_of(copy, block)[0], tokens_of(encoder, block)[0])
    assert clone(modality).get_params() == modality.get_params()
    assert not hasattr(clone(modality), "size_")


def test_small_set_is_learned():
    """Squares and crosses anywhere in the picture, from 160 examples."""
    rng = np.random.default_rng(0)
    cells, y = [], np.arange(240) % 2
    for kind in y:
        a = rng.integers(0, 60, (24, 24)).astype(np.uint8)
        top, left = rng.integers(1, 14, 2)
        if kind:
            a[top : top + 8, left : left + 8] = 200
            a[top + 2 : top + 6, left + 2 : left + 6] = 0
        else:
            a[top + 3 : top + 5, left : left + 8] = 200
            a[top : top + 8, left + 3 : left + 5] = 200
        cells.append(a)
    modality = ImageModality().fit(cells[:160])
    block = modality.transform(cells)
    torch.manual_seed(0)
    encoder = build(modality, d_model=32)
    head = torch.nn.Linear(32, 2)
    weights = [*encoder.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=3e-3)
    target = torch.from_numpy(y)
    for epoch in range(12):
        for rows in np.array_split(np.random.default_rng(epoch).permutation(160), 5):
            logits = head(tokens_of(encoder, block[rows])[0].mean(dim=1))
            loss = torch.nn.functional.cross_entropy(logits, target[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    encoder.eval()
    with torch.no_grad():
        logits = head(tokens_of(encoder, block[160:])[0].mean(dim=1))
    assert (logits.argmax(dim=1) == target[160:]).float().mean() > 0.9


# Several columns


@pytest.fixture
def rooms(colours):
    frame = pd.DataFrame({"kitchen": colours, "bath": colours[::-1]}, dtype=object)
    frame.loc[1, "kitchen"] = None
    frame.loc[2, "bath"] = None
    frame.loc[3] = [None, None]
    return frame


def test_columns_are_read_side_by_side(rooms):
    modality = ImageModality().fit(rooms)
    block = modality.transform(rooms)
    assert modality.n_features_in_ == 2
    assert block.arrays["pixels"].shape == (12, 2, 3, 24, 24)
    assert block.present.tolist() == [True, True, True, False] + [True] * 8
    assert block.arrays["there"][:4].tolist() == [
        [True, True],
        [False, True],
        [True, False],
        [False, False],
    ]


def test_absent_column_is_masked_and_its_content_never_read(rooms):
    modality = ImageModality().fit(rooms)
    block = modality.transform(rooms)[:3]
    encoder = build(modality).eval()
    tokens, mask = tokens_of(encoder, block)
    half = mask.shape[1] // 2
    assert mask[0].all()
    assert not mask[1, :half].any()
    assert mask[1, half:].all()
    other = block.arrays["pixels"].copy()
    other[1, 0], other[2, 1] = 77, 200
    changed = Block({**block.arrays, "pixels": other}, block.present)
    encoder.train(False)
    assert torch.equal(tokens_of(encoder, changed)[0][mask], tokens[mask])
    np.testing.assert_array_equal(modality.features(changed), modality.features(block))


def test_row_without_any_picture_has_a_token_so_that_training_stays_finite(rooms):
    modality = ImageModality().fit(rooms)
    _, mask = tokens_of(build(modality), modality.transform(rooms))
    assert mask.any(dim=1).all()
    frame = pd.concat([rooms] * 4, ignore_index=True).assign(x=range(48))
    clf = FusionClassifier(
        [("rooms", ImageModality(size=8), ["kitchen", "bath"]), ("x", "vector", "x")],
        max_epochs=2,
        n_folds=1,
        d_model=16,
        base_models=None,
        random_state=0,
    ).fit(frame, frame["x"] > 20)
    assert np.isfinite(clf.predict_proba(frame)).all()


def test_elements_of_several_columns_carry_their_names(rooms):
    modality = ImageModality().fit(rooms)
    block = modality.transform(rooms)[:4]
    mask = np.repeat(block.arrays["there"], 36, axis=1).astype(float)
    weights = mask / np.maximum(mask.sum(axis=1, keepdims=True), 1)
    elements = modality.elements(block, weights)
    assert [len(e) for e in elements] == [72, 36, 36, 0]
    assert elements[0].index[0] == ("kitchen", 0, 0, 4, 4)
    assert {name[0] for name in elements[1].index} == {"bath"}
    assert all(e.sum() == pytest.approx(1) for e in elements[:3])


# Elements and features


def test_elements_are_patches_in_pixels(greys):
    modality = ImageModality(size=28).fit(greys)
    block = modality.transform([greys[0], None])
    weights = np.full((2, 60), 0.0)
    weights[0, :36] = 1 / 36
    first, second = modality.elements(block, weights)
    assert first.index[0] == (0, 0, 4, 4)
    assert first.index[7] == (4, 4, 9, 9)
    assert first.index[-1] == (24, 24, 28, 28)
    assert first.sum() == pytest.approx(1)
    assert second.empty


@pytest.mark.parametrize("size", [8, 28, 33, 64])
def test_features_are_finite_and_zero_where_absent(size, colours, greys):
    flat = np.full((10, 10), 7, np.uint8)
    for cells in ([*colours, None, flat], [*greys, None, flat]):
        modality = ImageModality(size=size).fit(cells)
        block = modality.transform(cells)
        features = modality.features(block)
        assert features.dtype == np.float32
        assert features.shape[0] == 14
        assert features.shape[1] < 1500
        assert np.isfinite(features).all()
        assert not features[12].any()
        assert features[:12].any(axis=1).all()
        np.testing.assert_array_equal(features[2:5], modality.features(block[2:5]))


def test_features_tell_shapes_and_colours_apart():
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 255, 24).astype(np.uint8)
    flat = np.broadcast_to(ramp, (24, 24))
    shapes = [
        np.clip((flat if i % 2 else flat.T) + rng.normal(0, 20, (24, 24)), 0, 255)
        for i in range(60)
    ]
    modality = ImageModality().fit(shapes)
    features = modality.features(modality.transform(shapes))
    y = np.arange(60) % 2
    model = LogisticRegression().fit(features[:40], y[:40])
    assert model.score(features[40:], y[40:]) == 1
    colours = [np.full((8, 8, 3), (200, 30 * (i % 2), 0), np.uint8) for i in range(4)]
    modality = ImageModality().fit(colours)
    one, two, three, _ = modality.features(modality.transform(colours))
    np.testing.assert_array_equal(one, three)
    assert np.abs(one - two).max() > 0.1
