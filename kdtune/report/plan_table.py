"""The plan of a study as a table, with estimates and their basis."""

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kdtune.forecast.strategy_estimate import LogitsEstimate, SynthesisEstimate, TeacherEstimate
from kdtune.planning.study_plan import StudyPlan
from kdtune.report.cost_rows import CostUnits, flops_of
from kdtune.report.number_formats import NOTHING, describe_point, duration, significant
from kdtune.report.row_names import network_name
from kdtune.report.split_table import PLAIN_HEAD
from kdtune.report.units import co2_unit, energy_unit, flops, flops_unit
from kdtune.results.estimate_document import StrategyEstimate
from kdtune.specs.suggestion import Suggestion
from kdtune.storage.wording import counted

#: ``{}`` are units.
COLUMNS = ("strategy", "points", "trials", "{flops}", "time", "energy ({energy})", "CO2 ({co2})")

#: Number of consecutive integers from which they are written as a range.
_RANGE = 4


def plan_table(plan: StudyPlan) -> RenderableType:
    """Return the plan's table with teacher and total, followed by the points and the basis of the estimates."""
    repeats = plan.study.repeats
    table = Table(
        title=f"{plan.study.name}: the plan, {counted(repeats, 'repeat')} of "
        f"{counted(plan.study.training.epochs, 'epoch')}, {plan.slots} at a time",
        title_justify="left",
        box=PLAIN_HEAD,
        pad_edge=False,
    )
    units = _units(plan)
    names = {"energy": units.energy.name, "co2": units.co2.name, "flops": units.flops.name}
    for name in (column.format(**names) for column in COLUMNS):
        table.add_column(name, justify="left" if name == "strategy" else "right", no_wrap=True)
    for one in plan.estimates:
        table.add_row(*_strategy_row(plan, one, units))
    table.add_section()
    if plan.teacher:
        table.add_row(*_teacher_row(plan, plan.teacher, units))
    if plan.images:
        table.add_row(*_images_row(plan, plan.images, units))
    if plan.logits and plan.logits.due_uj != 0:
        table.add_row(*_logits_row(plan, plan.logits, units))
    table.add_row(*_total_row(plan, units))
    return Group(table, *(Text(line, style="dim") for line in _notes(plan)))


def _units(plan: StudyPlan) -> CostUnits:
    """Return the units that suit the largest value of each column."""
    known = [uj for uj in (plan.total_uj, *(one.charged_uj for one in plan.estimates)) if uj is not None]
    kwh, grams = ([of(uj) for uj in known] for of in (plan.carbon.kwh, plan.carbon.co2_g))
    return CostUnits(energy_unit(kwh), co2_unit(grams), flops_unit([_total_flops(plan)]))


def _total_flops(plan: StudyPlan) -> float | None:
    return flops_of(plan.as_json()["plan"]["total"]["gflops_millions"])


def _strategy_row(plan: StudyPlan, one: StrategyEstimate, units: CostUnits) -> list[str]:
    points = plan.suggestions[one.strategy]
    count = "adaptive" if points is None else f"{len({str(point) for repeat in points for point in repeat})}"
    trials = f"{'up to ' if points is None else ''}{one.trials}"
    figures = _figures(plan, units, one.wall_s, one.charged_uj, complete=one.complete)
    return [one.strategy, count, trials, units.flops.number(flops_of(one.gflops_millions)), *figures]


def _teacher_row(plan: StudyPlan, teacher: TeacherEstimate, units: CostUnits) -> list[str]:
    own = ", one for each repeat" if plan.study.vary else ""
    name = network_name("teacher", teacher.model) + own
    if teacher.cached:
        where = "given and already evaluated" if teacher.given else "already in the cache"
        return [f"{name}, {where}", NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING]
    figures = _figures(plan, units, teacher.wall_s, teacher.charged_uj, complete=False)
    if teacher.given:
        return [f"{name}, given: to be evaluated", NOTHING, NOTHING, NOTHING, *figures]
    flops = units.flops.number(flops_of(teacher.gflops_millions))
    return [name, NOTHING, str(teacher.missing), flops, *figures]


