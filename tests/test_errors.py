"""Bad input: each error names the row, the column and the remedy."""

import decimal
import io
import re

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from skfusion import FusionClassifier, FusionRegressor
from skfusion.modalities import AudioModality, ImageModality, SeriesModality

N = 20
ROW = "r7"  # the label of the row that is spoilt


def _png(shape=(9, 9, 3)):
    file = io.BytesIO()
    Image.fromarray(np.full(shape, 90, np.uint8)).save(file, "PNG")
    return file.getvalue()


def _wav(n=4000):
    file = io.BytesIO()
    soundfile.write(file, np.sin(np.arange(n) / 9), 8000, format="WAV")
    return file.getvalue()


def _objects(values):
    out = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):
        out[i] = value
    return out


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "note": np.array([f"word {i % 4} of a text" for i in range(N)], object),
            "photo": _objects([_png() for _ in range(N)]),
            "clip": _objects([_wav() for _ in range(N)]),
            "curve": _objects(list(rng.normal(size=(N, 2, 30)))),
            "price": rng.normal(size=N),
            "vector": _objects(list(rng.normal(size=(N, 3)))),
        },
        index=[f"r{i}" for i in range(N)],
    )


y = np.arange(N) % 2


def make(column, **parameters):
    """A model of one modality, named unlike its column, beside the price."""
    kind = {
        "note": "text",
        "photo": ImageModality(size=16, **parameters),
        "clip": AudioModality(**parameters),
        "curve": SeriesModality(**parameters),
        "price": "tabular",
        "vector": "vector",
    }[column]
    modalities = [("branch", kind, [column])]
    if column != "price":
        modalities.append(("facts", "tabular", ["price"]))
    return FusionClassifier(modalities, max_epochs=1, d_model=16, random_state=0)


BAD_CELLS = {
    "unreadable image": ("photo", b"these bytes are no picture"),
    "truncated image": ("photo", _png((90, 90, 3))[:120]),
    "image of a wrong type": ("photo", 3.5),
    "image of five dimensions": ("photo", np.zeros((1, 2, 3, 4, 5))),
    "path that does not exist, image": ("photo", "nowhere/there is no such.png"),
    "truncated sound": ("clip", _wav()[:30]),
    "sound of a wrong type": ("clip", {"samples": 1}),
    "unreadable sound": ("clip", b"these bytes are no sound"),
    "path that does not exist, sound": ("clip", "nowhere/there is no such.wav"),
    "sound without a rate": ("clip", (np.zeros(900), None)),
    "number in a text column": ("note", 7),
    "bytes in a text column": ("note", b"seven"),
    "series of another number of channels": ("curve", np.zeros((3, 30))),
    "series of words": ("curve", "up and down"),
    "infinity in numbers": ("price", np.inf),
    "minus infinity in numbers": ("price", -np.inf),
    "infinity in a vector": ("vector", np.array([0.0, np.inf, 1.0])),
    "vector of another length": ("vector", np.zeros(4)),
    "vector of words": ("vector", "abc"),
    "complex vector": ("vector", np.array([1j, 2, 3])),
    "list of complex numbers": ("vector", [1j, 2, 3]),
    "ragged list in a vector": ("vector", [[1], [2, 3], [4]]),
    "large integers in a vector": ("vector", [10**400, 1, 2]),
    "complex series": ("curve", np.ones((2, 30)) * 1j),
    "ragged list in a series": ("curve", [[1.0, 2.0], [3.0]]),
    "series beyond all scales": ("curve", np.full((2, 30), 1e305)),
    "large integers in a series": ("curve", [[10**400] * 3, [1] * 3]),
    "picture without pixels": ("photo", Image.new("L", (9, 9)).crop((3, 3, 3, 3))),
    "ragged list in a picture": ("photo", [[1, 2], [3]]),
    "integer of 400 digits": ("price", 10**400),
    "integer of 5,000 digits": ("price", 10**5000),
    "signalling NaN": ("price", decimal.Decimal("sNaN")),
    "complex number": ("price", 2j),
    "sound of no rate": ("clip", (np.zeros(900), 0)),
}
REMEDY = r"(?i)mend|replace|set it to None|convert|pass on_error"


