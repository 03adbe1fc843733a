from io import StringIO

import pytest
from rich.console import Console

from kdtune.report.split_table import SplitTable

COLUMNS = ["strategy", "tau", "accuracy", "kWh", "multiple"]
ROWS = [
    ["grid", "2, 5, 14", "89.2 +- 2.6", "9.69e-05", "17.9 x"],
    ["stochastic", "random", "83.8", "4.70e-05", "1.00 x"],
]


def shown(width: int) -> list[str]:
    table = SplitTable("a study", COLUMNS, ("strategy", "tau"), 3)
    for row in ROWS:
        table.add_row(row)
    console = Console(file=StringIO(), width=width)
    console.print(table)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_wide_terminal_has_it_in_one_part():
    lines = shown(100)
    (head,) = (line for line in lines if "accuracy" in line)
    assert head.split() == COLUMNS
    assert next(line for line in lines if "grid" in line).split()[-3:] == ["9.69e-05", "17.9", "x"]


@pytest.mark.parametrize("width", [44, 50])
def test_a_narrow_one_has_two_parts_and_every_figure_whole(width):
    lines = shown(width)
    assert sum("strategy" in line for line in lines) == 2 and sum("a study" in line for line in lines) == 1
    assert all(len(line) <= width for line in lines)
    text = "\n".join(lines)
    for row in ROWS:
        for cell in row[2:]:
            assert cell in text
    assert "\u2026" not in text
