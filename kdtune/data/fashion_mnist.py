"""Fashion-MNIST: 70,000 articles of clothing, 28x28 grey.

Source: H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
Algorithms (2017).
"""

from pathlib import Path

import numpy as np

from kdtune.data.arrays import Arrays
from kdtune.data.published import Archive, Published

_FOLDER = "FashionMNIST/raw"


class FashionMnist(Published):
    """Fashion-MNIST."""

    name = "fashion_mnist"

    def decode(self, root: Path) -> Arrays:
        """Read the four files with torchvision's readers, which do not unpickle."""
        from torchvision.datasets import FashionMNIST

        return Arrays(*_read(root, "train"), *_read(root, "t10k"), tuple(FashionMNIST.classes))

    def archives(self) -> list[Archive]:
        """Return one archive per file."""
        from torchvision.datasets import FashionMNIST

        return [
            Archive(tuple(mirror + name for mirror in FashionMNIST.mirrors), md5, _FOLDER)
            for name, md5 in FashionMNIST.resources
        ]


def _read(root: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    from torchvision.datasets.mnist import read_image_file, read_label_file

    start = str(root / _FOLDER / part)
    images = read_image_file(f"{start}-images-idx3-ubyte").numpy()[:, None]
    return images, read_label_file(f"{start}-labels-idx1-ubyte").numpy()
