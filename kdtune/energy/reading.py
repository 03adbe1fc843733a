"""Energy that a meter has measured so far."""

from dataclasses import dataclass

from kdtune.energy.attribution import charged_energy_uj


@dataclass(frozen=True)
class Reading:
    """Energy that a meter has measured so far, in microjoules.

    Attributes:
        windows: Energy of each open window, by id.
        buckets: Energy by bucket, in the current ledger file.
        spent: Energy by bucket, in all files since the meter began.
        began_ns: Time since boot when the meter began, in nanoseconds; for a meter that continues for a killed one,
            the time when that one began.
    """

    windows: dict[str, int]
    buckets: dict[str, int]
    spent: dict[str, int]
    began_ns: int = 0

    def charged_uj(self, *, dedicated: bool) -> int:
        """Return the energy charged to the study in the present file; see :meth:`Account.charged_uj`."""
        return charged_energy_uj(self.buckets, dedicated=dedicated)
