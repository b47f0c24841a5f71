"""Sound files: whether they are whole, and a part of their samples."""

from __future__ import annotations

import io
import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from skfusion._validation import shorten

__all__ = ["check_rate", "open_sound", "read_part"]

#: Formats of which it can be told whether a file is whole.
FORMATS = frozenset(
    {"WAV", "WAVEX", "RF64", "W64", "AIFF", "SVX", "AU", "CAF", "FLAC", "OGG", "MP3"}
)
MAX_RATE = 1e7  # Hz
OGG_PAGE = 2**17  # bytes, more than a page can have


def check_rate(rate: float) -> None:
    """Refuse what no sample rate can be."""
    if not 1 <= rate <= MAX_RATE:
        raise ValueError(
            f"the sample rate must be from 1 to {MAX_RATE:g} Hz, got {shorten(rate)}."
        )


class _Bytes(io.BytesIO):
    """Bytes of a file; as in C, to seek an impossible place is no exception.

    libsndfile tries what a broken header says, and soundfile would show tracebacks.
    """

    def seek(self, offset: int, whence: int = 0, /) -> int:
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return -1


@contextmanager
def open_sound(cell: Any, *, whole: bool) -> Iterator[soundfile.SoundFile]:
    """The sound behind a path or the bytes of a file.

    With `whole`, a file that ends before its header says is refused.
    """
    with ExitStack() as stack:
        if isinstance(cell, str | os.PathLike):
            if not os.path.isfile(cell):
                raise FileNotFoundError(f"there is no file {shorten(os.fspath(cell))}.")
            file: BinaryIO = stack.enter_context(open(cell, "rb"))
            source: Any = os.fspath(cell)
        else:
            file = source = _Bytes(cell)
            start = bytes(cell[:3])
            # libsndfile 1.2.2 often fails on an MP3 that is no file of the system.
            if start == b"ID3" or (start[:1] == b"\xff" and start[1:2] >= b"\xe0"):
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                source = os.path.join(folder, "sound.mp3")
                with open(source, "wb") as copy:
                    copy.write(cell)
        if whole:
            _check_complete(file)
            file.seek(0)
        try:
            sound = stack.enter_context(soundfile.SoundFile(source))
        except soundfile.LibsndfileError as error:
            raise _damaged(error) from error
        if sound.format not in FORMATS:
            raise ValueError(
                f"of {sound.format} files it cannot be told whether they are whole; "
                "convert it to WAV or FLAC."
            )
        check_rate(sound.samplerate)
        yield sound


def _damaged(error: soundfile.LibsndfileError) -> ValueError:
    return ValueError(
        f"it is not a sound file, or it is damaged ({error.error_string})"
    )


def read_part(sound: soundfile.SoundFile, first: int, last: int) -> NDArray[np.float32]:
    """Samples `first` to `last` of an open file, (T, channels).

    Raises
    ------
    ValueError
        If they, or the last sample of the file, are not there.
    """
    announced = min(last, sound.frames)
    exact = sound.format != "MP3"
    try:
        sound.seek(first)
        samples = sound.read(last - first, dtype="float32", always_2d=True)
        found = first + len(samples)
        if exact and found == last < sound.frames:  # the end must be there, too
            announced = sound.frames
            sound.seek(announced - 1)
            found = announced - 1 + len(sound.read(1))
    except soundfile.LibsndfileError as error:
        raise _damaged(error) from error
    if not exact:  # only a tag says how long it is, and its encoder's delay is vague
        announced = int(0.98 * announced) - 2304 if _is_tagged(sound.name) else 0
    if found < announced:
        raise ValueError(
            f"the file is truncated: it announces {sound.frames} frames of sound, but "
            f"holds only {found}."
        )
    return samples


def _is_tagged(path: Any) -> bool:
    """Whether the first frame of an MP3 tells its length."""
    with open(path, "rb") as file:
        head = file.read(10)
        if head[:3] == b"ID3" and len(head) == 10:  # seven bits of each byte count
            size = sum((byte & 127) << 7 * i for i, byte in enumerate(head[:5:-1]))
            file.seek(10 + size)
        head += file.read(4096)
    return b"Xing" in head or b"Info" in head


# ---------------------------------------------------------------- completeness


def _check_complete(file: BinaryIO) -> None:
    """Raise if a file is shorter than its own header says.

    libsndfile reads what there is of many a truncated file as if it were all, so their
    structure is followed here.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(16).ljust(16, b"\0")
    announced = 0
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        announced = _end_of_wave(file, size)
    elif head[:4] == b"riff":
        announced = _end_of_wave64(file, size)
    elif head[:4] == b"FORM":
        announced = 8 + struct.unpack_from(">I", head, 4)[0]
    elif head[:4] in (b".snd", b"dns."):
        order = ">" if head[:1] == b"." else "<"
        start, length = struct.unpack_from(f"{order}II", head, 4)
        announced = start + length if length < 0xFFFFFFFF else 0
    elif head[:4] == b"OggS":
        _check_last_page(file, size)
    if size < announced:
        raise ValueError(
            f"the file is truncated: its header announces {announced} bytes, but it "
            f"has only {size}."
        )


def _end_of_wave(file: BinaryIO, end: int) -> int:
    """Where the samples of a WAV or RF64 file end; 0 if it does not say."""
    position, long = 12, None
    while position + 8 <= end:
        file.seek(position)
        header = file.read(8)
        name, size = struct.unpack("<4sI", header)
        if name == b"ds64":  # holds the sizes that four bytes cannot
            sizes = file.read(16)
            long = struct.unpack("<Q", sizes[8:])[0] if len(sizes) == 16 else None
        if name == b"data":
            if size == 0xFFFFFFFF and long is not None:
                return position + 8 + int(long)
            # Programs that write to a pipe leave 0 or a huge size: it says nothing.
            return position + 8 + size if size < 0x7FFFF000 else 0
        position += 8 + size + size % 2
    return 0


def _end_of_wave64(file: BinaryIO, end: int) -> int:
    """Where the samples of a Sony Wave64 file end; 0 if it does not say."""
    position = 40
    while position + 24 <= end:
        file.seek(position)
        header = file.read(24)
        name, size = struct.unpack("<4s12xQ", header)  # the size counts the header
        if name == b"data" or size < 24:
            return position + size if size >= 24 else 0
        position += size + -size % 8
    return 0


def _check_last_page(file: BinaryIO, size: int) -> None:
    """The last page of an OGG file must be whole, and marked "end of stream"."""
    file.seek(max(0, size - OGG_PAGE))
    tail = file.read()
    page = tail.rfind(b"OggS\0")
    segments = tail[page + 26] if len(tail) > page + 26 else 0
    table = tail[page + 27 : page + 27 + segments]
    ended = page >= 0 and len(tail) > page + 5 and tail[page + 5] & 4
    if not ended or page + 27 + segments + sum(table) > len(tail):
        raise ValueError("the file is truncated: its last OGG page is not there.")
