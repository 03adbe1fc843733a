"""Strategies ``qat`` and ``ptq``: the student of another strategy, quantised to integers of 8 bits.

They compete with distillation as another way to a cheaper model. Both begin with the student that another strategy of
the study chose, and are charged that strategy's whole search.
"""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

from kdtune.catalog.builtin import WITHOUT_TEACHER
from kdtune.specs.component import Component
from kdtune.specs.quantisation import Quantisation
from kdtune.specs.suggestion import Suggestion
from kdtune.strategies.base import NoOptions, OneTraining


class CalibrationOptions(NoOptions):
    """Which student is quantised, and the images that show the ranges of its activations.

    Attributes:
        after: Label of the strategy whose chosen student is quantised.
        images: Training images that are observed.
        reduce_range: Whether activations use 7 of 8 bits; None does so on CPUs without VNNI instructions.
    """

    after: str = "none"
    images: int = Field(default=1024, ge=2, strict=True)
    reduce_range: bool | None = None


class Options(NoOptions):
    """Which student is quantised, and how it is trained.

    Attributes:
        after: Label of the strategy whose chosen student is quantised.
        share: Epochs as a share of the study's, rounded to at least one epoch.
        rate: Learning rate as a share of the study's.
        reduce_range: As for ``ptq``.
    """

    after: str = "none"
    share: float = Field(default=0.1, gt=0, le=1000)
    rate: float = Field(default=0.01, gt=0, le=1)
    reduce_range: bool | None = None


class Qat(OneTraining):
    """Epochs of training with simulated rounding, on the labels alone."""

    Options: ClassVar[type[BaseModel]] = Options
    kind: ClassVar[Literal["qat", "ptq"]] = "qat"

    def suggestion(self) -> Suggestion:
        """Return the quantisation with the given options."""
        given: dict[str, Any] = self.options.model_dump()
        return Suggestion(method=Component(name=WITHOUT_TEACHER), quantisation=Quantisation(kind=self.kind, **given))


class Ptq(Qat):
    """Quantisation without training: the cheap control of ``qat``."""

    Options: ClassVar[type[BaseModel]] = CalibrationOptions
    kind: ClassVar[Literal["qat", "ptq"]] = "ptq"
