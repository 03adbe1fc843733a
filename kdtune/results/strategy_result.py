"""The dataclasses of ``result.json``: units are in the names, accuracies are fractions, None is not measured.

The order of the fields is that of the keys in the file.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from kdtune.results.cost_document import Cost
from kdtune.results.documents import TestMetrics
from kdtune.specs.search_space import Point
from kdtune.storage.records import LEFT_OUT_IF_NONE, as_record, strict
from kdtune.tasks.metric import ACCURACY, Metric

SCHEMA_VERSION = 1


@strict
@dataclass(frozen=True)
class Computed:
    """How passes through the networks were computed; see :class:`kdtune.specs.study.Numerics`."""

    precision: str
    memory_layout: str
    compile: str
    teacher_logits: str | None = field(default=None, metadata=LEFT_OUT_IF_NONE)


@strict
@dataclass(frozen=True)
class Repeat:
    """One repeat of a strategy.

    Attributes:
        seed: Of its trainings.
        chosen: The point of the chosen trial.
        val_accuracy: Of the chosen model, a fraction.
        val_loss: In nats.
        trials: That were begun.
        charged_uj: In microjoules: its own trials and evaluation, and an equal part of what all repeats have in common.
        test: Metrics of the chosen model on the test images; None where it has not met them.
        val_objective: Of the chosen model, the metric that decides the study; None where that is the accuracy.
        test_objective: As ``val_objective``, on the test images.
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

    @property
    def test_deciding(self) -> float | None:
        """The metric on the test images that decides the study."""
        return self.test_accuracy if self.test_objective is None else self.test_objective

    @property
    def test_accuracy(self) -> float | None:
        """Of the chosen model, a fraction."""
        return None if self.test is None else self.test["accuracy"]


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
    """What was expected of a strategy before it ran.

    Attributes:
        charged_kwh: The charge, PUE included; None where it was unknown.
        wall_s: Seconds.
        basis: In words, where the figures came from.
    """

    charged_kwh: float | None
    wall_s: float | None
    basis: str


@strict
@dataclass(frozen=True)
class FailedTrial:
    """A trial that failed, and why."""

    trial_id: str
    seed: int
    point: Point
    error: str | None


@strict
@dataclass(frozen=True)
class GreenIndex:
    """The green index of a strategy; see :mod:`kdtune.analysis.green_index`.

    Attributes:
        points: None where accuracy or energy was not measured.
        points_std: Sample standard deviation over repeats.
        points_per_doubling: The weight: points of accuracy that a doubling of energy has to bring.
        baseline: The strategy whose index is its accuracy.
    """

    points: float | None
    points_std: float | None
    points_per_doubling: float
    baseline: str


@strict
@dataclass(frozen=True)
class StrategyResult:
    """What a strategy came to.

    Attributes:
        schema_version: Of the file.
        study: Its study's name.
        strategy: Its label; in a comparison of several studies with its study before it.
        status: ``completed``, ``incomplete``, ``interrupted`` or ``budget``.
        computed: Numerics.
        repeats: In the order of seeds.
        summary: Over repeats.
        cost: Of all repeats.
        estimate: None where none was made.
        failures: Failed trials.
        green_index: Where it was asked for.
        objective: Name of the metric that decided the study; None where that is the accuracy.
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

    @property
    def deciding(self) -> Metric:
        """The metric that decided the study."""
        return Metric(self.objective or ACCURACY)

    def mean_and_std(self, metric: Metric, part: Literal["val", "test"]) -> tuple[float | None, float | None]:
        """Mean and standard deviation over repeats of the accuracy or of :attr:`deciding`."""
        what = "accuracy" if metric.name == ACCURACY else "objective"
        mean, std = (getattr(self.summary, f"{part}_{what}_{one}") for one in ("mean", "std"))
        return mean, std

    @property
    def trials(self) -> int:
        """Trials that were begun, in all repeats."""
        return sum(repeat.trials for repeat in self.repeats)

    def as_json(self) -> dict[str, Any]:
        """The document of ``result.json``."""
        record: dict[str, Any] = as_record(self)
        return record
