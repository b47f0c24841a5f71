"""Rows of three classes, two numbers and three labels, which their features tell."""

import numpy as np
from scipy.special import logit

from skfusion.evidence.base_models import Task
from skfusion.training.links import Identity, Sigmoid, Softmax

N, F = 200, 6
RNG = np.random.default_rng(0)
X = RNG.normal(3.0, 2.0, size=(N, F)).astype(np.float32)
Y = np.digitize(X[:, 0] - X[:, 1], [-2.0, 2.0])
W = np.ones(N)
SHARES = np.bincount(Y) / N
CLASSES = Task(Softmax(), 3, np.log(SHARES), 0)
NUMBERS = Task(Identity(), 2, np.zeros(2), 0)
TARGET = np.stack([X[:, 0] - 3.0, X[:, 1] + X[:, 2] - 6.0], axis=1) / 3


def labels_of(x):
    """Two labels that the features tell, and one that no row has."""
    return np.stack([x[:, 0] > 0, x[:, 1] > 1, np.zeros(len(x))], axis=1).astype(float)


LABELS = labels_of(X)
OF_LABELS = Task(
    Sigmoid(), 3, logit([LABELS[:, 0].mean(), LABELS[:, 1].mean(), 0.1]), 0
)