def _logits_row(plan: StudyPlan, logits: LogitsEstimate, units: CostUnits) -> list[str]:
    figures = _figures(plan, units, logits.wall_s, logits.due_uj, complete=False)
    return [f"its logits, computed once ({logits.bytes / 1e9:.2g} GB)", NOTHING, NOTHING, NOTHING, *figures]


def _images_row(plan: StudyPlan, images: SynthesisEstimate, units: CostUnits) -> list[str]:
    name = f"{images.images} images from the teacher"
    if images.due_uj == 0:
        return [f"{name}, already in the cache", NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING]
    figures = _figures(plan, units, images.wall_s, images.due_uj, complete=False)
    return [f"{name}, made once", NOTHING, NOTHING, NOTHING, *figures]


def _total_row(plan: StudyPlan, units: CostUnits) -> list[str]:
    total = plan.as_json()["plan"]["total"]
    figures = _figures(plan, units, plan.total_wall_s, plan.total_uj, complete=plan.complete)
    return ["the whole command", "", str(total["trials"]), units.flops.number(_total_flops(plan)), *figures]


def _figures(
    plan: StudyPlan, units: CostUnits, wall_s: float | None, energy_uj: int | None, *, complete: bool
) -> list[str]:
    """Return time, energy and CO2, marked as lower bounds if a part is known to be missing."""
    figures = [
        NOTHING if wall_s is None else duration(wall_s),
        units.energy.number(None if energy_uj is None else plan.carbon.kwh(energy_uj)),
        units.co2.number(None if energy_uj is None else plan.carbon.co2_g(energy_uj)),
    ]
    return [figure if complete or figure == NOTHING else f"> {figure}" for figure in figures]


def _notes(plan: StudyPlan) -> list[str]:
    lines = [f"{name}: {line}" for name, points in plan.suggestions.items() for line in _points(plan, points)]
    sentences: dict[str, list[str]] = {}
    for one in plan.estimates:
        for sentence in one.basis:
            sentences.setdefault(sentence, []).append(one.strategy)
    for sentence, names in sentences.items():
        lines.append(sentence if len(names) == len(plan.estimates) else f"{', '.join(names)}: {sentence}")
    if plan.teacher and not plan.teacher.cached:
        lines.append("Teacher: from timed steps, without the start of a worker.")
    if plan.images:
        lines.append(
            "The images are made from the teacher once for all trainings and charged to each strategy as if it ran "
            f"alone. Making them takes {flops(plan.images.synthesis_flops)}, which no column contains."
        )
    if not plan.complete:
        lines.append("Figures marked > do not include all of the start-up, so the actual values will be higher.")
    if plan.study.repeats > 1:
        lines.append(f"Trials and figures are totals of all {plan.study.repeats} repeats.")
    lines.append(
        "The energy of each strategy includes all shared energy, as if it ran alone; the total includes it once. "
        f"CO2: {significant(plan.carbon.intensity_g_per_kwh, 6)} g/kWh, {plan.carbon.source}; PUE {plan.carbon.pue:g}."
    )
    return [*lines, *plan.remarks]


def _points(plan: StudyPlan, repeats: list[list[Suggestion]] | None) -> list[str]:
    if repeats is None:
        return ["adaptive, each round depends on the results of the rounds before"]
    texts = [_listed(suggestions) for suggestions in repeats]
    if len(set(texts)) == 1:
        return [] if texts[0] == NOTHING else [f"tau {texts[0]}"]
    return [f"seed {seed}: tau {text}" for seed, text in zip(plan.study.seeds(), texts, strict=True)]


def _listed(suggestions: list[Suggestion]) -> str:
    """Format suggestions briefly: ``2..20`` for consecutive integers, and restarts of one suggestion as a count."""
    first, *others = suggestions
    restarts = [first.model_copy(update={"restart": restart}) for restart in range(1, len(suggestions))]
    if others and others == restarts:
        return f"{describe_point(first.as_point())} and {counted(len(others), 'restart')} of it"
    points = [one.as_point() for one in suggestions]
    taus: list[Any] = [point["tau"] for point in points if point.keys() == {"tau"}]
    if len(taus) == len(points) >= _RANGE and taus == list(range(taus[0], taus[0] + len(taus))):
        return f"{taus[0]}..{taus[-1]}"
    return ", ".join(map(describe_point, points))
