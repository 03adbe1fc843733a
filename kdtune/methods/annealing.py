"""Annealing-KD (Jafari, Rezagholizadeh, Sharma and Ghodsi, EACL 2021): regression onto annealed logits, then labels.

Phase I, the share ``first`` of the epochs, has no labels:

    L = mean over the batch and the classes of (z_s - z_t k/K)^2

where k rises from 1 to K = ``levels`` in equal blocks of epochs (see :mod:`kdtune.temperature.annealing`; K/k is the
temperature in the log). Phase II is the cross-entropy with the labels alone. It begins with the weights that did best
on the validation images in phase I, and with a new optimiser. It needs no teacher, and none is computed or charged.

Differences: the authors choose the best epoch of phase II as well; here the last epoch counts, as for every method.
The learning rate follows the study's schedule, which spans both phases. Replayed logits are stored for all epochs of a
study, since its other strategies use them all.

Hidden tuning: ``levels`` (10) and the lengths of the phases; phase I of 2/3 of the epochs is a customary value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from kdtune.catalog.builtin import WITHOUT_TEACHER
from kdtune.errors import Fault, SpecError
from kdtune.methods.base import MethodLoss, OptionalWeight
from kdtune.methods.base import Options as Weights
from kdtune.specs.component import Component
from kdtune.specs.temperature_range import TAU_RANGE
from kdtune.specs.trial_spec import Phase

if TYPE_CHECKING:
    import torch

    from kdtune.temperature.base import Temperature

NAME = "annealing"


class Options(Weights):
    """The lengths of the phases, and the weights of both terms in phase I.

    Attributes:
        levels: Number of values of the annealing factor.
        first: Share of the epochs in phase I, rounded to whole epochs; each phase has one at least.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"levels": 3, "first": 0.5}]})

    weight: OptionalWeight = 1.0
    label_weight: OptionalWeight = 0.0
    levels: int = Field(default=10, ge=1, le=int(TAU_RANGE[1]), strict=True)
    first: float = Field(default=2 / 3, gt=0.0, lt=1.0)


class Annealing(MethodLoss):
    """The regression of phase I, and the two phases."""

    Options: ClassVar[type[BaseModel]] = Options

    @classmethod
    def phases(cls, options: dict[str, Any], epochs: int) -> tuple[Phase, ...]:
        """Return both phases.

        Raises:
            SpecError: There are too few epochs for two phases.
        """
        if epochs < 2:
            raise SpecError([Fault("study", "training.epochs", f"has to be at least 2 for the two phases of {NAME}")])
        given = Options.model_validate({key: value for key, value in options.items() if key != "alpha"})
        first = min(epochs - 1, max(1, round(given.first * epochs)))
        regression = Phase(
            epochs=first,
            method=Component(name=NAME, options=options),
            temperature=Component(name=NAME, options={"levels": given.levels}),
            needs_teacher=True,
        )
        return regression, Phase(epochs=epochs - first, method=Component(name=WITHOUT_TEACHER), from_best=True)

    def of_pairs(
        self,
        student_logits: torch.Tensor,
        teacher_logits: torch.Tensor,
        temperature: Temperature,
        progress: torch.Tensor | None,
    ) -> torch.Tensor:
        """Return the squared difference from the teacher's annealed logits."""
        return (student_logits - teacher_logits / temperature.teacher).square().mean(dim=1)
