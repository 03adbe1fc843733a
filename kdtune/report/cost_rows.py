"""Columns and rows of the cost table: the four that matter most, and all of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from kdtune.analysis.baseline_choice import BASELINE
from kdtune.analysis.green_index import energy_multiple
from kdtune.analysis.strategy_figures import common_metric
from kdtune.catalog.metric import ACCURACY
from kdtune.report.deployed_columns import deployed_cells, deployed_columns
from kdtune.report.number_formats import NOTHING, describe_choice, of_metric, ratio
from kdtune.report.row_names import network_name
from kdtune.report.units import Unit, co2_unit, energy_unit, flops_unit
from kdtune.results.shared_document import Teacher
from kdtune.results.strategy_result import GreenIndex, StrategyResult

#: Cells of a row, in the order of :func:`columns`.
Row = list[str]

#: The columns that matter most; ``{}`` are the metric and the unit of energy.
LEADING = ("strategy", "test {metric}", "energy ({energy})", "energy as run")

#: The other columns.
FURTHER = ("trials", "tau", "val. {metric}", "training only", "CO2 ({co2})", "{flops}")

#: An optional column.
GREEN = "green index"

#: FLOPs in one of the paper's units, a million GFLOPs.
_PAPERS_FLOPS = 1e15


@dataclass(frozen=True)
class CostUnits:
    """The unit of each quantity in the rows of a table, including that of the teacher."""

    energy: Unit
    co2: Unit
    flops: Unit

    @classmethod
    def of(cls, results: Sequence[StrategyResult], teacher: Teacher | None) -> "CostUnits":
        """Return the units that suit the values of a table."""
        costs = [result.cost for result in results]
        kwh = [cost.of_one_model(cost.charged_kwh) for cost in costs]
        grams = [cost.of_one_model(cost.charged_co2_g) for cost in costs]
        flops = [flops_of(cost.of_one_model(cost.gflops_millions)) for cost in costs]
        if teacher:
            energy, carbon = teacher.training, costs[0].carbon
            kwh += [carbon.kwh(energy.charged_uj)] if energy else []
            grams += [carbon.co2_g(energy.charged_uj)] if energy else []
            flops += [flops_of(teacher.gflops_millions)]
        return cls(energy_unit(kwh), co2_unit(grams), flops_unit(flops))


def flops_of(gflops_millions: float | None) -> float | None:
    """Return floating-point operations from the unit of results, which is the paper's."""
    return None if gflops_millions is None else gflops_millions * _PAPERS_FLOPS


def columns(results: Sequence[StrategyResult], teacher: Teacher | None = None, *, wide: bool = True) -> tuple[str, ...]:
    """Return the columns with the name of the objective and with units, and optional ones that any result needs.

    Args:
        results: Results of the table.
        teacher: The teacher, if the table has a row for it.
        wide: Whether the table has all columns, and not only those that matter most.
    """
    units = CostUnits.of(results, teacher)
    words = {
        "metric": common_metric(results).heading,
        "energy": units.energy.name,
        "co2": units.co2.name,
        "flops": units.flops.name,
    }
    named = tuple(name.format(**words) for name in (LEADING + FURTHER if wide else LEADING))
    return (*named, *deployed_columns(results, wide=wide), *((GREEN,) if has_green_index(results) else ()))


def has_green_index(results: Sequence[StrategyResult]) -> bool:
    """Return whether any result has a green index."""
    return any(result.green_index for result in results)


def chosen_points(result: StrategyResult) -> str:
    """Return the points that the repeats chose, or the one point if all agree."""
    chosen = [describe_choice(repeat.chosen) for repeat in result.repeats]
    # Strategies of one training choose the same in every repeat, also before all of them have ended.
    different = {describe_choice(repeat.chosen) for repeat in result.repeats if repeat.chosen} or {*chosen}
    return different.pop() if len(different) == 1 else ", ".join(chosen)


def cost_rows(
    results: Sequence[StrategyResult],
    baseline: str = BASELINE,
    teacher: Teacher | None = None,
    *,
    wide: bool = True,
) -> list[Row]:
    """Return one row per strategy. Costs are those of one model, the mean over all models.

    Args:
        results: Results of the strategies.
        baseline: The strategy whose energy counts as 1.
        teacher: The teacher, if the table has a row for it, which :func:`teacher_row` returns.
        wide: As for :func:`columns`.
    """
    base = next((result for result in results if result.strategy == baseline), None)
    units, shown = CostUnits.of(results, teacher), common_metric(results)
    rows = []
    for result in results:
        cost = result.cost
        leading = [
            result.strategy + ("" if result.status == "completed" else f" ({result.status})"),
            of_metric(shown, *result.mean_and_std(shown, "test")),
            units.energy.number(cost.of_one_model(cost.charged_kwh)),
            ratio(energy_multiple(result, base, "charged_kwh")),
        ]
        trials = cost.of_one_model(result.trials)
        further = [
            NOTHING if trials is None else f"{round(trials, 2):g}",
            chosen_points(result),
            of_metric(shown, *result.mean_and_std(shown, "val")),
            ratio(energy_multiple(result, base, "training_kwh")),
            units.co2.number(cost.of_one_model(cost.charged_co2_g)),
            units.flops.number(flops_of(cost.of_one_model(cost.gflops_millions))),
        ]
        green = [_index(result.green_index)] if has_green_index(results) else []
        rows.append([*leading, *(further if wide else []), *deployed_cells(result, results, wide=wide), *green])
    return rows


def _index(index: GreenIndex | None) -> str:
    if index is None or index.points is None:
        return NOTHING
    return f"{index.points:.1f}" + ("" if index.points_std is None else f" +- {index.points_std:.1f}")


def teacher_row(teacher: Teacher, results: Sequence[StrategyResult], *, wide: bool = True) -> Row:
    """Return the teacher's row with its accuracy and the cost of its training, which is unknown for given teachers."""
    energy, carbon, metric = teacher.training, results[0].cost.carbon, common_metric(results)
    units = CostUnits.of(results, teacher)
    leading = [
        network_name("teacher", teacher.model)
        + (", given" if teacher.given else "")
        + (f", mean of {teacher.count}" if teacher.count else ""),
        of_metric(metric, teacher.test.get(metric.name)),
        units.energy.number(carbon.kwh(energy.charged_uj) if energy else None),
        NOTHING,
    ]
    further = [
        NOTHING if teacher.given else "1",
        NOTHING,
        of_metric(metric, teacher.val_accuracy if metric.name == ACCURACY else teacher.val_objective),
        NOTHING,
        units.co2.number(carbon.co2_g(energy.charged_uj) if energy else None),
        units.flops.number(flops_of(teacher.gflops_millions)),
    ]
    cells = [*leading, *(further if wide else [])]
    return cells + [NOTHING] * (len(columns(results, teacher, wide=wide)) - len(cells))  # optional columns
