"""The cost table: what each strategy found, and what finding it cost."""

from collections.abc import Collection, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from kdtune.analysis.green_index import energy_multiple, formula
from kdtune.energy.attribution import FLAGS
from kdtune.energy.carbon import Carbon
from kdtune.energy.sensors.cpu import power_in_words
from kdtune.report.formats import NOTHING, describe_point, percent, ratio, significant
from kdtune.report.table_width import FittingTable
from kdtune.results.abandoned import abandoned_uj
from kdtune.results.cost import of_one_model

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


def columns(results: list[dict[str, Any]]) -> tuple[str, ...]:
    """The table's columns: :data:`COLUMNS`, and the green index where results have one."""
    return (*COLUMNS, GREEN) if has_green_index(results) else COLUMNS


def has_green_index(results: list[dict[str, Any]]) -> bool:
    """Whether somebody asked for it."""
    return any("green_index" in result for result in results)


def _chosen(result: dict[str, Any]) -> str:
    """The points that the repeats chose; once where they agree."""
    chosen = [describe_point(repeat["chosen"]) for repeat in result["repeats"]]
    return chosen[0] if len(set(chosen)) == 1 else ", ".join(chosen)


def cost_rows(results: list[dict[str, Any]], baseline: str = BASELINE) -> list[Row]:
    """One row a strategy; cost is that of one model, the mean over all that there are."""
    base = next((result for result in results if result["strategy"] == baseline), None)
    rows = []
    for result in results:
        cost, summary, models = result["cost"], result["summary"], result["cost"]["models"]
        trials = of_one_model(sum(repeat["trials"] for repeat in result["repeats"]), models)
        rows.append(
            [
                result["strategy"] + ("" if result["status"] == "completed" else f" ({result['status']})"),
                NOTHING if trials is None else f"{round(trials, 2):g}",
                _chosen(result),
                percent(summary["val_accuracy_mean"], summary["val_accuracy_std"]),
                percent(summary["test_accuracy_mean"], summary["test_accuracy_std"]),
                significant(of_one_model(cost["gflops_millions"], models)),
                significant(of_one_model(cost["charged_kwh"], models)),
                significant(of_one_model(cost["charged_co2_g"], models)),
                ratio(energy_multiple(result, base, "charged_kwh")),
                ratio(energy_multiple(result, base, "training_kwh")),
                *([_index(result)] if has_green_index(results) else []),
            ]
        )
    return rows


def _index(result: dict[str, Any]) -> str:
    points, std = (result["green_index"][key] for key in ("points", "points_std"))
    return NOTHING if points is None else f"{points:.1f}" + ("" if std is None else f" +- {std:.1f}")


def teacher_row(teacher: dict[str, Any], results: list[dict[str, Any]]) -> Row:
    """The teacher's own line: what it reaches and what its training cost, once; unknown of one that was given."""
    given = teacher.get("given")
    energy = None if given else teacher["energy"]
    applied = Carbon(**results[0]["cost"]["carbon"])
    cells = [
        f"teacher ({teacher['model']})" + (", given" if given else ""),
        NOTHING if given else "1",
        NOTHING,
        percent(teacher["val_accuracy"]),
        percent(teacher["test"]["accuracy"]),
        significant(teacher["gflops_millions"]),
        significant(applied.kwh(energy["charged_uj"]) if energy else None),
        significant(applied.co2_g(energy["charged_uj"]) if energy else None),
    ]
    return cells + [NOTHING] * (len(columns(results)) - len(cells))  # what is about strategies only


def cost_table(
    results: list[dict[str, Any]],
    teacher: dict[str, Any] | None,
    baseline: str = BASELINE,
    remarks: Sequence[str] = (),
) -> RenderableType:
    """The cost table with its teacher's line, and under it how the energy was obtained, and any further remarks."""
    if not results:
        return Text("Nothing was run.")
    models = {result["cost"]["models"] for result in results}
    title = f"{results[0]['study']}: cost of one model"
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


