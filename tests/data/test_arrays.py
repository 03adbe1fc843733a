import numpy as np
import pytest

from kdtune.data.arrays import Arrays, decoded_once


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path))


def decode():
    images = np.arange(16, dtype=np.uint8).reshape(4, 1, 2, 2)
    return Arrays(images, np.arange(4), images[:1], np.arange(1))


def broken():
    raise OSError("the disk is full")


def test_a_data_set_is_decoded_once():
    decoded_once("toy", decode)
    again = decoded_once("toy", broken)
    assert np.array_equal(again.train_images, decode().train_images)
    assert np.array_equal(again.test_labels, decode().test_labels)


def test_a_decoding_that_failed_is_done_again():
    with pytest.raises(OSError, match="disk"):
        decoded_once("toy", broken)
    assert np.array_equal(decoded_once("toy", decode).train_labels, np.arange(4))


def test_data_sets_are_kept_apart():
    decoded_once("toy", decode)
    with pytest.raises(OSError, match="disk"):
        decoded_once("other", broken)
