"""The ``kdtune`` command: its subcommands, exit codes and error messages."""

import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from kdtune import __version__
from kdtune.cli import (
    check,
    claims,
    clean,
    compare,
    doctor,
    export,
    figures,
    inference,
    list_command,
    new,
    recommend,
    replay,
    report,
    resume,
    sensitivity,
    study,
)
from kdtune.cli.streams import guarded_streams, unwritable
from kdtune.errors import KdtuneError, Remark, UsageError
from kdtune.storage.escaping import printable

app = typer.Typer(
    name="kdtune",
    help="Compare strategies for choosing the temperature of knowledge distillation, and charge the energy of every "
    "trial to the model that the strategy produces.",
    epilog="Start with: kdtune study digits-hkd --strategy all",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kdtune {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


app.command("study", help=study.HELP, epilog=study.EXAMPLES)(study.study)
app.command("new", help=new.HELP, epilog=new.EXAMPLES)(new.new)
app.command("check", help=check.HELP, epilog=check.EXAMPLES)(check.check)
app.command("compare", help=compare.HELP, epilog=compare.EXAMPLES)(compare.compare)
app.command("recommend", help=recommend.HELP, epilog=recommend.EXAMPLES)(recommend.recommend)
app.command("report", help=report.HELP, epilog=report.EXAMPLES)(report.report)
app.command("figures", help=figures.HELP, epilog=figures.EXAMPLES)(figures.figures)
app.command("export", help=export.HELP, epilog=export.EXAMPLES)(export.export)
app.command("replay", help=replay.HELP, epilog=replay.EXAMPLES)(replay.replay)
app.command("sensitivity", help=sensitivity.HELP, epilog=sensitivity.EXAMPLES)(sensitivity.sensitivity)
app.command("inference", help=inference.HELP, epilog=inference.EXAMPLES)(inference.inference)
app.command("claims", help=claims.HELP, epilog=claims.EXAMPLES)(claims.claims)
app.command("resume", help=resume.HELP, epilog=resume.EXAMPLES)(resume.resume)
app.command("list", help=list_command.HELP, epilog=list_command.EXAMPLES)(list_command.list_command)
app.command("clean", help=clean.HELP, epilog=clean.EXAMPLES)(clean.clean)
app.command("doctor", help=doctor.HELP, epilog=doctor.EXAMPLES)(doctor.doctor)


def _require_utf8(*texts: str) -> None:
    """Refuse arguments and a working folder that are not UTF-8, since results could not store their names."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{text!a}: this name is not valid UTF-8; rename the file or folder") from None


def _working_folder() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        raise UsageError("the working folder was removed; change to another one") from None


def main() -> None:
    """Run the command. An error becomes one message on standard error and an exit code."""
    with guarded_streams() as stdout, warnings.catch_warnings():
        warnings.simplefilter("default", Remark)  # independent of PYTHONWARNINGS
        warnings.showwarning = partial(_show_warning, warnings.showwarning)
        code = _exit_code()
        if error := unwritable(stdout):
            _tell(f"error: standard output cannot be written ({error.strerror}); free space, or redirect it")
            code = code if code in (2, 130) else 1
    sys.exit(code)


def _exit_code() -> Any:
    try:
        _require_utf8(*sys.argv[1:], _working_folder())
        app()
    except KdtuneError as error:
        for line in map(printable, str(error).splitlines()):
            _tell(line if line.startswith("Not finished.") else f"error: {line}")
        return error.exit_code
    except SystemExit as end:
        return end.code


def _show_warning(usual: Callable[..., None], message: Any, category: type[Warning], *where: Any) -> None:
    if issubclass(category, Remark):
        _tell(printable(f"note: {message}"))
    else:
        usual(message, category, *where)


def _tell(line: str) -> None:
    typer.echo(line, err=True)
