"""What every data set has to satisfy.

A test module of one's own has a class that names the data set, and inherits all tests::

    from kdtune.testing.datasets import DatasetConformance


    class TestPhotos(DatasetConformance):
        component = {"ref": "my_package.my_module:photos", "image_size": 32}
"""

from collections.abc import Callable

import numpy as np
import pytest

from kdtune.data.arrays import Arrays, decoded_copy
from kdtune.data.sources import describe_own_data
from kdtune.specs.component import Component
from kdtune.specs.data_info import DataInfo
from kdtune.testing.component_under_test import ComponentConformance


class DatasetConformance(ComponentConformance):
    """Tests of one data set: the attribute ``component`` or fixture ``dataset``; and ``altered``, if it can change."""

    @pytest.fixture
    def dataset(self) -> Component:
        """The data set by reference, with its options."""
        return self.named("dataset")

    @pytest.fixture
    def altered(self) -> Callable[[], Component]:
        """A function that changes a pixel or a label of the source and returns the data set as it is then."""
        pytest.skip("the source of this data set is not altered")

    @pytest.fixture(autouse=True)
    def _empty_cache(self, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))

    def test_images_are_bytes_of_one_shape(self, dataset: Component) -> None:
        """Images are uint8, and as many and as large as the description says."""
        info, arrays = _decoded(dataset)
        for images, count in ((arrays.train_images, info.train_images), (arrays.test_images, info.test_images)):
            assert images.dtype == np.uint8, f"images have to be uint8, but are {images.dtype}"
            assert images.shape == (count, *info.shape), f"images are {images.shape}, not {(count, *info.shape)}"
        assert info.shape[0] in (1, 3), f"images have to have 1 or 3 channels, but have {info.shape[0]}"

    def test_images_differ(self, dataset: Component) -> None:
        """Images are not blank."""
        images = _decoded(dataset)[1].train_images
        assert images.min() < images.max(), "all pixels have one value"

    def test_labels_are_those_of_the_classes(self, dataset: Component) -> None:
        """Labels are integers from 0 on, one for each image."""
        info, arrays = _decoded(dataset)
        for labels, count in ((arrays.train_labels, info.train_images), (arrays.test_labels, info.test_images)):
            assert labels.dtype == np.int64, f"labels have to be int64, but are {labels.dtype}"
            assert labels.shape == (count,), f"there are {count} images, but labels of shape {labels.shape}"
            assert 0 <= labels.min() <= labels.max() < info.classes, (
                f"labels have to lie within 0 and {info.classes - 1}, but lie within {labels.min()} and {labels.max()}"
            )
        assert {*arrays.test_labels.tolist()} <= {*arrays.train_labels.tolist()}, "a class has test images alone"

    def test_class_names_are_one_for_each_class_or_none(self, dataset: Component) -> None:
        """Every class has a name that no other class has, or there are no names."""
        info, arrays = _decoded(dataset)
        names = info.class_names
        assert arrays.class_names == names, f"the decoded copy has other class names: {arrays.class_names}, {names}"
        assert len(names) in (0, info.classes), f"there are {info.classes} classes, but {len(names)} names: {names}"
        assert len({*names}) == len(names), f"two classes have one name: {names}"

    def test_decoding_twice_gives_the_same(
        self, dataset: Component, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A second decoding gives the same description, images and labels."""
        info, arrays = _decoded(dataset)
        monkeypatch.setenv("KDTUNE_CACHE_DIR", str(tmp_path_factory.mktemp("again")))
        again_info, again = _decoded(dataset)
        assert again_info == info, f"the description differs the second time: {info}, {again_info}"
        for name in ("train_images", "train_labels", "test_images", "test_labels"):
            assert np.array_equal(getattr(again, name), getattr(arrays, name)), (
                f"{name} differ the second time; the function has to return the same images each time: set a seed"
            )

    def test_other_content_has_another_fingerprint(self, dataset: Component, altered: Callable[[], Component]) -> None:
        """A changed pixel or label changes the fingerprint."""
        before = describe_own_data(dataset).fingerprint
        assert describe_own_data(altered()).fingerprint != before, "a changed pixel or label leaves the fingerprint"


def _decoded(dataset: Component) -> tuple[DataInfo, Arrays]:
    info = describe_own_data(dataset)
    arrays = decoded_copy(dataset.slug, info.fingerprint)
    assert info.fingerprint, "nothing identifies the content"
    assert arrays is not None, "there is no decoded copy"
    return info, arrays
