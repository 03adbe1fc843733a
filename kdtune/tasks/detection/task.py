"""The task of detection: outputs are the logits and offsets of anchors, targets are what the anchors are to predict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Self

import torch

from kdtune.catalog.metric import Metric
from kdtune.data.arrays import Arrays
from kdtune.data.batches import ImageSet, Splits
from kdtune.errors import Fault, SpecError, UsageError
from kdtune.methods.soft_pairs import SoftPairs
from kdtune.models.building import build_network
from kdtune.specs.component import Component
from kdtune.specs.data_info import DataInfo
from kdtune.specs.study import Setting
from kdtune.specs.training import Training
from kdtune.tasks.detection import matching
from kdtune.tasks.detection.average_precision import ClassResult, coco_precision, mean_of, voc_results
from kdtune.tasks.detection.documents import per_class_csv
from kdtune.tasks.detection.images import BoxedImages, rarest_classes
from kdtune.tasks.detection.loss import box_loss, hint, label_loss, objects_of, pair_weights
from kdtune.tasks.detection.matching import Matched
from kdtune.tasks.detection.network_checks import anchors_of, check_detector, differing_anchors
from kdtune.tasks.detection.network_figures import network_figures
from kdtune.tasks.detection.options import Options
from kdtune.tasks.detection.pictures import detections_png
from kdtune.tasks.detection.predictions import BOX, SCORE, detections
from kdtune.tasks.detection.setting_checks import setting_faults
from kdtune.tasks.loading import objective_of
from kdtune.tasks.missing_classes import missing_classes
from kdtune.tasks.model_figures import ModelFigure
from kdtune.tasks.task import Evaluation, LabelLoss, Metrics
from kdtune.training.captured_passes import CapturedLogits
from kdtune.training.evaluation import outputs_of
from kdtune.training.numerics import Arithmetic

#: Differences of scores and of coordinates in pixels up to which detections count as equal.
_SCORE_STEP, _PIXEL_STEP = 0.01, 1.0

#: Number of orders of the images in which a detector's detections are compared with the objects of other images.
_OTHER_ORDERS = 20


@dataclass(frozen=True)
class Detection:
    """Detection of objects with single-shot detectors.

    Attributes:
        classes: Number of classes of objects.
        shape: Channels, height and width of an image.
        anchors: Of the networks, (anchors, 4), on the CPU.
        objective: The metric that decides the study.
        options: Weights of the parts of the loss.
    """

    classes: int
    shape: tuple[int, int, int]
    anchors: torch.Tensor = field(compare=False)
    objective: Metric = Metric("map")
    options: Options = Options()

    @classmethod
    def of(cls, setting: Setting) -> Self:
        """Make the task of a study.

        Raises:
            SpecError: The data set has no boxes, the networks have different anchors, or an option is for classifiers.
            UsageError: A network cannot be built.
        """
        info = setting.data_info
        if faults := setting_faults(setting):
            raise SpecError(faults)
        teacher, student = (anchors_of(one, info.shape, info.classes) for one in (setting.teacher, setting.student))
        if problem := differing_anchors(setting.teacher, teacher, setting.student, student):
            raise SpecError([Fault("study", "student", problem)])
        options = Options.model_validate(setting.task.options)
        return cls(info.classes, info.shape, student, objective_of(setting), options)

    @property
    def output_size(self) -> int:
        """The logits of each anchor, background first, and its four offsets."""
        return len(self.anchors) * (self.classes + 5)

    def splits(self, arrays: Arrays, setting: Setting, device: torch.device) -> Splits:
        """Split the data set by the rarest class of each image; see :meth:`kdtune.data.batches.Splits.of`.

        Raises:
            UsageError: A part has no objects.
        """
        data = setting.data
        splits = Splits.of(
            *(arrays, setting.validation, setting.split_seed, device),
            train_limit=data.train_limit,
            normalisation=data.normalisation,
            resident=data.resident,
            strata=rarest_classes(arrays.train_labels),
            make_part=partial(BoxedImages, anchors=self.anchors.to(device)),
        )
        for name, part in (("training", splits.train), ("validation", splits.validation), ("test", splits.test)):
            is_wanted = (part.labels[..., matching.CLASS] >= 0) & (part.labels[..., matching.DIFFICULT] == 0)
            if not bool(is_wanted.any()):
                raise UsageError(f"data set {setting.dataset}: no image of the {name} part has an object to be found")
        return splits

    def remarks(self, arrays: Arrays, splits: Splits) -> list[str]:
        """Name classes without objects in the training or the validation part."""

        def found(part: ImageSet) -> int:
            return len({*range(self.classes)}.intersection(part.labels[..., matching.CLASS].unique().int().tolist()))

        return missing_classes(splits, self.classes, found, "object")

    def network(self, component: Component, image_shape: Sequence[int]) -> torch.nn.Module:
        """See :func:`kdtune.models.building.build_network`."""
        return build_network(component, image_shape[0], self.classes)

    @classmethod
    def check_network(cls, component: Component, info: DataInfo) -> torch.nn.Module:
        """See :func:`kdtune.tasks.detection.network_checks.check_detector`."""
        return check_detector(component, info)

    def label_loss(self, training: Training, train: ImageSet) -> LabelLoss:
        """Return the cross-entropy of the selected anchors, divided by the number of those with an object."""
        return self._label_loss

    def _label_loss(self, outputs: torch.Tensor, targets: Matched) -> torch.Tensor:
        return label_loss(self._parts(outputs)[0], targets)

    def soft_pairs(self, student: torch.Tensor, teacher: torch.Tensor | None, targets: Matched) -> SoftPairs:
        """Return one pair for each anchor, of which those that are not selected have the weight 0."""
        logits, offsets = self._parts(student)
        teacher_logits, teacher_offsets = self._parts(teacher) if teacher is not None else (None, None)
        further = box_loss(offsets, teacher_offsets, targets, self.options)
        if self.options.hint_weight and teacher_logits is not None:
            further = further + self.options.hint_weight * hint(logits, teacher_logits)
        return SoftPairs(
            student=logits.flatten(0, 1),
            teacher=None if teacher_logits is None else teacher_logits.flatten(0, 1),
            labels=targets.labels.flatten(),
            weights=pair_weights(logits, targets, self.options.background_weight),
            further_loss=further,
        )

    def _parts(self, outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logits, (n, anchors, classes + 1), and the offsets, (n, anchors, 4), of outputs."""
        logits, offsets = outputs.tensor_split([len(self.anchors) * (self.classes + 1)], dim=1)
        return logits.view(-1, len(self.anchors), self.classes + 1), offsets.view(-1, len(self.anchors), 4)

    def predict(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the detections of each image, (n, 200, 6); see :mod:`kdtune.tasks.detection.predictions`."""
        return detections(*self._parts(outputs), self.anchors.to(outputs.device), *self.shape[1:])

    def evaluate(
        self,
        model: torch.nn.Module,
        part: ImageSet,
        arithmetic: Arithmetic | None = None,
        captured: CapturedLogits | None = None,
        *,
        keep_probabilities: bool = False,
    ) -> Evaluation:
        """Evaluate a detector; its loss is that of labels and boxes together, for each anchor with an object.

        Probabilities are not kept: each detection has its score.
        """
        found, losses, objects = [], [], []
        for outputs, targets in outputs_of(model, part, arithmetic, captured):
            found.append(self.predict(outputs))
            logits, offsets = self._parts(outputs)
            count = objects_of(targets.labels)
            losses.append((label_loss(logits, targets) + box_loss(offsets, None, targets, Options())) * count)
            objects.append(count)
        predictions = torch.cat(found).cpu()
        loss = float(torch.stack(losses).double().sum() / torch.stack(objects).sum())
        return Evaluation(self.metrics(predictions, part), loss, predictions)

    def metrics(self, predictions: torch.Tensor, part: ImageSet) -> Metrics:
        """Return VOC's mean average precision: 11 points, and area."""
        return _means(self._results(predictions, part))

    def test_metrics(self, predictions: torch.Tensor, part: ImageSet) -> Metrics:
        """Return VOC's mean average precisions and COCO's: over overlaps of 0.5 to 0.95, at 0.5, and at 0.75."""
        coco = coco_precision(predictions, part.labels, self.classes)
        return {
            **self.metrics(predictions, part),
            "map_coco": mean_of(list(coco.values())),
            "map_coco_50": coco[0.5],
            "map_coco_75": coco[0.75],
        }

    def calibration(self, evaluation: Evaluation, part: ImageSet) -> Metrics:
        """Return nothing: the evaluation holds no probabilities of an image."""
        return {}

    def disagreement(self, found: torch.Tensor, known: torch.Tensor) -> float:
        """Return the share of images whose detections differ by more than rounding."""
        steps = torch.tensor([0.5, _SCORE_STEP, *[_PIXEL_STEP] * 4])
        assert (SCORE, BOX.start) == (1, 2)
        return float(((found - known).abs() > steps).flatten(1).any(dim=1).double().mean())

    def documents(
        self, predictions: torch.Tensor, part: ImageSet, class_names: Sequence[str]
    ) -> dict[str, str | bytes]:
        """Return the average precision of each class, and a picture of some images with boxes."""
        return {
            "per-class": per_class_csv(self._results(predictions, part), class_names),
            "detections": detections_png(predictions, part, class_names),
        }

    def figures(
        self, networks: Mapping[str, torch.nn.Module], part: ImageSet, class_names: Sequence[str]
    ) -> list[ModelFigure | str]:
        """See :func:`kdtune.tasks.detection.network_figures.network_figures`."""
        found = {name: self.evaluate(network, part).predictions for name, network in networks.items()}
        results = {name: self._results(one, part) for name, one in found.items()}
        return network_figures(found, results, part, class_names)

    def teacher_facts(self, found: Sequence[tuple[Evaluation, ImageSet]]) -> dict[str, float]:
        """Return what tells whether a detector knows its task, over all images that it was evaluated on together.

        Returns:
            ``chance_objective``, the best value of the objective if the detections of other images take the place of
            an image's own, in several orders; nothing if a part has a single image.
        """
        images = sum(len(part) for _, part in found)

        def in_another_order(shift: int) -> float:
            each = [(self.metrics(one.predictions.roll(shift, 0), part), len(part)) for one, part in found]
            return sum((metrics[self.objective.name] or 0.0) * count for metrics, count in each) / images

        orders = min(_OTHER_ORDERS, *(len(part) - 1 for _, part in found))
        values = [in_another_order(shift) for shift in range(1, orders + 1)]
        return {"chance_objective": max(values)} if values else {}

    def _results(self, predictions: torch.Tensor, part: ImageSet) -> list[ClassResult]:
        return voc_results(predictions, part.labels, self.classes)


def _means(results: Sequence[ClassResult]) -> Metrics:
    return {
        "map": mean_of([one.eleven_points for one in results]),
        "map_area": mean_of([one.area for one in results]),
    }
