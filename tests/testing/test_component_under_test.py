"""How a test class names the component that it tests."""

import pytest

from kdtune.specs.component import Component
from kdtune.testing.component_under_test import ComponentConformance


def network(num_classes, in_channels):
    """A component that is a function."""


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("hkd", Component(name="hkd")),
        ({"ref": "my.module:Net", "width": 2}, Component(name="my.module:Net", options={"width": 2})),
        (network, Component(name=f"{__name__}:network")),
        (Component(name="ce"), Component(name="ce")),
    ],
)
def test_it_is_named_as_in_a_study(written, expected):
    suite = type("TestMine", (type("Shared", (ComponentConformance,), {"component": written}),), {})
    assert suite().named("network") == expected


def test_a_class_that_names_none_is_told_how_to():
    with pytest.raises(NotImplementedError, match=r"component = .*or define a fixture 'loss'"):
        ComponentConformance().named("loss")
