"""``kdtune study``: run strategies of a study."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from kdtune.cli.option_groups import with_option_groups
from kdtune.cli.options import AcceptTeacher, CarbonOptions, ExecutionOptions, Inline, Json, NoReport, Overrides, Quiet
from kdtune.cli.output import make_console, show_outcome, show_plan

HELP = (
    "Run strategies of a study and print what each found and cost. The study is a name from './studies/', an included "
    "study, or a TOML file."
)

EXAMPLES = """Examples:
\n\n    kdtune study digits-hkd --strategy all
\n\n    kdtune study digits-hkd --strategy all --dry-run
\n\n    kdtune study digits-hkd --strategy grid --strategy stochastic --repeats 5
\n\n    kdtune study mine.toml --set training.batch_size=64 --out /data/results
\n\n    kdtune study digits-hkd --strategy stochastic --country DEU --pue 1.3 --json
\n\n    kdtune study digits-hkd --max-co2 0.5
\n\n    kdtune study cifar100-hkd --teacher resnet18.pt
"""


@dataclass(frozen=True)
class StudyOptions:
    """What is run, and where its results are kept."""

    repeats: Annotated[int | None, typer.Option(help="Number of repeats of each strategy, with consecutive seeds.")] = (
        None
    )
    seed: Annotated[int | None, typer.Option(help="Seed of the first repeat.")] = None
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of the students; milestones and warm-up are scaled in proportion.")
    ] = None
    out: Annotated[Path, typer.Option(help="Results folder.")] = Path("results")
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Move earlier results of these strategies to 'abandoned' and start again.")
    ] = False
    cpus_per_trial: Annotated[float, typer.Option(help="CPU cores per trial.")] = 1.0
    gpus_per_trial: Annotated[
        float | None,
        typer.Option(help="GPU or share of a GPU per trial, at most 1; by default 1 if there is a GPU."),
    ] = None
    inline: Inline = False
    set_: Overrides = field(default_factory=list)

    def as_arguments(self) -> dict[str, Any]:
        """Return the options as arguments of the functions of :mod:`kdtune.api`."""
        arguments = dict(vars(self))
        arguments["overrides"] = arguments.pop("set_")
        return arguments


@with_option_groups
def study(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="The study's name or file.", show_default=False)],
    *,
    strategy: Annotated[
        list[str],
        typer.Option(
            "--strategy",
            "-s",
            help="A strategy or a label of the study; may be repeated. 'all' runs every strategy that the study lists.",
        ),
    ] = ["all"],  # noqa: B006 - typer only reads it
    options: StudyOptions,
    run: ExecutionOptions,
    carbon: CarbonOptions,
    accept_teacher: AcceptTeacher = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and its expected cost; train nothing.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
    no_report: NoReport = False,
) -> None:
    """Run a study."""
    from kdtune.api import plan_study, run_study
    from kdtune.report.live_display import display

    console = make_console(to_stderr=json)
    arguments = {**options.as_arguments(), **run.as_arguments(), "carbon": carbon.carbon()}
    if dry_run:
        show_plan(plan_study(name, strategy, **arguments), console, as_json=json)
    else:
        watcher = display(make_console(to_stderr=True), quiet=quiet)
        result = run_study(name, strategy, **arguments, accept_teacher=accept_teacher, watcher=watcher)
        show_outcome(result, console, as_json=json, with_report=not no_report)
