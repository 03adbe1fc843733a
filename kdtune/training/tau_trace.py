"""Distribution of the temperatures of an epoch."""

from collections.abc import Sequence
from typing import Any

import torch

from kdtune.methods.loading import Softness
from kdtune.temperature.base import Temperature

#: Percentiles by field of :class:`kdtune.training.epoch_metrics.EpochMetrics`.
_PERCENTILES = {"tau_p05": 5, "tau_median": 50, "tau_p95": 95}


def traced_tau(
    temperature: Temperature, softness: Softness | None, student: torch.Tensor, teacher: torch.Tensor
) -> torch.Tensor:
    """Return the temperatures of the student that the log shows, without a gradient.

    Args:
        temperature: Temperature of the step, as it is decided.
        softness: What the loss makes of it; None if it uses the temperature as it is.
        student: Logits, (n, classes).
        teacher: Logits, (n, classes).

    Returns:
        One for the step, 0-d, or one for each pair of logits, float32, (n, 1).
    """
    with torch.no_grad():
        if softness is not None:
            temperature = softness(student, teacher, temperature.of_pairs(len(student)))
        return temperature.student.float()


class TauTrace:
    """Keeps the student's temperatures of one epoch on the device, and reads them when it has ended."""

    def __init__(self) -> None:
        """Begin without a temperature."""
        self._taus: list[torch.Tensor] = []
        self._labels: list[torch.Tensor] = []

    def scheduled(self, temperatures: Temperature, sizes: Sequence[int]) -> None:
        """Record the temperatures of all steps at once.

        Args:
            temperatures: A result of :meth:`Temperature.of_steps`.
            sizes: Number of images in each step.
        """
        taus = temperatures.student
        self._taus = [taus] if taus.ndim == 1 else [tau[:size, 0] for tau, size in zip(taus, sizes, strict=True)]

    def computed(self, taus: torch.Tensor, labels: torch.Tensor | None) -> None:
        """Record the temperatures of all steps, which captured steps have computed.

        Args:
            taus: One for each step, or one for each pair of logits.
            labels: True classes of the pairs; None if each step has one tau.
        """
        self._taus = [taus]
        self._labels = [] if labels is None else [labels]

    def record(self, taus: torch.Tensor, labels: torch.Tensor) -> None:
        """Record the temperatures of a step.

        Args:
            taus: One for the step, 0-d, or one for each pair of logits, (n, 1).
            labels: True classes of the pairs, (n,).
        """
        self._taus.append(taus.flatten())
        if taus.ndim:
            self._labels.append(labels)

    def mean(self) -> float | None:
        """Return the mean of the temperatures; None without any."""
        return float(torch.cat(self._taus).double().mean()) if self._taus else None

    def summary(self) -> dict[str, Any]:
        """Return the fields of the epoch's metrics; none if all temperatures are equal."""
        if not self._taus:
            return {}
        taus = torch.cat(self._taus)
        places = [(len(taus) - 1) * percent // 100 for percent in (0, 100, *_PERCENTILES.values())]
        least, greatest, *percentiles = taus.sort().values[places].tolist()
        if least == greatest:
            return {}
        found: dict[str, Any] = dict(zip(_PERCENTILES, percentiles, strict=True))
        if self._labels:
            found["tau_by_class"] = _by_class(taus.double(), torch.cat(self._labels))
        return found


def _by_class(taus: torch.Tensor, labels: torch.Tensor) -> tuple[float | None, ...]:
    """Return the mean of each class up to the largest label; None for one without images.

    Pairs with a negative label, which stands for pairs that a loss ignores, belong to no class.
    """
    has_class = labels >= 0
    taus, labels = taus[has_class], labels[has_class]
    sums, counts = labels.bincount(taus).tolist(), labels.bincount().tolist()
    return tuple(total / count if count else None for total, count in zip(sums, counts, strict=True))
