"""The cost table: what each strategy found, and what finding it cost."""

from collections.abc import Collection, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from kdtune.analysis.green_index import energy_multiple, formula
from kdtune.energy.attribution import FLAGS
from kdtune.energy.carbon import Carbon
from kdtune.energy.sensors.cpu import power_in_words
from kdtune.energy.sensors.node import Quality
from kdtune.report.formats import NOTHING, describe_point, percent, ratio, significant
from kdtune.report.table_width import FittingTable
from kdtune.results.abandoned import abandoned_uj
from kdtune.results.cost_document import Cost, Node
from kdtune.results.shared_document import Teacher
from kdtune.results.strategy_result import Computed, ExpectedCost, GreenIndex, StrategyResult
from kdtune.tasks.metric import ACCURACY, Metric

#: A row's cells, in the order of :data:`COLUMNS`.
Row = list[str]

BASELINE = "stochastic"

COLUMNS = (
    "strategy",
    "trials",
    "tau",
    "val. acc. %",
    "test acc. %",
    "GFLOPs (M)",
    "kWh",
    "g CO2",
    "energy as run",
    "training only",
)

#: A column that only those see who ask for it.
GREEN = "green index"


def columns(results: Sequence[StrategyResult]) -> tuple[str, ...]:
    """The table's columns: :data:`COLUMNS`, named by the objective, and the green index where results have one."""
    named = tuple(name.replace("acc.", _shown(results).title) for name in COLUMNS)
    return (*named, GREEN) if has_green_index(results) else named


def _shown(results: Sequence[StrategyResult]) -> Metric:
    """The metric that decided all results; the accuracy where different ones did, which all have."""
    deciding = {result.deciding for result in results}
    return deciding.pop() if len(deciding) == 1 else Metric(ACCURACY)


def has_green_index(results: Sequence[StrategyResult]) -> bool:
    """Whether somebody asked for it."""
    return any(result.green_index for result in results)


def _chosen(result: StrategyResult) -> str:
    """The points that the repeats chose; once where they agree."""
    chosen = [describe_point(repeat.chosen) for repeat in result.repeats]
    return chosen[0] if len(set(chosen)) == 1 else ", ".join(chosen)


def cost_rows(results: Sequence[StrategyResult], baseline: str = BASELINE) -> list[Row]:
    """One row a strategy; cost is that of one model, the mean over all that there are."""
    base = next((result for result in results if result.strategy == baseline), None)
    shown = _shown(results)
    rows = []
    for result in results:
        cost = result.cost
        trials = cost.of_one_model(result.trials)
        rows.append(
            [
                result.strategy + ("" if result.status == "completed" else f" ({result.status})"),
                NOTHING if trials is None else f"{round(trials, 2):g}",
                _chosen(result),
                percent(*result.mean_and_std(shown, "val")),
                percent(*result.mean_and_std(shown, "test")),
                significant(cost.of_one_model(cost.gflops_millions)),
                significant(cost.of_one_model(cost.charged_kwh)),
                significant(cost.of_one_model(cost.charged_co2_g)),
                ratio(energy_multiple(result, base, "charged_kwh")),
                ratio(energy_multiple(result, base, "training_kwh")),
                *([_index(result.green_index)] if has_green_index(results) else []),
            ]
        )
    return rows


def _index(index: GreenIndex | None) -> str:
    if index is None or index.points is None:
        return NOTHING
    return f"{index.points:.1f}" + ("" if index.points_std is None else f" +- {index.points_std:.1f}")


def teacher_row(teacher: Teacher, results: Sequence[StrategyResult]) -> Row:
    """The teacher's own line: what it reaches and what its training cost, once; unknown of one that was given."""
    energy, carbon = teacher.training, results[0].cost.carbon
    cells = [
        f"teacher ({teacher.model})" + (", given" if teacher.given else ""),
        NOTHING if teacher.given else "1",
        NOTHING,
        percent(teacher.val_accuracy if _shown(results).name == ACCURACY else None),
        percent(teacher.test.get(_shown(results).name)),
        significant(teacher.gflops_millions),
        significant(carbon.kwh(energy.charged_uj) if energy else None),
        significant(carbon.co2_g(energy.charged_uj) if energy else None),
    ]
    return cells + [NOTHING] * (len(columns(results)) - len(cells))  # what is about strategies only


