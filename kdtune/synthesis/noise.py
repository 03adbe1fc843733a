"""Uniform noise, the control of methods that make images from a teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kdtune.synthesis import base

if TYPE_CHECKING:
    import torch

    from kdtune.synthesis.inverted_network import InvertedNetwork


class Noise(base.Synthesizer):
    """Independent pixels, uniform from black to white."""

    needs_batch_norm = False

    def make(self, number: int, teacher: InvertedNetwork, student: Any = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw a batch; see :meth:`kdtune.synthesis.base.Synthesizer.make`."""
        import torch

        generator = self.generator(number)
        classes = self.drawn_classes(number, generator)
        images = torch.randint(256, (len(classes), *self.shape), dtype=torch.uint8, generator=generator)
        return images.to(teacher.device), classes.to(teacher.device)

    def flops(self, teacher_macs: int, student_macs: int) -> int:
        """Return 0, since no network sees the images."""
        return 0
