"""One tau for the whole training (Hinton, Vinyals and Dean 2015)."""

from collections.abc import Sequence

import torch

from kdtune.temperature.base import Temperature, TemperaturePolicy


class Fixed(TemperaturePolicy):
    """Uses the same tau in every step."""

    depends_on_logits = False

    def __init__(self, tau: float, device: torch.device) -> None:
        """Create the policy for a tau greater than 0."""
        self._tau = float(tau)
        self._temperature = Temperature.same(torch.tensor(self._tau, device=device))

    def __call__(self, student_logits: torch.Tensor, teacher_logits: torch.Tensor, step: int) -> Temperature:
        """Return the fixed tau."""
        return self._temperature

    def scheduled(self, sizes: Sequence[int]) -> Temperature:
        """Return the fixed tau for every step."""
        return Temperature.of_steps(self._temperature.student.expand(len(sizes)))

    def epoch_tau(self) -> float:
        """Return the fixed tau."""
        return self._tau
