"""Finding, verifying and downloading data sets, on invented ones in the published layouts."""

import os
import pickle
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from kdtune.catalog.builtin import DATASETS
from kdtune.data import arrays
from kdtune.data.published import obtain
from kdtune.errors import DataError, KdtuneError, UsageError
from kdtune.storage.paths import data_dir
from tests.data.sets import pack_cifar10, patch_files, write_cifar10

pytestmark = pytest.mark.usefixtures("own_cache")

PUBLISHED = [name for name in DATASETS if DATASETS[name].facts["files"]]


@pytest.fixture
def cifar10(place, monkeypatch):
    """The images of an invented CIFAR-10 in the data folder."""
    return write_cifar10(place.path, monkeypatch)


def load(name, place):
    obtain(name, place)
    return DATASETS.load(name)().load(place)


def train_file(place):
    return place.path / "cifar-10-batches-py" / "data_batch_3"


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_missing_data_set_is_told_with_place_remedy_and_size(name, place, no_network):
    with pytest.raises(DataError) as refused:
        obtain(name, place)
    said = str(refused.value)
    facts = DATASETS[name].facts
    obtained = facts.get("by_hand") or f"--download fetches it ({facts['download_mb']} MB)"
    for word in (f"{name}: not found", str(place.path), "--data-dir", obtained, "KDTUNE_DATA_DIR"):
        assert word in said
    assert len(said.splitlines()) == 1
    assert refused.value.exit_code == 2


def test_what_was_decoded_before_does_not_stand_in_for_missing_files(place, cifar10):
    load("cifar10", place)
    train_file(place).unlink()
    with pytest.raises(DataError, match="cifar10: incomplete in .*data_batch_3 is missing"):
        load("cifar10", place)


