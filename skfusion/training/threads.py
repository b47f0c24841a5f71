"""One thread of torch, BLAS and OpenMP while fits run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

__all__ = ["one_thread"]


class _OneThread:
    """What `one_thread` restores when the last fit of the process ends."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.n_running, self.before = 0, 1
        self.ended = threading.Event()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Run torch, BLAS and OpenMP with one thread, as small networks and trees want.

        With more, the threads of a busy machine wait for one another, and an epoch
        takes ten times as long. Settings of torch and BLAS belong to the process, those
        of OpenMP to a thread of Python.
        """
        with self.lock:
            if not self.n_running:
                self.before = torch.get_num_threads()
                self._limit_blas()
            self.n_running += 1
        try:
            with threadpool_limits(limits=1, user_api="openmp"):
                torch.set_num_threads(1)
                yield
        finally:
            with self.lock:
                self.n_running -= 1
                if not self.n_running:
                    torch.set_num_threads(self.before)
                    self.ended.set()
                    self.keeper.join()

    def _limit_blas(self) -> None:
        """Limit BLAS in a thread of its own: only that which did can undo it."""
        limited = threading.Event()
        self.ended.clear()

        def keep() -> None:
            with threadpool_limits(limits=1, user_api="blas"):
                limited.set()
                self.ended.wait()

        self.keeper = threading.Thread(target=keep, daemon=True)
        self.keeper.start()
        limited.wait()


one_thread = _OneThread()
