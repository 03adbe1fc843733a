"""``kdtune doctor``: check the machine."""

from dataclasses import asdict

import typer

from kdtune.cli.options import Json
from kdtune.cli.output import make_console, print_json

HELP = "Check torch, CUDA, Ray, energy sensors, data and disk. The exit code is 3 if something will not work."

EXAMPLES = """Examples:
\n\n    kdtune doctor
\n\n    kdtune doctor --json
"""

_MARKS = {"ok": ("\u2713", "green"), "warning": ("!", "yellow"), "fault": ("\u2717", "red")}

#: Exit code if something will not work.
EXIT_FAULT = 3


def doctor(json: Json = False) -> None:
    """Examine the machine."""
    from kdtune.analysis.doctor import examine

    findings = examine()
    if json:
        print_json({"schema_version": 1, "findings": [asdict(finding) for finding in findings]})
    else:
        from rich.text import Text

        console = make_console(to_stderr=False)
        for finding in findings:
            mark, colour = _MARKS[finding.verdict]
            console.print(Text.assemble((mark, colour), f" {finding.name}: {finding.found}"), soft_wrap=True)
            if finding.remedy:
                console.print(Text(f"    {finding.remedy}", style="dim"), soft_wrap=True)
    if any(finding.verdict == "fault" for finding in findings):
        raise typer.Exit(EXIT_FAULT)
