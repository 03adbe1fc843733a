"""What a training of a student leads to: the network that is tested and kept."""

from pathlib import Path
from typing import Any

import torch

from kdtune.data.batches import ImageSet
from kdtune.storage.files import replaced_atomically
from kdtune.tasks.task import Task
from kdtune.training.numerics import Arithmetic


class FinishedStudent:
    """A student after its last epoch.

    Attributes:
        model: The network that is tested, in inference mode.
        arithmetic: Precision and memory layout of its passes.
    """

    def __init__(self, model: torch.nn.Module, arithmetic: Arithmetic, weights: dict[str, torch.Tensor]) -> None:
        """Keep the parts.

        Args:
            model: The network that is tested.
            arithmetic: Precision and memory layout of its passes.
            weights: Weights of the float network.
        """
        self.model = model
        self.arithmetic = arithmetic
        self._weights = weights

    def write(self, file: Path) -> None:
        """Write the float network's weights, and beside them any other form in which the network is used."""
        with replaced_atomically(file) as stream:
            torch.save(dict(self._weights), stream)

    def deployment(self, task: Task, test: ImageSet) -> dict[str, Any] | None:
        """Return facts about the form in which the network is used, without its accuracy; None for a float network.

        Args:
            task: Task of the network.
            test: The test images.
        """
        return None
