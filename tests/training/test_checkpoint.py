"""A fit that is killed goes on from its last epoch, to the same result to the bit."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

import skfusion
from skfusion import FusionClassifier, FusionRegressor
from skfusion.training.checkpoint import Checkpoint

# 120 rows of two folds in batches of 16 make 4 steps an epoch and, of 3 epochs, 12 a
# fold.
STEPS = {"batch_size": 16, "max_epochs": 3}


class Killed(Exception):
    """What stands for SIGKILL within a process."""


class KillAt(Callback):
    """Ends the fit at a training step, counted over all folds."""

    def __init__(self, step):
        self.step, self.seen = step, 0

    def __deepcopy__(self, memo):
        return self  # or each fold would count for itself

    def __repr__(self):
        return "KillAt"  # when it happens is no part of what the fit is

    def on_batch_begin(self, net, training=False, **kwargs):
        if training:
            self.seen += 1
            if self.seen == self.step:
                raise Killed


def parameters(model):
    return [p for network in model.networks_ for p in network.state_dict().values()]


def assert_same(model, expected, X):
    method = "predict_proba" if hasattr(model, "classes_") else "predict"
    one, two = getattr(model, method)(X), getattr(expected, method)(X)
    assert np.array_equal(one, two)
    for a, b in zip(parameters(model), parameters(expected), strict=True):
        assert torch.equal(a, b)
    columns = expected.history_.columns.drop("seconds")
    assert model.history_[columns].equals(expected.history_[columns])


@pytest.fixture
def make(view_triples, whole):
    def make(kind=FusionClassifier, **changes):
        return kind(**{"modalities": view_triples} | whole | STEPS | changes)

    return make


def run_killed(model, step, X, y):
    """A fit that goes on until a step, counted from where it went on."""
    model.set_params(callbacks=[KillAt(step)])
    with pytest.raises(Killed):
        model.fit(X, y)


def steps_of(model, X, y):
    """Training steps that a fit takes."""
    count = KillAt(None)
    model.set_params(callbacks=[count]).fit(X, y)
    return count.seen


CHOICES = {
    "adaptive": {},
    "regression": {"kind": FusionRegressor},
    "mmpareto": {"balance": "mmpareto", "fusion": "concat"},
    "ogm_ge": {"balance": "ogm_ge", "base_models": None},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 1, "lr": 0.1},
    "bottleneck": {"fusion": "bottleneck", "base_models": None},
    "one network": {"n_folds": 1},
}


@pytest.mark.parametrize("choice", CHOICES)
def test_fit_that_is_killed_in_every_epoch_ends_as_if_it_had_not_been(
    make, views, tmp_path, choice
):
    X, y = views
    y = X["a"].fillna(0).to_numpy() if "kind" in CHOICES[choice] else y
    expected = make(**CHOICES[choice]).fit(X, y)
    model = make(**CHOICES[choice], checkpoint=tmp_path)
    killed, epoch = 0, 7 if choice == "one network" else 4
    while killed < 20:
        # An epoch further each time: what the next one had begun is lost.
        model.set_params(callbacks=[KillAt(epoch + 2)])
        try:
            model.fit(X, y)
        except Killed:
            killed += 1
            assert not hasattr(model, "networks_")
            assert list(tmp_path.iterdir())
            continue
        break
    assert killed >= 2
    assert_same(model, expected, X)
    assert not list(tmp_path.iterdir())


def test_finished_epochs_are_not_trained_again(make, views, tmp_path):
    X, y = views
    total = steps_of(make(), X, y)
    model = make(checkpoint=str(tmp_path))
    run_killed(model, 18, X, y)  # in the second epoch of the second fold
    assert len(list(tmp_path.iterdir())) == 2
    assert steps_of(model, X, y) == total - 16


def test_held_out_stage_that_was_killed_begins_with_trained_networks(
    make, views, tmp_path, monkeypatch
):
    from skfusion.evidence import learn

    X, y = views
    expected = make().fit(X, y)
    model = make(checkpoint=tmp_path, callbacks=[KillAt(None)])

    def fail(*args, **kwargs):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(learn, "CrossFitter", fail)
        with pytest.raises(Killed):
            model.fit(X, y)
    assert len(list(tmp_path.iterdir())) == 2
    assert steps_of(model, X, y) == 0
    assert_same(model, expected, X)


def test_warm_start_goes_on_from_its_own_checkpoint(make, views, tmp_path):
    X, y = views
    expected = make(warm_start=True).fit(X, y).fit(X, y)
    model = make(warm_start=True, checkpoint=tmp_path).fit(X, y)
    run_killed(model, 6, X, y)
    assert_same(model.set_params(callbacks=[KillAt(None)]).fit(X, y), expected, X)


def test_processes_go_on_too(make, views, tmp_path):
    X, y = views
    expected = make().fit(X, y)
    model = make(checkpoint=tmp_path, n_jobs=2)
    run_killed(model, 6, X, y)  # each process has a callback of its own
    assert list(tmp_path.iterdir())
    assert_same(model.set_params(callbacks=[KillAt(None)]).fit(X, y), expected, X)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- whose checkpoint


@pytest.mark.parametrize(
    "changes",
    [{"lr": 1e-3}, {"random_state": 1}, {"max_epochs": 4}, {"dropout": 0.1}],
    ids=str,
)
def test_checkpoint_of_other_parameters_is_never_used(make, views, tmp_path, changes):
    X, y = views
    run_killed(make(checkpoint=tmp_path), 6, X, y)
    kept = {f: f.read_bytes() for f in tmp_path.iterdir()}
    model = make(checkpoint=tmp_path, **changes)
    assert steps_of(model, X, y) == steps_of(make(**changes), X, y)
    assert {f: f.read_bytes() for f in tmp_path.iterdir()} == kept


@pytest.mark.parametrize("change", ["cell", "target", "weight", "group"])
def test_checkpoint_of_other_rows_is_never_used(make, views, tmp_path, change):
    X, y = views
    run_killed(make(checkpoint=tmp_path), 6, X, y)
    options, first = {}, np.arange(len(y)) == 0
    if change == "cell":
        X = X.assign(a=X["a"] + first)
    elif change == "target":
        y = np.where(first, np.where(y == "yes", "no", "yes"), y)
    elif change == "weight":
        options = {"sample_weight": 1.0 + first}
    else:
        options = {"groups": np.arange(len(y)) // 2}
    with pytest.raises(Killed):
        make(checkpoint=tmp_path, callbacks=[KillAt(6)]).fit(X, y, **options)
    assert len(list(tmp_path.iterdir())) == 2


def test_what_does_not_change_the_training_does_not_change_its_checkpoint(
    make, views, tmp_path
):
    X, y = views
    run_killed(make(checkpoint=tmp_path), 6, X, y)
    model = make(checkpoint=tmp_path, base_models=None, verbose=1)
    # Rows in another order are the same rows.
    assert steps_of(model, X[::-1], y[::-1]) == steps_of(make(), X, y) - 4


def test_files_that_another_process_left_are_told_of(make, views, tmp_path):
    X, y = views
    run_killed(make(checkpoint=tmp_path), 6, X, y)
    (file,) = tmp_path.iterdir()
    os.utime(file, (0, 0))
    with pytest.warns(UserWarning, match=r"checkpoint=.* holds 1 file.* begins afresh"):
        make(checkpoint=tmp_path, lr=1e-3).fit(X, y)
    assert list(tmp_path.iterdir()) == [file]
    make(checkpoint=tmp_path, callbacks=[KillAt(None)]).fit(X, y)  # which it is of


def test_checkpoint_without_a_seed_is_refused(make, views, tmp_path):
    with pytest.raises(ValueError, match=r"'checkpoint' parameter .*random_state=0"):
        make(checkpoint=tmp_path / "new", random_state=None).fit(*views)
    assert not (tmp_path / "new").exists()


# ---------------------------------------------------------------- disks


def test_file_in_place_of_the_folder_is_refused_before_training(make, views, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"'checkpoint' parameter must be a folder"):
        make(checkpoint=tmp_path / "file", callbacks=[KillAt(1)]).fit(*views)


def test_folder_that_cannot_be_written_to_is_refused_before_training(
    make, views, tmp_path, monkeypatch
):
    def touch(self, *args, **kwargs):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "touch", touch)
    with pytest.raises(OSError, match=r"'checkpoint' parameter .*Permission denied"):
        make(checkpoint=tmp_path, callbacks=[KillAt(1)]).fit(*views)


def test_full_disk_is_a_clear_error_and_leaves_the_epoch_before(
    make, views, tmp_path, monkeypatch
):
    X, y = views
    real, calls = Path.write_bytes, []

    def write_bytes(self, data):
        calls.append(self)
        if len(calls) == 2:
            real(self, bytes(data)[:100])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return real(self, data)

    model = make(checkpoint=tmp_path, callbacks=[KillAt(None)])
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_bytes)
        with pytest.raises(
            OSError, match=r"'checkpoint' parameter .*No space left .*Make room"
        ):
            model.fit(X, y)
    (file,) = tmp_path.iterdir()
    assert len(torch.load(file, weights_only=True)["history"]) == 1
    assert_same(model.fit(X, y), make().fit(X, y), X)


def test_damaged_file_is_told_of_and_its_fold_begins_afresh(make, views, tmp_path):
    X, y = views
    run_killed(make(checkpoint=tmp_path), 6, X, y)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:1000])
    model = make(checkpoint=tmp_path, callbacks=[KillAt(None)])
    with pytest.warns(UserWarning, match="cannot be read .* begins afresh"):
        model.fit(X, y)
    assert_same(model, make().fit(X, y), X)


def test_file_runs_no_code(tmp_path):
    file = tmp_path / "bad.pt"
    torch.save({"module": Path("x")}, file)  # any object that is no plain value
    with pytest.warns(UserWarning, match="cannot be read"):
        assert Checkpoint(file, [])._read() is None


# ---------------------------------------------------------------- Ctrl-C, SIGKILL


class Interrupt(KillAt):
    def on_batch_begin(self, net, training=False, **kwargs):
        try:
            super().on_batch_begin(net, training)
        except Killed:
            raise KeyboardInterrupt from None


def test_after_ctrl_c_the_next_fit_goes_on(make, views, tmp_path):
    X, y = views
    model = make(checkpoint=tmp_path, callbacks=[Interrupt(18)]).fit(X, y)
    assert len(model.networks_) == 1
    assert len(list(tmp_path.iterdir())) == 2
    model.set_params(callbacks=[Interrupt(None)]).fit(X, y)
    assert_same(model, make().fit(X, y), X)
    assert not list(tmp_path.iterdir())


SCRIPT = """
import sys, time
import numpy as np
from skorch.callbacks import Callback
from skfusion import FusionClassifier

class Slow(Callback):
    def on_epoch_end(self, net, **kwargs):
        print("epoch", flush=True)
        time.sleep(float(sys.argv[2]))

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4))
y = X[:, 0] + X[:, 1] > 0
clf = FusionClassifier(
    [("a", "vector", [0, 1]), ("b", "vector", [2, 3])], n_folds=2, max_epochs=3,
    d_model=16, batch_size=16, random_state=0, callbacks=[Slow()],
    checkpoint=sys.argv[1] or None,
).fit(X, y)
print(clf.predict_proba(X).tobytes().hex())
"""


def start(folder, seconds):
    root = str(Path(skfusion.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), str(seconds)],
        env=os.environ | {"PYTHONPATH": root},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_sigkill(tmp_path):
    process = start(tmp_path, 60)
    assert process.stdout.readline() == "epoch\n"
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    again, alone = start(tmp_path, 0), start("", 0)
    lines, expected = (p.communicate()[0].splitlines() for p in (again, alone))
    assert lines[-1] == expected[-1]
    assert len(expected) == 7
    assert not list(tmp_path.iterdir())
