"""Precision and memory layout of passes through networks, which all trainings of a study share."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from kdtune.specs.numerics import PLAIN, Numerics
from kdtune.training.fast_bfloat16_layers import make_lean

#: Version of the computation of passes. It is increased when a change may make other numerics the fastest.
ARITHMETIC = 3


@dataclass(frozen=True)
class Arithmetic:
    """Precision and memory layout on one device.

    Trained weights, logits and losses are float32 at any precision.

    Attributes:
        device: Device of the computation.
        numerics: Resolved numerics, without ``auto``.
    """

    device: torch.device
    numerics: Numerics = PLAIN

    @property
    def memory_format(self) -> torch.memory_format:
        """Memory format of images and of the weights of convolutions."""
        return torch.channels_last if self.numerics.memory_layout == "channels_last" else torch.contiguous_format

    def place(self, model: torch.nn.Module, *, built_in: bool = False) -> torch.nn.Module:
        """Move a network to the device, convert its memory layout, and return it.

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
        """Prepare a network for inference only, and return it.

        In a built-in network, weights that autocast would round for every batch are rounded once, which leaves the
        results of :meth:`logits` unchanged bit for bit. Without autocast, the network then no longer accepts float32
        images. The code of other networks may compute with its weights outside of autocast, so theirs stay unchanged.

        Args:
            model: Network that was placed by :meth:`place`.
            built_in: As for :meth:`place`.
        """
        if built_in and self.numerics.precision == "bfloat16":
            for module in model.modules():
                if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
                    module.to(torch.bfloat16)
        return model.eval().requires_grad_(False)

    def logits(self, model: Callable[[torch.Tensor], Any], images: torch.Tensor) -> torch.Tensor:
        """Return the logits of a batch.

        Args:
            model: Network that was placed by :meth:`place`, its compiled version, or a call of it with other weights.
            images: Images, float32, (n, channels, height, width), in any memory layout.

        Returns:
            Logits, float32, (n, classes).
        """
        with self.autocast():
            logits: torch.Tensor = model(images.contiguous(memory_format=self.memory_format))
        return logits.float()

    def autocast(self) -> AbstractContextManager[object]:
        """Return a context in which layers compute in the precision."""
        if self.numerics.precision == "float32":
            return nullcontext()
        # A step uses each weight once, so a cache of casts has no benefit, and it interferes with captured steps.
        return torch.autocast(self.device.type, torch.bfloat16, cache_enabled=self.device.type != "cuda")


def seed_generator(device: torch.device, seed: int) -> None:
    """Seed torch's global random generators of the CPU and of a training's device.

    In a process that has not used a GPU, ``torch.manual_seed`` also formats the present stack, in order to seed GPUs
    later. That takes about a millisecond in each epoch.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)


def device_name(device: torch.device) -> str:
    """Return the manufacturer's name for the model of a device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return torch.backends.cpu.get_cpu_capability()


def set_up_gpu() -> None:
    """Make float32 on this process's GPU exact, and choose fast convolutions.

    By default, torch rounds the inputs of float32 convolutions to TF32, with a mantissa of ten bits. Batches have few
    different sizes, so the benchmark of convolution algorithms for each size pays off. The fastest algorithm may
    differ between runs, so results on a GPU are not bit-identical.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
