"""The reference with which kdtune is compared: an ordinary, well-written distillation loop.

It computes in contiguous float32, and has a DataLoader with worker processes that transform PIL images one by one, a
teacher without a graph, and a running loss by ``.item()`` in every step. On a GPU it keeps torch's defaults, with which
convolutions use TF32. It uses kdtune's networks and nothing else of its training code. The numbers of threads and
workers are the fastest in a short trial.

Run as a program, it does several trainings in one process, like a loop over temperatures:
``python -m benchmarks.reference JSON``, where the keys of the JSON object are the arguments of :func:`trainings`.
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

from kdtune.catalog.builtin import MODELS
from kdtune.energy.sensors.busy_time import busy_us
from kdtune.storage.paths import data_dir

#: Batches that each worker prepares in advance, the DataLoader's default.
AHEAD = 2

#: Least number of steps, and least time in seconds, for which each manner is tried.
TRIAL_STEPS, TRIAL_S = 2, 1.0


@dataclass(frozen=True)
class Manner:
    """A distribution of the cores between training and loading.

    Attributes:
        threads: torch's threads in the training process.
        workers: Worker processes of the DataLoader; with 0, the training process loads the batches itself.
    """

    threads: int
    workers: int

    @property
    def batches_ahead(self) -> int:
        """Largest number of batches that are loaded in advance."""
        return self.workers * AHEAD


def manners(device: torch.device) -> list[Manner]:
    """Return the manners worth trying.

    With worker processes, as many threads as cores are not always fastest, so fewer threads are tried too.
    """
    cores = os.cpu_count() or 1
    if device.type == "cuda":
        return [Manner(cores, workers) for workers in sorted({min(cores, few) for few in (2, 4, 8, cores)})]
    tried = [(cores, 0), (cores, 1), (max(1, cores - 1), 1), (max(1, cores // 2), cores)]
    return [Manner(*one) for one in dict.fromkeys(tried)]


class ReferenceLoop:
    """A loop that distils a student from a frozen teacher."""

    def __init__(
        self, train: Dataset, validation: Dataset, teacher: str, student: str, classes: int, device: torch.device
    ) -> None:
        """Build the teacher. :meth:`use` and :meth:`begin` must be called before the first step.

        Args:
            train: Training images, augmented and normalised to tensors, with labels.
            validation: Validation images, likewise.
            teacher: Name of the teacher's network; it stays untrained, which does not influence the time.
            student: Name of the student's network.
            classes: Number of classes.
            device: Device of the training.
        """
        self.device = device
        self._train, self._validation = train, validation
        self._channels, self._classes, self._architecture = train[0][0].shape[0], classes, student
        self._teacher = MODELS.load(teacher)(self._channels, classes).to(device).eval().requires_grad_(False)
        self.running_loss = 0.0

    def use(self, manner: Manner) -> None:
        """Set up threads and loaders. The loaders' workers are kept for all epochs and trainings."""
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
        """Start a training with a new student.

        Args:
            taus: The temperature, or several from which one is drawn for every batch.
        """
        self._taus = taus
        torch.manual_seed(0)
        self._student = MODELS.load(self._architecture)(self._channels, self._classes).to(self.device)
        self._optimizer = torch.optim.SGD(self._student.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        """Take one training step."""
        alpha, tau = 0.95, random.choice(self._taus)
        images = images.to(self.device, non_blocking=True)
        labels = labels.to(self.device, non_blocking=True)
        self._student.train()
        with torch.no_grad():
            targets = self._teacher(images)
        logits = self._student(images)
        softened = F.kl_div(F.log_softmax(logits / tau, dim=1), F.softmax(targets / tau, dim=1), reduction="batchmean")
        loss = alpha * tau**2 * softened + (1 - alpha) * F.cross_entropy(logits, labels)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self.running_loss += loss.item()

    def train_epoch(self) -> None:
        """Take all steps of an epoch."""
        for images, labels in self.loader:
            self.step(images, labels)

    def endless_batches(self) -> Iterator[Any]:
        """Yield batches of images and labels without end, loaded in the current manner."""
        loader = self.loader
        while True:
            yield from loader

    def settle(self, batches: Iterator[Any]) -> None:
        """Reach the steady state within an epoch after a pause, during which workers have loaded batches in advance.

        These batches are discarded, and one step is taken to give the workers the time that they have in each step.

        Args:
            batches: The result of :meth:`endless_batches`.
        """
        for _ in range(self.manner.batches_ahead):
            next(batches)
        self.step(*next(batches))

    def evaluate(self) -> float:
        """Return the student's accuracy on the validation images, as a fraction."""
        self._student.eval()
        correct = 0
        with torch.no_grad():
            for images, labels in self._validation_loader:
                correct += (self._student(images.to(self.device)).argmax(1).cpu() == labels).sum().item()
        return correct / len(self._validation)  # type: ignore[arg-type]


def use_fastest(loop: ReferenceLoop) -> dict[str, Any]:
    """Set the loop to the manner with the fastest steps; return it, and the seconds per step of all manners."""
    seconds = {manner: _step_s(loop, manner) for manner in manners(loop.device)}
    fastest = min(seconds, key=lambda manner: seconds[manner])
    loop.use(fastest)
    return {"manner": asdict(fastest), "tried": [{**asdict(one), "step_s": s} for one, s in seconds.items()]}


def _step_s(loop: ReferenceLoop, manner: Manner) -> float:
    loop.use(manner)
    loop.begin([4.0])
    batches = loop.endless_batches()
    loop.step(*next(batches))  # the first step is slow
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
    """Return parts of CIFAR-100's training images: for training, with the paper's augmentation, and for validation.

    Args:
        root: Data folder.
        train: Number of images for training.
        validation: Number of other images for validation, without augmentation.
    """
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
    """Return parts of Fashion-MNIST's training images for training and for validation, without augmentation.

    Args:
        root: Data folder.
        train: Number of images for training.
        validation: Number of other images for validation.
    """
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
    """Return the CPU seconds that the cores of this machine have been busy since boot."""
    return busy_us()[1] / 1e6


def trainings(
    train: int, validation: int, epochs: int, taus: Sequence[Sequence[float]], manner: dict[str, int] | None
) -> dict[str, Any]:
    """Run several trainings on Fashion-MNIST, one after the other in this process.

    Args:
        train: Number of images to train on.
        validation: Number of images to validate with after every epoch.
        epochs: Epochs of each training.
        taus: For each training, its temperature, or several from which one is drawn for every batch.
        manner: Fields of a :class:`Manner`; if None, the manners are tried and nothing is trained.

    Returns:
        ``marks``: wall seconds since boot and busy CPU seconds of the machine, before the first training and after
        each one. If ``manner`` is None, the result of :func:`use_fastest` instead.
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
