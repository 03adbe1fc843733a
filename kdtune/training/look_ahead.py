"""A virtual step of the student, through which gradients flow to the temperature."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.func import functional_call

from kdtune.data.batches import ImageSet
from kdtune.data.splits import stratified_split
from kdtune.specs.meta_part import MetaPart
from kdtune.temperature.base import Temperature
from kdtune.training.training_step import Teacher, TrainingStep


class HeldOutImages:
    """Training images that no step trains on, for meta-gradients alone.

    They are the same in all trainings of a study, and are none of the images that strategies are judged by.
    """

    def __init__(self, train: ImageSet, meta: MetaPart) -> None:
        """Choose the images.

        Args:
            train: The training part.
            meta: How many they are, and how often they are used.
        """
        self._train = train
        self._every = meta.every
        _, rows = stratified_split(train.strata(), meta.share, 0)
        self._rows = torch.from_numpy(rows).to(train.labels.device)
        #: Whether an image is held out, bool, (N,).
        self.mask = torch.zeros(len(train), dtype=torch.bool, device=train.labels.device)
        self.mask[self._rows] = True

    def __len__(self) -> int:
        return len(self._rows)

    def of_step(self, step: int, size: int) -> tuple[torch.Tensor, Any] | None:
        """Return images and targets for the look-ahead before a step; None if the step has none.

        Args:
            step: Number of the step in the epoch. Later ones get later images, and the first ones come again.
            size: Number of images in the step.
        """
        if step % self._every:
            return None
        size = min(size, len(self))
        first = step // self._every * size
        places = torch.arange(first, first + size, device=self._rows.device) % len(self)
        return self._train.batch(self._rows[places], None)


@dataclass(frozen=True)
class LookAhead:
    """What a policy may find out before a step.

    Attributes:
        step: The training step, of which nothing is changed.
        images: Images of the next step, as for :meth:`TrainingStep.take`; so are the next three.
        targets: Their targets.
        index: Their numbers.
        teacher: Gives the teacher's logits.
        progress: Share of the epochs that have begun, 0-d.
        held_out: Images and targets of the loss that the policy lowers.
    """

    step: TrainingStep
    images: torch.Tensor
    targets: Any
    index: torch.Tensor
    teacher: Teacher | None
    progress: torch.Tensor
    held_out: tuple[torch.Tensor, Any]

    def held_out_loss(self, temperature: Callable[[], Temperature], rate: float | None = None) -> torch.Tensor:
        """Return the loss with the held-out labels after a virtual step of plain gradient descent, 0-d.

        Args:
            temperature: Gives the temperature of the virtual step; gradients flow to it, of second order.
            rate: Learning rate of the virtual step; None for that of the real one.
        """
        step, weights = self.step, dict(self.step.model.named_parameters())
        outputs = self._outputs(weights, self.images)
        teacher = self.teacher(self.images, self.index) if self.teacher else None
        pairs = step.task.soft_pairs(outputs, teacher, self.targets)
        softness = temperature().of_pairs(len(pairs.student))
        loss = step.loss_of(pairs, outputs, self.targets, softness, self.progress)
        slopes = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
        rate = step.optimizer.param_groups[0]["lr"] if rate is None else rate
        moved = {name: one - rate * slope for (name, one), slope in zip(weights.items(), slopes, strict=True)}
        images, targets = self.held_out
        return step.label_loss(self._outputs(moved, images), targets)

    def _outputs(self, weights: Mapping[str, torch.Tensor], images: torch.Tensor) -> torch.Tensor:
        # Running statistics are copied, so that a virtual pass leaves no trace in the network.
        model = self.step.model
        state = {**weights, **{name: buffer.clone() for name, buffer in model.named_buffers()}}
        return self.step.arithmetic.logits(lambda batch: functional_call(model, state, batch), images)
