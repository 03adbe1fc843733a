"""One training step, from a batch of images to updated weights, for eager and for captured trainings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from kdtune.methods.loading import DistillationLoss
from kdtune.methods.soft_pairs import SoftPairs
from kdtune.tasks.task import LabelLoss, Task
from kdtune.temperature.base import Temperature
from kdtune.training.compiled_networks import compiler_errors_converted
from kdtune.training.numerics import Arithmetic

#: Function from the logits of student and teacher and the labels of all pairs to the temperature of a step.
StepTemperature = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], Temperature]

#: Function from a batch of images and their indices to the teacher's logits.
Teacher = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class TrainingStep:
    """The parts of every step of one training.

    Attributes:
        model: The network that is trained.
        compiled: The same network, compiled for batches of one size; None if it is not compiled.
        compiled_size: The batch size of the compiled network.
        arithmetic: Precision and memory layout.
        optimizer: Optimiser of the network's parameters.
        task: Task that turns outputs into pairs of logits.
        loss: Loss of the training; see :mod:`kdtune.methods.losses`.
        label_loss: The task's loss with the labels.
        alpha: Weight of the distillation term.
    """

    model: torch.nn.Module
    compiled: torch.nn.Module | None
    compiled_size: int
    arithmetic: Arithmetic
    optimizer: torch.optim.Optimizer
    task: Task
    loss: DistillationLoss
    label_loss: LabelLoss
    alpha: float

    def take(
        self,
        images: torch.Tensor,
        targets: Any,
        index: torch.Tensor,
        teacher: Teacher | None,
        temperature: StepTemperature | None,
        progress: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Take one step and return its loss, 0-d, without a gradient.

        Args:
            images: Augmented and normalised images, float32, (n, channels, height, width).
            targets: Targets of the images, as returned by the training part.
            index: Indices of the images, int64, (n,).
            teacher: Returns the teacher's logits; None if the loss needs no teacher.
            temperature: Gives the temperature of the step; None without a teacher.
            progress: Share of the training's epochs that have begun, float32, 0-d; None stands for 1.
        """
        # Code is compiled for one batch size; the last batch of an epoch may have another size.
        is_whole = len(images) == self.compiled_size
        model = self.compiled if self.compiled is not None and is_whole else self.model
        # Gradients are freed first, and the teacher runs before the student, so nothing that the student's backward
        # pass needs occupies memory while the teacher computes.
        self.optimizer.zero_grad(set_to_none=True)
        with compiler_errors_converted():
            teacher_outputs = teacher(images, index) if teacher is not None else None
            outputs = self.arithmetic.logits(model, images)
            pairs = self.task.soft_pairs(outputs, teacher_outputs, targets)
            softness = None
            if pairs.teacher is not None and temperature is not None:
                softness = temperature(pairs.student, pairs.teacher, pairs.labels).of_pairs(len(pairs.student))
            loss = self.loss_of(pairs, outputs, targets, softness, progress)
            loss.backward()
        self.optimizer.step()
        detached: torch.Tensor = loss.detach()
        return detached

    def loss_of(
        self,
        pairs: SoftPairs,
        outputs: torch.Tensor,
        targets: Any,
        temperature: Temperature | None,
        progress: torch.Tensor | None,
    ) -> torch.Tensor:
        """Return the whole loss of a batch, 0-d.

        Args:
            pairs: Of the outputs.
            outputs: Of the network.
            targets: Of the same images.
            temperature: Of each pair, or of all; None without a teacher.
            progress: Share of the training's epochs that have begun, 0-d; None stands for 1.
        """
        loss = self.loss(pairs, lambda: self.label_loss(outputs, targets), temperature, self.alpha, progress)
        return loss if pairs.further_loss is None else loss + pairs.further_loss
