"""Damaged and hostile files: one clear error each, and nothing of them is run."""

import hashlib
import json
import os
import zipfile

import numpy as np
import pytest
import skops.io
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.preprocessing import FunctionTransformer

import skfusion
from skfusion.persistence import archive
from skfusion.persistence.state import Writer

TREE = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"


def members_of(path):
    with zipfile.ZipFile(path) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def written(path, members, *, honest=True, compression=zipfile.ZIP_STORED):
    """A file of these members; if `honest`, the manifest tells their hashes."""
    if honest:
        manifest = json.loads(members["manifest.json"])
        manifest["members"] = {
            name: {"size": len(m), "sha256": hashlib.sha256(m).hexdigest()}
            for name, m in members.items()
            if name != "manifest.json"
        }
        members = {**members, "manifest.json": json.dumps(manifest).encode()}
    with zipfile.ZipFile(path, "w", compression) as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return path


def with_json(member, change):
    def changed(members):
        content = json.loads(members[member])
        change(content)
        return {**members, member: json.dumps(content).encode()}

    return changed


def with_member(name, content):
    return lambda members: {**members, name: content}


def manifest(**values):
    return with_json("manifest.json", lambda content: content.update(values))


def state(**values):
    return with_json("state.json", lambda content: content.update(values))


def classes(name):
    def change(content):
        content["classes"][0] = name

    return with_json("state.json", change)


def deep(members):
    nested = b'{"list":[' * 100_000 + b"]}" * 100_000
    return {**members, "state.json": b'{"classes":[],"model":' + nested + b"}"}


def compressed_skops(members):
    content = skops.io.dumps([np.zeros(10**6)], compression=zipfile.ZIP_DEFLATED)
    return {**members, "sklearn.skops": content}


def npz_bomb(members):
    content = skops.io.dumps(
        [sparse.dia_matrix((np.zeros((1, 8_000_000)), [0]), (9, 9))]
    )
    return {**members, "sklearn.skops": content}


