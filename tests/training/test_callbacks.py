"""Callbacks: the bar, and what is refused."""

import pytest

from skfusion.training.callbacks import EpochLog, check_callbacks
from tests.training.made import make_dataset, run


def test_bar_shows_epochs_and_losses(capsys):
    run(valid=make_dataset(30, seed=1), verbose=1)
    shown = capsys.readouterr()
    assert "4/4" in shown.err
    assert "train=" in shown.err
    assert "valid=" in shown.err
    assert not shown.out


def test_silent_unless_asked(capsys):
    run(valid=make_dataset(30, seed=1))
    shown = capsys.readouterr()
    assert not shown.out
    assert not shown.err


@pytest.mark.parametrize("callback", [5, ("name", 5), "EarlyStopping", None.__class__])
def test_what_is_no_callback_is_refused_by_its_position(callback):
    check_callbacks([EpochLog(), ("log", EpochLog()), EpochLog, ("off", None)])
    with pytest.raises(ValueError, match=r"'callbacks' parameter .*at position 1"):
        check_callbacks([EpochLog(), callback])
