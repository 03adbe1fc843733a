"""The model of the settings of one training."""

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_serializer, field_validator, model_serializer

from kdtune.specs.counts import Count
from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.search_space import GREATEST

#: Upper limit that catches typing errors.
MAX_EPOCHS = 100_000


class Training(FrozenModel):
    """Settings of the training of one network.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images per step. The last batch of an epoch may be smaller; a single remaining image is added to the
            batch before it.
        optimizer: ``sgd`` (with Nesterov off), ``adam`` or ``adamw``.
        learning_rate: Learning rate after the warm-up.
        momentum: Momentum of SGD; ignored by Adam and AdamW.
        weight_decay: L2 penalty, added to the gradient; of AdamW the share, multiplied by the learning rate, by which
            each step shrinks the weights.
        milestones: Epochs, counted from 0, before which the learning rate is multiplied by ``gamma``.
        gamma: Factor at each milestone.
        warmup_epochs: Epochs over which the learning rate grows linearly, step by step; may end within an epoch.
        augment: Random changes to the training images: ``crop`` (after padding with 4 black pixels), ``flip`` (left
            to right) and ``rotate`` (by up to 15 degrees); for photos ``resized-crop`` (35 to 100 % of the image,
            enlarged), ``jitter`` (brightness, contrast and saturation by up to 40 %) and ``hue`` (in half of the
            images the hue by up to 18 degrees, in half the order of the channels); for detection ``zoom-out`` (half
            of the images, made smaller by up to 4 on their mean colour) and ``iou-crop`` (a part with an object).
        class_weights: Weights of the classes in the loss with the labels, in the order of the labels; ``balanced``
            weighs each class inversely to its number of training images; None weighs all images alike. The
            distillation term is not weighted.
    """

    epochs: int = Field(ge=1, le=MAX_EPOCHS, strict=True)
    batch_size: Count
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    learning_rate: float = Field(gt=0.0, le=GREATEST)
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0)
    weight_decay: float = Field(default=0.0, ge=0.0, le=GREATEST)
    milestones: tuple[Count, ...] = ()
    gamma: float = Field(default=0.2, gt=0.0, le=1.0)
    warmup_epochs: float = Field(default=0, ge=0.0, le=MAX_EPOCHS, strict=True)
    augment: tuple[Literal["crop", "flip", "rotate", "resized-crop", "jitter", "hue", "zoom-out", "iou-crop"], ...] = ()
    class_weights: Literal["balanced"] | tuple[float, ...] | None = None

    @field_validator("class_weights", mode="before")
    @classmethod
    def _balanced_or_weights(cls, value: Any) -> Any:
        numbers = value if isinstance(value, list | tuple) else ()
        sound = all(type(one) in (int, float) and 0 < one <= GREATEST for one in numbers)
        if value is None or value == "balanced" or (numbers and sound):
            return value
        raise ValueError('has to be "balanced" or a list with a weight greater than 0 for each class')

    @model_serializer(mode="wrap")
    def _without_unset_weights(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A training without weights is identified as if there were no such option.
        table: dict[str, Any] = handler(self)
        if self.class_weights is None:
            table.pop("class_weights", None)
        return table

    @field_validator("warmup_epochs")
    @classmethod
    def _whole_epochs(cls, value: float) -> float:
        return _as_integer(value)

    @field_serializer("warmup_epochs")
    def _whole_epochs_as_they_are(self, value: float) -> int | float:
        # Otherwise 1 and 1.0 would be different identities of the same training.
        return value

    def scaled_to(self, epochs: int) -> "Training":
        """Return the same recipe with another number of epochs; milestones and warm-up change in proportion.

        The warm-up changes exactly. Milestones are rounded to whole epochs, at least 1. Milestones that become equal
        are merged, and those after the last epoch are removed, so the learning rate has fewer steps in few epochs.
        """
        ratio = epochs / self.epochs
        moved = {max(1, round(milestone * ratio)) for milestone in self.milestones}
        return self.model_copy(
            update={
                "epochs": epochs,
                "milestones": tuple(sorted(milestone for milestone in moved if milestone < epochs)),
                "warmup_epochs": _as_integer(self.warmup_epochs * epochs / self.epochs),
            }
        )

    def longer_by(self, factor: float) -> "Training":
        """Return the same recipe with ``factor`` times as many epochs, rounded to a whole number."""
        return self if factor == 1 else self.scaled_to(max(1, round(self.epochs * factor)))


def _as_integer(value: float) -> int | float:
    return int(value) if value == int(value) else value
