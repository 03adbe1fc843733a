"""Assembly of the report, and writing it to a file."""

import re
from collections.abc import Callable, Iterator, Sequence
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
from kdtune.report.html.drawing import ReportFigure, Series, series_of
from kdtune.report.html.energy_figures import energy_by_part, energy_over_time
from kdtune.report.html.figure_files import FileFormat, write_figures
from kdtune.report.html.model_drawings import from_documents
from kdtune.report.html.paper_figures import paper_figures
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
from kdtune.storage.wording import counted

if TYPE_CHECKING:
    from jinja2 import Environment

#: Name of the file that a study writes into its folder.
REPORT = "report.html"

#: Notes that are shown without a click: how energy is known, and how well.
_MOST_NOTES = 2

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
        paper: The paper's further figures; empty unless they were asked for.
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
    paper: Sequence[ReportFigure]
    pictures: Sequence[PagePicture]
    omitted: Sequence[str]
    overview: PageTable
    costs: PageTable
    trials: PageTable
    hardware: PageTable
    versions: PageTable
    commands: Sequence[str]
    notes: Sequence[str]


def report_page(
    places: Places, carbon: WantedCarbon = None, *, paper: bool = False, data_dir: str | Path | None = None
) -> str:
    """Return the page for all studies below the given places.

    Args:
        places: The folder of a strategy, of a study, or of several studies; or a sequence of such folders.
        carbon: Settings for CO2; see :func:`kdtune.compare`.
        paper: Whether the page has the paper's further figures, for which networks run on the test images.
        data_dir: Folder of the data sets for these figures; by default the one that each study used.

    Raises:
        ResultsError: No folder has results, or they are damaged.
    """
    studies = read_studies(places, carbon)
    sections = [
        _section(one, number, MOST_TRIALS // len(studies), further_figures(one, studies, data_dir) if paper else [])
        for number, one in enumerate(studies, start=1)
    ]
    return (
        _environment()
        .get_template("page.html")
        .render(
            sections=sections,
            made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
            css=page_style(),
            script=_part("page.js"),
            counted=counted,
            most_notes=_MOST_NOTES,
        )
    )


def read_studies(places: Places, carbon: WantedCarbon = None) -> list[ReportedStudy]:
    """Read all studies below the given places; see :func:`report_page`."""
    by_study: dict[Path, list[StrategyFolder]] = {}
    for folder in find_results(places):
        by_study.setdefault(folder.path.parent, []).append(folder)
    return [read_study(StudyFolder(path), folders, carbon) for path, folders in by_study.items()]


def write_report(
    places: Places,
    file: Path,
    carbon: WantedCarbon = None,
    *,
    paper: bool = False,
    data_dir: str | Path | None = None,
) -> None:
    """Write the page to a file; see :func:`report_page`.

    Raises:
        ResultsError: As for :func:`report_page`; or the file cannot be written.
    """
    page = report_page(places, carbon, paper=paper, data_dir=data_dir).encode(errors="replace")
    try:
        with replaced_atomically(file, sync=False) as target:
            target.write(page)
    except OSError as error:
        raise ResultsError(f"{file}: cannot be written ({error.strerror}); name another file with -o") from None


def usual_figures(study: ReportedStudy) -> list[ReportFigure | str]:
    """Return the figures of every report, and sentences about those that cannot be drawn."""
    series = series_of([one.name for one in study.strategies])
    return [*(draw(study, series) for draw in _DRAWERS), *from_documents(study, series)]


def further_figures(
    study: ReportedStudy, studies: Sequence[ReportedStudy], data_dir: str | Path | None = None
) -> list[ReportFigure | str]:
    """Return the paper's further figures; see :func:`kdtune.report.html.paper_figures.paper_figures`."""
    return paper_figures(study, studies, series_of([one.name for one in study.strategies]), data_dir)


@dataclass(frozen=True)
class WrittenFigures:
    """The figures of a study that were written.

    Attributes:
        files: The files.
        missing: Sentences about figures that could not be drawn.
    """

    files: Sequence[Path]
    missing: Sequence[str]


def write_study_figures(
    places: Places,
    folder: Path,
    form: FileFormat,
    carbon: WantedCarbon = None,
    data_dir: str | Path | None = None,
) -> Iterator[WrittenFigures]:
    """Write the figures of all studies below the given places, the paper's among them.

    Args:
        places: As for :func:`report_page`, and so are ``carbon`` and ``data_dir``.
        folder: Where the files are written; in folders of their own if there are several studies.
        form: Format of the files.
        carbon: Settings for CO2.
        data_dir: Folder of the data sets.

    Raises:
        ResultsError: As for :func:`report_page`; or a file cannot be written.
    """
    studies = read_studies(places, carbon)
    for one in studies:
        every = [*usual_figures(one), *further_figures(one, studies, data_dir)]
        by_name = {figure.name: figure for figure in every if isinstance(figure, ReportFigure)}
        target = folder if len(studies) == 1 else folder / one.folder.path.name
        files = write_figures([*by_name.values()], pictures_of(one), target, form, page_style())
        yield WrittenFigures(files, [figure for figure in every if isinstance(figure, str)])


def _section(
    study: ReportedStudy, number: int, most_trials: int, further: Sequence[ReportFigure | str]
) -> StudySection:
    series = series_of([one.name for one in study.strategies])
    again = {one.name for one in further if isinstance(one, ReportFigure)}
    usual = [one for one in usual_figures(study) if isinstance(one, str) or one.name not in again]
    results, teacher = study.comparison.outcomes, study.comparison.teacher
    rows = cost_rows(results, study.baseline, teacher) + ([teacher_row(teacher, results)] if teacher else [])
    costs = [[PageCell(_with_signs(cell)) for cell in row] for row in rows]
    return StudySection(
        anchor=f"study-{number}",
        study=study,
        verdict=verdict_text(study.recommendation),
        text=recommendation_text(study.recommendation),
        missing=missing_lines(study.recommendation),
        figures=[one.with_prefix(f"s{number}-") for one in usual if isinstance(one, ReportFigure)],
        paper=[one.with_prefix(f"s{number}-") for one in further if isinstance(one, ReportFigure)],
        pictures=pictures_of(study),
        omitted=[one for one in (*usual, *further) if isinstance(one, str)],
        overview=cost_overview(study, series),
        costs=PageTable("All columns of the cost table", columns(results, teacher), (1, 6), costs),
        trials=trials_table(study, series, most_trials),
        hardware=hardware_table(study),
        versions=versions_table(study),
        commands=commands(study),
        notes=[_with_signs(note) for note in notes(results, teacher, study.baseline)],
    )


def _with_signs(text: str) -> str:
    """Return a text of the terminal with the signs that a page has for them."""
    return re.sub(r"(?<=\d) x(?= |$)", " ×", text.replace("+-", "±"))


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


def page_style() -> str:
    """Return the style sheet of the page."""
    return _part("page.css")


def _part(name: str) -> str:
    return (resources.files("kdtune.report.html") / name).read_text(encoding="utf-8")
