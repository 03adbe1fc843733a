"""``inference.json``: what a strategy's student takes in use, and what its teacher would."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kdtune.energy.attribution import SHARED_NODE, Account, charged_buckets
from kdtune.energy.carbon import Carbon
from kdtune.energy.sensors.node import Quality
from kdtune.energy.uncertainty import uncertainty_uj
from kdtune.results.cost_document import Node
from kdtune.results.documents import Flag, check, read_object
from kdtune.results.folder import StrategyFolder
from kdtune.results.strategy_result import Computed
from kdtune.storage.field_types import Count
from kdtune.storage.records import as_record, strict

SCHEMA_VERSION = 2

_REMEDY = "delete it, and run 'kdtune inference' again"


@strict
@dataclass(frozen=True)
class Network:
    """A network that is measured in use.

    Attributes:
        model: Its name.
        parameters: How many numbers it has learnt.
        macs: Multiply-adds of one pass for one image.
        test_accuracy: On the test images, here; a fraction.
        recorded_test_accuracy: The same when the study ran.
    """

    model: str
    parameters: int
    macs: int
    test_accuracy: float
    recorded_test_accuracy: float


@strict
@dataclass(frozen=True)
class NetworkInUse(Network):
    """Time, energy and CO2 of a network in use.

    Attributes:
        passes: Over the test images.
        images: That were classified.
        wall_s: Seconds of all passes.
        ms_per_pass: Milliseconds of a pass.
        images_per_s: Over all turns.
        images_per_s_std: Deviation over turns; None of a single one.
        energy_uj: Of the node meanwhile, by bucket, and their sum as ``node_total``.
        charged_uj: What a study would be charged.
        static_uj: What of that is drawn whether or not there is work.
        uncertainty_uj: Of the charge.
        uj_per_image: The charge for an image.
        uj_per_image_std: Deviation over turns; None of a single one.
        j_per_pass: The charge for a pass, in joules.
        co2_g_per_million: CO2 of a million images, PUE included.
        quality: The least trustworthy source of CPU and GPU energy.
        flags: How often something could not be known.
    """

    passes: int
    images: int
    wall_s: float
    ms_per_pass: float
    images_per_s: float
    images_per_s_std: float | None
    energy_uj: dict[str, Count]
    charged_uj: Count
    static_uj: Count
    uncertainty_uj: Count
    uj_per_image: float
    uj_per_image_std: float | None
    j_per_pass: float
    co2_g_per_million: float
    quality: Quality | None
    flags: dict[Flag, Count]


@strict
@dataclass(frozen=True)
class Payback:
    """When a charge is repaid.

    Attributes:
        charged_uj: What is to be repaid, in microjoules; None where it is not known.
        predictions: After how many predictions it is repaid at the mean saving; None where it never is, or the charge
            is not known, or it is not settled.
        fewest: The same at the most that the interval of the saving allows.
        most: The same at the least.
        never: Whether no number repays it: the whole interval of the saving is below 0.
        unsettled: Why the measurement tells neither; empty where it does.
    """

    charged_uj: int | None
    predictions: int | None = None
    fewest: int | None = None
    most: int | None = None
    never: bool = False
    unsettled: str = ""


@strict
@dataclass(frozen=True)
class Paybacks:
    """When the charge of one model is repaid: without its teacher, and with it."""

    one_model: Payback
    with_teacher: Payback


@strict
@dataclass(frozen=True)
class ChargedOn:
    """How, and on which machines, the energy was metered that a student has to repay."""

    quality: Quality | None
    hardware: tuple[Node, ...]


@strict
@dataclass(frozen=True)
class InferenceDocument:
    """What a strategy's student takes in use, and what its teacher would: the content of ``inference.json``.

    Attributes:
        schema_version: Of the file.
        study: Its study's name.
        strategy: Its label.
        timed_student: The strategy whose student was timed: others of a study differ in weights alone.
        test_images: In a pass.
        batch_size: Images at a time.
        seconds: That each network had to run.
        device: ``cpu`` or ``cuda``.
        device_name: Of the CPU or GPU.
        threads: CPU threads.
        computed: Numerics.
        attribution: Whether idle power is charged.
        teacher: In use.
        student: In use.
        saved_uj_per_image: What the student takes less than the teacher, in each pair of turns.
        payback: When that has repaid the charge.
        charged: How the charge was metered.
        hardware: That was measured on.
        carbon: How energy became CO2.
    """

    schema_version: int
    study: str
    strategy: str
    timed_student: str
    test_images: int
    batch_size: Count
    seconds: float
    device: str
    device_name: str
    threads: int
    computed: Computed
    attribution: str
    teacher: NetworkInUse
    student: NetworkInUse
    saved_uj_per_image: tuple[float, ...]
    payback: Paybacks
    charged: ChargedOn
    hardware: tuple[Node, ...]
    carbon: Carbon

    @property
    def is_shared(self) -> bool:
        """Whether another study was metered on the machine meanwhile."""
        return SHARED_NODE in self.teacher.flags or SHARED_NODE in self.student.flags

    def as_json(self) -> dict[str, Any]:
        """The document."""
        record: dict[str, Any] = as_record(self)
        return record


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


def network_in_use(
    network: Network, turns: Sequence[MeteredTurn], test_images: int, *, dedicated: bool, carbon: Carbon
) -> NetworkInUse:
    """Time, energy and CO2 of a network.

    What is charged is what a study would be: all but other processes' energy, idle power while the network runs
    included unless the study leaves it out.

    Args:
        network: The network.
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
    return NetworkInUse(
        **asdict(network),
        passes=images // test_images,
        images=images,
        wall_s=wall_s,
        ms_per_pass=wall_s * 1e3 * test_images / images,
        images_per_s=images / wall_s,
        images_per_s_std=_std(speeds),
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


def read_inference(folder: StrategyFolder) -> InferenceDocument | None:
    """What was measured of a strategy's student in use; None where nothing was, or by a kdtune that noted less of it.

    Raises:
        ResultsError: The file is damaged.
    """
    if not folder.inference.is_file():
        return None
    document = read_object(folder.inference, _REMEDY)
    if document.get("schema_version") in range(1, SCHEMA_VERSION):
        return None
    return check(document, InferenceDocument, folder.inference, _REMEDY)
