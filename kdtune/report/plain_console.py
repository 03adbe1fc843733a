"""The console that everything is shown on: what a text says is shown, and never done."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from kdtune.storage.escaping import printable


class PlainConsole(Console):
    """Takes no text for markup, an emoji or an order to the terminal: names and errors may hold anything.

    What rich itself sends to the terminal is no text, and stays.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich does, without what would steer the terminal."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)
