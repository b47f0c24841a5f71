"""Objects as records, and back: values, arrays, networks, what occurs twice."""

import datetime as dt
import json
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from skfusion.persistence import foreign
from skfusion.persistence.state import Reader, Writer, find_class


def copied(thing):
    writer = Writer()
    record = json.loads(json.dumps(writer.record(thing), allow_nan=False))
    parts = foreign.loads(foreign.dumps(writer.foreign), [])
    classes = [find_class(name) for name in writer.classes]
    return Reader(classes, writer.arrays, parts).thing(record)


@pytest.mark.parametrize(
    "thing",
    [
        None, True, 3, -(10**40), 0.1, -0.0, "a\ud800é", b"\x00a", (1, (2,)),
        {"a": 1, 2: [3], (4, None): {5}, None: frozenset("x")}, slice("a", None, 2),
        float("inf"), np.float32(0.1), np.int8(-3), np.bool_(True), np.str_("é"),
        np.datetime64("2020-01-01T01:02:03.000000004"), OrderedDict(a=1), [],
        pd.Timestamp("2020-01-01 12:00:00.000000001"), pd.Timedelta("3ns"),
        pd.Timestamp("2020-07-01", tz="Europe/Paris"), np.dtype("f4"), range(3),
        dt.datetime(2020, 1, 2, tzinfo=dt.UTC), dt.date(2020, 1, 2),
        Path("a") / "b",
    ],
    ids=repr,
)  # fmt: skip
def test_a_value_is_the_same(thing):
    out = copied(thing)
    assert out == thing
    assert type(out) is (dict if isinstance(thing, OrderedDict) else type(thing))
    assert repr(out) == repr(thing) or isinstance(thing, dict | bytes)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1),
        np.arange(6.0).reshape(2, 3).T, np.arange(10)[::2], np.zeros((0, 3)),
        np.array(3.0), np.array(["a", "béé"]), np.array([], dtype="U5"),
        np.array(["2020", "NaT"], dtype="M8[D]"), np.array([1 + 2j]),
        np.array([1, 2], dtype=">i4"),
        np.array([[None, "a"], [1, (2, 3)]], dtype=object),
        np.array([True, False]), np.array([1, 2], dtype=np.float16),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]), np.array([b"a", b"bc"]),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)  # fmt: skip
def test_an_array_is_the_same_and_lies_as_before(array):
    out = copied(array)
    assert out.dtype == array.dtype
    assert out.shape == array.shape
    assert np.array_equal(out, array, equal_nan=array.dtype.kind in "fM")
    assert out.flags.writeable
    for flag in ("C_CONTIGUOUS", "F_CONTIGUOUS"):
        if array.flags[flag]:
            assert out.flags[flag]
    if array.ndim == 3:
        assert out.strides == array.strides


def test_tensors_and_what_occurs_twice():
    weight = torch.nn.Parameter(torch.arange(24.0).reshape(2, 3, 2, 2))
    channels_last = weight.detach().contiguous(memory_format=torch.channels_last)
    net = torch.nn.ModuleList([torch.nn.Linear(2, 2), torch.nn.Conv2d(3, 2, 2)])
    net[1].weight, net.register = weight, [net[0], net[0].weight]
    net[0].weight.requires_grad = False
    out, last = copied([net.eval(), channels_last])
    assert out.register[0] is out[0]
    assert out.register[1] is out[0].weight
    assert isinstance(out[1].weight, torch.nn.Parameter)
    assert [p.requires_grad for p in out.parameters()] == [False, True, True, True]
    assert last.stride() == channels_last.stride()
    assert not out[0].training
    x = torch.ones(1, 3, 4, 4)
    assert torch.equal(out[1](x), net[1](x))
