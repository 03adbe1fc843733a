"""Options of a study that concern its data set."""

from typing import Annotated, Any

from pydantic import Field, SerializationInfo, SerializerFunctionWrapHandler, model_serializer, model_validator

from kdtune.specs.counts import Count
from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.identity import is_identity


class DataOptions(FrozenModel):
    """Which part of the data set is used.

    Attributes:
        train_limit: Number of training images that are used. They are a stratified subset, drawn with ``split_seed``
            before validation images are held out. None uses all images.
        mean: Mean by which images are normalised, for each channel, with pixels between 0 and 1; such as that of the
            images on which a teacher was trained elsewhere. None computes it from the training part.
        std: Standard deviation, like ``mean``; both are given, or neither.
        resident: Whether all images are put on the training device. If not, they stay in the cache and are read ahead
            batch by batch, for data sets that are larger than the device; steps are then not captured as graphs.
            Results are the same.
    """

    train_limit: Count | None = None
    mean: tuple[Annotated[float, Field(ge=0.0, le=1.0)], ...] | None = None
    std: tuple[Annotated[float, Field(gt=0.0, le=1.0)], ...] | None = None
    resident: bool = True

    @model_validator(mode="after")
    def _normalisation_is_whole(self) -> "DataOptions":
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std belong together; give both, or neither")
        if self.mean is not None and self.std is not None and len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} numbers and std {len(self.std)}; give one for each channel")
        return self

    @model_serializer(mode="wrap")
    def _as_table(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        # Unused options are left out, so that they do not change identities from before they existed. Where the images
        # lie does not change results.
        table: dict[str, Any] = handler(self)
        unused = {"mean", "std"} if self.mean is None else set()
        unused |= {"resident"} if self.resident or is_identity(info) else set()
        return {key: value for key, value in table.items() if key not in unused}

    @property
    def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Mean and standard deviation of each channel, where the study gives them."""
        return None if self.mean is None or self.std is None else (self.mean, self.std)
