"""The published data sets themselves, where the machine has them."""

import json
import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest

from kdtune.catalog.builtin import DATASETS
from kdtune.data.published import missing_files, obtain
from kdtune.errors import DataError
from kdtune.storage.paths import data_dir

#: Loads a data set in a new process, and tells which of its published files it opened (except for lists of names), how
#: the images are held and whether torch was imported.
LOADS = """
import json, sys
from kdtune.catalog.builtin import DATASETS
from kdtune.data.published import obtain
from kdtune.storage.paths import data_dir
name, opened = sys.argv[1], set()
sys.addaudithook(lambda event, given: opened.add(str(given[0])) if event == "open" else None)
obtain(name, data_dir())
arrays = DATASETS.load(name)().load(data_dir())
read = sorted(path for path in opened if path.startswith(str(data_dir().path)) and not path.endswith(".txt"))
print(json.dumps([read, type(arrays.train_images).__name__, "torch" in sys.modules]))
"""


def place_of(name):
    """The data folder of the environment, where it holds the data set."""
    if not os.environ.get("KDTUNE_DATA_DIR"):
        pytest.skip("KDTUNE_DATA_DIR is not set, and names the folder with the real data sets")
    place = data_dir()
    if missing := missing_files(name, place.path):
        pytest.skip(f"{place} does not hold {name}: {missing[0]} is missing")
    return place


def load(name):
    place = place_of(name)
    obtain(name, place)
    return DATASETS.load(name)().load(place)


@pytest.mark.parametrize(
    ("name", "a_class"), [("cifar10", 5000), ("cifar100", 500), ("fashion_mnist", 6000), ("tiny_imagenet", None)]
)
def test_what_the_table_says_is_so(name, a_class, no_network):
    arrays, facts = load(name), DATASETS[name].facts
    assert arrays.train_images.dtype == arrays.test_images.dtype == np.uint8
    assert arrays.train_labels.dtype == arrays.test_labels.dtype == np.int64
    assert len(set(arrays.class_names)) == facts["classes"] or name == "tiny_imagenet"  # has two cranes
    assert len(arrays.class_names) == facts["classes"]
    assert arrays.train_images.shape[1:] == arrays.test_images.shape[1:] == facts["shape"]
    in_train = np.bincount(arrays.train_labels, minlength=facts["classes"])
    in_test = np.bincount(arrays.test_labels, minlength=facts["classes"])
    assert len(in_train) == len(in_test) == facts["classes"]
    if a_class:  # Tiny ImageNet may be a subset
        assert (len(arrays.train_labels), len(arrays.test_labels)) == (facts["train_images"], facts["test_images"])
        assert set(in_train) == {a_class}
        assert set(in_test) == {facts["test_images"] // facts["classes"]}
    else:
        assert len(set(in_train)) == len(set(in_test)) == 1


def test_the_colours_of_cifar100_are_in_their_channels():
    arrays = load("cifar100")
    # The mean colour that everybody who trains on CIFAR-100 normalises with.
    means = arrays.train_images[::10].mean((0, 2, 3)) / 255
    assert means == pytest.approx([0.507, 0.487, 0.441], abs=0.003)
    assert arrays.class_names[:2] == ("apple", "aquarium_fish")


def test_fashion_mnist_has_light_things_on_black():
    arrays = load("fashion_mnist")
    assert arrays.train_images.mean() / 255 == pytest.approx(0.286, abs=0.001)
    assert (arrays.train_images[:100, 0, 0, 0] == 0).mean() > 0.95


def test_tiny_imagenet_has_grey_images_among_the_coloured():
    images = load("tiny_imagenet").train_images[::5]
    grey = (images[:, 0] == images[:, 1]).all((1, 2)) & (images[:, 0] == images[:, 2]).all((1, 2))
    assert 0 < grey.mean() < 0.1


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "fashion_mnist", "tiny_imagenet"])
def test_the_next_start_maps_the_decoded_copy_and_needs_no_torch(name):
    """This takes milliseconds; the published files are neither verified nor decoded again."""
    load(name)  # decoded now, if it has not been
    done = subprocess.run([sys.executable, "-c", LOADS, name], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[], "memmap", False]


def test_a_truncated_cifar100_is_told_before_anything_is_unpickled(own_cache, tmp_path, monkeypatch):
    name = "cifar100"
    source = place_of(name).path / "cifar-100-python"
    folder = shutil.copytree(source, tmp_path / "data" / source.name, copy_function=shutil.copyfile)
    folder.chmod(0o755)
    with (folder / "test").open("r+b") as file:
        file.truncate(1_000_000)
    for name_of in ("load", "loads"):
        monkeypatch.setattr(pickle, name_of, lambda *_, **__: pytest.fail("was unpickled"))
    with pytest.raises(DataError, match=r"cifar100: .*cifar-100-python/test is damaged"):
        obtain(name, data_dir(tmp_path / "data"))