def spoil(frame, column, cell):
    frame = frame.copy()
    cells = frame[column].to_list()
    cells[frame.index.get_loc(ROW)] = cell
    plain = column == "price" and isinstance(cell, float)
    frame[column] = cells if plain else _objects(cells)
    return frame


def assert_teaches(error, column):
    message = str(error.value)
    assert f"'{ROW}'" in message, message
    assert f"'{column}'" in message, message
    assert "'branch'" in message, message
    assert re.search(REMEDY, message), message


@pytest.mark.parametrize("column, cell", BAD_CELLS.values(), ids=BAD_CELLS)
def test_bad_cell_in_fit_names_row_column_modality_and_remedy(frame, column, cell):
    with pytest.raises((ValueError, TypeError)) as error:
        make(column).fit(spoil(frame, column, cell), y)
    assert_teaches(error, column)


@pytest.mark.parametrize("column, cell", BAD_CELLS.values(), ids=BAD_CELLS)
def test_bad_cell_in_predict_names_row_column_modality_and_remedy(frame, column, cell):
    model = make(column).fit(frame, y)
    with pytest.raises((ValueError, TypeError)) as error:
        model.predict(spoil(frame, column, cell))
    assert_teaches(error, column)


ON_ERROR = {
    name: (column, cell)
    for name, (column, cell) in BAD_CELLS.items()
    if column in ("photo", "clip", "curve")
}


@pytest.mark.parametrize("column, cell", ON_ERROR.values(), ids=ON_ERROR)
def test_bad_cell_can_be_absent_instead(frame, column, cell):
    model = make(column, on_error="absent").fit(frame, y)
    with pytest.warns(UserWarning, match=r"1 cell\(s\) could not be read") as warned:
        weights = model.modality_weights(spoil(frame, column, cell))
    assert len(warned) == 1
    row = frame.index.get_loc(ROW)
    assert weights[row, 0] == 0
    assert (np.delete(weights[:, 0], row) > 0).all()
    other = frame.copy()
    other[column] = frame[column].where(frame.index != ROW, None)
    with pytest.warns(UserWarning, match="could not be read"):
        spoilt = model.predict_proba(spoil(frame, column, cell))
    assert np.array_equal(spoilt, model.predict_proba(other))


LONG = "x" * 100_000
LONG_CELLS = {
    "path of a picture": ("photo", LONG + ".png"),
    "path of a sound": ("clip", LONG + ".wav"),
    "bytes of a picture": ("photo", LONG.encode()),
    "bytes of a sound": ("clip", LONG.encode()),
    "bytes among texts": ("note", LONG.encode()),
    "text among vectors": ("vector", LONG),
    "text among series": ("curve", LONG),
    "list among vectors": ("vector", list(range(100_000))),
    "array among vectors": ("vector", np.zeros((300, 300))),
    "integer": ("price", 10**100_000),
}


@pytest.mark.parametrize("column, cell", LONG_CELLS.values(), ids=LONG_CELLS)
def test_messages_show_no_more_than_a_part_of_a_cell(frame, column, cell):
    long_name = column + "_" + LONG
    model = make(column)
    ((name, kind, _), *others) = model.modalities
    model.set_params(modalities=[(name, kind, [long_name]), *others])
    bad = spoil(frame, column, cell).rename(columns={column: long_name})
    bad["price"] = bad[long_name] if column == "price" else bad["price"]
    bad.index = [LONG + label for label in bad.index]
    with pytest.raises((ValueError, TypeError)) as error:
        model.fit(bad, y)
    assert len(str(error.value)) < 700


def test_series_without_a_name_is_a_column_of_no_name():
    with pytest.raises(ValueError, match=r"row 1 of column '0'") as error:
        ImageModality().fit(pd.Series([_png(), 3.5], dtype=object))
    assert "None'" not in str(error.value)


