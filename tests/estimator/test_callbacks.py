"""scikit-learn's callbacks, where it has them."""

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

import skfusion
from skfusion import FusionClassifier, FusionRegressor, ModalityTransformer

callback = pytest.importorskip("sklearn.callback")


class Record:
    """Notes the tasks, and asks to stop after some epochs."""

    max_propagation_depth = None

    def __init__(self, stop_after=None):
        self.tasks, self.stop_after = [], stop_after
        self.n_setup = self.n_teardown = 0

    def setup(self, estimator, context):
        self.n_setup += 1

    def teardown(self, estimator, context):
        self.n_teardown += 1

    def on_fit_task_begin(self, estimator, context):
        self.tasks.append(("begin", context.estimator_name, context.task_name))

    def on_fit_task_end(self, estimator, context):
        self.tasks.append(("end", context.estimator_name, context.task_name))
        return context.task_name == "epoch" and context.task_id == self.stop_after


@pytest.fixture
def model(view_triples, whole):
    return FusionClassifier(view_triples, **whole)


def test_a_fit_is_folds_of_epochs(model, views):
    record = Record()
    expected = FusionClassifier(**model.get_params(deep=False)).fit(*views)
    model.set_callbacks(record).fit(*views)
    names = [(what, task) for what, _, task in record.tasks]
    epoch = [("begin", "epoch"), ("end", "epoch")]
    fold = [("begin", "fold"), *epoch * 3, ("end", "fold")]
    assert names == [("begin", "fit"), *fold * 2, ("end", "fit")]
    assert record.n_setup == record.n_teardown == 1
    assert not [name for name in vars(model) if "callback_ctx" in name]
    X = views[0]
    assert np.array_equal(model.predict_proba(X), expected.predict_proba(X))


def test_a_callback_may_end_the_training(model, views):
    model.set_callbacks(Record(stop_after=1)).fit(*views)
    assert model.n_iter_ == 2
    assert len(model.networks_) == 2


def test_callbacks_are_torn_down_when_a_fit_fails(model, views):
    record = Record()
    model.set_params(lr=1e30, max_epochs=30).set_callbacks(record)
    before = dict(vars(model))
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="diverged"):
        model.fit(*views)
    assert record.n_teardown == 1
    assert vars(model) == before


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_scoring_monitor_has_a_row_an_epoch(model, views, n_jobs):
    monitor = callback.ScoringMonitor(scoring="accuracy")
    model.set_params(n_jobs=n_jobs).set_callbacks(monitor)
    model.fit(*views, sample_weight=np.arange(120.0))
    log = monitor.get_logs().data_as_pandas
    assert (log["task_name"] == "epoch").sum() == 2 * model.n_iter_
    assert (log["task_name"] == "fit").sum() == 1  # the whole model
    assert np.isfinite(log["accuracy"]).all()
    model.partial_fit(*views)
    assert (monitor.get_logs().data_as_pandas["task_name"] == "epoch").sum() == 6


def test_scoring_monitor_of_a_regressor(views, view_triples, tiny):
    X, _ = views
    monitor = callback.ScoringMonitor(scoring="r2")
    model = FusionRegressor(view_triples, **tiny | {"max_epochs": 6})
    model.set_callbacks(monitor).fit(X, X["d"].fillna(0))
    scores = monitor.get_logs().data_as_pandas.query("task_name == 'epoch'")["r2"]
    assert scores.iloc[5] > scores.iloc[0]


def test_one_progress_bar_over_search_folds_and_epochs(
    views, view_triples, tiny, capsys
):
    pytest.importorskip("rich")
    pipe = Pipeline(
        [("m", ModalityTransformer(view_triples)), ("f", FusionClassifier(**tiny))]
    )
    search = GridSearchCV(pipe, {"f__dropout": [0.1, 0.2]}, cv=2)
    record, bar = Record(), callback.ProgressBar(max_propagation_depth=None)
    search.set_callbacks(bar, record).fit(*views)
    shown = capsys.readouterr().out
    for name in ("GridSearchCV", "Pipeline"):
        assert name in shown
    epochs = [task for task in record.tasks if task[2] == "epoch"]
    assert len(epochs) == 2 * (4 + 1) * 2 * 3  # begin, end; fits; folds; epochs
    assert ("end", "ModalityTransformer", "fit") in record.tasks


def test_saved_models_leave_callbacks_behind(model, views, tmp_path):
    model.set_callbacks(callback.ScoringMonitor(scoring="accuracy")).fit(*views)
    skfusion.save(model, tmp_path / "model")
    again = skfusion.load(tmp_path / "model")
    assert np.array_equal(again.predict(views[0]), model.predict(views[0]))
