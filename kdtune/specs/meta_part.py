"""The part of the training images that a method holds out for meta-gradients of its own."""

from pydantic import Field

from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.split_sizes import batch_sizes, held_out_images

#: Forward passes that a look-ahead costs for an image of the batch: a forward and a backward pass, which make three,
#: and a derivative in forward mode, which costs a forward pass and two more for the products with both derivatives.
PASSES_OF_BATCH = 6

#: Forward passes that it costs for a held-out image: a forward and a backward pass.
PASSES_OF_HELD_OUT = 3


class MetaPart(FrozenModel):
    """How many images are held out, and how often they are used.

    Attributes:
        share: Share of the training images, with each class in proportion.
        every: Steps from one look-ahead to the next; the first step of each epoch has one.
    """

    share: float = Field(gt=0.0, lt=1.0)
    every: int = Field(ge=1, strict=True)

    def student_passes(self, images: int, batch_size: int) -> int:
        """Return the forward passes of the student, one image each, that the look-aheads of an epoch cost.

        Args:
            images: Number of images in the training part, the held-out ones included.
            batch_size: Images in a step.
        """
        held_out = held_out_images(images, self.share)
        sizes = batch_sizes(images - held_out, batch_size)[:: self.every]
        return sum(PASSES_OF_BATCH * size + PASSES_OF_HELD_OUT * min(size, held_out) for size in sizes)
