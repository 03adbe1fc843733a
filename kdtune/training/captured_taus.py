"""The temperatures that the captured steps of an epoch compute, for the log."""

import torch


class CapturedTaus:
    """Tensors at fixed addresses, in which the steps of an epoch write their temperatures."""

    def __init__(self, images: int, device: torch.device) -> None:
        """Begin without a record; the first step decides its form.

        Args:
            images: Largest number of images in an epoch.
            device: Device of the training.
        """
        self._images = images
        self._taus = torch.zeros(images, device=device)
        self._labels = self._places = torch.zeros(0, dtype=torch.int64, device=device)
        #: Pairs of logits with a tau of their own for each image; 0 if each step has one tau.
        self._several = 0

    def record(
        self, tau: torch.Tensor, labels: torch.Tensor, step: torch.Tensor, start: torch.Tensor, size: int
    ) -> None:
        """Write the temperatures of a step.

        Args:
            tau: One for the step, 0-d, or one for each pair of logits, (n, 1).
            labels: True classes of the pairs, (n,).
            step: Number of the step in the epoch, int64, (1,).
            start: Number of images in the steps before, int64, (1,).
            size: Number of images in the step.
        """
        tau = tau.detach().float()
        if not tau.ndim:
            self._taus.index_copy_(0, step, tau.view(1))  # no epoch has more steps than images
            return
        if not self._several:
            self._allocate(len(tau) // size)
        places = start * self._several + self._places[: len(tau)]
        self._taus.index_copy_(0, places, tau.flatten())
        self._labels.index_copy_(0, places, labels)

    def _allocate(self, several: int) -> None:
        self._several = several
        self._taus = self._taus.new_zeros(self._images * several)
        self._labels = self._labels.new_zeros(len(self._taus))
        self._places = torch.arange(len(self._taus), device=self._taus.device)

    def of_epoch(self, steps: int, images: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the temperatures of an epoch, and the labels of their pairs; None if each step has one tau."""
        if not self._several:
            return self._taus[:steps], None
        pairs = images * self._several
        return self._taus[:pairs], self._labels[:pairs]
