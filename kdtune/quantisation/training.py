"""Trainings of quantised students: an epoch loop with simulated rounding, or one pass of calibration."""

from collections.abc import Iterator
from typing import Any

import torch

from kdtune.data.batches import Splits
from kdtune.quantisation.networks import Int8Student, PreparedStudent, converted
from kdtune.specs.trial_spec import Recipe
from kdtune.tasks.task import Evaluation, Task
from kdtune.training.distiller import Distiller

#: Share of the steps in which observers follow the ranges; afterwards the weights settle in ranges that stay.
OBSERVED = 2 / 3

Weights = dict[str, torch.Tensor]


class QuantisationAwareTraining(Distiller):
    """Trains a student on the labels while its rounding to integers is simulated.

    It computes in float32 and without a compiler, whatever the study's numerics are.
    """

    def __init__(
        self, recipe: Recipe, seed: int, task: Task, splits: Splits, device: torch.device, start: Weights | None
    ) -> None:
        """Build the network; see :class:`kdtune.training.distiller.Distiller`.

        Args:
            recipe: Recipe with a quantisation.
            seed: Seed of the repeat.
            task: Task of the network.
            splits: The data, on ``device``.
            device: Device of the training.
            start: Weights of the float student; None leaves it untrained, for steps that are only timed.
        """
        self._start = start
        super().__init__(recipe, seed, task, splits, device)

    def _new_network(self) -> torch.nn.Module:
        shape = self._splits.train.images.shape[1:]
        return prepared_student(self.recipe, self._task, shape, self._start).to(self._device)

    def _step(self, images: torch.Tensor, targets: Any, index: torch.Tensor, step: int) -> torch.Tensor:
        steps = len(self.batch_sizes)
        if self.epoch * steps + step >= OBSERVED * self.recipe.training.epochs * steps:
            assert isinstance(self.model, PreparedStudent)
            self.model.stop_observing()
        return super()._step(images, targets, index, step)


class Calibration(QuantisationAwareTraining):
    """Shows images to a student, whose observers note the ranges; no weight changes.

    The student is validated as the int8 network that follows from these ranges.
    """

    def steps(self) -> Iterator[torch.Tensor]:
        """Yield the loss of the float student on one batch after the other."""
        training, train = self.recipe.training, self._splits.train
        due, seen = self.recipe.trained_images(len(train)), 0
        self.model.train()
        for images, targets, index in train.shuffled(training.batch_size, self._seed, self.epoch):
            if seen >= due:
                return
            seen += len(index)
            with torch.no_grad():
                loss = self._training_step.label_loss(self._arithmetic.logits(self.model, images), targets)
            yield loss

    def validate(self) -> Evaluation:
        """Evaluate the int8 network on the validation images."""
        assert isinstance(self.model, PreparedStudent)
        int8 = Int8Student(converted(self.model)).to(self._device)
        return self._task.evaluate(int8, self._splits.validation, self._arithmetic)


def quantised_training(
    recipe: Recipe, seed: int, task: Task, splits: Splits, device: torch.device, start: Weights | None
) -> Distiller:
    """Return the training of a recipe with a quantisation; the arguments are those of the classes."""
    assert recipe.quantisation is not None
    kind = QuantisationAwareTraining if recipe.quantisation.trains else Calibration
    return kind(recipe, seed, task, splits, device, start)


def prepared_student(recipe: Recipe, task: Task, shape: torch.Size, start: Weights | None) -> PreparedStudent:
    """Return the prepared network of a recipe with a quantisation, on the CPU.

    Args:
        recipe: The recipe.
        task: Task of the network.
        shape: Channels, height and width of an image.
        start: Weights of the float student; None leaves it untrained.
    """
    assert recipe.quantisation is not None
    network = task.network(recipe.model, shape)
    if start:
        network.load_state_dict(start)
    return PreparedStudent(network, recipe.quantisation, shape, (recipe.model.model_dump_json(), task, shape))
