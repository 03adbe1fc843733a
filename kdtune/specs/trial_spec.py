"""Resolved settings of one training: everything that its outcome depends on, with nothing left to look up."""

from functools import cached_property

from kdtune.specs.component import Component, StudyComponent
from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.identity import digest
from kdtune.specs.study import Setting, Training


class Recipe(FrozenModel):
    """How one network is trained, apart from its seed and its data.

    Attributes:
        model: The network to train.
        training: Epochs, optimiser and the rest.
        method: The loss, with its options.
        temperature: What decides tau, with its options; None where the loss has no teacher.
        needs_teacher: Whether the loss compares with a teacher.
        restart: Counted from 0, the repeat's own training; others begin with other weights and another order.
    """

    model: StudyComponent
    training: Training
    method: Component
    temperature: Component | None = None
    needs_teacher: bool = False
    restart: int = 0

    @property
    def alpha(self) -> float:
        """Weight of the distillation term; 0 for a loss that has none."""
        return float(self.method.options.get("alpha", 0.0))


class TrialSpec(FrozenModel):
    """Everything that one training of a study depends on.

    Planned once, logged with the trial and sent to the worker by value.

    Attributes:
        setting: What all trainings of the study share.
        recipe: How this one trains the student.
        seed: The repeat's seed.
    """

    setting: Setting
    recipe: Recipe
    seed: int

    @cached_property
    def identity(self) -> str:
        """The identity of the trial, 12 hexadecimal digits: trials with the same one compute the same thing."""
        return digest(self.model_dump(mode="json"))[:12]
