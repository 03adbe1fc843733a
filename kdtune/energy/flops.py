"""Floating-point operations: the paper's column and what training really executes.

fvcore counts a multiply-add as one; a FLOP here is half of one, so two FLOPs are counted for each.
"""

import logging
import warnings
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from kdtune.energy.logger_levels import level_of
from kdtune.storage.records import exact

_Count = Annotated[int, Field(ge=0, lt=2**63)]

#: A backward pass costs about two forward passes: gradients of the activations and of the weights. (Of the first
#: layer only the latter are computed, since the images need none; that is left out of account.)
TRAINING_PASSES = 3


def macs(model: object, channels: int, height: int, width: int) -> int:
    """Multiply-adds of one forward pass for one image, counted by fvcore.

    Args:
        model: A ``torch.nn.Module``; its mode is restored.
        channels: Of the image.
        height: Of the image.
        width: Of the image.
    """
    import torch
    from fvcore.nn import FlopCountAnalysis

    assert isinstance(model, torch.nn.Module)
    was_training = model.training
    image = torch.zeros(1, channels, height, width, device=next(model.parameters()).device)
    with warnings.catch_warnings(), level_of("fvcore", logging.ERROR):
        warnings.simplefilter("ignore")  # of torch.jit.trace, which fvcore uses
        count = FlopCountAnalysis(model.eval(), image).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        total = int(count.total())
    model.train(was_training)
    return total


@exact
@dataclass(frozen=True)
class Workload:
    """The size of a study's trainings.

    Attributes:
        teacher_macs: Multiply-adds of the teacher's forward pass for one image.
        student_macs: The student's.
        train_images: Images in the training part.
        val_images: Images in the validation part, evaluated after every epoch.
        test_images: Images in the test set.
    """

    teacher_macs: _Count
    student_macs: _Count
    train_images: _Count
    val_images: _Count
    test_images: _Count

    def nominal_flops(self, epochs: int, *, with_teacher: bool) -> int:
        """The paper's column for one training: forward passes only, as its published figures fit.

        2 x [teacher MACs x N_train + student MACs x (N_train + N_val)] x epochs
        """
        teacher = self.teacher_macs * self.train_images if with_teacher else 0
        return 2 * (teacher + self.student_macs * (self.train_images + self.val_images)) * epochs

    def executed_flops(self, epochs: int, *, teacher_forward: bool) -> int:
        """What one training executes: the student's passes forward and backward, and the teacher's forward.

        The paper has one such figure: the 2.16 of Table 8 for a student alone, beside forward passes in all other rows.
        """
        teacher = self.teacher_macs * self.train_images if teacher_forward else 0
        student = self.student_macs * (TRAINING_PASSES * self.train_images + self.val_images)
        return 2 * (teacher + student) * epochs

    @property
    def distillation_ratio(self) -> float:
        """How many epochs of the student alone execute what one of distillation with a live teacher does."""
        return self.executed_flops(1, teacher_forward=True) / self.executed_flops(1, teacher_forward=False)

    def teacher_passes_flops(self, passes: int) -> int:
        """What asking the teacher for the logits of so many images executes."""
        return 2 * self.teacher_macs * passes

    def teacher_flops(self, epochs: int) -> int:
        """Nominal FLOPs of the teacher's own training, counted like the students'."""
        return 2 * self.teacher_macs * (self.train_images + self.val_images) * epochs
