import errno
import json
import signal

import numpy as np
import pytest

from kdtune.data.arrays import Arrays, decoded_copy, decoded_once, forget_copy
from kdtune.data.digits import Digits
from kdtune.errors import KdtuneError
from kdtune.storage.checksums import verified
from tests.forked import Forked

pytestmark = pytest.mark.usefixtures("own_cache")

#: A process that decodes 12 MB, noting that it did and taking its time; with a number, it is killed half way through
#: writing that file, the fifth being the manifest.
DECODING = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
from kdtune.data import arrays

def decode():
    with Path(sys.argv[1]).open("a") as log:
        log.write("decoded\\n")
    time.sleep(0.5)
    images = np.arange(12_000_000, dtype=np.uint8).reshape(-1, 3, 10, 10)
    return arrays.Arrays(images, np.arange(len(images)), images[:5], np.arange(5))

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def save(file, array, real=np.save, so_far=[]):
    so_far.append(file)
    if len(sys.argv) > 2 and len(so_far) == int(sys.argv[2]):
        file.write(array.tobytes()[: array.nbytes // 2])
        file.flush()
        die()
    real(file, array)

np.save = save
if len(sys.argv) > 2 and sys.argv[2] == "5":
    arrays.write_json = lambda path, value: die()
print(arrays.decoded_once("slow", decode).train_images.sum())
"""

TOTAL = str(np.arange(12_000_000, dtype=np.uint8).sum())


def decode():
    images = np.arange(16, dtype=np.uint8).reshape(4, 1, 2, 2)
    return Arrays(images, np.arange(4), images[:1], np.arange(1), ("a", "b", "c", "d"))


def broken():
    raise OSError("the disk is full")


def assert_same(arrays, expected):
    for field in ("train_images", "train_labels", "test_images", "test_labels"):
        assert np.array_equal(getattr(arrays, field), getattr(expected, field))
        assert getattr(arrays, field).dtype == getattr(expected, field).dtype
    assert arrays.class_names == expected.class_names


def test_a_data_set_is_decoded_once():
    decoded_once("toy", decode)
    assert_same(decoded_once("toy", broken), decode())


def test_a_decoding_that_failed_is_done_again():
    with pytest.raises(OSError, match="disk"):
        decoded_once("toy", broken)
    assert np.array_equal(decoded_once("toy", decode).train_labels, np.arange(4))


def test_data_sets_are_kept_apart():
    decoded_once("toy", decode)
    with pytest.raises(OSError, match="disk"):
        decoded_once("other", broken)


def test_sources_of_the_same_name_are_kept_apart():
    decoded_once("toy", decode, "0123456789ab")
    with pytest.raises(OSError, match="disk"):
        decoded_once("toy", broken, "ba9876543210")
    assert decoded_once("toy", broken, "0123456789ab").fingerprint == "0123456789ab"


def test_the_arrays_are_memory_mapped_and_nobody_can_change_them():
    images = decoded_once("toy", decode).train_images
    assert isinstance(images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-3])


def overwritten(path):
    path.write_bytes(b"\0" * path.stat().st_size)


def of_another_shape(path):
    if path.suffix == ".json":
        path.write_text("[]")
    else:
        np.save(path, np.load(path).reshape(-1, 1))


@pytest.mark.parametrize("harm", [cut_short, overwritten, of_another_shape, lambda path: path.unlink()])
@pytest.mark.parametrize("file", ["train_images.npy", "test_labels.npy", "manifest.json"])
def test_a_copy_that_was_damaged_later_is_noticed_and_made_again(own_cache, harm, file):
    decoded_once("toy", decode)
    harm(next(own_cache.glob(f"decoded/*/{file}")))
    assert decoded_copy("toy") is None
    assert_same(decoded_once("toy", decode), decode())
    assert_same(decoded_once("toy", broken), decode())


def a_flipped_bit(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


FIELDS = ["train_images", "train_labels", "test_images", "test_labels"]


@pytest.mark.parametrize("field", FIELDS)
def test_damage_that_leaves_the_size_is_noticed_where_checksums_are_compared(own_cache, field):
    decoded_once("toy", decode)
    assert_same(decoded_copy("toy", checked=True), decode())
    a_flipped_bit(next(own_cache.glob(f"decoded/*/{field}.npy")))
    assert decoded_copy("toy") is not None and decoded_copy("toy", checked=True) is None
    assert_same(decoded_once("toy", decode, checked=True), decode())
    assert_same(decoded_copy("toy", checked=True), decode())


def test_a_copy_from_before_there_were_checksums_is_taken_as_it_is(own_cache):
    decoded_once("toy", decode)
    (manifest,) = own_cache.glob("decoded/*/manifest.json")
    noted = verified(json.loads(manifest.read_text()))
    for described in noted["arrays"].values():
        del described["crc32"]
    manifest.write_text(json.dumps(noted))
    assert_same(decoded_once("toy", broken, checked=True), decode())


def test_a_copy_is_forgotten_only_where_it_is_damaged(own_cache):
    decoded_once("toy", decode)
    forget_copy("toy", "")
    assert_same(decoded_once("toy", broken), decode())
    a_flipped_bit(next(own_cache.glob("decoded/*/test_images.npy")))
    forget_copy("toy", "")
    assert decoded_copy("toy") is None


def test_the_digits_are_decoded_again_where_a_bit_of_their_copy_has_flipped(own_cache):
    images = np.array(Digits().load().train_images)
    a_flipped_bit(next(own_cache.glob("decoded/digits-*/train_images.npy")))
    assert np.array_equal(Digits().load().train_images, images)


def test_a_cache_that_is_no_folder_is_told_with_the_remedy(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.raises(KdtuneError, match=r"file/cache/decoded/toy.*\(Not a directory\).*KDTUNE_CACHE_DIR"):
        decoded_once("toy", decode)


def test_what_cannot_be_written_names_the_folder_and_the_remedy(own_cache, monkeypatch):
    def full(file, array):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(KdtuneError, match=r"toy.*No space left.*KDTUNE_CACHE_DIR"):
        decoded_once("toy", decode)
    assert decoded_copy("toy") is None


def decoding(*arguments):
    return Forked(DECODING, arguments)


@pytest.mark.parametrize("file", ["1", "2", "3", "4", "5"])
def test_a_decoding_that_was_killed_is_never_taken_for_a_whole_one(own_cache, tmp_path, file):
    log = str(tmp_path / "log")
    killed = decoding(log, file)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert decoded_copy("slow") is None
    assert decoding(log).communicate()[0].strip() == TOTAL
    assert (tmp_path / "log").read_text() == "decoded\n" * 2
    assert not list(own_cache.glob("decoded/slow-*/.*.tmp"))


def test_of_two_processes_one_decodes_and_the_other_waits(tmp_path):
    both = [decoding(str(tmp_path / "log")) for _ in range(2)]
    assert {process.communicate()[0].strip() for process in both} == {TOTAL}
    assert [process.returncode for process in both] == [0, 0]
    assert (tmp_path / "log").read_text() == "decoded\n"
