"""The protocol that every strategy follows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from kdtune.errors import Fault, SpecError
from kdtune.specs.search_space import Point, SearchSpace


@dataclass(frozen=True)
class Outcome:
    """What became of one point.

    Attributes:
        point: The point that was tried.
        val_accuracy: Fraction of validation images classified rightly after the last epoch; None if it failed.
        val_loss: Mean cross-entropy (nats) on the validation images after the last epoch; None if it failed.
    """

    point: Point
    val_accuracy: float | None
    val_loss: float | None

    @property
    def succeeded(self) -> bool:
        """Whether the training reached its last epoch."""
        return self.val_accuracy is not None


#: More trials of one strategy would be a slip of the keyboard.
MAX_TRIALS = 100_000


@dataclass(frozen=True)
class DistillationCost:
    """One distillation, as a multiple of a training of the student alone for as many epochs.

    Attributes:
        flops: Executed with a live teacher; None where the networks are not known.
        energy: Charged for training, as the study runs it; None where nobody has looked.
    """

    flops: float | None = None
    energy: float | None = None


class NoOptions(BaseModel):
    """The options of a strategy that has none."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Strategy:
    """Decides the points of one repeat.

    The runner calls :meth:`ask` for a round of points, runs them all, and hands the outcomes to
    :meth:`tell` in the order of the points, whatever order they finished in; then it asks again, until a
    round comes back empty. So what a strategy proposes never depends on what ran beside what.
    """

    Options: ClassVar[type[BaseModel]] = NoOptions

    #: Whether :meth:`report` may stop a trial early, so that it has to be asked after every epoch.
    judges_epochs: ClassVar[bool] = False

    def __init__(self, space: SearchSpace, options: BaseModel, seed: int) -> None:
        """Prepare one repeat.

        Args:
            space: What may be tried.
            options: An instance of the class's ``Options``.
            seed: The repeat's seed; a strategy draws from a generator of its own.
        """
        self.space = space
        self.options = options
        self.seed = seed

    @classmethod
    def settled(cls, options: dict[str, Any], cost: DistillationCost) -> dict[str, Any]:
        """Options as a study has them, with nothing left open that depends on what a distillation costs."""
        return options

    @classmethod
    def waits_for_energy(cls, options: dict[str, Any]) -> bool:
        """Whether options cannot be settled before the energy of a distillation is known."""
        return False

    def expected_trials(self) -> int:
        """How many trials there will be, at most: for the time that is left, and for plans."""
        raise NotImplementedError

    def ask(self) -> list[Point]:
        """The next round of points; empty when the strategy is done."""
        raise NotImplementedError

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Learn what became of the round that was asked for last, in the order of its points."""

    def export(self, folder: Path) -> None:
        """Leave in the strategy's results folder what other tools can read; nothing by default."""

    def report(self, point: Point, epoch: int, val_accuracy: float) -> bool:
        """Judge a running trial after an epoch (counted from 1): go on (True) or stop it early (False).

        Asked only of strategies that set :attr:`judges_epochs`.
        """
        return True


class OneRound(Strategy):
    """A strategy whose points are known from the start."""

    def __init__(self, space: SearchSpace, options: BaseModel, seed: int) -> None:
        super().__init__(space, options, seed)
        self._asked = False

    def points(self) -> list[Point]:
        """All points, in order."""
        raise NotImplementedError

    def expected_trials(self) -> int:
        """As many as there are points."""
        return len(self.points())

    def ask(self) -> list[Point]:
        """All points the first time, nothing afterwards."""
        if self._asked:
            return []
        self._asked = True
        return self.points()


def require_finite(space: SearchSpace, strategy: str) -> None:
    """Refuse a space that cannot be enumerated.

    Raises:
        SpecError: A dimension is an interval without a step.
    """
    faults = [
        Fault(f"strategy {strategy}", f"search_space.{name}", "has no 'step' or 'values', so it cannot be enumerated")
        for name in space
        if not space[name].is_finite
    ]
    if faults:
        raise SpecError(faults)
