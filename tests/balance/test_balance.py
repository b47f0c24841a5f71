"""The contract of every balance strategy, and what is particular to each."""

import inspect
import pickle
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import Callback
from skorch.history import History
from torch import nn

from skfusion import FusionClassifier, balance
from skfusion.balance import OGMGE, Balance, MMPareto
from skfusion.balance.mmpareto import pareto_direction
from skfusion.balance.ogm_ge import modulation
from skfusion.fusion import AdaptiveFusion, AttentionFusion, ConcatFusion
from skfusion.fusion.base import FusionShape
from skfusion.network import Encoder, FusionNetwork
from skfusion.training.links import Softmax
from skfusion.training.loss import FusionLoss

STRATEGIES = [
    strategy
    for name in balance.__all__
    if inspect.isclass(strategy := getattr(balance, name))
    and issubclass(strategy, Balance)
    and strategy is not Balance
]
RULES = ["adaptive", "attention", "bottleneck", "concat", "mean"]


@pytest.fixture(params=STRATEGIES, ids=lambda strategy: strategy.__name__)
def strategy(request):
    return request.param


@pytest.fixture
def make(kind, strategy, view_triples, tiny):
    """An estimator with the strategy, by its short name."""

    def make(**parameters):
        given = {"modalities": view_triples, "balance": strategy.short_name}
        return kind(**given | tiny | parameters)

    return make


def output(model, X):
    return getattr(model, "predict_proba", model.predict)(X)


# ---------------------------------------------------------------- specs


def test_both_strategies_and_maybe_more_were_discovered():
    assert {MMPareto, OGMGE} <= set(STRATEGIES)


def test_short_names_are_of_one_strategy_each(strategy):
    FusionClassifier(balance=strategy.short_name)._validate_params()
    assert [s.short_name for s in STRATEGIES].count(strategy.short_name) == 1


def test_parameters_make_the_round_trip(strategy):
    spec = strategy()
    params = spec.get_params()
    assert set(params) == set(inspect.signature(strategy).parameters)
    assert set(params) == set(strategy._parameter_constraints)
    assert strategy(**params).get_params() == params
    assert clone(spec).get_params() == params
    assert repr(spec) == f"{strategy.__name__}()"


def test_wrong_parameter_is_named_with_its_class(strategy):
    for name in strategy().get_params():
        wrong = strategy(**{name: "much"})
        message = f"(?s)'{name}' parameter of {strategy.__name__}.*'much'"
        with pytest.raises(ValueError, match=message):
            wrong._validate_params()


def test_wrong_parameter_is_refused_by_fit(make, data, strategy):
    (name, *_) = strategy().get_params()
    for triples in (make().modalities, make().modalities[:1]):
        model = make(modalities=triples, balance=strategy(**{name: -1}))
        with pytest.raises(ValueError, match=f"'{name}' parameter of"):
            model.fit(*data)


def test_unknown_strategy_is_refused_with_those_there_are(kind, data):
    with pytest.raises(ValueError, match=r"(?s)'balance' parameter.*mmpareto.*'fair'"):
        kind(balance="fair").fit(*data)


def test_building_leaves_the_spec_as_it_was(strategy):
    spec = strategy()
    one, two = spec.build(["a", "b"]), spec.build(["a", "b"])
    assert isinstance(one, Callback)
    assert one is not two
    assert vars(spec) == vars(strategy())


# ---------------------------------------------------------------- fits


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_trains_predicts_and_tells_what_was_done(make, data, rule):
    X, y = data
    model = make(fusion=rule).fit(X, y)
    assert np.isfinite(output(model, X)).all()
    assert len(model.history_) == 3
    for name in ("left", "right"):
        assert model.history_[f"train_loss_{name}"].notna().all()
        assert model.history_[f"balance_{name}"].between(0, 1).all()


def test_two_fits_with_one_seed_are_equal_to_the_bit(make, data, whole):
    X, y = data
    fits = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
        fits.append(make(**whole).fit(X, y))
        assert torch.equal(torch.random.get_rng_state(), before[0])
        assert np.array_equal(np.random.get_state()[1], before[1])
    one, two = fits
    assert np.array_equal(output(one, X), output(two, X))
    losses = one.history_.columns.drop("seconds")
    assert one.history_[losses].equals(two.history_[losses])


def test_training_is_another_than_without(make, data):
    X, y = data
    # Where the fused loss pulls anywhere, as in a concatenation.
    with_it = make(fusion="concat").fit(X, y)
    without = make(fusion="concat", balance=None).fit(X, y)
    assert not np.allclose(output(with_it, X), output(without, X))
    assert not [c for c in without.history_ if c.startswith("balance")]


