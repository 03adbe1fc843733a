"""Images that a training makes against its own student, for methods with an adversarial term."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from kdtune.artifacts.student_data import inverted_teacher, synthesizer_of, synthesizer_with
from kdtune.data.batches import ImageSet
from kdtune.specs.seeds import derive_seed
from kdtune.specs.trial_spec import Recipe
from kdtune.synthesis.base import Synthesizer
from kdtune.synthesis.inverted_network import InvertedNetwork
from kdtune.training.numerics import Arithmetic

if TYPE_CHECKING:
    from kdtune.artifacts.training_context import TrainingContext


class TrialImages:
    """The training images of one training, some of which are replaced before each epoch.

    The training begins with the images that all trainings share. The images that it makes itself take their place, the
    oldest first, so that all epochs have the same number of steps.

    Attributes:
        phase: Name of the making of images in the energy ledger.
        train: The training images.
    """

    phase = "synthesis"

    def __init__(
        self, train: ImageSet, synthesizer: Synthesizer, teacher: InvertedNetwork, batches: int, arithmetic: Arithmetic
    ) -> None:
        """Begin with the shared images.

        Args:
            train: The shared training images, which are copied.
            synthesizer: Makes the images of all epochs.
            teacher: The teacher.
            batches: Batches before each epoch.
            arithmetic: Precision and memory layout of the student.
        """
        assert isinstance(train.images, torch.Tensor)
        self.train = replace(train, images=train.images.clone(), labels=train.labels.clone())
        self._synthesizer = synthesizer
        self._teacher = teacher
        self._batches = batches
        self._arithmetic = arithmetic
        self._epochs = self._made = 0
        self._recent: deque[torch.Tensor] = deque(maxlen=synthesizer.remembered)

    def prepare(self, epoch: int, student: torch.nn.Module) -> None:
        """Make the images of an epoch, counted from 0, unless that has been done."""
        if epoch < self._epochs:
            return
        with _frozen(student):
            for number in range(epoch * self._batches, (epoch + 1) * self._batches):
                images, _ = self._synthesizer.make(number, self._teacher, lambda x: self._arithmetic.logits(student, x))
                self._put(images, self._teacher.classified(images).argmax(1))
                self._synthesizer.remember(number, images, self._teacher)
                self._recent.append(images)
        self._epochs = epoch + 1

    def _put(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        rows = (torch.arange(len(images), device=labels.device) + self._made) % len(self.train)
        self.train.images[rows], self.train.labels[rows] = images, labels  # type: ignore[index]
        self._made += len(images)

    def state_dict(self) -> dict[str, Any]:
        """Return the replaced images and all that later ones depend on, loadable with ``weights_only=True``."""
        return {
            "epochs": self._epochs,
            "made": self._made,
            "images": self.train.images[: self._made],
            "labels": self.train.labels[: self._made],
            "recent": list(self._recent),
            "method": self._synthesizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a result of :meth:`state_dict`."""
        self._epochs, self._made = int(state["epochs"]), int(state["made"])
        replaced = slice(min(self._made, len(self.train)))
        self.train.images[replaced], self.train.labels[replaced] = state["images"], state["labels"]  # type: ignore[index]
        self._synthesizer.load_state_dict(state["method"])
        first = self._epochs * self._batches - len(state["recent"])
        for number, images in enumerate(state["recent"], first):
            self._recent.append(images.to(self._teacher.device))
            self._synthesizer.remember(number, self._recent[-1], self._teacher)


@contextmanager
def _frozen(student: torch.nn.Module) -> Iterator[None]:
    """Let a student classify images without changing it."""
    training, learned = student.training, [one for one in student.parameters() if one.requires_grad]
    student.eval()
    for one in learned:
        one.requires_grad_(False)
    try:
        yield
    finally:
        student.train(training)
        for one in learned:
            one.requires_grad_(True)


def trial_images_of(context: "TrainingContext[Any]", recipe: Recipe, seed: int) -> TrialImages | None:
    """Return the images of a training that makes some itself; None for one that does not.

    Args:
        context: The study's data and networks.
        recipe: Recipe of the training.
        seed: Seed of the repeat. All trainings of a repeat draw the same random numbers.
    """
    if context.study.synthesis is None:
        return None
    options = synthesizer_of(context).common
    if not options.trial_batches:
        return None
    images = options.trial_batches * recipe.training.epochs * options.batch_size
    own = options.model_copy(update={"images": images, "seed": derive_seed(options.seed, "trial", seed)})
    teacher = inverted_teacher(context)
    return TrialImages(
        context.splits.train, synthesizer_with(context, own), teacher, options.trial_batches, context.arithmetic
    )
