"""DeepInversion (Yin et al., CVPR 2020, arXiv 1912.08795): images whose batch statistics are those of the training.

Pixels are optimised by Adam, from noise. With CE the cross-entropy of the teacher's outputs with random classes, TV the
total variation, and J the disagreement of teacher and student,

    L = bn r + class CE + tv TV - adv J,
    r = sum over batch normalisations of ||running var - var|| + ||running mean - mean||,

where mean and (biased) variance are those of the input of a batch normalisation over the batch. Before each pass the
batch is rolled by up to ``roll`` pixels and flipped with probability 1/2, one draw for the batch. Afterwards pixels are
clipped to what can be shown. The images of the lowest loss are kept; the authors' code, and that of CMI, return the
last ones, since what they keep is not a copy.

The defaults are those with which CMI's authors (arXiv 2105.08584) compare for WRN-40-2 on CIFAR. The authors' own
variant for CIFAR has 2000 iterations, ``tv_norm = 2``, ``tv = 2.5e-5`` and ``roll = 2``. ``adaptive = true`` bounds the
last term as in their Adaptive DeepInversion: adv (1 - clamp(J, 0, 1)) in place of -adv J.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import BaseModel, Field

from kdtune.synthesis import base

if TYPE_CHECKING:
    import torch

    from kdtune.synthesis.inverted_network import InvertedNetwork


class Options(base.InversionOptions):
    """Options of DeepInversion.

    Attributes:
        iterations: Steps of Adam for each batch.
        learning_rate: Learning rate of Adam, in normalised pixels.
        bn: Weight of the distance of the statistics.
        tv: Weight of the total variation.
        tv_norm: 1 for mean absolute differences, 2 for Euclidean norms.
        adaptive: Whether the last term is bounded.
        roll: Greatest number of pixels by which a batch is rolled.
        flip: Whether batches are flipped left to right; not for digits and letters.
    """

    iterations: base.Iterations = 1000
    learning_rate: float = Field(default=0.1, gt=0.0, le=100.0)
    bn: base.Weight = 10.0
    tv: base.Weight = 0.001
    tv_norm: Literal[1, 2] = 1
    adaptive: bool = False
    roll: int = Field(default=4, ge=0, le=1024, strict=True)
    flip: bool = True

    def of_shared(self) -> Self:
        """Return the same options without the student's disagreement, bounded or not."""
        return super().of_shared().model_copy(update={"adaptive": False})


class DeepInversion(base.Synthesizer):
    """Optimises the pixels of each batch."""

    Options: ClassVar[type[BaseModel]] = Options

    def __init__(self, options: BaseModel, classes: int, shape: tuple[int, int, int]) -> None:
        """See the base class."""
        super().__init__(options, classes, shape)
        assert isinstance(options, Options)
        self._options = options

    def flops(self, teacher_macs: int, student_macs: int) -> int:
        """Return the FLOPs of a pass forward and one backward in each iteration."""
        macs = teacher_macs + (student_macs if self._options.adv else 0)
        return 4 * macs * self._options.iterations

    def make(self, number: int, teacher: InvertedNetwork, student: Any = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Optimise a batch; see :meth:`kdtune.synthesis.base.Synthesizer.make`."""
        import torch

        options, generator = self._options, self.generator(number)
        classes = self.drawn_classes(number, generator)
        images = torch.randn(len(classes), *self.shape, generator=generator).to(teacher.device).requires_grad_()
        classes = classes.to(teacher.device)
        # The moves of all iterations are drawn at once, so that nothing waits for a GPU.
        moves = torch.randint(-options.roll, options.roll + 1, (options.iterations, 2), generator=generator).tolist()
        flips = (torch.rand(options.iterations, generator=generator) < 0.5).tolist()
        optimizer = torch.optim.Adam([images], lr=options.learning_rate, betas=(0.5, 0.99), foreach=True)
        black, white = teacher.range
        best, lowest = images.detach().clone(), torch.full((), torch.inf, device=teacher.device)
        with teacher.watched():
            for move, flip in zip(moves, flips, strict=True):
                loss = self._loss(images, classes, teacher, student, move, flipped=options.flip and flip)
                (images.grad,) = torch.autograd.grad(loss, images)
                better = loss.detach() < lowest
                torch.where(better, images.detach(), best, out=best)
                lowest = torch.where(better, loss.detach(), lowest)
                optimizer.step()
                with torch.no_grad():
                    torch.minimum(torch.maximum(images, black, out=images), white, out=images)
        return teacher.pixels(best), classes

    def _loss(
        self,
        images: torch.Tensor,
        classes: torch.Tensor,
        teacher: InvertedNetwork,
        student: Any,
        move: list[int],
        *,
        flipped: bool,
    ) -> torch.Tensor:
        """Return the loss of normalised images, 0-d."""
        import torch
        import torch.nn.functional as F  # noqa: N812 - the usual name

        from kdtune.synthesis.losses import disagreement, total_variation

        options = self._options
        seen = torch.roll(images, move, (2, 3)) if any(move) else images
        seen = seen.flip(3) if flipped else seen
        response = teacher(seen)
        loss = options.bn * response.distance + options.class_weight * F.cross_entropy(response.logits, classes)
        if options.tv:
            loss = loss + options.tv * total_variation(images, options.tv_norm)
        if options.adv and student is not None:
            found = disagreement(response.logits, student(seen))
            loss = loss + options.adv * (1 - found.clamp(0, 1) if options.adaptive else -found)
        return loss
