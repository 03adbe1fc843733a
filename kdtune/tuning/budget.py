"""What a command may use at most, and whether it has."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kdtune.energy.attribution import charged_of
from kdtune.energy.carbon import Carbon
from kdtune.errors import BudgetReached, Fault


@dataclass(frozen=True)
class Budget:
    """Limits on what a study is charged, teacher, start-up and the building's share (PUE) included.

    Attributes:
        max_kwh: Kilowatt-hours; None for no limit.
        max_co2_g: Grams of CO2 equivalent; None for no limit.
    """

    max_kwh: float | None = None
    max_co2_g: float | None = None

    def faults(self) -> list[Fault]:
        """What is wrong with the limits."""
        given = {"--max-kwh": self.max_kwh, "--max-co2": self.max_co2_g}
        return [
            Fault(flag, "", f"has to be above 0, got {value:g}")
            for flag, value in given.items()
            if value is not None and not value > 0
        ]

    def as_record(self) -> dict[str, Any]:
        """The limits that there are."""
        return {key: value for key, value in asdict(self).items() if value is not None}


class BudgetWatch:
    """Compares what was spent with a budget."""

    def __init__(self, budget: Budget, carbon: Carbon, *, dedicated: bool, before_uj: int = 0) -> None:
        """Watch a command.

        Args:
            budget: Its limits.
            carbon: How energy becomes what the limits are in.
            dedicated: Whether idle power is charged.
            before_uj: What earlier commands of the same study were charged, in microjoules.
        """
        self.limited = budget.max_kwh is not None or budget.max_co2_g is not None
        self.reached: str | None = None
        self._budget = budget
        self._carbon = carbon
        self._dedicated = dedicated
        self._before_uj = before_uj

    def look(self, spent: Mapping[str, int]) -> bool:
        """Whether the budget is used up.

        Args:
            spent: Microjoules by bucket, of the whole command so far.
        """
        energy = self._before_uj + charged_of(spent, dedicated=self._dedicated)
        kwh, co2_g = self._carbon.kwh(energy), self._carbon.co2_g(energy)
        limits = self._budget
        if limits.max_kwh is not None and kwh >= limits.max_kwh:
            self.reached = f"--max-kwh {limits.max_kwh:g} is reached: {kwh:.4g} kWh"
        elif limits.max_co2_g is not None and co2_g >= limits.max_co2_g:
            self.reached = f"--max-co2 {limits.max_co2_g:g} is reached: {co2_g:.4g} g"
        return self.reached is not None

    def check_now(self, session: Any) -> None:
        """As :meth:`check`, of what a :class:`~kdtune.tuning.session.Session` reads; without a limit nothing is read.

        Raises:
            BudgetReached: It is used up.
        """
        if self.limited:
            self.check(session.reading(fresh=True).spent)

    def check(self, spent: Mapping[str, int]) -> None:
        """Stop here if the budget is used up.

        Raises:
            BudgetReached: It is; the message has the limit.
        """
        if self.look(spent):
            raise BudgetReached(f"{self.reached}; give a larger one to go on")
