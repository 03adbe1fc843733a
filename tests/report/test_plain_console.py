import io

import pytest
from rich.table import Table

from kdtune.report.live_display import LiveTable
from kdtune.report.plain_console import PlainConsole
from tests.report.test_live_display import drive

HOSTILE = "[red]x[/nothing] :smile: [link=http://h]y \x1b[2J\x9b1m\x07"


def shown(show, **options):
    console = PlainConsole(file=io.StringIO(), width=200, **options)
    show(console)
    return console.file.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_a_hostile_name_is_shown_and_never_done(terminal):
    table = Table(title=HOSTILE)
    table.add_column(HOSTILE)
    table.add_row(HOSTILE)
    for what in (HOSTILE, table):
        text = shown(lambda console, what=what: console.print(what, style="red"), force_terminal=terminal)
        assert "[red]x[/nothing] :smile: [link=http://h]y [2J" in text.replace("\n", " ")
        assert "\x1b[2J" not in text and "\x9b" not in text and "\x07" not in text


def test_colours_and_a_live_table_go_on_working():
    assert "\x1b[31m" in shown(
        lambda console: console.print("x", style="red"), force_terminal=True, color_system="standard"
    )
    assert "\x1b[?25l" in shown(lambda console: drive(LiveTable(console)), force_terminal=True)
