"""A random tau for each batch, as the paper proposes (PLOS ONE 2023, e0285668, "Our proposal"), and controls."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from kdtune.specs.frozen_model import FrozenModel
from kdtune.specs.search_space import Dimension, SearchSpace
from kdtune.specs.seeds import derive_seed
from kdtune.specs.temperature_range import in_range
from kdtune.temperature.base import PolicyContext, Temperature, TemperaturePolicy

if TYPE_CHECKING:
    import torch


class Options(FrozenModel):
    """How tau is drawn; as the paper does it unless given.

    Attributes:
        draw: What has a tau of its own: each ``batch``, ``epoch`` or ``sample``.
        scale: ``uniform`` draws the values of the space evenly, ``log`` as 1/tau; None as the space says.
        space: What is drawn from; the study's search space of tau unless given.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{}, {"draw": "epoch"}, {"draw": "sample", "scale": "log"}]}
    )

    draw: Literal["batch", "epoch", "sample"] = "batch"
    scale: Literal["uniform", "log"] | None = None
    space: Dimension | None = None

    @field_validator("space")
    @classmethod
    def _in_range(cls, space: Dimension | None, info: ValidationInfo) -> Dimension | None:
        for bound in space.bounds if space else ():
            in_range(bound, info)
        return space


class StochasticTemperature(TemperaturePolicy):
    """Draws one tau per batch from the search space, for both softmaxes and for the weight tau^2.

    As controls, it can draw one tau per epoch or per image. The points of the space have equal probability, or a
    probability proportional to 1/tau if the space is logarithmic; a space without a step is sampled as an interval.
    The generator is private, so the draws do not affect other random numbers. Its state is saved in checkpoints, so a
    resumed training draws the same values as an uninterrupted one.
    """

    Options: ClassVar[type[BaseModel]] = Options
    depends_on_logits = False

    @classmethod
    def resolved(cls, options: BaseModel, space: SearchSpace) -> BaseModel:
        """With what is drawn from, and the scale as a part of that."""
        assert isinstance(options, Options)
        drawn_from = options.space or space["tau"]
        if options.scale is not None:
            drawn_from = drawn_from.model_copy(update={"log": options.scale == "log"})
        return options.model_copy(update={"scale": None, "space": drawn_from})

    def __init__(self, options: BaseModel, context: PolicyContext) -> None:
        """Draw with a seed of the training's own."""
        import torch

        assert isinstance(options, Options) and options.space is not None, "the options are not resolved"
        self._space = options.space
        self._device = context.device
        self._draw = options.draw
        self._batch_size = context.batch_size
        self._generator = torch.Generator().manual_seed(derive_seed(context.seed, "tau"))
        self._taus = torch.empty(0)
        self._on_device = self._taus
        self._used: dict[int, int] = {}

    def begin_epoch(self, epoch: int, steps: int) -> None:
        """Draw all values of the epoch, so that no step waits for a draw."""
        from kdtune.data.device_transfer import moved

        shape = {"batch": (steps,), "epoch": (1,), "sample": (steps, self._batch_size)}[self._draw]
        self._taus = self._drawn(math.prod(shape)).view(shape)
        self._on_device = moved(self._taus, self._device)
        self._used = {}

    def _drawn(self, count: int) -> torch.Tensor:
        """Return ``count`` draws, float32, (count,)."""
        import torch

        if self._space.is_finite:
            weights = torch.tensor(self._space.weights(), dtype=torch.float64)
            index = torch.multinomial(weights, count, replacement=True, generator=self._generator)
            return torch.tensor(self._space.points(), dtype=torch.float32)[index]
        low, high = self._space.bounds
        share = torch.rand(count, generator=self._generator, dtype=torch.float64)
        if self._space.log:
            return torch.exp(math.log(low) + share * (math.log(high) - math.log(low))).float()
        return (low + share * (high - low)).float()

    def __call__(self, student_logits: torch.Tensor, teacher_logits: torch.Tensor, step: int) -> Temperature:
        """Return the tau of this step: 0-d, or (batch, 1) with one tau per image."""
        if self._draw == "sample":
            self._used[step] = len(student_logits)
            return Temperature.same(self._on_device[step, : len(student_logits), None])
        return Temperature.same(self._on_device[0 if self._draw == "epoch" else step])

    def scheduled(self, sizes: Sequence[int]) -> Temperature:
        """Return the draws of the epoch."""
        if self._draw == "sample":
            self._used = dict(enumerate(sizes))
            return Temperature.of_steps(self._on_device)
        return Temperature.of_steps(self._on_device.expand(len(sizes)))

    def epoch_tau(self) -> float:
        """Return the mean of the draws that were used in the epoch."""
        import torch

        if self._draw == "sample":
            return float(torch.cat([self._taus[step, :images] for step, images in self._used.items()]).mean())
        return float(self._taus.mean())

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the generator."""
        return {"generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of the generator."""
        self._generator.set_state(state["generator"])
