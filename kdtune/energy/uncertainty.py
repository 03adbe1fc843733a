"""How far off an energy figure may be: relative bounds by how it was obtained.

The bounds are taken from what others measured against external meters, so they are orders of magnitude for the
class of instrument, not a calibration of this machine. Errors of one kind of source go the same way, so they
add up and do not cancel.
"""

from collections.abc import Iterable, Mapping

#: Fractions of the figure.
#: counter: the tolerance that NVIDIA states for its power sensors, found again in arXiv 2312.02741; RAPL is no worse.
#: polled: on recent GPUs a power reading covers a quarter of the time; good practice took 35% off the error (the same).
#: modelled: tools that model power are up to 40% off a wall meter (arXiv 2509.22092).
RELATIVE = {"counter": 0.05, "polled": 0.35, "modelled": 0.40}


def quality_of(source: str) -> str:
    """How a source of :attr:`kdtune.energy.attribution.Account.sources` was obtained, such as ``counter``."""
    return source.rpartition("_")[2]


def uncertainty_uj(sources: Iterable[Mapping[str, int]]) -> int:
    """Half the width of the interval in which the sum of some sources lies, in microjoules.

    Args:
        sources: Energy by source, of each bucket that is summed.
    """
    return round(sum(RELATIVE[quality_of(source)] * uj for bucket in sources for source, uj in bucket.items()))
