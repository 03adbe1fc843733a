"""What commands print: the outcome on standard output, with ``--json`` as one document."""

import shlex
import sys
from typing import TYPE_CHECKING, Any

import typer

from kdtune.storage.parsing import to_json

if TYPE_CHECKING:
    from rich.console import Console

    from kdtune.planning.study_plan import StudyPlan
    from kdtune.results.study_result import StudyResult

#: Width of tables that are not printed to a terminal.
PIPE_WIDTH = 200


def make_console(*, to_stderr: bool) -> "Console":
    """Return a console that respects NO_COLOR and pipes."""
    from kdtune.report.plain_console import PlainConsole

    stream = sys.stderr if to_stderr else sys.stdout
    return PlainConsole(file=stream, width=None if stream.isatty() else PIPE_WIDTH)


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON document on standard output."""
    sys.stdout.write(to_json(document, "standard output", indent=2) + "\n")


def show_plan(plan: "StudyPlan", console: "Console", *, as_json: bool) -> None:
    """Print the plan of a study and the command that runs it."""
    from kdtune.report.plan_table import plan_table

    console.print(plan_table(plan))
    wanted = [argument for argument in sys.argv[1:] if argument != "--dry-run"]
    console.print(f"Nothing was run. To run it: kdtune {shlex.join(wanted)}", soft_wrap=True)
    if as_json:
        print_json(plan.as_json())


def show_outcome(result: "StudyResult", console: "Console", *, as_json: bool, with_report: bool) -> None:
    """Print the outcome of a study, write its report if it is wanted, and exit with the study's exit code."""
    from kdtune.analysis.baseline_choice import baseline_of
    from kdtune.report.tables import cost_table

    folder = shlex.quote(str(result.folder))
    if result.outcomes:
        console.print(cost_table(result.outcomes, result.teacher(), baseline_of(result.outcomes)))
        console.print(f"Results: {result.folder}", soft_wrap=True)
    for error in result.errors:
        if result.exit_code:
            console.print(f"Failed: {error}", style="red", soft_wrap=True)
        else:
            console.print(f"Everything was finished when this happened: {error}", soft_wrap=True)
    if result.interrupted:
        console.print("Interrupted.")
    if result.over_budget:
        console.print(f"Stopped: {result.over_budget}.", soft_wrap=True)
    if not result.exit_code:
        text = f"Next: kdtune recommend {folder}, and for all figures: kdtune compare {folder} --wide"
        console.print(text, soft_wrap=True, markup=False)
    elif result.is_settled:
        console.print("Nothing is left to resume: a strategy has no finished trial, for the reason above.")
    elif not result.can_resume:
        larger = f" with a larger {result.over_budget.split()[0]}" if result.over_budget else ""
        console.print(f"No strategy was started. To start one, run the same command{larger}.", soft_wrap=True)
    else:
        limit = f" {result.over_budget.split()[0]} MORE" if result.over_budget else ""
        console.print(
            f"Not finished. Continue with: kdtune resume {folder}{limit}",
            soft_wrap=True,
            markup=False,
        )
    if as_json:
        print_json(result.as_json())
    if with_report and result.outcomes and not result.interrupted:
        _write_report(result, console)
    raise typer.Exit(result.exit_code)


def _write_report(result: "StudyResult", console: "Console") -> None:
    """Write the report of a study beside its results. The study's outcome does not depend on it."""
    from kdtune.errors import KdtuneError
    from kdtune.report.html.page import REPORT, write_report

    try:
        write_report(result.folder, result.folder / REPORT)
    except KdtuneError as error:
        console.print(f"No report was written: {error}", soft_wrap=True)
    except KeyboardInterrupt:
        console.print(f"No report was written. To write it: kdtune report {shlex.quote(str(result.folder))}")
    else:
        console.print(f"Report: {result.folder / REPORT}", soft_wrap=True)
