"""The SVG of a figure, which follows the colours of the page and is accessible."""

import io
import re
from html import escape
from typing import TYPE_CHECKING

from kdtune.storage.escaping import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Colours of series on a light page. The page replaces them by its variables ``--c1`` to ``--c8``.
COLOURS = ("#0b62a8", "#c2410c", "#1b7f4d", "#8a3ffc", "#9a7500", "#0e7c86", "#c2255c", "#5f6b7a")

#: Colours of text, of lines that guide the eye, and of the band of a margin.
INK, RULE, BAND = "#1f2328", "#d0d7de", "#e6eaef"

#: Variables of the page for colours.
VARIABLES = {
    INK: "var(--ink)",
    RULE: "var(--rule)",
    BAND: "var(--band)",
    **{colour: f"var(--c{number})" for number, colour in enumerate(COLOURS, start=1)},
}

#: Digits of coordinates that are too small to see.
_DIGITS = re.compile(r"(\.\d\d)\d+")

#: Matplotlib's ids of marks and of areas, which are hashes.
_HASH = re.compile(r'(?<=["#])[mp][0-9a-f]{10}(?=[")])')

#: Width in pixels from which embedded pictures are shown smaller than they are.
_SMOOTH = 128

#: Width of a figure in inches, and the SVG's units per inch.
WIDTH_IN, DPI = 6.2, 72


def as_svg(figure: "Figure", name: str, title: str, description: str) -> str:
    """Return a figure as an SVG element.

    Args:
        figure: The figure.
        name: Id of the element; a prefix of all ids in it.
        title: Its accessible name.
        description: Its accessible description.
    """
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = file.getvalue()
    svg = _small(svg[svg.index("<svg") :])
    svg = re.sub(r'(\bid="|url\(#|xlink:href="#)', rf"\g<1>{name}-", svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, variable)
    head = (
        f'<svg role="img" aria-labelledby="{name}-title" aria-describedby="{name}-description" '
        f'viewBox="0 0 {WIDTH_IN * DPI:g} {figure.get_figheight() * DPI:g}" '
        f'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f'<title id="{name}-title">{_text(title)}</title><desc id="{name}-description">{_text(description)}</desc>'
    )
    return head + svg[svg.index(">") + 1 :]


def _small(svg: str) -> str:
    """Return a drawing without what a page does not need, which is more than half of it."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)  # it is that of the page
    svg = re.sub(r' transform="rotate\(-?0 [^"]*"', "", svg)
    svg = re.sub(r'\b(d|x|y|transform)="[^"]*"', lambda found: _DIGITS.sub(r"\1", found[0]), svg)
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)  # nothing refers to groups
    svg = re.sub(r"<image [^>]*>", _smooth, svg)
    short: dict[str, str] = {}
    svg = _HASH.sub(lambda found: short.setdefault(found[0], f"m{len(short)}"), svg)
    return re.sub(r"\s*\n\s*", " ", svg).replace("> <", "><")


def _smooth(image: re.Match[str]) -> str:
    """Return an embedded picture without the order to keep its pixels sharp, if it is shown smaller than it is.

    Otherwise pixels would be left out, and thin lines with them.
    """
    width = re.search(r' width="(\d+)', image[0])
    small = width is None or int(width[1]) < _SMOOTH
    return image[0] if small else re.sub(r' style="image-rendering:[^"]*"', "", image[0])


def _text(text: str) -> str:
    return escape(printable(text))