def test_short_name_stands_for_the_defaults(make, data, strategy):
    X, y = data
    by_name, by_spec = make().fit(X, y), make(balance=strategy()).fit(X, y)
    assert np.array_equal(output(by_name, X), output(by_spec, X))


def test_single_modality_is_left_alone(make, data):
    X, y = data
    X = X.fillna(0.0)
    triples = [("all", "vector", ["a", "d"])]
    one = make(modalities=triples).fit(X, y)
    two = make(modalities=triples, balance=None).fit(X, y)
    assert np.array_equal(output(one, X), output(two, X))


def test_every_fold_has_a_callback_of_its_own(make, data):
    seen = []

    class Which(Callback):
        def on_train_begin(self, net, **kwargs):
            seen.append(dict(net.callbacks_)["balance"])

        def __deepcopy__(self, memo):
            return self

    make(callbacks=[Which()], n_folds=2).fit(*data)
    assert len(seen) == 2
    assert seen[0] is not seen[1]


def test_modality_that_is_nowhere_is_no_trouble(make, data):
    X, y = data
    X = X.assign(d=np.nan, e=np.nan, f=np.nan).fillna({"a": 0.0, "b": 0.0, "c": 0.0})
    model = make().fit(X, y)
    assert np.isfinite(output(model, X)).all()
    assert (model.modality_weights(X) == [1, 0]).all()
    assert model.history_["balance_right"].isna().all()


def test_batches_without_a_modality_are_no_trouble(make, data):
    X, y = data
    model = make(batch_size=2, max_epochs=1).fit(X, y)
    assert np.isfinite(output(model, X)).all()


def test_branch_that_has_ended_is_no_trouble(strategy, mixed, tiny):
    frame, labels = mixed
    triples = [("words", "text", "note"), ("facts", "vector", ["weight"])]
    # Small batches, so that words end after a few passes and the others go on.
    small = tiny | {"batch_size": 2, "max_epochs": 5}
    model = FusionClassifier(triples, balance=strategy(), **small)
    history = model.fit(frame, labels).history_
    assert history["balance_words"].isna().tolist() == [False] * 4 + [True]
    assert history["balance_facts"].notna().all()


def test_weight_of_two_is_the_row_twice(make, data):
    X, y = data
    weight = np.ones(len(X))
    weight[:30] = 2
    rows = np.repeat(np.arange(len(X)), weight.astype(int))
    one = make().fit(X, y, sample_weight=weight)
    two = make().fit(X.iloc[rows], y[rows])
    assert np.array_equal(output(one, X), output(two, X))


def test_fractional_weights_are_no_trouble(make, data):
    X, y = data
    model = make().fit(X, y, sample_weight=np.linspace(0, 1, len(X)))
    assert np.isfinite(output(model, X)).all()


def test_warm_start_goes_on_and_strategies_may_change(make, data, strategy):
    X, y = data
    model = make(warm_start=True, max_epochs=10, lr=0.01).fit(X, y)
    first = model.history_["train_loss_fused"].iloc[0]
    model.fit(X, y)
    assert model.history_["train_loss_fused"].iloc[0] < first
    assert "balance_left" in model.set_params(balance=strategy()).fit(X, y).history_
    assert "balance_left" not in model.set_params(balance=None).fit(X, y).history_


class Interrupt(Callback):
    """Ctrl-C in the middle of the second epoch."""

    def on_batch_end(self, net, training=False, **kwargs):
        if training and len(net.history) == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("interrupted", [False, True])
def test_nothing_of_the_training_is_left_behind(make, data, strategy, interrupted):
    X, y = data
    callbacks = [Interrupt()] if interrupted else None
    model = make(balance=strategy(), callbacks=callbacks, fusion="concat").fit(X, y)
    assert len(model.history_) == (1 if interrupted else 3)
    for network in model.networks_:
        assert not network.fusion.trains_heads
        assert not any(m._forward_hooks for m in network.modules())
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(output(again, X), output(model, X))


def test_parameters_of_a_short_name_can_be_searched(make, strategy):
    (name, *_) = strategy().get_params()
    model = make().set_params(**{f"balance__{name}": 0.25})
    assert type(model.balance) is strategy
    assert model.get_params()[f"balance__{name}"] == 0.25
    assert clone(model).balance is not model.balance


def test_specs_of_the_caller_are_not_changed(make, data, strategy):
    spec = strategy()
    make(balance=spec).fit(*data)
    assert vars(spec) == vars(strategy())


# ---------------------------------------------------------------- one step, by hand