def cost_table(
    results: Sequence[StrategyResult],
    teacher: Teacher | None,
    baseline: str = BASELINE,
    remarks: Sequence[str] = (),
) -> RenderableType:
    """The cost table with its teacher's line, and under it how the energy was obtained, and any further remarks."""
    if not results:
        return Text("Nothing was run.")
    models = {result.cost.models for result in results}
    title = f"{results[0].study}: cost of one model"
    title += f", mean of {models.pop()} repeats" if len(models) == 1 and max(models) > 1 else ""
    names = columns(results)
    table = FittingTable(title, names, left=("strategy", "tau"), split=names.index("GFLOPs (M)"))
    for row in cost_rows(results, baseline):
        table.add_row(row)
    if teacher:
        table.add_section()
        table.add_row(teacher_row(teacher, results))
    return Group(table, *(Text(line, style="dim") for line in [*notes(results, teacher, baseline), *remarks]))


def _from_to(amounts: Collection[int], carbon: Carbon) -> str:
    """The least and the most of some energies in microjoules; one of them where they are equal."""
    return " to ".join(f"{significant(carbon.kwh(uj))} kWh" for uj in sorted({min(amounts), max(amounts)}))


def notes(results: Sequence[StrategyResult], teacher: Teacher | None, baseline: str = BASELINE) -> list[str]:
    """What a reader has to know to trust the figures."""
    carbon = results[0].cost.carbon
    lines = list(dict.fromkeys(how_measured(result.cost.quality, result.cost.hardware) for result in results))
    if bounds := [_bound(result.cost) for result in results if result.cost.charged_kwh]:
        lines.append(how_far_off("kWh", bounds))
    if of := [result.strategy for result in results if result.cost.attribution == "shared"]:
        lines.append(f"Attribution of {', '.join(of)} is shared: power that no trial held (idle) is charged to no row.")
    for name in dict.fromkeys(name for result in results for name in result.cost.flags):
        told = [result.strategy for result in results if name in result.cost.flags]
        lines.append(f"To be told of {', '.join(told)}: {FLAGS[name]}.")
    if teacher and teacher.energy:
        lines += [f"To be told of the teacher: {FLAGS[name]}." for name in teacher.energy.flags]
    lines.append(how_emitted(carbon))
    lines.append(_multiples_of([result.strategy for result in results], baseline))
    if index := results[0].green_index:
        lines.append(formula(index.points_per_doubling, baseline))
    lines += dict.fromkeys(how_computed(result.computed) for result in results)
    lines += _of_shared_energy(results, carbon)
    if teacher:
        lines.append(_of_teacher(teacher, carbon))
    lines += [_lost(result) for result in results if result.cost.models < len(result.repeats)]
    lines += [
        f"Failed, and charged: {result.strategy}, tau {describe_point(failure.point)}, "
        f"seed {failure.seed}: {failure.error}"
        for result in results
        for failure in result.failures
    ]
    if expected := [_expected(result, result.estimate) for result in results if result.estimate]:
        lines.append(f"Estimated beforehand, all repeats: {', '.join(expected)}.")
    if abandoned := abandoned_uj([result.cost for result in results]):
        kwh = significant(carbon.kwh(abandoned))
        lines.append(f"Spent on earlier runs that --fresh put aside, charged to no row: {kwh} kWh.")
    return lines


def _multiples_of(strategies: Sequence[str], baseline: str) -> str:
    """What multiples of energy are of, or why there are none."""
    if baseline in strategies:
        return (
            f"Multiples of the energy of {baseline}: as run, everything that is charged; training only, trials and "
            "evaluation."
        )
    if several := [name for name in strategies if name.endswith(f"/{baseline}")]:
        return f"No multiples of energy: --baseline says of what, such as {several[0]}."
    return f"No results of {baseline} here, so no multiples of its energy; compare has --baseline."