def notes(results: list[dict[str, Any]], teacher: dict[str, Any] | None, baseline: str = BASELINE) -> list[str]:
    """What a reader has to know to trust the figures."""
    first = results[0]["cost"]
    carbon = first["carbon"]
    shared = {result["cost"]["shared_uj"]["session"] for result in results}
    lines = list(dict.fromkeys(how_measured(result["cost"]) for result in results))
    if bounds := [_bound(result["cost"]) for result in results if result["cost"]["charged_kwh"]]:
        lines.append(how_far_off("kWh", bounds))
    if of := [result["strategy"] for result in results if result["cost"]["attribution"] == "shared"]:
        lines.append(f"Attribution of {', '.join(of)} is shared: power that no trial held (idle) is charged to no row.")
    for name in dict.fromkeys(name for result in results for name in result["cost"]["flags"]):
        told = [result["strategy"] for result in results if name in result["cost"]["flags"]]
        lines.append(f"To be told of {', '.join(told)}: {FLAGS[name]}.")
    if teacher and teacher["energy"]:
        lines += [f"To be told of the teacher: {FLAGS[name]}." for name in teacher["energy"].get("flags", {})]
    lines.append(how_emitted(carbon))
    if any(result["strategy"] == baseline for result in results):
        lines.append(
            f"Multiples of the energy of {baseline}: as run, everything that is charged; training only, trials and "
            "evaluation."
        )
    elif several := [result["strategy"] for result in results if result["strategy"].endswith(f"/{baseline}")]:
        lines.append(f"No multiples of energy: --baseline says of what, such as {several[0]}.")
    else:
        lines.append(f"No results of {baseline} here, so no multiples of its energy; compare has --baseline.")
    if has_green_index(results):
        lines.append(formula(results[0]["green_index"]["points_per_doubling"], baseline))
    lines += dict.fromkeys(how_computed(result["computed"]) for result in results)
    asked = {result["cost"]["shared_uj"]["teacher_logits"] for result in results} - {0, None}
    if len(asked) == 1:
        lines.append(
            "The teacher was asked once for all trainings of a repeat; every strategy that has a teacher is charged "
            f"that as if it had run alone, as training: {significant(Carbon(**carbon).kwh(asked.pop()))} kWh."
        )
    if compiled := {result["cost"]["shared_uj"]["compilation"] for result in results} - {0, None}:
        lines.append(
            "The networks were compiled once for all trainings; every strategy is charged what it used of that as if "
            f"it had run alone: {_from_to(compiled, Carbon(**carbon))}."
        )
    if None not in shared:
        lines.append(
            f"Every strategy is charged what all share (the session's start and end) as if it had run alone: "
            f"{_from_to(shared, Carbon(**carbon))} in {len(results[0]['repeats'])} repeat(s)."
        )
    if teacher:
        lines.append(_of_teacher(teacher, Carbon(**carbon)))
    lines += [_lost(result) for result in results if result["cost"]["models"] < len(result["repeats"])]
    for result in results:
        for failure in result["failures"]:
            lines.append(
                f"Failed, and charged: {result['strategy']}, tau {describe_point(failure['point'])}, "
                f"seed {failure['seed']}: {failure['error']}"
            )
    if expected := [_expected(result) for result in results if result.get("estimate")]:
        lines.append(f"Estimated beforehand, all repeats: {', '.join(expected)}.")
    if abandoned := abandoned_uj(results):
        kwh = significant(Carbon(**carbon).kwh(abandoned))
        lines.append(f"Spent on earlier runs that --fresh put aside, charged to no row: {kwh} kWh.")
    return lines


def _lost(result: dict[str, Any]) -> str:
    """Of a strategy with repeats that came to no model (yet), who answers for what these took."""
    models, repeats = result["cost"]["models"], len(result["repeats"])
    if models:
        return (
            f"{result['strategy']}: {models} of {repeats} repeats came to a model; what the others took is in its cost."
        )
    taken = significant(result["cost"]["charged_kwh"])
    trials = sum(repeat["trials"] for repeat in result["repeats"])
    return f"{result['strategy']}: no repeat came to a model, so none has a cost: {taken} kWh, {trials} trials so far."


def _of_teacher(teacher: dict[str, Any], carbon: Carbon) -> str:
    if not teacher.get("given"):
        return "The teacher was trained once and is in no strategy's figure."
    energy = teacher["energy"]
    took = f" Measuring its accuracy took {significant(carbon.kwh(energy['charged_uj']))} kWh." if energy else ""
    return (
        f"The teacher was given (weights {teacher['given']}), so what its training took is not known; it is in no "
        f"strategy's figure.{took}"
    )


def _bound(cost: dict[str, Any]) -> float:
    """Relative uncertainty of what is charged."""
    carbon = Carbon(**cost["carbon"])
    return carbon.kwh(cost["uncertainty_uj"]["charged"]) / float(cost["charged_kwh"])


def _expected(result: dict[str, Any]) -> str:
    """A strategy's estimate beside what became of it."""
    expected, actual = result["estimate"]["charged_kwh"], result["cost"]["charged_kwh"]
    return f"{result['strategy']} {significant(expected)} kWh (used {significant(actual)})"


def how_far_off(what: str, bounds: Sequence[float]) -> str:
    """In words, the relative uncertainties of some figures."""
    low, high = f"{min(bounds):.0%}", f"{max(bounds):.0%}"
    text = low if low == high else f"{low} to {high}"
    return f"{what} may be off by {text} (bounds from the literature for such sources, not a calibration)."


def how_emitted(carbon: dict[str, Any]) -> str:
    """In words, how energy became CO2."""
    return f"CO2: {significant(carbon['intensity_g_per_kwh'], 6)} g/kWh, {carbon['source']}; PUE {carbon['pue']:g}."


#: By ``numerics.compile``.
_COMPILED = {
    "on": ", compiled",
    "graph": ", each training step captured as a graph",
    "compiled_graph": ", compiled, each training step captured as a graph",
}


def how_computed(computed: dict[str, Any]) -> str:
    """In words, how passes through the networks were computed."""
    how = _COMPILED.get(computed["compile"], "")
    return f"Computed in {computed['precision']}, {computed['memory_layout'].replace('_', ' ')}{how}."


def how_measured(cost: dict[str, Any]) -> str:
    """In words, where the energy figures come from."""
    parts = []
    for hardware in cost["hardware"]:
        cores = f"{hardware['cores']} cores"
        if hardware["cpu_quality"] == "modelled":
            power = power_in_words(hardware["tdp_w"], known=hardware["tdp_known"])
            parts.append(f"CPU modelled ({hardware['cpu_model']}, {cores}: busy share x {power})")
        else:
            parts.append(f"CPU from its RAPL counter ({hardware['cpu_model']}, {cores})")
        parts.append(f"memory modelled ({hardware['ram_w']:g} W)")
        parts += [f"GPU {gpu['name']} ({gpu['quality']})" for gpu in hardware["gpus"]]
    tail = " A modelled figure is busy time in joules, not a measurement." if cost["quality"] == "modelled" else ""
    return f"Energy: {cost['quality'] or 'not measured'}. {'; '.join(parts)}.{tail}"
