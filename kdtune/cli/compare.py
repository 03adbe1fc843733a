"""``kdtune compare``: what has been run, in one cost table."""

from pathlib import Path
from typing import Annotated

import typer

from kdtune.cli.options import Country, Intensity, Json, Preset, Pue, Region
from kdtune.cli.output import make_console, print_json

HELP = "Put finished strategies side by side: one cost table from results folders. Runs nothing."

EXAMPLES = """Examples:
\n\n    kdtune compare
\n\n    kdtune compare results/digits-hkd --baseline fixed --markdown
\n\n    kdtune compare results/a results/b --allow-mismatch --csv costs.csv
\n\n    kdtune compare results/digits-hkd --country FRA --json
"""


def compare(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="[DIR ...]", help="Results folders; all of ./results by default.")
    ] = None,
    baseline: Annotated[str, typer.Option(help="The strategy that energy is a multiple of.")] = "stochastic",
    allow_mismatch: Annotated[
        bool, typer.Option("--allow-mismatch", help="Compare also what differs in more than the strategy.")
    ] = False,
    csv: Annotated[Path | None, typer.Option(help="Write the figures to a CSV file too.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    country: Country = None,
    region: Region = None,
    intensity: Intensity = None,
    pue: Pue = None,
    preset: Preset = None,
    json: Json = False,
) -> None:
    """Compare results."""
    from kdtune.analysis import comparison
    from kdtune.energy.carbon import changing
    from kdtune.errors import Fault, ResultsError, SpecError
    from kdtune.registry import did_you_mean
    from kdtune.report.exports import as_csv, as_markdown
    from kdtune.report.inference_table import payback_line
    from kdtune.report.tables import cost_table, notes

    carbon = changing(preset, country, region, intensity, pue)
    found = comparison.compare(folders or [Path("results")], allow_mismatch=allow_mismatch, carbon=carbon)
    names = [result["strategy"] for result in found.results]
    if baseline not in names and baseline != "stochastic":
        raise SpecError([Fault("--baseline", "", f"no results of {baseline!r}; {did_you_mean(baseline, names)}")])
    if csv:
        try:
            csv.write_text(as_csv(found.results), encoding="utf-8")
        except OSError as error:
            raise ResultsError(f"--csv {csv}: cannot be written ({error.strerror})") from None
    remarks = [payback_line(found.inference)] if found.inference else []
    console = make_console(to_stderr=json)
    if markdown:
        lines = [*notes(found.results, found.teacher, baseline), *remarks]
        text = as_markdown(found.results, found.teacher, baseline) + "\n\n" + "\n".join(f"- {line}" for line in lines)
        console.print(text, soft_wrap=True, markup=False)
    else:
        console.print(cost_table(found.results, found.teacher, baseline, remarks))
    for warning in found.warnings:
        console.print(warning, style="yellow", soft_wrap=True, markup=False)
    if json:
        print_json(found.as_json())
