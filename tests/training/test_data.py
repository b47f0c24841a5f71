"""Batches of rows by index."""

import numpy as np
import pytest
import torch
from scipy import sparse

from skfusion.batch import Block, block_tensors
from skfusion.corruption import Corruption, CorruptionPlan
from skfusion.training.data import BatchIterator
from tests.training.made import N, make_dataset


class AlwaysCorrupt(Corruption):
    """A plan that is known: swap on the left, hide on the right, in even rows."""

    def plan(self, present, names=(), generator=None):
        even = torch.arange(len(present)) % 2 == 0
        swap, drop = torch.zeros_like(present), torch.zeros_like(present)
        swap[even, 0] = True
        drop[even, 1] = True
        return CorruptionPlan(torch.zeros(present.shape), swap, drop)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_tensors_are_copies_and_sparse_arrays_become_coo():
    dense = np.arange(6, dtype=np.float32).reshape(3, 2)
    words = sparse.csr_matrix(dense)
    block = Block({"x": dense, "words": words}, np.ones(3, dtype=bool))
    tensors = block_tensors(block, np.array([2, 0]))
    assert tensors["words"].is_sparse
    torch.testing.assert_close(tensors["words"].to_dense(), tensors["x"])
    tensors["x"].zero_()
    assert dense[2, 1] == 5


def test_read_only_arrays_are_read_without_a_warning():
    x = np.ones((3, 2), np.float32)
    x.setflags(write=False)
    block_tensors(Block({"x": x}, np.ones(3, dtype=bool)), np.arange(2))


@pytest.mark.parametrize("shuffle", [False, True])
def test_each_row_comes_once_an_epoch(shuffle):
    iterator = BatchIterator(make_dataset(), 16, shuffle=shuffle, generator=generator())
    seen = [x["inputs"][0]["id"][:, 0] for x, _ in iterator]
    assert [len(ids) for ids in seen] == [16, 16, 16, 2]
    assert len(iterator) == 4
    ids = torch.cat(seen)
    assert sorted(ids.tolist()) == list(range(N))
    assert shuffle != torch.equal(ids, torch.arange(N))


def test_the_generator_alone_decides_the_batches():
    state = torch.random.get_rng_state()
    found = []
    for seed in (0, 0, 1):
        options = {"shuffle": True, "corruption": Corruption(p_corrupt=0.9)}
        iterator = BatchIterator(
            make_dataset(), 16, generator=generator(seed), **options
        )
        found.append(
            [torch.cat([x["inputs"][0]["id"], x["noise"]], 1) for x, _ in iterator]
        )
    assert all(torch.equal(a, b) for a, b in zip(found[0], found[1], strict=True))
    assert not torch.equal(found[0][0], found[2][0])
    assert torch.equal(torch.random.get_rng_state(), state)


def test_shuffling_keeps_rows_labels_and_weights_together():
    dataset = make_dataset()
    dataset.weight = torch.arange(N, dtype=torch.float32)
    for x, target in BatchIterator(dataset, 7, shuffle=True, generator=generator()):
        ids = x["inputs"][0]["id"][:, 0]
        assert torch.equal(x["inputs"][1]["id"][:, 0], ids)
        assert torch.equal(target["y"], dataset.y[ids])
        assert torch.equal(target["weight"], ids.float())
        assert torch.equal(x["present"], dataset.present[ids])


def test_swapped_modality_brings_content_and_presence_of_its_source():
    dataset = make_dataset()
    ((x, target),) = BatchIterator(
        dataset, N, corruption=AlwaysCorrupt(), generator=generator()
    )
    source = x["inputs"][0]["id"][:, 0]
    even = torch.arange(N) % 2 == 0
    assert torch.equal(source[~even], torch.arange(N)[~even])
    assert (source[even] != torch.arange(N)[even]).all()
    assert torch.equal(x["present"][:, 0], dataset.present[source, 0])
    assert torch.equal(x["inputs"][1]["id"][:, 0], torch.arange(N))
    assert torch.equal(target["y"], dataset.y)
    # What was swapped says nothing of this row's truth.
    assert torch.equal(target["label_valid"][:, 0], ~even)
    assert target["label_valid"][:, 1].all()


def test_hidden_modality_is_absent_from_the_batch_but_not_from_the_data():
    dataset = make_dataset()
    before = dataset.present.clone()
    ((x, _),) = BatchIterator(
        dataset, N, corruption=AlwaysCorrupt(), generator=generator()
    )
    assert not x["present"][::2, 1].any()
    assert torch.equal(x["present"][1::2, 1], before[1::2, 1])
    assert torch.equal(dataset.present, before)
