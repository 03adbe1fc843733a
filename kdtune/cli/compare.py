"""``kdtune compare``: the cost table of results folders."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kdtune.cli.option_groups import with_option_groups
from kdtune.cli.options import CarbonOptions, Json
from kdtune.cli.output import PIPE_WIDTH, make_console, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from kdtune.analysis.baseline_comparisons import TableStatistics
    from kdtune.analysis.comparison import Comparison, WantedCarbon
    from kdtune.analysis.equal_budget import EqualBudget

HELP = (
    "Compare strategies in a cost table. The table is made from results folders; --paper prints the paper's tables "
    "instead. Nothing is trained."
)

EXAMPLES = """Examples:
\n\n    kdtune compare
\n\n    kdtune compare results/digits-hkd --baseline fixed --wide --markdown
\n\n    kdtune compare results/a results/b --allow-mismatch --csv costs.csv
\n\n    kdtune compare results/digits-hkd --country FRA --json
\n\n    kdtune compare results/digits-hkd --green --green-weight 2
\n\n    kdtune compare results/digits-hkd --at-kwh 0.0002
\n\n    kdtune compare --paper --preset paper
"""


@dataclass(frozen=True)
class TableOptions:
    """What the tables show."""

    baseline: Annotated[
        str | None,
        typer.Option(
            help="The strategy whose energy counts as 1, by default stochastic, else the best of one training."
        ),
    ] = None
    allow_mismatch: Annotated[
        bool, typer.Option("--allow-mismatch", help="Allow results that differ in more than the strategy.")
    ] = False
    green: Annotated[bool, typer.Option("--green", help="Add a green index: accuracy minus a weight for energy.")] = (
        False
    )
    green_weight: Annotated[
        float | None,
        typer.Option(help="Points of accuracy that the index subtracts for each doubling of energy, by default 1."),
    ] = None
    at_kwh: Annotated[
        float | None,
        typer.Option(help="Also show what each strategy had found when one model was charged so many kWh."),
    ] = None
    csv: Annotated[
        Path | None,
        typer.Option(
            help="Also write totals over all repeats to a CSV file; its column 'models' is the divisor for one model."
        ),
    ] = None
    wide: Annotated[bool, typer.Option("--wide", help="Print all columns of the cost table.")] = False

    @property
    def wants_green(self) -> bool:
        """Whether the tables have a green index."""
        return self.green or self.green_weight is not None

    def given_flags(self) -> list[str]:
        """Return the flags that were given and that do not apply to the paper's tables."""
        flags = {
            "--csv": self.csv,
            "--green": self.wants_green,
            "--allow-mismatch": self.allow_mismatch,
            "--baseline": self.baseline is not None,
            "--at-kwh": self.at_kwh is not None,
            "--wide": self.wide,
        }
        return [flag for flag, is_given in flags.items() if is_given]


