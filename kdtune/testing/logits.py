"""Logits with which temperatures and losses are tested."""

from collections.abc import Callable

import torch

#: Images in a batch and classes, unless a case has others.
BATCH, CLASSES = 4, 5


def normal(images: int, classes: int, seed: int = 0) -> torch.Tensor:
    """Return normally distributed logits, float32, (images, classes)."""
    return torch.randn(images, classes, generator=torch.Generator().manual_seed(seed))


def labels_of(logits: torch.Tensor) -> torch.Tensor:
    """Return a class for each image, int64, (images,)."""
    return torch.arange(len(logits)) % logits.shape[1]


def _pair(images: int = BATCH, classes: int = CLASSES, scale: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    return scale * normal(images, classes, 0), scale * normal(images, classes, 1)


#: The logits of student and teacher in unusual cases.
CASES: dict[str, Callable[[], tuple[torch.Tensor, torch.Tensor]]] = {
    "one image": lambda: _pair(images=1),
    "two classes": lambda: _pair(classes=2),
    "1,000 classes": lambda: _pair(classes=1000),
    "logits of 10,000": lambda: _pair(scale=1e4),
    "negative logits": lambda: (-normal(BATCH, CLASSES, 0).abs(), -normal(BATCH, CLASSES, 1).abs()),
    "logits of 0": lambda: _pair(scale=0.0),
    "teacher equal to student": lambda: (normal(BATCH, CLASSES), normal(BATCH, CLASSES)),
    "bfloat16": lambda: (normal(BATCH, CLASSES, 0).bfloat16(), normal(BATCH, CLASSES, 1).bfloat16()),
}
