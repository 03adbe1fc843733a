import hashlib

import numpy as np
import pytest
import torch

from kdtune.catalog.builtin import DATASETS
from kdtune.data.batches import Splits
from kdtune.specs import load_study


@pytest.fixture(scope="module")
def arrays():
    return DATASETS.load("digits")().load()


def test_the_shipped_study_has_400_images_to_train_400_to_validate_and_997_to_test(arrays):
    study = load_study("digits-hkd")
    parts = Splits.of(arrays, study.validation, study.split_seed, torch.device("cpu"))
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (400, 400, 997)


def test_all_1797_scans_are_there_once(arrays):
    from sklearn.datasets import load_digits

    def listed(images, labels):
        return sorted((image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True))

    grey = np.concatenate([arrays.train_images, arrays.test_images])[:, 0]
    labels = np.concatenate([arrays.train_labels, arrays.test_labels])
    scans = load_digits()
    assert len(labels) == 1797
    assert listed(np.rint(grey / 255 * 16).astype(np.uint8), labels) == listed(
        scans.images.astype(np.uint8), scans.target
    )


def test_pixels_are_bytes_from_0_to_255(arrays):
    assert arrays.train_images.dtype == np.uint8
    assert (arrays.train_images.min(), arrays.train_images.max()) == (0, 255)


def test_every_class_has_its_share_of_the_test_images(arrays):
    # 174 to 183 scans a class, of which 997/1797 are 96.5 to 101.5.
    assert set(np.bincount(arrays.test_labels, minlength=10)) <= set(range(96, 103))


def test_what_the_table_says_of_the_digits_is_so(arrays):
    facts = DATASETS["digits"].facts
    assert arrays.train_images.shape == (facts["train_images"], *facts["shape"])
    assert arrays.test_images.shape == (facts["test_images"], *facts["shape"])
    assert set(arrays.train_labels) == set(range(facts["classes"]))


def test_the_test_set_never_changes(arrays):
    # A golden value: with another test set every published accuracy would be of something else.
    content = arrays.test_images.tobytes() + arrays.test_labels.tobytes()
    assert hashlib.sha256(content).hexdigest() == "efe69589aa66cf6d5e7778b8030279f80359b56524b08e981915bd68366f7467"
