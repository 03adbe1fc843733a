"""A table that is split into parts, one below the other, if it is too wide for the terminal."""

from collections.abc import Sequence
from itertools import pairwise

from rich.box import Box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

#: Rules under the head and between sections only, so that a copied table looks well in a README.
PLAIN_HEAD = Box("    \n    \n -- \n    \n -- \n    \n    \n    \n", ascii=True)


class SplitTable:
    """Rows of text under named columns, whose figures are never truncated."""

    def __init__(self, title: str, columns: Sequence[str], left: Sequence[str], *splits: int) -> None:
        """Create a table without rows.

        Args:
            title: Title above the table.
            columns: Names of the columns. The first column names the rows and is repeated in every part.
            left: Left-aligned columns.
            splits: Indices of the columns with which further parts begin.
        """
        self._title = title
        self._columns = list(columns)
        self._left = set(left)
        self._splits = splits
        self._sections: list[list[Sequence[str]]] = [[]]

    def add_row(self, row: Sequence[str]) -> None:
        """Add a row with a cell for each column."""
        self._sections[-1].append(row)

    def add_section(self) -> None:
        """Add a rule below the last row."""
        self._sections.append([])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the table in one part if it fits, otherwise in all of its parts."""
        whole = self._part(range(len(self._columns)), self._title)
        if Measurement.get(console, options.update(max_width=10_000), whole).minimum <= options.max_width:
            yield whole
            return
        for first, last in pairwise([1, *self._splits, len(self._columns)]):
            if first > 1:
                yield Text()
            yield self._part([0, *range(first, last)], self._title if first == 1 else "")

    def _part(self, places: Sequence[int], title: str) -> Table:
        table = Table(title=title or None, title_justify="left", box=PLAIN_HEAD, pad_edge=False)
        for place in places:
            name = self._columns[place]
            # Only the column of temperatures may be long and remains readable on several lines.
            table.add_column(name, justify="left" if name in self._left else "right", no_wrap=name != "tau")
        for section in self._sections:
            for row in section:
                table.add_row(*(Text(row[place]) for place in places))
            table.add_section()
        return table