class LinearEncoder(Encoder):
    def __init__(self, width, d_model=8):
        super().__init__()
        self.linear = nn.Linear(width, d_model)

    def forward(self, inputs):
        h = self.linear(inputs["x"]).unsqueeze(1)
        return h, h.new_ones(h.shape[:2], dtype=torch.bool)


class Step:
    """Forward and backward of one batch, in which the left modality knows the class."""

    def __init__(self, rule=None, n=64, classes=3, seed=0):
        torch.manual_seed(seed)
        shape = FusionShape(2, 8, classes, 1000)
        rule = rule or AdaptiveFusion(n_heads=2, dropout=0.0)
        self.network = FusionNetwork(
            [LinearEncoder(classes), LinearEncoder(classes)],
            rule.build(shape),
            d_model=8,
            prior=torch.zeros(classes),
            n_heads=2,
        )
        y = torch.randint(classes, (n,))
        left = 3.0 * nn.functional.one_hot(y, classes) + 0.1 * torch.randn(n, classes)
        right = torch.randn(n, classes)
        self.present = torch.rand(n, 2) < 0.8
        self.inputs = [{"x": left}, {"x": right}]
        self.target = {"y": y, "weight": torch.rand(n) + 0.5}
        self.target["label_valid"] = torch.rand(n, 2) < 0.9
        self.criterion = FusionLoss(
            ["left", "right"], self.network.prior.clone(), link=Softmax()
        )
        self.generator = torch.Generator().manual_seed(seed)

    def forward(self):
        return self.network(self.inputs, self.present)

    def own_loss(self, output):
        alone, share = self.criterion.alone(output, self.target)
        return (alone * share).sum() / self.target["weight"].sum()

    def grads(self, loss):
        """Gradients by the name of each parameter, 0 where there is none."""
        names, parameters = zip(*self.network.named_parameters(), strict=True)
        grads = torch.autograd.grad(
            loss, parameters, retain_graph=True, allow_unused=True
        )
        return {
            name: torch.zeros_like(p) if g is None else g
            for name, p, g in zip(names, parameters, grads, strict=True)
        }

    def balanced(self, spec):
        """The same after a strategy has seen the step; and what it noted."""
        self.network.zero_grad()
        balancer = spec.build(["left", "right"])
        net = SimpleNamespace(
            criterion_=self.criterion,
            module_=self.network,
            history=History(),
            iterator_train__generator=self.generator,
        )
        net.history.new_epoch()
        balancer.on_train_begin(net)
        balancer.on_epoch_begin(net)
        self.criterion(self.forward(), self.target).backward()
        balancer.on_grad_computed(net)
        balancer.on_epoch_end(net)
        balancer.on_train_end(net)
        grads = {
            name: torch.zeros_like(p) if p.grad is None else p.grad
            for name, p in self.network.named_parameters()
        }
        return grads, {m: net.history[-1][f"balance_{m}"] for m in ("left", "right")}


def is_encoder(name, m=None):
    """Whether a parameter shapes what a modality, of this number or any, knows."""
    part, number, *rest = [*name.split("."), ""]
    below = part == "encoders" or (
        part == "attentions" and rest[0] in ("gate", "score")
    )
    return below and (m is None or number == str(m))


def encoder_of(grads, m):
    """The gradient of an encoder as one vector."""
    mine = [grad for name, grad in grads.items() if is_encoder(name, m)]
    assert len(mine) >= 3
    return torch.cat([grad.flatten() for grad in mine])


def others_of(grads):
    """The gradient of the heads and of the fusion."""
    mine = [grad for name, grad in grads.items() if not is_encoder(name)]
    return torch.cat([grad.flatten() for grad in mine])


def plain(step):
    """Gradients of the training loss and of the modalities' own losses."""
    output = step.forward()
    return step.grads(step.criterion(output, step.target)), step.grads(
        step.own_loss(output)
    )


# ---------------------------------------------------------------- MMPareto


def drawn(cosine, ratio, n=200, seed=0):
    """Two vectors of a given angle and ratio of lengths."""
    g = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(n, 2, generator=g, dtype=torch.float64))
    one, other = q.unbind(dim=1)
    return one, ratio * (cosine * one + (1 - cosine**2) ** 0.5 * other)


