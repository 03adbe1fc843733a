"""Images on the training device, and batches as tensor code without loader processes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from kdtune.data.arrays import Arrays
from kdtune.data.augment import Changes
from kdtune.data.device_transfer import moved
from kdtune.data.host_images import HostImages
from kdtune.data.splits import stratified_split, stratified_subset
from kdtune.errors import UsageError
from kdtune.specs.seeds import derive_seed
from kdtune.specs.split_sizes import batch_sizes, normalisation_problem

#: Images in a pass of a classifier without gradients.
PASS_SIZE = 512


@dataclass(frozen=True)
class ImageSet:
    """Images and labels of one part of a data set on one device.

    Attributes:
        images: uint8, (N, channels, height, width), on the device, or those that are read from the host when needed.
        labels: What is known of each image, with N rows; of a classifier the classes, int64, (N,).
        mean: Mean of the training part, or as given, in units of the pixel range, float32, (channels, 1, 1).
        std: Standard deviation, like ``mean``; 1 for a channel that is constant in the training part.
    """

    images: torch.Tensor | HostImages
    labels: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor

    @property
    def pass_size(self) -> int:
        """Images in a pass without gradients, which may be larger than a training batch."""
        return PASS_SIZE

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> "ImageSet":
        """Return a part with the first images alone."""
        return replace(self, images=self.images[:count], labels=self.labels[:count])

    def normalised(self, index: torch.Tensor | slice) -> torch.Tensor:
        """Return images normalised to mean 0 and deviation 1 per channel, float32, (n, channels, height, width)."""
        return self._scaled(self.images[index])

    @cached_property
    def _line(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Intercept and slope that map a byte to its normalised value, float32, (channels, 1, 1)."""
        mean, std = self.mean.double(), self.std.double()
        return (-mean / std).float(), (1 / (255 * std)).float()

    def _scaled(self, images: torch.Tensor) -> torch.Tensor:
        # One multiply-add per pixel; it differs from (images / 255 - mean) / std in float32 by rounding, 3e-7.
        intercept, slope = self._line
        return torch.addcmul(intercept, images, slope)

    def in_order(self, batch_size: int) -> Iterator[tuple[torch.Tensor, Any]]:
        """Yield batches (images, targets) in the order of the images."""
        batches = torch.arange(len(self), device=self.labels.device).split(batch_size)
        for images, index in zip(self._fetched(batches), batches, strict=True):
            yield self._scaled(images), self.targets(index, None)

    def targets(self, index: torch.Tensor, changes: Changes | None) -> Any:
        """Return what the images' outputs are compared with; of a classifier the labels.

        Args:
            index: Numbers of the images, int64, (n,).
            changes: Augmentation of all images in this epoch, or None.
        """
        return self.labels[index]

    def strata(self) -> np.ndarray:
        """Return the class of each image, of which a selection of images keeps the shares, int64, (N,)."""
        return self.labels.cpu().numpy()

    def _fetched(self, batches: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
        """Yield the images of one batch after the other, uint8, (n, channels, height, width)."""
        if isinstance(self.images, HostImages):
            yield from self.images.fetched(batches)
        else:
            # Faster than indexing, because it copies whole images.
            yield from (self.images.index_select(0, index) for index in batches)

    def shuffled(
        self,
        batch_size: int,
        seed: int,
        epoch: int,
        changes: Sequence[str] = (),
        changes_seed: int | None = None,
        left_out: torch.Tensor | None = None,
    ) -> Iterator[tuple[torch.Tensor, Any, torch.Tensor]]:
        """Yield batches (images, targets, index of the images) in an order that depends only on seed and epoch.

        Every point of a repeat therefore sees the same batches.

        Args:
            batch_size: Images per batch; the last may have fewer or one more, see :func:`batch_sizes`.
            seed: Seed of the training.
            epoch: Counted from 0.
            changes: Augmentation; see :func:`kdtune.data.augment.augment`.
            changes_seed: Seed of the augmentation; by default that of the training.
            left_out: Whether an image is left out, bool, (N,); None leaves none out.
        """
        order = self.order(seed, epoch)
        if left_out is not None:
            order = order[~left_out[order]]
        drawn = self.epoch_changes(changes, seed if changes_seed is None else changes_seed, epoch)
        batches = order.split(batch_sizes(len(order), batch_size))
        for index, images in zip(batches, self._fetched(batches), strict=True):
            yield self._finished(images, index, drawn), self.targets(index, drawn), index

    def order(self, seed: int, epoch: int) -> torch.Tensor:
        """Return the numbers of all images in the order of an epoch, int64, (N,), on the images' device."""
        generator = torch.Generator().manual_seed(derive_seed(seed, "order", epoch))
        return moved(torch.randperm(len(self), generator=generator), self.images.device)

    def epoch_changes(self, changes: Sequence[str], seed: int, epoch: int) -> Changes | None:
        """Draw the augmentation of all images in an epoch; None if ``changes`` is empty."""
        if not changes:
            return None
        return self._drawn(torch.arange(len(self), device=self.images.device), changes, seed, epoch)

    def _drawn(self, index: torch.Tensor, changes: Sequence[str], seed: int, epoch: int) -> Changes:
        return Changes.drawn(index, changes, self.images.shape[2:], seed, epoch)

    def batch(self, index: torch.Tensor, changes: Changes | None) -> tuple[torch.Tensor, Any]:
        """Return images, augmented and normalised, and their targets.

        Args:
            index: Numbers of the images, int64, (n,).
            changes: Augmentation of all images in this epoch, or None.
        """
        return self._finished(self.images.index_select(0, index), index, changes), self.targets(index, changes)

    def _finished(self, images: torch.Tensor, index: torch.Tensor, changes: Changes | None) -> torch.Tensor:
        return self._scaled(changes.of(index).applied_to(images) if changes else images)

    def changed(self, index: torch.Tensor, changes: Sequence[str], seed: int, epoch: int) -> torch.Tensor:
        """Return images as a training sees them in an epoch: augmented, then normalised."""
        images = self.images.index_select(0, index)
        return self._scaled(self._drawn(index, changes, seed, epoch).applied_to(images) if changes else images)


@dataclass(frozen=True)
class Splits:
    """The parts of a data set: strategies see ``validation``, and the chosen model is tested once on ``test``."""

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
        normalisation: tuple[Sequence[float], Sequence[float]] | None = None,
        *,
        resident: bool = True,
        strata: np.ndarray | None = None,
        make_part: Callable[..., ImageSet] = ImageSet,
    ) -> "Splits":
        """Split a data set and put it on a device.

        Args:
            arrays: The decoded data set.
            validation: Number (int) or fraction (float) of training images to hold out.
            split_seed: Seed of the split and of the subset.
            device: Device of the images.
            train_limit: Size of a stratified subset of the training images to split; None uses all.
            normalisation: Mean and standard deviation of each channel; None computes them from the training part.
            resident: Whether all images are put on the device; otherwise they stay where they are on the host.
            strata: Class of each training image for the split, int64, (N,); None takes the labels.
            make_part: Makes a part from the fields of :class:`ImageSet` by position.

        Raises:
            UsageError: The split would leave a part empty, there are fewer images than the limit, or the normalisation
                is for another number of channels.
        """
        if problem := normalisation_problem(arrays.train_images.shape[1], normalisation):
            raise UsageError(f"data.mean: {problem}")
        labels = np.asarray(arrays.train_labels)
        strata = labels if strata is None else strata
        chosen = np.arange(len(strata)) if train_limit is None else stratified_subset(strata, train_limit, split_seed)
        train, held = (chosen[part] for part in stratified_split(strata[chosen], validation, split_seed))
        mean, std = (
            torch.tensor(statistic, dtype=torch.float32, device=device)[:, None, None]
            for statistic in normalisation or _mean_and_std(arrays.train_images, train)
        )

        def part(images: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> ImageSet:
            return image_set(images, labels, rows, mean, std, device, resident=resident, make_part=make_part)

        return cls(
            train=part(arrays.train_images, labels, train),
            validation=part(arrays.train_images, labels, held),
            test=part(arrays.test_images, arrays.test_labels, np.arange(len(arrays.test_labels))),
        )


def image_set(
    images: np.ndarray,
    labels: np.ndarray,
    rows: np.ndarray,
    mean: torch.Tensor,
    std: torch.Tensor,
    device: torch.device,
    *,
    resident: bool = True,
    make_part: Callable[..., ImageSet] = ImageSet,
) -> ImageSet:
    """Select images and put them on a device.

    Args:
        images: uint8, (N, channels, height, width).
        labels: int64, (N,).
        rows: The selected rows, int64, (n,).
        mean: See :class:`ImageSet`.
        std: See :class:`ImageSet`.
        device: Device of the images.
        resident: Whether all images are put on the device; otherwise they stay where they are on the host.
        make_part: Makes the result from the fields of :class:`ImageSet` by position.
    """
    numbers = torch.from_numpy(np.asarray(labels)[rows]).to(device)
    if not resident:
        return make_part(HostImages(images, rows, device), numbers, mean, std)
    # On a CPU the tensors share memory with the arrays copied from the memory-mapped file.
    return make_part(torch.from_numpy(np.asarray(images)[rows]).to(device), numbers, mean, std)


def _mean_and_std(images: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation per channel in units of the pixel range, float64, (channels,).

    The deviation of a constant channel is given as 1, so that its normalised values are 0 and not undefined.

    They are computed from exact integer sums over blocks of images, so the order does not matter and memory is small.

    Args:
        images: uint8, (N, channels, height, width).
        rows: The rows that count, int64, (n,).
    """
    total = np.zeros(images.shape[1], np.uint64)
    of_squares = np.zeros_like(total)
    for start in range(0, len(rows), 256):
        some = images[rows[start : start + 256]].astype(np.uint32)
        total += some.sum((0, 2, 3), dtype=np.uint64)
        of_squares += (some * some).sum((0, 2, 3), dtype=np.uint64)
    count = len(rows) * images[0, 0].size
    # Python integers do not overflow, and the variance is the difference of two nearly equal numbers.
    means = [int(one) / (255 * count) for one in total]
    variances = [
        (count * int(squares) - int(one) ** 2) / (255 * count) ** 2
        for one, squares in zip(total, of_squares, strict=True)
    ]
    return np.array(means), np.where(np.array(variances) > 0, np.sqrt(variances), 1.0)
