"""Images on the training device, and batches of them as tensor code: no loader processes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from kdtune.data.arrays import Arrays
from kdtune.data.splits import stratified_split
from kdtune.seeding import derive_seed


@dataclass(frozen=True)
class ImageSet:
    """Images and labels of one part of a data set, on one device.

    Attributes:
        images: uint8, (N, channels, height, width).
        labels: int64, (N,).
        mean: float32, (channels, 1, 1), of the training part, in units of the pixel range.
        std: As ``mean``.
    """

    images: torch.Tensor
    labels: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def normalised(self, index: torch.Tensor | slice) -> torch.Tensor:
        """Some images as float32 with mean 0 and deviation 1 a channel, (n, channels, height, width)."""
        return (self.images[index].float() / 255 - self.mean) / self.std

    def in_order(self, batch_size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Batches from the first image to the last: (images, labels)."""
        for start in range(0, len(self), batch_size):
            batch = slice(start, start + batch_size)
            yield self.normalised(batch), self.labels[batch]

    def shuffled(self, batch_size: int, seed: int, epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Batches in an order that depends on the seed and the epoch alone: (images, labels).

        So every point of a repeat sees the same stream, wherever and whenever it runs.
        """
        generator = torch.Generator().manual_seed(derive_seed(seed, "order", epoch))
        order = torch.randperm(len(self), generator=generator).to(self.images.device)
        for index in order.split(batch_size):
            yield self.normalised(index), self.labels[index]


@dataclass(frozen=True)
class Splits:
    """The three parts of a data set: strategies see ``validation``, the chosen model meets ``test`` once."""

    train: ImageSet
    validation: ImageSet
    test: ImageSet

    @classmethod
    def of(cls, arrays: Arrays, validation: float | int, split_seed: int, device: torch.device) -> "Splits":
        """Split a data set and put it on a device.

        Args:
            arrays: The decoded data set.
            validation: Number (int) or fraction (float) of training images to hold out.
            split_seed: Seed of the split.
            device: Where the images are to live.

        Raises:
            UsageError: The split would leave a part empty.
        """
        train, held = stratified_split(np.asarray(arrays.train_labels), validation, split_seed)
        pixels = arrays.train_images[train].astype(np.float64) / 255
        mean, std = (
            torch.tensor(statistic, dtype=torch.float32, device=device)[:, None, None]
            for statistic in (pixels.mean((0, 2, 3)), pixels.std((0, 2, 3)))
        )

        def part(images: np.ndarray, labels: np.ndarray) -> ImageSet:
            return ImageSet(torch.tensor(images, device=device), torch.tensor(labels, device=device), mean, std)

        return cls(
            train=part(arrays.train_images[train], arrays.train_labels[train]),
            validation=part(arrays.train_images[held], arrays.train_labels[held]),
            test=part(arrays.test_images, arrays.test_labels),
        )
