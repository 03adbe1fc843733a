"""Assembly of the report, and writing it to a file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from kdtune.analysis.comparison import WantedCarbon
from kdtune.analysis.find_results import Places, find_results
from kdtune.errors import ResultsError
from kdtune.report.cost_rows import columns, cost_rows, teacher_row
from kdtune.report.html.accuracy_figures import accuracy_over_energy, paired_differences
from kdtune.report.html.drawing import ReportFigure, Series
from kdtune.report.html.energy_figures import energy_by_part, energy_over_time
from kdtune.report.html.pictures import PagePicture, pictures_of
from kdtune.report.html.study_tables import (
    MOST_TRIALS,
    PageCell,
    PageTable,
    commands,
    cost_overview,
    hardware_table,
    trials_table,
    versions_table,
)
from kdtune.report.html.training_figures import accuracy_over_tau, learning_curves, path_of_tau, search_history
from kdtune.report.recommendation_text import missing_lines, recommendation_text, verdict_text
from kdtune.report.reported_study import ReportedStudy, read_study
from kdtune.report.tables import notes
from kdtune.results.folder import StrategyFolder, StudyFolder
from kdtune.storage.escaping import printable
from kdtune.storage.files import replaced_atomically

if TYPE_CHECKING:
    from jinja2 import Environment

#: Name of the file that a study writes into its folder.
REPORT = "report.html"

Drawer = Callable[[ReportedStudy, dict[str, Series]], ReportFigure | str]

_DRAWERS: tuple[Drawer, ...] = (
    accuracy_over_energy,
    paired_differences,
    accuracy_over_tau,
    energy_by_part,
    energy_over_time,
    learning_curves,
    path_of_tau,
    search_history,
)


@dataclass(frozen=True)
class StudySection:
    """The part of the page about one study.

    Attributes:
        anchor: Its id in the page.
        study: The study.
        verdict: The verdict in at most two sentences.
        text: The whole recommendation.
        missing: What an answer lacks.
        figures: Its figures; the first one stands beside the verdict if it shows accuracy and energy.
        pictures: Pictures of its models' predictions.
        omitted: Sentences on figures that could not be drawn.
        overview: The columns of the cost table that matter most.
        costs: The whole cost table.
        trials: All trials.
        hardware: The metered machines.
        versions: Versions of packages.
        commands: Commands that repeat the study and read its results.
        notes: Notes on the figures of the cost table.
    """

    anchor: str
    study: ReportedStudy
    verdict: str
    text: str
    missing: Sequence[str]
    figures: Sequence[ReportFigure]
    pictures: Sequence[PagePicture]
    omitted: Sequence[str]
    overview: PageTable
    costs: PageTable
    trials: PageTable
    hardware: PageTable
    versions: PageTable
    commands: Sequence[str]
    notes: Sequence[str]


def report_page(places: Places, carbon: WantedCarbon = None) -> str:
    """Return the page for all studies below the given places.

    Args:
        places: The folder of a strategy, of a study, or of several studies; or a sequence of such folders.
        carbon: Settings for CO2; see :func:`kdtune.compare`.

    Raises:
        ResultsError: No folder has results, or they are damaged.
    """
    by_study: dict[Path, list[StrategyFolder]] = {}
    for folder in find_results(places):
        by_study.setdefault(folder.path.parent, []).append(folder)
    sections = [
        _section(read_study(StudyFolder(path), folders, carbon), number, MOST_TRIALS // len(by_study))
        for number, (path, folders) in enumerate(by_study.items(), start=1)
    ]
    return (
        _environment()
        .get_template("page.html")
        .render(
            sections=sections,
            made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
            css=_part("page.css"),
            script=_part("page.js"),
        )
    )


def write_report(places: Places, file: Path, carbon: WantedCarbon = None) -> None:
    """Write the page to a file.

    Raises:
        ResultsError: As for :func:`report_page`; or the file cannot be written.
    """
    page = report_page(places, carbon).encode(errors="replace")
    try:
        with replaced_atomically(file, sync=False) as target:
            target.write(page)
    except OSError as error:
        raise ResultsError(f"{file}: cannot be written ({error.strerror}); name another file with -o") from None


def _section(study: ReportedStudy, number: int, most_trials: int) -> StudySection:
    series = {one.name: Series(one.name, place) for place, one in enumerate(study.strategies)}
    drawn = [draw(study, series) for draw in _DRAWERS]
    results, teacher = study.comparison.outcomes, study.comparison.teacher
    rows = cost_rows(results, study.baseline, teacher) + ([teacher_row(teacher, results)] if teacher else [])
    costs = [list(map(PageCell, row)) for row in rows]
    return StudySection(
        anchor=f"study-{number}",
        study=study,
        verdict=verdict_text(study.recommendation),
        text=recommendation_text(study.recommendation),
        missing=missing_lines(study.recommendation),
        figures=[one.with_prefix(f"s{number}-") for one in drawn if isinstance(one, ReportFigure)],
        pictures=pictures_of(study),
        omitted=[one for one in drawn if isinstance(one, str)],
        overview=cost_overview(study, series),
        costs=PageTable("All columns of the cost table", columns(results, teacher), (1, 6), costs),
        trials=trials_table(study, series, most_trials),
        hardware=hardware_table(study),
        versions=versions_table(study),
        commands=commands(study),
        notes=notes(results, teacher, study.baseline),
    )


def _environment() -> "Environment":
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    return Environment(
        loader=FunctionLoader(_part),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )


def _part(name: str) -> str:
    return (resources.files("kdtune.report.html") / name).read_text(encoding="utf-8")