@pytest.mark.parametrize("ratio", [0.05, 1.0, 30.0])
@pytest.mark.parametrize("cosine", [-0.99, -0.5, -0.01])
def test_direction_between_gradients_that_conflict_serves_both(cosine, ratio):
    fused, own = drawn(cosine, ratio)
    direction, conflict = pareto_direction(fused, own)
    assert conflict
    assert direction @ fused > 0
    assert direction @ own > 0
    both = fused + own
    assert direction.norm() >= both.norm() * (1 - 1e-9)
    # Up to its length it is the shortest convex combination of the two.
    grid = torch.linspace(0, 1, 2001, dtype=torch.float64)[:, None]
    points = grid * fused + (1 - grid) * own
    shortest = points[points.norm(dim=1).argmin()]
    assert nn.functional.cosine_similarity(direction, shortest, dim=0) > 0.999
    # The plain sum would harm one of them where the other is much longer.
    if ratio != 1.0 and cosine < -0.1:
        assert min(both @ fused, both @ own) < 0


def test_gradients_that_agree_are_added():
    fused, own = drawn(0.3, 2.0)
    direction, conflict = pareto_direction(fused, own)
    assert not conflict
    torch.testing.assert_close(direction, fused + own)


@pytest.mark.parametrize("scale", [0.0, -1.0], ids=["nothing", "opposite"])
def test_degenerate_gradients_stay_finite(scale):
    one, _ = drawn(0.0, 1.0)
    for pair in ((one, scale * one), (scale * one, one), (0 * one, 0 * one)):
        direction, _ = pareto_direction(*pair)
        assert direction.isfinite().all()


@pytest.mark.parametrize(
    "rule",
    [AttentionFusion(n_heads=2), AdaptiveFusion(n_heads=2, dropout=0.0)],
    ids=["attention", "adaptive"],
)
def test_mmpareto_integrates_the_fused_and_the_own_gradient(rule):
    step = Step(rule)
    trains_heads = step.network.fusion.trains_heads
    step.network.fusion.trains_heads = True
    total, own = plain(step)
    step.network.fusion.trains_heads = trains_heads
    balanced, noted = step.balanced(MMPareto(rescale=1.5))
    assert step.network.fusion.trains_heads == trains_heads
    for m, name in enumerate(("left", "right")):
        mine = encoder_of(own, m)
        assert mine.any()
        expected, conflict = pareto_direction(encoder_of(total, m) - mine, mine)
        torch.testing.assert_close(encoder_of(balanced, m), 1.5 * expected)
        assert noted[name] == float(conflict)
    torch.testing.assert_close(others_of(balanced), others_of(total))


def test_mmpareto_finds_conflicts_where_there_are_some():
    # Fresh weights: the fused loss pulls anywhere.
    conflicts = 0
    for seed in range(8):
        step = Step(ConcatFusion(n_heads=2, dropout=0.0), seed=seed)
        grads, noted = step.balanced(MMPareto(rescale=1.0))
        step.network.fusion.trains_heads = True
        total, own = plain(step)
        for m, name in enumerate(("left", "right")):
            if noted[name]:
                conflicts += 1
                mine = encoder_of(own, m)
                assert encoder_of(grads, m) @ mine >= 0
                assert encoder_of(grads, m) @ (encoder_of(total, m) - mine) >= 0
    assert conflicts >= 3


# ---------------------------------------------------------------- OGM-GE


def truth(step, m):
    """Mean probability that a modality gives to the truth, over rows that count."""
    with torch.no_grad():
        output = step.forward()
        logp = (step.network.prior + output.evidence[:, m]).log_softmax(dim=-1)
    p = logp.gather(-1, step.target["y"][:, None]).squeeze(-1).exp()
    counts = step.present[:, m] & step.target["label_valid"][:, m]
    share = step.target["weight"] * counts
    return float((p * share).sum() / share.sum())


@pytest.mark.parametrize("alpha", [0.1, 0.8])
def test_ogm_scales_the_gradient_of_the_modality_that_is_ahead(alpha):
    step = Step()
    with torch.no_grad():  # it has learned already
        for attention in step.network.attentions:
            attention.head.weight.zero_()
            attention.head.bias.zero_()
        for _ in range(30):
            with torch.enable_grad():
                grads = step.grads(step.criterion(step.forward(), step.target))
            for name, p in step.network.named_parameters():
                if ".0." in name:
                    p -= 0.1 * grads[name]
    total, _ = plain(step)
    ratio = truth(step, 0) / truth(step, 1)
    assert ratio > 1.2
    balanced, noted = step.balanced(OGMGE(alpha=alpha, noise=False))
    factor = 1 - np.tanh(alpha * ratio)
    torch.testing.assert_close(
        encoder_of(balanced, 0), float(factor) * encoder_of(total, 0)
    )
    torch.testing.assert_close(encoder_of(balanced, 1), encoder_of(total, 1))
    torch.testing.assert_close(others_of(balanced), others_of(total))
    assert noted["left"] == pytest.approx(factor, rel=1e-4)
    assert noted["right"] == 1


