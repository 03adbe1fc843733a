"""A quantised student after its training: the int8 network, its file, and facts about it."""

import copy
from pathlib import Path
from typing import Any

import torch

from kdtune.data.batches import ImageSet
from kdtune.quantisation.networks import BITS, Int8Student, converted, save_int8, tensor_bytes
from kdtune.quantisation.training import prepared_student
from kdtune.specs.trial_spec import Recipe
from kdtune.tasks.task import Task
from kdtune.training.finished_student import FinishedStudent
from kdtune.training.numerics import Arithmetic


class QuantisedStudent(FinishedStudent):
    """The int8 network of a quantised student. The weights are those of the float student that was quantised."""

    def __init__(
        self,
        recipe: Recipe,
        task: Task,
        shape: torch.Size,
        device: torch.device,
        start: dict[str, torch.Tensor],
        state: dict[str, Any],
    ) -> None:
        """Convert the network.

        Args:
            recipe: Recipe of the quantisation.
            task: Task of the network.
            shape: Channels, height and width of an image.
            device: Where it is tested.
            start: Weights of the float student.
            state: State of the prepared network after its last epoch.
        """
        prepared = prepared_student(recipe, task, shape, start)
        prepared.load_state_dict(state)
        prepared.eval()
        graph = converted(prepared)
        tested = Int8Student(copy.deepcopy(graph)).eval().to(device)  # what is written stays on the CPU
        super().__init__(tested, Arithmetic(device), start)
        self._trains = bool(recipe.quantisation and recipe.quantisation.trains)
        self._prepared = prepared.to(device)
        self._graph = graph
        self._shape = shape

    def write(self, file: Path) -> None:
        """Write the weights of the float student, and the int8 network to ``student-int8.pt2`` beside them."""
        super().write(file)
        save_int8(self._graph, self._shape, int8_file(file))

    def deployment(self, task: Task, test: ImageSet) -> dict[str, Any]:
        """Return bits, sizes, and the metrics with simulated rounding, which are empty if no training simulated it."""
        simulated = task.evaluate(self._prepared, test, self.arithmetic).metrics if self._trains else {}
        return {
            "bits": BITS,
            "size_bytes": tensor_bytes(self._graph.state_dict()),
            "float_size_bytes": tensor_bytes(self._weights),
            "simulated": simulated,
        }


def int8_file(weights: Path) -> Path:
    """Return the file of the int8 network that belongs to a file of weights: ``student.pt``, ``student-7.pt``."""
    return weights.with_name(f"student-int8{weights.stem.removeprefix('student')}.pt2")
