"""Tables of a reported study, whose columns can be sorted in the page."""

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from kdtune.analysis.green_index import energy_multiple
from kdtune.analysis.study_commands import beside, command_for
from kdtune.report.html.drawing import Series
from kdtune.report.number_formats import NOTHING, describe_choice, describe_point, of_metric, ratio
from kdtune.report.reported_study import ReportedStrategy, ReportedStudy
from kdtune.report.row_names import network_name
from kdtune.report.units import energy_unit
from kdtune.results.strategy_result import StrategyResult
from kdtune.specs.study import Study
from kdtune.storage.wording import counted

#: Most trials in a page, which would be slow to open with more.
MOST_TRIALS = 800


@dataclass(frozen=True)
class PageCell:
    """A cell of a table.

    Attributes:
        text: What it shows.
        key: What its column is sorted by; None if the text itself.
        mark: How the strategy that it names looks in figures.
    """

    text: str
    key: float | None = None
    mark: Series | None = None


@dataclass(frozen=True)
class PageTable:
    """A table of the page.

    Attributes:
        caption: What it shows.
        columns: Heads of the columns.
        words: Numbers of the left-aligned columns, from 1; the others hold figures.
        rows: Its cells.
        note: A remark below it; empty if there is none.
    """

    caption: str
    columns: tuple[str, ...]
    words: tuple[int, ...]
    rows: Sequence[Sequence[PageCell]]
    note: str = ""


def cost_overview(study: ReportedStudy, series: dict[str, Series]) -> PageTable:
    """Return the columns of the cost table that matter most, with the teacher as the last row."""
    teacher = study.comparison.teacher
    carbon = study.strategies[0].result.cost.carbon
    base = next((one.result for one in study.strategies if one.name == study.baseline), None)
    costs = {one.name: one.result.cost for one in study.strategies}
    kwh = {name: cost.of_one_model(cost.charged_kwh) for name, cost in costs.items()}
    unit = energy_unit(kwh.values())
    rows = []
    for one in study.strategies:
        result = one.result
        mean, std = result.mean_and_std(study.metric, "test")
        multiple = energy_multiple(result, base, "charged_kwh")
        trials = result.cost.of_one_model(result.trials)
        state = "" if result.status == "completed" else f" ({result.status})"
        rows.append(
            [
                PageCell(one.name + state, mark=series[one.name]),
                PageCell(of_metric(study.metric, mean, std).replace("+-", "±"), mean),
                PageCell(unit.number(kwh[one.name]), kwh[one.name]),
                PageCell(ratio(multiple).replace(" x", " ×"), multiple),
                PageCell(NOTHING if trials is None else f"{round(trials, 2):g}", trials),
                PageCell(_choices(result)),
            ]
        )
    if teacher:
        known = teacher.test.get(study.metric.name)
        spent = carbon.kwh(teacher.training.charged_uj) if teacher.training else None
        texts = [
            of_metric(study.metric, known),
            unit.number(spent),
            NOTHING,
            NOTHING if teacher.given else "1",
            NOTHING,
        ]
        rows.append([PageCell(network_name("teacher", teacher.model)), *map(PageCell, texts)])
    names = ("strategy", f"test {study.metric.heading}", f"energy ({unit.name})")
    return PageTable(
        "Accuracy and cost of one model",
        (*names, f"times {study.baseline}", "trainings", "tau"),
        (1, 6),
        rows,
        "Mean and standard deviation over repeats. The energy of one model is everything that is charged to the "
        "strategy, divided by its models; the teacher's training is in no other row.",
    )


def _choices(result: StrategyResult) -> str:
    """Return what the repeats chose, the most frequent first, with the number of repeats that agree."""
    count = Counter(describe_choice(repeat.chosen) for repeat in result.repeats if repeat.chosen)
    if len(count) < 2:
        return next(iter(count), NOTHING)
    return ", ".join(f"{one} ({times}\u00a0×)" if times > 1 else one for one, times in count.most_common())


