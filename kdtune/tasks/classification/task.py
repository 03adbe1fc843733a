"""The task of classification: outputs are logits, targets are classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

from kdtune.catalog.metric import Metric
from kdtune.data.arrays import Arrays
from kdtune.data.augment import KINDS
from kdtune.data.batches import ImageSet, Splits
from kdtune.errors import Fault, SpecError
from kdtune.methods.soft_pairs import SoftPairs
from kdtune.models.building import build_network
from kdtune.models.output_check import check_network
from kdtune.specs.class_weights import class_weight_faults
from kdtune.specs.component import Component
from kdtune.specs.data_info import DataInfo
from kdtune.specs.study import Setting
from kdtune.specs.training import Training
from kdtune.tasks.classification.documents import confusion_csv, per_class_csv
from kdtune.tasks.classification.metrics import (
    balanced_accuracy,
    balanced_weights,
    classification_metrics,
    count_confusions,
    expected_calibration_error,
    macro_f1,
)
from kdtune.tasks.classification.network_figures import network_figures
from kdtune.tasks.loading import objective_of
from kdtune.tasks.missing_classes import missing_classes
from kdtune.tasks.model_figures import ModelFigure
from kdtune.tasks.task import Evaluation, LabelLoss, Metrics
from kdtune.training.captured_passes import CapturedLogits
from kdtune.training.evaluation import outputs_of
from kdtune.training.numerics import Arithmetic

#: Metrics other than accuracy that are needed after every epoch if they decide the study.
_FROM_CONFUSION = {"balanced_accuracy": balanced_accuracy, "f1": macro_f1}


@dataclass(frozen=True)
class Classification:
    """Classification of whole images.

    Attributes:
        classes: Number of classes.
        objective: The metric that decides the study.
    """

    classes: int
    objective: Metric = Metric("accuracy")

    @classmethod
    def of(cls, setting: Setting) -> Self:
        """Make the task of a study.

        Raises:
            SpecError: There is not one class weight for each class, the images have boxes in place of classes, or an
                augmentation needs boxes.
        """
        if setting.data_info.annotations != "classes":
            problem = f'{setting.dataset} has boxes in place of classes; write task = "detection" in the study'
            raise SpecError([Fault("study", "task", problem)])
        if faults := [*class_weight_faults(setting, "study"), *_augmentation_faults(setting)]:
            raise SpecError(faults)
        return cls(setting.data_info.classes, objective_of(setting))

    @property
    def output_size(self) -> int:
        """One logit for each class."""
        return self.classes

    def splits(self, arrays: Arrays, setting: Setting, device: torch.device) -> Splits:
        """See :meth:`kdtune.data.batches.Splits.of`."""
        data = setting.data
        return Splits.of(
            *(arrays, setting.validation, setting.split_seed, device),
            train_limit=data.train_limit,
            normalisation=data.normalisation,
            resident=data.resident,
        )

    def remarks(self, arrays: Arrays, splits: Splits) -> list[str]:
        """Name classes of the data set that are missing from the training or the validation part."""
        known = np.union1d(arrays.train_labels, arrays.test_labels)

        def found(part: ImageSet) -> int:
            return len(np.intersect1d(known, part.labels.cpu().numpy()))

        return missing_classes(splits, len(known), found, "image")

    def network(self, component: Component, image_shape: Sequence[int]) -> torch.nn.Module:
        """See :func:`kdtune.models.building.build_network`."""
        return build_network(component, image_shape[0], self.classes)

    @classmethod
    def check_network(cls, component: Component, info: DataInfo) -> torch.nn.Module:
        """See :func:`kdtune.models.output_check.check_network`."""
        return check_network(component, info)

    def label_loss(self, training: Training, train: ImageSet) -> LabelLoss:
        """Cross-entropy in nats; with class weights its mean is weighted by those of the images' classes."""
        if training.class_weights is None:
            return F.cross_entropy
        if training.class_weights == "balanced":
            weights = balanced_weights(train.labels, self.classes)
        else:
            weights = torch.tensor(training.class_weights, dtype=torch.float32)
        return partial(F.cross_entropy, weight=weights.to(train.labels.device))

    def soft_pairs(self, student: torch.Tensor, teacher: torch.Tensor | None, targets: torch.Tensor) -> SoftPairs:
        """One pair for each image."""
        return SoftPairs(student, teacher, targets)

    def predict(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the class of each image, int64, (n,)."""
        return outputs.argmax(dim=1)

    def evaluate(
        self,
        model: torch.nn.Module,
        part: ImageSet,
        arithmetic: Arithmetic | None = None,
        captured: CapturedLogits | None = None,
        *,
        keep_probabilities: bool = False,
    ) -> Evaluation:
        """Evaluate a classifier; its loss is the mean cross-entropy in nats."""
        predictions, losses, probabilities = [], [], []
        for logits, labels in outputs_of(model, part, arithmetic, captured):
            predictions.append(self.predict(logits))
            losses.append(F.cross_entropy(logits, labels, reduction="sum"))
            if keep_probabilities:
                probabilities.append(logits.float().softmax(dim=1))
        predicted = torch.cat(predictions)
        loss = float(torch.stack(losses).double().sum() / len(part))
        kept = torch.cat(probabilities).cpu() if keep_probabilities else None
        return Evaluation(self.metrics(predicted, part), loss, predicted.cpu(), kept)

    def metrics(self, predictions: torch.Tensor, part: ImageSet) -> Metrics:
        """Accuracy and the objective."""
        labels = part.labels.to(predictions.device)
        found: Metrics = {"accuracy": float((predictions == labels).double().mean())}
        if of_confusion := _FROM_CONFUSION.get(self.objective.name):
            found[self.objective.name] = of_confusion(self._confusion(predictions, part))
        return found

    def test_metrics(self, predictions: torch.Tensor, part: ImageSet) -> Metrics:
        """See :func:`kdtune.tasks.classification.metrics.classification_metrics`."""
        every = classification_metrics(predictions.cpu(), part.labels.cpu(), self.classes)
        return {**every, **self.metrics(predictions, part)}

    def calibration(self, evaluation: Evaluation, part: ImageSet) -> Metrics:
        """Return ``nll``, the mean cross-entropy in nats, and ``ece``, the expected calibration error."""
        if evaluation.probabilities is None:
            return {}
        labels = part.labels.to(evaluation.probabilities.device)
        nll = evaluation.loss if isfinite(evaluation.loss) else None
        return {"nll": nll, "ece": expected_calibration_error(evaluation.probabilities, labels)}

    def disagreement(self, found: torch.Tensor, known: torch.Tensor) -> float:
        """Return the share of images that are given another class."""
        return float((found != known).double().mean())

    def documents(self, predictions: torch.Tensor, part: ImageSet, class_names: Sequence[str]) -> dict[str, str]:
        """Return the confusion matrix and the metrics of each class."""
        counts = self._confusion(predictions, part).tolist()
        return {"confusion": confusion_csv(counts, class_names), "per-class": per_class_csv(counts, class_names)}

    def figures(
        self, networks: Mapping[str, torch.nn.Module], part: ImageSet, class_names: Sequence[str]
    ) -> list[ModelFigure | str]:
        """See :func:`kdtune.tasks.classification.network_figures.network_figures`."""
        return network_figures(networks, part, self.classes, class_names)

    def teacher_facts(self, found: Sequence[tuple[Evaluation, ImageSet]]) -> dict[str, float]:
        """Return what tells whether a teacher knows its classes, over all images that it was evaluated on together.

        Returns:
            ``chance_accuracy``, that of naming always the most frequent class, and ``reordered_accuracy``, that of its
            predictions under the order of the classes that fits them best.
        """
        from scipy.optimize import linear_sum_assignment

        confusions = [self._confusion(evaluation.predictions, part) for evaluation, part in found]
        confusion = torch.stack(confusions).sum(dim=0).numpy()
        matched = confusion[linear_sum_assignment(confusion, maximize=True)]
        images = int(confusion.sum())
        return {
            "chance_accuracy": float(confusion.sum(axis=1).max()) / images,
            "reordered_accuracy": float(matched.sum()) / images,
        }

    def _confusion(self, predictions: torch.Tensor, part: ImageSet) -> torch.Tensor:
        return count_confusions(predictions.cpu(), part.labels.cpu(), self.classes)


def _augmentation_faults(setting: Setting) -> list[Fault]:
    given = {name: getattr(setting, name).augment for name in ("training", "teacher_training")}
    return [
        Fault("study", f"{name}.augment", f"{kind!r} needs boxes, so it is for detection alone; remove it")
        for name, kinds in given.items()
        for kind in kinds
        if kind not in KINDS
    ]
