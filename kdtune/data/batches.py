"""Images on the training device, and batches of them as tensor code: no loader processes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from kdtune.data.arrays import Arrays
from kdtune.data.augment import Changes, augment, changed
from kdtune.data.device_transfer import moved
from kdtune.data.split_sizes import batch_sizes
from kdtune.data.splits import stratified_split, stratified_subset
from kdtune.specs.seeds import derive_seed


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
        return self._scaled(self.images[index])

    @cached_property
    def _line(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Intercept and slope of the normalisation, from a byte to its value, float32, (channels, 1, 1)."""
        mean, std = self.mean.double(), self.std.double()
        return (-mean / std).float(), (1 / (255 * std)).float()

    def _scaled(self, images: torch.Tensor) -> torch.Tensor:
        # One multiply-add a pixel. Beside (images / 255 - mean) / std in float32 it is off by its rounding, 3e-7.
        intercept, slope = self._line
        return torch.addcmul(intercept, images, slope)

    def in_order(self, batch_size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Batches from the first image to the last: (images, labels)."""
        for start in range(0, len(self), batch_size):
            batch = slice(start, start + batch_size)
            yield self.normalised(batch), self.labels[batch]

    def shuffled(
        self, batch_size: int, seed: int, epoch: int, changes: Sequence[str] = (), changes_seed: int | None = None
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Batches in an order that depends on the seed and the epoch alone: (images, labels, index of the images).

        So every point of a repeat sees the same stream, wherever and whenever it runs.

        Args:
            batch_size: Images in a batch; the last may have fewer, or one more: see :func:`batch_sizes`.
            seed: Of the training.
            epoch: Counted from 0.
            changes: Random changes to the images; see :func:`kdtune.data.augment.augment`.
            changes_seed: Of these changes; the training's own unless given.
        """
        order = self.order(seed, epoch)
        drawn = self.epoch_changes(changes, seed if changes_seed is None else changes_seed, epoch)
        for index in order.split(batch_sizes(len(self), batch_size)):
            yield *self.batch(index, drawn), index

    def order(self, seed: int, epoch: int) -> torch.Tensor:
        """The numbers of all images in the order of one epoch, int64, (N,), on the images' device."""
        generator = torch.Generator().manual_seed(derive_seed(seed, "order", epoch))
        return moved(torch.randperm(len(self), generator=generator), self.images.device)

    def epoch_changes(self, changes: Sequence[str], seed: int, epoch: int) -> Changes | None:
        """The random changes to all images in one epoch; None where ``changes`` is empty."""
        if not changes:
            return None
        every = torch.arange(len(self), device=self.images.device)
        return Changes.drawn(every, changes, self.images.shape[3], seed, epoch)

    def batch(self, index: torch.Tensor, changes: Changes | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Some images, changed and normalised, and their labels.

        Args:
            index: The images' numbers, int64, (n,).
            changes: Of all images in this epoch; None leaves them as they are.
        """
        images = self.images.index_select(0, index)  # copies whole images, which indexing does not
        return self._scaled(changed(images, changes.of(index)) if changes else images), self.labels[index]

    def changed(self, index: torch.Tensor, changes: Sequence[str], seed: int, epoch: int) -> torch.Tensor:
        """Some images as a training sees them in an epoch: as :meth:`normalised`, changed at random before."""
        return self._scaled(augment(self.images, index, changes, seed, epoch))


@dataclass(frozen=True)
class Splits:
    """The three parts of a data set: strategies see ``validation``, the chosen model meets ``test`` once."""

    train: ImageSet
    validation: ImageSet
    test: ImageSet

    @classmethod
    def of(
        cls,
        arrays: Arrays,
        validation: float | int,
        split_seed: int,
        device: torch.device,
        train_limit: int | None = None,
    ) -> "Splits":
        """Split a data set and put it on a device.

        Args:
            arrays: The decoded data set.
            validation: Number (int) or fraction (float) of training images to hold out.
            split_seed: Seed of the split, and of the subset.
            device: Where the images are to live.
            train_limit: Split a stratified subset of so many training images; None takes all.

        Raises:
            UsageError: The split would leave a part empty, or there are fewer images than the limit.
        """
        labels = np.asarray(arrays.train_labels)
        chosen = np.arange(len(labels)) if train_limit is None else stratified_subset(labels, train_limit, split_seed)
        train, held = (chosen[part] for part in stratified_split(labels[chosen], validation, split_seed))
        images = np.asarray(arrays.train_images)[train]
        mean, std = (
            torch.tensor(statistic, dtype=torch.float32, device=device)[:, None, None]
            for statistic in _mean_and_std(images)
        )

        def part(images: np.ndarray, labels: np.ndarray) -> ImageSet:
            # On a CPU the tensors are the arrays that were copied out of the memory-mapped file, not another copy.
            return ImageSet(torch.from_numpy(images).to(device), torch.from_numpy(labels).to(device), mean, std)

        return cls(
            train=part(images, labels[train]),
            validation=part(np.asarray(arrays.train_images)[held], labels[held]),
            test=part(np.array(arrays.test_images), np.array(arrays.test_labels)),
        )


def _mean_and_std(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of every channel in units of the pixel range, float64, (channels,).

    From exact sums of integers, some images at a time: the order does not matter, and no copy of all is made.

    Args:
        images: uint8, (N, channels, height, width).
    """
    total = np.zeros(images.shape[1], np.uint64)
    of_squares = np.zeros_like(total)
    for start in range(0, len(images), 256):
        some = images[start : start + 256].astype(np.uint32)
        total += some.sum((0, 2, 3), dtype=np.uint64)
        of_squares += (some * some).sum((0, 2, 3), dtype=np.uint64)
    count = images[:, 0].size
    # As Python's integers, which do not overflow: the variance is a difference of two numbers that are nearly equal.
    means = [int(one) / (255 * count) for one in total]
    variances = [
        (count * int(squares) - int(one) ** 2) / (255 * count) ** 2
        for one, squares in zip(total, of_squares, strict=True)
    ]
    return np.array(means), np.sqrt(variances)
