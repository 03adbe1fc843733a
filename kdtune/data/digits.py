"""scikit-learn's bundled digits: 1,797 real scans of 8x8 pixels, the data that need no download.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository (1998).
"""

import numpy as np

from kdtune.data.arrays import Arrays, decoded_once
from kdtune.data.splits import stratified_split
from kdtune.storage.paths import DataDir

#: The set has no test part of its own, so one is set apart, the same for every study: 997 images.
TEST_IMAGES = 997
TEST_SPLIT_SEED = 1998


class Digits:
    """The digits, with 800 images for training and validation and 997 for the test."""

    def load(self, place: DataDir | None = None) -> Arrays:
        """The arrays; they come with scikit-learn, wherever other data sets lie."""
        return decoded_once("digits", _decode, checked=True)  # of a tenth of a megabyte


def _decode() -> Arrays:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    # The 17 grey levels 0..16 become 0..255, the range that every data set has here.
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    labels = bunch.target.astype(np.int64)
    train, test = stratified_split(labels, TEST_IMAGES, TEST_SPLIT_SEED)
    names = tuple(map(str, bunch.target_names))
    return Arrays(images[train], labels[train], images[test], labels[test], class_names=names)
