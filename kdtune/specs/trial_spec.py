"""Resolved settings of one training, which contain everything that its outcome depends on."""

from functools import cached_property
from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from kdtune.specs.component import Component, StudyComponent
from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.identity import AS_IDENTITY, digest
from kdtune.specs.meta_part import MetaPart
from kdtune.specs.quantisation import Quantisation
from kdtune.specs.split_sizes import held_out_images
from kdtune.specs.study import Setting
from kdtune.specs.training import Training


class Phase(FrozenModel):
    """A part of a training that has a loss and an optimiser of its own.

    Attributes:
        epochs: Epochs of the phase.
        method: The loss, with its options.
        temperature: The temperature policy, with its options; None if the loss needs no teacher.
        needs_teacher: Whether the loss needs a teacher.
        from_best: Whether the phase begins with the weights of the phase before that did best on the validation images;
            otherwise it begins with the last ones.
    """

    epochs: int = Field(ge=1, strict=True)
    method: Component
    temperature: Component | None = None
    needs_teacher: bool = False
    from_best: bool = False


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
        phases: Parts of the training, in order; empty if it is all of one piece. Otherwise the method names where the
            phases come from, and only the phases have temperatures.
        meta: Training images that are held out for meta-gradients; None if there are none.
        quantisation: How the student of another training is quantised; None for the training of a float network.
    """

    model: StudyComponent
    training: Training
    method: Component
    temperature: Component | None = None
    needs_teacher: bool = False
    restart: int = 0
    phases: tuple[Phase, ...] = ()
    meta: MetaPart | None = None
    quantisation: Quantisation | None = None

    @model_serializer(mode="wrap")
    def _without_phases(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A training of one piece is identified as if there were no phases, and likewise without the other two.
        table: dict[str, Any] = handler(self)
        for name in ("phases", "meta", "quantisation"):
            if not getattr(self, name):
                table.pop(name, None)
        return table

    def phase_at(self, epoch: int) -> int:
        """Return the number of the phase of an epoch, both counted from 0; after the last epoch, the last phase."""
        last = max(0, len(self.phases) - 1)
        return next((number for number in range(last) if epoch < self.begin_of(number + 1)), last)

    def begin_of(self, phase: int) -> int:
        """Return the first epoch of a phase, both counted from 0."""
        return sum(one.epochs for one in self.phases[:phase])

    def keeps_best(self, phase: int) -> bool:
        """Return whether the next phase begins with the best weights of a phase."""
        return any(one.from_best for one in self.phases[phase + 1 : phase + 2])

    def of_phase(self, number: int) -> "Recipe":
        """Return the recipe of a phase as if it were a training; its learning rates are those of the whole."""
        if not self.phases:
            return self
        phase = self.phases[number]
        changes = {name: getattr(phase, name) for name in ("method", "temperature", "needs_teacher")}
        training = self.training.model_copy(update={"epochs": phase.epochs})
        return self.model_copy(update={**changes, "training": training, "phases": ()})

    def teacher_epochs(self, epochs: int) -> int:
        """Return in how many of the first epochs of the training the teacher is needed."""
        if not self.phases:
            return epochs if self.needs_teacher else 0
        return sum(self.phases[self.phase_at(epoch)].needs_teacher for epoch in range(epochs))

    @property
    def trains(self) -> bool:
        """Whether weights are trained, so that there are backward passes."""
        return self.quantisation is None or self.quantisation.trains

    def trained_images(self, images: int) -> int:
        """Return how many of the images of the training part are trained on."""
        if self.quantisation and not self.quantisation.trains:
            return min(images, self.quantisation.images)
        return images - (held_out_images(images, self.meta.share) if self.meta else 0)

    def meta_passes(self, images: int) -> int:
        """Return the student's forward passes, one image each, that meta-gradients cost in an epoch.

        Args:
            images: Number of images in the training part.
        """
        return self.meta.student_passes(images, self.training.batch_size) if self.meta else 0

    def kind_of_steps(self, *, with_teacher: bool) -> tuple[MetaPart | None, frozenset[tuple[str, str]]]:
        """Return what the steps with or without a teacher consist of, on which the cost of an epoch depends.

        Args:
            with_teacher: Whether the steps need the teacher.

        Returns:
            The images for meta-gradients, and the name and digest of each loss.
        """
        losses = (one.method for one in self.phases or (self,) if one.needs_teacher == with_teacher)
        return self.meta, frozenset((one.name, one.digest) for one in losses)

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
        start: Identity of the trial with whose student the training begins; None for untrained weights.
    """

    setting: Setting
    recipe: Recipe
    seed: int
    start: str | None = None

    @model_serializer(mode="wrap")
    def _without_start(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        table: dict[str, Any] = handler(self)
        if self.start is None:
            table.pop("start", None)
        return table

    @cached_property
    def identity(self) -> str:
        """Identity of the trial, 12 hexadecimal digits. Trials with the same identity compute the same result."""
        return digest(self.model_dump(mode="json", context=AS_IDENTITY))[:12]
