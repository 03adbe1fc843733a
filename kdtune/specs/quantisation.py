"""How a trained student is turned into one that computes with integers of 8 bits."""

from typing import Any, Literal

from pydantic import Field

from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.training import Training

#: Key of a flat point that names the kind of quantisation.
KEY = "quantised"


class Quantisation(FrozenModel):
    """Quantisation of a student that another strategy has chosen.

    Attributes:
        kind: ``qat`` trains with simulated rounding; ``ptq`` only observes the ranges of the activations.
        after: Label of the strategy whose chosen student is quantised.
        share: Epochs of ``qat`` as a share of the study's epochs, rounded to at least one epoch.
        rate: Learning rate of ``qat`` as a share of the study's.
        images: Training images that ``ptq`` observes.
        reduce_range: Whether activations use 7 of 8 bits, which protects CPUs without VNNI instructions from overflow.
            A strategy that leaves it open suggests None, which the plan replaces by True on such CPUs; else, 8 bits.
    """

    kind: Literal["qat", "ptq"]
    after: str = "none"
    share: float = Field(default=0.1, gt=0, le=1000)
    rate: float = Field(default=0.01, gt=0, le=1)
    images: int = Field(default=1024, ge=2, strict=True)
    reduce_range: bool | None = None

    @property
    def trains(self) -> bool:
        """Whether the weights are trained; otherwise only ranges are observed."""
        return self.kind == "qat"

    def settled(self, *, reduce_range: bool) -> "Quantisation":
        """Return the quantisation with 7 bits for activations if they are to be used and it leaves that open."""
        is_open = reduce_range and self.reduce_range is None
        return self.model_copy(update={"reduce_range": True}) if is_open else self

    def shortened(self, training: Training) -> Training:
        """Return the training of the quantised student, derived from that of the float student."""
        if not self.trains:
            return training.scaled_to(1).model_copy(update={"augment": ()})
        shorter = training.scaled_to(max(1, round(training.epochs * self.share)))
        return shorter.model_copy(update={"learning_rate": training.learning_rate * self.rate})

    def as_point(self) -> dict[str, Any]:
        """Return the quantisation as keys of a flat point, without default values apart from ``after``."""
        others = self.model_dump(mode="json", exclude={"kind", "after"}, exclude_defaults=True)
        return {KEY: self.kind, "after": self.after, **others}

    @classmethod
    def from_point(cls, point: dict[str, Any]) -> "Quantisation | None":
        """Return the quantisation in a flat point; None if it has none."""
        if KEY not in point:
            return None
        return cls(kind=point[KEY], **{key: value for key, value in point.items() if key in cls.option_keys()})

    @classmethod
    def option_keys(cls) -> set[str]:
        """Return the keys of a flat point, apart from :data:`KEY`."""
        return cls.model_fields.keys() - {"kind"}
