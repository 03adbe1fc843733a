"""The cost table: the result of each strategy and the cost of finding it."""

from collections.abc import Collection, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from kdtune.analysis.baseline_choice import BASELINE
from kdtune.analysis.green_index import formula
from kdtune.energy.attribution import FLAGS
from kdtune.energy.carbon import Carbon
from kdtune.energy.sensors.cpu import power_in_words
from kdtune.energy.sensors.node import Quality
from kdtune.paper.published_accuracies import published_accuracies
from kdtune.report.cost_rows import LEADING, columns, cost_rows, teacher_row
from kdtune.report.deployed_columns import deployed_notes
from kdtune.report.hidden_tuning import hidden_tuning
from kdtune.report.meta_gradients import meta_gradients
from kdtune.report.number_formats import describe_point, significant
from kdtune.report.split_table import SplitTable
from kdtune.report.synthetic_images import synthetic_images_notes
from kdtune.report.units import energy, energy_unit
from kdtune.results.abandoned_energy import abandoned_uj
from kdtune.results.cost_document import Cost, Node
from kdtune.results.shared_document import Teacher
from kdtune.results.strategy_result import Computed, StrategyResult
from kdtune.storage.wording import counted


def cost_table(
    results: Sequence[StrategyResult],
    teacher: Teacher | None,
    baseline: str = BASELINE,
    remarks: Sequence[str] = (),
    *,
    wide: bool = False,
) -> RenderableType:
    """Return the cost table with the teacher's row, followed by notes on the energy and further remarks.

    Args:
        results: Results of the strategies.
        teacher: The teacher; None for a table without its row.
        baseline: The strategy whose energy counts as 1.
        remarks: Lines below the notes.
        wide: Whether the table has all columns.
    """
    if not results:
        return Text("There are no results.")
    models = {result.cost.models for result in results}
    title = f"{results[0].study}: cost of one model"
    title += f", mean of {models.pop()} repeats" if len(models) == 1 and max(models) > 1 else ""
    names = columns(results, teacher, wide=wide)
    splits = [len(LEADING), len(LEADING) + 3] if wide else []
    table = SplitTable(title, names, ("strategy", "tau"), *splits)
    for row in cost_rows(results, baseline, teacher, wide=wide):
        table.add_row(row)
    if teacher:
        table.add_section()
        table.add_row(teacher_row(teacher, results, wide=wide))
    return Group(table, *(Text(line, style="dim") for line in [*notes(results, teacher, baseline), *remarks]))


def _from_to(amounts: Collection[int], carbon: Carbon) -> str:
    """Format the range of energies in microjoules, or a single value if all are equal."""
    return " to ".join(energy(carbon.kwh(uj)) for uj in sorted({min(amounts), max(amounts)}))


def notes(results: Sequence[StrategyResult], teacher: Teacher | None, baseline: str = BASELINE) -> list[str]:
    """Return notes on the figures of the table."""
    carbon = results[0].cost.carbon
    lines = list(dict.fromkeys(how_measured(result.cost.quality, result.cost.hardware) for result in results))
    if bounds := [_bound(result.cost) for result in results if result.cost.charged_kwh]:
        lines.append(how_far_off("Energy", bounds))
    if of := [result.strategy for result in results if result.cost.attribution == "shared"]:
        lines.append(f"Attribution of {', '.join(of)} is shared: idle power is charged to no row.")
    for name in dict.fromkeys(name for result in results for name in result.cost.flags):
        flagged = [result.strategy for result in results if name in result.cost.flags]
        lines.append(f"Note on {', '.join(flagged)}: {FLAGS[name]}.")
    if teacher and teacher.energy:
        lines += [f"Note on the teacher: {FLAGS[name]}." for name in teacher.energy.flags]
    lines += hidden_tuning(results) + meta_gradients(results) + deployed_notes(results)
    for study in dict.fromkeys(result.study for result in results):
        labels = [result.strategy.rpartition("/")[2] for result in results if result.study == study]
        lines += filter(None, [published_accuracies(study, labels)])
    lines.append(how_emitted(carbon))
    lines.append(_multiples_of([result.strategy for result in results], baseline))
    if index := results[0].green_index:
        lines.append(formula(index.points_per_doubling, baseline, results[0].deciding))
    lines += dict.fromkeys(how_computed(result.computed) for result in results)
    lines += _of_shared_energy(results, carbon) + synthetic_images_notes(results, carbon)
    if teacher:
        lines.append(_of_teacher(teacher, carbon))
    lines += [_lost(result) for result in results if result.cost.models < len(result.repeats)]
    lines += [
        f"Failed, and charged: {result.strategy}, tau {describe_point(failure.point)}, "
        f"seed {failure.seed}: {failure.error}"
        for result in results
        for failure in result.failures
    ]
    lines += _estimates(results)
    if abandoned := abandoned_uj([result.cost for result in results]):
        lines.append(
            f"Spent on earlier runs that --fresh put aside, charged to no row: {energy(carbon.kwh(abandoned))}."
        )
    return lines


def _multiples_of(strategies: Sequence[str], baseline: str) -> str:
    """Return a note on the multiples of energy, or on their absence."""
    if baseline in strategies:
        return (
            f"Multiples of the energy of {baseline}: 'as run' is everything that is charged, 'training only' is trials "
            "and evaluation."
        )
    if several := [name for name in strategies if name.endswith(f"/{baseline}")]:
        return f"No multiples of energy: name the baseline with --baseline, such as {several[0]}."
    return f"No multiples of energy, since there are no results of {baseline}; compare has --baseline."


