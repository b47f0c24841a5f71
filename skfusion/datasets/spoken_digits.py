"""Digits that are written and spoken: MNIST images paired with recordings."""

from typing import Any

import numpy as np
import pandas as pd
import soundfile
from numpy.typing import NDArray
from PIL import Image

from ._base import SUBSETS, check_option, data_file, make_bunch, object_array

_IMAGE_SIDE = 28  # pixels
_N_TEST_RECORDINGS = 5  # of each speaker and digit
_UNSEEN_SPEAKERS = ("lucas", "theo")


def load_spoken_digits(
    *,
    split: str = "recording",
    subset: str = "all",
    as_frame: bool = True,
    return_X_y: bool = False,
) -> Any:
    """Load digits that are both written and spoken (classification, ten classes).

    Each row pairs an image of a handwritten digit (MNIST) with a recording of the
    same digit (Free Spoken Digit Dataset, 8,000 Hz). Six speakers say each digit 25
    times: the recordings 0 to 24 of the 50 that the data set has for each, so that
    the package stays small. No image and no recording occurs twice.

    ======== ==========================================================
    image    ndarray (28, 28) of uint8, 0 (paper) to 255 (ink)
    sound    tuple of (samples, rate): float32 in [-1, 1), 0.14 to
             2.3 seconds; 8,000 Hz
    speaker  category, six names
    ======== ==========================================================

    Parameters
    ----------
    split : {"recording", "speaker"}, default="recording"
        How rows are split. "recording" is the split of the Free Spoken Digit
        Dataset: of each speaker and digit, recordings 0 to 4 are for test (300
        rows), the others for training (1,200); the test images come from MNIST's
        test set. "speaker" is harder: the speakers lucas and theo (500 rows) are
        never heard in training (1,000 rows); leave the column "speaker" out there.
    subset : {"all", "train", "test"}, default="all"
        The rows to load, by that split.
    as_frame : bool, default=True
        Whether `data` is a DataFrame and `target` a Series. Otherwise both are
        arrays, `data` one of objects.
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a Bunch.

    Returns
    -------
    bunch : Bunch or tuple of (data, target)
        data : DataFrame of shape (n_samples, 3)
            The columns above.
        target : Series of shape (n_samples,)
            The digit, 0 to 9.
        target_names : list of str
        frame : DataFrame of shape (n_samples, 4) or None
            Data and target together; None unless `as_frame`.
        split : ndarray of shape (n_samples,)
            "train" or "test" for each row.
        feature_names : list of str
        DESCR : str
            Origin, licence and attribution.

    Raises
    ------
    ValueError
        If `split` or `subset` is none of the options.

    Notes
    -----
    The recordings are licensed under CC BY-SA 4.0 (Z. Jackson et al., Free Spoken
    Digit Dataset), the images under CC BY-SA 3.0 (Y. LeCun, C. Cortes, MNIST): name
    the source, and share what you derive from them alike. `DESCR` has the details.

    Examples
    --------
    >>> from skfusion.datasets import load_spoken_digits
    >>> digits = load_spoken_digits(subset="test")
    >>> digits.data.shape
    (300, 3)
    >>> samples, rate = digits.data["sound"][0]
    >>> samples.dtype, rate
    (dtype('float32'), 8000)
    """
    check_option("load_spoken_digits", "split", split, ("recording", "speaker"))
    check_option("load_spoken_digits", "subset", subset, SUBSETS)
    with data_file("spoken_digits.csv").open("rb") as file:
        rows = pd.read_csv(file)
    data = pd.DataFrame(
        {
            "image": object_array(list(_read_images(len(rows)))),
            "sound": object_array(_read_sounds(rows)),
            "speaker": rows["speaker"].astype("category"),
        }
    )
    if split == "recording":
        is_test = rows["recording"] < _N_TEST_RECORDINGS
    else:
        is_test = rows["speaker"].isin(_UNSEEN_SPEAKERS)
    return make_bunch(
        data,
        rows["digit"],
        np.where(is_test, "test", "train"),
        subset=subset,
        as_frame=as_frame,
        return_X_y=return_X_y,
        target_names=[str(digit) for digit in range(10)],
        DESCR=data_file("spoken_digits.LICENSE.txt").read_text(encoding="utf-8"),
    )


def _read_images(n_images: int) -> NDArray[np.uint8]:
    """Cut the mosaic, which holds the images row by row, into (n, 28, 28)."""
    with data_file("spoken_digits_images.png").open("rb") as file:
        mosaic = np.array(Image.open(file))
    side = _IMAGE_SIDE
    across = mosaic.shape[1] // side
    tiles = mosaic.reshape(-1, side, across, side).swapaxes(1, 2)
    return tiles.reshape(-1, side, side)[:n_images].copy()


def _read_sounds(rows: pd.DataFrame) -> list[tuple[NDArray[np.float32], int]]:
    """Each row's recording: a stretch of the one file of its speaker."""
    whole: dict[str, tuple[NDArray[np.float32], int]] = {}
    for speaker in rows["speaker"].unique():
        with data_file(f"spoken_digits_{speaker}.flac").open("rb") as file:
            whole[speaker] = soundfile.read(file, dtype="float32")
    sounds = []
    for speaker, start, stop in zip(
        rows["speaker"], rows["start"], rows["stop"], strict=True
    ):
        samples, rate = whole[speaker]
        # A copy, or one cell kept would keep the speaker's whole file in memory.
        sounds.append((samples[start:stop].copy(), rate))
    return sounds
