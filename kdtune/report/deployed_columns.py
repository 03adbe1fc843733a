"""Columns of the cost table about the form in which models are used, shown if any strategy quantised its models."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import fields

from kdtune.analysis.strategy_figures import common_metric
from kdtune.report.number_formats import NOTHING, of_metric, significant, with_unit
from kdtune.results.deployed_model import DeployedModel
from kdtune.results.strategy_result import StrategyResult
from kdtune.storage.records import as_record
from kdtune.storage.wording import counted

#: Headings; the accuracy of the form that is used is in the column of the test accuracy as well.
COLUMNS = ("bits", "MB", "float {metric}", "int8 {metric}", "ms a batch")

#: Number of those that a narrow table shows. The int8 accuracy is its test accuracy.
_NARROW = 3

#: Bits of a weight of a network that is not quantised.
FLOAT_BITS = 32


def deployed_columns(results: Sequence[StrategyResult], *, wide: bool = True) -> tuple[str, ...]:
    """Return the headings; empty if no model was quantised."""
    if not any(_forms(result) for result in results):
        return ()
    heading = common_metric(results).heading
    return tuple(name.format(metric=heading) for name in COLUMNS[: None if wide else _NARROW])


def deployed_cells(result: StrategyResult, results: Sequence[StrategyResult], *, wide: bool = True) -> list[str]:
    """Return a strategy's cells under the headings.

    Args:
        result: The strategy.
        results: All strategies of the table. The size of a float student is known from those that quantised one.
        wide: As for :func:`deployed_columns`.
    """
    shown = len(deployed_columns(results, wide=wide))
    return _cells(result, results)[:shown] if shown else []


def _cells(result: StrategyResult, results: Sequence[StrategyResult]) -> list[str]:
    forms, latency, metric = _forms(result), result.latency, common_metric(results)
    tested = of_metric(metric, *result.mean_and_std(metric, "test"))
    if forms:
        time_ms = latency.int8_ms if latency else None
        return [
            str(forms[0].bits),
            _megabytes(forms, lambda one: one.size_bytes),
            of_metric(metric, *_spread([one.of_float(metric) for one in forms])),
            tested,
            significant(time_ms),
        ]
    same = [one for other in results if other.study == result.study for one in _forms(other)]
    time_ms = latency.float_ms if latency else None
    size = _megabytes(same, lambda one: one.float_size_bytes) if same else NOTHING
    return [str(FLOAT_BITS), size, tested, NOTHING, significant(time_ms)]


def deployed_notes(results: Sequence[StrategyResult]) -> list[str]:
    """Return notes on the columns."""
    quantised = [result for result in results if _forms(result)]
    if not quantised:
        return []
    metric = common_metric(results)
    lines = [
        f"{', '.join(one.strategy for one in quantised)}: the test {metric.title} is that of the int8 network, and the "
        "charge includes the whole search for the float student. MB are the tensors that a network reads. The GFLOPs "
        "count 8-bit operations like those of float32."
    ]
    if measured := dict.fromkeys(one.latency for one in results if one.latency):
        lines += [
            f"Time of a batch: {counted(one.batch_size, 'image')}, {counted(one.threads, 'thread')}, compiled."
            for one in measured
        ]
    else:
        lines.append("Times of a batch are measured by 'kdtune inference', which needs a C++ compiler.")
    simulated = {one.strategy: _spread([form.simulated(metric) for form in _forms(one)]) for one in quantised}
    known = [f"{name} {with_unit(metric, *spread)}" for name, spread in simulated.items() if spread[0] is not None]
    return [*lines, *([f"The test {metric.title} with simulated rounding: {', '.join(known)}."] if known else [])]


def deployed_means(result: StrategyResult) -> dict[str, float | None]:
    """Return the means over repeats of the facts about a strategy's quantised models, and the times, by name."""
    keys = [one.name for one in fields(DeployedModel)]
    means = {key: _spread([getattr(one, key) for one in _forms(result)])[0] for key in keys}
    times = as_record(result.latency) if result.latency else {}
    return {**means, **{key: times.get(key) for key in ("float_ms", "int8_ms")}}


def _forms(result: StrategyResult) -> list[DeployedModel]:
    return [one.deployed for one in result.repeats if one.deployed]


def _megabytes(forms: Sequence[DeployedModel], of: Callable[[DeployedModel], int]) -> str:
    return significant(statistics.fmean(of(one) for one in forms) / 1e6)


def _spread(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    known = [one for one in values if one is not None]
    return (statistics.fmean(known) if known else None, statistics.stdev(known) if len(known) > 1 else None)
