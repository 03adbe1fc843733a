"""Drawing of what tasks show of models: bars, confusion matrices and pictures."""

from collections.abc import Iterable, Mapping, Sequence
from functools import singledispatch

from kdtune.catalog.foreign_calls import foreign_call
from kdtune.errors import KdtuneError
from kdtune.report.html.drawing import (
    ReportFigure,
    Series,
    canvas,
    finished,
    margin_for,
    names_on_y,
    panels,
    shortened,
)
from kdtune.report.html.svg import INK
from kdtune.report.number_formats import NOTHING, significant
from kdtune.report.reported_study import ReportedStudy
from kdtune.report.row_names import network_name
from kdtune.tasks.model_figures import Bars, Matrices, ModelFigure, PictureRows, figures_of_documents

#: Number of a series that no strategy of a small study has: that of the teacher.
_TEACHERS_NUMBER = 7

#: Most models in a figure that is drawn without a choice of models.
_MOST_MODELS = 4

#: Most classes whose names are written at a matrix, and most mistakes of a model in its table.
_MOST_NAMES, _MOST_MISTAKES = 12, 10

#: Level of red, green and blue of a cell of a matrix without images, between 0 and 1.
_PALE = 0.95


def from_documents(study: ReportedStudy, series: Mapping[str, Series]) -> list[ReportFigure]:
    """Draw what the study's task makes of the CSV files about the models of the first repeat."""
    chosen = [one.name for one in study.strategies]
    if len(chosen) > _MOST_MODELS:
        chosen = models_to_show(study)
    seed = study.study.seed
    documents = {
        one.name: {
            path.stem: path.read_text(encoding="utf-8")
            for path in sorted(one.folder.path.glob("*.csv"))
            if path == one.folder.document(path.stem, seed, seed)
        }
        for one in study.strategies
        if one.name in chosen
    }
    return [drawn(one, series) for one in figures_of_documents(study.study.task.name, documents)]


def models_to_show(study: ReportedStudy) -> list[str]:
    """Return the strategies that a figure of a few models shows: a distillation with a chosen tau, and the baseline.

    This is the paper's choice: a searched temperature beside the random one.
    """
    found = study.recommendation
    best = [one.strategy for one in (found.search, found.single) if one]
    others = [one.name for one in study.strategies if found.alone is None or one.name != found.alone.strategy]
    tuned = [name for name in (*best, *others) if name != study.baseline][:1]
    return [*tuned, *(one.name for one in study.strategies if one.name == study.baseline)]


def teachers_name(study: ReportedStudy) -> str:
    """Return the name of the teacher in these figures."""
    return network_name("teacher", str(study.study.teacher.name))


def drawn(figure: ModelFigure, series: Mapping[str, Series]) -> ReportFigure:
    """Draw a task's figure.

    Args:
        figure: The figure.
        series: How the study's strategies look; other models look like the teacher.
    """
    return _drawn(figure, series)


def drawn_or_named(figure: ModelFigure, task: str, series: Mapping[str, Series]) -> ReportFigure | str:
    """Draw a figure, or return a sentence if it holds what cannot be drawn, such as fewer values than categories.

    Args:
        figure: The figure.
        task: Name of the task that made it.
        series: How the study's strategies look.
    """
    try:
        with foreign_call(f"task {task}", f"the drawing of {type(figure).__name__} {figure.name!r}"):
            return drawn(figure, series)
    except KdtuneError as error:
        return f"{figure.title} is not shown: {error}"


@singledispatch
def _drawn(figure: ModelFigure, series: Mapping[str, Series]) -> ReportFigure:
    raise TypeError(f"no drawing of {type(figure).__name__}")


def _styles(models: Iterable[str], series: Mapping[str, Series]) -> dict[str, Series]:
    return {name: series.get(name, Series(name, _TEACHERS_NUMBER)) for name in models}


@_drawn.register
def _bars(figure: Bars, series: Mapping[str, Series]) -> ReportFigure:
    """Draw a group of horizontal bars for each category."""
    styles = _styles(figure.values, series)
    thickness = 0.76 / max(1, len(styles))
    height = 0.8 + len(figure.categories) * (0.12 + 0.09 * len(styles))
    with canvas(height, margin_for(figure.categories or [""]), 0.55 / height) as (drawing, axes):
        for place, (name, values) in enumerate(figure.values.items()):
            rows = [row for row, value in enumerate(values) if value is not None]
            axes.barh(
                [row + (place - (len(styles) - 1) / 2) * thickness for row in rows],
                [value for value in values if value is not None],
                height=thickness,
                color=styles[name].colour,
                linewidth=0,
            )
        axes.axvline(0, color=INK, linewidth=0.8)
        names_on_y(axes, figure.categories)
        axes.set_xlabel(figure.axis)
        return finished(
            drawing,
            figure.name,
            figure.title,
            figure.description,
            ("class", *(f"{name}: {figure.axis}" for name in figure.values)),
            [
                [category, *(significant(values[row]) for values in figure.values.values())]
                for row, category in enumerate(figure.categories)
            ],
            list(styles.values()),
        )