def test_cifar10_is_read_from_its_five_batches(place, cifar10, no_network):
    found = load("cifar10", place)
    assert np.array_equal(found.train_images, cifar10[:50])
    assert np.array_equal(found.test_images, cifar10[50:])
    assert found.train_labels.tolist() == [*range(10)] * 5
    assert found.test_labels.tolist() == [*range(10)]
    assert found.class_names[3] == "class 3"


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("harm", [flip_a_byte, cut_short, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("decoded_before", [False, True])
def test_a_damaged_file_is_named_with_its_remedy(place, cifar10, harm, decoded_before):
    if decoded_before:
        load("cifar10", place)
    harm(train_file(place))
    os.utime(train_file(place), (0, 0))  # a file system's clock may be too coarse for a test
    with pytest.raises(DataError) as refused:
        load("cifar10", place)
    said = str(refused.value)
    assert str(train_file(place)) in said and "md5" in said and "--download" in said
    assert len(said.splitlines()) == 1


class Bomb:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("file", ["data_batch_1", "test_batch", "batches.meta"])
def test_nothing_is_unpickled_whose_checksum_is_not_known(place, cifar10, tmp_path, file):
    trace = tmp_path / "unpickled"
    (place.path / "cifar-10-batches-py" / file).write_bytes(pickle.dumps(Bomb(trace)))
    with pytest.raises(DataError, match=file):
        obtain("cifar10", place)
    with pytest.raises(DataError, match=file):
        DATASETS.load("cifar10")().load(place)
    assert not trace.exists()


def test_a_file_that_cannot_be_read_is_named(place, cifar10):
    train_file(place).unlink()
    train_file(place).mkdir()
    with pytest.raises(DataError, match=r"data_batch_3: cannot be read \(Is a directory\)"):
        load("cifar10", place)


def test_files_are_verified_once_until_they_change(place, cifar10, monkeypatch):
    load("cifar10", place)
    source = type(DATASETS.load("cifar10")())
    monkeypatch.setattr(source, "verify", lambda self, root: pytest.fail("verified again"))
    monkeypatch.setattr(source, "decode", lambda self, root: pytest.fail("decoded again"))
    assert len(load("cifar10", place).train_images) == 50


def decoded_image(own_cache):
    (path,) = own_cache.glob("decoded/cifar10-*/train_images.npy")
    return path


def test_a_damaged_decoded_copy_is_made_again(place, cifar10, own_cache):
    load("cifar10", place)
    content = bytearray(decoded_image(own_cache).read_bytes())
    content[-1] ^= 1
    decoded_image(own_cache).write_bytes(content)
    assert np.array_equal(load("cifar10", place).train_images, cifar10[:50])
    assert np.array_equal(load("cifar10", place).train_images, cifar10[:50])


def test_a_decoded_copy_is_held_against_its_checksums_once_until_it_changes(place, cifar10, own_cache, monkeypatch):
    load("cifar10", place)
    read = []
    monkeypatch.setattr(arrays, "_crc32", lambda path, real=arrays._crc32: read.append(path.stem) or real(path))
    for _ in range(3):
        load("cifar10", place)
    assert sorted(read) == ["test_images", "test_labels", "train_images", "train_labels"]
    os.utime(decoded_image(own_cache), (0, 0))
    load("cifar10", place)
    assert len(read) == 8


def test_how_many_training_images_there_are_is_known_before_they_are_decoded(place, cifar10):
    assert obtain("cifar10", place) == 50_000  # as published: what passes the checksums has so many
    load("cifar10", place)
    assert obtain("cifar10", place) == 50
    assert obtain("digits", place) == 800


@pytest.mark.parametrize("name", ["digits", "cifar10"])
def test_a_cache_that_cannot_be_written_is_refused_before_anything_is_sought(name, place, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path / "file" / "x"))
    with pytest.raises(UsageError, match=r"file/x: the cache cannot be written \(Not a directory\).*KDTUNE_CACHE_DIR"):
        obtain(name, place)


def test_other_checksums_are_another_source(place, cifar10, monkeypatch):
    first = load("cifar10", place)
    files = {**DATASETS["cifar10"].facts["files"], "cifar-10-batches-py/data_batch_3": "0" * 32}
    patch_files(monkeypatch, "cifar10", files)
    assert DATASETS.load("cifar10")().fingerprint(place.path) != first.fingerprint


# Downloading


@pytest.fixture
def archive(place, cifar10, tmp_path, monkeypatch):
    """The archive of a CIFAR-10 that is to be downloaded, behind a web server of this machine."""

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=tmp_path)

        def log_message(self, *arguments):
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request, client_address):
            pass  # torchvision asks for the file, looks where it was sent, hangs up and asks again

    server = Server(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield pack_cifar10(place.path, tmp_path, f"http://127.0.0.1:{server.server_port}", monkeypatch)
    server.shutdown()
    server.server_close()


def told():
    lines = []
    return lines, lines.append


def test_a_download_is_unpacked_and_verified(place, cifar10, archive, capfd):
    lines, tell = told()
    obtain("cifar10", place, download=True, tell=tell)
    assert lines == [f"downloading cifar10 (170 MB) to {place.path}"]
    assert np.array_equal(load("cifar10", place).train_images, cifar10[:50])
    assert capfd.readouterr() == ("", "")


def test_a_download_shows_a_bar_where_it_may(place, cifar10, archive, capfd):
    obtain("cifar10", place, download=True, show_bar=True)
    shown = capfd.readouterr()
    assert "100%" in shown.err and shown.out == ""


def test_what_is_there_and_whole_is_not_downloaded(place, cifar10, no_network):
    lines, tell = told()
    obtain("cifar10", place, download=True, tell=tell)
    assert lines == []
    assert not (place.path / ".lock").exists()  # the folder may be somebody else's


def test_a_damaged_file_is_fetched_again(place, cifar10, archive):
    train_file(place).parent.mkdir()
    train_file(place).write_bytes(b"cut sh")
    obtain("cifar10", place, download=True)
    assert np.array_equal(load("cifar10", place).train_images, cifar10[:50])


def test_an_archive_that_was_downloaded_in_part_is_fetched_again(place, archive):
    (place.path / archive.name).write_bytes(archive.read_bytes()[:100])
    obtain("cifar10", place, download=True)
    assert train_file(place).exists()


def test_a_download_that_fails_names_the_address_and_ends_with_1(place, archive):
    archive.unlink()
    with pytest.raises(KdtuneError, match="cifar10: could not be downloaded: http://127.0.0.1.*404") as failed:
        obtain("cifar10", place, download=True)
    assert failed.value.exit_code == 1
    assert len(str(failed.value).splitlines()) == 1


def test_an_archive_with_another_checksum_is_refused(place, archive):
    flip_a_byte(archive)
    with pytest.raises(KdtuneError, match="could not be downloaded"):
        obtain("cifar10", place, download=True)
    assert not train_file(place).exists()


def test_a_data_folder_that_cannot_be_made_is_told(cifar10, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(KdtuneError, match="cannot be written.*--data-dir"):
        obtain("cifar10", data_dir(tmp_path / "file" / "data"), download=True)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_archive_has_an_address_and_a_checksum(name):
    for archive in DATASETS.load(name)().archives():
        assert archive.urls and all(url.startswith("http") for url in archive.urls)
        assert len(archive.md5) == 32


@pytest.mark.parametrize(("name", "known"), [("cifar10", "CIFAR10"), ("cifar100", "CIFAR100")])
def test_the_checksums_are_torchvisions(name, known):
    import torchvision.datasets

    source = getattr(torchvision.datasets, known)
    published = dict([*source.train_list, *source.test_list, (source.meta["filename"], source.meta["md5"])])
    assert DATASETS[name].facts["files"] == {f"{source.base_folder}/{file}": md5 for file, md5 in published.items()}


def test_the_digits_need_no_data_folder(tmp_path, no_network):
    obtain("digits", data_dir(tmp_path / "nowhere"), download=True)
