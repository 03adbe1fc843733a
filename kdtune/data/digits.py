"""scikit-learn's digits: 1,797 scans of 8x8 pixels, included and without download.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository (1998).
"""

import numpy as np

from kdtune.data.arrays import Arrays, decoded_once
from kdtune.data.splits import stratified_split
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
    from sklearn.datasets import load_digits

    bunch = load_digits()
    # The grey levels 0..16 are scaled to 0..255, the range of all data sets here.
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    labels = bunch.target.astype(np.int64)
    train, test = stratified_split(labels, TEST_IMAGES, TEST_SPLIT_SEED)
    names = tuple(map(str, bunch.target_names))
    return Arrays(images[train], labels[train], images[test], labels[test], class_names=names)
