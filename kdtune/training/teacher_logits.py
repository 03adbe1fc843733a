"""What a student is to imitate: the teacher's logits, computed in every step or looked up."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import torch

from kdtune.data.device_transfer import moved
from kdtune.training.numerics import Arithmetic


class TeacherLogits(Protocol):
    """The teacher, as a training sees it."""

    @property
    def rows(self) -> torch.Tensor | None:
        """The present epoch's logits of all training images, (N, classes); None where each batch is computed."""

    def begin_epoch(self, epoch: int) -> None:
        """Get ready for an epoch, counted from 0."""

    def fetch_ahead(self, epoch: int) -> None:
        """Begin in the background what can be done beforehand for an epoch that will follow."""

    def __call__(self, images: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """The teacher's logits for a batch, float32, (n, classes), without a gradient.

        Args:
            images: float32, (n, channels, height, width), changed and normalised as the student sees them.
            index: Which images of the training part they are, int64, (n,).
        """


class LiveTeacher:
    """Asks the teacher in every step."""

    rows = None

    def __init__(
        self,
        model: torch.nn.Module,
        arithmetic: Arithmetic,
        compiled: torch.nn.Module | None = None,
        batch_size: int = 0,
    ) -> None:
        """Take the teacher.

        Args:
            model: Frozen, in inference mode, placed by ``arithmetic``.
            arithmetic: Precision and memory layout.
            compiled: The same network, compiled for batches of one size.
            batch_size: That size.
        """
        self._model = model
        self._arithmetic = arithmetic
        self._compiled = compiled
        self._batch_size = batch_size

    def begin_epoch(self, epoch: int) -> None:
        """Nothing: it answers as it always does."""

    def fetch_ahead(self, epoch: int) -> None:
        """Nothing either."""

    def __call__(self, images: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """One pass of the teacher."""
        if self._compiled is None or len(images) != self._batch_size:
            with torch.no_grad():
                return self._arithmetic.logits(self._model, images)
        with torch.no_grad():
            # A copy: the student's pass may overwrite what a CUDA graph put out.
            return self._arithmetic.logits(self._compiled, images).clone()


class ReplayedTeacher:
    """Looks up what the teacher said when it was asked once for all trainings of a repeat."""

    def __init__(self, rows_of: Callable[[int], torch.Tensor], device: torch.device) -> None:
        """Take what gives the rows of an epoch.

        Args:
            rows_of: From an epoch, counted from 0, to the logits of all training images, float16 or float32,
                (N, classes). It is called in another thread for the epoch that follows the present one.
            device: Of the training; an epoch's rows are moved there as a whole.
        """
        self._rows_of = rows_of
        self._device = device
        self.rows = torch.empty(0)
        self._ahead: tuple[int, Future[torch.Tensor]] | None = None

    def begin_epoch(self, epoch: int) -> None:
        """Have the epoch's rows on the device; whatever prevented fetching them ahead is raised here."""
        ahead, self._ahead = self._ahead, None
        self.rows = ahead[1].result() if ahead and ahead[0] == epoch else self._fetch(epoch)

    def fetch_ahead(self, epoch: int) -> None:
        """Read an epoch's rows and send them to the device, in a thread that ends with that."""
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kdtune-logits")
        self._ahead = epoch, thread.submit(self._fetch, epoch)
        thread.shutdown(wait=False)

    def _fetch(self, epoch: int) -> torch.Tensor:
        return moved(self._rows_of(epoch), self._device)

    def __call__(self, images: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """The rows of these images."""
        return self.rows.index_select(0, index).float()
