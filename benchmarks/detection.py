"""Images a second of a detector's training, by kdtune and by torchvision's reference loop; and memory over 20 trials.

The reference trains the same network with torchvision's own loss and matching, as ``references/detection/train.py`` of
its repository does: images and boxes go through ``transforms.v2`` one by one in a ``DataLoader``, with the ``ssd``
preset's changes for grey images, and the loss is read in every step. All ways are timed in turns in one process. The
reference has no teacher, so kdtune is timed without one and with one. Besides images per second of the clock, images
per second of the processors are given, those of loading processes included, which a busy machine disturbs less.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import Any

import psutil
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.models.detection.ssd import SSD
from torchvision.transforms import v2

from benchmarks.record import ResultsByRound, print_progress
from kdtune.artifacts.training_context import TrainingContext
from kdtune.specs import load_study
from kdtune.specs.numerics import PLAIN
from kdtune.specs.suggestion import Suggestion
from kdtune.storage.paths import data_dir
from kdtune.tasks.detection.detectors import Detector
from kdtune.tasks.detection.matching import BOX, CLASS
from kdtune.training.resolution import resolved_recipe

#: Rounds in which every way is timed once, and steps of each in a round: many more than the batches that processes
#: load ahead, which are ready when the clock starts.
ROUNDS, STEPS = 5, 24

#: Time before each way, in which such processes finish the batches that they load ahead for another way.
SETTLE_S = 2.0

#: Numbers of processes that load data for the reference loop; the fastest is compared.
WORKERS = (0, 2)

#: Trainings of one epoch whose memory is compared, and how many of them come before the first comparison.
TRIALS, WARM_UP = 20, 5

#: Images in a step, as published with SSD; the study itself has fewer.
BATCH_SIZE = 32

#: The reference's changes, without that of the colours.
CHANGES = ("zoom-out", "iou-crop", "flip")

#: A way takes a number of steps and returns nothing.
Way = Callable[[int], None]


class Boxed(Dataset[Any]):
    """The training images one by one, as the reference has them."""

    def __init__(self, images: torch.Tensor, objects: torch.Tensor) -> None:
        """Keep uint8 images, (N, 1, height, width), and objects, (N, objects, 6)."""
        self._images, self._objects = images, objects
        self._change = v2.Compose(
            [
                v2.RandomZoomOut(fill=60),
                v2.RandomIoUCrop(),
                v2.RandomHorizontalFlip(p=0.5),
                v2.ToDtype(torch.float, scale=True),
                v2.SanitizeBoundingBoxes(),
                v2.ToPureTensor(),
            ]
        )

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, number: int) -> Any:
        objects = self._objects[number]
        objects = objects[objects[:, CLASS] >= 0]
        image = tv_tensors.Image(self._images[number])
        boxes = tv_tensors.BoundingBoxes(objects[:, BOX], format="XYXY", canvas_size=image.shape[1:])
        return self._change(image, {"boxes": boxes, "labels": objects[:, CLASS].long() + 1})


def run(rounds: int = ROUNDS, steps: int = STEPS) -> None:
    """Time all ways and measure the memory, and save the figures.

    Args:
        rounds: Number of rounds.
        steps: Steps of each way in a round.
    """
    torch.set_num_threads(1)  # as a trial has one core by default
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    record = ResultsByRound(f"detection_{device.type}", "python -m benchmarks detection")
    context = _context(device)
    ways: dict[str, Way] = {
        "kdtune, labels alone": partial(_take, _endless(context, "ce")),
        "kdtune, live teacher": partial(_take, _endless(context, "hkd")),
        **{f"torchvision, {count} loading": partial(_take, _reference(context, count)) for count in WORKERS},
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    cpu_rates: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way(2)
    for number in range(rounds):
        for name, way in ways.items():
            time.sleep(SETTLE_S)
            begin, begin_cpu_s = time.perf_counter(), _cpu_s()
            way(steps)
            images = steps * context.study.training.batch_size
            rates[name].append(images / (time.perf_counter() - begin))
            cpu_rates[name].append(images / (_cpu_s() - begin_cpu_s))
        print_progress(f"detection: round {number + 1} of {rounds}")
        record.save({"clock": _results(rates), "cpu": _results(cpu_rates)})
    record.finish({"clock": _results(rates), "cpu": _results(cpu_rates), "memory": _memory(context)})


def _cpu_s() -> float:
    """Return the CPU time of this process and of those that load data for it, in seconds."""
    own = psutil.Process()
    each = [one.cpu_times() for one in (own, *own.children(recursive=True))]
    return sum(times.user + times.system for times in each)


def _context(device: torch.device) -> TrainingContext:
    study = load_study("digits-detection")
    training = study.training.model_copy(update={"augment": CHANGES, "batch_size": BATCH_SIZE})
    study = study.model_copy(update={"training": training, "numerics": PLAIN, "teacher_logits": "live"})
    return TrainingContext(study, device, torch.get_num_threads(), str(data_dir()))


def _take(steps: Iterator[Any], count: int) -> None:
    for _ in range(count):
        loss = next(steps)
    float(loss)  # waits for the device


def _endless(context: TrainingContext, loss: str) -> Iterator[torch.Tensor]:
    """Yield the losses of kdtune's steps, of full batches."""
    study = load_study(context.study, overrides=[f"loss={loss}"]) if loss == "ce" else context.study
    recipe = resolved_recipe(study, Suggestion(values={"tau": 4.0} if loss != "ce" else {}))
    teacher = context.untrained_teacher_logits() if recipe.needs_teacher else None
    training = context.training(recipe, 0, teacher)
    while True:
        yield from training.steps()


