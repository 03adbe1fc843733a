"""Time of training steps whose images stay memory-mapped on the host, against images that are on the device."""

import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the customary name
from torch import nn

from benchmarks.record import ResultsByRound, print_progress
from kdtune.data.arrays import Arrays
from kdtune.data.batches import ImageSet, Splits

#: Rounds; in each, both ways are timed one after the other.
ROUNDS = 15

#: Training images, their height and width, and images in a step.
IMAGES, SIDE, BATCH = 4096, 64, 64

#: Steps of an epoch that are timed with a network.
STEPS = 16

CHANGES = ("resized-crop", "flip")


def run() -> None:
    """Run the benchmark and keep its results."""
    record = ResultsByRound("host_images", "python -m benchmarks host_images")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    times: dict[str, dict[str, list[float]]] = {"batches": {}, "training": {}}
    with TemporaryDirectory() as folder:
        place = Path(folder)
        parts = {"device": _images(place, device, resident=True), "host": _images(place, device, resident=False)}
        for number in range(ROUNDS + 1):
            for name in sorted(parts, reverse=bool(number % 2)):  # either way comes first in every second round
                part = parts[name]
                batch_ms, step_ms = _batches_ms(part, number), _training_ms(part, device, number)
                if number:  # the first round warms up
                    times["batches"].setdefault(name, []).append(batch_ms)
                    times["training"].setdefault(name, []).append(step_ms)
            print_progress(f"host_images: round {number} of {ROUNDS}")
            if number:
                record.save(_results(times, device))
    record.finish(_results(times, device))


def _images(folder: Path, device: torch.device, *, resident: bool) -> ImageSet:
    path = folder / "images.npy"
    if not path.exists():
        np.save(path, np.random.default_rng(0).integers(0, 256, (IMAGES, 3, SIDE, SIDE), dtype=np.uint8))
    mapped, labels = np.load(path, mmap_mode="r"), np.arange(IMAGES) % 10
    return Splits.of(Arrays(mapped, labels, mapped[:10], labels[:10]), 256, 0, device, resident=resident).train


def _batches_ms(part: ImageSet, epoch: int) -> float:
    """Time of a batch by itself, augmented and normalised, in milliseconds."""
    begin, batches = time.perf_counter(), 0
    total = torch.zeros((), device=part.labels.device)
    for images, _, _ in part.shuffled(BATCH, 0, epoch, CHANGES):
        total += images[0, 0, 0, 0]
        batches += 1
    float(total)  # waits for the device
    return 1000 * (time.perf_counter() - begin) / batches


def _training_ms(part: ImageSet, device: torch.device, epoch: int) -> float:
    """Time of a training step of a small network, in milliseconds."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(32, 10)).to(device)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    begin = time.perf_counter()
    for step, (images, labels, _) in enumerate(part.shuffled(BATCH, 0, epoch, CHANGES), 1):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        if step == STEPS:
            break
    float(loss.detach())
    return 1000 * (time.perf_counter() - begin) / STEPS


def _results(times: dict[str, dict[str, list[float]]], device: torch.device) -> dict[str, Any]:
    found: dict[str, Any] = {
        "device": device.type,
        "images": {"count": IMAGES, "shape": [3, SIDE, SIDE], "batch": BATCH, "augment": list(CHANGES)},
    }
    for what, ways in times.items():
        ratios = [host / resident for host, resident in zip(ways["host"], ways["device"], strict=True)]
        medians = {f"{name}_ms": median(values) for name, values in ways.items()}
        found[what] = {**medians, "ratios": ratios, "median_ratio": median(ratios)}
    return found
