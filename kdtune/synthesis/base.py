"""Base class of methods that make images from a teacher; plans validate their options without importing torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import BaseModel, Field, model_validator

from kdtune.specs.frozen_model import FrozenModel

if TYPE_CHECKING:
    import torch

    from kdtune.synthesis.inverted_network import InvertedNetwork

#: Weight of a term of a method's loss.
Weight = Annotated[float, Field(ge=0.0, le=1e6)]

#: Number of iterations.
Iterations = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]

#: Iterations of a batch that are timed to estimate what the whole batch takes.
TIMED_ITERATIONS = 4


class Options(FrozenModel):
    """Options that all methods have.

    Attributes:
        images: Number of images, those that are held out included.
        held_out: Number of them that the student is not trained on. The study selects by them, unless its
            ``selection`` is ``validation``.
        batch_size: Images that are made together.
        seed: Seed of all random numbers. It does not depend on the study's ``seed``, so all repeats share the images.
    """

    images: int = Field(default=2048, ge=4, le=10_000_000, strict=True)
    held_out: int = Field(default=256, ge=1, strict=True)
    batch_size: int = Field(default=256, ge=2, le=65_536, strict=True)
    seed: int = Field(default=0, ge=0, lt=2**31, strict=True)

    @model_validator(mode="after")
    def _leaves_images_to_train_on(self) -> Options:
        if self.held_out > self.images - 2:
            raise ValueError(f"held_out = {self.held_out} of {self.images} images leaves fewer than 2 to train on")
        return self

    @property
    def batches(self) -> list[int]:
        """Number of images in each batch."""
        whole, left = divmod(self.images, self.batch_size)
        return [self.batch_size] * whole + ([left] if left else [])

    @property
    def trial_batches(self) -> int:
        """Batches that each trial makes against its own student before each epoch; 0 if no image depends on it."""
        return 0

    def of_shared(self) -> Self:
        """Return options of the images that all trials share, which do not depend on a student."""
        return self

    def for_timing(self, images: int) -> tuple[Self, float]:
        """Return options for a piece of the work that is timed, and the share of a whole batch that it is.

        Args:
            images: Number of images in the batch.
        """
        return self.model_copy(update={"images": images, "batch_size": images}), 1.0


class InversionOptions(Options):
    """Options of methods that invert the teacher.

    Attributes:
        iterations: Steps of the optimiser for each batch.
        bn: Weight of the distance of statistics.
        class_weight: Weight of the cross-entropy with the drawn classes.
        adv: Weight of the student's disagreement; with more than 0, each trial makes images of its own as well.
        own_batches: With ``adv``, the batches that each trial makes before each epoch; 1 by default.
    """

    iterations: Iterations
    bn: Weight
    class_weight: Weight = 1.0
    adv: Weight = 0.0
    own_batches: int | None = Field(default=None, ge=1, le=100_000, strict=True)

    @model_validator(mode="after")
    def _makes_own_batches_with_a_student(self) -> Self:
        if self.own_batches is not None and not self.adv:
            raise ValueError("own_batches has no effect with adv = 0: then all trials share the same images")
        return self

    @property
    def trial_batches(self) -> int:
        """Batches of a trial before each epoch; see the base class."""
        return (self.own_batches or 1) if self.adv else 0

    def of_shared(self) -> Self:
        """Return the same options without the student's disagreement."""
        return self.model_copy(update={"adv": 0.0, "own_batches": None})

    def for_timing(self, images: int) -> tuple[Self, float]:
        """Return options with a few iterations; see the base class."""
        one_batch, _ = super().for_timing(images)
        iterations = min(TIMED_ITERATIONS, self.iterations)
        return one_batch.model_copy(update={"iterations": iterations}), iterations / self.iterations


class Synthesizer(ABC):
    """Makes images in batches. A batch depends on teacher, options and its number alone.

    Attributes:
        Options: Model of the method's options, derived from :class:`Options`.
        independent: Whether batches do not depend on each other, so that they can be made in any order.
        needs_batch_norm: Whether the method compares with running statistics of batch normalisation.
    """

    Options: ClassVar[type[BaseModel]] = Options
    independent: ClassVar[bool] = True
    needs_batch_norm: ClassVar[bool] = True

    def __init__(self, options: BaseModel, classes: int, shape: tuple[int, int, int]) -> None:
        """Keep what all batches depend on.

        Args:
            options: An instance of the class's ``Options``.
            classes: Number of classes.
            shape: Channels, height and width of an image.
        """
        assert isinstance(options, Options)
        self.common = options
        self.classes = classes
        self.shape = shape

    @abstractmethod
    def make(self, number: int, teacher: InvertedNetwork, student: Any = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Make one batch.

        Args:
            number: Number of the batch, counted from 0.
            teacher: The teacher.
            student: The student, for methods with an adversarial term; otherwise None.

        Returns:
            Images, uint8, (n, channels, height, width); and the classes that they were made for, int64, (n,). Both on
            the teacher's device.
        """

    def remember(self, number: int, images: torch.Tensor, teacher: InvertedNetwork) -> None:  # noqa: B027 - optional
        """Take note of a finished batch, in the order of the numbers, if later batches depend on it.

        Args:
            number: Number of the batch.
            images: Its images, as :meth:`make` returned them.
            teacher: The teacher.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return what later batches depend on, besides the finished ones; loadable with ``weights_only=True``."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027 - optional
        """Restore a result of :meth:`state_dict`."""

    @property
    def remembered(self) -> int:
        """Number of batches on which the next one depends."""
        return 0

    def rehearse(self, images: torch.Tensor, teacher: InvertedNetwork) -> None:  # noqa: B027 - optional
        """Take on the state in which most batches are made, if that makes them slower than the first; for timing.

        Args:
            images: Any images, as :meth:`make` returns them.
            teacher: The teacher.
        """

    @abstractmethod
    def flops(self, teacher_macs: int, student_macs: int) -> int:
        """Return the FLOPs that it takes to make one image. A pass backward to the images costs as much as one forward.

        Args:
            teacher_macs: Multiply-adds of the teacher's forward pass for one image; each is two FLOPs.
            student_macs: Those of the student's.
        """

    def drawn_classes(self, number: int, generator: torch.Generator) -> torch.Tensor:
        """Draw the classes of a batch, int64, (n,), on the CPU."""
        import torch

        return torch.randint(self.classes, (self.common.batches[number],), generator=generator)

    def generator(self, number: int) -> torch.Generator:
        """Return the source of the random numbers of a batch, on the CPU."""
        import torch

        from kdtune.specs.seeds import derive_seed

        return torch.Generator().manual_seed(derive_seed(self.common.seed, "synthesis", number))