@_drawn.register
def _matrices(figure: Matrices, series: Mapping[str, Series]) -> ReportFigure:
    """Draw a confusion matrix for each model, side by side."""
    styles, count = _styles(figure.counts, series), len(figure.counts)
    named = len(figure.classes) <= _MOST_NAMES
    left = 0.02 + 0.0125 * max(len(shortened(name)) for name in figure.classes) if named else 0.05
    side_in = 6.2 * (0.98 - left - 0.03 * (count - 1)) / count
    below = 0.25 + (0.085 * max(len(shortened(name)) for name in figure.classes) if named else 0.1)
    height = side_in + below + 0.3
    with panels(1, count, height, (left, below / height, 0.98, 1 - 0.3 / height), gap=0.03) as (drawing, (row,)):
        for axes, (name, counts) in zip(row, figure.counts.items(), strict=True):
            shares = [[cell / max(1, sum(line)) for cell in line] for line in counts]
            axes.imshow(_tinted(shares, styles[name]), interpolation="none", aspect="equal")
            axes.set_title(shortened(name), fontsize=10)
            axes.grid(visible=False)
            ticks = range(len(figure.classes)) if named else []
            names = [shortened(figure.classes[place]) for place in ticks]
            axes.set_xticks(ticks, names, rotation=90, fontsize=8)
            axes.set_yticks(ticks, names if axes is row[0] else [""] * len(names), fontsize=8)
            axes.tick_params(length=0)
        return finished(
            drawing,
            figure.name,
            figure.title,
            figure.description,
            ("model", "true class", "predicted", "images", "of the class's (%)"),
            [line for name, counts in figure.counts.items() for line in _mistakes(name, counts, figure.classes)],
        )


def _tinted(shares: Sequence[Sequence[float]], style: Series) -> list[list[tuple[float, ...]]]:
    """Return colours from nearly white to that of a model, which are the same on light and dark pages."""
    colour = [int(style.colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return [[tuple(_PALE + share * (one - _PALE) for one in colour) for share in line] for line in shares]


def _mistakes(name: str, counts: Sequence[Sequence[int]], classes: Sequence[str]) -> list[list[str]]:
    """Return the most frequent mistakes of a model as rows."""
    found = [
        (count, true, given)
        for true, line in enumerate(counts)
        for given, count in enumerate(line)
        if count and given != true
    ]
    return [
        [name, classes[true], classes[given], str(count), significant(100 * count / sum(counts[true]))]
        for count, true, given in sorted(found, key=lambda one: (-one[0], one[1:]))[:_MOST_MISTAKES]
    ] or [[name, "no mistakes", NOTHING, NOTHING, NOTHING]]


@_drawn.register
def _pictures(figure: PictureRows, series: Mapping[str, Series]) -> ReportFigure:
    """Draw a row of pictures for each model, its name beside it."""
    rows, columns = len(figure.images), len(figure.columns)
    left, gap = 0.2, 0.015
    tall = max(one.shape[0] / one.shape[1] for images in figure.images.values() for one in images)
    side = (0.99 - left - gap * (columns - 1)) / columns * 6.2
    height = 0.28 + rows * side * tall + (rows - 1) * gap * 6.2
    with panels(rows, columns, height, (left, 0.01, 0.99, 1 - 0.25 / height), gap) as (drawing, grid):
        for line, (name, images) in zip(grid, figure.images.items(), strict=True):
            for axes, image in zip(line, images, strict=True):
                axes.imshow(image, interpolation="none")
                axes.set_axis_off()
            line[0].annotate(shortened(name).replace(" (", "\n("), (0, 0.5), (-6, 0), xycoords="axes fraction",
                             textcoords="offset points", ha="right", va="center", fontsize=9)  # fmt: skip
        for axes, title in zip(grid[0], figure.columns, strict=True):
            axes.set_title(shortened(title), fontsize=9)
        return finished(
            drawing,
            figure.name,
            figure.title,
            figure.description,
            ("row", *figure.columns),
            [[name, *captions] for name, captions in figure.captions.items()],
        )