def _of_shared_energy(results: Sequence[StrategyResult], carbon: Carbon) -> list[str]:
    """Return notes on shared energy, which is charged to every strategy as if it had run alone."""
    shared, lines = [result.cost.shared_uj for result in results], []
    asked = {one.teacher_logits for one in shared if one.teacher_logits}
    if len(asked) == 1:
        lines.append(
            "The teacher's logits were computed once for all trainings of a repeat. Every strategy with a teacher is "
            f"charged for them as training, as if it had run alone: {energy(carbon.kwh(asked.pop()))}."
        )
    if compiled := {one.compilation for one in shared if one.compilation}:
        lines.append(
            "The networks were compiled once for all trainings. Every strategy is charged for the code that it used, "
            f"as if it had run alone: {_from_to(compiled, carbon)}."
        )
    sessions = {one.session for one in shared if one.session is not None}
    if all(one.session is not None for one in shared):
        lines.append(
            "Every strategy is charged for the start and end of the session as if it had run alone: "
            f"{_from_to(sessions, carbon)} in {counted(len(results[0].repeats), 'repeat')}."
        )
    return lines


def _lost(result: StrategyResult) -> str:
    """Return a note on the energy of repeats that have no model (yet)."""
    models, repeats = result.cost.models, counted(len(result.repeats), "repeat")
    if models:
        return f"{result.strategy}: {models} of {repeats} have a model; their cost includes the other repeats."
    spent, trials = energy(result.cost.charged_kwh), counted(result.trials, "trial")
    return f"{result.strategy}: no repeat has a model, so there is no cost: {spent}, {trials} so far."


def _of_teacher(teacher: Teacher, carbon: Carbon) -> str:
    if not teacher.given:
        if teacher.count:
            return (
                f"Each repeat has a teacher of its own. All {teacher.count} were trained for this study, and none is "
                "included in any strategy's figures."
            )
        return "The teacher was trained once and is not included in any strategy's figures."
    evaluation = teacher.energy
    spent = f" Its evaluation took {energy(carbon.kwh(evaluation.charged_uj))}." if evaluation else ""
    return (
        f"The teacher was given (weights {teacher.given}), so the energy of its training is unknown; it is not "
        f"included in any strategy's figures.{spent}"
    )


def _bound(cost: Cost) -> float:
    """Return the relative uncertainty of the charge of a strategy with measured energy."""
    assert cost.uncertainty_uj is not None and cost.charged_kwh is not None
    return cost.carbon.kwh(cost.uncertainty_uj["charged"]) / cost.charged_kwh


def _estimates(results: Sequence[StrategyResult]) -> list[str]:
    """Return a line with the estimate and the actual charge of each strategy, in one unit."""
    pairs = {one.strategy: (one.estimate.charged_kwh, one.cost.charged_kwh) for one in results if one.estimate}
    unit = energy_unit(kwh for pair in pairs.values() for kwh in pair)
    expected = [f"{name} {unit.number(before)} ({unit.number(used)})" for name, (before, used) in pairs.items()]
    if not expected:
        return []
    return [f"Estimated before the run (and used), {unit.name} over all repeats: {', '.join(expected)}."]


def how_far_off(what: str, bounds: Sequence[float]) -> str:
    """Return a sentence about relative uncertainties."""
    low, high = f"{min(bounds):.0%}", f"{max(bounds):.0%}"
    text = low if low == high else f"{low} to {high}"
    return f"{what} may be off by {text} (bounds from the literature for such sources, not a calibration)."


def how_emitted(carbon: Carbon) -> str:
    """Return a sentence about the conversion of energy to CO2."""
    return f"CO2: {significant(carbon.intensity_g_per_kwh, 6)} g/kWh, {carbon.source}; PUE {carbon.pue:g}."


#: By ``numerics.compile``.
_COMPILED = {
    "on": ", compiled",
    "graph": ", each training step captured as a graph",
    "compiled_graph": ", compiled, each training step captured as a graph",
}


def how_computed(computed: Computed) -> str:
    """Return a sentence about the numerics of the networks."""
    how = _COMPILED.get(computed.compile, "")
    return f"Computed in {computed.precision}, {computed.memory_layout.replace('_', ' ')}{how}."


def how_measured(quality: Quality | None, hardware: Sequence[Node]) -> str:
    """Return a sentence about the sources of energy figures.

    Args:
        quality: Quality of the least reliable source; None if nothing was metered.
        hardware: Hardware of each node.
    """
    parts = []
    for node in hardware:
        cores = counted(node.cores, "core")
        if node.cpu_quality == "modelled":
            power = power_in_words(node.tdp_w, known=node.tdp_known)
            parts.append(f"CPU modelled ({node.cpu_model}, {cores}: busy share x {power})")
        else:
            parts.append(f"CPU from its RAPL counter ({node.cpu_model}, {cores})")
        parts.append(f"memory modelled ({node.ram_w:g} W)")
        parts += [f"GPU {gpu.name} ({gpu.quality})" for gpu in node.gpus]
    tail = " A modelled figure is busy time in joules, not a measurement." if quality == "modelled" else ""
    return f"Energy: {quality or 'not measured'}. {'; '.join(parts)}.{tail}"
