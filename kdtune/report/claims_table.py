"""The paper's claims as a table: one row for each comparison that tests a claim."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kdtune.paper.claims import JudgedClaim
from kdtune.paper.evidence import Evidence
from kdtune.report.claim_lines import COLOURS, interval_text
from kdtune.report.split_table import PLAIN_HEAD

_NOTE = (
    "In parentheses: 95 % intervals over repeats, paired by seed, and the number n of pairs. Rules, sources, settings "
    "and what else differs from the paper: kdtune claims --why."
)


def claims_table(claims: Sequence[JudgedClaim]) -> RenderableType:
    """Return the table; claims without any comparison have a command that runs one."""
    table = Table(box=PLAIN_HEAD, pad_edge=False)
    table.add_column("claim", min_width=24, ratio=4)
    table.add_column("verdict", no_wrap=True)
    table.add_column("study", overflow="fold", ratio=2)
    table.add_column("comparison", ratio=5)
    for number, judged in enumerate(claims, start=1):
        for place, (verdict, study, text) in enumerate(_rows(judged)):
            claim = f"{number}. {judged.claim.text}" if place == 0 else ""
            table.add_row(Text(claim), Text(verdict, style=COLOURS[verdict]), Text(study), Text(text))
    return Group(table, Text(_NOTE, style="dim"))


def _rows(judged: JudgedClaim) -> Iterator[tuple[str, str, str]]:
    """Yield verdict, study and comparison of a claim, or what would test it."""
    for one in judged.evidence:
        yield one.verdict, " and ".join(one.studies), _comparison(one)
    if judged.evidence:
        return
    yield "not run", "", judged.unpaired or judged.to_type or ""


def _comparison(one: Evidence) -> str:
    texts = [f"{one.measure}:", interval_text(one.interval, one.unit) if one.interval else one.reason]
    return " ".join(filter(None, texts))
