import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdtune.storage.escaping import for_markdown, for_spreadsheet, printable


@given(st.text())
def test_printable_removes_only_control_characters(text):
    shown = printable(text)
    assert not any(ord(one) < 32 and one != "\n" or 127 <= ord(one) < 160 for one in shown)
    assert [one for one in shown if one.isprintable()] == [one for one in text if one.isprintable()]
    shown.encode()


@pytest.mark.parametrize(
    "hostile", ["\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "a\rb", "\x08", "\u202egnp.exe", "\x00", "\ud800"]
)
def test_escape_sequences_lose_their_first_character(hostile):
    assert set(printable(hostile)).isdisjoint("\x1b\x9b\x07\r\x08\u202e\x00\ud800")


def test_lines_and_letters_of_other_languages_stay():
    assert printable("träge\n日本語 é") == "träge\n日本語 é"


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1+1"])
def test_cells_that_look_like_formulas_are_escaped(cell):
    text = io.StringIO()
    csv.writer(text).writerow([for_spreadsheet(cell)])
    assert next(csv.reader(io.StringIO(text.getvalue(), newline="")))[0] == f"'{cell}"


def test_figures_and_plain_words_stay_as_they_are():
    assert [for_spreadsheet(one) for one in (-1.5, None, "grid", 3)] == [-1.5, None, "grid", 3]


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("a|b", "a\\|b"),
        ("a\\|b", "a\\\\\\|b"),
        ("<script>", "&lt;script>"),
        ("`code", "\\`code"),
        ("[x](http://h)", "[x\\](http://h)"),
        ("![x][y]", "![x\\][y]"),
        ("[x]: http://h", "[x\\]: http://h"),
        ("a\nb\x1b[2J", "a b[2J"),
        ("HKD [1], 5 +- 1 (n 2) [a, b]", "HKD [1], 5 +- 1 (n 2) [a, b]"),
    ],
)
def test_text_has_no_markup_in_markdown(hostile, shown):
    assert for_markdown(hostile) == shown