def _reference(context: TrainingContext, workers: int) -> Iterator[float]:
    """Yield the losses of the steps of torchvision's reference loop."""
    train, training = context.splits.train, context.study.training
    detector = context.untrained_student()
    assert isinstance(detector, Detector) and isinstance(train.images, torch.Tensor)
    height, width = train.images.shape[2:]
    mean, std = train.mean.flatten().tolist(), train.std.flatten().tolist()
    sizes = {"size": (height, width), "num_classes": context.study.data_info.classes + 1}
    model = SSD(_Named(detector.backbone), detector.boxes, head=detector.head, image_mean=mean, image_std=std, **sizes)
    model.to(context.device).train()
    optimizer = torch.optim.SGD(
        model.parameters(), training.learning_rate, training.momentum, weight_decay=training.weight_decay
    )
    loader = DataLoader(
        Boxed(train.images.cpu(), train.labels.cpu()),
        training.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        collate_fn=_collated,
    )
    while True:
        for images, targets in loader:
            images = [image.to(context.device) for image in images]
            targets = [{key: value.to(context.device) for key, value in target.items()} for target in targets]
            loss = sum(model(images, targets).values())
            yield loss.item()  # the reference reads it in every step
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


class _Named(torch.nn.Module):
    """A backbone that names its maps, as torchvision's detectors want it."""

    def __init__(self, backbone: torch.nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {str(place): one for place, one in enumerate(self.backbone(images))}


def _collated(batch: list[Any]) -> tuple[Any, ...]:
    return tuple(zip(*batch, strict=True))


def _results(rates: dict[str, list[float]]) -> dict[str, Any]:
    medians = {name: median(values) for name, values in rates.items()}
    fastest = max(value for name, value in medians.items() if name.startswith("torchvision"))
    return {
        "images_per_s": {name: round(value, 1) for name, value in medians.items()},
        "times_the_reference": {
            name: round(value / fastest, 2) for name, value in medians.items() if name.startswith("kdtune")
        },
        "rounds": {name: [round(value, 1) for value in values] for name, values in rates.items()},
    }


def _memory(context: TrainingContext) -> dict[str, float]:
    """Train repeatedly for one epoch, and return by how much the memory of the process grows, in MB."""
    training = context.study.training.scaled_to(1)
    study = context.study.model_copy(update={"training": training})
    recipe = resolved_recipe(study, Suggestion(values={"tau": 4.0}))
    used = []
    for seed in range(TRIALS):
        context.training(recipe, seed, context.untrained_teacher_logits()).train_epoch()
        used.append(psutil.Process().memory_info().rss / 1e6)
        print_progress(f"detection: trial {seed + 1} of {TRIALS}, {used[-1]:.0f} MB")
    return {
        f"after_{WARM_UP}_trials_mb": round(used[WARM_UP - 1], 1),
        f"after_{TRIALS}_trials_mb": round(used[-1], 1),
        "growth_per_trial_mb": round((used[-1] - used[WARM_UP - 1]) / (TRIALS - WARM_UP), 3),
    }
