"""What frozen modules say of a cell: means of outputs, and of layers by name."""

import types

import numpy as np
import pytest
import torch
from torch import nn

from skfusion.modalities.frozen import as_module, evaluated, options_of, vectors

X = torch.arange(48, dtype=torch.float32).reshape(2, 3, 2, 4)


class Net(nn.Module):
    """Two stages, dropout, and a head; `unused` is never run."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)
        self.second = nn.Conv2d(4, 5, 1)
        self.drop = nn.Dropout(0.5)
        self.unused = nn.Linear(1, 1)
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        return self.head(self.drop(self.second(self.first(x))).mean(dim=(2, 3)))


def test_outputs_are_averaged_over_places_steps_or_not_at_all():
    for output, expected in [
        (X[:, :, 0, 0], X[:, :, 0, 0]),
        (X, X.mean(dim=(2, 3))),
        (X[:, :, 0], X[:, :, 0].mean(dim=1)),
        ((X, "more"), X.mean(dim=(2, 3))),
        (types.SimpleNamespace(last_hidden_state=X), X.mean(dim=(2, 3))),
        (X.to(torch.bfloat16), X.mean(dim=(2, 3))),
        (X.numpy(), X.mean(dim=(2, 3))),
    ]:
        found = vectors(lambda output=output: output, None, None)
        assert found.dtype == torch.float32
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_steps_in_order_give_the_mean_of_each_quarter():
    steps = torch.arange(8.0).view(1, 8, 1)
    found = vectors(lambda: steps, None, None, in_order=True)
    assert found.tolist() == [[0.5, 2.5, 4.5, 6.5]]
    assert vectors(lambda: steps[:, :1], None, None, in_order=True).shape == (1, 4)


def test_of_a_model_of_transformers_four_layers_count():
    hidden = [torch.full((2, 3, 5), float(i)) for i in range(13)]
    output = types.SimpleNamespace(last_hidden_state=hidden[-1], hidden_states=hidden)
    found = vectors(lambda: output, None, None, in_order=True)
    assert found[0, ::5].tolist() == [3, 6, 9, 12]


def test_layers_are_found_by_name_and_stand_side_by_side():
    net = Net()
    with evaluated(net):
        found = vectors(lambda: net(X), net, ["second", "first"])
    first = net.first(X).mean(dim=(2, 3))
    second = net.second(net.first(X)).mean(dim=(2, 3))
    np.testing.assert_allclose(
        found, torch.cat([second, first], dim=1).detach(), rtol=1e-5
    )
    assert not net.first._forward_hooks


def test_a_module_is_evaluated_and_left_as_it_was():
    net = Net()
    net.second.eval()
    with evaluated(net):
        a, b = (vectors(lambda: net(X), net, None) for _ in range(2))
    assert not a.requires_grad
    with evaluated(net, learns=True):
        assert vectors(lambda: net(X), net, None).requires_grad
    np.testing.assert_array_equal(a, b)  # no dropout
    assert net.training
    assert net.drop.training
    assert not net.second.training
    net.head.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError), evaluated(net):
        vectors(lambda: net(X), net, None)
    assert net.drop.training


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["frist"], r"Net has no layer 'frist'.*such as first"),
        (["unused"], r"'unused' is never run"),
    ],
)
def test_layers_that_say_nothing_are_an_error(layers, message):
    net = Net()
    with pytest.raises(ValueError, match=message):
        vectors(lambda: net(X), net, layers)


def test_layers_of_what_is_no_module_are_an_error():
    with pytest.raises(ValueError, match=r"function has no layer 'first'"):
        vectors(lambda: X, lambda x: x, ["first"])


def test_inputs_have_the_type_of_the_weights():
    assert as_module(Net().double(), X).dtype == torch.float64
    assert as_module(nn.Identity(), X).dtype == torch.float32
    assert as_module(len, X) is X
    assert options_of(Net()) == {}
