"""Time, energy and CO2 of a network's inference, from the turns in which it ran under the meter."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from kdtune.energy.attribution import Account, charged_buckets
from kdtune.energy.carbon import Carbon
from kdtune.energy.uncertainty import uncertainty_uj
from kdtune.results.inference_document import Network, NetworkInUse


@dataclass(frozen=True)
class MeteredTurn:
    """Consecutive passes of one network, and the energy of the node during them.

    Attributes:
        images: Number of images that were classified, over all passes.
        wall_s: Time in seconds.
        account: Account of that time.
    """

    images: int
    wall_s: float
    account: Account


def network_in_use(
    network: Network, turns: Sequence[MeteredTurn], test_images: int, *, dedicated: bool, carbon: Carbon
) -> NetworkInUse:
    """Return time, energy and CO2 of a network's inference.

    The charge follows the rules of a study: energy of other processes is left out, and idle energy is included if the
    study's attribution is ``dedicated``.

    Args:
        network: The network.
        turns: Turns of the network, at least one.
        test_images: Number of images in a pass.
        dedicated: Whether idle energy is charged.
        carbon: Factors that convert energy to CO2.
    """
    total = Account()
    for turn in turns:
        total.merge(turn.account)
    images, wall_s = sum(turn.images for turn in turns), sum(turn.wall_s for turn in turns)
    charged_uj = total.charged_uj(dedicated=dedicated)
    sources = [(bucket, total.sources[bucket]) for bucket in charged_buckets(dedicated=dedicated)]
    # For a device whose counter covers all its power, the static part is unknown and not included.
    static_uj = sum(
        uj
        for bucket, by_source in sources
        for source, uj in by_source.items()
        if bucket == "idle" or source.startswith("ram")
    )
    return NetworkInUse(
        **asdict(network),
        passes=images // test_images,
        images=images,
        wall_s=wall_s,
        ms_per_pass=wall_s * 1e3 * test_images / images,
        images_per_s=images / wall_s,
        images_per_s_std=_std([turn.images / turn.wall_s for turn in turns]),
        energy_uj={**total.buckets, "node_total": total.node_uj},
        charged_uj=charged_uj,
        static_uj=static_uj,
        uncertainty_uj=uncertainty_uj(by_source for _, by_source in sources),
        uj_per_image=charged_uj / images,
        uj_per_image_std=_std([turn.account.charged_uj(dedicated=dedicated) / turn.images for turn in turns]),
        j_per_pass=charged_uj / images * test_images / 1e6,
        co2_g_per_million=carbon.co2_g(charged_uj) / images * 1e6,
        quality=total.quality,
        flags=total.flags,
    )


def saved_uj_per_image(
    teacher: Sequence[MeteredTurn], student: Sequence[MeteredTurn], *, dedicated: bool
) -> list[float]:
    """Return the energy that the student saves for an image, in microjoules, for each pair of turns.

    Consecutive turns of teacher and student form a pair, so that disturbances of both cancel. A turn without a partner
    is left out.
    """

    def each(turns: Sequence[MeteredTurn]) -> list[float]:
        return [turn.account.charged_uj(dedicated=dedicated) / turn.images for turn in turns]

    return [uj - less_uj for uj, less_uj in zip(each(teacher), each(student), strict=False)]


def _std(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation; None for fewer than two values."""
    return statistics.stdev(values) if len(values) > 1 else None
