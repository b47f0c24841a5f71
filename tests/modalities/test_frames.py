"""Tables that are built from folders, lists and frames."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from skfusion import FusionClassifier, describe, frame_from


@pytest.fixture
def folder(tmp_path):
    """Makes pictures of given names; the grey level says which one it is."""

    def make(*names, under="pictures"):
        for i, name in enumerate(names):
            path = tmp_path / under / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".wav":
                soundfile.write(path, np.zeros(80), 8000)
            elif path.suffix == ".txt":
                path.write_text("notes")
            else:
                Image.new("L", (8, 8), 10 * i).save(path)
        return tmp_path / under

    return make


def names(column):
    return [None if path is None else Path(path).name for path in column]


def test_key_finds_files_by_their_names(folder):
    pictures = folder("b.png", "a.png")
    table = pd.DataFrame({"photo": ["b", "a"], "price": [2.0, 1.0]}, index=[5, 9])
    df = frame_from(image=pictures, table=table, key="photo")
    assert names(df["image"]) == ["b.png", "a.png"]
    assert df.columns.tolist() == ["price", "image"]
    assert df.index.tolist() == ["b", "a"]
    assert table.columns.tolist() == ["photo", "price"]  # left as it was


@pytest.mark.parametrize(
    "key", ["a", "a.png", "cats/a", "cats/a.png", "pictures/cats/a.png", " ./cats/a "]
)
def test_key_is_the_end_of_a_path(folder, key):
    pictures = folder("cats/a.png", "dogs/b.png")
    df = frame_from(image=pictures, table={"file": [key, "b"]}, key="file")
    assert names(df["image"]) == ["a.png", "b.png"]


def test_numbers_with_missing_ones_are_keys(folder):
    pictures = folder("1.png", "12.png")
    table = {"nr": [12.0, np.nan, 1.0]}
    with pytest.warns(UserWarning, match="1 of 3 rows have no file"):
        df = frame_from(image=pictures, table=table, key="nr")
    assert names(df["image"]) == ["12.png", None, "1.png"]


def test_several_rows_may_share_a_file(folder):
    pictures = folder("a.png", "b.png")
    df = frame_from(image=pictures, table={"p": ["a", "b", "a"]}, key="p")
    assert names(df["image"]) == ["a.png", "b.png", "a.png"]


def test_index_finds_files(folder):
    pictures = folder("x.png", "y.png", "z.png")
    table = pd.DataFrame({"price": [1, 2, 3]}, index=["z", "x", "y"])
    df = frame_from(image=pictures, table=table)
    assert names(df["image"]) == ["z.png", "x.png", "y.png"]
    assert df.index.equals(table.index)


def test_column_that_names_the_files_is_found(folder):
    pictures = folder("x.png", "y.png", "z.png")
    sounds = folder("1.wav", "2.wav", "3.wav", under="sounds")
    table = {"file": ["z.png", "x.png", "y.png"], "price": [9.5, 8, 7], "s": [3, 1, 2]}
    df = frame_from(image=pictures, audio=sounds, table=table)
    assert names(df["image"]) == ["z.png", "x.png", "y.png"]
    assert names(df["audio"]) == ["3.wav", "1.wav", "2.wav"]
    assert df.columns.tolist() == ["price", "image", "audio"]


def test_numbers_of_rows_are_found(folder):
    pictures = folder(*(f"{i}.png" for i in range(11)))
    df = frame_from(image=pictures, table={"price": np.ones(11) * 0.5})
    assert names(df["image"]) == [f"{i}.png" for i in range(11)]
    assert df.columns.tolist() == ["price", "image"]


def test_two_columns_that_name_files_differently_are_refused(folder):
    pictures = folder("1.png", "2.png", "3.png")
    with pytest.raises(ValueError, match=r"Several columns .*\['a', 'b'\].*key="):
        frame_from(image=pictures, table={"a": [1, 2, 3], "b": [3, 2, 1]})


def test_without_keys_files_are_taken_in_order(folder):
    pictures = folder("c.png", "a.png", "b.png")
    df = frame_from(image=pictures, table={"price": [1.5, 2.5, 3.5]})
    assert names(df["image"]) == ["a.png", "b.png", "c.png"]
    assert df.index.tolist() == [0, 1, 2]


def test_order_that_may_be_another_is_refused(folder):
    pictures = folder("p9.png", "p10.png")
    with pytest.raises(ValueError, match=r"'p10.png' comes first, by its number 'p9"):
        frame_from(image=pictures, text=["nine", "ten"])
    assert len(frame_from(image=pictures)) == 2  # there is nothing to be mixed up


def test_lengths_that_differ_are_named(folder):
    pictures = folder("a.png", "b.png")
    with pytest.raises(ValueError, match="differ in length: table 3, text 2, image 2"):
        frame_from(image=pictures, text=["x", "y"], table={"price": [1.5, 2.5, 3.5]})
    with pytest.raises(ValueError, match="differ in length: text 1, image 2"):
        frame_from(image=[None, None], text=["x"])


def test_rows_without_a_file_and_files_without_a_row_are_told_of(folder):
    pictures = folder("a.png", "b.png", "c.png", "d.png")
    table = {"p": ["b", "q", "r", "a"]}
    with pytest.warns(
        UserWarning, match=r"2 of 4 rows .*'q', 'r'.*2 file\(s\) .*'c.png', 'd.png'"
    ) as caught:
        df = frame_from(image=pictures, table=table, key="p")
    assert names(df["image"]) == ["b.png", None, None, "a.png"]
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_nothing_in_common_is_refused(folder):
    pictures = folder("a.png", "b.png")
    with pytest.raises(ValueError, match=r"No file of 'image' \('a.png', .*'q', 'r'"):
        frame_from(image=pictures, table={"p": ["q", "r"]}, key="p")
    table = pd.DataFrame({"price": [1, 2]}, index=[7, 3])
    with pytest.raises(ValueError, match="named by the index"):
        frame_from(image=pictures, table=table)


def test_key_of_several_files_is_refused(folder):
    pictures = folder("cats/1.png", "dogs/1.png")
    with pytest.raises(ValueError, match=r"may be several files .*cats/1.png"):
        frame_from(image=pictures, table={"nr": [1, 1]}, key="nr")


def test_class_folders_give_the_target(folder):
    pictures = folder("cats/1.png", "dogs/1.png", "dogs/deep/2.png", ".cache/x.png")
    folder("cats/.hidden.png", "notes.txt")
    df, y = frame_from(image=pictures, return_y=True)
    assert y.tolist() == ["cats", "dogs", "dogs"]
    assert df.index.tolist() == ["cats/1", "dogs/1", "dogs/deep/2"]
    assert df.columns.tolist() == ["image"]
    folder("loose.png")
    with pytest.raises(ValueError, match=r"'loose.png' lie in none"):
        frame_from(image=pictures, return_y=True)
    with pytest.raises(ValueError, match="needs a folder"):
        frame_from(text=["a"], return_y=True)


def test_two_folders_meet_by_the_names_of_their_files(folder):
    pictures = folder("b.png", "a.png", "c.png")
    sounds = folder("c.wav", "b.wav", under="sounds")
    with pytest.warns(UserWarning, match="1 of 3 rows have no file"):
        df = frame_from(image=pictures, audio=sounds)
    assert names(df["image"]) == ["a.png", "b.png", "c.png"]
    assert names(df["audio"]) == [None, "b.wav", "c.wav"]
    assert df.index.tolist() == ["a", "b", "c"]


def test_files_of_one_stem_keep_their_endings(folder):
    df = frame_from(image=folder("a.png", "a.jpg"))
    assert df.index.tolist() == ["a.jpg", "a.png"]


def test_series_are_matched_by_their_index(folder):
    pictures = folder("a.png", "b.png")
    text = pd.Series(["of b", "of a"], index=["b", "a"])
    df = frame_from(image=pictures, text=text)
    assert df.index.tolist() == ["b", "a"]
    assert names(df["image"]) == ["b.png", "a.png"]
    table = pd.DataFrame({"price": [1.5, 2.5]}, index=["a", "b"])
    assert frame_from(text=text, table=table)["text"].tolist() == ["of a", "of b"]
    with pytest.raises(ValueError, match=r"no label in common .*Pass a list"):
        frame_from(text=text, table={"price": [1.5, 2.5]})
    counted = pd.Series(["of a", "of b"])
    assert frame_from(text=counted, table=table)["text"].tolist() == ["of a", "of b"]


def test_several_columns_of_a_kind(folder):
    front, back = folder("a.png", under="front"), folder("a.png", under="back")
    df = frame_from(
        image={"front": front, "back": back},
        text={"title": ["a"], "body": ["b"]},
    )
    assert df.columns.tolist() == ["title", "body", "front", "back"]
    assert [Path(df[c].iloc[0]).parent.name for c in ("front", "back")] == [
        "front",
        "back",
    ]


def test_lists_of_every_sort_are_taken_as_they_are(folder):
    file = folder("a.png") / "a.png"
    cells = [
        file,
        str(file),
        file.read_bytes(),
        Image.new("L", (8, 8)),
        np.zeros((8, 8)),
        None,
    ]
    df = frame_from(image=cells)
    for got, cell in zip(df["image"][:4], cells, strict=False):
        assert got is cell
    assert df["image"].iloc[4].shape == (8, 8, 1)
    assert df["image"].iloc[5] is None
    stack = frame_from(image=np.zeros((4, 8, 8)))
    assert describe(stack).kind.tolist() == ["image"]


def test_sounds_that_are_arrays_need_their_rate():
    sounds = list(np.zeros((4, 80)))
    with pytest.raises(ValueError, match="sample_rate="):
        frame_from(audio=sounds)
    df = frame_from(audio=sounds, sample_rate=8000)
    assert describe(df).kind.tolist() == ["audio"]


def test_files_that_do_not_exist_are_named(folder):
    file = str(folder("a.png") / "a.png")
    with pytest.raises(
        ValueError, match=r"2 of the 3 files of 'image' .*'b.png', 'c.png'"
    ):
        frame_from(image=[file, "b.png", "c.png"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "at least one"),
        ({"image": "no/such/folder"}, "does not exist"),
        ({"image": b"bytes"}, "'image' must be a folder"),
        ({"text": "one text"}, "'text' must be texts"),
        ({"text": {"a"}}, "'text' must be texts"),
        ({"table": [1, 2]}, "`table` must be"),
        ({"text": ["a"], "key": "p"}, "there is no table"),
        ({"table": {"a": [1]}, "key": "p"}, "it has"),
        ({"table": {"text": [1]}, "text": ["a"]}, r"several columns named \['text'\]"),
        ({"table": pd.DataFrame([[1]]), "text": ["a"]}, "must be strings"),
    ],
    ids=str,
)
def test_what_cannot_be_a_part_is_refused(given, message):
    with pytest.raises((TypeError, ValueError), match=message):
        frame_from(**given)


def test_folder_without_files_of_the_kind_is_refused(folder):
    with pytest.raises(ValueError, match=r"no file .*image files.*'a.wav'"):
        frame_from(image=folder("a.wav"))
    with pytest.raises(ValueError, match="is a file"):
        frame_from(image=folder("a.png") / "a.png")


def test_tables_of_every_sort(folder):
    pl = pytest.importorskip("polars")
    pictures = folder("a.png", "b.png")
    for table in (pl.DataFrame({"x0": [1.5, 2.5]}), np.array([[1.5], [2.5]])):
        df = frame_from(image=pictures, table=table)
        assert df["x0"].tolist() == [1.5, 2.5]
        assert names(df["image"]) == ["a.png", "b.png"]
    df = frame_from(text=pl.Series(["x", None]), table=pl.DataFrame({"a": [1, 2]}))
    assert df["text"].isna().tolist() == [False, True]


def test_what_it_builds_can_be_learned_from(folder, tiny):
    pictures = folder(*(f"{'ab'[i % 2]}/{i:02d}.png" for i in range(24)))
    df, y = frame_from(
        image=pictures, text=[f"a cloth of {i}" for i in range(24)], return_y=True
    )
    clf = FusionClassifier(**tiny).fit(df, y)
    assert clf.modality_names_ == ("text", "image")
    assert clf.predict_proba(df).shape == (24, 2)
