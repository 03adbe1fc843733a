"""What a meter has counted so far."""

from dataclasses import dataclass

from kdtune.energy.attribution import charged_energy_uj


@dataclass(frozen=True)
class Reading:
    """What a meter has counted so far, in microjoules.

    Attributes:
        windows: Energy of each window that is open.
        buckets: By bucket, in the present file.
        spent: By bucket, in all files since the meter began.
        began_ns: When it began; a meter that goes on for one that was killed began with that one.
    """

    windows: dict[str, int]
    buckets: dict[str, int]
    spent: dict[str, int]
    began_ns: int = 0

    def charged_uj(self, *, dedicated: bool) -> int:
        """Return the energy charged to the study in the present file; see :meth:`Account.charged_uj`."""
        return charged_energy_uj(self.buckets, dedicated=dedicated)
