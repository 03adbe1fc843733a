"""What kdtune is measured against: an ordinary, well-written distillation loop, as most repositories have it.

float32, contiguous, a DataLoader with worker processes that change PIL images one by one, the teacher in inference
mode without a graph, ``.item()`` for the running loss in every step. Of kdtune it takes the networks alone.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import datasets, transforms

from kdtune.models import MODELS

#: Worker processes of the loader.
WORKERS = 2

#: Batches that each of them prepares ahead.
AHEAD = 2


class ReferenceLoop:
    """A student distilled from a frozen teacher, step by step, at tau 4."""

    def __init__(self, data: Dataset, teacher: str, student: str, classes: int, device: torch.device) -> None:
        """Build networks, optimiser and loader.

        Args:
            data: Of PIL images changed and normalised to tensors, with their labels.
            teacher: Architecture; untrained, which takes as long.
            student: Architecture.
            classes: Logits of an image.
            device: Where to train.
        """
        channels = data[0][0].shape[0]
        self.device = device
        self.teacher = MODELS.load(teacher)(channels, classes).to(device).eval().requires_grad_(False)
        self.student = MODELS.load(student)(channels, classes).to(device)
        self.optimizer = torch.optim.SGD(self.student.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
        self.loader = DataLoader(
            data,
            batch_size=128,
            shuffle=True,
            num_workers=WORKERS,
            prefetch_factor=AHEAD,
            persistent_workers=True,
            pin_memory=device.type == "cuda",
        )
        self.running_loss = 0.0

    def steps(self) -> Iterator[None]:
        """One epoch, a step at a time."""
        alpha, tau = 0.95, 4.0
        self.student.train()
        for images, labels in self.loader:
            images = images.to(self.device, non_blocking=True)
            labels = labels.to(self.device, non_blocking=True)
            with torch.no_grad():
                wanted = self.teacher(images)
            logits = self.student(images)
            softened = F.kl_div(
                F.log_softmax(logits / tau, dim=1), F.softmax(wanted / tau, dim=1), reduction="batchmean"
            )
            loss = alpha * tau**2 * softened + (1 - alpha) * F.cross_entropy(logits, labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.running_loss += loss.item()
            yield

    def evaluate(self, data: Dataset) -> float:
        """The student's accuracy on other images, a fraction."""
        self.student.eval()
        right = 0
        with torch.no_grad():
            for images, labels in DataLoader(data, batch_size=512, num_workers=WORKERS):
                right += (self.student(images.to(self.device)).argmax(1).cpu() == labels).sum().item()
        return right / len(data)  # type: ignore[arg-type]

    def epoch_s(self) -> float:
        """Seconds of one epoch of training."""
        began_s = time.perf_counter()
        for _ in self.steps():
            pass
        return time.perf_counter() - began_s


def cifar100(root: Path) -> Dataset:
    """CIFAR-100's training part with the paper's changes."""
    change = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.RandomRotation(15),
            transforms.ToTensor(),
            transforms.Normalize((0.507, 0.487, 0.441), (0.267, 0.256, 0.276)),
        ]
    )
    return datasets.CIFAR100(str(root), train=True, transform=change)


def fashion_mnist(root: Path) -> tuple[Dataset, Dataset]:
    """Fashion-MNIST as ``fashion-hkd`` splits it, 54,000 images to train and 6,000 to validate, unchanged."""
    change = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.286,), (0.353,))])
    data = datasets.FashionMNIST(str(root), train=True, transform=change)
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0)).tolist()
    return Subset(data, order[:54_000]), Subset(data, order[54_000:])
