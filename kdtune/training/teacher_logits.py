"""The teacher's logits, which a student imitates: computed in every step, or read from stored ones."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import torch

from kdtune.data.device_transfer import moved
from kdtune.training.numerics import Arithmetic


class TeacherLogits(Protocol):
    """The interface of a teacher in a training."""

    @property
    def rows(self) -> torch.Tensor | None:
        """Logits of all training images in the current epoch, (N, classes); None if computed batch by batch."""

    def begin_epoch(self, epoch: int) -> None:
        """Prepare for an epoch, counted from 0."""

    def fetch_ahead(self, epoch: int) -> None:
        """Start preparing a later epoch, counted from 0, in the background."""

    def __call__(self, images: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """Return the teacher's logits for a batch, float32, (n, classes), without a gradient.

        Args:
            images: Images as the student receives them, augmented and normalised, float32, (n, channels, height,
                width).
            index: Indices of the images in the training part, int64, (n,).
        """


class LiveTeacher:
    """Computes the teacher's logits in every step."""

    rows = None

    def __init__(
        self,
        model: torch.nn.Module,
        arithmetic: Arithmetic,
        compiled: torch.nn.Module | None = None,
        batch_size: int = 0,
    ) -> None:
        """Wrap a teacher.

        Args:
            model: Frozen network in inference mode, which was placed by ``arithmetic``.
            arithmetic: Precision and memory layout.
            compiled: The same network, compiled for batches of one size; None if it is not compiled.
            batch_size: The batch size of the compiled network.
        """
        self._model = model
        self._arithmetic = arithmetic
        self._compiled = compiled
        self._batch_size = batch_size

    def begin_epoch(self, epoch: int) -> None:
        """Do nothing, since the logits do not depend on the epoch."""

    def fetch_ahead(self, epoch: int) -> None:
        """Do nothing, since nothing can be prepared."""

    def __call__(self, images: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """Return the logits from a pass of the teacher."""
        if self._compiled is None or len(images) != self._batch_size:
            with torch.no_grad():
                return self._arithmetic.logits(self._model, images)
        with torch.no_grad():
            # Cloned, because the student's pass may overwrite the output of a CUDA graph.
            return self._arithmetic.logits(self._compiled, images).clone()


class ReplayedTeacher:
    """Looks up logits that the teacher computed once for all trainings of a repeat."""

    def __init__(self, rows_of: Callable[[int], torch.Tensor], device: torch.device) -> None:
        """Prepare the lookup.

        Args:
            rows_of: Function from an epoch, counted from 0, to the logits of all training images, float16 or float32,
                (N, classes). It is called in another thread for the epoch after the current one.
            device: Device of the training, to which all rows of an epoch are moved at once.
        """
        self._rows_of = rows_of
        self._device = device
        self.rows = torch.empty(0)
        self._ahead: tuple[int, Future[torch.Tensor]] | None = None

    def begin_epoch(self, epoch: int) -> None:
        """Put the rows of the epoch on the device; raises any error of an earlier :meth:`fetch_ahead` for it."""
        ahead, self._ahead = self._ahead, None
        self.rows = ahead[1].result() if ahead and ahead[0] == epoch else self._fetch(epoch)

    def fetch_ahead(self, epoch: int) -> None:
        """Read the rows of an epoch and move them to the device, in a thread that then ends."""
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kdtune-logits")
        self._ahead = epoch, thread.submit(self._fetch, epoch)
        thread.shutdown(wait=False)

    def _fetch(self, epoch: int) -> torch.Tensor:
        return moved(self._rows_of(epoch), self._device)

    def __call__(self, images: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """Return the rows of the given images."""
        return self.rows.index_select(0, index).float()
