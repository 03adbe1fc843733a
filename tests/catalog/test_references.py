from pathlib import Path

import pytest

from kdtune.catalog.references import parse_reference

SCHEMES = ("torchvision", "folder")


@pytest.mark.parametrize(
    ("text", "form", "place", "attribute"),
    [
        ("resnet18", "name", "resnet18", ""),
        ("package.nets:tiny", "module", "package.nets", "tiny"),
        ("nets:Nets.tiny", "module", "nets", "Nets.tiny"),
        ("./nets.py:tiny", "file", "./nets.py", "tiny"),
        ("my nets/a.py:tiny", "file", "my nets/a.py", "tiny"),
        ("torchvision:resnet50", "scheme", "resnet50", "torchvision"),
        ("folder:./photos", "scheme", "./photos", "folder"),
        ("folder:/data/a:b", "scheme", "/data/a:b", "folder"),
    ],
)
def test_every_form_of_reference_is_recognised(text, form, place, attribute):
    found = parse_reference(text, SCHEMES)
    assert (found.form, found.place, found.attribute, found.text) == (form, place, attribute, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("./nets.py", "write ./nets.py:NAME"),
        ("nets/tiny", "write nets/tiny:NAME"),
        ("nets:", "no valid Python name after the colon"),
        ("nets.py:a b", "no valid Python name"),
        ("torchvision:", "has no name after torchvision:"),
        ("a-b:tiny", r"is not a reference; .*\./file\.py:NAME, torchvision:NAME, folder:NAME"),
    ],
)
def test_a_message_names_the_missing_part(text, message):
    with pytest.raises(ValueError, match=message):
        parse_reference(text, SCHEMES)


def test_a_relative_file_lies_beside_the_study_file():
    assert parse_reference("./nets.py:tiny").path(Path("/studies")) == Path("/studies/nets.py")
    assert parse_reference("/a/nets.py:tiny").path(Path("/studies")) == Path("/a/nets.py")
