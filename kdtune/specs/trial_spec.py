"""Resolved settings of one training, which contain everything that its outcome depends on."""

from functools import cached_property

from kdtune.specs.component import Component, StudyComponent
from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.identity import AS_IDENTITY, digest
from kdtune.specs.study import Setting
from kdtune.specs.training import Training


class Recipe(FrozenModel):
    """Settings of the training of one network, apart from its seed and its data.

    Attributes:
        model: The network to train.
        training: Epochs, optimiser and other settings.
        method: The loss, with its options.
        temperature: The temperature policy, with its options; None if the loss needs no teacher.
        needs_teacher: Whether the loss needs a teacher.
        restart: Number of the restart; 0 is the original training. Restarts have other initial weights and another
            order of the images.
    """

    model: StudyComponent
    training: Training
    method: Component
    temperature: Component | None = None
    needs_teacher: bool = False
    restart: int = 0

    @property
    def alpha(self) -> float:
        """Weight of the distillation term; 0 for a loss without one."""
        return float(self.method.options.get("alpha", 0.0))


class TrialSpec(FrozenModel):
    """Everything that one training of a study depends on.

    It is resolved once, logged with the trial and sent to the worker by value.

    Attributes:
        setting: Settings that all trainings of the study share.
        recipe: Training of the student.
        seed: Seed of the repeat.
    """

    setting: Setting
    recipe: Recipe
    seed: int

    @cached_property
    def identity(self) -> str:
        """Identity of the trial, 12 hexadecimal digits. Trials with the same identity compute the same result."""
        return digest(self.model_dump(mode="json", context=AS_IDENTITY))[:12]
