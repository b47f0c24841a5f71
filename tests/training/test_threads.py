"""Fits run on one thread, and leave the process as it was."""

import threading

import pytest
import torch
from threadpoolctl import threadpool_info

from skfusion.training.threads import one_thread


def test_threads_of_torch_are_restored():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with pytest.raises(KeyError), one_thread():
            raise KeyError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_threads_are_restored_when_the_last_of_two_fits_ends():
    before = torch.get_num_threads()
    inside, leave = threading.Event(), threading.Event()
    counts = []

    def other():
        with one_thread():
            inside.set()
            leave.wait(10)
            counts.append(torch.get_num_threads())
        counts.append(torch.get_num_threads())

    def blas():
        return {p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"}

    try:
        torch.set_num_threads(2)
        own = blas()
        thread = threading.Thread(target=other)
        with one_thread():
            thread.start()
            inside.wait(10)
        assert blas() <= {1}  # the other still runs
        leave.set()
        thread.join()
        assert counts == [1, 2]
        assert torch.get_num_threads() == 2
        assert blas() == own
    finally:
        torch.set_num_threads(before)
