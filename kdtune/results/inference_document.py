"""``inference.json``: time and energy of a strategy's student and of its teacher when they are used for inference."""

from dataclasses import dataclass, field
from typing import Any

from kdtune.catalog.metric import ACCURACY, Metric
from kdtune.energy.attribution import SHARED_NODE
from kdtune.energy.carbon import Carbon
from kdtune.energy.sensors.node import Quality
from kdtune.results.cost_document import Node
from kdtune.results.deployed_model import Latency
from kdtune.results.documents import Flag, check, read_object
from kdtune.results.folder import StrategyFolder
from kdtune.results.strategy_result import Computed
from kdtune.storage.field_types import Count
from kdtune.storage.records import LEFT_OUT_IF_NONE, as_record, strict

SCHEMA_VERSION = 2

_REMEDY = "delete it, and run 'kdtune inference' again"


@strict
@dataclass(frozen=True)
class Network:
    """A network whose inference is measured.

    Attributes:
        model: Name of the model.
        parameters: Number of parameters.
        macs: Multiply-adds of a forward pass for one image.
        test_accuracy: Accuracy on the test images in this measurement, as a fraction; None where the task has none.
        recorded_test_accuracy: Accuracy on the test images when the study ran, as a fraction.
        test_objective: Value of the study's objective on the test images in this measurement; None if that is the
            accuracy.
        recorded_test_objective: The same when the study ran.
    """

    model: str
    parameters: int
    macs: int
    test_accuracy: float | None
    recorded_test_accuracy: float | None
    test_objective: float | None = field(default=None, kw_only=True, metadata=LEFT_OUT_IF_NONE)
    recorded_test_objective: float | None = field(default=None, kw_only=True, metadata=LEFT_OUT_IF_NONE)

    @property
    def deciding(self) -> float | None:
        """The metric on the test images that decided the study."""
        return self.test_accuracy if self.test_objective is None else self.test_objective


@strict
@dataclass(frozen=True)
class NetworkInUse(Network):
    """Time, energy and CO2 of the inference of a network.

    Attributes:
        passes: Number of passes over the test images.
        images: Number of images that were classified.
        wall_s: Time of all passes in seconds.
        ms_per_pass: Time of a pass in milliseconds.
        images_per_s: Images per second over all turns.
        images_per_s_std: Standard deviation over turns; None for a single turn.
        energy_uj: Energy of the node during the passes by bucket, and the sum of the buckets as ``node_total``.
        charged_uj: Energy that a study would be charged.
        static_uj: Part of the charge that is drawn without any work too.
        uncertainty_uj: Uncertainty of the charge.
        uj_per_image: Charge for an image.
        uj_per_image_std: Standard deviation over turns; None for a single turn.
        j_per_pass: Charge for a pass, in joules.
        co2_g_per_million: CO2 of a million images, in grams, including the PUE.
        quality: The least reliable source of CPU and GPU energy.
        flags: Number of occurrences of each flag of :data:`kdtune.energy.attribution.FLAGS`.
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
    """Number of predictions after which a charge is repaid by the energy that the student saves.

    Attributes:
        charged_uj: The charge, in microjoules; None if it is unknown.
        predictions: Number of predictions at the mean saving; None if the charge is never repaid or unknown, or if the
            measurement is inconclusive.
        fewest: Number of predictions at the upper limit of the interval of the saving.
        most: Number of predictions at the lower limit of the interval of the saving.
        never: Whether the charge is never repaid, because the whole interval of the saving is below 0.
        unsettled: Why the measurement is inconclusive; empty if it is conclusive.
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
    """Payback of the charge of one model, without and with its teacher."""

    one_model: Payback
    with_teacher: Payback


@strict
@dataclass(frozen=True)
class ChargedOn:
    """Quality and hardware of the energy measurement of the charge that a student has to repay."""

    quality: Quality | None
    hardware: tuple[Node, ...]


@strict
@dataclass(frozen=True)
class InferenceDocument:
    """Content of ``inference.json``.

    Attributes:
        schema_version: Version of the file's format.
        study: Name of the study.
        strategy: Label of the strategy.
        timed_student: Label of the strategy whose student was timed. The students of a study differ only in their
            weights, so one of them is timed for all.
        test_images: Number of images in a pass.
        batch_size: Number of images in a batch.
        seconds: Time for which each network had to run.
        device: ``cpu`` or ``cuda``.
        device_name: Name of the CPU or GPU.
        threads: Number of CPU threads.
        computed: Numerics.
        attribution: ``dedicated`` if idle energy is charged, otherwise ``shared``.
        teacher: Measurement of the teacher.
        student: Measurement of the student.
        saved_uj_per_image: Energy that the student saves for an image compared with the teacher, in each pair of turns.
        payback: When the savings have repaid the charge.
        charged: How the charge was measured.
        hardware: The node on which inference was measured.
        carbon: Factors that convert energy to CO2.
        objective, objective_info: As in :class:`kdtune.results.strategy_result.StrategyResult`.
        int8: Measurement of the quantised student, of which savings and payback are then; None for a float strategy, or
            without a compiler. Where there is one, all networks were compiled.
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
    objective: str | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    objective_info: Metric | None = field(default=None, metadata=LEFT_OUT_IF_NONE)

    @property
    def deciding(self) -> Metric:
        """The metric that decided the study."""
        return self.objective_info or Metric(self.objective or ACCURACY)

    int8: NetworkInUse | None = field(default=None, metadata=LEFT_OUT_IF_NONE)

    @property
    def in_use(self) -> NetworkInUse:
        """The student in the form in which it is used."""
        return self.int8 or self.student

    @property
    def latency(self) -> Latency | None:
        """Mean time of a batch; None unless the networks were compiled."""
        if self.computed.compile == "off":
            return None
        batches = -(-self.test_images // self.batch_size)
        int8_ms = self.int8.ms_per_pass / batches if self.int8 else None
        return Latency(self.student.ms_per_pass / batches, int8_ms, self.batch_size, self.threads)

    @property
    def is_shared(self) -> bool:
        """Whether another study was metered on the node during the measurement."""
        return SHARED_NODE in self.teacher.flags or SHARED_NODE in self.student.flags

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object of the file."""
        record: dict[str, Any] = as_record(self)
        return record


def read_inference(folder: StrategyFolder) -> InferenceDocument | None:
    """Return the measurement of a strategy's student; None if there is none, or only one in an older format.

    Raises:
        ResultsError: The file is damaged.
    """
    if not folder.inference.is_file():
        return None
    document = read_object(folder.inference, _REMEDY)
    if document.get("schema_version") in range(1, SCHEMA_VERSION):
        return None
    return check(document, InferenceDocument, folder.inference, _REMEDY)
