"""Limits on the energy and CO2 of a command, and checks of these limits and of cancellation."""

import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from kdtune.energy.attribution import charged_energy_uj
from kdtune.energy.carbon import Carbon
from kdtune.errors import BudgetReached, Fault, StudyInterrupted


@dataclass(frozen=True)
class Budget:
    """Limits on the charge of a study, including teacher, start-up and the overhead of the building (PUE).

    Attributes:
        max_kwh: Kilowatt-hours; None for no limit.
        max_co2_g: Grams of CO2 equivalent; None for no limit.
    """

    max_kwh: float | None = None
    max_co2_g: float | None = None

    def faults(self) -> list[Fault]:
        """Return a fault for each limit that is not positive."""
        given = {"--max-kwh": self.max_kwh, "--max-co2": self.max_co2_g}
        return [
            Fault(flag, "", f"has to be above 0, got {value:g}")
            for flag, value in given.items()
            if value is not None and not value > 0
        ]

    def as_record(self) -> dict[str, Any]:
        """Return the limits that are set, by name."""
        return {key: value for key, value in asdict(self).items() if value is not None}


#: Longest and shortest time between two meter readings, in seconds. A reading takes a few milliseconds of CPU time.
FAR_S, NEAR_S = 1.0, 0.05


class _LimitedValue(NamedTuple):
    """A value that has a limit, with the option that sets the limit."""

    flag: str
    limit: float
    value: float
    unit: str


def _first_excess(values: list[_LimitedValue]) -> tuple[str, str] | None:
    """Return the first limit that is reached, and its value, as texts; None if none is reached."""
    for flag, limit, value, unit in values:
        if value >= limit:
            return f"{flag} {limit:g}", f"{value:.4g} {unit}"
    return None


class BudgetWatch:
    """Compares spent energy with a budget; long-running work calls it regularly to learn whether to continue."""

    def __init__(
        self,
        budget: Budget,
        carbon: Carbon,
        *,
        dedicated: bool,
        before_uj: int = 0,
        cancel: threading.Event | None = None,
    ) -> None:
        """Prepare the checks of one command.

        Args:
            budget: Limits of the command.
            carbon: Conversion of energy to kilowatt-hours and CO2, with PUE.
            dedicated: Whether idle power is charged.
            before_uj: Charge of earlier commands of the same study, in microjoules.
            cancel: Event that another thread sets to stop the command.
        """
        self._cancel = cancel
        self.limited = budget.max_kwh is not None or budget.max_co2_g is not None
        self.reached: str | None = None
        self._budget = budget
        self._carbon = carbon
        self._dedicated = dedicated
        self._before_uj = before_uj
        self._used: tuple[float, float] | None = None
        self._wait_s = NEAR_S

    @property
    def wait_s(self) -> float:
        """Seconds until the next check: half of the time until the limit is reached at the present power.

        A distant limit thus costs one reading per second, and a near limit is hardly exceeded.
        """
        return self._wait_s if self.limited else FAR_S

    def look(self, spent: Mapping[str, int]) -> bool:
        """Return whether the budget is used up.

        Args:
            spent: Energy of the command so far by bucket, in microjoules.
        """
        values = self._values(spent)
        if excess := _first_excess(values):
            self.reached = "{} is reached: {}".format(*excess)
        self._plan_next(max((one.value / one.limit for one in values), default=0.0), time.monotonic())
        return self.reached is not None

    def excess(self, spent: Mapping[str, int]) -> tuple[str, str] | None:
        """Return the first limit that an energy reaches, and the value that reaches it; None if there is none.

        Args:
            spent: Energy that is spent or expected, by bucket, in microjoules.
        """
        return _first_excess(self._values(spent))

    def _values(self, spent: Mapping[str, int]) -> list[_LimitedValue]:
        """Return the value of an energy in the unit of each limit that is set."""
        energy = self._before_uj + charged_energy_uj(spent, dedicated=self._dedicated)
        limits = [
            ("--max-kwh", self._budget.max_kwh, self._carbon.kwh(energy), "kWh"),
            ("--max-co2", self._budget.max_co2_g, self._carbon.co2_g(energy), "g"),
        ]
        return [_LimitedValue(flag, limit, value, unit) for flag, limit, value, unit in limits if limit is not None]

    def _plan_next(self, used: float, now_s: float) -> None:
        """Set the time of the next check from the used fractions of the limit now and at the last check."""
        before, self._used = self._used, (used, now_s)
        if before and now_s > before[1]:
            a_second = max(0.0, used - before[0]) / (now_s - before[1])
            left_s = (1.0 - used) / a_second if a_second else 2 * FAR_S
            self._wait_s = min(FAR_S, max(NEAR_S, left_s / 2))

    def check_now(self, session: Any) -> None:
        """Check the present readings of the session's meters; without a limit, nothing is read.

        Raises:
            BudgetReached: It is used up.
            StudyInterrupted: The command was cancelled.
        """
        self.check_cancelled()
        if self.limited:
            self.check(session.reading(fresh=True).spent)

    def check_cancelled(self) -> None:
        """Stop here if another thread has cancelled the command.

        Raises:
            StudyInterrupted: It has.
        """
        if self._cancel is not None and self._cancel.is_set():
            raise StudyInterrupted("interrupted")

    def check(self, spent: Mapping[str, int]) -> None:
        """Stop here if the budget is used up.

        Raises:
            BudgetReached: It is; the message has the limit.
        """
        if self.look(spent):
            raise BudgetReached(f"{self.reached}; give a larger one to go on")