def test_noise_is_as_large_as_the_spread_of_each_gradient():
    step = Step()
    calm, _ = step.balanced(OGMGE(alpha=0.3, noise=False))
    total, _ = plain(step)
    draws = [step.balanced(OGMGE(alpha=0.3))[0] for _ in range(300)]
    name = "encoders.0.linear.weight"
    noise = torch.stack([d[name] for d in draws]) - calm[name]
    assert float(noise.std()) == pytest.approx(float(total[name].std()), rel=0.05)
    assert abs(float(noise.mean())) < 0.05 * float(noise.std())
    for name in ("encoders.0.linear.bias", "attentions.0.head.weight"):
        assert torch.equal(draws[0][name], calm[name])


def losses(*probabilities):
    """Losses of n rows in which modalities give these probabilities to the truth."""
    return -torch.tensor(probabilities).log().expand(5, -1)


def test_modulation_is_that_of_the_paper_for_two_modalities():
    factor = modulation(losses(0.8, 0.2), torch.ones(5, 2), alpha=0.3)
    assert factor.tolist() == pytest.approx([1 - np.tanh(0.3 * 4.0), 1.0])


def test_equal_modalities_are_not_modulated():
    assert modulation(losses(0.5, 0.5), torch.ones(5, 2), 0.3).tolist() == [1, 1]


def test_leaders_of_several_modalities_are_held_against_the_mean_of_the_others():
    factor = modulation(losses(0.9, 0.5, 0.3), torch.ones(5, 3), alpha=0.3)
    assert factor.tolist() == pytest.approx([1 - np.tanh(0.3 * 0.9 / 0.4), 1, 1])


def test_rows_that_do_not_count_have_no_say():
    alone = losses(0.8, 0.2).clone()
    share = torch.ones(5, 2)
    alone[0, 1], share[0, 1] = 0.0, 0.0
    expected = [1 - np.tanh(0.3 * 4.0), 1.0]
    assert modulation(alone, share, 0.3).tolist() == pytest.approx(expected)


def test_modality_that_nobody_can_be_held_against_is_not_modulated():
    share = torch.ones(5, 2)
    share[:, 1] = 0
    assert modulation(losses(0.8, 0.2), share, 0.3).tolist() == [1, 1]
    assert modulation(losses(0.8, 0.2), 0 * share, 0.3).tolist() == [1, 1]


# ---------------------------------------------------------------- what is learned

EASY, HARD = [*"abcd"], [*"efghij"]
IMBALANCED = [("easy", "vector", EASY), ("hard", "vector", HARD)]


def imbalanced(n, seed):
    """One modality says the class at once, the other by a product of two columns."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    X = rng.normal(size=(n, 10))
    X[:, 0] += 2.5 * (2 * y - 1)
    X[:, 5] = np.abs(X[:, 5]) * np.sign(X[:, 4]) * (2 * y - 1)
    return pd.DataFrame(X, columns=[*EASY, *HARD]), y


def own_accuracy(balance, fusion):
    """Accuracy of the modalities' own heads and of the whole, over two seeds."""
    X_test, y_test = imbalanced(3000, 99)
    found = []
    for seed in (0, 1):
        model = FusionClassifier(
            IMBALANCED,
            fusion=fusion,
            balance=balance,
            base_models=None,
            n_folds=1,
            d_model=32,
            max_epochs=12,
            lr=0.003,
            random_state=seed,
        ).fit(*imbalanced(600, seed))
        alone = model.modality_proba(X_test).values()
        own = [np.mean(p.argmax(axis=1) == y_test) for p in alone]
        found.append([*own, model.score(X_test, y_test)])
    return dict(zip(("easy", "hard", "fused"), np.mean(found, axis=0), strict=True))


@pytest.mark.parametrize("rule", ["attention", "concat"])
def test_mmpareto_feeds_a_modality_that_starves(rule):
    without, with_it = (own_accuracy(b, rule) for b in (None, "mmpareto"))
    assert without["hard"] < 0.8
    assert with_it["hard"] > without["hard"] + 0.08
    assert with_it["easy"] > without["easy"] - 0.01
    assert with_it["fused"] > without["fused"] - 0.01


@pytest.mark.parametrize("spec", [MMPareto(), OGMGE(noise=False)], ids=repr)
def test_no_modality_is_harmed_where_each_has_a_loss_of_its_own(spec):
    without, with_it = (own_accuracy(b, "adaptive") for b in (None, spec))
    for name, accuracy in without.items():
        assert with_it[name] > accuracy - 0.02, name