@with_option_groups
def compare(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[DIR ...]", help="Results folders for one table; by default one table for each study in ./results."
        ),
    ] = None,
    *,
    table: TableOptions,
    paper: Annotated[
        bool, typer.Option("--paper", help="Print the paper's tables with the figures of your results beside them.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    carbon: CarbonOptions,
    json: Json = False,
) -> None:
    """Compare results."""
    from kdtune.analysis import comparison
    from kdtune.analysis.baseline_choice import baseline_of
    from kdtune.analysis.baseline_comparisons import statistics_of
    from kdtune.analysis.equal_budget import at_budget, check_budget
    from kdtune.analysis.green_index import DEFAULT_WEIGHT, check_weight
    from kdtune.report.csv_and_markdown import as_csv

    changes = carbon.changes()
    weight = check_weight(DEFAULT_WEIGHT if table.green_weight is None else table.green_weight)
    budget = None if table.at_kwh is None else check_budget(table.at_kwh)
    if paper:
        _refuse_with_paper(table.given_flags())
        _beside_the_paper(folders, changes, as_json=json, markdown=markdown)
        return
    comparisons = _comparisons(folders, table, changes, weight)
    baselines = [table.baseline or baseline_of(found.outcomes) for found in comparisons]
    outcomes = [outcome for found in comparisons for outcome in found.outcomes]
    if table.csv:
        _write_csv(table.csv, as_csv(outcomes))
    console = make_console(to_stderr=json)
    tables_of_statistics = [statistics_of(*each) for each in zip(comparisons, baselines, strict=True)]
    budgets = [None if budget is None else at_budget(found, budget) for found in comparisons]
    for place, parts in enumerate(zip(comparisons, tables_of_statistics, budgets, baselines, strict=True)):
        if place:
            console.print()
        _show(console, *parts, wide=table.wide, markdown=markdown)
    if json:
        document = comparison.as_json(outcomes)
        document["statistics"] = [statistics.as_json() for statistics in tables_of_statistics]
        if budget is not None:
            document["at_kwh"] = [one.as_json() for one in budgets if one]
        print_json(document)


def _comparisons(
    folders: list[Path] | None, table: TableOptions, carbon: "WantedCarbon", weight: float
) -> "list[Comparison]":
    """Return one comparison of the named folders, or one of each study if none is named."""
    from kdtune.analysis import comparison
    from kdtune.analysis.baseline_choice import baseline_of
    from kdtune.analysis.find_results import studies_here
    from kdtune.analysis.green_index import with_green_index
    from kdtune.catalog.spelling import did_you_mean
    from kdtune.errors import Fault, SpecError

    tables = [folders] if folders else [[study] for study in studies_here()]
    found = [comparison.compare(places, allow_mismatch=table.allow_mismatch, carbon=carbon) for places in tables]
    names = [outcome.strategy for one in found for outcome in one.outcomes]
    if table.baseline is not None and table.baseline not in names:
        hint = did_you_mean(table.baseline, names)
        raise SpecError([Fault("--baseline", "", f"no results of {table.baseline!r}; {hint}")])
    if table.wants_green:
        return [
            replace(one, outcomes=with_green_index(one.outcomes, table.baseline or baseline_of(one.outcomes), weight))
            for one in found
        ]
    return found


def _refuse_with_paper(flags: list[str]) -> None:
    """Refuse flags that do not apply to the paper's tables."""
    from kdtune.errors import Fault, SpecError

    if flags:
        raise SpecError([Fault(flag, "", "does not go with --paper; leave it out") for flag in flags])


def _write_csv(path: Path, text: str) -> None:
    from kdtune.errors import ResultsError
    from kdtune.storage.paths import expanded

    try:
        expanded(path, "--csv").write_text(text, encoding="utf-8")
    except OSError as error:
        raise ResultsError(f"--csv {path}: cannot be written ({error.strerror})") from None


def _show(
    console: "Console",
    found: "Comparison",
    statistics: "TableStatistics",
    budget: "EqualBudget | None",
    baseline: str,
    *,
    wide: bool,
    markdown: bool,
) -> None:
    from kdtune.report.budget_table import budget_markdown, budget_table
    from kdtune.report.csv_and_markdown import as_markdown, markdown_list
    from kdtune.report.inference_table import payback_line
    from kdtune.report.statistics_table import statistics_markdown, statistics_table
    from kdtune.report.tables import cost_table, notes

    remarks = [line] if (line := payback_line(found.inference)) else []
    if markdown:
        lines = [*notes(found.outcomes, found.teacher, baseline), *remarks]
        parts = [as_markdown(found.outcomes, found.teacher, baseline, wide=wide), markdown_list(lines)]
        parts += [statistics_markdown(statistics), *([budget_markdown(budget)] if budget else [])]
        console.print("\n\n".join(parts), soft_wrap=True)
    else:
        console.print(cost_table(found.outcomes, found.teacher, baseline, remarks, wide=wide))
        console.print(statistics_table(statistics))
        if budget:
            console.print(budget_table(budget))
    _warn(console, found.warnings)


def _beside_the_paper(folders: "list[Path] | None", carbon: "WantedCarbon", *, as_json: bool, markdown: bool) -> None:
    from kdtune.paper.filled_tables import beside_the_paper
    from kdtune.report.paper_tables import paper_markdown, paper_tables

    found = beside_the_paper(folders, carbon)
    console = make_console(to_stderr=as_json)
    if markdown:
        console.print(paper_markdown(found), soft_wrap=True)
    else:
        # In a narrow terminal lines wrap, so that no figure is lost.
        console.width = max(console.width, PIPE_WIDTH)
        console.print(paper_tables(found))
    _warn(console, found.warnings)
    if as_json:
        print_json(found.as_json())


def _warn(console: "Console", warnings: list[str]) -> None:
    for warning in warnings:
        console.print(warning, style="yellow", soft_wrap=True)
