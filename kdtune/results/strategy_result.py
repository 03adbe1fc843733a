"""Dataclasses of ``result.json``: units are in the names, accuracies are fractions, None means not measured.

The order of the fields is that of the keys in the file.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from kdtune.catalog.metric import ACCURACY, Metric
from kdtune.results.cost_document import Cost
from kdtune.results.deployed_model import DeployedModel, Latency
from kdtune.results.synthetic_document import SyntheticImagesResult
from kdtune.specs.search_space import Point
from kdtune.storage.field_types import TestMetrics
from kdtune.storage.records import LEFT_OUT_IF_NONE, as_record, strict

SCHEMA_VERSION = 1


@strict
@dataclass(frozen=True)
class Computed:
    """Numerics of the passes through the networks; see :class:`kdtune.specs.study.Numerics`."""

    precision: str
    memory_layout: str
    compile: str
    teacher_logits: str | None = field(default=None, metadata=LEFT_OUT_IF_NONE)


@strict
@dataclass(frozen=True)
class Repeat:
    """One repeat of a strategy.

    Attributes:
        seed: Seed of the trainings.
        chosen: Point of the chosen trial.
        val_accuracy: Validation accuracy of the chosen model, as a fraction.
        val_loss: Validation loss of the chosen model, in nats.
        trials: Number of trials that were started, with those of a strategy whose student was the beginning.
        charged_uj: Charge in microjoules: the repeat's own trials and evaluation, and an equal part of the energy that
            all repeats have in common.
        test: Metrics of the chosen model on the test images; None before the evaluation.
        val_objective: Value of the study's objective on the validation images; None if that is the accuracy.
        test_objective: Like ``val_objective``, on the test images.
        deployed: The form in which the chosen model is used, of which ``test`` are the metrics; None if it is float.
    """

    seed: int
    chosen: Point | None
    val_accuracy: float | None
    val_loss: float | None
    trials: int
    charged_uj: int | None
    test: TestMetrics | None
    val_objective: float | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    test_objective: float | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    deployed: DeployedModel | None = field(default=None, metadata=LEFT_OUT_IF_NONE)

    @property
    def test_deciding(self) -> float | None:
        """The metric on the test images that decides the study."""
        return self.test_accuracy if self.test_objective is None else self.test_objective

    @property
    def test_accuracy(self) -> float | None:
        """Test accuracy of the chosen model, as a fraction; None where the task has no accuracy."""
        return None if self.test is None else self.test.get(ACCURACY)


@strict
@dataclass(frozen=True)
class Summary:
    """Means and sample standard deviations over the repeats that have a value.

    Those of the objective are None where it is the accuracy.
    """

    test_accuracy_mean: float | None
    test_accuracy_std: float | None
    val_accuracy_mean: float | None
    val_accuracy_std: float | None
    test_objective_mean: float | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    test_objective_std: float | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    val_objective_mean: float | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    val_objective_std: float | None = field(default=None, metadata=LEFT_OUT_IF_NONE)


@strict
@dataclass(frozen=True)
class ExpectedCost:
    """Estimate that was made before the strategy ran.

    Attributes:
        charged_kwh: Charge including the PUE; None if it could not be estimated.
        wall_s: Time in seconds.
        basis: Description of the data on which the estimate is based.
    """

    charged_kwh: float | None
    wall_s: float | None
    basis: str


@strict
@dataclass(frozen=True)
class FailedTrial:
    """A trial that failed, and the error."""

    trial_id: str
    seed: int
    point: Point
    error: str | None


@strict
@dataclass(frozen=True)
class GreenIndex:
    """Green index of a strategy; see :mod:`kdtune.analysis.green_index`.

    Attributes:
        points: The index; None if accuracy or energy was not measured.
        points_std: Sample standard deviation over repeats.
        points_per_doubling: Weight: points of accuracy that a doubling of the energy must gain.
        baseline: Strategy whose index equals its accuracy.
    """

    points: float | None
    points_std: float | None
    points_per_doubling: float
    baseline: str


@strict
@dataclass(frozen=True)
class StrategyResult:
    """Result of a strategy.

    Attributes:
        schema_version: Version of the file's format.
        study: Name of the study.
        strategy: Label of the strategy; in a comparison of several studies, it begins with the study's name.
        status: ``completed``, ``incomplete``, ``interrupted`` or ``budget``.
        computed: Numerics.
        repeats: The repeats, in the order of their seeds.
        summary: Summary over repeats.
        cost: Cost of all repeats.
        estimate: Estimate from before the run; None if there was none.
        failures: Failed trials.
        green_index: Green index, if the user asked for it.
        objective: Name of the study's objective; None if that is the accuracy.
        loss: Name of the study's loss; None unless it is a method of its own.
        synthetic: The images on which students were trained if they were made from the teacher; otherwise None.
        objective_info: How the objective is judged and shown; None if its name says that already, as for all objectives
            of built-in tasks.
        latency: Time of a batch, if ``kdtune inference`` measured it in compiled networks.
    """

    schema_version: int
    study: str
    strategy: str
    status: str
    computed: Computed
    repeats: tuple[Repeat, ...]
    summary: Summary
    cost: Cost
    estimate: ExpectedCost | None
    failures: tuple[FailedTrial, ...]
    green_index: GreenIndex | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    objective: str | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    loss: str | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    synthetic: SyntheticImagesResult | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    objective_info: Metric | None = field(default=None, metadata=LEFT_OUT_IF_NONE)
    latency: Latency | None = field(default=None, metadata=LEFT_OUT_IF_NONE)

    @property
    def deciding(self) -> Metric:
        """The metric that decided the study."""
        return self.objective_info or Metric(self.objective or ACCURACY)

    def mean_and_std(self, metric: Metric, part: Literal["val", "test"]) -> tuple[float | None, float | None]:
        """Mean and standard deviation over repeats of the accuracy or of :attr:`deciding`."""
        what = "accuracy" if metric.name == ACCURACY else "objective"
        mean, std = (getattr(self.summary, f"{part}_{what}_{one}") for one in ("mean", "std"))
        return mean, std

    @property
    def trials(self) -> int:
        """Number of trials that were started, in all repeats."""
        return sum(repeat.trials for repeat in self.repeats)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object of ``result.json``."""
        record: dict[str, Any] = as_record(self)
        return record
