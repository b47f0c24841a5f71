"""The cache of embeddings: in memory, in a folder, bounded, and shared."""

import threading

import numpy as np
import pytest

from skfusion.modalities.embeddings import FolderCache, MemoryCache

ROOMY = 2**20


def vectors(*names, width=4):
    return {
        name.encode(): np.full(width, float(ord(name[0])), np.float32) for name in names
    }


@pytest.fixture(params=["memory", "folder"])
def cache(request, tmp_path):
    return MemoryCache() if request.param == "memory" else FolderCache(tmp_path / "new")


def test_cache_gives_back_what_it_was_given(cache):
    cache.put(vectors("a", "b"), ROOMY)
    found = cache.get([b"b", b"c", b"a"])
    assert set(found) == {b"a", b"b"}
    np.testing.assert_array_equal(found[b"b"], vectors("b")[b"b"])
    assert found[b"a"].dtype == np.float32


def test_the_oldest_go_beyond_the_limit(cache):
    limit = 3 * 16  # bytes of three vectors
    for name in "abcde":
        cache.put(vectors(name), limit)
    assert set(cache.get([b"a", b"b", b"c", b"d", b"e"])) == {b"c", b"d", b"e"}


def test_a_limit_of_nothing_keeps_nothing(cache):
    cache.put(vectors("a"), 0)
    assert cache.get([b"a"]) == {}


def test_many_keys_are_found_at_once(cache):
    keys = [str(i).encode() for i in range(2500)]
    cache.put({key: np.ones(1, np.float32) for key in keys}, ROOMY)
    assert len(cache.get(keys)) == len(keys)


def test_threads_may_share_a_cache(cache):
    def work(name):
        for _ in range(5):
            cache.put(vectors(name), ROOMY)
            cache.get([b"a", b"b", b"c"])

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cache.get([b"a", b"b", b"c"])) == 3


def test_memory_holds_no_view_of_a_batch():
    batch = np.ones((100, 4), np.float32)
    cache = MemoryCache()
    cache.put({b"a": batch[0]}, ROOMY)
    assert cache.get([b"a"])[b"a"].base is None
    cache.put({b"a": batch[0]}, ROOMY)
    assert cache.nbytes == 16


def test_a_folder_is_read_by_another_cache(tmp_path):
    FolderCache(tmp_path).put(vectors("a"), ROOMY)
    assert set(FolderCache(str(tmp_path)).get([b"a"])) == {b"a"}


def test_a_broken_file_is_a_warning_and_no_error(tmp_path):
    (tmp_path / "embeddings.sqlite").write_bytes(b"no database" * 100)
    cache = FolderCache(tmp_path)
    with pytest.warns(UserWarning, match=r"embeddings.sqlite.*delete the file"):
        assert cache.get([b"a"]) == {}
    with pytest.warns(UserWarning, match="computed anew"):
        cache.put(vectors("a"), ROOMY)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cache=.*cannot be made.*cache=\"memory\""):
        FolderCache(tmp_path / "file" / "inside")