def trials_table(study: ReportedStudy, series: dict[str, Series], most: int = MOST_TRIALS) -> PageTable:
    """Return every trial, the chosen ones and failures marked.

    Args:
        study: The study.
        series: How its strategies look.
        most: Most trials to show.
    """
    carbon = study.strategies[0].result.cost.carbon
    every = [(one, trial) for one in study.strategies for trial in one.trials]
    shown = every[:most]
    kwh = [carbon.kwh(one.trial_uj[trial.id]) if trial.id in one.trial_uj else None for one, trial in shown]
    unit = energy_unit(kwh)
    rows = []
    for (one, trial), spent in zip(shown, kwh, strict=True):
        value, tau = study.value(trial), trial.point.get("tau")
        rows.append(
            [
                PageCell(one.name, mark=series[one.name]),
                PageCell(describe_point(trial.point), float(tau) if isinstance(tau, int | float) else None),
                PageCell(str(trial.seed), trial.seed),
                PageCell(str(trial.index + 1), trial.index),
                PageCell(of_metric(study.metric, value), value),
                PageCell(NOTHING if trial.val_loss is None else f"{trial.val_loss:.3f}", trial.val_loss),
                PageCell(unit.number(spent), spent),
                PageCell(str(trial.epochs), trial.epochs),
                PageCell(str(trial.attempts), trial.attempts),
                PageCell(_outcome(trial.status, trial.error, chosen=trial.id in one.chosen)),
            ]
        )
    left_out = len(every) - len(shown)
    columns = ("strategy", "tau", "seed", "number", f"val. {study.metric.heading}", "val. loss")
    return PageTable(
        f"All trials ({len(every)})" if not left_out else f"The first {len(shown)} of {counted(len(every), 'trial')}",
        (*columns, f"energy ({unit.name})", "epochs", "attempts", "outcome"),
        (1, 10),
        rows,
        f"Trials that are not shown: {left_out}. They are in the files trials.jsonl of the strategies."
        if left_out
        else "",
    )


def _outcome(status: str | None, error: str | None, *, chosen: bool) -> str:
    text = status or "not finished"
    return ("chosen" if chosen else text) + (f": {error}" if error else "")


def versions_table(study: ReportedStudy) -> PageTable:
    """Return the versions of packages and the devices with which the strategies ran, equal ones together."""
    found: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for one in study.strategies:
        versions = one.folder.resolved().get("versions")
        pairs = sorted(versions.items()) if isinstance(versions, dict) else []
        found.setdefault(tuple((str(key), str(value)) for key, value in pairs), []).append(one.name)
    rows = [
        [PageCell(", ".join(f"{key} {value}" for key, value in pairs) or "not recorded"), PageCell(", ".join(names))]
        for pairs, names in found.items()
    ]
    return PageTable("Versions", ("versions and device", "strategies"), (1, 2), rows)


def hardware_table(study: ReportedStudy) -> PageTable:
    """Return the machines that were metered."""
    nodes = {node: None for one in study.strategies for node in one.result.cost.hardware}
    rows = [
        [
            PageCell(node.node),
            PageCell(str(node)),
            PageCell(f"CPU {node.cpu_quality}, memory modelled ({node.ram_w:g} W)"),
            PageCell(", ".join(f"{gpu.name} ({gpu.quality})" for gpu in node.gpus) or "none"),
        ]
        for node in nodes
    ]
    return PageTable("Hardware", ("node", "hardware", "energy", "GPUs"), (1, 2, 3, 4), rows)


def commands(study: ReportedStudy) -> list[str]:
    """Return the commands that repeat the study in another folder and that read its results.

    Strategies whose studies differ, as after a change of the study's file, have commands of their own.
    """
    groups: list[tuple[Study, list[ReportedStrategy]]] = []
    for one in study.strategies:
        frozen = one.folder.read_study()
        alike = next((members for known, members in groups if known == frozen), None)
        if alike is None:
            groups.append((frozen, [one]))
        else:
            alike.append(one)
    out = beside(study.folder, "again")
    repeating = [command_for(members[0].folder, [one.name for one in members], out=out) for _, members in groups]
    folder = shlex.quote(str(study.folder.path))
    return [*repeating, f"kdtune compare {folder}", f"kdtune recommend {folder}", f"kdtune report {folder}"]
