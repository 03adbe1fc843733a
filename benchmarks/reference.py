"""What kdtune is measured against: an ordinary, well-written distillation loop, as most repositories have it.

float32, contiguous, a DataLoader with worker processes that change PIL images one by one, the teacher in inference
mode without a graph, ``.item()`` for the running loss in every step. On a GPU it keeps torch's defaults, by which
convolutions round to TF32. Of kdtune it takes the networks alone. Threads and workers are those that a short trial
finds to be fastest.

As a program it goes through several trainings in one process, as one would loop over temperatures:
``python -m benchmarks.reference JSON``, whose keys are the arguments of :func:`trainings`.
"""

import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import datasets, transforms

from kdtune.energy.sensors.busy_time import busy_us
from kdtune.models import MODELS
from kdtune.storage.paths import data_dir

#: Batches that each worker prepares ahead; the DataLoader's own default.
AHEAD = 2

#: The least that each manner is tried: steps, and seconds.
TRIAL_STEPS, TRIAL_S = 2, 1.0


@dataclass(frozen=True)
class Manner:
    """How the loop shares out the cores.

    Attributes:
        threads: Of torch, in the training process.
        workers: Processes of the loader; 0 prepares batches in the training process.
    """

    threads: int
    workers: int

    @property
    def batches_ahead(self) -> int:
        """Batches that may lie ready before anybody asks."""
        return self.workers * AHEAD


def manners(device: torch.device) -> list[Manner]:
    """Those worth trying: as many threads as cores beside loader processes is not always the fastest."""
    cores = os.cpu_count() or 1
    if device.type == "cuda":
        return [Manner(cores, workers) for workers in sorted({min(cores, few) for few in (2, 4, 8, cores)})]
    tried = [(cores, 0), (cores, 1), (max(1, cores - 1), 1), (max(1, cores // 2), cores)]
    return [Manner(*one) for one in dict.fromkeys(tried)]


class ReferenceLoop:
    """A student distilled from a frozen teacher, step by step."""

    def __init__(
        self, train: Dataset, validation: Dataset, teacher: str, student: str, classes: int, device: torch.device
    ) -> None:
        """Build the teacher; :meth:`use` and :meth:`begin` have to come before a step.

        Args:
            train: PIL images changed and normalised to tensors, with their labels.
            validation: As ``train``.
            teacher: Architecture; untrained, which takes as long.
            student: Architecture.
            classes: Logits of an image.
            device: Where to train.
        """
        self.device = device
        self._train, self._validation = train, validation
        self._channels, self._classes, self._architecture = train[0][0].shape[0], classes, student
        self._teacher = MODELS.load(teacher)(self._channels, classes).to(device).eval().requires_grad_(False)
        self.running_loss = 0.0

    def use(self, manner: Manner) -> None:
        """Set threads and loaders up, whose workers live on from epoch to epoch and from training to training."""
        torch.set_num_threads(manner.threads)
        self.manner = manner
        self.loader = self._loader(self._train, 128, shuffle=True)
        self._validation_loader = self._loader(self._validation, 512, shuffle=False)

    def _loader(self, data: Dataset, batch_size: int, *, shuffle: bool) -> DataLoader:
        workers = self.manner.workers
        return DataLoader(
            data,
            batch_size=batch_size,
            shuffle=shuffle,
            num_workers=workers,
            prefetch_factor=AHEAD if workers else None,
            persistent_workers=workers > 0,
            pin_memory=self.device.type == "cuda",
        )

    def begin(self, taus: Sequence[float]) -> None:
        """Begin a training.

        Args:
            taus: The temperature, or several of which every batch draws one.
        """
        self._taus = taus
        torch.manual_seed(0)
        self._student = MODELS.load(self._architecture)(self._channels, self._classes).to(self.device)
        self._optimizer = torch.optim.SGD(self._student.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """One step of the training."""
        alpha, tau = 0.95, random.choice(self._taus)
        images = images.to(self.device, non_blocking=True)
        labels = labels.to(self.device, non_blocking=True)
        self._student.train()
        with torch.no_grad():
            wanted = self._teacher(images)
        logits = self._student(images)
        softened = F.kl_div(F.log_softmax(logits / tau, dim=1), F.softmax(wanted / tau, dim=1), reduction="batchmean")
        loss = alpha * tau**2 * softened + (1 - alpha) * F.cross_entropy(logits, labels)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self.running_loss += loss.item()

    def train_epoch(self) -> None:
        """All steps of an epoch."""
        for images, labels in self.loader:
            self.step(images, labels)

    def endless_batches(self) -> Iterator[Any]:
        """Epoch after epoch of images and labels, as the present manner loads them."""
        loader = self.loader
        while True:
            yield from loader

    def settle(self, batches: Iterator[Any]) -> None:
        """Come to how it goes within an epoch, after a rest in which workers prepared more than they do by then.

        What lies ready is thrown away, and a step gives the workers the time that a step gives them.
        """
        for _ in range(self.manner.batches_ahead):
            next(batches)
        self.step(*next(batches))

    def evaluate(self) -> float:
        """The student's accuracy on the validation images, a fraction."""
        self._student.eval()
        right = 0
        with torch.no_grad():
            for images, labels in self._validation_loader:
                right += (self._student(images.to(self.device)).argmax(1).cpu() == labels).sum().item()
        return right / len(self._validation)  # type: ignore[arg-type]


def use_fastest(loop: ReferenceLoop) -> dict[str, Any]:
    """Let the loop go on in the manner in which its steps are fastest, and tell what each manner took."""
    seconds = {manner: _step_s(loop, manner) for manner in manners(loop.device)}
    fastest = min(seconds, key=lambda manner: seconds[manner])
    loop.use(fastest)
    return {"manner": asdict(fastest), "tried": [{**asdict(one), "step_s": s} for one, s in seconds.items()]}


def _step_s(loop: ReferenceLoop, manner: Manner) -> float:
    loop.use(manner)
    loop.begin([4.0])
    batches = loop.endless_batches()
    loop.step(*next(batches))  # what is slow the first time
    loop.settle(batches)
    _wait(loop.device)
    began_s, steps = time.perf_counter(), 0
    while steps < TRIAL_STEPS or time.perf_counter() - began_s < TRIAL_S:
        loop.step(*next(batches))
        steps += 1
    _wait(loop.device)
    return (time.perf_counter() - began_s) / steps


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def cifar100(root: Path, train: int, validation: int) -> tuple[Dataset, Dataset]:
    """So many of CIFAR-100's images to train on, with the paper's changes, and others to validate, without."""
    last = [transforms.ToTensor(), transforms.Normalize((0.507, 0.487, 0.441), (0.267, 0.256, 0.276))]
    changes = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), transforms.RandomRotation(15)]
    return _parts(
        lambda change: datasets.CIFAR100(str(root), train=True, transform=change),
        transforms.Compose([*changes, *last]),
        transforms.Compose(last),
        train,
        validation,
    )


def fashion_mnist(root: Path, train: int, validation: int) -> tuple[Dataset, Dataset]:
    """So many of Fashion-MNIST's images to train on and others to validate, unchanged."""
    change = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.286,), (0.353,))])
    return _parts(
        lambda change: datasets.FashionMNIST(str(root), train=True, transform=change), change, change, train, validation
    )