HOSTILE = {
    "another member": (with_member("evil.py", b"1"), ValueError, "nothing else"),
    "a path": (with_member("../../evil.py", b"1"), ValueError, "nothing else"),
    "an absolute path": (with_member("/etc/evil", b"1"), ValueError, "nothing else"),
    "a newer format": (manifest(format=2), ValueError, "pip install -U skfusion"),
    "no format": (manifest(format="x"), ValueError, "must state a format"),
    "no format number": (manifest(format=True), ValueError, "must state a format"),
    "no versions": (manifest(versions=[]), ValueError, "must state versions"),
    "state is no JSON": (with_member("state.json", b"{"), ValueError, "state.json"),
    "state is a list": (with_member("state.json", b"[]"), ValueError, "state.json"),
    "state of no model": (
        with_member("state.json", b'{"classes":[]}'), ValueError, "state.json"
    ),
    "classes are numbers": (state(classes=[1, None]), TypeError, "trust"),
    "deep nesting": (deep, ValueError, "state.json"),
    "no model": (state(model={"list": []}), ValueError, "no model of skfusion"),
    "unknown kind": (state(model={"pickle": "gASV"}), ValueError, "KeyError"),
    "a reference ahead": (state(model={"again": 9}), ValueError, "IndexError"),
    "no array": (state(model={"array": [10**6, [0]]}), ValueError, "KeyError"),
    "objects as bytes": (
        state(model={"raw": [0, [0], "|O", [1]]}), ValueError, "state.json"
    ),
    "a function": (classes("os.system"), TypeError, "os.system"),
    "eval": (classes("builtins.eval"), TypeError, "builtins.eval"),
    "a class of torch": (classes("torch.jit.ScriptModule"), TypeError, "torch.jit"),
    "another class of ours": (
        classes("skfusion.persistence.archive.Path"), ValueError, "not there"
    ),
    "a class that is gone": (classes("skfusion.gone.Thing"), ValueError, "not there"),
    "an unknown class": (classes("skfusion.batch.Gone"), ValueError, "not there"),
    "no classes": (state(classes=3), ValueError, "state.json"),
    "arrays cut short": (
        with_member("arrays.safetensors", b"\x10"), ValueError, "arrays.safetensors"
    ),
    "arrays are a pickle": (
        with_member("arrays.safetensors", b"\x80\x04K\x01."), ValueError, "safetensors"
    ),
    "skops is no zip": (
        with_member("sklearn.skops", b"x"), ValueError, "sklearn.skops"
    ),
    "skops calls": (
        with_member(
            "sklearn.skops", skops.io.dumps([FunctionTransformer(os.system)])
        ), TypeError, r"\.system",
    ),
    "skops is compressed": (compressed_skops, ValueError, "sklearn.skops"),
    "a bomb in skops": (npz_bomb, ValueError, "sklearn.skops"),
    "fewer parts": (
        with_member("sklearn.skops", skops.io.dumps([])), ValueError, "IndexError"
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_one_clear_error(kind, small, tmp_path):
    change, error, message = HOSTILE[kind]
    path = written(tmp_path / "hostile.skfusion", change(members_of(small[1])))
    with pytest.raises(error, match=message) as found:
        skfusion.load(path, max_bytes=2**25)
    assert "hostile.skfusion" in str(found.value)
    assert len(str(found.value)) < 700


@pytest.mark.parametrize("missing", ["manifest.json", "state.json", "sklearn.skops"])
def test_a_missing_member_is_named(missing, small, tmp_path):
    members = members_of(small[1])
    del members[missing]
    path = written(tmp_path / "model", members, honest=False)
    with pytest.raises(ValueError, match=missing):
        skfusion.load(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_stands_twice(small, tmp_path):
    path = written(tmp_path / "model", members_of(small[1]))
    with zipfile.ZipFile(path, "a") as opened:
        opened.writestr("state.json", b"{}")
    with pytest.raises(ValueError, match="each once"):
        skfusion.load(path)


@pytest.mark.parametrize(
    "member", ["state.json", "arrays.safetensors", "sklearn.skops"]
)
def test_a_changed_member_has_another_hash(member, small, tmp_path):
    members = members_of(small[1])
    content = bytearray(members[member])
    content[len(content) // 2] ^= 1
    path = written(
        tmp_path / "model", {**members, member: bytes(content)}, honest=False
    )
    with pytest.raises(ValueError, match=f"{member} in .*SHA-256.*Copy it again"):
        skfusion.load(path)


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_truncated_file(share, small, tmp_path):
    content = small[1].read_bytes()
    path = tmp_path / "cut.skfusion"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"cut\.skfusion.*cut short.*Copy the file"):
        skfusion.load(path)


def test_flipped_bytes_are_errors_or_change_nothing(small, tmp_path):
    model, source, X = small
    content, rng = source.read_bytes(), np.random.default_rng(0)
    path, refused = tmp_path / "model", 0
    expected = model.predict_proba(X)
    ends = rng.integers(len(content) - 400, len(content), 30)  # zip's own directory
    for at in [*ends, *rng.integers(0, len(content), 30)]:
        flipped = bytearray(content)
        flipped[at] ^= 1 << rng.integers(8)
        path.write_bytes(flipped)
        try:
            loaded = skfusion.load(path)
        except ValueError:
            refused += 1
        else:
            assert np.array_equal(loaded.predict_proba(X), expected)
    assert refused >= 30


def test_a_zip_bomb_is_not_unpacked(small, tmp_path):
    members = {**members_of(small[1]), "state.json": b"0" * 40_000_000}
    path = written(tmp_path / "model", members, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 10_000_000
    with pytest.raises(ValueError, match="one part in 200"):
        skfusion.load(path)


def test_a_bomb_that_understates_its_size(small, tmp_path):
    members = {**members_of(small[1]), "state.json": b"0" * 4_000_000}
    path = written(tmp_path / "model", members, compression=zipfile.ZIP_DEFLATED)
    content = path.read_bytes()
    size = (4_000_000).to_bytes(4, "little")
    assert content.count(size) == 2  # local header and directory
    path.write_bytes(content.replace(size, (400_000).to_bytes(4, "little")))
    with pytest.raises(ValueError, match=r"state\.json"):
        skfusion.load(path)


def test_content_beyond_max_bytes(small):
    with pytest.raises(ValueError, match=r"takes \d+ bytes.*pass a larger max_bytes"):
        skfusion.load(small[1], max_bytes=1000)


@pytest.mark.parametrize("kind", ["left", "right", "feature_idx", "loop", "categories"])
def test_trees_that_would_be_read_outside_of_themselves(kind, small, tmp_path):
    model, _, X = small
    writer = Writer()
    writer.record(model)
    trees = HistGradientBoostingClassifier(max_iter=2).fit(X, X[:, 0] > 0)
    nodes = trees._predictors[0][0].nodes
    if kind == "loop":
        nodes["left"][0] = 0
    elif kind == "categories":
        nodes["is_categorical"][0] = 1
    else:
        nodes[kind][0] = 10**6
    content = skops.io.dumps([trees] * len(writer.foreign))
    members = {**members_of(small[1]), "sklearn.skops": content}
    path = written(tmp_path / "model", members)
    with pytest.raises(TypeError, match=r"TreePredictor"):
        skfusion.load(path)
    skfusion.load(path, trusted=[TREE])


def test_a_pickle_is_not_read(tmp_path):
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x04cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ValueError, match="a pickle is read by joblib"):
        skfusion.load(path)


def test_another_version_is_told(small, tmp_path):
    versions = {**json.loads(members_of(small[1])["manifest.json"])["versions"]}
    change = manifest(versions=versions | {"skfusion": "0.0.9"})
    path = written(tmp_path / "model", change(members_of(small[1])))
    with pytest.warns(UserWarning, match=r"written by skfusion '0\.0\.9'"):
        skfusion.load(path)


def test_the_manifest_states_format_and_versions(small):
    content = json.loads(members_of(small[1])["manifest.json"])
    assert content["format"] == archive.FORMAT
    assert content["versions"]["skfusion"] == skfusion.__version__
    assert {"numpy", "torch", "scikit-learn"} <= content["versions"].keys()
