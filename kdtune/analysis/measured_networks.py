"""The networks of a measurement of inference, with their metrics now and when the study ran."""

from collections.abc import Mapping
from dataclasses import dataclass

from kdtune.analysis.finished_strategies import FinishedStrategy
from kdtune.catalog.metric import ACCURACY, Metric
from kdtune.results.inference_document import Network
from kdtune.specs.component import Component
from kdtune.tasks.task import Metrics


@dataclass(frozen=True)
class MeasuredMetrics:
    """Metrics on the test images in a measurement.

    Attributes:
        teacher: Those of the teacher.
        student: Those of the strategy's float student.
        int8: Those of its int8 student; None if it has none, or none was timed.
    """

    teacher: Metrics
    student: Metrics
    int8: Metrics | None


def networks_of(one: FinishedStrategy, sizes: Mapping[str, int], found: MeasuredMetrics) -> dict[str, Network]:
    """Return the networks of a strategy, by role.

    Args:
        one: The strategy.
        sizes: Number of parameters of teacher and student, by role.
        found: Metrics of the networks in this measurement.
    """
    study, workload, repeat = one.study, one.resolved.workload, one.result.repeats[0]
    objective, of_model = one.result.objective, repeat.test or {}
    of_float = of_model
    if repeat.deployed:
        of_float = {metric.name: repeat.deployed.of_float(metric) for metric in (Metric(ACCURACY), one.result.deciding)}
    teacher = study.teacher, sizes["teacher"], workload.teacher_macs
    student = study.student, sizes["student"], workload.student_macs
    described = {
        "teacher": _network(*teacher, found.teacher, one.teacher["test"], objective),
        "student": _network(*student, found.student, of_float, objective),
    }
    if found.int8 is not None:
        described["int8"] = _network(*student, found.int8, of_model, objective)
    return described


def _network(
    component: Component, parameters: int, macs: int, found: Metrics, recorded: Metrics, objective: str | None
) -> Network:
    """Return what is known of a network, with its metrics on the test images now and when the study ran."""
    return Network(
        *(str(component), parameters, macs, found.get(ACCURACY), recorded.get(ACCURACY)),
        test_objective=found.get(objective) if objective else None,
        recorded_test_objective=recorded.get(objective) if objective else None,
    )
