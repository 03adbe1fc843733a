"""Energy counters of Intel and AMD CPUs: the RAPL zones, which Linux provides as files."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Zone:
    """One RAPL zone.

    Attributes:
        energy: File that contains the counter, in microjoules.
        limit: File that contains the energy at which the counter wraps, in microjoules.
    """

    energy: Path
    limit: Path

    def energy_uj(self) -> int | None:
        """Return the counter in microjoules; None if it cannot be read now."""
        return _read_int(self.energy)

    def range_uj(self) -> int | None:
        """Return the energy at which the counter wraps, in microjoules; None if it cannot be read now."""
        return _read_int(self.limit)


def find_zones() -> dict[str, Zone]:
    """Return the readable zones that codecarbon would use, by the path of the counter."""
    from codecarbon.core.cpu import IntelRAPL, is_rapl_available

    if not is_rapl_available():
        return {}
    try:
        rapl = IntelRAPL()
        rapl.start()  # finds counters that duplicate each other
    except OSError:  # the zones are not in the kernel's default folder, or have disappeared since the check
        return {}
    files = [file for file in rapl._rapl_files if file.path not in rapl._mirrored_candidates]
    zones = {file.path: Zone(Path(file.path), Path(file.max_path)) for file in files}
    return {path: zone for path, zone in zones.items() if None not in (zone.energy_uj(), zone.range_uj())}


def _read_int(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
