"""One training step, from a batch of images to changed weights: the same for an eager and for a captured training."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

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
        loss: One of :mod:`kdtune.methods.losses`.
        alpha: Weight of the distillation term.
    """

    model: torch.nn.Module
    compiled: torch.nn.Module | None
    compiled_size: int
    arithmetic: Arithmetic
    optimizer: torch.optim.Optimizer
    loss: Callable[..., Any]
    alpha: float

    def take(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        index: torch.Tensor,
        teacher: Teacher | None,
        temperature: Callable[[torch.Tensor, torch.Tensor], Temperature] | None,
    ) -> torch.Tensor:
        """Take one step and return its loss, 0-d, without a gradient.

        Args:
            images: float32, (n, channels, height, width), changed and normalised.
            labels: int64, (n,).
            index: The images' numbers, int64, (n,).
            teacher: Gives the logits to imitate; None where the loss needs none.
            temperature: From the student's and the teacher's logits; None without a teacher.
        """
        # Code is compiled for one size of batch; the last batch of an epoch may have another.
        is_whole = len(images) == self.compiled_size
        model = self.compiled if self.compiled is not None and is_whole else self.model
        # What is not needed is let go first, and the teacher asked first: while it computes, nothing is kept that the
        # student's backward pass needs.
        self.optimizer.zero_grad(set_to_none=True)
        with told_plainly():
            teacher_logits = teacher(images, index) if teacher is not None else None
            student_logits = self.arithmetic.logits(model, images)
            if teacher_logits is not None and temperature is not None:
                softness = temperature(student_logits, teacher_logits)
                loss = self.loss(student_logits, teacher_logits, labels, softness, self.alpha)
            else:
                loss = self.loss(student_logits, None, labels, None, self.alpha)
            loss.backward()
        self.optimizer.step()
        detached: torch.Tensor = loss.detach()
        return detached
