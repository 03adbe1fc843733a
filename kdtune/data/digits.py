"""scikit-learn's digits: 1,797 scans of 8x8 pixels, included and without download.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository (1998).
"""

import csv
import gzip
import importlib.util
from pathlib import Path

import numpy as np

from kdtune.data.arrays import Arrays, decoded_once
from kdtune.data.splits import stratified_split
from kdtune.errors import DataError
from kdtune.storage.paths import DataDir

#: The data set has no test part. These 997 images are held out for it, the same for every study.
TEST_IMAGES = 997
TEST_SPLIT_SEED = 1998


class Digits:
    """The digits, with 800 images for training and validation and 997 for the test."""

    def load(self, place: DataDir | None = None) -> Arrays:
        """Return the arrays, which are part of scikit-learn; the data folder is not used."""
        return decoded_once("digits", _decode, checked=True)  # the files are small


def _decode() -> Arrays:
    with gzip.open(_file(), "rt", newline="") as file:  # each row has 64 grey levels and a label
        rows = np.array([list(map(float, row)) for row in csv.reader(file)])
    # The grey levels 0..16 are scaled to 0..255, the range of all data sets here.
    images = np.rint(rows[:, :64].reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    labels = rows[:, 64].astype(np.int64)
    train, test = stratified_split(labels, TEST_IMAGES, TEST_SPLIT_SEED)
    names = tuple(map(str, range(10)))
    return Arrays(images[train], labels[train], images[test], labels[test], class_names=names)


def _file() -> Path:
    """Return scikit-learn's file, without the import of scikit-learn, SciPy and pandas, which takes a second."""
    found = importlib.util.find_spec("sklearn")
    if found is None or found.origin is None:
        raise DataError("digits: the images are part of scikit-learn, which is not installed: pip install scikit-learn")
    return Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"
