"""One training step, from a batch of images to changed weights: the same for an eager and for a captured training."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from kdtune.methods.loading import DistillationLoss
from kdtune.tasks.task import LabelLoss, Task
from kdtune.temperature.base import Temperature
from kdtune.training.compiled_networks import told_plainly
from kdtune.training.numerics import Arithmetic

#: From a batch of images and their numbers to the teacher's logits.
Teacher = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class TrainingStep:
    """What takes part in every step of one training.

    Attributes:
        model: The network that is trained.
        compiled: The same, compiled for batches of one size; None where nothing is compiled.
        compiled_size: That size.
        arithmetic: Precision and memory layout.
        optimizer: Of the network's parameters.
        task: Turns outputs into pairs of logits.
        loss: See :mod:`kdtune.methods.losses`.
        label_loss: Of the task.
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
        temperature: Callable[[torch.Tensor, torch.Tensor], Temperature] | None,
    ) -> torch.Tensor:
        """Take one step and return its loss, 0-d, without a gradient.

        Args:
            images: float32, (n, channels, height, width), changed and normalised.
            targets: Of these images, as the training part gives them.
            index: The images' numbers, int64, (n,).
            teacher: Gives the logits to imitate; None where the loss needs none.
            temperature: From the student's and the teacher's logits of all pairs; None without a teacher.
        """
        # Code is compiled for one size of batch; the last batch of an epoch may have another.
        is_whole = len(images) == self.compiled_size
        model = self.compiled if self.compiled is not None and is_whole else self.model
        # What is not needed is let go first, and the teacher asked first: while it computes, nothing is kept that the
        # student's backward pass needs.
        self.optimizer.zero_grad(set_to_none=True)
        with told_plainly():
            teacher_outputs = teacher(images, index) if teacher is not None else None
            outputs = self.arithmetic.logits(model, images)
            pairs = self.task.soft_pairs(outputs, teacher_outputs, targets)
            softness = None
            if pairs.teacher is not None and temperature is not None:
                softness = temperature(pairs.student, pairs.teacher).of_pairs(len(pairs.student))
            loss = self.loss(pairs, lambda: self.label_loss(outputs, targets), softness, self.alpha)
            loss.backward()
        self.optimizer.step()
        detached: torch.Tensor = loss.detach()
        return detached
