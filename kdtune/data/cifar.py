"""CIFAR-10 and CIFAR-100: 60,000 photos of 32x32 pixels each.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009).
"""

from pathlib import Path
from typing import Any

import numpy as np

from kdtune.data.arrays import Arrays
from kdtune.data.published import Archive, Published


class _Cifar(Published):
    #: Name of the class in torchvision.
    _torchvision: str

    def _class(self) -> Any:
        from torchvision import datasets

        return getattr(datasets, self._torchvision)

    def decode(self, root: Path) -> Arrays:
        """Let torchvision unpickle the files; it compares their checksums again beforehand."""
        train, test = (self._class()(str(root), train=train) for train in (True, False))
        return Arrays(*_arrays(train), *_arrays(test), tuple(test.classes))

    def archives(self) -> list[Archive]:
        """Return the single archive."""
        known = self._class()
        return [Archive((known.url,), known.tgz_md5)]


def _arrays(part: Any) -> tuple[np.ndarray, np.ndarray]:
    # Torchvision returns a view of (N, 3, 32, 32) with the channels last, so transposing back copies nothing.
    return np.ascontiguousarray(part.data.transpose(0, 3, 1, 2)), np.array(part.targets, np.int64)


class Cifar10(_Cifar):
    """CIFAR-10."""

    name = "cifar10"
    _torchvision = "CIFAR10"


class Cifar100(_Cifar):
    """CIFAR-100, with its 100 fine classes."""

    name = "cifar100"
    _torchvision = "CIFAR100"
