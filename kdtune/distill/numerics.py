"""How passes through networks are computed: precision and memory layout, the same for every training of a study."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from kdtune.specs.study import PLAIN, Numerics


@dataclass(frozen=True)
class Arithmetic:
    """Precision and memory layout on one device.

    Weights stay float32 whatever the precision, and so do losses: logits are handed out as float32.

    Attributes:
        device: Where it is computed.
        numerics: Nothing of it left open.
    """

    device: torch.device
    numerics: Numerics = PLAIN

    @property
    def memory_format(self) -> torch.memory_format:
        """How images and weights of convolutions lie in memory."""
        return torch.channels_last if self.numerics.memory_layout == "channels_last" else torch.contiguous_format

    def place(self, model: torch.nn.Module) -> torch.nn.Module:
        """Move a network to the device and lay out its weights."""
        return model.to(device=self.device, memory_format=self.memory_format)  # type: ignore[call-overload]

    def logits(self, model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
        """One pass.

        Args:
            model: Placed by :meth:`place`, or compiled from such a one.
            images: float32, (n, channels, height, width), in any layout.

        Returns:
            float32, (n, classes).
        """
        with self._autocast():
            logits: torch.Tensor = model(images.contiguous(memory_format=self.memory_format))
        return logits.float()

    def _autocast(self) -> AbstractContextManager[object]:
        if self.numerics.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)
