"""What the scikit-learn models beside the network learn, and when they are silent."""

import copy
import pickle

import numpy as np
import pytest
from scipy import sparse

from skfusion import experts as module
from skfusion.batch import Block, ModalityBatch
from skfusion.experts import EXPERTS, Experts, ExpertTask

N = 120


class Summary:
    """A modality whose summary is the array it was given, 0 where absent."""

    def features(self, block):
        x = block.arrays["x"]
        if sparse.issparse(x):
            return sparse.csr_matrix(x.multiply(block.present[:, None]))
        return np.where(block.present[:, None], x, np.float32(0))

    def strangeness(self, block):
        return None


def make_batch(n=N, seed=0, *, sparse_right=False, width=4, absent=True):
    """Two modalities; the truth is the sign of the sum of their first columns."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, n, width)).astype(np.float32)
    y = (x[0, :, 0] + x[1, :, 0] + rng.normal(0, 0.3, n) > 0).astype(np.int64)
    present = np.ones((2, n), dtype=bool)
    if absent:
        present[0, 1::7] = present[1, 3::7] = False
    right = x[1] * (np.abs(x[1]) > 0.3)
    arrays = {"left": x[0], "right": sparse.csr_matrix(right) if sparse_right else x[1]}
    blocks = {
        name: Block({"x": a}, present[m]) for m, (name, a) in enumerate(arrays.items())
    }
    return ModalityBatch(blocks, {name: Summary() for name in blocks}), y


def task_of(y, *, is_classification=True, n_outputs=2, seed=0):
    if not is_classification:
        return ExpertTask(False, n_outputs, np.ones(n_outputs), seed)
    share = np.bincount(y, minlength=n_outputs) / len(y)
    return ExpertTask(True, n_outputs, share, seed)


def fit(batch, y, weight=None, **task):
    experts = Experts(task_of(y, **task)).fit(batch, y, weight)
    experts.strength = [2] * len(experts.strength)  # as held-out rows would have it
    return experts


def one(batch, name):
    return ModalityBatch({name: batch.blocks[name]}, {name: Summary()})


@pytest.fixture(scope="module")
def fitted():
    return fit(*make_batch())


@pytest.fixture(scope="module")
def said(fitted):
    """What the experts say of new rows, (n, 3, E, C), and the truth."""
    batch, y = make_batch(600, seed=1)
    return fitted.logits(batch), y, batch


# ---------------------------------------------------------------- what they learn


@pytest.mark.parametrize("kind", EXPERTS)
def test_every_kind_learns_from_each_modality_and_more_from_all(said, kind):
    logits, y, batch = said
    e = EXPERTS.index(kind)
    here = batch.present.all(axis=1)
    right = [np.mean(logits[here, w, e].argmax(axis=1) == y[here]) for w in (0, 1, 2)]
    assert min(right[:2]) > 0.62
    assert right[2] > max(right[:2]) + 0.05, right


def test_answers_are_probabilities_that_are_never_certain(said):
    logits, _, _ = said
    p = np.exp(logits[np.isfinite(logits).all(axis=-1)])
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert p.min() > 1e-3


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_regression_learns_the_target(n_outputs):
    def data(n, seed):
        batch, _ = make_batch(n, seed, absent=False)
        x = [batch.blocks[name].arrays["x"] for name in ("left", "right")]
        y = np.stack([x[0][:, 0] + x[1][:, 0], x[0][:, 1]], axis=1)
        return batch, y[:, :n_outputs]

    experts = Experts(task_of(None, is_classification=False, n_outputs=n_outputs))
    experts.fit(*data(200, 0), None)
    batch, y = data(200, 1)
    joint = experts.logits(batch)[:, 2]
    kinds = EXPERTS if n_outputs == 1 else EXPERTS[:2]  # boosting has one output
    for e, _ in enumerate(kinds):
        assert np.corrcoef(joint[:, e, 0], y[:, 0])[0, 1] > 0.8
    assert np.isnan(joint[:, 2]).all() == (n_outputs == 2)


def test_weights_pull_every_kind(fitted):
    batch, y = make_batch()
    pulled = fit(batch, y, np.where(y == 1, 5.0, 0.2)).logits(batch)
    usual = fitted.logits(batch)
    difference = np.nanmean(pulled - usual, axis=0)[..., 1]  # (W, E), of class 1
    assert (difference > 0).all()


# ---------------------------------------------------------------- when they are silent


def test_experts_speak_exactly_where_their_modality_is(said):
    logits, _, batch = said
    speaks = np.isfinite(logits).all(axis=-1)  # (n, W, E)
    expected = np.column_stack([batch.present, batch.present.all(axis=1)])
    assert np.array_equal(speaks, np.repeat(expected[:, :, None], 3, axis=2))
    assert not np.isfinite(logits[~speaks]).any()


def test_lone_modality_has_no_joint_experts():
    batch, y = make_batch()
    batch = one(batch, "left")
    logits = fit(batch, y).logits(batch)
    assert np.isfinite(logits[batch.present[:, 0], 0]).all()
    assert np.isnan(logits[:, 1]).all()


def test_joint_experts_want_rows_with_everything():
    batch, y = make_batch()
    batch.blocks["left"].present[: N // 2] = False
    batch.blocks["right"].present[N // 2 :] = False
    logits = fit(batch, y).logits(make_batch(30, seed=1, absent=False)[0])
    assert np.isnan(logits[:, 2]).all()
    assert np.isfinite(logits[:, :2]).all()


def test_modality_of_a_handful_of_rows_has_no_experts():
    batch, y = make_batch()
    batch.blocks["left"].present[5:] = False
    logits = fit(batch, y).logits(make_batch(30, seed=1, absent=False)[0])
    assert np.isnan(logits[:, 0]).all()
    assert np.isfinite(logits[:, 1]).all()


def test_fold_that_lacks_a_rare_class_has_experts_all_the_same():
    batch, y = make_batch()
    y[0] = 2
    task = task_of(y, n_outputs=3)
    whole = Experts(task).fit(batch, y, None)
    lacking = Experts(task).fit(batch[1:], y[1:], None)
    for all_strengths in (False, True):
        one, two = (
            e.logits(batch, all_strengths=all_strengths) for e in (whole, lacking)
        )
        assert one.shape == two.shape
        assert np.array_equal(np.isfinite(one), np.isfinite(two))
    p = np.exp(lacking.logits(batch)[0, 0, 0])
    assert p.sum() == pytest.approx(1)
    assert 0 < p[2] < 0.01


def test_fold_of_one_class_has_no_experts_and_keeps_its_axes():
    batch, y = make_batch()
    task = task_of(y)
    whole = Experts(task).fit(batch, y, None)
    lacking = Experts(task).fit(batch[y == 0], y[y == 0], None)
    for all_strengths in (False, True):
        said = lacking.logits(batch, all_strengths=all_strengths)
        assert said.shape == whole.logits(batch, all_strengths=all_strengths).shape
        assert np.isnan(said).all()


@pytest.mark.parametrize(
    "limit, kind", [("_BOOSTING_COST", "boosting"), ("_FOREST_COST", "forest")]
)
def test_expert_that_would_take_long_is_left_out(monkeypatch, limit, kind):
    monkeypatch.setattr(module, limit, 0.0)
    batch, y = make_batch(absent=False)
    logits = fit(batch, y).logits(batch)
    silent = np.isnan(logits).all(axis=(0, 1, 3))
    assert [k for k, s in zip(EXPERTS, silent, strict=True) if s] == [kind]


# ---------------------------------------------------------------- strengths


def test_every_strength_is_told_and_the_chosen_one_used(fitted):
    batch, _ = make_batch(50, seed=2, absent=False)
    experts = copy.deepcopy(fitted)
    everything = experts.logits(batch, all_strengths=True)
    n_linear = everything.shape[2] - len(EXPERTS) + 1
    assert n_linear > 2
    for s in range(n_linear):
        experts.strength = [s] * 3
        chosen = experts.logits(batch)
        np.testing.assert_array_equal(chosen[:, :, 0], everything[:, :, s])
        np.testing.assert_array_equal(chosen[:, :, 1:], everything[:, :, n_linear:])


def test_strengths_go_from_weak_fits_to_strong_ones(fitted):
    batch, _ = make_batch(50, seed=2, absent=False)
    linear = fitted.logits(batch, all_strengths=True)[:, :, :4]
    spread = np.abs(linear[..., 1] - linear[..., 0]).mean(axis=0)  # (W, S)
    assert (np.diff(spread, axis=1) > 0).all()


# ---------------------------------------------------------------- sparse, wide


def test_sparse_summary_has_a_linear_expert_and_trees_join_in_the_joint_one():
    batch, y = make_batch(sparse_right=True)
    logits = fit(batch, y).logits(batch)
    here = batch.present.all(axis=1)
    assert np.isfinite(logits[here, 1, 0]).all()
    assert np.isnan(logits[:, 1, 1:]).all()
    assert np.isfinite(logits[here, 2]).all()


def test_wide_sparse_summary_is_reduced_for_the_trees():
    batch, y = make_batch(width=250, sparse_right=True, absent=False)
    logits = fit(batch, y).logits(batch)
    assert np.isfinite(logits[:, 2]).all()


def test_forest_reads_what_linear_models_say_of_rows_they_did_not_learn_from():
    """Words that occur once tell a linear model its training rows, and no others."""
    batch, y = make_batch(absent=False)
    names = sparse.identity(N, dtype=np.float32, format="csr")
    blocks = batch.blocks | {"right": Block({"x": names}, np.ones(N, dtype=bool))}
    batch = ModalityBatch(blocks, batch.modalities)
    experts = fit(batch, y)
    reader = experts.reader
    assert reader.asked == [0, 1, 2]
    features = module.summaries(batch)
    learned = reader.read(features)["forest"]
    read = reader.fit_read(features, y, None)
    assert read["forest"].shape == learned.shape
    assert read["forest"].shape[1] - read["boosting"].shape[1] == 3 * 2
    said = read["forest"][:, -4:-2]  # by the words, of rows that were held out
    assert abs(np.corrcoef(said[:, 1], y)[0, 1]) < 0.3
    assert np.corrcoef(learned[:, -3], y)[0, 1] > 0.9


def test_many_sparse_rows_are_given_the_middle_strengths_only(monkeypatch):
    batch, y = make_batch(sparse_right=True, absent=False)
    few = fit(batch, y)
    monkeypatch.setattr(module, "_MANY_ROWS", 10)
    many = fit(batch, y)
    strengths = [m.C for m in few.models[1]["linear"]]
    assert len(strengths) == 4
    assert [m.C for m in many.models[1]["linear"]] == strengths[1:3]


def test_wide_dense_summary_is_reduced_for_the_linear_expert(monkeypatch):
    monkeypatch.setattr(module, "_MAX_DENSE", 10)
    monkeypatch.setattr(module, "_N_COMPONENTS", 20)
    batch, y = make_batch(width=60, absent=False)
    experts = fit(batch, y)
    assert "pca" in experts.models[0]["linear"][0].named_steps
    assert np.isfinite(experts.logits(batch)).all()


# ---------------------------------------------------------------- the contract


def spoilt(batch):
    """The same batch with other content behind its absence masks."""
    blocks = {}
    for name, block in batch.blocks.items():
        x = block.arrays["x"].copy()
        x[~block.present] = 1e6
        blocks[name] = Block({"x": x}, block.present)
    return ModalityBatch(blocks, batch.modalities)


def test_content_behind_an_absence_mask_changes_no_bit(said, fitted):
    logits, _, batch = said
    assert np.array_equal(fitted.logits(spoilt(batch)), logits, equal_nan=True)
    batch, y = make_batch()
    again = fit(spoilt(batch), y).logits(batch)
    assert np.array_equal(again, fitted.logits(batch), equal_nan=True)


def test_a_row_does_not_depend_on_the_others(said, fitted):
    logits, _, batch = said
    for i in (0, 1, 3):
        np.testing.assert_allclose(
            fitted.logits(batch[i])[0], logits[i], rtol=0, atol=1e-12
        )


def test_two_fits_with_one_seed_are_equal_to_the_bit(fitted):
    batch, y = make_batch()
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    again = fit(batch, y).logits(batch)
    assert np.array_equal(again, fitted.logits(batch), equal_nan=True)
    assert np.array_equal(np.random.get_state()[1], before)


def test_rows_that_are_given_stay_as_they_were():
    batch, y = make_batch(sparse_right=True)
    before = copy.deepcopy((batch, y))
    fit(batch, y, np.ones(N)).logits(batch)
    assert np.array_equal(np.asarray(batch.blocks["left"]), before[0].blocks["left"])
    assert np.array_equal(np.asarray(batch.blocks["right"]), before[0].blocks["right"])
    assert np.array_equal(y, before[1])


def test_experts_survive_pickling(said, fitted):
    logits, _, batch = said
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.logits(batch), logits, equal_nan=True)


def test_many_classes_in_few_rows_raise_no_warning(monkeypatch):
    monkeypatch.setattr(module, "_BOOSTING_COST", 0.0)
    batch, _ = make_batch(absent=False)
    y = np.arange(N) % 70
    assert np.isfinite(fit(batch, y, n_outputs=70).logits(batch)[:, :, 0]).all()


def test_rows_are_judged_by_experts_that_did_not_learn_from_them():
    batch, y = make_batch(300)
    noise = np.random.default_rng(1).permutation(y)
    experts = fit(batch, noise)
    own, other = experts.logits(batch)[:, :2], experts.cross_fitted(batch, noise, None)
    assert other.shape == own.shape

    def hits(said):
        right = said.argmax(axis=-1) == noise[:, None, None]
        return right[batch.present].mean(axis=0)

    forest = EXPERTS.index("forest")
    assert hits(own)[forest] > 0.9
    assert hits(other)[forest] < 0.6


def test_cross_fitted_experts_know_what_the_fitted_ones_know():
    batch, y = make_batch(400)
    other = fit(batch, y).cross_fitted(batch, y, None)[batch.present]
    truth = np.broadcast_to(y[:, None], batch.present.shape)[batch.present]
    hits = (other.argmax(axis=-1) == truth[:, None]).mean(axis=0)
    assert (hits > 0.6).all()  # each sees half of the truth


def test_cross_fitted_experts_are_silent_where_the_modality_is_absent():
    batch, y = make_batch()
    said = fit(batch, y).cross_fitted(batch, y, None)
    assert np.isnan(said[~batch.present]).all()
    assert np.isfinite(said[batch.present]).all()


def test_cross_fitted_experts_weigh_rows():
    batch, y = make_batch(200)
    turned = y.copy()
    turned[::2] = 1 - turned[::2]
    weight = np.ones(200)
    weight[::2] = 0
    one, two = (
        fit(batch, t, weight).cross_fitted(batch, t, weight) for t in (y, turned)
    )
    linear = EXPERTS.index("linear")
    seen = batch.present
    prior = np.abs(one[seen][:, linear] - two[seen][:, linear]).max()
    assert prior < 0.05


def test_a_modality_with_one_class_has_nobody_cross_fitted():
    batch, y = make_batch(absent=False)
    batch.blocks["left"].present[:] = y == 0
    said = fit(batch, y).cross_fitted(batch, y, None)
    assert np.isnan(said[:, 0]).all()
    assert np.isfinite(said[:, 1]).all()
