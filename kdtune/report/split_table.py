"""A table that fits its terminal: told in two parts, one below the other, where it is too wide to be told in one."""

from collections.abc import Sequence

from rich.box import Box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

#: Only a rule under the head and between sections: it pastes well into a README.
PLAIN_HEAD = Box("    \n    \n -- \n    \n -- \n    \n    \n    \n", ascii=True)


class SplitTable:
    """Rows of text under named columns, of which no figure is ever cut off."""

    def __init__(self, title: str, columns: Sequence[str], left: Sequence[str], split: int) -> None:
        """Begin without rows.

        Args:
            title: Stands above.
            columns: Their names; the first one names the rows, and is told again in a second part.
            left: Those that are set flush left.
            split: Place of the column with which a second part begins.
        """
        self._title = title
        self._columns = list(columns)
        self._left = set(left)
        self._split = split
        self._sections: list[list[Sequence[str]]] = [[]]

    def add_row(self, row: Sequence[str]) -> None:
        """A cell for each column."""
        self._sections[-1].append(row)

    def add_section(self) -> None:
        """A rule under what there is so far."""
        self._sections.append([])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """In one part if it fits, else in two."""
        whole = self._part(range(len(self._columns)), self._title)
        if Measurement.get(console, options.update(max_width=10_000), whole).minimum <= options.max_width:
            yield whole
            return
        yield self._part(range(self._split), self._title)
        yield Text()
        yield self._part([0, *range(self._split, len(self._columns))], "")

    def _part(self, places: Sequence[int], title: str) -> Table:
        table = Table(title=title or None, title_justify="left", box=PLAIN_HEAD, pad_edge=False)
        for place in places:
            name = self._columns[place]
            # Only what may be long, and reads well on several lines, is folded.
            table.add_column(name, justify="left" if name in self._left else "right", no_wrap=name != "tau")
        for section in self._sections:
            for row in section:
                table.add_row(*(Text(row[place]) for place in places))
            table.add_section()
        return table
