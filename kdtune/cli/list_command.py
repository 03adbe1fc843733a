"""``kdtune list``: available studies, components, runs and caches."""

from pathlib import Path
from typing import Annotated

import typer

from kdtune.cli.options import Json
from kdtune.cli.output import make_console, print_json

HELP = (
    "List what is available, run or cached. The lists are studies, spaces, strategies, temperatures, datasets, models, "
    "losses, syntheses, runs and caches; without an argument, the first five are printed."
)

EXAMPLES = """Examples:
\n\n    kdtune list studies
\n\n    kdtune list runs --out results
\n\n    kdtune list strategies --json
"""

#: Lists that are shown without an argument.
_OVERVIEW = ("studies", "spaces", "strategies", "temperatures", "datasets")

#: Columns that appear only in the JSON.
_HIDDEN = {"file", "folder", "shape", "files", "needs_teacher", "restartable", "control", "begins_after", "steps"}


def list_command(
    what: Annotated[str | None, typer.Argument(help="The list to print.", show_default=False)] = None,
    out: Annotated[Path, typer.Option(help="Results folder, for 'runs'.")] = Path("results"),
    json: Json = False,
) -> None:
    """Print one list or several."""
    from kdtune.analysis.listing import LISTS
    from kdtune.catalog.spelling import did_you_mean
    from kdtune.errors import UsageError

    if what is not None and what not in LISTS:
        raise UsageError(f"kdtune list: unknown list {what!r}; {did_you_mean(what, list(LISTS))}")
    names = [what] if what else list(_OVERVIEW)
    found = {name: LISTS[name](out) for name in names}
    if json:
        print_json({"schema_version": 1, **found})
        return
    from rich.table import Table
    from rich.text import Text

    console = make_console(to_stderr=False)
    for name, records in found.items():
        if not records:
            console.print(f"{name}: none" + (f" under {out}" if name == "runs" else ""))
            continue
        # A column that says nothing of any record is left out.
        columns = [key for key in records[0] if key not in _HIDDEN and any(one[key] is not None for one in records)]
        table = Table(title=name, title_justify="left", box=None, pad_edge=False)
        widest = max(len(_cell(record["name"])) for record in records)
        for column in columns:
            # Names are typed by users, so they are never folded or cut.
            table.add_column(column.replace("_", " "), min_width=widest if column == "name" else None)
        for record in records:
            table.add_row(*(Text(_cell(record[column])) for column in columns))
        console.print(table)


def _cell(value: object) -> str:
    from kdtune.report.number_formats import NOTHING, significant

    if value is None:
        return NOTHING
    if isinstance(value, dict) and "ref" in value:  # a component with options
        options = ", ".join(f"{key}={one}" for key, one in value.items() if key != "ref")
        return f"{value['ref']}({options})" if options else str(value["ref"])
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict | list):  # of a dict, such as packages by the extra that installs them, the keys matter
        return ", ".join(map(str, value))
    return significant(value) if isinstance(value, float) else str(value)
