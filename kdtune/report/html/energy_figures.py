"""Figures of energy: by bucket, and over time."""

from collections.abc import Mapping

from kdtune.energy.attribution import charged_buckets
from kdtune.report.html.drawing import (
    ReportFigure,
    Series,
    canvas,
    finished,
    margin_for,
    names_on_y,
    thinned,
)
from kdtune.report.reported_study import ReportedStrategy, ReportedStudy
from kdtune.report.row_names import network_name
from kdtune.report.units import energy_unit
from kdtune.results.shared_document import CHARGED_KINDS
from kdtune.results.strategy_result import StrategyResult

_NAMES = {
    "trials": "trials",
    "synthesis": "synthetic images",
    "teacher_logits": "teacher's logits",
    "evaluation": "evaluation",
    "compilation": "compilation",
    "orchestration": "orchestration",
    "students": "search for the float student",
    "session": "start and end of the session",
    "idle": "idle",
}

#: Parts of a charge, in the order of the stack: key, and name for readers.
PARTS = _NAMES | {
    part: part.replace("_", " ") for part in (*charged_buckets(dedicated=True), *CHARGED_KINDS) if part not in _NAMES
}

_TEACHER = "training of the teacher"


def charge_by_part(result: StrategyResult) -> dict[str, int]:
    """Return the parts of a strategy's charge in microjoules; they sum to the charge. Empty if it was not measured."""
    cost = result.cost
    if cost.charged_kwh is None:
        return {}
    own = {bucket: cost.energy_uj[bucket] or 0 for bucket in charged_buckets(dedicated=cost.attribution == "dedicated")}
    shared = {kind: getattr(cost.shared_uj, kind) or 0 for kind in CHARGED_KINDS}
    return {part: uj for part in PARTS if (uj := {**own, **shared}.get(part))}


def energy_by_part(study: ReportedStudy, series: Mapping[str, Series]) -> ReportFigure | str:
    """Draw what the energy of one model consists of, as stacked bars, with the teacher apart."""
    bars = [(one.name, _of_one_model(one)) for one in study.strategies]
    bars = [(name, parts) for name, parts in bars if parts]
    if not bars:
        return "Energy by part is not shown, since it was not measured for any strategy with a model."
    teacher, carbon = study.comparison.teacher, study.strategies[0].result.cost.carbon
    if teacher and teacher.training:
        bars.append((network_name("teacher", teacher.model), {_TEACHER: carbon.kwh(teacher.training.charged_uj)}))
    used = [part for part in (*PARTS, _TEACHER) if any(part in parts for _, parts in bars)]
    styles = {part: Series(PARTS.get(part, part), number) for number, part in enumerate(used)}
    unit = energy_unit([sum(parts.values()) for _, parts in bars])
    names, height = [name for name, _ in bars], 1.0 + 0.34 * len(bars)
    with canvas(height_in=height, left=margin_for(names), bottom=0.6 / height) as (figure, axes):
        for row, (_, parts) in enumerate(bars):
            end = 0.0
            for part in filter(parts.__contains__, used):
                width = unit.of(parts[part])
                axes.barh(row, width, left=end, height=0.62, color=styles[part].colour, linewidth=0)
                end += width
            axes.annotate(unit.number(sum(parts.values())), (end, row), (4, 0), textcoords="offset points", va="center")
        axes.set_xlim(0, 1.14 * max(unit.of(sum(parts.values())) for _, parts in bars))
        names_on_y(axes, names)
        axes.set_xlabel(f"energy of one model ({unit.name})")
        return finished(
            figure,
            "energy-parts",
            "What the energy of one model consists of",
            "Each bar is the whole charge of one model, the mean over the models of a strategy. 'Orchestration' is "
            "the start of workers, warm-up, the driver and the searcher; 'idle' is the power of what the study could "
            "have used and did not. The teacher's training is a bar of its own and in no other bar.",
            ("strategy", *(f"{styles[part].name} ({unit.name})" for part in used), f"sum ({unit.name})"),
            [
                [name, *(unit.number(parts.get(part)) for part in used), unit.number(sum(parts.values()))]
                for name, parts in bars
            ],
            [styles[part] for part in used],
        )


def _of_one_model(one: ReportedStrategy) -> dict[str, float]:
    """Return the parts of the charge of one model in kilowatt-hours, PUE included; empty without a model."""
    cost = one.result.cost
    if not cost.models:
        return {}
    return {part: cost.carbon.kwh(uj) / cost.models for part, uj in charge_by_part(one.result).items()}


def energy_over_time(study: ReportedStudy, series: Mapping[str, Series]) -> ReportFigure | str:
    """Draw how the energy of each strategy grew over its metered time."""
    shown = [one for one in study.strategies if len(one.over_time) > 1]
    if not shown:
        return "Energy over time is not shown, since nothing was metered."
    unit = energy_unit([one.result.cost.carbon.kwh(one.over_time[-1][1]) for one in shown])
    longest_s = max(one.over_time[-1][0] for one in shown)
    time_name, time_s = next((name, size) for name, size in _TIMES if longest_s >= 2 * size or size == 1)
    with canvas(left=0.14) as (figure, axes):
        for one in shown:
            curve, style = thinned(one.over_time, 200), series[one.name]
            axes.plot(
                [second / time_s for second, _ in curve],
                [unit.of(one.result.cost.carbon.kwh(uj)) for _, uj in curve],
                color=style.colour,
                linestyle=style.dashes,
                linewidth=1.6,
            )
            end_s, end_uj = curve[-1]
            axes.plot(
                end_s / time_s,
                unit.of(one.result.cost.carbon.kwh(end_uj)),
                marker=style.mark,
                color=style.colour,
                markersize=6,
            )
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(f"metered time ({time_name})")
        axes.set_ylabel(f"energy of all repeats ({unit.name})")
        rows = [
            [
                one.name,
                *(unit.number(one.result.cost.carbon.kwh(_at(one, share))) for share in (0.25, 0.5, 0.75, 1.0)),
                f"{one.over_time[-1][0] / time_s:.3g}",
            ]
            for one in shown
        ]
        return finished(
            figure,
            "energy-time",
            "Energy over time",
            "How the energy that each strategy's own ledgers charge grew over the metered time, for all repeats "
            "together. Energy that strategies share, such as the start of the session, is not included. A line that "
            "becomes steeper shows that more was computed at the same time.",
            ("strategy", *(f"at {share} of its time ({unit.name})" for share in ("1/4", "1/2", "3/4", "the end")))
            + (f"time ({time_name})",),
            rows,
            [series[one.name] for one in shown],
        )


_TIMES = (("hours", 3600), ("minutes", 60), ("seconds", 1))


def _at(one: ReportedStrategy, share: float) -> int:
    """Return the energy in microjoules after a share of a strategy's metered time."""
    end_s = one.over_time[-1][0]
    return next(uj for second, uj in reversed(one.over_time) if second <= share * end_s)
