"""A virtual step of the student, through which gradients flow to the temperature."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd import forward_ad
from torch.func import functional_call

from kdtune.data.batches import ImageSet
from kdtune.data.splits import stratified_split
from kdtune.errors import UsageError
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

        Its gradient with respect to the temperature is exact, of second order. The temperature acts on the virtual step
        through the gradient g of the loss with respect to the outputs z alone. With the slope v of the held-out loss
        after the step, the chain rule gives d loss / d tau = -rate (dg / d tau) (dz / d weights v), whose last factor
        is one derivative in forward mode. Differentiating the backward pass would give the same, but takes many times
        as long for depthwise convolutions, whose channels torch then computes one by one.

        Args:
            temperature: Gives the temperature of the virtual step; gradients flow to it.
            rate: Learning rate of the virtual step; None for that of the real one.

        Raises:
            UsageError: The network has an operation without a derivative in forward mode.
        """
        step, weights = self.step, dict(self.step.model.named_parameters())
        rate = step.optimizer.param_groups[0]["lr"] if rate is None else rate
        draws = _Draws(self.images.device)
        outputs = self._outputs(weights, self.images)
        slope_of_outputs = self._slope_of(outputs, temperature)
        slopes = torch.autograd.grad(outputs, list(weights.values()), slope_of_outputs.detach())
        moved = {
            name: (one.detach() - rate * slope).requires_grad_()
            for (name, one), slope in zip(weights.items(), slopes, strict=True)
        }
        images, targets = self.held_out
        loss = step.label_loss(self._outputs(moved, images), targets)
        directions = dict(zip(moved, torch.autograd.grad(loss, list(moved.values())), strict=True))
        with draws.again():
            change = self._change_along(weights, directions)
        effect = -rate * (slope_of_outputs * change).sum()
        return loss.detach() + effect - effect.detach()

    def _slope_of(self, outputs: torch.Tensor, temperature: Callable[[], Temperature]) -> torch.Tensor:
        """Return the gradient of the loss of the virtual step with respect to the outputs, itself with a gradient."""
        step, outputs = self.step, outputs.detach().requires_grad_()
        teacher = self.teacher(self.images, self.index) if self.teacher else None
        pairs = step.task.soft_pairs(outputs, teacher, self.targets)
        softness = temperature().of_pairs(len(pairs.student))
        loss = step.loss_of(pairs, outputs, self.targets, softness, self.progress)
        return torch.autograd.grad(loss, outputs, create_graph=True)[0]

    def _change_along(
        self, weights: Mapping[str, torch.Tensor], directions: Mapping[str, torch.Tensor]
    ) -> torch.Tensor:
        """Return the derivative of the outputs for the batch along a direction of the weights, without a gradient."""
        try:
            with torch.no_grad(), forward_ad.dual_level():
                dual = {name: forward_ad.make_dual(one.detach(), directions[name]) for name, one in weights.items()}
                change: torch.Tensor = forward_ad.unpack_dual(self._outputs(dual, self.images)).tangent
        except NotImplementedError as error:
            raise UsageError(
                "the temperature 'meta' needs derivatives in forward mode, which an operation of the student does not "
                f"have; choose another strategy, or give its torch.autograd.Function a method jvp: {error}"
            ) from None
        return change

    def _outputs(self, weights: Mapping[str, torch.Tensor], images: torch.Tensor) -> torch.Tensor:
        # Running statistics are copied, so that a virtual pass leaves no trace in the network.
        model = self.step.model
        state = {**weights, **{name: buffer.clone() for name, buffer in model.named_buffers()}}
        return self.step.arithmetic.logits(lambda batch: functional_call(model, state, batch), images)


class _Draws:
    """The random draws of a pass of a network (dropout), to be repeated by a second pass."""

    def __init__(self, device: torch.device) -> None:
        """Remember the present state of the generators."""
        self._gpus = [device] if device.type == "cuda" else []
        self._cpu_state = torch.get_rng_state()
        self._gpu_states = [torch.cuda.get_rng_state(one) for one in self._gpus]

    @contextmanager
    def again(self) -> Iterator[None]:
        """Draw as then within the block, and after it as if there had been no block."""
        with torch.random.fork_rng(devices=self._gpus):
            torch.set_rng_state(self._cpu_state)
            for gpu, state in zip(self._gpus, self._gpu_states, strict=True):
                torch.cuda.set_rng_state(state, gpu)
            yield
