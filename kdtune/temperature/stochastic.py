"""A tau drawn anew for every batch: the paper's proposal (PLOS ONE 2023, e0285668, "Our proposal")."""

import math
from typing import Any

import torch

from kdtune.seeding import derive_seed
from kdtune.specs.space import Dimension
from kdtune.temperature.base import Temperature, TemperaturePolicy


class Stochastic(TemperaturePolicy):
    """Each batch draws one tau from the search space, for both softmaxes and for the weight tau^2.

    From the space's points with equal probability, or as 1/tau where the space is logarithmic; from the whole
    interval where it has no step. The generator is private, so the draws move nothing else, and its state is in
    the checkpoint, so a resumed training draws what an undisturbed one would have.
    """

    def __init__(self, space: Dimension, seed: int, device: torch.device) -> None:
        """Draw from one dimension of a search space with a seed of the repeat's own."""
        self._space = space
        self._device = device
        self._generator = torch.Generator().manual_seed(derive_seed(seed, "tau"))
        self._taus = torch.empty(0)
        self._on_device = self._taus

    def begin_epoch(self, epoch: int, steps: int) -> None:
        """Draw the epoch's taus at once, so that no step waits for a draw."""
        if self._space.is_finite:
            weights = torch.tensor(self._space.weights(), dtype=torch.float64)
            index = torch.multinomial(weights, steps, replacement=True, generator=self._generator)
            self._taus = torch.tensor(self._space.points(), dtype=torch.float32)[index]
        else:
            low, high = self._space.bounds
            share = torch.rand(steps, generator=self._generator, dtype=torch.float64)
            if self._space.log:
                self._taus = torch.exp(math.log(low) + share * (math.log(high) - math.log(low))).float()
            else:
                self._taus = (low + share * (high - low)).float()
        self._on_device = self._taus.to(self._device, non_blocking=True)

    def __call__(self, student_logits: torch.Tensor, teacher_logits: torch.Tensor, step: int) -> Temperature:
        """The tau drawn for this step."""
        return Temperature.same(self._on_device[step])

    def epoch_tau(self) -> float:
        """The mean of the epoch's draws."""
        return float(self._taus.mean())

    def state_dict(self) -> dict[str, Any]:
        """The generator's state."""
        return {"generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put the generator where it was."""
        self._generator.set_state(state["generator"])
