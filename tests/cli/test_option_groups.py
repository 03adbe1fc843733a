"""A command whose options are declared in groups."""

from dataclasses import dataclass, field
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from kdtune.cli.option_groups import with_option_groups


@dataclass(frozen=True)
class Fruit:
    name: Annotated[str, typer.Option(help="Which fruit.")] = "apple"
    sizes: Annotated[list[int], typer.Option("--size", min=1)] = field(default_factory=list)


@pytest.fixture
def run():
    """Run a command with arguments; returns what it printed."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    @app.command()
    @with_option_groups
    def eat(place: Annotated[str, typer.Argument()], *, fruit: Fruit, times: int = 1) -> None:
        """Eat a fruit."""
        print(place, fruit, times)

    return lambda *arguments: CliRunner().invoke(app, arguments).output


def test_the_fields_of_a_group_are_options_with_their_defaults(run):
    assert run("here") == "here Fruit(name='apple', sizes=[]) 1\n"
    assert run("--times", "2", "there", "--name", "fig", "--size", "3", "--size", "4") == (
        "there Fruit(name='fig', sizes=[3, 4]) 2\n"
    )
    assert "Which fruit.  [default: apple]" in run("--help") and "Eat a fruit." in run("--help")


def test_the_options_of_a_group_are_validated(run):
    assert "Invalid value for '--size'" in run("here", "--size", "0")
