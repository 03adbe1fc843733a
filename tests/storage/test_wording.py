"""Numbers with their nouns."""

import re
from pathlib import Path

import pytest

from kdtune.storage.wording import counted

PACKAGE = Path(__file__).parents[2] / "kdtune"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((1, "epoch"), "1 epoch"),
        ((0, "epoch"), "0 epochs"),
        ((2, "recorded repeat"), "2 recorded repeats"),
        ((3, "study"), "3 studies"),
        ((2, "day"), "2 days"),
        ((2, "class", "classes"), "2 classes"),
        ((0.5, "GPU"), "0.5 GPUs"),
        ((1.0, "CPU core"), "1 CPU core"),
    ],
)
def test_a_number_has_its_noun(arguments, text):
    assert counted(*arguments) == text


def test_thousands_are_separated_on_request():
    assert counted(12345, "image", separated=True) == "12,345 images"


def test_no_message_of_the_package_leaves_the_plural_to_the_reader():
    texts = {path: path.read_text() for path in PACKAGE.rglob("*") if path.suffix in (".py", ".html")}
    assert [str(path) for path, text in texts.items() if re.search(r"\w\(s\)(?! is | are )[ .,;:\"']", text)] == []
