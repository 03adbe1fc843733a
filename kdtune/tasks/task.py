"""What a task has to provide.

The outputs of a network are one float32 tensor, (n, ``output_size``), whatever the task: so passes, their graphs and
the store of a teacher's logits are the same for all tasks. Only the task knows what the numbers mean.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

from kdtune.catalog.metric import Metric
from kdtune.methods.soft_pairs import SoftPairs
from kdtune.specs.component import Component

if TYPE_CHECKING:  # strategies and plans import this module, and have no other need of torch
    import torch

    from kdtune.data.arrays import Arrays
    from kdtune.data.batches import ImageSet, Splits
    from kdtune.specs.data_info import DataInfo
    from kdtune.specs.study import Setting
    from kdtune.specs.training import Training
    from kdtune.training.captured_passes import CapturedLogits
    from kdtune.training.numerics import Arithmetic

#: Metrics by name; None where one is not defined.
Metrics = dict[str, float | None]

#: From the outputs of a network and the targets of the same images to a 0-d loss.
LabelLoss = Callable[["torch.Tensor", Any], "torch.Tensor"]


@dataclass(frozen=True)
class Evaluation:
    """How good a network is on one part of the data.

    Attributes:
        metrics: The values that are needed after every epoch, the objective's among them.
        loss: Mean loss on the labels, unweighted and unsoftened, so that it compares across losses and taus.
        predictions: For each image in order, on the CPU; see :meth:`Task.predict`.
        probabilities: Float32 on the CPU, a row for each image and a column for each class; None unless they were to be
            kept, or if the task has none.
    """

    metrics: Metrics
    loss: float
    predictions: "torch.Tensor"
    probabilities: "torch.Tensor | None" = None


class Task(Protocol):
    """A task, with what it has to know of a study.

    A class that is not built in may have the attribute ``objectives``, a tuple of metrics that can decide a study, the
    default first; without it, the accuracy does. Whatever decides, ``accuracy`` is one of the metrics. A task may also
    show what networks do with images; see :class:`kdtune.tasks.model_figures.DrawsNetworks`.
    """

    @property
    def objective(self) -> Metric:
        """The metric that decides the study."""

    @property
    def output_size(self) -> int:
        """How many numbers a network puts out for an image."""

    @classmethod
    def of(cls, setting: "Setting") -> Self:
        """Make the task of a study.

        Raises:
            UsageError: The task cannot work on the study's data set, or with its options.
        """

    def splits(self, arrays: "Arrays", setting: "Setting", device: "torch.device") -> "Splits":
        """Split the data of a study and put them on a device."""

    def remarks(self, arrays: "Arrays", splits: "Splits") -> list[str]:
        """Return what a user has to know of the split, such as classes that the training part lacks."""

    def network(self, component: Component, image_shape: Sequence[int]) -> "torch.nn.Module":
        """Build a network with untrained weights, from images to outputs.

        Args:
            component: The network.
            image_shape: Channels, height and width of an image.

        Raises:
            UsageError: The network cannot be built for this task.
        """

    @classmethod
    def check_network(cls, component: Component, info: "DataInfo") -> "torch.nn.Module":
        """Build a network and try it with random images, in training mode and in evaluation mode.

        Torch's global random numbers are left as they were.

        Args:
            component: The network.
            info: The data set.

        Returns:
            The network on the CPU, untrained and in evaluation mode.

        Raises:
            UsageError: The network cannot be built, fails, or a training could not use its output.
        """

    def label_loss(self, training: "Training", train: "ImageSet") -> LabelLoss:
        """Return the loss of outputs with the targets, for one training.

        Args:
            training: How the network is trained.
            train: The training part.
        """

    def soft_pairs(self, student: "torch.Tensor", teacher: "torch.Tensor | None", targets: Any) -> SoftPairs:
        """Return what losses and temperatures see.

        Args:
            student: Outputs, with gradient.
            teacher: Outputs for the same images, without gradient; None in a training without a teacher.
            targets: Of the same images, as the training part gives them.
        """

    def predict(self, outputs: "torch.Tensor") -> "torch.Tensor":
        """Return what outputs predict, one row for each image; what a user of the network would compute."""

    def evaluate(
        self,
        model: "torch.nn.Module",
        part: "ImageSet",
        arithmetic: "Arithmetic | None" = None,
        captured: "CapturedLogits | None" = None,
        *,
        keep_probabilities: bool = False,
    ) -> Evaluation:
        """Evaluate a network, its normalisation layers in inference mode; the mode is restored afterwards.

        Args:
            model: From images to outputs.
            part: The images and their targets.
            arithmetic: Precision and memory layout; None for float32, contiguous.
            captured: Gives the network's outputs from graphs; None computes them.
            keep_probabilities: Whether the evaluation holds the probabilities of the classes.
        """

    def metrics(self, predictions: "torch.Tensor", part: "ImageSet") -> Metrics:
        """Return the metrics that are needed after every epoch; they take little time."""

    def test_metrics(self, predictions: "torch.Tensor", part: "ImageSet") -> Metrics:
        """Return all metrics, those of :meth:`metrics` among them with the same values."""

    def calibration(self, evaluation: Evaluation, part: "ImageSet") -> Metrics:
        """Return how well probabilities are calibrated; empty if the evaluation holds none."""

    def disagreement(self, found: "torch.Tensor", known: "torch.Tensor") -> float:
        """Return by how much predictions of the same network for the same images differ, as a fraction."""

    def documents(
        self, predictions: "torch.Tensor", part: "ImageSet", class_names: Sequence[str]
    ) -> Mapping[str, str | bytes]:
        """Return the files about a chosen model on the test images by name, such as ``confusion``.

        Returns:
            The text of a CSV file, or the bytes of a PNG file.
        """

    def teacher_facts(self, found: "Sequence[tuple[Evaluation, ImageSet]]") -> dict[str, float]:
        """Return what tells whether a given teacher knows its task; empty if nothing but the metrics does.

        Args:
            found: Evaluations, each with the part that the teacher was evaluated on.
        """
