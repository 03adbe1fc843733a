"""Energy counters of Intel and AMD CPUs: the RAPL zones that Linux shows as files."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Zone:
    """One RAPL zone.

    Attributes:
        energy: File with its counter, in microjoules.
        limit: File with the energy at which the counter wraps, in microjoules.
    """

    energy: Path
    limit: Path

    def energy_uj(self) -> int | None:
        """Its counter in microjoules; None where it cannot be read now."""
        return _read_int(self.energy)

    def range_uj(self) -> int | None:
        """The energy at which its counter wraps, in microjoules; None where it cannot be read now."""
        return _read_int(self.limit)


def find_zones() -> dict[str, Zone]:
    """The readable zones that codecarbon would count, by the path of their counter."""
    from codecarbon.core.cpu import IntelRAPL, is_rapl_available

    if not is_rapl_available():
        return {}
    try:
        rapl = IntelRAPL()
        rapl.start()  # finds counters that mirror one another
    except OSError:  # zones outside the kernel's default folder, or gone since the check
        return {}
    files = [file for file in rapl._rapl_files if file.path not in rapl._mirrored_candidates]
    zones = {file.path: Zone(Path(file.path), Path(file.max_path)) for file in files}
    return {path: zone for path, zone in zones.items() if None not in (zone.energy_uj(), zone.range_uj())}


def _read_int(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
