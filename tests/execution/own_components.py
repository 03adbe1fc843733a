"""A user's own networks, data set and loss, as source files, and a study of them."""

NETS = """
from torch import nn
from heads import head


class Tiny(nn.Sequential):
    def __init__(self, num_classes, in_channels, width=2):
        stem = nn.Conv2d(in_channels, width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        super().__init__(*stem, head(width, num_classes))
"""

HEADS = """
from torch import nn


def head(width, classes):
    return nn.Linear(width, classes)
"""

DATA = """
from sklearn.datasets import load_digits


def even_digits(limit=400):
    digits = load_digits()
    even = digits.target % 2 == 0
    images, labels = (digits.images[even] / 16).astype("float32")[:limit], digits.target[even][:limit] // 2
    return (images[:300], labels[:300]), (images[300:], labels[300:]), ["zero", "two", "four", "six", "eight"]
"""

LOSSES = """
import torch.nn.functional as F


def soft(student, teacher, labels, temperature, alpha, power=1):
    softened = F.softmax(teacher / temperature.teacher, dim=1) ** power
    distillation = F.cross_entropy(student / temperature.student, softened)
    return alpha * distillation + (1 - alpha) * F.cross_entropy(student, labels)
"""

PAIRS = """
from nets import Tiny


class Pairs(Tiny):
    def forward(self, images):
        if len(images) < 2:
            raise ValueError("needs two images")
        return super().forward(images)
"""

OWN = {
    "dataset": {"ref": "./data.py:even_digits", "limit": 380},
    "teacher": {"ref": "./nets.py:Tiny", "width": 8},
    "student": "./nets.py:Tiny",
    "loss": {"ref": "./losses.py:soft", "power": 2},
    "alpha": 0.5,
    "validation": 60,
    "repeats": 1,
    "strategies": {"grid": {}},
}
