"""Training images that change from epoch to epoch."""

from typing import Any, Protocol

import torch

from kdtune.data.batches import ImageSet


class ChangingImages(Protocol):
    """Training images that are prepared before each epoch.

    Attributes:
        phase: Name of the preparation, which has an energy window of its own.
        train: The training images; their number and their place in memory stay the same.
    """

    phase: str
    train: ImageSet

    def prepare(self, epoch: int, student: torch.nn.Module) -> None:
        """Put the images of an epoch, counted from 0, in place, unless that has been done."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that later epochs depend on, loadable with ``weights_only=True``."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a result of :meth:`state_dict`."""
