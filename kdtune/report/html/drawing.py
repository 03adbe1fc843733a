"""Drawing of figures as SVG that follows the colours of the page and is accessible."""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from kdtune.report.html.svg import COLOURS, DPI, INK, RULE, WIDTH_IN, as_svg
from kdtune.report.number_formats import significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Row = TypeVar("_Row")

#: Marks of series, so that they differ without colour.
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")

#: Numbers of a logarithmic axis inside a decade, for values up to some multiple of each other.
_LOG_TICKS = (
    (5.0, (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)),
    (500.0, (1.0, 2.0, 5.0)),
    (math.inf, (1.0,)),
)

_SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "kdtune",
    "font.size": 10.0,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,
    "text.usetex": False,
}


@dataclass(frozen=True)
class Series:
    """How a strategy looks in all figures of its study.

    Attributes:
        name: The strategy.
        number: Its number, from 0.
    """

    name: str
    number: int

    @property
    def colour(self) -> str:
        """Its colour."""
        return COLOURS[self.number % len(COLOURS)]

    @property
    def mark(self) -> str:
        """Its mark."""
        return MARKS[self.mark_number]

    @property
    def mark_number(self) -> int:
        """Place of its mark in :data:`MARKS`."""
        return (self.number + self.number // len(COLOURS)) % len(MARKS)

    @property
    def dashes(self) -> str:
        """Its kind of line: another one where colours repeat."""
        return ("-", "--", ":", "-.")[self.number // len(COLOURS) % 4]


def series_of(names: Sequence[str]) -> dict[str, Series]:
    """Return how strategies look, by name."""
    return {name: Series(name, place) for place, name in enumerate(names)}


@dataclass(frozen=True)
class ReportFigure:
    """A figure of the page.

    Attributes:
        name: Its id in the page.
        title: Its title.
        description: What it shows and how to read it, in complete sentences.
        columns: Heads of the table of its data.
        rows: Cells of that table.
        svg: The drawing.
        legend: The series that it shows.
        drawing: The figure of matplotlib, for files in other formats.
    """

    name: str
    title: str
    description: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    svg: str
    legend: Sequence[Series] = field(default=())
    drawing: "Figure | None" = field(default=None, repr=False, compare=False)

    def with_prefix(self, prefix: str) -> "ReportFigure":
        """Return the figure with a prefix before its name and all ids of the drawing, for pages of several studies."""
        name = f"{prefix}{self.name}"
        svg = re.sub(rf'(["#(\s]){re.escape(self.name)}-', rf"\g<1>{name}-", self.svg)
        return replace(self, name=name, svg=svg)


@contextmanager
def canvas(height_in: float = 3.5, left: float = 0.115, bottom: float = 0.15) -> Iterator[tuple["Figure", "Axes"]]:
    """Yield a matplotlib figure and its axes, without a window and without changing matplotlib's settings.

    Args:
        height_in: Height in inches.
        left: Share of the width to the left of the axes.
        bottom: Share of the height below the axes.
    """
    with panels(1, 1, height_in, (left, bottom, 0.97, 0.96)) as (figure, ((axes,),)):
        yield figure, axes


@contextmanager
def panels(
    rows: int, columns: int, height_in: float, around: tuple[float, float, float, float], gap: float = 0.0
) -> Iterator[tuple["Figure", list[list["Axes"]]]]:
    """Yield a matplotlib figure and rows of axes of one size, as :func:`canvas` does.

    Args:
        rows: Number of rows.
        columns: Number of columns.
        height_in: Height in inches.
        around: Left, bottom, right and top end of all axes together, as shares of the figure.
        gap: Share of the width between two columns; rows have the same gap in inches.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    left, bottom, right, top = around
    gap_y = gap * WIDTH_IN / height_in
    width, height = (right - left + gap) / columns, (top - bottom + gap_y) / rows
    with drawing_settings():
        figure = Figure(figsize=(WIDTH_IN, height_in), dpi=DPI)
        FigureCanvasSVG(figure)
        yield (
            figure,
            [
                [
                    figure.add_axes(
                        (left + column * width, top + gap_y - (row + 1) * height, width - gap, height - gap_y)
                    )
                    for column in range(columns)
                ]
                for row in range(rows)
            ],
        )


def drawing_settings() -> AbstractContextManager[None]:
    """Return a context with the settings of matplotlib under which figures are drawn and saved."""
    import matplotlib

    return matplotlib.rc_context(_SETTINGS)


def draw_band(axes: "Axes", style: Series, x: Sequence[float], low: Sequence[float], high: Sequence[float]) -> None:
    """Draw the area between two curves."""
    axes.fill_between(x, low, high, color=style.colour, alpha=0.12, linewidth=0)


def draw_curve(axes: "Axes", style: Series, x: Sequence[float], y: Sequence[float]) -> None:
    """Draw a curve with about six marks."""
    axes.plot(
        x,
        y,
        color=style.colour,
        linestyle=style.dashes,
        marker=style.mark,
        markevery=max(1, len(x) // 6),
        markersize=5,
        linewidth=1.6,
    )


def plain_log_axis(axes: "Axes", which: Literal["x", "y"], values: Sequence[float]) -> None:
    """Give an axis a logarithmic scale with plain numbers, which are the closer the fewer decades there are.

    At least two numbers are on the axis, also with a single value.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = min(values), max(values)
    getattr(axes, f"set_{which}scale")("log")
    getattr(axes, f"set_{which}lim")(low / 1.5, high * 1.5)
    axis = getattr(axes, f"{which}axis")
    axis.set_major_locator(LogLocator(subs=next(subs for most, subs in _LOG_TICKS if high / low <= most), numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: significant(value)))
    axis.set_minor_locator(NullLocator())


def whole_numbers(axes: "Axes") -> None:
    """Write whole numbers only on the x axis."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def names_on_y(axes: "Axes", names: Sequence[str]) -> None:
    """Write names of rows on the y axis, the first one at the top."""
    axes.set_yticks(range(len(names)), [shortened(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


def margin_for(names: Sequence[str]) -> float:
    """Return the share of the width that names of rows take."""
    return min(0.36, 0.03 + 0.0137 * max(len(shortened(name)) for name in names))


def shortened(name: str) -> str:
    """Return a name of at most 24 characters."""
    return name if len(name) <= 24 else f"{name[:23]}…"


def thinned(rows: Sequence[_Row], most: int = 60) -> list[_Row]:
    """Return evenly spaced rows, with the first and the last, if there are more than a table should show."""
    if len(rows) <= most:
        return list(rows)
    return [rows[round(place * (len(rows) - 1) / (most - 1))] for place in range(most)]


def finished(
    figure: "Figure",
    name: str,
    title: str,
    description: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    legend: Sequence[Series] = (),
) -> ReportFigure:
    """Return a drawn figure with its texts and data."""
    return ReportFigure(
        *(name, title, description, tuple(columns), rows, as_svg(figure, name, title, description), tuple(legend)),
        drawing=figure,
    )
