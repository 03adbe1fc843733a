"""Sizes and names of a data set."""

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

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
        annotations: What is known of an image: its class, or the boxes of the objects in it.
    """

    classes: int = Field(ge=1)
    shape: tuple[int, int, int]
    train_images: int = Field(ge=1)
    test_images: int = Field(ge=1)
    class_names: tuple[str, ...] = ()
    fingerprint: str = ""
    annotations: Literal["classes", "boxes"] = "classes"

    @model_serializer(mode="wrap")
    def _without_default_annotations(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Left out, so that it does not change identities from before there were boxes.
        table: dict[str, Any] = handler(self)
        if self.annotations == "classes":
            table.pop("annotations", None)
        return table


def built_in_info(dataset: Component) -> DataInfo:
    """Return the published facts about a built-in data set.

    Raises:
        KeyError: The data set is not built in.
    """
    facts = DATASETS[dataset.name].facts
    sizes = {key: facts[key] for key in ("classes", "shape", "train_images", "test_images")}
    return DataInfo(**sizes, annotations=facts.get("annotations", "classes"))