def _of_shared_energy(results: Sequence[StrategyResult], carbon: Carbon) -> list[str]:
    """What is charged to every strategy as if it had run alone."""
    shared, lines = [result.cost.shared_uj for result in results], []
    asked = {one.teacher_logits for one in shared if one.teacher_logits}
    if len(asked) == 1:
        lines.append(
            "The teacher was asked once for all trainings of a repeat; every strategy that has a teacher is charged "
            f"that as if it had run alone, as training: {significant(carbon.kwh(asked.pop()))} kWh."
        )
    if compiled := {one.compilation for one in shared if one.compilation}:
        lines.append(
            "The networks were compiled once for all trainings; every strategy is charged what it used of that as if "
            f"it had run alone: {_from_to(compiled, carbon)}."
        )
    sessions = {one.session for one in shared if one.session is not None}
    if all(one.session is not None for one in shared):
        lines.append(
            f"Every strategy is charged what all share (the session's start and end) as if it had run alone: "
            f"{_from_to(sessions, carbon)} in {len(results[0].repeats)} repeat(s)."
        )
    return lines


def _lost(result: StrategyResult) -> str:
    """Of a strategy with repeats that came to no model (yet), who answers for what these took."""
    models, repeats = result.cost.models, len(result.repeats)
    if models:
        return f"{result.strategy}: {models} of {repeats} repeats came to a model; what the others took is in its cost."
    taken = significant(result.cost.charged_kwh)
    return (
        f"{result.strategy}: no repeat came to a model, so none has a cost: {taken} kWh, {result.trials} trials so far."
    )


def _of_teacher(teacher: Teacher, carbon: Carbon) -> str:
    if not teacher.given:
        return "The teacher was trained once and is in no strategy's figure."
    measuring = teacher.energy
    took = f" Measuring its accuracy took {significant(carbon.kwh(measuring.charged_uj))} kWh." if measuring else ""
    return (
        f"The teacher was given (weights {teacher.given}), so what its training took is not known; it is in no "
        f"strategy's figure.{took}"
    )


def _bound(cost: Cost) -> float:
    """Relative uncertainty of what is charged, of a strategy whose energy was measured."""
    assert cost.uncertainty_uj is not None and cost.charged_kwh is not None
    return cost.carbon.kwh(cost.uncertainty_uj["charged"]) / cost.charged_kwh


def _expected(result: StrategyResult, estimate: ExpectedCost) -> str:
    """A strategy's estimate beside what became of it."""
    expected, actual = significant(estimate.charged_kwh), significant(result.cost.charged_kwh)
    return f"{result.strategy} {expected} kWh (used {actual})"


def how_far_off(what: str, bounds: Sequence[float]) -> str:
    """In words, the relative uncertainties of some figures."""
    low, high = f"{min(bounds):.0%}", f"{max(bounds):.0%}"
    text = low if low == high else f"{low} to {high}"
    return f"{what} may be off by {text} (bounds from the literature for such sources, not a calibration)."


def how_emitted(carbon: Carbon) -> str:
    """In words, how energy became CO2."""
    return f"CO2: {significant(carbon.intensity_g_per_kwh, 6)} g/kWh, {carbon.source}; PUE {carbon.pue:g}."


#: By ``numerics.compile``.
_COMPILED = {
    "on": ", compiled",
    "graph": ", each training step captured as a graph",
    "compiled_graph": ", compiled, each training step captured as a graph",
}


def how_computed(computed: Computed) -> str:
    """In words, how passes through the networks were computed."""
    how = _COMPILED.get(computed.compile, "")
    return f"Computed in {computed.precision}, {computed.memory_layout.replace('_', ' ')}{how}."


def how_measured(quality: Quality | None, hardware: Sequence[Node]) -> str:
    """In words, where energy figures come from.

    Args:
        quality: The least trustworthy source; None where nothing was metered.
        hardware: Of each node.
    """
    parts = []
    for node in hardware:
        cores = f"{node.cores} cores"
        if node.cpu_quality == "modelled":
            power = power_in_words(node.tdp_w, known=node.tdp_known)
            parts.append(f"CPU modelled ({node.cpu_model}, {cores}: busy share x {power})")
        else:
            parts.append(f"CPU from its RAPL counter ({node.cpu_model}, {cores})")
        parts.append(f"memory modelled ({node.ram_w:g} W)")
        parts += [f"GPU {gpu.name} ({gpu.quality})" for gpu in node.gpus]
    tail = " A modelled figure is busy time in joules, not a measurement." if quality == "modelled" else ""
    return f"Energy: {quality or 'not measured'}. {'; '.join(parts)}.{tail}"
