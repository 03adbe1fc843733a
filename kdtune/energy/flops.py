"""Floating-point operations of trainings: the paper's nominal column, and the operations that are really executed.

A multiply-add (see :mod:`kdtune.energy.operation_counts`) is two FLOPs.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Self

from pydantic import Field

from kdtune.storage.records import exact

_Count = Annotated[int, Field(ge=0, lt=2**63)]

#: Cost of a forward and a backward pass, in forward passes. The backward pass costs about two: the gradients of the
#: activations and those of the weights. That the first layer needs only the latter is neglected.
TRAINING_PASSES = 3


@exact
@dataclass(frozen=True)
class Workload:
    """Sizes of a study's networks and data set, from which the FLOPs of its trainings follow.

    Attributes:
        teacher_macs: Multiply-adds of the teacher's forward pass for one image.
        student_macs: Multiply-adds of the student's forward pass for one image.
        train_images: Images in the training part.
        val_images: Images in the validation part, which is evaluated after every epoch.
        test_images: Images in the test set.
    """

    teacher_macs: _Count
    student_macs: _Count
    train_images: _Count
    val_images: _Count
    test_images: _Count

    def nominal_flops(self, epochs: int, *, teacher_epochs: int) -> int:
        """Return the nominal FLOPs of one training, as in the paper's column: forward passes only.

        2 x [teacher MACs x N_train + student MACs x (N_train + N_val)] x epochs

        Args:
            epochs: Epochs of the training.
            teacher_epochs: Those of them that need the teacher.
        """
        student = self.student_macs * (self.train_images + self.val_images)
        return 2 * (self.teacher_macs * self.train_images * teacher_epochs + student * epochs)

    def executed_flops(self, epochs: int, *, teacher_epochs: int) -> int:
        """Return the FLOPs that one training executes, the backward passes included.

        The paper prints a single figure of this kind, the 2.16 in Table 8 for a student alone; its other rows count
        forward passes only.

        Args:
            epochs: Epochs of the training.
            teacher_epochs: Those of them in which the teacher's forward passes are executed.
        """
        student = self.student_macs * (TRAINING_PASSES * self.train_images + self.val_images)
        return 2 * (self.teacher_macs * self.train_images * teacher_epochs + student * epochs)

    @property
    def distillation_ratio(self) -> float:
        """Executed FLOPs of an epoch with a live teacher, divided by those of an epoch of the student alone."""
        return self.executed_flops(1, teacher_epochs=1) / self.executed_flops(1, teacher_epochs=0)

    def trained_on(self, images: int) -> Self:
        """Return the sizes of trainings on a part of the training images."""
        return replace(self, train_images=images)

    def student_passes_flops(self, passes: int) -> int:
        """Return the FLOPs of a number of forward passes of the student, one image each."""
        return 2 * self.student_macs * passes

    def teacher_passes_flops(self, passes: int) -> int:
        """Return the FLOPs of a number of forward passes of the teacher, one image each."""
        return 2 * self.teacher_macs * passes

    def teacher_flops(self, epochs: int) -> int:
        """Return the nominal FLOPs of the teacher's own training, counted like those of the students."""
        return 2 * self.teacher_macs * (self.train_images + self.val_images) * epochs
