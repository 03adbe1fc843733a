"""Contrast of images among themselves and with earlier ones, which keeps a generator from repeating itself."""

from collections import deque
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import nn


def contrastive_losses(local: torch.Tensor, whole: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return for each image how badly its local view can be distinguished from the global views of all, (n,).

    It is the cross-entropy of the similarities, divided by the temperature, with the image's own global view.

    Args:
        local: Unit vectors of the local views, (n, size).
        whole: Unit vectors of the global views, (n, size); no gradient flows to them.
        temperature: Temperature of the similarities.
    """
    similarities = local @ whole.detach().T / temperature
    return F.cross_entropy(similarities, torch.arange(len(local), device=local.device), reduction="none")


class Head(nn.Sequential):
    """Two linear layers from features to unit vectors."""

    def __init__(self, features: int, size: int) -> None:
        """Build the head."""
        super().__init__(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, size))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return unit vectors, (n, size), for features, (n, features)."""
        return F.normalize(super().forward(features), dim=1)

    def macs(self) -> int:
        """Return the multiply-adds of a pass for one image."""
        return sum(layer.weight.numel() for layer in self if isinstance(layer, nn.Linear))


class MemoryBank:
    """The features of the latest images, of a local and a global view each."""

    def __init__(self, batches: int) -> None:
        """Make an empty bank for the images of this many batches."""
        self._batches: deque[torch.Tensor] = deque(maxlen=batches)
        self._every = torch.empty(0)

    def __len__(self) -> int:
        return len(self._every)

    def add(self, local: torch.Tensor, whole: torch.Tensor) -> None:
        """Add a batch, (n, features) each; the oldest batch makes room if the bank is full."""
        self._batches.append(torch.stack([local, whole], 1).half())
        self._every = torch.cat(list(self._batches))  # once for a batch, since each of its steps draws from them

    def drawn(self, count: int, generator: torch.Generator) -> Sequence[torch.Tensor]:
        """Draw images without replacement: features of their local and their global views; fewer if it holds fewer.

        How many there are to draw from is counted, not derived from the place of the next write, which is 0 in a bank
        that has just become full.
        """
        rows = torch.randperm(len(self), generator=generator)[:count]
        return self._every[rows.to(self._every.device)].float().unbind(1)
