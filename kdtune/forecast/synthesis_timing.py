"""Pieces of the work of making images from a teacher, which are timed before there is one."""

from collections.abc import Iterator

import torch

from kdtune.artifacts.student_data import inverted_teacher, synthesizer_of, synthesizer_with
from kdtune.artifacts.training_context import TrainingContext


def syntheses(context: TrainingContext, size: int, *, against_student: bool) -> Iterator[float]:
    """Make images from an untrained teacher without end, which takes as long as from the real one.

    Args:
        context: The study's training context.
        size: Number of images in a batch.
        against_student: Whether they are made against an untrained student, as each trial makes its own.

    Yields:
        For each piece of work, the number of images that could have been made in its time.
    """
    options, share = synthesizer_of(context).common.for_timing(size)
    synthesizer = synthesizer_with(context, options)
    teacher = inverted_teacher(context, untrained=True)
    student = None
    if against_student:
        network = context.untrained_student().eval().requires_grad_(False)
        student = lambda images: context.arithmetic.logits(network, images)  # noqa: E731
    synthesizer.rehearse(torch.zeros(size, *context.image_shape, dtype=torch.uint8, device=context.device), teacher)
    while True:
        teacher.classified(synthesizer.make(0, teacher, student)[0])
        yield size * share
