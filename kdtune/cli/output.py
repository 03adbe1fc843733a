"""Where a command's words go: the outcome to standard output, and with ``--json`` nothing else."""

import shlex
import sys
from typing import TYPE_CHECKING, Any

import typer

from kdtune.storage.parsing import to_json

if TYPE_CHECKING:
    from rich.console import Console

    from kdtune.planning.study_plan import StudyPlan
    from kdtune.results.study_result import StudyResult

#: A table in a pipe is not folded to the width of a terminal that is not there.
PIPE_WIDTH = 200


def make_console(*, to_stderr: bool) -> "Console":
    """A console that respects NO_COLOR, and pipes."""
    from kdtune.report.consoles import PlainConsole

    stream = sys.stderr if to_stderr else sys.stdout
    return PlainConsole(file=stream, width=None if stream.isatty() else PIPE_WIDTH)


def print_json(document: dict[str, Any]) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(to_json(document, "standard output", indent=2) + "\n")


def show_plan(plan: "StudyPlan", console: "Console", *, as_json: bool) -> None:
    """Print what a study would do, and what to type to run it."""
    from kdtune.report.plan_table import plan_table

    console.print(plan_table(plan))
    wanted = [argument for argument in sys.argv[1:] if argument != "--dry-run"]
    console.print(f"Nothing was run. To run it: kdtune {shlex.join(wanted)}", soft_wrap=True)
    if as_json:
        print_json(plan.as_json())


def show_outcome(result: "StudyResult", console: "Console", *, as_json: bool) -> None:
    """Print what a study came to, and end with its exit code."""
    from kdtune.report.tables import cost_table

    folder = shlex.quote(str(result.folder))
    if result.outcomes:
        console.print(cost_table(result.outcomes, result.teacher()))
        console.print(f"Results: {result.folder}", soft_wrap=True)
    for error in result.errors:
        if result.exit_code:
            console.print(f"Failed: {error}", style="red", soft_wrap=True)
        else:
            console.print(f"All was done when it happened: {error}", soft_wrap=True)
    if result.interrupted:
        console.print("Interrupted.")
    if result.over_budget:
        console.print(f"Stopped: {result.over_budget}.", soft_wrap=True)
    if not result.exit_code:
        console.print(f"Next: kdtune compare {folder} --markdown", soft_wrap=True, markup=False)
    elif result.is_settled:
        console.print("Nothing is left to resume: a strategy has no finished trial; see why above.")
    elif not result.can_resume:
        larger = f" with a larger {result.over_budget.split()[0]}" if result.over_budget else ""
        console.print(f"No strategy was begun: to begin, give the same command{larger}.", soft_wrap=True)
    else:
        limit = f" {result.over_budget.split()[0]} MORE" if result.over_budget else ""
        console.print(
            f"Not finished. Go on with: kdtune resume {folder}{limit}",
            soft_wrap=True,
            markup=False,
        )
    if as_json:
        print_json(result.as_json())
    raise typer.Exit(result.exit_code)
