"""Speed of DeepInversion: kdtune's loop and a plain one of the same algorithm, WRN-40-2 on images of CIFAR's size.

The plain loop is written as the algorithm reads: float32, channels first, hooks that compute mean and variance with
torch's functions, and a frozen teacher in inference mode. Both are timed alternately in one process.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import nn

from benchmarks.record import print_progress, save
from kdtune.models.wide_resnet import wrn_40_2
from kdtune.specs.numerics import Numerics
from kdtune.synthesis.deep_inversion import DeepInversion, Options
from kdtune.synthesis.inverted_network import InvertedNetwork
from kdtune.synthesis.losses import total_variation
from kdtune.training.numerics import Arithmetic

#: Images of a batch, iterations that are timed in a round, and rounds.
BATCH, ITERATIONS, ROUNDS = 32, 2, 3

SHAPE, CLASSES = (3, 32, 32), 10


def run() -> None:
    """Time both loops and save images per second."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ways = {"plain": _plain(device), **{name: _ours(device, numerics) for name, numerics in _numerics().items()}}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for make in ways.values():
        make()  # the first iterations are slow
    for number in range(ROUNDS):
        print_progress(f"round {number + 1} of {ROUNDS}")
        for name, make in ways.items():
            begun = time.perf_counter()
            make()
            if device.type == "cuda":
                torch.cuda.synchronize()
            times[name].append(time.perf_counter() - begun)
    seconds = {name: median(found) / ITERATIONS for name, found in times.items()}
    fastest = min((name for name in ways if name != "plain"), key=lambda name: seconds[name])
    save(
        "synthesis",
        "python -m benchmarks synthesis",
        {
            "teacher": "wrn_40_2",
            "batch_size": BATCH,
            "rounds_s": times,
            "image_iterations_per_s": {name: BATCH / found for name, found in seconds.items()},
            "images_per_s_with_1000_iterations": {name: BATCH / found / 1000 for name, found in seconds.items()},
            "fastest": fastest,
            "speed_up": seconds["plain"] / seconds[fastest],
        },
    )


def _numerics() -> dict[str, Numerics]:
    return {
        "float32": Numerics(precision="float32", memory_layout="contiguous", compile="off"),
        "bfloat16_channels_last": Numerics(precision="bfloat16", memory_layout="channels_last", compile="off"),
    }


def _teacher() -> nn.Module:
    torch.manual_seed(0)
    return wrn_40_2(num_classes=CLASSES, in_channels=SHAPE[0])


def _ours(device: torch.device, numerics: Numerics) -> Callable[[], object]:
    arithmetic = Arithmetic(device, numerics)
    model = arithmetic.freeze(arithmetic.place(_teacher(), built_in=True), built_in=True)
    half = torch.full((3, 1, 1), 0.5, device=device)
    teacher = InvertedNetwork(model, arithmetic, half, half / 2)
    options = Options(images=BATCH, held_out=2, batch_size=BATCH, iterations=ITERATIONS)
    method = DeepInversion(options, CLASSES, SHAPE)
    return lambda: method.make(0, teacher)


def _plain(device: torch.device) -> Callable[[], object]:
    model = _teacher().to(device).eval().requires_grad_(False)
    distances: list[torch.Tensor] = []

    def look(layer: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        features = inputs[0]
        mean = features.mean((0, 2, 3))
        variance = features.permute(1, 0, 2, 3).contiguous().view(features.shape[1], -1).var(1, unbiased=False)
        distances.append((layer.running_var - variance).norm() + (layer.running_mean - mean).norm())

    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.register_forward_hook(look)

    def make() -> torch.Tensor:
        images = torch.randn(BATCH, *SHAPE, device=device, requires_grad=True)
        classes = torch.randint(CLASSES, (BATCH,), device=device)
        optimizer = torch.optim.Adam([images], lr=0.1, betas=(0.5, 0.99))
        best, lowest = images.detach().clone(), float("inf")
        for _ in range(ITERATIONS):
            distances.clear()
            moved = torch.roll(images, torch.randint(-4, 5, (2,)).tolist(), (2, 3))
            moved = moved.flip(3) if torch.rand(()) < 0.5 else moved
            loss = F.cross_entropy(model(moved), classes) + 10 * torch.stack(distances).sum()
            loss = loss + 0.001 * total_variation(images, 1)
            optimizer.zero_grad()
            loss.backward()
            if loss.item() < lowest:
                best, lowest = images.detach().clone(), loss.item()
            optimizer.step()
            with torch.no_grad():
                images.clamp_(-2, 2)
        return best

    return make
