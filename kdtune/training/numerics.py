"""How passes through networks are computed: precision and memory layout, the same for every training of a study."""

from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from kdtune.specs.study import PLAIN, Numerics
from kdtune.training.fast_bfloat16_layers import make_lean

#: Raised when another way may be the fastest than was: when how passes are computed changes.
ARITHMETIC = 3


@dataclass(frozen=True)
class Arithmetic:
    """Precision and memory layout on one device.

    Weights that are trained stay float32 whatever the precision, and so do losses: logits are handed out as float32.

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

    def place(self, model: torch.nn.Module, *, built_in: bool = False) -> torch.nn.Module:
        """Move a network to the device and lay out its weights.

        Args:
            model: The network.
            built_in: Whether it is one of kdtune's own networks, as kdtune builds it. Only their layers are known well
                enough to be replaced by faster ones: the code of other networks may use its layers in any way, such as
                through subclasses, hooks, parametrizations or weights that it reads itself.
        """
        if built_in and self.device.type == "cpu" and self.numerics.precision == "bfloat16":
            make_lean(model, channels_last=self.memory_format is torch.channels_last)
        return model.to(device=self.device, memory_format=self.memory_format)  # type: ignore[call-overload]

    def freeze(self, model: torch.nn.Module, *, built_in: bool = False) -> torch.nn.Module:
        """Prepare a network that is only evaluated from now on.

        In a built-in network, weights that autocast would round anew for every batch are rounded here. Its logits stay
        the same, bit for bit, but without autocast it no longer accepts float32 images. The code of other networks may
        compute with its weights outside of autocast, so theirs stay as they are.

        Args:
            model: Placed by :meth:`place`.
            built_in: As for :meth:`place`.
        """
        if built_in and self.numerics.precision == "bfloat16":
            for module in model.modules():
                if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
                    module.to(torch.bfloat16)
        return model.eval().requires_grad_(False)

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
        # A step uses each weight once, so casts kept for a second use only hinder a step that is captured.
        return torch.autocast(self.device.type, torch.bfloat16, cache_enabled=self.device.type != "cuda")


def device_name(device: torch.device) -> str:
    """The model of a device, as its maker calls it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return torch.backends.cpu.get_cpu_capability()


def set_up_gpu() -> None:
    """Let this process's GPU passes be what they are called, and fast.

    In float32 torch lets convolutions round their inputs to TF32, ten bits of mantissa, unless told not to. Batches
    are all of a few sizes, so trying out convolutions for each pays; which one wins may differ from run to run, and
    bits with it, which nobody promises on a GPU.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
