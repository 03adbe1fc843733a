"""Contrastive Model Inversion (Fang et al., IJCAI 2021, arXiv 2105.08584): a generator, and contrast between images.

Each batch has a generator of its own, drawn anew, and vectors z ~ N(0, 1), both optimised by Adam:

    L = bn r + class CE + adv A + contrast C

The first three are of a global view of the images (moved by up to 4 pixels and flipped): r is DeepInversion's distance
of the batch statistics, CE the cross-entropy of the teacher's outputs with random classes, and

    A = -mean(KL(teacher, student) where both name the same class), at temperature 1.

C compares a local view (25 to 100 % of the image, enlarged, and flipped) with the global views, among the batch and
4096 images of earlier batches. Features of an image are the spatial means of the inputs of all batch normalisations of
the teacher; a head, trained along, maps them to unit vectors. Local views are the queries, global views the keys:

    C = mean over the batch + mean over the earlier images of CE(queries keys^T / 0.1, own key)

The images of the lowest L are kept. In the authors' code no earlier image is drawn when the memory is exactly full, and
the loss is not a number; here the number of images is counted.

The features of earlier images are those of the finished uint8 images, so that they can be computed again when an
interrupted synthesis continues.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, Field

from kdtune.specs.seeds import derive_seed
from kdtune.synthesis import base

if TYPE_CHECKING:
    import torch

    from kdtune.synthesis.contrast import Head, MemoryBank
    from kdtune.synthesis.inverted_network import InvertedNetwork, Response


class Options(base.InversionOptions):
    """Options of CMI.

    Attributes:
        iterations: Steps of Adam for each batch.
        learning_rate: Learning rate of Adam, of the head's too.
        bn: Weight of the distance of the statistics.
        contrast: Weight of the contrastive loss.
        contrast_temperature: Temperature of the similarities.
        memory: Number of earlier images that are remembered.
        negatives: Number of them that are drawn for a step.
        inputs: Size of the generator's vectors.
        width: Channels of the generator; see :class:`kdtune.synthesis.generator.Generator`.
        head: Size of the head's unit vectors.
        shift: Greatest number of pixels by which global views are moved.
        least_area: Least area of a local view.
        flip: Whether views are flipped left to right; not for digits and letters.
    """

    iterations: base.Iterations = 200
    learning_rate: float = Field(default=1e-3, gt=0.0, le=100.0)
    bn: base.Weight = 1.0
    contrast: base.Weight = 0.8
    contrast_temperature: float = Field(default=0.1, gt=0.0, le=100.0)
    memory: int = Field(default=40_960, ge=0, strict=True)
    negatives: int = Field(default=4096, ge=0, strict=True)
    inputs: int = Field(default=256, ge=1, le=65_536, strict=True)
    width: int = Field(default=64, ge=1, le=4096, strict=True)
    head: int = Field(default=256, ge=1, le=65_536, strict=True)
    shift: int = Field(default=4, ge=0, le=1024, strict=True)
    least_area: float = Field(default=0.25, gt=0.0, le=1.0)
    flip: bool = True


class Cmi(base.Synthesizer):
    """Trains a generator for each batch; batches depend on those before them."""

    Options: ClassVar[type[BaseModel]] = Options
    independent = False

    def __init__(self, options: BaseModel, classes: int, shape: tuple[int, int, int]) -> None:
        """See the base class."""
        super().__init__(options, classes, shape)
        assert isinstance(options, Options)
        self._options = options
        self._head: Head | None = None
        self._head_optimizer: torch.optim.Optimizer | None = None
        self._loaded: dict[str, Any] | None = None

    @cached_property
    def _memory(self) -> MemoryBank:
        from kdtune.synthesis.contrast import MemoryBank

        return MemoryBank(self.remembered)

    @property
    def remembered(self) -> int:
        """Number of batches in the memory."""
        return -(-self._options.memory // self.common.batch_size)

    def flops(self, teacher_macs: int, student_macs: int) -> int:
        """Return the FLOPs of both views through the teacher, of the generator and, for adv > 0, of the student.

        Those of the head, which depend on the teacher's features, are left out.
        """
        from kdtune.synthesis.generator import Generator

        generator_macs = Generator(self._options.inputs, self._options.width, self.shape).macs()
        macs = 4 * teacher_macs + 3 * generator_macs + (2 * student_macs if self._options.adv else 0)
        return 2 * macs * self._options.iterations

    def state_dict(self) -> dict[str, Any]:
        """Return the head and its optimiser."""
        if self._head is None or self._head_optimizer is None:
            return {}
        return {"head": self._head.state_dict(), "optimizer": self._head_optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the head when it is next needed, since its size depends on the teacher."""
        self._loaded = state or None

    def make(self, number: int, teacher: InvertedNetwork, student: Any = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Train a generator; see :meth:`kdtune.synthesis.base.Synthesizer.make`."""
        import torch

        from kdtune.synthesis.generator import Generator

        options, generator, device = self._options, self.generator(number), teacher.device
        classes = self.drawn_classes(number, generator)
        painter = Generator(options.inputs, options.width, self.shape)
        painter.draw_weights(generator)
        painter.to(device, memory_format=teacher.arithmetic.memory_format)  # type: ignore[call-overload]
        vectors = torch.randn(len(classes), options.inputs, generator=generator).to(device).requires_grad_()
        classes = classes.to(device)
        _, of_head = self._prepared_head(teacher)
        learned = [*painter.parameters(), vectors]
        optimizer = torch.optim.Adam(learned, lr=options.learning_rate, betas=(0.5, 0.999))
        best = torch.zeros(len(classes), *self.shape, device=device)
        lowest = torch.full((), torch.inf, device=device)
        with teacher.watched():
            for _ in range(options.iterations):
                with teacher.arithmetic.autocast():
                    images = painter(vectors).float()
                loss = self._loss(images, classes, teacher, student, generator)
                optimizer.zero_grad()
                of_head.zero_grad()
                loss.backward()
                better = loss.detach() < lowest
                best = torch.where(better, images.detach(), best)
                lowest = torch.where(better, loss.detach(), lowest)
                optimizer.step()
                of_head.step()
        return (best.clamp(0, 1) * 255).round().to(torch.uint8).contiguous(), classes

    def _loss(
        self,
        images: torch.Tensor,
        classes: torch.Tensor,
        teacher: InvertedNetwork,
        student: Any,
        generator: torch.Generator,
    ) -> torch.Tensor:
        """Return the loss of images with pixels from 0 to 1, 0-d."""
        import torch.nn.functional as F  # noqa: N812 - the usual name

        from kdtune.synthesis.losses import agreeing_divergence
        from kdtune.synthesis.views import resized_crops, shifted

        options = self._options
        seen = teacher.normalised(shifted(images, options.shift, generator, flip=options.flip))
        whole = teacher(seen, with_features=bool(options.contrast))
        loss = options.bn * whole.distance + options.class_weight * F.cross_entropy(whole.logits, classes)
        if options.adv and student is not None:
            loss = loss - options.adv * agreeing_divergence(whole.logits, student(seen))
        if options.contrast:
            part = resized_crops(images, options.least_area, generator, flip=options.flip)
            local = teacher(teacher.normalised(part), with_features=True)
            loss = loss + options.contrast * self._contrast(local, whole, teacher, generator)
        return loss

    def _contrast(
        self, local: Response, whole: Response, teacher: InvertedNetwork, generator: torch.Generator
    ) -> torch.Tensor:
        """Return C, 0-d."""
        import torch

        from kdtune.synthesis.contrast import contrastive_losses

        assert local.features is not None and whole.features is not None
        head, _ = self._prepared_head(teacher)
        queries, keys, count = local.features, whole.features, len(local.features)
        drawn = self._options.negatives and len(self._memory)
        if drawn:
            earlier = self._memory.drawn(self._options.negatives, generator)
            queries, keys = (torch.cat(both) for both in zip((queries, keys), earlier, strict=True))
        losses = contrastive_losses(head(queries), head(keys), self._options.contrast_temperature)
        return losses[:count].mean() + losses[count:].mean() if drawn else losses.mean()

    def _prepared_head(self, teacher: InvertedNetwork) -> tuple[Head, torch.optim.Optimizer]:
        """Return the head and its optimiser, which are drawn for the first batch and then trained on."""
        import torch

        from kdtune.synthesis.contrast import Head

        if self._head is None or self._head_optimizer is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(derive_seed(self.common.seed, "synthesis", "head"))
                self._head = Head(teacher.feature_size, self._options.head).to(teacher.device)
            rate = self._options.learning_rate
            self._head_optimizer = torch.optim.Adam(self._head.parameters(), lr=rate, betas=(0.5, 0.999))
            if self._loaded:
                self._head.load_state_dict(self._loaded["head"])
                self._head_optimizer.load_state_dict(self._loaded["optimizer"])
        return self._head, self._head_optimizer

    def remember(self, number: int, images: torch.Tensor, teacher: InvertedNetwork) -> None:
        """Add the features of two views of finished images to the memory."""
        if self._options.contrast and self._options.memory:
            self._memory.add(*self._features(number, images, teacher))

    def rehearse(self, images: torch.Tensor, teacher: InvertedNetwork) -> None:
        """Fill the memory with as many images as a step draws."""
        drawn = min(self._options.negatives, self._options.memory)
        if self._options.contrast and drawn:
            times = -(-drawn // len(images))
            self._memory.add(*(one.repeat(times, 1) for one in self._features(0, images, teacher)))

    def _features(
        self, number: int, images: torch.Tensor, teacher: InvertedNetwork
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the features of a local and of a global view of a finished batch, (n, features) each."""
        import torch

        from kdtune.synthesis.views import resized_crops, shifted

        options = self._options
        generator = torch.Generator().manual_seed(derive_seed(self.common.seed, "synthesis", "memory", number))
        pixels = images.float() / 255
        views = (
            resized_crops(pixels, options.least_area, generator, flip=options.flip),
            shifted(pixels, options.shift, generator, flip=options.flip),
        )
        with torch.no_grad(), teacher.watched():
            local, whole = (teacher(teacher.normalised(view), with_features=True).features for view in views)
        assert local is not None and whole is not None
        return local, whole