def test_several_bad_cells_are_counted(frame):
    bad = spoil(frame, "photo", b"no picture")
    bad["photo"] = _objects([b"none either", *bad["photo"].to_list()[1:]])
    # Rows are learned in an order of their own, so either may be the one named.
    with pytest.raises(ValueError, match=rf"'(r0|{ROW})'") as error:
        make("photo").fit(bad, y)
    assert "2 cells" in str(error.value)


@pytest.mark.parametrize("cell", [None, np.nan, pd.NA], ids=repr)
@pytest.mark.parametrize("column", ["note", "photo", "clip", "curve", "vector"])
def test_missing_cell_is_no_error(frame, column, cell):
    weights = make(column).fit(frame, y).modality_weights(spoil(frame, column, cell))
    assert weights[frame.index.get_loc(ROW), 0] == 0


# ---------------------------------------------------------------- columns


def test_column_missing_at_prediction_is_named_with_the_remedy(frame):
    model = make("note").fit(frame, y)
    with pytest.raises(ValueError) as error:
        model.predict(frame.drop(columns="note").assign(Note="?"))
    message = str(error.value)
    assert "['note']" in message
    assert "['Note']" in message
    assert "fill it with None" in message


def test_column_missing_in_fit_is_named_with_the_nearest(frame):
    model = make("note")
    with pytest.raises(ValueError, match=r"'note'.*Did you mean 'notes'\?"):
        model.fit(frame.rename(columns={"note": "notes"}), y)


@pytest.mark.parametrize("modalities", [None, [("facts", "tabular", ["price"])]])
def test_duplicate_column_names_are_named_with_the_remedy(frame, modalities):
    doubled = frame.rename(columns={"note": "price"})
    with pytest.raises(ValueError) as error:
        FusionClassifier(modalities).fit(doubled, y)
    assert "price" in str(error.value)
    assert re.search("(?i)rename or drop", str(error.value))


def test_empty_frame_is_refused(frame):
    for nothing in (frame.iloc[:0], frame[[]]):
        with pytest.raises(ValueError, match=r"at least one row and one column|0 sam"):
            FusionClassifier().fit(nothing, y[: len(nothing)])


def test_empty_frame_at_prediction_is_refused(frame):
    model = make("price").fit(frame, y)
    with pytest.raises(ValueError, match=r"(?i)at least one row|0 sample"):
        model.predict(frame.iloc[:0])


def test_rows_and_targets_must_be_as_many(frame):
    with pytest.raises(ValueError, match=r"20.*19"):
        make("price").fit(frame, y[:-1])


# ---------------------------------------------------------------- targets


def test_single_class_is_refused_by_name(frame):
    with pytest.raises(ValueError, match=r"2 classes.*'yes'"):
        make("price").fit(frame, np.repeat("yes", N))


@pytest.mark.parametrize(
    "target",
    [
        np.where(np.arange(N) == 7, np.nan, y),
        pd.Series(y, dtype=object).mask(np.arange(N) == 7, None),
        pd.Series(y.astype(str)).mask(np.arange(N) == 7, np.nan),
        pd.Series(y, dtype="Int64").mask(np.arange(N) == 7),
    ],
    ids=["float", "object", "str", "nullable"],
)
def test_missing_label_is_refused(frame, target):
    with pytest.raises(ValueError, match=r"(?i)nan|missing|None"):
        make("price").fit(frame, target)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_missing_or_infinite_target_is_refused(frame, bad):
    target = np.where(np.arange(N) == 7, bad, y)
    model = FusionRegressor([("facts", "tabular", ["price"])])
    with pytest.raises(ValueError, match=r"y contains (NaN|infinity)"):
        model.fit(frame, target)


def test_missing_target_names_its_row(frame):
    target = pd.Series(np.where(np.arange(N) == 7, np.nan, y), index=frame.index)
    for model in (make("price"), FusionRegressor([("f", "tabular", ["price"])])):
        with pytest.raises(ValueError, match="7"):
            model.fit(frame, target)