def _parts(
    load: Callable[[Any], Dataset], change: Any, validation_change: Any, train: int, validation: int
) -> tuple[Dataset, Dataset]:
    data = load(change)
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0)).tolist()  # type: ignore[arg-type]
    held = data if validation_change is change else load(validation_change)
    return Subset(data, order[:train]), Subset(held, order[train : train + validation])


def busy_s() -> float:
    """CPU seconds in which any core of the machine worked, since it was started."""
    return busy_us()[1] / 1e6


def trainings(
    train: int, validation: int, epochs: int, taus: Sequence[Sequence[float]], manner: dict[str, int] | None
) -> dict[str, Any]:
    """Fashion-MNIST: one training after the other in this process.

    Args:
        train: Images to train on.
        validation: Images to validate with after every epoch.
        epochs: Of each training.
        taus: For each training its temperature, or several of which every batch draws one.
        manner: Of :class:`Manner`; None tries them instead of training.

    Returns:
        The fastest manner; or ``marks``: wall seconds since boot and CPU seconds of the machine, before the first
        training and after each.
    """
    data = fashion_mnist(data_dir().path, train, validation)
    loop = ReferenceLoop(*data, "convnet_16_32_64", "convnet_4_8_16", 10, torch.device("cpu"))
    if manner is None:
        return use_fastest(loop)
    loop.use(Manner(**manner))
    marks = [_mark()]
    for chosen in taus:
        loop.begin(chosen)
        for _ in range(epochs):
            loop.train_epoch()
            loop.evaluate()
        marks.append(_mark())
    return {"marks": marks}


def _mark() -> tuple[float, float]:
    return time.clock_gettime(time.CLOCK_MONOTONIC), busy_s()


if __name__ == "__main__":
    print(json.dumps(trainings(**json.loads(sys.argv[1]))))
