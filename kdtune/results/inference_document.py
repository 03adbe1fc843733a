"""``inference.json``: what a strategy's student takes in use, and what its teacher would."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kdtune.energy.attribution import Account, charged_buckets
from kdtune.energy.carbon import Carbon
from kdtune.energy.uncertainty import uncertainty_uj
from kdtune.results.documents import Inference, check, read_document
from kdtune.results.folder import StrategyFolder

SCHEMA_VERSION = 2

_REMEDY = "delete it, and run 'kdtune inference' again"


@dataclass(frozen=True)
class MeteredTurn:
    """Some passes of a network in one go, and what the node used meanwhile.

    Attributes:
        images: That were classified, those of every pass counted.
        wall_s: How long that took.
        account: Of the time.
    """

    images: int
    wall_s: float
    account: Account


def usage_record(turns: Sequence[MeteredTurn], test_images: int, *, dedicated: bool, carbon: Carbon) -> dict[str, Any]:
    """Time, energy and CO2 of a network.

    What is charged is what a study would be: all but other processes' energy, idle power while the network runs
    included unless the study leaves it out.

    Args:
        turns: At least one.
        test_images: Images in a pass.
        dedicated: Whether idle power is charged.
        carbon: How energy becomes CO2.
    """
    total = Account()
    for turn in turns:
        total.merge(turn.account)
    images, wall_s = sum(turn.images for turn in turns), sum(turn.wall_s for turn in turns)
    speeds = [turn.images / turn.wall_s for turn in turns]
    charged_uj = total.charged_uj(dedicated=dedicated)
    sources = [(bucket, total.sources[bucket]) for bucket in charged_buckets(dedicated=dedicated)]
    # What is drawn whether or not there is work; of a device that counts all it draws this part is not known.
    static_uj = sum(
        uj
        for bucket, by_source in sources
        for source, uj in by_source.items()
        if bucket == "idle" or source.startswith("ram")
    )
    return {
        "passes": images // test_images,
        "images": images,
        "wall_s": wall_s,
        "ms_per_pass": wall_s * 1e3 * test_images / images,
        "images_per_s": images / wall_s,
        "images_per_s_std": _std(speeds),
        "energy_uj": {**total.buckets, "node_total": total.node_uj},
        "charged_uj": charged_uj,
        "static_uj": static_uj,
        "uncertainty_uj": uncertainty_uj(by_source for _, by_source in sources),
        "uj_per_image": charged_uj / images,
        "uj_per_image_std": _std([turn.account.charged_uj(dedicated=dedicated) / turn.images for turn in turns]),
        "j_per_pass": charged_uj / images * test_images / 1e6,
        "co2_g_per_million": carbon.co2_g(charged_uj) / images * 1e6,
        "quality": total.quality,
        "flags": total.flags,
    }


def saved_uj_per_image(
    teacher: Sequence[MeteredTurn], student: Sequence[MeteredTurn], *, dedicated: bool
) -> list[float]:
    """What the student takes less than the teacher for an image, in microjoules, in each pair of turns.

    Turns that followed each other are a pair, so that what disturbs both does not count; a turn without another is left
    out.
    """

    def each(turns: Sequence[MeteredTurn]) -> list[float]:
        return [turn.account.charged_uj(dedicated=dedicated) / turn.images for turn in turns]

    return [uj - less_uj for uj, less_uj in zip(each(teacher), each(student), strict=False)]


def _std(values: Sequence[float]) -> float | None:
    """Sample standard deviation, where there are at least two values."""
    return statistics.stdev(values) if len(values) > 1 else None


def read_inference(folder: StrategyFolder) -> dict[str, Any] | None:
    """What was measured of a strategy's student in use; None where nothing was, or by a kdtune that noted less of it.

    Raises:
        ResultsError: The file is damaged.
    """
    if not folder.inference.is_file():
        return None
    document = read_document(folder.inference, dict[str, Any], _REMEDY)
    if document.get("schema_version") in range(1, SCHEMA_VERSION):
        return None
    return dict(check(document, Inference, folder.inference, _REMEDY))
