"""Data sets, their splits, and batching as tensor code on the training device."""

from kdtune.registry import Registry

DATASETS = Registry("data set")
DATASETS.add(
    "digits",
    "kdtune.data.digits:load",
    "scikit-learn's 1,797 scanned digits, 8x8 grey, 10 classes; bundled, nothing to download",
    classes=10,
    shape=(1, 8, 8),
    train_images=800,
    test_images=997,
)
