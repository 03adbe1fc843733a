"""Writing of figures as files of their own: SVG for light and dark pages, PNG and PDF on white."""

import io
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from shutil import copyfile
from typing import TYPE_CHECKING, Literal, get_args

from kdtune.errors import ResultsError, UsageError
from kdtune.report.html.drawing import ReportFigure, drawing_settings
from kdtune.report.html.pictures import PagePicture
from kdtune.report.html.svg import VARIABLES, as_svg
from kdtune.storage.files import replaced_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FileFormat = Literal["svg", "png", "pdf"]

#: Pixels per inch of PNG files.
_DPI = 200

#: Heights in inches of a line of the title and of a row of the legend, and characters in a line of the title.
_TITLE_IN, _LEGEND_IN, _LINE = 0.22, 0.22, 74

#: Width in inches of the legend, of a character in it, and of a mark with the space around it.
_LEGEND_WIDTH_IN, _CHARACTER_IN, _MARK_IN = 6.0, 0.073, 0.32

#: The style sheet of a page that has the colours of light and of dark pages.
_STYLE = re.compile(r":root \{.*?\n\}\n@media \(prefers-color-scheme: dark\) \{.*?\n\}\n", re.DOTALL)


def file_format(name: str) -> FileFormat:
    """Return a valid format unchanged.

    Raises:
        UsageError: There is no such format.
    """
    for known in get_args(FileFormat):
        if name == known:
            return known
    raise UsageError(f"--format: unknown format {name!r}; known: {', '.join(get_args(FileFormat))}")


def write_figures(
    figures: Sequence[ReportFigure], pictures: Sequence[PagePicture], folder: Path, form: FileFormat, css: str
) -> list[Path]:
    """Write figures, and copy pictures, which are PNG files whatever the format.

    Args:
        figures: Figures that were drawn in this process. Each is given its title and legend, and is of no use later.
        pictures: Pictures that the study keeps.
        folder: Where the files are written; created if necessary.
        form: Format of the figures.
        css: Style sheet of the page, from which SVG files take their colours.

    Returns:
        The files.

    Raises:
        ResultsError: A file cannot be written.
    """
    files = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for one in figures:
            files.append(folder / f"{one.name}.{form}")
            with replaced_atomically(files[-1], sync=False) as target:
                target.write(_content(one, form, css))
        for picture in pictures:
            files.append(folder / f"{picture.name}.png")
            copyfile(picture.file, files[-1])
    except OSError as error:
        raise ResultsError(f"{folder}: cannot be written ({error.strerror}); name another folder with -o") from None
    return files


def _content(one: ReportFigure, form: FileFormat, css: str) -> bytes:
    assert one.drawing is not None
    with drawing_settings():
        _add_head(one.drawing, one)
        if form == "svg":
            return _standing_alone(as_svg(one.drawing, one.name, one.title, one.description), css).encode()
        file = io.BytesIO()
        dates = {"CreationDate": None} if form == "pdf" else {}
        one.drawing.savefig(file, format=form, dpi=_DPI, facecolor="white", metadata={"Title": one.title, **dates})
        return file.getvalue()


def _add_head(figure: "Figure", one: ReportFigure) -> None:
    """Write title and legend above a figure, which a page has in HTML, and make the figure higher by them."""
    from matplotlib.lines import Line2D

    lines = textwrap.wrap(one.title, _LINE)
    longest = max((len(style.name) for style in one.legend), default=0)
    in_a_row = max(1, min(len(one.legend), int(_LEGEND_WIDTH_IN / (_MARK_IN + _CHARACTER_IN * longest))))
    rows = -(-len(one.legend) // in_a_row)
    width, height = figure.get_size_inches()
    head = 0.12 + _TITLE_IN * len(lines) + _LEGEND_IN * rows
    whole = height + head
    figure.set_size_inches(width, whole)
    for axes in figure.axes:
        place = axes.get_position(original=True)  # without the change that equal scales made
        axes.set_position((place.x0, place.y0 * height / whole, place.width, place.height * height / whole))
    for number, line in enumerate(lines):
        at = 1 - (0.1 + _TITLE_IN * number) / whole
        figure.text(0.02, at, line, fontweight="bold", fontsize=11, va="top")
    if one.legend:
        figure.legend(
            [Line2D([], [], color=style.colour, marker=style.mark, linestyle="", markersize=6) for style in one.legend],
            [style.name for style in one.legend],
            loc="upper left",
            bbox_to_anchor=(0.01, 1 - (0.04 + _TITLE_IN * len(lines)) / whole),
            ncols=in_a_row,
            frameon=False,
            fontsize=9,
            handletextpad=0.2,
            columnspacing=1.2,
            borderaxespad=0.2,
        )


def _standing_alone(svg: str, css: str) -> str:
    """Return a drawing with its own colours, light or dark like those of the page that shows it.

    Programs that do not know the variables of a style sheet take the light colours.
    """
    found = _STYLE.search(css)
    assert found is not None
    for colour, variable in VARIABLES.items():
        svg = re.sub(rf"(fill|stroke): {re.escape(variable)}", rf"\1: {colour}; \1: {variable}", svg)
        svg = svg.replace(f'"{variable}"', f'"{colour}"')
    start = svg.index("<title")
    style = f"<style>{found[0]}text {{ font-family: system-ui, 'DejaVu Sans', sans-serif; }}</style>"
    back = '<rect width="100%" height="100%" style="fill: #ffffff; fill: var(--page)"/>'
    return f"{svg[:start]}{style}{back}{svg[start:]}"
