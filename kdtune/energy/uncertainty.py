"""Uncertainty of energy figures: relative bounds that depend on how the energy was obtained.

The bounds come from published comparisons with external meters. They give the order of magnitude for a class of
instruments and are not a calibration of this machine. Errors of sources of one kind have the same sign, so they add up
instead of cancelling.
"""

from collections.abc import Iterable, Mapping

#: Bounds as fractions of the energy, by quality.
#: counter: the tolerance that NVIDIA states for its power sensors, confirmed in arXiv 2312.02741; RAPL is no worse.
#: polled: on recent GPUs a power reading covers a quarter of the time; good practice reduced the error by 35% (ibid.).
#: modelled: tools that model power differ from a wall meter by up to 40% (arXiv 2509.22092).
RELATIVE = {"counter": 0.05, "polled": 0.35, "modelled": 0.40}


def quality_of(source: str) -> str:
    """Return how the energy of a source of :attr:`kdtune.energy.attribution.Account.sources` was obtained.

    Args:
        source: Name of the source, such as ``gpu_counter``, for which ``counter`` is returned.
    """
    return source.rpartition("_")[2]


def uncertainty_uj(sources: Iterable[Mapping[str, int]]) -> int:
    """Return the uncertainty of a sum of energies, in microjoules: half the width of the interval around it.

    Args:
        sources: For each bucket in the sum, its energy by source, in microjoules.
    """
    return round(sum(RELATIVE[quality_of(source)] * uj for bucket in sources for source, uj in bucket.items()))
