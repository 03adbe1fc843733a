"""Estimate of what all strategies of a command share: the start and end of its session."""

from dataclasses import dataclass

from kdtune.forecast.earlier_strategies import CompletedStrategy
from kdtune.forecast.strategy_estimate import TimeAndEnergy


@dataclass(frozen=True)
class SessionEstimate:
    """Estimate of the costs that all strategies of a command share.

    Attributes:
        charge: Time and energy of the start and end of the session, and of the inspection of the data.
        basis: Source of the estimate, in words.
        complete: Whether the estimate includes all of these costs.
    """

    charge: TimeAndEnergy
    basis: str
    complete: bool


def session_estimate(earlier: list[CompletedStrategy]) -> SessionEstimate:
    """Return the session of the newest earlier command; an incomplete estimate of 0 if there is none."""
    for one in earlier:
        if one.session:
            return SessionEstimate(one.session, f"The session's start and end as in {one.label}.", complete=True)
    return SessionEstimate(
        TimeAndEnergy(0.0, 0.0, 0.0), "The session's start and end are not included.", complete=False
    )
