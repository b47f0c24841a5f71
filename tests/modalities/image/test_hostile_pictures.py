"""Pictures that are no regular files, are empty, or would take all memory."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from skfusion.modalities import ImageModality
from skfusion.modalities.image import reading
from skfusion.modalities.image.reading import PictureReader

OK = np.zeros((8, 8), np.uint8)


def png(image, form="PNG"):
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


def absent(cell):
    """Whether a cell counts as absent, with one warning, beside a good picture."""
    modality = ImageModality(on_error="absent").fit([OK])
    with pytest.warns(UserWarning, match=r"1 cell\(s\) could not be read") as warned:
        block = modality.transform([OK, cell])
    assert len(warned) == 1
    return block.present.tolist() == [True, False]


# ---------------------------------------------------------------- regular files


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_no_picture(tmp_path):
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    assert absent(str(pipe))
    with pytest.raises(ValueError, match="is no regular file"):
        ImageModality().fit([pipe])


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs devices")
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/tty"])
def test_a_device_is_no_picture(device):
    with pytest.raises(ValueError, match=r"is no regular file|does not exist"):
        ImageModality().fit([device])


@pytest.mark.parametrize("path", ["a\0b.png", "x" * 5000 + ".png", "\ud83d.png"])
def test_what_no_system_has_for_a_path_does_not_exist(path):
    with pytest.raises(ValueError, match=r"the file '.{1,85}does not exist"):
        ImageModality().fit([path])


# ---------------------------------------------------------------- values and shapes


EMPTY = {
    "0 x 0": Image.new("L", (9, 9)).crop((3, 3, 3, 3)),
    "0 wide": Image.new("RGB", (9, 9)).crop((3, 3, 3, 8)),
    "0 high": Image.new("RGBA", (0, 9)),
    "array": np.zeros((0, 5)),
    "array of colour": np.zeros((5, 0, 3), np.uint8),
}


@pytest.mark.parametrize("cell", EMPTY.values(), ids=EMPTY)
def test_picture_without_pixels_is_unreadable(cell):
    assert absent(cell)
    with pytest.raises(ValueError, match=r"has no pixels|is empty"):
        ImageModality().fit([OK, cell])


HUGE = [1e11, -1e11, 1e308, -1e308, 10**11, -(10**11), 2**62]


@pytest.mark.parametrize("value", HUGE)
def test_constant_picture_of_huge_values_is_black(value):
    block = ImageModality().fit_transform([np.full((8, 8), value)])
    assert block.present.all()
    assert not block.arrays["pixels"].any()


def test_the_widest_range_of_floats_is_scaled():
    steps = 1e308 * np.linspace(-1, 1, 64).reshape(8, 8)
    pixels = ImageModality(size=8).fit_transform([steps]).arrays["pixels"].ravel()
    assert pixels[0] == 0
    assert pixels[-1] == 255
    assert (np.diff(pixels.astype(int)) > 0).all()


# ---------------------------------------------------------------- memory


def picture(mode, height, width, seed=0):
    """Smooth, so that resampling changes little."""
    rng = np.random.default_rng(seed)
    if mode in ("I;16", "I", "F"):
        small = Image.fromarray(rng.random((5, 4), np.float32) * 60_000)
        large = np.asarray(small.resize((width, height)))
        kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        return Image.fromarray(np.clip(large, 0, 65535).astype(kind))
    small = Image.fromarray(rng.integers(0, 256, (5, 4, 4)).astype(np.uint8), "RGBA")
    return small.resize((width, height)).convert(mode)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "F"]
)
@pytest.mark.parametrize("sides", [(301, 97), (64, 500), (40, 40)])
def test_stripes_change_no_pixel(monkeypatch, mode, sides):
    image = picture(mode, *sides)
    levels = {"float": (0.0, 65535.0), "integer": (0.0, 65535.0)}
    whole = PictureReader(16, levels).read(image)
    assert whole.shape[:2] == (16, 16)
    for pixels in (1, 500, 5000):
        monkeypatch.setattr(reading, "STRIPE", pixels)
        np.testing.assert_array_equal(PictureReader(16, levels).read(image), whole)
    # Without levels, those of the whole picture count, not of a stripe.
    again = PictureReader(16).read(image)
    monkeypatch.undo()
    np.testing.assert_array_equal(PictureReader(16).read(image), again)


@pytest.mark.parametrize("turn", range(2, 9))
def test_a_large_picture_is_turned_upright(turn):
    image = picture("RGB", 128, 96)
    exif = Image.Exif()
    exif[0x0112] = turn
    file = io.BytesIO()
    image.save(file, "PNG", exif=exif)
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(file.getvalue())))
    reader = PictureReader(16)
    gap = reader.read(file.getvalue()).astype(int) - reader.read(upright)
    assert np.abs(gap).max() <= 2


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
def test_more_pixels_than_the_limit_are_not_decoded(monkeypatch, mode):
    cell = png(picture(mode, 60, 50))
    modality = ImageModality(on_error="absent").fit([cell])
    assert modality.transform([cell]).present.all()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2999)
    with pytest.warns(UserWarning, match="60 x 50 pixels, and at most 2999"):
        assert not modality.transform([cell]).present.any()


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_jpeg_is_decoded_at_reduced_size(monkeypatch):
    cell = png(picture("RGB", 640, 640), "JPEG")
    modality = ImageModality(size=16).fit([cell])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 640 * 639)
    assert modality.transform([cell]).present.all()
    with pytest.raises(ValueError, match="640 x 640 pixels"):
        modality.transform([png(picture("RGB", 640, 640))])


def test_a_picture_that_is_a_program_is_not_run():
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n%%EOF\n"
    cells = np.array([program], dtype=object)
    with pytest.raises(ValueError, match=r"row 0 .*EPS.*Convert it to PNG or JPEG"):
        ImageModality().fit(cells)
