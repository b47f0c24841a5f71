"""No file takes much more memory than what is kept of it.

The peak of a process never falls, so each file is made in one process and read in
another.
"""

import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from PIL import Image

from skfusion.modalities import AudioModality, ImageModality

#: MB that may be added. Decoded, a picture of 36 megapixels takes 34 MB a channel and
#: byte (RGB has four), an hour of sound 110 MB, and a rate of 1 Hz would make 160,000
#: seconds of 20; 2,000 rows padded to ten minutes would take 7 GB.
BOUNDS = {
    "picture L": 80,
    "picture RGB": 220,
    "picture RGBA": 300,
    "picture I;16": 200,
    "picture P": 100,
    "rate of 1 Hz": 120,
    "hour of FLAC": 60,
    "ten minutes in one row": 600,
}


def write(kind, path):
    """Write the file of a kind."""
    if kind.startswith("picture"):
        image = Image.new(kind.split()[1], (6000, 6000))
        image.save(path, "PNG", compress_level=1)
        return
    seconds = 3600 if kind.startswith("hour") else 20
    form = "FLAC" if kind.startswith("hour") else "WAV"
    with soundfile.SoundFile(path, "w", 8000, 1, format=form) as out:
        for i in range(seconds):
            out.write(np.sin((500 + i) * np.arange(8000) / 8000) / 2)
    if kind.startswith("rate"):
        with open(path, "r+b") as file:
            file.seek(24)
            file.write(struct.pack("<I", 1))


def read(kind, path):
    """Read it; MB that the process has held at most, beyond what it held before."""
    import resource

    def peak():
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / (2**20 if sys.platform == "darwin" else 2**10)

    images = ImageModality().fit([np.zeros((8, 8), np.uint8)])
    sounds = AudioModality().fit([(np.ones(8000), 8000)] * 3)
    before = peak()
    if kind.startswith("ten"):
        short = [(np.ones(800), 8000)] * 2000
        long = (np.ones(600 * 8000, dtype=np.float32), 8000)
        AudioModality(duration=600).fit_transform([*short, long])
    else:
        modality = images if kind.startswith("picture") else sounds
        assert modality.transform([path]).present.all()
    return peak() - before


def in_child(function, *arguments):
    """Run a function in a process of its own, and give back what it returns."""
    out, into = os.pipe()
    if os.fork() == 0:
        try:
            os.write(into, json.dumps(function(*arguments)).encode())
        finally:
            os._exit(0)
    os.close(into)
    with os.fdopen(out) as file:
        return json.loads(file.read() or "null")


@pytest.fixture(scope="module")
def added(tmp_path_factory):
    """MB added by each kind of file; measured in a fresh process without threads."""
    folder = tmp_path_factory.mktemp("large")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.test_memory", str(folder)],
        capture_output=True,
        text=True,
        timeout=200,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("kind", BOUNDS)
def test_a_file_takes_bounded_memory(added, kind):
    assert added[kind] is not None
    assert added[kind] < BOUNDS[kind]


def main(folder):
    found = {}
    for kind in BOUNDS:
        path = os.path.join(folder, kind.replace(" ", "-").replace(";", ""))
        in_child(write, kind, path)
        found[kind] = in_child(read, kind, path)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
