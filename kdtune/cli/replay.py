"""``kdtune replay``: searches on recorded trials, without any training."""

from pathlib import Path
from typing import Annotated

import typer

from kdtune.cli.option_groups import with_option_groups
from kdtune.cli.options import CarbonOptions, Json, Overrides
from kdtune.cli.output import make_console, print_json

HELP = (
    "Replay searches on the trials of a recorded grid: what would they find, and for how much energy? Nothing is "
    "trained."
)

EXAMPLES = """Examples:
\n\n    kdtune replay results/digits-hkd
\n\n    kdtune replay results/digits-hkd -s random --set strategies.random.trials=5
\n\n    kdtune replay results/digits-hkd -s optuna --replays 1000 --json
"""


@with_option_groups
def replay(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR", help="Results folders of studies that ran the strategy grid.")
    ],
    *,
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            "--strategy",
            "-s",
            help="A strategy or label; may be repeated; by default all searches that the study lists.",
        ),
    ] = None,
    replays: Annotated[
        int | None,
        typer.Option(
            min=1, help="Replays of each strategy; by default 10000, or 200 of strategies that learn from outcomes."
        ),
    ] = None,
    set_: Overrides = [],  # noqa: B006 - typer only reads it
    carbon: CarbonOptions,
    json: Json = False,
) -> None:
    """Replay searches."""
    from kdtune.analysis.replay_forecast import forecast
    from kdtune.report.replay_table import replay_table

    changes = carbon.changes()
    found, remarks = forecast(folders, strategy or (), replays=replays, overrides=set_, carbon=changes)
    console = make_console(to_stderr=json)
    console.print(replay_table(found))
    for remark in remarks:
        console.print(remark, style="dim", soft_wrap=True)
    if json:
        print_json({"schema_version": 1, "forecasts": [one.as_json() for one in found]})
