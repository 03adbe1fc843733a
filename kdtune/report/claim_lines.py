"""The paper's claims with the verdicts so far, for a terminal."""

from collections.abc import Sequence

from rich.text import Text

from kdtune.analysis.verdicts import CONFIDENCE, FEWEST, Interval
from kdtune.paper.claims import JudgedClaim
from kdtune.paper.evidence import Evidence
from kdtune.report.number_formats import percent, significant

_COLOURS = {"supported": "green", "contradicted": "red", "not settled": "yellow", "not run": "dim"}

NOTES = (
    f"Intervals: {CONFIDENCE:.0%}, Student's t over the differences of repeats with the same seed; so over students "
    "given one teacher and one split, and each by itself: of twenty, one misses by chance.",
    "Accuracies are those of kdtune's protocol: tau chosen on held-out images, the last epoch, one test.",
    "Repeats are taken to spread by at least what can be told apart: one image, one step of tau. Fewer than "
    f"{FEWEST} settle nothing.",
    "What does not matter (0.5 points of accuracy, a step of tau, a tenth of a factor) is fixed, whatever was found.",
)


def claim_lines(claims: Sequence[JudgedClaim]) -> list[Text]:
    """Every claim: what, where, by which rule, and a line for each study that tests it."""
    lines: list[Text] = []
    for number, judged in enumerate(claims, start=1):
        claim = judged.claim
        lines.append(Text(f"{number}. {claim.text}", style="bold"))
        lines.append(Text(f"   Paper: {claim.where}.", style="dim"))
        lines.append(Text(f"   Rule: {claim.rule}. {claim.remark}".rstrip(), style="dim"))
        lines += [_evidence(one) for one in judged.evidence]
        if judged.unpaired:
            lines.append(_line("not run", judged.unpaired))
        if judged.not_run:
            lines.append(_line("not run", f"the paper's own: {', '.join(judged.not_run)}. Try: {judged.to_type}"))
        elif judged.to_type:
            lines.append(_line("not run", f"nothing here tests it. Try: {judged.to_type}"))
        lines.append(Text())
    return [*lines, *(Text(line, style="dim") for line in (*_protocols(claims), *NOTES))]


def _protocols(claims: Sequence[JudgedClaim]) -> list[str]:
    """A line for each of the paper's studies: how it was trained and judged otherwise than there."""
    told: dict[str, dict[str, None]] = {}
    for one in (one for judged in claims for one in judged.evidence):
        for study, texts in one.protocol.items():
            told.setdefault(study, {}).update(dict.fromkeys(texts))
    return [f"{study}, apart from what stands there: {'; '.join(texts)}." for study, texts in told.items()]


def _line(verdict: str, text: str) -> Text:
    return Text.assemble("   ", (verdict, _COLOURS[verdict]), f"  {text}")


def _evidence(one: Evidence) -> Text:
    whose = "the paper's own, " if one.is_papers else ""
    cut = "".join(f"; {text}" for text in one.departs)
    parts = [f"{' and '.join(one.studies)} ({whose}{one.setting}{cut}; {', '.join(one.places)}): {one.measure}"]
    if one.interval:
        parts.append(_interval(one.interval, one.unit))
    if one.sides:
        parts.append("; ".join(f"{name} {_figure(value, one.unit)}" for name, value in one.sides.items()))
    if one.reason:
        parts.append(one.reason)
    if any(one.commits):
        parts.append(f"commit {', '.join(commit or 'not known' for commit in one.commits)}")
    return _line(one.verdict, " | ".join(parts))


def _interval(interval: Interval, unit: str) -> str:
    ends = ""
    if interval.is_bounded:
        ends = f"{_signed(interval.low, unit)} to {_signed(interval.high, unit)}, "
    noun = {"fraction": " points", "ratio": " x"}.get(unit, "")
    return f"{_signed(interval.mean, unit)}{noun} ({ends}n = {interval.n})"


def _signed(value: float, unit: str) -> str:
    """A difference with its sign, in points where it is one of fractions; a ratio has none."""
    if unit == "ratio":
        return significant(value)
    return f"{value * 100:+.2f}" if unit == "fraction" else f"{value:+.1f}"


def _figure(value: float, unit: str) -> str:
    return f"{percent(value)} %" if unit == "fraction" else significant(value)
