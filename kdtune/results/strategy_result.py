"""The dataclasses of ``result.json``: units are in the names, accuracies are fractions, None is not measured.

The order of the fields is that of the keys in the file.
"""

from dataclasses import dataclass, field
from typing import Any

from kdtune.results.cost_document import Cost
from kdtune.specs.search_space import Point
from kdtune.storage.field_types import TestMetrics
from kdtune.storage.records import LEFT_OUT_IF_NONE, as_record, strict

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
    """

    seed: int
    chosen: Point | None
    val_accuracy: float | None
    val_loss: float | None
    trials: int
    charged_uj: int | None
    test: TestMetrics | None

    @property
    def test_accuracy(self) -> float | None:
        """Of the chosen model, a fraction."""
        return None if self.test is None else self.test["accuracy"]


@strict
@dataclass(frozen=True)
class Summary:
    """Means and sample standard deviations of accuracies over the repeats that have them."""

    test_accuracy_mean: float | None
    test_accuracy_std: float | None
    val_accuracy_mean: float | None
    val_accuracy_std: float | None


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

    @property
    def trials(self) -> int:
        """Trials that were begun, in all repeats."""
        return sum(repeat.trials for repeat in self.repeats)

    def as_json(self) -> dict[str, Any]:
        """The document of ``result.json``."""
        record: dict[str, Any] = as_record(self)
        return record
