"""Sizes and names of a data set."""

from pydantic import Field

from kdtune.catalog.builtin import DATASETS
from kdtune.specs.component import Component
from kdtune.specs.frozen_model import FrozenModel


class DataInfo(FrozenModel):
    """Facts about a data set that are known without reading its images.

    Attributes:
        classes: Number of classes.
        shape: Channels, height and width of an image.
        train_images: Number of images for training and validation.
        test_images: Number of images of the test part.
        class_names: Names of the labels 0, 1, ...; empty if they have no names.
        fingerprint: Identifies the content of a data set that is not built in; empty for a built-in one.
    """

    classes: int = Field(ge=2)
    shape: tuple[int, int, int]
    train_images: int = Field(ge=1)
    test_images: int = Field(ge=1)
    class_names: tuple[str, ...] = ()
    fingerprint: str = ""


def built_in_info(dataset: Component) -> DataInfo:
    """Return the published facts about a built-in data set.

    Raises:
        KeyError: The data set is not built in.
    """
    facts = DATASETS[dataset.name].facts
    return DataInfo(**{key: facts[key] for key in ("classes", "shape", "train_images", "test_images")})