def test_word_in_the_target_of_a_regression_names_its_row(frame):
    target = np.asarray(y, dtype=object)
    target[7] = "dear"
    model = FusionRegressor([("facts", "tabular", ["price"])])
    with pytest.raises(ValueError, match=r"'dear' in row 7 .*FusionClassifier"):
        model.fit(frame, target)


# ---------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    "parameters",
    [
        {"modalities": "text"},
        {"fusion": "adaptiv"},
        {"fusion": 3},
        {"base_models": "all"},
        {"base_models": True},
        {"n_folds": 0},
        {"n_folds": 2.5},
        {"corruption": 0.1},
        {"n_jobs": 1.5},
        {"d_model": 1.5},
        {"dropout": 1.0},
        {"max_epochs": 0},
        {"max_epochs": "many"},
        {"batch_size": -1},
        {"lr": "fast"},
        {"lr": 0},
        {"weight_decay": -0.1},
        {"early_stopping": 3},
        {"validation_fraction": 1.0},
        {"n_iter_no_change": 0},
        {"warm_start": "no"},
        {"device": 0},
        {"callbacks": "print"},
        {"callbacks": 5},
        {"random_state": "seed"},
        {"verbose": -1},
    ],
    ids=lambda p: "-".join(f"{k}={v}" for k, v in p.items()),
)
@pytest.mark.parametrize("kind", [FusionClassifier, FusionRegressor])
def test_wrong_parameter_is_named_with_what_is_allowed(frame, kind, parameters):
    ((name, value),) = parameters.items()
    with pytest.raises(ValueError) as error:
        kind(**parameters).fit(frame[["price"]], y)
    message = str(error.value)
    assert f"The '{name}' parameter of {kind.__name__} must be" in message
    assert f"Got {value!r} instead" in message


@pytest.mark.parametrize("parameters", [{"callbacks": [5]}, {"device": "abacus"}])
def test_wrong_parameter_is_refused_before_anything_is_fitted(frame, parameters):
    fitted = []

    class Spy(SeriesModality):
        def fit_transform(self, X, y=None):
            fitted.append(X)

    (name,) = parameters
    with pytest.raises(ValueError, match=name):
        FusionClassifier([("s", Spy(), "curve")], **parameters).fit(frame, y)
    assert not fitted


def test_wrong_class_weight_is_refused(frame):
    with pytest.raises(ValueError, match="'class_weight' parameter"):
        FusionClassifier(class_weight="rare").fit(frame[["price"]], y)


def test_wrong_parameter_of_a_part_is_refused(frame):
    from skfusion.corruption import Corruption
    from skfusion.fusion import AdaptiveFusion

    for parameters, name in (
        ({"fusion": AdaptiveFusion(dropout=2)}, "dropout"),
        ({"corruption": Corruption(p_drop=2)}, "p_drop"),
        ({"modalities": [("a", ImageModality(size=-1), ["photo"])]}, "size"),
    ):
        with pytest.raises(ValueError, match=f"The '{name}' parameter of"):
            FusionClassifier(max_epochs=1, **parameters).fit(frame, y)


def test_width_that_the_heads_do_not_divide_is_refused(frame):
    with pytest.raises(ValueError, match=r"d_model=10.*n_heads=4"):
        FusionClassifier(d_model=10).fit(frame[["price"]], y)


def test_unknown_device_is_refused(frame):
    with pytest.raises((ValueError, RuntimeError), match="abacus"):
        FusionClassifier(device="abacus").fit(frame[["price"]], y)


@pytest.mark.parametrize(
    "weight", [np.ones(N - 1), -np.ones(N), np.full(N, np.nan), np.zeros(N)]
)
def test_impossible_weights_are_refused(frame, weight):
    with pytest.raises(ValueError, match=r"(?i)sample_?\s?weight"):
        make("price").fit(frame, y, sample_weight=weight)
